"""The catalogues of a server: one of the lake as it is now, and a copy of it for every worker.

A process of its own builds a catalogue (``python -m pointline.server.catalogues``), because the engine never runs in the server itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import sys
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.errors import LakeError, PointlineError
from pointline.lake.store import Lake, open_lake
from pointline.server.environment import clean_environment
from pointline.server.protocol import SERVER_NAME
from pointline.server.worker import WorkerSetup
from pointline.sql.catalogue import Catalogue, build_catalogue, copy_catalogue, fingerprint_of, open_catalogue
from pointline.sql.fetched_links import FetchedLinks, names_beside

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Sequence

    from pointline.server.config import ServerConfig
    from pointline.sql.guard.reads import Read

_log = logging.getLogger("pointline.serve")

TIME_COLUMNS = {name: ["known_at", "timestamp"] for name in ("trade", "trade_last")}
"""Views of `api` that are too large to be read without a condition on one of these columns."""

# The one file of the system that a query reads: the writer of ORC looks up this zone, and no other, for every column of times.
_ZONE_OF_ORC = [str(zone) for zone in (Path("/usr/share/zoneinfo/GMT"),) if zone.is_file()]


class Catalogues:
    """The catalogues of one server.

    Args:
        lake: what they show.
        folder: a folder of the server's own.
        config: limits decide how much a worker's memory may grow.
        confined: whether workers are confined.
        scratch: of a lake in a bucket, the folder that `link_scratch` gave.
    """

    def __init__(self, lake: Lake, folder: Path, config: ServerConfig, *, confined: bool, scratch: Path | None = None) -> None:
        self._lake = lake
        self._folder = folder
        self._links = (folder if scratch is None else scratch) / "links"
        self._fetched = None if scratch is None else FetchedLinks(lake, names_beside(self._links))
        self._confined = confined
        self._memory_mb = max([config.limits.memory_mb, *(user.limits.memory_mb for user in config.users.values())])
        self._catalogue: Catalogue | None = None
        self._served: list[str] = []
        self._generation = 0
        self._is_cut_off = False
        self._copies = count(1)
        self._in_use: dict[str, Catalogue] = {}

    async def build(self) -> int:
        """Builds a catalogue of the lake as it is now; returns its number, which is one more than the last.

        Raises:
            LakeError: it could not be built; the value is the last lines of the builder's output.
        """
        number = self._generation + 1
        for place in self._readable_links():
            place.mkdir(parents=True, exist_ok=True)
        folder = self._folder / f"catalogue-{number}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "pointline.server.catalogues", str(self._lake.root), str(folder), str(self._links)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**clean_environment(), **self._lake.environment()},
        )
        try:
            _, said = await process.communicate()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()  # it writes into the folder
            raise
        if process.returncode:
            raise LakeError("the SQL catalogue of the lake could not be built", where=str(self._lake.root), value=_last_lines(said))
        self._catalogue, self._generation = await asyncio.to_thread(open_catalogue, folder), number
        self._served = await asyncio.to_thread(served_folders, self._catalogue.files)
        self._remove_unused()
        return number

    async def is_outdated(self) -> bool:
        """Whether the lake has changed since the newest catalogue was built."""
        if not await asyncio.to_thread(self._is_refreshed):
            return False
        now = await asyncio.to_thread(fingerprint_of, self._lake)
        return self._catalogue is None or now != self._catalogue.fingerprint

    def _is_refreshed(self) -> bool:
        """Takes a lake in a bucket as it is now; not where the bucket does not answer."""
        try:
            self._lake.refresh()
        except LakeError as error:
            if not self._is_cut_off:
                _log.warning("the bucket cannot be looked at, and its lake is served as it was: %s", error)
            self._is_cut_off = True
        else:
            self._is_cut_off = False
        return not self._is_cut_off

    async def new_setup(self) -> tuple[WorkerSetup, int]:
        """A copy of the newest catalogue for a new worker, and the catalogue's number."""
        catalogue = self._catalogue
        if catalogue is None:
            raise LakeError("no catalogue was built yet")
        folder = self._folder / f"worker-{next(self._copies)}"
        self._in_use[str(folder)] = catalogue
        copy = await asyncio.to_thread(copy_catalogue, catalogue, folder)
        _name_server(copy.config_path)
        return WorkerSetup(
            str(copy.path),
            str(copy.config_path),
            str(folder),
            [*self._served, *map(str, (*self._readable_links(), catalogue.folder / "tables", *copy.config_files)), *_ZONE_OF_ORC],
            self._memory_mb,
            self._confined,
            TIME_COLUMNS,
            fetched=catalogue.is_fetched,
        ), self._generation

    def _readable_links(self) -> list[Path]:
        """The folders of links that lead to the lake's files."""
        return [self._links] if self._fetched is None else [self._links, names_beside(self._links)]

    @contextlib.contextmanager
    def held(self, setup: WorkerSetup, reads: Sequence[Read], stop: threading.Event) -> Iterator[None]:
        """Fetches the files that a statement of a worker reads, and keeps them while it runs; of a lake in a bucket only.

        Args:
            setup: the worker's.
            reads: what the statement reads.
            stop: set when it does not want the files any more.

        Raises:
            ConfigError: they are more than ``POINTLINE_MIRROR_BYTES``.
            DamageError: a file is missing, or its content is not what its name says.
            LakeError: the bucket does not answer, or refuses; or the worker is gone.
            UnwantedError: `stop` was set.
        """
        catalogue = self._in_use.get(setup.folder)
        if catalogue is None or catalogue.live is None or self._fetched is None:
            raise LakeError("there is no catalogue to fetch files of", where=setup.folder)
        with self._fetched.held(catalogue.live.behind(reads), stop):
            yield

    def remove_setup(self, setup: WorkerSetup) -> None:
        """Removes a worker's copy, and catalogues that are not used any more."""
        self._in_use.pop(setup.folder, None)
        shutil.rmtree(setup.folder, ignore_errors=True)
        self._remove_unused()

    def _remove_unused(self) -> None:
        newest = self._catalogue.folder if self._catalogue is not None else None
        in_use = {catalogue.folder for catalogue in self._in_use.values()}
        for folder in self._folder.glob("catalogue-*"):
            number = int(folder.name.rpartition("-")[2])
            if folder != newest and folder not in in_use and number < self._generation:
                shutil.rmtree(folder, ignore_errors=True)


def served_folders(links: Iterable[str]) -> list[str]:
    """The folders of the data files behind these links, below their table's own, in which the log lies; a saved study's file itself.

    A file whose link leads nowhere is left out: queries are refused while it is missing.
    """
    found: set[Path] = set()
    for link in links:
        file = Path(os.path.realpath(link))
        if file in found or not found.isdisjoint(file.parents) or not file.is_file():
            continue
        table = next((parent for parent in file.parents if (parent / "_delta_log").is_dir()), None)
        found.add(file if table is None else table / file.relative_to(table).parts[0])
    return sorted(map(str, found))


def _last_lines(said: bytes) -> str:
    return "\n".join(said.decode(errors="replace").strip().splitlines()[-5:])[-2000:]


def _name_server(config: Path) -> None:
    """Sets the name that the engine shows to clients, instead of the machine's."""
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("<clickhouse>", f"<clickhouse><display_name>{SERVER_NAME}</display_name>", 1), encoding="utf-8")


def main() -> None:
    """Builds the catalogue that the command line names."""
    lake, folder, links = sys.argv[1:]
    try:
        build_catalogue(open_lake(lake), Path(folder), links=Path(links))
    except PointlineError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
