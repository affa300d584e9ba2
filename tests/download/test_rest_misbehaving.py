"""REST interfaces that misbehave: what is not proven whole is not stored, or says what could not be proven."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.download.test_rest import NOW_US, day_key, run
from tests.download.venues import DAY_MS, HOUR_MS, MAY_1_MS, Venues, json_bytes, market, payments

from pointline.download import get_targets, targets_of
from pointline.download.archives import FUNDING_HISTORY
from pointline.download.transport import Manners, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.download.conftest import Rig
    from tests.download.server import Handler

    Change = Callable[[Handler, Any], Any]

MAY_2 = ("2024-05-01", "2024-05-02")


@pytest.fixture
def venues(rig: Rig) -> Venues:
    made = Venues(trades=market(days=3, per_day=20), payments=payments(8), page=6)
    rig.archive.misdeeds.append(made.answer)
    return made


def late(change: Change, times: int = 1_000) -> Change:
    """Misbehaves in the middle of a day: from the fourth answer on."""
    seen = [0]

    def changed(handler: Handler, document: Any) -> Any:  # noqa: ANN401
        seen[0] += 1
        return change(handler, document) if 4 <= seen[0] < 4 + times else document

    return changed


def status(code: int, headers: dict[str, str] | None = None) -> Change:
    return lambda handler, _: handler.send(code, b"<html>no</html>", headers or {})


def instead(body: bytes) -> Change:
    return lambda _, __: body


def cut(_: Handler, document: Any) -> bytes:  # noqa: ANN401
    return json_bytes(document)[:-30]


def broken_off(handler: Handler, document: Any) -> None:  # noqa: ANN401
    body = json_bytes(document)
    handler.break_off(body[:-30], length=len(body))


def reset(handler: Handler, document: Any) -> None:  # noqa: ANN401
    body = json_bytes(document)
    handler.send(200, body[:20], {}, length=len(body))
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


HTML = instead(b"<!DOCTYPE html><html>maintenance</html>")
TWICE = instead(b'{"result": {"trades": [], "trades": [], "has_more": false}}')
ANYWHERE: dict[str, tuple[Change, str, int]] = {
    "403": (status(403), "blocked", 4),
    "404": (status(404), "not_published", 1),
    "429": (status(429), "blocked", 4),
    "429 for a day": (status(429, {"Retry-After": "86400"}), "blocked", 4),
    "500": (status(500), "failed", 5),
    "400": (status(400), "failed", 5),
    "HTML": (HTML, "refused", 3),
    "nothing": (instead(b""), "refused", 3),
    "no number": (instead(b'{"result": {"trades": [], "has_more": NaN}}'), "refused", 3),
    "a key twice": (TWICE, "refused", 3),
    "cut": (cut, "refused", 3),
    "broken off": (broken_off, "failed", 5),
    "reset": (reset, "failed", 5),
}


@pytest.mark.parametrize(("change", "outcome", "code"), ANYWHERE.values(), ids=ANYWHERE)
def test_half_a_day_is_never_stored(rig: Rig, venues: Venues, change: Change, outcome: str, code: int) -> None:
    venues.changes.append(late(change))
    report = run(rig, "deribit", "trades", *MAY_2)
    assert (report.counts, report.exit_code) == ({outcome: 1}, code)
    assert (rig.stored(), rig.parts()) == ({}, [])
    assert report.paths == []


PASSING = {name: one for name, (one, *_) in ANYWHERE.items() if name in {"500", "HTML", "cut", "broken off", "reset"}}


@pytest.mark.parametrize(
    ("exchange", "change"),
    [*(("deribit", change) for change in PASSING.values()), ("coinbase", cut)],
    ids=[*(f"deribit {name}" for name in PASSING), "coinbase cut"],
)
def test_what_passes_is_asked_again(rig: Rig, venues: Venues, exchange: str, change: Change) -> None:
    clean = run(rig, exchange, "trades", *MAY_2)
    (before,) = rig.stored().values()
    clean.paths[0].unlink()
    venues.changes.append(late(change, times=1))
    assert run(rig, exchange, "trades", *MAY_2).counts == {"fetched": 1}
    assert list(rig.stored().values()) == [before]


def test_a_ban_in_the_middle_of_a_day_is_waited_for(rig: Rig, venues: Venues) -> None:
    venues.changes.append(late(status(429, {"Retry-After": "120"}), times=1))
    assert run(rig, "deribit", "trades", *MAY_2).counts == {"fetched": 1}
    assert rig.waits.now_s >= 120


ERRORS = [
    ("bybit", b'{"retCode": 10001, "retMsg": "params error", "result": {}}', "refused"),
    ("bybit", b'{"retCode": 10006, "retMsg": "Too many visits!", "result": {}}', "blocked"),
    ("deribit", b'{"error": {"code": 13020, "message": "not_found"}}', "refused"),
    ("deribit", b'{"error": {"code": 10028, "message": "too_many_requests"}}', "blocked"),
    ("gate-futures", b'{"label": "CONTRACT_NOT_FOUND", "message": "no"}', "refused"),
    ("gate-futures", b'{"label": "TOO_MANY_REQUESTS", "message": "no"}', "blocked"),
    ("kucoin-futures", b'{"code": "400100", "msg": "no"}', "refused"),
    ("kucoin-futures", b'{"code": "429000", "msg": "Too Many Requests"}', "blocked"),
    ("kraken-futures", b'{"result": "error", "error": "apiLimitExceeded"}', "blocked"),
    ("kraken-futures", b'{"result": "error", "error": "notFound"}', "refused"),
    ("hyperliquid", b"null", "refused"),
]


@pytest.mark.parametrize(("exchange", "body", "outcome"), ERRORS)
def test_an_error_with_status_200_is_no_answer(rig: Rig, venues: Venues, exchange: str, body: bytes, outcome: str) -> None:
    venues.changes.append(instead(body))
    report = run(rig, exchange, FUNDING_HISTORY, *MAY_2)
    assert report.counts == {outcome: 1}
    assert rig.stored() == {}
    if outcome == "blocked":
        assert rig.waits.now_s >= 60
        venues.changes[:] = [late(instead(body), times=1)]
        assert run(rig, exchange, FUNDING_HISTORY, "2024-05-01", "2024-06-01").counts == {"fetched": 1}


def on_trades(change: Callable[[list[Any]], object], more: bool | None = None) -> Change:
    """Changes the trades of the pages of a day."""

    def changed(handler: Handler, document: Any) -> Any:  # noqa: ANN401
        if "count=1000" in handler.path:
            change(document["result"]["trades"])
            document["result"]["has_more"] = document["result"]["has_more"] if more is None else more
        return document

    return changed


def name_others(trades: list[dict[str, Any]]) -> None:
    for trade in trades:
        trade["instrument_name"] = "ETH-PERPETUAL"


def move_on(trades: list[dict[str, Any]]) -> None:
    for trade in trades:
        trade["timestamp"] += DAY_MS


def no_numbers(trades: list[dict[str, Any]]) -> None:
    for trade in trades:
        trade["trade_seq"] = None


PAGES: dict[str, tuple[Change, str]] = {
    "empty, and more should follow": (on_trades(lambda trades: trades.clear(), more=True), "is empty"),
    "empty": (on_trades(lambda trades: trades.clear(), more=False), "missing"),
    "the end is lost": (on_trades(lambda _: None, more=False), "missing at the end"),
    "a trade is lost": (on_trades(lambda trades: trades.pop(1)), "missing or stand twice"),
    "a trade stands twice": (on_trades(lambda trades: trades.insert(1, trades[1])), "missing or stand twice"),
    "always the same": (on_trades(lambda trades: trades.__delitem__(slice(1, None)), more=True), "do not go on"),
    "unsorted": (on_trades(lambda trades: trades.reverse()), "order of time"),
    "another instrument": (on_trades(name_others), "another instrument"),
    "another day": (on_trades(move_on), "another time"),
    "no numbers": (on_trades(no_numbers), "no number"),
    "no list": (instead(b'{"result": {"has_more": false}}'), "no trades"),
    "no word on whether more comes": (instead(b'{"result": {"trades": []}}'), "no trades"),
}


@pytest.mark.parametrize(("change", "said"), PAGES.values(), ids=PAGES)
def test_pages_of_deribit_that_cannot_be_are_refused(rig: Rig, venues: Venues, change: Change, said: str) -> None:
    venues.changes.append(change)
    report = run(rig, "deribit", "trades", *MAY_2)
    assert report.counts == {"refused": 1}
    assert said in str(report.failed[0].error)
    assert (rig.stored(), rig.parts()) == ({}, [])


def renumbered(handler: Handler, document: Any) -> Any:  # noqa: ANN401
    if "limit=20" in handler.path:
        document[3]["trade_id"] += 500
    return document


def shifted(handler: Handler, document: Any) -> Any:  # noqa: ANN401
    if "limit=20" in handler.path:
        document[3]["time"] = "2024-07-01T00:00:00.000000Z"
    return document


def half_a_list(handler: Handler, document: Any) -> Any:  # noqa: ANN401
    return document[:10] if "limit=20" in handler.path else document


COINBASE: dict[str, tuple[Change, str]] = {
    "a number is missing": (renumbered, "other trades"),
    "half a page": (half_a_list, "other trades"),
    "empty": (lambda handler, document: [] if "after" in handler.path else document, "other trades"),
    "no list": (lambda handler, document: {} if "after" in handler.path else document, "no list"),
    "another time": (shifted, "follow time"),
    "no time": (lambda _, document: [{**row, "time": "soon"} for row in document], "no time"),
}


@pytest.mark.parametrize(("change", "said"), COINBASE.values(), ids=COINBASE)
def test_pages_of_coinbase_that_cannot_be_are_refused(rig: Rig, venues: Venues, change: Change, said: str) -> None:
    venues.changes.append(change)
    report = run(rig, "coinbase", "trades", *MAY_2)
    assert report.counts == {"refused": 1}
    assert said in str(report.failed[0].error)
    assert (rig.stored(), rig.parts()) == ({}, [])


def listed(change: Callable[[list[Any]], object]) -> Change:
    def changed(_: Handler, document: Any) -> Any:  # noqa: ANN401
        if document["result"]["list"]:
            change(document["result"]["list"])
        return document

    return changed


def in_the_middle(handler: Handler, document: Any) -> Any:  # noqa: ANN401
    """Answers nothing for the third window of the month."""
    start_ms = MAY_1_MS - DAY_MS + 2 * 8 * DAY_MS
    return {**document, "result": {"list": []}} if f"startTime={start_ms}" in handler.path else document


FUNDING: dict[str, tuple[Change, str]] = {
    "another contract": (listed(lambda rows: rows[0].update(symbol="ETHUSDT")), "another contract"),
    "unsorted": (listed(lambda rows: rows.insert(0, rows.pop(1))), "order of time"),
    "twice": (listed(lambda rows: rows.insert(0, rows[0])), "two payments of one time"),
    "another time": (listed(lambda rows: rows[-1].update(fundingRateTimestamp=str(MAY_1_MS - 90 * DAY_MS))), "another time"),
    "no time": (listed(lambda rows: rows[0].update(fundingRateTimestamp="")), "no time"),
    "a page is empty": (in_the_middle, "a page between others is empty"),
    "no list": (instead(b'{"retCode": 0, "result": {}}'), "no payments"),
}


@pytest.mark.parametrize(("change", "said"), FUNDING.values(), ids=FUNDING)
def test_pages_of_funding_that_cannot_be_are_refused(rig: Rig, venues: Venues, change: Change, said: str) -> None:
    venues.changes.append(change)
    report = run(rig, "bybit", "funding", "2024-05-01", "2024-06-01")
    assert report.counts == {"refused": 1}
    assert said in str(report.failed[0].error)
    assert rig.stored() == {}


def test_a_full_page_may_be_cut(rig: Rig, venues: Venues) -> None:
    venues.payments = [(MAY_1_MS + n * 60_000, "0.0001") for n in range(400)]
    report = run(rig, "bybit", "funding", "2024-05-01", "2024-06-01")
    assert "is full" in str(report.failed[0].error)


@pytest.mark.parametrize(
    ("lost", "proof"),
    [
        (range(MAY_1_MS + 5 * DAY_MS, MAY_1_MS + 6 * DAY_MS), "pages, 1 hole"),
        (range(MAY_1_MS + 3 * HOUR_MS), "pages, nothing before"),
        (range(MAY_1_MS + 20 * DAY_MS, MAY_1_MS + 90 * DAY_MS), "pages, nothing after"),
    ],
)
def test_what_is_not_proven_of_funding_is_said_and_asked_for_again(rig: Rig, venues: Venues, lost: range, proof: str) -> None:
    all_of_them = venues.payments
    venues.payments = [one for one in all_of_them if one[0] not in lost]
    month = ("2024-05-01", "2024-06-01")
    assert [file.verified_by for file in run(rig, "bybit", "funding", *month).files] == [proof]
    assert run(rig, "bybit", "funding", *month).counts == {"held": 1}
    venues.payments = all_of_them
    again = run(rig, "bybit", "funding", *month, verify=True)
    assert (again.counts, again.files[0].verified_by) == ({"replaced": 1}, "pages")


def test_a_file_that_was_changed_is_made_anew(rig: Rig, venues: Venues) -> None:
    before = run(rig, "deribit", "trades", *MAY_2).paths[0].read_bytes()
    for other in (before[:-40], b""):
        (rig.folder / day_key("deribit", 1)).write_bytes(other)
        assert run(rig, "deribit", "trades", *MAY_2).counts == {"replaced": 1}
        assert (rig.folder / day_key("deribit", 1)).read_bytes() == before
    assert venues.asked


@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_the_last_day_of_a_contract_is_stored_and_says_so_and_a_day_that_just_ended_waits(rig: Rig, venues: Venues, exchange: str) -> None:
    venues.trades = {n: trade for n, trade in venues.trades.items() if trade[0] < MAY_1_MS + DAY_MS}
    soon_us = (MAY_1_MS + DAY_MS + 2 * HOUR_MS) * 1000
    early = run(rig, exchange, "trades", *MAY_2, now_us=soon_us)
    assert (early.counts, early.exit_code, rig.stored()) == ({"not_published": 1}, 1, {})
    sooner = run(rig, exchange, "trades", *MAY_2, now_us=soon_us - int(1.5 * HOUR_MS) * 1000)
    assert (sooner.counts, sooner.exit_code, sooner.missing[0].pending) == ({}, 0, True)
    assert [file.verified_by for file in run(rig, exchange, "trades", *MAY_2).files] == ["ids, nothing after"]


@pytest.mark.parametrize("exchange", ["deribit", "coinbase"])
def test_a_day_without_a_trade_is_no_file(rig: Rig, venues: Venues, exchange: str) -> None:
    venues.trades = {
        n: (at + DAY_MS if at >= MAY_1_MS else at, *rest)
        for n, (at, *rest) in venues.trades.items()  # type: ignore[misc]
    }
    report = run(rig, exchange, "trades", *MAY_2)
    assert (report.counts, rig.stored()) == ({"not_published": 1}, {})
    assert "no trade of this day" in str(report.failed[0].error)


def test_a_period_without_a_payment_is_no_file(rig: Rig, venues: Venues) -> None:
    venues.payments = []
    assert run(rig, "gate-futures", FUNDING_HISTORY, *MAY_2).counts == {"not_published": 1}


def test_connections_are_bounded(rig: Rig, venues: Venues) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def count(handler: Handler, document: Any) -> None:  # noqa: ANN401
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        body = json_bytes(document)
        handler.send(200, body[:-1], {}, length=len(body))
        handler.wfile.flush()
        with lock:
            under_way -= 1
        handler.wfile.write(body[-1:])

    venues.changes.append(count)
    with Transport(Manners(requests_per_s=1e6), connections=1, clock=rig.waits.clock, sleep=rig.waits.sleep) as transport:
        targets = targets_of("deribit", "BTC-PERPETUAL", "trades", "2024-04-30", "2024-05-02")
        given = {"folder": rig.folder, "base_url": rig.url, "now_us": NOW_US, "connections": 4}
        assert get_targets(targets, transport=transport, **given).counts == {"fetched": 2}
    assert most == 1


RUN = """
import sys
from pointline.download import download
download("deribit", "BTC-PERPETUAL", "trades", "2024-05-01", "2024-05-03", folder=sys.argv[1], base_url=sys.argv[2], connections=1)
"""


def test_a_killed_run_loses_the_day_under_way_only(rig: Rig, venues: Venues) -> None:
    reached, released = threading.Event(), threading.Event()
    venues.trades, venues.page = market(days=4, per_day=20), 1000

    def stop(handler: Handler, document: Any) -> Any:  # noqa: ANN401
        if "count=1000" not in handler.path or f"start_timestamp={MAY_1_MS + DAY_MS}" not in handler.path:
            return document
        body = json_bytes(document)
        handler.send(200, body[:300], {}, length=len(body))
        handler.wfile.flush()
        reached.set()
        released.wait(60)
        handler.close_connection = True
        return None

    venues.changes.append(stop)
    with subprocess.Popen([sys.executable, "-c", RUN, str(rig.folder), rig.url]) as process:
        try:
            assert reached.wait(60)
        finally:
            process.send_signal(signal.SIGKILL)
            released.set()
    stored = rig.stored()
    assert set(stored) <= {day_key("deribit", 1)}
    venues.changes.clear()
    assert run(rig, "deribit", "trades", "2024-05-01", "2024-05-03", now_us=NOW_US).counts["fetched"] == 2 - len(stored)
    assert {name: body for name, body in rig.stored().items() if name in stored} == stored
    assert (len(rig.stored()), rig.parts()) == (2, [])
