"""Days of which only longer candles are there: what is said of them, and that it is what the view leaves out."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from tests.archives import trades_archive
from tests.sql.markets import Candle, candles_archives, lake_with, walk

from pointline import sql
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.sql import process
from pointline.sql.catalogue import build_catalogue, copy_catalogue
from pointline.sql.coarse_candles import CoarseCandles, _CoarseMarket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.lake.store import Lake

pytestmark = pytest.mark.filterwarnings("ignore::pointline.errors.QueryNote")  # what is left out is told; not what is looked at here


FIRST = to_us("2024-12-01")
LENGTHS = (1, 5, 30, 60, 240, 720, 1_440)


def day(n: int) -> int:
    return FIRST + n * DAY_US


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """One market with minutes, hours, days and trades on different days; one with hours alone, with a hole; one with minutes alone."""
    folder = tmp_path_factory.mktemp("coarse")
    spot, futures = ("binance-spot", "BTCUSDT"), ("binance-futures", "ETHUSDT")
    holed = [candle for candle in walk(day(0), 10 * 24, HOUR_US) if not day(4) <= candle.start_us < day(6)]
    paths = [
        *candles_archives(folder, *spot, "1m", walk(day(0), 1_500, MINUTE_US)),  # the second day's first hour only
        *candles_archives(folder, *spot, "1h", walk(day(1), 3 * 24, HOUR_US)),
        *candles_archives(folder, *spot, "1d", [Candle(day(n), *["1"] * 4) for n in (3, 4, 5, 6)]),
        trades_archive(folder, *spot, day(6), [(day(6), "1", "1", False)]),
        *candles_archives(folder, *futures, "1h", holed),
        *candles_archives(folder, "binance-spot", "SOLUSDT", "1m", walk(day(0), 3, MINUTE_US)),
    ]
    return lake_with(folder, paths)


@pytest.fixture
def folder(lake: Lake, tmp_path: Path) -> Iterator[Path]:
    process.close()
    yield build_catalogue(lake, tmp_path / "catalogue").folder
    process.close()


def test_a_minute_is_not_made_of_hours(folder: Path) -> None:
    coarse = CoarseCandles.load(folder)
    assert coarse.sentences(1) == [
        "binance BTC-USDT has only candles of 60 minutes from 2024-12-03 to 2024-12-04; candles of 1 minute leave these days out",
        "binance BTC-USDT has only candles of 1440 minutes from 2024-12-05 to 2024-12-06; candles of 1 minute leave these days out",
        (
            "binance-usdm-future ETH-USDT has only candles of 60 minutes on 8 days from 2024-12-01 to 2024-12-10; "
            "candles of 1 minute leave these days out"
        ),
    ]
    assert coarse.sentences(60) == [
        "binance BTC-USDT has only candles of 1440 minutes from 2024-12-05 to 2024-12-06; candles of 60 minutes leave these days out"
    ]
    assert coarse.sentences(1_440) == coarse.sentences(10_080) == []


@pytest.mark.parametrize(
    ("literals", "markets"),
    [
        ([], {"BTC-USDT", "ETH-USDT"}),
        (["something", "2024-12-01"], {"BTC-USDT", "ETH-USDT"}),
        (["binance"], {"BTC-USDT"}),
        (["binance-usdm-future", "binance"], {"BTC-USDT", "ETH-USDT"}),
        (["ETH-USDT"], {"ETH-USDT"}),
        (["ETH%"], {"ETH-USDT"}),
        (["%USDT"], {"BTC-USDT", "ETH-USDT"}),
        (["SOL-USDT"], set()),
        (["binance", "ETH-USDT"], set()),
        (["2024-12-01", "2024-12-02 12:00:00"], {"ETH-USDT"}),
        (["2024-12-05", "2024-12-06", "2024-13-45"], {"BTC-USDT"}),
        (["2020-01-01", "2020-12-31"], set()),
    ],
)
def test_the_texts_of_a_statement_say_what_it_is_about(folder: Path, literals: list[str], markets: set[str]) -> None:
    assert {sentence.split()[1] for sentence in CoarseCandles.load(folder).sentences(1, literals)} == markets


@pytest.mark.parametrize("minutes", LENGTHS)
def test_what_is_said_is_what_the_view_leaves_out(lake: Lake, minutes: int, tmp_path: Path) -> None:
    text = "SELECT DISTINCT exchange, market, toDate(start) AS day FROM api.ohlcv(candle_duration_in_minutes = {n:UInt32})"
    served = set(sql.query(text, lake=lake, n=minutes).rows())
    dates = [dt.date(2024, 12, 1) + dt.timedelta(days=n) for n in range(10)]
    held = {
        *(("binance", "BTC-USDT", date) for date in dates[:7]),
        *(("binance-usdm-future", "ETH-USDT", date) for date in dates if date not in dates[4:6]),
        ("binance", "SOL-USDT", dates[0]),
    }
    assert served <= held
    process.close()
    coarse = CoarseCandles.load(build_catalogue(lake, tmp_path / "catalogue").folder)
    said = set()
    for exchange, market in {row[:2] for row in held}:
        for date in dates:
            window = [exchange, market, str(date), str(date)]
            if coarse.sentences(minutes, window):
                said.add((exchange, market, date))
    assert said == held - served


def test_three_sentences_and_a_count() -> None:
    days = {3_600: ((20_000, 20_000),)}
    one_day = CoarseCandles(("a",), ("m0", "m1", "m2", "m3", "m4"), tuple(_CoarseMarket("a", f"m{n}", days) for n in range(5)))
    assert one_day.sentences(1)[2:] == [
        "a m2 has only candles of 60 minutes on 2024-10-04; candles of 1 minute leave this day out",
        "and 2 more such cases",
    ]
    assert len(CoarseCandles(("a",), ("m0",), one_day.markets[:3]).sentences(1)) == 3
    assert CoarseCandles((), (), one_day.markets[:4]).sentences(30)[3] == "and 1 more such case"


def test_it_goes_with_a_copy_and_may_be_absent(folder: Path, tmp_path: Path) -> None:
    from pointline.sql.catalogue import open_catalogue

    copy = copy_catalogue(open_catalogue(folder), tmp_path / "copy")
    assert CoarseCandles.load(copy.folder) == CoarseCandles.load(folder) != CoarseCandles((), (), ())
    assert CoarseCandles.load(tmp_path) == CoarseCandles((), (), ())
