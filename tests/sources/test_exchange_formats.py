"""Properties of the layouts of exchanges' archives: whatever trades there were, their file says them again."""

from __future__ import annotations

import gzip
import json
import tempfile
import zipfile
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.exchange_cases import EXCHANGE_CASES
from tests.contract.suite import read, rows_of, text_of

from pointline.sources.base import Hints
from pointline.sources.families import family

if TYPE_CHECKING:
    from collections.abc import Callable

MONTH_S = 1_714_521_600  # 2024-05-01


@dataclass(frozen=True)
class Print:
    """A trade as it happened."""

    us: int
    number: int
    price: Decimal
    size: Decimal
    seller_was_taker: bool

    @property
    def known(self) -> tuple[float, float, bool | None]:
        return float(self.price), float(self.size), self.seller_was_taker


@dataclass(frozen=True)
class Format:
    """How an archive writes trades.

    Attributes:
        source, place: the parser, and where the file lies.
        line: one trade.
        stamp_us: by how many microseconds stamps count.
        header: first line, if any.
        sided, numbered: whether the side and a number that is counted are in the file.
    """

    source: str
    place: str
    line: Callable[[Print], str]
    stamp_us: int
    header: str | None = None
    sided: bool = True
    numbered: bool = False


def scientific(value: Decimal) -> str:
    """As programs write doubles: with an exponent where it is shorter."""
    return repr(float(value)) if value < 1 else str(value)


def seconds(us: int) -> str:
    return f"{us // 1_000_000}.{us % 1_000_000:06d}"


FORMATS = {
    "okx": Format(
        "okx",
        "BTC-USDT-SWAP-trades-2024-05-02",
        lambda p: f"BTC-USDT-SWAP,{p.number},{'SELL' if p.seller_was_taker else 'buy'},{p.price},{scientific(p.size)},{p.us // 1000}",
        1000,
        "instrument_name,trade_id,side,price,size,created_time",
        numbered=True,
    ),
    "okx with source": Format(
        "okx",
        "BTC-USDT-trades-2024-05-02",
        lambda p: f"BTC-USDT,{p.number},{'sell' if p.seller_was_taker else 'BUY'},{p.price},{scientific(p.size)},{p.us // 1000},1",
        1000,
        "instrument_name,trade_id,side,price,size,created_time,source",
        numbered=True,
    ),
    "kraken": Format("kraken", "kraken/XBTEUR", lambda p: f"{p.us // 1_000_000},{p.price},{p.size}", 1_000_000, sided=False),
    "gate spot": Format(
        "gate",
        "spot/deals/202405/BTC_USDT-202405",
        lambda p: f"{seconds(p.us)},{p.number},{p.price},{p.size},{2 if p.seller_was_taker else 1}",
        1,
    ),
    "gate futures": Format(
        "gate",
        "futures_usdt/trades/202405/BTC_USDT-202405",
        lambda p: f"{seconds(p.us)},{p.number},{p.price},{'-' if p.seller_was_taker else ''}{p.size}",
        1,
    ),
    "kucoin": Format(
        "kucoin",
        "futures/daily/trades/ETHUSDTM/ETHUSDTM-trades-2024-05-02",
        lambda p: f"{p.number},{p.us // 1000},{p.price},{p.size},{'sell' if p.seller_was_taker else 'BUY'}",
        1000,
        "trade_id,trade_time,price,size,side",
    ),
    "coinbase": Format(
        "coinbase",
        "coinbase-BTC-USD-trades-2024-05-02",
        lambda p: json.dumps(
            {
                "trade_id": p.number,
                "side": "buy" if p.seller_was_taker else "sell",
                "size": str(p.size),
                "price": str(p.price),
                "time": f"2024-05-{1 + (p.us // 1_000_000 - MONTH_S) // 86_400:02d}T"
                f"{p.us // 3_600_000_000 % 24:02d}:{p.us // 60_000_000 % 60:02d}:{p.us // 1_000_000 % 60:02d}.{p.us % 1_000_000:06d}Z",
            }
        ),
        1,
        numbered=True,
    ),
    "deribit": Format(
        "deribit",
        "deribit",
        lambda p: json.dumps(
            {
                "trade_seq": p.number,
                "timestamp": p.us // 1000,
                "price": float(p.price),
                "instrument_name": "BTC-PERPETUAL",
                "direction": "sell" if p.seller_was_taker else "buy",
                "amount": float(p.size),
            }
        ),
        1000,
        numbered=True,
    ),
    "hyperliquid": Format(
        "hyperliquid",
        "tape",
        lambda p: json.dumps(
            {
                "coin": "BTC",
                "side": "A" if p.seller_was_taker else "B",
                "px": str(p.price),
                "sz": f"{p.size:f}",
                "time": p.us // 1000,
                "tid": p.number,
            }
        ),
        1000,
    ),
}

PRINTS = st.lists(
    st.builds(
        Print,
        us=st.integers(MONTH_S * 1_000_000, MONTH_S * 1_000_000 + 36 * 3_600_000_000),
        number=st.integers(0, 2**50),
        price=st.decimals("0.01", "99999.99", places=2),
        size=st.integers(1, 10**10).map(lambda n: Decimal(n) / 10**8),
        seller_was_taker=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def write(folder: Path, form: Format, text: str, packing: str) -> Path:
    path = folder / f"{form.place}{packing}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if packing == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inside.csv", text)
    else:
        path.write_bytes(gzip.compress(text.encode()) if packing.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=12, deadline=None)
@given(prints=PRINTS, packed=st.booleans(), ending=st.sampled_from(["\n", "\r\n"]))
def test_a_file_says_what_happened(name: str, prints: list[Print], packed: bool, ending: str) -> None:
    """In any order, with repeats and ties, packed or plain: each trade comes back with its time, amounts, side and line."""
    form = FORMATS[name]
    is_json = form.place in {"deribit", "tape"} or form.source == "coinbase"
    packing = (".jsonl.gz" if packed else ".jsonl") if is_json else (".zip" if packed else ".csv")
    lines = [*([form.header] if form.header else []), *(form.line(each) for each in prints)]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), form, ending.join([*lines, ""]), packing)
        source = family(form.source).source()
        identity = source.recognise(path, Hints())
        assert identity is not None
        batches = list(source.read(path, identity, Hints()))
    assert [row for batch in batches for row in batch.rejects.iter_rows()] == []
    rows = [row for batch in batches for row in batch.frame.iter_rows(named=True)]
    first = 2 if form.header else 1
    assert [row["source_row"] for row in rows] == list(range(first, first + len(prints)))
    assert [row["ts_event_us"] for row in rows] == [each.us // form.stamp_us * form.stamp_us for each in prints]
    assert all(row["ts_local_us"] >= row["ts_event_us"] for row in rows)
    expected = [each.known if form.sided else (*each.known[:2], None) for each in prints]
    assert [(row["price"], row["qty"], row["side"]) for row in rows] == expected
    if form.numbered:
        assert [row["trade_id"] for row in rows] == [each.number for each in prints]
    else:
        assert {row["trade_id"] for row in rows} == {None}


@pytest.mark.parametrize("name", EXCHANGE_CASES)
def test_what_comes_later_changes_no_row(tmp_path: Path, name: str) -> None:
    """A file that ends earlier says the same of what it holds: rows and the times from which they are known."""
    case = EXCHANGE_CASES[name]
    whole = rows_of(read(tmp_path, case, text_of(case, *case.lines)))
    for count in range(1, len(case.lines)):
        assert rows_of(read(tmp_path, case, text_of(case, *case.lines[:count]))) == whole[:count]
