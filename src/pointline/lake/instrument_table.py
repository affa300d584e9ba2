"""The ``instruments`` table: exchangeInfo snapshots, from which `Lake.registry` rebuilds the registry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.instruments import Registry
from pointline.lake.delta_log import Change, live_paths
from pointline.lake.journal import carry_out, stage_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake


@dataclass(frozen=True)
class Snapshot:
    """An exchangeInfo file that was read.

    Attributes:
        path: the file.
        observations: what it says of each instrument.
        name: of the file in the table, by its content.
    """

    path: Path
    observations: pl.DataFrame
    name: str

    def store(self, lake: Lake) -> int:
        """Stores it; returns how many instruments it tells of, 0 where the lake has it already.

        Raises:
            LakeError: the disk is full.
        """
        if self.name in live_paths(lake, "instruments") and (lake.table_path("instruments") / self.name).is_file():
            return 0
        carry_out(lake, {"instruments": Change([stage_rows(lake, self.observations, self.name)])})
        return self.observations.height


def read_snapshot(path: Path) -> Snapshot:
    """The content of an exchangeInfo file.

    Raises:
        SourceError: the file is not what its first line promised.
    """
    from pointline.sources.exchange_info import read_exchange_info

    rows, observed_us = read_exchange_info(path)
    observations = Registry().with_snapshot(rows, observed_us).observations
    text = observations.select(pl.all().cast(pl.String)).write_csv()
    return Snapshot(path, observations, f"snapshot-{observed_us}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet")
