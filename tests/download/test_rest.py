"""Histories by REST: asked page by page until a day is proven whole, and stored in a form that the sources read."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.running import run as cli
from tests.download.server import Archive, Server
from tests.download.venues import DAY_MS, HOUR_MS, MAY_1_MS, Venues, json_bytes, market, payments

import pointline
from pointline.download import get_targets, targets_of
from pointline.download.archives import FUNDING_HISTORY
from pointline.download.json_text import decode
from pointline.download.rest import RestFile
from pointline.download.rest_trades import CoinbaseTrades, DeribitTrades
from pointline.download.transport import Manners, Transport
from pointline.errors import ConfigError, NotPublishedError, WrongContentError
from pointline.lake.store import as_lake, open_lake
from pointline.updates import lacking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl
    from tests.download.conftest import Rig

    from pointline.download.report import DownloadReport
    from pointline.download.rest import RestAsker, RestQuestion

MAY_3_MS = MAY_1_MS + 2 * DAY_MS
NOW_US = 1_735_689_600_000_000  # 2025-01-01
SYMBOLS = {
    "bybit": "BTCUSDT",
    "coinbase": "BTC-USD",
    "deribit": "BTC-PERPETUAL",
    "gate-futures": "BTC_USDT",
    "hyperliquid": "BTC",
    "kraken-futures": "PF_XBTUSD",
    "kucoin-futures": "XBTUSDTM",
}
HOURS = {"bybit": 8, "deribit": 1, "gate-futures": 8, "hyperliquid": 1, "kraken-futures": 1, "kucoin-futures": 8}


@pytest.fixture
def venues(rig: Rig) -> Venues:
    made = Venues(trades=market())
    rig.archive.misdeeds.append(made.answer)
    return made


def run(
    rig: Rig,
    exchange: str,
    kind: str,
    start: str = "2024-05-01",
    end: str = "2024-05-04",
    *,
    now_us: int = NOW_US,
    **options: Any,  # noqa: ANN401 - those of get_targets
) -> DownloadReport:
    targets = targets_of(exchange, SYMBOLS[exchange], kind, start, end)
    return get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=now_us, **options)


def lines(rig: Rig, key: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(rig.stored()[key]).splitlines()]


def scan(lake: Path, kind: str, exchange: str) -> pl.DataFrame:
    return open_lake(lake).scan(kind, exchange, SYMBOLS[exchange], 0, NOW_US).collect().sort("ts_event_us", "source_row")


def day_key(exchange: str, day: int) -> str:
    return f"{exchange}/trades/{SYMBOLS[exchange]}/{exchange}-{SYMBOLS[exchange]}-trades-2024-05-{day:02d}.jsonl.gz"


@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_days_of_trades_have_every_trade_once(rig: Rig, venues: Venues, exchange: str) -> None:
    venues.page = 7
    report = run(rig, exchange, "trades")
    assert report.counts == {"fetched": 3}
    assert {file.verified_by for file in report.files} == {"ids"}
    assert (report.missing, report.exit_code) == ((), 0)
    number = {"deribit": "trade_seq", "coinbase": "trade_id"}[exchange]
    for day in (1, 2, 3):
        start_ms = MAY_1_MS + (day - 1) * DAY_MS
        expected = [n for n, trade in venues.trades.items() if start_ms <= trade[0] < start_ms + DAY_MS]
        assert len(expected) == 40
        assert [row[number] for row in lines(rig, day_key(exchange, day))] == expected


@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_a_second_run_asks_for_nothing_that_is_there(rig: Rig, venues: Venues, exchange: str) -> None:
    run(rig, exchange, "trades")
    before = rig.stored()
    venues.asked.clear()
    assert run(rig, exchange, "trades").counts == {"held": 3}
    assert run(rig, exchange, "trades", verify=True).counts == {"checked": 3}
    assert venues.asked == []
    (rig.folder / day_key(exchange, 2)).unlink()
    venues.page = 5
    assert run(rig, exchange, "trades").counts == {"fetched": 1, "held": 2}
    assert rig.stored() == before, "other pages, the same bytes"


@pytest.mark.usefixtures("venues")
def test_progress_counts_files_where_no_size_is_known(rig: Rig) -> None:
    told: list[tuple[int, int, str]] = []
    run(rig, "deribit", "trades", progress=lambda *what: told.append(what))
    assert {total for _, total, _ in told} == {3}
    assert (min(done for done, *_ in told), max(done for done, *_ in told)) == (0, 3)


@pytest.mark.usefixtures("venues")
def test_numbers_stay_as_they_are_written(rig: Rig) -> None:
    run(rig, "deribit", "trades", end="2024-05-02")
    first = gzip.decompress(rig.stored()[day_key("deribit", 1)]).split(b"\n")[0]
    assert first == (
        b'{"amount":410,"direction":"buy","index_price":60000.10,"instrument_name":"BTC-PERPETUAL","price":60040.50,'
        b'"timestamp":1714521600000,"trade_id":"900041","trade_seq":41}'
    )


@pytest.mark.parametrize("exchange", HOURS)
def test_funding_comes_in_months_that_are_over_and_days_of_the_present_one(rig: Rig, venues: Venues, exchange: str) -> None:
    venues.payments = payments(HOURS[exchange], days=38)
    june_4_us = (MAY_1_MS + 34 * DAY_MS + 30 * 60_000) * 1000
    report = run(rig, exchange, FUNDING_HISTORY, "2024-05-10", "2024-06-05", now_us=june_4_us)
    assert [file.period for file in report.files] == ["2024-05", "2024-06-01", "2024-06-02"]
    assert {file.verified_by for file in report.files} == {"pages"}
    assert [(gap.first, gap.last, gap.pending) for gap in report.missing] == [("2024-06-03", "2024-06-04", True)]
    assert report.exit_code == 0
    counts = [len(gzip.decompress(path.read_bytes()).splitlines()) for path in report.paths]
    per_day = 24 // HOURS[exchange]
    assert counts == [31 * per_day, per_day, per_day]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Venues, Path]:
    """A lake with two days of everything: Deribit as it is typed, the others into the same folder and then in together."""
    folder, lake = tmp_path_factory.mktemp("rest"), tmp_path_factory.mktemp("lake") / "lake"
    archive, venues = Archive(), Venues(trades=market(), payments=payments(1, days=7))
    archive.misdeeds.append(venues.answer)
    now_us = (MAY_3_MS + 2 * HOUR_MS) * 1000
    manners = Manners(requests_per_s=1e6)
    with Server(archive) as server, Transport(manners) as transport, pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transport, "slow_down", lambda *_: None)
        patch.setattr(time, "time_ns", lambda: now_us * 1000)
        wanted = ("--symbols", "BTC-PERPETUAL", "--kinds", "trades,funding", "--start", "2024-05-01", "--end", "2024-05-03")
        places = ("--folder", folder, "--base-url", server.url, "--lake", lake)
        found = cli("download", "--exchange", "deribit", *wanted, *places, "--ingest")
        assert (found.code, found.err) == (0, "")
        for exchange in sorted(SYMBOLS.keys() - {"deribit"}):
            targets = targets_of(
                exchange, SYMBOLS[exchange], "trades" if exchange == "coinbase" else FUNDING_HISTORY, "2024-05-01", "2024-05-03"
            )
            report = get_targets(targets, transport=transport, folder=folder, base_url=server.url, now_us=now_us)
            assert (report.counts, report.exit_code) == ({"fetched": 2}, 0)
    pointline.ingest(folder, lake=lake)
    return venues, lake


@pytest.mark.parametrize("exchange", HOURS)
def test_funding_goes_into_the_lake_payment_by_payment(filled: tuple[Venues, Path], exchange: str) -> None:
    venues, lake = filled
    rows = scan(lake, "funding", exchange)
    expected = [one for one in venues.payments if MAY_1_MS <= one[0] < MAY_3_MS]
    assert len(expected) == 48
    assert rows["ts_event_us"].to_list() == [at * 1000 for at, _ in expected]
    assert rows["funding_us"].to_list() == [at * 1000 for at, _ in expected]
    assert rows["funding_rate"].to_list() == [float(rate) for _, rate in expected]
    assert set(rows["interval_hours"].to_list()) == {1.0 if exchange == "deribit" else None}


@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_trades_go_into_the_lake_field_by_field(filled: tuple[Venues, Path], exchange: str) -> None:
    venues, lake = filled
    rows = scan(lake, "trades", exchange)
    expected = {n: trade for n, trade in venues.trades.items() if MAY_1_MS <= trade[0] < MAY_3_MS}
    shift = {"deribit": 0, "coinbase": 1}[exchange]  # the test server's Coinbase adds the number to the microseconds
    assert rows["trade_id"].to_list() == list(expected)
    assert rows["ts_event_us"].to_list() == [at * 1000 + shift * (n % 1000) for n, (at, *_) in expected.items()]
    for column, at in (("price", 1), ("qty", 2)):
        amounts = [Decimal(n).scaleb(-places) for n, places in rows.select(f"{column}_int", f"{column}_decimals").iter_rows()]
        assert amounts == [Decimal(str(trade[at])) for trade in expected.values()]
    assert rows["side"].to_list() == [sold for *_, sold in expected.values()]


def test_a_dry_run_says_the_days_and_that_their_bytes_are_not_known(rig: Rig, venues: Venues) -> None:
    wanted = ("--symbols", "BTC-PERPETUAL", "--kinds", "trades", "--start", "2024-05-01", "--end", "2024-05-03")
    found = cli("download", "--exchange", "deribit", *wanted, "--folder", rig.folder, "--base-url", rig.url, "--dry-run")
    assert (found.code, found.err) == (0, "")
    assert "2 planned; 0 bytes and 2 files of unknown size" in " ".join(found.out.split())
    assert "BTC-PERPETUAL-trades-2024-05-02" in "".join(found.out.split())
    assert (venues.asked, rig.folder.exists()) == ([], False)


def test_hosts_are_asked_at_their_pace(rig: Rig, venues: Venues) -> None:
    venues.payments = payments(1)
    run(rig, "hyperliquid", "funding", "2024-05-01", "2024-06-01")
    assert len(venues.asked) == 2
    assert rig.waits.now_s == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("exchange", "kind", "symbol", "said"),
    [
        ("coinbase", "funding", "BTC-USD", "no such kind"),
        ("deribit", "quotes", "BTC-PERPETUAL", "no such kind"),
        ("bybit", "quotes", "BTCUSDT", "no such kind"),
        ("bybit-spot", "funding", "BTCUSDT", "no such kind"),
        ("nowhere", "trades", "BTC", "no archive of this exchange"),
        ("deribit", "trades", "../BTC", "no symbol"),
    ],
)
def test_what_nobody_has_is_refused(rig: Rig, exchange: str, kind: str, symbol: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        get_targets(targets_of(exchange, symbol, kind, "2024-05-01", "2024-05-02"), transport=rig.transport, folder=rig.folder)


class Told:
    """Answers questions without a server."""

    def __init__(self, venues: Venues) -> None:
        self.venues = venues

    def ask(self, question: RestQuestion, read: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        return read(decode(json_bytes(self.venues.document(f"/{question.path}", dict(question.query or {}))), "here"))


@settings(max_examples=60, deadline=None)
@given(
    offsets=st.lists(st.integers(-3, 12), min_size=1, max_size=40),
    first=st.integers(2, 9),
    page=st.integers(1, 6),
)
@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_whatever_the_market_a_day_is_whole_or_refused(exchange: str, offsets: list[int], first: int, page: int) -> None:
    """Offsets are milliseconds from the day's start; those from 8 on lie in the next day."""
    times = [MAY_1_MS + (at if at < 8 else DAY_MS + at) for at in sorted(offsets)]
    trades = {first + n: (at, "60000.5", "1", True) for n, at in enumerate(times)}
    if exchange == "coinbase":
        trades |= dict.fromkeys(range(1, first), (MAY_1_MS - DAY_MS, "1", "1", True))
    history = DeribitTrades() if exchange == "deribit" else CoinbaseTrades()
    file = RestFile(
        url="u", key="k", exchange=exchange, symbol="X", dataset="trades", period="2024-05-01",
        history=history, start_us=MAY_1_MS * 1000, end_us=(MAY_1_MS + DAY_MS) * 1000, now_us=NOW_US,
    )  # fmt: skip
    written: list[dict[str, Any]] = []
    inside = [n for n, trade in sorted(trades.items()) if MAY_1_MS <= trade[0] < MAY_1_MS + DAY_MS]
    told = cast("RestAsker", Told(Venues(trades=trades, page=page)))
    number = {"deribit": "trade_seq", "coinbase": "trade_id"}[exchange]
    refused: WrongContentError | None = None
    proof = ""
    try:
        proof = history.write_rows(told, file, written.extend)
    except NotPublishedError:
        assert inside == []
        return
    except WrongContentError as error:
        refused = error
    if refused is None:
        assert [int(row[number]) for row in written] == inside != []
        assert (proof == "ids") == any(trade[0] >= MAY_1_MS + DAY_MS for trade in trades.values())
        return
    crowded = max(Counter(at for at in times if 0 <= at - MAY_1_MS < DAY_MS).values(), default=0) >= page
    unknown_start = not any(trade[0] < MAY_1_MS for trade in trades.values())
    assert exchange == "deribit"
    assert (crowded and "do not go on" in refused.what) or (unknown_start and "missing" in refused.what)


def test_an_update_goes_on_with_histories(filled: tuple[Venues, Path]) -> None:
    """Each goes on from its own newest day, with its own dataset."""
    targets = lacking(as_lake(filled[1]), (MAY_3_MS + 2 * DAY_MS) * 1000)
    days = ("2024-05-03", "2024-05-04")
    assert {(one.exchange, one.symbol, one.dataset, one.days, one.archive) for one in targets} == {
        *((exchange, SYMBOLS[exchange], FUNDING_HISTORY, days, "") for exchange in HOURS),
        *((exchange, SYMBOLS[exchange], "trades", days, "") for exchange in ("coinbase", "deribit")),
    }
