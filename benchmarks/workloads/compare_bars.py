"""pointline.compare: every bar, both venues, every feature."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from job import run
from polars_columns import decoded_summary

import pointline
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
    )
    return study.features


if __name__ == "__main__":
    run(features, decoded_summary)
