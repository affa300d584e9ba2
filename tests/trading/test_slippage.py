"""Slippage: the quoted spread by hand and against a plain loop, the spread of bars on markets whose spread is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.errors import ConfigError
from pointline.trading.slippage import LEAST_BARS, QuotedSpread, bar_half_spread, quoted_half_spread


def quotes(*rows: tuple[int, float | None, float | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"ts_local_us": pl.Int64, "bid_price": pl.Float64, "ask_price": pl.Float64}, orient="row")


def test_quotes_by_hand() -> None:
    # 1 bps for 10 us, nothing (crossed) for 5, 2 bps for 20 of the 65 that are left, as a quote holds for 20 at most
    rows = quotes((20, 99.99, 100.01), (30, 100.01, 99.99), (35, 99.98, 100.02))
    found = quoted_half_spread([rows], 0, 100, max_age_us=20)
    assert found == QuotedSpread(half_spread_bps=pytest.approx(5 / 3), covered_us=30, window_us=100, quotes=2, set_aside=1)


# One tick of 0.1 on a perp at 60,000: half a tick is 0.05, which is 0.0083 bps. Small, and no mistake.
def test_the_touch_of_a_deep_book() -> None:
    found = quoted_half_spread([quotes((0, 59_999.9, 60_000.0))], 0, 1_000)
    assert found.half_spread_bps == pytest.approx(0.00833, abs=5e-6)


def test_no_quote_that_holds() -> None:
    for rows in (quotes(), quotes((5, 2.0, 1.0)), quotes((5, None, 1.0), (6, 0.0, 1.0), (7, math.nan, 1.0), (8, 1.0, math.inf))):
        found = quoted_half_spread([rows], 0, 10)
        assert (found.half_spread_bps, found.covered_us, found.set_aside) == (None, 0, rows.height)


@pytest.mark.parametrize("times", [(5, 4), (-1, 3), (3, 10)])
def test_quotes_out_of_order_or_of_the_window_are_refused(times: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="not in order of time inside the window"):
        quoted_half_spread([quotes(*((time, 1.0, 2.0) for time in times))], 0, 10)
    with pytest.raises(ConfigError, match="not in order of time inside the window"):
        quoted_half_spread([quotes((time, 1.0, 2.0)) for time in times], 0, 10)


PRICES = st.sampled_from([None, 0.0, 99.0, 99.9, 100.0, 100.1, 101.0])
ROWS = st.lists(st.tuples(st.integers(0, 99), PRICES, PRICES), max_size=30).map(lambda rows: sorted(rows, key=lambda row: row[0]))


@given(ROWS, st.integers(1, 50), st.lists(st.integers(0, 30), max_size=3))
def test_quotes_equal_a_loop_over_microseconds_and_blocks_do_not_matter(
    rows: list[tuple[int, float | None, float | None]], max_age_us: int, cuts: list[int]
) -> None:
    halves = []
    for now in range(100):
        known = [row for row in rows if row[0] <= now]
        if known and now - known[-1][0] < max_age_us:
            _, bid, ask = known[-1]
            if bid and ask is not None and ask >= bid:
                halves.append((ask - bid) / (ask + bid) * 10_000)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    blocks = [quotes(*rows[first:last]) for first, last in itertools.pairwise(edges)]
    found = quoted_half_spread(blocks, 0, 100, max_age_us=max_age_us)
    assert found.covered_us == len(halves)
    assert found.half_spread_bps == (pytest.approx(sum(halves) / len(halves), abs=1e-9) if halves else None)
    assert found.quotes + found.set_aside == len(rows)


def market(half_spread_bps: float, *, bars: int = 4_000, trades: int = 60, seed: int = 3, volatility_bps: float = 0.6) -> pl.DataFrame:
    """Bars of trades at the bid and the ask of a random walk."""
    dice = np.random.default_rng(seed)
    middle = np.cumsum(dice.normal(0, volatility_bps / 10_000, bars * trades))
    traded = np.exp(middle + dice.choice([-1, 1], bars * trades) * half_spread_bps / 10_000).reshape(bars, trades) * 60_000
    times = np.arange(bars + 1) * 60
    prices = {"perp_high": traded.max(axis=1), "perp_low": traded.min(axis=1), "perp_close": traded[:, -1]}
    return pl.DataFrame({"bucket_start": times[:-1], "bucket_end": times[1:], **prices})


@pytest.mark.parametrize("half_spread_bps", [3.0, 10.0])
def test_a_wide_spread_is_found(half_spread_bps: float) -> None:
    found = bar_half_spread(market(half_spread_bps), "perp")
    assert found is not None
    assert found.is_seen
    assert found.half_spread_bps == pytest.approx(half_spread_bps, rel=0.1)
    assert found.cautious_bps == found.half_spread_bps
    assert found.pairs == 3_999


def test_a_spread_below_the_noise_is_not_reported_as_none() -> None:
    found = bar_half_spread(market(0.01, seed=4), "perp")
    assert found is not None
    assert not found.is_seen
    assert found.cautious_bps == found.detectable_bps
    assert 0.1 < found.detectable_bps < 2.0


def test_the_formula_by_hand() -> None:
    # every close on the high of its bar, every next middle half a range lower: (c - m)(c - m') = (r / 2)(r / 2), half the spread r / 2
    bars = pl.DataFrame({"bucket_start": range(200), "bucket_end": range(1, 201)})
    bars = bars.with_columns(perp_high=pl.lit(math.exp(0.002)), perp_low=pl.lit(1.0), perp_close=pl.lit(math.exp(0.002)))
    found = bar_half_spread(bars, "perp")
    assert found is not None
    assert found.half_spread_bps == pytest.approx(10.0)
    assert found.detectable_bps == pytest.approx(0.0, abs=1e-3)


@given(st.integers(0, 2**31), st.integers(0, 60))
def test_pairs_equal_a_plain_loop(seed: int, taken: int) -> None:
    dice = np.random.default_rng(seed)
    bars = market(2.0, bars=LEAST_BARS + 80, trades=5, seed=seed)
    quiet = dice.random(bars.height) < 0.1
    hole = dice.random(bars.height) < 0.1
    whole = bars.with_columns(perp_hole=pl.Series(hole), perp_high=pl.when(~pl.Series(quiet)).then("perp_high"))
    kept = whole.with_row_index().filter(~pl.col("index").is_in(dice.integers(0, bars.height, taken).tolist())).drop("index")
    rows = kept.rows(named=True)
    products = []
    for one, other in itertools.pairwise(rows):
        if one["bucket_end"] != other["bucket_start"] or other["perp_hole"] or None in (one["perp_high"], other["perp_high"]):
            continue
        middles = [(math.log(row["perp_high"]) + math.log(row["perp_low"])) / 2 for row in (one, other)]
        close = math.log(one["perp_close"])
        products.append((close - middles[0]) * (close - middles[1]))
    found = bar_half_spread(kept, "perp")
    if len(products) < LEAST_BARS:
        assert found is None
    else:
        assert found is not None
        assert found.pairs == len(products)
        expected = math.sqrt(max(sum(products) / len(products), 0.0)) * 10_000
        assert found.half_spread_bps == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_few_bars_tell_nothing() -> None:
    assert bar_half_spread(market(3.0, bars=LEAST_BARS), "perp") is None
    assert bar_half_spread(market(3.0, bars=LEAST_BARS + 1), "perp") is not None
