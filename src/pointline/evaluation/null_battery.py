"""What coefficients look like without prediction: shuffled days, shifted rows, a stale spot, a bouncing spot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.bars.aggregate import has_trade
from pointline.clock import DAY_US
from pointline.evaluation.coefficient import SharedRows
from pointline.evaluation.inputs import FEWEST_ROWS
from pointline.evaluation.labels import label_series
from pointline.evaluation.nulls import MISSING, circular_shift, day_shuffle, thinned, with_bounce
from pointline.evaluation.ranks import RankedValues
from pointline.features import FEATURES, compute_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pointline.evaluation.labels import LabelSeries
    from pointline.evaluation.ranks import Method
    from pointline.features import PairParams

_BPS = 10_000.0
_QUANTILE = 0.95


@dataclass(frozen=True, eq=False)
class NullBattery:
    """The nulls of a table of coefficients.

    Attributes:
        frame: for each row of the table ``null_bound``, ``ic_if_stale`` and ``ic_if_bounce``.
        half_spread_bps: of spot, for the bounce.
    """

    frame: pl.DataFrame
    half_spread_bps: float


def null_battery(
    frame: pl.DataFrame,
    values: Mapping[str, NDArray[np.float64]],
    labels: Sequence[LabelSeries],
    params: PairParams,
    *,
    draws: int,
    seed: int,
    method: Method,
    late_perp: NDArray[np.float64] | None = None,
) -> NullBattery:
    """The coefficients that features show where nothing can be predicted.

    Days are shuffled and rows are shifted in a circle `draws` times each; ``null_bound`` is the larger of the two 95 % quantiles of
    absolute values. For staleness spot becomes the perp's price as known at the last spot trade, for bounce the perp's price at bid or
    ask of spot's own half spread, ``sqrt(-cov(r_t, r_t-1))`` (Roll 1984, A simple implicit measure of the effective bid-ask spread in
    an efficient market, Journal of Finance 39). Features and labels are then computed from these prices.
    Volatility has no such null: neither flaw makes it look predictable.

    Args:
        frame: bars and features.
        values: the features that are judged, NaN where missing or left out.
        labels: what they are held against; rows of the result are label by label, features in their order.
        params: of the features.
        draws: of each order.
        seed: of the draws.
        method: correlation of ranks or of values.
        late_perp: the perp's price as known at the last spot trade of each row; by default that of the last bar with a spot trade, which
            knows nothing of the time between that trade and the end of its bar.
    """
    bound = _bounds(values, labels, frame["bucket_end"].to_numpy(), draws, seed, method)
    half_spread = roll_half_spread_bps(frame["spot_close"].cast(pl.Float64).fill_null(np.nan).to_numpy())
    perp = frame["perp_close"].cast(pl.Float64).fill_null(np.nan).to_numpy() / params.price_factor
    if late_perp is None:
        stale = thinned(perp, frame.select(has_trade("spot")).to_series().fill_null(value=False).to_numpy())
    else:
        stale = late_perp / params.price_factor
    prices = {"ic_if_stale": stale, "ic_if_bounce": with_bounce(perp, half_spread_bps=half_spread, seed=seed)}
    columns = {"null_bound": bound} | {
        name: _on_other_prices(frame, price, values, labels, params, method) for name, price in prices.items()
    }
    return NullBattery(pl.DataFrame(columns).with_columns(pl.all().fill_nan(None)), half_spread)


def roll_half_spread_bps(price: NDArray[np.float64]) -> float:
    """Half the effective spread of a price that is traded at bid and ask, from the reversal of its returns; 0 where they do not reverse."""
    with np.errstate(invalid="ignore", divide="ignore"):
        returns = np.diff(np.log(price))
    one, other = returns[1:], returns[:-1]
    used = np.isfinite(one) & np.isfinite(other)
    if np.count_nonzero(used) < FEWEST_ROWS:
        return 0.0
    return math.sqrt(max(0.0, -float(np.cov(one[used], other[used])[0, 1]))) * _BPS


def _bounds(
    values: Mapping[str, NDArray[np.float64]], labels: Sequence[LabelSeries], ends: NDArray[np.int64], draws: int, seed: int, method: Method
) -> NDArray[np.float64]:
    """For each row of the table the larger of two quantiles of absolute coefficients."""
    features, targets = _Scores.of(list(values.values()), method), _Scores.of([label.values for label in labels], method)
    rows = len(ends)
    gap = min(max(1, 10 * max(label.bars for label in labels)), max(1, rows // 4))
    days = (ends - 1) // DAY_US
    kinds = [[circular_shift(rows, seed=seed + draw, gap=gap) for draw in range(draws)] if rows > 1 else []]
    if days[0] != days[-1]:
        kinds.append([day_shuffle(days, seed=seed + draw) for draw in range(draws)])
    found = [np.quantile(np.abs([features.correlations(targets.moved(order)) for order in orders]), _QUANTILE, axis=0) for orders in kinds]
    return np.asarray(np.max(found, axis=0)).ravel()


@dataclass(frozen=True, eq=False)
class _Scores:
    """Standardised columns, side by side.

    Attributes:
        values: shape (columns, n), 0 where a value is missing.
        present: 1 where a value is there, else 0.
    """

    values: NDArray[np.float64]
    present: NDArray[np.float64]

    @classmethod
    def of(cls, columns: Sequence[NDArray[np.float64]], method: Method) -> _Scores:
        """The scores of columns with NaN where missing; a column with too few values has none."""
        values = np.zeros((len(columns), len(columns[0])))
        present = np.zeros_like(values)
        for row, told, column in zip(values, present, columns, strict=True):
            known = ~np.isnan(column)
            if np.count_nonzero(known) >= FEWEST_ROWS:
                row[known], told[known] = RankedValues.of(column).standardised(known, method), 1
        return cls(values, present)

    def moved(self, order: NDArray[np.int64]) -> _Scores:
        """In the order of a null."""
        there = order != MISSING
        return _Scores(np.where(there, self.values[:, order], 0), np.where(there, self.present[:, order], 0))

    def correlations(self, others: _Scores) -> NDArray[np.float64]:
        """Mean products of scores in the rows that have both, shape (other columns, columns); NaN where there are none."""
        # einsum, as the threads of a matrix product wait for each other: on a busy machine it takes a hundred times as long
        both, products = (
            np.einsum("ot,ct->oc", one, other) for one, other in ((others.present, self.present), (others.values, self.values))
        )
        return np.where(both > 0, products / np.maximum(both, 1.0), np.nan)


def _on_other_prices(
    frame: pl.DataFrame,
    spot: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
    labels: Sequence[LabelSeries],
    params: PairParams,
    method: Method,
) -> NDArray[np.float64]:
    """The coefficients of the table if spot had these closes; NaN for features that are not registered."""
    price = pl.Series("spot_close", spot).fill_nan(None)
    bars = frame.with_columns(price, *(price.alias(f"spot_{name}") for name in ("open", "high", "low", "vwap")))
    table = compute_features(bars, params)
    bars_ahead = list(dict.fromkeys(label.bars for label in labels if label.horizon.endswith(("bar", "bars"))))
    clock = list(dict.fromkeys(label.horizon for label in labels if not label.horizon.endswith(("bar", "bars"))))
    names = list(dict.fromkeys(label.name for label in labels))
    ranked = [
        RankedValues.of(np.where(np.isnan(column), np.nan, table[name].cast(pl.Float64).fill_null(np.nan).to_numpy()))
        if name in table.columns and name in FEATURES
        else None
        for name, column in values.items()
    ]
    found = []
    for label in label_series(table, names, bars_ahead, clock, params):
        if label.name.endswith("volatility"):
            found += [np.nan] * len(ranked)
            continue
        target = RankedValues.of(label.values)
        for feature in ranked:
            products = np.empty(0) if feature is None else SharedRows.of(feature, target, label.bars, method).products
            found.append(products.mean() if len(products) else np.nan)
    return np.array(found)
