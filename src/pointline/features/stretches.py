"""Stretches of bars without a hole: no value looks back or forward from one into another.

A hole lies between a bar and the one before if the two do not touch (``bucket_start`` is not the previous ``bucket_end``), or if the bar is
marked because trades of a venue are missing in between (``perp_hole``, ``spot_hole``; bars without these columns have no such holes).
Values of the perp depend on the perp's holes, those of spot on the spot's, and comparisons on both. State (funding, mark, open interest)
has ages of its own and depends only on bars that do not touch.

Every feature and label with a window of more than one bar passes through `within`, which reads nothing but that window; built-in features
only if the bars are not one stretch, since without holes each is null until its window is full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.features.feature import HOLE_COLUMNS, KEY_COLUMNS
from pointline.state.attach import STATE_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_HEEDED: dict[str, tuple[str, ...]] = {
    "_stretch_bars": (),
    "_stretch_perp": ("perp_hole",),
    "_stretch_spot": ("spot_hole",),
    "_stretch_both": HOLE_COLUMNS,
}
_WITHOUT_VENUE = frozenset((*KEY_COLUMNS, *STATE_COLUMNS))


def are_whole(bars: pl.DataFrame) -> bool:
    """Whether the bars are one stretch of every kind. Then nothing has to be cut, which is the usual case and spares its cost."""
    touch = np.array_equal(bars["bucket_start"].to_numpy()[1:], bars["bucket_end"].to_numpy()[:-1])
    return touch and not any(bars[name].any() for name in HOLE_COLUMNS if name in bars.columns)


def stretch_numbers(columns: Collection[str]) -> list[pl.Expr]:
    """A column for each kind of stretch: a number that rises by one at each hole.

    Args:
        columns: of the bars, which are sorted and have ``bucket_start`` and ``bucket_end``.
    """
    apart = (pl.col("bucket_start") != pl.col("bucket_end").shift(1)).fill_null(value=False)
    numbers = []
    for stretch, names in _HEEDED.items():
        holes = [pl.col(name).fill_null(value=False) for name in names if name in columns]
        numbers.append(pl.any_horizontal(apart, *holes).cast(pl.Int64).cum_sum().alias(stretch))
    return numbers


def stretch_of(columns: Iterable[str]) -> str:
    """The kind of stretch that a value of these columns of the bars stays in; a column of no venue that is no state counts for both."""
    sides = set()
    for name in columns:
        if name not in _WITHOUT_VENUE:
            side = name.split("_")[0]
            sides |= {side} if side in {"perp", "spot"} else {"perp", "spot"}
    return "_stretch_both" if len(sides) > 1 else f"_stretch_{sides.pop()}" if sides else "_stretch_bars"


def within(value: pl.Expr, stretch: str, bars: int) -> pl.Expr:
    """The value where its last `bars` bars are there and without a hole between two of them, else null.

    Args:
        value: an expression over bars with their `stretch_numbers`.
        stretch: the kind, see `stretch_of`.
        bars: how many bars it depends on, its own included; negative: how many bars later it ends, for labels.
    """
    if bars == 1:
        return value
    other = pl.col(stretch).shift(bars - 1 if bars > 0 else bars)
    return pl.when(pl.col(stretch) == other).then(value)
