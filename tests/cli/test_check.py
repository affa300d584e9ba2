"""pointline check: what it prints, what it exits with, what it writes, and what it refuses."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest
from tests.cli.running import PERP, SPOT, WINDOW, assert_refused, done, run
from tests.report.exposition import samples_of

if TYPE_CHECKING:
    from pathlib import Path

BARS = ("--bars", "time", "--threshold", "1h")
# The market of these tests trades some hundred times a day, and has no funding.
EASY = [
    word
    for limit in (
        "volume_ratio_min=0",
        "volume_ratio_max=1000",
        "volume_ratio_high=1000",
        "spot_volume_base=0",
        "null_share=1",
        "funding_missing_share=1",
        "basis_max_bps=1000",
        "basis_min_bps=-1000",
        "basis_outside_share=1",
        "stale_share_fail=1",
        "hole_share_fail=1",
        "flagged_share=1",
        "quarantined_share=1",
    )
    for word in ("--limit", limit)
]


def check(lake: Path, *options: str | Path) -> tuple[str | Path, ...]:
    return ("check", PERP, SPOT, *WINDOW, *BARS, "--lake", lake, *options)


def test_1_where_a_point_fails(lake: Path) -> None:
    found = run(*check(lake))
    assert found.code == 1
    assert found.err.startswith("error: ")
    assert "points fail:" in found.err
    assert "\n  data_age: " in found.err
    assert "Not ready: " in found.out
    assert "Traceback" not in found.err


def test_0_where_none_fails(lake: Path) -> None:
    found = run(*check(lake, *EASY))
    assert found.code == 0, found.err
    assert found.err == ""
    assert "No point fails" in found.out


def test_quiet_says_only_what_fails(lake: Path) -> None:
    found = run(*check(lake, "-q"))
    assert (found.code, found.out) == (1, "")
    assert "points fail" in found.err
    assert run(*check(lake, "-q", *EASY)) == (0, "", "")


def test_json_has_points_and_hours(lake: Path) -> None:
    found = run(*check(lake, "--json", "--by-hour", "--trials", "3", *EASY))
    assert found.code == 0
    told = found.json
    points = {point["point"]: point for point in told["points"]}
    assert told["passed"] is True
    assert (points["selection"]["value"], points["selection"]["status"]) == (3, "warn")
    assert [row["hour"] for row in told["by_hour"]] == list(range(24))
    assert "by_hour" not in run(*check(lake, "--json", *EASY)).json


def test_json_of_a_failure_is_one_result_and_one_error(lake: Path) -> None:
    found = run(*check(lake, "--json"))
    assert found.code == 1
    failed = found.json["fail"]
    assert [text.partition(":")[0] for text in found.error["value"]] == failed


def test_the_table_by_hour(lake: Path) -> None:
    found = done(*check(lake, "--by-hour", *EASY))
    assert "volume_ratio" in found.out
    assert [line.split()[0] for line in found.out.splitlines()[-24:]] == [str(hour) for hour in range(24)]


def test_prometheus_is_written_though_a_point_fails(lake: Path, tmp_path: Path) -> None:
    path = tmp_path / "btc.prom"
    path.write_text("old 1\n", encoding="utf-8")
    found = run(*check(lake, "--json", "--prometheus", path))
    assert found.code == 1
    statuses = {one.labels["point"]: one.value for one in samples_of(path.read_text(encoding="utf-8")) if one.name.endswith("_status")}
    codes = {"pass": 0, "warn": 1, "fail": 2, "unknown": 3}
    assert statuses == {point["point"]: codes[point["status"]] for point in found.json["points"]}
    assert [one.name for one in tmp_path.iterdir()] == ["btc.prom"]
    assert path.stat().st_mode & stat.S_IROTH  # the collector runs as another user


def test_a_run_that_cannot_begin_leaves_the_file(lake: Path, tmp_path: Path) -> None:
    path = tmp_path / "btc.prom"
    path.write_text("old 1\n", encoding="utf-8")
    refused = run("check", PERP, "binance-spot:NOPE", *WINDOW, "--lake", lake, "--prometheus", path)
    assert refused.code == 2
    assert path.read_text(encoding="utf-8") == "old 1\n"


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        (("--limit", "null_share"), "NAME=VALUE"),
        (("--limit", "nul_share=1"), "alike: null_share"),
        (("--limit", "null_share=many"), "null_share is not a number"),
        (("--limit", "null_share=2"), "a fraction, 0 to 1"),
        (("--limit", "ic=nan"), "a finite number"),
        (("--limit", "ic=0.1", "--limit", "ic=0.2"), "given twice"),
        (("--limit", "volume_ratio_min=30"), "wrong order"),
        (("--prometheus", "missing/btc.prom"), "ending in .prom"),
        (("--prometheus", "btc.txt"), "ending in .prom"),
        (("--trials", "0"), "trials"),
        (("--bars", "round"), "round"),
        (("--by-hour", "--dual", "1h"), "one spine"),
        (("--by-hour", "--threshold", "4h"), "too long"),
        (("--dual", "auto"), "a threshold of its own"),
    ],
)
def test_wrong_options_are_one_error(lake: Path, options: tuple[str, ...], fragment: str) -> None:
    refused = run(*check(lake, *options))
    assert_refused(refused, fragment)
    assert refused.err.count("error: ") == 1
    assert refused.out == ""


def test_the_help_has_an_example() -> None:
    assert "Example: pointline check " in done("check", "-h").out
