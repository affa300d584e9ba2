"""Price discovery: which of two markets the common price is found in, from an error-correction model on a grid of last prices."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pointline import clock
from pointline.errors import ConfigError
from pointline.evaluation.ticks import MAX_GAP_US, Ticks, common_window, last_prices, thinned, ticks_of

if TYPE_CHECKING:
    import polars as pl

    from pointline.evaluation.ticks import Floats, Mask

INTERVAL_US = clock.SECOND_US
VECM_LAGS = 10
CLOSE_BOUNDS = 0.2
_EDGE = 0.01  # a ratio of two shares of which one is nearly zero says nothing
ROWS_PER_COEFFICIENT = 10
_NEEDED_CHANGES = 30
_PIECE = 100_000


@dataclass(frozen=True)
class InformationShares:
    """Shares of the first market; those of the second are one less these.

    Attributes:
        component_share: Gonzalo and Granger's weight of the first market in the permanent component; outside [0, 1] where a market moves
            away from the other instead of towards it.
        information_share_low, information_share_high: Hasbrouck's share when the first market's shock comes last and first; the truth is
            between them, and wide bounds say that the data cannot tell.
        information_leadership_share: Putniņš's share, from the middle of the bounds; None unless the bounds are closer than .2 and both
            other shares lie inside [.01, .99].
    """

    component_share: float
    information_share_low: float
    information_share_high: float
    information_leadership_share: float | None


@dataclass(frozen=True)
class PriceDiscovery:
    """The result of `price_discovery`.

    Attributes:
        measured: the shares of the first market.
        null: the same shares of the same ticks without any lead: the denser side against a part of its own ticks (see `lead_lag`). What
            is no larger than this is staleness.
        interval_us: the grid's step. The shares depend on it.
        lags: lagged returns in the model.
        rows: points of the grid that the model was fitted to.
        adjustment: how much of the difference of log prices the return of each market takes back per step, (α of the first, of the second).
    """

    measured: InformationShares
    null: InformationShares | None
    interval_us: int
    lags: int
    rows: int
    adjustment: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Every figure, JSON-ready."""
        return {**asdict(self), "adjustment": list(self.adjustment)}


def information_shares(alpha: Floats, omega: Floats) -> InformationShares:
    """The shares that follow from an error-correction model with the cointegrating vector (1, -1).

    With α the two speeds of adjustment and Ω the covariance of the shocks: the component share is ``α₂ / (α₂ - α₁)`` (Gonzalo and Granger
    1995, Journal of Business & Economic Statistics 13(1)). The information share is ``([ψF]₁)² / ψΩψ'`` with ψ the component shares and F
    the Cholesky factor of Ω, the first market in front for the upper bound and behind for the lower (Hasbrouck 1995, Journal of Finance
    50(4), 1175-1199). The leadership share is ``L / (L + 1/L)`` with ``L = |IS₁ CS₂ / (IS₂ CS₁)|`` (Putniņš 2013, Journal of Empirical
    Finance 23, 68-83).

    Args:
        alpha: two speeds of adjustment to ``first - second``: below zero for the first market, above zero for the second, if each follows
            the other.
        omega: 2 x 2 covariance matrix of the shocks.

    Raises:
        ConfigError: wrong shapes, Ω is no covariance matrix, or neither market follows the other (α₁ = α₂).

    Examples:
        >>> import numpy as np
        >>> from pointline.evaluation import information_shares
        >>> shares = information_shares(np.array([-0.02, 0.08]), np.array([[1.0, 0.5], [0.5, 1.0]]))
        >>> round(shares.component_share, 4), round(shares.information_share_low, 4), round(shares.information_share_high, 4)
        (0.8, 0.5714, 0.9643)
    """
    speeds, covariance = np.asarray(alpha, dtype=np.float64), np.asarray(omega, dtype=np.float64)
    if speeds.shape != (2,) or covariance.shape != (2, 2) or not np.allclose(covariance, covariance.T):
        raise ConfigError(
            "alpha and omega have the wrong shape", value=(speeds.shape, covariance.shape), expected="(2,) and symmetric (2, 2)"
        )
    if not (np.isfinite(speeds).all() and covariance[0, 0] > 0 and np.linalg.det(covariance) >= 0):
        raise ConfigError(
            "omega is no covariance matrix, or alpha is no number", value=covariance.tolist(), expected="finite, variances above 0"
        )
    if speeds[0] == speeds[1]:
        raise ConfigError("neither market follows the other", value=speeds.tolist(), expected="two speeds that differ")
    weight = np.array([speeds[1], -speeds[0]]) / (speeds[1] - speeds[0])
    total = float(weight @ covariance @ weight)
    if total <= 0:
        raise ConfigError("the common price does not move", value=covariance.tolist(), expected="shocks that move it")
    bounds = sorted((float((weight @ covariance[:, 0]) ** 2 / covariance[0, 0]) / total, 1 - _share_of_second(weight, covariance) / total))
    return InformationShares(float(weight[0]), bounds[0], bounds[1], _leadership(float(weight[0]), bounds[0], bounds[1]))


def _share_of_second(weight: Floats, covariance: Floats) -> float:
    """What the second market's shock explains when it comes first."""
    if covariance[1, 1] <= 0:
        return 0.0
    return float((weight @ covariance[:, 1]) ** 2 / covariance[1, 1])


def _leadership(component: float, low: float, high: float) -> float | None:
    share = (low + high) / 2
    if high - low >= CLOSE_BOUNDS or not all(_EDGE <= one <= 1 - _EDGE for one in (component, share)):
        return None
    ratio = share / (1 - share) * (1 - component) / component
    return ratio / (ratio + 1 / ratio)


def price_discovery(
    first: pl.DataFrame,
    second: pl.DataFrame,
    *,
    interval: clock.DurationLike = INTERVAL_US,
    lags: int = VECM_LAGS,
    max_gap: clock.DurationLike = MAX_GAP_US,
    include_off_book: bool = False,
) -> PriceDiscovery:
    """Fits an error-correction model to last prices on a regular grid and gives both markets' shares of price discovery.

    ``Δp_t = c + α (p₁ - p₂)_{t-1} + Σ Γ_k Δp_{t-k} + e_t`` for both log prices, by least squares; the difference of the two markets
    reverts to its mean over the window. The bounds depend on the interval: over a long one the shocks of both markets fall into the same
    step and the bounds are wide; over a short one the side that trades less often is stale and looks like a follower. So read the shares
    beside those of the null, which has the staleness and no lead.

    Args:
        first, second: trades, as in `lead_lag`.
        interval: step of the grid.
        lags: lagged returns of both markets in the model.
        max_gap: a point with an older last price of either side is left out, and nothing reaches over it.
        include_off_book: count prints that are flagged as off-book too.

    Returns:
        A `PriceDiscovery`.

    Raises:
        ConfigError: a frame that holds no trades, too few points (10 per coefficient are needed) or price changes, prices that do not move.

    Examples:
        >>> from pointline.evaluation import price_discovery
        >>> from pointline.research import query
        >>> window = ("2024-05-01", "2024-05-03")
        >>> perp = query.trades("binance-futures", "BTCUSDT", *window, lake="out/demo/lake")
        >>> spot = query.trades("binance-spot", "BTCUSDT", *window, lake="out/demo/lake")
        >>> found = price_discovery(perp, spot, interval="10s", max_gap="10m")
        >>> 0 <= found.measured.information_share_low <= found.measured.information_share_high <= 1
        True
    """
    interval_us = clock.to_duration_us(interval, name="interval")
    gap_us = clock.to_duration_us(max_gap, name="max_gap")
    if not clock.is_whole(lags) or lags < 0:
        raise ConfigError("lags is no count", value=lags, expected="a whole number, zero or more")
    sides = [ticks_of(frame, name=name, include_off_book=include_off_book) for frame, name in ((first, "first"), (second, "second"))]
    x, y = common_window(sides[0], sides[1], needed=_NEEDED_CHANGES, max_gap_us=clock.DAY_US * 36_500)
    alpha, omega, rows = _fitted(x, y, interval_us, lags, gap_us)
    return PriceDiscovery(
        measured=information_shares(alpha, omega),
        null=_null_shares(x, y, interval_us, lags, gap_us),
        interval_us=interval_us,
        lags=lags,
        rows=rows,
        adjustment=(float(alpha[0]), float(alpha[1])),
    )


def _null_shares(x: Ticks, y: Ticks, interval_us: int, lags: int, gap_us: int) -> InformationShares | None:
    """The shares of the thinned ticks; None where they cannot be computed, as when both sides are the same at every point."""
    try:
        alpha, omega, _ = _fitted(*thinned(x, y), interval_us, lags, gap_us)
        return information_shares(alpha, omega)
    except ConfigError:
        return None


def _fitted(x: Ticks, y: Ticks, interval_us: int, lags: int, gap_us: int) -> tuple[Floats, Floats, int]:
    """α, Ω and the number of rows of the model by least squares."""
    one, other, stretch = last_prices(x, y, interval_us, max_gap_us=gap_us)
    changes = np.column_stack((np.diff(one), np.diff(other)))
    count = len(changes) - lags
    coefficients = 2 + 2 * lags
    whole = stretch[lags + 1 :] == stretch[: max(count, 0)] if count > 0 else np.zeros(0, dtype=bool)
    rows = int(whole.sum())
    if rows < ROWS_PER_COEFFICIENT * coefficients:
        raise ConfigError(
            "the grid has too few points for the model",
            value=f"{rows:,} points of {clock.duration_text(interval_us)}",
            expected=f"at least {ROWS_PER_COEFFICIENT * coefficients:,}, {ROWS_PER_COEFFICIENT} per coefficient",
            hint="choose a longer window, a shorter interval or fewer lags",
        )
    gap = one - other
    return _least_squares(changes, gap - gap.mean(), whole, lags)


def _least_squares(changes: Floats, gap: Floats, whole: Mask, lags: int) -> tuple[Floats, Floats, int]:
    """α, Ω and rows by the normal equations, whose sums are made piece by piece so that long windows need no large table."""
    scale = np.concatenate(([1.0, gap.std() or 1.0], np.tile(np.where(changes.std(axis=0) > 0, changes.std(axis=0), 1.0), lags)))
    size, rows = len(scale), int(whole.sum())
    inner, outer, total = np.zeros((size, size)), np.zeros((size, 2)), np.zeros((2, 2))
    for start in range(0, len(whole), _PIECE):
        kept = start + np.flatnonzero(whole[start : start + _PIECE]) + lags
        lagged = [changes[kept - k] for k in range(1, lags + 1)]
        inputs = np.column_stack((np.ones(len(kept)), gap[kept], *lagged)) / scale
        outputs = changes[kept]
        inner += inputs.T @ inputs
        outer += inputs.T @ outputs
        total += outputs.T @ outputs
    solution, *_ = np.linalg.lstsq(inner, outer, rcond=None)
    return solution[1] / scale[1], (total - solution.T @ outer) / (rows - size), rows
