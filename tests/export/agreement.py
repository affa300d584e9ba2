"""The same question to an export and to pointline's own SQL: rows as plain values, so that types of one meaning compare."""

from __future__ import annotations

import contextlib
import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb

from pointline import sql

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.lake.store import Lake

SAME_VIEWS = ("trade", "trade_last", "funding_rate", "market_spot", "market_future", "coverage", "features")
DURATIONS = (1, 3, 7, 60, 1_440, 10_080)

Rows = list[tuple[Any, ...]]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with contextlib.closing(duckdb.connect(str(path), read_only=True)) as connection:
        yield connection


def plain(value: Any) -> Any:  # noqa: ANN401 -- any value of a table
    """Times as naive UTC, decimals without idle zeros, floats as they are."""
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    return value.normalize() + 0 if isinstance(value, Decimal) else value


def ordered(rows: Rows) -> Rows:
    return sorted((tuple(plain(value) for value in row) for row in rows), key=repr)


def by_sql(lake: Lake, view: str) -> tuple[list[str], Rows]:
    """Columns and rows of a view of ours; ``ohlcv(60)`` for candles."""
    name, _, argument = view.partition("(")
    source = f"api.{name}(candle_duration_in_minutes = {argument}" if argument else f"api.{name}"
    frame = sql.query(f"SELECT * FROM {source}", lake=lake)
    return frame.columns, ordered(frame.rows())


def by_duckdb(connection: duckdb.DuckDBPyConnection, view: str, columns: list[str]) -> Rows:
    """The rows of these columns of a view of an export."""
    listed = ", ".join(f'"{column}"' for column in columns)
    return ordered(connection.execute(f"SELECT {listed} FROM api.{view}").fetchall())


def differences(lake: Lake, path: Path, views: tuple[str, ...] = SAME_VIEWS, durations: tuple[int, ...] = DURATIONS) -> dict[str, Any]:
    """By view the first rows that only one of the two has; empty where both say the same."""
    found: dict[str, Any] = {}
    with opened(path) as connection:
        for view in (*views, *(f"ohlcv({minutes})" for minutes in durations)):
            columns, ours = by_sql(lake, view)
            theirs = by_duckdb(connection, view, columns)
            if ours != theirs:
                pairs = [pair for pair in zip(ours, theirs, strict=False) if pair[0] != pair[1]]
                found[view] = (columns, len(ours), len(theirs), pairs[:2])
    return found
