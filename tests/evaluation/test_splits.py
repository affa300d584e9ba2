"""Splits: what may train, against a plain loop; the same figures by row and by time; input that is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pointline.errors import ConfigError
from pointline.evaluation import RowSpans, purged_k_fold, walk_forward

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from pointline.evaluation import Split


@st.composite
def spans(draw: st.DrawFn) -> RowSpans:
    """Bars of uneven length, some of them known at one moment, with labels of uneven length."""
    gaps = draw(st.lists(st.integers(0, 3), min_size=12, max_size=40))
    lengths = draw(st.lists(st.integers(1, 8), min_size=len(gaps), max_size=len(gaps)))
    known = np.cumsum(gaps)
    return RowSpans.by_time(known, known + lengths, lookback_us=draw(st.integers(0, 4)))


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two half-open stretches (begin, end] share a moment."""
    return max(one[0], other[0]) < min(one[1], other[1])


def allowed(rows: RowSpans, test: list[int]) -> list[int]:
    """The rows outside the test rows whose label meets no window and no label of a test row."""
    begin, known, end = (values.tolist() for values in (rows.begin, rows.known, rows.end))
    return [
        row
        for row in range(len(rows))
        if row not in test and not any(overlap((known[row], end[row]), (begin[other], end[other])) for other in test)
    ]


def rows_of_tests(splits: tuple[Split, ...]) -> list[int]:
    return [row for split in splits for row in split.test.tolist()]


@given(spans(), st.integers(1, 6), st.one_of(st.none(), st.integers(1, 20)))
def test_walk_forward_is_the_plain_loop(rows: RowSpans, folds: int, window: int | None) -> None:
    try:
        splits = walk_forward(rows, folds=folds, window=window)
    except ConfigError:
        first = len(rows) // (folds + 1)
        assert first == 0 or not [row for row in allowed(rows, list(range(first, first + 1))) if row < first]
        return
    length = len(rows) // (folds + 1)
    assert [len(split.test) for split in splits[:-1]] == [length] * (folds - 1)
    assert rows_of_tests(splits) == list(range(length, len(rows)))
    for split in splits:
        earlier = [row for row in allowed(rows, split.test.tolist()) if row < split.test[0]]
        assert split.train.tolist() == (earlier if window is None else earlier[-window:])


@given(spans(), st.integers(2, 6), st.integers(0, 6))
def test_purged_folds_are_the_plain_loop(rows: RowSpans, folds: int, embargo: int) -> None:
    blocks = [list(range(len(rows) * k // folds, len(rows) * (k + 1) // folds)) for k in range(folds)]
    expected = []
    for test in blocks:
        train = allowed(rows, test)
        expected.append([row for row in train if row < test[0]] + [row for row in train if row > test[-1]][embargo:])
    if not all(expected):
        with pytest.raises(ConfigError, match=r"too few rows for the folds|embargo is too long"):
            purged_k_fold(rows, folds=folds, embargo=embargo)
        return
    splits = purged_k_fold(rows, folds=folds, embargo=embargo)
    assert [split.test.tolist() for split in splits] == blocks
    assert [split.train.tolist() for split in splits] == expected


@given(spans(), st.integers(1, 4), st.integers(1, 20))
def test_the_first_fold_has_the_training_rows_that_were_asked_for(rows: RowSpans, folds: int, fewest: int) -> None:
    try:
        splits = walk_forward(rows, folds=folds, fewest=fewest)
    except ConfigError:
        return
    assert len(splits[0].train) >= fewest
    before = [row for row in allowed(rows, [int(splits[0].test[0]) - 1]) if row < splits[0].test[0] - 1]
    assert len(before) < fewest


@given(st.integers(20, 80), st.integers(1, 5), st.integers(0, 3), st.integers(1, 1_000))
def test_bars_of_one_length_are_the_same_by_row_and_by_time(n: int, horizon: int, lookback: int, bar: int) -> None:
    assume(n // 4 > horizon + lookback)
    by_row = RowSpans.by_row(n, horizon, lookback=lookback)
    known = 1_700_000_000_000_000 + bar * np.arange(n)
    by_time = RowSpans.by_time(known, known + horizon * bar, lookback_us=lookback * bar)
    assert (by_row.overlap, by_row.reach) == (by_time.overlap, by_time.reach) == (horizon, max(0, horizon + lookback - 1))
    for make in (lambda rows: walk_forward(rows, folds=3), lambda rows: purged_k_fold(rows, folds=3, embargo=2)):
        for one, other in zip(make(by_row), make(by_time), strict=True):
            assert one.train.tolist() == other.train.tolist()
            assert one.test.tolist() == other.test.tolist()


@given(spans(), st.integers(2, 5))
def test_walk_forward_of_the_first_folds_needs_only_their_rows(rows: RowSpans, folds: int) -> None:
    try:
        splits = walk_forward(rows, folds=folds)
    except ConfigError:
        return
    length = len(rows) // (folds + 1)
    cut = walk_forward(rows.take(np.arange(folds * length)), folds=folds - 1)
    for one, other in zip(splits, cut, strict=False):
        assert one.train.tolist() == other.train.tolist()
        assert one.test.tolist() == other.test.tolist()


def test_splits_worked_out_by_hand() -> None:
    """Labels of 3 bars, features of the row's bar: the label of row 5 ends with bar 8, the first test row is bar 10."""
    first, second = walk_forward(RowSpans.by_row(30, 3), folds=2)
    assert (first.train.tolist(), first.test.tolist()) == (list(range(7)), list(range(10, 20)))
    assert second.train.tolist() == list(range(17))
    _, middle, _ = purged_k_fold(RowSpans.by_row(30, 3), folds=3, embargo=2)
    # The last label of the test rows 10 to 19 ends with bar 22, row 22 has the next one, rows 22 and 23 are under embargo.
    assert middle.train.tolist() == [*range(7), *range(24, 30)]


@pytest.mark.parametrize(
    ("rows", "folds", "horizon"),
    [(10, 5, 3), (3, 5, 1), (1, 1, 1), (23, 5, 3)],
)
def test_too_few_rows_say_how_many_are_needed(rows: int, folds: int, horizon: int) -> None:
    with pytest.raises(ConfigError) as raised:
        walk_forward(RowSpans.by_row(rows, horizon), folds=folds)
    needed = (folds + 1) * (horizon + 1)
    assert f"at least {needed:,} rows for {folds} folds" in str(raised.value)
    assert len(walk_forward(RowSpans.by_row(needed, horizon), folds=folds)) == folds
    with pytest.raises(ConfigError, match="too few rows"):
        walk_forward(RowSpans.by_row(needed - 1, horizon), folds=folds)


@pytest.mark.parametrize(("folds", "fewest"), [(2, 10), (5, 50), (3, 1)])
def test_the_rows_that_are_said_to_be_needed_are_enough(folds: int, fewest: int) -> None:
    for make in (walk_forward, purged_k_fold):
        with pytest.raises(ConfigError) as raised:
            make(RowSpans.by_row(folds, 4), folds=folds, fewest=fewest)
        needed = int(str(raised.value).split("at least ")[1].split(" rows")[0])
        assert min(len(split.train) for split in make(RowSpans.by_row(needed, 4), folds=folds, fewest=fewest)) >= fewest


def test_a_long_embargo_says_the_longest() -> None:
    rows = RowSpans.by_row(100, 2)
    with pytest.raises(ConfigError, match="the embargo is too long") as raised:
        purged_k_fold(rows, folds=5, embargo=80, fewest=10)
    longest = int(str(raised.value).split("at most ")[1].split(" rows")[0])
    assert min(len(split.train) for split in purged_k_fold(rows, folds=5, embargo=longest, fewest=10)) >= 10
    with pytest.raises(ConfigError, match="the embargo is too long"):
        purged_k_fold(rows, folds=5, embargo=longest + 1, fewest=10)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"folds": 0}, "folds cannot be used"),
        ({"folds": 2.5}, "folds cannot be used"),
        ({"folds": True}, "folds cannot be used"),
        ({"window": 0}, "window cannot be used"),
        ({"fewest": 0}, "fewest cannot be used"),
        ({"fewest": 100}, "too few rows"),
    ],
)
def test_bad_counts_are_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        walk_forward(RowSpans.by_row(100), **arguments)


@pytest.mark.parametrize("arguments", [{"folds": 1}, {"embargo": -1}, {"embargo": 1.5}, {"fewest": 0}])
def test_bad_counts_of_purged_folds_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        purged_k_fold(RowSpans.by_row(100), **arguments)


@pytest.mark.parametrize(
    ("known", "end", "lookback", "says"),
    [
        ([1, 2, 3], [2, 3], 0, "do not belong together"),
        ([], [], 0, "does not hold times"),
        (np.empty(0, np.int64), np.empty(0, np.int64), 0, "do not belong together"),
        ([1.0, 2.0], [2.0, 3.0], 0, "does not hold times"),
        ([2, 1], [3, 3], 0, "not in the order of time"),
        ([1, 2], [2, 2], 0, "a label ends before its row is known"),
        ([1, 2], [2, 3], -1, "lookback_us cannot be used"),
        ([[1, 2]], [[2, 3]], 0, "do not belong together"),
    ],
)
def test_bad_times_are_refused(known: ArrayLike, end: ArrayLike, lookback: int, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        RowSpans.by_time(known, end, lookback_us=lookback)


@pytest.mark.parametrize("arguments", [(0, 1, 1), (10, 0, 1), (10, 1, -1), (10, 1.0, 1)])
def test_bad_rows_are_refused(arguments: tuple[int, int, int]) -> None:
    rows, horizon, lookback = arguments
    with pytest.raises(ConfigError, match="cannot be used"):
        RowSpans.by_row(rows, horizon, lookback=lookback)
