"""Bars with both venues' aggregates and as-of closes: the table that state and features are added to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import DAY_US, day_start, time_text
from pointline.errors import ConfigError, NoDataError
from pointline.research.aggregate import venue_frame
from pointline.research.amounts import BATCH_ROWS
from pointline.research.spines.builder import run_stretches, spine_frame, stretches, venue_of, whole_bars
from pointline.research.spines.coarsen import coarsen, multiple_of
from pointline.research.spines.run import Venue, run_spine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.instruments import Instrument
    from pointline.lake.store import Lake
    from pointline.research.cache import BarCache
    from pointline.research.spines.config import BarRule
    from pointline.research.spines.run import Run

_MAX_WARM_UP_DAYS = 400


@dataclass(frozen=True)
class BarRequest:
    """What bars to build.

    Attributes:
        lake: where the trades are.
        perp, spot: the instruments.
        start_us, end_us: the window.
        rule: when the perp's bars close.
        spot_rule: None puts both venues on the perp's bars; a rule gives the spot its own bars, joined as-of (dual spine).
        base_rule: finer bars of the same kind to derive the perp's bars from; None = count them from the trades.
        warm_up_bars: bars before the window that features look back on; as many as the lake holds are returned in front.
        threads: days counted side by side; None = one per core.
        cache: sums of earlier requests; None = compute everything.
    """

    lake: Lake
    perp: Instrument
    spot: Instrument
    start_us: int
    end_us: int
    rule: BarRule
    spot_rule: BarRule | None = None
    base_rule: BarRule | None = None
    warm_up_bars: int = 0
    threads: int | None = None
    cache: BarCache | None = None


@dataclass(frozen=True)
class Bars:
    """Bars and what is worth knowing about them.

    Attributes:
        frame: one row per whole bar, warm-up bars in front, sorted.
        perp_venue, spot_venue: the partitions of the window (without warm-up).
    """

    frame: pl.DataFrame
    perp_venue: Venue
    spot_venue: Venue


def build_bars(request: BarRequest) -> Bars:
    """Bars of the request with ``perp_*`` and ``spot_*`` aggregates, as-of closes and ages.

    Raises:
        NoDataError: one side has no trades in the window.
        ConfigError: no bar completes.
    """
    perp = venue_of(request.lake, request.perp, request.start_us, request.end_us)
    spot = venue_of(request.lake, request.spot, request.start_us, request.end_us)
    frame, first_us = _stretch(request, perp, spot, request.start_us, request.end_us)
    _require_complete(frame, request)
    if request.rule.anchor == "day" and request.warm_up_bars:
        frame, first_us = _warmed_up(request, frame, first_us)
    frame = _with_closes(frame, request, first_us)
    before = frame.filter(pl.col("bucket_start") < request.start_us).tail(request.warm_up_bars)
    inside = whole_bars(frame, request.start_us, request.end_us)
    return Bars(pl.concat([before, inside]), perp, spot)


def _stretch(request: BarRequest, perp: Venue, spot: Venue, start_us: int, end_us: int) -> tuple[pl.DataFrame, int]:
    """Bars of all stretches of a span, and where the first of them starts."""
    parts = stretches(request.rule, [perp], start_us, end_us)
    venues = (perp, spot) if request.spot_rule is None else (perp,)
    runs = _runs(request, perp, venues, parts)
    return pl.concat([_venue_bars(run, ("perp", "spot"), request.perp.symbol_id) for run in runs]), parts[0][0]


def _runs(request: BarRequest, perp: Venue, venues: Sequence[Venue], parts: Sequence[tuple[int, int]]) -> list[Run]:
    """The runs of the request's rule, derived from finer ones where a base rule is given."""
    if request.base_rule is None:
        return run_stretches(request.rule, perp, venues, parts, threads=request.threads, cache=request.cache)
    factor = multiple_of(request.rule, request.base_rule)
    fine = run_stretches(request.base_rule, perp, venues, parts, threads=request.threads, cache=request.cache)
    return [coarsen(run, factor) or run_spine(request.rule, perp, venues, *part, BATCH_ROWS) for run, part in zip(fine, parts, strict=True)]


def _venue_bars(run: Run, prefixes: tuple[str, ...], symbol_id: int) -> pl.DataFrame:
    frames = [venue_frame(prefix, sums, amounts) for prefix, sums, amounts in zip(prefixes, run.sums, run.amounts, strict=False)]
    return pl.concat([spine_frame(run, symbol_id), *frames], how="horizontal")


def _with_spot_spine(perp: pl.DataFrame, request: BarRequest, rule: BarRule, first_us: int) -> pl.DataFrame:
    """Each perp bar with the newest spot bar that was known at its end.

    Counting starts with the last day of spot trades before the first perp bar, so that the bars known at midnight do not depend on
    the window that was asked for.
    """
    lake, exchange, symbol = request.lake, request.spot.exchange, request.spot.exchange_symbol
    files = {f.start_us: f for f in lake.files("trades", exchange, symbol, None, day_start(request.end_us - 1) + DAY_US)}
    start_us = request.start_us if rule.anchor == "start" else max((day for day in files if day < first_us), default=first_us)
    venue = Venue(request.spot, {day: file for day, file in files.items() if day >= day_start(start_us)})
    runs = run_stretches(
        rule, venue, (venue,), stretches(rule, [venue], start_us, request.end_us), threads=request.threads, cache=request.cache
    )
    spot = _carried(pl.concat([_venue_bars(run, ("spot",), request.spot.symbol_id) for run in runs]), "spot", request)
    known = spot.select(pl.col("bucket_start", "bucket_end").name.prefix("spot_"), pl.col("^spot_.*$"))
    return perp.join_asof(
        known, left_on="bucket_end", right_on="spot_bucket_end", strategy="backward", coalesce=False, check_sortedness=False
    ).with_columns(pl.col("spot_trade_count", "spot_volume", "spot_quote_volume", "spot_buy_volume", "spot_sell_volume").fill_null(0))


def _require_complete(frame: pl.DataFrame, request: BarRequest) -> None:
    """At least one bar closes by its rule, and at least one lies inside the window."""
    if not frame["complete"].any():
        daily = frame.group_by(pl.col("bucket_start") // DAY_US).agg(pl.col("perp_volume", "perp_quote_volume", "perp_trade_count").sum())
        base, quote, count = (max(daily[name].to_list()) for name in ("perp_volume", "perp_quote_volume", "perp_trade_count"))
        raise ConfigError(
            "no bar completes in this window: the threshold is larger than what was traded in any stretch that is counted",
            value=str(request.rule),
            expected=f"less than the day's perp volume, at most {base:g} base units, {quote:g} quote units or {count:,} trades here",
            hint="choose a smaller threshold, or let --threshold auto choose one",
        )
    if whole_bars(frame, request.start_us, request.end_us).is_empty():
        raise NoDataError(
            "no whole bar lies inside the window",
            value=f"{time_text(request.start_us)} to {time_text(request.end_us)}",
            expected="a window longer than a bar",
            hint="widen the window or choose a smaller threshold",
        )


def _warmed_up(request: BarRequest, frame: pl.DataFrame, first_us: int) -> tuple[pl.DataFrame, int]:
    """The frame with whole days in front, until enough bars precede the window or the lake has no more."""
    lake, start = request.lake, request.start_us
    days = [f.start_us for f in lake.files("trades", request.perp.exchange, request.perp.exchange_symbol, None, first_us)]
    for day in reversed(days[-_MAX_WARM_UP_DAYS:]):
        if frame.filter(pl.col("bucket_start") < start).height >= request.warm_up_bars:
            break
        perp = venue_of(lake, request.perp, day, day + DAY_US)
        spot_files = {f.start_us: f for f in lake.files("trades", request.spot.exchange, request.spot.exchange_symbol, day, day + DAY_US)}
        earlier, first_us = _stretch(request, perp, Venue(request.spot, spot_files), day, day + DAY_US)
        frame = pl.concat([earlier, frame])
    return frame, first_us


def _with_closes(frame: pl.DataFrame, request: BarRequest, first_us: int) -> pl.DataFrame:
    """As-of closes of both venues and their ages at ``bucket_end``."""
    frame = _carried(frame, "perp", request)
    rule = request.spot_rule
    frame = _carried(frame, "spot", request) if rule is None else _with_spot_spine(frame, request, rule, first_us)
    ages = [(pl.col("bucket_end") - pl.col(f"{prefix}_last_us")).alias(f"{prefix}_age_us") for prefix in ("perp", "spot")]
    return frame.with_columns(ages).drop("perp_last_us", "spot_last_us")


def _carried(frame: pl.DataFrame, prefix: str, request: BarRequest) -> pl.DataFrame:
    """A quiet bar carries the last price before its end, also one from before the first bar or from a day without windows."""
    instrument = request.perp if prefix == "perp" else request.spot
    close, time = f"{prefix}_close", f"{prefix}_last_us"
    behind_gap = (pl.col("bucket_start") != pl.col("bucket_end").shift(1)).fill_null(value=True)
    openings = frame.filter(behind_gap & pl.col(close).is_null())["bucket_start"].to_list()
    found = [(start, *last_trade_before(request.lake, instrument, start)) for start in openings]
    earlier = pl.DataFrame(found, schema={"bucket_start": pl.Int64, "_price": pl.Float64, "_time": pl.Int64}, orient="row")
    return (
        frame.join(earlier, on="bucket_start", how="left", maintain_order="left")
        .with_columns(pl.coalesce(close, "_price").forward_fill().alias(close), pl.coalesce(time, "_time").forward_fill().alias(time))
        .drop("_price", "_time")
    )


def last_trade_before(lake: Lake, instrument: Instrument, us: int) -> tuple[float | None, int | None]:
    """Price and time of the last trade strictly before `us`; (None, None) where the lake has none."""
    files = lake.files("trades", instrument.exchange, instrument.exchange_symbol, None, us)
    for file in reversed(files):
        totals = file.totals
        if totals["last_local_us"] < us:
            return totals["last_price_int"] / 10.0 ** totals["price_decimals"], totals["last_local_us"]
        rows = (
            pl.scan_parquet(file.path, hive_partitioning=False)
            .filter(pl.col("ts_local_us") < us)
            .select("ts_local_us", "price_int")
            .tail(1)
            .collect()
        )
        if rows.height:
            return rows["price_int"][0] / 10.0 ** totals["price_decimals"], rows["ts_local_us"][0]
    return None, None


def missing_days(venue: Venue, start_us: int, end_us: int) -> list[int]:
    """Days of the window for which a venue has no trades."""
    return [day for day in range(day_start(start_us), end_us, DAY_US) if day not in venue.files]


def spine_of(frame: pl.DataFrame) -> pl.DataFrame:
    """The spine columns of bars."""
    return frame.select("symbol_id", "bar_id", "bucket_start", "bucket_end", "ts_local_us", "complete")
