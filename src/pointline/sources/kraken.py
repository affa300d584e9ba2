"""Kraken's downloadable trades: one file per pair (``Kraken_Trading_History/XBTUSD.csv``) with time, price and volume, and no header.

Times are whole seconds, so a trade may have happened up to a second after its stamp: it counts as known from the last microsecond of its
second on. There is neither side nor id.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import SECOND_US
from pointline.sources.base import Identity
from pointline.sources.csv_blocks import CsvLayout
from pointline.sources.exchange_csv import SECONDS, SUFFIX, CsvDataset, dataset_batches, first_line
from pointline.sources.hints import agreed, is_named, stated_period

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.sources.base import Batch, Hints

_NAME = re.compile(rf"(?P<symbol>[A-Z0-9]{{5,}}){SUFFIX}")
_ROW = re.compile(r"\d{10},\d+(?:\.\d+)?,")
_DATASET = CsvDataset(
    kind="trades",
    layout=CsvLayout(
        layouts=(("time", "price", "volume"),),
        types={"time": SECONDS, "price": pl.Float64(), "volume": pl.Float64()},
        time="time",
        positive=("price", "volume"),
        exact=("time", "price", "volume"),
    ),
    convert=lambda frame: frame.select("ts_event_us", "price", "source_row", qty=pl.col("volume")),
    late_us=SECOND_US - 1,
)


class Kraken:
    """Parser of Kraken's files."""

    name = "kraken"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that name and first row say, where a folder is called after Kraken or ``--exchange`` says so.

        Raises:
            SourceError: a flag contradicts the name.
        """
        found = _NAME.fullmatch(path.name)
        if found is None or not is_named(path, self.name, hints):
            return None
        line = first_line(path)
        if line and _ROW.match(line) is None:
            return None
        exchange = str(agreed(path, "--exchange", hints.exchange, self.name))
        symbol = str(agreed(path, "--symbol", hints.symbol, found["symbol"]))
        return Identity(self.name, exchange, "", "trades", symbol, stated_period(hints) or "", kind="trades")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block.

        Raises:
            SourceError: the file cannot be trusted.
        """
        yield from dataset_batches(path, _DATASET, identity, hints)
