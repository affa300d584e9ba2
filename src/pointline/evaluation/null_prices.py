"""What coefficients look like where one venue is nothing but the other one's price, late or bouncing between bid and ask.

Then nothing can be predicted that could be traded, but the features see a stale or bouncing price. A return is held against such a price of
its own venue, a change of the basis against both.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.bars.aggregate import has_trade
from pointline.evaluation.coefficient import SharedRows
from pointline.evaluation.inputs import FEWEST_ROWS
from pointline.evaluation.labels import label_series
from pointline.evaluation.nulls import thinned, with_bounce
from pointline.evaluation.ranks import RankedValues
from pointline.features import CROSS_QUOTE_PREFIX, FEATURES, compute_features

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pointline.evaluation.labels import Label, LabelSeries
    from pointline.evaluation.ranks import Method
    from pointline.features import PairParams

_BPS = 10_000.0
_OTHER = {"spot": "perp", "perp": "spot"}
_LABELS: dict[str, tuple[Label, ...]] = {"spot": ("spot_return", "basis_change"), "perp": ("perp_return", "basis_change")}


def price_nulls(
    frame: pl.DataFrame,
    values: Mapping[str, NDArray[np.float64]],
    labels: Sequence[LabelSeries],
    params: PairParams,
    *,
    seed: int,
    method: Method,
    followed: Mapping[str, NDArray[np.float64]] | None = None,
) -> tuple[pl.DataFrame, dict[str, float]]:
    """The coefficients that features show if a venue only follows the other, or only bounces around its price.

    The bounce has the venue's own half spread (`half_spread_bps`). Volatility has no such null: neither flaw makes it look predictable.

    Args:
        frame: bars and features.
        values: the features that are judged, NaN where missing or left out.
        labels: what they are held against.
        params: of the features.
        seed: of the bounce.
        method: correlation of ranks or of values.
        followed: under ``"spot"`` the perp's price as known at the last spot trade of each row, under ``"perp"`` the spot's at the last
            perp trade; by default the other venue's close of the last bar with a trade, which knows nothing of the time between that trade
            and the end of its bar.

    Returns:
        ``ic_if_stale`` and ``ic_if_bounce``, label by label, features in their order: null where there is none, of changes of the basis the
        larger of both venues. And the half spread of each venue in bps.
    """
    spreads: dict[str, float] = {}
    rows = len(values) * len(labels)
    found = {"ic_if_stale": np.full(rows, np.nan), "ic_if_bounce": np.full(rows, np.nan)}
    for venue, other in _OTHER.items():
        unit = 1 / params.price_factor if venue == "spot" else params.price_factor
        leading = _closes(frame, other) * unit
        spreads[venue] = half_spread_bps(_closes(frame, venue))
        if followed is None or venue not in followed:
            stale = thinned(leading, frame.select(has_trade(venue)).to_series().fill_null(value=False).to_numpy())
        else:
            stale = followed[venue] * unit
        prices = {"ic_if_stale": stale, "ic_if_bounce": with_bounce(leading, half_spread_bps=spreads[venue], seed=seed)}
        for name, price in prices.items():
            here = _on_price(frame, venue, price, values, labels, params, method)
            larger = np.isnan(found[name]) | (np.abs(here) > np.abs(found[name]))
            found[name] = np.where(larger, here, found[name])
    return pl.DataFrame(found).with_columns(pl.all().fill_nan(None)), spreads


def half_spread_bps(price: NDArray[np.float64]) -> float:
    """Half the effective spread of a price that is traded at bid and ask, from the reversal of its returns; 0 where they do not reverse.

    ``sqrt(-cov(r_t, r_t-1))`` (Roll 1984, A simple implicit measure of the effective bid-ask spread in an efficient market, Journal of
    Finance 39).

    Args:
        price: shape (n,), NaN where missing.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        returns = np.diff(np.log(price))
    one, other = returns[1:], returns[:-1]
    used = np.isfinite(one) & np.isfinite(other)
    if np.count_nonzero(used) < FEWEST_ROWS:
        return 0.0
    return math.sqrt(max(0.0, -float(np.cov(one[used], other[used])[0, 1]))) * _BPS


def _closes(frame: pl.DataFrame, venue: str) -> NDArray[np.float64]:
    return frame[f"{venue}_close"].cast(pl.Float64).fill_null(np.nan).to_numpy()


def _on_price(
    frame: pl.DataFrame,
    venue: str,
    price: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
    labels: Sequence[LabelSeries],
    params: PairParams,
    method: Method,
) -> NDArray[np.float64]:
    """The coefficients of the table if a venue had these closes; NaN for other labels and for features that are not registered."""
    close = pl.Series(f"{venue}_close", price).fill_nan(None)
    bars = frame.with_columns(close, *(close.alias(f"{venue}_{name}") for name in ("open", "high", "low", "vwap")))
    table = compute_features(bars, params)
    bars_ahead = list(dict.fromkeys(label.bars for label in labels if label.in_bars))
    clock = list(dict.fromkeys(label.horizon for label in labels if not label.in_bars))
    wanted = [name for name in dict.fromkeys(label.name for label in labels) if name in _LABELS[venue]]
    targets = {(one.name, one.horizon): RankedValues.of(one.values) for one in label_series(table, wanted, bars_ahead, clock, params)}
    ranked = [_recomputed(table, name, column) for name, column in values.items()]
    found = []
    for label in labels:
        target = targets.get((label.name, label.horizon))
        for feature in ranked:
            shared = None if feature is None or target is None else SharedRows.of(feature, target, label.bars, method).products
            found.append(np.nan if shared is None or not len(shared) else shared.mean())
    return np.array(found)


def _recomputed(table: pl.DataFrame, name: str, column: NDArray[np.float64]) -> RankedValues | None:
    """A registered feature of the other prices, in the rows that were judged."""
    if name not in table.columns or name.removeprefix(CROSS_QUOTE_PREFIX) not in FEATURES:
        return None
    return RankedValues.of(np.where(np.isnan(column), np.nan, table[name].cast(pl.Float64).fill_null(np.nan).to_numpy()))
