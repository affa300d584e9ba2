"""All archive families, in the order in which they are asked whether a file is theirs.

A new archive is one module with a parser (`pointline.sources.base.Source`) and one entry here. Command line, documentation, repair and
the tests that every parser has to pass read the entries. Parsers are imported when they are needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.sources.base import Source


@dataclass(frozen=True)
class Family:
    """One archive family.

    Attributes:
        name: name of the parser.
        parser: where it is, as ``"module:class"``.
        recognised_by: how a file is known, for the documentation.
        tables: what its files fill, for the documentation.
        suffixes: how names of its files end; a folder is searched for those.
        by_path: path and name say what a file is, so that one that was moved elsewhere must be told it.
        unverified: its layouts (by market, else by dataset) that nobody has compared with the archive's own bytes.
        always: asked whatever ``--source`` says; for files that are known by their content and explain those of other families.
    """

    name: str
    parser: str
    recognised_by: str
    tables: str
    suffixes: tuple[str, ...]
    by_path: bool = False
    unverified: tuple[str, ...] = ()
    always: bool = False

    def source(self) -> Source:
        """Its parser."""
        module, _, name = self.parser.partition(":")
        found: Source = getattr(import_module(module), name)()
        return found


FAMILIES: tuple[Family, ...] = (
    Family(
        name="exchange_info",
        parser="pointline.sources.exchange_info:ExchangeInfo",
        recognised_by="content: JSON that begins with `timezone` and `serverTime`; it must then be [Binance's](#exchange-information)",
        tables="`instruments`",
        suffixes=(".json", ".gz", ".txt"),
        always=True,
    ),
    Family(
        name="table",
        parser="pointline.sources.table:MappedTable",
        recognised_by="`--mapping`, and only then",
        tables="any, see [below](#any-other-table)",
        suffixes=(".csv", ".json", ".jsonl", ".parquet", ".feather", ".arrow", ".zip", ".gz", ".txt"),
    ),
    Family(
        name="bybit",
        parser="pointline.sources.bybit:Bybit",
        recognised_by="file name and first row",
        tables="`trades`, see [below](#bybits-archive)",
        suffixes=(".csv", ".gz"),
        by_path=True,
        unverified=("spot",),
    ),
    Family(
        name="tardis",
        parser="pointline.sources.tardis:Tardis",
        recognised_by="header; path and first rows",
        tables="`trades`, `liquidations`, `quotes`, `derivative_ticker`, see [below](#tardis-datasets)",
        suffixes=(".csv", ".gz"),
        by_path=True,
        unverified=("trades", "liquidations", "quotes", "book_ticker", "book_snapshot_5", "book_snapshot_25", "derivative_ticker"),
    ),
    Family(
        name="binance_vision",
        parser="pointline.sources.binance_vision:BinanceVision",
        recognised_by="path and file name",
        tables="`trades`, `liquidations`, `quotes`, `funding`, `open_interest`, candles",
        suffixes=(".zip", ".csv", ".gz"),
        by_path=True,
    ),
    Family(
        name="recorded",
        parser="pointline.sources.recorded:Recorded",
        recognised_by="content: the first lines",
        tables="`trades`, `quotes`, `derivative_ticker`, see [below](#recorded-streams)",
        suffixes=(".dat", ".gz", ".txt", ".jsonl", ".log"),
    ),
    Family(
        name="okx",
        parser="pointline.sources.okx:Okx",
        recognised_by="file name and header",
        tables="`trades`, `funding`",
        suffixes=(".zip", ".csv", ".gz"),
        unverified=("trades", "futureschain", "fundingrates", "allswap-fundingrates"),
    ),
    Family(
        name="kraken",
        parser="pointline.sources.kraken:Kraken",
        recognised_by="content: the first line; Kraken in the path, or `--exchange kraken`",
        tables="`trades`",
        suffixes=(".zip", ".csv", ".gz"),
        by_path=True,
        unverified=("trades",),
    ),
    Family(
        name="gate",
        parser="pointline.sources.gate:Gate",
        recognised_by="path and file name",
        tables="`trades`, `funding`; what `side` means is [disputed](venues.md#gate)",
        suffixes=(".zip", ".csv", ".gz"),
        by_path=True,
        unverified=("deals", "trades", "funding_applies"),
    ),
    Family(
        name="kucoin",
        parser="pointline.sources.kucoin:Kucoin",
        recognised_by="path, file name and header",
        tables="`trades`",
        suffixes=(".zip", ".csv", ".gz"),
        by_path=True,
        unverified=("trades",),
    ),
    Family(
        name="coinbase",
        parser="pointline.sources.coinbase:Coinbase",
        recognised_by="content: the first records; Coinbase in the path, or `--exchange coinbase`",
        tables="`trades`",
        suffixes=(".json", ".jsonl", ".gz"),
        by_path=True,
        unverified=("trades",),
    ),
    Family(
        name="deribit",
        parser="pointline.sources.deribit:Deribit",
        recognised_by="content: the first records",
        tables="`trades`",
        suffixes=(".json", ".jsonl", ".gz"),
        unverified=("trades",),
    ),
    Family(
        name="hyperliquid",
        parser="pointline.sources.hyperliquid:Hyperliquid",
        recognised_by="content: the first records",
        tables="`trades`",
        suffixes=(".json", ".jsonl", ".gz"),
        unverified=("trades",),
    ),
    Family(
        name="rest_funding",
        parser="pointline.sources.rest_funding:RestFunding",
        recognised_by="file name and first records",
        tables="`funding` of Bybit, Deribit, Gate, Hyperliquid, Kraken Futures and KuCoin, as [`download`](download.md#rest) stores it",
        suffixes=(".json", ".jsonl", ".gz"),
        unverified=("fundingHistory",),
    ),
)


def unverified_layouts() -> set[str]:
    """Layouts that nobody has compared with the archive's own bytes, as ``"source/layout"``.

    >>> "okx/trades" in unverified_layouts(), "binance_vision/spot" in unverified_layouts()
    (True, False)
    """
    return {f"{family.name}/{layout}" for family in FAMILIES for layout in family.unverified}


def source_names() -> str:
    """The names of all parsers, in words."""
    *others, last = (family.name for family in FAMILIES)
    return f"{', '.join(others)} or {last}"


def archive_suffixes() -> tuple[str, ...]:
    """How names of archive files end."""
    return tuple(dict.fromkeys(suffix for family in FAMILIES for suffix in family.suffixes))


def family(name: str) -> Family:
    """The family of that name.

    Raises:
        ConfigError: there is none.
    """
    for one in FAMILIES:
        if one.name == name:
            return one
    raise ConfigError("there is no such source", value=name, expected=source_names())


def all_sources(name: str | None = None) -> list[Source]:
    """Every parser, or the one of that name; before it come those that are always asked.

    Raises:
        ConfigError: there is no parser of that name.
    """
    chosen = None if name is None else family(name)
    return [one.source() for one in FAMILIES if chosen is None or one is chosen or one.always]
