"""Any CSV or JSON (also .gz, .zip), Parquet or Feather file, told by a mapping file what its columns mean (`pointline.sources.mapping`).

Candle prices and volumes are exact to 12 decimals, prices and quantities of trades and quotes to 12 decimals and about 15 digits: text that
has more is set aside, binary floats become the shortest decimal that they stand for (`pointline.sources.exact`). Rates, mark prices and
open interest are kept as doubles. Local times that occur twice, when clocks go back, are decided by the interval or by the order of the
rows; where neither decides, the row is rejected. `source_row` is the line of a CSV or of JSON lines, else the number of the record, from 1.
Files are read whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, HOUR_US, SECOND_US, to_us
from pointline.errors import ConfigError
from pointline.sources.base import RANKS, Batch, Hints, Identity
from pointline.sources.checks import Check, problem_of, rejected, split_rows
from pointline.sources.exact import exact_amounts, tidy_floats
from pointline.sources.grid import LONGEST_FUNDING_HOURS, MONDAY_US, settlement_us
from pointline.sources.local_times import moments, resolved
from pointline.sources.mapping import CANDLE, REQUIRED, TIMES, ColumnRule, Mapping, SymbolRule, load_mapping
from pointline.sources.receipt import ClockCheck, uses_event_time
from pointline.sources.stamps import is_possible
from pointline.sources.table_files import TableFile, binary_of, format_of, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ABOVE_ZERO = frozenset({"price", "qty", "bid_price", "ask_price", "mark_price", "index_price", "last_price", *CANDLE})
_RATES = frozenset({"funding_rate", "predicted_funding_rate"})
_IDS = frozenset({"trade_id", "first_trade_id", "last_trade_id", "update_id"})
_EXPONENTS = {"s": "e6", "ms": "e3", "us": "e0", "ns": "e-3"}


class MappedTable:
    """Parser of files that a mapping describes."""

    name = "table"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that mapping and hints give, None without a mapping or for a file that is not a table.

        Raises:
            ConfigError: the mapping cannot be used, or neither it nor the hints say exchange and symbol.
        """
        if hints.mapping is None or format_of(path) is None:
            return None
        mapping = load_mapping(hints.mapping)
        exchange = hints.exchange or mapping.exchange
        symbol = hints.symbol or (mapping.symbol if isinstance(mapping.symbol, str) else "*" if mapping.symbol else None)
        if exchange is None or symbol is None:
            missing = "exchange" if exchange is None else "symbol"
            raise ConfigError(
                f"the mapping names no {missing}", where=str(hints.mapping), hint=f"add the key {missing} or give --{missing}"
            )
        return Identity(self.name, exchange, "", mapping.kind, symbol, "", kind=mapping.kind)

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows: one batch per symbol, in file order; before them one for what belongs to no symbol or to others.

        With ``hints.symbol`` and symbols from a column, rows of other instruments are passed over and counted. Where the mapping has a
        receipt time, the clock is ``"recorded"``, unless ``hints.clock`` is ``"event"``.

        Raises:
            ConfigError: the mapping does not fit the file, or ``hints.clock`` is unknown.
            SourceError: the file is damaged, or most of its rows were received before they happened.
        """
        if hints.mapping is None:
            raise ConfigError("a table needs a mapping", where=str(path), hint="give --mapping FILE.toml")
        mapping = load_mapping(hints.mapping)
        parsed = schema.table(mapping.kind).parsed
        received = not uses_event_time(hints.clock) and "ts_local_us" in mapping.columns
        clock, clock_check = "recorded" if received else "assumed", ClockCheck(path)
        rows, rejects = TableFile(path, mapping, hints.mapping).rows()
        rows, unknown, skipped = _with_symbol(rows, mapping, hints, identity)
        rejects = pl.concat([rejects, unknown]).sort("line", maintain_order=True)
        if skipped or not rejects.is_empty():
            nothing = pl.DataFrame(schema=parsed)
            yield Batch(mapping.kind, identity.exchange, identity.symbol, nothing, clock, RANKS["table"], skipped=skipped, rejects=rejects)
        for group in rows.partition_by("symbol", maintain_order=True):
            accepted, rejects = split_rows(_typed(group, mapping, parsed), _checks(mapping, parsed))
            if accepted.is_empty() and rejects.height > 1:
                _refuse_useless(rejects, mapping, hints.mapping)
            frame = _completed(accepted, mapping, parsed, None if received else hints.latency_us)
            if received:
                clock_check.see(frame["ts_event_us"] - frame["ts_local_us"])
            yield Batch(
                mapping.kind,
                identity.exchange,
                group["symbol"][0],
                frame,
                clock,
                RANKS["table"],
                rounded=int(accepted["rounded"].sum()),
                rejects=rejects,
            )
        clock_check.judge()


def _with_symbol(rows: pl.DataFrame, mapping: Mapping, hints: Hints, identity: Identity) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Rows with their symbol, rejects for those without one, and how many were passed over."""
    if not isinstance(mapping.symbol, SymbolRule):
        return rows.with_columns(symbol=pl.lit(identity.symbol)), rejected(), 0
    text = pl.col(text_of("symbol"))
    if mapping.symbol.values:
        text = text.replace_strict(mapping.symbol.values, default=None, return_dtype=pl.String)
    reason = f"the mapping gives no symbol for this value of {mapping.symbol.column}"
    known = Check(pl.col("symbol").str.len_bytes() > 0, "symbol", pl.col(text_of("symbol")), reason, fatal=False)
    rows, unknown = split_rows(rows.with_columns(symbol=text), (known,))
    kept = rows if hints.symbol is None else rows.filter(pl.col("symbol") == hints.symbol)
    return kept, unknown, rows.height - kept.height


def _refuse_useless(rejects: pl.DataFrame, mapping: Mapping, mapping_path: Path) -> None:
    """Explains a mapping by which no row at all can be read, where the reason is one of its rules.

    Raises:
        ConfigError: all rows break the rule of one time or id.
    """
    names = rejects["column"].unique().to_list()
    if len(names) != 1 or names[0] not in (TIMES | _IDS) & mapping.columns.keys():
        return
    name, noun, hint = names[0], "time", "correct unit, format or since of this column"
    if name in _IDS:
        noun, hint = "id", 'ids that are text, such as UUIDs, are mapped as text_id = "…"' if name == "trade_id" else "name another column"
    what = f"no {noun} of column {mapping.columns[name].column!r} can be used: {rejects['reason'][0]}"
    raise ConfigError(what, where=f"{mapping_path}, columns.{name}", value=rejects["value"][0], hint=hint)


def _text(name: str, rule: ColumnRule) -> pl.Expr:
    """The value as text to parse, null where the file has none."""
    value = pl.lit(str(rule.constant)) if rule.column is None else pl.col(text_of(name)).str.strip_chars()
    return pl.when(~value.str.to_lowercase().is_in(["", "nan", "null", "none"])).then(value)


def _number(text: pl.Expr, rule: ColumnRule, dtype: pl.DataType) -> pl.Expr:
    """The text of a number, as it is to be parsed."""
    if rule.suffix:
        text = text.str.strip_suffix(rule.suffix).str.strip_chars_end()
    if rule.percent:
        digits = text.str.strip_suffix("%").str.strip_chars_end()
        text = pl.when(digits.str.contains(r"^[-+]?[0-9.]+$")).then(digits + pl.lit("e-2"))
    if dtype.is_integer():
        text = text.str.replace(r"\.0*$", "")
    return text


def _side(rule: ColumnRule) -> tuple[pl.Expr, pl.Expr]:
    """The side, null where it is not known, and what is wrong with the value."""
    value = pl.col(text_of("side")).str.strip_chars().str.to_lowercase()
    seller, buyer = value.is_in(rule.sellers), value.is_in(rule.buyers)
    unknown = value.is_null() | value.is_in([item.lower() for item in rule.unknown])
    side = pl.when(seller).then(statement=True).when(buyer).then(statement=False)
    wrong = pl.lit(f"must be one of {', '.join((*rule.sellers, *rule.buyers, *rule.unknown))}")
    return side, pl.when(~(seller | buyer | unknown)).then(wrong)


def _typed(group: pl.DataFrame, mapping: Mapping, parsed: dict[str, pl.DataType]) -> pl.DataFrame:
    """Adds the table's columns, null where the text cannot be read, ``problem of …``, and how many amounts of a row were `rounded`."""
    nothing = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in parsed.items() if name != "source_row"]
    group = group.with_columns(nothing).with_columns(rounded=pl.lit(0, dtype=pl.Int32))
    for name, rule in mapping.columns.items():
        if name == "side":
            side, problem = _side(rule)
            group = group.with_columns(side.alias(name), problem.alias(problem_of(name)))
        elif parsed[name] == pl.String():
            group = group.with_columns(_text(name, rule).alias(name))
        elif name not in TIMES:
            group = _with_number(group, name, mapping, parsed[name])
    step = pl.lit(mapping.interval_us, dtype=pl.Int64)
    if mapping.kind == "funding":
        step = (pl.col("interval_hours") * HOUR_US).cast(pl.Int64, strict=False)
    for name in sorted(TIMES & mapping.columns.keys()):
        group = _with_time(group, name, mapping, step)
    return group


def _with_number(group: pl.DataFrame, name: str, mapping: Mapping, dtype: pl.DataType) -> pl.DataFrame:
    rule = mapping.columns[name]
    text = group.select(_number(_text(name, rule), rule, dtype).alias(name)).to_series()
    if len(text) != group.height:  # a constant
        text = text.new_from_index(0, group.height)
    if dtype.is_integer():
        return group.with_columns(text.cast(dtype, strict=False))
    binary = group[binary_of(name)] if binary_of(name) in group.columns else None
    if name in schema.table(mapping.kind).amounts or dtype.is_decimal():
        amounts = exact_amounts(text, binary, dtype)
        group = group.with_columns(amounts.problems.alias(problem_of(name)))
        values, rounded = amounts.values, amounts.rounded
    else:
        values, rounded = tidy_floats(text.cast(dtype, strict=False), binary)
    if rule.signed is not None:
        sold = (values < 0) if rule.signed == "taker" else (values > 0)
        group, values = group.with_columns(sold.alias("side")), values.abs()
    return group.with_columns(values.alias(name), rounded=pl.col("rounded") + rounded.cast(pl.Int32))


def _with_time(group: pl.DataFrame, name: str, mapping: Mapping, step_us: pl.Expr) -> pl.DataFrame:
    rule = mapping.columns[name]
    text = _text(name, rule)
    problem = pl.lit(None, dtype=pl.String)
    if rule.unit is None or rule.unit == "text":
        (local, absolute), zone = moments(text, rule.format), mapping.time_zone
        group = group.with_columns(local.alias("_local"), absolute.alias("_absolute"), step_us.alias("_step"))
        found = resolved(group, zone, ties=mapping.kind in {"trades", "liquidations", "quotes"})
        group = group.with_columns(pl.coalesce("_absolute", found).alias(name))
        problem = (
            pl.when(pl.col("_local").is_null())
            .then(problem)
            .when(pl.col("_local").dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").is_null())
            .then(pl.lit(f"this time did not exist in {zone}: clocks went forward"))
            .otherwise(pl.lit(f"this time happened twice in {zone}, clocks went back, and neither interval nor order of rows decides"))
        )
    else:
        scaled = (text + pl.lit(_EXPONENTS[rule.unit])).cast(pl.Decimal(38, 6), strict=False).cast(pl.Int64, strict=False)
        group = group.with_columns((scaled + (0 if rule.since is None else to_us(rule.since, name="since"))).alias(name))
    value = pl.col(name)
    unreadable = pl.lit("cannot be read as a time" if rule.format is None else f"cannot be read as a time of format {rule.format}")
    problem = (
        pl.when(text.is_null())
        .then(None if name == "next_funding_us" else pl.lit("is empty"))
        .when(value.is_null())
        .then(pl.coalesce(problem, unreadable))
        .when(~is_possible(value))
        .then(pl.lit("lies outside 2009 to 2050: is the unit right?"))
    )
    return group.with_columns(problem.alias(problem_of(name)))


def _checks(mapping: Mapping, parsed: dict[str, pl.DataType]) -> list[Check]:
    checks = [_no_problem(name, mapping) for name in parsed if name in TIMES & mapping.columns.keys()]
    for name, dtype in parsed.items():
        rule = mapping.columns.get(name)
        if rule is None or name in TIMES or dtype == pl.String():
            continue
        if name == "side":
            checks.append(_no_problem(name, mapping))
            continue
        if name in schema.table(mapping.kind).amounts or dtype.is_decimal():
            checks.append(_no_problem(name, mapping))
        checks.append(_number_check(name, mapping, dtype))
    if mapping.interval_us is not None:
        checks += _candle_checks(mapping)
    if mapping.kind == "quotes":
        reason = "the bid is above the ask"
        checks.append(Check(pl.col("bid_price") <= pl.col("ask_price"), "bid_price", _shown("bid_price", mapping), reason, fatal=False))
    if "first_trade_id" in mapping.columns:
        first, last = pl.col("first_trade_id"), pl.col("last_trade_id")
        ok = (first.is_null() & last.is_null()) | (first <= last).fill_null(value=False)
        checks.append(Check(ok, "first_trade_id", _shown("first_trade_id", mapping), "is after last_trade_id, or one of them is empty"))
    return checks


def _shown(name: str, mapping: Mapping) -> pl.Expr:
    rule = mapping.columns[name]
    return pl.lit(str(rule.constant)) if rule.column is None else pl.col(text_of(name))


def _no_problem(name: str, mapping: Mapping) -> Check:
    return Check(pl.col(problem_of(name)).is_null(), name, _shown(name, mapping), pl.col(problem_of(name)))


def _number_check(name: str, mapping: Mapping, dtype: pl.DataType) -> Check:
    """That a number is there where it must be, and possible where it is."""
    value, noun = pl.col(name), "a number"
    usable = value.is_not_null()
    if dtype.is_float():
        usable &= value.is_finite()
    if name in _IDS:
        usable, noun = usable & (value >= 0), "a whole number, not below zero"
        if name == "trade_id":
            noun += " (map ids that are text as text_id)"
    elif name in _RATES:
        usable, noun = usable & value.is_between(-1, 1), "a fraction between -1 and 1"
    elif name == "interval_hours":
        usable, noun = usable & (value > 0) & (value <= LONGEST_FUNDING_HOURS), "above 0 and at most 24 hours"
    elif name in _ABOVE_ZERO and not mapping.kind.startswith("premium_"):
        usable, noun = usable & (value > 0), "a number above zero"
    elif name not in CANDLE and not name.endswith("_ratio"):
        usable, noun = usable & (value >= 0), "a number, not below zero"
    if name not in REQUIRED.get(mapping.kind, CANDLE if mapping.interval_us else ()):
        usable = _text(name, mapping.columns[name]).is_null() | usable.fill_null(value=False)
    return Check(usable, name, _shown(name, mapping), f"must be {noun}")


def _candle_checks(mapping: Mapping) -> list[Check]:
    interval_us = mapping.interval_us or 0
    low, high, start, end = pl.col("low"), pl.col("high"), pl.col("start_us"), pl.col("ts_event_us")
    checks = [
        Check(low <= pl.min_horizontal("open", "close"), "low", low, "is above open or close"),
        Check(high >= pl.max_horizontal("open", "close"), "high", high, "is below open or close"),
    ]
    for part, whole in (("taker_buy_volume", "volume"), ("taker_buy_quote_volume", "quote_volume")):
        if {part, whole} <= mapping.columns.keys():
            within = (pl.col(part) <= pl.col(whole)) | pl.col(part).is_null() | pl.col(whole).is_null()
            checks.append(Check(within, part, _shown(part, mapping), f"is more than {whole}"))
    name = "start_us" if "start_us" in mapping.columns else "ts_event_us"
    whole_second = pl.col(name) % SECOND_US == 0
    checks.append(Check(whole_second, name, _shown(name, mapping), "candles begin and end on a whole second: is this a last millisecond?"))
    if {"start_us", "ts_event_us"} <= mapping.columns.keys():
        # a last moment that belongs to the candle (…999) is rounded up to the second
        lasts = (end + SECOND_US - 1) // SECOND_US * SECOND_US - start
        reason = pl.format("the candle lasts {} s, not {} s", lasts // SECOND_US, pl.lit(interval_us // SECOND_US))
        checks.append(Check(lasts.is_in([interval_us, interval_us - SECOND_US]), "ts_event_us", _shown("ts_event_us", mapping), reason))
    if DAY_US % interval_us == 0 or interval_us == 7 * DAY_US:
        grid = f"does not fit the grid of {mapping.kind.rpartition('_')[2]}, which begins at 00:00 UTC"
        checks.append(Check((pl.col(name) - MONDAY_US) % interval_us == 0, name, _shown(name, mapping), grid))
    return checks


def _completed(rows: pl.DataFrame, mapping: Mapping, parsed: dict[str, pl.DataType], latency_us: int | None) -> pl.DataFrame:
    """The table's columns, with the times that follow from others filled in; `latency_us` is None where receipt times are used."""
    start, end, length = pl.col("start_us"), pl.col("ts_event_us"), mapping.interval_us
    if length is not None:
        rows = rows.with_columns(start_us=pl.coalesce(start, end - length))
        rows = rows.with_columns(ts_event_us=start + length)
        latency_us = 0
    if mapping.kind == "funding":
        rows = rows.with_columns(funding_us=settlement_us(end))
    if latency_us is not None:
        rows = rows.with_columns(ts_local_us=end + latency_us)
    return rows.select(pl.col(name).cast(dtype) for name, dtype in parsed.items())
