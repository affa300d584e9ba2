"""What the user says of a file, held against what its path says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pointline.clock import to_us
from pointline.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.sources.base import Hints

PERIOD = r"(\d{4})-(\d{1,2})(?:-(\d{1,2}))?"
"""Pattern of a day or a month in a file's name."""


def agreed(path: Path, flag: str, said: str | None, told: str | None) -> str | None:
    """What the flag or the path says; None where both are silent.

    Args:
        path: the file.
        flag: name of the flag, such as ``"--symbol"``.
        said: its value.
        told: what the path says.

    Raises:
        SourceError: both speak, and differ.
    """
    if said is not None and told is not None and said != told:
        raise SourceError(
            f"{flag} contradicts the file's path; nothing of it was stored",
            where=str(path),
            value=said,
            expected=f"{told}, as the path says",
            hint=f"leave {flag} away, or move the file to where it belongs",
        )
    return said or told


def is_named(path: Path, exchange: str, hints: Hints) -> bool:
    """Whether the user, the file's name or one of the two folders around it says the exchange, for layouts that many could have."""
    return hints.exchange == exchange or exchange in "/".join(path.parts[-3:]).lower()


def period_of(text: str) -> str | None:
    """``YYYY-MM-DD`` or ``YYYY-MM`` of a day or month, with the zeros that some names leave out; None where it is neither.

    >>> period_of("2020-8"), period_of("2020-08-01"), period_of("2020-13")
    ('2020-08', '2020-08-01', None)
    """
    found = re.fullmatch(PERIOD, text)
    if found is None:
        return None
    year, month, day = found.groups()
    period = f"{year}-{int(month):02d}" + (f"-{int(day):02d}" if day else "")
    try:
        to_us(period if day else f"{period}-01")
    except ConfigError:
        return None
    return period


def stated_period(hints: Hints) -> str | None:
    """The period that the user names; None where there is none.

    Raises:
        ConfigError: it is no day and no month.
    """
    if hints.period is None:
        return None
    period = period_of(hints.period)
    if period is None:
        raise ConfigError("--period is no period", value=hints.period, expected="a day such as 2024-05-01 or a month such as 2024-05")
    return period
