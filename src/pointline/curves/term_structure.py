"""Curves over maturities: each contract's basis at an instant, the basis at a constant maturity, and which contract is in front."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import DAY_US
from pointline.curves.annualised import DAYS_PER_YEAR, MIN_DAYS, YIELDS, annualised, days_between
from pointline.curves.table import KEY, basis_fraction
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

MATURITIES_DAYS = (30.0, 60.0, 90.0, 180.0)
FAMILY = ("exchange", "quote", "reference")
"""Contracts that share a curve: one exchange, one quote asset, one reference. Linear and inverse contracts never share one."""

_CANDLE = ("day", "start", "end")
_VALUES = ("close", "spot_close", "basis_pct", "log_basis", "days_to_expiry", *YIELDS)


def curve_at(table: pl.DataFrame, at_us: int, *, max_age_us: int) -> pl.DataFrame:
    """Every contract's basis as it was known at an instant, perpetuals first, then by delivery.

    A contract is shown with its last spread that was known at `at_us`; both of its prices are of the same candle. Contracts that were
    delivered by then are left out.

    Args:
        table: rows of `pointline.curves.table.TABLE_SCHEMA`.
        at_us: the instant.
        max_age_us: a spread whose candle ended longer ago than this keeps its row and its age, but its values are null.

    Returns:
        exchange, market, reference, quote, expiry, close, spot_close, basis_pct, log_basis (= ln(contract / reference)),
        days_to_expiry (from the end of the candle, not from `at_us`), the annualised rates, basis_kind, end (of the candle), age_us
        (`at_us` - end) and known_at; no row where nothing was known.
    """
    at = _moment(at_us)
    known = table.filter((pl.col("known_at") <= at) & (pl.col("expiry").is_null() | (pl.col("expiry") > at)))
    age_us = (pl.lit(at_us) - pl.col("end").dt.timestamp("us")).alias("age_us")
    newest = (
        known.sort(KEY)
        .unique(("exchange", "market", "reference", "expiry"), keep="last", maintain_order=True)
        .with_columns(basis_pct=basis_fraction() * 100, log_basis=basis_fraction().log1p())
        .with_columns(age_us)
    )
    fresh = pl.col("age_us") <= max_age_us
    return newest.select(
        "exchange",
        "market",
        "reference",
        "quote",
        "expiry",
        *(pl.when(fresh).then(name).alias(name) for name in _VALUES),
        "basis_kind",
        "end",
        "age_us",
        "known_at",
    ).sort("exchange", "quote", "reference", "expiry", "market", nulls_last=False)


def constant_maturity(table: pl.DataFrame, maturities_days: Sequence[float] = MATURITIES_DAYS, *, from_spot: bool = False) -> pl.DataFrame:
    """The basis at fixed distances to delivery, per candle and curve, by linear interpolation of the log basis in time.

    Between the nearest contracts on both sides of maturity M, with T1 <= M <= T2 days left: y(M) = y1 + (y2 - y1) (M - T1) / (T2 - T1),
    y = ln(future / spot). A contract with exactly M days left gives the value alone. Outside the quoted maturities the value is null:
    nothing is extrapolated. Contracts in their last day are left out. On constant maturities see G. A. Holton, Value-at-Risk: Theory and
    Practice, section 6.6.3, who joins prices with a spline; the straight line in the log basis is our choice.

    Args:
        table: rows of `pointline.curves.table.TABLE_SCHEMA`.
        maturities_days: M.
        from_spot: adds spot itself as a contract with no days left and no basis. Maturities below the nearest contract then have a value.
            It assumes that this contract's rate holds from now on. No price supports that, so it is off by default.

    Returns:
        One row per candle, curve (exchange, quote, reference) and maturity: day, start, end, exchange, quote, reference,
        maturity_days, basis_pct, the annualised rates, near_market, far_market, near_days, far_days, basis_kind, and known_at (of both).

    Raises:
        ConfigError: a maturity is not a positive number of days, or is given twice.
    """
    days = _maturities(maturities_days)
    dated = table.filter(pl.col("expiry").is_not_null())
    family = (*_CANDLE, *FAMILY)
    wanted = dated.select(family).unique().join(pl.DataFrame({"maturity_days": days}, schema={"maturity_days": pl.Float64}), how="cross")
    points = dated.filter((pl.col("days_to_expiry") >= MIN_DAYS) & pl.col("spread").is_not_null()).select(
        *family, "market", "basis_kind", "known_at", days="days_to_expiry", log_basis=basis_fraction().log1p()
    )
    if from_spot:
        points = pl.concat([_spot_points(points), points], how="diagonal")
    rows = wanted.join(_neighbours(wanted, points, "near"), on=[*family, "maturity_days"], how="left").join(
        _neighbours(wanted, points, "far"), on=[*family, "maturity_days"], how="left"
    )
    return _interpolated(rows).sort(*KEY[:2], "quote", "reference", "maturity_days")


def _maturities(maturities_days: Sequence[float]) -> list[float]:
    days = [float(value) for value in maturities_days]
    if not days or len(set(days)) < len(days) or any(not MIN_DAYS <= value < float("inf") for value in days):
        raise ConfigError(
            "these maturities cannot be used", value=list(maturities_days), expected=f"different numbers of days, each {MIN_DAYS:g} or more"
        )
    return sorted(days)


def _spot_points(points: pl.DataFrame) -> pl.DataFrame:
    """Spot as a contract with no days left, wherever a curve has a contract."""
    return (
        points.group_by(*_CANDLE, *FAMILY, "basis_kind", maintain_order=True)
        .agg(pl.col("known_at").min())
        .with_columns(market=pl.lit("spot"), days=pl.lit(0.0), log_basis=pl.lit(0.0))
    )


def _neighbours(wanted: pl.DataFrame, points: pl.DataFrame, side: str) -> pl.DataFrame:
    """The contract next to each wanted maturity on one side, with its columns named ``near_…`` or ``far_…``."""
    family = (*_CANDLE, *FAMILY)
    near = side == "near"
    inside = pl.col("days") <= pl.col("maturity_days") if near else pl.col("days") >= pl.col("maturity_days")
    return (
        wanted.join(points, on=family, how="inner")
        .filter(inside)
        .sort("days", "market", descending=[near, False])
        .unique([*family, "maturity_days"], keep="first", maintain_order=True)
        .select(*family, "maturity_days", pl.col("market", "days", "log_basis", "basis_kind", "known_at").name.prefix(f"{side}_"))
    )


def _interpolated(rows: pl.DataFrame) -> pl.DataFrame:
    near, far, days = pl.col("near_log_basis"), pl.col("far_log_basis"), pl.col("maturity_days")
    distance = pl.col("far_days") - pl.col("near_days")
    share = pl.when(distance > 0).then((days - pl.col("near_days")) / distance).otherwise(0.0)
    told = pl.col("near_basis_kind") == pl.col("far_basis_kind")  # null where one side is missing
    named = [
        pl.when(told).then(pl.col(f"{side}_{name}")).alias(f"{side}_{name}") for side in ("near", "far") for name in ("market", "days")
    ]
    return (
        rows.with_columns(_log=pl.when(told).then(near + (far - near) * share))
        .with_columns(_basis=pl.col("_log").exp() - 1)
        .with_columns(annualised(pl.col("_basis"), days))
        .with_columns(
            *named,
            basis_pct=pl.col("_basis") * 100,
            basis_kind=pl.when(told).then("near_basis_kind"),
            known_at=pl.when(told).then(pl.max_horizontal("near_known_at", "far_known_at")),
        )
        .select(
            *_CANDLE,
            *FAMILY,
            "maturity_days",
            "basis_pct",
            *YIELDS,
            "near_market",
            "far_market",
            "near_days",
            "far_days",
            "basis_kind",
            "known_at",
        )
    )


def roll_calendar(table: pl.DataFrame, *, days_before: float = 0.0) -> pl.DataFrame:
    """Which dated contract is in front, from when until when, and which one follows it.

    The front contract is the one with the nearest delivery that has more than `days_before` days left; its place passes on at
    ``front_until`` = delivery - `days_before`.

    Args:
        table: rows of `pointline.curves.table.TABLE_SCHEMA`; only its contracts are known here.
        days_before: how long before delivery the roll takes place.

    Returns:
        One row per curve's contract in order of delivery: exchange, quote, market, expiry, front_from (null for the first, before which
        no contract is known), front_until, days_in_front, next_market, next_expiry (null for the last).

    Raises:
        ConfigError: days_before is negative.
    """
    if not 0 <= days_before < DAYS_PER_YEAR:
        raise ConfigError("a roll takes place at or before delivery", value=days_before, expected="0 or more days")
    curve = ("exchange", "quote")
    early = pl.duration(microseconds=round(days_before * DAY_US))
    dated = table.filter(pl.col("expiry").is_not_null()).select(*curve, "market", "expiry").unique().sort(*curve, "expiry", "market")
    rows = dated.with_columns(front_until=pl.col("expiry") - early).with_columns(
        front_from=pl.col("front_until").shift(1).over(curve),
        next_market=pl.col("market").shift(-1).over(curve),
        next_expiry=pl.col("expiry").shift(-1).over(curve),
    )
    length = days_between(rows["front_from"].dt.timestamp("us"), rows["front_until"].dt.timestamp("us"))
    return rows.with_columns(length.alias("days_in_front")).select(
        *curve, "market", "expiry", "front_from", "front_until", "days_in_front", "next_market", "next_expiry"
    )


def _moment(us: int) -> pl.Expr:
    return pl.lit(us).cast(pl.Datetime("us", "UTC"))
