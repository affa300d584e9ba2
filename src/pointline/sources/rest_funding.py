"""Settled funding as exchanges' REST interfaces answer it, in JSON lines: ``bybit-BTCUSDT-funding-2024-05.jsonl.gz``.

A line is one payment. Not every record names its contract, so the file's name says exchange, contract and period. Rates are fractions of
the position for the time since the payment before. Deribit's ``interest_1h`` is what accrued in the hour before its stamp; Kraken's
``relativeFundingRate`` is the fraction, its ``fundingRate`` an amount of money.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import SourceError
from pointline.sources import text_lines
from pointline.sources.base import RANKS, Batch, Identity, parsed_rows
from pointline.sources.checks import Check, split_rows
from pointline.sources.exchange_json import field, first_records
from pointline.sources.grid import settlement_us
from pointline.sources.hints import PERIOD, agreed, period_of, stated_period
from pointline.sources.inflate import open_archive
from pointline.sources.json_records import decode_objects
from pointline.sources.stamps import is_possible, unit_us
from pointline.sources.text_lines import LINE_BYTES, number_lines, whole_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.sources.base import Hints

DATASET = "fundingHistory"

_SECOND_UNITS = (1_000_000,)


@dataclass(frozen=True)
class _FundingLayout:
    """Fields of a payment: time, rate and, where there is one, the contract; the hours that a rate is for, where the field says so."""

    time: str
    rate: str
    at_us: pl.Expr
    instrument: str | None = None
    hours: float | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The fields that each payment must have once."""
        return (self.time, self.rate, *(() if self.instrument is None else (self.instrument,)))


def _epoch(key: str, *units: int) -> pl.Expr:
    number = field(key).cast(pl.Int64, strict=False)
    return number * unit_us(number, units)


_LAYOUTS = {
    "bybit": _FundingLayout("fundingRateTimestamp", "fundingRate", _epoch("fundingRateTimestamp", 1000), "symbol"),
    "deribit": _FundingLayout("timestamp", "interest_1h", _epoch("timestamp", 1000), hours=1.0),
    "gate-futures": _FundingLayout("t", "r", _epoch("t", *_SECOND_UNITS)),
    "hyperliquid": _FundingLayout("time", "fundingRate", _epoch("time", 1000), "coin"),
    "kraken-futures": _FundingLayout(
        "timestamp",
        "relativeFundingRate",
        field("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False).dt.epoch("us"),
    ),
    "kucoin-futures": _FundingLayout("timepoint", "fundingRate", _epoch("timepoint", 1000), "symbol"),
}
_NAME = re.compile(
    rf"(?P<exchange>{'|'.join(map(re.escape, _LAYOUTS))})-(?P<symbol>[A-Za-z0-9][A-Za-z0-9_-]*)-funding-(?P<period>{PERIOD})"
    r"\.jsonl?(?:\.gz)?"
)


class RestFunding:
    """Parser of funding histories."""

    name = "rest_funding"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that the file's name says; the first records must have the exchange's fields.

        Raises:
            SourceError: a flag contradicts the name.
        """
        found = _NAME.fullmatch(path.name)
        if found is None or (period := period_of(found["period"])) is None:
            return None
        records = first_records(path)
        if not records or not records[0].keys() >= set(_LAYOUTS[found["exchange"]].keys):
            return None
        exchange = str(agreed(path, "--exchange", hints.exchange, found["exchange"]))
        agreed(path, "--dataset", hints.dataset, DATASET)
        symbol = str(agreed(path, "--symbol", hints.symbol, found["symbol"]))
        period = str(agreed(path, "--period", stated_period(hints), period))
        return Identity(self.name, exchange, "", DATASET, symbol, period, kind="funding")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block.

        Raises:
            SourceError: the file is damaged, or nothing in it is a payment.
        """
        layout = _LAYOUTS[identity.exchange]
        rank = RANKS["monthly" if len(identity.period) == len("2024-05") else "daily"]
        first_line, accepted = 1, 0
        reject: dict[str, object] | None = None
        for block in whole_lines(_pieces(path), lambda _: _refuse_long(path)):
            lines = number_lines(block, first_line)
            first_line += lines.height
            rows, rejects = _payments(lines.filter(pl.col("raw").str.strip_chars() != ""), layout, identity.symbol)
            accepted += rows.height
            if reject is None and rejects.height:
                reject = rejects.row(0, named=True)
            rows = rows.with_columns(ts_local_us=pl.col("ts_event_us") + hints.latency_us)
            yield Batch("funding", identity.exchange, identity.symbol, parsed_rows("funding", rows), rank=rank, rejects=rejects)
        if not accepted:
            raise SourceError(
                "no payment could be read" if reject is None else f"no payment could be read; the first line {reject['reason']}",
                where=str(path) if reject is None else f"{path}, line {reject['line']}",
                value=None if reject is None else reject["value"],
                expected="one payment on each line",
            )


def _payments(lines: pl.DataFrame, layout: _FundingLayout, symbol: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The payments of lines, as parsed columns, and rejects."""
    item = decode_objects(lines["raw"].str.strip_chars(), pl.Struct(dict.fromkeys(layout.keys, pl.String())))
    fields = item.struct.unnest().rename({key: f"json {key}" for key in layout.keys})
    pattern = rf'"(?:{"|".join(map(re.escape, layout.keys))})"\s*:'
    rows = pl.concat([lines, fields], how="horizontal").with_columns(
        ts_event_us=layout.at_us,
        funding_rate=field(layout.rate).cast(pl.Float64, strict=False),
        is_json=pl.Series(item.is_not_null()),
        named=pl.col("raw").str.count_matches(pattern),
        interval_hours=pl.lit(layout.hours, dtype=pl.Float64),
    )
    rows = rows.with_columns(funding_us=settlement_us(pl.col("ts_event_us")))
    start, rate = pl.col("raw").str.slice(0, 80), pl.col("funding_rate")
    checks = [
        Check(pl.col("is_json"), "line", start, "is not valid JSON with plain values"),
        Check(pl.col("named") <= len(layout.keys), "line", start, "names a field twice"),
        Check(is_possible(pl.col("ts_event_us")), layout.time, field(layout.time), "is no time between 2009 and 2050"),
        Check(rate.is_finite(), layout.rate, field(layout.rate), "is no number"),
        Check(rate.abs() <= 1, layout.rate, field(layout.rate), "is more than the whole position (a rate is a fraction)"),
    ]
    if layout.instrument is not None:
        name = field(layout.instrument)
        checks.append(Check(name == symbol, layout.instrument, name, f"is another contract than the file's, {symbol}"))
    return split_rows(rows, checks)


def _pieces(path: Path) -> Iterator[bytes]:
    with open_archive(path) as archive:
        while piece := archive.read(text_lines.BLOCK_BYTES):
            yield piece


def _refuse_long(path: Path) -> bytes:
    raise SourceError(f"a line is longer than {LINE_BYTES >> 20} MB; nothing of the file was stored", where=str(path))
