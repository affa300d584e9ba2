"""Bars with a threshold per segment of the day equal a plain loop, however the trades are cut into pieces; thresholds equal fractions."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from statistics import mean, median
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import oracle
from tests.oracle import Trade

from pointline.bars.adaptive import SegmentTradeBars, SegmentVolumeBars, rounded_down
from pointline.bars.amounts import Amounts, TradeRows
from pointline.bars.closer import closer_of
from pointline.clock import DAY_US, to_us
from pointline.research.spines import AdaptiveTradeConfig, AdaptiveVolumeConfig, VolumeBarConfig

if TYPE_CHECKING:
    from pointline.bars.rules import BarRule

DAY = to_us("2024-05-01")
AMOUNTS = Amounts(0, 3)
SEGMENTS = [1, 2, 3, 24]


@st.composite
def trades_and_thresholds(draw: st.DrawFn) -> tuple[list[Trade], list[int]]:
    """Trades of a day, some of one moment and some at the edges of segments, and a threshold per segment."""
    segments = draw(st.sampled_from(SEGMENTS))
    edge = DAY_US // segments
    near_edge = st.builds(lambda place, off: place * edge + off, st.integers(1, segments), st.integers(-2, 1))
    times = st.one_of(st.integers(0, DAY_US - 1), near_edge, st.sampled_from([0, 5, 5, DAY_US - 1])).map(lambda us: min(us, DAY_US - 1))
    rows = draw(st.lists(st.tuples(times, st.integers(1, 60)), min_size=1, max_size=60))
    thresholds = draw(st.lists(st.integers(1, 80), min_size=segments, max_size=segments))
    return [Trade(DAY + us, 1, qty, seller=False, quote=qty) for us, qty in sorted(rows)], thresholds


def rows_of(trades: list[Trade]) -> TradeRows:
    ts, qty = (np.array([getattr(t, name) for t in trades], dtype=np.int64) for name in ("us", "qty"))
    return TradeRows(ts, np.ones_like(qty), qty, np.zeros(len(qty), dtype=np.int8), np.empty(0, dtype=np.int64), "test:ONE")


def closes(rule: BarRule, trades: list[Trade], pieces: list[int]) -> list[tuple[int, int]]:
    """``bar_id`` and ``bucket_end`` of the bars that close, the open bar's id last with end 0; rows are fed in pieces."""
    closer = closer_of(rule, AMOUNTS, DAY, DAY + DAY_US)
    found: list[tuple[int, int]] = []
    edges = sorted({0, len(trades), *(piece % (len(trades) + 1) for piece in pieces)})
    parts = [closer.feed(rows_of(trades[a:b])) for a, b in pairwise(edges)]
    for ends, ids in [*parts, closer.flush()]:
        found += list(zip(ids.tolist(), ends.tolist(), strict=True))
    return [*found, (closer.open_bar_id, 0)]


@given(trades_and_thresholds(), st.lists(st.integers(0, 100), max_size=4), st.booleans(), st.booleans())
def test_equals_a_plain_loop(case: tuple[list[Trade], list[int]], pieces: list[int], carry: bool, by_count: bool) -> None:
    trades, thresholds = case
    boundary = "carry" if carry else "reset"
    rule: BarRule
    if by_count:
        rule = SegmentTradeBars(tuple(Decimal(one) for one in thresholds), boundary=boundary)
    else:
        rule = SegmentVolumeBars(tuple(Decimal(one).scaleb(-3) for one in thresholds), boundary=boundary)
    windows = oracle.segment_windows(trades, oracle.one if by_count else oracle.volume, thresholds, DAY, DAY + DAY_US, carry=carry)
    found = closes(rule, trades, pieces)
    assert found[:-1] == [(one.bar_id, one.end) for one in windows if one.complete]
    if not windows[-1].complete:
        assert found[-1][0] == windows[-1].bar_id


@given(trades_and_thresholds(), st.integers(1, 80), st.booleans())
def test_equal_thresholds_are_one_threshold(case: tuple[list[Trade], list[int]], threshold: int, carry: bool) -> None:
    trades, thresholds = case
    boundary = "carry" if carry else "reset"
    one = Decimal(threshold).scaleb(-3)
    many = SegmentVolumeBars((one,) * len(thresholds), boundary=boundary)
    assert closes(many, trades, []) == closes(VolumeBarConfig(one, boundary=boundary), trades, [])


@given(st.fractions(min_value=0, max_value=10**15))
def test_rounding_down_loses_less_than_the_sixth_digit(value: Fraction) -> None:
    found = rounded_down(value)
    exact = Fraction(found)
    assert exact <= value
    assert value - exact < max(value / 10**5, Fraction(1, 10**8))
    assert len(found.normalize().as_tuple().digits) <= 6
    assert Fraction(rounded_down(value, whole=True)).denominator == 1


@given(st.lists(st.fractions(min_value=1, max_value=10**9), min_size=1, max_size=9), st.integers(24, 5_000), st.sampled_from(SEGMENTS))
def test_a_threshold_is_the_average_over_the_bars_of_a_segment(amounts: list[Fraction], target: int, segments: int) -> None:
    for average, plain in (("mean", mean), ("median", median)):
        rule = AdaptiveVolumeConfig(target, segments=segments, average=average)  # type: ignore[arg-type]
        assert rule.threshold_of(amounts) == rounded_down(plain(amounts) / Fraction(target, segments))


def test_a_threshold_of_trades_is_a_whole_number() -> None:
    assert AdaptiveTradeConfig(3).threshold_of([10, 11]) == Decimal(3)


@pytest.mark.parametrize(
    ("value", "text"), [("123456.9", "123456"), ("1234567", "1234560"), ("0.123456789", "0.123456"), ("0.000000019", "0.00000001")]
)
def test_rounded_down(value: str, text: str) -> None:
    assert f"{rounded_down(Fraction(value)):f}" == text
