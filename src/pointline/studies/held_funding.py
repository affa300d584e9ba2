"""What of a lake decides the funding of a held position: the settlements, and the mark price at each of them."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import schema
from pointline.clock import DAY_US, HOUR_US, DurationLike, to_duration_us
from pointline.errors import ConfigError, VenueRuleError
from pointline.lake.coverage import candle_length_us
from pointline.lake.rows import decoded
from pointline.lake.window_coverage import no_data
from pointline.trading.funding_flows import MARKS_SCHEMA, MAX_MARK_AGE_US
from pointline.venues.funding import funding_rules

if TYPE_CHECKING:
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, PartitionFile

_LOOK_AROUND_US = 8 * DAY_US
_TICKER, _TRADES = schema.DERIVATIVE_TICKER.name, schema.TRADES.name
_MARK_LOOK_BACK_US = DAY_US
_RECEIPT_US = HOUR_US  # how much later than its own time a row may have been received
PERP_PRICE = "perp price: "
"""What `mark_source` begins with where the perpetual's own price stands in for its mark price."""
_FOUND_SCHEMA = {**MARKS_SCHEMA, "funding_us": pl.Int64(), "rank": pl.Int64()}


def held_funding(
    lake: Lake,
    perp: Instrument,
    start_us: int,
    end_us: int,
    *,
    max_mark_age_us: DurationLike = MAX_MARK_AGE_US,
    perp_price_as_mark: bool = False,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The settlements of a perpetual and the mark prices at them, as `pointline.trading.funding_flows.funding_cash_flows` takes them.

    The last mark price at or before a settlement counts, whichever table it is from: the running ticker, or the close of a mark candle
    of any length at the candle's end. Of two of one time the ticker's counts, then the shorter candle's. Times are the exchange's own,
    because the exchange settles by them.

    Args:
        lake: where the rows are.
        perp: a perpetual.
        start_us, end_us: when positions are held.
        max_mark_age_us: how old a mark price may be, before the perpetual's own price stands in for it where that is wanted.
        perp_price_as_mark: let the last trade or trade candle of the perpetual stand in where there is no mark price. ``mark_source`` then
            begins with ``"perp price"``.

    Returns:
        The settlements in ``(start_us, end_us]`` with the one before and the one after them, if they are not more than eight days away;
        and a mark for each of those inside that has one within a day: ``ts_us``, ``mark_price``, ``mark_source`` (the table).

    Raises:
        ConfigError: it is no perpetual, its venue accrues funding continuously and has no settlements, or the size of an inverse contract
            changed.
        NoDataError: the lake has no settlements near the window; the error has the coverage.

    Examples:
        >>> import pointline
        >>> lake = pointline.open_lake("out/demo/lake")
        >>> start_us, end_us = 1_714_521_600_000_000, 1_714_608_000_000_000
        >>> perp = lake.registry().find("binance-futures", "BTCUSDT", start_us)
        >>> settlements, marks = held_funding(lake, perp, start_us, end_us)
        >>> settlements.height, marks["mark_source"].to_list()
        (5, ['mark_candles_1m', 'derivative_ticker', 'mark_candles_1m'])
    """
    limit_us = to_duration_us(max_mark_age_us, name="max_mark_age_us", least_us=0)
    _check_perp(lake, perp, start_us, end_us)
    settlements = _settlements(lake, perp, start_us, end_us)
    stamps = settlements.filter(_inside(start_us, end_us))["funding_us"].unique().sort()
    marks = _last_of_all(lake, perp, stamps, _mark_tables(lake, perp))
    if perp_price_as_mark:
        young = marks.filter(pl.col("funding_us") - pl.col("ts_us") <= limit_us)
        stand_ins = _last_of_all(lake, perp, stamps, _price_tables(lake, perp), prefix=PERP_PRICE)
        stand_ins = stand_ins.join(young, on="funding_us", how="anti")
        marks = pl.concat([stand_ins, marks.join(stand_ins, on="funding_us", how="anti")]).sort("funding_us")
    return settlements, marks.select(list(MARKS_SCHEMA)).unique(maintain_order=True)


def _check_perp(lake: Lake, perp: Instrument, start_us: int, end_us: int) -> None:
    """Raises where the payments of a contract are none, accrue, or cannot be worked out with one contract size."""
    if perp.asset_type != "perpetual":
        raise ConfigError(f"{perp.name} pays no funding", value=perp.asset_type, expected="a perpetual")
    with contextlib.suppress(VenueRuleError):  # nothing is known of the venue then
        rules = funding_rules(perp.exchange, start_us, end_us, base_asset=perp.base_asset, quote_asset=perp.quote_asset, known=lake.venues)
        if any(rule.kind == "deribit" for rule in rules):
            raise ConfigError(
                f"funding of {perp.name} accrues all the time, there are no settlements to charge",
                value=perp.exchange,
                expected="a venue that settles funding at fixed times",
            )
    if perp.contract_type == "inverse":
        sizes = (
            lake.registry().versions(perp.exchange, perp.exchange_symbol, start_us, end_us)["contract_size"].drop_nulls().unique().sort()
        )
        if sizes.len() > 1:
            raise ConfigError(
                f"the contract size of {perp.name} changed inside the window", value=sizes.to_list(), expected="a window with one size"
            )


def _settlements(lake: Lake, perp: Instrument, start_us: int, end_us: int) -> pl.DataFrame:
    names = (schema.FUNDING.name, perp.exchange, perp.exchange_symbol)
    rows = lake.scan(*names, start_us - _LOOK_AROUND_US, end_us + _LOOK_AROUND_US).collect().sort("funding_us", maintain_order=True)
    if rows.is_empty():
        raise no_data(lake, *names, start_us, end_us)
    stamps = rows["funding_us"]
    first_us, last_us = stamps.filter(stamps <= start_us).max(), stamps.filter(stamps > end_us).min()
    after = pl.lit(value=True) if first_us is None else pl.col("funding_us") >= first_us
    before = pl.lit(value=True) if last_us is None else pl.col("funding_us") <= last_us
    return rows.filter(after & before)


def _inside(start_us: int, end_us: int) -> pl.Expr:
    return (pl.col("funding_us") > start_us) & (pl.col("funding_us") <= end_us)


def _mark_tables(lake: Lake, perp: Instrument) -> list[str]:
    """The tables that tell a mark price, the one that counts first at one time in front."""
    return [_TICKER, *_candle_tables(lake, perp, "mark_candles_")]


def _price_tables(lake: Lake, perp: Instrument) -> list[str]:
    return [_TRADES, *_candle_tables(lake, perp, "candles_")]


def _candle_tables(lake: Lake, perp: Instrument, prefix: str) -> list[str]:
    kinds = [kind for kind in lake.kinds() if re.fullmatch(rf"{prefix}\d+\w+", kind)]
    kinds = [kind for kind in kinds if lake.files(kind, perp.exchange, perp.exchange_symbol)]
    return sorted(kinds, key=lambda kind: candle_length_us(kind) or 31 * DAY_US)


def _last_of_all(lake: Lake, perp: Instrument, stamps: pl.Series, kinds: list[str], prefix: str = "") -> pl.DataFrame:
    """The last price at or before each stamp in any of the tables: one row for each stamp that has one."""
    found = [
        _last_of(file, kind, stamps).with_columns(mark_source=pl.lit(prefix + kind), rank=pl.lit(rank, dtype=pl.Int64))
        for rank, kind in enumerate(kinds)
        for file in lake.files(kind, perp.exchange, perp.exchange_symbol)
    ]
    rows = pl.concat([pl.DataFrame(schema=_FOUND_SCHEMA), *(frame.select(list(_FOUND_SCHEMA)) for frame in found)])
    newest = rows.sort("funding_us", "ts_us", "rank", descending=[False, True, False], maintain_order=True)
    return newest.unique("funding_us", keep="first", maintain_order=True).drop("rank")


def _last_of(file: PartitionFile, kind: str, stamps: pl.Series) -> pl.DataFrame:
    """The last price of a file at or before each stamp that its rows can be near."""
    span_us = 31 * DAY_US if schema.table(kind).monthly else DAY_US
    wanted = stamps.filter((stamps >= file.start_us - _RECEIPT_US) & (stamps < file.start_us + span_us + _MARK_LOOK_BACK_US))
    if wanted.is_empty():
        return pl.DataFrame(schema=_FOUND_SCHEMA)
    rows = _prices(file, kind).drop_nulls().filter(pl.col("mark_price") > 0).collect().sort("ts_us", maintain_order=True)
    places = rows["ts_us"].search_sorted(wanted, side="right").to_numpy().astype(np.int64) - 1
    told = rows[places[places >= 0]].with_columns(funding_us=wanted.filter(pl.Series(places >= 0)))
    return told.filter(pl.col("funding_us") - pl.col("ts_us") <= _MARK_LOOK_BACK_US)


def _prices(file: PartitionFile, kind: str) -> pl.LazyFrame:
    """``ts_us``, the exchange's own time at which a price stood, and the price."""
    time = pl.col("ts_event_us").alias("ts_us")
    if kind == _TICKER:
        return file.scan(["ts_event_us", "mark_price"]).select(time, "mark_price")
    if kind == _TRADES:
        rows = file.scan(["ts_event_us", "price_int", "price_decimals", "off_book"]).filter(~pl.col("off_book").fill_null(value=False))
        return rows.select(time, decoded("price_int", "price").alias("mark_price"))
    rows = file.scan(["ts_event_us", "close", "trade_count"])
    traded = pl.col("trade_count").fill_null(1) > 0
    rows = rows if kind.startswith("mark") else rows.filter(traded)
    return rows.select(time, pl.col("close").cast(pl.Float64).alias("mark_price"))
