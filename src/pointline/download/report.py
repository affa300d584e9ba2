"""What a download did, or would do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pointline.download.coverage import ranges
from pointline.errors import BlockedError, DownloadError, KeyRefusedError, NotPublishedError, ServerFailedError, WrongContentError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

OUTCOMES = ("planned", "fetched", "replaced", "held", "checked", "not_published", "key_refused", "blocked", "failed", "refused")


@dataclass(frozen=True)
class FileOutcome:
    """What became of one file.

    Attributes:
        key: its path below the folder; for a listing that did not come, the dataset that was asked for.
        exchange, symbol, dataset, period: what is in it; the period is empty for a listing.
        outcome: ``planned`` (a dry run would fetch it), ``fetched``, ``replaced`` (another version than before), ``held`` (was there and
            whole), ``checked`` (was there, and its bytes were held against the host's check sum now), ``not_published`` (404),
            ``key_refused`` (401, or no key is given), ``blocked`` (403, a ban), ``failed`` (5xx, no connection), ``refused`` (what came is
            not the file).
        size: its bytes; None where they are not known.
        verified_by: ``"sha256"``, ``"md5"``, ``"size"`` or ``"nothing"``, beside the check sums in the archive itself; by REST ``"ids"`` or
            ``"pages"``, and behind commas what could not be proven; empty where it is not there.
        path: where it is stored; None where it is not.
        picks: of a file of many instruments, those that were asked for; all if there are none.
        error: what went wrong; None where nothing did.
    """

    key: str
    exchange: str
    symbol: str
    dataset: str
    period: str
    outcome: str
    size: int | None = None
    verified_by: str = ""
    path: Path | None = None
    picks: tuple[str, ...] = ()
    error: DownloadError | None = None

    def row(self) -> dict[str, Any]:
        """Plain values, for JSON and frames."""
        names = ("key", "exchange", "symbol", "dataset", "period", "outcome", "size", "verified_by")
        return {
            **{name: getattr(self, name) for name in names},
            "path": None if self.path is None else str(self.path),
            "problem": None if self.error is None else str(self.error),
        }


@dataclass(frozen=True)
class MissingDays:
    """Days that an archive does not have, both ends in it.

    Attributes:
        exchange, symbol, dataset: of what.
        first, last: YYYY-MM-DD.
        pending: they ended so lately that they may still be published.
    """

    exchange: str
    symbol: str
    dataset: str
    first: str
    last: str
    pending: bool = False


@dataclass(frozen=True)
class DownloadReport:
    """What a download did.

    Attributes:
        folder: of the archives.
        files: an outcome for each file of the plan, in its order.
        missing: ranges of days that no file has, those that may still come included.
        dry_run: nothing was got.
    """

    folder: Path
    files: tuple[FileOutcome, ...]
    missing: tuple[MissingDays, ...]
    dry_run: bool = False

    @property
    def counts(self) -> dict[str, int]:
        """How many files had each outcome, those that had none left out."""
        found = Counter(file.outcome for file in self.files)
        return {name: found[name] for name in OUTCOMES if found[name]}

    @property
    def bytes(self) -> int:
        """Bytes of the files that were got, or that a dry run would get, as far as their sizes are known."""
        return sum(file.size or 0 for file in self.files if file.outcome in {"planned", "fetched", "replaced"})

    @property
    def paths(self) -> list[Path]:
        """The files that are stored and whole."""
        return [file.path for file in self.files if file.path is not None]

    @property
    def failed(self) -> tuple[FileOutcome, ...]:
        """The files that did not come: blocked, failed, refused, or named by the host and then not published."""
        return tuple(file for file in self.files if file.error is not None)

    @property
    def exit_code(self) -> int:
        """Of the command line: 0 all is there, 1 days are not published, 3 a file was refused, 4 blocked, 5 a server failed.

        Where several are true, 3 goes before 5, 5 before 4 and 4 before 1. Days that may still come count as there.
        """
        codes = {file.error.exit_code for file in self.failed if file.error is not None}
        if any(not gap.pending for gap in self.missing):
            codes.add(NotPublishedError.exit_code)
        order = (WrongContentError, ServerFailedError, KeyRefusedError, BlockedError, NotPublishedError)
        return next((kind.exit_code for kind in order if kind.exit_code in codes), 0)

    def frame(self) -> pl.DataFrame:
        """One row per file: the columns of `FileOutcome`, with the text of the error as `problem`."""
        import polars as pl

        text = dict.fromkeys(("key", "exchange", "symbol", "dataset", "period", "outcome"), pl.String())
        schema = {**text, "size": pl.Int64(), "verified_by": pl.String(), "path": pl.String(), "problem": pl.String()}
        return pl.DataFrame([file.row() for file in self.files], schema=schema, orient="row")

    def to_json(self) -> dict[str, Any]:
        """Plain values of everything."""
        return {
            "folder": str(self.folder),
            "dry_run": self.dry_run,
            "counts": self.counts,
            "bytes": self.bytes,
            "files": [file.row() for file in self.files],
            "missing": [vars(gap) for gap in self.missing],
        }


def missing_days(exchange: str, symbol: str, dataset: str, days: tuple[str, ...], *, pending: bool) -> list[MissingDays]:
    """Days as ranges."""
    return [MissingDays(exchange, symbol, dataset, first, last, pending) for first, last in ranges(days)]


def outcome_of(error: DownloadError) -> str:
    """The outcome of a file that did not come."""
    if isinstance(error, NotPublishedError):
        return "not_published"
    if isinstance(error, BlockedError):
        return "blocked"
    if isinstance(error, KeyRefusedError):
        return "key_refused"
    return "refused" if isinstance(error, WrongContentError) else "failed"
