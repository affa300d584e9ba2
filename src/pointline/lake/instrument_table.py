"""The ``instruments`` table: exchangeInfo snapshots, from which `Lake.registry` rebuilds the registry."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import polars as pl

from pointline.instruments import Registry
from pointline.lake.delta_log import append_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake


def add_exchange_info(lake: Lake, path: Path) -> int:
    """Stores an exchangeInfo snapshot; returns how many instruments it tells of, 0 where the lake has it already.

    Raises:
        SourceError: the file is not what its first line promised.
    """
    from pointline.sources.exchange_info import read_exchange_info

    rows, observed_us = read_exchange_info(path)
    observations = Registry().with_snapshot(rows, observed_us).observations
    text = observations.select(pl.all().cast(pl.String)).write_csv()
    name = f"snapshot-{observed_us}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet"
    if (lake.table_path("instruments") / name).is_file() and _is_live(lake, name):
        return 0
    append_rows(lake, "instruments", observations, name)
    return observations.height


def _is_live(lake: Lake, name: str) -> bool:
    actions = lake.actions("instruments")
    return not actions.is_empty() and name in actions["path"]
