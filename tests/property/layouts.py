"""Layouts of archives, written by plain code: what each of them can have, and what its real reader says of a file.

A `Form` writes a trade as its archive does. `FORMS` names what each of them can have: with a header or without, in which units of time,
with a side or none, with numbers, names or nothing to tell trades apart.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import zipfile
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import strategies as st

from pointline.clock import to_us
from pointline.errors import SourceError
from pointline.sources import text_lines
from pointline.sources.base import Hints
from pointline.sources.families import family

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Row: TypeAlias = "tuple[int, int, int | None, str | None, float, float, bool | None]"

DAY_US = to_us("2024-05-02")
HOURS = 15  # of the day that all trades happened in, so that they lie in a day of UTC+8 too
UNITS_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass(frozen=True)
class Print:
    """A trade as it happened.

    Attributes:
        ns: when, in nanoseconds since 1970.
        number: its id.
        late_ns: how much later a recorder received it.
        price, size: exact amounts.
        sold: whether the seller was the taker.
    """

    ns: int
    number: int
    late_ns: int
    price: Decimal
    size: Decimal
    sold: bool


@dataclass(frozen=True)
class Style:
    """How a file is written where its layout leaves a choice.

    Attributes:
        unit: of time.
        header: whether there is one.
        amounts: ``plain``, ``padded`` to eight decimals or more, or ``scientific`` where programs write doubles so.
        loud: whether words begin with, or are in, capital letters.
        ending: of lines.
        packed: whether the file is compressed.
        page: how many trades stand on a line of JSON; 0 for one that is not a list.
        block: bytes that are read at once.
    """

    unit: str
    header: bool
    amounts: str = "plain"
    loud: bool = False
    ending: str = "\n"
    packed: bool = False
    page: int = 0
    block: int = text_lines.BLOCK_BYTES

    def amount(self, value: Decimal) -> str:
        plain = f"{value.normalize():f}"
        if self.amounts == "scientific":
            return repr(float(value))
        if self.amounts == "padded" and len(plain.partition(".")[2]) < 8:
            return f"{value:.8f}"
        return plain

    def stamp(self, ns: int) -> str:
        """A whole number, what is beyond it cut off."""
        return str(ns // UNITS_NS[self.unit])

    def decimal(self, ns: int) -> str:
        """A number with as many decimals as the time needs."""
        return f"{(Decimal(ns) / UNITS_NS[self.unit]).normalize():f}"

    def taker(self, p: Print) -> str:
        word = "sell" if p.sold else "buy"
        return word.upper() if self.loud else word


@dataclass(frozen=True)
class Layout:
    """How an archive writes files, whatever is in them.

    Attributes:
        source, place: the parser, and where the file lies.
        units: in which times may be counted; ``text`` is a date with its time.
        header: the header, None where the archive has none.
        bare: whether a file may come without its header.
        decimals: whether times have decimals.
        json: whether lines are JSON.
        spellings: of amounts, see `Style`.
    """

    source: str
    place: str
    units: tuple[str, ...] = ("ms", "us")
    header: str | None = field(default=None, kw_only=True)
    bare: bool = field(default=False, kw_only=True)
    decimals: bool = field(default=False, kw_only=True)
    json: bool = field(default=False, kw_only=True)
    spellings: tuple[str, ...] = field(default=("plain", "padded", "scientific"), kw_only=True)

    @property
    def foreign(self) -> tuple[str, ...]:
        """Units in which times of this archive are not counted."""
        return tuple(unit for unit in UNITS_NS if unit not in self.units)

    def told_us(self, ns: int, unit: str) -> int:
        """The microsecond that a time in a file is: cut off, never rounded up."""
        return ns // 1000 if unit == "text" or self.decimals else ns // UNITS_NS[unit] * UNITS_NS[unit] // 1000


@dataclass(frozen=True)
class Form(Layout):
    """A layout of trades.

    Attributes:
        line: one trade.
        ids: ``number`` (counted), ``text`` (a name) or ``none``.
        name: of a trade, where it has one.
        sided: whether the side is told.
        received: whether there is a receipt time.
        late_us: how much later than its stamp a trade is known.
    """

    line: Callable[[Print, Style], str] = field(kw_only=True)
    ids: str = field(default="number", kw_only=True)
    name: Callable[[Print], str] = field(default=lambda p: str(p.number), kw_only=True)
    sided: bool = field(default=True, kw_only=True)
    received: bool = field(default=False, kw_only=True)
    late_us: int = field(default=0, kw_only=True)

    def row(self, p: Print, unit: str) -> Row:
        """What the reader has to say: receipt and event time, id as number and as text, price, quantity, seller was taker."""
        event_us = self.told_us(p.ns, unit)
        local_us = self.told_us(p.ns + p.late_ns, unit) if self.received else event_us + self.late_us
        number = p.number if self.ids == "number" else None
        name = self.name(p) if self.ids == "text" else None
        return local_us, event_us, number, name, float(p.price), float(p.size), p.sold if self.sided else None


def cut(value: Decimal) -> str:
    """Eight decimals, what is beyond them cut off."""
    return f"{value.quantize(Decimal('1e-8'), ROUND_FLOOR, Context(prec=60)):f}"


def uuid(p: Print) -> str:
    return f"00000000-006d-1000-0000-{p.number:012x}"


def iso(ns: int) -> str:
    seconds = (ns // 10**9) - DAY_US // 10**6
    fraction = f".{ns % 10**9:09d}".rstrip("0").rstrip(".")
    return f"2024-05-02T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{fraction}Z"


def flag(p: Print, style: Style) -> str:
    return ("True" if p.sold else "False") if style.loud else ("true" if p.sold else "false")


def vision(result: Callable[[Print], Decimal], tail: str = "") -> Callable[[Print, Style], str]:
    def line(p: Print, style: Style) -> str:
        amounts = f"{style.amount(p.price)},{style.amount(p.size)},{cut(result(p))}"
        return f"{p.number},{amounts},{style.stamp(p.ns)},{flag(p, style)}{tail}"

    return line


def aggregated(p: Print, style: Style) -> str:
    return (
        f"{p.number},{style.amount(p.price)},{style.amount(p.size)},{p.number * 3},{p.number * 3 + 2},{style.stamp(p.ns)},{flag(p, style)}"
    )


def tardis(exchange: str, symbol: str, name: Callable[[Print], str]) -> Callable[[Print, Style], str]:
    def line(p: Print, style: Style) -> str:
        times = f"{style.stamp(p.ns)},{style.stamp(p.ns + p.late_ns)}"
        amounts = f"{style.amount(p.price)},{style.amount(p.size)}"
        return f"{exchange},{symbol},{times},{name(p)},{'sell' if p.sold else 'buy'},{amounts}"

    return line


def bybit(symbol: str, *, inverse: bool, tail: str = "") -> Callable[[Print, Style], str]:
    def line(p: Print, style: Style) -> str:
        home, foreign = (p.size / p.price, p.size) if inverse else (p.size, p.size * p.price)
        amounts = f"{style.amount(p.size)},{style.amount(p.price)}"
        side = "Sell" if p.sold else "Buy"
        return f"{style.decimal(p.ns)},{symbol},{side},{amounts},ZeroMinusTick,{uuid(p)},{foreign * 10**8:f},{home:f},{foreign:f}{tail}"

    return line


def bybit_spot(p: Print, style: Style) -> str:
    return f"{p.number},{style.stamp(p.ns)},{style.amount(p.price)},{style.amount(p.size)},{'sell' if p.sold else 'buy'}"


def okx(symbol: str, tail: str = "") -> Callable[[Print, Style], str]:
    return lambda p, style: f"{symbol},{p.number},{style.taker(p)},{style.amount(p.price)},{style.amount(p.size)},{style.stamp(p.ns)}{tail}"


def kucoin(p: Print, style: Style) -> str:
    return f"{p.number},{style.stamp(p.ns)},{style.amount(p.price)},{style.amount(p.size)},{style.taker(p)}"


def gate_spot(p: Print, style: Style) -> str:
    return f"{style.decimal(p.ns)},{p.number},{style.amount(p.price)},{style.amount(p.size)},{2 if p.sold else 1}"


def gate_futures(p: Print, style: Style) -> str:
    return f"{style.decimal(p.ns)},{p.number},{style.amount(p.price)},{'-' if p.sold else ''}{style.amount(p.size)}"


def coinbase(p: Print, style: Style) -> str:
    side = "buy" if p.sold else "sell"  # of the maker
    time = iso(p.ns) if style.unit == "text" else style.stamp(p.ns)
    return json.dumps({"time": time, "trade_id": p.number, "price": style.amount(p.price), "size": style.amount(p.size), "side": side})


def deribit(p: Print, style: Style) -> str:
    return (
        f'{{"trade_seq":{p.number},"trade_id":"x{p.number}","timestamp":{style.stamp(p.ns)},"price":{style.amount(p.price)},'
        f'"instrument_name":"BTC-PERPETUAL","direction":"{"sell" if p.sold else "buy"}","amount":{style.amount(p.size)}}}'
    )


def hyperliquid(p: Print, style: Style) -> str:
    side = "A" if p.sold else "B"
    time: object = iso(p.ns).removesuffix("Z") if style.unit == "text" else int(style.stamp(p.ns))
    amounts = {"px": style.amount(p.price), "sz": style.amount(p.size)}
    return json.dumps({"coin": "BTC", "side": side, **amounts, "time": time, "hash": "0x1", "tid": p.number})


def quote_qty(p: Print) -> Decimal:
    return p.price * p.size


def base_qty(p: Print) -> Decimal:
    return p.size * 100 / p.price


VISION = "id,price,qty,{},time,is_buyer_maker"
TARDIS = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount"
BYBIT = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
OKX = "instrument_name,trade_id,side,price,size,created_time"
KUCOIN = "trade_id,trade_time,price,size,side"
SECONDS = ("s", "ms", "us")

FORMS = {
    "vision spot": Form(
        "binance_vision",
        "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-02",
        line=vision(quote_qty, ",True"),
        header=f"{VISION.format('quote_qty')},is_best_match",
        bare=True,
    ),
    "vision USD-M": Form(
        "binance_vision",
        "data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-02",
        line=vision(quote_qty),
        header=VISION.format("quote_qty"),
        bare=True,
    ),
    "vision COIN-M": Form(
        "binance_vision",
        "data/futures/cm/daily/trades/BTCUSD_PERP/BTCUSD_PERP-trades-2024-05-02",
        line=vision(base_qty),
        header=VISION.format("base_qty"),
        bare=True,
    ),
    "vision aggregated": Form(
        "binance_vision",
        "data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-05-02",
        line=aggregated,
        header="agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        bare=True,
    ),
    "tardis numbers": Form(
        "tardis",
        "v1/binance-futures/trades/2024/05/02/BTCUSDT",
        line=tardis("binance-futures", "BTCUSDT", lambda p: str(p.number)),
        header=TARDIS,
        received=True,
    ),
    "tardis names": Form(
        "tardis",
        "v1/okex-swap/trades/2024/05/02/BTC-USDT-SWAP",
        line=tardis("okex-swap", "BTC-USDT-SWAP", uuid),
        header=TARDIS,
        received=True,
        ids="text",
        name=uuid,
    ),
    "bybit linear": Form(
        "bybit",
        "trading/BTCUSDT/BTCUSDT2024-05-02",
        SECONDS,
        line=bybit("BTCUSDT", inverse=False),
        header=BYBIT,
        bare=True,
        decimals=True,
        ids="text",
        name=uuid,
    ),
    "bybit inverse": Form(
        "bybit",
        "trading/BTCUSD/BTCUSD2024-05-02",
        SECONDS,
        line=bybit("BTCUSD", inverse=True, tail=",0"),
        header=f"{BYBIT},RPI",
        bare=True,
        decimals=True,
        ids="text",
        name=uuid,
    ),
    "bybit spot": Form(
        "bybit",
        "spot/BTCUSDT/BTCUSDT_2024-05-02",
        line=lambda p, style: (
            f"{p.number},{style.stamp(p.ns)},{style.amount(p.price)},{style.amount(p.size)},{'sell' if p.sold else 'buy'}"
        ),
        header="id,timestamp,price,volume,side",
        bare=True,
    ),
    "okx": Form("okx", "BTC-USDT-SWAP-trades-2024-05-02", line=okx("BTC-USDT-SWAP"), header=OKX),
    "okx with source": Form("okx", "BTC-USDT-trades-2024-05-02", line=okx("BTC-USDT", ",1"), header=f"{OKX},source"),
    "kucoin spot": Form("kucoin", "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-02", line=kucoin, header=KUCOIN, ids="text"),
    "kucoin futures": Form(
        "kucoin", "data/futures/daily/trades/BTCUSDTM/BTCUSDTM-trades-2024-05-02", line=kucoin, header=KUCOIN, ids="text"
    ),
    "gate spot": Form("gate", "spot/deals/202405/BTC_USDT-202405", SECONDS, line=gate_spot, decimals=True, ids="text"),
    "gate futures": Form("gate", "futures_usdt/trades/202405/BTC_USDT-202405", SECONDS, line=gate_futures, decimals=True, ids="text"),
    "kraken": Form(
        "kraken",
        "kraken/XBTEUR",
        ("s",),
        line=lambda p, style: f"{style.stamp(p.ns)},{style.amount(p.price)},{style.amount(p.size)}",
        ids="none",
        sided=False,
        late_us=999_999,
        spellings=("plain", "padded"),
    ),
    "coinbase": Form("coinbase", "coinbase-BTC-USD-trades-2024-05-02", ("text",), line=coinbase, json=True),
    "deribit": Form("deribit", "history", line=deribit, json=True, spellings=("plain", "scientific")),
    "hyperliquid": Form("hyperliquid", "tape", ("ms", "us", "text"), line=hyperliquid, ids="text", json=True),
}
"""All can have both sides, any order and repeats, and none nanoseconds. kraken tells no side and no id: what it repeats is a trade."""

HEADERS = {"gate": "timestamp,dealid,price,amount,side", "kraken": "time,price,volume"}
"""What a header would say in archives that have none."""


def packing(form: Layout, style: Style) -> str:
    if form.json:
        return ".jsonl.gz" if style.packed else ".jsonl"
    return (".csv.gz" if form.source in {"tardis", "bybit"} else ".zip") if style.packed else ".csv"


def text_of(form: Layout, lines: list[str], style: Style) -> str:
    if form.json and style.page:
        lines = [f"[{','.join(lines[at : at + style.page])}]" for at in range(0, len(lines), style.page)]
    head = [form.header or HEADERS[form.source]] if style.header else []
    return style.ending.join([*head, *lines, ""])


def write(folder: Path, form: Layout, text: str, style: Style) -> Path:
    path = folder / f"{form.place}{packing(form, style)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{path.stem}.csv", text)
    else:
        path.write_bytes(gzip.compress(text.encode(), 1) if style.packed else text.encode())
    return path


@dataclass(frozen=True)
class Said:
    """What the reader said of a file: its rows in the parsed columns, and rejects."""

    frame: pl.DataFrame
    rejects: list[tuple[Any, ...]]


def read(form: Layout, text: str, style: Style) -> Said | None:
    """The file by its real reader; None where it was refused."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "BLOCK_BYTES", style.block)
        path = write(Path(folder), form, text, style)
        source = family(form.source).source()
        try:
            identity = source.recognise(path, Hints())
            batches = [] if identity is None else list(source.read(path, identity, Hints()))
        except SourceError:
            return None
    if not batches:
        return None
    return Said(pl.concat(batch.frame for batch in batches), [row for batch in batches for row in batch.rejects.iter_rows()])


@st.composite
def styles(draw: st.DrawFn, form: Layout) -> Style:
    return Style(
        unit=draw(st.sampled_from(form.units)),
        header=form.header is not None and (not form.bare or draw(st.booleans())),
        amounts=draw(st.sampled_from(form.spellings)),
        loud=draw(st.booleans()),
        ending=draw(st.sampled_from(["\n", "\r\n"])),
        packed=draw(st.booleans()),
        page=draw(st.sampled_from([0, 1, 3])) if form.json else 0,
        block=draw(st.sampled_from([64, text_lines.BLOCK_BYTES])),
    )
