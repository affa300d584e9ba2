"""Tardis CSV datasets (datasets.tardis.dev): trades, liquidations, quotes, tickers of derivatives, and the best of book snapshots.

The recorder's receipt time is the row's ``ts_local_us``. A day of a file is a day of that clock, and its rows are in order of arrival, so
that exchange times may step back. What a file is, its rows say; a path that says something else is a contradiction, which is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import date_text
from pointline.errors import SourceError
from pointline.sources.base import RANKS, Batch, Hints, Identity, parsed_rows
from pointline.sources.checks import Check, refuse_swapped
from pointline.sources.csv_blocks import read_csv_blocks
from pointline.sources.hints import agreed, period_of, stated_period
from pointline.sources.inflate import head_of, open_archive
from pointline.sources.receipt import ClockCheck, uses_event_time
from pointline.sources.stamps import EARLIEST_US, LATEST_US, epoch_us
from pointline.sources.tardis_datasets import COMMON, NOT_READ, TYPES, TardisType
from pointline.venues.names import exchange_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUFFIXES = (".csv.gz", ".csv")
GROUPS = frozenset({"SPOT", "PERPETUALS", "FUTURES", "OPTIONS"})
"""Symbols of paths that stand for all instruments of their kind."""

_HEAD_BYTES = 1 << 14
_ID = r"[a-z0-9]+(?:-[a-z0-9]+)*"
_FILE = r"(?P<symbol>[^/]+)\.csv(?:\.gz)?"
_FOLDERS = re.compile(rf"(?:.*/)?(?P<exchange>{_ID})/(?P<type>[a-zA-Z0-9_]+)/(?P<day>\d{{4}}/\d\d/\d\d)/{_FILE}")
_CLIENT = re.compile(rf"(?P<exchange>{_ID})_(?P<type>{'|'.join((*TYPES, *NOT_READ))})_(?P<day>\d{{4}}-\d\d-\d\d)_{_FILE}")
SLASHED = frozenset({"kraken"})
"""Exchanges that write a slash into the symbols of one of their interfaces and none in those of the archives."""


@dataclass(frozen=True)
class _TardisPath:
    """What a file's path says: the vendor's names."""

    exchange: str
    type: str
    day: str
    symbol: str


@dataclass(frozen=True)
class _TardisHead:
    """The header of a file and the first values of its first columns; empty where the file has none.

    Attributes:
        columns: the header.
        rows: exchange, symbol, timestamp and local_timestamp of the first rows.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, text: bytes) -> _TardisHead:
        """The head that a file's first bytes show; the last line may be cut, and is left out."""
        header, *lines = text.decode("utf-8", "replace").removeprefix("\ufeff").split("\n")
        fields = [tuple(line.split(",")[: len(COMMON)]) for line in (lines[:-1] if text.endswith(b"\n") or len(lines) > 1 else lines)]
        return cls(tuple(header.strip().split(",")), tuple(each for each in fields if len(each) == len(COMMON)))

    @property
    def is_known(self) -> bool:
        """Whether the header begins as all of the vendor's do."""
        return self.columns[: len(COMMON)] == COMMON


class Tardis:
    """Parser of Tardis CSV datasets."""

    name = "tardis"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that the rows say, with data type and day from the path; only the first bytes are read.

        Raises:
            SourceError: path, flags and rows contradict one another, the lake has no table for the data type, or trades cannot be told
                from liquidations because the path does not say it.
        """
        if not path.name.endswith(SUFFIXES):
            return None
        named = _parse(path)
        head = _TardisHead.of(head_of(path, _HEAD_BYTES, _HEAD_BYTES) if path.is_file() else b"")
        if named is None and not head.is_known:
            return None
        dataset = agreed(path, "--dataset", hints.dataset, named.type if named else None) or _told_by(path, head)
        kind = _type(path, dataset).kind
        exchange = self._exchange(path, named, head, hints)
        symbol = _symbol(path, named, head, exchange, hints)
        period = agreed(path, "--period", stated_period(hints), named.day if named else None) or ""
        _check_day(path, head, period)
        return Identity(self.name, exchange, "", dataset, symbol, period, kind=kind)

    def _exchange(self, path: Path, named: _TardisPath | None, head: _TardisHead, hints: Hints) -> str:
        told = exchange_id(head.rows[0][0]) if head.rows else None
        known = told or (exchange_id(named.exchange) if named else None)
        if named is not None and known != exchange_id(named.exchange):
            raise _contradiction(path, "the first row names another exchange than the file's path", head.rows[0][0], named.exchange)
        exchange = agreed(path, "--exchange", hints.exchange, known)
        if exchange is None:
            raise _silent(path, "--exchange")
        return exchange

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows: a batch per block, of a file of several instruments one per block and instrument.

        With ``hints.symbol``, rows of other instruments of such a file are passed over and counted.

        Raises:
            SourceError: damaged archive, other columns, or most rows were received before they happened.
            ConfigError: ``hints.clock`` is unknown.
        """
        dataset = _type(path, identity.dataset)
        received, clock_check = not uses_event_time(hints.clock), ClockCheck(path)
        with open_archive(path) as archive:
            head = _TardisHead.of(archive.read(_HEAD_BYTES))
        chosen = hints.symbol is not None and hints.symbol != "*"
        of_one = identity.symbol != "*" and not chosen
        first = head.rows[0] if head.rows else None
        layout = dataset.layout(first[0] if first else "", _file_checks(identity, first, of_one=of_one))
        convert = dataset.convert(identity.exchange)
        clock = "recorded" if received else "assumed"

        def batch(symbol: str, frame: pl.DataFrame, rejects: pl.DataFrame, skipped: int = 0) -> Batch:
            rows = parsed_rows(dataset.kind, frame)
            return Batch(dataset.kind, identity.exchange, symbol, rows, clock, RANKS["recorded"], skipped=skipped, rejects=rejects)

        for number, block in enumerate(read_csv_blocks(path, layout)):
            local = epoch_us(pl.col("local_timestamp")) if received else pl.col("ts_event_us") + hints.latency_us
            own = _own_symbol(identity.exchange)
            rows = block.frame.select("ts_event_us", "source_row", ts_local_us=local, symbol=own, **convert)
            if received:
                clock_check.see(rows["ts_event_us"] - rows["ts_local_us"])
            if identity.symbol != "*":
                kept = rows.filter(pl.col("symbol") == identity.symbol) if chosen else rows
                if number == 0 and dataset.kind == "trades":
                    refuse_swapped(kept, path)
                yield batch(identity.symbol, kept, block.rejects, rows.height - kept.height)
                continue
            if not block.rejects.is_empty():
                yield batch("*", rows.clear(), block.rejects)
            for group in rows.partition_by("symbol", maintain_order=True):
                yield batch(group["symbol"][0], group, block.rejects.clear())
        if received:
            clock_check.judge()


def _file_checks(identity: Identity, first: tuple[str, ...] | None, *, of_one: bool) -> tuple[Check, ...]:
    """What the rows of one file have in common: its exchange, its instrument where it has one, its day."""
    local = epoch_us(pl.col("local_timestamp"))
    checks = [Check.never("local_timestamp", "is no time between 2009 and 2050 in milliseconds or microseconds", local.is_null())]
    if first is not None:
        checks.append(Check.never("exchange", f"is another exchange than the first row's, {first[0]}", pl.col("exchange") != first[0]))
        if of_one:
            checks.append(Check.never("symbol", f"is another symbol than the first row's, {first[1]}", pl.col("symbol") != first[1]))
    if identity.declared_us is not None:
        outside = ~local.is_between(*identity.declared_us, closed="left")
        checks.append(Check.never("local_timestamp", f"was not received in {identity.period}, the period of its file", outside))
    return tuple(checks)


def _parse(path: Path) -> _TardisPath | None:
    """What folders and name say; None where they are not the vendor's."""
    found = _FOLDERS.fullmatch(path.as_posix()) or _CLIENT.fullmatch(path.name)
    day = period_of(found["day"].replace("/", "-")) if found else None
    if found is None or day is None or found["type"] not in {*TYPES, *NOT_READ}:
        return None
    return _TardisPath(found["exchange"], found["type"], day, found["symbol"])


def _type(path: Path, dataset: str) -> TardisType:
    if dataset in NOT_READ:
        raise SourceError(
            f"the lake has no table for {NOT_READ[dataset]}; nothing of the file was stored",
            where=str(path),
            value=dataset,
            expected=", ".join(TYPES),
            hint="leave such files out of the folder",
        )
    if dataset not in TYPES:
        raise SourceError("this archive has no such data type", where=str(path), value=dataset, expected=", ".join(TYPES))
    return TYPES[dataset]


def _told_by(path: Path, head: _TardisHead) -> str:
    """The data type that a header alone proves."""
    fitting = [name for name, each in TYPES.items() if each.columns == head.columns]
    if fitting and fitting[0] != "trades":
        return fitting[0]
    what = "trades and liquidations have the same columns, and the path does not say which the file holds"
    raise SourceError(
        what if fitting else "the file has the columns of no data type that is read",
        where=str(path),
        value=",".join(head.columns)[:200],
        expected="…/{exchange}/{data type}/{YYYY}/{MM}/{DD}/{SYMBOL}.csv.gz, as the vendor lays it out",
        hint="give --dataset trades or --dataset liquidations, whichever it holds" if fitting else "give it as a table with --mapping",
    )


def _own_symbol(exchange: str) -> pl.Expr:
    """The symbol column in pointline's spelling."""
    symbol = pl.col("symbol")
    return symbol.str.replace_all("/", "", literal=True) if exchange in SLASHED else symbol


def _symbol(path: Path, named: _TardisPath | None, head: _TardisHead, exchange: str, hints: Hints) -> str:
    """The instrument of a file in pointline's spelling, ``"*"`` for a file of several."""
    written = list(dict.fromkeys(row[1] for row in head.rows))
    told = [symbol.replace("/", "") if exchange in SLASHED else symbol for symbol in written]
    if named is not None and named.symbol in GROUPS:
        return hints.symbol or "*"
    if named is not None and written and re.sub("[/:]", "-", written[0]).upper() != named.symbol.upper():
        raise _contradiction(path, "the first row names another symbol than the file's path", written[0], named.symbol)
    if hints.symbol == "*" or (named is None and len(told) > 1):
        return hints.symbol or "*"
    known = told[0] if told else (named.symbol if named else None)
    symbol = agreed(path, "--symbol", hints.symbol, known)
    if symbol is None:
        raise _silent(path, "--symbol")
    return symbol


def _check_day(path: Path, head: _TardisHead, period: str) -> None:
    """Refuses a file whose first row was received on another day than its path says."""
    digits = head.rows[0][3] if head.rows else ""
    us = next((int(digits) * unit for unit in (1, 1000) if digits.isdecimal() and EARLIEST_US <= int(digits) * unit < LATEST_US), None)
    if us is not None and not date_text(us).startswith(period):
        raise _contradiction(path, "the file's day is not that of its first row", date_text(us), f"rows received in {period}")


def _contradiction(path: Path, what: str, value: str, expected: str) -> SourceError:
    return SourceError(
        f"{what}; nothing of it was stored", where=str(path), value=value, expected=expected, hint="download it again, under its own name"
    )


def _silent(path: Path, flag: str) -> SourceError:
    return SourceError("neither the path nor a row says what this file is", where=str(path), hint=f"give {flag}")
