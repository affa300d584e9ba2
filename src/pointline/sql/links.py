"""Folders of links to the lake's live files, in which the folder names are the exchange and market names of SQL.

The engine reads a table as a pattern of paths and takes ``exchange=…`` and ``market=…`` from them. The names in the lake's own folders
are others (``exchange=binance-futures/symbol=BTCUSDT``), and beside live files lie such that were replaced; the links tell both apart
without copying a byte, and a query that names a market opens that market's files only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from bisect import bisect_right
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from pointline import clock
from pointline.errors import ConfigError, RegistryError
from pointline.instruments import sql_exchange

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointline.lake.store import Lake

Link: TypeAlias = "tuple[str, str]"  # path below the table's folder, and the file or folder it leads to

_KEPT_S = 7 * 86_400
_ONE, _UNKNOWN_SIZE = "1", "0"
_NO_FOLDER = set('/"\0')
_LONGEST = 240  # bytes of a name in a path, beside "exchange=" or "market="
_GLOB = set("*?{}[]'\"<>&\\\n")


class SqlNames:
    """SQL names of what the lake holds.

    Args:
        lake: the lake.

    Attributes:
        codes: what stands in paths for names that cannot, and the names.
    """

    def __init__(self, lake: Lake) -> None:
        self._frame = lake.registry().frame
        self._markets: dict[tuple[str, str], tuple[list[int], list[str]]] = {}
        for exchange, symbol, start_us, market in self._frame.select("exchange", "exchange_symbol", "valid_from_us", "market").iter_rows():
            starts, names = self._markets.setdefault((exchange, symbol), ([], []))
            starts.append(start_us)
            names.append(market)
        shared = self._frame.group_by("exchange", "market").agg(pl.col("exchange_symbol").n_unique()).filter(pl.col("exchange_symbol") > 1)
        self._shared = set(shared.select("exchange", "market").iter_rows())
        self._sizes: dict[tuple[str, str], list[str]] = {}
        for exchange, symbol, kind, size in self._frame.select("exchange", "exchange_symbol", "contract_type", "contract_size").iter_rows():
            own = _UNKNOWN_SIZE if size is None else f"{Decimal(str(size)):f}"
            self._sizes.setdefault((exchange, symbol), []).append(own if kind == "linear" else _ONE)
        self.codes: dict[str, str] = {}

    def market(self, exchange: str, symbol: str, date: str) -> str:
        """The market that a symbol named on a day.

        The symbol itself where no instrument is known by it, or where its market name stands for several symbols of the exchange.
        """
        starts, names = self._markets.get((exchange, symbol), ([], []))
        if not starts:
            return symbol
        name = names[0] if len(names) == 1 else names[max(0, bisect_right(starts, clock.to_us(date)) - 1)]
        return symbol if (exchange, name) in self._shared else name

    def contract_size(self, exchange: str, symbol: str, date: str) -> str:
        """Base units per unit of quantity on a day: the size of a linear contract, 0 where it is not known; 1 of everything else."""
        starts, sizes = self._markets.get((exchange, symbol), ([], []))[0], self._sizes.get((exchange, symbol), [_ONE])
        return sizes[0] if len(sizes) == 1 else sizes[max(0, bisect_right(starts, clock.to_us(date)) - 1)]

    def counts_contracts(self, lake: Lake, kinds: Iterable[str]) -> bool:
        """Whether the lake's tables of these kinds hold linear contracts of another size than one base unit."""
        held = {pair for kind in kinds for pair in lake.listing(kind).select("exchange", "symbol").unique().iter_rows()}
        return any(size != _ONE and Decimal(size) != 1 for pair in held for size in self._sizes.get(pair, ()))

    def place(self, name: str) -> str:
        """The name as a folder of links carries it: itself, or a code where the engine would read another name from the path."""
        if not _NO_FOLDER & set(name) and 0 < len(name.encode()) <= _LONGEST:
            return name
        code = "~" + hashlib.sha256(name.encode()).hexdigest()[:32]
        self.codes[code] = name
        return code

    def contract_type(self, exchange: str, symbol: str) -> str:
        """``LINEAR_PERPETUAL``, ``INVERSE_PERPETUAL`` or an empty text: the kind of contract that pays funding."""
        own = (pl.col("exchange") == exchange) & (pl.col("exchange_symbol") == symbol)
        found = self._frame.filter(own)["contract_type"].drop_nulls()
        return f"{found[-1].upper()}_PERPETUAL" if len(found) else ""


def exchange_name(exchange: str) -> str:
    """The SQL name of an exchange; its id where the venue files do not know it."""
    try:
        return sql_exchange(exchange)
    except RegistryError:
        return exchange


def market_links(lake: Lake, kind: str, names: SqlNames, *, contract_type: bool = False, contract_size: bool = False) -> list[Link]:
    """A link for every live file of a table: ``exchange=…/[contract_type=…/][contract_size=…/]market=…/DATE.parquet``, in order."""
    links = []
    folder = str(lake.table_path(kind))
    contracts: dict[tuple[str, str], str] = {}
    for path, exchange, symbol, date, _ in lake.listing(kind).iter_rows():
        parts = [f"exchange={names.place(exchange_name(exchange))}"]
        if contract_type:
            if (exchange, symbol) not in contracts:
                contracts[exchange, symbol] = names.contract_type(exchange, symbol)
            parts.append(f"contract_type={contracts[exchange, symbol]}")
        if contract_size:
            parts.append(f"contract_size={names.contract_size(exchange, symbol, date)}")
        parts.append(f"market={names.place(names.market(exchange, symbol, date))}")
        links.append(("/".join([*parts, f"{date}.parquet"]), f"{folder}/{path}"))
    return sorted(links)


def in_month(place: str) -> str:
    """Where `by_month` puts the link of a day."""
    folder, _, name = place.rpartition("/")
    return f"{folder}/{name[:7]}/{name}"


def by_month(root: Path, links: Iterable[Link]) -> list[Link]:
    """Links to folders of links, one for each month of a market, in the place of one for each day.

    A day that is added to a lake of years then changes one such folder, and the others are used again.
    """
    months: dict[str, list[Link]] = {}
    for place, target in links:
        folder, _, name = in_month(place).rpartition("/")
        months.setdefault(folder, []).append((name, target))
    return [(month, str(link_folder(root, "month", days))) for month, days in months.items()]


def link_folder(root: Path, name: str, links: Iterable[Link]) -> Path:
    """The folder with exactly these links; made where it is not there yet, whole or not at all.

    Args:
        root: where link folders are kept.
        name: what the folder's name begins with; the rest follows from the links.
        links: what shall be in it.
    """
    wanted = list(links)
    digest = hashlib.sha256("\n".join(f"{place}\t{target}" for place, target in wanted).encode()).hexdigest()[:24]
    folder = root / f"{name}-{digest}"
    with contextlib.suppress(FileNotFoundError):
        os.utime(folder)  # in use, see `remove_unused`
        if all(os.path.lexists(f"{folder}/{place}") for place, _ in wanted):
            return folder
        shutil.rmtree(folder)  # a link was removed
    unfinished = root / f".{name}-{digest}.{os.getpid()}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    made = {str(unfinished)}
    for place, target in wanted:
        path = f"{unfinished}/{place}"
        parent = path.rpartition("/")[0]
        if parent not in made:
            Path(parent).mkdir(parents=True)
            made.add(parent)
        os.symlink(target, path)  # noqa: PTH211 - a Path for each of some ten thousand links costs more than the links
    try:
        unfinished.rename(folder)
    except OSError:  # another process was quicker
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def remove_unused(root: Path, now_s: float | None = None) -> None:
    """Removes link folders that no catalogue was built with for a week; they are made again where they are needed."""
    oldest = (time.time() if now_s is None else now_s) - _KEPT_S
    for folder in root.iterdir() if root.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if folder.is_dir() and folder.stat().st_mtime < oldest:
                shutil.rmtree(folder, ignore_errors=True)


def plain_temporary() -> str:
    """A folder for temporary files whose path means itself in SQL: the system's, or where that is none, another one that is usual."""
    usual = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 - folders of random names are made in it
    fitting = (place for place in usual if has_plain_path(Path(place)) and os.access(place, os.W_OK))
    return next(fitting, usual[0])


def has_plain_path(folder: Path) -> bool:
    """Whether a folder's path means itself in a pattern, in SQL and in XML."""
    return not set(str(folder)) & _GLOB


def check_folder(folder: Path) -> None:
    """Refuses a folder whose path means something else in a pattern, in SQL or in XML.

    Raises:
        ConfigError: the path holds such a sign.
    """
    if not has_plain_path(folder):
        raise ConfigError(
            "the SQL catalogue cannot be made in a folder of this name",
            where=str(folder),
            value="".join(sorted(set(str(folder)) & _GLOB)),
            expected="a path without * ? { } [ ] ' \" < > & and \\",
            hint="choose another folder, or set TMPDIR to one, and POINTLINE_MIRROR where the lake is in a bucket",
        )
