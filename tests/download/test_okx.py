"""OKX's archive: days of UTC+8, what its index may say and may not, families of futures, funding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.download.conftest import NOW_US
from tests.download.hosts import CASES, OKX_ROOT, okx_funding, okx_trades
from tests.download.server import INDEX, index

from pointline.clock import DAY_US, HOUR_US, to_us
from pointline.download import get_targets, targets_of
from pointline.download.archives import ARCHIVES
from pointline.errors import ConfigError
from pointline.lake.store import open_lake
from pointline.updates import ingest_downloaded, lacking

if TYPE_CHECKING:
    from pathlib import Path

    from tests.download.conftest import Rig
    from tests.download.server import Handler

    from pointline.download.report import DownloadReport

SWAP = OKX_ROOT + "/trades/daily/{digits}/BTC-USDT-SWAP-trades-{day}.zip"
MONTH = OKX_ROOT + "/trades/monthly/{digits}/BTC-USDT-SWAP-trades-{month}.zip"


def get(rig: Rig, start: str, end: str, kind: str = "trades", exchange: str = "okx-swap", symbol: str = "BTC-USDT-SWAP") -> DownloadReport:
    rig.archive.asked.clear()
    targets = targets_of(exchange, symbol, kind, start, end)
    return get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US, dry_run=True)


def serve(rig: Rig, *days: str) -> None:
    rig.archive.files.clear()
    for day in days:
        path = (SWAP if len(day) == len("2024-05-01") else MONTH).format(day=day, month=day, digits=day.replace("-", ""))
        rig.archive.add(path, okx_trades("BTC-USDT-SWAP")(day), checksum=False)


def queries(rig: Rig, span: str = "daily") -> list[tuple[int, int]]:
    """Begin and end of the requests to the index, in milliseconds."""
    found = [parse_qs(urlsplit(path).query) for _, path in rig.archive.asked if path.startswith(INDEX)]
    return [(int(one["begin"][0]), int(one["end"][0])) for one in found if one["dateAggrType"] == [span]]


def test_a_day_of_utc_needs_two_files(rig: Rig) -> None:
    serve(rig, "2024-04-30", "2024-05-01", "2024-05-02", "2024-05-03")
    report = get(rig, "2024-05-01", "2024-05-02")
    assert [file.period for file in report.files] == ["2024-05-01", "2024-05-02"]
    assert report.missing == ()
    assert [file.period for file in get(rig, "2024-05-01", "2024-05-01T16:00:00").files] == ["2024-05-01"]
    assert [file.period for file in get(rig, "2024-05-01T16:00:00", "2024-05-02").files] == ["2024-05-02"]
    assert [file.period for file in get(rig, "2024-05-01", "2024-05-01T16:00:00.000001").files] == ["2024-05-01", "2024-05-02"]


@given(start_us=st.integers(to_us("2024-01-01"), to_us("2024-03-01")), length_us=st.integers(1, 3 * DAY_US))
def test_the_days_of_a_window_are_those_that_a_plain_loop_finds(start_us: int, length_us: int) -> None:
    (target,) = targets_of("okx-swap", "BTC-USDT-SWAP", "trades", start_us, start_us + length_us)
    expected = []
    for number in range(-2, 70):  # a file of a day holds 16:00 UTC of the day before to 16:00 UTC
        begins_us = to_us("2024-01-01") + number * DAY_US - 8 * HOUR_US
        if begins_us < start_us + length_us and begins_us + DAY_US > start_us:
            expected.append(number)
    assert [(to_us(day) - to_us("2024-01-01")) // DAY_US for day in target.days] == expected


def test_the_index_is_asked_in_days_of_utc_8_and_not_for_too_many(rig: Rig) -> None:
    serve(rig, *(f"2024-05-{day:02d}" for day in range(1, 26)))
    report = get(rig, "2024-05-01", "2024-05-25")
    assert [file.period for file in report.files] == [f"2024-05-{day:02d}" for day in range(1, 26)]
    asked = queries(rig)
    assert all(begin % 86_400_000 == end % 86_400_000 == 57_600_000 for begin, end in asked), "16:00 UTC"
    assert max(end - begin for begin, end in asked) <= 9 * 86_400_000, "ten days, both ends counted"
    assert asked[0][0] == to_us("2024-04-29T16:00:00") // 1000
    assert asked[-1][1] == to_us("2024-05-24T16:00:00") // 1000


def test_days_or_months_as_there_are(rig: Rig) -> None:
    serve(rig, "2024-04-30", "2024-05-01", "2024-05-02", "2024-05", "2024-04")
    assert [file.period for file in get(rig, "2024-04-29T16:00:00", "2024-05-02T16:00:00").files] == [
        "2024-04-30",
        "2024-05-01",
        "2024-05-02",
    ]
    report = get(rig, "2024-04-29T16:00:00", "2024-05-03T16:00:00")
    assert ([file.period for file in report.files], report.missing) == (["2024-04-30", "2024-05"], ())


def test_funding_is_taken_from_months_and_where_there_is_none_from_days_of_all_swaps(rig: Rig) -> None:
    rig.archive.files.clear()
    month = f"{OKX_ROOT}/swaprates/monthly/202404/BTC-USDT-SWAP-fundingrates-2024-04.zip"
    rig.archive.add(month, okx_funding("BTC-USDT-SWAP")("2024-04"), checksum=False)
    for day in ("2024-04-30", "2024-05-01", "2024-05-02"):
        rig.archive.add(
            f"{OKX_ROOT}/swaprates/daily/{day.replace('-', '')}/allswap-fundingrates-{day}.zip", okx_funding("A")(day), checksum=False
        )
    report = get(rig, "2024-04-30", "2024-05-02", "funding")
    assert [(file.symbol, file.period) for file in report.files] == [("BTC-USDT-SWAP", "2024-04"), ("*", "2024-05-01"), ("*", "2024-05-02")]
    every = get(rig, "2024-04-30", "2024-05-02", "funding", symbol="*")
    assert [file.period for file in every.files] == ["2024-04-30", "2024-05-01", "2024-05-02"]


def test_a_file_that_serves_several_symbols_is_got_once(rig: Rig) -> None:
    case = CASES["okx-all-funding"]
    rig.serve(case)
    targets = targets_of("okx-swap", ["BTC-USDT-SWAP", "ETH-USDT-SWAP"], "funding", *case.window)
    report = get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US)
    assert report.counts == {"fetched": 3}
    assert len(rig.archive.gets("?v=999")) + len([path for path in rig.archive.gets() if "allswap" in path]) == 3


def test_of_a_file_of_many_only_what_was_asked_for_goes_into_the_lake(rig: Rig, tmp_path: Path) -> None:
    case = CASES["okx-all-funding"]
    rig.serve(case)
    lake = open_lake(tmp_path / "lake", create=True)
    for symbols, found in (("BTC-USDT-SWAP", ["BTC-USDT-SWAP"]), (["BTC-USD-SWAP", "BTC-USDT-SWAP"], ["BTC-USD-SWAP", "BTC-USDT-SWAP"])):
        targets = targets_of("okx-swap", symbols, "funding", *case.window)
        report = get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US)
        assert {file.picks for file in report.files} == {tuple(found)}
        assert {one.exit_code for one in ingest_downloaded(report, lake=lake)} == {0}, "a swap of unknown contract size is no fault"
        assert lake.listing("funding")["symbol"].unique().sort().to_list() == found
    assert {(one.symbol, one.dataset) for one in lacking(lake, NOW_US)} == {
        ("BTC-USDT-SWAP", "fundingrates"),
        ("BTC-USD-SWAP", "fundingrates"),
    }
    every = targets_of("okx-swap", ["BTC-USDT-SWAP", "*"], "funding", *case.window)
    report = get_targets(every, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US)
    assert {file.picks for file in report.files} == {()}


def test_the_plain_name_of_a_family_of_futures_is_the_spot_file_and_is_left_out(rig: Rig) -> None:
    case = CASES["okx-futures"]
    rig.serve(case)
    rig.archive.add(f"{OKX_ROOT}/trades/daily/20240501/BTC-USD-trades-2024-05-01.zip", b"x", checksum=False)
    for symbol in ("BTC-USD-240628", "BTC-USD"):
        report = get(rig, *case.window, exchange="okx-futures", symbol=symbol)
        assert [file.key for file in report.files] == [case.key(period) for period in case.periods]


def entry(name: str = "BTC-USDT-SWAP-trades-2024-05-01.zip", *, host: str = "", path: str = "", **more: str) -> dict[str, str]:
    path = path or f"/{OKX_ROOT}/trades/daily/20240501/{name}"
    return {"filename": name, "url": f"{host or 'https://static.okx.com'}{path}", **more}


ANSWERS: dict[str, tuple[bytes, str]] = {
    "cut off": (index([entry()])[:-20], "refused"),
    "a page": (b"<html>no</html>", "refused"),
    "an error inside a 200": (index([], code="50011"), "failed"),
    "an error beside files": (index([entry()], code="51000"), "failed"),
    "no data": (b'{"code":"0","msg":""}', "refused"),
    "another form": (b'{"code":"0","data":{"details":[]}}', "refused"),
    "a list": (b"[1]", "refused"),
    "names that are none": (index([{"filename": 1, "url": 2}]), "refused"),  # type: ignore[dict-item]
    "no address": (index([{"filename": "BTC-USDT-SWAP-trades-2024-05-01.zip"}]), "refused"),
    "a foreign host": (index([entry(host="https://static.okx.com.evil.example")]), "refused"),
    "another host of the exchange": (index([entry(host="https://static.okx.com:444")]), "refused"),
    "a user in the address": (index([entry(host="https://static.okx.com@evil.example")]), "refused"),
    "another scheme": (index([entry(host="file://static.okx.com")]), "refused"),
    "outside the folder": (index([entry(path="/etc/BTC-USDT-SWAP-trades-2024-05-01.zip")]), "refused"),
    "above the folder": (index([entry(path=f"/{OKX_ROOT}/../../BTC-USDT-SWAP-trades-2024-05-01.zip")]), "refused"),
    "above, encoded": (index([entry(path=f"/{OKX_ROOT}/%2e%2e/BTC-USDT-SWAP-trades-2024-05-01.zip")]), "refused"),
    "a name with folders": (index([entry("../BTC-USDT-SWAP-trades-2024-05-01.zip")]), "refused"),
    "a name that is not the address's": (index([entry(path=f"/{OKX_ROOT}/trades/ETH-USDT-SWAP-trades-2024-05-01.zip")]), "refused"),
    "another symbol": (index([entry("ETH-USDT-SWAP-trades-2024-05-01.zip")]), "refused"),
    "another dataset": (index([entry("BTC-USDT-SWAP-fundingrates-2024-05-01.zip")]), "refused"),
    "a month among days": (index([entry("BTC-USDT-SWAP-trades-2024-05.zip")]), "refused"),
    "no day": (index([entry("BTC-USDT-SWAP-trades-2024-13-01.zip")]), "refused"),
    "two files of one day": (index([entry(), entry(path=f"/{OKX_ROOT}/trades/BTC-USDT-SWAP-trades-2024-05-01.zip")]), "refused"),
    "an odd query": (index([entry(path=f"/{OKX_ROOT}/trades/BTC-USDT-SWAP-trades-2024-05-01.zip?a=b/../c")]), "refused"),
}


@pytest.mark.parametrize(("body", "outcome"), ANSWERS.values(), ids=ANSWERS)
def test_an_index_that_is_not_one_is_refused(rig: Rig, body: bytes, outcome: str) -> None:
    serve(rig, "2024-05-01", "2024-05-02")

    def misdeed(handler: Handler) -> bool:
        if handler.path.startswith(INDEX) and "daily" in handler.path:
            handler.send(200, body, {"Content-Type": "application/json"})
            return True
        return False

    rig.archive.misdeeds.append(misdeed)
    targets = targets_of("okx-swap", "BTC-USDT-SWAP", "trades", "2024-05-01", "2024-05-02")
    report = get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US)
    assert (report.counts, report.missing, rig.stored()) == ({outcome: 1}, (), {})
    assert not [path for method, path in rig.archive.asked if not path.startswith(INDEX)]


def test_an_index_that_is_right_at_the_second_time_is_taken(rig: Rig) -> None:
    serve(rig, "2024-05-01", "2024-05-02")
    left = [index([entry()])[:-20]]
    rig.archive.misdeeds.append(
        lambda handler: handler.path.startswith(INDEX) and bool(left) and (handler.send(200, left.pop(), {}) or True)
    )  # type: ignore[func-returns-value]
    assert get(rig, "2024-05-01", "2024-05-02").counts == {"planned": 2}


def test_the_official_address_that_a_mirror_repeats_is_read_at_the_mirror(rig: Rig) -> None:
    serve(rig, "2024-05-01")

    def answer(handler: Handler) -> bool:
        if not handler.path.startswith(INDEX):
            return False
        handler.send(200, index([entry()]), {})
        return True

    rig.archive.misdeeds.append(answer)
    targets = targets_of("okx-swap", "BTC-USDT-SWAP", "trades", "2024-05-01", "2024-05-01T16:00:00")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pointline.download.okx.OkxArchive.spans", staticmethod(lambda *_: ("daily",)))
        report = get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US)
    assert report.counts == {"fetched": 1}


def test_the_index_of_the_exchange_is_asked_once_in_two_seconds(rig: Rig) -> None:
    ARCHIVES["okx-swap"](rig.transport)
    gate = rig.transport._gate("https://www.okx.com/api")
    for _ in range(4):
        gate.wait()
    assert rig.waits.now_s == pytest.approx(6)


@pytest.mark.parametrize(
    ("exchange", "symbol", "kind", "said"),
    [
        ("okx-swap", "BTCUSDT", "trades", "BTC-USDT-SWAP"),
        ("okx-spot", "BTC-USDT-SWAP", "trades", "BTC-USDT"),
        ("okx-futures", "BTC-USDT-SWAP", "trades", "BTC-USD-240628"),
        ("okx-spot", "BTC-USDT", "funding", "okx-swap"),
        ("okx-swap", "BTC-USDT-SWAP", "quotes", "trades, funding"),
        ("okx-swap", "*", "trades", "such as BTC-USDT-SWAP"),
    ],
)
def test_a_wrong_request_says_what_is_expected(rig: Rig, exchange: str, symbol: str, kind: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        get(rig, "2024-05-01", "2024-05-02", kind, exchange, symbol)
    assert said in str(error.value.expected)
    json.dumps(str(error.value))
