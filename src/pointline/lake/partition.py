"""One partition: amounts become integers, rows get their order, and the Parquet file carries its own totals and feeds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline import schema
from pointline.errors import AmountOverflowError
from pointline.lake.durable import write_atomically
from pointline.lake.store import FOOTER_KEY, stored_columns

if TYPE_CHECKING:
    from pathlib import Path

ROW_GROUP_ROWS = 262_144
MAX_DECIMALS = 12
_EXACT = float(1 << 51)  # below it, value x 10**decimals rounds to the one right integer
_WHOLE = float(1 << 53)


@dataclass(frozen=True)
class Feed:
    """One archive file's share of a partition."""

    key: str
    sha256: str
    options: str
    rank: int
    rows: int
    clock: str


def file_id(key: str) -> int:
    """The int64 by which rows name the archive file that they came from."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1


def decimals_of(values: pl.Series, at_least: int = 0) -> int:
    """The fewest decimals that write every value exactly.

    Raises:
        AmountOverflowError: a value needs more than 12 decimals or more than 51 bits.
    """
    numbers = values.to_numpy()
    # most of the time the first rows tell, and one look at all of them confirms it
    decimals = at_least
    for part in (numbers[:10_000], numbers):
        while not _fits(part, decimals):
            decimals += 1
            if decimals > MAX_DECIMALS:
                worst = next(v for v in part.tolist() if not _fits(np.array([v]), MAX_DECIMALS))
                raise AmountOverflowError(
                    "an amount cannot be stored exactly", value=worst, expected=f"up to {MAX_DECIMALS} decimals and 51 bits"
                )
    return decimals


def _fits(numbers: np.ndarray[Any, Any], decimals: int) -> bool:
    scaled = numbers * 10.0**decimals
    whole = np.rint(scaled)
    if len(numbers) and np.abs(whole).max() >= (_EXACT if decimals else _WHOLE):
        return False
    return bool((whole / 10.0**decimals == numbers).all())


def to_integers(frame: pl.DataFrame, kind: str, price_decimals: int, qty_decimals: int) -> pl.DataFrame:
    """Parsed float amounts as integer counts of ``10**-decimals``, plus the two decimals as columns."""
    amounts = schema.table(kind).amounts
    if not amounts:
        return frame
    scales = {"price": price_decimals, "qty": qty_decimals}
    integers = [(pl.col(name) * 10.0 ** scales[scale]).round().cast(pl.Int64).alias(stored) for name, (stored, scale) in amounts.items()]
    decimals = [pl.lit(scales["price"], dtype=pl.Int8).alias("price_decimals"), pl.lit(scales["qty"], dtype=pl.Int8).alias("qty_decimals")]
    return frame.with_columns(integers).drop(list(amounts)).with_columns(decimals)


def float_amounts(kind: str) -> list[pl.Expr]:
    """The parsed amounts of stored rows, each the double nearest to its decimal."""
    return [
        (pl.col(stored) / pl.lit(10.0).pow(pl.col(f"{scale}_decimals").cast(pl.Int32))).alias(name)
        for name, (stored, scale) in schema.table(kind).amounts.items()
    ]


def to_floats(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The inverse of `to_integers`: parsed columns again."""
    amounts = schema.table(kind).amounts
    if not amounts:
        return frame
    return frame.with_columns(float_amounts(kind)).drop([stored for stored, _ in amounts.values()]).drop("price_decimals", "qty_decimals")


def encode(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Sorted parsed rows (with `source_file`) as they are stored."""
    amounts = schema.table(kind).amounts
    scales = {"price": 0, "qty": 0}
    for name, (_, scale) in amounts.items():
        scales[scale] = decimals_of(frame[name], scales[scale])
    return to_integers(frame, kind, scales["price"], scales["qty"]).select(list(stored_columns(kind)))


def totals_of(frame: pl.DataFrame, kind: str) -> dict[str, Any]:
    """What a reader wants to know of a partition without decoding it."""
    first, last = frame.row(0, named=True), frame.row(-1, named=True)
    totals: dict[str, Any] = {
        "rows": frame.height,
        "first_local_us": first["ts_local_us"],
        "last_local_us": last["ts_local_us"],
    }
    if kind == "trades":
        totals |= {
            "price_decimals": first["price_decimals"],
            "qty_decimals": first["qty_decimals"],
            "qty_int": str(frame["qty_int"].cast(pl.Int128).sum()),
            "max_qty_int": frame["qty_int"].max(),
            "first_id": frame["trade_id"].min(),
            "last_id": frame["trade_id"].max(),
            "last_price_int": last["price_int"],
        }
    return totals


def write_partition(path: Path, stored: pl.DataFrame, kind: str, feeds: list[Feed], *, through: Path | None = None) -> dict[str, Any]:
    """Writes a partition's Parquet file durably, see `write_atomically`, and returns its totals."""
    import pyarrow.parquet as pq

    totals = totals_of(stored, kind)
    footer = {"format_version": schema.FORMAT_VERSION, "kind": kind, "feeds": [asdict(feed) for feed in feeds], "totals": totals}
    table = stored.to_arrow()
    table = table.replace_schema_metadata({FOOTER_KEY: json.dumps(footer, sort_keys=True)})
    delta = [name for name in schema.table(kind).delta if name in stored.columns]
    dictionary = [name for name in stored.columns if name not in delta and stored.schema[name] != pl.Boolean]

    def write(temporary: Path) -> None:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=3,
            row_group_size=ROW_GROUP_ROWS,
            use_dictionary=dictionary,
            column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
            data_page_size=1 << 20,
        )

    write_atomically(path, write, through=through)
    return totals


def partition_path(kind: str, exchange: str, symbol: str, date: str, feeds: list[Feed]) -> str:
    """Path relative to the table's folder; the same feeds give the same name, on every machine and in any order of ingest."""
    identity = json.dumps([schema.FORMAT_VERSION, kind, [[f.key, f.sha256, f.options, f.rows] for f in feeds]])
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return f"exchange={exchange}/symbol={symbol}/date={date}/part-{name}.parquet"
