"""Out of sample: plain loops, what test rows must not change, sizes where nothing predicts, and input that is refused."""

from __future__ import annotations

import math
from dataclasses import astuple
from itertools import product
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtr
from scipy.stats import t as student
from tests.evaluation import loops
from tests.evaluation.cases import CASES, ENDOGENOUS, PHIS, OutOfSampleOutcome, autoregression, out_of_sample_outcomes

from pointline.errors import ConfigError
from pointline.evaluation import (
    FOLDS_SCHEMA,
    OUT_OF_SAMPLE_SCHEMA,
    RowSpans,
    deciles,
    forward_sums,
    inflation,
    information_coefficient,
    out_of_sample,
    purged_k_fold,
    walk_forward,
)
from pointline.evaluation.information import IcOptions, _out_of_sample
from pointline.evaluation.labels import LabelSeries
from pointline.evaluation.out_of_sample import Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
FITTED = ("n_train", "ic_train", "sign_train", "low_threshold_train", "high_threshold_train")
MOST = 0.08


def market(n: int = 600, seed: int = 1, phi: float = 0.8) -> tuple[Floats, Floats]:
    """A feature that predicts a little, and the increment after each bar; the last one is not known."""
    rng = np.random.default_rng(seed)
    x = autoregression(rng.standard_normal(n), phi)
    return x, np.append((0.2 * x + rng.standard_normal(n))[:-1], np.nan)


# Plain loops.


def quantile(values: Sequence[float], share: float) -> float:
    """The value at (n - 1) · share, between two neighbours in proportion."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def fold_by_loop(x: list[float], y: list[float], train: list[int], test: list[int]) -> dict[str, float]:
    """What the training rows say of the test rows."""
    ic = fmean(loops.products([x[t] for t in train], [y[t] for t in train], by_rank=True))
    sign = (ic > 0) - (ic < 0)
    low, high = quantile([x[t] for t in train], 0.1), quantile([x[t] for t in train], 0.9)
    top, bottom = [y[t] for t in test if x[t] > high], [y[t] for t in test if x[t] < low]
    return {
        "ic_train": ic,
        "sign_train": sign,
        "low_threshold_train": low,
        "high_threshold_train": high,
        "ic_out": sign * fmean(loops.products([x[t] for t in test], [y[t] for t in test], by_rank=True)),
        "decile_spread_out": sign * (fmean(top) - fmean(bottom)) if top and bottom and len(test) >= 50 else math.nan,
    }


def error_by_loop(x: list[float], y: list[float], tests: list[list[int]], signs: list[float], horizon: int) -> tuple[float, int]:
    """The standard error of the mean over folds, and its cosines."""
    everything = [t for test in tests for t in test]
    level = dict(zip(everything, loops.scores(loops.ranks([y[t] for t in everything])), strict=True))
    products = []
    for test, sign in zip(tests, signs, strict=True):
        deviation = pstdev(level[t] for t in test)
        scores = loops.scores(loops.ranks([x[t] for t in test]))
        products += [sign * score * level[t] / deviation for t, score in zip(test, scores, strict=True)]
    nu = loops.nu(len(products), horizon)
    return math.sqrt(fmean(q * q for q in loops.cosines(products, nu)) / len(products)), nu


@settings(max_examples=20)
@given(
    seed=st.integers(0, 1_000),
    n=st.integers(130, 200),
    decimals=st.sampled_from([-1, 0, 8]),
    missing=st.sampled_from([0.0, 0.02, 0.6]),
    horizon=st.sampled_from([1, 3]),
    scheme=st.sampled_from(SCHEMES),
)
def test_figures_are_those_of_the_plain_loop(seed: int, n: int, decimals: int, missing: float, horizon: int, scheme: Scheme) -> None:
    """With many ties (few decimals), few or many missing values, and folds that are too short."""
    rng = np.random.default_rng(seed)
    features = np.where(rng.random(n) < missing, np.nan, np.round(4 * rng.standard_normal(n), decimals))
    x, one_bar = features.tolist(), np.round(2 * rng.standard_normal(n), max(0, decimals)).tolist()
    y = loops.label(one_bar, horizon)
    there = [not (math.isnan(a) or math.isnan(b)) for a, b in zip(x, y, strict=True)]
    spans = RowSpans.by_row(len(x), horizon)
    splits = walk_forward(spans, folds=2) if scheme == "walk-forward" else purged_k_fold(spans, folds=2, embargo=math.ceil(len(x) / 100))
    found = out_of_sample({"x": x}, one_bar, [horizon], folds=2, scheme=scheme, unusable="report")
    (summary,) = found.frame.rows(named=True)
    if sum(there) < 32 or len({a for a, both in zip(x, there, strict=True) if both}) == 1:
        assert summary["reason"]
        assert found.folds.is_empty()
        return
    tests, signs, expected = [], [], []
    for split, row in zip(splits, found.folds.rows(named=True), strict=True):
        train, test = ([t for t in part.tolist() if there[t]] for part in (split.train, split.test))
        assert (row["n_train"], row["n_out"]) == (len(train), len(test))
        if row["reason"]:
            few = min(len(train), len(test)) < 32
            assert few or any(len({values[t] for t in part}) == 1 for part in (train, test) for values in (x, y))
            continue
        one = fold_by_loop(x, y, train, test)
        for name, value in one.items():
            assert row[name] == (None if math.isnan(value) else pytest.approx(value, rel=1e-9, abs=1e-9))
        tests.append(test)
        signs.append(one["sign_train"])
        expected.append(one)
    assert summary["folds_out"] == len(tests)
    if not tests:
        assert summary["reason"]
        return
    n = sum(map(len, tests))
    ic = sum(one["ic_out"] * len(test) for one, test in zip(expected, tests, strict=True)) / n
    se, nu = error_by_loop(x, y, tests, signs, horizon)
    se *= 1 if scheme == "walk-forward" else math.sqrt(1 + 2 / math.pi)  # two folds
    spreads = [one["decile_spread_out"] for one in expected if not math.isnan(one["decile_spread_out"])]
    half = student.ppf(0.975, nu) * se
    assert (summary["n_out"], summary["nu_out"], summary["spread_folds_out"]) == (n, nu, len(spreads))
    assert (summary["ic_out"], summary["se_out"]) == (pytest.approx(ic, abs=1e-9), pytest.approx(se, rel=1e-6, abs=1e-12))
    assert (summary["low_out"], summary["high_out"]) == (
        pytest.approx(max(-1, ic - half), rel=1e-6, abs=1e-9),
        pytest.approx(min(1, ic + half), rel=1e-6, abs=1e-9),
    )
    assert summary["same_sign_out"] == fmean(one["ic_out"] > 0 for one in expected)
    assert summary["decile_spread_out"] == (pytest.approx(fmean(spreads), rel=1e-9, abs=1e-9) if spreads else None)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_causal_test_is_that_of_the_test_rows_with_the_training_signs(scheme: Scheme) -> None:
    x, one_bar = market(300)
    x[100:110] = np.nan
    found = out_of_sample({"x": x}, one_bar, [3], folds=3, scheme=scheme)
    scores = loops.causal_products(x.tolist(), one_bar.tolist(), 3)
    rows = [t for t in range(300) if not math.isnan(one_bar[t]) and not np.isnan(x[max(0, t - 2) : t + 1]).all()]
    products = dict(zip(rows, scores, strict=True))
    signed = [
        row["sign_train"] * products[t]
        for row in found.folds.rows(named=True)
        for t in range(row["test_begin"], row["test_end"])
        if t in products
    ]
    nu = loops.nu(len(signed), 1)
    mean, se, _ = loops.t_test(signed, nu)
    t = mean / se / (1 if scheme == "walk-forward" else math.sqrt(inflation(3)))
    summary = found.frame.row(0, named=True)
    assert (summary["causal_n_out"], summary["causal_t_out"]) == (len(signed), pytest.approx(t))
    assert summary["causal_p_out"] == pytest.approx(2 * student.sf(abs(t), nu))


def test_figures_in_sample_are_those_of_the_functions_alone() -> None:
    x, one_bar = market()
    row = out_of_sample({"x": x}, one_bar, [5]).frame.row(0, named=True)
    y = forward_sums(one_bar, 5)
    alone = information_coefficient(x, y, 5)
    assert (row["n_in"], row["ic_in"], row["se_in"]) == (alone.n, pytest.approx(alone.ic), pytest.approx(alone.se))
    assert row["decile_spread_in"] == pytest.approx(deciles(x, y).spread)


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_the_variance_of_purged_folds_is_that_of_the_definition(folds: int) -> None:
    z = np.random.default_rng(folds).standard_normal((200_000, folds))
    figure = np.mean(z * np.sign(z.sum(axis=1, keepdims=True) - z), axis=1)
    assert figure.mean() == pytest.approx(0, abs=0.01)
    assert figure.var() * folds == pytest.approx(inflation(folds), rel=0.02)


def test_the_tables_have_their_schema_and_every_figure_says_its_sample() -> None:
    x, one_bar = market()
    found = out_of_sample({"b": x, "a": -x}, one_bar, (5, 1), folds=3)
    assert dict(found.frame.schema) == OUT_OF_SAMPLE_SCHEMA
    assert dict(found.folds.schema) == FOLDS_SCHEMA
    assert found.frame.select("feature", "horizon_bars").rows() == [("b", 5), ("b", 1), ("a", 5), ("a", 1)]
    assert found.folds["fold"].to_list() == [0, 1, 2] * 4
    names = {"feature", "horizon_bars", "fold", "test_begin", "test_end", "reason"}
    assert [c for c in (*OUT_OF_SAMPLE_SCHEMA, *FOLDS_SCHEMA) if c not in names and not c.endswith(("_in", "_train", "_out"))] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_sign_and_the_scale_of_a_feature_change_nothing_out_of_sample(scheme: Scheme) -> None:
    x, one_bar = market()
    frame = out_of_sample({"x": x, "other": -3 * x}, one_bar, (1, 5), scheme=scheme).frame
    outside = [name for name in frame.columns if name.endswith("_out")]
    for one, other in zip(frame[:2].select(outside).rows(), frame[2:].select(outside).rows(), strict=True):
        assert one == pytest.approx(other)


def test_labels_in_clock_time_are_those_of_bars_where_bars_are_even() -> None:
    x, one_bar = market()
    known = 60_000_000 * np.arange(1, len(x) + 1)
    spans = {5: RowSpans.by_time(known, known + 5 * 60_000_000, lookback_us=60_000_000)}
    for scheme in SCHEMES:
        by_row, by_time = (out_of_sample({"x": x}, one_bar, [5], scheme=scheme, spans=given) for given in (None, spans))
        assert by_row.frame.equals(by_time.frame)
        assert by_row.folds.equals(by_time.folds)


def test_a_label_that_is_given_is_used() -> None:
    x, one_bar = market()
    found = out_of_sample({"x": x}, one_bar, [5], labels={5: -forward_sums(one_bar, 5)})
    other = out_of_sample({"x": x}, one_bar, [5])
    assert found.frame["ic_in"][0] == pytest.approx(-other.frame["ic_in"][0])
    assert found.frame["ic_out"][0] == pytest.approx(other.frame["ic_out"][0])


# What is fitted comes from training rows alone.


def fitted(x: Floats, one_bar: Floats, scheme: Scheme, spans: dict[int, RowSpans] | None = None) -> list[tuple[Any, ...]]:
    found = out_of_sample({"x": x}, one_bar, (1, 10), folds=4, scheme=scheme, spans=spans)
    return found.folds.select("horizon_bars", *FITTED).rows()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("fold", range(4))
def test_values_of_the_test_rows_change_nothing_that_is_fitted(scheme: Scheme, fold: int) -> None:
    x, one_bar = market(700)
    row = out_of_sample({"x": x}, one_bar, [1], folds=4, scheme=scheme).folds.row(fold, named=True)
    begin, end = row["test_begin"], row["test_end"] if scheme == "purged k-fold" else len(x)
    before = fitted(x, one_bar, scheme)
    changed_x, changed_bar = x.copy(), one_bar.copy()
    changed_x[begin:end], changed_bar[begin:end] = 50 - x[begin:end], 1_000 * np.cos(np.arange(begin, end))
    after = fitted(changed_x, changed_bar, scheme)
    assert [after[h * 4 + fold] for h in range(2)] == [before[h * 4 + fold] for h in range(2)]
    assert after != before or (scheme == "walk-forward" and fold == 3)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_without_purging_a_value_planted_in_the_test_rows_would_be_fitted(scheme: Scheme) -> None:
    """A jump in the second bar of the test rows is in nine training labels before them; the purge takes these out."""
    x, one_bar = market(700)
    begin = out_of_sample({"x": x}, one_bar, [10], folds=4, scheme=scheme).folds["test_begin"][1]
    planted = one_bar.copy()
    planted[begin] = 1e6
    careless = {1: RowSpans.by_row(700), 10: RowSpans.by_row(700)}  # says that labels of ten bars end after one
    fold = 4 + 1  # the second fold of the second horizon
    assert fitted(x, planted, scheme)[fold] == fitted(x, one_bar, scheme)[fold]
    assert fitted(x, planted, scheme, careless)[fold] != fitted(x, one_bar, scheme, careless)[fold]


@pytest.mark.parametrize("horizon", [1, 10])
@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_that_end_before_the_cut_do_not_change(folds: int, horizon: int) -> None:
    """Blanked or cut off: what comes later is in no figure of an earlier walk-forward fold."""
    x, one_bar = market(1_200)
    whole = out_of_sample({"x": x}, one_bar, [horizon], folds=5).folds
    blocks = folds * 200
    cut = out_of_sample({"x": x[:blocks]}, one_bar[:blocks], [horizon], folds=folds - 1).folds
    ended = whole.filter(pl.col("test_end") + horizon <= blocks + 1).height
    assert ended >= folds - 2
    blanked_x, blanked_bar = x.copy(), one_bar.copy()
    blanked_x[blocks:], blanked_bar[blocks:] = np.nan, np.nan
    blanked = out_of_sample({"x": blanked_x}, blanked_bar, [horizon], folds=5, unusable="report").folds
    assert cut[:ended].equals(whole[:ended])
    assert blanked[:ended].equals(whole[:ended])


# Rows without figures, and input that is refused.


def test_a_feature_or_fold_without_figures_says_why() -> None:
    x, one_bar = market(600)
    late = np.where(np.arange(600) < 150, np.nan, x)
    stuck = np.where(np.arange(600) >= 450, 7.0, x)
    features = {"late": late, "stuck": stuck, "never": np.full(600, np.nan), "flat": np.ones(600)}
    found = out_of_sample(features, one_bar, [1], folds=3, unusable="report")
    reasons = found.folds.filter(pl.col("reason").is_not_null()).select("feature", "fold", "reason").rows()
    assert reasons == [
        ("late", 0, "0 training rows have feature and label, 32 are needed"),
        ("stuck", 2, "the feature is constant over the test rows"),
    ]
    assert found.frame["folds_out"].to_list() == [2, 2, None, None]
    assert found.frame["reason"].to_list()[:2] == [None, None]
    assert found.frame["reason"].to_list()[2].startswith("0 rows have feature and label")
    assert found.frame["reason"].to_list()[3].startswith("the feature is constant")
    for name in ("never", "flat"):
        with pytest.raises(ConfigError, match=f"{name} cannot be judged"):
            out_of_sample({name: features[name]}, one_bar, [1], folds=3)


def test_a_feature_without_any_fold_says_why() -> None:
    x, one_bar = market(600)
    x[200:] = np.nan
    found = out_of_sample({"x": x}, one_bar, [1], folds=2, unusable="report")
    (row,) = found.frame.rows(named=True)
    assert row["reason"].startswith("no fold has figures; the first because 0 test rows")
    assert (row["n_in"], row["folds_out"], row["ic_out"]) == (200, 0, None)


def test_a_feature_with_two_values_has_no_spread() -> None:
    x, one_bar = market(600)
    row = out_of_sample({"x": np.sign(x)}, one_bar, [1], folds=2).frame.row(0, named=True)
    assert (row["spread_folds_out"], row["decile_spread_out"]) == (0, None)
    assert row["ic_out"] is not None


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("folds", "horizon"), [(5, 1), (3, 20), (2, 5)])
def test_too_few_rows_say_how_many_are_enough(scheme: Scheme, folds: int, horizon: int) -> None:
    x, one_bar = market(3_000)
    few = 5 * horizon + 60
    with pytest.raises(ConfigError, match="too few rows for the folds") as raised:
        out_of_sample({"x": x[:few]}, one_bar[:few], [horizon], folds=folds, scheme=scheme)
    needed = int(str(raised.value).split("at least ")[1].split(" rows")[0].replace(",", ""))
    found = out_of_sample({"x": x[:needed]}, one_bar[:needed], [horizon], folds=folds, scheme=scheme)
    assert found.frame["folds_out"].to_list() == [folds]


@pytest.mark.parametrize(("rows", "figures"), [(1_499, 0), (1_500, 0), (1_799, 0), (1_800, 1)])
def test_a_table_of_labels_has_no_figures_out_of_sample_where_the_rows_are_too_few(rows: int, figures: int) -> None:
    x, one_bar = market(rows)
    label = LabelSeries("perp_return", "50 bars", 50, 1, forward_sums(one_bar, 50), one_bar)
    found = _out_of_sample({"x": x}, [label], IcOptions())
    assert (found.height, found["ic_out"].count()) == (1, figures)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"scheme": "shuffled"}, "walk-forward or purged k-fold"),
        ({"scheme": "purged k-fold", "embargo": 590}, "the embargo is too long"),
        ({"scheme": "purged k-fold", "embargo": -1}, "embargo cannot be used"),
        ({"scheme": "purged k-fold", "window": 100}, "has no window"),
        ({"embargo": 5}, "has no embargo"),
        ({"window": 20}, "the window is too short"),
        ({"folds": 0}, "folds cannot be used"),
        ({"horizons": (600,)}, "reaches beyond the data"),
        ({"features": {}}, "no feature is given"),
        ({"features": {"x": [1.0, 2.0]}}, "expected: 600 rows"),
        ({"one_bar": [math.nan] * 600}, "the label is missing in every row"),
        ({"labels": {2: [1.0] * 600}}, "a label is missing"),
        ({"spans": {2: RowSpans.by_row(600)}}, "the spans of a label are missing"),
        ({"spans": {1: RowSpans.by_row(599)}}, "spans and label differ in length"),
        ({"confidence": 95}, "0.95 for 95 %"),
        ({"unusable": "skip"}, "raise or report"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], says: str) -> None:
    x, one_bar = market()
    with pytest.raises(ConfigError) as raised:
        out_of_sample(**{"features": {"x": x}, "one_bar": one_bar, "horizons": (1,), **arguments})
    assert says in str(raised.value)


def test_a_rolling_window_trains_on_its_rows() -> None:
    x, one_bar = market()
    assert out_of_sample({"x": x}, one_bar, [1], folds=3, window=100).folds["n_train"].to_list() == [100] * 3


# Where the truth is known.


def assert_nothing_found(found: list[OutOfSampleOutcome]) -> None:
    """Sizes of at most 8 % and means of zero, within two and four standard errors. A feature that reacts to returns has the causal test."""
    most = MOST + 2 * math.sqrt(MOST * (1 - MOST) / found[0].runs)
    exogenous = [one for one in found if one.case not in ENDOGENOUS]
    assert [astuple(one) for one in exogenous if one.ewc > most] == []
    assert [astuple(one) for one in found if max(one.causal, one.both) > most] == []
    assert [astuple(one) for one in exogenous if abs(one.mean) > 4 * one.mean_error] == []


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_is_found_where_nothing_predicts(scheme: Scheme) -> None:
    cells = [("iid", 0.0), ("common volatility", 0.9)]
    found = [one for case, phi in cells for one in out_of_sample_outcomes(scheme, case, phi, 600, 60, horizons=(1, 10))]
    assert_nothing_found(found)
    assert min(one.mean_in for one in found) > 0.02  # the figure in sample is never zero


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_true_coefficient_is_found(scheme: Scheme) -> None:
    (found,) = out_of_sample_outcomes(scheme, "iid", 0.9, 20_000, 10, horizons=(1,), ic=0.05)
    assert found.both >= 0.9
    assert found.mean == pytest.approx(0.05, abs=0.008)


def test_folds_that_share_training_rows_would_mislead_without_the_factor() -> None:
    """The same t without its factor rejects far too often where nothing predicts."""
    z = np.random.default_rng(4).standard_normal((50_000, 5))
    t = np.sum(z * np.sign(z.sum(axis=1, keepdims=True) - z), axis=1) / math.sqrt(5)
    naive, corrected = (float(np.mean(2 * stdtr(1e6, -np.abs(t / scale)) < 0.05)) for scale in (1, math.sqrt(inflation(5))))
    assert naive > 0.12
    assert corrected < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_sizes_of_the_whole_grid(scheme: Scheme) -> None:
    assert_nothing_found([one for case, phi in product(CASES, PHIS) for one in out_of_sample_outcomes(scheme, case, phi, 2_000, 400)])
