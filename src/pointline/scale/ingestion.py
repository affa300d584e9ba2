"""`pointline.ingest` with workers that parse: one process settles and commits, as it does alone, and takes what they parsed.

A worker's batches stand in for those of the parser only where file, names, hints and mapping are the same when the file's turn comes. Else,
and where no worker could help, this process parses the file itself. So the lake's bytes are those of an ingest without workers.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.errors import PointlineError
from pointline.ingest.checksum import sha256_of
from pointline.ingest.names import FileNames
from pointline.ingest.request import archive_files, as_paths
from pointline.ingest.run import ingest as run
from pointline.ingest.run import options_text
from pointline.lake.manifest import Manifest
from pointline.lake.store import Lake, open_lake
from pointline.progress import followed
from pointline.scale.parsing import ParseCall, ParsedFile, batches_of, is_whole, mapping_of, parse_file
from pointline.scale.staging import parsed_place, place_of_run
from pointline.scale.task import own_versions
from pointline.sources.base import INSTRUMENTS

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

    from distributed import Client

    from pointline.ingest.request import IngestOptions
    from pointline.ingest.run import FileReport
    from pointline.lake.store import LakeLike
    from pointline.progress import Progress
    from pointline.scale.cluster import ClusterLike
    from pointline.sources.base import Batch, Hints, Identity, Source

AHEAD = 4
"""Files per thread of the workers that are parsed together; twice as many wait on disk at most."""


@dataclass(frozen=True)
class IngestRun:
    """What an ingest with workers did.

    Attributes:
        reports: as of an ingest, one per file.
        by_workers: files whose rows came from workers.
        trouble: why workers could not go on, if they could not; this process parsed the rest.
    """

    reports: list[FileReport]
    by_workers: int
    trouble: PointlineError | None


def ingest_paths(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    options: IngestOptions,
    *,
    cluster: ClusterLike,
    lake: LakeLike | None = None,
    staging: str | Path | None = None,
    memory: str | int | None = None,
    progress: Progress | None = None,
) -> IngestRun:
    """Ingests files and folders of files, which workers parse.

    Args:
        paths, options, lake, progress: as for `pointline.ingest.request.ingest_paths`.
        cluster, memory: as for `pointline.scale.compare`.
        staging: for parsed rows, a folder that all machines share, or ``s3://bucket/prefix``; the system's temporary folder if None, for
            processes of this machine. What a killed run left in a bucket is removed by the next one, when it is a day old.

    Raises:
        ConfigError: an option cannot be used, there is no file, or the cluster is named wrongly.
        ClusterError: the cluster cannot be reached, or its workers do not fit; nothing was stored.
        BusyError: another process is writing.
        LakeError: the disk is full, or the lake is damaged.

    Examples:
        >>> from pointline.ingest.request import IngestOptions
        >>> done = ingest_paths("archives", IngestOptions(), cluster="local:4", lake="lake")  # doctest: +SKIP
        >>> done.by_workers  # doctest: +SKIP
        40
    """
    from pointline.scale.cluster import connected

    hints, asked = options.hints, options.sources
    files = archive_files(as_paths(paths))
    with (
        place_of_run(staging) as place,
        connected(cluster, memory=memory) as client,
        followed("ingest", progress) as tell,
    ):
        opened = lake if isinstance(lake, Lake) else open_lake(lake, create=True)
        parsed = ParsedFiles(calls_of(opened, files, options, place.place, own_disk=staging is None))
        sources = [ParsedSource(one, parsed) for one in asked]
        done = 0

        def advance(report: FileReport) -> None:
            nonlocal done
            done += 1
            parsed.passed(report.path)
            tell(done, len(files), report.path.name)

        with parsed.coming(client):
            reports = run(opened, files, sources=sources, hints=hints, progress=advance)
    return IngestRun(reports, parsed.taken, parsed.trouble)


def calls_of(lake: Lake, files: Sequence[Path], options: IngestOptions, staging: str, *, own_disk: bool = False) -> list[ParseCall]:
    """The files that workers can parse: new ones whose layout is known. The others are this process's, with what is to be said of them.

    Args:
        lake, files, options: of the ingest.
        staging: the place for parsed rows.
        own_disk: it is of this machine, so that bytes cost less than compressing them.
    """
    manifest, sources, hints, versions = Manifest(lake), options.sources, options.hints, own_versions()
    found: dict[Path, ParseCall] = {}
    held = {_but_content(key) for key in manifest.frame()["key"]}
    for path in files:
        with contextlib.suppress(PointlineError, OSError):
            names = FileNames(lake, hints)
            own = names.hints
            source, identity = next(((one, told) for one in sources if (told := one.recognise(path, own)) is not None), (None, None))
            if source is None or identity is None or identity.kind == INSTRUMENTS or not path.is_file():
                continue
            identity = names.identity(identity, path)
            if _but_content(identity.key("")) in held and _is_known(manifest, identity, path, names.hints):
                continue
            found[path] = ParseCall(
                path=str(path.absolute()),
                source=source.name,
                asked=options.source,
                identity=identity,
                hints=names.hints,
                mapping=mapping_of(names.hints),
                staging=staging,
                compression="uncompressed" if own_disk else "lz4",
                versions=versions,
            )
    return list(found.values())


def _but_content(key: str) -> str:
    """What the keys of files have in common that differ in their content, or in their period, alone."""
    return key.rpartition("|")[0]


def _is_known(manifest: Manifest, identity: Identity, path: Path, hints: Hints) -> bool:
    """Whether the lake has a file, so that workers need not parse it."""
    if identity.period:
        return manifest.current(identity.key("")) is not None
    before = manifest.current(identity.key(sha256_of(path)))
    return before is not None and before["options"] == options_text(hints)


class ParsedFiles:
    """What workers parsed, as the files' turns come.

    Args:
        calls: the files that workers parse, in order.

    Attributes:
        taken: files whose rows were taken from here.
        trouble: why workers could not go on.
    """

    def __init__(self, calls: Sequence[ParseCall]) -> None:
        self._calls = list(calls)
        self._place = {call.path: n for n, call in enumerate(calls)}
        self._found: dict[str, ParsedFile | None] = {}
        self._passed = 0
        self._over = False
        self._changed = threading.Condition()
        self.taken = 0
        self.trouble: PointlineError | None = None

    @contextlib.contextmanager
    def coming(self, client: Client) -> Iterator[None]:
        """Lets workers parse while the body runs; begins when the first of them has answered.

        Raises:
            ClusterError: the first answer is that workers cannot do it.
        """
        thread = threading.Thread(target=self._fetch, args=(client,), daemon=True)
        thread.start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._found or self._over)
                if self.trouble is not None and not self._found:
                    raise self.trouble
            yield
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()
            thread.join(timeout=1)  # one that waits for a worker ends with the client

    def passed(self, path: Path) -> None:
        """Says that a file's turn has come."""
        place = self._place.get(str(path.absolute()))
        if place is not None:
            with self._changed:
                self._passed = max(self._passed, place)
                self._changed.notify_all()

    def put(self, path: Path, found: ParsedFile | None) -> None:
        """Says what became of a file; None where workers could not parse it."""
        with self._changed:
            self._found[str(path.absolute())] = found
            self._changed.notify_all()

    def take(self, path: Path) -> tuple[ParseCall, ParsedFile] | None:
        """What a worker parsed of a file, once; None where this process has to. Waits for a worker that is at it."""
        key = str(path.absolute())
        place = self._place.get(key)
        if place is None:
            return None
        self.passed(path)
        with self._changed:
            self._changed.wait_for(lambda: key in self._found or self._over)
            found = self._found.get(key)
            self._found[key] = None
        return None if found is None else (self._calls[place], found)

    def _fetch(self, client: Client) -> None:
        from pointline.scale.cluster import sent, threads_of, trouble_of

        try:
            group = AHEAD * threads_of(client)
            for start in range(0, len(self._calls), group):
                with self._changed:
                    self._changed.wait_for(lambda start=start: self._over or self._passed >= start - group)  # type: ignore[misc]
                with contextlib.closing(sent(client, self._calls[start : start + group], parse_file)) as records:
                    for one in records:
                        self.put(Path(one.path), one if isinstance(one, ParsedFile) else None)
                        if self._over:
                            return
        except Exception as error:  # noqa: BLE001 - the ingest goes on without workers
            self.trouble = trouble_of(error)
        finally:
            with self._changed:
                self._over = True
                self._changed.notify_all()


class ParsedSource:
    """A parser in whose place workers parsed.

    Args:
        source: the parser.
        parsed: what they parsed.

    Attributes:
        name: of the parser.
    """

    def __init__(self, source: Source, parsed: ParsedFiles) -> None:
        self.name = source.name
        self.source = source
        self.parsed = parsed

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """As the parser."""
        return self.source.recognise(path, hints)

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows: those of a worker where they are of the same bytes and names, else the parser's."""
        found = self.parsed.take(path)
        if found is not None:
            call, file = found
            same = (call.source, call.identity, call.hints, call.mapping) == (self.name, identity, hints, mapping_of(hints))
            if same and file.staged is not None and sha256_of(path) == file.sha256:
                with parsed_place(call.staging).taken(file.staged) as folder:
                    if folder is not None and is_whole(folder):
                        self.parsed.taken += 1
                        yield from batches_of(folder)
                        return
        yield from self.source.read(path, identity, hints)
