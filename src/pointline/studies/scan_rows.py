"""One row of a scan: the figures of one comparison, and the reason where there is none."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, HOUR_US
from pointline.features import CROSS_QUOTE_PREFIX
from pointline.features.funding import HOURS_PER_YEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.evaluation.check_limits import CheckLimits
    from pointline.studies.scan_pairs import ScanPair
    from pointline.studies.study import Study

QUANTILES = {"p01": 0.01, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p99": 0.99}
COMPARED, NOT_COMPARED = "compared", "not compared"
SHORT_PERP, LONG_PERP = "short perp", "long perp"
_BPS = 10_000.0
_DAYS_PER_YEAR = HOURS_PER_YEAR / 24
_WHOLE_SHARE = 0.999
_FUNDING = ("funding_carry_annual", "funding_source", "funding_interval_hours", "bar_duration_us")

_BASIS = {f"{prefix}basis_{name}_bps": pl.Float64() for prefix in ("", CROSS_QUOTE_PREFIX) for name in QUANTILES}
SCAN_SCHEMA: dict[str, pl.DataType] = {
    "perp": pl.String(),
    "spot": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
    "pairing": pl.String(),
    "cross_quote": pl.Boolean(),
    "price_factor": pl.Float64(),
    "rule": pl.String(),
    "bars": pl.Int64(),
    "volume_ratio": pl.Float64(),
    **_BASIS,
    "funding_settled_per_year": pl.Float64(),
    "funding_settlements": pl.Int64(),
    "funding_covered": pl.Float64(),
    "funding_estimate_per_year": pl.Float64(),
    "cost_bps": pl.Float64(),
    "carry_side": pl.String(),
    "carry_gross_bps": pl.Float64(),
    "carry_net_bps": pl.Float64(),
    "carry_breakeven_days": pl.Float64(),
    "perp_covered": pl.Float64(),
    "spot_covered": pl.Float64(),
    "share_bars_without_spot": pl.Float64(),
    "share_bars_stale_spot": pl.Float64(),
    "checklist": pl.String(),
    "failed": pl.String(),
    "warned": pl.String(),
    "notes": pl.String(),
}
"""Columns of a scan's table. Shares are fractions, funding is a fraction per year, not compounded; ``_bps`` is basis points."""


def row_of_reason(pair: ScanPair, reason: str) -> dict[str, Any]:
    """The row of a pair that could not be compared."""
    return {**dict.fromkeys(SCAN_SCHEMA), "perp": pair.perp, "spot": pair.spot, "status": NOT_COMPARED, "reason": reason}


def row_of_study(study: Study, limits: CheckLimits | None) -> dict[str, Any]:
    """The figures of a comparison.

    Args:
        study: a comparison of a perpetual with its spot.
        limits: of the checklist.
    """
    pair, summary, judged = study.pair, study.summary, study.checklist(limits=limits)
    bars = study._rows.select(_FUNDING).collect()  # noqa: SLF001 - of the same room
    settled = settled_funding(_settlements(study), _usual_hours(bars), window_hours=(study.end_us - study.start_us) / HOUR_US)
    estimate = estimated_per_year(bars)
    rate = settled["funding_settled_per_year"]
    carry = carry_of(
        (estimate if rate is None else rate) if pair.quote_match else None,
        days=(study.end_us - study.start_us) / DAY_US,
        cost_bps=study.params.costs.total_bps,
        borrow_bps_per_day=study.params.costs.borrow_bps_per_day,
    )
    by_status = {status: [point.name for point in judged.points if point.status == status] for status in ("fail", "warn")}
    return {
        **dict.fromkeys(SCAN_SCHEMA),
        "perp": pair.perp.name,
        "spot": pair.spot.name,
        "status": COMPARED,
        "pairing": pair.reason,
        "cross_quote": not pair.quote_match,
        "price_factor": float(pair.price_factor),
        "rule": study.rule_text,
        "bars": summary["bars"],
        "volume_ratio": summary["volume_ratio"],
        **_basis_quantiles(study),
        **settled,
        "funding_estimate_per_year": estimate,
        "cost_bps": study.params.costs.total_bps,
        **carry,
        "perp_covered": summary["coverage"]["perp"]["share"],
        "spot_covered": summary["coverage"]["spot"]["share"],
        "share_bars_without_spot": summary["share_bars_without_spot"],
        "share_bars_stale_spot": summary["share_bars_stale_spot"],
        "checklist": "pass" if judged.passed else "fail",
        "failed": ", ".join(by_status["fail"]),
        "warned": ", ".join(by_status["warn"]),
        "notes": [*study.notes, *_funding_notes(settled, rate is None and estimate is not None)],
    }


def _basis_quantiles(study: Study) -> dict[str, float | None]:
    prefix = CROSS_QUOTE_PREFIX if study.params.cross_quote else ""
    basis = study._rows.select(f"{prefix}basis_bps").collect().to_series().sort()  # noqa: SLF001 - of the same room
    return {f"{prefix}basis_{name}_bps": basis.quantile(share, interpolation="nearest") for name, share in QUANTILES.items()}


def _settlements(study: Study) -> pl.DataFrame:
    """The payments that became known inside the window."""
    perp, lake = study.pair.perp, study._lake  # noqa: SLF001 - of the same room
    columns = ("funding_us", "funding_rate", "interval_hours")
    rows = lake.scan(
        schema.FUNDING.name, perp.exchange, perp.exchange_symbol, study.start_us, study.end_us, ["ts_local_us", *columns]
    ).collect()
    known = rows.sort("ts_local_us", "funding_us", maintain_order=True).unique("funding_us", keep="last", maintain_order=True)
    return known.select("funding_us", pl.col("funding_rate").cast(pl.Float64), pl.col("interval_hours").cast(pl.Float64))


def _usual_hours(bars: pl.DataFrame) -> float | None:
    told = bars["funding_interval_hours"].cast(pl.Float64).drop_nulls()
    return None if told.is_empty() else float(told[-1])


def settled_funding(payments: pl.DataFrame, usual_hours: float | None, *, window_hours: float) -> dict[str, Any]:
    """Settled funding per year: the sum of the rates over the sum of the hours that they are for, times 8,760.

    A payment that is missing is left out of both sums, so that it is not taken for a rate of zero.

    Args:
        payments: one row per settlement with ``funding_rate`` (fraction per interval) and ``interval_hours``.
        usual_hours: the interval of payments that do not say theirs.
        window_hours: length of the window.

    Returns:
        ``funding_settled_per_year`` (None without payments), ``funding_settlements`` (how many), and ``funding_covered``, the hours of the
        payments as a share of the window, at most 1.

    Examples:
        Three payments of 0.01 % each eight hours; one is missing of a day and a half:

        >>> import polars as pl
        >>> paid = pl.DataFrame({"funding_rate": [1e-4] * 3, "interval_hours": [8.0] * 3})
        >>> found = settled_funding(paid, None, window_hours=32)
        >>> round(found["funding_settled_per_year"], 6), found["funding_settlements"], found["funding_covered"]
        (0.1095, 3, 0.75)
    """
    usual = pl.lit(usual_hours, pl.Float64)
    told = payments.with_columns(pl.col("interval_hours").fill_null(usual)).drop_nulls(["funding_rate", "interval_hours"])
    hours = math.fsum(told["interval_hours"])
    rate = math.fsum(told["funding_rate"]) / hours * HOURS_PER_YEAR if hours > 0 else None
    return {
        "funding_settled_per_year": rate,
        "funding_settlements": told.height,
        "funding_covered": min(1.0, hours / window_hours),
    }


def estimated_per_year(bars: pl.DataFrame) -> float | None:
    """The running estimate per year, each bar's by its length; None where no bar has one.

    Args:
        bars: ``funding_carry_annual`` (fraction per year), ``funding_source`` and ``bar_duration_us``, one row per bar.

    Examples:
        Of two bars the second is three times as long; the third has a settled rate:

        >>> import polars as pl
        >>> sources = ["estimate", "estimate", "settled"]
        >>> bars = {"funding_carry_annual": [0.1, 0.2, 0.9], "funding_source": sources, "bar_duration_us": [1, 3, 1]}
        >>> round(estimated_per_year(pl.DataFrame(bars)), 6)
        0.175
    """
    told = bars.filter(pl.col("funding_source") == "estimate").drop_nulls("funding_carry_annual")
    length_us = float(told["bar_duration_us"].sum())
    return math.fsum(told["funding_carry_annual"] * told["bar_duration_us"]) / length_us if length_us else None


def carry_of(per_year: float | None, *, days: float, cost_bps: float, borrow_bps_per_day: float = 0.0) -> dict[str, Any]:
    """What holding both legs over the window received in funding, on the side that received it, and what costs leave of it.

    The basis is not in it: it is paid back only if it closes. A short of the coin borrows it.

    Args:
        per_year: funding as a fraction per year, which longs pay to shorts where it is positive; None where it is not known.
        days: how long both legs are held.
        cost_bps: of the round trip of both legs, and the withdrawal.
        borrow_bps_per_day: of the coin, for the side that is long perp and short spot.

    Returns:
        ``carry_side``, ``carry_gross_bps``, ``carry_net_bps``, and ``carry_breakeven_days``, after which funding less borrowing has paid
        the costs (None where it never does). All None where `per_year` is.

    Examples:
        10.95 % a year are 3 bps a day; 16 days pay for 48 bps:

        >>> found = carry_of(0.1095, days=30, cost_bps=48)
        >>> found["carry_side"], *(round(found[f"carry_{name}"], 6) for name in ("gross_bps", "net_bps", "breakeven_days"))
        ('short perp', 90.0, 42.0, 16.0)
    """
    if per_year is None:
        return dict.fromkeys(("carry_side", "carry_gross_bps", "carry_net_bps", "carry_breakeven_days"))
    is_short = per_year >= 0
    per_day = abs(per_year) * _BPS / _DAYS_PER_YEAR
    left_per_day = per_day - (0.0 if is_short else borrow_bps_per_day)
    return {
        "carry_side": SHORT_PERP if is_short else LONG_PERP,
        "carry_gross_bps": per_day * days,
        "carry_net_bps": left_per_day * days - cost_bps,
        "carry_breakeven_days": cost_bps / left_per_day if left_per_day > 0 else None,
    }


def _funding_notes(settled: dict[str, Any], by_estimate: bool) -> list[str]:  # noqa: FBT001 - whether the estimate stands in
    if by_estimate:
        return ["no settled funding in the window: the carry is that of the running estimate"]
    covered = settled["funding_covered"]
    if settled["funding_settlements"] and covered < _WHOLE_SHARE:
        return [f"settled funding covers {covered:.1%} of the window; the carry takes its mean for the rest"]
    return []


def without_common_notes(rows: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows with their notes as text, without those that every compared pair has, and these."""
    noted = [row["notes"] for row in rows if row["notes"] is not None]
    common = [note for note in noted[0] if all(note in others for others in noted)] if noted else []
    texts = [None if row["notes"] is None else "; ".join(note for note in row["notes"] if note not in common) for row in rows]
    return [{**row, "notes": text} for row, text in zip(rows, texts, strict=True)], common


def scan_table(rows: Sequence[dict[str, Any]], sort: str) -> pl.DataFrame:
    """Rows as a table: numbers from large to small, words in order of the alphabet, what is not known last, then by name."""
    table = pl.DataFrame([[row[name] for name in SCAN_SCHEMA] for row in rows], schema=SCAN_SCHEMA, orient="row")
    falling = SCAN_SCHEMA[sort].is_numeric()
    return table.sort(sort, "perp", "spot", descending=[falling, False, False], nulls_last=True, maintain_order=True)
