"""Which files of what exists cover a window: those of days, or those of months."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from pointline.clock import DAY_US, date_text, days_in, next_month, to_us

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pointline.download.remote import RemoteFile

PENDING_DAYS = 2
"""A day that ended less than so long ago may still be published."""

PENDING_MONTH_DAYS = 8
"""A month's file comes on the first Monday of the next month."""


@dataclass(frozen=True)
class Choice:
    """What is got for one symbol and dataset.

    Attributes:
        files: in the order of time.
        missing: days (YYYY-MM-DD) that no file has and that should be published by now.
        pending: days that no file has yet.
    """

    files: tuple[RemoteFile, ...]
    missing: tuple[str, ...]
    pending: tuple[str, ...]


def choose(
    days: Iterable[str], daily: Mapping[str, RemoteFile], monthly: Mapping[str, RemoteFile], *, now_us: int, spans: tuple[str, ...]
) -> Choice:
    """Chooses the files of days where they have every wanted day of a month, else the month's file, else the days that there are.

    Where the archive prefers months, the month's file goes first.

    A month's file that was stored before the month ended is not whole: it serves where there is no file of a day, and what lies behind
    the day on which it was stored counts as lacking.

    Args:
        days: wanted days, YYYY-MM-DD.
        daily: the files of days by their day.
        monthly: the files of months by their month, YYYY-MM.
        now_us: the time now; later days are pending.
        spans: ``"daily"`` and ``"monthly"`` as far as the archive has the dataset in such files, the preferred one first.

    Returns:
        The files and what they lack.
    """
    files: list[RemoteFile] = []
    lacking: list[str] = []
    for month, group in groupby(sorted(days), key=lambda day: day[:7]):
        wanted = list(group)
        found = [daily[day] for day in wanted if day in daily]
        whole = monthly.get(month)
        if (
            (len(found) < len(wanted) or spans[0] == "monthly")
            and whole is not None
            and (known_us := _known_until_us(whole, now_us)) >= next_month(to_us(f"{month}-01"))
        ):
            files.append(whole)
        elif not found and whole is not None:
            files.append(whole)
            lacking += [day for day in wanted if to_us(day) + DAY_US > known_us]
        else:
            files += found
            lacking += [day for day in wanted if day not in daily]
    pending = tuple(day for day in lacking if _is_pending(day, now_us, by_month=spans == ("monthly",)))
    return Choice(tuple(files), tuple(day for day in lacking if day not in set(pending)), pending)


def _known_until_us(file: RemoteFile, now_us: int) -> int:
    return now_us if file.modified_us is None else min(now_us, file.modified_us)


def _is_pending(day: str, now_us: int, *, by_month: bool) -> bool:
    ended_us = next_month(to_us(day)) if by_month else to_us(day) + DAY_US
    return now_us < ended_us + (PENDING_MONTH_DAYS if by_month else PENDING_DAYS) * DAY_US


def wanted_days(start_us: int, end_us: int) -> list[str]:
    """The days that touch a window."""
    return [date_text(day) for day in days_in(start_us, end_us)]


def ranges(days: Iterable[str]) -> list[tuple[str, str]]:
    """Days as ranges of days that follow each other, both ends in it.

    >>> ranges(["2024-05-01", "2024-05-02", "2024-05-04"])
    [('2024-05-01', '2024-05-02'), ('2024-05-04', '2024-05-04')]
    """
    found: list[tuple[str, str]] = []
    for day in sorted(days):
        if found and to_us(found[-1][1]) + DAY_US == to_us(day):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found
