"""Which rows fit and which rows judge: walk-forward splits, and purged folds with an embargo.

López de Prado (2018), Advances in Financial Machine Learning, chapter 7, Wiley, ISBN 978-1-119-48208-6. A row has a feature window, the
moment at which it is known, and a label that ends later. Windows are half open: features lie in (begin, known], the label in (known, end].
A training row whose label reaches into the window or the label of a test row is purged, on both sides of the test rows. Where rows after
the test rows train, the embargo leaves out more of them, because features look back and returns are dependent.

Where this differs from the book: the feature window of the test rows counts too, and the embargo is a number of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Self

import numpy as np

from pointline.clock import is_whole
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of one fold.

    Attributes:
        train: numbers of the training rows, rising.
        test: numbers of the test rows, rising and without a gap.
    """

    train: NDArray[np.int64]
    test: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RowSpans:
    """What stretch of time each row is about, in rows or in microseconds.

    Attributes:
        begin: shape (n,), where the feature window of each row begins, excluded; not falling.
        known: shape (n,), when each row is known; not falling.
        end: shape (n,), when the label of each row is known, after ``known``.

    Raises:
        ConfigError: the shapes differ, there are no rows, or the order is another one.
    """

    begin: NDArray[np.int64]
    known: NDArray[np.int64]
    end: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.known.ndim != 1 or not len(self.known) or not self.begin.shape == self.known.shape == self.end.shape:
            shapes = (self.begin.shape, self.known.shape, self.end.shape)
            raise ConfigError("the spans do not belong together", where="spans", value=shapes, expected="one begin, known and end a row")
        for name in ("begin", "known"):
            falls = np.flatnonzero(np.diff(getattr(self, name)) < 0)
            if len(falls):
                where = f"{name}, row {falls[0] + 1}"
                raise ConfigError("the rows are not in the order of time", where=where, expected="times that do not fall")
        wrong = np.flatnonzero((self.begin > self.known) | (self.end <= self.known))
        if len(wrong):
            row = wrong[0]
            raise ConfigError(
                "a label ends before its row is known, or a feature window begins after it",
                where=f"spans, row {row}",
                value=(int(self.begin[row]), int(self.known[row]), int(self.end[row])),
                expected="begin ≤ known < end",
            )

    @classmethod
    def by_row(cls, rows: int, horizon: int = 1, *, lookback: int = 1) -> Self:
        """Spans of labels that look a number of bars ahead.

        Args:
            rows: number of rows n.
            horizon: bars of the label.
            lookback: bars that a feature looks back over, its own included.

        Raises:
            ConfigError: one of them is not a whole number in its range.

        Examples:
            >>> spans = RowSpans.by_row(4, 2)
            >>> spans.begin, spans.known, spans.end
            (array([-1,  0,  1,  2]), array([0, 1, 2, 3]), array([2, 3, 4, 5]))
        """
        check_count(rows, "rows", 1)
        check_count(horizon, "horizon", 1)
        check_count(lookback, "lookback", 0)
        row = np.arange(rows, dtype=np.int64)
        return cls(row - lookback, row, row + horizon)

    @classmethod
    def by_time(cls, known_us: ArrayLike, label_end_us: ArrayLike, *, lookback_us: int) -> Self:
        """Spans of labels that end at times of their own, such as those of a horizon in clock time.

        Args:
            known_us: shape (n,), microseconds UTC, when each row is known: the end of its bar. Not falling.
            label_end_us: shape (n,), microseconds UTC, when the label of each row is known.
            lookback_us: microseconds over which features look back from the moment at which they are known, at least the longest bar.

        Raises:
            ConfigError: the times are no integers, fall, differ in number, or a label ends before its row is known.

        Examples:
            >>> RowSpans.by_time([60, 120, 180], [150, 240, 240], lookback_us=60).overlap
            2
        """
        check_count(lookback_us, "lookback_us", 0)
        known = _times(known_us, "known_us")
        return cls(known - lookback_us, known, _times(label_end_us, "label_end_us"))

    def __len__(self) -> int:
        return len(self.known)

    @property
    def overlap(self) -> int:
        """The most rows, its own included, that are known before the label of one row is; h for labels of h bars."""
        first = np.searchsorted(self.known, self.known, side="left")
        return int((np.searchsorted(self.known, self.end, side="left") - first).max())

    @property
    def reach(self) -> int:
        """About how many rows before a test row are purged; exactly h + lookback - 1 for labels of h bars."""
        spacing = max(1.0, (int(self.known[-1]) - int(self.known[0])) / max(1, len(self) - 1))
        return max(0, math.ceil(int((self.end - self.begin).max()) / spacing) - 1)

    def take(self, rows: NDArray[np.int64]) -> RowSpans:
        """The spans of some rows, given by rising numbers."""
        return RowSpans(self.begin[rows], self.known[rows], self.end[rows])

    def before(self, test: int) -> NDArray[np.int64]:
        """The rows whose labels are known by the begin of the feature window of row ``test``."""
        return np.flatnonzero(self.end <= self.begin[test])

    def after(self, begin: int, stop: int) -> int:
        """The first row from which on no label overlaps a label of the rows from ``begin`` to before ``stop``."""
        return max(stop, int(np.searchsorted(self.known, self.end[begin:stop].max(), side="left")))


def walk_forward(spans: RowSpans, *, folds: int = 5, fewest: int | None = None, window: int | None = None) -> tuple[Split, ...]:
    """Test rows in the order of time, each fold trained on what came before it.

    The rows after the first stretch are cut into as many blocks as folds, of one length; the last block also takes the rows that remain.
    Training rows are all earlier rows (expanding), or the last ones of them (rolling), without those whose labels were not known by the
    begin of the test rows' first feature window.

    Args:
        spans: of the rows.
        folds: number of test blocks.
        fewest: training rows of the first fold, after purging. Without it the first stretch is as long as a block.
        window: most training rows of a fold, the latest ones; all without it.

    Raises:
        ConfigError: the counts are not whole numbers above zero, or there are too few rows for the folds.

    Examples:
        >>> for split in walk_forward(RowSpans.by_row(9, 2), folds=2):
        ...     print(split.train, split.test)
        [0] [3 4 5]
        [0 1 2 3] [6 7 8]
    """
    check_count(folds, "folds", 1)
    rows = len(spans)
    if window is not None:
        check_count(window, "window", 1)
    if fewest is None:
        first = length = rows // (folds + 1)
    else:
        check_count(fewest, "fewest", 1)
        enough = np.flatnonzero(np.searchsorted(np.sort(spans.end), spans.begin, side="right") >= fewest)
        first = int(enough[0]) if len(enough) else rows
        length = (rows - first) // folds
    if length < 1 or not len(spans.before(first)):
        needed = (folds + 1) * (spans.reach + 1) if fewest is None else fewest + spans.reach + folds
        raise _too_few(spans, folds, needed)
    bounds = [first + fold * length for fold in range(folds)] + [rows]
    splits = []
    for begin, stop in pairwise(bounds):
        train = spans.before(begin)
        splits.append(Split(train if window is None else train[-window:], np.arange(begin, stop)))
    return tuple(splits)


def purged_k_fold(spans: RowSpans, *, folds: int = 5, embargo: int = 0, fewest: int = 1) -> tuple[Split, ...]:
    """Every row is a test row once; all others train, but for those too near the test rows.

    Left out are earlier rows whose labels reach into a window or label of the test rows, later rows before the last label of the test
    rows has ended, and the rows of the embargo after that. Later rows train here, so these folds do not show what could have been known
    at the time; `walk_forward` does.

    Args:
        spans: of the rows.
        folds: number of test blocks, at least 2; their lengths differ by at most one row.
        embargo: rows that are left out after the labels of each test block have ended. The memory of the features is a good choice.
        fewest: training rows that each fold must keep.

    Raises:
        ConfigError: the counts are not whole numbers in their range, there are too few rows for the folds, or the embargo is too long.

    Examples:
        >>> for split in purged_k_fold(RowSpans.by_row(9, 2), folds=3, embargo=1):
        ...     print(split.train, split.test)
        [5 6 7 8] [0 1 2]
        [0 8] [3 4 5]
        [0 1 2 3] [6 7 8]
    """
    check_count(folds, "folds", 2)
    check_count(embargo, "embargo", 0)
    check_count(fewest, "fewest", 1)
    rows = len(spans)
    needed = max(folds, math.ceil((fewest + 2 * spans.reach) * folds / (folds - 1)) + 1)
    if rows < folds:
        raise _too_few(spans, folds, needed)
    bounds = [rows * fold // folds for fold in range(folds + 1)]
    splits, longest = [], rows
    for begin, stop in pairwise(bounds):
        before, after = spans.before(begin), np.arange(spans.after(begin, stop), rows)
        if len(before) + len(after) < fewest:
            raise _too_few(spans, folds, needed)
        if len(before) < fewest:
            longest = min(longest, len(before) + len(after) - fewest)
        splits.append(Split(np.concatenate([before, after[embargo:]]), np.arange(begin, stop)))
    if embargo > longest:
        raise ConfigError(
            "the embargo is too long",
            where="embargo",
            value=int(embargo),
            expected=f"at most {longest:,} rows, which leaves {fewest:,} training rows to each fold",
            hint="load more rows, use fewer folds, or a shorter embargo",
        )
    return tuple(splits)


def _too_few(spans: RowSpans, folds: int, needed: int) -> ConfigError:
    return ConfigError(
        "too few rows for the folds",
        where="spans",
        value=len(spans),
        expected=f"at least {needed:,} rows for {folds:,} folds",
        hint="load more rows, use fewer folds, or shorter labels",
    )


def check_count(value: object, name: str, least: int) -> None:
    """Refuses what is no whole number, or one that is too small.

    Raises:
        ConfigError: it is one of these.
    """
    if not is_whole(value) or value < least:
        raise ConfigError(f"{name} cannot be used", where=name, value=value, expected=f"a whole number, at least {least}")


def _times(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind not in "iu":
        raise ConfigError(f"{name} does not hold times", where=name, value=str(array.dtype), expected="integers, microseconds UTC")
    return array.astype(np.int64)
