"""The basis of several perps against several spot markets on one spine, and the widest of them at each bar.

All values of a row are known at its ``bucket_end``. A pair counts at a bar only where both prices are recent enough and in like quotes, or
converted at a rate that is recent enough too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import MINUTE_US
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAIR_BASIS_SCHEMA: dict[str, pl.DataType] = {
    "bucket_start": pl.Int64(),
    "bucket_end": pl.Int64(),
    "perp": pl.String(),
    "spot": pl.String(),
    "basis_bps": pl.Float64(),  # null: an old price, or unlike quotes without a rate
    "cross_quote_basis_bps": pl.Float64(),  # of unlike quotes without a rate: it holds the rate between them
    "perp_age_us": pl.Int64(),
    "spot_age_us": pl.Int64(),
    "rate": pl.Float64(),  # what the spot price was multiplied by, 1 for like quotes
    "rate_age_us": pl.Int64(),
    "cost_bps": pl.Float64(),  # of a round trip of both legs
}
"""Columns of `pair_basis`."""

WIDEST_SCHEMA: dict[str, pl.DataType] = {
    **{name: PAIR_BASIS_SCHEMA[name] for name in ("bucket_start", "bucket_end", "perp", "spot", "basis_bps", "cost_bps")},
    "net_bps": pl.Float64(),
    "perp_age_us": pl.Int64(),
    "spot_age_us": pl.Int64(),
    "rate_age_us": pl.Int64(),
    "pairs": pl.Int64(),
}
"""Columns of `widest_basis`."""

FUNDING_SPREADS_SCHEMA: dict[str, pl.DataType] = {
    "bucket_end": pl.Int64(),
    "first": pl.String(),
    "second": pl.String(),
    "first_8h_bps": pl.Float64(),
    "second_8h_bps": pl.Float64(),
    "spread_8h_bps": pl.Float64(),
    "spread_year": pl.Float64(),  # a fraction, not compounded
}
"""Columns of `funding_spreads`."""

_EIGHT_HOURS_A_YEAR = 365 * 3


@dataclass(frozen=True, kw_only=True)
class PairTermsOnSpine:
    """What is known of one pair before any bar.

    Attributes:
        perp, spot: names of the instruments.
        price_factor: spot units in one perp unit.
        cost_bps: of a round trip of both legs.
        rate: where the quotes differ, the name of the rate among `rates`; None for like quotes.
        inverted: the rate is the other way round: the spot price is divided by it.
        cross_quote: the quotes differ and there is no rate.
    """

    perp: str
    spot: str
    price_factor: float = 1.0
    cost_bps: float
    rate: str | None = None
    inverted: bool = False
    cross_quote: bool = False


def pair_basis(
    legs: Mapping[str, pl.DataFrame],
    pairs: Sequence[PairTermsOnSpine],
    *,
    rates: Mapping[str, pl.DataFrame] | None = None,
    max_perp_age_us: int = MINUTE_US,
    max_spot_age_us: int = MINUTE_US,
) -> pl.DataFrame:
    """The basis of each pair at each bar, (perp - spot) / spot in bps with the spot in the perp's unit and quote.

    Args:
        legs: by instrument, one row for each bar of the same spine: ``bucket_start``, ``bucket_end``, ``close`` (the last price before
            the bar's end) and ``age_us`` of that price.
        pairs: which of them belong together.
        rates: by name, ``close`` and ``age_us`` of a rate on the same rows.
        max_perp_age_us, max_spot_age_us: an older price gives no basis, nor does a rate older than a spot price may be; one without an
            age counts as old.

    Returns:
        The columns of `PAIR_BASIS_SCHEMA`: the rows of the first pair, then those of the next.

    Raises:
        ConfigError: there is no pair, or the frames are not on one spine.
    """
    if not pairs:
        raise ConfigError("there is no pair", where="pair_basis", expected="one or more")
    _check_one_spine({**legs, **(rates or {})}, legs[pairs[0].perp])
    limits = {"perp": max_perp_age_us, "spot": max_spot_age_us, "rate": max_spot_age_us}
    return pl.concat([_basis_of(pair, legs, rates or {}, limits) for pair in pairs])


def _check_one_spine(frames: Mapping[str, pl.DataFrame], first: pl.DataFrame) -> None:
    for name, frame in frames.items():
        if frame.height != first.height or not frame["bucket_end"].equals(first["bucket_end"]):
            raise ConfigError("the instruments are not on one spine", where=name, value=frame.height, expected=f"{first.height} equal bars")


def _basis_of(
    pair: PairTermsOnSpine, legs: Mapping[str, pl.DataFrame], rates: Mapping[str, pl.DataFrame], limits: Mapping[str, int]
) -> pl.DataFrame:
    perp, spot = legs[pair.perp], legs[pair.spot]
    no_rate = pl.DataFrame({"close": pl.Series([1.0]), "age_us": pl.Series([0])})
    rate = no_rate.select(pl.all().repeat_by(perp.height).explode()) if pair.rate is None else rates[pair.rate]
    table = perp.select("bucket_start", "bucket_end", perp_close="close", perp_age_us="age_us").hstack(
        [
            spot["close"].alias("spot_close"),
            spot["age_us"].alias("spot_age_us"),
            (1 / rate["close"] if pair.inverted else rate["close"]).alias("rate"),
            rate["age_us"].alias("rate_age_us"),
        ]
    )
    young = pl.all_horizontal((pl.col(f"{side}_age_us") <= limit).fill_null(value=False) for side, limit in limits.items())
    spot_price = pl.col("spot_close") * pair.price_factor * pl.col("rate")
    basis = pl.when(young & (spot_price > 0)).then((pl.col("perp_close") - spot_price) / spot_price * 1e4)
    nothing = pl.lit(None, dtype=pl.Float64)
    return table.with_columns(
        perp=pl.lit(pair.perp),
        spot=pl.lit(pair.spot),
        basis_bps=nothing if pair.cross_quote else basis,
        cross_quote_basis_bps=basis if pair.cross_quote else nothing,
        cost_bps=pl.lit(pair.cost_bps),
    ).select(pl.col(name).cast(dtype) for name, dtype in PAIR_BASIS_SCHEMA.items())


def widest_basis(pairs: pl.DataFrame) -> pl.DataFrame:
    """The pair whose basis is the largest in size at each bar; of two alike, the one that was named first.

    Args:
        pairs: of `pair_basis`.

    Returns:
        The columns of `WIDEST_SCHEMA`, one row for each bar in order: ``net_bps`` is the size of the basis less the cost, ``pairs`` how
        many pairs had a basis. A bar without one has nulls.

    Examples:
        >>> import polars as pl
        >>> legs = {
        ...     name: pl.DataFrame({"bucket_start": [0], "bucket_end": [60], "close": [close], "age_us": [age]})
        ...     for name, close, age in (("a", 101.0, 5), ("b", 103.0, 5), ("c", 100.0, 5), ("d", 90.0, 10**9))
        ... }
        >>> pairs = [PairTermsOnSpine(perp=perp, spot=spot, cost_bps=40.0) for perp in "ab" for spot in "cd"]
        >>> widest_basis(pair_basis(legs, pairs)).select("perp", "spot", "basis_bps", "net_bps", "pairs").row(0)
        ('b', 'c', 300.0, 260.0, 2)
    """
    spine = pairs.select("bucket_start", "bucket_end").unique(maintain_order=True).sort("bucket_end")
    known = pairs.with_row_index("_order").filter(pl.col("basis_bps").is_not_null())
    counts = known.group_by("bucket_end").agg(pairs=pl.len().cast(pl.Int64))
    widest = known.with_columns(_size=pl.col("basis_bps").abs()).sort(["bucket_end", "_size", "_order"], descending=[False, True, False])
    first = widest.unique("bucket_end", keep="first", maintain_order=True).with_columns(net_bps=pl.col("_size") - pl.col("cost_bps"))
    found = spine.join(first.drop("bucket_start"), on="bucket_end", how="left", maintain_order="left")
    found = found.join(counts, on="bucket_end", how="left", maintain_order="left").with_columns(pl.col("pairs").fill_null(0))
    return found.select(pl.col(name).cast(dtype) for name, dtype in WIDEST_SCHEMA.items())


def funding_spreads(funding: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What one perp pays more than another, per 8 hours and per year, for each two of them.

    Args:
        funding: by perp, one row for each bar of the same spine: ``bucket_end`` and ``funding_8h``, a fraction per 8 hours; null where
            it is not known.

    Returns:
        The columns of `FUNDING_SPREADS_SCHEMA`; the spread is the first less the second.

    Raises:
        ConfigError: the frames are not on one spine.

    Examples:
        >>> import polars as pl
        >>> told = {name: pl.DataFrame({"bucket_end": [60], "funding_8h": [rate]}) for name, rate in (("a", 0.0003), ("b", 0.0001))}
        >>> funding_spreads(told).select("first", "second", pl.col("spread_8h_bps", "spread_year").round(6)).row(0)
        ('a', 'b', 2.0, 0.219)
    """
    frames = list(funding.values())
    if frames:
        _check_one_spine(funding, frames[0])
    found = [pl.DataFrame(schema=FUNDING_SPREADS_SCHEMA)]
    for (first, one), (second, other) in combinations(funding.items(), 2):
        rates = pl.DataFrame(
            {"bucket_end": one["bucket_end"], "first_8h_bps": one["funding_8h"] * 1e4, "second_8h_bps": other["funding_8h"] * 1e4}
        )
        spread = pl.col("first_8h_bps") - pl.col("second_8h_bps")
        rows = rates.with_columns(
            first=pl.lit(first), second=pl.lit(second), spread_8h_bps=spread, spread_year=spread * 1e-4 * _EIGHT_HOURS_A_YEAR
        )
        found.append(rows.select(pl.col(name).cast(dtype) for name, dtype in FUNDING_SPREADS_SCHEMA.items()))
    return pl.concat(found)
