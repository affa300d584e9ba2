"""Venue files: ``venues/*.toml`` of the package, one for each venue, and those of a lake.

The package's own files are part of the code: the tests check them, and a process builds them as they are, in a few milliseconds. What a
user writes (a lake's files, a mapping's ``[instrument]``) is checked by pydantic, which reads the same classes.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pointline.errors import ConfigError
from pointline.venues.contracts import Asset, ContractSize, Delivery
from pointline.venues.dated import Strict, Unsettled
from pointline.venues.forms import SymbolForm
from pointline.venues.markets import ListedInstrument, Market
from pointline.venues.payments import Fee, Funding

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@dataclass(frozen=True, kw_only=True)
class Venue(Strict):
    """One venue file."""

    venue: str
    market: tuple[Market, ...] = ()
    instrument: tuple[ListedInstrument, ...] = ()
    contract_size: tuple[ContractSize, ...] = ()
    delivery: tuple[Delivery, ...] = ()
    asset: tuple[Asset, ...] = ()
    funding: tuple[Funding, ...] = ()
    fee: tuple[Fee, ...] = ()
    unsettled: tuple[Unsettled, ...] = ()


_TABLES: dict[str, type[Any]] = {
    "market": Market,
    "instrument": ListedInstrument,
    "contract_size": ContractSize,
    "delivery": Delivery,
    "asset": Asset,
    "funding": Funding,
    "fee": Fee,
    "unsettled": Unsettled,
}


@dataclass(frozen=True, eq=False)
class Venues:
    """Venue files that are used together: the package's, and those of a lake.

    Attributes:
        files: what they say; no two of them say it of the same subject.
    """

    files: tuple[Venue, ...]

    @cached_property
    def markets(self) -> dict[str, Market]:
        """All exchange ids and their markets."""
        return {market.exchange: market for venue in self.files for market in venue.market}

    @cached_property
    def names(self) -> dict[str, str]:
        """The exchange id of every id, SQL name and alias in lower case."""
        named = {alias.lower(): market.exchange for market in self.markets.values() for alias in (*market.aliases, market.sql_name)}
        return named | {exchange.lower(): exchange for exchange in self.markets}

    @cached_property
    def instruments(self) -> dict[tuple[str, str], ListedInstrument]:
        """The instruments that are written down, by exchange id and symbol."""
        return {(one.exchange, one.exchange_symbol): one for venue in self.files for one in venue.instrument}

    @cached_property
    def unsettled(self) -> tuple[Unsettled, ...]:
        """The times for which no source settles a rule."""
        return tuple(one for venue in self.files for one in venue.unsettled)

    @cached_property
    def exchanges_of_dated_sizes(self) -> frozenset[str]:
        """The exchanges of which the size of a contract has dates."""
        dated = [one for venue in self.files for one in venue.contract_size if one.valid_from is not None]
        return frozenset(exchange for one in dated for exchange in one.exchanges)


@cache
def package_venues() -> Venues:
    """The package's own venue files, which hold where nothing else is said."""
    return Venues(tuple(_built(tomllib.loads(text)) for text in package_texts().values()))


def package_texts() -> dict[str, str]:
    """The package's venue files by name, in the order of their names."""
    folder = resources.files("pointline") / "venues"
    found = {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    return {name: found[name].read_text(encoding="utf-8") for name in sorted(found)}


def _built(content: dict[str, Any]) -> Venue:
    """The content of a file of the package, which holds what `parse_venue` would accept."""
    tables = {name: tuple(_TABLES[name](**_with_tuples(row)) for row in rows) for name, rows in content.items() if name in _TABLES}
    return Venue(venue=content["venue"], **tables)


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    made = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return made | {"form": tuple(SymbolForm(**_with_tuples(one)) for one in row["form"])} if "form" in row else made


def parse_venue(text: str, *, where: str, beside: frozenset[str] = frozenset()) -> Venue:
    """A venue file's content, checked.

    Args:
        text: TOML.
        where: the file's name, for errors.
        beside: exchange ids of other files of which this one may speak too.

    Raises:
        ConfigError: the text is not TOML, or a table has a missing, unknown or impossible value.
    """
    from pydantic import ValidationError

    try:
        content: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the venue file is not TOML: {error}", where=where) from None
    try:
        venue = _validated().validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        unknown = first["type"] == "unexpected_keyword_argument"
        what = f"there is no key {first['loc'][-1]}" if unknown else first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"the venue file cannot be used: {what}",
            where=f"{where}, {place}" if place else where,
            hint=f"{error.error_count()} problem(s) in all",
        ) from None
    message = _inconsistency(venue, beside)
    if message is not None:
        raise ConfigError(f"the venue file cannot be used: {message}", where=where)
    return venue


@cache
def _validated() -> TypeAdapter[Venue]:
    from pydantic import TypeAdapter

    return TypeAdapter(Venue)


def _inconsistency(venue: Venue, beside: frozenset[str]) -> str | None:
    """What the tables of a file say against each other, None where they agree."""
    if not venue.market and not beside:
        return "at least one [[market]] is needed"
    known = {market.exchange for market in venue.market} | beside
    spans: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for subject, start, until in dated_subjects(venue):
        spans.setdefault(subject, []).append((start, until))
    unsettled = [exchange for one in venue.unsettled for exchange in one.exchanges]
    spoken_of = [*(one.exchange for one in venue.instrument), *unsettled, *(exchange for _, exchange, *_ in spans)]
    for exchange in spoken_of:
        if exchange not in known:
            return f"exchange {exchange!r} has no [[market]]"
    for subject_key, found in spans.items():
        found.sort()
        if any(until > start for (_, until), (start, _) in pairwise(found)):
            return f"rules of {' '.join(subject_key)} overlap in time"
    return None


def dated_subjects(venue: Venue) -> list[tuple[tuple[str, ...], int, int]]:
    """What the dated rules of a file speak of, from when and until when: two rules of one subject may not overlap.

    Returns:
        The sort of rule and the exchange, then the base asset, tier or contract type where it matters; with the rule's dates.
    """
    found = []
    for rule in (*venue.delivery, *venue.asset, *venue.funding, *venue.fee, *venue.contract_size):
        apart: list[tuple[str, ...]] = [()]
        name = type(rule).__name__
        if isinstance(rule, Asset):
            apart = [(rule.base_asset,)]
        elif isinstance(rule, Fee):
            apart = [(rule.tier,)]
        elif isinstance(rule, Delivery):
            apart = [(rule.contract_type,)] if rule.contract_type else [("linear",), ("inverse",)]
        elif isinstance(rule, Funding) and rule.pairs:
            apart = [(pair,) for pair in rule.pairs]
        elif isinstance(rule, ContractSize):
            name, apart = "Contract size", [(rule.contract_type, *named) for named in rule.named()]
        found += [((name, exchange, *more), rule.valid_from_us, rule.valid_until_us) for exchange in rule.exchanges for more in apart]
    return found
