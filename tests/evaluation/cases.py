"""Simulated features and returns with a known truth, and how often the tests of pointline.evaluation are wrong on them.

A feature x is AR(1) with coefficient φ and unit variance; r is the one-bar return; e and z are standard normal.

- iid: r = e.
- clustered: r = σ e, log σ an AR(1) with .98 and standard deviation .6.
- common volatility: clustered, and x is multiplied by σ.
- stale: r is reported with a chance of one half a bar, what is not reported accumulates.
- bounce: r gains .7 (q_t - q_{t-1}), q = ±1.
- momentum: r gains .15 of the return before.
- Stambaugh: the shock of x is -.9 e + sqrt(.19) z.
- Stambaugh + clustered: both.

In none of them does x predict, unless an information coefficient is asked for: then r gains β x of the bar before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter
from scipy.special import stdtr, stdtrit

from pointline.evaluation import benjamini_hochberg, information_coefficients, out_of_sample, step_down_min_p
from pointline.evaluation.causal import causal_products, signed_ranks
from pointline.evaluation.ranks import standardised
from pointline.evaluation.variance import cosine_coefficients, degrees_of_freedom, long_run_variance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pointline.evaluation.out_of_sample import Scheme

    Floats = NDArray[np.float64]

CASES = ("iid", "clustered", "common volatility", "stale", "bounce", "momentum", "Stambaugh", "Stambaugh + clustered")
ENDOGENOUS = ("Stambaugh", "Stambaugh + clustered")
PHIS = (0.0, 0.9, 0.99, 0.999)
HORIZONS = (1, 10, 50)
LEVEL = 0.05
_VALUES_AT_ONCE = 1_000_000


def autoregression(shocks: Floats, phi: float) -> Floats:
    """x_t = φ x_{t-1} + sqrt(1 - φ²) shock_t along the last axis, stationary from the first value on."""
    scaled = shocks * math.sqrt(1 - phi**2)
    scaled[..., 0] = shocks[..., 0]
    return np.asarray(lfilter([1.0], [1.0, -phi], scaled, axis=-1))


def slope(phi: float, horizon: int, ic: float) -> float:
    """β of r_t = β x_{t-1} + e_t that gives the rank correlation of x with the sum of the next h returns."""
    linear = 2 * math.sin(math.pi * ic / 6)  # of normal variables with this rank correlation
    powers = phi ** np.arange(horizon)
    variance = horizon + 2 * sum((horizon - k) * phi**k for k in range(1, horizon))
    return linear * math.sqrt(horizon) / math.sqrt(powers.sum() ** 2 - linear**2 * variance)


def simulated(case: str, phi: float, shape: tuple[int, int], rng: np.random.Generator, beta: float = 0.0) -> tuple[Floats, Floats]:
    """Features and the return after each bar, shape (runs, n) both."""
    runs, n = shape
    e, z = rng.standard_normal((runs, n + 1)), rng.standard_normal((runs, n + 1))
    if case in ENDOGENOUS:
        z = -0.9 * e + math.sqrt(0.19) * z
    x = autoregression(z, phi)
    r = e
    if case in {"clustered", "common volatility", "Stambaugh + clustered"}:
        sigma = np.exp(0.6 * autoregression(rng.standard_normal((runs, n + 1)), 0.98))
        r = sigma * e
        if case == "common volatility":
            x = x * sigma
    elif case == "stale":
        r = _reported(e, rng.random((runs, n + 1)) < 0.5)
    elif case == "bounce":
        q = rng.choice([-1.0, 1.0], size=(runs, n + 2))
        r = e + 0.7 * np.diff(q, axis=-1)
    elif case == "momentum":
        r = np.asarray(lfilter([1.0], [1.0, -0.15], e, axis=-1))
    return x[:, :-1], r[:, 1:] + beta * x[:, :-1]


def _reported(e: Floats, reported: NDArray[np.bool_]) -> Floats:
    """The change of the accumulated return since the last report, 0 where nothing is reported."""
    price = np.cumsum(e, axis=-1)
    last = np.maximum.accumulate(np.where(reported, np.arange(e.shape[-1]), 0), axis=-1)
    seen = np.take_along_axis(price, last, axis=-1)
    return np.diff(seen, axis=-1, prepend=seen[:, :1])


@dataclass(frozen=True)
class Outcome:
    """What one cell of the grid showed.

    Attributes:
        ewc: share of runs whose interval excludes zero.
        causal: share of runs in which the causal test rejects.
        coverage: share of runs whose interval holds the true coefficient of an endless sample.
        coverage_of_path: share of runs whose interval holds the true coefficient given the feature's own path. The two differ where a
            sample is too short to show how much the feature varies: with φ = .999, 2,000 bars show under half of the variance on average.
        runs: how many.
    """

    case: str
    phi: float
    horizon: int
    n: int
    ewc: float
    causal: float
    coverage: float
    coverage_of_path: float
    runs: int


def t_of_means(series: Floats, horizon: int = 1) -> tuple[Floats, Floats, int]:
    """Means, standard errors and degrees of freedom of many series, shape (runs, n)."""
    n = series.shape[-1]
    nu = degrees_of_freedom(n, horizon)
    return series.mean(axis=-1), np.sqrt(long_run_variance(cosine_coefficients(series, nu)) / n), nu


def outcomes(case: str, phi: float, n: int, runs: int, *, horizons: tuple[int, ...] = HORIZONS, seed: int = 0) -> list[Outcome]:
    """The cells of one case and persistence where nothing predicts: the same runs at every horizon."""
    counts = {horizon: np.zeros(2) for horizon in horizons}
    for number, size in enumerate(_blocks(runs, n)):
        rng = np.random.default_rng([seed, CASES.index(case), PHIS.index(phi), n, number])
        x, one_bar = simulated(case, phi, (size, n), rng)
        scores = signed_ranks(one_bar)
        for horizon in horizons:
            ic, se, nu = t_of_means(products(x, one_bar, horizon), horizon)
            mean, error, causal_nu = t_of_means(causal_products(x, scores, horizon))
            rejected = [np.count_nonzero(2 * stdtr(f, -np.abs(t)) < LEVEL) for t, f in ((ic / se, nu), (mean / error, causal_nu))]
            counts[horizon] += rejected
    return [Outcome(case, phi, h, n, *(count / runs), math.nan, math.nan, runs) for h, count in counts.items()]


def power(phi: float, horizon: int, ic: float, n: int, runs: int, *, seed: int = 0) -> Outcome:
    """One cell in which the feature predicts, with returns otherwise iid."""
    beta, counts = slope(phi, horizon, ic), np.zeros(4)
    for number, size in enumerate(_blocks(runs, n)):
        rng = np.random.default_rng([seed, PHIS.index(phi), horizon, n, round(ic * 1_000), number])
        x, one_bar = simulated("iid", phi, (size, n), rng, beta)
        found, se, nu = t_of_means(products(x, one_bar, horizon), horizon)
        mean, error, causal_nu = t_of_means(causal_products(x, signed_ranks(one_bar), horizon))
        half = stdtrit(nu, 1 - LEVEL / 2) * se
        counts += [
            np.count_nonzero(np.abs(found) > half),
            np.count_nonzero(2 * stdtr(causal_nu, -np.abs(mean / error)) < LEVEL),
            np.count_nonzero(np.abs(found - ic) <= half),
            np.count_nonzero(np.abs(found - coefficient_of_path(x, horizon, beta)) <= half),
        ]
    return Outcome("iid", phi, horizon, n, *(counts / runs), runs)


def coefficient_of_path(x: Floats, horizon: int, beta: float) -> Floats:
    """The rank correlation that normal variables have whose variances are those of each path of the feature, shape (runs, n)."""
    n = x.shape[-1] - horizon + 1
    totals = np.cumsum(np.pad(x, ((0, 0), (1, 0))), axis=-1)
    predicted = beta * (totals[:, horizon:] - totals[:, :-horizon])
    x = x[:, :n] - x[:, :n].mean(axis=-1, keepdims=True)
    covariance = (x * predicted).mean(axis=-1)
    linear = covariance / np.sqrt(np.square(x).mean(axis=-1) * (horizon + predicted.var(axis=-1)))
    return 6 / math.pi * np.arcsin(linear / 2)


def products(x: Floats, one_bar: Floats, horizon: int) -> Floats:
    """The products u of every run: standardised ranks of the feature times those of the sum of the next returns."""
    n = one_bar.shape[-1] - horizon + 1
    totals = np.cumsum(one_bar, axis=-1)
    labels = totals[:, horizon - 1 :].copy()
    labels[:, 1:] -= totals[:, : n - 1]
    return standardised(x[:, :n]) * standardised(labels)


def _blocks(runs: int, n: int) -> Iterator[int]:
    """Runs simulated at a time, so that memory does not grow with their number."""
    most = max(1, _VALUES_AT_ONCE // n)
    for begin in range(0, runs, most):
        yield min(most, runs - begin)


FAMILY_PHIS = (0.0, 0.5, 0.9, 0.99, 0.999)
FAMILY_HORIZONS = (1, 5, 10, 50)
FAMILY_N = 3_000
CORRECTIONS = ("none", "Bonferroni", "Benjamini-Hochberg", "step-down min-P", "step-down min-P, both tests")


def family_errors(runs: int, *, draws: int = 1_000, seed: int = 0) -> dict[str, float]:
    """How often anything at all is found where nothing predicts, by correction.

    15 features in three groups of five whose shocks correlate .7, with the φ of `FAMILY_PHIS` in each group, at four horizons. "Both
    tests" gives the larger p of the interval and the causal test to the correction.
    """
    found = dict.fromkeys(CORRECTIONS, 0)
    for run in range(runs):
        features, one_bar = _family(np.random.default_rng([seed, run]))
        table = information_coefficients(features, one_bar, FAMILY_HORIZONS)
        p, causal_p = table.frame["p"].to_numpy(), table.frame["causal_p"].to_numpy()
        smallest = {
            "none": p.min(),
            "Bonferroni": p.min() * len(p),
            "Benjamini-Hochberg": benjamini_hochberg(p).min(),
            "step-down min-P": step_down_min_p(p, table.cosines, draws=draws, seed=run).min(),
            "step-down min-P, both tests": step_down_min_p(np.maximum(p, causal_p), table.cosines, draws=draws, seed=run).min(),
        }
        for name, value in smallest.items():
            found[name] += bool(value <= LEVEL)
    return {name: count / runs for name, count in found.items()}


def _family(rng: np.random.Generator) -> tuple[dict[str, Floats], Floats]:
    features = {}
    for group in range(3):
        common = rng.standard_normal(FAMILY_N)
        for phi in FAMILY_PHIS:
            shocks = math.sqrt(0.7) * common + math.sqrt(0.3) * rng.standard_normal(FAMILY_N)
            features[f"group {group}, φ {phi}"] = autoregression(shocks, phi)
    return features, rng.standard_normal(FAMILY_N)


@dataclass(frozen=True)
class OutOfSampleOutcome:
    """What one cell of the grid showed out of sample.

    Attributes:
        ewc: share of runs whose interval excludes zero.
        causal: share of runs in which the causal test rejects.
        both: share of runs called significant.
        mean: mean over runs of the coefficient out of sample.
        mean_error: standard error of that mean over runs.
        mean_in: mean over runs of the absolute coefficient in sample.
        runs: how many.
    """

    scheme: str
    case: str
    phi: float
    horizon: int
    ewc: float
    causal: float
    both: float
    mean: float
    mean_error: float
    mean_in: float
    runs: int


def out_of_sample_outcomes(
    scheme: Scheme, case: str, phi: float, n: int, runs: int, *, horizons: tuple[int, ...] = HORIZONS, ic: float = 0.0, seed: int = 0
) -> list[OutOfSampleOutcome]:
    """The cells of one case and persistence; with an information coefficient the feature predicts, at the first horizon by so much."""
    beta = slope(phi, horizons[0], ic) if ic else 0.0
    rng = np.random.default_rng([seed, CASES.index(case), PHIS.index(phi), n, round(ic * 1_000)])
    frames = []
    for _ in range(runs):
        x, one_bar = simulated(case, phi, (1, n), rng, beta)
        frames.append(out_of_sample({"x": x[0]}, one_bar[0], horizons, scheme=scheme).frame)
    found = []
    for row, horizon in enumerate(horizons):
        p, causal_p, outside, inside, both = (
            np.array([frame[name][row] for frame in frames]) for name in ("p_out", "causal_p_out", "ic_out", "ic_in", "significant_out")
        )
        shares = (float(np.mean(values)) for values in (p < LEVEL, causal_p < LEVEL, both))
        means = float(outside.mean()), float(outside.std() / math.sqrt(runs)), float(np.abs(inside).mean())
        found.append(OutOfSampleOutcome(scheme, case, phi, horizon, *shares, *means, runs))
    return found
