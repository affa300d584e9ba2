"""pointline.compare: every bar, both venues, every feature."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from job import run
from polars_columns import decoded_summary

import pointline
from pointline.bars.cache import cache_of
from pointline.research.spines import VolumeBarConfig

if TYPE_CHECKING:
    import polars as pl
    from job import Job


def features(job: Job) -> pl.DataFrame:
    """The features of the window."""
    warnings.simplefilter("ignore")  # a lake without metadata or funding says so; it is not what is measured
    study = pointline.compare(
        "binance-futures:BTCUSDT",
        "binance-spot:BTCUSDT",
        start=job.start,
        end=job.end,
        bars=VolumeBarConfig(volume_threshold=job.threshold),
        lake=job.lake,
        cache=job.cache != "off",
    )
    return study.features


def make_cache(job: Job) -> None:
    """Brings the cache into the state that the job names: emptied before each call, filled by the first run, which is not timed."""
    if job.cache == "empty":
        cache_of(pointline.open_lake(job.lake)).clear()
    elif job.cache == "full" and job.check:
        features(job)


if __name__ == "__main__":
    run(features, decoded_summary, before=make_cache)
