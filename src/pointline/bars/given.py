"""Bars with given windows: a spine of the user's own, from another tool or another instrument."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.rules import Anchor, BarRule
from pointline.clock import time_text
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EDGES = ("bucket_start", "bucket_end")


@dataclass(frozen=True, eq=False)
class GivenBars(BarRule):
    """Bars that close where the windows of a spine close; time between two windows that do not touch belongs to no bar.

    Attributes:
        spine: one row per window: ``bucket_start`` and ``bucket_end``, int64 microseconds UTC, half-open, in order, without overlap.
            ``bar_id`` (else the row's number), ``symbol_id`` (else the driver's) and ``complete`` (else True) are taken where they are.

    Raises:
        ConfigError: a column is missing or of another type, there is no window, or the windows are out of order, overlap or are empty.
    """

    kind = "given"
    threshold_field = "spine"
    unit = "time"
    cacheable = False

    spine: pl.DataFrame = field(repr=False)
    anchor: Anchor = field(default="start", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anchor != "start":
            raise ConfigError("a spine of your own cannot be anchored by day", where="bars", value=self.anchor, expected="anchor='start'")
        wrong = [name for name in _EDGES if self.spine.schema.get(name) != pl.Int64]
        if wrong:
            raise ConfigError(
                "the spine lacks columns with the edges of its windows",
                where="bars",
                value=dict(self.spine.schema),
                expected="bucket_start and bucket_end, int64 microseconds UTC",
                hint="get_builder(...).build_spine(...) makes such a frame",
            )
        if self.spine.is_empty():
            raise ConfigError("the spine has no window", where="bars", expected="one row or more")
        starts, ends = (self.spine[name] for name in _EDGES)
        bad = (ends <= starts) | (starts < ends.shift(1)).fill_null(value=False) | starts.is_null() | ends.is_null()
        if bad.any():
            row = int(bad.arg_max() or 0)
            raise ConfigError(
                "the windows of the spine are out of order, overlap, or are empty",
                where=f"bars, row {row}",
                value=f"[{starts[row]}, {ends[row]})",
                expected="bucket_start < bucket_end <= the next bucket_start",
                hint="spine.sort('bucket_start')",
            )

    @property
    def text(self) -> str:
        """How many windows, and from when to when."""
        span = f"{time_text(self.spine['bucket_start'][0])} to {time_text(self.spine['bucket_end'][-1])} UTC"
        return f"a spine of {self.spine.height:,} windows, {span}"

    def words(self, base_asset: str, quote_asset: str) -> str:  # noqa: ARG002 - of the other kinds
        """As `text`."""
        return self.text

    def closes(self, start_us: int, end_us: int) -> Sequence[int]:
        """Every edge of a window. Time between two windows is counted too, and `kept` leaves it out."""
        edges = pl.concat([self.spine[name].alias("edge") for name in _EDGES]).unique().sort()
        return edges.filter((edges > start_us) & (edges <= end_us)).to_list()

    def kept(self, bars: pl.DataFrame) -> pl.DataFrame:
        """The bars that are windows of the spine, with its columns."""
        told = [name for name in ("symbol_id", "bar_id", "complete") if name in self.spine.columns]
        windows = self.spine.with_row_index("_row").select(*_EDGES, *(pl.col(name).alias(f"_{name}") for name in told), "_row")
        found = bars.join(windows, on=list(_EDGES), how="inner", maintain_order="left")
        own = {"symbol_id": pl.col("symbol_id"), "bar_id": pl.col("_row").cast(pl.Int64), "complete": pl.lit(value=True)}
        values = [(pl.col(f"_{name}") if name in told else other).alias(name) for name, other in own.items()]
        return found.with_columns(values).drop([f"_{name}" for name in told], "_row")
