"""Data in which a feature cannot predict: what its information coefficient must exceed to mean something.

Two kinds. Orders of rows (`day_shuffle`, `circular_shift`) move a label away from its feature and keep what each is like in itself:
`null_coefficients` computes the coefficient of each draw, `NullSummary` holds them against the one that was found. Damaged prices
(`with_bounce`, `thinned`) have the flaws that make a feature look as if it predicted; feature and label are then computed from
them like from any prices.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from pointline.errors import ConfigError
from pointline.evaluation.inputs import FEWEST_ROWS, check_confidence, check_method, series
from pointline.evaluation.ranks import Method, RankedValues

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

MISSING = -1
_BLOCK = 16  # orders at a time
_DUST = 1e-12  # a variance of scores below it is a rounding


def day_shuffle(day: ArrayLike, *, seed: int) -> NDArray[np.int64]:
    """An order in which every day has the rows of another day.

    The days are put in a random circle and each takes the rows of the next one, so that no day keeps its own (Sattolo 1986, An algorithm
    to generate a random cyclic permutation, Information Processing Letters 22). Rows keep their place within the day: the first row of a
    day takes the first row of the other. Rows that the other day does not have are missing, so nothing is stretched or repeated.

    Args:
        day: shape (n,), the number of each row's day, not falling: ``bucket_start // 86_400_000_000`` for UTC days.
        seed: of the random circle.

    Returns:
        Shape (n,): the row from which each row takes its label, -1 where it has none. For `null_coefficients` and `moved`.

    Raises:
        ConfigError: fewer than two days, or days out of order.

    Examples:
        >>> day_shuffle([1, 1, 1, 2, 2], seed=0)
        array([ 3,  4, -1,  0,  1])
    """
    days = np.asarray(day)
    if days.ndim != 1 or len(days) == 0 or np.any(days[1:] < days[:-1]):
        raise ConfigError("the days are not in order", where="day", expected="one number a row, not falling", hint="sort by time first")
    starts = np.concatenate([[0], np.flatnonzero(days[1:] != days[:-1]) + 1, [len(days)]])
    count = len(starts) - 1
    if count < 2:  # noqa: PLR2004 - one day has no other to take from
        raise ConfigError("one day cannot be shuffled", where="day", value=count, expected="two days or more", hint="use circular_shift")
    circle = np.random.default_rng(seed).permutation(count)
    order = np.full(len(days), MISSING, dtype=np.int64)
    for one, other in zip(circle, np.roll(circle, -1), strict=True):
        rows = min(starts[one + 1] - starts[one], starts[other + 1] - starts[other])
        order[starts[one] : starts[one] + rows] = np.arange(starts[other], starts[other] + rows)
    return order


def circular_shift(rows: int, *, seed: int, gap: int = 1) -> NDArray[np.int64]:
    """An order that moves all rows by one random distance, those at the end to the beginning.

    Both series keep their own dependence, and the pairing is off by at least the gap in both directions.

    Args:
        rows: number of rows n.
        seed: of the distance.
        gap: smallest distance: several times the horizon and the memory of the feature.

    Returns:
        Shape (n,): the row from which each row takes its label.

    Raises:
        ConfigError: the gap is not above zero or leaves no distance.

    Examples:
        >>> circular_shift(5, seed=0, gap=2)
        array([3, 4, 0, 1, 2])
    """
    if not 1 <= gap <= rows // 2:
        raise ConfigError("no circular shift has that gap", where="gap", value=gap, expected=f"1 to {rows // 2:,}, half the rows")
    distance = int(np.random.default_rng(seed).integers(gap, rows - gap, endpoint=True))
    return np.roll(np.arange(rows), -distance)


def moved(values: ArrayLike, order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values in the order of a null.

    Args:
        values: shape (n,).
        order: shape (n,), of `day_shuffle` or `circular_shift`.

    Returns:
        Shape (n,), NaN where the order has no row.

    Raises:
        ConfigError: the lengths differ, or a value is infinite.

    Examples:
        >>> import numpy as np
        >>> moved([10.0, 20.0], np.array([1, -1]))
        array([20., nan])
    """
    given = series(values, "values")
    if len(given) != len(order):
        raise ConfigError("values and order differ in length", where="order", value=len(order), expected=f"{len(given):,} rows")
    return np.where(order == MISSING, np.nan, given[order])


def with_bounce(price: ArrayLike, *, half_spread_bps: float, seed: int) -> NDArray[np.float64]:
    """A price that is traded at bid and ask by turns of a coin.

    price · (1 + q · half spread), q = ±1 with equal chances and independent each bar (Roll 1984, A simple implicit measure of the
    effective bid-ask spread in an efficient market, Journal of Finance 39). Returns then reverse: what was traded at the ask looks as if
    it fell next. So a feature made of the last price predicts, with nothing to earn.

    Args:
        price: shape (n,), NaN where missing.
        half_spread_bps: half the spread, in basis points of the price.
        seed: of the coin.

    Returns:
        Shape (n,), in the unit of the price.

    Raises:
        ConfigError: the half spread is not between 0 and 10,000, or a price is infinite.

    Examples:
        >>> with_bounce([100.0, 100.0, 100.0], half_spread_bps=10, seed=1).round(2)
        array([ 99.9, 100.1, 100.1])
    """
    given = series(price, "price")
    if not 0 <= half_spread_bps < 10_000:  # noqa: PLR2004 - at 100 % the bid is nothing
        raise ConfigError("the half spread cannot be used", where="half_spread_bps", value=half_spread_bps, expected="0 to 10,000")
    side = np.random.default_rng(seed).choice([-1.0, 1.0], size=len(given))
    return np.asarray(given * (1 + side * half_spread_bps / 10_000))


def kept_at_random(rows: int, share: float, *, seed: int) -> NDArray[np.bool_]:
    """Marks of a random share of rows, for `thinned`.

    Args:
        rows: number of rows n.
        share: chance of each row to be kept, above 0 and at most 1.
        seed: of the chances.

    Raises:
        ConfigError: the share is no such chance.

    Examples:
        >>> kept_at_random(5, 0.4, seed=2)
        array([ True,  True, False,  True, False])
    """
    if not 0 < share <= 1:
        raise ConfigError("the share cannot be used", where="share", value=share, expected="above 0 and at most 1")
    return np.random.default_rng(seed).random(rows) < share


def thinned(price: ArrayLike, kept: ArrayLike) -> NDArray[np.float64]:
    """A price as seen by somebody to whom only some of its values are reported.

    Each row has the last value that was kept, its own included. Thin the *fresh* price to the trades of the sparse venue: a feature
    that compares it with the stale one then predicts the stale one by staleness alone, and that is what the same feature of the real
    venue has to exceed.

    Args:
        price: shape (n,), NaN where missing; a missing price is not kept.
        kept: shape (n,), true in the rows whose price is reported.

    Returns:
        Shape (n,), NaN before the first kept row.

    Raises:
        ConfigError: the lengths differ, ``kept`` holds no truth values, or a price is infinite.

    Examples:
        >>> thinned([1.0, 2.0, 3.0, 4.0], [False, True, False, True])
        array([nan,  2.,  2.,  4.])
    """
    given, marks = series(price, "price"), np.asarray(kept)
    if marks.dtype != np.bool_ or marks.shape != given.shape:
        raise ConfigError(
            "kept does not mark the rows", where="kept", value=f"{marks.dtype} {marks.shape}", expected=f"{len(given)} truths"
        )
    reported = marks & ~np.isnan(given)
    last = np.maximum.accumulate(np.where(reported, np.arange(len(given)), MISSING))
    return np.where(last == MISSING, np.nan, given[last])


def null_coefficients(
    x: ArrayLike, y: ArrayLike, orders: Iterable[NDArray[np.int64]], *, method: Method = "spearman"
) -> NDArray[np.float64]:
    """The information coefficient of features with a label that was moved away from them, once for each order.

    The correlation of the scores (ranks over all rows that have them) in the rows where both are there. Without missing rows that is
    the rank correlation itself.

    Args:
        x: one feature, shape (n,), or several, shape (features, n), NaN where missing. Several at once cost little more than one.
        y: the label, shape (n,), NaN where missing: the label of several bars, not its increments.
        orders: of `day_shuffle` or `circular_shift`.
        method: correlation of ranks or of values.

    Returns:
        Shape (orders,), or (features, orders) for several features; NaN where fewer than 32 rows have both, or one of them is constant
        there.

    Raises:
        ConfigError: lengths differ, or a value is infinite.

    Examples:
        >>> import numpy as np
        >>> noise = np.random.default_rng(1)
        >>> x = noise.normal(size=500)
        >>> orders = [circular_shift(500, seed=seed, gap=10) for seed in range(200)]
        >>> NullSummary.of(null_coefficients(x, x + noise.normal(size=500), orders)).exceeded_by(0.7)
        True
    """
    check_method(method)
    label = _scores(series(y, "y"), method)
    rows = np.asarray(x)
    single = rows.ndim == 1
    scores = np.stack([_scores(series(row, "x"), method) for row in (rows[np.newaxis] if single else rows)])
    if scores.shape[1] != len(label):
        raise ConfigError("x and y differ in length", where="null_coefficients", value=(scores.shape[1], len(label)))
    features, target = _Moments.of(scores), _Moments.of(np.append(label, np.nan))  # the last row is what -1 stands for
    waiting, found = iter(orders), [np.empty((len(scores), 0))]
    while block := list(islice(waiting, _BLOCK)):
        if any(len(order) != len(label) for order in block):
            raise ConfigError("an order has other rows than the label", where="orders", expected=f"{len(label):,} rows in each")
        found.append(features.correlations(target.at(np.stack(block))))
    coefficients = np.concatenate(found, axis=1)
    return coefficients[0] if single else coefficients


def _scores(values: NDArray[np.float64], method: Method) -> NDArray[np.float64]:
    present = ~np.isnan(values)
    scores = np.full(len(values), np.nan)
    if present.any():
        scores[present] = RankedValues.of(values).standardised(present, method)
    return scores


@dataclass(frozen=True, eq=False)
class _Moments:
    """Scores with 0 where missing, their squares, and 1 where they are there: sums over shared rows are then matrix products."""

    there: NDArray[np.float64]
    values: NDArray[np.float64]
    squares: NDArray[np.float64]

    @classmethod
    def of(cls, scores: NDArray[np.float64]) -> _Moments:
        values = np.nan_to_num(scores)
        return cls((~np.isnan(scores)).astype(np.float64), values, np.square(values))

    def at(self, rows: NDArray[np.int64]) -> _Moments:
        return _Moments(self.there[rows], self.values[rows], self.squares[rows])

    def correlations(self, other: _Moments) -> NDArray[np.float64]:
        """Of each series with each of the others, in the rows that both have."""
        n = _products(self.there, other.there)
        counts = np.maximum(n, 1)
        mean, other_mean = _products(self.values, other.there) / counts, _products(self.there, other.values) / counts
        variance = _products(self.squares, other.there) / counts - mean**2
        other_variance = _products(self.there, other.squares) / counts - other_mean**2
        usable = (n >= FEWEST_ROWS) & (variance > _DUST) & (other_variance > _DUST)
        spread = np.sqrt(np.where(usable, variance * other_variance, 1.0))
        return np.asarray(np.where(usable, (_products(self.values, other.values) / counts - mean * other_mean) / spread, np.nan))


def _products(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over rows of each series times each of the others.

    Not a matrix product: its threads wait for each other, and on a busy machine it takes a hundred times as long.
    """
    return np.asarray(np.einsum("at,bt->ab", one, other))


@dataclass(frozen=True)
class NullSummary:
    """The coefficients that draws without any prediction showed.

    Attributes:
        draws: how many of them.
        low: their lower quantile, of half of 1 - confidence.
        median: their median.
        high: their upper quantile.
        bound: the quantile of their absolute values at the confidence: a real coefficient must be larger.
        confidence: of the quantiles.
    """

    draws: int
    low: float
    median: float
    high: float
    bound: float
    confidence: float

    @classmethod
    def of(cls, coefficients: ArrayLike, *, confidence: float = 0.95) -> NullSummary:
        """The summary of coefficients of a null, of `null_coefficients` or of damaged prices; NaN are left out.

        Raises:
            ConfigError: no coefficient is left, or the confidence is no probability.
        """
        check_confidence(confidence)
        found = series(coefficients, "coefficients")
        found = found[~np.isnan(found)]
        if len(found) == 0:
            raise ConfigError("the null has no coefficient", where="coefficients", expected="at least one that is not NaN")
        tail = (1 - confidence) / 2
        low, median, high = (float(value) for value in np.quantile(found, [tail, 0.5, 1 - tail]))
        return cls(len(found), low, median, high, float(np.quantile(np.abs(found), confidence)), confidence)

    def exceeded_by(self, ic: float) -> bool:
        """Whether a coefficient is larger, up or down, than those of the null."""
        return abs(ic) > self.bound
