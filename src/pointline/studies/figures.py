"""The figures of a comparison that its summary holds: counts, ratios with advice, staleness, quantiles, null shares, speed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from pointline.bars.aggregate import has_trade
from pointline.bars.amounts import on_book
from pointline.bars.run import VenueTrades
from pointline.clock import date_text
from pointline.features import CROSS_QUOTE_PREFIX, FEATURES
from pointline.features.feature import VENUE_COLUMNS
from pointline.lake.rows import decode_one
from pointline.lake.window_coverage import uneven_days
from pointline.studies.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pointline.bars.request import VenueEvents
    from pointline.lake.window_coverage import WindowCoverage

QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
_OF_VENUES = tuple(f"{venue}_{name}" for venue in ("perp", "spot") for name in VENUE_COLUMNS)
LOW_RATIO, HIGH_RATIO = 5.0, 20.0


@dataclass
class BarTotals:
    """What is counted of all bars of a window, a block at a time, before a join may drop some.

    Attributes:
        max_spot_age_us: a spot price older than this is stale.
        columns: names of the bars' columns.
        absent: columns of the venues that no bar has a value of.
        perp_trades, spot_trades, perp_volume, spot_volume: sums, None where candles do not say.
    """

    max_spot_age_us: int
    columns: list[str] = field(default_factory=list)
    bars: int = 0
    perp_trades: int | None = 0
    spot_trades: int | None = 0
    perp_volume: float | None = 0.0
    spot_volume: float | None = 0.0
    without_spot: int = 0
    stale_spot: int = 0
    start_us: int | None = None
    end_us: int | None = None
    absent: set[str] = field(default_factory=lambda: set(_OF_VENUES))

    def add(self, block: pl.DataFrame) -> None:
        """Counts a block of bars."""
        if block.is_empty():
            return
        stale = pl.col("spot_age_us").is_null() | (pl.col("spot_age_us") > self.max_spot_age_us)
        counted = ("perp_trade_count", "perp_volume", "spot_trade_count", "spot_volume")
        sums = block.select(
            *(pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name) for name in counted),
            without=(~has_trade("spot")).sum(),
            stale=stale.sum(),
        ).row(0, named=True)
        self.columns = block.columns
        self.bars += block.height
        self.perp_trades = _plus(self.perp_trades, sums["perp_trade_count"])
        self.spot_trades = _plus(self.spot_trades, sums["spot_trade_count"])
        self.perp_volume = _plus(self.perp_volume, sums["perp_volume"])
        self.spot_volume = _plus(self.spot_volume, sums["spot_volume"])
        self.without_spot += sums["without"]
        self.stale_spot += sums["stale"]
        self.start_us = block["bucket_start"][0] if self.start_us is None else self.start_us
        self.end_us = block["bucket_end"][-1]
        self.absent -= {name for name in self.absent if block[name].null_count() < block.height}


_Number = TypeVar("_Number", int, float)


def _plus(total: _Number | None, more: _Number | None) -> _Number | None:
    return None if total is None or more is None else total + more


def summarise(
    *,
    features: pl.LazyFrame,
    totals: BarTotals,
    sides: Mapping[str, VenueEvents],
    covered: Mapping[str, WindowCoverage],
    window: tuple[int, int],
    elapsed_s: float,
    price_factor: float = 1.0,
    costs: str = "",
) -> Summary:
    """Figures of a comparison.

    Args:
        features: the table of the comparison; a few columns are in memory at a time.
        totals: sums over all bars of the window, before a join may have dropped some.
        sides: the partitions of each side, under ``"perp"`` and ``"spot"``.
        covered: what of the window each side's trades cover, under ``"perp"`` and ``"spot"``.
        window: start and end in microseconds.
        elapsed_s: how long the comparison took.
        price_factor: how many spot units one perp unit holds (1000 for 1000SHIB).
        costs: those of the carry features, in words.
    """
    columns = features.collect_schema().names()
    spot_trades, spot_volume = _spot_amounts(totals, sides["spot"], dual="spot_bucket_end" in columns)
    perp_volume = totals.perp_volume
    ratio = perp_volume * price_factor / spot_volume if spot_volume and perp_volume is not None else None
    rows = sum(f.rows for venue in sides.values() for f in venue.files.values())
    basis = "basis_bps" if "basis_bps" in columns else f"{CROSS_QUOTE_PREFIX}basis_bps"
    shares, counts = _null_shares(features, columns), _counts(features)
    return Summary(
        {
            "window_us": list(window),
            "perp_trades": totals.perp_trades,
            "spot_trades": spot_trades,
            "perp_volume_base": totals.perp_volume,
            "spot_volume_base": spot_volume,
            "volume_ratio": ratio,
            "advice": advice(ratio, uneven_days(covered["perp"], covered["spot"])),
            "coverage": {side: _told(own) for side, own in covered.items()},
            "bars": counts["bars"],
            "bars_dropped": totals.bars - counts["bars"],
            "incomplete_bars": counts["incomplete"],
            "share_bars_without_spot": totals.without_spot / max(totals.bars, 1),
            "share_bars_stale_spot": totals.stale_spot / max(totals.bars, 1),
            "median_bar_seconds": None if counts["median_us"] is None else counts["median_us"] / 1e6,
            "quantiles": {name: _quantiles(features, name) for name in (basis, "funding_8h", "spot_volume")},
            "funding_source": sorted(source for source in counts["sources"] if source is not None),
            "costs": costs,
            "null_share": shares,
            "rows_in_partitions": rows,
            "elapsed_s": elapsed_s,
            "rows_per_s": rows / elapsed_s if elapsed_s else None,
        }
    )


def _spot_amounts(totals: BarTotals, venue: VenueEvents, *, dual: bool) -> tuple[int | None, float | None]:
    """Spot trades and base volume; a dual spine repeats some spot bars and passes over others, so there the trades are counted."""
    if not dual or not isinstance(venue, VenueTrades):
        return totals.spot_trades, totals.spot_volume
    columns = ["ts_local_us", "qty_int", "qty_decimals"]
    rows = pl.concat(on_book(file, columns, include_off_book=venue.include_off_book) for file in venue.files.values())
    known = pl.col("ts_local_us").is_between(totals.start_us, totals.end_us, closed="left")
    sums = rows.filter(known).group_by("qty_decimals").agg(pl.len(), pl.col("qty_int").sum()).collect().rows()
    return sum(count for _, count, _ in sums), float(sum(decode_one(qty, decimals) for decimals, _, qty in sums) * venue.instrument.size)


def _told(own: WindowCoverage) -> dict[str, Any]:
    days = [{"date": date_text(day), "covered_share": share, "what": what} for day, share, what in own.part_days]
    return {**asdict(own), "missing_days": [date_text(day) for day in own.missing_days], "part_days": days}


def advice(ratio: float | None, uneven: Sequence[int] = ()) -> str:
    """What the guide advises at a perp : spot volume ratio; nothing where days of the window are not covered whole on both sides.

    Args:
        ratio: perp volume over spot volume.
        uneven: 00:00 UTC of those days.
    """
    if uneven:
        days = date_text(uneven[0]) if len(uneven) == 1 else f"{len(uneven)} days of the window"
        return f"no advice: on {days} the two sides do not cover the same whole day"
    if ratio is None:
        return "no spot volume in the window"
    if ratio < LOW_RATIO:
        return f"below {LOW_RATIO:g}: consider the dual spine (each side its own bars)"
    if ratio > HIGH_RATIO:
        return f"above {HIGH_RATIO:g}: spot may be thin, look at the share of bars without spot"
    return f"between {LOW_RATIO:g} and {HIGH_RATIO:g}: a perp-driven spine makes sense"


def _counts(features: pl.LazyFrame) -> dict[str, Any]:
    return (
        features.select(
            bars=pl.len(),
            incomplete=(~pl.col("complete")).sum(),
            median_us=pl.col("bar_duration_us").median(),
            sources=pl.col("funding_source").unique().implode(),
        )
        .collect()
        .row(0, named=True)
    )


def _quantiles(features: pl.LazyFrame, name: str) -> dict[str, float | None]:
    column = features.select(name).collect().to_series().sort()
    return {f"{q:g}": column.quantile(q, interpolation="nearest") for q in QUANTILES}


def _null_shares(features: pl.LazyFrame, columns: list[str]) -> dict[str, float]:
    names = list(dict.fromkeys(n for feature in FEATURES for n in (feature, f"{CROSS_QUOTE_PREFIX}{feature}") if n in columns))
    nulls = features.select(pl.len().alias("_bars"), pl.col(names).null_count()).collect(engine="streaming").row(0, named=True)
    return {name: nulls[name] / max(nulls["_bars"], 1) for name in names}
