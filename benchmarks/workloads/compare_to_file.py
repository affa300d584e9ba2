"""pointline.compare into a Parquet file: the table is never in memory as a whole."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from job import run
from polars_columns import decoded_summary

import pointline
from pointline.research.spines import VolumeBarConfig

if TYPE_CHECKING:
    from job import Job

    from pointline import Study

_FOLDER = tempfile.TemporaryDirectory()


def written(job: Job) -> Study:
    """The study of the window, its features in a file."""
    warnings.simplefilter("ignore")
    return pointline.compare(
        "binance-futures:BTCUSDT",
        "binance-spot:BTCUSDT",
        start=job.start,
        end=job.end,
        bars=VolumeBarConfig(volume_threshold=job.threshold),
        lake=job.lake,
        cache=False,
        output=Path(_FOLDER.name) / "features.parquet",
    )


if __name__ == "__main__":
    run(written, lambda study, job: decoded_summary(study.features, job))
