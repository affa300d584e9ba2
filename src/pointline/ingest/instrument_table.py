"""The ``instruments`` table: exchangeInfo snapshots, from which `Lake.registry` rebuilds the registry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.instruments import Registry
from pointline.lake.journal import stage_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.delta_log import NewFile
    from pointline.lake.store import Lake


@dataclass(frozen=True)
class Snapshot:
    """An exchangeInfo file that was read.

    Attributes:
        path: the file.
        observations: what it says of each instrument.
        name: what its file in the table begins with, by what it says.
    """

    path: Path
    observations: pl.DataFrame
    name: str

    def is_held(self, lake: Lake) -> bool:
        """Whether the lake has it already."""
        found = [path for path in lake.live("instruments")["path"].to_list() if path.startswith(f"{self.name}-")]
        return any((lake.table_path("instruments") / path).is_file() for path in found)

    def stage(self, lake: Lake) -> NewFile:
        """Its file, to be made live.

        Raises:
            LakeError: the disk is full.
        """
        return stage_rows(lake, self.observations, self.name)


def read_snapshot(path: Path) -> Snapshot:
    """The content of an exchangeInfo file.

    Raises:
        SourceError: the file is not what its first line promised.
    """
    from pointline.sources.exchange_info import read_exchange_info

    rows, observed_us = read_exchange_info(path)
    observations = Registry().with_snapshot(rows, observed_us).observations
    text = observations.select(pl.all().cast(pl.String)).write_csv()
    return Snapshot(path, observations, f"snapshot-{observed_us}-{hashlib.sha256(text.encode()).hexdigest()[:16]}")
