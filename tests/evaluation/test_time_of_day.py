"""Volumes by hour: known sums, and the same figures from a plain loop."""

from __future__ import annotations

from statistics import median
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.clock import DAY_US, HOUR_US, MINUTE_US
from pointline.errors import ConfigError
from pointline.evaluation import CheckLimits, volumes_by_hour

SCHEMA = {"bucket_start": pl.Int64, "bucket_end": pl.Int64, "perp_volume": pl.Float64, "spot_volume": pl.Float64, "spot_age_us": pl.Int64}
LIMITS = CheckLimits()


def bars(*rows: tuple[int, float | None, float | None, int | None]) -> pl.DataFrame:
    """Bars of a minute: start, volumes, age of the spot price."""
    listed = [(start, start + MINUTE_US, perp, spot, age) for start, perp, spot, age in rows]
    return pl.DataFrame(listed, schema=SCHEMA, orient="row")


def by_hour(frame: pl.DataFrame, **options: Any) -> list[dict[str, Any]]:  # noqa: ANN401 -- whatever the fields hold
    return volumes_by_hour(frame, limits=LIMITS, max_spot_age_us=60, **options).to_dicts()


def test_known_sums() -> None:
    rows = by_hour(
        bars(
            (0, 40.0, 4.0, 10),
            (HOUR_US - 1, 60.0, 6.0, 60),
            (DAY_US, 100.0, 2.0, 61),  # the next day's first hour
            (23 * HOUR_US, 9.0, 2.0, None),
            (5 * HOUR_US, 30.0, 1.0, 0),
            (6 * HOUR_US, 30.0, 0.0, 0),
        )
    )
    assert [row["hour"] for row in rows] == list(range(24))
    assert rows[0] == {
        "hour": 0,
        "days": 2,
        "bars": 3,
        "perp_volume": 200.0,
        "spot_volume": 12.0,
        "volume_ratio": 200 / 12,
        "spot_volume_median": 4.0,
        "stale_share": 1 / 3,
        "advice": "",
    }
    assert (rows[23]["volume_ratio"], rows[23]["stale_share"]) == (4.5, 1.0)
    assert rows[23]["advice"] == "below 5: consider the dual spine"
    assert rows[5]["advice"] == "above 20: the spot may be too thin"
    assert (rows[6]["volume_ratio"], rows[6]["advice"]) == (None, "no spot volume")
    assert (rows[7]["days"], rows[7]["bars"], rows[7]["perp_volume"], rows[7]["advice"]) == (0, 0, None, "no bars")


@pytest.mark.parametrize(("perp", "advice"), [(4.99, "below 5"), (5.0, ""), (20.0, ""), (20.01, "above 20")])
def test_advice_at_its_limits(perp: float, advice: str) -> None:
    told = by_hour(bars((0, perp, 1.0, 0)))[0]["advice"]
    assert told.startswith(advice)
    assert bool(told) == bool(advice)


def test_multiplied_contracts_count_in_units_of_the_spot() -> None:
    row = by_hour(bars((0, 2.0, 100.0, 0)), price_factor=1_000.0)[0]
    assert (row["perp_volume"], row["volume_ratio"]) == (2_000.0, 20.0)


def test_days_that_cannot_be_compared_are_left_out() -> None:
    row = by_hour(bars((0, 1.0, 1.0, 0), (DAY_US, 10.0, 1.0, 0)), without_days_us=[0])[0]
    assert (row["days"], row["bars"], row["volume_ratio"]) == (1, 1, 10.0)


def test_a_volume_that_is_not_told_makes_no_sum() -> None:
    row = by_hour(bars((0, None, 1.0, 0), (MINUTE_US, 10.0, 1.0, 0)))[0]
    assert (row["perp_volume"], row["spot_volume"], row["volume_ratio"], row["advice"]) == (None, 2.0, None, None)


def test_no_bars_at_all() -> None:
    rows = by_hour(bars())
    assert len(rows) == 24
    assert {row["bars"] for row in rows} == {0}


def test_bars_longer_than_an_hour_are_refused() -> None:
    long = pl.DataFrame([(0, HOUR_US + 1, 1.0, 1.0, 0)], schema=SCHEMA, orient="row")
    with pytest.raises(ConfigError, match="too long"):
        by_hour(long)
    assert by_hour(long.with_columns(bucket_end=pl.lit(HOUR_US)))[0]["bars"] == 1


def test_bars_without_a_column_are_refused() -> None:
    with pytest.raises(ConfigError, match="lack columns"):
        by_hour(bars().drop("spot_age_us"))


ROWS = st.lists(
    st.tuples(
        st.integers(0, 3 * DAY_US),
        st.integers(0, 50).map(float),
        st.integers(0, 5).map(float),
        st.none() | st.integers(0, 120),
    ),
    max_size=30,
)


@given(ROWS)
def test_the_same_as_a_plain_loop(rows: list[tuple[int, float, float, int | None]]) -> None:
    for hour, row in enumerate(by_hour(bars(*rows))):
        own = [one for one in rows if one[0] // HOUR_US % 24 == hour]
        assert row["bars"] == len(own)
        assert row["days"] == len({one[0] // DAY_US for one in own})
        if own:
            perp, spot = sum(one[1] for one in own), sum(one[2] for one in own)
            assert (row["perp_volume"], row["spot_volume"]) == (perp, spot)
            assert row["volume_ratio"] == (perp / spot if spot else None)
            assert row["spot_volume_median"] == median(one[2] for one in own)
            assert row["stale_share"] == pytest.approx(sum(one[3] is None or one[3] > 60 for one in own) / len(own))
