"""A check that the data files behind a catalogue, and the links to them, exist: the engine skips missing ones silently."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from pointline.errors import DamageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

CATALOGUE_FILE = "catalogue.json"


def check_files(files: Iterable[str]) -> None:
    """Checks that every data file, and the link to it, exists.

    Raises:
        DamageError: a file is missing.
    """
    for file in files:
        if not os.path.exists(file):  # noqa: PTH110 - some thousand files before every query
            hint = "`pointline verify` lists what is damaged, `pointline repair` reads the archive files behind it again"
            raise DamageError("a data file of the lake, or the link by which SQL reads it, is missing", where=file, hint=hint)


def files_behind(catalogue: Path) -> tuple[str, ...]:
    """The links to data files of the catalogue in a folder."""
    return tuple(json.loads((catalogue / CATALOGUE_FILE).read_text(encoding="utf-8"))["files"])
