"""Saved studies: their tables under the lake's ``studies`` folder, one Parquet file each, written whole or not at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pointline.errors import ConfigError
from pointline.lake.durable import write_atomically
from pointline.lake.rows import scan_rows

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from pointline.lake.store import Lake

STUDIES = "studies"
StudyKind = Literal["features", "spreads"]
_FOLDERS: dict[StudyKind, str] = {"features": STUDIES, "spreads": f"{STUDIES}/spreads"}
STUDY_KINDS: tuple[StudyKind, ...] = tuple(_FOLDERS)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def save_study(lake: Lake, name: str, table: pl.DataFrame, *, kind: StudyKind = "features") -> Path:
    """Stores a table under a name, in the place of the one that had it; returns the file.

    Raises:
        ConfigError: the name cannot be a file's.
        LakeError: the disk is full, or the bucket of the lake does not answer.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            "a study cannot have this name",
            value=name,
            expected="up to 100 letters, digits, dots, dashes and underscores, the first no sign",
        )
    path = lake.root / _FOLDERS[kind] / f"{name}.parquet"
    write_atomically(path, table.write_parquet)
    if lake.mirror is not None:
        lake.mirror.put_small_file(path)
    return path


def study_schema(path: Path) -> pl.Schema:
    """The columns of a saved study's file."""
    return scan_rows(path).collect_schema()


def saved_studies(lake: Lake, kind: StudyKind = "features") -> dict[str, Path]:
    """Name and file of every saved study of a kind, in name order."""
    folder = lake.root / _FOLDERS[kind]
    return {path.stem: path for path in sorted(folder.glob("*.parquet")) if not path.name.startswith(".")}
