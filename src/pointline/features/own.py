"""The user's own features: computed, and then checked for look-ahead and for the window that they state.

At `CHECKED_BARS` bars of every frame (half of them evenly spread, half where the feature has a value) a registered or extra feature is
computed a second time, from the bars of its window alone, with all features that it reads. The value must be the same. It differs if the
window is too short, and for ``shift(-1)``, a mean or rank of the whole column, or a running sum of all earlier bars. Other bars are not
checked: look-ahead that changes one value in a thousand may pass.

Floats count as equal within `TOLERANCE`, because a sliding sum (``rolling_mean`` of polars) carries the rounding of all earlier bars.
`pointline.features.rolling` has means that do not.
"""

from __future__ import annotations

import math
from textwrap import shorten
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import time_text
from pointline.errors import ConfigError
from pointline.features.stretches import stretch_of, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pointline.features.feature import Feature, PairParams

CHECKED_BARS = 16
"""Bars of a frame at which a feature is computed again."""

TOLERANCE = 1e-6
"""Relative difference of two floats that count as equal; a thousandth of it, of the column's largest, counts as zero."""

_LONGEST_TEXT = 200


def add_own(table: pl.DataFrame, feature: Feature, params: PairParams, origins: Callable[[Feature], Iterable[str]]) -> pl.DataFrame:
    """The table with the feature's column; infinity and not-a-number are null.

    Args:
        table: bars with the numbers of their stretches and every feature that is read.
        feature: the one to add.
        params: of its formula.
        origins: the columns of the bars that a feature comes from in the end.

    Raises:
        ConfigError: the feature's code raises; the error names the feature.
    """
    try:
        value = within(feature.expression(params), stretch_of(origins(feature)), feature.bars_needed(params))
        added = table.with_columns(value.alias(feature.name))
        return added.with_columns(pl.when(pl.col(feature.name).is_finite()).then(feature.name)) if feature.dtype.is_float() else added
    except Exception as error:
        raise ConfigError(
            f"the feature {feature.name} cannot be computed",
            where=f"feature {feature.name}",
            value=shorten(f"{type(error).__name__}: {error}", _LONGEST_TEXT),
            expected="a polars expression of its inputs, one value per bar",
        ) from error


def check_own(
    table: pl.DataFrame,
    feature: Feature,
    params: PairParams,
    computed: Callable[[int, int, Iterable[str]], pl.DataFrame],
) -> None:
    """Refuses a feature whose values at `CHECKED_BARS` bars do not come from the window that it states.

    Args:
        table: all bars with all features.
        feature: the one to check.
        params: of its formula.
        computed: features anew, from as many bars from a place on, and from nothing else.

    Raises:
        ConfigError: a value is another one; the error has the bar and both values.
    """
    name, bars = feature.name, feature.bars_needed(params)
    for row in _places(table[name], bars):
        if _same(table[name], row, computed(row - bars + 1, bars, [name])[name]):
            continue
        where = f"feature {name}, row {row} of {table.height}, the bar that ends at {time_text(table['bucket_end'][row])}"
        full, cut = table[name][row], computed(0, row + 1, [name])[name]
        if not _same(table[name], row, cut):
            raise ConfigError(
                f"the feature {name} looks ahead: bars that come later change its value",
                where=where,
                value=f"{full!r}, and {cut[-1]!r} without the bars after it",
                expected="a value computed from its bar and earlier bars",
                hint="shift(1), never shift(-1); rolling means and ranks, never those of the whole column",
            )
        alone = computed(row - bars + 1, bars, [name])[name][-1]
        raise ConfigError(
            f"the feature {name} depends on more bars than its window of {bars}",
            where=where,
            value=f"{full!r}, and {alone!r} from {bars} bar{'s' * (bars > 1)} alone",
            expected="window= the bars that a value depends on, its own included and those of its inputs counted",
            hint="shift(1) needs window=2, a rolling mean of 20 bars window=20; a sum of all earlier bars has no window",
        )


def _places(column: pl.Series, bars: int) -> list[int]:
    """Where to look: bars with a whole window in front and, where there are any, bars behind."""
    rows = pl.int_range(bars - 1, max(len(column) - 1, bars), eager=True)
    rows = rows.filter(rows < len(column))
    return sorted({*_spread(rows), *_spread(rows.filter(column.is_not_null().gather(rows)))})


def _spread(rows: pl.Series) -> list[int]:
    """Half of `CHECKED_BARS` of the rows, evenly spread, the last one among them."""
    count = min(len(rows), CHECKED_BARS // 2)
    return [int(rows[len(rows) - 1 - place * len(rows) // count]) for place in range(count)]


def _same(column: pl.Series, row: int, other: pl.Series) -> bool:
    """Whether the value at a row is the last one of another column."""
    one, last = column.slice(row, 1), other.tail(1)
    if one.equals(last, null_equal=True):
        return True
    if not column.dtype.is_float() or one[0] is None or last[0] is None:
        return False
    largest = column.abs().max()
    return math.isclose(one[0], last[0], rel_tol=TOLERANCE, abs_tol=TOLERANCE * 1e-3 * float(largest))  # type: ignore[arg-type]
