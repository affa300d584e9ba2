"""``pointline download`` and ``pointline update``, as they are typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cli.running import Result, run
from tests.download.conftest import DAYS, NOW_US, Rig, key, trades

import pointline
from pointline.errors import ConfigError, NoDataError
from pointline.lake.store import open_lake
from pointline.updates import lacking, run_update, worst_code

if TYPE_CHECKING:
    from pathlib import Path

WANTED = ("--exchange", "binance-usdm-future", "--symbols", "BTCUSDT", "--kinds", "trades", "--start", DAYS[0])


def download(rig: Rig, *more: str | Path, end: str = "2024-05-04") -> Result:
    return run("download", *WANTED, "--end", end, "--folder", rig.folder, "--base-url", rig.url, *more)


def test_a_table_for_people(rig: Rig) -> None:
    plan = download(rig, "--dry-run")
    assert (plan.code, plan.err) == (0, "")
    assert "3 planned" in plan.out
    assert not rig.folder.exists()
    done = download(rig)
    assert done.code == 0
    assert "3 fetched" in done.out
    assert download(rig, "-q").out == ""


def test_json_for_programs(rig: Rig) -> None:
    found = download(rig, "--json").json
    assert found["counts"] == {"fetched": 3}
    assert [file["verified_by"] for file in found["files"]] == ["sha256"] * 3
    assert "ingest" not in found


def test_1_where_days_are_missing(rig: Rig) -> None:
    found = download(rig, end="2024-05-06")
    assert found.code == 1
    assert "missing: the archive has no file: trades of binance-futures:BTCUSDT, 2024-05-04 to 2024-05-05" in " ".join(found.out.split())
    assert "days are missing" in found.err
    assert download(rig, "--json", end="2024-05-06").error["exit_code"] == 1


@pytest.mark.parametrize(("status", "code", "said"), [(403, 4, "blocked"), (404, 1, "not published (404)")])
def test_statuses_are_told_apart(rig: Rig, status: int, code: int, said: str) -> None:
    def misdeed(handler: object) -> bool:
        bad = getattr(handler, "path", "") == f"/{key(DAYS[1])}"
        if bad:
            handler.send(status, b"", {})  # type: ignore[attr-defined]
        return bad

    rig.archive.misdeeds.append(misdeed)
    found = download(rig)
    assert found.code == code
    assert said in " ".join(found.out.split())
    assert "2 fetched" in found.out
    assert str(status) in found.err


def test_2_where_the_usage_is_wrong(rig: Rig) -> None:
    assert download(rig, "--base-url", "ftp://here").code == 2
    assert run("download", *WANTED[:-2], "--start", "2024-05-02", "--end", "2024-05-01").code == 2


def test_ingest_goes_on_into_the_lake_and_update_continues_it(rig: Rig, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    found = download(rig, "--ingest", "--lake", lake, "--json").json
    assert [one["outcome"] for one in found["ingest"]] == ["landed"] * 3
    for day in ("2024-05-04", "2024-05-06"):
        rig.archive.add(key(day), trades(day))
    options = ("--lake", lake, "--folder", rig.folder, "--base-url", rig.url)
    plan = run("update", *options, "--until", "2024-05-07", "--dry-run", "--json").json
    assert plan["download"]["counts"] == {"planned": 2}
    assert plan["ingest"] == []
    done = run("update", *options, "--until", "2024-05-07")
    assert (done.code, done.err) == (0, "")
    assert "2 fetched" in done.out
    assert "missing: the archive has no file: trades of binance-futures:BTCUSDT, 2024-05-05" in " ".join(done.out.split())
    rig.archive.add(key("2024-05-05"), trades("2024-05-05"))
    assert run("update", *options, "--until", "2024-05-07", "--json").json["download"]["counts"] == {"fetched": 1}, "a day that came late"
    assert "nothing to do" in run("update", *options, "--until", "2024-05-07").out
    dates = open_lake(lake).listing("trades")["date"].sort().to_list()
    assert dates == [f"2024-05-0{day}" for day in range(1, 7)]
    assert open_lake(lake).root == lake


def test_update_in_python(rig: Rig, tmp_path: Path) -> None:
    folder, lake = rig.folder, tmp_path / "lake"
    report = rig.run(end=DAYS[1])
    pointline.ingest(report.paths, lake=lake)
    (target,) = lacking(open_lake(lake), NOW_US)
    assert (target.days[0], target.days[-1]) == (DAYS[1], "2024-12-31")
    done = run_update(
        open_lake(lake), transport=rig.transport, folder=folder, now_us=NOW_US, until_us=None, dry_run=False, base_url=rig.url
    )
    assert done.download.counts == {"fetched": 2}
    assert [one.outcome for one in done.ingested] == ["landed"] * 2
    assert (done.exit_code, done.errors) == (0, [])


def test_an_update_that_is_blocked_says_so(rig: Rig, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    pointline.ingest(rig.run(end=DAYS[1]).paths, lake=lake)

    def misdeed(handler: object) -> bool:
        handler.send(403, b"", {})  # type: ignore[attr-defined]
        return True

    rig.archive.misdeeds.append(misdeed)
    done = run("update", "--lake", lake, "--folder", rig.folder, "--base-url", rig.url, "--until", "2024-05-04")
    assert done.code == 4
    assert "refuses this request" in done.err


def test_a_delivered_contract_is_not_asked_for(rig: Rig, tmp_path: Path) -> None:
    name = "data/futures/um/daily/trades/BTCUSDT_240628/BTCUSDT_240628-trades-2024-06-27.zip"
    from tests.download.server import HEADER, zipped

    text = f"{HEADER}\n1,60000,1,60000,1719446400000,true\n"
    rig.archive.add(name, zipped("BTCUSDT_240628-trades-2024-06-27", text))
    report = rig.run("2024-06-27", "2024-06-28", symbols="BTCUSDT_240628")
    pointline.ingest(report.paths, lake=tmp_path / "lake")
    (target,) = lacking(open_lake(tmp_path / "lake"), NOW_US)
    assert target.days == ("2024-06-28",)


def test_a_lake_without_archives(tmp_path: Path) -> None:
    open_lake(tmp_path / "lake", create=True)
    with pytest.raises(NoDataError, match="nothing from an archive"):
        pointline.update(tmp_path / "lake")


def test_the_face(rig: Rig) -> None:
    report = pointline.download("binance-futures", "BTCUSDT", "trades", DAYS[0], "2024-05-04", folder=rig.folder, base_url=rig.url)
    assert report.counts == {"fetched": 3}
    with pytest.raises(ConfigError, match="no symbols"):
        pointline.download("binance-futures", [], "trades", DAYS[0], DAYS[1])


@pytest.mark.parametrize(("codes", "worst"), [([], 0), ([1, 4], 4), ([4, 5], 5), ([5, 3, 1], 3), ([0, 2], 2)])
def test_the_worst_code(codes: list[int], worst: int) -> None:
    assert worst_code(codes) == worst
