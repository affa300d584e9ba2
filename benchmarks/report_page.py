"""What a report costs: ``python benchmarks/report_page.py [--bars 5m,1m,1s] [--trades 100000] [--runs 3]``.

Two simulated days, compared with time bars of several lengths. Prints for each the number of bars, the seconds of the coefficients, of the
rest of the report, the bytes of the page, and the milliseconds until a headless Chromium has drawn the first figure and all of them, from
the start of the navigation, as the median of the runs. Needs playwright and an installed Chromium or Chrome.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointline.studies.study import Study

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MARKS = "Object.fromEntries(performance.getEntriesByType('mark').map((mark) => [mark.name, mark.startTime]))"


def market(folder: Path, trades: int) -> Path:
    """A lake of two simulated days."""
    from pointline.ingest.run import ingest
    from pointline.lake.store import open_lake
    from pointline.simulate import MarketConfig, write_archives, write_exchange_info
    from pointline.sources.base import Hints
    from pointline.sources.families import all_sources

    config = MarketConfig(start="2024-05-01", days=2, perp_trades_per_day=trades)
    paths = [*write_exchange_info(config, folder / "archives"), *write_archives(config, folder / "archives")]
    ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=Hints())
    return folder / "lake"


def study_of(lake: Path, bars: str) -> Study:
    """The comparison of the two days."""
    import pointline
    from pointline.research.spines import TimeBarConfig

    pair = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
    return pointline.compare(*pair, start="2024-05-01", end="2024-05-03", bars=TimeBarConfig(bars), lake=lake)


def drawn_ms(page: Path, runs: int) -> dict[str, float]:
    """Milliseconds until the first figure and all figures are drawn."""
    from playwright.sync_api import sync_playwright

    path = os.environ.get("POINTLINE_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    samples: list[dict[str, float]] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(runs):
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            opened = context.new_page()
            opened.goto(page.as_uri())
            opened.locator("html[data-drawn=true]").wait_for(timeout=120_000)
            samples.append(opened.evaluate(MARKS))
            context.close()
        browser.close()
    return {name: median(sample[name] for sample in samples) for name in ("first-figure", "all-figures")}


def measured(lake: Path, bars: str, folder: Path, runs: int) -> dict[str, Any]:
    """The figures of one length of bars."""
    study = study_of(lake, bars)
    began = time.perf_counter()
    evaluation = study.ic()
    judged = time.perf_counter()
    page = study.report(folder / f"report-{bars}.html", evaluation=evaluation)
    written = time.perf_counter()
    times = {"coefficients_s": judged - began, "report_s": written - judged}
    return {"bars": study.features.height, **times, "bytes": page.stat().st_size, **drawn_ms(page, runs)}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", default="5m,1m,1s")
    parser.add_argument("--trades", type=int, default=100_000, help="perp trades a day")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pointline-report-") as name:
        lake = market(Path(name), options.trades)
        study_of(lake, "5m").report(Path(name) / "first.html")  # the machine code and the libraries are loaded
        print("bars of  bars     coefficients  report   page       first figure  all figures")
        for bars in options.bars.split(","):
            found = measured(lake, bars, Path(name), options.runs)
            print(
                f"{bars:<8} {found['bars']:<8,} {found['coefficients_s']:>10.1f} s  {found['report_s']:>4.1f} s  "
                f"{found['bytes'] / 1e6:>5.2f} MB  {found['first-figure']:>10,.0f} ms  {found['all-figures']:>8,.0f} ms"
            )


if __name__ == "__main__":
    sys.exit(main())
