"""Lead-lag on bars against numpy, with holes that nothing reaches over, and responses worked out by hand."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from pointline.clock import HOUR_US, MINUTE_US
from pointline.errors import ConfigError
from pointline.evaluation import cross_moments, leads_by_hour, responses


def minutes(perp: list[float] | np.ndarray, spot: list[float] | np.ndarray, **columns: object) -> pl.DataFrame:
    start = MINUTE_US * np.arange(len(perp), dtype=np.int64)
    return pl.DataFrame(
        {"bucket_start": start, "bucket_end": start + MINUTE_US, "perp_close": np.array(perp, float), "spot_close": np.array(spot, float)}
        | columns
    )


def led(bars: int, seed: int) -> pl.DataFrame:
    """Half of what the perp does, spot does a bar later; the other half at once."""
    moves = np.random.default_rng(seed).normal(size=bars + 1) * 1e-3
    perp, spot = np.cumsum(moves[1:]), np.cumsum(0.5 * moves[1:] + 0.5 * moves[:-1])
    return minutes(100 * np.exp(perp), 100 * np.exp(spot))


def test_moments_are_those_of_numpy() -> None:
    bars = led(500, 1)
    x, y = (np.diff(bars[f"{side}_close"].to_numpy()) / bars[f"{side}_close"].to_numpy()[:-1] for side in ("perp", "spot"))
    found = cross_moments(bars, lags=(1, 3))
    expected = [
        ("both", 0, x, y),
        ("perp", 1, x[:-1], y[1:]),
        ("spot", 1, y[:-1], x[1:]),
        ("perp", 3, x[:-3], y[3:]),
        ("spot", 3, y[:-3], x[3:]),
    ]
    for row, (leader, lag, ahead, behind) in zip(found.iter_rows(named=True), expected, strict=True):
        assert (row["leader"], row["lag_bars"], row["bars"]) == (leader, lag, len(ahead))
        assert row["correlation"] == pytest.approx(np.corrcoef(ahead, behind)[0, 1])
        assert row["beta"] == pytest.approx(np.polyfit(ahead, behind, 1)[0])
    assert found["excess"][1] == pytest.approx(found["correlation"][1] - found["correlation"][2])
    assert found["excess"][2] == pytest.approx(-found["excess"][1])
    assert found["excess"][1] > 0.6


@pytest.mark.parametrize("hole", ["perp_hole", "spot_hole", "apart"])
def test_nothing_reaches_over_a_hole(hole: str) -> None:
    bars = led(400, 2)
    jumped = bars.with_columns(pl.when(pl.int_range(pl.len()) >= 200).then(pl.col("spot_close") * 2).otherwise("spot_close"))
    if hole == "apart":
        moved = [pl.col(name) + HOUR_US * (pl.int_range(pl.len()) >= 200) for name in ("bucket_start", "bucket_end")]
        tables = [frame.with_columns(moved) for frame in (bars, jumped)]
    else:
        tables = [frame.with_columns((pl.int_range(pl.len()) == 200).alias(hole)) for frame in (bars, jumped)]
    plain, jump = (cross_moments(table) for table in tables)
    assert jump["correlation"].to_list() == pytest.approx(plain["correlation"].to_list())
    assert jump["bars"].to_list() == [398, *(n for lag in range(1, 6) for n in (398 - 2 * lag,) * 2)]
    one, other = (responses(table, move=0.001) for table in tables)
    assert one["moves"].to_list() == other["moves"].to_list()
    assert one["mean_response"].to_list() == pytest.approx(other["mean_response"].to_list())


def test_responses_by_hand() -> None:
    """The perp goes up by 1 % twice, from 100 and from 102: spot takes .5 and 0 % in the same bar, 1 % and 0 % in the next."""
    bars = minutes([100, 101, 102, 103.02, 103.02], [200, 201, 203.01, 203.01, 203.01])
    found = responses(bars, move=0.0099, lags=(1,)).filter(leader="perp", direction="up")
    same, later = found.iter_rows(named=True)
    assert (same["regime"], same["lag_bars"], same["moves"]) == ("same bar", 0, 3)
    assert later["regime"] == "later bars"
    returns = np.array([1 / 100, 1 / 101, 1.02 / 102])
    answers = np.array([1 / 200, 2.01 / 201, 0.0])
    assert same["mean_move"] == pytest.approx(returns.mean())
    assert same["mean_response"] == pytest.approx(answers.mean())
    assert same["standard_error"] == pytest.approx(answers.std(ddof=1) / 3**0.5)
    assert same["response_per_move"] == pytest.approx(answers.mean() / returns.mean())
    assert later["mean_response"] == pytest.approx(np.mean([2.01 / 201, 0.0, 0.0]))
    assert responses(bars, move=0.05)["moves"].to_list() == [0] * 24
    assert responses(bars, move=0.05)["mean_response"].null_count() == 24


def test_the_response_in_later_bars_is_what_could_be_traded() -> None:
    found = responses(led(20_000, 3), move=0.002).filter(leader="perp", direction="up")
    assert found["response_per_move"].to_list() == pytest.approx([0.5, *[0.5] * 5], abs=0.06)


def test_who_leads_by_hour() -> None:
    bars = led(24 * 60, 4)
    swapped = pl.col("bucket_start") >= 12 * HOUR_US
    turned = bars.with_columns(
        perp_close=pl.when(swapped).then("spot_close").otherwise("perp_close"),
        spot_close=pl.when(swapped).then("perp_close").otherwise("spot_close"),
    )
    found = leads_by_hour(turned)
    assert found["hour"].to_list() == list(range(24))
    assert found["leader"].to_list()[1:12] == ["perp"] * 11
    assert found["leader"].to_list()[13:23] == ["spot"] * 10
    few = leads_by_hour(bars.head(20))
    assert few.row(0, named=True) == {"hour": 0, "bars": 18, "perp_leads": None, "spot_leads": None, "excess": None, "leader": None}


def test_few_bars_and_constant_prices_have_no_correlation() -> None:
    assert cross_moments(led(20, 5))["correlation"].null_count() == 11
    flat = minutes(np.linspace(100, 101, 90), np.full(90, 50.0))
    assert cross_moments(flat)["correlation"].null_count() == 11
    assert leads_by_hour(flat)["leader"].null_count() == 2


@pytest.mark.parametrize("lags", [(), (0,), (1.5,), (True,)])
def test_lags_that_are_no_counts(lags: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="no counts of bars"):
        cross_moments(led(50, 6), lags=lags)


def test_bars_that_cannot_be_used() -> None:
    bars = led(50, 6)
    with pytest.raises(ConfigError, match="lack columns"):
        cross_moments(bars.drop("spot_close"))
    with pytest.raises(ConfigError, match="not sorted"):
        cross_moments(bars.reverse())
    with pytest.raises(ConfigError, match="move is no return"):
        responses(bars, move=0.5e1)
