"""Opportunities: by hand, against a plain loop, cut off, and what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pointline.errors import ConfigError
from pointline.features import FeatureParams, PairParams
from pointline.trading.opportunities import (
    LEAST_VOLATILITY_BARS,
    VOLATILITY_BARS,
    count_by_condition,
    count_opportunities,
    opportunity_bars,
    sensitivity,
    sides_above,
    spells,
)

PARAMS = PairParams.of(FeatureParams(max_spot_age_us="1000us", max_perp_age_us="1000us"))


@dataclass(frozen=True)
class Bar:
    """One bar of a comparison; ages and prices may be missing."""

    length_us: int = 100
    gap_us: int = 0
    perp: float | None = 60_000.0
    spot: float | None = 60_000.0
    perp_age_us: int | None = 10
    spot_age_us: int | None = 10
    hole: bool = False
    range_bps: float = 1.0


def frame(bars: list[Bar]) -> pl.DataFrame:
    rows, at = [], 0
    for bar in bars:
        start = at + bar.gap_us
        at = start + bar.length_us
        edge = None if bar.perp is None else bar.perp * bar.range_bps / 10_000
        high = None if bar.perp is None or edge is None else bar.perp + edge
        rows.append((start, at, bar.perp, bar.spot, bar.perp_age_us, bar.spot_age_us, high, bar.perp, bar.hole, False))
    names = ("bucket_start", "bucket_end", "perp_close", "spot_close", "perp_age_us", "spot_age_us", "perp_high", "perp_low")
    kinds = dict.fromkeys(names, pl.Float64) | dict.fromkeys(("bucket_start", "bucket_end", "perp_age_us", "spot_age_us"), pl.Int64)
    return pl.DataFrame(rows, schema=kinds | {"perp_hole": pl.Boolean, "spot_hole": pl.Boolean}, orient="row")


def at_basis(*bases: float, length_us: int = 100, gap_us: int = 0, hole: bool = False) -> list[Bar]:
    """Bars of these bases in bps."""
    return [Bar(length_us=length_us, gap_us=gap_us, perp=60_000 * (1 + basis / 10_000), hole=hole) for basis in bases]


# The guide's own example, domain facts B8 #2: 60,050 against 60,000 is 8.33 bps and no 50, so it pays no cost of 48.
def test_the_guides_example_is_no_opportunity() -> None:
    bars = opportunity_bars(frame([Bar(perp=60_050.0)]), PARAMS)
    assert bars["basis_bps"][0] == pytest.approx(8.3333, abs=5e-5)
    assert count_opportunities(bars, [("guide", 48.0)])["bars"].to_list() == [0, 0, 0]
    assert count_opportunities(bars, [("cheap", 8.3)])["bars"].to_list() == [1, 0, 1]


def test_spells_by_hand() -> None:
    stale = Bar(perp=60_360.0, spot_age_us=1_001)
    bars = [
        *at_basis(50, 60, 3),  # a spell of two bars, ended by the basis
        *at_basis(-49, -70),  # one on the other side
        *at_basis(55),  # that side again: the sign ended the one before
        stale,  # 60 bps apart, and stale: it ends the spell
        *at_basis(51),
        *at_basis(52, gap_us=7),  # time is missing before it
        *at_basis(53, hole=True),  # trades are missing before it
        *at_basis(54, length_us=40),  # the window ends
    ]
    table = opportunity_bars(frame(bars), PARAMS)
    found = spells(table, 48.0)
    assert found.select("side", "bars", "duration_us", "ended_by").rows() == [
        ("positive", 2, 200, "basis"),
        ("negative", 2, 200, "basis"),
        ("positive", 1, 100, "stale"),
        ("positive", 1, 100, "gap"),
        ("positive", 1, 100, "gap"),
        ("positive", 2, 140, "window"),
    ]
    assert found["start_us"].to_list() == [0, 300, 500, 700, 807, 907]
    assert found["end_us"].to_list() == [200, 500, 600, 800, 907, 1_047]
    assert found["largest_basis_bps"].to_list() == pytest.approx([60, -70, 55, 51, 52, 54])
    assert found["mean_excess_bps"].to_list() == pytest.approx([7, 11.5, 7, 3, 4, 5.5])

    counted = count_opportunities(table, [("guide", 48.0)])
    # 50 and -49 and 53 are followed by a bar that is above on the same side; 51 and 52 have no bar right after them
    assert counted.select("side", "bars", "spells", "duration_us", "remain_next_bar", "stale_bars").rows() == [
        ("positive", 7, 5, 640, 2, 1),
        ("negative", 2, 1, 200, 1, 0),
        ("either", 9, 6, 840, 3, 1),
    ]
    assert counted["share_remaining"].to_list() == pytest.approx([2 / 4, 1 / 2, 3 / 6])
    assert counted["share_of_time"].to_list() == pytest.approx([640 / 940, 200 / 940, 840 / 940])
    assert counted["longest_spell_us"].to_list() == [200, 200, 200]
    assert counted["median_spell_us"].to_list() == [100, 200, 120]


def test_a_basis_that_equals_the_cost_is_none() -> None:
    bars = pl.DataFrame({"bucket_start": [0, 1], "bucket_end": [1, 2], "duration_us": [1, 1], "basis_bps": [48.0, -48.0]})
    table = bars.with_columns(fresh=True, joined=True)
    assert sides_above(table, 48.0).tolist() == [0, 0]
    assert sides_above(table, math.nextafter(48.0, 0)).tolist() == [1, -1]


def test_conditions_by_hand() -> None:
    bars = [
        *at_basis(60, 120, 250),
        Bar(perp=60_360.0, spot_age_us=101),  # 60 bps; the last spot trade is older than the bar: silent, not stale
        Bar(perp=60_360.0, spot_age_us=1_001),  # stale
        Bar(spot_age_us=None, spot=None, perp_age_us=101),
        *at_basis(1),
    ]
    found = {row["condition"]: row for row in count_by_condition(opportunity_bars(frame(bars), PARAMS), 48.0).iter_rows(named=True)}
    counts = {name: (row["bars"], row["opportunities"], row["stale_bars"]) for name, row in found.items()}
    assert counts == {
        "all bars": (7, 4, 1),
        "basis above 50 bps": (4, 4, 0),
        "basis above 100 bps": (2, 2, 0),
        "basis above 200 bps": (1, 1, 0),
        "one side silent": (2, 1, 1),
        "perp silent": (1, 0, 0),
        "spot silent": (3, 1, 1),
        "both sides silent": (1, 0, 0),
        "volatile": (0, 0, 0),
    }
    assert found["one side silent"]["share_of_bars"] == 2 / 7
    assert found["spot silent"]["share_of_condition"] == 1 / 3
    assert found["basis above 100 bps"]["share_of_opportunities"] == 2 / 4
    assert found["basis above 100 bps"]["mean_excess_bps"] == pytest.approx(137.0)  # (120 + 250) / 2 - 48
    assert found["all bars"]["mean_excess_bps"] == pytest.approx(74.5)  # (60 + 120 + 250 + 60) / 4 - 48
    assert found["volatile"]["share_of_condition"] is None


def test_volatile_bars_are_held_against_the_bars_before() -> None:
    ranges = [1.0 + (place % 10) / 10 for place in range(LEAST_VOLATILITY_BARS)] + [1.95, 1.85]
    table = opportunity_bars(frame([Bar(range_bps=one) for one in ranges]), PARAMS)
    assert table["volatile"].to_list() == [None] * LEAST_VOLATILITY_BARS + [True, False]  # one in ten of those before has 1.9


BARS = st.builds(
    Bar,
    length_us=st.integers(1, 500),
    gap_us=st.sampled_from([0, 0, 0, 0, 5]),
    perp=st.one_of(st.none(), st.sampled_from([59_000.0, 59_700.0, 60_000.0, 60_290.0, 60_300.0, 60_900.0, 62_000.0])),
    spot=st.one_of(st.none(), st.sampled_from([60_000.0, 60_001.0, 0.0])),
    perp_age_us=st.sampled_from([None, 10, 400, 1_000, 1_001]),
    spot_age_us=st.sampled_from([None, 10, 10, 10, 400, 1_000, 1_001]),
    hole=st.sampled_from([False, False, False, True]),
)
MARKETS = st.lists(BARS, max_size=60)
COSTS = st.sampled_from([0.0, 20.0, 48.0, 50.0, 150.0])


def basis_of(bar: Bar) -> float | None:
    return None if bar.perp is None or not bar.spot else (bar.perp - bar.spot) / bar.spot * 10_000


def is_fresh(bar: Bar) -> bool:
    ages = (bar.perp_age_us, bar.spot_age_us)
    return basis_of(bar) is not None and all(age is not None and age <= 1_000 for age in ages)


def side_of(bar: Bar, cost: float, *, stale: bool = False) -> str:
    """The side of a bar by a plain rule, "" where it is no opportunity."""
    basis = basis_of(bar)
    if basis is None or is_fresh(bar) == stale:
        return ""
    return "positive" if basis > cost else "negative" if basis < -cost else ""


def loop(bars: list[Bar], cost: float) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Spells, and the bars of each side that remain a bar later, by a plain loop."""
    runs: list[dict[str, Any]] = []
    remain = {"positive": 0, "negative": 0}
    for place, bar in enumerate(bars):
        side = side_of(bar, cost)
        joined = place > 0 and bar.gap_us == 0 and not bar.hole
        before = side_of(bars[place - 1], cost) if joined else ""
        if side and side == before:
            remain[side] += 1
            runs[-1]["bars"].append(bar)
        elif side:
            runs.append({"side": side, "bars": [bar]})
    return runs, remain


@given(MARKETS, COSTS)
@example([], 48.0)
@example([Bar(perp=None)], 0.0)
def test_counts_equal_a_plain_loop(bars: list[Bar], cost: float) -> None:
    table = opportunity_bars(frame(bars), PARAMS)
    runs, remain = loop(bars, cost)
    found = spells(table, cost)
    assert found.select("side", "bars").rows() == [(run["side"], len(run["bars"])) for run in runs]
    assert found["duration_us"].to_list() == [sum(bar.length_us for bar in run["bars"]) for run in runs]
    largest = [max((abs(basis_of(bar) or 0) for bar in run["bars"]), default=0) for run in runs]
    assert found["largest_basis_bps"].abs().to_list() == pytest.approx(largest)

    counted = count_opportunities(table, [("x", cost)])
    for row in counted.iter_rows(named=True):
        sides = ["positive", "negative"] if row["side"] == "either" else [row["side"]]
        own = [bar for bar in bars if side_of(bar, cost) in sides]
        lengths = [sum(bar.length_us for bar in run["bars"]) for run in runs if run["side"] in sides]
        assert row["bars"] == len(own)
        assert row["spells"] == len(lengths)
        assert row["duration_us"] == sum(bar.length_us for bar in own) == sum(lengths)
        assert row["remain_next_bar"] == sum(remain[side] for side in sides)
        assert row["stale_bars"] == sum(side_of(bar, cost, stale=True) in sides for bar in bars)
        assert row["longest_spell_us"] == max(lengths, default=None)
        assert row["median_spell_us"] == (median(lengths) if lengths else None)
        excess = mean(abs(basis_of(bar) or 0) for bar in own) - cost if own else None
        assert row["mean_excess_bps"] == (None if excess is None else pytest.approx(excess, abs=1e-9))
        covered = sum(bar.length_us for bar in bars if is_fresh(bar))
        assert row["share_of_time"] == (row["duration_us"] / covered if covered else None)


@given(MARKETS, COSTS)
def test_conditions_equal_a_plain_loop(bars: list[Bar], cost: float) -> None:
    def silent(age: int | None, bar: Bar) -> bool:
        return age is None or age > bar.length_us or age > 1_000

    def perp(bar: Bar) -> bool:
        return silent(bar.perp_age_us, bar)

    def spot(bar: Bar) -> bool:
        return silent(bar.spot_age_us, bar)

    rules = {
        "all bars": lambda _: True,
        "basis above 100 bps": lambda bar: is_fresh(bar) and abs(basis_of(bar) or 0) > 100,
        "one side silent": lambda bar: perp(bar) != spot(bar),
        "perp silent": perp,
        "spot silent": spot,
        "both sides silent": lambda bar: perp(bar) and spot(bar),
        "volatile": lambda _: False,
    }
    table = count_by_condition(opportunity_bars(frame(bars), PARAMS), cost, levels_bps=(100.0,))
    assert table["condition"].to_list()[1] == "basis above 100 bps"
    for row in table.iter_rows(named=True):
        own = [bar for bar in bars if rules[row["condition"]](bar)]
        assert row["bars"] == len(own)
        assert row["duration_us"] == sum(bar.length_us for bar in own)
        assert row["opportunities"] == sum(bool(side_of(bar, cost)) for bar in own)
        assert row["stale_bars"] == sum(bool(side_of(bar, cost, stale=True)) for bar in own)


@given(MARKETS, st.lists(st.floats(0, 400), min_size=1, max_size=8))
def test_dearer_is_never_more(bars: list[Bar], costs: list[float]) -> None:
    table = sensitivity(opportunity_bars(frame(bars), PARAMS), [(str(cost), cost) for cost in costs])
    assert table["cost_bps"].to_list() == sorted(costs)
    for name in ("bars", "duration_us", "remain_next_bar", "stale_bars"):
        assert table[name].is_sorted(descending=True)


@given(MARKETS, COSTS, st.integers(0, 60))
def test_what_is_known_of_a_bar_does_not_change_when_more_follows(bars: list[Bar], cost: float, cut: int) -> None:
    whole, part = (opportunity_bars(frame(some), PARAMS) for some in (bars, bars[:cut]))
    assert part.equals(whole.head(part.height))
    # a spell that has ended before the cut is as it was; the last one may go on
    long, short = spells(whole, cost), spells(part, cost)
    done = short.filter(pl.col("ended_by") != "window")
    assert done.equals(long.head(done.height))


def test_volatility_does_not_look_ahead() -> None:
    bars = [Bar(range_bps=1.0 + (7 * place % 31), length_us=50 + place % 13) for place in range(VOLATILITY_BARS + 300)]
    whole = opportunity_bars(frame(bars), PARAMS)
    for cut in (0, 99, 100, 101, 500, VOLATILITY_BARS + 1):
        assert opportunity_bars(frame(bars[:cut]), PARAMS).equals(whole.head(cut))


@given(st.lists(st.floats(0.5, 40.0), min_size=LEAST_VOLATILITY_BARS, max_size=LEAST_VOLATILITY_BARS + 40))
def test_volatility_equals_a_plain_loop(ranges: list[float]) -> None:
    found = opportunity_bars(frame([Bar(range_bps=one) for one in ranges]), PARAMS)["volatile"].to_list()
    paces = [((60_000 + 60_000 * one / 10_000) - 60_000) / 60_000 / math.sqrt(100) for one in ranges]
    for place, pace in enumerate(paces):
        before = sorted(paces[max(0, place - VOLATILITY_BARS) : place])
        if len(before) < LEAST_VOLATILITY_BARS:
            assert found[place] is None
        else:
            assert found[place] == (pace > before[math.floor(0.95 * (len(before) - 1) + 0.5)])


def test_a_pair_of_two_quotes_is_refused() -> None:
    with pytest.raises(ConfigError, match="rate between two quotes"):
        opportunity_bars(frame([Bar()]), PairParams(cross_quote=True))


def test_a_multiplier_counts() -> None:
    bars = opportunity_bars(frame([Bar(perp=60_600.0, spot=60.0)]), PairParams(price_factor=1_000.0))
    assert bars["basis_bps"][0] == pytest.approx(100.0)


def test_wrong_frames_are_refused() -> None:
    table = frame(at_basis(1, 2))
    with pytest.raises(ConfigError, match="columns that are absent") as caught:
        opportunity_bars(table.drop("spot_age_us"), PARAMS)
    assert caught.value.value == "spot_age_us"
    with pytest.raises(ConfigError, match="order of time"):
        opportunity_bars(table.reverse(), PARAMS)
    with pytest.raises(ConfigError, match="order of time"):
        opportunity_bars(pl.concat([table, table.tail(1)]), PARAMS)
    assert opportunity_bars(table.clear(), PARAMS).height == 0


@pytest.mark.parametrize("cost", [-1.0, math.nan, math.inf])
def test_what_is_no_cost_is_refused(cost: float) -> None:
    table = opportunity_bars(frame(at_basis(1)), PARAMS)
    with pytest.raises(ConfigError, match="cannot be a cost"):
        count_opportunities(table, [("x", cost)])
    with pytest.raises(ConfigError, match="cannot be a cost"):
        count_by_condition(table, cost)
    with pytest.raises(ConfigError, match="cannot be a cost"):
        count_by_condition(table, 1.0, levels_bps=(cost,))
