"""pointline.sweep: eight thresholds with one pass over the trades; what is printed is an eighth of its time."""

from __future__ import annotations

import json
import sys
import time
import warnings
from decimal import Decimal
from typing import TYPE_CHECKING

from job import read_job
from polars_columns import decoded_summary

import pointline
from pointline.bars.cache import cache_of
from pointline.research.spines import VolumeBarConfig

if TYPE_CHECKING:
    import polars as pl
    from job import Job

EIGHTHS = (8, 6, 7, 9, 10, 12, 14, 16)  # of the job's threshold, which comes first


def sweep(job: Job) -> pl.DataFrame:
    """The features of the job's own threshold, after those of all eight were made."""
    warnings.simplefilter("ignore")
    cache_of(pointline.open_lake(job.lake)).clear()
    rules = [VolumeBarConfig(Decimal(job.threshold) * part / 8) for part in EIGHTHS]
    studies = pointline.sweep("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start=job.start, end=job.end, bars=rules, lake=job.lake)
    first = next(studies).features
    for study in studies:
        assert study.features.height  # noqa: S101 - each study is made when it is asked for
    return first


def main() -> None:
    """Runs the sweep once."""
    job = read_job(sys.argv[1])
    wall, cpu = time.perf_counter(), time.process_time()
    table = sweep(job)
    count = len(EIGHTHS)
    report = {"elapsed_s": [(time.perf_counter() - wall) / count], "cpu_s": [(time.process_time() - cpu) / count]}
    if job.check:
        report["summary"] = decoded_summary(table, job)
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
