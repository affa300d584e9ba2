"""A simulated market as the files its exchange publishes: daily and monthly archives, recorded streams, instrument lists.

Files are made deterministic: zip members carry the fixed date 1980-01-01, gzip headers no time. The bytes depend on the
versions of numpy, polars and zlib only.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, date_text, day_start, to_us
from pointline.errors import ConfigError
from pointline.simulate.config import MICROSECOND_SPOT_FROM_US
from pointline.simulate.day import simulate_market
from pointline.simulate.process import Purpose, stream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pointline.simulate.config import Increment, MarketConfig, SimulatedVenue, VenueName
    from pointline.simulate.day import SimulatedDay

DATASETS = ("trades", "klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines", "fundingRate", "metrics", "recorded")

UM_TRADES_HEADER_FROM_US = to_us("2022-08-11")
UM_KLINES_HEADER_FROM_US = to_us("2022-05-01")
TRADES_HEADER = "id,price,qty,quote_qty,time,is_buyer_maker\n"
KLINES_HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore\n"
FUNDING_HEADER = "calc_time,funding_interval_hours,last_funding_rate\n"
METRICS_HEADER = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
)

_SPOT_DECIMALS = 8
_UM_PRICE_DECIMALS = 2
_CHUNK_ROWS = 250_000
_LARGE_ROWS = 20_000_000  # more text than a zip member without 64-bit sizes can hold


def write_archives(config: MarketConfig, folder: Path, *, datasets: Sequence[str] = DATASETS) -> list[Path]:
    """Write the market as the exchange's archive publishes it, each zip with its ``.CHECKSUM``.

    Args:
        config: the market.
        folder: root of the tree, created where needed; archives go under ``data/``, recorded streams under ``recorded/``.
        datasets: any of `DATASETS`. ``"trades"`` and ``"klines"`` are written for both venues, ``"recorded"`` is the perpetual's
            mark price stream. ``"fundingRate"`` is monthly and holds the settlements of the simulated days.

    Returns:
        The archives (without the checksum files) in the order written.

    Raises:
        ConfigError: a dataset is not known.

    Examples:
        >>> from pathlib import Path
        >>> from pointline.simulate import MarketConfig, write_archives
        >>> files = write_archives(MarketConfig(perp_trades_per_day=1_000), Path("archives"), datasets=("trades",))
        >>> [file.name for file in files]
        ['BTCUSDT-trades-2024-05-01.zip', 'BTCUSDT-trades-2024-05-01.zip']
    """
    for name in datasets:
        if name not in DATASETS:
            raise ConfigError("there is no such simulated dataset", where="datasets", value=name, expected=", ".join(DATASETS))
    written: list[Path] = []
    funding: dict[str, list[pl.DataFrame]] = {}
    for day_index, day in enumerate(simulate_market(config)):
        date = date_text(day.day_us)
        written.extend(_write_day(config, folder, day, datasets))
        if "recorded" in datasets:
            written.append(_write_recorded(config, folder, day, day_index))
        funding.setdefault(date[:7], []).append(day.funding)
    if "fundingRate" in datasets:
        for month, frames in funding.items():
            path = folder / f"data/futures/um/monthly/fundingRate/{config.perp_symbol}/{config.perp_symbol}-fundingRate-{month}.zip"
            written.append(_write_zip(path, [FUNDING_HEADER.encode(), _csv(_funding_rows(pl.concat(frames)))]))
    return written


def _write_day(config: MarketConfig, folder: Path, day: SimulatedDay, datasets: Sequence[str]) -> Iterator[Path]:
    date = date_text(day.day_us)
    daily = {name: folder / "data" / market / "daily" for name, market in (("perp", "futures/um"), ("spot", "spot"))}
    for name, trades in _both(day):
        venue = config.venue(name)
        if "trades" in datasets:
            path = daily[name] / "trades" / venue.symbol / f"{venue.symbol}-trades-{date}.zip"
            yield _write_zip(path, _trade_text(venue, trades, day.day_us), large=trades.height > _LARGE_ROWS)
        if "klines" in datasets:
            rows = _kline_rows(venue, trades, _microseconds(name, day.day_us))
            yield _write_klines(daily[name] / "klines", venue.symbol, date, rows, header=name == "perp" and _um_header(day))
    minutes = {
        "markPriceKlines": day.mark_price_1m,
        "indexPriceKlines": day.index_price_1m,
        "premiumIndexKlines": day.premium_index_1m,
    }
    for dataset, frame in minutes.items():
        if dataset in datasets:
            yield _write_klines(daily["perp"] / dataset, config.perp_symbol, date, _state_rows(frame), header=_um_header(day))
    if "metrics" in datasets:
        path = daily["perp"] / "metrics" / config.perp_symbol / f"{config.perp_symbol}-metrics-{date}.zip"
        yield _write_zip(path, [METRICS_HEADER.encode(), _csv(_metrics_rows(config.perp_symbol, day.metrics))])


def _both(day: SimulatedDay) -> tuple[tuple[VenueName, pl.DataFrame], ...]:
    return ("perp", day.perp), ("spot", day.spot)


def _um_header(day: SimulatedDay) -> bool:
    return day.day_us >= UM_KLINES_HEADER_FROM_US


def _microseconds(name: VenueName, day_us: int) -> bool:
    """Whether the venue's archive of that day counts time in microseconds."""
    return name == "spot" and day_us >= MICROSECOND_SPOT_FROM_US


def _write_zip(path: Path, text: Iterable[bytes], *, large: bool = False) -> Path:
    """One CSV of the path's name in a zip, and the checksum file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open(f"{path.stem}.csv", "w", force_zip64=large) as member,  # opened by its name: dated 1980-01-01
    ):
        for part in text:
            member.write(part)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}", encoding="ascii")
    return path


def _write_klines(folder: Path, symbol: str, date: str, rows: pl.DataFrame, *, header: bool) -> Path:
    path = folder / symbol / "1m" / f"{symbol}-1m-{date}.zip"
    return _write_zip(path, [KLINES_HEADER.encode() if header else b"", _csv(rows)])


def _csv(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.write_csv(buffer, include_header=False, batch_size=65_536)
    return buffer.getvalue()


def _decimal(units: pl.Expr, decimals: int) -> pl.Expr:
    """A whole number of ``10 ** -decimals`` as an exact decimal, printed with all its decimals."""
    step = pl.lit(Decimal(1).scaleb(-decimals), dtype=pl.Decimal(38, decimals))
    exact: pl.Expr = units.cast(pl.Decimal(38, 0)) * step
    return exact


def _rounded(column: str, decimals: int) -> pl.Expr:
    """A float column as a decimal of that many decimals."""
    return _decimal((pl.col(column) * 10**decimals).round().cast(pl.Int64), decimals).alias(column)


def _units(column: str, increment: Increment) -> pl.Expr:
    """An on-step float column as a whole number of ``10 ** -decimals``."""
    units: pl.Expr = (pl.col(column) * 10**increment.decimals).round().cast(pl.Int64)
    return units


def _printed_decimals(venue: SimulatedVenue) -> tuple[int, int, int]:
    """How many decimals the archive prints for price, quantity and quote quantity."""
    if venue.name == "spot":
        return _SPOT_DECIMALS, _SPOT_DECIMALS, _SPOT_DECIMALS
    price = max(_UM_PRICE_DECIMALS, venue.price.decimals)
    return price, venue.qty.decimals, price + venue.qty.decimals


def _printed(units: pl.Expr, decimals: int, printed: int) -> pl.Expr:
    """A whole number of ``10 ** -decimals`` with `printed` decimals; more are cut off as the exchange does."""
    if printed >= decimals:
        return _decimal(units * 10 ** (printed - decimals), printed)
    return _decimal(units // 10 ** (decimals - printed), printed)


def _trade_text(venue: SimulatedVenue, trades: pl.DataFrame, day_us: int) -> Iterator[bytes]:
    if venue.name == "perp" and day_us >= UM_TRADES_HEADER_FROM_US:
        yield TRADES_HEADER.encode()
    price, qty = _units("price", venue.price), _units("qty", venue.qty)
    price_decimals, qty_decimals, quote_decimals = _printed_decimals(venue)
    time = pl.col("ts_event_us") if _microseconds(venue.name, day_us) else pl.col("ts_event_us") // 1_000
    columns = [
        pl.col("trade_id"),
        _printed(price, venue.price.decimals, price_decimals).alias("price"),
        _printed(qty, venue.qty.decimals, qty_decimals).alias("qty"),
        _printed(price * qty, venue.price.decimals + venue.qty.decimals, quote_decimals).alias("quote_qty"),
        time.alias("time"),
    ]
    if venue.name == "perp":
        columns.append(pl.col("side"))
    else:
        columns += [
            pl.when("side").then(pl.lit("True")).otherwise(pl.lit("False")).alias("is_buyer_maker"),
            pl.lit("True").alias("is_best_match"),
        ]
    for chunk in trades.iter_slices(_CHUNK_ROWS):
        yield _csv(chunk.select(columns))


def _kline_rows(venue: SimulatedVenue, trades: pl.DataFrame, microseconds: bool) -> pl.DataFrame:  # noqa: FBT001
    """One-minute candles of the trades, off-book prints left out.

    A minute without a trade repeats the last close with volume zero; minutes before the day's first trade are left out.
    """
    price_decimals, qty_decimals, quote_decimals = _printed_decimals(venue)
    candles = _candles(venue, trades)
    amounts = {"volume": 0, "quote_volume": 0, "count": 0, "taker_buy_volume": 0, "taker_buy_quote_volume": 0}
    full = _every_minute(candles).with_columns(*(pl.col(name).fill_null(value) for name, value in amounts.items()))
    full = full.with_columns(pl.col("close").forward_fill())
    full = full.with_columns(*(pl.col(name).fill_null(pl.col("close")) for name in ("open", "high", "low")))
    unit = 1 if microseconds else 1_000
    both = venue.price.decimals + venue.qty.decimals
    return full.select(
        (pl.col("start_us") // unit).alias("open_time"),
        *(_printed(pl.col(name), venue.price.decimals, price_decimals).alias(name) for name in ("open", "high", "low", "close")),
        _printed(pl.col("volume"), venue.qty.decimals, qty_decimals).alias("volume"),
        ((pl.col("start_us") + MINUTE_US) // unit - 1).alias("close_time"),
        _printed(pl.col("quote_volume"), both, quote_decimals).alias("quote_volume"),
        "count",
        _printed(pl.col("taker_buy_volume"), venue.qty.decimals, qty_decimals).alias("taker_buy_volume"),
        _printed(pl.col("taker_buy_quote_volume"), both, quote_decimals).alias("taker_buy_quote_volume"),
        pl.lit(0).alias("ignore"),
    )


def _candles(venue: SimulatedVenue, trades: pl.DataFrame) -> pl.DataFrame:
    """Candles of the minutes that have trades, amounts in units of the increments' decimals; made hour by hour to save memory."""
    time_us = trades["ts_event_us"].to_numpy()
    hours = np.searchsorted(time_us, np.unique(time_us // HOUR_US) * HOUR_US)
    bought = ~pl.col("side")
    parts = [
        trades.slice(first, last - first)
        .filter(~pl.col("off_book"))
        .select(
            (pl.col("ts_event_us") // MINUTE_US * MINUTE_US).alias("start_us"),
            _units("price", venue.price).alias("price"),
            _units("qty", venue.qty).alias("qty"),
            (_units("price", venue.price) * _units("qty", venue.qty)).alias("quote"),
            "side",
        )
        .group_by("start_us", maintain_order=True)
        .agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("qty").sum().alias("volume"),
            pl.col("quote").sum().alias("quote_volume"),
            pl.len().cast(pl.Int64).alias("count"),
            pl.col("qty").filter(bought).sum().alias("taker_buy_volume"),
            pl.col("quote").filter(bought).sum().alias("taker_buy_quote_volume"),
        )
        for first, last in pairwise([*hours.tolist(), trades.height] if trades.height else [0, 0])
    ]
    return pl.concat(parts)


def _every_minute(candles: pl.DataFrame) -> pl.DataFrame:
    """The candles with a row for every minute from the first one to the end of its day; the rows added are null."""
    if candles.is_empty():
        return candles
    first = int(candles["start_us"][0])
    end = day_start(first) + DAY_US
    minutes = pl.DataFrame({"start_us": np.arange(first, end, MINUTE_US)})
    return minutes.join(candles, on="start_us", how="left", maintain_order="left")


def _state_rows(minutes: pl.DataFrame) -> pl.DataFrame:
    """Candles of mark, index or premium: prices only, every amount zero."""
    zero = [pl.lit(0).alias(name) for name in ("taker_buy_volume", "taker_buy_quote_volume", "ignore")]
    return minutes.select(
        (pl.col("start_us") // 1_000).alias("open_time"),
        *(_rounded(name, 8) for name in ("open", "high", "low", "close")),
        pl.lit(0).alias("volume"),
        ((pl.col("start_us") + MINUTE_US) // 1_000 - 1).alias("close_time"),
        pl.lit(0).alias("quote_volume"),
        "count",
        *zero,
    )


def _funding_rows(funding: pl.DataFrame) -> pl.DataFrame:
    return funding.select(pl.col("ts_event_us") // 1_000, pl.col("interval_hours").cast(pl.Int64), _rounded("funding_rate", 8))


def _metrics_rows(symbol: str, metrics: pl.DataFrame) -> pl.DataFrame:
    names = (
        "open_interest",
        "open_interest_value",
        "top_trader_account_ratio",
        "top_trader_position_ratio",
        "account_ratio",
        "taker_volume_ratio",
    )
    return metrics.select(
        pl.from_epoch("ts_event_us", time_unit="us").dt.strftime("%Y-%m-%d %H:%M:%S"),
        pl.lit(symbol).alias("symbol"),
        *(_rounded(name, 8) for name in names),
    )


def _write_recorded(config: MarketConfig, folder: Path, day: SimulatedDay, day_index: int) -> Path:
    """The mark price stream as a recorder stores it: receipt time in microseconds, a space, the message."""
    symbol = config.perp_symbol
    path = folder / "recorded" / f"binance_usdm_{symbol.lower()}_{date_text(day.day_us).replace('-', '')}.dat.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    random = stream(config, Purpose.STREAM_JITTER, day_index, 1)
    latency_us = np.minimum(random.lognormal(np.log(45_000), 0.3, day.mark.height), 900_000).astype(np.int64)
    lines = day.mark.select(
        pl.concat_str(
            pl.col("ts_event_us") + pl.Series(latency_us),
            pl.lit(f' {{"stream":"{symbol.lower()}@markPrice@1s","data":{{"e":"markPriceUpdate","E":'),
            pl.col("ts_event_us") // 1_000,
            pl.lit(f',"s":"{symbol}","p":"'),
            _rounded("mark_price", 8).cast(pl.String),
            pl.lit('","P":"'),
            _rounded("index_price", 8).cast(pl.String),
            pl.lit('","i":"'),
            _rounded("index_price", 8).cast(pl.String),
            pl.lit('","r":"'),
            _rounded("funding_rate", 8).cast(pl.String),
            pl.lit('","T":'),
            pl.col("next_funding_us") // 1_000,
            pl.lit("}}"),
        ).alias("line")
    )["line"]
    path.write_bytes(gzip.compress(("\n".join(lines.to_list()) + "\n").encode(), compresslevel=6, mtime=0))
    return path


def write_exchange_info(config: MarketConfig, folder: Path) -> list[Path]:
    """Write the two venues' instrument lists in the exchange's own form, stamped with the market's start.

    Returns:
        ``exchangeInfo-spot.json`` and ``exchangeInfo-usdm.json`` in `folder`.

    Examples:
        >>> from pathlib import Path
        >>> from pointline.simulate import MarketConfig, write_exchange_info
        >>> [file.name for file in write_exchange_info(MarketConfig(), Path("archives"))]
        ['exchangeInfo-spot.json', 'exchangeInfo-usdm.json']
    """
    folder.mkdir(parents=True, exist_ok=True)
    server_time = config.start_us // 1_000
    head: dict[str, object] = {"timezone": "UTC", "serverTime": server_time}
    spot, perp = config.venue("spot"), config.venue("perp")
    spot_symbol = {
        "symbol": spot.symbol,
        "status": "TRADING",
        "baseAsset": config.base_asset,
        "baseAssetPrecision": _SPOT_DECIMALS,
        "quoteAsset": config.quote_asset,
        "quoteAssetPrecision": _SPOT_DECIMALS,
        "isSpotTradingAllowed": True,
        "filters": _filters(spot, _SPOT_DECIMALS, _SPOT_DECIMALS),
        "permissions": ["SPOT"],
    }
    perp_symbol = {
        "symbol": perp.symbol,
        "pair": perp.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": server_time,
        "status": "TRADING",
        "baseAsset": config.base_asset,
        "quoteAsset": config.quote_asset,
        "marginAsset": config.quote_asset,
        "pricePrecision": _printed_decimals(perp)[0],
        "quantityPrecision": perp.qty.decimals,
        "underlyingType": "COIN",
        "filters": _filters(perp, _printed_decimals(perp)[0], perp.qty.decimals),
    }
    paths = [folder / "exchangeInfo-spot.json", folder / "exchangeInfo-usdm.json"]
    for path, extra, symbol in ((paths[0], {}, spot_symbol), (paths[1], {"futuresType": "U_MARGINED"}, perp_symbol)):
        content = {**head, **extra, "rateLimits": [], "exchangeFilters": [], "symbols": [symbol]}
        path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    return paths


def _filters(venue: SimulatedVenue, price_decimals: int, qty_decimals: int) -> list[dict[str, str]]:
    tick = f"{Decimal(venue.price.multiple).scaleb(-venue.price.decimals):.{price_decimals}f}"
    lot = f"{Decimal(venue.qty.multiple).scaleb(-venue.qty.decimals):.{qty_decimals}f}"
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": "9000", "stepSize": lot},
    ]
