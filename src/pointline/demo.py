"""The demo: two simulated days from archive files to features, chart, summary and report, the way a user would go."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pointline.costs import CostModel
from pointline.errors import ConfigError
from pointline.ingest.run import FileReport, ingest
from pointline.lake.store import open_lake
from pointline.report.chart_files import write_chart
from pointline.simulate import MarketConfig, write_archives, write_exchange_info
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.studies.compare import compare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.studies.study import Study

START, END = "2024-05-01", "2024-05-03"


@dataclass(frozen=True)
class Demo:
    """What the demo made.

    Attributes:
        study: the comparison.
        reports: one per ingested file.
        ingest_s: seconds of the ingest.
        files: what was left on disk, by purpose.
    """

    study: Study
    reports: list[FileReport]
    ingest_s: float
    files: dict[str, Path]


def run_demo(folder: Path, *, trades_per_day: int, say: Callable[[str], None]) -> Demo:
    """Simulates two days of a perp and its spot below `folder`, ingests the archives and compares the two.

    Args:
        folder: new or left by an earlier demo.
        trades_per_day: perp trades a day; the spot has a tenth.
        say: told what happens.

    Raises:
        ConfigError: the folder holds other things.
    """
    market = MarketConfig(start=START, days=2, perp_trades_per_day=trades_per_day)
    if folder.exists() and any(folder.iterdir()) and not (folder / "archives").is_dir():
        raise ConfigError("the demo wants a folder of its own", value=str(folder), hint="name a new folder with --output-folder")
    say(f"simulating two days, {trades_per_day:,} perp trades a day, as Binance Vision archives in {folder / 'archives'}")
    paths = [*write_exchange_info(market, folder / "archives"), *write_archives(market, folder / "archives")]
    lake = open_lake(folder / "lake", create=True)
    say(f"ingesting {len(paths)} files into {lake.root}")
    began = time.perf_counter()
    reports = ingest(lake, paths, sources=all_sources(), hints=Hints())
    ingest_s = time.perf_counter() - began
    perp, spot = f"binance-futures:{market.perp_symbol}", f"binance-spot:{market.spot_symbol}"
    say(f"comparing {perp} with {spot}")
    study = compare(perp, spot, start=START, end=END, costs=CostModel.same_exchange(), lake=lake)
    names = {"features": "features.parquet", "labels": "labels.parquet", "chart": "basis_and_funding.html", "report": "report.html"}
    files = {purpose: folder / name for purpose, name in names.items()}
    study.features.write_parquet(files["features"])
    study.labels().write_parquet(files["labels"])
    write_chart(study.chart().update_layout(title_text=f"{perp} against {spot}, simulated"), files["chart"])
    say(f"judging the features and writing the report to {files['report']}")
    replace(study, notes=(*study.notes, "the market is simulated")).report(files["report"])
    return Demo(study, reports, ingest_s, files)
