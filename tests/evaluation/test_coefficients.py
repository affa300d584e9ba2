"""Information coefficients: plain loops, other libraries, what must not change them, and input that is refused."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from scipy.stats import t as student
from tests.evaluation import loops
from tests.evaluation.cases import autoregression

from pointline.errors import ConfigError
from pointline.evaluation import (
    COEFFICIENTS_SCHEMA,
    causal_test,
    deciles,
    forward_sums,
    information_coefficient,
    information_coefficients,
    rows_needed,
)
from pointline.evaluation.variance import cosine_coefficients

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from pointline.evaluation.ranks import Method

VALUE = st.one_of(st.integers(-4, 4).map(float), st.floats(-100, 100), st.just(math.nan))
ROWS = st.lists(st.tuples(VALUE, VALUE), min_size=60, max_size=80)
MISSING = float("nan")


def market(n: int = 400, seed: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A feature that predicts a little, and the increment after each bar; the last one is not known."""
    rng = np.random.default_rng(seed)
    x = autoregression(rng.standard_normal(n), 0.8)
    return x, np.append((0.2 * x + rng.standard_normal(n))[:-1], np.nan)


@given(ROWS, st.sampled_from([1, 2, 5]), st.booleans())
def test_a_cell_is_that_of_the_plain_loop(rows: list[tuple[float, float]], horizon: int, by_rank: bool) -> None:
    x, one_bar = (list(column) for column in zip(*rows, strict=True))
    y = loops.label(one_bar, horizon)
    both = [(a, b) for a, b in zip(x, y, strict=True) if not (math.isnan(a) or math.isnan(b))]
    method = "spearman" if by_rank else "pearson"
    table = (
        information_coefficients({"x": x}, one_bar, [horizon], labels={horizon: y}, method=method, unusable="report")
        if sum(not math.isnan(b) for b in y) >= rows_needed(horizon)
        else None
    )
    if table is None:
        return
    row = table.frame.row(0, named=True)
    assert row["n"] == len(both)
    if len(both) < rows_needed(horizon) or any(len({pair[side] for pair in both}) == 1 for side in (0, 1)):
        assert row["reason"]
        assert row["ic"] is None
        assert table.cosines == (None,)
        return
    products = loops.products(x, y, by_rank=by_rank)
    nu = loops.nu(len(products), horizon)
    ic, se, p = loops.t_test(products, nu)
    half = student.ppf(0.975, nu) * se
    assert (row["ic"], row["se"]) == (pytest.approx(ic, abs=1e-9), pytest.approx(se, rel=1e-6))
    assert (row["low"], row["high"]) == (
        pytest.approx(max(-1, ic - half), rel=1e-6, abs=1e-9),
        pytest.approx(min(1, ic + half), rel=1e-6, abs=1e-9),
    )
    assert (row["nu"], row["p"]) == (nu, pytest.approx(p, rel=1e-5, abs=1e-9))
    assert row["n_eff"] == pytest.approx((1 - ic**2) / se**2, rel=1e-5)
    assert row["detectable"] == pytest.approx(2.8 * se, rel=1e-6)


@pytest.mark.parametrize("horizon", [1, 5])
def test_the_other_columns_are_those_of_the_functions_alone(horizon: int) -> None:
    x, one_bar = market()
    x[10:20], one_bar[200:210] = np.nan, np.nan
    row = information_coefficients({"x": x}, one_bar, [horizon]).frame.row(0, named=True)
    y = forward_sums(one_bar, horizon)
    causal = causal_test(x, one_bar, horizon)
    assert (row["causal_n"], row["causal_t"], row["causal_p"]) == (causal.n, pytest.approx(causal.t), pytest.approx(causal.p))
    later = information_coefficient(x, np.append(y[1:], np.nan), horizon)
    assert (row["ic_next"], row["next_low"], row["next_high"]) == (
        pytest.approx(later.ic),
        pytest.approx(later.low),
        pytest.approx(later.high),
    )
    assert (row["next_t"], row["next_p"]) == (pytest.approx(later.t), pytest.approx(later.p))
    assert row["decile_spread"] == pytest.approx(deciles(x, y).spread)
    found = information_coefficient(x, y, horizon)
    assert (row["ic"], row["t"]) == (pytest.approx(found.ic), pytest.approx(found.t))
    assert row["significant"] == (found.p < 0.05 and causal.p < 0.05 and found.t * causal.t > 0)


def test_a_row_is_significant_only_when_both_tests_say_so() -> None:
    x, one_bar = market(2_000)
    found = information_coefficients({"predicts": x, "late": np.roll(x, 300)}, one_bar, (1, 5)).frame
    assert found["significant"].to_list() == [True, True, False, False]
    stricter = information_coefficients({"predicts": x}, one_bar, (1,), confidence=1 - 1e-12).frame
    assert stricter["significant"].to_list() == [False]


def test_the_table_has_its_schema_and_order() -> None:
    x, one_bar = market()
    table = information_coefficients({"b": x, "a": -x}, one_bar, (5, 1))
    assert dict(table.frame.schema) == COEFFICIENTS_SCHEMA
    assert table.frame.select("feature", "horizon_bars").rows() == [("b", 5), ("b", 1), ("a", 5), ("a", 1)]
    assert [len(one) for one in table.cosines if one is not None] == table.frame["nu"].to_list()


def test_cosines_of_all_bars_line_up_whatever_a_feature_lacks() -> None:
    x, one_bar = market()
    half = np.where(np.arange(len(x)) < 200, np.nan, x)
    whole, part = information_coefficients({"whole": x, "part": half}, one_bar, (1,)).cosines
    assert whole is not None
    assert part is not None
    used = ~np.isnan(half) & ~np.isnan(one_bar)
    products = np.zeros(len(x))
    products[used] = loops.products(half.tolist(), one_bar.tolist(), by_rank=True)
    products[used] -= products[used].mean()
    assert part == pytest.approx(cosine_coefficients(products, len(part)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("method", "theirs"), [("spearman", spearmanr), ("pearson", pearsonr)])
def test_the_coefficient_is_that_of_scipy(method: Method, theirs: Callable[..., Any]) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.integers(0, 6, 300).astype(float), rng.integers(0, 6, 300).astype(float)
    assert information_coefficient(x, y, method=method).ic == pytest.approx(theirs(x, y).statistic, rel=1e-10)


def test_the_coefficient_is_the_rank_ic_of_alphalens() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports and of newer pandas
        import pandas as pd
        from alphalens.performance import factor_information_coefficient

        rng = np.random.default_rng(4)
        assets, dates = 60, pd.date_range("2024-01-01", periods=5, tz="UTC")
        factor, returns = rng.integers(0, 20, (5, assets)).astype(float), rng.normal(size=(5, assets))
        index = pd.MultiIndex.from_product([dates, range(assets)], names=["date", "asset"])
        panel = pd.DataFrame({"1D": returns.ravel(), "factor": factor.ravel(), "factor_quantile": 1}, index=index)
        theirs = factor_information_coefficient(panel)["1D"].to_list()
    assert [information_coefficient(x, y).ic for x, y in zip(factor, returns, strict=True)] == pytest.approx(theirs, rel=1e-10)


def test_the_standard_error_of_independent_rows() -> None:
    rng = np.random.default_rng(5)
    found = information_coefficient(rng.normal(size=20_000), rng.normal(size=20_000))
    assert found.se == pytest.approx(1 / math.sqrt(20_000), rel=0.15)
    assert found.n_eff == pytest.approx(20_000, rel=0.3)


def test_an_interval_ends_at_one() -> None:
    x = np.random.default_rng(6).normal(size=100)
    found = information_coefficient(x, x)
    assert (found.ic, found.high) == (pytest.approx(1.0), 1.0)
    assert information_coefficient(x, -x).low == -1.0


@given(st.integers(0, 1_000), st.sampled_from([np.exp, np.cbrt, np.arctan, lambda x: 3 * x - 7]))
def test_a_rising_function_of_the_feature_changes_no_rank(
    seed: int, function: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> None:
    x, one_bar = market(120, seed)
    x = np.round(x, 2)
    columns = [name for name in COEFFICIENTS_SCHEMA if not name.startswith("causal") and name != "significant"]
    before = information_coefficients({"x": x}, one_bar, (1, 5)).frame.select(columns)
    after = information_coefficients({"x": function(x)}, one_bar, (1, 5)).frame.select(columns)
    for name in columns:
        assert after[name].to_list() == (
            before[name].to_list() if before.schema[name] != pl.Float64 else pytest.approx(before[name].to_list())
        )


@given(
    st.integers(0, 1_000), st.floats(0.1, 10), st.floats(0.1, 10), st.sampled_from([-1.0, 1.0]), st.sampled_from(["spearman", "pearson"])
)
def test_sign_and_scale(seed: int, scale: float, unit: float, sign: float, method: Method) -> None:
    x, one_bar = market(120, seed)
    before = information_coefficients({"x": x}, one_bar, (5,), method=method).frame.row(0, named=True)
    after = information_coefficients({"x": sign * scale * x}, one_bar * unit, (5,), method=method).frame.row(0, named=True)
    for name in ("ic", "t", "ic_next", "causal_t"):
        assert after[name] == pytest.approx(sign * before[name], rel=1e-6, abs=1e-9)
    assert after["decile_spread"] == pytest.approx(sign * unit * before["decile_spread"], rel=1e-6)
    for name in ("se", "n_eff", "detectable", "p", "causal_p"):
        assert after[name] == pytest.approx(before[name], rel=1e-6)


@given(st.permutations(range(4)))
def test_the_order_of_features_changes_nothing(order: list[int]) -> None:
    features = {f"f{seed}": market(seed=seed)[0] for seed in range(4)}
    one_bar = market()[1]
    names = [f"f{number}" for number in order]
    found = information_coefficients({name: features[name] for name in names}, one_bar, (1, 5)).frame
    expected = information_coefficients(features, one_bar, (1, 5)).frame
    assert found.sort("feature", "horizon_bars").equals(expected.sort("feature", "horizon_bars"))


def test_the_input_is_left_as_it_was() -> None:
    x, one_bar = market()
    before = x.copy(), one_bar.copy()
    information_coefficients({"x": x}, one_bar, (1, 5))
    assert np.array_equal(x, before[0])
    assert np.array_equal(one_bar, before[1], equal_nan=True)


def test_rows_without_one_of_both_are_left_out() -> None:
    x, one_bar = market()
    x[50:60], one_bar[100:103] = np.nan, np.nan
    row = information_coefficients({"x": x}, one_bar, (5,)).frame.row(0, named=True)
    # The last five rows have no label of five bars, and each hole in the increments takes the four rows before it too.
    assert row["n"] == 400 - 5 - 10 - (3 + 4)


def test_labels_of_their_own() -> None:
    x, one_bar = market()
    compound = np.expm1(forward_sums(np.log1p(one_bar / 100), 5))
    given_labels = information_coefficients({"x": x}, one_bar, (5,), labels={5: compound}).frame.row(0, named=True)
    assert given_labels["ic"] == pytest.approx(spearmanr(x[:395], compound[:395]).statistic)
    assert given_labels["causal_t"] == pytest.approx(causal_test(x, one_bar, 5).t)
    with pytest.raises(ConfigError, match="a label is missing"):
        information_coefficients({"x": x}, one_bar, (1, 5), labels={5: compound})
    with pytest.raises(ConfigError, match="differ in length"):
        information_coefficients({"x": x}, one_bar, (5,), labels={5: compound[1:]})


@given(st.lists(VALUE, min_size=3, max_size=30), st.integers(1, 29))
def test_forward_sums_are_the_plain_sums(values: list[float], horizon: int) -> None:
    if horizon < len(values):
        assert forward_sums(values, horizon) == pytest.approx(loops.label(values, horizon), rel=1e-9, abs=1e-9, nan_ok=True)


def test_bars_without_a_change_sum_to_nothing_at_all() -> None:
    assert forward_sums([0.1, 0.2, 0.0, 0.0, 0.0, 0.3], 3)[2] == 0.0


def test_a_feature_that_cannot_be_judged_is_an_error_or_a_row() -> None:
    x, one_bar = market()
    mostly_missing = np.where(np.arange(400) < 380, np.nan, x)
    features = {"x": x, "constant": np.ones(400), "missing": mostly_missing}
    with pytest.raises(ConfigError, match="constant cannot be judged: the feature is constant over 399 rows"):
        information_coefficients(features, one_bar, (1,))
    with pytest.raises(ConfigError, match="missing cannot be judged: 19 rows have feature and label, 32 are needed"):
        information_coefficients({"missing": mostly_missing}, one_bar, (1,))
    found = information_coefficients(features, one_bar, (1,), unusable="report")
    assert found.frame["reason"].is_null().to_list() == [True, False, False]
    assert found.frame["n"].to_list() == [399, 399, 19]
    assert (
        found.frame.filter(pl.col("reason").is_not_null()).select("ic", "p", "causal_p", "decile_spread", "significant").null_count().row(0)
        == (2,) * 5
    )
    assert [one is None for one in found.cosines] == [False, True, True]


X, ONE_BAR = market(100)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"one_bar": ONE_BAR[:20], "features": {"x": X[:20]}}, "at least 32 bars with a label, which takes 33 bars"),
        ({"horizons": (30,)}, "at least 150 bars with a label, which takes 180 bars"),
        ({"one_bar": [MISSING] * 100}, "the label is missing in every row"),
        ({"one_bar": [0.0] * 100}, "the label is constant"),
        ({"features": {"x": [1.0] * 100}}, "the feature is constant"),
        ({"horizons": (1, 100)}, "a horizon of 100 bars needs at least 600 bars"),
        ({"features": {"x": [math.inf, *X[1:]]}}, "feature x, row 0"),
        ({"one_bar": [*ONE_BAR[:50], -math.inf, *ONE_BAR[51:]]}, "one_bar, row 50"),
        ({"features": {"x": X[1:]}}, "expected: 100 rows"),
        ({"features": {}}, "no feature is given"),
        ({"features": {"x": ["a"] * 100}}, "does not hold numbers"),
        ({"features": {"x": X.reshape(50, 2)}}, "is not one series"),
        ({"horizons": ()}, "distinct whole numbers of bars"),
        ({"horizons": (1, 1)}, "distinct whole numbers of bars"),
        ({"horizons": (0,)}, "distinct whole numbers of bars"),
        ({"horizons": (1.5,)}, "distinct whole numbers of bars"),
        ({"horizons": (True,)}, "distinct whole numbers of bars"),
        ({"method": "kendall"}, "spearman or pearson"),
        ({"confidence": 95}, "0.95 for 95 %"),
        ({"memory": 0}, "the memory is no number of bars"),
        ({"memory": 40}, "at least 200 bars with a label"),
        ({"unusable": "skip"}, "raise or report"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        information_coefficients(**{"features": {"x": X}, "one_bar": ONE_BAR, "horizons": (1,), **arguments})
    assert says in str(raised.value)


@pytest.mark.parametrize(
    ("x", "y", "horizon", "says"),
    [
        (X, ONE_BAR[1:], 1, "differ in length"),
        (X[:20], ONE_BAR[:20], 1, "19 rows have" if math.isnan(ONE_BAR[19]) else "20 rows have"),
        (X, ONE_BAR, 30, "150 are needed"),
        (X, [1.0] * 100, 1, "the label is constant"),
    ],
)
def test_bad_pairs_are_refused(x: ArrayLike, y: ArrayLike, horizon: int, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        information_coefficient(x, y, horizon)


# Deciles.


def test_deciles_worked_out_by_hand() -> None:
    found = deciles(np.arange(1.0, 61), np.arange(1.0, 61) ** 2)
    assert found.counts == (6,) * 10
    assert found.means[0] == pytest.approx((1 + 4 + 9 + 16 + 25 + 36) / 6)
    assert found.spread == pytest.approx(sum(k * k for k in range(55, 61)) / 6 - found.means[0])


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(-9, 9)), min_size=50, max_size=80))
def test_equal_values_keep_together(rows: list[tuple[int, int]]) -> None:
    x, y = (list(map(float, column)) for column in zip(*rows, strict=True))
    places = [(Fraction(rank) - Fraction(1, 2)) * 10 / len(x) for rank in loops.ranks(x)]
    tenth = [math.floor(place) if place < 5 else math.ceil(place) - 1 for place in places]
    found = deciles(x, y)
    assert found.counts == tuple(tenth.count(one) for one in range(10))
    for one in range(10):
        members = [b for b, group in zip(y, tenth, strict=True) if group == one]
        assert found.means[one] == pytest.approx(sum(members) / len(members) if members else math.nan, nan_ok=True)
    assert found.spread == pytest.approx(found.means[9] - found.means[0], nan_ok=True)


def test_two_values_have_no_top_and_bottom_and_few_rows_no_spread() -> None:
    assert math.isnan(deciles([0.0, 1.0] * 50, np.arange(100.0)).spread)
    assert math.isnan(deciles(np.arange(49.0), np.arange(49.0)).spread)
    assert deciles(np.arange(50.0), np.arange(50.0)).spread == 45.0
    assert deciles([], []).counts == (0,) * 10
    with pytest.raises(ConfigError, match="differ in length"):
        deciles([1.0], [1.0, 2.0])


def test_memory_beyond_the_horizon_counts_as_overlap() -> None:
    x, one_bar = market(1_000)
    row = information_coefficients({"x": x}, one_bar, (1,), memory=50).frame.row(0, named=True)
    assert row["nu"] == 7
    found = information_coefficient(x, one_bar, memory=50)
    assert (row["se"], row["p"], row["causal_p"]) == (found.se, found.p, causal_test(x, one_bar, memory=50).p)
    with_horizon = information_coefficients({"x": x}, one_bar, (100,), memory=50).frame
    assert with_horizon["nu"].item() == 4
