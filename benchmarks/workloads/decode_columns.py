"""The floor: Polars decodes the four columns that bars are made of and adds them up, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
from job import run

if TYPE_CHECKING:
    from job import Job


def decode(job: Job) -> pl.DataFrame:
    """The sums of the columns."""
    files = [*job.perp_files, *job.spot_files]
    wanted = pl.col("ts_local_us", "price_int", "qty_int", "side").sum()
    return pl.scan_parquet(files, hive_partitioning=False).select(wanted).collect(engine="streaming")


if __name__ == "__main__":
    run(decode)
