"""Mappings: a small TOML file that says what the columns of any table mean.

An example::

    kind = "funding"
    exchange = "binance-futures"
    symbol = "BTCUSDT"
    time_zone = "Europe/London"
    [columns]
    ts_event_us = {column = "Time", unit = "text"}
    funding_rate = {column = "Funding Rate", percent = true}
    interval_hours = {column = "Funding Interval", suffix = "h"}

Keys at the top:

================  ====================================================================================================
kind              table: trades, liquidations, quotes, funding, derivative_ticker, open_interest, candles_1h, …,
                  mark_candles_1h, index_candles_1h, premium_candles_1h, …
exchange          pointline's id of the exchange; ``--exchange`` overrules it
symbol            the exchange's own symbol, or ``{column = "coin", values = {BTC = "BTCUSDT"}}`` where a column says it
                  (without `values` the column holds the symbols; values that are not listed are set aside)
skip_lines        lines above the header of a CSV, 0 if not given
separator         of a CSV, a comma if not given
column_names      names for the columns of a CSV without header line, or for the places of records that are JSON lists
records           where the records of a JSON document stand: ``"result.list"`` for ``{"result": {"list": […]}}``
time_zone         IANA name for times as text without an offset, UTC if not given
columns           table column = name of the file's column, or a rule in braces
================  ====================================================================================================

Keys of a rule:

================  ====================================================================================================
column            name of the file's column; in JSON also a path to a nested value: ``"trade.price"``
constant          the value of every row, instead of `column` (not for times)
unit              times only: s, ms, us, ns (since 1970 UTC, or since `since`) or text; columns that the file itself
                  types as date or time need none
format            times as text: a strftime format; without one ISO dates and times are read
since             times as numbers: where counting starts, e.g. ``"2022-12-13"``
percent           true: ``"0.01%"`` or ``"0.01"`` means 0.0001
suffix            text to take off the value, e.g. ``"h"``
seller_taker      `side` only: the values that mean that the seller was the taker
buyer_taker       `side` only: the values that mean that the buyer was; may be left out for pairs such as true/false,
                  sell/buy, 1/0
buyer_maker       `side` only: the same as `seller_taker`, for files that tell the maker's side (Coinbase: ``["buy"]``)
seller_maker      `side` only: the same as `buyer_taker`
unknown           `side` only: the values that mean that the side is not known; ``["unknown"]`` if not given
signed            `qty` of trades only: the sign of the quantity is the side of the ``"taker"`` (or ``"maker"``): below zero he sold
================  ====================================================================================================

Table columns are those of `pointline.schema`. Needed are ``ts_event_us`` and, by kind, price and qty (trades, liquidations), bid and ask
price and qty (quotes), funding_rate (funding), open_interest (open_interest), at least one value (derivative_ticker) and open, high, low
and close (candles); others are null where the mapping is silent. Candles take ``start_us``, when they open, or ``ts_event_us``, when they
end; the other follows from the interval, and where the file has both, they have to agree with it.

``ts_local_us`` is the receipt time, where the file has one (candles have none: they are known at their end). ``trade_id`` takes whole
numbers, ``text_id`` takes text such as UUIDs, and ``first_trade_id`` with ``last_trade_id`` say which trades an aggregated row adds up.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal
from zoneinfo import available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pointline import schema
from pointline.clock import DAY_US, to_duration_us
from pointline.errors import ConfigError, nearest
from pointline.sources.stated import StatedInstruments
from pointline.venues.markets import InstrumentTerms

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

TIMES = frozenset({"ts_event_us", "ts_local_us", "start_us", "next_funding_us"})
CANDLE = ("open", "high", "low", "close")
_QUOTE = ("bid_price", "bid_qty", "ask_price", "ask_qty")
REQUIRED = {
    "trades": ("price", "qty"),
    "liquidations": ("price", "qty"),
    "quotes": _QUOTE,
    "funding": ("funding_rate",),
    "open_interest": ("open_interest",),
}
_COMPUTED = frozenset({"source_row", "funding_us", "off_book"})
_AGGREGATED = frozenset({"first_trade_id", "last_trade_id"})
_SIDES = ("seller_taker", "buyer_taker", "buyer_maker", "seller_maker")
_OPPOSITES = {"true": "false", "sell": "buy", "s": "b", "1": "0", "t": "f", "yes": "no", "-1": "1", "ask": "bid"}


class ColumnRule(BaseModel):
    """Where a table column's values come from; the keys are explained at the top of this module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str | None = None
    constant: int | float | str | None = None
    unit: Literal["s", "ms", "us", "ns", "text"] | None = None
    format: str | None = None
    since: str | None = None
    percent: bool = False
    suffix: str = ""
    seller_taker: tuple[str, ...] = ()
    buyer_taker: tuple[str, ...] = ()
    buyer_maker: tuple[str, ...] = ()
    seller_maker: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ("unknown",)
    signed: Literal["taker", "maker"] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnRule:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either column or constant")
        return self

    @property
    def sellers(self) -> list[str]:
        """The values, in small letters, that mean that the seller was the taker."""
        return [value.lower() for value in self.seller_taker or self.buyer_maker]

    @property
    def buyers(self) -> list[str]:
        """The values, in small letters, that mean that the buyer was the taker.

        Raises:
            KeyError: they are not given, and the opposite of this value is not known.
        """
        if given := self.buyer_taker or self.seller_maker:
            return [value.lower() for value in given]
        both = {**_OPPOSITES, **{value: key for key, value in _OPPOSITES.items() if key != "-1"}}
        return [both[value] for value in self.sellers]


class SymbolRule(BaseModel):
    """Which column of the file tells the instrument."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    values: dict[str, str] = Field(default_factory=dict)


class Mapping(BaseModel):
    """What a file's columns mean; the keys are explained at the top of this module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    exchange: str | None = None
    symbol: str | SymbolRule | None = None
    skip_lines: int = Field(default=0, ge=0)
    separator: str = Field(default=",", min_length=1, max_length=1)
    column_names: tuple[str, ...] = ()
    records: str | None = None
    time_zone: str = "UTC"
    instrument: StatedInstruments | None = None
    columns: dict[str, ColumnRule]

    @field_validator("columns", mode="before")
    @classmethod
    def _names_are_rules(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: {"column": rule} if isinstance(rule, str) else rule for name, rule in value.items()}

    @property
    def interval_us(self) -> int | None:
        """Length of a candle, None for other kinds."""
        _, found, interval = self.kind.rpartition("candles_")
        return to_duration_us(interval, name="the candles' interval") if found else None


def load_mapping(path: Path) -> Mapping:
    """The mapping that a TOML file holds.

    Raises:
        ConfigError: no such file, not TOML, an unknown or missing key or column, a rule that does not fit its column.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("the mapping file cannot be read", where=str(path), value=error.strerror, expected="a TOML file") from error
    except ValueError as error:
        raise ConfigError("the mapping file is not TOML", where=str(path), value=str(error), expected="a TOML file") from error
    try:
        mapping = Mapping.model_validate(content)
    except ValidationError as error:
        raise _invalid(error, path) from error
    _check_columns(mapping, path)
    return mapping


def _invalid(error: ValidationError, path: Path) -> ConfigError:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in {"str", "SymbolRule", "alone", "by_symbol"}]
    where = f"{path}, {'.'.join(place)}" if place else str(path)
    if first["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        model = Mapping if len(place) == 1 else ColumnRule if place[0] == "columns" else SymbolRule
        known = InstrumentTerms.field_names() if place[0] == "instrument" else list(model.model_fields)
        return ConfigError(f"there is no key {place[-1]}", where=where, expected=", ".join(known), hint=_alike(place[-1], known))
    value = None if first["type"] == "missing" or isinstance(first["input"], dict) else first["input"]
    return ConfigError("the mapping cannot be used", where=where, value=value, expected=first["msg"].removeprefix("Value error, "))


def _alike(name: str, names: list[str]) -> str:
    return f"names alike: {nearest(name, names).lower()}"


def _parsed(mapping: Mapping, path: Path) -> dict[str, pl.DataType]:
    try:
        return schema.table(mapping.kind).parsed
    except KeyError:
        kinds = f"{', '.join((*REQUIRED, 'derivative_ticker'))}, candles_1h, candles_1d, …, mark_candles_1h, …"
        raise ConfigError("there is no such kind of table", where=f"{path}, kind", value=mapping.kind, expected=kinds) from None


def _check_columns(mapping: Mapping, path: Path) -> None:
    parsed = _parsed(mapping, path)
    computed = _COMPUTED | ({"ts_local_us"} if mapping.interval_us is not None else set())
    mappable = [name for name in parsed if name not in computed]
    for name in mapping.columns:
        where = f"{path}, columns.{name}"
        if name not in mappable:
            hint = "it is computed" if name in computed else _alike(name, mappable)
            raise ConfigError(f"{mapping.kind} has no column {name} to map", where=where, expected=", ".join(mappable), hint=hint)
        _check_rule(name, mapping, parsed[name], where)
    if mapping.time_zone not in available_timezones():
        raise ConfigError("there is no such time zone", where=f"{path}, time_zone", value=mapping.time_zone, expected="e.g. Europe/London")
    given = mapping.columns.keys()
    if len(_AGGREGATED & given) == 1:
        raise ConfigError("an aggregated row needs both ids", where=f"{path}, columns", expected="first_trade_id and last_trade_id")
    required = ["ts_event_us", *REQUIRED.get(mapping.kind, ())]
    if mapping.interval_us is not None:
        _check_candles(mapping, path)
        required = [*CANDLE]
    missing = [name for name in required if name not in given]
    if not missing and mapping.kind == "derivative_ticker" and not given - TIMES:
        missing = ["mark_price, index_price, last_price, funding_rate or open_interest"]
    if missing:
        raise ConfigError(f"{mapping.kind} needs a rule for {', '.join(missing)}", where=f"{path}, columns", value=list(given))


def _check_candles(mapping: Mapping, path: Path) -> None:
    if not {"start_us", "ts_event_us"} & mapping.columns.keys():
        raise ConfigError("candles need a time", where=str(path), expected="start_us (when they open) or ts_event_us (when they end)")
    if (mapping.interval_us or 0) >= DAY_US and mapping.time_zone != "UTC":
        what = "candles of a day must be UTC days: local days last 23 to 25 hours"
        raise ConfigError(what, where=f"{path}, time_zone", value=mapping.time_zone)


def _check_rule(name: str, mapping: Mapping, dtype: pl.DataType, where: str) -> None:
    rule = mapping.columns[name]
    used = rule.model_fields_set - {"column"}
    if name in TIMES:
        allowed = {"unit", "format", "since"}
    elif name == "side":
        allowed = {*_SIDES, "unknown"}
        _check_side(rule, mapping, where)
    elif dtype.is_numeric():
        allowed = {"constant", "percent", "suffix"} | ({"signed"} if (mapping.kind, name) == ("trades", "qty") else set())
    else:
        allowed = set()
    if used - allowed:
        raise ConfigError(f"{', '.join(sorted(used - allowed))} does not apply to {name}", where=where, expected=", ".join(sorted(allowed)))
    if (rule.format and rule.unit not in {None, "text"}) or (rule.since and rule.unit in {None, "text"}):
        raise ConfigError("format goes with unit text, since with a unit of numbers", where=where, value=rule.unit)


def _check_side(rule: ColumnRule, mapping: Mapping, where: str) -> None:
    if mapping.columns["qty"].signed if "qty" in mapping.columns else None:
        raise ConfigError("the side comes from the sign of qty already", where=where, hint="leave out side, or signed")
    if (rule.seller_taker and rule.buyer_maker) or (rule.buyer_taker and rule.seller_maker):
        raise ConfigError("seller_taker and buyer_maker mean the same, as do buyer_taker and seller_maker", where=where, hint="give one")
    if not rule.sellers:
        raise ConfigError("side needs the values that mean a selling taker", where=where, expected='seller_taker = ["true"]')
    try:
        buyers = rule.buyers
    except KeyError as error:
        hint = 'give buyer_taker = ["…"] too'
        raise ConfigError("the opposite of these values is not known", where=where, value=rule.sellers, hint=hint) from error
    values = [*rule.sellers, *buyers, *(value.lower() for value in rule.unknown)]
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise ConfigError("a value of side has one meaning", where=where, value=", ".join(twice), expected="each value in one list")
