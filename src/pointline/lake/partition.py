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
from pointline.lake.durable import disk_errors, make_folder
from pointline.lake.store import FOOTER_CRC_KEY, FOOTER_KEY, footer_crc, stored_columns
from pointline.lake.totals import Totals

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ROW_GROUP_ROWS = 262_144
_EXACT = float(1 << 51)  # below it, value x 10**decimals rounds to the one right integer
_WHOLE = float(1 << 53)


@dataclass(frozen=True)
class Feed:
    """One archive file's share of a partition's file.

    Attributes:
        key: what a later version of the archive file replaces, see `pointline.sources.base.Identity.key`.
        sha256, options: the version: its content, and what the user chose.
        rank: preference among files that tell the same, smaller is better.
        clock: ``"recorded"`` or ``"assumed"``.
        file_name: of the archive file.
        declared: its declared period ``(start, end)`` on the exchange's clock, if it has one.
        rows: how many rows of the partition's file are its.
    """

    key: str
    sha256: str
    options: str
    rank: int
    clock: str
    file_name: str
    declared: tuple[int, int] | None = None
    rows: int = 0

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Feed:
        """A feed as a footer tells it."""
        declared = entry["declared"]
        return cls(**{**entry, "declared": None if declared is None else tuple(declared)})


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
            if decimals > schema.MAX_DECIMALS:
                worst = next(v for v in part.tolist() if not _fits(np.array([v]), schema.MAX_DECIMALS))
                raise AmountOverflowError(
                    "an amount cannot be stored exactly", value=worst, expected=f"up to {schema.MAX_DECIMALS} decimals and 51 bits"
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
            write_page_checksum=True,  # for readers that check them
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
            text = json.dumps(footer, sort_keys=True)
            self._parquet.add_key_value_metadata({FOOTER_KEY: text, FOOTER_CRC_KEY: footer_crc(text)})
        self._parquet.close()


def write_partition(path: Path, stored: pl.DataFrame, kind: str, feeds: list[Feed]) -> Totals:
    """Writes a partition's Parquet file and returns its totals.

    Args:
        path: where to.
        stored: rows as they are stored.
        kind: table name.
        feeds: the archive files that the rows come from.

    Raises:
        LakeError: the disk is full.
    """
    with disk_errors(path):
        make_folder(path.parent)
        writer = PartitionWriter(path, kind)
        try:
            for group in stored.iter_slices(ROW_GROUP_ROWS):
                writer.write(group)
        except BaseException:
            with contextlib.suppress(Exception):
                writer.close()
            raise
        writer.close(feeds)
    return writer.totals
