"""Trades as exchanges' REST interfaces answer them: JSON, one value on each line.

A line is one trade, a list of trades (a page), or an answer that holds such a list. Line numbers name rejected rows; a row's own number,
`source_row`, is that of its line where each line is one trade, and else counts the trades.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.errors import SourceError
from pointline.sources import text_lines
from pointline.sources.base import RANKS, Batch, parsed_rows
from pointline.sources.checks import Check, problem_of, rejected, split_rows
from pointline.sources.exact import exact_amounts
from pointline.sources.hints import PERIOD, period_of
from pointline.sources.inflate import head_of, open_archive
from pointline.sources.json_records import decode_objects
from pointline.sources.stamps import is_possible
from pointline.sources.taker_side import TickTest
from pointline.sources.text_lines import LINE_BYTES, number_lines, whole_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pointline.sources.base import Hints, Identity

MANY = "*"

_SUFFIX = r"\.(?:jsonl|json)(?:\.gz)?"
_NAME = re.compile(rf"(?:.*[-_])?(?P<symbol>[A-Z0-9]+-[A-Z0-9]+)[-_]trades[-_](?P<period>{PERIOD}){_SUFFIX}")
_HEAD_BYTES = 64 << 10
_LONG_NUMBER = 17  # characters: a double holds up to 15 digits for sure


@dataclass(frozen=True)
class JsonTrades:
    """How one exchange's JSON becomes trades.

    Attributes:
        keys: fields that are read, as text whatever they are, null where a trade has none.
        required: of these, the fields that each trade must have once.
        amounts: ``price`` and ``qty`` -> field.
        columns: parsed column -> expression over the fields (`field`); ``ts_event_us`` is one of them.
        checks: rules over fields and columns.
        time: field with the time.
        wrapped: keys that lead to the list of trades in an answer.
        instrument: field with the instrument's name; None where the identity alone knows it.
    """

    keys: tuple[str, ...]
    required: tuple[str, ...]
    amounts: dict[str, str]
    columns: dict[str, pl.Expr]
    checks: tuple[Check, ...]
    time: str
    wrapped: tuple[str, ...] = ()
    instrument: str | None = None


def field(key: str) -> pl.Expr:
    """A field of a trade, as text."""
    return pl.col(_column(key))


def _column(key: str) -> str:
    return f"json {key}"


def first_records(path: Path) -> list[dict[str, Any]]:
    """The records in the first lines of a file of JSON lines, plain or gzip; none where it is no such file.

    Of a line that is longer than what is looked at, the first record is taken.
    """
    if not re.search(_SUFFIX + "$", path.name) or not path.is_file():
        return []
    text = head_of(path, _HEAD_BYTES, 4 * _HEAD_BYTES).decode("utf-8", "replace")
    found: list[dict[str, Any]] = []
    for line in text.split("\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = _first_object(line)
        found += _records(value)
    return found


def _first_object(line: str) -> Any:  # noqa: ANN401 - any JSON value
    """The first object of a list that may be cut; None where there is none."""
    at = line.find("[{")
    if at < 0:
        return None
    try:
        return json.JSONDecoder().raw_decode(line, at + 1)[0]
    except (ValueError, RecursionError):
        return None


def _records(value: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        inner = value.get("data", value.get("result"))
        inner = inner.get("trades") if isinstance(inner, dict) else inner
        return [value] if inner is None else _records(inner)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def told_by_name(path: Path) -> tuple[str | None, str]:
    """Symbol and period of names such as ``coinbase-BTC-USD-trades-2024-05-01.jsonl.gz``; None and nothing where the name has none."""
    found = _NAME.fullmatch(path.name)
    return (None, "") if found is None else (found["symbol"], period_of(found["period"]) or "")


def trade_batches(path: Path, trades: JsonTrades, identity: Identity, hints: Hints) -> Iterator[Batch]:
    """The trades of a file, one batch per block and instrument.

    Raises:
        SourceError: the file is damaged or empty, no line of it is JSON, or its sides seem to be exchanged.
    """
    tick_test = TickTest(path)
    rank = RANKS["monthly" if len(identity.period) == len("2024-05") else "daily"]
    first_line, shift, accepted, skipped = 1, 0, 0, 0
    first_reject: dict[str, Any] | None = None
    for block in whole_lines(_pieces(path), lambda _: _refuse_long(path)):
        lines = number_lines(block, first_line)
        first_line += lines.height
        rows, shift = _exploded(lines.filter(pl.col("raw").str.strip_chars() != ""), trades, shift)
        rows, rejects = _judged(rows, trades, hints)
        accepted += rows.height
        if first_reject is None and rejects.height:
            first_reject = rejects.row(0, named=True)
        parts = _by_instrument(rows, trades, identity)
        if trades.instrument is not None and hints.symbol is not None:
            skipped += sum(part.height for symbol, part in parts if symbol != hints.symbol)
            parts = [(symbol, part) for symbol, part in parts if symbol == hints.symbol]
        if rejects.height:
            parts = parts or [(identity.symbol, rows.clear())]
        for at, (symbol, part) in enumerate(parts):
            tick_test.see(part)
            own = rejects if at == 0 else rejected()
            yield Batch("trades", identity.exchange, symbol, parsed_rows("trades", part), rank=rank, rejects=own)
    if not accepted:
        raise _nothing(path, first_reject)
    if skipped:
        nothing = parsed_rows("trades", pl.DataFrame({"price": pl.Series([], dtype=pl.Float64)}))
        yield Batch("trades", identity.exchange, identity.symbol, nothing, rank=rank, skipped=skipped)
    tick_test.judge()


def _pieces(path: Path) -> Iterator[bytes]:
    with open_archive(path) as archive:
        while piece := archive.read(text_lines.BLOCK_BYTES):
            yield piece


def _refuse_long(path: Path) -> bytes:
    raise SourceError(
        f"a line is longer than {LINE_BYTES >> 20} MB; nothing of the file was stored",
        where=str(path),
        expected="one trade or one page of trades on each line",
        hint="`jq -c '.[]' FILE > FILE.jsonl` writes one trade on each line",
    )


def _nothing(path: Path, reject: dict[str, Any] | None) -> SourceError:
    if reject is None:
        return SourceError("the file is empty", where=str(path), expected="at least one trade", hint="download it again")
    return SourceError(
        f"no trade could be read; the first line {reject['reason']}",
        where=f"{path}, line {reject['line']}",
        value=reject["value"],
        expected="one trade or one page of trades on each line",
        hint="`jq -c . FILE > FILE.jsonl` writes a document on one line",
    )


def _exploded(lines: pl.DataFrame, trades: JsonTrades, shift: int) -> tuple[pl.DataFrame, int]:
    """A row for each trade: ``line``, `source_row`, `raw`, `is_json`, `twice` and the fields; and the new shift.

    Args:
        lines: ``raw`` and ``source_row``, no blank ones.
        trades: what to read.
        shift: how many trades more than lines came before.
    """
    item = pl.Struct(dict.fromkeys(trades.keys, pl.String()))
    body = lines["raw"].str.strip_chars()
    listed = body.str.starts_with("[")
    if trades.wrapped:
        listed |= body.str.contains(rf'^\{{.*"{trades.wrapped[-1]}"\s*:\s*\[')
    named = lines.select("source_row", named=pl.col("raw").str.count_matches(_pattern(trades.required)))
    if listed.any():
        single = lines.filter(~listed)
        frames = [single.with_columns(item=decode_objects(single["raw"].str.strip_chars(), item), order=0, count=1)]
        rows = pl.concat([*frames, _pages(lines.filter(listed), item, trades)]).sort("source_row", "order")
    else:
        rows = lines.with_columns(item=decode_objects(body, item), count=pl.lit(1))
    fields = rows["item"].struct.unnest().rename({key: _column(key) for key in trades.keys})
    found = fields.select(found=pl.sum_horizontal(field(key).is_not_null() for key in trades.required)).to_series()
    if listed.any():
        per_line = rows.select("source_row", found).group_by("source_row").agg(pl.col("found").sum())
        odd = named.join(per_line, on="source_row").filter(pl.col("named") > pl.col("found"))["source_row"]
        twice = rows["source_row"].is_in(odd.implode())
        own = rows.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64) - pl.col("source_row").rank("dense").cast(pl.Int64)).to_series()
    else:
        twice = named["named"] > found
        own = pl.select(pl.repeat(0, rows.height, dtype=pl.Int64)).to_series()
    numbers = rf"{_pattern(trades.amounts.values())}\s*[-+0-9.eE]{{{_LONG_NUMBER},}}"
    rows = rows.select(
        pl.col("source_row").alias("line"),
        "raw",
        is_json=pl.col("item").is_not_null() & (pl.col("count") > 0),
        twice=twice,
        long_number=pl.col("raw").str.contains(numbers),
        source_row=pl.col("source_row") + shift + own,
    )
    return pl.concat([rows, fields], how="horizontal"), shift + rows.height - lines.height


def _pattern(keys: Iterable[str]) -> str:
    """Pattern of the names of fields as they stand before their values."""
    return rf'"(?:{"|".join(map(re.escape, keys))})"\s*:'


def _pages(lines: pl.DataFrame, item: pl.Struct, trades: JsonTrades) -> pl.DataFrame:
    """The trades of lines that are lists or answers; a line that cannot be decoded stays one row without trade."""
    dtype: pl.DataType = pl.List(item)
    for key in reversed(trades.wrapped or ("data",)):
        dtype = pl.Struct({key: dtype})
    keys = trades.wrapped or ("data",)
    before, after = "".join(f'{{"{key}":' for key in keys), "}" * len(keys)
    body = pl.col("raw").str.strip_chars()
    wrapped = lines.select(pl.when(body.str.starts_with("[")).then(pl.lit(before) + body + pl.lit(after)).otherwise(body)).to_series()
    assert isinstance(dtype, pl.Struct)  # noqa: S101 - for the type checker
    page = pl.col("page")
    for key in keys:
        page = page.struct[key]
    decoded = pl.DataFrame({"page": decode_objects(wrapped, dtype)}).select(item=page)
    pages = pl.concat([lines, decoded], how="horizontal").with_columns(
        count=pl.when(pl.col("item").is_null()).then(1).otherwise(pl.col("item").list.len()).cast(pl.Int32)
    )
    empty = (pages["count"] == 0).fill_null(value=False)
    rows = pages.filter(~empty).explode("item")
    return rows.with_columns(order=pl.int_range(pl.len()).over("source_row").cast(pl.Int32)).select(
        *lines.columns, "item", "order", "count"
    )


def _judged(rows: pl.DataFrame, trades: JsonTrades, hints: Hints) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that keep all rules, with the parsed columns, and rejects for the others."""
    amounts = {column: exact_amounts(rows[_column(key)], None, pl.Float64()) for column, key in trades.amounts.items()}
    rows = rows.with_columns(
        **trades.columns,
        **{column: each.values for column, each in amounts.items()},
        **{problem_of(column): each.problems for column, each in amounts.items()},
    ).rename({"source_row": "_row", "line": "source_row"})
    start = pl.col("raw").str.slice(0, 80)
    checks = [
        Check(pl.col("is_json"), "line", start, "is not valid JSON with plain values"),
        Check(~pl.col("twice"), "line", start, "names a field twice"),
        Check(~pl.col("long_number"), "line", start, "has a number of more digits than can be held exactly"),
    ]
    for column, key in trades.amounts.items():
        problem, value = pl.col(problem_of(column)), pl.col(column)
        checks.append(Check(problem.is_null(), key, field(key), problem))
        checks.append(Check(value.is_finite() & (value > 0), key, field(key), f"field {key} must be a number above zero"))
    checks.append(Check(is_possible(pl.col("ts_event_us")), trades.time, field(trades.time), "is no time between 2009 and 2050"))
    accepted, rejects = split_rows(rows, [*checks, *trades.checks])
    accepted = accepted.rename({"source_row": "line", "_row": "source_row"})
    return accepted.with_columns(ts_local_us=pl.col("ts_event_us") + hints.latency_us), rejects


def _by_instrument(rows: pl.DataFrame, trades: JsonTrades, identity: Identity) -> list[tuple[str, pl.DataFrame]]:
    if trades.instrument is None or rows.is_empty():
        return [] if rows.is_empty() else [(identity.symbol, rows)]
    name = _column(trades.instrument)
    return [(str(part[name][0]), part) for part in rows.partition_by(name, maintain_order=True)]
