"""Rules that small frames show by hand: what was known when, interpolation, roll, smoothing, costs."""

from __future__ import annotations

import datetime as dt
import math

import polars as pl
import pytest

from pointline import CostModel
from pointline.clock import DAY_US, HOUR_US, to_us
from pointline.curves import TABLE_SCHEMA, carry_yield, constant_maturity, curve_at, roll_calendar, smoothing
from pointline.curves.annualised import days_between
from pointline.curves.quotes import convert
from pointline.errors import ConfigError

DAY = dt.timedelta(days=1)
START = dt.datetime(2024, 12, 1, tzinfo=dt.UTC)


def moment(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def row(
    number: int, basis: float | None, *, days: float | None = None, market: str = "A", late: dt.timedelta = dt.timedelta(0), **other: object
) -> dict[str, object]:
    """A row of a day's candle against a spot of 100, `days` before delivery at its end."""
    start = START + number * DAY
    spread = None if basis is None else 100 * basis
    expiry = None if days is None else start + DAY + dt.timedelta(days=days)
    values = {
        "day": start.date(),
        "start": start,
        "end": start + DAY,
        "known_at": None if basis is None else start + DAY + late,
        "exchange": "x",
        "market": market,
        "reference": "r",
        "quote": "USDT",
        "close": None if basis is None else 100 * (1 + basis),
        "spot_close": 100.0,
        "spread": spread,
        "converted_spread": spread,
        "expiry": expiry,
        "days_to_expiry": days,
        "basis_kind": "like_quote",
    }
    return values | other


def table(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame([dict.fromkeys(TABLE_SCHEMA) | one for one in rows], schema=TABLE_SCHEMA, orient="row")


def at(number: float) -> int:
    return to_us(START) + round(number * DAY_US)


# --- curve ------------------------------------------------------------------------------------------------------------------------


def test_a_curve_shows_what_was_known_and_how_old_it_is() -> None:
    rows = table(row(0, 0.01, days=90), row(1, 0.02, days=89), row(2, 0.03, days=88))
    just_before, then = curve_at(rows, at(2) - 1, max_age_us=3 * DAY_US), curve_at(rows, at(2), max_age_us=3 * DAY_US)
    assert (just_before["basis_pct"].to_list(), just_before["age_us"].to_list()) == ([pytest.approx(1.0)], [DAY_US - 1])
    assert (then["basis_pct"].to_list(), then["age_us"].to_list()) == ([pytest.approx(2.0)], [0])
    assert then["days_to_expiry"].to_list() == [89.0]
    assert curve_at(rows, at(1) - 1, max_age_us=DAY_US).is_empty()


def test_a_spread_that_was_received_late_is_not_there_before() -> None:
    rows = table(row(0, 0.01), row(1, 0.02, late=dt.timedelta(hours=3)))
    assert curve_at(rows, at(2) + 2 * HOUR_US, max_age_us=9 * DAY_US)["basis_pct"].to_list() == pytest.approx([1.0])
    assert curve_at(rows, at(2) + 3 * HOUR_US, max_age_us=9 * DAY_US)["basis_pct"].to_list() == pytest.approx([2.0])


def test_an_old_spread_keeps_its_row_and_age_without_values() -> None:
    rows = table(row(0, 0.01, days=30), row(0, 0.0, market="P"), row(1, 0.001, market="P"))
    curve = curve_at(rows, at(2), max_age_us=DAY_US - 1)
    assert curve["market"].to_list() == ["P", "A"]  # perpetuals first
    assert curve["basis_pct"].to_list() == [pytest.approx(0.1), None]
    assert curve["age_us"].to_list() == [0, DAY_US]


def test_a_delivered_contract_leaves_the_curve_at_its_delivery() -> None:
    rows = table(row(0, 0.001, days=8 / 24))
    assert curve_at(rows, at(1) + 8 * HOUR_US - 1, max_age_us=DAY_US).height == 1
    assert curve_at(rows, at(1) + 8 * HOUR_US, max_age_us=DAY_US).is_empty()


# --- constant maturity ------------------------------------------------------------------------------------------------------------


def test_interpolation_by_hand() -> None:
    """The logarithm of 1.01 is 0.00995033 at 20 days, that of 1.04 is 0.03922071 at 80: 0.01726793 at 35."""
    found = constant_maturity(table(row(0, 0.01, days=20, market="A"), row(0, 0.04, days=80, market="B")), [35])
    (got,) = found.to_dicts()
    assert math.log(1 + got["basis_pct"] / 100) == pytest.approx(0.01726793, abs=1e-8)
    assert got["annualised_continuous_pct"] == pytest.approx(0.01726793 * 365 / 35 * 100, abs=1e-4)
    assert (got["near_market"], got["near_days"], got["far_market"], got["far_days"]) == ("A", 20.0, "B", 80.0)


def test_nothing_is_extrapolated() -> None:
    rows = table(row(0, 0.01, days=20, market="A"), row(0, 0.04, days=80, market="B"))
    found = constant_maturity(rows, [19.999, 20, 80, 80.001])
    assert found["maturity_days"].to_list() == [19.999, 20.0, 80.0, 80.001]
    assert found["basis_pct"].to_list() == [None, pytest.approx(1.0), pytest.approx(4.0), None]
    assert found["near_market"].to_list() == [None, "A", "B", None]
    assert found["known_at"].null_count() == 2


def test_the_nearest_contracts_on_both_sides_are_taken() -> None:
    rows = table(*(row(0, basis, days=days, market=f"M{days}") for days, basis in ((10, 0.5), (25, 0.01), (40, 0.02), (90, 0.9))))
    (got,) = constant_maturity(rows, [30]).to_dicts()
    assert (got["near_market"], got["far_market"]) == ("M25", "M40")


def test_spot_counts_as_a_contract_only_where_asked() -> None:
    rows = table(row(0, 0.04, days=80))
    assert constant_maturity(rows, [20])["basis_pct"].to_list() == [None]
    (got,) = constant_maturity(rows, [20], from_spot=True).to_dicts()
    assert math.log(1 + got["basis_pct"] / 100) == pytest.approx(math.log(1.04) / 4)
    assert (got["near_market"], got["near_days"]) == ("spot", 0.0)
    assert constant_maturity(rows, [100], from_spot=True)["basis_pct"].to_list() == [None]


def test_contracts_in_their_last_day_take_no_part() -> None:
    rows = table(row(0, 0.5, days=0.9, market="A"), row(0, 0.04, days=80, market="B"))
    assert constant_maturity(rows, [20])["basis_pct"].to_list() == [None]


def test_different_quotes_and_exchanges_never_share_a_curve() -> None:
    rows = table(row(0, 0.01, days=20, quote="USD"), row(0, 0.04, days=80), row(0, 0.04, days=80, exchange="y", quote="USD"))
    assert constant_maturity(rows, [30])["basis_pct"].to_list() == [None] * 3


def test_a_converted_and_an_unconverted_contract_are_not_mixed() -> None:
    rows = table(row(0, 0.01, days=20, basis_kind="converted"), row(0, 0.04, days=80, basis_kind="cross_quote", converted_spread=None))
    assert constant_maturity(rows, [30]).select("basis_pct", "near_market", "known_at").row(0) == (None, None, None)


def test_an_interpolation_is_known_when_both_ends_are() -> None:
    late = dt.timedelta(minutes=5)
    rows = table(row(0, 0.01, days=20, market="A", late=late), row(0, 0.04, days=80, market="B"))
    assert constant_maturity(rows, [30])["known_at"].to_list() == [START + DAY + late]


@pytest.mark.parametrize("maturities", [[], [30, 30], [0.5], [-30], [math.nan], [math.inf]])
def test_maturities_that_cannot_be(maturities: list[float]) -> None:
    with pytest.raises(ConfigError, match="maturities cannot be used"):
        constant_maturity(table(row(0, 0.01, days=20)), maturities)


# --- roll -------------------------------------------------------------------------------------------------------------------------


def test_the_front_contract_passes_its_place_on_at_its_delivery() -> None:
    rows = table(
        row(0, 0.01, market="D", expiry=moment("2024-12-27T08:00")),
        row(0, 0.01, market="M", expiry=moment("2025-03-28T08:00")),
        row(0, 0.01, market="P"),
    )
    first, second = roll_calendar(rows).to_dicts()
    assert (first["market"], first["front_from"], first["front_until"], first["next_market"]) == (
        "D",
        None,
        moment("2024-12-27T08:00"),
        "M",
    )
    assert (second["front_from"], second["front_until"], second["days_in_front"]) == (first["expiry"], moment("2025-03-28T08:00"), 91.0)
    assert (second["next_market"], second["next_expiry"]) == (None, None)
    early, _ = roll_calendar(rows, days_before=2.5).to_dicts()
    assert (early["expiry"], early["front_until"]) == (moment("2024-12-27T08:00"), moment("2024-12-24T20:00"))
    with pytest.raises(ConfigError, match="at or before delivery"):
        roll_calendar(rows, days_before=-1)


# --- smoothing --------------------------------------------------------------------------------------------------------------------


def test_the_guide_s_mean_and_change() -> None:
    """basis.rolling_mean(3) and basis - basis.shift(3) of 10, 20, 60, 40, 100 basis points."""
    found = smoothing(table(*(row(n, basis / 1e4) for n, basis in enumerate((10, 20, 60, 40, 100)))), window=3)
    assert found["basis_bps"].to_list() == pytest.approx([10, 20, 60, 40, 100])
    assert found["basis_smooth"].to_list() == [None, None, *map(pytest.approx, (30, 40, 200 / 3))]
    assert found["basis_slope"].to_list() == [None, None, None, pytest.approx(30), pytest.approx(80)]


def test_a_missing_or_differently_quoted_candle_makes_the_window_missing() -> None:
    rows = [row(n, None if n == 1 else 0.001) for n in range(5)]
    assert smoothing(table(*rows), window=2)["basis_smooth"].is_null().to_list() == [True, True, True, False, False]
    assert smoothing(table(*rows), window=2)["basis_slope"].is_null().to_list() == [True, True, False, True, False]
    kinds = [row(n, 0.001, basis_kind="converted" if n < 2 else "cross_quote") for n in range(5)]
    assert smoothing(table(*kinds), window=2)["basis_smooth"].is_null().to_list() == [True, False, True, False, False]
    assert smoothing(table(*kinds), window=2)["basis_slope"].is_null().to_list() == [True, True, True, True, False]


def test_a_smoothed_value_is_known_when_its_last_part_is() -> None:
    hours = dt.timedelta(hours=30)
    found = smoothing(table(row(0, 0.001, late=hours), row(1, 0.001), row(2, 0.001), row(3, None)), window=2)
    assert found["known_at"].to_list() == [START + DAY + hours, START + DAY + hours, START + 3 * DAY, None]


def test_a_window_of_one_candle_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least two"):
        smoothing(table(row(0, 0.001)), window=1)


# --- cash and carry ---------------------------------------------------------------------------------------------------------------


def carried(basis: float, days: float, costs: CostModel) -> dict[str, float | str | None]:
    curve = curve_at(table(row(0, basis, days=days)), at(1), max_age_us=DAY_US)
    (found,) = carry_yield(curve, costs).to_dicts()
    return found


def test_carry_by_hand() -> None:
    """2 % over 73 days: 200 bps gross, 10 % a year; 40 bps of costs leave 160 bps, 8 % a year, earned back in 14.6 of the 73 days."""
    found = carried(0.02, 73, CostModel.same_exchange())
    assert found["side"] == "long spot, short future"
    names = ("gross_bps", "cost_bps", "net_bps", "gross_annual_pct", "net_annual_pct", "break_even_days")
    assert [found[name] for name in names] == pytest.approx([200, 40, 160, 10, 8, 14.6])


def test_the_other_side_borrows_the_coin() -> None:
    """-1 % over 50 days earns 2 bps a day; borrowing takes 0.5 of them, 25 bps in all, and 48 bps are back after 32 days."""
    found = carried(-0.01, 50, CostModel(borrow_bps_per_day=0.5))
    assert found["side"] == "short spot, long future"
    names = ("gross_bps", "cost_bps", "net_bps", "break_even_days")
    assert [found[name] for name in names] == pytest.approx([100, 73, 27, 32])
    assert carried(-0.01, 50, CostModel(borrow_bps_per_day=2))["break_even_days"] is None


def test_a_basis_below_the_costs_breaks_even_after_delivery() -> None:
    found = carried(0.004, 40, CostModel())
    assert [found["net_bps"], found["break_even_days"]] == pytest.approx([-8, 48])


def test_perpetuals_last_days_and_stale_contracts_have_no_carry() -> None:
    rows = table(
        row(0, 0.01, market="P"), row(0, 0.01, market="L", days=0.5), row(0, 0.01, market="S", days=50), row(1, 0.01, market="F", days=49)
    )
    curve = curve_at(rows, at(2), max_age_us=DAY_US - 1)
    assert carry_yield(curve, CostModel())["market"].to_list() == ["F"]


# --- parts ------------------------------------------------------------------------------------------------------------------------


def test_a_rate_that_came_after_the_row_was_known_is_not_used() -> None:
    rows = pl.DataFrame(
        {
            "close": [99.0, 99.0],
            "spot_close": [100.0, 100.0],
            "known_us": [10, 10],
            "quote": ["USD", "USD"],
            "reference_quote": ["USDT", "USDT"],
            "quote_rate": [1.1, 1.1],
            "rate_market": ["m", "m"],
            "rate_known_us": [10, 11],
        }
    )
    found = convert(rows)
    assert found["basis_kind"].to_list() == ["converted", "cross_quote"]
    assert found["converted_close"].to_list() == [pytest.approx(108.9), None]
    assert found["rate_market"].to_list() == ["m", None]


def test_whole_days_are_whole_numbers() -> None:
    ends = pl.Series([0, 0, 0, None], dtype=pl.Int64)
    expiries = pl.Series([30 * DAY_US, 7 * DAY_US + 8 * HOUR_US, None, 5], dtype=pl.Int64)
    assert days_between(ends, expiries).to_list() == [30.0, 7 + 8 / 24, None, None]
