"""Dated venue rules, read from ``venues/*.toml``: names, symbol grammar, contract sizes, delivery, multipliers, funding and fees.

A rule holds inside its dates only; outside them there is an error, never a guess. Names are resolved in `pointline.venues.names`, funding
formulas stand in `pointline.venues.funding`, fees in `pointline.venues.fees`; functions here take exchange ids.

The package's own files are part of the code: the tests check them, and a process builds them as they are, in a few milliseconds. What a
user writes (a lake's files, a mapping's ``[instrument]``) is checked by pydantic, which reads the same classes.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - pydantic reads the annotations at run time
import math
import tomllib
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pointline.clock import HOUR_US, MINUTE_US, time_text, to_us
from pointline.errors import ConfigError, VenueRuleError
from pointline.venues.forms import SymbolForm

if TYPE_CHECKING:
    import polars as pl
    from pydantic import TypeAdapter

UNKNOWN_START_US = 0
FAR_FUTURE_US = 4_133_980_800_000_000

FundingKind = Literal["premium_clamp", "deribit", "clamp_mean"]
Weights = Literal["rising", "equal"]


class _Strict:
    """No table of a file has a key that is not a field."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}


@dataclass(frozen=True, kw_only=True)
class _Sourced(_Strict):
    source: str

    def __post_init__(self) -> None:
        _check_filled(source=self.source)


@dataclass(frozen=True, kw_only=True)
class Market(_Sourced):
    """One exchange id of a venue, its names and how its symbols are written.

    Attributes:
        exchange: pointline's exchange id.
        sql_name: the exchange's name in SQL.
        aliases: further names under which users may ask for it.
        asset_type: what a symbol without a delivery date is.
        symbols: ``"joined"`` (``BTCUSDT``), ``"dashed"`` (``BTC-USDT``), ``"forms"`` (those of `form`) or ``"listed"`` (only the
            instruments of the file).
        form: how symbols are written where neither joined nor dashed says it.
        quote_assets: quotes of spot and linear markets; the longest that ends the symbol is its quote.
        inverse_quote_assets: quotes of contracts that settle in the base asset.
        split_exceptions: reviewed symbols whose longest quote is not their quote.
        perpetual_suffix: what ends the symbol of a perpetual, e.g. ``"_PERP"``.
    """

    exchange: str
    sql_name: str
    aliases: tuple[str, ...] = ()
    asset_type: Literal["spot", "perpetual", "future"]
    symbols: Literal["joined", "dashed", "forms", "listed"]
    form: tuple[SymbolForm, ...] = ()
    quote_assets: tuple[str, ...] = ()
    inverse_quote_assets: tuple[str, ...] = ()
    split_exceptions: dict[str, str] = field(default_factory=dict)
    perpetual_suffix: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        message = None
        if bool(self.form) != (self.symbols == "forms"):
            message = 'symbols = "forms" and [[market.form]] need each other'
        elif any((one.contract_type is None) != (self.asset_type == "spot") for one in self.form):
            message = "each form of contracts, and none of spot markets, has a contract_type"
        elif self.asset_type == "future" and any(one.date_style is None for one in self.form):
            message = "each form of futures has a date"
        if message is not None:
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class InstrumentTerms(_Strict):
    """What has to be said of an instrument whose symbol does not say it.

    Attributes:
        base_asset, quote_asset: as the exchange names them.
        settle_asset: of contracts; if not given, the quote asset of a linear and the base asset of an inverse one.
        asset_type: what it is.
        contract_type: needed for perpetuals and futures.
        contract_size: needed for them too: base units (linear) or quote units (inverse) per contract.
        price_increment, qty_increment: smallest steps, where known.
        expiry: of futures, when they are delivered, with its offset to UTC.
    """

    base_asset: str
    quote_asset: str
    settle_asset: str | None = None
    asset_type: Literal["spot", "perpetual", "future"]
    contract_type: Literal["linear", "inverse"] | None = None
    contract_size: float | None = None
    price_increment: float | None = None
    qty_increment: float | None = None
    expiry: dt.datetime | None = None

    def __post_init__(self) -> None:
        _check_filled(base_asset=self.base_asset, quote_asset=self.quote_asset, settle_asset=self.settle_asset)
        _check_positive(contract_size=self.contract_size, price_increment=self.price_increment, qty_increment=self.qty_increment)
        _check_offset(expiry=self.expiry)
        message = None
        if self.asset_type == "spot" and (self.contract_type, self.settle_asset, self.contract_size or 1.0) != (None, None, 1.0):
            message = "a spot market has no contract_type, no settle_asset and no contract_size other than 1"
        elif self.asset_type != "spot" and (self.contract_type is None or self.contract_size is None):
            message = f"a {self.asset_type} needs contract_type (linear or inverse) and contract_size"
        elif (self.asset_type == "future") != (self.expiry is not None):
            message = "a future, and nothing else, has an expiry"
        if message is not None:
            raise ValueError(message)

    @classmethod
    def field_names(cls) -> list[str]:
        """What can be said of an instrument."""
        return [one.name for one in fields(cls)]

    def terms(self) -> dict[str, Any]:
        """The fields of `pointline.instruments.Observation` that are said here."""
        settled = {None: None, "linear": self.quote_asset, "inverse": self.base_asset}[self.contract_type]
        return {
            **{name: getattr(self, name) for name in InstrumentTerms.field_names() if name != "expiry"},
            "settle_asset": self.settle_asset or settled,
            "contract_size": self.contract_size or 1.0,
            "expiry_us": None if self.expiry is None else to_us(self.expiry),
        }


@dataclass(frozen=True, kw_only=True)
class ListedInstrument(InstrumentTerms):
    """An instrument that is written down because its symbol does not say enough.

    Attributes:
        exchange: pointline's exchange id.
        exchange_symbol: the exchange's own symbol.
        source: where the terms are stated, with their confidence.
    """

    exchange: str
    exchange_symbol: str
    source: str

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_filled(exchange_symbol=self.exchange_symbol, source=self.source)


@dataclass(frozen=True, kw_only=True)
class ContractSize(_Sourced):
    """What one contract is: quote units (inverse) or base units (linear).

    Attributes:
        exchanges: exchange ids.
        contract_type: of which contracts.
        default: of all that the others do not name; None where those are not known.
        by_base_asset: by base asset.
        by_pair: by base and quote, e.g. ``BTC-USDT``; it goes before the base asset's.
    """

    exchanges: tuple[str, ...]
    contract_type: Literal["linear", "inverse"] = "inverse"
    default: float | None = None
    by_base_asset: dict[str, float] = field(default_factory=dict)
    by_pair: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(default=self.default, **self.by_base_asset, **self.by_pair)
        if self.default is None and not self.by_base_asset and not self.by_pair:
            message = "a contract size needs a default, by_base_asset or by_pair"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class _Dated(_Sourced):
    exchanges: tuple[str, ...]
    valid_from: dt.datetime | None = None
    valid_until: dt.datetime | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_filled(exchanges=self.exchanges)
        _check_offset(valid_from=self.valid_from, valid_until=self.valid_until)
        if self.valid_from_us >= self.valid_until_us:
            message = "valid_from must lie before valid_until"
            raise ValueError(message)

    @cached_property
    def valid_from_us(self) -> int:
        """First microsecond of the rule; `UNKNOWN_START_US` where it is open."""
        return UNKNOWN_START_US if self.valid_from is None else to_us(self.valid_from)

    @cached_property
    def valid_until_us(self) -> int:
        """First microsecond after the rule; `FAR_FUTURE_US` where it is open."""
        return FAR_FUTURE_US if self.valid_until is None else to_us(self.valid_until)


@dataclass(frozen=True, kw_only=True)
class Asset(_Dated):
    """What one unit of a listed base asset is made of: `multiplier` units of `underlying_asset`."""

    base_asset: str
    underlying_asset: str
    multiplier: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(multiplier=self.multiplier)


@dataclass(frozen=True, kw_only=True)
class _Bounded(_Dated):
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.valid_from is None or self.valid_until is None:
            message = "valid_from and valid_until are both needed"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Delivery(_Bounded):
    """The time of day at which dated contracts are delivered: all of them, or the linear or inverse ones."""

    time_utc: dt.time
    contract_type: Literal["linear", "inverse"] | None = None


@dataclass(frozen=True, kw_only=True)
class Funding(_Bounded):
    """A funding formula as the file states it; `pointline.venues.funding.FundingRule` is the form for one asset.

    Attributes:
        kind, per_interval, interest_8h, clamp, interval_hours: as in `FundingRule`.
        weights: how the premium of an interval is averaged; if not given, rising where the kind is ``"premium_clamp"``, else equal.
        rolling: the average is always over the last whole interval, also inside one.
        continuous: the rate accrues all the time, on the premium of each moment.
        cap: largest absolute rate of every contract, in the period that the formula speaks of.
        caps: the same by base asset, where they differ.
        interest_free_bases: base assets whose contracts have no interest.
    """

    kind: FundingKind
    per_interval: bool
    interest_8h: float
    clamp: float
    interval_hours: float
    weights: Weights | None = None
    rolling: bool = False
    continuous: bool = False
    cap: float | None = None
    caps: dict[str, float] = field(default_factory=dict)
    interest_free_bases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_positive(interval_hours=self.interval_hours, cap=self.cap)
        if not self.clamp >= 0:
            message = f"clamp must be zero or more, not {self.clamp}"
            raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class Fee(_Bounded):
    """What one fill costs on some exchanges in one fee tier.

    Attributes:
        tier: the tier's name.
        taker_bps: fee of a fill that takes, in basis points of its notional.
        maker_bps: fee of a fill that makes, below zero where it is a rebate; None where the source does not say.
        as_of: the day on which the figures were read.
    """

    tier: str
    taker_bps: float
    maker_bps: float | None = None
    as_of: dt.date

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_filled(tier=self.tier)
        if not (self.taker_bps >= 0 and math.isfinite(self.taker_bps)):
            message = f"taker_bps must be finite and zero or more, not {self.taker_bps}"
            raise ValueError(message)
        if self.maker_bps is not None and not math.isfinite(self.maker_bps):
            message = f"maker_bps must be finite, not {self.maker_bps}"
            raise ValueError(message)


def _check_filled(**values: str | tuple[str, ...] | None) -> None:
    """Refuses empty values with a ValueError, which pydantic makes part of its own."""
    for name, value in values.items():
        if value is not None and not value:
            message = f"{name} must have at least 1 {'character' if isinstance(value, str) else 'entry'}"
            raise ValueError(message)


def _check_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            message = f"{name} must be finite and greater than 0, not {value}"
            raise ValueError(message)


def _check_offset(**values: dt.datetime | None) -> None:
    for name, value in values.items():
        if value is not None and value.tzinfo is None:
            message = f"{name} needs a timezone, e.g. {value:%Y-%m-%dT%H:%M:%S}Z"
            raise ValueError(message)


_RuleT = TypeVar("_RuleT", bound=_Dated)


@dataclass(frozen=True, kw_only=True)
class Venue(_Strict):
    """One venue file."""

    venue: str
    market: tuple[Market, ...] = ()
    instrument: tuple[ListedInstrument, ...] = ()
    contract_size: tuple[ContractSize, ...] = ()
    delivery: tuple[Delivery, ...] = ()
    asset: tuple[Asset, ...] = ()
    funding: tuple[Funding, ...] = ()
    fee: tuple[Fee, ...] = ()


_TABLES: dict[str, type[Any]] = {
    "market": Market,
    "instrument": ListedInstrument,
    "contract_size": ContractSize,
    "delivery": Delivery,
    "asset": Asset,
    "funding": Funding,
    "fee": Fee,
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
    spoken_of = [*(one.exchange for one in venue.instrument), *(exchange for _, exchange, *_ in spans)]
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
    for rule in (*venue.delivery, *venue.asset, *venue.funding, *venue.fee):
        apart: tuple[tuple[str, ...], ...] = ((),)
        if isinstance(rule, Asset):
            apart = ((rule.base_asset,),)
        elif isinstance(rule, Fee):
            apart = ((rule.tier,),)
        elif isinstance(rule, Delivery):
            apart = ((rule.contract_type,),) if rule.contract_type else (("linear",), ("inverse",))
        name = type(rule).__name__
        found += [((name, exchange, *more), rule.valid_from_us, rule.valid_until_us) for exchange in rule.exchanges for more in apart]
    return found


def contract_size(
    exchange: str, base_asset: str, quote_asset: str, contract_type: Literal["linear", "inverse"], known: Venues | None = None
) -> float:
    """Quote units per inverse contract, or base units per linear one, of an exchange id.

    Args:
        exchange: exchange id.
        base_asset, quote_asset: as the exchange names them.
        contract_type: ``"linear"`` or ``"inverse"``.
        known: the venue files; the package's own if None, here and in the other functions of this module.

    Raises:
        VenueRuleError: no venue file states the contract's size.

    Examples:
        >>> contract_size("okx-futures", "BTC", "USDT", "linear"), contract_size("okx-futures", "BTC", "USD", "inverse")
        (0.01, 100.0)
    """
    tables = [
        one
        for venue in (known or package_venues()).files
        for one in venue.contract_size
        if exchange in one.exchanges and one.contract_type == contract_type
    ]
    pair = f"{base_asset}-{quote_asset}"
    stated = (*(one.by_pair.get(pair) for one in tables), *(one.by_base_asset.get(base_asset) for one in tables))
    found = next((size for size in (*stated, *(one.default for one in tables)) if size is not None), None)
    if found is None:
        raise VenueRuleError(
            f"the contract size of this {contract_type} contract is in no venue file",
            where=exchange,
            value=pair,
            hint="ingest the exchange's list of instruments, or state it: [[contract_size]] in a venue file of the lake",
        )
    return found


def delivery_us(exchange: str, day: dt.date, known: Venues | None = None, *, contract_type: Literal["linear", "inverse"] = "linear") -> int:
    """When a contract that is delivered on `day` expires, microseconds UTC.

    Raises:
        VenueRuleError: the delivery time of that exchange, type of contract and day is not known.

    Examples:
        >>> time_text(delivery_us("deribit", dt.date(2025, 3, 28), contract_type="inverse"))
        '2025-03-28 08:00:00'
    """
    midnight = to_us(day)
    rules = [rule for venue in (known or package_venues()).files for rule in venue.delivery if rule.contract_type in (None, contract_type)]
    rule = rule_at(rules, exchange, midnight, "delivery")
    return midnight + rule.time_utc.hour * HOUR_US + rule.time_utc.minute * MINUTE_US


def asset_table(known: Venues | None = None) -> pl.DataFrame:
    """The reviewed table of base assets: exchange, base_asset, underlying_asset, multiplier, valid from and until."""
    import polars as pl

    rows = [
        (exchange, rule.base_asset, rule.underlying_asset, rule.multiplier, rule.valid_from_us, rule.valid_until_us)
        for venue in (known or package_venues()).files
        for rule in venue.asset
        for exchange in rule.exchanges
    ]
    schema = {
        "exchange": pl.String(),
        "base_asset": pl.String(),
        "underlying_asset": pl.String(),
        "multiplier": pl.Int64(),
        "asset_from_us": pl.Int64(),
        "asset_until_us": pl.Int64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def rule_at(rules: list[_RuleT], wanted: str, at_us: int, name: str) -> _RuleT:
    """The rule of an exchange id that holds at a time.

    Args:
        rules: those of all exchanges.
        wanted: exchange id.
        at_us: microseconds UTC.
        name: what they are rules of, for errors.

    Raises:
        VenueRuleError: the exchange has no such rule, or none is known for that time.
    """
    own = sorted((rule for rule in rules if wanted in rule.exchanges), key=lambda rule: rule.valid_from_us)
    if not own:
        known = sorted({one for rule in rules for one in rule.exchanges})
        raise VenueRuleError(f"the exchange has no {name} rule", value=wanted, expected="one of " + ", ".join(known))
    for rule in own:
        if rule.valid_from_us <= at_us < rule.valid_until_us:
            return rule
    spans = "; ".join(f"[{time_text(rule.valid_from_us)}, {time_text(rule.valid_until_us)})" for rule in own)
    raise VenueRuleError(
        f"the {name} rule of {wanted} is not known for this time",
        value=time_text(at_us),
        expected=f"a time inside {spans} UTC",
        hint="add the rule with its dates and source to the venue file, or choose another window",
    )
