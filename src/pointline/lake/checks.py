"""What is checked of an archive file's rows before they may land, and what is set aside with which reason."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from pointline import schema
from pointline.clock import SECOND_US
from pointline.sources.base import REJECT_SCHEMA

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
    """Prints further than `limit` from the last accepted price, unless a later trade confirms the level.

    The verdict on a trade uses only trades before it: a jump is set aside at first, and the first trade at a later time
    that lies within the limit of the jump (or comes more than a minute after the last accepted trade) is accepted.
    """
    prices = frame["price"].to_numpy()
    times = frame["ts_local_us"].to_numpy()
    jumps = np.flatnonzero(np.abs(prices[1:] / prices[:-1] - 1.0) > limit) + 1
    aside: list[int] = []
    done = 0
    for jump in jumps.tolist():
        if jump >= done:
            done = _walk_jump(prices, times, jump, limit, aside)
    if not aside:
        return frame, pl.DataFrame(schema=REJECT_SCHEMA)
    mask = np.zeros(len(prices), dtype=bool)
    mask[aside] = True
    rejects = frame.filter(pl.Series(mask)).select(
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
    return frame.filter(pl.Series(~mask)), rejects


def _walk_jump(prices: np.ndarray, times: np.ndarray, jump: int, limit: float, aside: list[int]) -> int:
    """Judges rows from `jump` on until one is accepted; returns the first row that was not looked at."""
    accepted = jump - 1
    suspect = -1
    for i in range(jump, len(prices)):
        near_accepted = abs(prices[i] / prices[accepted] - 1.0) <= limit
        confirms = suspect >= 0 and times[i] > times[suspect] and abs(prices[i] / prices[suspect] - 1.0) <= limit
        if near_accepted or confirms or times[i] - times[accepted] > CONFIRM_WITHIN_US:
            return i + 1
        aside.append(i)
        suspect = i
    return len(prices)
