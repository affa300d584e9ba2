"""The benchmarks run, their contenders agree, and a disagreement would be seen. Nothing here depends on how long anything takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.machine import limit

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
MODULES = ("chart", "contenders", "measure", "report")


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """The benchmark's modules; they import each other by bare names, so their folder is on the path while they load."""
    from importlib import import_module

    sys.path.insert(0, str(BENCHMARKS))
    try:
        return {name: import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(BENCHMARKS))
        for name in MODULES:
            sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A smoke run."""
    folder = tmp_path_factory.mktemp("bench")
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "run.py"), "--smoke", "--data", str(folder / "data"), "--json", str(folder / "results.json")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=limit(300),
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all results agree" in done.stdout
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert [name for name in found["missing"] if f"skipped {name}: " not in done.stdout] == []
    return found


@pytest.mark.slow
def test_everything_is_measured(results: dict[str, Any]) -> None:
    (window,) = results["windows"]
    assert window["days"] == 2
    assert window["rows"] == 2 * (20_000 + 2_000)
    assert {"pointline", "pointline-first", "pointline-repeat", "decode", "polars", "guide"} <= window["cases"].keys()
    every = [*results["ingest"].items(), *window["cases"].items(), *results["sweep"].items(), *results["startup"].items()]
    assert [name for name, case in every if case["failure"] or not case["wall_s"] > 0 or not case["peak_mb"] > 1] == []
    assert len(results["ingest"]) == 8
    assert results["ingest"]["trades, USD-M"]["summary"]["rows"] == 20_000
    assert results["ingest"]["recorded mark price stream"]["summary"]["rows"] == 2 * 86_400


@pytest.mark.slow
def test_contenders_have_the_same_bars(results: dict[str, Any]) -> None:
    (window,) = results["windows"]
    summaries = {name: case["summary"] for name, case in window["cases"].items()}
    same = [summary["shared"] for summary in summaries.values() if summary is not None and "shared" in summary]
    assert len(same) >= 5
    assert [shared for shared in same if shared != same[0]] == []
    assert same[0]["bars"] > 1_000
    assert summaries["pointline"]["whole"] == summaries["polars"]["whole"]
    assert summaries["guide"]["whole"] is None


@pytest.mark.slow
def test_a_bar_of_the_whole_day_is_one_bar(results: dict[str, Any]) -> None:
    *_, (_, widest) = results["sweep"].items()
    assert widest["summary"]["whole"]["bars"] == 1


@pytest.mark.slow
def test_tables_and_chart_are_made_of_the_results(results: dict[str, Any], modules: dict[str, ModuleType], tmp_path: Path) -> None:
    report, chart = modules["report"], modules["chart"]
    page = tmp_path / "page.md"
    page.write_text(f"Before.\n\n{report.BEGIN}\nfigures of an earlier run\n{report.END}\n\nAfter.\n", encoding="utf-8")
    report.write_page(page, results)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.")
    assert text.endswith("After.\n")
    assert "earlier run" not in text
    assert "| trades, USD-M | 1 | 20,000 |" in text
    assert "### 2 days, 44,000 trades" in text
    drawn = ET.fromstring(chart.svg(chart.chosen_window(results)))  # noqa: S314 -- our own text
    dots = list(drawn.iter("{http://www.w3.org/2000/svg}circle"))
    left_out = {"pointline-first", "pointline-sweep"}  # no other way to the same table, but more work
    measured = [name for name, case in results["windows"][0]["cases"].items() if case["wall_s"] is not None and name not in left_out]
    assert len(dots) == 2 * len(measured)


def test_dots_lie_on_a_logarithmic_scale(modules: dict[str, ModuleType]) -> None:
    cases = {"decode": (1.0, 100.0), "polars": (2.0, 200.0), "pointline": (4.0, 800.0)}
    window = {"days": 1, "rows": 1_000_000, "cases": {name: {"wall_s": wall, "peak_mb": peak} for name, (wall, peak) in cases.items()}}
    text = modules["chart"].svg(window)
    dots = [float(node.get("cx", "")) for node in ET.fromstring(text).iter("{http://www.w3.org/2000/svg}circle")]  # noqa: S314 -- our own text
    floor, polars, pointline = dots[:3]  # of the times, in the order of the times
    assert pointline - floor == pytest.approx(2 * (polars - floor), abs=0.2)
    floor, polars, pointline = dots[3:]
    assert pointline - floor == pytest.approx(3 * (polars - floor), abs=0.3)
    assert {"1.0 ×", "2.0 ×", "4.0 ×", "100 MB", "200 MB", "800 MB"} <= set(re.findall(r">([^<]+)</text>", text))
    assert "prefers-color-scheme: dark" in text


def test_the_page_has_the_marks(modules: dict[str, ModuleType]) -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert text.count(modules["report"].BEGIN) == text.count(modules["report"].END) == 1


JOB = {"threshold_lots": 1_000, "perp_decimals": (1, 3)}
TRUTH = {"perp_lots": 5_000, "spot_lots": 700}
SHARED = {"bars": 5, "perp_close": "a", "spot_close": "b"}
WHOLE = {"bars": 6, "perp_lots": 5_000, "spot_lots": 700}
AGREEING: dict[str, Any] = {
    "pointline": {"shared": SHARED, "whole": WHOLE},
    "decode": None,
    "polars": {"shared": SHARED, "whole": WHOLE},
    "guide": {"shared": SHARED, "whole": None},
    "mlfinpy": {"bars": 4, "perp_lots": 4_100},
}


def test_agreement_has_no_problems(modules: dict[str, ModuleType]) -> None:
    assert modules["contenders"].disagreements(AGREEING, JOB, TRUTH) == []


@pytest.mark.parametrize(
    ("contender", "part", "key", "value", "expected"),
    [
        ("polars", "shared", "spot_close", "c", "polars: spot_close differ from pointline's"),
        ("guide", "shared", "bars", 4, "guide: bars differ from pointline's"),
        ("polars", "whole", "perp_lots", 4_999, "polars: perp_lots is 4,999, not 5,000"),
        ("pointline", "whole", "spot_lots", 701, "pointline: spot_lots is 701, not 700"),
        ("polars", "whole", "bars", 7, "polars: 7 bars, not 6"),
    ],
)
def test_each_disagreement_is_found(
    modules: dict[str, ModuleType], contender: str, part: str, key: str, value: object, expected: str
) -> None:
    summaries = json.loads(json.dumps(AGREEING))  # no contender's part is another's
    summaries[contender][part][key] = value
    assert modules["contenders"].disagreements(summaries, JOB, TRUTH) == [expected]


def test_bars_of_another_rule_may_leave_out_the_unfinished_one_and_no_more(modules: dict[str, ModuleType]) -> None:
    lost = {**AGREEING, "mlfinpy": {"bars": 4, "perp_lots": 3_999}}
    assert modules["contenders"].disagreements(lost, JOB, TRUTH) == ["mlfinpy: 3,999 lots in its bars, 5,000 were traded"]


def test_without_a_result_of_pointline_nothing_agrees(modules: dict[str, ModuleType]) -> None:
    assert modules["contenders"].disagreements({**AGREEING, "pointline": None}, JOB, TRUTH) == ["pointline gave no result"]


def test_only_the_repeat_may_use_what_was_kept(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    contenders = modules["contenders"]
    lake, scratch = tmp_path / "lake", tmp_path / "scratch"
    for folder in (lake / "trades", lake / ".cache" / "bars", scratch):
        folder.mkdir(parents=True)
    everyone = contenders.Field({contender.name: sys.executable for contender in contenders.CONTENDERS}, {}, {})
    cases, left_out = contenders.cases_of(everyone, {"rows": 1, "lake": str(lake)}, scratch, again=True)
    assert left_out == {}
    jobs = {case.name: case.job for case in cases}
    own = {name: job for name, job in jobs.items() if "cache" in job}
    expected = {"pointline-first": "empty", "pointline-repeat": "full", "pointline-sweep": "empty"}
    assert {name: job["cache"] for name, job in own.items()} == expected
    assert [sorted(path.name for path in Path(job["lake"]).iterdir()) for job in own.values()] == [["trades"]] * 3
    assert {job["lake"] for name, job in jobs.items() if name not in own} == {str(lake)}


def test_too_large_a_window_leaves_contenders_out(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    contenders = modules["contenders"]
    (tmp_path / "lake").mkdir()
    (tmp_path / "scratch").mkdir()
    two = contenders.Field({"pointline": sys.executable, "guide": sys.executable}, {}, {})
    cases, left_out = contenders.cases_of(two, {"rows": 60_000_001, "lake": str(tmp_path / "lake")}, tmp_path / "scratch", again=False)
    assert ([case.name for case in cases], list(left_out)) == (["pointline"], ["guide"])


def test_commands_run_in_turn_after_one_check_each(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    log = tmp_path / "log"
    writing = (
        "import json, sys; job = json.load(open(sys.argv[1])); open(job['log'], 'a').write(job['name'] + ' c'[job.get('check', False)])"
    )
    measure = modules["measure"]
    cases = [measure.Case(name, [sys.executable, "-c", writing], {"log": str(log), "name": name}) for name in "AB"]
    measure.run_group(cases, 2, say=lambda _: None)
    assert log.read_text(encoding="utf-8") == "AcBcA B A B "
    assert [len(case.samples) for case in cases] == [2, 2]


def test_a_failing_command_says_why_and_does_not_stop_the_others(modules: dict[str, ModuleType]) -> None:
    measure = modules["measure"]
    cases = [
        measure.Case("bad", [sys.executable, "-c", "raise SystemExit('out of paper')"]),
        measure.Case("good", [sys.executable, "-c", ""]),
    ]
    said: list[str] = []
    measure.run_group(cases, 1, say=said.append)
    assert (cases[0].failure, cases[0].samples) == ("out of paper", [])
    assert said[0] == "  bad: out of paper"
    assert len(cases[1].samples) == 1
    with pytest.raises(measure.ProcessFailedError, match="killed by signal 15"):
        measure.run_process([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"])


def test_peak_memory_is_that_of_the_process() -> None:
    """Measured from a small process: the memory of the one that starts another counts into the other's peak."""
    measure = """
import sys
sys.path.insert(0, "benchmarks")
from measure import run_process
print(run_process([sys.executable, "-c", "bytearray(b'x') * (1 << 28)"]).peak_mb)
"""
    done = subprocess.run([sys.executable, "-c", measure], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 256 < float(done.stdout) < 332


def printed(program: str, *options: object) -> str:
    """What a benchmark of one machine prints."""
    command = [sys.executable, str(BENCHMARKS / program), *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit(120), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_download_by_rest_is_measured() -> None:
    assert printed("rest.py", "--days", 1, "--trades", 2_500, "--runs", 1).startswith("2,500 trades of 1 days: ")


def test_parsed_rows_are_stored_to_the_same_bytes_while_it_is_measured() -> None:
    found = printed("scale_ingest.py", "--days", 1, "--trades", 2_000, "--runs", 1, "--workers", 1)
    assert found.startswith("2 files, ")
    assert found.count("\n| ") == 9
    assert "stay with it" in found
