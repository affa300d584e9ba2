"""Every archive: its files are found, stored, read by ingest as what they are, and gone on with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.download.conftest import NOW_US, Rig
from tests.download.hosts import CASES, HostCase

from pointline.download.tardis import KEY_VARIABLE
from pointline.lake.manifest import Manifest
from pointline.lake.store import open_lake
from pointline.updates import ingest_downloaded, run_update

if TYPE_CHECKING:
    from pathlib import Path

KEY = "TD.a-key-that-nobody-may-read"


@pytest.fixture(params=CASES)
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
