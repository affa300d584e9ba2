"""Every archive: its files are found, stored, read by ingest as what they are, and gone on with."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from tests.cli.running import run as cli
from tests.download.conftest import NOW_US, Rig
from tests.download.hosts import CASES, HostCase

from pointline.clock import to_us
from pointline.download import get_targets, targets_of
from pointline.download.run import Wanted
from pointline.download.tardis import KEY_VARIABLE
from pointline.errors import SourceError
from pointline.ingest.checksum import verified_sha256
from pointline.lake.manifest import Manifest
from pointline.lake.store import open_lake
from pointline.updates import ingest_downloaded, lacking, run_update

if TYPE_CHECKING:
    from pathlib import Path

KEY = "TD.a-key-that-nobody-may-read"


QUICK = ("bybit-spot-months", "okx-swap", "okx-funding", "okx-all-funding", "gate-spot", "kucoin-futures", "tardis-quotes")


@pytest.fixture(params=[pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES])
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> HostCase:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    return CASES[request.param]


def test_files_are_got_read_and_gone_on_with(rig: Rig, case: HostCase, tmp_path: Path) -> None:
    rig.serve(case)
    last = case.served(case.periods[-1])
    late = rig.archive.files.pop(last)
    plan = rig.get(case, dry_run=True)
    size = sum(len(case.body(period)) for period in case.periods[:-1])
    assert (plan.counts, plan.bytes) == ({"planned": 2}, size)
    report = rig.get(case)
    assert report.counts == {"fetched": 2}
    assert {file.key for file in report.files} == {case.key(period) for period in case.periods[:-1]}
    assert {file.verified_by for file in report.files} == {case.checksum or "md5"}
    assert report.missing[-1].last[: len(case.periods[-1])] == case.periods[-1]
    assert rig.get(case).counts == {"held": 2}
    assert rig.get(case, verify=True).counts == {"checked": 2}

    lake = open_lake(tmp_path / "lake", create=True)
    landed = ingest_downloaded(report, lake=lake)
    assert [one.outcome for one in landed] == ["landed"] * 2, [one.error for one in landed]
    told = Manifest(lake).frame().select("source", "exchange", "symbol", "dataset", "period").sort("period").rows()
    assert [row[1:] for row in told] == [(*case.lands, period) for period in case.periods[:-1]]

    rig.archive.files[last] = late
    until_us = {"2024-05-04": 1_714_780_800_000_000, "2024-06-01": 1_717_200_000_000_000}
    done = run_update(
        lake,
        transport=rig.transport,
        folder=rig.folder,
        now_us=NOW_US,
        until_us=until_us["2024-06-01" if len(case.periods[0]) == len("2024-05") else "2024-05-04"],
        base_url=rig.url,
    )
    assert done.download.counts["fetched"] == 1
    assert [file.key for file in done.download.files if file.outcome == "fetched"] == [case.key(case.periods[-1])]
    assert [one.outcome for one in done.ingested if one.outcome != "unchanged"] == ["landed"], done.ingested
    json.dumps(done.to_json(), default=str)


def test_archives_with_the_same_paths_share_a_folder(rig: Rig) -> None:
    kucoin = CASES["kucoin-spot"]
    rig.serve(kucoin)
    assert rig.get(kucoin).counts == {"fetched": 3}
    rig.archive.files.clear()
    for period in kucoin.periods:
        rig.archive.add(kucoin.served(period), CASES["vision"].body(period))
    targets = targets_of("binance-spot", "BTCUSDT", "trades", *kucoin.window)
    report = get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US)
    assert report.counts == {"fetched": 3}
    assert len([name for name in rig.stored() if name.endswith(".zip")]) == 6


def test_a_plan_for_people_has_files_and_bytes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    case = CASES["tardis"]
    rig.serve(case)
    words = (
        "--exchange",
        case.exchange,
        "--symbols",
        case.symbol,
        "--kinds",
        case.kind,
        "--start",
        case.window[0],
        "--end",
        case.window[1],
    )
    found = cli("download", *words, "--archive", "tardis", "--folder", rig.folder, "--base-url", rig.url, "--dry-run")
    said = " ".join(found.out.split())
    assert found.code == 4
    assert "1 planned, 2 no key, or a refused one" in said
    assert f"{len(case.body(case.periods[0]))} bytes" in said
    assert KEY_VARIABLE in found.err
    assert not rig.folder.exists()


def test_a_day_of_the_week_before_that_came_late_is_got(rig: Rig, tmp_path: Path) -> None:
    case = CASES["okx-swap"]
    rig.serve(case)
    late = rig.archive.files.pop(case.served(case.periods[1]))
    lake = open_lake(tmp_path / "lake", create=True)
    ingest_downloaded(rig.get(case), lake=lake)
    rig.archive.files[case.served(case.periods[1])] = late
    (target,) = lacking(lake, to_us("2024-05-03"))
    assert target.days == ("2024-05-02",), "the day of UTC+8 that ends on 2024-05-03 is there"
    (target,) = lacking(lake, to_us("2024-05-05"))
    assert target.days == ("2024-05-02", "2024-05-04", "2024-05-05"), "the last of them holds the end of the UTC day before"


@pytest.mark.parametrize("digits", [32, 64])
def test_a_wrong_check_sum_of_either_kind_refuses_the_file_here_and_at_ingest(rig: Rig, digits: int) -> None:
    case = CASES["kucoin-spot"]
    rig.serve(case)
    name = case.served(case.periods[1])
    right = rig.archive.files[f"{name}.CHECKSUM"].body
    rig.archive.files[f"{name}.CHECKSUM"].body = f"{'0' * digits}  {name.rpartition('/')[2]}".encode()
    report = rig.get(case)
    assert (report.counts, report.exit_code) == ({"fetched": 2, "refused": 1}, 3)
    assert f"{'md5' if digits == 32 else 'sha256'} differs from its .CHECKSUM" in str(report.failed[0].error)
    rig.archive.files[f"{name}.CHECKSUM"].body = right
    path = rig.get(case).paths[1]
    path.with_name(f"{path.name}.CHECKSUM").write_text("0" * digits)
    with pytest.raises(SourceError, match=r"differs from its \.CHECKSUM"):
        verified_sha256(path)
    path.with_name(f"{path.name}.CHECKSUM").write_bytes(right)
    assert verified_sha256(path) == hashlib.sha256(case.body(case.periods[1])).hexdigest()


def test_an_instrument_that_somebody_named_otherwise_stops_no_other(rig: Rig) -> None:
    case = CASES["kucoin-spot"]
    rig.serve(case)
    odd = [Wanted(case.exchange, symbol, "trades", case.periods) for symbol in ("BTCUSDT", "../x")]
    targets = [*odd, *targets_of(case.exchange, case.symbol, case.kind, *case.window)]
    report = get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US)
    assert report.counts == {"fetched": 3, "not_published": 2}
    assert report.exit_code == 1
    assert "no symbol of the archive" in str(report.failed[0].error)
