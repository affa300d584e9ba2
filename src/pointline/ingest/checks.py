"""What is checked of an archive file's rows before they may land, and what is set aside with which reason."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pointline import schema
from pointline.ingest.off_book import flag_off_book
from pointline.sources.base import REJECT_SCHEMA


@dataclass(frozen=True)
class Checked:
    """Rows that may land, rows set aside (`REJECT_SCHEMA`), and what was counted on the way.

    Attributes:
        frame: rows in time order.
        rejects: rows for quarantine.
        duplicates: repeats that were dropped.
        out_of_order: rows earlier than the row above them.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    duplicates: int
    out_of_order: int

    @property
    def rows(self) -> int:
        """How many rows may land."""
        return self.frame.height


def check_rows(frame: pl.DataFrame, kind: str) -> Checked:
    """Sorts one file's rows of one partition by time (ties in file order), drops repeats, flags off-book prints.

    Args:
        frame: parsed rows in file order.
        kind: table name.
    """
    out_of_order = int((frame["ts_local_us"].diff() < 0).sum())
    if out_of_order:
        frame = frame.sort("ts_local_us", maintain_order=True)
    frame, rejects, duplicates = _of_each_identity(frame, kind)
    if kind == "trades":
        frame = flag_off_book(frame)
    return Checked(frame, rejects, duplicates, out_of_order)


def _of_each_identity(frame: pl.DataFrame, kind: str) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Drops repeats among rows that one kind of id tells apart: numbers of trades, numbers of aggregated trades, text."""
    identity = list(schema.table(kind).identity)
    if not schema.table(kind).continuous or frame["first_trade_id"].null_count() + frame["text_id"].null_count() == 2 * frame.height:
        return _without_repeats(frame, identity)
    aggregated, text = pl.col("first_trade_id").is_not_null(), pl.col("text_id").is_not_null()
    groups = [(aggregated, identity), (~aggregated & text, ["text_id"]), (~aggregated & ~text, identity)]
    parts = [_without_repeats(part, own) for mask, own in groups if not (part := frame.filter(mask)).is_empty()]
    kept = pl.concat([part for part, _, _ in parts]).sort("ts_local_us", "source_row", maintain_order=True)
    return kept, pl.concat([rejects for _, rejects, _ in parts]), sum(count for _, _, count in parts)


def _without_repeats(frame: pl.DataFrame, identity: list[str]) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """A repeated id with the same content is dropped and counted; with other content it is set aside.

    The receipt time is no content: of one trade that two connections received, the row received first stays, which is the first in
    time order. A state that the exchange's time tells apart, such as a ticker, may change within one stamp: other values that were received
    later are no contradiction, and stay.
    """
    nothing = pl.DataFrame(schema=REJECT_SCHEMA)
    key = frame[identity[0]]
    if len(identity) == 1 and key.dtype.is_integer() and key.null_count() == 0 and bool((key.diff().drop_nulls() > 0).all()):
        return frame, nothing, 0
    known = pl.all_horizontal(pl.col(identity).is_not_null())
    repeated = frame.select(~pl.struct(identity).is_first_distinct() & known).to_series()
    if not repeated.any():
        return frame, nothing, 0
    content = [name for name in frame.columns if name not in {"source_row", "ts_local_us"}]
    exact = frame.select(~pl.struct(content).is_first_distinct()).to_series()
    if identity == ["ts_event_us"]:
        later = pl.col("ts_local_us") != pl.col("ts_local_us").first().over(identity)
        repeated &= exact | ~frame.select(later).to_series()
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
