"""The ``instruments`` table: lists of instruments as the exchange gave them, from which `Lake.registry` rebuilds the registry."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import polars as pl

from pointline.errors import SourceError
from pointline.instruments import Registry
from pointline.lake.journal import stage_rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pointline.lake.delta_log import NewFile
    from pointline.lake.store import Lake
    from pointline.sources.base import Batch, Identity


@dataclass(frozen=True)
class InstrumentList:
    """A list of instruments that was read, and is to be stored.

    Attributes:
        path, identity, sha256: the file.
        observations: what it says of each instrument.
        name: what its file in the table begins with, by what it says.
    """

    path: Path
    identity: Identity
    sha256: str
    observations: pl.DataFrame
    name: str

    @property
    def key(self) -> str:
        """What it is known by in the manifest: what it says, however the file is packed."""
        return f"{self.identity.source}|{self.name}"

    def is_held(self, lake: Lake) -> bool:
        """Whether the lake has it already."""
        found = [path for path in lake.live("instruments")["path"].to_list() if path.startswith(f"{self.name}-")]
        return any(lake.has(lake.table_path("instruments") / path) for path in found)

    def stage(self, lake: Lake) -> NewFile:
        """Its file, to be made live.

        Raises:
            LakeError: the disk is full.
        """
        return stage_rows(lake, self.observations, self.name)


def list_of(path: Path, identity: Identity, sha256: str, batches: Iterable[Batch]) -> InstrumentList:
    """The list that the batches of one file make up.

    Raises:
        SourceError: it holds no instrument, or one that the source could not accept.
        RegistryError: it does not say when the exchange gave it.
    """
    held = list(batches)
    broken = next((batch.rejects for batch in held if not batch.rejects.is_empty()), None)
    if broken is not None:
        first = broken.row(0, named=True)
        raise SourceError(
            f"a list of instruments is taken whole or not at all: {first['reason']}",
            where=f"{path}, line {first['line']}",
            value=first["value"],
        )
    rows = pl.concat([batch.frame for batch in held], how="vertical") if held else pl.DataFrame()
    if rows.is_empty():
        raise SourceError("the list holds no instrument", where=str(path), hint="download it again")
    observed_us = cast("int", rows["observed_us"].max())
    observations = Registry().with_snapshot(rows, observed_us).observations
    text = observations.select(pl.all().cast(pl.String)).write_csv()
    name = f"snapshot-{observed_us}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return InstrumentList(path, identity, sha256, observations, name)
