"""How often the tests are wrong where the truth is known: a small grid always, the whole one with the slow tests.

Targets: every cell at most 8 % plus two binomial standard errors, means 4 to 6 %, coverage 93 to 97 %. ``python -m tests.evaluation.sizes``
prints the tables.
"""

from __future__ import annotations

import math
import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from scipy.stats import spearmanr
from tests.evaluation.cases import CASES, ENDOGENOUS, HORIZONS, LEVEL, PHIS, Outcome, family_errors, outcomes, power, simulated, slope

from pointline.evaluation import causal_test, forward_sums, information_coefficient, information_coefficients

ROOT = Path(__file__).resolve().parents[2]
RUNS = {2_000: 2_000, 20_000: 500}  # of each cell, by bars
MOST, MEANS, COVERAGE = 0.08, (0.04, 0.06), (0.93, 0.97)


def slack(share: float, runs: int) -> float:
    """Two binomial standard errors."""
    return 2 * math.sqrt(share * (1 - share) / runs)


def assert_sizes(found: list[Outcome]) -> None:
    most = MOST + slack(MOST, found[0].runs)
    assert [one for one in found if one.causal > most] == []
    assert [one for one in found if one.case not in ENDOGENOUS and one.ewc > most] == []


@pytest.mark.parametrize("case", CASES)
def test_the_truth_of_a_case(case: str) -> None:
    """The features have variance 1 and their coefficient, the returns the dependence that the case is named for."""
    x, r = simulated(case, 0.9, (100, 2_000), np.random.default_rng(1))
    inner = x[:, 1:] * x[:, :-1]
    if case != "common volatility":
        assert (np.mean(np.square(x)), np.mean(inner)) == (pytest.approx(1, abs=0.05), pytest.approx(0.9, abs=0.05))
    neighbours = np.mean(r[:, 1:] * r[:, :-1]) / np.mean(np.square(r))
    expected = {"bounce": -0.49 / 1.98, "momentum": 0.15, "stale": 0.0}.get(case, 0.0)
    assert neighbours == pytest.approx(expected, abs=0.01)
    sizes = np.log(np.maximum(np.abs(r), 1e-12))
    if "clustered" in case or case == "common volatility":
        assert np.corrcoef(sizes[:, 1:].ravel(), sizes[:, :-1].ravel())[0, 1] > 0.15
    assert np.mean(r == 0) == pytest.approx(0.5 if case == "stale" else 0, abs=0.01)
    # Row t of the returns is what follows row t of the feature, so the shock that both share is one row back.
    shared = np.mean(x[:, 1:] * r[:, :-1])
    assert (shared < -0.2) == (case in ENDOGENOUS)


@pytest.mark.parametrize(("phi", "horizon", "ic"), [(0.0, 1, 0.2), (0.9, 10, 0.2), (0.0, 50, 0.1)])
def test_the_slope_gives_the_coefficient(phi: float, horizon: int, ic: float) -> None:
    x, r = simulated("iid", phi, (1, 300_000), np.random.default_rng(2), slope(phi, horizon, ic))
    y = forward_sums(r[0], horizon)
    used = ~np.isnan(y)
    assert spearmanr(x[0][used], y[used]).statistic == pytest.approx(ic, abs=0.02)


def test_the_grid_uses_what_users_call() -> None:
    """The runs of the grid are what the functions for one series say of them."""
    x, r = simulated("momentum", 0.9, (100, 2_000), np.random.default_rng([0, CASES.index("momentum"), PHIS.index(0.9), 2_000, 0]))
    p = [(information_coefficient(a, forward_sums(b, 10), 10).p, causal_test(a, b, 10).p) for a, b in zip(x, r, strict=True)]
    (found,) = outcomes("momentum", 0.9, 2_000, 100, horizons=(10,))
    assert (found.ewc, found.causal) == tuple(np.mean([both[side] < LEVEL for both in p]) for side in (0, 1))


def test_a_small_grid() -> None:
    found = [one for case, phi in product(CASES, (0.0, 0.99)) for one in outcomes(case, phi, 800, 150, horizons=(1, 10))]
    assert_sizes(found)
    assert MEANS[0] - 0.01 <= fmean(one.causal for one in found) <= MEANS[1] + 0.01


def test_naive_errors_would_be_seen() -> None:
    """Without its allowance for overlap the same grid finds what is not there."""
    from tests.evaluation.cases import products

    x, r = simulated("iid", 0.99, (300, 1_000), np.random.default_rng(3))
    u = products(x, r, 10)
    naive = np.abs(u.mean(axis=-1)) > 1.96 / math.sqrt(u.shape[-1])
    assert naive.mean() > 0.4


def test_a_label_with_memory_needs_to_say_so() -> None:
    """Squared returns of clustered volatility and a persistent feature that has nothing to do with it."""
    x, r = simulated("clustered", 0.99, (120, 2_000), np.random.default_rng(4))
    shares = {}
    for memory in (1, 100):
        tables = [information_coefficients({"x": a}, np.square(b), (1,), memory=memory).frame for a, b in zip(x, r, strict=True)]
        shares[memory] = [np.mean([table[name].item() < LEVEL for table in tables]) for name in ("p", "causal_p")]
    assert min(shares[1]) > 0.12
    assert max(shares[100]) <= MOST + slack(MOST, 120)


def test_the_command_prints_its_tables() -> None:
    words = ["-m", "tests.evaluation.sizes", "--runs", "4", "--bars", "400", "--family-runs", "1", "--out-of-sample-runs", "1"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "size at 5 %, n = 400, 4 runs" in done.stdout
    assert "causal in all cases: mean" in done.stdout
    assert "step-down min-P" in done.stdout
    assert "out of sample, size at 5 %, n = 2,000, 1 runs" in done.stdout


def test_the_benchmark_runs() -> None:
    words = [str(ROOT / "benchmarks" / "evaluation.py"), "--bars", "2000", "--features", "2", "--runs", "1"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "2,000 bars × 2 features × 4 horizons" in done.stdout
    assert "peak memory" in done.stdout


@cache
def whole_grid(n: int) -> list[Outcome]:
    return [one for case, phi in product(CASES, PHIS) for one in outcomes(case, phi, n, RUNS[n])]


@pytest.mark.slow
@pytest.mark.parametrize("n", RUNS)
def test_sizes_of_the_whole_grid(n: int) -> None:
    found = whole_grid(n)
    assert_sizes(found)
    assert MEANS[0] <= fmean(one.causal for one in found) <= MEANS[1]
    assert MEANS[0] <= fmean(one.ewc for one in found if one.case not in ENDOGENOUS) <= MEANS[1]


@pytest.mark.slow
@pytest.mark.parametrize("n", RUNS)
def test_coverage_where_the_feature_predicts(n: int) -> None:
    """Of the coefficient given the feature's path in every cell; of an endless sample wherever its range shows."""
    found = [power(phi, horizon, ic, n, RUNS[n]) for phi, horizon, ic in product(PHIS, HORIZONS, (0.03, 0.05))]
    low, high = (bound + sign * slack(bound, RUNS[n]) for bound, sign in zip(COVERAGE, (-1, 1), strict=True))
    assert [one for one in found if not low <= one.coverage_of_path <= high] == []
    assert [one for one in found if one.phi <= 0.99 and not low <= one.coverage <= high] == []


@pytest.mark.slow
def test_family_error_of_many_features() -> None:
    runs = 1_000
    found = family_errors(runs)
    assert found["none"] > 0.6
    assert found["Bonferroni"] <= MOST
    for name in ("Benjamini-Hochberg", "step-down min-P", "step-down min-P, both tests"):
        assert found[name] <= MOST + slack(MOST, runs)
