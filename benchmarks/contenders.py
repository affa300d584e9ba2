"""Who is measured, under which conditions, and whether results that must agree do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import Case, script

if TYPE_CHECKING:
    from collections.abc import Sequence

_PROBE = "import importlib.metadata as m, importlib.util as u, sys; u.find_spec(sys.argv[1]) or sys.exit(1); print(m.version(sys.argv[2]))"
FLOOR, MAIN = "decode", "pointline"


@dataclass(frozen=True)
class Contender:
    """One way to get bars from the lake's files.

    Attributes:
        name: what tables and options call it.
        title: what it is.
        file: its script in ``workloads/``.
        package: the distribution that it needs; None where it needs nothing but pointline.
        module: that package's module.
        max_rows: it is left out of larger windows; 0 = of none.
        same_rule: its bars must equal those of pointline.
        again: a second call in the same process is faster, so it is measured too.
        cache: see the job; other than ``"off"`` it gets a view of the lake with a cache of its own.
    """

    name: str
    title: str
    file: str
    package: str | None = None
    module: str | None = None
    max_rows: int = 0
    same_rule: bool = True
    again: bool = False
    cache: str = "off"


_TEN_DAYS, _ONE_DAY = 60_000_000, 6_000_000
CONTENDERS = (
    Contender(MAIN, "`pointline.compare(cache=False)`, every feature of both venues", "compare_bars.py", again=True),
    Contender(
        "pointline-first", "`pointline.compare` as it is called: no cache yet, sums of bars are kept", "compare_bars.py", cache="empty"
    ),
    Contender("pointline-file", "`pointline.compare(cache=False, output=…)`: the features go to a Parquet file", "compare_to_file.py"),
    Contender("pointline-repeat", "the same asked for again: no trade is read", "compare_bars.py", cache="full"),
    Contender(
        "pointline-sweep",
        "eight thresholds by one `pointline.sweep`: *process* is all of it, *work* an eighth",
        "sweep_bars.py",
        cache="empty",
    ),
    Contender(
        FLOOR, "Polars decodes the four columns and adds them up, nothing else: the floor", "decode_columns.py", same_rule=False, again=True
    ),
    Contender(
        "polars", "Polars written with care: a day at a time, integer division, binary search, no join", "polars_bars.py", again=True
    ),
    Contender(
        "guide", "the perp-spot guide step by step: float frames, join_asof, group_by, inner join", "guide_bars.py", max_rows=_TEN_DAYS
    ),
    Contender("duckdb", "SQL on the same files, ASOF JOIN, a day at a time", "duckdb_bars.py", "duckdb", "duckdb", max_rows=_TEN_DAYS),
    Contender(
        "chdb",
        "ClickHouse in process: SQL on the same files, ASOF JOIN, a day at a time",
        "chdb_bars.py",
        "chdb",
        "chdb",
        max_rows=_TEN_DAYS,
    ),
    Contender(
        "finmlkit",
        "volume bars of the perp alone; compiled, at its first call in a process",
        "finmlkit_bars.py",
        "finmlkit",
        "finmlkit",
        max_rows=_ONE_DAY,
        same_rule=False,
        again=True,
    ),
    Contender(
        "mlfinpy",
        "volume bars of the perp alone; a loop over rows",
        "mlfinpy_bars.py",
        "mlfinpy",
        "mlfinpy",
        max_rows=_ONE_DAY,
        same_rule=False,
    ),
    Contender(
        "nautilus",
        "NautilusTrader, volume bars of the perp alone; trades are objects",
        "nautilus_bars.py",
        "nautilus_trader",
        "nautilus_trader",
        max_rows=_ONE_DAY,
        same_rule=False,
    ),
)


@dataclass(frozen=True)
class Field:
    """The contenders of a run: name -> interpreter, versions of what they use, and why others are missing."""

    interpreters: dict[str, str]
    versions: dict[str, str]
    missing: dict[str, str]


def find_contenders(peers: Sequence[str], wanted: Sequence[str] = ()) -> Field:
    """Looks for each contender's package, first here, then in the peers' environments.

    Args:
        peers: interpreters of environments with further packages.
        wanted: names to look for; all if empty. pointline and the floor always take part.
    """
    interpreters, versions, missing = {}, {}, {}
    for contender in CONTENDERS:
        if wanted and contender.name not in {*wanted, MAIN, FLOOR}:
            continue
        if contender.package is None or contender.module is None:
            interpreters[contender.name] = sys.executable
            continue
        for interpreter in (sys.executable, *peers):
            probe = [interpreter, "-c", _PROBE, contender.module, contender.package]
            found = subprocess.run(probe, capture_output=True, text=True, check=False)
            if found.returncode == 0:
                interpreters[contender.name], versions[contender.name] = interpreter, found.stdout.strip()
                break
        else:
            missing[contender.name] = f"{contender.package} is not installed: see benchmarks/requirements.txt"
    return Field(interpreters, versions, missing)


def cases_of(field: Field, job: dict[str, Any], scratch: Path, *, again: bool) -> tuple[list[Case], dict[str, str]]:
    """The cases of one window, and the contenders that it is too large for with the reason.

    Args:
        field: who takes part.
        job: the window.
        scratch: an empty folder for views of the lake.
        again: measure second calls too.
    """
    cases, left_out = [], {}
    for contender in CONTENDERS:
        if contender.name not in field.interpreters:
            continue
        if contender.max_rows and job["rows"] > contender.max_rows:
            left_out[contender.name] = f"left out above {contender.max_rows:,} trades, for want of memory or patience"
            continue
        command = script(contender.file, field.interpreters[contender.name])
        own = job
        if contender.cache != "off":
            own = {**job, "cache": contender.cache, "lake": str(lake_view(Path(job["lake"]), scratch / contender.name))}
        cases.append(Case(contender.name, command, own, again=again and contender.again))
    return cases, left_out


def lake_view(lake: Path, view: Path) -> Path:
    """The lake at another place, its tables linked, its cache left out: what is kept or cleared there touches no one else's."""
    view.mkdir()
    for entry in lake.iterdir():
        if not entry.name.startswith("."):
            (view / entry.name).symlink_to(entry.resolve())
    return view


def disagreements(summaries: dict[str, dict[str, Any] | None], job: dict[str, Any], truth: dict[str, int]) -> list[str]:
    """What does not agree in one window; empty where all is well.

    Bars by the same rule must be equal: their number, and closes, volumes and trades of both venues bar by bar. No volume may be lost: all
    of it is in the bars, and bars of another rule may leave out the last, unfinished one.

    Args:
        summaries: contender -> what it says of its result, None where it failed or says nothing.
        job: the window.
        truth: ``perp_lots`` and ``spot_lots`` that were ingested.
    """
    problems = []
    main = summaries.get(MAIN)
    if main is None:
        return ["pointline gave no result"]
    for contender in CONTENDERS:
        summary = summaries.get(contender.name)
        if summary is None:
            continue
        if not contender.same_rule:
            tolerance = max(job["threshold_lots"], 10 ** job["perp_decimals"][1]) + truth["perp_lots"] // 100_000  # single precision
            if abs(truth["perp_lots"] - summary["perp_lots"]) > tolerance:
                problems.append(f"{contender.name}: {summary['perp_lots']:,} lots in its bars, {truth['perp_lots']:,} were traded")
            continue
        differing = [name for name, value in main["shared"].items() if summary["shared"].get(name) != value]
        if differing:
            problems.append(f"{contender.name}: {', '.join(differing)} differ from pointline's")
        whole = summary["whole"]
        if whole is not None:
            problems += [
                f"{contender.name}: {name} is {whole[name]:,}, not {truth[name]:,}" for name in truth if whole[name] != truth[name]
            ]
            if whole["bars"] != main["whole"]["bars"]:
                problems.append(f"{contender.name}: {whole['bars']:,} bars, not {main['whole']['bars']:,}")
    return problems


def as_json(cases: Sequence[Case]) -> dict[str, Any]:
    """The measured cases by name, ready for `json`."""
    return json.loads(json.dumps({case.name: {**case.medians(), "summary": case.summary, "failure": case.failure} for case in cases}))
