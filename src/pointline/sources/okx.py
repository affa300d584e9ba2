"""OKX archives: trades of spot, swaps and futures, and settled funding; daily and monthly.

Days and months are those of UTC+8: the file of 2024-05-01 begins at 2024-04-30 16:00 UTC. Rows are in no order. The size of spot is base
asset, of swaps and futures contracts. The plain name of a family of futures (``BTC-USDT-trades-…``) leads to the spot file; all
its contracts are in one file, ``BTC-USDT-futureschain-trades-…``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import HOUR_US
from pointline.errors import SourceError
from pointline.sources.base import Identity
from pointline.sources.checks import Check
from pointline.sources.csv_blocks import CsvLayout
from pointline.sources.exchange_csv import MANY, SUFFIX, CsvDataset, dataset_batches, first_line, one_of, other_instrument
from pointline.sources.grid import settlement_us
from pointline.sources.hints import PERIOD, agreed, period_of, stated_period

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.sources.base import Batch, Hints

DAY_START_US = -8 * HOUR_US
HEADER = "instrument_name,"

_PAIR = r"[A-Z0-9]+-[A-Z0-9]+"
_TRADES_NAME = re.compile(rf"(?P<symbol>{_PAIR}(?:-SWAP|-\d{{6}}|-futureschain)?)-trades-(?P<period>{PERIOD}){SUFFIX}")
_FUNDING_NAME = re.compile(rf"(?P<symbol>allswap|{_PAIR}-SWAP)-fundingrates-(?P<period>{PERIOD}){SUFFIX}")
_CHAIN = "-futureschain"
_ALL_FUNDING = "allswap-fundingrates"
_TRADES = ("instrument_name", "trade_id", "side", "price", "size", "created_time")
_FUNDING = ("instrument_name", "funding_rate", "funding_time")


class Okx:
    """Parser of OKX files."""

    name = "okx"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that the file's name says; the first line must be OKX's where there is one.

        Raises:
            SourceError: a flag contradicts the name.
        """
        found = _TRADES_NAME.fullmatch(path.name) or _FUNDING_NAME.fullmatch(path.name)
        if found is None or (period := period_of(found["period"])) is None:
            return None
        line = first_line(path)
        if line and not line.lower().startswith(HEADER):
            return None
        named, exchange = found["symbol"], _exchange(found["symbol"])
        if exchange == "okx-spot" and hints.exchange == "okx-futures":
            raise SourceError(
                "this is the spot file, which the archive also gives for the plain name of a family of futures",
                where=str(path),
                value=hints.exchange,
                expected="okx-spot",
                hint=f"futures are in {named}-futureschain-trades-{period}.zip",
            )
        exchange = str(agreed(path, "--exchange", hints.exchange, exchange))
        dataset = "trades" if "-trades-" in path.name else _ALL_FUNDING if named == "allswap" else "fundingrates"
        agreed(path, "--dataset", hints.dataset, dataset)
        period = str(agreed(path, "--period", stated_period(hints), period))
        market = ""
        if named.endswith(_CHAIN):  # chains of one day are different files, so the family belongs to what the file is
            market, dataset = _CHAIN[1:], f"{dataset}-{named.removesuffix(_CHAIN)}"
        of_many = bool(market) or dataset == _ALL_FUNDING
        symbol = hints.symbol or MANY if of_many else str(agreed(path, "--symbol", hints.symbol, named))
        kind = "trades" if dataset.startswith("trades") else "funding"
        return Identity(self.name, exchange, market, dataset, symbol, period, kind=kind, day_start_us=DAY_START_US)

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block and instrument.

        Raises:
            SourceError: the file cannot be trusted.
        """
        if identity.market:
            dataset = _chain(identity.dataset.removeprefix("trades-"))
        elif identity.dataset == "trades":
            dataset = _trades(other_instrument("instrument_name", identity.symbol))
        else:
            of_many = identity.dataset == _ALL_FUNDING
            dataset = _funding(() if of_many else other_instrument("instrument_name", identity.symbol), of_many=of_many)
        yield from dataset_batches(path, dataset, identity, hints)


def _exchange(symbol: str) -> str:
    if symbol == "allswap" or symbol.endswith("-SWAP"):
        return "okx-swap"
    return "okx-futures" if symbol.count("-") > 1 else "okx-spot"


def _chain(family: str) -> CsvDataset:
    outside = ~pl.col("instrument_name").str.contains(rf"^{re.escape(family)}-\d{{6}}$")
    return replace(
        _trades((Check.never("instrument_name", f"is no future of {family}", outside),)),
        instrument="instrument_name",
    )


def _trades(instruments: tuple[Check, ...]) -> CsvDataset:
    checks = (*instruments, Check.never("trade_id", "must not be below zero", pl.col("trade_id") < 0), one_of("side", "buy", "sell"))
    layout = CsvLayout(
        layouts=(_TRADES, (*_TRADES, "source")),
        types={
            "instrument_name": pl.String(),
            "trade_id": pl.Int64(),
            "side": pl.String(),
            "price": pl.Float64(),
            "size": pl.Float64(),
            "created_time": pl.Int64(),
        },
        time="created_time",
        positive=("price", "size"),
        exact=("price", "size"),
        checks=lambda _: checks,
    )
    return CsvDataset("trades", layout, _convert_trades)


def _convert_trades(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(
        "ts_event_us", "trade_id", "price", "source_row", qty=pl.col("size"), side=pl.col("side").str.to_lowercase() == "sell"
    )


def _funding(instruments: tuple[Check, ...], *, of_many: bool) -> CsvDataset:
    name = pl.col("instrument_name")
    checks = (
        *instruments,
        Check.never("instrument_name", "is no swap", ~name.str.ends_with("-SWAP")),
        Check.never("funding_rate", "is more than the whole position (a rate is a fraction)", pl.col("funding_rate").abs() > 1),
    )
    layout = CsvLayout(
        layouts=(_FUNDING,),
        types={"instrument_name": pl.String(), "funding_rate": pl.Float64(), "funding_time": pl.Int64()},
        time="funding_time",
        checks=lambda _: checks,
    )
    return CsvDataset("funding", layout, _convert_funding, instrument="instrument_name" if of_many else None)


def _convert_funding(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select("ts_event_us", "funding_rate", "source_row", funding_us=settlement_us(pl.col("ts_event_us")))
