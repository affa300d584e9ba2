"""Venue files of a lake's own, ``venues/*.toml`` below its folder: written like the package's, for what the package does not know.

They may add exchanges (``[[market]]``), and for exchanges of the package instruments, assets, contract sizes and dated rules. Nothing that
the package says is overruled: a file that says it otherwise, or says it again, is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointline.errors import ConfigError
from pointline.venues.rules import Venue, Venues, package_venues, parse_venue

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
    """Refuses a file of which a subject is settled in another file already, or twice in itself."""
    settled = {subject: place for place, venue in files for subject in _subjects(venue)}
    seen: set[tuple[Any, ...]] = set()
    for subject in _subjects(own):
        if subject in settled or subject in seen:
            raise ConfigError(
                "a venue file says what is said already",
                where=where,
                value=" ".join(str(part) for part in subject),
                expected=f"what {settled.get(subject, 'the file itself')} does not say",
                hint="a lake's venue files add to the package's; they do not overrule them",
            )
        seen.add(subject)


def _subjects(venue: Venue) -> list[tuple[Any, ...]]:
    """What a file speaks of: names in lower case, instruments, and which exchange's (and asset's) rules of a sort."""
    names = [{one.exchange.lower(), one.sql_name.lower(), *(alias.lower() for alias in one.aliases)} for one in venue.market]
    dated = {
        *(("delivery of", exchange) for rule in venue.delivery for exchange in rule.exchanges),
        *(("funding of", exchange) for rule in venue.funding for exchange in rule.exchanges),
        *(("asset of", exchange, rule.base_asset) for rule in venue.asset for exchange in rule.exchanges),
        *(("fee of", exchange, rule.tier) for rule in venue.fee for exchange in rule.exchanges),
    }
    return [
        *(("exchange name", name) for several in names for name in sorted(several)),
        *(("instrument of", one.exchange, one.exchange_symbol) for one in venue.instrument),
        *(("contract size of", exchange) for sizes in venue.contract_size for exchange in sizes.exchanges),
        *sorted(dated),
    ]
