"""Venue files of a lake's own, ``venues/*.toml`` below its folder: written like the package's, for what the package does not know.

They may add exchanges (``[[market]]``), and for exchanges of the package instruments, assets, contract sizes and dated rules. Nothing that
the package says is overruled: a file that says it otherwise, or says it again for the same time, is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointline.errors import ConfigError
from pointline.venues.dated import FAR_FUTURE_US, UNKNOWN_START_US
from pointline.venues.files import Venue, Venues, dated_subjects, package_venues, parse_venue

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "venues"


def venue_file_paths(root: Path) -> list[Path]:
    """The venue files of a lake, in name order."""
    folder = root / FOLDER
    return sorted(path for path in folder.iterdir() if path.suffix == ".toml" and path.is_file()) if folder.is_dir() else []


def read_venues(root: Path) -> Venues:
    """The package's venue files and those of a lake.

    Raises:
        ConfigError: a file cannot be used, or says what another one says already; the error names the file.
    """
    paths = venue_file_paths(root)
    package = package_venues()
    if not paths:
        return package
    texts = {path: _text(path) for path in paths}
    files: list[tuple[str, Venue]] = [("the package's file", venue) for venue in package.files]
    for path, text in texts.items():
        own = parse_venue(text, where=str(path), beside=frozenset(package.markets))
        for market in own.market:
            if market.sql_name != market.exchange:
                raise ConfigError(
                    "an exchange of your own has one name",
                    where=str(path),
                    value=market.sql_name,
                    expected=f'sql_name = "{market.exchange}"',
                )
        _refuse_repeats(files, own, str(path))
        files.append((str(path), own))
    return Venues(tuple(venue for _, venue in files))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("the venue file is no text in UTF-8", where=str(path), value=str(error), expected="TOML in UTF-8") from error


def _refuse_repeats(files: list[tuple[str, Venue]], own: Venue, where: str) -> None:
    """Refuses a file of which a subject is settled in another file already for the same time, or twice in itself."""
    settled = [(subject, span, place) for place, venue in files for subject, span in _subjects(venue)]
    seen: list[tuple[tuple[Any, ...], tuple[int, int], str]] = []
    for subject, (start, until) in _subjects(own):
        for other, (begin, end), place in (*settled, *seen):
            shorter = min(len(subject), len(other))
            if subject[:shorter] == other[:shorter] and begin < until and start < end:
                raise ConfigError(
                    "a venue file says what is said already",
                    where=where,
                    value=" ".join(str(part) for part in subject),
                    expected=f"what {place} does not say",
                    hint="a lake's venue files add to the package's; they do not overrule them",
                )
        seen.append((subject, (start, until), "the file itself"))


def _subjects(venue: Venue) -> list[tuple[tuple[Any, ...], tuple[int, int]]]:
    """What a file speaks of, and for what time: names in lower case, instruments, and which exchange's rules of a sort.

    A size that holds for all contracts of a type has a subject that the others of that type begin with, so it settles them too. So has a
    funding rule of all contracts of an exchange.
    """
    names = [{one.exchange.lower(), one.sql_name.lower(), *(alias.lower() for alias in one.aliases)} for one in venue.market]
    always = (UNKNOWN_START_US, FAR_FUTURE_US)
    undated = [
        *(("exchange name", name) for several in names for name in sorted(several)),
        *(("instrument of", one.exchange, one.exchange_symbol) for one in venue.instrument),
    ]
    dated: list[tuple[tuple[Any, ...], tuple[int, int]]] = [
        ((f"{name.lower()} of", *rest), (start, until)) for (name, *rest), start, until in dated_subjects(venue)
    ]
    return [*((subject, always) for subject in undated), *dated]
