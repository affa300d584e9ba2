"""Dated venue rules, read from ``venues/*.toml``: names, symbol grammar, contract sizes, delivery, multipliers and funding.

A rule holds inside its dates only; outside them there is an error, never a guess.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from itertools import pairwise
from typing import Any, Literal, Self, TypeVar

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from pointline.clock import HOUR_US, MINUTE_US, time_text, to_us
from pointline.errors import ConfigError, RegistryError, VenueRuleError, nearest

UNKNOWN_START_US = 0
FAR_FUTURE_US = 4_133_980_800_000_000

FundingKind = Literal["premium_clamp", "deribit", "clamp_mean"]
_FUNDING_HOURS = 8.0


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Sourced(_Model):
    source: str = Field(min_length=1)


class Market(_Sourced):
    """One exchange id of a venue, its names and how its symbols are written.

    Attributes:
        exchange: pointline's exchange id.
        sql_name: the exchange's name in SQL.
        aliases: further names under which users may ask for it.
        asset_type: what a symbol without a delivery date is.
        symbols: ``"joined"`` (``BTCUSDT``), ``"dashed"`` (``BTC-USDT``) or ``"listed"`` (only the instruments of the file).
        quote_assets: quotes of spot and linear markets; the longest that ends the symbol is its quote.
        inverse_quote_assets: quotes of contracts that settle in the base asset.
        split_exceptions: reviewed symbols whose longest quote is not their quote.
        perpetual_suffix: what ends the symbol of a perpetual, e.g. ``"_PERP"``.
    """

    exchange: str
    sql_name: str
    aliases: tuple[str, ...] = ()
    asset_type: Literal["spot", "perpetual", "future"]
    symbols: Literal["joined", "dashed", "listed"]
    quote_assets: tuple[str, ...] = ()
    inverse_quote_assets: tuple[str, ...] = ()
    split_exceptions: dict[str, str] = Field(default_factory=dict)
    perpetual_suffix: str = ""


class InstrumentTerms(_Model):
    """What has to be said of an instrument whose symbol does not say it.

    Attributes:
        base_asset, quote_asset: as the exchange names them.
        settle_asset: of contracts; if not given, the quote asset of a linear and the base asset of an inverse one.
        asset_type: what it is.
        contract_type: needed for perpetuals and futures.
        contract_size: needed for them too: base units (linear) or quote units (inverse) per contract.
        price_increment, qty_increment: smallest steps, where known.
        expiry: of futures, when they are delivered.
    """

    base_asset: str = Field(min_length=1)
    quote_asset: str = Field(min_length=1)
    settle_asset: str | None = Field(default=None, min_length=1)
    asset_type: Literal["spot", "perpetual", "future"]
    contract_type: Literal["linear", "inverse"] | None = None
    contract_size: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    price_increment: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    qty_increment: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    expiry: AwareDatetime | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        message = None
        if self.asset_type == "spot" and (self.contract_type, self.settle_asset, self.contract_size or 1.0) != (None, None, 1.0):
            message = "a spot market has no contract_type, no settle_asset and no contract_size other than 1"
        elif self.asset_type != "spot" and (self.contract_type is None or self.contract_size is None):
            message = f"a {self.asset_type} needs contract_type (linear or inverse) and contract_size"
        elif (self.asset_type == "future") != (self.expiry is not None):
            message = "a future, and nothing else, has an expiry"
        if message is not None:
            raise ValueError(message)
        return self

    def terms(self) -> dict[str, Any]:
        """The fields of `pointline.instruments.Observation` that are said here."""
        settled = {None: None, "linear": self.quote_asset, "inverse": self.base_asset}[self.contract_type]
        return {
            **self.model_dump(exclude={"source", "expiry", "exchange", "exchange_symbol"}),
            "settle_asset": self.settle_asset or settled,
            "contract_size": self.contract_size or 1.0,
            "expiry_us": None if self.expiry is None else to_us(self.expiry),
        }


class ListedInstrument(InstrumentTerms, _Sourced):
    """An instrument that is written down because its symbol does not say enough."""

    exchange: str
    exchange_symbol: str = Field(min_length=1)


class ContractSize(_Sourced):
    """Quote units per inverse contract."""

    exchanges: tuple[str, ...]
    default: float = Field(gt=0)
    by_base_asset: dict[str, float] = Field(default_factory=dict)


class _Dated(_Sourced):
    exchanges: tuple[str, ...] = Field(min_length=1)
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None

    @model_validator(mode="after")
    def _ordered(self) -> _Dated:
        if self.valid_from_us >= self.valid_until_us:
            message = "valid_from must lie before valid_until"
            raise ValueError(message)
        return self

    @property
    def valid_from_us(self) -> int:
        """First microsecond of the rule; `UNKNOWN_START_US` where it is open."""
        return UNKNOWN_START_US if self.valid_from is None else to_us(self.valid_from)

    @property
    def valid_until_us(self) -> int:
        """First microsecond after the rule; `FAR_FUTURE_US` where it is open."""
        return FAR_FUTURE_US if self.valid_until is None else to_us(self.valid_until)


class Asset(_Dated):
    """What one unit of a listed base asset is made of: `multiplier` units of `underlying_asset`."""

    base_asset: str
    underlying_asset: str
    multiplier: int = Field(ge=1)


class _Bounded(_Dated):
    @model_validator(mode="after")
    def _has_both_ends(self) -> _Bounded:
        if self.valid_from is None or self.valid_until is None:
            message = "valid_from and valid_until are both needed"
            raise ValueError(message)
        return self


class Delivery(_Bounded):
    """The time of day at which dated contracts are delivered."""

    time_utc: dt.time


class Funding(_Bounded):
    """A funding formula as the file states it; `FundingRule` is the form for one asset."""

    kind: FundingKind
    per_interval: bool
    interest_8h: float
    clamp: float = Field(ge=0)
    interval_hours: float = Field(gt=0)
    caps: dict[str, float] = Field(default_factory=dict)
    interest_free_bases: tuple[str, ...] = ()


_RuleT = TypeVar("_RuleT", bound=_Dated)


class Venue(_Model):
    """One venue file."""

    venue: str
    market: tuple[Market, ...] = ()
    instrument: tuple[ListedInstrument, ...] = ()
    contract_size: tuple[ContractSize, ...] = ()
    delivery: tuple[Delivery, ...] = ()
    asset: tuple[Asset, ...] = ()
    funding: tuple[Funding, ...] = ()

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Venue:
        elsewhere: frozenset[str] = info.context or frozenset()
        if not self.market and not elsewhere:
            message = "at least one [[market]] is needed"
            raise ValueError(message)
        known = {market.exchange for market in self.market} | elsewhere
        for listed in self.instrument:
            if listed.exchange not in known:
                message = f"exchange {listed.exchange!r} has no [[market]]"
                raise ValueError(message)
        spans: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        for rule in (*self.delivery, *self.asset, *self.funding):
            subject = rule.base_asset if isinstance(rule, Asset) else ""
            for exchange in rule.exchanges:
                if exchange not in known:
                    message = f"exchange {exchange!r} has no [[market]] in this file"
                    raise ValueError(message)
                spans.setdefault((type(rule).__name__, exchange, subject), []).append((rule.valid_from_us, rule.valid_until_us))
        for subject_key, found in spans.items():
            found.sort()
            if any(until > start for (_, until), (start, _) in pairwise(found)):
                message = f"rules of {' '.join(subject_key)} overlap in time"
                raise ValueError(message)
        return self


@dataclass(frozen=True)
class FundingRule:
    """How one venue turned the average premium into the funding rate, and when.

    Attributes:
        kind: ``"premium_clamp"``: P + clamp(I - P, ±clamp); ``"deribit"``: max(clamp, P) + min(-clamp, P); ``"clamp_mean"``: P.
        interest_8h: interest as a fraction per 8 hours.
        clamp: half width of the dead band, a fraction (unused by ``"clamp_mean"``).
        cap: largest absolute rate, in the period that the formula speaks of; None where it is not known.
        interval_hours: the venue's default funding interval; symbols may differ.
        valid_from_us, valid_until_us: the dates for which the rule is known, half-open.
        source: where the rule is stated, with its confidence.
        per_interval: True: the formula gives the rate of one interval; False: of 8 hours, of which an interval pays its share.
    """

    kind: FundingKind
    interest_8h: float
    clamp: float
    cap: float | None
    interval_hours: float
    valid_from_us: int
    valid_until_us: int
    source: str
    per_interval: bool = False


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
    return Venues(venues())


@cache
def venues() -> tuple[Venue, ...]:
    """All venue files of the package, in the order of their names.

    Raises:
        ConfigError: a file is not what this module describes.
    """
    folder = resources.files("pointline") / "venues"
    files = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return tuple(parse_venue(file.read_text(encoding="utf-8"), where=file.name) for file in files)


def parse_venue(text: str, *, where: str, beside: frozenset[str] = frozenset()) -> Venue:
    """A venue file's content.

    Args:
        text: TOML.
        where: the file's name, for errors.
        beside: exchange ids of other files of which this one may speak too.

    Raises:
        ConfigError: the text is not TOML, or a table has a missing, unknown or impossible value.
    """
    try:
        content: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the venue file is not TOML: {error}", where=where) from None
    try:
        return Venue.model_validate(content, context=beside)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"the venue file cannot be used: {first['msg']}",
            where=f"{where}, {place}" if place else where,
            hint=f"{error.error_count()} problem(s) in all",
        ) from None


def markets() -> dict[str, Market]:
    """All exchange ids that the package knows, and their markets."""
    return package_venues().markets


def exchange_id(name: str, known: Venues | None = None) -> str:
    """The exchange id of an id, alias or SQL name in any case; a name that no venue file knows is returned as it is.

    Args:
        name: what somebody calls the exchange.
        known: the venue files of a lake; the package's own if None, here and in the other functions of this module.

    Examples:
        >>> exchange_id("binance"), exchange_id("Binance-USDM-Future"), exchange_id("my-exchange")
        ('binance-spot', 'binance-futures', 'my-exchange')
    """
    return (known or package_venues()).names.get(name.lower(), name)


def sql_exchange(exchange: str) -> str:
    """The exchange's name in SQL; an exchange that no venue file knows keeps its own.

    Examples:
        >>> sql_exchange("binance-delivery")
        'binance-coinm-future'
    """
    found = markets().get(exchange_id(exchange))
    return exchange if found is None else found.sql_name


def market_of(exchange: str, known: Venues | None = None) -> Market:
    """The market of an exchange id, alias or SQL name.

    Raises:
        RegistryError: no venue file knows the exchange.
    """
    all_markets = (known or package_venues()).markets
    found = all_markets.get(exchange_id(exchange, known))
    if found is None:
        raise RegistryError(
            "no venue file knows this exchange",
            value=exchange,
            expected="one of " + ", ".join(sorted(all_markets)),
            hint=f"nearest names: {nearest(exchange, all_markets).lower()}; your own go into a venue file of the lake (docs: Names)",
        )
    return found


def venue_names(known: Venues | None = None) -> dict[str, str]:
    """The venue that each exchange id belongs to."""
    return {market.exchange: venue.venue for venue in (known or package_venues()).files for market in venue.market}


def listed_instrument(exchange: str, exchange_symbol: str, known: Venues | None = None) -> ListedInstrument | None:
    """The instrument as a venue file writes it down, or None."""
    return (known or package_venues()).instruments.get((exchange_id(exchange, known), exchange_symbol))


def inverse_contract_size(exchange: str, base_asset: str, known: Venues | None = None) -> float:
    """Quote units per inverse contract.

    Raises:
        VenueRuleError: no venue file states the exchange's contract sizes.
    """
    wanted = exchange_id(exchange, known)
    for venue in (known or package_venues()).files:
        for sizes in venue.contract_size:
            if wanted in sizes.exchanges:
                return sizes.by_base_asset.get(base_asset, sizes.default)
    raise VenueRuleError(
        "the contract size is in no venue file",
        where=exchange,
        value=base_asset,
        hint="ingest the exchange's exchangeInfo, which states it",
    )


def delivery_us(exchange: str, day: dt.date, known: Venues | None = None) -> int:
    """When a contract that is delivered on `day` expires, microseconds UTC.

    Raises:
        VenueRuleError: the delivery time of that exchange and day is not known.
    """
    midnight = to_us(day)
    rule = _rule_at(
        [rule for venue in (known or package_venues()).files for rule in venue.delivery], exchange_id(exchange, known), midnight, "delivery"
    )
    return midnight + rule.time_utc.hour * HOUR_US + rule.time_utc.minute * MINUTE_US


def asset_table(known: Venues | None = None) -> pl.DataFrame:
    """The reviewed table of base assets: exchange, base_asset, underlying_asset, multiplier, valid from and until."""
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


def funding_rule(exchange: str, at_us: int, *, base_asset: str | None = None, known: Venues | None = None) -> FundingRule:
    """The funding rule of an exchange at a time.

    Args:
        exchange: exchange id, alias or SQL name.
        at_us: microseconds UTC.
        base_asset: applies the asset's own interest and cap where the file states them (BNB pays no interest on Binance).
        known: the venue files.

    Raises:
        VenueRuleError: the exchange has no funding rule, or none is known for that time.
    """
    rule = _rule_at(
        [rule for venue in (known or package_venues()).files for rule in venue.funding], exchange_id(exchange, known), at_us, "funding"
    )
    free = base_asset in rule.interest_free_bases
    return FundingRule(
        kind=rule.kind,
        interest_8h=0.0 if free else rule.interest_8h,
        clamp=rule.clamp,
        cap=rule.caps.get(base_asset) if base_asset else None,
        interval_hours=rule.interval_hours,
        valid_from_us=rule.valid_from_us,
        valid_until_us=rule.valid_until_us,
        source=rule.source,
        per_interval=rule.per_interval,
    )


def funding_rules(
    exchange: str, start_us: int, end_us: int, *, base_asset: str | None = None, known: Venues | None = None
) -> tuple[FundingRule, ...]:
    """All funding rules of an exchange that are known somewhere in ``[start_us, end_us)``, oldest first.

    Raises:
        VenueRuleError: the exchange has no funding rule, or none is known in the window.
    """
    wanted = exchange_id(exchange, known)
    own = [rule for venue in (known or package_venues()).files for rule in venue.funding if wanted in rule.exchanges]
    starts = sorted(max(rule.valid_from_us, start_us) for rule in own if rule.valid_from_us < end_us and rule.valid_until_us > start_us)
    return tuple(funding_rule(exchange, at_us, base_asset=base_asset, known=known) for at_us in starts or [start_us])


def _rule_at(rules: list[_RuleT], wanted: str, at_us: int, name: str) -> _RuleT:
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


def fair_funding_8h(rule: FundingRule, premium: float, *, interval_hours: float | None = None) -> float:
    """The funding rate per 8 hours that the rule makes of an average premium.

    Args:
        rule: the venue's rule at the time.
        premium: average premium of the period, (perp - index) / index as a fraction.
        interval_hours: the symbol's funding interval; None = the rule's default. It matters where the formula speaks of one
            interval: the dead band is then applied per interval.

    Raises:
        ConfigError: the interval is not a positive number.

    Examples:
        >>> round(fair_funding_8h(funding_rule("binance-futures", 1_714_521_600_000_000), 0.0020), 6)
        0.0015
    """
    hours = rule.interval_hours if interval_hours is None else interval_hours
    if not hours > 0:
        raise ConfigError("a funding interval must be a positive number of hours", value=interval_hours)
    share = hours / _FUNDING_HOURS if rule.per_interval else 1.0
    if rule.kind == "premium_clamp":
        rate = premium + min(max(rule.interest_8h * share - premium, -rule.clamp), rule.clamp)
    elif rule.kind == "deribit":
        rate = max(rule.clamp, premium) + min(-rule.clamp, premium)
    else:
        rate = premium
    if rule.cap is not None:
        rate = min(max(rate, -rule.cap), rule.cap)
    return rate / share


def fair_funding_8h_expr(rule: FundingRule, premium: pl.Expr, *, interval_hours: float | pl.Expr | None = None) -> pl.Expr:
    """`fair_funding_8h` as an expression; a null premium or interval gives null.

    Args:
        rule: the venue's rule at the time of all rows.
        premium: average premium, a fraction.
        interval_hours: the funding interval of each row, one for all, or None for the rule's default.
    """
    hours = rule.interval_hours if interval_hours is None else interval_hours
    interval = hours if isinstance(hours, pl.Expr) else pl.lit(hours)
    share = interval / _FUNDING_HOURS if rule.per_interval else pl.lit(1.0)
    if rule.kind == "premium_clamp":
        rate = premium + (rule.interest_8h * share - premium).clip(-rule.clamp, rule.clamp)
    elif rule.kind == "deribit":
        rate = premium.clip(lower_bound=rule.clamp) + premium.clip(upper_bound=-rule.clamp)
    else:
        rate = premium
    if rule.cap is not None:
        rate = rate.clip(-rule.cap, rule.cap)
    return rate / share
