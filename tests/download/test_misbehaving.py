"""Hosts that misbehave: nothing half-written is ever taken for whole, failures are told apart, a second run goes on."""

from __future__ import annotations

import email.utils
import gzip
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from tests.download.conftest import DAYS, NOW_US, Rig, key, trades
from tests.download.hosts import CASES
from tests.download.server import Archive, Server, listing

from pointline.download import get_targets, targets_of
from pointline.download.hosts import HostGate
from pointline.download.tardis import KEY_VARIABLE
from pointline.download.transport import Manners, Transport, _retry_after_s
from pointline.download.whole import check_whole
from pointline.errors import ServerFailedError, WrongContentError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.download.conftest import Waits
    from tests.download.server import Handler, Stored

BAD = f"/{key(DAYS[1])}"


def on(path: str, deed: Callable[[Handler], object], times: int = 1_000) -> Callable[[Handler], bool]:
    """Misbehaves for one path, so many times."""
    left = [times]

    def misdeed(handler: Handler) -> bool:
        if urlsplit(handler.path).path != path or handler.command != "GET" or not left[0]:
            return False
        left[0] -= 1
        deed(handler)
        return True

    return misdeed


def status(code: int, headers: dict[str, str] | None = None) -> Callable[[Handler], object]:
    return lambda handler: handler.send(code, b"<html>no</html>", headers or {})


def asked(handler: Handler) -> Stored:
    """The file that is asked for."""
    return handler.archive.files[unquote(urlsplit(handler.path).path)[1:]]


def half(handler: Handler) -> None:
    body = asked(handler).body
    handler.break_off(body[: len(body) // 2], length=len(body), headers={"ETag": f'"{asked(handler).etag}"'})


def half_without_mark(handler: Handler) -> None:
    body = asked(handler).body
    handler.break_off(body[: len(body) // 2], length=len(body))


def half_without_length(handler: Handler) -> None:
    handler.send_without_length(asked(handler).body[:-40])


def wrong_length(handler: Handler) -> None:
    handler.send(200, asked(handler).body[:-7], {})


def reset(handler: Handler) -> None:
    import socket
    import struct

    body = asked(handler).body
    handler.send(200, body[: len(body) // 3], {}, length=len(body))
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def slow(handler: Handler) -> None:
    body = asked(handler).body
    handler.send(200, b"", {}, length=len(body))
    for n in range(0, len(body), 7):
        handler.wfile.write(body[n : n + 7])
        handler.wfile.flush()


LASTING = [
    (status(403), "blocked", 4),
    (status(429), "blocked", 4),
    (status(418), "blocked", 4),
    (status(429, {"Retry-After": "86400"}), "blocked", 4),
    (status(500), "failed", 5),
    (status(503), "failed", 5),
    (status(404), "not_published", 1),
    (half, "failed", 5),
    (half_without_mark, "failed", 5),
    (reset, "failed", 5),
    (half_without_length, "refused", 3),
    (wrong_length, "refused", 3),
    (status(200), "refused", 3),
]


@pytest.mark.parametrize(("deed", "outcome", "code"), LASTING)
@pytest.mark.parametrize("checksums", [True, False])
def test_nothing_that_is_not_the_file_is_stored(
    rig: Rig, deed: Callable[[Handler], object], outcome: str, code: int, checksums: bool
) -> None:
    rig.archive.misdeeds.append(on(BAD, deed))
    if not checksums:
        for day in DAYS:
            del rig.archive.files[f"{key(day)}.CHECKSUM"]
    report = rig.run()
    assert report.counts == {"fetched": 2, outcome: 1}
    assert report.exit_code == code
    expected = {name: one.body for name, one in rig.archive.files.items() if DAYS[1] not in name}
    assert rig.stored() == expected
    assert len(rig.parts()) == (deed is half), "kept where the next run can ask for the rest"
    assert [str(path) for path in report.paths] == [str(rig.folder / key(day)) for day in (DAYS[0], DAYS[2])]
    rig.archive.misdeeds.clear()
    again = rig.run()
    assert again.counts == {"fetched": 1, "held": 2}
    assert rig.archive.gets() == [BAD]
    assert again.exit_code == 0
    assert rig.parts() == []


QUICK = ("okx-swap", "tardis")
HOSTS = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize(("deed", "outcome", "code"), LASTING)
@pytest.mark.parametrize("host", HOSTS)
def test_no_archive_stores_what_is_not_the_file(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, host: str, deed: Callable[[Handler], object], outcome: str, code: int
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-key")
    case = CASES[host]
    rig.serve(case)
    bad = f"/{case.served(case.periods[1])}"
    rig.archive.misdeeds.append(on(bad, deed))
    report = rig.get(case)
    assert (report.counts, report.exit_code) == ({"fetched": 2, outcome: 1}, code)
    expected = {case.key(period): case.body(period) for period in case.periods}
    del expected[case.key(case.periods[1])]
    assert {name: body for name, body in rig.stored().items() if not name.endswith(".CHECKSUM")} == expected
    rig.archive.misdeeds.clear()
    assert rig.get(case).counts == {"fetched": 1, "held": 2}
    assert [path.partition("?")[0] for path in rig.archive.gets(bad) + rig.archive.gets(f"{bad}?v=999")] == [bad]
    assert rig.parts() == []


@pytest.mark.parametrize("host", HOSTS)
def test_every_archive_lets_slow_bytes_arrive_and_waits_where_it_is_told_to(rig: Rig, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-key")
    case = CASES[host]
    rig.serve(case)
    rig.archive.misdeeds += [
        on(f"/{case.served(case.periods[0])}", slow),
        on(f"/{case.served(case.periods[2])}", status(429, {"Retry-After": "120"}), times=1),
    ]
    assert rig.get(case).counts == {"fetched": 3}
    assert rig.waits.now_s >= 120


@pytest.mark.parametrize(
    ("code", "outcome", "exit_code"), [(403, "blocked", 4), (500, "failed", 5), (429, "blocked", 4), (401, "key_refused", 4)]
)
@pytest.mark.parametrize("host", HOSTS)
def test_no_archive_takes_a_refusal_to_say_what_there_is_for_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, host: str, code: int, outcome: str, exit_code: int
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a-key")
    case = CASES[host]
    rig.serve(case)

    def misdeed(handler: Handler) -> bool:
        handler.send(code, b"", {})
        return True

    rig.archive.misdeeds.append(misdeed)
    report = rig.get(case)
    assert (report.counts, report.exit_code, report.missing, rig.stored()) == ({outcome: 1}, exit_code, (), {})


@pytest.mark.parametrize(
    "deed", [status(500), status(429, {"Retry-After": "7"}), half, reset, half_without_length, wrong_length, status(200)]
)
def test_what_passes_is_tried_again(rig: Rig, deed: Callable[[Handler], object]) -> None:
    rig.archive.misdeeds.append(on(BAD, deed, times=1))
    assert rig.run().counts == {"fetched": 3}
    assert rig.stored() == {name: one.body for name, one in rig.archive.files.items()}


def test_slow_bytes_arrive(rig: Rig) -> None:
    rig.archive.misdeeds.append(on(BAD, slow))
    assert rig.run().counts == {"fetched": 3}


def test_a_silent_host_counts_as_failed(archive: Archive, waits: Waits, tmp_path: Path) -> None:
    released = threading.Event()
    archive.misdeeds.append(on(BAD, lambda _: released.wait(30)))
    manners = Manners(timeout_s=0.2, attempts=2)
    try:
        with Server(archive) as server, Transport(manners, clock=waits.clock, sleep=waits.sleep) as transport:
            targets = targets_of("binance-futures", "BTCUSDT", "trades", DAYS[0], "2024-05-04")
            report = get_targets(targets, transport=transport, folder=tmp_path, base_url=server.url, now_us=NOW_US)
            released.set()
    finally:
        released.set()
    assert report.counts == {"fetched": 2, "failed": 1}


def test_a_broken_file_goes_on_where_it_broke(rig: Rig) -> None:
    ranges: list[str | None] = []

    def look(handler: Handler) -> bool:
        if handler.path == BAD:
            ranges.append(handler.headers.get("Range"))
        return False

    rig.archive.misdeeds += [look, on(BAD, half, times=1)]
    assert rig.run().counts == {"fetched": 3}
    assert ranges == [None, f"bytes={len(trades(DAYS[1])) // 2}-"]


def test_a_file_that_changed_meanwhile_begins_anew(rig: Rig) -> None:
    def change(handler: Handler) -> None:
        half(handler)
        rig.archive.add(key(DAYS[1]), trades(DAYS[1], version=2))

    rig.archive.misdeeds.append(on(BAD, change, times=1))
    assert rig.run().counts == {"fetched": 3}
    assert rig.stored()[key(DAYS[1])] == trades(DAYS[1], version=2)


def test_a_host_that_gives_another_range_is_not_believed(rig: Rig) -> None:
    def other(handler: Handler) -> None:
        stored = rig.archive.files[key(DAYS[1])]
        handler.send(206, stored.body, {"ETag": f'"{stored.etag}"', "Content-Range": f"bytes 0-{len(stored.body) - 1}/{len(stored.body)}"})

    rig.archive.misdeeds += [on(BAD, half, times=1), on(BAD, other, times=1)]
    assert rig.run().counts == {"fetched": 3}
    assert rig.stored()[key(DAYS[1])] == trades(DAYS[1])


def test_a_wrong_check_sum_refuses_the_file(rig: Rig) -> None:
    rig.archive.files[f"{key(DAYS[1])}.CHECKSUM"].body = f"{'0' * 64}  BTCUSDT-trades-{DAYS[1]}.zip".encode()
    report = rig.run()
    assert report.counts == {"fetched": 2, "refused": 1}
    assert "differs from its .CHECKSUM" in str(report.failed[0].error)
    assert len(rig.archive.gets()) == 4, "once more, for an archive that was just being replaced"


@pytest.mark.parametrize("text", ["", "<html></html>", "0" * 63, f"{'0' * 64}  another.zip"])
def test_a_check_sum_that_is_none_refuses_the_file(rig: Rig, text: str) -> None:
    rig.archive.files[f"{key(DAYS[1])}.CHECKSUM"].body = text.encode()
    report = rig.run()
    assert report.counts == {"fetched": 2, "refused": 1}
    assert report.exit_code == 3


def test_a_right_check_sum_of_a_broken_zip_is_refused_too(rig: Rig) -> None:
    body = bytearray(trades(DAYS[1]))
    body[70] ^= 255
    rig.archive.add(key(DAYS[1]), bytes(body))
    report = rig.run()
    assert report.counts == {"fetched": 2, "refused": 1}
    assert "cut off or damaged" in str(report.failed[0].error)


def test_every_cut_of_a_zip_or_gzip_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for suffix, body in ((".zip", trades(DAYS[0])), (".gz", gzip.compress(b"a,b\n1,2\n" * 40))):
        for length in range(len(body)):
            path.write_bytes(body[:length])
            with pytest.raises(WrongContentError):
                check_whole(path, suffix, "here")
        path.write_bytes(body)
        check_whole(path, suffix, "here")


def test_a_ban_is_waited_for_by_all_requests(rig: Rig) -> None:
    rig.archive.misdeeds.append(on(BAD, status(429, {"Retry-After": "120"}), times=1))
    assert rig.run().counts == {"fetched": 3}
    assert rig.waits.now_s >= 120
    assert max(rig.waits.slept) <= 120


def test_back_off_doubles(rig: Rig) -> None:
    rig.archive.misdeeds.append(on(BAD, status(500)))
    rig.run(connections=1)
    assert [seconds for seconds in rig.waits.slept if seconds >= 1] == [1, 2, 4, 8]


def test_a_host_that_refuses_the_address_is_left_alone(rig: Rig) -> None:
    rig.archive.misdeeds += [on(f"/{key(day)}", status(403)) for day in DAYS]
    for number in range(4, 20):
        rig.archive.add(key(f"2024-05-{number:02d}"), trades(f"2024-05-{number:02d}"))
        rig.archive.misdeeds.append(on(f"/{key(f'2024-05-{number:02d}')}", status(403)))
    report = rig.run(end="2024-05-20", connections=1)
    assert report.counts == {"blocked": 19}
    assert 3 <= len(rig.archive.gets()) <= 3 + 4, "those that were under way"


def test_a_pace_is_kept(waits: Waits) -> None:
    gate = HostGate(10, clock=waits.clock, sleep=waits.sleep)
    for _ in range(31):
        gate.wait()
    assert waits.now_s == pytest.approx(3)
    gate.stand_down(60)
    gate.wait()
    assert waits.now_s == pytest.approx(63)


LISTINGS = {
    "cut off": lambda body: body[: len(body) // 2],
    "without its end": lambda body: body[:-20],
    "no word on whether more comes": lambda body: body.replace(b"<IsTruncated>false</IsTruncated>", b""),
    "more comes from nowhere": lambda body: body.replace(b"<IsTruncated>false", b"<NextMarker></NextMarker><IsTruncated>true"),
    "entities": lambda body: body.replace(b"<ListBucketResult", b'<!DOCTYPE x [<!ENTITY a "b">]><ListBucketResult', 1),
    "another error": lambda _: b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "a size that is none": lambda body: body.replace(b"<Size>", b"<Size>x", 1),
    "other files": lambda body: body.replace(b"<Key>data/futures", b"<Key>data/spot", 1),
}


@pytest.mark.parametrize("change", LISTINGS.values(), ids=LISTINGS)
@pytest.mark.parametrize("times", [1, 1_000])
def test_a_listing_that_is_not_whole_is_no_listing(rig: Rig, change: Callable[[bytes], bytes], times: int) -> None:
    left = [times]

    def misdeed(handler: Handler) -> bool:
        if not handler.path.startswith("/?") or "daily" not in handler.path or not left[0]:
            return False
        left[0] -= 1
        keys = [name for name in sorted(handler.archive.files) if "/daily/" in name]
        handler.send(200, change(listing(handler.archive, keys, truncated=False)), {"Content-Type": "application/xml"})
        return True

    rig.archive.misdeeds.append(misdeed)
    report = rig.run()
    if times == 1:
        assert report.counts == {"fetched": 3}
    else:
        assert (report.counts, report.exit_code, rig.stored()) == ({"refused": 1}, 3, {})
        assert report.missing == (), "nobody knows what is missing"


@pytest.mark.parametrize(("code", "outcome", "exit_code"), [(403, "blocked", 4), (500, "failed", 5)])
def test_a_listing_that_does_not_come_is_not_taken_for_an_empty_one(rig: Rig, code: int, outcome: str, exit_code: int) -> None:
    def misdeed(handler: Handler) -> bool:
        if handler.path.startswith("/?"):
            handler.send(code, b"", {})
        return handler.path.startswith("/?")

    rig.archive.misdeeds.append(misdeed)
    report = rig.run()
    assert (report.counts, report.exit_code, report.missing) == ({outcome: 1}, exit_code, ())


def test_retry_after_may_be_a_date() -> None:
    assert 90 < (_retry_after_s(email.utils.formatdate(time.time() + 100, usegmt=True)) or 0) < 102
    assert _retry_after_s(email.utils.formatdate(0, usegmt=True)) == 0
    assert _retry_after_s(None) is None


def test_what_is_raised_in_a_thread_ends_the_download(rig: Rig) -> None:
    def told(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rig.run(progress=told)
    assert rig.stored() == {}
    assert rig.parts() == []
    with pytest.raises(ServerFailedError, match="stopped"):
        rig.transport.check()
