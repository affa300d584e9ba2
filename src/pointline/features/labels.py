"""Labels: what happened after the end of a bar. They are never features and never in the features frame.

A label starts at ``bucket_end``, when the bar becomes known, with the closes known then. It is null if its window goes past the end of the
data or over a hole (`pointline.features.stretches`).
The data end with the last bar. If that bar is not ``complete``, they end with the one before it, because an incomplete last bar may have
been cut off. Bars closed by midnight are incomplete too, but bars follow them, so they count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import DurationLike, duration_text, is_whole, to_duration_us
from pointline.errors import ConfigError
from pointline.features.basis import basis_expr
from pointline.features.feature import FeatureParams, PairParams, ratio
from pointline.features.stretches import stretch_numbers, stretch_of, within

if TYPE_CHECKING:
    from collections.abc import Sequence

_DEFAULTS = FeatureParams()
_NEEDED = ("bucket_start", "bucket_end", "complete", "perp_close", "spot_close", "perp_age_us", "spot_age_us")
_VALUES = {
    "perp_close": stretch_of(["perp_close"]),
    "spot_close": stretch_of(["spot_close"]),
    "basis": stretch_of(["perp_close", "spot_close"]),
}


def label_names(horizons_bars: Sequence[int] = (1, 5, 10), horizons_us: Sequence[DurationLike] = ()) -> list[str]:
    """The columns of `forward_labels` beside ``bucket_end``, horizon by horizon: perp return, spot return, change of basis.

    Raises:
        ConfigError: a horizon is not a positive whole number or a duration, or is given twice.

    Examples:
        >>> label_names((1,), ("60s",))[::3]
        ['perp_forward_ret_1bar', 'perp_forward_ret_1m']
    """
    counts, lengths_us = _horizons(horizons_bars, horizons_us)
    horizons = [*(f"{bars}bar" for bars in counts), *map(duration_text, lengths_us)]
    return [name for horizon in horizons for name in _names(horizon)]


def forward_labels(
    bars: pl.DataFrame,
    horizons_bars: Sequence[int] = (1, 5, 10),
    horizons_us: Sequence[DurationLike] = (),
    *,
    params: FeatureParams = _DEFAULTS,
) -> pl.DataFrame:
    """Forward returns of perp and spot and forward change of the basis, one row per bar, keyed by ``bucket_end``.

    Args:
        bars: one row per bar, sorted by ``bucket_start``.
        horizons_bars: horizons counted in rows of the frame: close(k + h) / close(k) - 1 and basis(k + h) - basis(k) in bps.
        horizons_us: horizons by the clock: ``"10m"``, a timedelta or integer microseconds. The value at ``bucket_end + horizon`` is that
            of the last bar that has ended by then, so it comes from trades strictly before it. A horizon shorter than the next bar finds
            the same close and gives 0: choose horizons of several bars. Null if that instant is after the data, between two bars that
            do not touch or inside a bar with a hole, and if a hole lies in between.
        params: age limits of the basis, and the price factor of the pair (`Study.params`); the basis is null where ``basis_bps`` is.

    Returns:
        ``bucket_end`` and, for each horizon, ``perp_forward_ret_…`` and ``spot_forward_ret_…`` (fractions) and
        ``basis_forward_change_…_bps``. Closes are as-of: a quiet venue returns 0, see its ``…_age_us``.

    Raises:
        ConfigError: a column is missing, the bars are out of order, or a horizon is not a positive whole number or a duration, or is given
            twice.

    Examples:
        >>> import polars as pl
        >>> from pointline.features import forward_labels
        >>> bars = pl.DataFrame(
        ...     {
        ...         "bucket_start": [0, 10, 20],
        ...         "bucket_end": [10, 20, 30],
        ...         "complete": [True, True, True],
        ...         "perp_close": [100.0, 101.0, 101.0],
        ...         "spot_close": [100.0, 100.0, 102.0],
        ...         "perp_age_us": [1, 1, 1],
        ...         "spot_age_us": [1, 1, 1],
        ...     }
        ... )
        >>> labels = forward_labels(bars, horizons_bars=(1,))
        >>> labels["perp_forward_ret_1bar"].round(4).to_list()
        [0.01, 0.0, None]
    """
    _check(bars)
    counts, lengths_us = _horizons(horizons_bars, horizons_us)
    last = pl.int_range(pl.len()) == pl.len() - 1
    trusted = ~(last & ~pl.col("complete"))
    known = bars.with_columns(stretch_numbers(bars.columns)).select(
        "bucket_start",
        "bucket_end",
        *(pl.when(trusted).then(name).alias(name) for name in ("perp_close", "spot_close")),
        pl.when(trusted).then(basis_expr(PairParams.of(params))).alias("basis"),
        trusted.alias("trusted"),
        *sorted(set(_VALUES.values())),
    )
    columns = [known["bucket_end"]]
    for count in counts:
        later = known.select(within(pl.col(name).shift(-count), stretch, -count).alias(name) for name, stretch in _VALUES.items())
        columns += _changes(known, later, f"{count}bar")
    for length_us in lengths_us:
        columns += _changes(known, _values_at(known, length_us), duration_text(length_us))
    return pl.DataFrame(columns)


def _values_at(known: pl.DataFrame, horizon_us: int) -> pl.DataFrame:
    """The values of the last trusted bar that has ended at ``bucket_end + horizon_us``; null where no bar covers that instant.

    If the instant lies inside a bar with a hole, it can lie on either side of the hole, so the values are null.
    """
    numbers = sorted(set(_VALUES.values()))
    goes_on = (pl.col("bucket_start").shift(-1) == pl.col("bucket_end")).fill_null(value=False)
    same_next = {
        name: (goes_on & (pl.col(stretch).shift(-1) == pl.col(stretch))).alias(f"{name}_goes_on") for name, stretch in _VALUES.items()
    }
    ended = known.filter("trusted").select(
        pl.col("bucket_end").alias("ended_us"), *_VALUES, *same_next.values(), *(pl.col(name).alias(f"then{name}") for name in numbers)
    )
    wanted = known.select((pl.col("bucket_end") + horizon_us).alias("at_us"), *numbers)
    found = wanted.join_asof(ended, left_on="at_us", right_on="ended_us", strategy="backward", coalesce=False)
    at_end = pl.col("at_us") == pl.col("ended_us")
    return found.select(
        pl.when((at_end | pl.col(f"{name}_goes_on")) & (pl.col(stretch) == pl.col(f"then{stretch}"))).then(name).alias(name)
        for name, stretch in _VALUES.items()
    )


def _changes(known: pl.DataFrame, later: pl.DataFrame, horizon: str) -> list[pl.Series]:
    both = known.select(*_VALUES).hstack(later.select(pl.all().name.prefix("later_")))
    perp, spot, basis = _names(horizon)
    changes = both.select(
        (ratio(pl.col("later_perp_close"), pl.col("perp_close")) - 1).alias(perp),
        (ratio(pl.col("later_spot_close"), pl.col("spot_close")) - 1).alias(spot),
        (pl.col("later_basis") - pl.col("basis")).alias(basis),
    )
    return changes.select(pl.when(pl.all().is_finite()).then(pl.all())).get_columns()


def _names(horizon: str) -> tuple[str, str, str]:
    return f"perp_forward_ret_{horizon}", f"spot_forward_ret_{horizon}", f"basis_forward_change_{horizon}_bps"


def _horizons(horizons_bars: Sequence[int], horizons_us: Sequence[DurationLike]) -> tuple[list[int], list[int]]:
    """The horizons as whole numbers of bars and microseconds."""
    whole = all(is_whole(count) and count > 0 for count in horizons_bars)
    lengths_us = [to_duration_us(length, name="horizons_us") for length in horizons_us]
    given = {"horizons_bars": horizons_bars, "horizons_us": lengths_us}
    for name, horizons in given.items():
        if len(set(horizons)) != len(horizons) or (name == "horizons_bars" and not whole):
            raise ConfigError(
                f"{name} cannot be used",
                where="forward_labels",
                value=list(horizons),
                expected="distinct whole numbers above zero" if name == "horizons_bars" else "distinct durations",
            )
    return [int(count) for count in horizons_bars], lengths_us


def _check(bars: pl.DataFrame) -> None:
    missing = [name for name in _NEEDED if name not in bars.columns]
    if missing:
        raise ConfigError("the bars lack columns that labels need", where="forward_labels, bars", value=missing)
    if not bars["bucket_start"].is_sorted():
        raise ConfigError("the bars are not in order of bucket_start", where="forward_labels, bars", hint="sort them by bucket_start first")
