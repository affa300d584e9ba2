"""The live files of a lake's market tables, by the names that SQL has for their markets: which of them a statement reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointline import schema
from pointline.sql.ohlcv import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pointline.sql.guard.reads import Read
    from pointline.sql.links import Link

_TABLES = {"trade": "trades", "trade_last": "trades", "funding_rate": schema.FUNDING.name}


class LiveFiles:
    """The files of each table.

    Args:
        root: the lake's folder.
        tables: table -> exchange and market in SQL -> date, and path below the lake, of each file. A name that begins with ``~`` stands for
            one that no path can carry.
    """

    def __init__(self, root: Path, tables: dict[str, dict[tuple[str, str], list[tuple[str, str]]]] | None = None) -> None:
        self._root = root
        self._tables = {} if tables is None else tables

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
            dated = markets.setdefault((names["exchange"], names["market"]), [])
            dated.append((name.removesuffix(".parquet"), path.removeprefix(f"{self._root}/")))

    def behind(self, reads: Iterable[Read] | None) -> list[str]:
        """The files that may hold rows of what is read, once each, as paths below the lake; all where `reads` is None."""
        if reads is None:
            found = (path for table in self._tables.values() for dated in table.values() for _, path in dated)
        else:
            found = (path for read in reads for table in self._tables_of(read.relation) for path in self._reached(read, table))
        return list(dict.fromkeys(found))

    def _tables_of(self, relation: str) -> list[str]:
        """The lake's tables that a relation of `api` is made of."""
        if relation == "ohlcv":
            return [table for table in self._tables if table == "trades" or seconds_of(table) is not None]
        table = _TABLES.get(relation)
        return [table] if table in self._tables else []

    def _reached(self, read: Read, table: str) -> Iterator[str]:
        monthly = schema.table(table).monthly
        for (exchange, market), dated in self._tables[table].items():
            coded = exchange.startswith("~") or market.startswith("~")
            asked = replace(read, exchanges=None, markets=None) if coded else read
            if asked.reaches_market(exchange, market):
                yield from (path for date, path in dated if asked.reaches_day(date, monthly=monthly))

    def as_json(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "root": str(self._root),
            "tables": {table: [[*market, dated] for market, dated in markets.items()] for table, markets in self._tables.items()},
        }

    @classmethod
    def of_json(cls, found: dict[str, Any]) -> LiveFiles:
        """What `as_json` gave."""
        return cls(
            Path(found["root"]),
            {
                table: {(exchange, market): [(date, path) for date, path in dated] for exchange, market, dated in markets}
                for table, markets in found["tables"].items()
            },
        )
