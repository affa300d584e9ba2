"""Some files of a download got by a worker: whole and verified, in the folder's staging, for the client to take."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pointline.download.archives import KEY_VARIABLES, new_history, open_hosts
from pointline.download.folder import FetcherFolder
from pointline.download.rest import RestFile
from pointline.download.run import CHECKERS, got
from pointline.download.transport import Manners, Transport
from pointline.errors import ClusterError, DownloadError, KeyRefusedError
from pointline.scale.host_notes import gate_of
from pointline.scale.runner import check_versions
from pointline.scale.task import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointline.download.remote import RemoteFile
    from pointline.download.rest import RestHistory
    from pointline.scale.host_notes import SharedGate


@dataclass(frozen=True, kw_only=True)
class FetchTerms:
    """What all calls of a download have in common.

    Attributes:
        folder: of the archives, which all machines share.
        notes: folder in it that is there as long as the download runs.
        base_url: of a mirror; None for the hosts' own addresses.
        manners: how hosts are treated, by all workers together.
        keys: names of the environment's variables that workers need, because the client has them; never what is in them.
        versions: of the libraries of the client.
    """

    folder: str
    notes: str
    base_url: str | None
    manners: Manners
    keys: tuple[str, ...]
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class FetchCall:
    """Some files of one host as they go to a worker.

    Attributes:
        files: which.
        host: exchange, dataset and archive, as of `pointline.download.archives.open_hosts`.
        connections: how many of them are got at a time.
        workers: how many processes share the pace.
        terms: what all calls have in common.
    """

    files: tuple[RemoteFile, ...]
    host: tuple[str, str, str]
    connections: int
    workers: int
    terms: FetchTerms

    @property
    def name(self) -> str:
        """What people call it."""
        return self.files[0].key.rpartition("/")[2]

    @property
    def key(self) -> str:
        """What tells it from other calls."""
        return digest([file.key for file in self.files])


@dataclass(frozen=True)
class FetchedFiles:
    """What became of the files of a call: by their key, None for one that is staged."""

    problems: Mapping[str, DownloadError | None]


def check_fetcher(terms: FetchTerms) -> None:
    """Refuses a process that cannot get files for a client.

    Raises:
        ClusterError: it has other versions, lacks httpx or a key, or does not see the folder.
    """
    check_versions(terms.versions)
    own = f"a worker on {socket.gethostname()}, process {os.getpid()},"
    if find_spec("httpx") is None:
        raise ClusterError(f"{own} lacks httpx", hint='pip install "pointline[download,scale]" on every worker')
    if not Path(terms.notes).is_dir():
        raise ClusterError(
            f"{own} does not see the folder of the archives", where=terms.folder, hint="mount it at the same path on every worker"
        )
    if not os.access(terms.notes, os.W_OK | os.X_OK):
        raise ClusterError(f"{own} may not write to the folder of the archives", where=terms.folder)
    for name in terms.keys:
        if not os.environ.get(name, "").strip():
            raise ClusterError(
                f"{own} has no key in its environment",
                where=name,
                hint="set it where workers are started; the client does not send it",
            )


def fetch_files(call: FetchCall) -> FetchedFiles:
    """Gets the files of a call. Each is staged whole and verified, or not at all.

    Raises:
        ClusterError: this process does not fit, or cannot write.
    """
    terms = call.terms
    check_fetcher(terms)
    folder = FetcherFolder(Path(terms.folder))
    with Transport(terms.manners, connections=call.connections, gates=partial(_gate, call)) as transport:
        open_hosts([call.host], transport, terms.base_url, now_us=0)  # for the host's pace and key

        def one(file: RemoteFile) -> DownloadError | None:
            try:
                got(transport, folder, _with_history(file, call), lambda _: None)
            except DownloadError as error:
                return _named(error, call)
            return None

        try:
            with ThreadPoolExecutor(call.connections + CHECKERS) as pool:
                found = list(pool.map(one, call.files))
        except OSError as error:
            raise ClusterError(
                f"a worker on {socket.gethostname()}, process {os.getpid()}, cannot write to the folder of the archives",
                where=terms.folder,
                value=error.strerror or str(error),
            ) from error
    return FetchedFiles({file.key: problem for file, problem in zip(call.files, found, strict=True)})


def _gate(call: FetchCall, host: str) -> SharedGate:
    gate = gate_of(call.terms.notes, call.terms.manners.requests_per_s, host)
    gate.share(call.workers)
    return gate


def _with_history(file: RemoteFile, call: FetchCall) -> RemoteFile:
    exchange, dataset, _ = call.host
    return replace(file, history=_history(call.terms.notes, exchange, dataset)) if isinstance(file, RestFile) else file


@lru_cache(maxsize=16)
def _history(notes: str, exchange: str, dataset: str) -> RestHistory:  # noqa: ARG001 - another download asks anew
    """The history of this process for a download: what it was answered serves all files."""
    return new_history(exchange, dataset)


def _named(error: DownloadError, call: FetchCall) -> DownloadError:
    """A refused key with the process whose own environment it is from."""
    variable = KEY_VARIABLES.get(call.host[2])
    if not isinstance(error, KeyRefusedError) or variable not in call.terms.keys:
        return error
    hint = f"it was sent the {variable} of a worker on {socket.gethostname()}, process {os.getpid()}"
    return KeyRefusedError(error.what, where=error.where, value=error.value, expected=error.expected, hint=hint)
