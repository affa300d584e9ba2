"""Bybit's public archive (public.bybit.com): ``trading`` (linear and inverse perpetuals, dated futures) and ``spot``.

Derivatives are stamped in seconds with decimals, spot in milliseconds; neither has a receipt time. Trades of derivatives have text ids
(UUIDs). Those of spot are numbers that begin anew every day, so that a row of another day than its file's keeps its number as text, with
the file's period before it. Sizes of inverse contracts are contracts of one dollar.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.errors import SourceError
from pointline.sources.base import RANKS, Batch, Hints, Identity, parsed_rows
from pointline.sources.checks import Check, refuse_swapped
from pointline.sources.csv_blocks import CsvLayout, read_csv_blocks
from pointline.sources.hints import agreed, period_of, stated_period
from pointline.sources.inflate import head_of, open_archive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = (".csv.gz", ".csv")
MARKETS = {"trading": "bybit", "spot": "bybit-spot"}
_TRADING = (
    "timestamp", "symbol", "side", "size", "price", "tickdirection", "trdmatchid", "grossvalue", "homenotional", "foreignnotional",
)  # fmt: skip
_SPOT = ("id", "timestamp", "price", "volume", "side")
_COLUMNS = {"trading": _TRADING, "spot": _SPOT}
_NAMES = {
    "trading": re.compile(r"(?P<symbol>[A-Z0-9-]+?)(?P<period>\d{4}-\d\d-\d\d)\.csv(?:\.gz)?"),
    "spot": re.compile(r"(?P<symbol>[A-Z0-9]+)(?:_(?P<day>\d{4}-\d\d-\d\d)|[-_](?P<month>\d{4}-\d\d))\.csv(?:\.gz)?"),
}
_INVERSE = re.compile(r".+USD(?:[FGHJKMNQUVXZ]\d\d)?")
_HEAD_BYTES = 4096
_ROUNDING = (0.01, 1e-6)  # relative, absolute: notionals are told from one another, not checked to the last digit


@dataclass(frozen=True)
class _BybitName:
    """What a file's name says; `in_folder` where its folder is the archive's too."""

    market: str
    symbol: str
    period: str
    in_folder: bool


class Bybit:
    """Parser of Bybit's archive of trades."""

    name = "bybit"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that name and first row say; only the first bytes are read.

        Raises:
            SourceError: name, flags and first row contradict one another.
        """
        if not path.name.endswith(SUFFIXES):
            return None
        named = _parse(path)
        fields = _first_rows(path)
        market = _market_of(fields) or (named.market if named is not None and named.in_folder else None)
        if market is None or (named is None and market == "spot" and (hints.exchange != MARKETS["spot"] or hints.symbol is None)):
            return None
        if named is not None and named.market != market:
            raise _contradiction(path, "the file has the columns of another archive than its name says", market, named.market)
        written = _symbol_of(market, fields)
        if named is not None and written is not None and written != named.symbol:
            raise _contradiction(path, "the first row names another symbol than the file's name", written, named.symbol)
        exchange = agreed(path, "--exchange", hints.exchange, MARKETS[market])
        if hints.dataset not in {None, "trades"}:
            raise SourceError("this archive has trades only", where=str(path), value=hints.dataset, expected="trades")
        symbol = agreed(path, "--symbol", hints.symbol, written or (named.symbol if named else None))
        period = agreed(path, "--period", stated_period(hints), named.period if named else None) or ""
        if symbol is None:
            raise SourceError("neither the name nor a row says which instrument this is", where=str(path), hint="give --symbol")
        return Identity(self.name, str(exchange), market, "trades", symbol, period, kind="trades")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block; none of a gzip of nothing, which the archive has for days without a trade.

        Raises:
            SourceError: damaged or empty file, other columns, or most rows cannot be believed.
        """
        if path.suffix == ".gz":
            with open_archive(path) as archive:
                if not archive.read(1):
                    yield Batch("trades", identity.exchange, identity.symbol, pl.DataFrame(schema=schema.TRADES.parsed))
                    return
        spot = identity.market == "spot"
        layout = _spot_layout() if spot else _trading_layout(identity.symbol)
        rank = RANKS["monthly" if len(identity.period) == len("2024-05") else "daily"]
        ids = _spot_ids(identity) if spot else {"text_id": pl.col("trdmatchid").str.strip_chars('" ')}
        for number, block in enumerate(read_csv_blocks(path, layout)):
            rows = block.frame.select(
                "ts_event_us",
                "price",
                "source_row",
                ts_local_us=pl.col("ts_event_us") + hints.latency_us,
                qty=pl.col("volume" if spot else "size"),
                side=_side() == "sell",
                **ids,
            )
            if number == 0:
                refuse_swapped(rows, path)
            frame = parsed_rows("trades", rows)
            yield Batch("trades", identity.exchange, identity.symbol, frame, rank=rank, rejects=block.rejects)


def _side() -> pl.Expr:
    """The taker's side in small letters; it may be the line's last field."""
    return pl.col("side").str.strip_chars(' "\r').str.to_lowercase()


def _side_check() -> Check:
    return Check.never("side", "is neither Buy nor Sell", ~_side().is_in(["buy", "sell"]))


def _spot_layout() -> CsvLayout:
    return CsvLayout(
        layouts=(_SPOT, (*_SPOT, "rpi")),
        types={"id": pl.Int64(), "timestamp": pl.Int64(), "price": pl.Float64(), "volume": pl.Float64(), "side": pl.String()},
        time="timestamp",
        positive=("price", "volume"),
        exact=("price", "volume"),
        checks=lambda _: (Check.never("id", "must not be below zero", pl.col("id") < 0), _side_check()),
    )


def _spot_ids(identity: Identity) -> dict[str, pl.Expr]:
    """Numbers of trades, which begin anew every day: outside the file's period they are no numbers of that other day."""
    declared = identity.declared_us
    own = pl.lit(value=True) if declared is None else pl.col("ts_event_us").is_between(*declared, closed="left")
    stray = pl.lit(f"{identity.period}/") + pl.col("id").cast(pl.String)
    return {"trade_id": pl.when(own).then(pl.col("id")), "text_id": pl.when(~own).then(stray)}


def _trading_layout(symbol: str) -> CsvLayout:
    amounts = ("size", "price", "homenotional", "foreignnotional")
    other = Check.never("symbol", f"is another symbol than the file's, {symbol}", pl.col("symbol").str.strip_chars('" ') != symbol)
    checks = (other, _side_check(), _notional_check(inverse=_INVERSE.fullmatch(symbol) is not None))
    text: dict[str, pl.DataType] = dict.fromkeys(("symbol", "side", "trdmatchid"), pl.String())
    return CsvLayout(
        layouts=(_TRADING, (*_TRADING, "rpi")),
        types={"timestamp": schema.PRICE, **text, **dict.fromkeys(amounts, pl.Float64())},
        time="timestamp",
        positive=("size", "price"),
        optional=("homenotional", "foreignnotional"),
        exact=("timestamp", "size", "price"),
        checks=lambda _: checks,
    )


def _notional_check(*, inverse: bool) -> Check:
    """What a size counts: the coin, or of an inverse contract dollars. Notionals that are zero or missing say nothing."""
    size, price, home, foreign = (pl.col(name) for name in ("size", "price", "homenotional", "foreignnotional"))
    name, found, expected = ("foreignnotional", foreign, size) if inverse else ("homenotional", home, size)
    second, due = (home, size / price) if inverse else (foreign, size * price)
    relative, absolute = _ROUNDING
    apart = pl.any_horizontal(
        (value > 0) & ((value - right).abs() > right * relative + absolute) for value, right in ((found, expected), (second, due))
    )
    counted = "dollars, as of an inverse contract" if inverse else "the coin, as of a linear contract"
    return Check.never(name, f"contradicts size and price, where size counts {counted}", apart)


def _parse(path: Path) -> _BybitName | None:
    """What the name says; None where it is none that the archive gives."""
    for market, pattern in _NAMES.items():
        found = pattern.fullmatch(path.name)
        if found is None:
            continue
        told = found.groupdict()
        period = period_of(told.get("period") or told.get("day") or told["month"] or "")
        if period is not None:
            return _BybitName(market, found["symbol"], period, path.parent.parent.name == market)
    return None


def _first_rows(path: Path) -> list[list[str]]:
    """The fields of the first whole lines, at most two; none where the file has none or cannot be unpacked."""
    text = head_of(path, _HEAD_BYTES, _HEAD_BYTES) if path.is_file() else b""
    lines = text.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")[:2]
    return [[field.strip(' "\r') for field in line.split(",")] for line in lines]


def _market_of(rows: list[list[str]]) -> str | None:
    """Which of the two archives has a file with these first rows; None where neither has."""
    header = tuple(field.lower() for field in rows[0])
    for market, columns in _COLUMNS.items():
        if header[: len(columns)] == columns:
            return market
        sided = len(rows[0]) - len(columns) in {0, 1} and header[columns.index("side")] in {"buy", "sell"}
        if sided and re.fullmatch(r"\d+(?:\.\d+)?", header[0]):
            return market
    return None


def _symbol_of(market: str, rows: list[list[str]]) -> str | None:
    """The symbol of the first row of a file of derivatives; None where it has none."""
    row = rows[0] if rows[0][0][:1].isdigit() else rows[-1] if len(rows) > 1 else []
    at = _TRADING.index("symbol")
    return row[at] if market == "trading" and len(row) > at and row[at] else None


def _contradiction(path: Path, what: str, value: str, expected: str) -> SourceError:
    return SourceError(
        f"{what}; nothing of it was stored", where=str(path), value=value, expected=expected, hint="download it again, under its own name"
    )
