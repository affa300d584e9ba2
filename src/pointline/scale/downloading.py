"""`pointline.download` with workers that get files: one process plans, and gives what they staged its name and record."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pointline.download import CONNECTIONS, DEFAULT_FOLDER, get_targets, targets_of
from pointline.download.archives import KEY_VARIABLES
from pointline.download.run import ended_of
from pointline.download.transport import Transport
from pointline.errors import ClusterError, ConfigError, PointlineError
from pointline.scale.fetching import FetchCall, FetchTerms, check_fetcher, fetch_files
from pointline.scale.host_notes import stand_downs
from pointline.scale.run import HERE
from pointline.scale.task import TaskFailure, own_versions

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from distributed import Client

    from pointline.clock import TimeLike
    from pointline.download.folder import ArchiveFolder, Verified
    from pointline.download.remote import RemoteFile
    from pointline.download.report import DownloadReport, FileOutcome
    from pointline.download.run import DownloadPlan, Wanted
    from pointline.errors import DownloadError
    from pointline.progress import Progress
    from pointline.scale.cluster import ClusterLike

MOST_FILES = 32
"""Files of a call, whose description stays below some kilobytes."""


@dataclass(frozen=True)
class DownloadRun:
    """What a download with workers did.

    Attributes:
        report: as of a download.
        by_workers: files that workers got.
        trouble: why workers could not go on, if they could not; this process got the rest.
    """

    report: DownloadReport
    by_workers: int = 0
    trouble: PointlineError | None = None


def download(
    exchange: str,
    symbols: str | Iterable[str],
    kinds: str | Iterable[str],
    start: TimeLike,
    end: TimeLike,
    *,
    cluster: ClusterLike = None,
    archive: str | None = None,
    folder: str | os.PathLike[str] = DEFAULT_FOLDER,
    dry_run: bool = False,
    verify: bool = False,
    base_url: str | None = None,
    connections: int = CONNECTIONS,
    memory: str | int | None = None,
    progress: Progress = False,
) -> DownloadRun:
    """Downloads archive files with workers, to the bytes of `pointline.download`.

    This process holds the folder's lock, asks the hosts what there is, and checks what is there already. Workers get the rest.

    Args:
        exchange, symbols, kinds, start, end, archive, dry_run, verify, base_url: as for `pointline.download`.
        cluster, memory: as for `pointline.scale.compare`. A dry run needs none.
        folder: where the files go; all machines see it at the same path.
        connections: how many files all workers together get at a time: each of their threads an equal part, or one, as far as it reaches.
        progress: as for `pointline.download`; what workers get is told when a group of files is there.

    Raises:
        ConfigError: an argument cannot be used, or the cluster is named wrongly.
        ClusterError: the cluster cannot be reached, or a worker does not fit; nothing was got.
        BusyError: another download writes to the folder.
        MissingExtraError: httpx or Dask is not installed.

    Examples:
        >>> from pointline import scale
        >>> week = ("binance-futures", "BTCUSDT", "trades", "2024-05-01", "2024-05-08")
        >>> done = scale.download(*week, cluster="tcp://scheduler:8786", folder="/mnt/archives")  # doctest: +SKIP
        >>> done.report.counts, done.by_workers  # doctest: +SKIP
        ({'fetched': 7}, 7)
    """
    targets = targets_of(exchange, symbols, kinds, start, end, archive=archive)
    with Transport(connections=max(1, connections)) as transport:
        return download_targets(
            targets,
            cluster=cluster,
            transport=transport,
            folder=folder,
            dry_run=dry_run,
            verify=verify,
            base_url=base_url,
            connections=connections,
            memory=memory,
            progress=progress,
        )


def download_targets(
    targets: list[Wanted],
    *,
    cluster: ClusterLike,
    transport: Transport,
    folder: str | os.PathLike[str],
    dry_run: bool = False,
    verify: bool = False,
    base_url: str | None = None,
    connections: int = CONNECTIONS,
    memory: str | int | None = None,
    progress: Progress | None = None,
    now_us: int | None = None,
) -> DownloadRun:
    """As `download`, for targets; arguments as of it and of `pointline.download.get_targets`, whose transport's manners workers keep."""
    from pointline.scale.cluster import connected

    def run(workers: DownloadWorkers | None) -> DownloadReport:
        return get_targets(
            targets,
            transport=transport,
            folder=folder,
            dry_run=dry_run,
            verify=verify,
            base_url=base_url,
            connections=connections,
            fetchers=workers,
            progress=progress,
            now_us=now_us,
        )

    if dry_run or cluster is None or cluster == HERE:
        return DownloadRun(run(None))
    if base_url is not None and urlsplit(base_url).password is not None:
        raise ConfigError(
            "a base URL with a password is not sent to workers", where="base_url", expected="http://… or https://… without one"
        )
    with connected(cluster, memory=memory) as client:
        workers = DownloadWorkers(client, transport, base_url, connections)
        report = run(workers)
    return DownloadRun(report, workers.count, workers.trouble)


class DownloadWorkers:
    """Workers that get files; see `pointline.download.run.DownloadFetchers`.

    Args:
        client: of their cluster.
        transport: whose manners they keep together.
        base_url: of a mirror; None for the hosts' own addresses.
        connections: how many files they get at a time together.

    Attributes:
        count: files that they got.
        trouble: why they could not go on.
    """

    def __init__(self, client: Client, transport: Transport, base_url: str | None, connections: int) -> None:
        self._client, self._transport = client, transport
        self._base_url, self._connections = base_url, connections
        self.count = 0
        self.trouble: PointlineError | None = None

    def fetch(self, plan: DownloadPlan, folder: ArchiveFolder, files: Sequence[RemoteFile]) -> Generator[tuple[RemoteFile, FileOutcome]]:
        """Files with what became of them, as groups of them come.

        Raises:
            ClusterError: a worker does not fit; none of them has begun.
        """
        from pointline.scale.cluster import check_each, sent, trouble_of

        if not files:
            return
        hosts, by_key = plan.hosts(), {file.key: file for file in files}
        with folder.with_fetchers() as notes:
            terms = FetchTerms(
                folder=str(folder.root.absolute()),
                notes=str(notes.absolute()),
                base_url=self._base_url,
                manners=self._transport.manners,
                keys=_keys(archive for _, _, archive in hosts.values()),
                versions=own_versions(),
            )
            check_each(self._client, check_fetcher, terms)
            calls = self.calls_of(files, hosts, terms)
            try:
                with contextlib.closing(sent(self._client, calls, fetch_files, at_most=self._connections)) as records:
                    for one in records:
                        if isinstance(one, TaskFailure):
                            self.trouble = one.error
                            continue
                        for key, problem in one.problems.items():
                            yield by_key[key], self._taken(folder, by_key[key], problem)
            except Exception as error:  # noqa: BLE001 - this process goes on without workers
                self.trouble = trouble_of(error)
            for host, left_s in stand_downs(notes):
                self._transport.stand_down(f"//{host}", left_s)

    def calls_of(self, files: Sequence[RemoteFile], hosts: dict[str, tuple[str, str, str]], terms: FetchTerms) -> Iterator[FetchCall]:
        """Groups of files of one host.

        Args:
            files: which.
            hosts: by which exchange, dataset and archive each was found.
            terms: of all calls.
        """
        from pointline.scale.cluster import threads_of

        threads = threads_of(self._client)
        each = max(1, self._connections // threads)
        workers, left = 1, len(files)
        of_host: dict[tuple[str, str, str], list[RemoteFile]] = {}
        for file in files:
            of_host.setdefault(hosts[file.key], []).append(replace(file, picks=()))
        for host, sendable in of_host.items():
            while sendable:
                share = -(-left // threads)
                size = min(MOST_FILES, max(each, min(2 * each, share), share // 2))  # smaller towards the end, so that all end together
                workers = max(workers, len(self._client.nthreads()))  # one that is away comes again
                yield FetchCall(files=tuple(sendable[:size]), host=host, connections=each, workers=workers, terms=terms)
                left -= len(sendable[:size])
                del sendable[:size]

    def _taken(self, folder: ArchiveFolder, file: RemoteFile, problem: DownloadError | None) -> FileOutcome:
        """What became of a file, once what a worker staged is in its place.

        Raises:
            ClusterError: this machine does not see what the worker staged.
        """

        def take() -> Verified:
            if problem is not None:
                raise problem
            taken = folder.finished(file.key)
            if taken is None:
                raise ClusterError("this machine does not see what a worker stored", where=str(folder.path(file.key)))
            return taken

        found = ended_of(folder, file, take)
        self.count += found.error is None
        return found


def _keys(archives: Iterable[str]) -> tuple[str, ...]:
    """The variables of this environment that have the keys of some archives."""
    names = {KEY_VARIABLES[archive] for archive in archives if archive in KEY_VARIABLES}
    return tuple(sorted(name for name in names if os.environ.get(name, "").strip()))
