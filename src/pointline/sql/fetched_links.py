"""Links to files of a lake in a bucket, which are fetched as statements need them.

The engine lists the files of a table once, when it is opened. So every link leads to a file from the beginning: to a Parquet file without
rows until a statement needs the rows, and then to the file that was fetched.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pointline.sql.files import check_files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointline.lake.store import Lake


class FetchedLinks:
    """The links of one catalogue, which no other catalogue uses.

    Args:
        lake: in a bucket.
        folder: the catalogue's.
    """

    def __init__(self, lake: Lake, folder: Path) -> None:
        self._lake = lake
        self._empty = folder / "no_rows.parquet"
        self._targets: dict[str, Path] = {}
        self._leading: set[str] = set()  # links that lead to a file of the lake
        self._lock = threading.Lock()

    def begin(self, links: Iterable[str]) -> None:
        """Takes over links that lead to files of the lake: they lead to no rows from here on."""
        if not self._empty.is_file():
            pl.DataFrame(schema={"ts_local_us": pl.Int64}).write_parquet(self._empty)
        for link in links:
            self._targets[link] = Path(os.path.realpath(link))
            _lead(link, self._empty)

    def bring(self, links: Iterable[str]) -> None:
        """Fetches the files behind these links, and lets the links lead to them.

        Raises:
            ConfigError: they are more than ``POINTLINE_MIRROR_BYTES``.
            DamageError: a file is missing, or its content is not what its name says.
            LakeError: the bucket does not answer, or refuses.
        """
        wanted = dict.fromkeys(links)
        self._lake.bring(self._targets[link] for link in wanted)
        with self._lock:
            for link in self._leading - wanted.keys():
                if not self._targets[link].is_file():  # it made room for others
                    _lead(link, self._empty)
                    self._leading.discard(link)
            for link in wanted.keys() - self._leading:
                _lead(link, self._targets[link])
                self._leading.add(link)
        check_files(wanted)


def _lead(link: str, target: Path) -> None:
    """Makes a link lead elsewhere, at once."""
    beside = f"{link}.{threading.get_ident()}"
    os.symlink(target, beside)  # noqa: PTH211 - as in `link_folder`
    Path(beside).replace(link)
