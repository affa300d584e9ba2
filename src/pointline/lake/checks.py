"""What is checked of an archive file's rows before they may land, and what is set aside with which reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import schema
from pointline.clock import SECOND_US
from pointline.sources.base import REJECT_SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONFIRM_WITHIN_US = 60 * SECOND_US


@dataclass(frozen=True)
class Checked:
    """Rows that may land, rows set aside (`REJECT_SCHEMA`), and what was counted on the way.

    Attributes:
        frame: rows in time order.
        rejects: rows for quarantine.
        duplicates: repeats that were dropped.
        out_of_order: rows earlier than the row above them.
        ids: smallest and largest trade id and how many there are, off-book prints included; None without ids.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    duplicates: int
    out_of_order: int
    ids: tuple[int, int, int] | None

    @property
    def rows(self) -> int:
        """How many rows may land."""
        return self.frame.height


def check_rows(frame: pl.DataFrame, kind: str, off_book_limit: float) -> Checked:
    """Sorts one file's rows of one partition by time (ties in file order), drops repeats, sets off-book prints aside.

    Args:
        frame: parsed rows in file order.
        kind: table name.
        off_book_limit: relative distance from the last accepted price beyond which a print is off-book; 0 = keep all.
    """
    identity = list(schema.table(kind).identity)
    out_of_order = int((frame["ts_local_us"].diff() < 0).sum())
    if out_of_order:
        frame = frame.sort("ts_local_us", maintain_order=True)
    frame, rejects, duplicates = _without_repeats(frame, identity)
    ids = _id_span(frame) if schema.table(kind).continuous else None
    if kind == "trades" and off_book_limit > 0:
        frame, off_book = _without_off_book(frame, off_book_limit)
        rejects = pl.concat([rejects, off_book])
    return Checked(frame, rejects, duplicates, out_of_order, ids)


def _id_span(frame: pl.DataFrame) -> tuple[int, int, int] | None:
    ids = frame["trade_id"]
    if ids.is_empty() or ids.null_count():
        return None
    return int(ids.min()), int(ids.max()), len(ids)  # type: ignore[arg-type]


def _without_repeats(frame: pl.DataFrame, identity: list[str]) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """A repeated id with the same content is dropped and counted; with other content it is set aside."""
    nothing = pl.DataFrame(schema=REJECT_SCHEMA)
    key = frame[identity[0]]
    if len(identity) == 1 and key.null_count() == 0 and bool((key.diff().drop_nulls() > 0).all()):
        return frame, nothing, 0
    known = pl.all_horizontal(pl.col(identity).is_not_null())
    repeated = frame.select(~pl.struct(identity).is_first_distinct() & known).to_series()
    if not repeated.any():
        return frame, nothing, 0
    content = [name for name in frame.columns if name != "source_row"]
    exact = frame.select(~pl.struct(content).is_first_distinct()).to_series()
    conflicts = frame.filter(repeated & ~exact)
    rejects = conflicts.select(
        line=pl.col("source_row"),
        column=pl.lit(identity[0]),
        value=pl.col(identity[0]).cast(pl.String),
        reason=pl.lit("the same id stands above with other values"),
        raw=pl.lit(None, dtype=pl.String),
        fatal=pl.lit(value=False),
    )
    return frame.filter(~repeated), rejects, int((repeated & exact).sum())


def _without_off_book(frame: pl.DataFrame, limit: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    aside = OffBook(limit).judge(frame["price"].to_numpy(), frame["ts_local_us"].to_numpy())
    if not aside:
        return frame, pl.DataFrame(schema=REJECT_SCHEMA)
    mask = np.zeros(frame.height, dtype=bool)
    mask[aside] = True
    return frame.filter(pl.Series(~mask)), off_book_rejects(frame.filter(pl.Series(mask)), limit)


def off_book_rejects(prints: pl.DataFrame, limit: float) -> pl.DataFrame:
    """What quarantine says of trades that were set aside."""
    return prints.select(
        line=pl.col("source_row"),
        column=pl.lit("price"),
        value=pl.col("price").cast(pl.String),
        reason=pl.format(
            "off-book print: further than {}% from the last trade, trade {}",
            pl.lit(f"{limit * 100:g}"),
            pl.col("trade_id").cast(pl.String).fill_null("without id"),
        ),
        raw=pl.lit(None, dtype=pl.String),
        fatal=pl.lit(value=False),
    )


class OffBook:
    """Sets prints aside that are further than `limit` from the last accepted price, unless a later trade confirms the level.

    The verdict on a trade uses only trades before it: a jump is set aside at first, and the first trade at a later time
    that lies within the limit of the jump (or comes more than a minute after the last accepted trade) is accepted. A day may
    come in parts; how it is cut changes no verdict.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._accepted: tuple[np.float64, np.int64] | None = None  # price and time
        self._suspect: tuple[np.float64, np.int64] | None = None  # the last print set aside, while no trade after it was accepted

    def judge(self, prices: NDArray[np.float64], times: NDArray[np.int64]) -> list[int]:
        """Positions of the trades to be set aside among the next ones, which are in time order."""
        aside: list[int] = []
        if not len(prices):
            return aside
        jumps = (np.flatnonzero(np.abs(prices[1:] / prices[:-1] - 1.0) > self._limit) + 1).tolist()
        if self._accepted is not None and (self._suspect is not None or abs(prices[0] / self._accepted[0] - 1.0) > self._limit):
            done = self._walk(prices, times, 0, aside, self._accepted)
        else:
            done = 1
        for jump in jumps:
            if jump >= done:
                done = self._walk(prices, times, jump, aside, (prices[jump - 1], times[jump - 1]))
        if self._suspect is None:
            self._accepted = (prices[-1], times[-1])
        return aside

    def _walk(
        self, prices: NDArray[np.float64], times: NDArray[np.int64], start: int, aside: list[int], accepted: tuple[np.float64, np.int64]
    ) -> int:
        """Judges rows from `start` on until one is accepted; returns the first row that was not looked at."""
        for i in range(start, len(prices)):
            suspect = self._suspect
            near_accepted = abs(prices[i] / accepted[0] - 1.0) <= self._limit
            confirms = suspect is not None and times[i] > suspect[1] and abs(prices[i] / suspect[0] - 1.0) <= self._limit
            if near_accepted or confirms or times[i] - accepted[1] > CONFIRM_WITHIN_US:
                self._suspect = None
                return i + 1
            aside.append(i)
            self._suspect = (prices[i], times[i])
        self._accepted = accepted
        return len(prices)
