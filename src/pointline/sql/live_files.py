"""The live files of a lake's market tables, by the names that SQL has for their markets: which of them a statement reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointline import schema
from pointline.clock import DAY_US
from pointline.sql.guard.reads import CANDLES
from pointline.sql.ohlcv import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import polars as pl

    from pointline.lake.catalog import Held
    from pointline.sql.guard.reads import Read
    from pointline.sql.links import Link

_TABLES = {"trade": "trades", "trade_last": "trades", "funding_rate": schema.FUNDING.name}


@dataclass(frozen=True)
class LiveFile:
    """A file of a market.

    Attributes:
        date: of its partition.
        path: below the lake.
        rows: how many there are.
        first_us, last_us: when the first and the last of its rows happened; of candles, when they ended.
        candle_seconds: lengths of stored candles that all of its days have, so that candles of a multiple are not made of these trades.
    """

    date: str
    path: str
    rows: int
    first_us: int
    last_us: int
    candle_seconds: tuple[int, ...] = ()

    def makes_candles_of(self, minutes: int) -> bool:
        """Whether candles of this length, 0 for any, may be made of it."""
        return not minutes or all(minutes * 60 % seconds for seconds in self.candle_seconds)


class LiveFiles:
    """The files of each table.

    Args:
        root: the lake's folder.
        tables: table -> exchange and market in SQL -> its files. A name that begins with ``~`` stands for one that no path can carry.
    """

    def __init__(self, root: Path, tables: dict[str, dict[tuple[str, str], list[LiveFile]]] | None = None) -> None:
        self._root = root
        self._tables = {} if tables is None else tables
        self._known: dict[str, tuple[int, int, int]] = {}
        self._candle_seconds: dict[tuple[str, str, str], list[int]] = {}

    def describe(self, holdings: Iterable[Held], covered_trades: pl.DataFrame) -> None:
        """Tells what is known of the files that are added afterwards.

        Args:
            holdings: of the whole lake.
            covered_trades: see `pointline.sql.tables.day_sources`.
        """
        for one in holdings:
            for file in one.files:
                self._known[str(file.path)] = file.rows, file.totals["first_event_us"], file.totals["last_event_us"]
        for *names, seconds in covered_trades.iter_rows():
            self._candle_seconds.setdefault(tuple(names), []).append(seconds)

    def add(self, table: str, links: Iterable[Link]) -> None:
        """Adds the files of a table.

        Args:
            table: of the lake.
            links: ``exchange=…/…/market=…/DATE.parquet``, and the file.
        """
        markets = self._tables.setdefault(table, {})
        for place, path in links:
            *folders, name = place.split("/")
            names = dict(folder.split("=", 1) for folder in folders)
            exchange, market = names["exchange"], names["market"]
            found = LiveFile(
                name.removesuffix(".parquet"),
                path.removeprefix(f"{self._root}/"),
                *self._known[path],
                tuple(self._candle_seconds.get((exchange, market, name), ())) if table == "trades" else (),
            )
            markets.setdefault((exchange, market), []).append(found)

    def behind(self, reads: Iterable[Read] | None) -> list[str]:
        """The files that may hold rows of what is read, once each, as paths below the lake; all where `reads` is None."""
        if reads is None:
            found = (file.path for table in self._tables.values() for files in table.values() for file in files)
        else:
            found = (path for read in reads for table in self._tables_of(read.relation) for path in self._reached(read, table))
        return list(dict.fromkeys(found))

    def _tables_of(self, relation: str) -> list[str]:
        """The lake's tables that a relation of `api` is made of."""
        if relation == CANDLES:
            return [table for table in self._tables if table == "trades" or seconds_of(table) is not None]
        table = _TABLES.get(relation)
        return [table] if table in self._tables else []

    def _reached(self, read: Read, table: str) -> Iterator[str]:
        monthly = schema.table(table).monthly
        earlier_us = DAY_US if seconds_of(table) is not None else 0  # a candle counts where it begins, which is at most a day earlier
        rows = 0
        for (exchange, market), files in self._tables[table].items():
            coded = exchange.startswith("~") or market.startswith("~")
            asked = replace(read, exchanges=None, markets=None) if coded else read
            if not asked.reaches_market(exchange, market):
                continue
            for file in files:
                if read.rows is not None and rows >= read.rows:
                    return
                if (
                    asked.reaches_day(file.date, monthly=monthly)
                    and asked.reaches_events(file.first_us - earlier_us, file.last_us)
                    and (read.relation != CANDLES or file.makes_candles_of(read.minutes))
                ):
                    yield file.path
                    rows += 0 if coded else file.rows

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "root": str(self._root),
            "tables": {
                table: [[*market, [list(vars(file).values()) for file in files]] for market, files in markets.items()]
                for table, markets in self._tables.items()
            },
        }

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> LiveFiles:
        """What `as_json` gave."""
        return cls(
            Path(found["root"]),
            {
                table: {
                    (exchange, market): [
                        LiveFile(date, path, rows, first, last, tuple(seconds)) for date, path, rows, first, last, seconds in files
                    ]
                    for exchange, market, files in markets
                }
                for table, markets in found["tables"].items()
            },
        )
