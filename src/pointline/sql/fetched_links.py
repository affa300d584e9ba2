"""Files of a lake in a bucket under names that the engine reads, which lead to their rows while a statement runs that reads them.

The engine lists the files of a table once, when it is opened. So every file has a name from the beginning, which leads to a Parquet file
without rows. While a statement runs that reads the file, its name is a hard link to the file that was fetched. So nobody who makes room in
the mirror can take it away, and there is always something behind each name.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import ConfigError, DamageError
from pointline.lake.mirror_room import LINKS
from pointline.sql.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pointline.lake.store import Lake
    from pointline.sql.links import Link

_ATTEMPTS = 3  # another process may make room between the fetch of a file and the link to it
_NO_ROWS = "no_rows.parquet"


class FetchedLinks:
    """The names of a lake's files below one folder; several catalogues may share them.

    Args:
        lake: in a bucket.
        folder: in the lake's mirror, where no other process makes links.
    """

    def __init__(self, lake: Lake, folder: Path) -> None:
        self._lake = lake
        self._folder = folder
        self._no_rows = folder / _NO_ROWS
        self._folders: set[str] = set()
        self._holders: Counter[str] = Counter()
        self._lock = threading.Lock()

    def named(self, links: Iterable[Link]) -> list[Link]:
        """The links, to the names of the files that they lead to; names are made where they are new."""
        self._make_file_without_rows()
        return [(place, self._name(path.removeprefix(f"{self._lake.root}/"))) for place, path in links]

    def _name(self, path: str) -> str:
        name = f"{self._folder}/{path}"
        folder = name.rpartition("/")[0]
        if folder not in self._folders:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        with contextlib.suppress(FileExistsError):
            os.symlink(self._no_rows, name)  # noqa: PTH211 - as in `link_folder`
        return name

    @contextlib.contextmanager
    def held(self, paths: Iterable[str], stop: threading.Event | None = None) -> Iterator[None]:
        """Fetches files, and lets their names lead to them.

        Args:
            paths: of the files, below the lake.
            stop: set by whoever does not want them any more.

        Raises:
            ConfigError: they are more than ``POINTLINE_MIRROR_BYTES``, or the mirror's disk has no hard links.
            DamageError: a file is missing, or its content is not what its name says.
            LakeError: the bucket does not answer, or refuses.
            UnwantedError: `stop` was set.
        """
        wanted = list(dict.fromkeys(paths))
        with contextlib.ExitStack() as stack:
            for attempt in range(_ATTEMPTS):
                held = contextlib.ExitStack()
                try:
                    held.enter_context(self._lake.held([self._lake.root / path for path in wanted], stop))
                    held.enter_context(self._leading(wanted))
                except FileNotFoundError as error:
                    held.close()
                    if attempt == _ATTEMPTS - 1:
                        raise DamageError("a data file of the lake is missing", where=str(error.filename)) from None
                except BaseException:
                    held.close()
                    raise
                else:
                    stack.enter_context(held)
                    break
            yield

    @contextlib.contextmanager
    def _leading(self, paths: list[str]) -> Iterator[None]:
        led = []
        try:
            with self._lock:
                for path in paths:
                    if not self._holders[path]:
                        self._lead(path)
                    self._holders[path] += 1
                    led.append(path)
            yield
        finally:
            with self._lock:
                for path in led:
                    self._holders[path] -= 1
                    if not self._holders[path]:
                        del self._holders[path]
                        self._lead_nowhere(path)

    def _lead(self, path: str) -> None:
        name, beside = f"{self._folder}/{path}", f"{self._folder}/{path}.new"
        try:
            os.link(self._lake.root / path, beside)
        except FileNotFoundError:
            del self._holders[path]
            raise
        except OSError as error:
            raise ConfigError(
                "SQL over a bucket needs a disk with hard links for its mirror",
                where=str(self._lake.root),
                value=error.strerror,
                hint="set POINTLINE_MIRROR to a folder of a usual disk of this machine",
            ) from None
        Path(beside).replace(name)

    def _lead_nowhere(self, path: str) -> None:
        name, beside = f"{self._folder}/{path}", f"{self._folder}/{path}.new"
        with contextlib.suppress(FileNotFoundError):  # the folder is removed already
            os.symlink(self._no_rows, beside)  # noqa: PTH211 - as in `link_folder`
            Path(beside).replace(name)

    def _make_file_without_rows(self) -> None:
        if not self._no_rows.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = self._no_rows.with_name(f".{_NO_ROWS}.{os.getpid()}")
            pl.DataFrame(schema={"ts_local_us": pl.Int64}).write_parquet(unfinished)
            unfinished.replace(self._no_rows)


def link_scratch(lake: Lake, purpose: str) -> Scratch | None:
    """A folder of this process in the mirror of a lake in a bucket, where files can have other names; None of a local lake."""
    if lake.mirror is None:
        return None
    place = lake.root / LINKS
    place.mkdir(parents=True, exist_ok=True)
    return Scratch(purpose, place)


def names_beside(links: Path) -> Path:
    """The folder of the names of files that links in a folder of `link_scratch` lead to."""
    return links.parent / "files"
