"""Binance Vision archives (data.binance.vision): spot, USD-M and COIN-M; daily and monthly; zip, gz or plain CSV.

Nothing is assumed from the date: header, time unit (ms or µs, by magnitude), boolean spelling and column count are read off each file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pointline.errors import SourceError
from pointline.sources.base import RANKS, Batch, Hints, Identity, parsed_rows
from pointline.sources.checks import refuse_swapped
from pointline.sources.csv_blocks import read_csv_blocks
from pointline.sources.foreign import is_of_another_archive
from pointline.sources.hints import agreed, stated_period
from pointline.sources.inflate import open_archive
from pointline.sources.vision_datasets import DATASETS, KLINE_DATASETS, dataset_of, is_dataset, one_of_each_pair
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
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.sources.vision_datasets import Dataset

_MARKETS = {"spot": "binance-spot", "futures/um": "binance-futures", "futures/cm": "binance-delivery"}
_EXCHANGES = {exchange: market for market, exchange in _MARKETS.items()}


class BinanceVision:
    """Parser of Binance Vision files."""

    name = "binance_vision"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity from folder and file name, completed by the hints.

        Raises:
            SourceError: the file looks like one of these archives but its market, dataset or symbol is in neither path nor hints,
                or the archive has no such dataset.
        """
        if not path.name.endswith(SUFFIXES):
            return None
        named, folder = parse_name(path.name), parse_folder(path)
        if named is None and (hints.dataset is None or not is_dataset(hints.dataset)):
            if is_malformed(path.name, folder) and not is_of_another_archive(path):
                raise malformed(path)
            return None
        if (named is None or named.dataset == "trades") and is_of_another_archive(path):
            return None
        if named is not None and folder is not None:
            check_folder(path, named, folder)
        symbol = agreed(path, "--symbol", hints.symbol, named.symbol if named else None)
        period = agreed(path, "--period", stated_period(hints), named.period if named else None) or ""
        exchange = agreed(path, "--exchange", hints.exchange, _MARKETS[folder.market] if folder else None)
        dataset = agreed(path, "--dataset", hints.dataset, _dataset(named, folder))
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
        identity = Identity(self.name, exchange, _EXCHANGES[exchange], dataset, symbol, period)
        return replace(identity, kind=_dataset_of(path, identity).kind)

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block of the file.

        Raises:
            SourceError: truncated or foreign archive, wrong number of columns, or times in more than one unit.
        """
        dataset = _dataset_of(path, identity)
        with open_archive(path) as archive:
            check_label(path, identity, archive.label)
        daily = len(identity.period) != len("2024-05")
        rank = RANKS["daily" if daily else "monthly"]
        latency_us = 0 if "candles_" in dataset.kind else hints.latency_us  # a candle is stamped with its end
        for number, block in enumerate(_blocks(path, dataset)):
            rows = dataset.convert(block.frame)
            if number == 0 and dataset.kind == "trades":
                refuse_swapped(rows, path)
            parsed = rows.with_columns(ts_local_us=dataset.known_us(block.frame, rows["ts_event_us"]) + latency_us)
            yield Batch(
                kind=dataset.kind,
                exchange=identity.exchange,
                symbol=identity.symbol,
                frame=parsed_rows(dataset.kind, parsed),
                rank=rank,
                skipped=block.skipped,
                rejects=block.rejects,
            )


class _VisionBlock(NamedTuple):
    """Accepted rows of one block or file, rejected ones, and how many were passed over because they say again what another says."""

    frame: pl.DataFrame
    rejects: pl.DataFrame
    skipped: int = 0


def _blocks(path: Path, dataset: Dataset) -> Iterator[_VisionBlock]:
    """The file block by block; as one where only the whole file shows which rows stand twice."""
    blocks = read_csv_blocks(path, dataset.layout)
    if not dataset.twice:
        yield from (_VisionBlock(block.frame, block.rejects) for block in blocks)
        return
    every = list(blocks)
    if every:
        rows = pl.concat([block.frame for block in every])
        kept, single = one_of_each_pair(rows)
        rejects = pl.concat([*(block.rejects for block in every), single]).sort("line")
        yield _VisionBlock(kept, rejects, rows.height - kept.height - single.height)


def _dataset_of(path: Path, identity: Identity) -> Dataset:
    dataset = dataset_of(identity)
    if dataset is None:
        raise SourceError(
            "this archive has no such dataset",
            where=str(path),
            value=identity.dataset,
            expected=", ".join(DATASETS),
            hint="candles need their interval, such as klines-1h; those of months (1mo) are not read",
        )
    return dataset


def _dataset(named: VisionName | None, folder: VisionFolder | None) -> str | None:
    if named is None:
        return None
    if named.dataset:
        return named.dataset
    family = folder.dataset if folder else None
    return f"{family}-{named.interval}" if family in KLINE_DATASETS else None
