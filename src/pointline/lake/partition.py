"""One partition: amounts become integers, rows get their order, and the Parquet file carries its own totals and feeds."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline import schema
from pointline.errors import AmountOverflowError
from pointline.lake.durable import write_atomically
from pointline.lake.paths import partition_folder
from pointline.lake.rows import MAX_DECIMALS
from pointline.lake.store import FOOTER_KEY, stored_columns

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ROW_GROUP_ROWS = 262_144
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


def _fits(numbers: NDArray[np.float64], decimals: int) -> bool:
    return _counts(numbers, decimals) is not None


def _counts(numbers: NDArray[np.float64], decimals: int) -> NDArray[np.float64] | None:
    """How often each number holds ``10**-decimals``; None unless all are exactly such a count."""
    whole = numbers * 10.0**decimals
    np.rint(whole, out=whole)
    limit = _EXACT if decimals else _WHOLE
    if len(whole) and not (-limit < whole.min() and whole.max() < limit):
        return None
    return whole if (whole / 10.0**decimals == numbers).all() else None


def scales_of(frame: pl.DataFrame, kind: str) -> dict[str, int]:
    """The decimals of prices and quantities of parsed rows, see `decimals_of`."""
    scales = {"price": 0, "qty": 0}
    for name, (_, scale) in schema.table(kind).amounts.items():
        scales[scale] = decimals_of(frame[name], scales[scale])
    return scales


def to_integers(frame: pl.DataFrame, kind: str, scales: dict[str, int]) -> pl.DataFrame:
    """Parsed float amounts as integer counts of ``10**-decimals``, plus the two decimals as columns.

    Raises:
        AmountOverflowError: an amount is no such count.
    """
    amounts = schema.table(kind).amounts
    if not amounts:
        return frame
    integers = []
    for name, (stored, scale) in amounts.items():
        counts = _counts(frame[name].to_numpy(), scales[scale])
        if counts is None:
            raise AmountOverflowError(
                "amounts cannot be stored exactly", where=f"column {name}", expected=f"{scales[scale]} decimals and 51 bits"
            )
        integers.append(pl.Series(stored, counts.astype(np.int64)))
    decimals = [pl.lit(scales[scale], dtype=pl.Int8).alias(f"{scale}_decimals") for scale in ("price", "qty")]
    return frame.drop(list(amounts)).with_columns(*integers, *decimals)


def encode(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """Sorted parsed rows (with `source_file`) as they are stored."""
    return to_integers(frame, kind, scales_of(frame, kind)).select(list(stored_columns(kind)))


class Totals:
    """What a reader wants to know of a partition without decoding it, from row groups as they come."""

    def __init__(self, kind: str) -> None:
        self._trades = kind == "trades"
        self._first: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self.rows = 0
        self._qty = 0
        self._spans: dict[str, tuple[int | None, int | None]] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Counts the next rows, as stored."""
        self._first = self._first or rows.row(0, named=True)
        self._last = rows.row(-1, named=True)
        self.rows += rows.height
        for name in ("ts_local_us", "ts_event_us", *(("trade_id", "qty_int") if self._trades else ())):
            found = [value for value in (*self._spans.get(name, ()), rows[name].min(), rows[name].max()) if value is not None]
            self._spans[name] = (min(found), max(found)) if found else (None, None)
        if self._trades:
            self._qty += _sum(rows["qty_int"])

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Smallest and largest value of both clocks."""
        return {name: self._spans[name] for name in ("ts_local_us", "ts_event_us")}  # type: ignore[misc]

    def values(self) -> dict[str, Any]:
        """What goes into the file's footer."""
        totals: dict[str, Any] = {
            "rows": self.rows,
            "first_local_us": self._first["ts_local_us"],
            "last_local_us": self._last["ts_local_us"],
        }
        if self._trades:
            totals |= {
                "price_decimals": self._first["price_decimals"],
                "qty_decimals": self._first["qty_decimals"],
                "qty_int": str(self._qty),
                "max_qty_int": self._spans["qty_int"][1],
                "first_id": self._spans["trade_id"][0],
                "last_id": self._spans["trade_id"][1],
                "last_price_int": self._last["price_int"],
            }
        return totals


def _sum(values: pl.Series) -> int:
    """The exact sum, in 64 bits where that is sure to hold it."""
    largest = max(abs(int(values.min() or 0)), abs(int(values.max() or 0)))  # type: ignore[arg-type]
    return int((values if largest * len(values) < 1 << 63 else values.cast(pl.Int128)).sum())


class PartitionWriter:
    """A partition's Parquet file, written row group by row group; the same rows give the same bytes.

    Args:
        path: the file, on a disk that may be full: callers wrap what they call in `disk_errors`.
        kind: table name.
    """

    def __init__(self, path: Path, kind: str) -> None:
        import pyarrow.parquet as pq

        columns = stored_columns(kind)
        delta = [name for name in schema.table(kind).delta if name in columns]
        self._kind = kind
        self.totals = Totals(kind)
        self._parquet = pq.ParquetWriter(
            path,
            pl.DataFrame(schema=columns).to_arrow().schema,
            compression="zstd",
            compression_level=3,
            use_dictionary=[name for name in columns if name not in delta and columns[name] != pl.Boolean],
            column_encoding=dict.fromkeys(delta, "DELTA_BINARY_PACKED"),
            write_statistics=delta,
            data_page_size=1 << 20,
        )

    def write(self, stored: pl.DataFrame) -> None:
        """Writes the next row group: `ROW_GROUP_ROWS` rows, fewer only in the last one."""
        rows = stored.rechunk()  # pages end where arrays end, so one array per row group
        self.totals.add(rows)
        self._parquet.write_table(rows.to_arrow(), row_group_size=ROW_GROUP_ROWS)

    def close(self, feeds: list[Feed] | None = None) -> None:
        """Ends the file with its footer; without feeds it is no partition, only its rows can be read."""
        if feeds is not None:
            footer = {
                "format_version": schema.FORMAT_VERSION,
                "kind": self._kind,
                "feeds": [asdict(feed) for feed in feeds],
                "totals": self.totals.values(),
            }
            self._parquet.add_key_value_metadata({FOOTER_KEY: json.dumps(footer, sort_keys=True)})
        self._parquet.close()


def write_partition(path: Path, stored: pl.DataFrame, kind: str, feeds: list[Feed], *, through: Path | None = None) -> Totals:
    """Writes a partition's Parquet file durably, see `write_atomically`, and returns its totals."""
    written: list[Totals] = []

    def write(temporary: Path) -> None:
        writer = PartitionWriter(temporary, kind)
        try:
            for group in stored.iter_slices(ROW_GROUP_ROWS):
                writer.write(group)
        except BaseException:
            with contextlib.suppress(Exception):
                writer.close()
            raise
        writer.close(feeds)
        written.append(writer.totals)

    write_atomically(path, write, through=through)
    return written[0]


def partition_path(kind: str, exchange: str, symbol: str, date: str, feeds: list[Feed]) -> str:
    """Path relative to the table's folder; the same feeds give the same name, on every machine and in any order of ingest."""
    identity = json.dumps([schema.FORMAT_VERSION, kind, [[f.key, f.sha256, f.options, f.rows] for f in feeds]])
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return f"{partition_folder(exchange, symbol, date)}/part-{name}.parquet"
