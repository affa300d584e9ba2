"""Labels by hand, and against a plain loop."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.errors import ConfigError
from pointline.features import FEATURES, FeatureParams, forward_labels, label_names

NO = None
SECOND = 1_000_000


def bars_of(
    edges: list[int], perp: list[float | None], spot: list[float | None], *, complete: list[bool] | None = None, **columns: list[Any]
) -> pl.DataFrame:
    count = len(perp)
    data: dict[str, list[Any]] = {
        "bucket_start": edges[:-1],
        "bucket_end": edges[1:],
        "complete": complete or [True] * count,
        "perp_close": perp,
        "spot_close": spot,
        "perp_age_us": [1] * count,
        "spot_age_us": [1] * count,
    }
    schema = {name: pl.Boolean() if name == "complete" else pl.Float64() if name.endswith("close") else pl.Int64() for name in data}
    return pl.DataFrame({**data, **columns}, schema=schema)


PERP: list[float | None] = [101.0, 102.0, 99.0, 104.0, 105.0]
SPOT: list[float | None] = [100.0, 100.0, 100.0, 100.0, 100.0]
EDGES = [second * SECOND for second in (0, 10, 20, 25, 40, 41)]


def test_labels_by_bars() -> None:
    labels = forward_labels(bars_of(EDGES, PERP, SPOT), horizons_bars=(1, 3))
    assert labels["bucket_end"].to_list() == EDGES[1:]
    # 102/101 - 1, 99/102 - 1, 104/99 - 1, 105/104 - 1
    assert labels["perp_forward_ret_1bar"].to_list()[:4] == pytest.approx([0.0099009901, -0.0294117647, 0.0505050505, 0.0096153846])
    assert labels["perp_forward_ret_3bar"].to_list()[:2] == pytest.approx([104 / 101 - 1, 105 / 102 - 1])
    assert labels["spot_forward_ret_1bar"].to_list() == [0.0, 0.0, 0.0, 0.0, NO]
    # Basis 100, 200, -100, 400, 500 bps.
    assert labels["basis_forward_change_1bar_bps"].to_list() == pytest.approx([100.0, -300.0, 500.0, 100.0, NO])
    assert labels["basis_forward_change_3bar_bps"].to_list() == pytest.approx([300.0, 300.0, NO, NO, NO])


def test_labels_by_the_clock_use_the_last_bar_that_has_ended() -> None:
    labels = forward_labels(bars_of(EDGES, PERP, SPOT), horizons_bars=(), horizons_us=(15 * SECOND,))
    # 10+15 = 25: the third bar ends there exactly; 20+15 = 35: still the third; 25+15 = 40: the fourth; 55 and 56: behind the data.
    assert labels["perp_forward_ret_15s"].to_list() == pytest.approx([99 / 101 - 1, 99 / 102 - 1, 104 / 99 - 1, NO, NO])
    assert labels["basis_forward_change_15s_bps"].to_list() == pytest.approx([-200.0, -300.0, 500.0, NO, NO])


def test_an_incomplete_last_bar_vouches_for_nothing() -> None:
    whole = forward_labels(bars_of(EDGES, PERP, SPOT), (1,), (1 * SECOND,))
    cut = forward_labels(bars_of(EDGES, PERP, SPOT, complete=[True] * 4 + [False]), (1,), (1 * SECOND,))
    assert whole["perp_forward_ret_1bar"].null_count() == 1
    assert cut["perp_forward_ret_1bar"].to_list()[3:] == [NO, NO]
    # 40 + 1 = 41 is the end of the last bar: known when that is complete, else behind the data.
    assert whole["perp_forward_ret_1s"][3] == pytest.approx(105 / 104 - 1)
    assert cut["perp_forward_ret_1s"].to_list()[3:] == [NO, NO]
    # An incomplete bar in the middle (the turn of a day) is followed by data.
    middle = forward_labels(bars_of(EDGES, PERP, SPOT, complete=[True, False, True, True, True]), (1,))
    assert middle["perp_forward_ret_1bar"].null_count() == 1


def test_a_hole_between_bars_is_outside_the_data() -> None:
    bars = bars_of(EDGES, PERP, SPOT).filter(pl.col("bucket_start") != 20 * SECOND)
    labels = forward_labels(bars, (), (5 * SECOND, 3 * SECOND, 10 * SECOND))
    # 20 + 5 = 25 s and 20 + 3 = 23 s lie in the hole [20, 25); 10 + 10 = 20 s is the end of a bar; 10 + 3 lies inside the next bar.
    assert labels["perp_forward_ret_5s"][1] is None
    assert labels["perp_forward_ret_3s"].to_list()[:2] == [0.0, NO]
    assert labels["perp_forward_ret_10s"][0] == pytest.approx(102 / 101 - 1)


def test_stale_spot_gives_no_change_of_basis_but_a_return() -> None:
    labels = forward_labels(bars_of(EDGES, PERP, SPOT, spot_age_us=[1, 1, 60 * SECOND + 1, 1, 1]), (1,))
    assert labels["basis_forward_change_1bar_bps"].to_list() == pytest.approx([100.0, NO, NO, 100.0, NO])
    assert labels["spot_forward_ret_1bar"].null_count() == 1
    wide = forward_labels(
        bars_of(EDGES, PERP, SPOT, spot_age_us=[1, 1, 60 * SECOND + 1, 1, 1]), (1,), params=FeatureParams(max_spot_age_us=10**9)
    )
    assert wide["basis_forward_change_1bar_bps"].null_count() == 1


def test_names() -> None:
    names = label_names((2,), ("1500us", 90 * SECOND, 3_600 * SECOND, "7us"))
    assert names[0::3] == [f"perp_forward_ret_{h}" for h in ("2bar", "1500us", "90s", "1h", "7us")]
    assert names[1::3] == [f"spot_forward_ret_{h}" for h in ("2bar", "1500us", "90s", "1h", "7us")]
    assert names[2::3] == [f"basis_forward_change_{h}_bps" for h in ("2bar", "1500us", "90s", "1h", "7us")]
    labels = forward_labels(bars_of(EDGES, PERP, SPOT), (2,), ("1500us",))
    assert labels.columns == ["bucket_end", *label_names((2,), ("1500us",))]
    assert not set(label_names()) & set(FEATURES)


def test_no_bars_give_no_labels() -> None:
    labels = forward_labels(bars_of(EDGES, PERP, SPOT).clear(), (1,), ("5us",))
    assert labels.height == 0
    assert labels.columns == ["bucket_end", *label_names((1,), ("5us",))]


def test_mistakes_are_named() -> None:
    bars = bars_of(EDGES, PERP, SPOT)
    for horizons in ((0,), (-1,), (1, 1), (1.5,), (True,)):
        with pytest.raises(ConfigError, match="horizons_bars"):
            forward_labels(bars, horizons)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="horizons_us"):
            forward_labels(bars, (1,), horizons)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lack columns"):
        forward_labels(bars.drop("spot_age_us"))
    with pytest.raises(ConfigError, match="not in order"):
        forward_labels(bars.reverse())


CLOSE = st.one_of(st.none(), st.just(0.0), st.floats(1, 200))
ROW = st.fixed_dictionaries(
    {
        "duration": st.integers(1, 30),
        "gap": st.sampled_from([0, 0, 0, 7]),
        "perp": CLOSE,
        "spot": CLOSE,
        "age": st.integers(1, 120),
        "perp_hole": st.sampled_from([False, False, False, True]),
        "spot_hole": st.sampled_from([False, False, False, True, None]),
    }
)


def closed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as bars with edges, bases, and whether a hole lies in front of each."""
    bars, now = [], 0
    for row in rows:
        start, end = now + row["gap"], now + row["gap"] + row["duration"]
        fresh = row["age"] <= 60 and row["perp"] is not None and row["spot"]
        basis = (row["perp"] - row["spot"]) / row["spot"] * 1e4 if fresh else None
        apart = bool(bars) and start != now
        broken = {"perp": apart or row["perp_hole"], "spot": apart or bool(row["spot_hole"])}
        bars.append({**row, "start": start, "end": end, "basis": basis, "broken": {**broken, "basis": broken["perp"] or broken["spot"]}})
        now = end
    return bars


def value_after(bars: list[dict[str, Any]], side: str, k: int, *, count: int | None = None, at: int | None = None) -> float | None:
    """What a label from bar k sees: so many bars later, or at an instant; None where that is unknown or a hole lies before it."""
    for j in range(k, len(bars)):
        if j > k and bars[j]["broken"][side]:
            return None
        if count is not None and j == k + count:
            return bars[j][side]
        if at is not None:
            there = bars[j]["end"] == at
            inside = j + 1 < len(bars) and bars[j]["end"] < at < bars[j + 1]["end"] and not bars[j + 1]["broken"][side]
            if there or inside:
                return bars[j][side]
    return None


@settings(deadline=None)
@given(st.lists(ROW, min_size=1, max_size=10).map(closed), st.booleans(), st.integers(1, 4), st.integers(1, 80))
def test_equals_the_plain_loop(bars: list[dict[str, Any]], finished: bool, count: int, horizon: int) -> None:
    frame = pl.DataFrame(
        {
            "bucket_start": [b["start"] for b in bars],
            "bucket_end": [b["end"] for b in bars],
            "complete": [True] * (len(bars) - 1) + [finished],
            "perp_close": pl.Series([b["perp"] for b in bars], dtype=pl.Float64),
            "spot_close": pl.Series([b["spot"] for b in bars], dtype=pl.Float64),
            "perp_age_us": [1] * len(bars),
            "spot_age_us": [b["age"] for b in bars],
            "perp_hole": [b["perp_hole"] for b in bars],
            "spot_hole": pl.Series([b["spot_hole"] for b in bars], dtype=pl.Boolean),
        }
    )
    labels = forward_labels(frame, (count,), (f"{horizon}us",), params=FeatureParams(max_spot_age_us="60us"))
    trusted = bars if finished else bars[:-1]
    for k, row in enumerate(labels.iter_rows(named=True)):
        for wanted, name in (({"count": count}, f"{count}bar"), ({"at": bars[k]["end"] + horizon}, f"{horizon}us")):
            now = bars[k] if k < len(trusted) else {"perp": None, "spot": None, "basis": None}
            later = {side: value_after(trusted, side, k, **wanted) for side in ("perp", "spot", "basis")}
            for side in ("perp", "spot"):
                expected = later[side] / now[side] - 1 if later[side] is not None and now[side] else None
                assert row[f"{side}_forward_ret_{name}"] == expected
            known = later["basis"] is not None and now["basis"] is not None
            expected = pytest.approx(later["basis"] - now["basis"], abs=1e-7) if known else None
            assert row[f"basis_forward_change_{name}_bps"] == expected
