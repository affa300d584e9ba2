"""What a reader wants to know of a partition without decoding it; it stands in the footer of the partition's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline.clock import SECOND_US

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST_HOLE_US = SECOND_US
"""Missing ids between two trades are a hole in time where the trades lie at least this far apart."""

MOST_HOLES = 1_000
_SPANS = ("ts_local_us", "ts_event_us")


class Totals:
    """Totals of stored rows that come row group by row group, in order.

    ``rows``, and the first and last time on both clocks; of trades also the decimals, the sum and the largest of the quantities, the
    first and last id of the single trades behind the rows, how many ids between them are missing (``missing_ids``), the spans on
    ``ts_local_us`` in which they are missing (``holes``, `MOST_HOLES` at most, the longest), how many prints are flagged
    (``off_book``), how many sides are not known (``unknown_sides``), and price and time of the last print. Flagged prints count for
    the ids only.
    """

    def __init__(self, kind: str) -> None:
        self._ids = _Ids() if kind.removesuffix("_reserve") == "trades" else None
        self._spans: dict[str, tuple[int, int]] = {}
        self._decimals: dict[str, int] = {}
        self.rows = 0
        self.off_book = 0
        self._flagged: dict[int, int] = {}  # by archive file
        self._unknown_sides = 0
        self._qty = 0
        self._largest_qty = 0
        self._last: tuple[int | None, int | None] = (None, None)  # price and time of the last print on the book

    def add(self, rows: pl.DataFrame) -> None:
        """Counts the next rows, as stored."""
        self.rows += rows.height
        for name in _SPANS:
            low, high = int(rows[name].min()), int(rows[name].max())  # type: ignore[arg-type]
            first, last = self._spans.get(name, (low, high))
            self._spans[name] = (min(first, low), max(last, high))
        if self._ids is not None:
            self._add_trades(rows, self._ids)

    def _add_trades(self, rows: pl.DataFrame, ids: _Ids) -> None:
        self._decimals = self._decimals or {name: rows[name][0] for name in ("price_decimals", "qty_decimals")}
        ids.add(rows)
        self._unknown_sides += rows["side"].null_count()
        flagged = int(rows["off_book"].sum() or 0)
        self.off_book += flagged
        if flagged:
            for source_file, count in rows.filter("off_book").group_by("source_file").len().iter_rows():
                self._flagged[source_file] = self._flagged.get(source_file, 0) + count
            rows = rows.filter(~pl.col("off_book").fill_null(value=False))
        if rows.is_empty():
            return
        self._qty += _sum(rows["qty_int"])
        self._largest_qty = max(self._largest_qty, int(rows["qty_int"].max()))  # type: ignore[arg-type]
        self._last = (rows["price_int"][-1], rows["ts_local_us"][-1])

    def flagged_of(self, source_file: int) -> int:
        """How many prints of one archive file are flagged."""
        return self._flagged.get(source_file, 0)

    def bounds(self) -> dict[str, tuple[int, int]]:
        """Smallest and largest value of both clocks."""
        return dict(self._spans)

    @property
    def missing_ids(self) -> int:
        """How many ids are missing between the first and the last."""
        return 0 if self._ids is None else int(self._ids.values()["missing_ids"])

    def values(self) -> dict[str, Any]:
        """What goes into the file's footer."""
        local, event = (self._spans[name] for name in _SPANS)
        totals: dict[str, Any] = {
            "rows": self.rows,
            "first_local_us": local[0],
            "last_local_us": local[1],
            "first_event_us": event[0],
            "last_event_us": event[1],
        }
        if self._ids is not None:
            totals |= {
                **self._decimals,
                "qty_int": str(self._qty),
                "max_qty_int": self._largest_qty,
                **self._ids.values(),
                "off_book": self.off_book,
                "unknown_sides": self._unknown_sides,
                "last_price_int": self._last[0],
                "last_trade_us": self._last[1],
            }
        return totals


class _Ids:
    """Ids of the single trades behind the rows, and what is missing between them."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._last: int | None = None
        self._count = 0
        self._last_us = 0
        self._holes: list[tuple[int, int]] = []

    def add(self, rows: pl.DataFrame) -> None:
        """The ids of the next rows."""
        rows = rows.select("ts_local_us", "trade_id", "first_trade_id", "last_trade_id")
        if rows["trade_id"].null_count():
            rows = rows.filter(pl.col("trade_id").is_not_null())
        if rows.is_empty():
            return
        first = last = rows["trade_id"].to_numpy()
        if rows["first_trade_id"].null_count() < rows.height:
            first = rows["first_trade_id"].fill_null(rows["trade_id"]).to_numpy()
            last = rows["last_trade_id"].fill_null(rows["trade_id"]).to_numpy()
        low, high = int(first.min()), int(last.max())
        count = int((last - first).sum()) + len(first)
        follows = self._last is None or low == self._last + 1
        if not follows or high - low + 1 != count:
            self._find_holes(rows["ts_local_us"].to_numpy(), first, last)
        self._first = low if self._first is None else min(self._first, low)
        self._last = high if self._last is None else max(self._last, high)
        self._count += count
        self._last_us = rows["ts_local_us"][-1]

    def values(self) -> dict[str, Any]:
        """Their part of the totals."""
        missing = 0 if self._first is None or self._last is None else max(0, self._last - self._first + 1 - self._count)
        longest = sorted(self._holes, key=lambda hole: hole[0] - hole[1])[:MOST_HOLES]
        return {"first_id": self._first, "last_id": self._last, "missing_ids": missing, "holes": [list(h) for h in sorted(longest)]}

    def _find_holes(self, times: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]) -> None:
        before = np.maximum.accumulate(np.concatenate([[first[0] - 1 if self._last is None else self._last], last[:-1]]))
        times_before = np.concatenate([[times[0] if self._last is None else self._last_us], times[:-1]])
        found = np.flatnonzero((first > before + 1) & (times - times_before >= LEAST_HOLE_US))
        self._holes += [(int(times_before[at]) + 1, int(times[at])) for at in found.tolist()]


def _sum(values: pl.Series) -> int:
    """The exact sum, in 64 bits where that is sure to hold it."""
    largest = max(abs(int(values.min() or 0)), abs(int(values.max() or 0)))  # type: ignore[arg-type]
    return int((values if largest * len(values) < 1 << 63 else values.cast(pl.Int128)).sum())
