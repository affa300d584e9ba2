"""What went wrong, where, which value, what was expected, what to do next.

Every error that a user can cause derives from `PointlineError`, so that one `except` catches them all and the command line
can print them without a traceback. Each also derives from the closest builtin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

_Error = TypeVar("_Error", bound="PointlineError")


class PointlineError(Exception):
    """Base of all errors raised on purpose.

    Args:
        what: one sentence: what is wrong.
        where: the place, e.g. ``"trades.csv, line 12, column price"``.
        value: the offending value, shown with `repr`.
        expected: what would have been accepted.
        hint: what the user can do next.

    Attributes:
        exit_code: exit code of the command line: 1 the result is negative, 2 wrong usage, 3 data refused or rows quarantined, 4 the
            lake is busy, 5 the system failed.
    """

    exit_code: ClassVar[int] = 2

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        value: object = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self.value = value
        self.expected = expected
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where is not None:
            lines.append(f"  where:    {self.where}")
        if self.value is not None:
            lines.append(f"  value:    {self.value!r}")
        if self.expected is not None:
            lines.append(f"  expected: {self.expected}")
        if self.hint is not None:
            lines.append(f"  hint:     {self.hint}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.__dict__))

    def __copy__(self) -> Self:
        """Without the traceback and the cause; libraries such as Dask teach `copy` to keep them."""
        return _rebuild(type(self), self.__dict__)


def _rebuild(kind: type[_Error], fields: dict[str, object]) -> _Error:
    error = kind.__new__(kind)
    Exception.__init__(error, fields["what"])
    error.__dict__.update(fields)
    return error


class ConfigError(PointlineError, ValueError):
    """An argument, option or configuration value cannot be used."""


class SourceError(PointlineError, ValueError):
    """An archive file cannot be trusted or parsed; nothing of it was stored."""

    exit_code = 3


class LakeError(PointlineError, RuntimeError):
    """The lake cannot be read or written as it stands."""

    exit_code = 5


class NoLakeError(LakeError):
    """There is no lake at the place that was named."""

    exit_code = 2


class DamageError(LakeError):
    """A file of the lake is missing or is not what was written."""


class BusyError(LakeError):
    """Another process is writing to the lake."""

    exit_code = 4


class LakeVersionError(LakeError):
    """The lake was written in the format of another version of pointline."""


class ClusterError(PointlineError, RuntimeError):
    """Work on a cluster did not end; what was finished is stored, and the same call goes on from there."""

    exit_code = 5


class NoDataError(PointlineError, LookupError):
    """The lake holds nothing for the window that was asked for."""


class RegistryError(PointlineError, LookupError):
    """An instrument is unknown, ambiguous or not valid at that time."""


class QueryError(PointlineError, ValueError):
    """A SQL statement is wrong, or the engine stopped it.

    Args:
        what: the engine's message.
        code: ClickHouse's number of the error, e.g. 62.
        name: ClickHouse's name of it, e.g. ``"SYNTAX_ERROR"``.
        where, value, expected, hint: as in `PointlineError`.
    """

    def __init__(
        self,
        what: str,
        *,
        code: int = 0,
        name: str = "",
        where: str | None = None,
        value: object = None,
        expected: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what, where=where, value=value, expected=expected, hint=hint)
        self.code = code
        self.name = name


class QueryNote(UserWarning):
    """A note about a query's result, for example that a column is not exact to the last digit."""


class SlowStartWarning(UserWarning):
    """Every process of this installation takes seconds longer than it need; the text says why and what to do."""


class VenueRuleError(PointlineError, LookupError):
    """A venue rule is asked for outside the dates for which it is known."""


class AmountOverflowError(PointlineError, OverflowError):
    """An integer amount does not fit its accumulator; nothing wrapped."""

    exit_code = 3


class MissingExtraError(PointlineError, ImportError):
    """A feature needs an optional dependency that is not installed."""


class DownloadError(PointlineError):
    """A file of an archive was not got; what is on the disk is as before."""

    exit_code = 5


class NotPublishedError(DownloadError, LookupError):
    """The archive has no such file (404)."""

    exit_code = 1


class BlockedError(DownloadError, PermissionError):
    """The archive's host refuses to answer this address (403, or 418 and 429 for longer than is waited)."""

    exit_code = 4


class KeyRefusedError(DownloadError, PermissionError):
    """The archive's host wants a key that is not given, or refuses the one that is (401, 402)."""

    exit_code = 4


class ServerFailedError(DownloadError, ConnectionError):
    """The archive's host failed, or the way to it: 5xx, no answer, a connection that broke again and again."""


class WrongContentError(DownloadError, ValueError):
    """What the host sent is not the file: another checksum, another length, a page instead of an archive, half an archive."""

    exit_code = 3


def nearest(name: str, names: Iterable[str], limit: int = 5) -> str:
    """The `limit` names most alike `name`, for the hint of an error."""
    from difflib import get_close_matches

    found = get_close_matches(name.upper(), sorted({n.upper() for n in names}), n=limit, cutoff=0.4)
    return ", ".join(found) if found else "none is alike"
