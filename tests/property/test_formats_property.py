"""Every archive's layout of trades: whatever happened, the real reader says it again as a plain loop does, or refuses the file.

A layout writes a trade as its archive does. `FORMS` names what each of them can have: with a header or without, in which units of time,
with a side or none, with numbers, names or nothing to tell trades apart. What a layout cannot have has to be refused or read right.
"""

from __future__ import annotations

import gzip
import json
import tempfile
import zipfile
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.clock import to_us
from pointline.errors import SourceError
from pointline.ingest.checks import check_rows
from pointline.sources import text_lines
from pointline.sources.base import Hints
from pointline.sources.families import family
from pointline.sources.taker_side import LEAST_MOVES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Row: TypeAlias = "tuple[int, int, int | None, str | None, float, float, bool | None]"

DAY_US = to_us("2024-05-02")
HOURS = 15  # of the day that all trades happened in, so that they lie in a day of UTC+8 too
UNITS_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
EXAMPLES = settings.get_profile(settings.get_current_profile_name()).max_examples
MANY, SOME, FEW = (max(EXAMPLES // share, 1) for share in (5, 12, 25))  # of so many layouts each


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
class Form:
    """A layout.

    Attributes:
        source, place: the parser, and where the file lies.
        line: one trade.
        units: in which times may be counted; ``text`` is a date with its time.
        header: the header, None where the archive has none.
        bare: whether a file may come without its header.
        decimals: whether times have decimals.
        ids: ``number`` (counted), ``text`` (a name) or ``none``.
        name: of a trade, where it has one.
        sided: whether the side is told.
        received: whether there is a receipt time.
        late_us: how much later than its stamp a trade is known.
        json: whether lines are JSON.
        spellings: of amounts, see `Style`.
    """

    source: str
    place: str
    line: Callable[[Print, Style], str]
    units: tuple[str, ...] = ("ms", "us")
    header: str | None = None
    bare: bool = False
    decimals: bool = False
    ids: str = "number"
    name: Callable[[Print], str] = lambda p: str(p.number)
    sided: bool = True
    received: bool = False
    late_us: int = 0
    json: bool = False
    spellings: tuple[str, ...] = ("plain", "padded", "scientific")

    @property
    def foreign(self) -> tuple[str, ...]:
        """Units in which times of this archive are not counted."""
        return tuple(unit for unit in UNITS_NS if unit not in self.units)

    def told_us(self, ns: int, unit: str) -> int:
        """The microsecond that a time in a file is: cut off, never rounded up."""
        return ns // 1000 if unit == "text" or self.decimals else ns // UNITS_NS[unit] * UNITS_NS[unit] // 1000

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


def okx(symbol: str, tail: str = "") -> Callable[[Print, Style], str]:
    return lambda p, style: (
        f"{symbol},{p.number},{style.taker(p)},{style.amount(p.price)},{style.amount(p.size)},{style.stamp(p.ns)}{tail}"
    )


def kucoin(p: Print, style: Style) -> str:
    return f"{p.number},{style.stamp(p.ns)},{style.amount(p.price)},{style.amount(p.size)},{style.taker(p)}"


def gate_spot(p: Print, style: Style) -> str:
    return f"{style.decimal(p.ns)},{p.number},{style.amount(p.price)},{style.amount(p.size)},{2 if p.sold else 1}"


def gate_futures(p: Print, style: Style) -> str:
    return f"{style.decimal(p.ns)},{p.number},{style.amount(p.price)},{'-' if p.sold else ''}{style.amount(p.size)}"


def coinbase(p: Print, style: Style) -> str:
    side = "buy" if p.sold else "sell"  # of the maker
    time = iso(p.ns) if style.unit == "text" else style.stamp(p.ns)
    return json.dumps(
        {"time": time, "trade_id": p.number, "price": style.amount(p.price), "size": style.amount(p.size), "side": side}
    )


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
        vision(quote_qty, ",True"),
        header=f"{VISION.format('quote_qty')},is_best_match",
        bare=True,
    ),
    "vision USD-M": Form(
        "binance_vision",
        "data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-02",
        vision(quote_qty),
        header=VISION.format("quote_qty"),
        bare=True,
    ),
    "vision COIN-M": Form(
        "binance_vision",
        "data/futures/cm/daily/trades/BTCUSD_PERP/BTCUSD_PERP-trades-2024-05-02",
        vision(base_qty),
        header=VISION.format("base_qty"),
        bare=True,
    ),
    "vision aggregated": Form(
        "binance_vision",
        "data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-05-02",
        aggregated,
        header="agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        bare=True,
    ),
    "tardis numbers": Form(
        "tardis",
        "v1/binance-futures/trades/2024/05/02/BTCUSDT",
        tardis("binance-futures", "BTCUSDT", lambda p: str(p.number)),
        header=TARDIS,
        received=True,
    ),
    "tardis names": Form(
        "tardis",
        "v1/okex-swap/trades/2024/05/02/BTC-USDT-SWAP",
        tardis("okex-swap", "BTC-USDT-SWAP", uuid),
        header=TARDIS,
        received=True,
        ids="text",
        name=uuid,
    ),
    "bybit linear": Form(
        "bybit",
        "trading/BTCUSDT/BTCUSDT2024-05-02",
        bybit("BTCUSDT", inverse=False),
        SECONDS,
        header=BYBIT,
        bare=True,
        decimals=True,
        ids="text",
        name=uuid,
    ),
    "bybit inverse": Form(
        "bybit",
        "trading/BTCUSD/BTCUSD2024-05-02",
        bybit("BTCUSD", inverse=True, tail=",0"),
        SECONDS,
        header=f"{BYBIT},RPI",
        bare=True,
        decimals=True,
        ids="text",
        name=uuid,
    ),
    "bybit spot": Form(
        "bybit",
        "spot/BTCUSDT/BTCUSDT_2024-05-02",
        lambda p, style: f"{p.number},{style.stamp(p.ns)},{style.amount(p.price)},{style.amount(p.size)},{'sell' if p.sold else 'buy'}",
        header="id,timestamp,price,volume,side",
        bare=True,
    ),
    "okx": Form("okx", "BTC-USDT-SWAP-trades-2024-05-02", okx("BTC-USDT-SWAP"), header=OKX),
    "okx with source": Form("okx", "BTC-USDT-trades-2024-05-02", okx("BTC-USDT", ",1"), header=f"{OKX},source"),
    "kucoin spot": Form("kucoin", "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-02", kucoin, header=KUCOIN, ids="text"),
    "kucoin futures": Form("kucoin", "data/futures/daily/trades/BTCUSDTM/BTCUSDTM-trades-2024-05-02", kucoin, header=KUCOIN, ids="text"),
    "gate spot": Form("gate", "spot/deals/202405/BTC_USDT-202405", gate_spot, SECONDS, decimals=True, ids="text"),
    "gate futures": Form("gate", "futures_usdt/trades/202405/BTC_USDT-202405", gate_futures, SECONDS, decimals=True, ids="text"),
    "kraken": Form(
        "kraken",
        "kraken/XBTEUR",
        lambda p, style: f"{style.stamp(p.ns)},{style.amount(p.price)},{style.amount(p.size)}",
        ("s",),
        ids="none",
        sided=False,
        late_us=999_999,
        spellings=("plain", "padded"),
    ),
    "coinbase": Form("coinbase", "coinbase-BTC-USD-trades-2024-05-02", coinbase, ("text",), json=True),
    "deribit": Form("deribit", "history", deribit, json=True, spellings=("plain", "scientific")),
    "hyperliquid": Form("hyperliquid", "tape", hyperliquid, ("ms", "us", "text"), ids="text", json=True),
}
"""Both sides, any order and repeats are in all of them, nanoseconds in none; kraken tells no side and no id, so that a repeat is a trade of its own."""

HEADERS = {"gate": "timestamp,dealid,price,amount,side", "kraken": "time,price,volume"}
"""What a header would say in archives that have none."""


def packing(form: Form, style: Style) -> str:
    if form.json:
        return ".jsonl.gz" if style.packed else ".jsonl"
    return (".csv.gz" if form.source in {"tardis", "bybit"} else ".zip") if style.packed else ".csv"


def text_of(form: Form, prints: Sequence[Print], style: Style, units: Sequence[str] = ()) -> str:
    """The file; `units` of each trade where they are not all the same."""
    counted = units or [style.unit] * len(prints)
    lines = [form.line(p, replace(style, unit=unit)) for p, unit in zip(prints, counted, strict=True)]
    if form.json and style.page:
        lines = [f"[{','.join(lines[at : at + style.page])}]" for at in range(0, len(lines), style.page)]
    head = [form.header or HEADERS[form.source]] if style.header else []
    return style.ending.join([*head, *lines, ""])


def write(folder: Path, form: Form, text: str, style: Style) -> Path:
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

    @property
    def rows(self) -> list[Row]:
        return self.frame.select("ts_local_us", "ts_event_us", "trade_id", "text_id", "price", "qty", "side").rows()


def read(form: Form, text: str, style: Style) -> Said | None:
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


def amounts(most_decimals: int = 12) -> st.SearchStrategy[Decimal]:
    """Up to fifteen digits, of which up to twelve are decimals."""
    digits = st.one_of(st.integers(1, 10**15 - 1), st.integers(1, 10**6))
    return st.builds(lambda count, decimals: Decimal(count).scaleb(-decimals), digits, st.integers(0, most_decimals))


MOMENTS = st.builds(
    lambda count, step: DAY_US * 1000 + count * step % (HOURS * 3600 * 10**9),
    st.one_of(st.integers(0, 3), st.integers(0, HOURS * 3600 * 10**9 - 1)),
    st.sampled_from([1, 10**3, 10**6, 10**9]),
)
LATEST = st.sampled_from([0, 1, 999_999_999, 10**9])
SIDES = st.booleans()
OTHER = (Decimal(7), Decimal("7.5"))
CHANGES = ("nothing", "price", "size", "side", "time")


@st.composite
def markets(draw: st.DrawFn, sides: st.SearchStrategy[bool] = SIDES) -> list[Print]:
    """Trades in any order, some of them written again, and some of these with another value."""
    one = st.builds(Print, MOMENTS, st.integers(0, 10**6), LATEST, amounts(), amounts(), sides)
    prints: list[Print] = draw(st.lists(one, min_size=1, max_size=8, unique_by=lambda p: p.number))
    for p, change in draw(st.lists(st.tuples(st.sampled_from(prints), st.sampled_from(CHANGES)), max_size=4)):
        other = {"price": OTHER[p.price == OTHER[0]], "size": OTHER[p.size == OTHER[0]], "side": not p.sold, "time": p.ns + 2 * 10**9}
        names = {"price": "price", "size": "size", "side": "sold", "time": "ns"}
        prints.append(p if change == "nothing" else replace(p, **{names[change]: other[change]}))
    return draw(st.permutations(prints))


@st.composite
def styles(draw: st.DrawFn, form: Form) -> Style:
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


def landed(rows: list[Row], first_line: int) -> tuple[list[Row], list[int], int]:
    """Plain loop of what may land: rows by receipt, lines that contradict a row of their id, and how many say one again."""
    kept, contradictions, repeats = [], [], 0
    seen: dict[tuple[int | None, str | None], list[Row]] = {}
    for line, row in sorted(enumerate(rows, first_line), key=lambda item: item[1][0]):
        key = (row[2], row[3])
        said = seen.setdefault(key, [])
        if key == (None, None) or not said:
            kept.append(row)
        elif row[1:] in [other[1:] for other in said]:
            repeats += 1
        else:
            contradictions.append(line)
        said.append(row)
    return kept, contradictions, repeats


def hold(form: Form, prints: list[Print], style: Style) -> None:
    """The reader's rows are those that happened, and of them lands what a plain loop lets land."""
    said = read(form, text_of(form, prints, style), style)
    assert said is not None
    assert said.rejects == []
    expected = [form.row(p, style.unit) for p in prints]
    assert said.rows == expected
    first_line = 2 if style.header else 1
    assert said.frame["source_row"].to_list() == list(range(first_line, first_line + len(prints)))
    if form.line is aggregated:
        assert said.frame.select("first_trade_id", "last_trade_id").rows() == [(p.number * 3, p.number * 3 + 2) for p in prints]
    checked = check_rows(said.frame, "trades")
    found = Said(checked.frame, []).rows, sorted(checked.rejects["line"].to_list()), checked.duplicates
    kept, contradictions, repeats = landed(expected, first_line)
    assert found == (kept, sorted(contradictions), repeats)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=MANY)
@given(data=st.data(), prints=markets())
def test_any_trades_are_read_as_a_plain_loop_reads_them(name: str, data: st.DataObject, prints: list[Print]) -> None:
    """In each unit, with a header or none, in any order, repeated or contradicted, of both sides, to the last decimal."""
    form = FORMS[name]
    hold(form, prints, data.draw(styles(form)))


@pytest.mark.parametrize("sold", [False, True], ids=["buys", "sells"])
@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=FEW)
@given(data=st.data())
def test_a_file_of_one_side_is_read(name: str, sold: bool, data: st.DataObject) -> None:
    form = FORMS[name]
    prints = data.draw(markets(st.just(sold)).map(lambda each: [replace(p, sold=sold) for p in each]))
    hold(form, prints, data.draw(styles(form)))
    hold(form, prints[:1], data.draw(styles(form)))


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=SOME)
@given(data=st.data(), prints=markets())
def test_times_in_a_unit_that_the_layout_has_not_are_refused(name: str, data: st.DataObject, prints: list[Print]) -> None:
    """A file of seconds read as milliseconds would be one of January 1970; one of nanoseconds, of no year at all."""
    form = FORMS[name]
    style = replace(data.draw(styles(form)), unit=data.draw(st.sampled_from(form.foreign)))
    assert read(form, text_of(form, prints, style), style) is None


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=SOME)
@given(data=st.data(), prints=markets())
def test_units_that_change_inside_a_file_give_no_wrong_time(name: str, data: st.DataObject, prints: list[Print]) -> None:
    """The file is refused, or each row is read in its own unit, or rows of a unit that is not the layout's are set aside."""
    form = FORMS[name]
    style = data.draw(styles(form))
    units = data.draw(st.lists(st.sampled_from([*form.units, *form.foreign]), min_size=len(prints), max_size=len(prints)))
    said = read(form, text_of(form, prints, style, units), style)
    if said is None:
        return
    own = [form.row(p, unit) for p, unit in zip(prints, units, strict=True) if unit in form.units]
    assert said.rows == own
    assert len(said.rejects) == len(prints) - len(own)


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if not form.json and not form.bare])
@settings(max_examples=FEW)
@given(data=st.data(), prints=markets())
def test_a_header_where_none_is_and_none_where_one_is_are_refused(name: str, data: st.DataObject, prints: list[Print]) -> None:
    form = FORMS[name]
    style = data.draw(styles(form))
    turned = replace(style, header=not style.header)
    assert read(form, text_of(form, prints, turned), turned) is None


@pytest.mark.parametrize("sold", [False, True], ids=["buys", "sells"])
@pytest.mark.parametrize("name", FORMS)
def test_a_long_file_of_one_side_is_read(name: str, sold: bool) -> None:
    """So long that the guard of sides would speak: where prices go both ways, trades of one side say nothing against it."""
    form = FORMS[name]
    steps = (1, 1, -1, 1, -1, -1, -1, 1)  # as many up as down
    moves = (steps[n % len(steps)] for n in range(LEAST_MOVES + 10))
    prices = [Decimal(60_000)]
    for move in moves:
        prices.append(prices[-1] + move)
    prints = [Print((DAY_US + n * 10**6) * 1000, n, 10**6, price, Decimal(n % 7 + 1) / 1000, sold) for n, price in enumerate(prices)]
    hold(form, prints, Style(form.units[0], header=form.header is not None))
