"""Ranks with ties, against scipy, over whole arrays and over parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, rankdata, spearmanr

from pointline.evaluation.ranks import RankedValues, average_ranks, standardised

TIED = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40)
WITH_MISSING = st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(math.nan)), min_size=1, max_size=40)


@given(TIED)
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    assert average_ranks(np.array(values)).tolist() == rankdata(values).tolist()


def test_ranks_of_many_rows_at_once() -> None:
    values = np.random.default_rng(1).integers(0, 5, size=(3, 4, 30)).astype(float)
    assert np.array_equal(average_ranks(values), rankdata(values, axis=-1))


@given(WITH_MISSING, st.data())
def test_ranks_of_a_part_need_no_sorting(values: list[float], data: st.DataObject) -> None:
    array = np.array(values)
    used = np.array(data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))) & ~np.isnan(array)
    assert RankedValues.of(array).ranks(used).tolist() == rankdata(array[used]).tolist()


@given(WITH_MISSING, st.integers(1, 45))
def test_values_ahead_keep_their_order(values: list[float], rows: int) -> None:
    moved = RankedValues.of(np.array(values)).ahead(rows)
    expected = [*values[rows:], *[math.nan] * min(rows, len(values))]
    assert np.array_equal(moved.values, expected, equal_nan=True)
    present = ~np.isnan(moved.values)
    assert moved.ranks(present).tolist() == rankdata(moved.values[present]).tolist()


def test_the_mean_product_is_the_correlation() -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 9, 500).astype(float)
    y = np.exp(x / 3 + rng.normal(size=500))
    assert np.mean(standardised(x) * standardised(y)) == pytest.approx(spearmanr(x, y).statistic, rel=1e-12)
    assert np.mean(standardised(x, "pearson") * standardised(y, "pearson")) == pytest.approx(pearsonr(x, y).statistic, rel=1e-12)


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1.0, 1e160, 1e300])
def test_standardising_neither_overflows_nor_vanishes(scale: float) -> None:
    values = np.array([1.0, 2.0, 4.0, 7.0])
    assert standardised(values * scale, "pearson") == pytest.approx(standardised(values, "pearson"), rel=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9 / 3])
def test_equal_values_have_no_scores(value: float) -> None:
    for method in ("spearman", "pearson"):
        assert standardised(np.full(1_001, value), method).tolist() == [0.0] * 1_001
