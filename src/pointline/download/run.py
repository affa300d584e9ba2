"""A download from its plan to its report."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pointline.clock import date_text
from pointline.download.coverage import Choice, choose
from pointline.download.fetch import check_stored, fetch
from pointline.download.report import DownloadReport, FileOutcome, missing_days, outcome_of
from pointline.download.rest import RestFile, check_history, fetch_history
from pointline.errors import ConfigError, DownloadError, NotPublishedError
from pointline.progress import followed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    plan: DownloadPlan, folder: ArchiveFolder, transport: Transport, *, verify: bool, connections: int, progress: Progress | None = None
) -> DownloadReport:
    """Gets the files of a plan that are not there yet.

    Args:
        plan: what is got.
        folder: where it goes.
        transport: the client.
        verify: hold what is there against the host's check sums, by its bytes.
        connections: how many files are got at a time.
        progress: see `pointline.progress.followed`; in bytes, or in files where no size is known.

    Raises:
        BusyError: another download writes to the folder.
        OSError: the disk is full, or may not be written.
    """
    by_size, lock = any(file.size is not None for file in plan.files), threading.Lock()
    total = sum(file.size or 0 for file in plan.files) if by_size else len(plan.files)
    done = 0
    with folder.writing(file.key for file in plan.files), followed("download", progress) as tell:

        def advance(count: int, name: str) -> None:
            nonlocal done
            with lock:
                done += count
                tell(min(done, total), total, name)

        def one(file: RemoteFile) -> FileOutcome:
            name, size = file.key.rpartition("/")[2], file.size
            found = _get(transport, folder, file, verify=verify, told=lambda count: advance(0 if size is None else count, name))
            _log.info("%s: %s", file.key, found.outcome)
            if not by_size:
                advance(1, name)
            elif found.outcome not in {"fetched", "replaced"}:
                advance(size or 0, name)
            return found

        pool = ThreadPoolExecutor(connections + CHECKERS)
        try:
            files = list(pool.map(one, plan.files))
        except BaseException:
            transport.stop()  # else Ctrl-C waits for the files that are under way
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return _report(plan, folder, files)


def _get(transport: Transport, folder: ArchiveFolder, file: RemoteFile, *, verify: bool, told: Callable[[int], object]) -> FileOutcome:
    held = folder.verified(file.key)
    try:
        if held is not None and not verify and not _is_replaced(file, held):
            return _outcome(folder, file, "held", held)
        if file.problem is not None:
            raise file.problem
        before = folder.path(file.key).is_file()
        if before and (checked := _checked(transport, folder, file)) is not None:
            return _outcome(folder, file, "checked", checked)
        got = fetch_history(transport, folder, file, told) if isinstance(file, RestFile) else fetch(transport, folder, file, told)
        return _outcome(folder, file, "replaced" if before else "fetched", got)
    except DownloadError as error:
        return _outcome(folder, file, outcome_of(error), error=error)


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
