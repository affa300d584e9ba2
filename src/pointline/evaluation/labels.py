"""Labels of a features frame as series, with the increments that tests of overlapping labels need.

A label is known some bars after its row; features are never made of it. Returns and basis changes are those of
`pointline.features.forward_labels`. Forward realised volatility is the root of the sum of squared one-bar returns (Andersen, Bollerslev,
Diebold, Labys 2003, doi:10.1111/1468-0262.00418), in bps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from pointline.clock import duration_text, to_duration_us
from pointline.errors import ConfigError, nearest
from pointline.features.labels import forward_labels, label_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pointline.clock import DurationLike
    from pointline.features.feature import FeatureParams

Label = Literal["perp_return", "spot_return", "basis_change", "perp_volatility", "spot_volatility"]
LABELS: tuple[Label, ...] = get_args(Label)
_BPS = 10_000.0
VOLATILITY_MEMORY = 100
"""Bars after which squared returns are taken to have forgotten each other; with less, a persistent feature seems to predict volatility."""


@dataclass(frozen=True, eq=False)
class LabelSeries:
    """One label at one horizon, a value for each row.

    Attributes:
        name: one of `LABELS`.
        horizon: ``"5 bars"`` or a duration such as ``"5m"``.
        bars: bars that the label looks ahead; of a duration, the median.
        memory: bars over which its increments depend on each other: `VOLATILITY_MEMORY` of volatility, of a duration the most bars that it
            spans, else 1.
        values: in bps, shape (n,), NaN where the label is not known.
        one_bar: its increments over one bar: of volatility, squared returns.
    """

    name: Label
    horizon: str
    bars: int
    memory: int
    values: NDArray[np.float64]
    one_bar: NDArray[np.float64]

    @property
    def in_bars(self) -> bool:
        """Whether the horizon counts bars."""
        return self.horizon.endswith(("bar", "bars"))


def label_series(
    frame: pl.DataFrame,
    labels: Sequence[Label],
    horizons_bars: Sequence[int],
    horizons_us: Sequence[DurationLike],
    params: FeatureParams,
) -> Iterator[LabelSeries]:
    """The labels of a features frame, label by label, horizons in bars first.

    Args:
        frame: one row per bar with the columns of the bars, as `Study.features`.
        labels: of `LABELS`.
        horizons_bars: in bars.
        horizons_us: by the clock.
        params: age limits of the basis, `Study.params`.

    Raises:
        ConfigError: an unknown label or horizon.

    Examples:
        >>> import polars as pl
        >>> from pointline.features import FeatureParams
        >>> closes, ends = [100.0, 101.0, 101.0], [1, 2, 3]
        >>> bars = pl.DataFrame({"bucket_start": [0, 1, 2], "bucket_end": ends, "complete": [True] * 3})
        >>> bars = bars.with_columns(perp_close=pl.Series(closes), spot_close=100.0, perp_age_us=0, spot_age_us=0)
        >>> [label] = label_series(bars, ("perp_return",), (1,), (), FeatureParams())
        >>> label.values.round(6)
        array([100.,   0.,  nan])
    """
    unknown = next((name for name in labels if name not in LABELS), None)
    if unknown is not None:
        raise ConfigError(
            "there is no such label", where="labels", value=unknown, expected=", ".join(LABELS), hint=nearest(unknown, LABELS).lower()
        )
    lengths_us = [to_duration_us(length, name="horizons_us") for length in horizons_us]
    counts = list(dict.fromkeys((1, *horizons_bars)))
    told = forward_labels(frame, counts, lengths_us, params=params)
    ends = frame["bucket_end"].to_numpy()
    last = {duration_text(length): np.searchsorted(ends, ends + length, side="right") - 1 for length in lengths_us}
    places = np.arange(frame.height)
    horizons = [
        (f"{count} bar{'s' * (count > 1)}", f"{count}bar", count, 1, np.minimum(places + count, frame.height)) for count in horizons_bars
    ]
    for text, found in last.items():
        spans = np.maximum(found - places, 1)
        horizons.append((text, text, int(np.median(spans)), int(spans.max()), found))
    for name in labels:
        one_bar = _increments(told, name)
        lasting = VOLATILITY_MEMORY if name.endswith("volatility") else 1
        for text, suffix, bars, memory, reached in horizons:
            yield LabelSeries(name, text, bars, max(memory, lasting), _values(told, name, suffix, one_bar, reached), one_bar)


def _column(told: pl.DataFrame, name: Label, suffix: str) -> NDArray[np.float64]:
    """The returns or changes of a horizon, in bps."""
    venue = name.split("_", maxsplit=1)[0]
    perp, spot, basis = (column for column in told.columns if column in _columns_of(suffix))
    column, scale = {"perp": (perp, _BPS), "spot": (spot, _BPS), "basis": (basis, 1.0)}[venue]
    return told[column].cast(pl.Float64).fill_null(np.nan).to_numpy() * scale


def _columns_of(suffix: str) -> list[str]:
    if suffix.endswith("bar"):
        return label_names((int(suffix.removesuffix("bar")),), ())
    return label_names((), (suffix,))


def _increments(told: pl.DataFrame, name: Label) -> NDArray[np.float64]:
    one_bar = _column(told, name, "1bar")
    return np.square(one_bar) if name.endswith("volatility") else one_bar


def _values(told: pl.DataFrame, name: Label, suffix: str, one_bar: NDArray[np.float64], reached: NDArray[np.int64]) -> NDArray[np.float64]:
    """The label of each row; volatility sums the increments of the bars up to the one that is reached, of a known return."""
    known = _column(told, name, suffix)
    if not name.endswith("volatility"):
        return known
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(one_bar))])
    holes = np.concatenate([[0], np.cumsum(np.isnan(one_bar))])
    places = np.arange(len(one_bar))
    until = np.clip(reached, places, len(one_bar))
    sums = total[until] - total[places]
    return np.where(np.isnan(known) | (holes[until] > holes[places]) | (until == places), np.nan, np.sqrt(np.maximum(sums, 0.0)))
