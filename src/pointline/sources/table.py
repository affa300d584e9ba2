"""Any CSV or JSON (also .gz, .zip), Parquet or Feather file, told by a small mapping file what its columns mean.

The mapping is TOML::

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
kind              table: trades, quotes, funding, derivative_ticker, open_interest, candles_1h, candles_1d, …,
                  mark_candles_1h, index_candles_1h, premium_candles_1h, …
exchange          pointline's id of the exchange; ``--exchange`` overrules it
symbol            the exchange's own symbol, or ``{column = "coin", values = {BTC = "BTCUSDT"}}`` where a column says it
                  (without `values` the column holds the symbols; values that are not listed are set aside)
skip_lines        lines above the header of a CSV, 0 if not given
separator         of a CSV, a comma if not given
column_names      names for the columns of a CSV without header line
time_zone         IANA name for times as text without an offset, UTC if not given
columns           table column = name of the file's column, or a rule in braces
================  ====================================================================================================

Keys of a rule:

================  ====================================================================================================
column            name of the file's column
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
================  ====================================================================================================

Table columns are those of `pointline.schema`. Needed are ``ts_event_us`` and, by kind, price, qty and side (trades), bid and ask price
and qty (quotes), funding_rate (funding), open_interest (open_interest), at least one value (derivative_ticker) and open, high, low and
close (candles); others are null where the mapping is silent. Candles take ``start_us``, when they open, or ``ts_event_us``, when they
end; the other follows from the interval.

Candle prices and volumes are exact to 12 decimals: from the digits of a text file, from the shortest digits of a float. Local times that
occur twice, when clocks go back, are decided by the interval or by the order of the rows; where neither decides, the row is rejected.
`source_row` is the line of a CSV, else the number of the record, from 1. JSON is a list of records. Files are read whole.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal
from zoneinfo import available_timezones

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pointline import schema
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, to_duration_us, to_us
from pointline.errors import ConfigError, SourceError, nearest
from pointline.sources.base import RANKS, REJECT_SCHEMA, Batch, Hints, Identity
from pointline.sources.inflate import open_archive
from pointline.sources.recorded import Check, number_lines, split_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PACKED = (".gz", ".zip")
_SUFFIXES = {**dict.fromkeys(("csv", "tsv", "txt"), "csv"), "json": "json", "parquet": "parquet"}
_SUFFIXES |= dict.fromkeys(("feather", "arrow", "ipc"), "ipc")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_TIMES = frozenset({"ts_event_us", "start_us", "next_funding_us"})
_COMPUTED = frozenset({"source_row", "funding_us", "ts_local_us", "off_book", "first_trade_id", "last_trade_id"})
_QUOTE = ("bid_price", "bid_qty", "ask_price", "ask_qty")
_CANDLE = ("open", "high", "low", "close")
_REQUIRED = {"trades": ("price", "qty", "side"), "quotes": _QUOTE, "funding": ("funding_rate",), "open_interest": ("open_interest",)}
_ABOVE_ZERO = frozenset({"price", "qty", "bid_price", "ask_price", "mark_price", "index_price", "last_price", "interval_hours", *_CANDLE})
_SIGNED = frozenset({"funding_rate", "predicted_funding_rate"})
_OPPOSITES = {"true": "false", "sell": "buy", "s": "b", "1": "0", "t": "f", "yes": "no", "-1": "1", "ask": "bid"}
_EXPONENTS = {"s": "e6", "ms": "e3", "us": "e0", "ns": "e-3"}
_NAIVE_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_OFFSET_FORMAT = "%Y-%m-%d %H:%M:%S%.f%#z"
_EARLIEST_US, _LATEST_US = to_us("2009-01-01"), to_us("2100-12-31")


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

    @model_validator(mode="after")
    def _one_origin(self) -> ColumnRule:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either column or constant")
        return self


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
    time_zone: str = "UTC"
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
    place = [str(part) for part in first["loc"] if part not in {"str", "SymbolRule"}]
    where = f"{path}, {'.'.join(place)}" if place else str(path)
    if first["type"] == "extra_forbidden":
        model = Mapping if len(place) == 1 else ColumnRule if place[0] == "columns" else SymbolRule
        known = list(model.model_fields)
        return ConfigError(f"there is no key {place[-1]}", where=where, expected=", ".join(known), hint=_alike(place[-1], known))
    value = None if first["type"] == "missing" else first["input"]
    return ConfigError("the mapping cannot be used", where=where, value=value, expected=first["msg"].removeprefix("Value error, "))


def _alike(name: str, names: list[str]) -> str:
    return f"names alike: {nearest(name, names).lower()}"


def _parsed(mapping: Mapping, path: Path) -> dict[str, pl.DataType]:
    try:
        return schema.table(mapping.kind).parsed
    except KeyError:
        kinds = f"{', '.join((*_REQUIRED, 'derivative_ticker'))}, candles_1h, candles_1d, …, mark_candles_1h, …"
        raise ConfigError("there is no such kind of table", where=f"{path}, kind", value=mapping.kind, expected=kinds) from None


def _check_columns(mapping: Mapping, path: Path) -> None:
    parsed, interval_us = _parsed(mapping, path), mapping.interval_us
    mappable = [name for name in parsed if name not in _COMPUTED]
    for name in mapping.columns:
        where = f"{path}, columns.{name}"
        if name not in mappable:
            hint = "it is computed" if name in _COMPUTED else _alike(name, mappable)
            raise ConfigError(f"{mapping.kind} has no column {name} to map", where=where, expected=", ".join(mappable), hint=hint)
        _check_rule(name, mapping.columns[name], parsed[name], where)
    if mapping.time_zone not in available_timezones():
        raise ConfigError("there is no such time zone", where=f"{path}, time_zone", value=mapping.time_zone, expected="e.g. Europe/London")
    required = ["ts_event_us", *_REQUIRED.get(mapping.kind, ())]
    if interval_us is not None:
        required = [*_CANDLE]
        if ("start_us" in mapping.columns) == ("ts_event_us" in mapping.columns):
            raise ConfigError("candles need one time", where=str(path), expected="start_us (when they open) or ts_event_us (when they end)")
        if interval_us >= DAY_US and mapping.time_zone != "UTC":
            what = "candles of a day must be UTC days: local days last 23 to 25 hours"
            raise ConfigError(what, where=f"{path}, time_zone", value=mapping.time_zone)
    missing = [name for name in required if name not in mapping.columns]
    if not missing and mapping.kind == "derivative_ticker" and not set(mapping.columns) - _TIMES:
        missing = ["mark_price, index_price, last_price, funding_rate or open_interest"]
    if missing:
        raise ConfigError(f"{mapping.kind} needs a rule for {', '.join(missing)}", where=f"{path}, columns", value=list(mapping.columns))


def _check_rule(name: str, rule: ColumnRule, dtype: pl.DataType, where: str) -> None:
    used = rule.model_fields_set - {"column"}
    if name in _TIMES:
        allowed = {"unit", "format", "since"}
    elif dtype == pl.Boolean:
        allowed = {"seller_taker", "buyer_taker"}
        if not rule.seller_taker:
            raise ConfigError("side needs the values that mean a selling taker", where=where, expected='seller_taker = ["true"]')
        _buyer_values(rule, where)
    else:
        allowed = {"constant", "percent", "suffix"}
    if used - allowed:
        raise ConfigError(f"{', '.join(sorted(used - allowed))} does not apply to {name}", where=where, expected=", ".join(sorted(allowed)))
    if (rule.format and rule.unit not in {None, "text"}) or (rule.since and rule.unit in {None, "text"}):
        raise ConfigError("format goes with unit text, since with a unit of numbers", where=where, value=rule.unit)


def _buyer_values(rule: ColumnRule, where: str) -> list[str]:
    if rule.buyer_taker:
        return [value.lower() for value in rule.buyer_taker]
    both = {**_OPPOSITES, **{value: key for key, value in _OPPOSITES.items() if key != "-1"}}
    unknown = [value for value in rule.seller_taker if value.lower() not in both]
    if unknown:
        raise ConfigError("the opposite of these values is not known", where=where, value=unknown, hint='give buyer_taker = ["…"] too')
    return [both[value.lower()] for value in rule.seller_taker]


class MappedTable:
    """Parser of files that a mapping describes."""

    name = "table"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that mapping and hints give, None without a mapping or for a file that is not a table.

        Raises:
            ConfigError: the mapping cannot be used, or neither it nor the hints say exchange and symbol.
        """
        if hints.mapping is None or _format(path) is None:
            return None
        mapping = load_mapping(hints.mapping)
        exchange = hints.exchange or mapping.exchange
        symbol = hints.symbol or (mapping.symbol if isinstance(mapping.symbol, str) else "*" if mapping.symbol else None)
        if exchange is None or symbol is None:
            missing = "exchange" if exchange is None else "symbol"
            raise ConfigError(
                f"the mapping names no {missing}", where=str(hints.mapping), hint=f"add the key {missing} or give --{missing}"
            )
        return Identity(self.name, exchange, "", mapping.kind, symbol, "")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows: one batch per symbol, in file order.

        Raises:
            ConfigError: the mapping does not fit the file.
            SourceError: the file is damaged.
        """
        if hints.mapping is None:
            raise ConfigError("a table needs a mapping", where=str(path), hint="give --mapping FILE.toml")
        mapping = load_mapping(hints.mapping)
        parsed = _parsed(mapping, hints.mapping)
        rows, rejects = _Reader(path, mapping, hints.mapping).rows()
        rows, unknown = _with_symbol(rows, mapping, hints, identity)
        rejects = pl.concat([rejects, unknown]).sort("line")
        if not rejects.is_empty():
            yield Batch(mapping.kind, identity.exchange, identity.symbol, pl.DataFrame(schema=parsed), rank=RANKS["table"], rejects=rejects)
        for group in rows.partition_by("symbol", maintain_order=True):
            typed = _typed(group, mapping, parsed)
            accepted, rejects = split_rows(typed, _checks(mapping, parsed))
            if accepted.is_empty() and rejects.height > 1 and (rejects["column"] == _time_name(mapping)).all():
                raise _no_time(mapping, hints.mapping, rejects)
            frame = _completed(accepted, mapping, parsed, hints.latency_us)
            yield Batch(mapping.kind, identity.exchange, group["symbol"][0], frame, rank=RANKS["table"], rejects=rejects)


def _format(path: Path) -> str | None:
    stem = path.with_suffix("") if path.suffix in _PACKED else path
    return _SUFFIXES.get(stem.suffix[1:].lower(), "csv" if stem != path else None)


def _text_of(target: str) -> str:
    """Name of the column that holds the file's own text for a table column."""
    return f"text of {target}"


class _Reader:
    """Reads the mapped columns of a file as text: `source_row`, `raw` and one column per table column."""

    def __init__(self, path: Path, mapping: Mapping, mapping_path: Path) -> None:
        self.path = path
        self.mapping = mapping
        self.mapping_path = mapping_path
        self.origins = {name: rule.column for name, rule in mapping.columns.items() if rule.column is not None}
        if isinstance(mapping.symbol, SymbolRule):
            self.origins["symbol"] = mapping.symbol.column

    def rows(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows, and rejects for lines that cannot be taken apart."""
        kind = _format(self.path)
        try:
            if kind in {"parquet", "ipc"}:
                frame = pl.read_parquet(self.path) if kind == "parquet" else pl.read_ipc(self.path)
            else:
                with open_archive(self.path) as stream:
                    data = stream.read().removeprefix(_BYTE_ORDER_MARK)
                if kind == "csv":
                    return self._csv(data)
                frame = pl.read_json(data, infer_schema_length=None)
        except (pl.exceptions.PolarsError, OSError) as error:
            what = "the file is not a JSON list of records" if kind == "json" else "the file is damaged"
            raise SourceError(what, where=str(self.path), value=str(error)[:200], hint="copy it again") from error
        return self._numbered(frame), pl.DataFrame(schema=REJECT_SCHEMA)

    def _numbered(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The mapped columns of a typed frame as text that loses nothing."""
        self._require(frame.columns)
        self._require_units(frame.schema)
        number, raw = pl.int_range(1, pl.len() + 1, dtype=pl.Int64), pl.struct(frame.columns).struct.json_encode()
        texts = []
        for name, column in self.origins.items():
            value, dtype = pl.col(column), frame.schema[column]
            if isinstance(dtype, pl.Datetime):
                zoned = value.dt.convert_time_zone("UTC") if dtype.time_zone else value
                value = zoned.dt.strftime("%Y-%m-%d %H:%M:%S%.6f" + ("+00:00" if dtype.time_zone else ""))
            texts.append(value.cast(pl.String).alias(_text_of(name)))
        return frame.select(number.alias("source_row"), raw.alias("raw"), *texts)

    def _csv(self, data: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
        lines = number_lines(data)[self.mapping.skip_lines :].filter(pl.col("raw").str.strip_chars() != "")
        names = list(self.mapping.column_names)
        if not names:
            if lines.is_empty():
                raise SourceError("the file is empty", where=str(self.path))
            names = [str(name).strip() for name in self._fields(lines["raw"][:1], 0).row(0)]
            lines = lines[1:]
        self._require(names)
        self._require_units()
        if twice := sorted({name for name in self.origins.values() if names.count(name) > 1}):
            raise ConfigError("the file has this column twice", where=str(self.path), value=", ".join(twice))
        separators = pl.col("raw").str.replace_all('"[^"]*"', "").str.count_matches(self.mapping.separator, literal=True)
        reason = pl.format(f"has {{}} fields, not {len(names)}", pl.col("count"))
        whole = Check(pl.col("count") == len(names), "line", pl.col("raw").str.slice(0, 80), reason)
        lines, rejects = split_rows(lines.with_columns(count=separators + 1), (whole,))
        fields = self._fields(lines["raw"], len(names))
        if fields.height != lines.height:
            raise SourceError("a quoted field goes over several lines, which is not supported", where=str(self.path))
        texts = [pl.col(f"column_{names.index(column)}").alias(_text_of(name)) for name, column in self.origins.items()]
        return pl.concat([lines.select("source_row", "raw"), fields.select(texts)], how="horizontal"), rejects

    def _fields(self, lines: pl.Series, count: int) -> pl.DataFrame:
        if lines.is_empty():
            return pl.DataFrame(schema={f"column_{number}": pl.String() for number in range(count)})
        return pl.read_csv("\n".join(lines).encode(), has_header=False, infer_schema=False, separator=self.mapping.separator)

    def _require(self, columns: list[str]) -> None:
        for name, column in self.origins.items():
            if column not in columns:
                where = f"{self.path} with {self.mapping_path}, {name}"
                raise ConfigError(
                    f"the file has no column {column!r}", where=where, expected=", ".join(columns), hint=_alike(column, columns)
                )

    def _require_units(self, types: pl.Schema | None = None) -> None:
        for name in _TIMES & self.mapping.columns.keys():
            rule, where = self.mapping.columns[name], f"{self.mapping_path}, columns.{name}"
            temporal = types is not None and types[self.origins[name]].is_temporal()
            if temporal and rule.unit not in {None, "text"}:
                raise ConfigError("the file itself types this column as a time: leave unit out", where=where, value=rule.unit)
            if not temporal and rule.unit is None:
                raise ConfigError(f"say in which unit {rule.column!r} is", where=where, expected='unit = "s", "ms", "us", "ns" or "text"')


def _with_symbol(rows: pl.DataFrame, mapping: Mapping, hints: Hints, identity: Identity) -> tuple[pl.DataFrame, pl.DataFrame]:
    if not isinstance(mapping.symbol, SymbolRule):
        return rows.with_columns(symbol=pl.lit(identity.symbol)), pl.DataFrame(schema=REJECT_SCHEMA)
    text = pl.col(_text_of("symbol"))
    if mapping.symbol.values:
        text = text.replace_strict(mapping.symbol.values, default=None, return_dtype=pl.String)
    reason = f"the mapping gives no symbol for this value of {mapping.symbol.column}"
    known = Check(pl.col("symbol").is_not_null(), "symbol", pl.col(_text_of("symbol")), reason, fatal=False)
    rows, unknown = split_rows(rows.with_columns(symbol=text), (known,))
    return rows if hints.symbol is None else rows.filter(pl.col("symbol") == hints.symbol), unknown


def _text(name: str, rule: ColumnRule) -> pl.Expr:
    """The value as text to parse, null where the file has none."""
    value = pl.lit(str(rule.constant)) if rule.column is None else pl.col(_text_of(name)).str.strip_chars()
    return pl.when(~value.str.to_lowercase().is_in(["", "nan", "null", "none"])).then(value)


def _number(text: pl.Expr, rule: ColumnRule, dtype: pl.DataType) -> pl.Expr:
    if rule.suffix:
        text = text.str.strip_suffix(rule.suffix).str.strip_chars_end()
    if rule.percent:
        digits = text.str.strip_suffix("%").str.strip_chars_end()
        text = pl.when(digits.str.contains(r"^[-+]?[0-9.]+$")).then(digits + pl.lit("e-2"))
    if dtype.is_integer():
        text = text.str.strip_suffix(".0")
    return text.cast(dtype, strict=False)


def _side(text: pl.Expr, rule: ColumnRule) -> pl.Expr:
    value = text.str.to_lowercase()
    seller = value.is_in([item.lower() for item in rule.seller_taker])
    return pl.when(seller).then(statement=True).when(value.is_in(_buyer_values(rule, "columns.side"))).then(statement=False)


def _typed(group: pl.DataFrame, mapping: Mapping, parsed: dict[str, pl.DataType]) -> pl.DataFrame:
    """Adds the table's columns, null where the text cannot be read, and ``problem of …`` for times."""
    group = group.with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in parsed.items() if name != "source_row")
    for name, rule in mapping.columns.items():
        if name in _TIMES:
            continue
        text = _text(name, rule)
        group = group.with_columns((_side(text, rule) if parsed[name] == pl.Boolean else _number(text, rule, parsed[name])).alias(name))
    step = pl.lit(mapping.interval_us, dtype=pl.Int64)
    if mapping.kind == "funding":
        step = (pl.col("interval_hours") * HOUR_US).cast(pl.Int64, strict=False)
    for name in sorted(_TIMES & mapping.columns.keys()):
        group = _with_time(group, name, mapping, step)
    return group


def _with_time(group: pl.DataFrame, name: str, mapping: Mapping, step_us: pl.Expr) -> pl.DataFrame:
    rule = mapping.columns[name]
    text = _text(name, rule)
    problem = pl.lit(None, dtype=pl.String)
    if rule.unit is None or rule.unit == "text":
        (local, absolute), zone = _moments(text, rule), mapping.time_zone
        group = group.with_columns(local.alias("_local"), absolute.alias("_absolute"), step_us.alias("_step"))
        resolved = _resolved(group, zone, ties=mapping.kind in {"trades", "quotes"})
        group = group.with_columns(pl.coalesce("_absolute", resolved).alias(name))
        problem = (
            pl.when(pl.col("_local").is_null())
            .then(problem)
            .when(pl.col("_local").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").is_null())
            .then(pl.lit(f"this time did not exist in {zone}: clocks went forward"))
            .otherwise(pl.lit(f"this time happened twice in {zone}, clocks went back, and neither interval nor order of rows decides"))
        )
    else:
        moved = 0 if rule.since is None else to_us(rule.since, name="since")
        scaled = (text + pl.lit(_EXPONENTS[rule.unit])).cast(pl.Decimal(38, 6), strict=False).cast(pl.Int64, strict=False)
        group = group.with_columns((scaled + moved).alias(name))
    value = pl.col(name)
    unreadable = pl.lit("cannot be read as a time" if rule.format is None else f"cannot be read as a time of format {rule.format}")
    problem = (
        pl.when(text.is_null())
        .then(None if name == "next_funding_us" else pl.lit("is empty"))
        .when(value.is_null())
        .then(pl.coalesce(problem, unreadable))
        .when(~value.is_between(_EARLIEST_US, _LATEST_US))
        .then(pl.lit("lies outside 2009 to 2100: is the unit right?"))
    )
    return group.with_columns(problem.alias(f"problem of {name}"))


def _moments(text: pl.Expr, rule: ColumnRule) -> tuple[pl.Expr, pl.Expr]:
    """Text as local date and time without zone, and as microseconds where it carries an offset; one of them is null."""
    if rule.format is not None and "%z" in rule.format:
        return pl.lit(None, dtype=pl.Datetime("us")), text.str.to_datetime(rule.format, time_unit="us", strict=False).dt.epoch("us")
    if rule.format is not None:
        return text.str.to_datetime(rule.format, time_unit="us", strict=False), pl.lit(None, dtype=pl.Int64)
    spaced = text.str.replace("T", " ", literal=True)
    local = pl.coalesce(spaced.str.to_datetime(form, time_unit="us", strict=False) for form in _NAIVE_FORMATS)
    return local, spaced.str.to_datetime(_OFFSET_FORMAT, time_unit="us", strict=False).dt.epoch("us")


def _resolved(group: pl.DataFrame, zone: str, *, ties: bool) -> pl.Series:
    """Microseconds UTC of the local times ``_local``; null where a time did not exist or happened twice and nothing decides.

    A time that happened twice is decided by the grid of the ``_step`` (candle or funding interval) through the nearest certain row, else by
    the order of the file: where rows that rise (or fall) in time turn back once within the hour, the turn parts its two passes.

    Args:
        group: rows of one instrument in file order: ``_local``, ``_step``, ``raw``.
        zone: IANA name.
        ties: whether two rows may share a time.
    """
    local = pl.col("_local")
    frame = group.select(
        "_local",
        "_step",
        "raw",
        early=local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.epoch("us"),
        late=local.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.epoch("us"),
    ).with_columns(twice=(pl.col("early") != pl.col("late")).fill_null(value=False))
    if not frame["twice"].any():
        return frame["early"]
    certain = frame.filter(~pl.col("twice"))["early"].drop_nulls().diff().drop_nulls()
    rising, falling = bool((certain >= 0).all()), bool((certain <= 0).all())
    before = pl.when(rising != falling).then(local.shift(1).over("run"))
    turned = (local < before) if rising else (local > before)
    if not ties:
        turned |= (local == before) & (pl.col("raw") != pl.col("raw").shift(1).over("run"))
    anchor = pl.when(~pl.col("twice")).then("early").forward_fill().backward_fill()
    frame = (
        frame.with_columns(run=pl.col("twice").rle_id(), anchor=anchor)
        .with_columns(turns=turned.fill_null(value=False).cum_sum().over("run"))
        .with_columns(
            decided=pl.col("turns").max().over("run") == 1,
            early_fits=_on_grid(pl.col("early") - pl.col("anchor"), pl.col("_step")),
            late_fits=_on_grid(pl.col("late") - pl.col("anchor"), pl.col("_step")),
        )
    )
    first_pass = pl.col("turns") == (0 if rising else 1)
    return frame.select(
        pl.when(~pl.col("twice"))
        .then("early")
        .when(pl.col("early_fits") & ~pl.col("late_fits"))
        .then("early")
        .when(pl.col("late_fits") & ~pl.col("early_fits"))
        .then("late")
        .when(pl.col("decided"))
        .then(pl.when(first_pass).then("early").otherwise("late"))
    ).to_series()


def _on_grid(distance_us: pl.Expr, step_us: pl.Expr) -> pl.Expr:
    off = (distance_us + MINUTE_US) % step_us
    return (off <= 2 * MINUTE_US).fill_null(value=False)


def _time_name(mapping: Mapping) -> str:
    return "start_us" if "start_us" in mapping.columns else "ts_event_us"


def _no_time(mapping: Mapping, mapping_path: Path, rejects: pl.DataFrame) -> ConfigError:
    name, hint = _time_name(mapping), "correct unit, format or since of this column"
    what = f"no time of column {mapping.columns[name].column!r} can be used: {rejects['reason'][0]}"
    return ConfigError(what, where=f"{mapping_path}, columns.{name}", value=rejects["value"][0], hint=hint)


def _checks(mapping: Mapping, parsed: dict[str, pl.DataType]) -> list[Check]:
    checks = [
        Check(pl.col(f"problem of {name}").is_null(), name, pl.col(_text_of(name)), pl.col(f"problem of {name}"))
        for name in parsed
        if name in _TIMES & mapping.columns.keys()
    ]
    optional = set(parsed) - set(_REQUIRED.get(mapping.kind, _CANDLE if mapping.interval_us else ()))
    for name, dtype in parsed.items():
        rule = mapping.columns.get(name)
        if rule is None or name in _TIMES:
            continue
        value, text, noun = pl.col(name), _text(name, rule), "a number"
        usable = value.is_not_null()
        if dtype.is_float():
            usable &= value.is_finite()
        if dtype == pl.Boolean:
            noun = f"one of {', '.join((*rule.seller_taker, *_buyer_values(rule, 'columns.side')))}"
        elif name in _ABOVE_ZERO and not mapping.kind.startswith("premium_"):
            usable, noun = usable & (value > 0), "a number above zero"
        elif dtype.is_numeric() and name not in _SIGNED | _ABOVE_ZERO and not name.endswith("_ratio"):
            usable, noun = usable & (value >= 0), "a number, not below zero"
        if name in optional:
            usable = text.is_null() | usable.fill_null(value=False)
        shown = pl.lit(str(rule.constant)) if rule.column is None else pl.col(_text_of(name))
        checks.append(Check(usable, name, shown, f"must be {noun}"))
    if mapping.interval_us is not None:
        low, high = pl.col("low"), pl.col("high")
        checks.append(Check(low <= pl.min_horizontal("open", "close"), "low", low, "is above open or close"))
        checks.append(Check(high >= pl.max_horizontal("open", "close"), "high", high, "is below open or close"))
        time = _time_name(mapping)
        whole = pl.col(time) % SECOND_US == 0
        checks.append(Check(whole, time, pl.col(_text_of(time)), "candles begin and end on a whole second: is this a last millisecond?"))
    return checks


def _completed(rows: pl.DataFrame, mapping: Mapping, parsed: dict[str, pl.DataType], latency_us: int) -> pl.DataFrame:
    """The table's columns, with the times that follow from others filled in."""
    start, end, length = pl.col("start_us"), pl.col("ts_event_us"), mapping.interval_us
    if length is not None:
        rows = rows.with_columns(start_us=pl.coalesce(start, end - length), ts_event_us=pl.coalesce(end, start + length))
        latency_us = 0
    if mapping.kind == "funding":
        rows = rows.with_columns(funding_us=(end + MINUTE_US // 2) // MINUTE_US * MINUTE_US)
    rows = rows.with_columns(ts_local_us=end + latency_us)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in parsed.items())
