"""Measures pointline against the floor and against others, on simulated trades: ``python benchmarks/run.py --help``."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chart import write_chart
from contenders import CONTENDERS, MAIN, as_json, cases_of, disagreements, find_contenders
from measure import ROOT, Case, ProcessFailedError, run_group, run_process, script
from report import print_tables, write_page

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE, CHART = ROOT / "docs" / "performance.md", ROOT / "docs" / "images" / "performance.svg"
FULL_DAY_TRADES = 5_500_000  # for which a bar holds 100 BTC
SMOKE_TRADES, SMOKE_DAYS = 20_000, 2
SMALL_ARCHIVE_DAYS = 30
PARTS = ("ingest", "windows", "sweep", "startup")


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python benchmarks/run.py --days 1,10 --peers ~/peers/bin/python")
    parser.add_argument("--days", default="1,10,40", help="windows in days, e.g. 1,10,40")
    parser.add_argument("--trades", type=int, default=5_000_000, help="simulated perp trades a day; spot has a tenth")
    parser.add_argument("--data", type=Path, default=ROOT / "out" / "bench", help="where simulated data is kept and looked for")
    parser.add_argument("--lake", type=Path, help="a lake of binance-futures and binance-spot BTCUSDT trades, used as it is")
    parser.add_argument("--peers", action="append", default=[], metavar="PYTHON", help="interpreter that has other contenders; repeatable")
    parser.add_argument("--only", default="", help=f"contenders, e.g. polars,duckdb; of {', '.join(c.name for c in CONTENDERS)}")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"what to measure: {','.join(PARTS)}")
    parser.add_argument("--repetitions", type=int, default=5, help="timed runs of each command")
    parser.add_argument("--json", type=Path, help="where to write the results; DATA/results.json if not given")
    parser.add_argument("--docs", action="store_true", help="also write docs/performance.md and its chart")
    parser.add_argument("--from-json", type=Path, help="measure nothing, show the results of this file")
    parser.add_argument("--prepare", action="store_true", help="only make the data")
    parser.add_argument("--smoke", action="store_true", help="a few trades, to see that everything runs and that results agree")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.days, options.trades, options.repetitions = str(SMOKE_DAYS), SMOKE_TRADES, 0
    return options


def make_data(options: argparse.Namespace, days: list[int]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The lake of the longest window, and the archives that are ingested."""
    options.data.mkdir(parents=True, exist_ok=True)
    make = [sys.executable, str(Path(__file__).with_name("market.py"))]
    lake = [str(options.lake), "--as-it-is"] if options.lake else [str(options.data / f"lake-{options.trades}")]
    market = _made([*make, "lake", *lake, "--days", str(max(days)), "--trades", str(options.trades)])
    archives: dict[str, Any] = {}
    if "ingest" in options.parts:
        small_days = SMOKE_DAYS if options.smoke else SMALL_ARCHIVE_DAYS
        folder = str(options.data / f"archives-{options.trades}x{small_days}")
        archives = _made([*make, "archives", folder, "--days", str(small_days), "--trades", str(options.trades)])
    return market, archives


def _made(command: list[str]) -> dict[str, Any]:
    try:
        return run_process(command, show_progress=True).printed
    except ProcessFailedError as failure:
        raise SystemExit(f"the data could not be made: {failure}") from None


def window_job(market: dict[str, Any], days: int, threshold: str) -> dict[str, Any]:
    """The task of a window: what the scripts read."""
    chosen = market["days"][:days]
    return {
        "lake": market["lake"],
        "start": chosen[0]["date"],
        "end": market["days"][days]["date"] if days < len(market["days"]) else market["end"],
        "threshold": threshold,
        "threshold_lots": int(Decimal(threshold).scaleb(market["perp_decimals"][1])),
        "perp_files": [day["perp_file"] for day in chosen],
        "spot_files": [day["spot_file"] for day in chosen],
        "perp_decimals": market["perp_decimals"],
        "spot_decimals": market["spot_decimals"],
        "rows": sum(day["rows"] for day in chosen),
        "threads": os.cpu_count() or 1,
    }


def usual_threshold(market: dict[str, Any]) -> str:
    """About 3,000 bars a day whatever the number of trades: 100 BTC for a full day."""
    base = Decimal(100 * market["days"][0]["rows"]) / FULL_DAY_TRADES
    return f"{base.quantize(Decimal('0.01')).normalize():f}"


def swept_thresholds(market: dict[str, Any], *, smoke: bool) -> list[str]:
    """From one lot to the volume of the first day."""
    decimals, total = market["perp_decimals"][1], market["days"][0]["perp_lots"]
    usual = int(Decimal(usual_threshold(market)).scaleb(decimals))
    lots = [usual, total] if smoke else [1, *(usual * 10**power // 1_000 for power in range(6)), total]
    return [f"{Decimal(count).scaleb(-decimals).normalize():f}" for count in sorted(set(lots)) if 0 < count <= total]


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Everything that is asked for."""
    days = sorted({int(text) for text in options.days.split(",")})
    market, archives = make_data(options, days)
    if options.prepare:
        raise SystemExit(0)
    field = find_contenders(options.peers, [name for name in options.only.split(",") if name])
    for name, reason in field.missing.items():
        print(f"skipped {name}: {reason}")
    runs = {"repetitions": options.repetitions, "side_by_side": 2 if options.smoke else 1}
    results: dict[str, Any] = {"ingest": {}, "windows": [], "sweep": {}, "startup": {}, "missing": field.missing, "problems": []}
    results["machine"] = machine_facts(field.versions, options.repetitions)
    if "ingest" in options.parts:
        print("ingest")
        cases = [Case(name, script("ingest_files.py"), {"files": files, "folder": str(options.data)}) for name, files in archives.items()]
        run_group(cases, **runs)
        results["ingest"] = as_json(cases)
        results["problems"] += [f"ingest of {case.name}: {case.failure}" for case in cases if case.failure]
    if "windows" in options.parts:
        for count in days:
            if count > len(market["days"]):
                print(f"skipped {count} days: the lake has {len(market['days'])}")
                continue
            results["windows"].append(measured_window(field, market, count, options, runs))
            results["problems"] += results["windows"][-1]["problems"]
    if "sweep" in options.parts:
        print("thresholds")
        jobs = {threshold: window_job(market, 1, threshold) for threshold in swept_thresholds(market, smoke=options.smoke)}
        cases = [Case(threshold, script("compare_bars.py"), job) for threshold, job in jobs.items()]
        run_group(cases, **runs)
        results["sweep"] = as_json(cases)
        results["problems"] += [f"{case.name} BTC per bar: {case.failure}" for case in cases if case.failure]
    if "startup" in options.parts:
        print("start-up")
        cases = [Case(name, [sys.executable, "-c", *words]) for name, words in STARTUP.items()]
        run_group(cases, **runs)
        results["startup"] = as_json(cases)
        results["problems"] += [f"{case.name}: {case.failure}" for case in cases if case.failure]
    return results


STARTUP = {
    "python, nothing": ["pass"],
    "import polars": ["import polars"],
    "import pointline": ["import pointline"],
    "pointline --help": ["from pointline.cli import main; main()", "--help"],
}


def measured_window(field: Any, market: dict[str, Any], days: int, options: argparse.Namespace, runs: dict[str, int]) -> dict[str, Any]:  # noqa: ANN401
    """All contenders on one window."""
    job = window_job(market, days, usual_threshold(market))
    print(f"{job['start']} to {job['end']}, {job['rows']:,} trades")
    with tempfile.TemporaryDirectory(dir=options.data) as scratch:
        cases, left_out = cases_of(field, job, Path(scratch), again=not options.smoke)
        run_group(cases, **runs)
    for name, reason in left_out.items():
        print(f"  skipped {name}: {reason}")
    truth = {name: sum(day[name] for day in market["days"][:days]) for name in ("perp_lots", "spot_lots")}
    problems = disagreements({case.name: case.summary for case in cases}, job, truth)
    main = next(case for case in cases if case.name == MAIN)
    return {
        "days": days,
        "rows": job["rows"],
        "threshold": job["threshold"],
        "bars": main.summary["whole"]["bars"] if main.summary else 0,
        "cases": as_json(cases),
        "left_out": left_out,
        "problems": [f"{days} days: {problem}" for problem in problems],
    }


def machine_facts(versions: dict[str, str], repetitions: int) -> dict[str, Any]:
    """What the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.is_file() else []
    processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    own = {name: importlib.metadata.version(name) for name in ("polars", "numpy", "numba")}
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9,
        "system": f"{platform.system()} {platform.machine()}",
        "repetitions": repetitions,
        "load": os.getloadavg()[0],
        "copy": run_process(script("copy_memory.py")).printed,
        "versions": {"Python": platform.python_version(), **own, **versions},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, shows and writes; 1 where results disagree or something of pointline's own failed."""
    options = parsed(arguments)
    if options.from_json:
        results = json.loads(options.from_json.read_text(encoding="utf-8"))
    else:
        results = measured(options)
        target = options.json or options.data / "results.json"
        target.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print_tables(results)
    if options.docs:
        write_page(PAGE, results)
        write_chart(CHART, results)
    for problem in results["problems"]:
        print(f"DISAGREES {problem}")
    print("results differ" if results["problems"] else "all results agree")
    return 1 if results["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
