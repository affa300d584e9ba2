"""Binance Vision archives (data.binance.vision): spot, USD-M and COIN-M; daily and monthly; zip, gz or plain CSV.

Nothing is assumed from the date: header, time unit (ms or µs, by magnitude), boolean spelling and column count are read off each file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import schema
from pointline.errors import ConfigError, SourceError
from pointline.sources.base import RANKS, Batch, Hints, Identity
from pointline.sources.csv_blocks import read_csv_blocks
from pointline.sources.inflate import open_archive
from pointline.sources.vision_datasets import DATASETS, KLINE_DATASETS, dataset_of, is_dataset
from pointline.sources.vision_names import (
    SUFFIXES,
    VisionFolder,
    VisionName,
    check_folder,
    check_label,
    is_malformed,
    malformed,
    parse_folder,
    parse_name,
    period_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MARKETS = {"spot": "binance-spot", "futures/um": "binance-futures", "futures/cm": "binance-delivery"}
_EXCHANGES = {exchange: market for market, exchange in _MARKETS.items()}

# A file whose columns price and qty have changed places: of its first rows, what is called quantity keeps to one level, as prices do,
# and what is called price does not.
_SWAP_ROWS = (100, 1000)  # at least, at most
_ONE_LEVEL, _MANY_LEVELS = 1.5, 5.0  # largest / smallest; 9th / 1st decile


def _agreed(path: Path, flag: str, said: str | None, told: str | None) -> str | None:
    """What the flag or the path says.

    Raises:
        SourceError: both speak, and differ.
    """
    if said is not None and told is not None and said != told:
        raise SourceError(
            f"{flag} contradicts the file's path; nothing of it was stored",
            where=str(path),
            value=said,
            expected=f"{told}, as the path says",
            hint=f"leave {flag} away, or move the file to where it belongs",
        )
    return said or told


class BinanceVision:
    """Parser of Binance Vision files."""

    name = "binance_vision"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity from folder and file name, completed by the hints.

        Raises:
            SourceError: the file looks like one of these archives but its market, dataset or symbol is in neither path nor hints.
        """
        if not path.name.endswith(SUFFIXES):
            return None
        named, folder = parse_name(path.name), parse_folder(path)
        if named is None and (hints.dataset is None or not is_dataset(hints.dataset)):
            if is_malformed(path.name, folder):
                raise malformed(path)
            return None
        if named is not None and folder is not None:
            check_folder(path, named, folder)
        symbol = _agreed(path, "--symbol", hints.symbol, named.symbol if named else None)
        period = _agreed(path, "--period", _period(hints), named.period if named else None) or ""
        said = "binance-spot" if hints.exchange == "binance" else hints.exchange
        exchange = _agreed(path, "--exchange", said, _MARKETS[folder.market] if folder else None)
        dataset = _agreed(path, "--dataset", hints.dataset, _dataset(named, folder))
        if exchange is None or dataset is None or symbol is None:
            missing = [flag for flag, value in (("--exchange", exchange), ("--dataset", dataset), ("--symbol", symbol)) if value is None]
            raise SourceError(
                "the path does not say everything about this file",
                where=str(path),
                expected="…/{spot|futures/um|futures/cm}/{daily|monthly}/{dataset}/{SYMBOL}/…, as the archive lays it out",
                hint=f"give {' and '.join(missing)} (exchanges: {', '.join(_EXCHANGES)})",
            )
        if exchange not in _EXCHANGES:
            raise SourceError("this archive has no such exchange", where=str(path), value=exchange, expected=", ".join(_EXCHANGES))
        return Identity(self.name, exchange, _EXCHANGES[exchange], dataset, symbol, period)

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block of the file.

        Raises:
            SourceError: truncated or foreign archive, wrong number of columns, or times in more than one unit.
        """
        dataset = dataset_of(identity)
        if dataset is None:
            raise SourceError(
                "this archive has no such dataset", where=str(path), value=identity.dataset, expected=", ".join(DATASETS), hint=_NO_MONTHS
            )
        with open_archive(path) as archive:
            check_label(path, identity, archive.label)
        daily = len(identity.period) != len("2024-05")
        rank = RANKS["daily" if daily else "monthly"]
        latency_us = 0 if "candles_" in dataset.kind else hints.latency_us  # a candle is stamped with its end
        columns = schema.table(dataset.kind).parsed
        for number, block in enumerate(read_csv_blocks(path, dataset.layout)):
            rows = dataset.convert(block.frame)
            if number == 0 and dataset.kind == "trades":
                _check_columns(rows, path)
            parsed = rows.with_columns(ts_local_us=dataset.known_us(block.frame, rows["ts_event_us"]) + latency_us)
            yield Batch(
                kind=dataset.kind,
                exchange=identity.exchange,
                symbol=identity.symbol,
                frame=parsed.select([pl.col(name).cast(dtype) for name, dtype in columns.items()]),
                rank=rank,
                rejects=block.rejects,
            )


_NO_MONTHS = "candles of months (1mo) are not read"


def _period(hints: Hints) -> str | None:
    """The period that the user names.

    Raises:
        ConfigError: it is none.
    """
    if hints.period is None:
        return None
    period = period_of(hints.period)
    if period is None:
        raise ConfigError("--period is no period", value=hints.period, expected="a day such as 2024-05-01 or a month such as 2024-05")
    return period


def _dataset(named: VisionName | None, folder: VisionFolder | None) -> str | None:
    if named is None:
        return None
    if named.dataset:
        return named.dataset
    family = folder.dataset if folder else None
    return f"{family}-{named.interval}" if family in KLINE_DATASETS else None


def _check_columns(trades: pl.DataFrame, path: Path) -> None:
    """Looks at the first trades of a file.

    Raises:
        SourceError: price and quantity have changed places.
    """
    least, most = _SWAP_ROWS
    if trades.height < least:
        return
    price, qty = trades["price"].head(most).to_numpy(), trades["qty"].head(most).to_numpy()
    low, high = np.quantile(price, (0.1, 0.9))
    if high > _MANY_LEVELS * low and qty.max() < _ONE_LEVEL * qty.min() and len(np.unique(qty)) > least // 10:
        raise SourceError(
            "price and quantity seem to have changed places; nothing of the file was stored",
            where=str(path),
            value=f"prices from {price.min():g} to {price.max():g}, quantities from {qty.min():g} to {qty.max():g}",
            expected="the columns in the archive's order",
            hint="if the file is right, bring it in as a table with --mapping",
        )
