"""Gate archives: months of trades of spot and futures, and settled funding, without a header.

``spot/deals/202405/BTC_USDT-202405.csv.gz`` and ``futures_usdt/trades/202405/BTC_USDT-202405.csv.gz`` have the same name, so the folders
say what a file is. Times are seconds with six decimals. The size of futures is a number of contracts, below zero where the taker sold.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from pointline.errors import SourceError
from pointline.sources.base import Identity
from pointline.sources.checks import Check
from pointline.sources.csv_blocks import CsvLayout
from pointline.sources.exchange_csv import SECONDS, SUFFIX, CsvDataset, dataset_batches
from pointline.sources.grid import settlement_us
from pointline.sources.hints import agreed, period_of, stated_period

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.sources.base import Batch, Hints

_SPOT, _FUTURES = "gate-spot", "gate-futures"
_NAME = re.compile(rf"(?P<symbol>[A-Z0-9]+_[A-Z0-9]+)-(?P<year>\d{{4}})(?P<month>\d\d){SUFFIX}")
_FOLDER = re.compile(r"(?:^|/)(?P<market>spot|futures_usdt|futures_btc)/(?P<dataset>\w+)/(?P<month>\d{6})$")
_SELL = 2
_FLOAT, _INT = pl.Float64(), pl.Int64()


class _GateFolder(NamedTuple):
    """What the folders of a file say; None for what they do not."""

    exchange: str | None
    dataset: str | None


class Gate:
    """Parser of Gate's files."""

    name = "gate"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that name and folders say, completed by the hints.

        Raises:
            SourceError: a flag or the folder contradicts the name.
        """
        found = _NAME.fullmatch(path.name)
        if found is None or (period := period_of(f"{found['year']}-{found['month']}")) is None:
            return None
        told = _folder(path, found["year"] + found["month"])
        exchange = agreed(path, "--exchange", hints.exchange, told.exchange)
        dataset = agreed(path, "--dataset", hints.dataset, told.dataset)
        if exchange not in _KINDS or dataset not in _KINDS[exchange]:
            return None
        symbol = str(agreed(path, "--symbol", hints.symbol, found["symbol"]))
        period = str(agreed(path, "--period", stated_period(hints), period))
        return Identity(self.name, exchange, "", dataset, symbol, period, kind=_KINDS[exchange][dataset].kind)

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block.

        Raises:
            SourceError: the file cannot be trusted.
        """
        yield from dataset_batches(path, _KINDS[identity.exchange][identity.dataset], identity, hints)


def _folder(path: Path, month: str) -> _GateFolder:
    found = _FOLDER.search(path.parent.as_posix())
    if found is None:
        return _GateFolder(None, None)
    if found["month"] != month:
        raise SourceError(
            "name and folder of the file contradict each other; nothing of it was stored",
            where=str(path),
            value=path.name,
            expected=f"month {found['month']}, not {month}",
            hint="download it again, or move it to where it belongs under its own name",
        )
    return _GateFolder(_SPOT if found["market"] == "spot" else _FUTURES, found["dataset"])


def _below_zero() -> Check:
    return Check.never("id", "must not be below zero", pl.col("id") < 0)


def _spot() -> CsvDataset:
    other = Check.never("side", "is neither 1 nor 2", ~pl.col("side").is_in([1, _SELL]))
    layout = CsvLayout(
        layouts=(("time", "id", "price", "size", "side"),),
        types={"time": SECONDS, "id": _INT, "price": _FLOAT, "size": _FLOAT, "side": _INT},
        time="time",
        positive=("price", "size"),
        exact=("time", "price", "size"),
        checks=lambda _: (_below_zero(), other),
    )
    return CsvDataset("trades", layout, _convert_spot, side_is_doubtful=True)


def _convert_spot(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "ts_event_us", "price", "source_row", text_id=pl.col("id").cast(pl.String), qty=pl.col("size"), side=pl.col("side") == _SELL
    )


def _futures() -> CsvDataset:
    nothing = Check.never("size", "must not be zero", pl.col("size") == 0)
    layout = CsvLayout(
        layouts=(("time", "id", "price", "size"),),
        types={"time": SECONDS, "id": _INT, "price": _FLOAT, "size": _FLOAT},
        time="time",
        positive=("price",),
        exact=("time", "price", "size"),
        checks=lambda _: (_below_zero(), nothing),
    )
    return CsvDataset("trades", layout, _convert_futures, side_is_doubtful=True)


def _convert_futures(frame: pl.DataFrame) -> pl.DataFrame:
    size = pl.col("size")
    return frame.select("ts_event_us", "price", "source_row", text_id=pl.col("id").cast(pl.String), qty=size.abs(), side=size < 0)


def _funding() -> CsvDataset:
    whole = Check.never("rate", "is more than the whole position (a rate is a fraction)", pl.col("rate").abs() > 1)
    layout = CsvLayout(
        layouts=(("time", "rate"),), types={"time": SECONDS, "rate": _FLOAT}, time="time", exact=("time",), checks=lambda _: (whole,)
    )
    return CsvDataset("funding", layout, _convert_funding)


def _convert_funding(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("ts_event_us", "source_row", funding_us=settlement_us(pl.col("ts_event_us")), funding_rate=pl.col("rate"))


_KINDS = {_SPOT: {"deals": _spot()}, _FUTURES: {"trades": _futures(), "funding_applies": _funding()}}
