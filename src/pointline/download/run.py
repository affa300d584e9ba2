"""A download from its plan to its report."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pointline.clock import date_text
from pointline.download.coverage import Choice, choose
from pointline.download.fetch import check_stored, fetch
from pointline.download.report import DownloadReport, FileOutcome, missing_days, outcome_of
from pointline.download.rest import RestFile, check_history, fetch_history
from pointline.errors import ConfigError, DownloadError, NotPublishedError
from pointline.progress import followed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from pointline.download.archives import DownloadHost
    from pointline.download.folder import ArchiveFolder, Verified
    from pointline.download.remote import RemoteFile
    from pointline.download.transport import Transport
    from pointline.progress import Progress

CHECKERS = 2
"""Files that are checked and made durable while as many as there are connections come."""

_log = logging.getLogger("pointline.download")


@dataclass(frozen=True)
class Wanted:
    """What is wanted of one symbol.

    Attributes:
        exchange, symbol: the instrument.
        dataset: of the archive.
        days: the archive's days, YYYY-MM-DD, in order.
        archive: its name where it is not the exchange's own, e.g. ``"tardis"``.
    """

    exchange: str
    symbol: str
    dataset: str
    days: tuple[str, ...]
    archive: str = ""


@dataclass(frozen=True)
class DownloadPlan:
    """What a download gets.

    Attributes:
        choices: what was chosen for each target.
        unlisted: the targets of which the host did not tell what there is.
    """

    choices: tuple[tuple[Wanted, Choice], ...]
    unlisted: tuple[FileOutcome, ...]

    @property
    def files(self) -> list[RemoteFile]:
        """In the order of the targets and of time; one that serves several targets stands once, with what all of them pick."""
        found: dict[str, RemoteFile] = {}
        for _, choice in self.choices:
            for file in choice.files:
                before = found.get(file.key, file)
                every = not before.picks or not file.picks
                found[file.key] = replace(file, picks=() if every else tuple(dict.fromkeys((*before.picks, *file.picks))))
        return list(found.values())

    def hosts(self) -> dict[str, tuple[str, str, str]]:
        """The exchange, dataset and archive that each file was found by; by its key."""
        return {file.key: (one.exchange, one.dataset, one.archive) for one, choice in self.choices for file in choice.files}


def make_plan(
    hosts: Mapping[tuple[str, str, str], DownloadHost], targets: Sequence[Wanted], *, connections: int, now_us: int
) -> DownloadPlan:
    """Looks what the archive has of each target, and chooses.

    Args:
        hosts: where, by exchange, dataset and archive.
        targets: what is wanted.
        connections: how many targets are looked up at a time.
        now_us: the time now, UTC.

    Raises:
        ConfigError: the archive has no such dataset of a target's exchange.
    """

    def look(target: Wanted) -> Choice | DownloadError:
        host = hosts[target.exchange, target.dataset, target.archive]
        try:
            host.check_symbol(target.exchange, target.symbol)
        except ConfigError as error:  # of a lake's instrument, which somebody named otherwise than the exchange does
            return NotPublishedError(error.what, where=error.where, value=error.value, expected=error.expected)
        spans = host.spans(target.exchange, target.dataset)
        over = [day for day in target.days if day < date_text(now_us)]
        try:
            offers = {span: host.offers(target.exchange, target.symbol, target.dataset, span, over) for span in spans if over}
        except DownloadError as error:
            return error
        return choose(target.days, offers.get("daily", {}), offers.get("monthly", {}), now_us=now_us, spans=spans)

    with ThreadPoolExecutor(connections) as pool:
        found = list(zip(targets, pool.map(look, targets), strict=True))
    choices = tuple((target, one) for target, one in found if isinstance(one, Choice))
    return DownloadPlan(choices, tuple(_unlisted(target, one) for target, one in found if isinstance(one, DownloadError)))


def _unlisted(target: Wanted, error: DownloadError) -> FileOutcome:
    named = (target.exchange, target.symbol, target.dataset)
    return FileOutcome("/".join(named), *named, "", outcome_of(error), error=error)


def dry_report(plan: DownloadPlan, folder: ArchiveFolder) -> DownloadReport:
    """What a plan would do; nothing is written."""
    files = []
    for file in plan.files:
        held = folder.verified(file.key)
        if file.problem is not None and held is None:
            files.append(_outcome(folder, file, outcome_of(file.problem), error=file.problem))
            continue
        files.append(
            _outcome(folder, file, "planned") if held is None or _is_replaced(file, held) else _outcome(folder, file, "held", held)
        )
    return _report(plan, folder, files, dry_run=True)


def carry_out(
    plan: DownloadPlan,
    folder: ArchiveFolder,
    transport: Transport,
    *,
    verify: bool,
    connections: int,
    fetchers: DownloadFetchers | None = None,
    progress: Progress | None = None,
) -> DownloadReport:
    """Gets the files of a plan that are not there yet.

    Args:
        plan: what is got.
        folder: where it goes.
        transport: the client.
        verify: hold what is there against the host's check sums, by its bytes.
        connections: how many files are got at a time.
        fetchers: other processes that get files for this one, which gets what they do not; None for none.
        progress: see `pointline.progress.followed`; in bytes, or in files where no size is known.

    Raises:
        BusyError: another download writes to the folder.
        OSError: the disk is full, or may not be written.
    """
    with folder.writing(file.key for file in plan.files), followed("download", progress) as tell:
        advance = _Advance(plan.files, tell)

        def look(file: RemoteFile) -> FileOutcome | None:
            found = _looked(transport, folder, file, verify=verify)
            if found is not None:
                advance.ended(file, found, told=False)
            return found

        def one(file: RemoteFile) -> FileOutcome:
            before = known.get(file.key) or look(file)
            if before is not None:
                return before
            found = ended_of(folder, file, lambda: got(transport, folder, file, lambda count: advance.came(file, count)))
            advance.ended(file, found, told=True)
            return found

        known: dict[str, FileOutcome] = {}
        pool = ThreadPoolExecutor(connections + CHECKERS)
        try:
            if fetchers is not None:
                known = {file.key: found for file, found in zip(plan.files, pool.map(look, plan.files), strict=True) if found is not None}
                with closing(fetchers.fetch(plan, folder, [file for file in plan.files if file.key not in known])) as coming:
                    for file, found in coming:
                        advance.ended(file, found, told=False)
                        known[file.key] = found
            files = list(pool.map(one, plan.files))
        except BaseException:
            transport.stop()  # else Ctrl-C waits for the files that are under way
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return _report(plan, folder, files)


class DownloadFetchers(Protocol):
    """Processes that get files for the one that holds the folder's lock."""

    def fetch(self, plan: DownloadPlan, folder: ArchiveFolder, files: Sequence[RemoteFile]) -> Generator[tuple[RemoteFile, FileOutcome]]:
        """Files with what became of them, as they come; those that could not be got by fetchers are left out."""


class _Advance:
    """What of a download's bytes, or files, is done; threads share it."""

    def __init__(self, files: Sequence[RemoteFile], tell: Callable[[int, int, str], object]) -> None:
        self._by_size = any(file.size is not None for file in files)
        self._total = sum(file.size or 0 for file in files) if self._by_size else len(files)
        self._done, self._tell, self._lock = 0, tell, threading.Lock()

    def came(self, file: RemoteFile, count: int) -> None:
        """Bytes of a file came."""
        self._add(0 if file.size is None else count, file)

    def ended(self, file: RemoteFile, found: FileOutcome, *, told: bool) -> None:
        """A file ended; `told`: its bytes were told of as they came."""
        _log.info("%s: %s", file.key, found.outcome)
        if not self._by_size:
            self._add(1, file)
        elif not told or found.error is not None:
            self._add(file.size or 0, file)

    def _add(self, count: int, file: RemoteFile) -> None:
        with self._lock:
            self._done += count
            self._tell(min(self._done, self._total), self._total, file.key.rpartition("/")[2])


def _looked(transport: Transport, folder: ArchiveFolder, file: RemoteFile, *, verify: bool) -> FileOutcome | None:
    """What became of a file that need not be got, or cannot be; None where it has to come from its host."""
    held = folder.verified(file.key)
    try:
        if held is not None and not verify and not _is_replaced(file, held):
            return _outcome(folder, file, "held", held)
        if file.problem is not None:
            raise file.problem
        checked = _checked(transport, folder, file) if folder.path(file.key).is_file() else None
    except DownloadError as error:
        return _outcome(folder, file, outcome_of(error), error=error)
    return None if checked is None else _outcome(folder, file, "checked", checked)


def ended_of(folder: ArchiveFolder, file: RemoteFile, get: Callable[[], Verified]) -> FileOutcome:
    """What became of a file that had to come.

    Args:
        folder: where it goes.
        file: which.
        get: puts it there, or raises `DownloadError`.
    """
    name = "replaced" if folder.path(file.key).is_file() else "fetched"
    try:
        return _outcome(folder, file, name, get())
    except DownloadError as error:
        return _outcome(folder, file, outcome_of(error), error=error)


def got(transport: Transport, folder: ArchiveFolder, file: RemoteFile, told: Callable[[int], object]) -> Verified:
    """Gets a file from its host; what another process is at is waited for.

    Args:
        transport, folder, told: as of `pointline.download.fetch.fetch`.
        file: which.

    Raises:
        NotPublishedError, BlockedError, ServerFailedError, WrongContentError: it does not come, or something else does.
    """
    with folder.alone(file.key, transport.rest):
        staged = folder.finished(file.key)
        if staged is not None and not _is_replaced(file, staged):
            return staged
        return fetch_history(transport, folder, file, told) if isinstance(file, RestFile) else fetch(transport, folder, file, told)


def _checked(transport: Transport, folder: ArchiveFolder, file: RemoteFile) -> Verified | None:
    return check_history(folder, file) if isinstance(file, RestFile) else check_stored(transport, folder, file)


def _is_replaced(file: RemoteFile, held: Verified) -> bool:
    """Whether the host's listing shows another version than the one that was stored."""
    marks = file.etag is not None and held.etag is not None and file.etag != held.etag
    return marks or (file.size is not None and file.size != held.size)


def _outcome(
    folder: ArchiveFolder, file: RemoteFile, outcome: str, known: Verified | None = None, error: DownloadError | None = None
) -> FileOutcome:
    return FileOutcome(
        file.key,
        file.exchange,
        file.symbol,
        file.dataset,
        file.period,
        outcome,
        size=file.size if known is None else known.size,
        verified_by="" if known is None else known.by,
        path=None if known is None else folder.path(file.key),
        picks=file.picks,
        error=error,
    )


def _report(plan: DownloadPlan, folder: ArchiveFolder, files: list[FileOutcome], *, dry_run: bool = False) -> DownloadReport:
    missing = [
        gap
        for target, choice in plan.choices
        for days, pending in ((choice.missing, False), (choice.pending, True))
        for gap in missing_days(target.exchange, target.symbol, target.dataset, days, pending=pending)
    ]
    return DownloadReport(folder.root, (*files, *plan.unlisted), tuple(missing), dry_run)
