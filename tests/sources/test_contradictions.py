"""Rows of the archive that contradict themselves, their file's name or its form: set aside with the reason, or the file is refused.

Each kind is tried in the middle of good rows, alone in a file, and in both time units.
"""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointline.clock import DAY_US, HOUR_US, MINUTE_US
from pointline.errors import ConfigError, SourceError
from pointline.sources import text_lines
from pointline.sources.base import Hints
from pointline.sources.binance_vision import BinanceVision
from pointline.sources.products import Product

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.sources.base import Batch

DAY = 1_714_521_600_000_000  # 2024-05-01, a Wednesday
SOURCE = BinanceVision()
TRADES = "id,price,qty,quote_qty,time,is_buyer_maker"
KLINES = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
METRICS = (
    "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
    "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
)


@dataclass(frozen=True)
class Form:
    """A dataset: its place, its header, and a good row as column -> text."""

    place: str
    header: str
    good: dict[str, str]

    def row(self, number: int, **changes: str) -> str:
        """The good row, told apart by its id or time, with some columns changed."""
        values = {name: text.format(n=number) for name, text in self.good.items()} | changes
        return ",".join(values[name] for name in self.header.split(","))


def kline(interval: str, us: int, **more: str) -> dict[str, str]:
    """A candle that begins at `DAY`."""
    prices = {"open": "100", "high": "110", "low": "90", "close": "105", "volume": "7", "quote_volume": "700", "count": "3"}
    taken = {"taker_buy_volume": "2", "taker_buy_quote_volume": "200", "ignore": "0"}
    del interval
    return {"open_time": str(DAY // 1000), "close_time": str((DAY + us) // 1000 - 1), **prices, **taken, **more}


UM, CM = "data/futures/um", "data/futures/cm"
FORMS = {
    "trades": Form(
        f"{UM}/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-01",
        TRADES,
        {"id": "{n}", "price": "60000.1", "qty": "0.5", "quote_qty": "30000.05", "time": str(DAY // 1000), "is_buyer_maker": "true"},
    ),
    "inverse": Form(
        f"{CM}/daily/trades/BTCUSD_PERP/BTCUSD_PERP-trades-2024-05-01",
        TRADES.replace("quote", "base"),
        {"id": "{n}", "price": "60000.1", "qty": "7", "base_qty": "0.01166664", "time": str(DAY // 1000), "is_buyer_maker": "true"},
    ),
    "aggTrades": Form(
        f"{UM}/daily/aggTrades/BTCUSDT/BTCUSDT-aggTrades-2024-05-01",
        "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
        {
            "agg_trade_id": "{n}",
            "price": "60000.1",
            "quantity": "0.5",
            "first_trade_id": "{n}0",
            "last_trade_id": "{n}3",
            "transact_time": str(DAY // 1000),
            "is_buyer_maker": "true",
        },
    ),
    "1m": Form(f"{UM}/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-05-01", KLINES, kline("1m", MINUTE_US)),
    "1h": Form(f"{UM}/daily/klines/BTCUSDT/1h/BTCUSDT-1h-2024-05-01", KLINES, kline("1h", HOUR_US)),
    "1w": Form(
        f"{UM}/monthly/klines/BTCUSDT/1w/BTCUSDT-1w-2024-05",
        KLINES,
        kline("1w", 0) | {"open_time": str((DAY + 5 * DAY_US) // 1000), "close_time": str((DAY + 12 * DAY_US) // 1000 - 1)},
    ),
    "mark": Form(f"{UM}/daily/markPriceKlines/BTCUSDT/1m/BTCUSDT-1m-2024-05-01", KLINES, kline("1m", MINUTE_US)),
    "premium": Form(
        f"{UM}/daily/premiumIndexKlines/BTCUSDT/1m/BTCUSDT-1m-2024-05-01",
        KLINES,
        kline("1m", MINUTE_US, open="-0.1", high="0.2", low="-0.3", close="0"),
    ),
    "fundingRate": Form(
        f"{UM}/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-05",
        "calc_time,funding_interval_hours,last_funding_rate",
        {"calc_time": str(DAY // 1000), "funding_interval_hours": "8", "last_funding_rate": "0.00010000"},
    ),
    "metrics": Form(
        f"{UM}/daily/metrics/BTCUSDT/BTCUSDT-metrics-2024-05-01",
        METRICS,
        dict(zip(METRICS.split(","), ("2024-05-01 00:05:00", "BTCUSDT", "80000", "5e9", "1.5", "1.2", "1.7", "0.9"), strict=True)),
    ),
    "bookTicker": Form(
        f"{UM}/daily/bookTicker/BTCUSDT/BTCUSDT-bookTicker-2024-05-01",
        "update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
        {
            "update_id": "{n}",
            "best_bid_price": "60000",
            "best_bid_qty": "1",
            "best_ask_price": "60000.1",
            "best_ask_qty": "2",
            "transaction_time": str(DAY // 1000),
            "event_time": str(DAY // 1000 + 6),
        },
    ),
}

LATER_BY_2_MS = str((DAY + MINUTE_US) // 1000 + 1)
YEAR_2087, YEAR_2001 = "3692217600000", "1000000000001"
CONTRADICTIONS = {
    # dataset, changed columns, column that is named, words of the reason
    "quote quantity of another row": ("trades", {"quote_qty": "31000.05"}, "quote_qty", "contradicts itself"),
    "quote quantity off by a cent": ("trades", {"quote_qty": "30000.06"}, "quote_qty", "contradicts itself"),
    "quote quantity of zero": ("trades", {"quote_qty": "0"}, "quote_qty", "contradicts itself"),
    "quantity ten times": ("trades", {"qty": "5"}, "quote_qty", "contradicts itself"),
    "negative id": ("trades", {"id": "-1"}, "id", "below zero"),
    "trade in 2087": ("trades", {"time": YEAR_2087}, "time", "no time between 2009 and 2050"),
    "trade in 2001": ("trades", {"time": YEAR_2001}, "time", "no time between 2009 and 2050"),
    "trade in nanoseconds": ("trades", {"time": f"{DAY}000"}, "time", "no time between 2009 and 2050"),
    "price that no double holds": (
        "trades",
        {"price": "60000.1000000000001", "quote_qty": "30000.05"},
        "price",
        "more digits than can be held exactly",
    ),
    "quantity that no double holds": ("trades", {"qty": "0.500000000000000001"}, "qty", "more digits"),
    "price and contracts swapped": ("inverse", {"price": "7", "qty": "60000.1"}, "base_qty", "contradicts itself"),
    "base quantity of another row": ("inverse", {"base_qty": "0.02"}, "base_qty", "contradicts itself"),
    "first id above last": ("aggTrades", {"first_trade_id": "99", "last_trade_id": "98"}, "last_trade_id", "below first_trade_id"),
    "negative first id": ("aggTrades", {"first_trade_id": "-1"}, "first_trade_id", "below zero"),
    "negative aggregate": ("aggTrades", {"agg_trade_id": "-5"}, "agg_trade_id", "below zero"),
    "aggregate of nothing": ("aggTrades", {"quantity": "0.0"}, "quantity", "above zero"),
    "high below low": ("1m", {"high": "80"}, "high", "is below"),
    "high below close": ("1m", {"close": "111"}, "high", "is below"),
    "low above open": ("1m", {"low": "102"}, "low", "is above"),
    "negative volume": ("1m", {"volume": "-7"}, "volume", "below zero"),
    "negative quote volume": ("1m", {"quote_volume": "-7"}, "quote_volume", "below zero"),
    "negative count": ("1m", {"count": "-3"}, "count", "below zero"),
    "takers bought more than was traded": ("1m", {"taker_buy_volume": "7.1"}, "taker_buy_volume", "is above volume"),
    "takers paid more than was paid": ("1m", {"taker_buy_quote_volume": "701"}, "taker_buy_quote_volume", "is above quote_volume"),
    "candle of five minutes": ("1m", {"close_time": str((DAY + 5 * MINUTE_US) // 1000 - 1)}, "close_time", "not the end of a 1m candle"),
    "candle that ends two milliseconds late": ("1m", {"close_time": LATER_BY_2_MS}, "close_time", "not the end of a 1m candle"),
    "minute that begins at a half": (
        "1m",
        {"open_time": str(DAY // 1000 + 30_000), "close_time": str(DAY // 1000 + 89_999)},
        "open_time",
        "no start of a 1m candle",
    ),
    "hour that begins at a half": (
        "1h",
        {"open_time": str((DAY + HOUR_US // 2) // 1000), "close_time": str((DAY + 3 * HOUR_US // 2) // 1000 - 1)},
        "open_time",
        "no start of a 1h candle",
    ),
    "week that begins on a Tuesday": (
        "1w",
        {"open_time": str((DAY + 6 * DAY_US) // 1000), "close_time": str((DAY + 13 * DAY_US) // 1000 - 1)},
        "open_time",
        "no start of a 1w candle",
    ),
    "candle of 13 decimals": ("1m", {"volume": "7.0000000000001"}, "volume", "more digits"),
    "candle of a small exponent": ("1m", {"taker_buy_volume": "1e-13"}, "taker_buy_volume", "more digits"),
    "mark price high below low": ("mark", {"high": "80"}, "high", "is below"),
    "premium high below low": ("premium", {"high": "-0.4"}, "high", "is below"),
    "funding of eight": ("fundingRate", {"last_funding_rate": "8.0"}, "last_funding_rate", "more than the whole position"),
    "funding of minus two": ("fundingRate", {"last_funding_rate": "-2.0"}, "last_funding_rate", "more than the whole position"),
    "interval of zero": ("fundingRate", {"funding_interval_hours": "0"}, "funding_interval_hours", "no interval"),
    "negative interval": ("fundingRate", {"funding_interval_hours": "-8"}, "funding_interval_hours", "no interval"),
    "interval of milliseconds": ("fundingRate", {"funding_interval_hours": "28800000"}, "funding_interval_hours", "no interval"),
    "negative open interest": ("metrics", {"sum_open_interest": "-1"}, "sum_open_interest", "below zero"),
    "negative ratio": ("metrics", {"count_long_short_ratio": "-1"}, "count_long_short_ratio", "below zero"),
    "open interest of another symbol": ("metrics", {"symbol": "ETHUSDT"}, "symbol", "another symbol than the file's"),
    "open interest in 2087": ("metrics", {"create_time": "2087-01-01 00:05:00"}, "create_time", "no time between"),
    "open interest at no time": ("metrics", {"create_time": "2024-02-30 00:05:00"}, "create_time", "no time between"),
    "bid above ask": ("bookTicker", {"best_bid_price": "60000.2"}, "best_ask_price", "is below best_bid_price"),
    "negative update": ("bookTicker", {"update_id": "-6"}, "update_id", "below zero"),
    "quote sent two hours later": ("bookTicker", {"event_time": str((DAY + 2 * HOUR_US) // 1000)}, "event_time", "more than an hour"),
    "quote sent in another unit": ("bookTicker", {"event_time": str(DAY)}, "event_time", "more than an hour"),
}


def write(folder: Path, place: str, text: bytes, ending: str = ".zip", *, member: str | None = None) -> Path:
    path = folder / f"{place}{ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if ending == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member or f"{path.stem}.csv", text)
    else:
        path.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    return path


def read(path: Path, hints: Hints | None = None) -> list[Batch]:
    hints = hints or Hints()
    identity = SOURCE.recognise(path, hints)
    assert identity is not None
    return list(SOURCE.read(path, identity, hints))


def text_of(form: Form, rows: list[str], *, header: bool = True) -> bytes:
    return "".join(f"{line}\n" for line in ([form.header] if header else []) + rows).encode()


def found(batches: list[Batch]) -> tuple[list[int], list[tuple[int, str, str]]]:
    """Lines that were accepted, and line, column and reason of the others."""
    lines = [line for batch in batches for line in batch.frame["source_row"].to_list()]
    return lines, [row for batch in batches for row in batch.rejects.select("line", "column", "reason").rows()]


@pytest.mark.parametrize("name", FORMS)
def test_good_rows_are_accepted(tmp_path: Path, name: str) -> None:
    form = FORMS[name]
    for ending in (".zip", ".csv", ".csv.gz"):
        lines, rejects = found(read(write(tmp_path, form.place, text_of(form, [form.row(n) for n in range(1, 6)]), ending)))
        assert (lines, rejects) == ([2, 3, 4, 5, 6], [])


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_row_that_contradicts_itself_is_set_aside(tmp_path: Path, name: str) -> None:
    dataset, changes, column, words = CONTRADICTIONS[name]
    form = FORMS[dataset]
    rows = [form.row(1), form.row(2), form.row(3, **changes), form.row(4)]
    lines, rejects = found(read(write(tmp_path, form.place, text_of(form, rows))))
    assert lines == [2, 3, 5]
    ((line, where, reason),) = rejects
    assert (line, where) == (4, column)
    assert words in reason


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_a_file_of_such_rows_is_refused(tmp_path: Path, name: str) -> None:
    dataset, changes, column, words = CONTRADICTIONS[name]
    form = FORMS[dataset]
    rows = [form.row(1), *(form.row(n, **changes) for n in range(2, 5))]
    with pytest.raises(SourceError, match="nothing of the file was stored") as caught:
        read(write(tmp_path, form.place, text_of(form, rows)))
    assert words in caught.value.what
    assert f"line 3, column {column}" in str(caught.value.where)


@pytest.mark.parametrize("name", [name for name, (dataset, *_) in CONTRADICTIONS.items() if dataset != "metrics"])
@pytest.mark.parametrize("size", [1, 100])
def test_the_size_of_blocks_does_not_matter(tmp_path: Path, name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset, changes, *_ = CONTRADICTIONS[name]
    form = FORMS[dataset]
    path = write(tmp_path, form.place, text_of(form, [form.row(1), form.row(2), form.row(3, **changes), form.row(4)]))
    whole = found(read(path))
    monkeypatch.setattr(text_lines, "BLOCK_BYTES", size)
    assert found(read(path)) == whole


def microseconds(form: Form, row: str) -> str:
    """The same row with its times in microseconds."""
    values = dict(zip(form.header.split(","), row.split(","), strict=True))
    for name in ("time", "transact_time", "open_time", "transaction_time", "event_time", "calc_time"):
        if name in values:
            values[name] += "000"
    if "close_time" in values:
        values["close_time"] += "999"
    return ",".join(values.values())


OF_A_UNIT = ("nanoseconds", "another unit")  # these contradictions are about the unit itself


@pytest.mark.parametrize(
    "name",
    [name for name, (dataset, *_) in CONTRADICTIONS.items() if dataset != "metrics" and not any(unit in name for unit in OF_A_UNIT)],
)
def test_the_unit_does_not_matter(tmp_path: Path, name: str) -> None:
    dataset, changes, column, words = CONTRADICTIONS[name]
    form = FORMS[dataset]
    rows = [microseconds(form, row) for row in (form.row(1), form.row(2), form.row(3, **changes), form.row(4))]
    lines, rejects = found(read(write(tmp_path, form.place, text_of(form, rows))))
    assert lines == [2, 3, 5]
    assert [(line, where) for line, where, _ in rejects] == [(4, column)]
    assert words in rejects[0][2]


@given(
    price=st.integers(1, 10**9),
    qty=st.integers(1, 10**9),
    price_decimals=st.integers(0, 8),
    qty_decimals=st.integers(0, 8),
    printed=st.integers(2, 16),
    off=st.integers(-3, 3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_quote_quantity_may_be_cut_to_its_decimals_and_no_more(
    tmp_path: Path, price: int, qty: int, price_decimals: int, qty_decimals: int, printed: int, off: int
) -> None:
    """Cut off at any number of decimals it passes; off by more than a unit of the last one it does not, where doubles can tell."""
    form = FORMS["trades"]
    first, second = Decimal(price).scaleb(-price_decimals), Decimal(qty).scaleb(-qty_decimals)
    unit = Decimal(1).scaleb(-min(printed, 8))
    cut = (first * second) // unit * unit + off * unit
    values = {"price": f"{first:f}", "qty": f"{second:f}", "quote_qty": f"{cut:.{min(printed, 8)}f}"}
    lines, rejects = found(read(write(tmp_path, form.place, text_of(form, [form.row(1), form.row(2, **values)]))))
    error = abs(first * second - cut)
    if off == 0:
        assert rejects == []
    elif error >= Decimal("1.1") * unit + abs(first * second) * Decimal("1e-14"):
        assert [reject[0] for reject in rejects] == [3]
    assert len(lines) + len(rejects) == 2


def test_an_inverse_row_may_fit_the_contract_size_that_comes_less_near() -> None:
    """1 contract of 100 at 52.244 is 1.914…, cut off 1; one of 10 would be 0.19…, which comes nearer but is not rounded up so far."""
    product = Product("price", "qty", "base_qty", (10.0, 100.0))
    rows = [(52.244, 1e-8, "0.00000001"), (52.244, 1e-8, "0.00000003"), (20.0, 4e-8, "0.00000020"), (20.0, 4e-8, "0.00000009")]
    prices, contracts, texts = zip(*rows, strict=True)
    frame = pl.DataFrame({"price": prices, "qty": contracts, "base_qty": [float(text) for text in texts]})
    assert product.is_suspect(frame)
    assert product.contradicts(frame, pl.Series(texts)).to_list() == [False, True, False, True]


# --- names ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("symbol", ["币安人生USDT", "ΩUSDT", "1000SHIBUSDT", "BTCUSDT_250328", "ÄÖUSDT"])
@pytest.mark.parametrize("prefix", ["", "futures-", "futures-um-klines-"])
def test_symbols_are_read_as_they_are(tmp_path: Path, symbol: str, prefix: str) -> None:
    path = tmp_path / f"data/futures/um/daily/trades/{symbol}/{prefix}{symbol}-trades-2024-05-01.zip"
    identity = SOURCE.recognise(path, Hints())
    assert identity is not None
    assert (identity.symbol, identity.exchange, identity.dataset) == (symbol, "binance-futures", "trades")


@pytest.mark.parametrize(("text", "period"), [("2020-8", "2020-08"), ("2020-08", "2020-08"), ("2020-8-1", "2020-08-01")])
def test_a_period_without_zeros_is_the_same_period(tmp_path: Path, text: str, period: str) -> None:
    identity = SOURCE.recognise(tmp_path / f"BTCUSDT-trades-{text}.zip", Hints(exchange="binance-futures"))
    assert identity is not None
    assert identity.period == period


@pytest.mark.parametrize(
    "name",
    [
        "BTCUSDT-trades-2020-13.zip",
        "BTCUSDT-trades-2020-00.zip",
        "BTCUSDT-trades-2023-02-29.zip",
        "BTCUSDT-trades-1999-01-01.zip",
        "BTCUSDT-trades-20200801.zip",
        "BTCUSDT-trades-2020.zip",
        "BTCUSDT-trades-2020-08-01 (1).zip",
        "BTCUSDT-1m-2020-08-01_copy.csv",
        "btcusdt-trades-2020-08-01.zip",
        "BTC+USDT-trades-2020-08-01.zip",
        "-trades-2020-08-01.zip",
    ],
)
def test_a_name_that_only_looks_like_one_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match="none that the archive gives") as caught:
        SOURCE.recognise(tmp_path / name, Hints(exchange="binance-futures"))
    assert caught.value.value == name
    hints = Hints(exchange="binance-futures", dataset="trades", symbol="BTCUSDT", period="2020-08-01")
    assert SOURCE.recognise(tmp_path / name, hints) is not None  # said by hand it may have any name


def test_stray_names_in_the_archive_s_folders_are_refused_and_other_datasets_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data/spot/monthly/trades/BTCUSDT"
    with pytest.raises(SourceError, match="none that the archive gives"):
        SOURCE.recognise(folder / "part-00000-7d1c.zip", Hints())
    assert SOURCE.recognise(tmp_path / "part-00000-7d1c.zip", Hints()) is None
    depth = tmp_path / "data/futures/um/daily/bookDepth/BTCUSDT/BTCUSDT-bookDepth-2024-05-01.zip"
    assert SOURCE.recognise(depth, Hints()) is None


@pytest.mark.parametrize("period", ["soon", "2024", "2024-13", "2024-05-32", "2024-05-01T00", ""])
def test_a_period_that_is_none_is_refused(tmp_path: Path, period: str) -> None:
    hints = Hints(exchange="binance-futures", dataset="trades", symbol="BTCUSDT", period=period)
    with pytest.raises(ConfigError, match="--period"):
        SOURCE.recognise(tmp_path / "download.zip", hints)


@pytest.mark.parametrize(
    "place",
    [
        "data/futures/um/daily/trades/ETHUSDT/BTCUSDT-trades-2024-05-01.zip",
        "data/futures/um/monthly/trades/BTCUSDT/BTCUSDT-trades-2024-05-01.zip",
        "data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05.zip",
        "data/futures/um/daily/aggTrades/BTCUSDT/BTCUSDT-trades-2024-05-01.zip",
        "data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-5m-2024-05-01.zip",
        "data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-trades-2024-05-01.zip",
    ],
)
def test_name_and_folder_must_agree(tmp_path: Path, place: str) -> None:
    with pytest.raises(SourceError, match="name and folder"):
        SOURCE.recognise(tmp_path / place, Hints())


@pytest.mark.parametrize(
    ("dataset", "member", "agrees"),
    [
        ("trades", "ETHUSDT-trades-2024-05-01.csv", False),
        ("trades", "BTCUSDT-aggTrades-2024-05-01.csv", False),
        ("trades", "BTCUSDT-trades-2024-05-02.csv", False),
        ("trades", "BTCUSDT-trades-2024-05.csv", False),
        ("trades", "BTCUSDT-1m-2024-05-01.csv", False),
        ("trades", "some/folder/ETHUSDT-trades-2024-05-01.csv", False),
        ("trades", "币安人生USDT-trades-2024-05-01.csv", False),
        ("trades", "BTCUSDT-trades-2024-5-1.csv", True),
        ("trades", "export.csv", True),
        ("1m", "BTCUSDT-5m-2024-05-01.csv", False),
        ("1m", "BTCUSDT-1m-2024-05-01.csv", True),
    ],
)
def test_the_file_inside_must_be_the_one_that_the_name_says(tmp_path: Path, dataset: str, member: str, agrees: bool) -> None:
    form = FORMS[dataset]
    text = text_of(form, [form.row(1), form.row(2)])
    packed = write(tmp_path, form.place, text, member=member)
    gz = write(tmp_path, form.place, text, ".csv.gz")
    with gz.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw) as stream:
        stream.write(text)
    content = gz.read_bytes()
    gz.write_bytes(content[:3] + b"\x08" + content[4:10] + member.encode() + b"\0" + content[10:])
    for path in (packed, gz):
        if agrees:
            assert found(read(path))[0] == [2, 3]
        else:
            with pytest.raises(SourceError, match="the file inside is another one") as caught:
                read(path)
            assert caught.value.value == member


def test_a_member_s_name_in_utf8_without_its_flag_is_read(tmp_path: Path) -> None:
    place = "data/futures/um/daily/trades/币安人生USDT/币安人生USDT-trades-2024-05-01"
    form = FORMS["trades"]
    path = write(tmp_path, place, text_of(form, [form.row(1)]))
    content = path.read_bytes()
    assert content.count(b"\x00\x08") >= 2  # the flag, in header and directory
    directory = content.index(b"PK\x01\x02")
    patched = bytearray(content)
    patched[7] &= ~0x08
    patched[directory + 9] &= ~0x08
    path.write_bytes(patched)
    assert found(read(path))[0] == [2]


# --- columns that have changed places, files that end too early ----------------------------------------------------------------------


def test_price_and_quantity_in_each_other_s_place_are_refused(tmp_path: Path) -> None:
    form = FORMS["trades"]
    swapped, right = [], []
    for n in range(1, 300):
        price, qty = Decimal(60_000 + n * 7919 % 97), Decimal(1 + n * 7919 % 997) / 1000
        values = {"quote_qty": f"{price * qty}"}
        right.append(form.row(n, price=str(price), qty=str(qty), **values))
        swapped.append(form.row(n, price=str(qty), qty=str(price), **values))
    assert len(found(read(write(tmp_path, form.place, text_of(form, right))))[0]) == 299
    with pytest.raises(SourceError, match="changed places"):
        read(write(tmp_path, form.place, text_of(form, swapped)))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_plain_file_that_was_cut_anywhere_gives_no_other_row(tmp_path: Path, name: str, header: bool, count: int) -> None:
    """Every row that is accepted of a part of a file stands in the whole file; what is left of the last line is set aside."""
    form = FORMS[name]
    rows = [form.row(n) for n in range(1, count + 1)]
    text = text_of(form, rows, header=header)
    whole = {row for batch in read(write(tmp_path, form.place, text, ".csv")) for row in batch.frame.rows()}
    for end in range(text.index(b"\n") + 2, len(text)):
        try:
            batches = read(write(tmp_path, form.place, text[:end], ".csv"))
        except SourceError:
            continue
        assert {row for batch in batches for row in batch.frame.rows()} <= whole
        lines = text[:end].count(b"\n") - header + (not text[:end].endswith(b"\n"))
        assert sum(batch.frame.height + batch.rejects.height for batch in batches) == lines
