"""The fitted combination: its equations, what test rows must not change, what it finds, and input that is refused."""

from __future__ import annotations

import math
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation import loops
from tests.evaluation.cases import autoregression

from pointline.errors import ConfigError
from pointline.evaluation import (
    PREDICTIONS_SCHEMA,
    WEIGHTS_SCHEMA,
    RowSpans,
    fitted_combination,
    forward_sums,
    information_coefficient,
    out_of_sample,
    purged_k_fold,
    walk_forward,
)
from pointline.evaluation.splits import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def market(n: int = 600, seed: int = 1, size: float = 0.2) -> tuple[dict[str, Floats], Floats]:
    """Two features that predict with different signs, one that does not, and the increment after each bar; the last is not known."""
    rng = np.random.default_rng(seed)
    features = {name: level + 3 * autoregression(rng.standard_normal(n), 0.5) for name, level in (("a", 10.0), ("b", 0.0), ("none", -5.0))}
    one_bar = size / 3 * (features["a"] - 10 - features["b"]) + rng.standard_normal(n)
    return features, np.append(one_bar[:-1], np.nan)


@settings(max_examples=15)
@given(st.integers(0, 1_000), st.floats(0.01, 100), st.sampled_from([0.0, 0.05]), st.booleans())
def test_weights_solve_their_equations(seed: int, penalty: float, missing: float, purged: bool) -> None:
    """Row by row: (Z'Z/m + λI) w = Z'y/m with the training rows' own means and deviations."""
    features, label = market(240, seed)
    rng = np.random.default_rng(seed)
    features["b"] = np.where(rng.random(240) < missing, np.nan, features["b"])
    spans = RowSpans.by_row(240)
    splits = purged_k_fold(spans, folds=3, embargo=4) if purged else walk_forward(spans, folds=2)
    found = fitted_combination(features, label, spans, splits, penalties=[penalty])
    there = [t for t in range(240) if not any(math.isnan(values[t]) for values in (*features.values(), label))]
    for number, split in enumerate(splits):
        train = [t for t in split.train.tolist() if t in there]
        fit = {row["feature"]: row for row in found.weights.filter(fold=number).rows(named=True)}
        z = {name: loops.scores([values[t] for t in train]) for name, values in features.items()}
        level = fmean(label[t] for t in train)
        centred = [label[t] - level for t in train]
        for name, values in features.items():
            assert fit[name]["mean_train"] == pytest.approx(fmean(values[t] for t in train))
            assert fit[name]["deviation_train"] == pytest.approx(pstdev(values[t] for t in train))
            assert fit[name]["n_train"] == len(train)
            left = penalty * fit[name]["weight_train"] + sum(
                fit[other]["weight_train"] * fmean(p * q for p, q in zip(z[name], z[other], strict=True)) for other in features
            )
            assert left == pytest.approx(fmean(p * q for p, q in zip(z[name], centred, strict=True)), abs=1e-9)
        for row in found.predictions.filter(fold=number).rows(named=True):
            t = row["row"]
            expected = level + sum(
                one["weight_train"] * (features[name][t] - one["mean_train"]) / one["deviation_train"] for name, one in fit.items()
            )
            assert row["prediction_out"] == (None if math.isnan(expected) else pytest.approx(expected))


def test_the_penalty_is_the_one_with_the_smallest_error_inside_the_training_rows() -> None:
    """Least squares on rows that are added for the penalty give the same fit; three inner folds choose."""
    features, label = market(900)
    horizon, penalties = 5, (0.001, 1.0, 30.0)
    y = forward_sums(label, horizon)
    spans = RowSpans.by_row(900, horizon)
    splits = walk_forward(spans, folds=2)
    found = fitted_combination(features, y, spans, splits, penalties=penalties)
    x = np.column_stack(list(features.values()))
    chosen = []
    for split in splits:
        train = split.train
        errors = dict.fromkeys(penalties, 0.0)
        block = len(train) // 4
        for begin, stop in ((block, 2 * block), (2 * block, 3 * block), (3 * block, len(train))):
            inner, judged = train[: begin - horizon], train[begin:stop]
            mean, deviation, level = x[inner].mean(axis=0), x[inner].std(axis=0), y[inner].mean()
            for penalty in penalties:
                rows = np.vstack([(x[inner] - mean) / deviation, math.sqrt(len(inner) * penalty) * np.eye(3)])
                weights = np.linalg.lstsq(rows, np.append(y[inner] - level, np.zeros(3)))[0]
                errors[penalty] += float(np.sum((y[judged] - level - (x[judged] - mean) / deviation @ weights) ** 2))
        chosen.append(min(errors, key=errors.__getitem__))
    assert found.weights.group_by("fold", maintain_order=True).first()["penalty_train"].to_list() == chosen


def test_the_tables_have_their_schema_and_every_test_row_once() -> None:
    features, label = market()
    spans = RowSpans.by_row(600)
    found = fitted_combination(features, label, spans, purged_k_fold(spans, folds=4, embargo=5))
    assert dict(found.predictions.schema) == PREDICTIONS_SCHEMA
    assert dict(found.weights.schema) == WEIGHTS_SCHEMA
    assert found.predictions["row"].to_list() == list(range(600))
    assert found.predictions["label"].null_count() == 1
    assert found.weights.select("fold", "feature").rows() == [(fold, name) for fold in range(4) for name in features]


@pytest.mark.parametrize("purged", [False, True])
def test_one_feature_gives_what_out_of_sample_gives(purged: bool) -> None:
    """A ridge of one feature is the feature times the sign of its linear correlation."""
    features, label = market(2_000)
    spans = RowSpans.by_row(2_000)
    splits = purged_k_fold(spans, embargo=20) if purged else walk_forward(spans)
    found = fitted_combination({"a": features["a"]}, label, spans, splits, penalties=[1.0]).ic_out
    alone = out_of_sample({"a": features["a"]}, label, [1], scheme="purged k-fold" if purged else "walk-forward").frame.row(0, named=True)
    assert (found.ic, found.n, found.nu) == (pytest.approx(alone["ic_out"]), alone["n_out"], alone["nu_out"])
    assert found.se == pytest.approx(alone["se_out"] * (math.sqrt(2 / 1.9624) if purged else 1), rel=1e-4)


@pytest.mark.parametrize("purged", [False, True])
@pytest.mark.parametrize("fold", range(3))
def test_values_of_the_test_rows_change_no_weight(purged: bool, fold: int) -> None:
    features, one_bar = market(700)
    horizon = 10
    spans = RowSpans.by_row(700, horizon)
    splits = purged_k_fold(spans, folds=3, embargo=7) if purged else walk_forward(spans, folds=3)
    begin, end = int(splits[fold].test[0]), int(splits[fold].test[-1]) + 1 if purged else 700
    other = {name: values.copy() for name, values in features.items()}
    for values in other.values():
        values[begin:end] = 100 - values[begin:end]
    planted = one_bar.copy()
    planted[begin:end] = 1_000.0 * np.cos(np.arange(begin, end))

    def weights(features: dict[str, Floats], one_bar: Floats, splits: tuple[Split, ...]) -> list[Any]:
        y = np.array(loops.label(one_bar.tolist(), horizon))
        return fitted_combination(features, y, spans, splits).weights.filter(fold=fold).rows()

    assert weights(features, one_bar, splits) == weights(other, planted, splits)
    # Without purging they do change, wherever rows before the test rows train.
    careless = tuple(Split(np.union1d(split.train, np.arange(split.test[0])), split.test) for split in splits)
    same = weights(features, one_bar, careless) == weights(other, planted, careless)
    assert same == (purged and fold == 0)


def test_a_combination_finds_what_its_parts_show_in_20_000_rows() -> None:
    """Two independent parts of one size and a true rank correlation of .05 together."""
    size = math.tan(math.asin(2 * math.sin(math.pi * 0.05 / 6))) / math.sqrt(2)
    features, label = market(20_000, 3, size)
    spans = RowSpans.by_row(20_000)
    found = fitted_combination(features, label, spans, walk_forward(spans))
    assert found.ic_out.ic == pytest.approx(0.05, abs=3 * found.ic_out.se)
    assert found.ic_out.p < 0.001
    joined = found.predictions.drop_nulls()
    alone = information_coefficient(joined["prediction_out"], joined["label"])
    assert found.ic_out.ic == pytest.approx(alone.ic, abs=0.005)


@pytest.mark.parametrize("purged", [False, True])
def test_nothing_is_found_where_nothing_predicts(purged: bool) -> None:
    runs, rejected, means = 100, 0, []
    spans = RowSpans.by_row(500)
    splits = purged_k_fold(spans, embargo=5) if purged else walk_forward(spans)
    for seed in range(runs):
        features, label = market(500, seed, 0.0)
        found = fitted_combination(features, label, spans, splits, penalties=[1.0]).ic_out
        rejected += found.p < 0.05
        means.append(found.ic)
    assert rejected <= runs * 0.08 + 2 * math.sqrt(runs * 0.08 * 0.92)
    assert abs(fmean(means)) < 4 * pstdev(means) / math.sqrt(runs)


def test_a_feature_that_is_constant_over_training_rows_has_no_weight() -> None:
    features, label = market(600)
    features["none"] = np.where(np.arange(600) < 350, 0.1, features["none"])
    spans = RowSpans.by_row(600)
    found = fitted_combination(features, label, spans, walk_forward(spans, folds=2), penalties=[1.0]).weights
    flat = found.filter(pl.col("feature") == "none")
    assert flat["deviation_train"].to_list()[0] == 0
    assert flat["weight_train"].to_list()[0] == 0
    assert flat["weight_train"].to_list()[1] != 0


SPANS = RowSpans.by_row(600)
SPLITS = walk_forward(SPANS, folds=2)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"features": {}}, "no feature is given"),
        ({"features": {"a": [1.0]}}, "expected: 600 rows"),
        ({"features": {"a": [1.0] * 600}}, "the prediction is constant over the test rows"),
        ({"features": {"a": [math.nan] * 600}}, "a fold has too few rows"),
        ({"features": {"a": [math.inf] * 600}}, "infinite"),
        ({"spans": RowSpans.by_row(599)}, "spans and label differ in length"),
        ({"splits": ()}, "no split is given"),
        ({"splits": (Split(np.arange(300), np.arange(300, 601)),)}, "rows that are not there"),
        ({"splits": (Split(np.arange(0), np.arange(300, 600)),)}, "no rows"),
        ({"splits": (Split(np.arange(20), np.arange(300, 600)),)}, "at least 32 each"),
        ({"penalties": ()}, "the penalties cannot be used"),
        ({"penalties": (0.0,)}, "the penalties cannot be used"),
        ({"penalties": (math.inf,)}, "the penalties cannot be used"),
        ({"confidence": 2}, "0.95 for 95 %"),
    ],
)
def test_bad_input_is_refused(arguments: dict[str, Any], says: str) -> None:
    features, label = market()
    with pytest.raises(ConfigError) as raised:
        fitted_combination(**{"features": features, "label": label, "spans": SPANS, "splits": SPLITS, **arguments})
    assert says in str(raised.value)
