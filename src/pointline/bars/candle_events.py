"""Bars of candles: a candle belongs to the bar in which it opens, and bars end where candles end.

A candle is known at its end. What needs single trades is null: the deviation of prices and the realised volatility inside a bar, and,
where the candles do not have them, trade counts and taker volumes. The time of a candle's last trade is not known, so the age of a price
counts from the candle's end; it is too small by at most one candle. A candle without a trade has no price.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from pointline import schema
from pointline.bars.aggregate import nearest_float
from pointline.bars.amounts import Amounts, TradeRows
from pointline.bars.closer import closer_of
from pointline.bars.holes import Holes, joined_holes
from pointline.bars.rules import TimeBarConfig, check_bars
from pointline.bars.run import BarSlice
from pointline.bars.stretches import spine_frame
from pointline.clock import DAY_US, duration_text, time_text
from pointline.errors import AmountOverflowError, ConfigError
from pointline.lake.coverage import candle_length_us
from pointline.lake.window_coverage import no_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from decimal import Decimal

    from pointline.bars.amounts import Ints
    from pointline.bars.request import BarRequest
    from pointline.bars.rules import BarRule
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, PartitionFile

_DAYS_AT_ONCE = 31
_EVER_US, _NEVER_US = 0, 1 << 62
_MOST = 1 << 62
_FIRST_ROWS = 1_000
_ROUNDING = 1e-6  # relative, of a quote volume
_PRICES = ("open", "high", "low", "close")
_COLUMNS = ("start_us", *_PRICES, "volume", "quote_volume", "base_volume", "trade_count", "taker_buy_volume")


@dataclass(frozen=True)
class VenueCandles:
    """One instrument's candles for one computation.

    Attributes:
        instrument: registry row.
        kind: their table.
        files: its partitions by the 00:00 UTC stamp of their months.
    """

    instrument: Instrument
    kind: str
    files: Mapping[int, PartitionFile]


class CandleEvents:
    """The candles of a request; the methods are those of `pointline.bars.request.Events`.

    Args:
        request: what bars to build; its rule counts base or quote volume, or time.

    Raises:
        ConfigError: `events` is no table of candles, the rule or an option needs trades, or bars cannot end where candles end.
        NoDataError: one side has no candles in the window.
    """

    def __init__(self, request: BarRequest) -> None:
        self._request = request
        self.length_us = candle_length(request.events)
        _check_request(request, self.length_us)
        self._perp, self._spot = (
            _venue(request.lake, request.events, instrument, request.start_us, request.end_us)
            for instrument in (request.perp, request.spot)
        )

    @property
    def venues(self) -> tuple[VenueCandles, VenueCandles]:
        """Perp and spot, in the months of the window."""
        return self._perp, self._spot

    def parts(self) -> list[tuple[int, int]]:
        """Each day that the perp has candles of, or the whole window."""
        request = self._request
        parts = [(request.start_us, request.end_us)]
        if request.rule.anchor == "day":
            first_us, last_us = request.start_us - request.start_us % DAY_US, request.end_us + -request.end_us % DAY_US
            parts = [(day, day + DAY_US) for day in self._days(first_us, last_us)]
        check_bars(request.rule, *parts[0])
        return parts

    def days_before(self, us: int) -> list[int]:
        """00:00 UTC of the days before an instant that the perp has candles of, in time order."""
        return self._days(0, us)

    def blocks(self, parts: Sequence[tuple[int, int]]) -> Iterator[pl.DataFrame]:
        """The bars of stretches, some days of candles at a time."""
        for first in range(0, len(parts), _DAYS_AT_ONCE):
            group = parts[first : first + _DAYS_AT_ONCE]
            window = group[0][0], group[-1][1]
            perp, spot = (_read(self._request.lake, venue, *window) for venue in self.venues)
            bars = _bars(self._request.rule, perp, group)
            yield pl.concat(
                [spine_frame(bars, self._request.perp.symbol_id), _sums("perp", bars, perp), _sums("spot", bars, spot)], how="horizontal"
            )
            if self._request.told is not None:
                self._request.told(window[1])

    def of_day(self, day: int) -> Iterator[pl.DataFrame]:
        """The bars of one day in front of the window."""
        return self.blocks([(day, day + DAY_US)])

    def spot_bars(self, first_us: int) -> None:  # noqa: ARG002 - of trades
        """None: both sides share the spine."""
        return

    def holes(self, venue: int, first_us: int) -> Holes:
        """Where candles are missing, for `BarRequest.max_hole_us` or longer; the edges of the window do not cut a stretch."""
        request, own = self._request, self.venues[venue]
        starts = _starts(request.lake, own, *_around(request.lake, own, first_us, request.end_us)).to_numpy()
        ends = np.concatenate([[_EVER_US], starts + self.length_us])
        until = np.concatenate([starts, [_NEVER_US]])
        long = until - ends >= request.max_hole_us
        return joined_holes(list(zip(ends[long].tolist(), until[long].tolist(), strict=True)), request.max_hole_us - 1)

    def last_before(self, instrument: Instrument, us: int) -> tuple[float | None, int | None]:
        """Close and end of the last candle with a trade that ended by an instant."""
        request = self._request
        for file in reversed(request.lake.files(request.events, instrument.exchange, instrument.exchange_symbol, None, us + 1)):
            ended = pl.col("start_us") + self.length_us
            rows = file.scan(list(_COLUMNS)).filter((ended <= us) & _traded()).sort("start_us").tail(1)
            found = rows.select(pl.col("close").cast(pl.Float64), ended).collect()
            if found.height:
                return found.row(0)
        return None, None

    def _days(self, start_us: int, end_us: int) -> list[int]:
        starts = _starts(self._request.lake, self._perp, start_us, end_us)
        return (starts // DAY_US * DAY_US).unique().sort().to_list()


def candle_length(kind: str) -> int:
    """Length of the candles of a table of trade prices.

    Raises:
        ConfigError: there is no such table, or its candles have no fixed length.
    """
    length_us = None
    if str(kind).startswith("candles_"):
        with contextlib.suppress(KeyError):
            schema.table(kind)
            length_us = candle_length_us(kind)
    if length_us is None:
        raise ConfigError(
            "bars cannot be made of these events",
            where="events",
            value=kind,
            expected="trades, or candles of traded prices: candles_1m, candles_1h, …",
            hint="`pointline catalog` lists the tables of a lake",
        )
    return length_us


def daily_amounts(lake: Lake, instrument: Instrument, kind: str, start_us: int, end_us: int) -> pl.DataFrame:
    """What whole days of an instrument's candles traded.

    Returns:
        ``day`` (00:00 UTC), ``base`` and ``quote`` (floats, null where the candles do not say), of days of which no candle is missing.
    """
    rows = _read(lake, VenueCandles(instrument, kind, {}), start_us, end_us)
    day = pl.col("start_us") // DAY_US * DAY_US
    amounts = [pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name) for name in ("base", "quote")]
    daily = rows.frame.group_by(day=day).agg(pl.len(), *amounts).filter(pl.col("len") == DAY_US // candle_length(kind)).sort("day")
    scales = {"base": rows.base_decimals, "quote": rows.quote_decimals}
    return daily.select("day", *(pl.col(name).cast(pl.Float64) / 10**decimals for name, decimals in scales.items()))


def segment_amounts(
    lake: Lake, instrument: Instrument, kind: str, unit: str, segments: int, start_us: int, end_us: int
) -> dict[int, tuple[Fraction, ...]]:
    """What whole days of an instrument's candles traded, exactly, in equal parts of the day.

    Args:
        lake, instrument, kind: whose candles of which table.
        unit: ``"base"`` or ``"quote"``.
        segments: parts of a day, each a whole number of candles.
        start_us, end_us: 00:00 UTC.

    Returns:
        By 00:00 UTC of each day of which no candle is missing, one amount per segment.

    Raises:
        ConfigError: a segment is no whole number of candles, or candles do not have this volume.
    """
    length_us = candle_length(kind)
    if DAY_US // segments % length_us:
        raise ConfigError(
            "a segment of the day is no whole number of candles",
            where="segments",
            value=segments,
            expected=f"segments of a multiple of {duration_text(length_us)}, the length of {kind}",
        )
    rows = _read(lake, VenueCandles(instrument, kind, {}), start_us, end_us)
    if rows.frame[unit].null_count():
        raise no_volume(rows.frame.filter(pl.col(unit).is_null())["start_us"][0] + length_us, unit)
    decimals = rows.base_decimals if unit == "base" else rows.quote_decimals
    place = pl.col("start_us") % DAY_US // (DAY_US // segments)
    sums = rows.frame.group_by(pl.col("start_us") // DAY_US * DAY_US, place=place).agg(pl.len(), pl.col(unit).sum())
    found: dict[int, list[Fraction]] = {}
    candles: dict[int, int] = {}
    for day, at, count, amount in sums.iter_rows():
        found.setdefault(day, [Fraction(0)] * segments)[at] = Fraction(amount, 10**decimals)
        candles[day] = candles.get(day, 0) + count
    return {day: tuple(amounts) for day, amounts in sorted(found.items()) if candles[day] == DAY_US // length_us}


def no_volume(end_us: int, unit: str) -> ConfigError:
    """The error for a candle that does not have the volume that drives bars."""
    return ConfigError(
        "candles without this volume cannot drive bars",
        where=f"the candle that ends at {time_text(end_us)}",
        value=unit,
        hint="use time bars",
    )


def _check_request(request: BarRequest, length_us: int) -> None:
    rule, length = request.rule, duration_text(length_us)
    if rule.signed or rule.unit not in {"base", "quote", "time"}:
        raise ConfigError(
            "these bars count single trades",
            where="bars",
            value=rule.text,
            expected=f"volume, dollar or time bars of {request.events}, or events='trades'",
        )
    options = {"spot_bars": request.spot_rule, "base_bars": request.base_rule, "include_off_book": request.include_off_book or None}
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise ConfigError(f"{given[0]} needs trades", where="compare", value=request.events, expected=f"no {given[0]}, or events='trades'")
    if rule.anchor == "day" and DAY_US % length_us:
        raise ConfigError("a day is no whole number of these candles", value=request.events, expected="bars with anchor='start'")
    edges = [request.start_us] if rule.anchor == "start" else []
    if isinstance(rule, TimeBarConfig):
        edges.append(rule.interval_us)
    elif rule.unit == "time":
        edges = list(rule.closes(request.start_us, request.end_us))
    wrong = next((edge for edge in edges if edge % length_us), None)
    if wrong is not None:
        raise ConfigError(
            "bars cannot end inside a candle",
            where="bars",
            value=rule.text if isinstance(rule, TimeBarConfig) and wrong == rule.interval_us else time_text(wrong),
            expected=f"multiples of {length}, the length of {request.events}",
        )


def _venue(lake: Lake, kind: str, instrument: Instrument, start_us: int, end_us: int) -> VenueCandles:
    found = lake.files(kind, instrument.exchange, instrument.exchange_symbol, start_us, end_us + 1)
    venue = VenueCandles(instrument, kind, {file.start_us: file for file in found})
    if not found or _scan(lake, venue, start_us, end_us, ["ts_local_us", "start_us"]).head(1).collect().is_empty():
        raise no_data(lake, kind, instrument.exchange, instrument.exchange_symbol, start_us, end_us)
    return venue


def _scan(lake: Lake, venue: VenueCandles, start_us: int, end_us: int, columns: Sequence[str]) -> pl.LazyFrame:
    """Candles that open and end inside ``[start_us, end_us]``; a candle lies in the month in which it ends."""
    instrument = venue.instrument
    rows = lake.scan(venue.kind, instrument.exchange, instrument.exchange_symbol, start_us + 1, end_us + 1, columns)
    return rows.filter(pl.col("start_us") >= start_us)


def _starts(lake: Lake, venue: VenueCandles, start_us: int, end_us: int) -> pl.Series:
    """When the candles inside a stretch open, in order."""
    return _scan(lake, venue, start_us, end_us, ["ts_local_us", "start_us"]).select("start_us").collect()["start_us"].unique().sort()


def _around(lake: Lake, venue: VenueCandles, start_us: int, end_us: int) -> tuple[int, int]:
    """A stretch with the month of candles before and the one behind it."""
    names = venue.kind, venue.instrument.exchange, venue.instrument.exchange_symbol
    before, after = lake.files(*names, None, start_us + 1), lake.files(*names, end_us + 1)
    first = before[-2:][0].start_us if before else start_us
    last = after[:2][-1] if after else None
    return min(first, start_us) - 1, end_us if last is None else max(end_us, last.start_us + _DAYS_AT_ONCE * DAY_US)


def _traded() -> pl.Expr:
    """Whether a candle had a trade; one of which nothing says that it had none counts as traded."""
    had = [(pl.col(name) != 0).fill_null(value=True) for name in ("volume", "trade_count")]
    return pl.all_horizontal(*had, pl.col("close").is_not_null())


class _Candles(NamedTuple):
    """Candles of one instrument in time order.

    Attributes:
        frame: ``start_us``, prices (floats), ``traded``, ``trade_count``, and the integers ``base``, ``quote`` and ``buy`` (base), null
            where the candles do not say.
        base_decimals, quote_decimals: an integer counts ``10**-decimals``.
        length_us: of each.
    """

    frame: pl.DataFrame
    base_decimals: int
    quote_decimals: int
    length_us: int


def _read(lake: Lake, venue: VenueCandles, start_us: int, end_us: int) -> _Candles:
    rows = _scan(lake, venue, start_us, end_us, ["ts_local_us", *_COLUMNS]).sort("start_us").collect()
    instrument = venue.instrument
    inverse, size = instrument.contract_type == "inverse", instrument.size
    one = size / size
    base, buy, quote = (
        (("base_volume", one), None, ("volume", size)) if inverse else (("volume", size), ("taker_buy_volume", size), ("quote_volume", one))
    )
    amounts = {"base": _integers(rows, *base), "quote": _integers(rows, *quote)}
    amounts["buy"] = _integers(rows, *buy) if buy is not None else (pl.Series("buy", [None] * rows.height, dtype=pl.Int128), 0)
    decimals = max(amounts["base"][1], amounts["buy"][1])
    columns = [
        pl.select((amounts[name][0] * _whole(10 ** (decimals - amounts[name][1]))).alias(name)).to_series() for name in ("base", "buy")
    ]
    frame = rows.select("start_us", pl.col(_PRICES).cast(pl.Float64), "trade_count", _traded().alias("traded"))
    return _Candles(
        frame.with_columns(*columns, amounts["quote"][0].alias("quote")), decimals, amounts["quote"][1], candle_length(venue.kind)
    )


def _integers(rows: pl.DataFrame, column: str, size: Decimal) -> tuple[pl.Series, int]:
    """A column of amounts times a size as integers, and the fewest decimals that hold them all."""
    of_size = max(0, -int(size.normalize().as_tuple().exponent))
    factor = int(size.scaleb(of_size))
    places = schema.MAX_DECIMALS + of_size
    stored = rows.select(pl.col(column).to_physical() * _whole(factor)).to_series()
    decimals = 0
    for some in (stored.head(_FIRST_ROWS), stored):  # the first rows tell most of the time, and one look at all confirms it
        while decimals < places and pl.select((some % _whole(10 ** (places - decimals))).any()).item():
            decimals += 1
    return pl.select((stored // _whole(10 ** (places - decimals))).alias(column)).to_series(), decimals


def _whole(number: int) -> pl.Expr:
    return pl.lit(number, pl.Int128)


def _bars(rule: BarRule, driver: _Candles, parts: Sequence[tuple[int, int]]) -> BarSlice:
    """The windows of all stretches, one after the other."""
    slices = [_bars_of(rule.of_stretch(part[0]), driver, *part) for part in parts]
    ids, starts, ends, complete = (np.concatenate([getattr(one, name) for one in slices]) for name in ("ids", "starts", "ends", "complete"))
    return BarSlice(ids, starts, ends, complete, ())


def _bars_of(rule: BarRule, driver: _Candles, start_us: int, end_us: int) -> BarSlice:
    qty_decimals = max(driver.base_decimals, rule.decimals()[1])
    amounts = Amounts(max(0, driver.quote_decimals - qty_decimals), qty_decimals)
    closer = closer_of(rule, amounts, start_us, end_us)
    found = [closer.time_closes()]
    if rule.unit != "time":
        rows = driver.frame.filter(pl.col("start_us").is_between(start_us, end_us, closed="left"))
        found = [closer.feed(_as_rows(rows, driver, amounts, rule.unit)), closer.flush()]
    ends, ids = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    tail = not len(ends) or int(ends[-1]) < end_us
    if tail:
        open_id = closer.open_bar_id if not len(ids) else max(closer.open_bar_id, int(ids[-1]) + 1)
        ends, ids = np.append(ends, end_us), np.append(ids, open_id)
    complete = np.ones(len(ends), dtype=np.bool_)
    complete[-1] = not tail
    return BarSlice(ids, np.concatenate([[start_us], ends[:-1]]), ends, complete, ())


def _as_rows(rows: pl.DataFrame, driver: _Candles, amounts: Amounts, unit: str) -> TradeRows:
    """Each candle as one row at its last microsecond, so that a bar that it closes ends where it ends."""
    last_us = (rows["start_us"] + driver.length_us - 1).to_numpy()
    none = np.zeros(rows.height, dtype=np.int64)
    base = quote = none
    if unit == "quote":
        quote = _counted(rows["quote"], 10 ** (amounts.quote_decimals - driver.quote_decimals), last_us)
    else:
        base = _counted(rows["base"], 10 ** (amounts.qty_decimals - driver.base_decimals), last_us)
    return TradeRows(last_us, none + 1, base, none.astype(np.int8), quote if unit == "quote" else none[:0], "candles")


def _counted(amounts: pl.Series, factor: int, last_us: Ints) -> Ints:
    """Amounts that drive bars, as 64-bit integers."""
    if amounts.null_count():
        raise no_volume(int(last_us[amounts.is_null().arg_max() or 0]), amounts.name)
    scaled = pl.select(amounts * _whole(factor)).to_series()
    if scaled.len() and int(scaled.max()) >= _MOST:  # type: ignore[arg-type]
        raise AmountOverflowError("the volume of a candle does not fit 62 bits", where=amounts.name, value=int(scaled.max()))  # type: ignore[arg-type]
    return np.ascontiguousarray(scaled.cast(pl.Int64).to_numpy())


def _sums(prefix: str, bars: BarSlice, candles: _Candles) -> pl.DataFrame:
    """The aggregates of one venue's candles over bars, one row per bar."""
    starts = candles.frame["start_us"].to_numpy()
    places = np.searchsorted(bars.ends, starts, side="right")
    inside = (places < len(bars.ends)) & (bars.starts[np.minimum(places, len(bars.ends) - 1)] <= starts)
    rows = candles.frame.with_columns(bar=pl.Series(places, dtype=pl.UInt32)).filter(pl.Series(inside))
    traded = [pl.col(name).filter("traded") for name in _PRICES]
    amounts = ("base", "quote", "buy", "trade_count")
    summed = rows.group_by("bar", maintain_order=True).agg(
        *(getattr(price, how)() for price, how in zip(traded, ("first", "max", "min", "last"), strict=True)),
        *(pl.when(pl.col(name).null_count() == 0).then(pl.col(name).sum()).alias(name) for name in amounts),
        last_us=(pl.col("start_us") + candles.length_us).filter("traded").max(),
    )
    told = [name for name in amounts if candles.frame[name].null_count() < candles.frame.height]
    every = pl.DataFrame({"bar": np.arange(len(bars.ends), dtype=np.uint32)})
    nothing = [pl.lit(0, candles.frame.schema[name]).alias(name) for name in told]
    quiet = every.join(summed.select("bar"), on="bar", how="anti").with_columns(nothing)
    whole = every.join(pl.concat([summed, quiet], how="diagonal"), on="bar", how="left", maintain_order="left")
    return _columns(prefix, whole, candles)


def _columns(prefix: str, sums: pl.DataFrame, candles: _Candles) -> pl.DataFrame:
    """Sums as the columns that bars of trades have."""
    base, buy = (_floats(sums[name], candles.base_decimals) for name in ("base", "buy"))
    sell, quote = _floats(sums["base"] - sums["buy"], candles.base_decimals), _floats(sums["quote"], candles.quote_decimals)
    mean = pl.when(pl.col("low") == pl.col("high")).then("low").otherwise(quote / base)
    return sums.select(
        *(pl.col(name).alias(f"{prefix}_{name}") for name in _PRICES),
        pl.when((base > 0) & _is_near(mean)).then(mean.clip("low", "high")).alias(f"{prefix}_vwap"),
        base.alias(f"{prefix}_volume"),
        quote.alias(f"{prefix}_quote_volume"),
        pl.col("trade_count").cast(pl.Int64).alias(f"{prefix}_trade_count"),
        buy.alias(f"{prefix}_buy_volume"),
        sell.alias(f"{prefix}_sell_volume"),
        *(pl.lit(None, pl.Float64).alias(f"{prefix}_{name}") for name in ("price_std", "realized_vol")),
        pl.col("last_us").alias(f"{prefix}_last_us"),
    )


def _is_near(mean: pl.Expr) -> pl.Expr:
    """Whether a mean price lies inside the bar's prices but for rounding; elsewhere the quote volume contradicts them."""
    return (mean >= pl.col("low") * (1 - _ROUNDING)) & (mean <= pl.col("high") * (1 + _ROUNDING))


def _floats(values: pl.Series, decimals: int) -> pl.Series:
    """Integers as the nearest floats, null where they are null."""
    whole = values.fill_null(0)
    parts = pl.select(high=(whole // _whole(_MOST)).cast(pl.Int64), low=(whole % _whole(_MOST)).cast(pl.Int64))
    high, low = parts["high"].to_numpy(), parts["low"].to_numpy()
    numbers = pl.Series(values.name, nearest_float(low, decimals, high))
    return pl.select(pl.when(values.is_not_null()).then(numbers)).to_series()
