"""The rate an interval would settle: the dead-band tables, a plain loop for every rule, truncation, and what is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.clock import HOUR_US, MINUTE_US, to_us
from pointline.errors import ConfigError, NoDataError, VenueRuleError
from pointline.instruments import Observation
from pointline.venues.expected import expected_funding
from pointline.venues.premium import PremiumSlots

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.venues.expected import ExpectedFunding

BPS = 1e-4
MIDNIGHT = to_us("2024-05-01")


def perp(exchange: str = "binance-futures", base: str = "BTC", **said: Any) -> Observation:  # noqa: ANN401 - any field
    terms = {"asset_type": "perpetual", "contract_type": "linear", "contract_size": 1.0, **said}
    return Observation(
        exchange=exchange, exchange_symbol=base, base_asset=base, quote_asset="USDT", settle_asset="USDT", source="derived", **terms
    )


def held(premium_bps: float, start_us: int, hours: float, step_us: int = HOUR_US) -> PremiumSlots:
    """A premium that stays the same for some hours."""
    return PremiumSlots(start_us + step_us, step_us, np.full(round(hours * HOUR_US / step_us), premium_bps * BPS))


def settled(exchange: str, start: str, premium_bps: float, hours: float, **options: Any) -> ExpectedFunding:  # noqa: ANN401 - passed on
    start_us = to_us(start)
    step_us = min(HOUR_US, round(hours * HOUR_US))
    end_us = start_us + round(hours * HOUR_US)
    return expected_funding(held(premium_bps, start_us, hours, step_us), perp(exchange, **options), end_us, interval_hours=hours)


# Average premium -> rate of one interval, in basis points. Worked by hand with a dead band of 5 on both sides of the interest I.
# Where the formula speaks of the interval, I is 1, 1/2, 1/4, 1/8 for 8, 4, 2 and 1 hours and nothing else changes.
PER_INTERVAL: dict[float, dict[float, float]] = {
    8: {-60: -55, -6: -1, -4: 1, 0: 1, 6: 1, 8: 3, 10: 5, 20: 15, 60: 55},
    4: {-60: -55, -6: -1, -4.5: 0.5, 0: 0.5, 5.5: 0.5, 6: 1, 8: 3, 10: 5, 20: 15, 60: 55},
    2: {-60: -55, -6: -1, 0: 0.25, 5.25: 0.25, 6: 1, 8: 3, 10: 5, 20: 15, 60: 55},
    1: {-60: -55, -6: -1, 0: 0.125, 5.125: 0.125, 6: 1, 8: 3, 10: 5, 20: 15, 60: 55},
}
# Where it speaks of 8 hours, an interval pays its share: 1, 1/2, 1/4 and 1/8 of 1 / 1 / 3 / 5 / 15 / 55.
PER_8_HOURS: dict[float, dict[float, float]] = {
    8: {-6: -1, 0: 1, 6: 1, 8: 3, 10: 5, 20: 15, 60: 55},
    4: {-6: -0.5, 0: 0.5, 6: 0.5, 8: 1.5, 10: 2.5, 20: 7.5, 60: 27.5},
    2: {-6: -0.25, 0: 0.25, 6: 0.25, 8: 0.75, 10: 1.25, 20: 3.75, 60: 13.75},
    1: {-6: -0.125, 0: 0.125, 6: 0.125, 8: 0.375, 10: 0.625, 20: 1.875, 60: 6.875},
}
DERIBIT: dict[float, dict[float, float]] = {8: {-10: -7.5, -4: -1.5, -1: 0, 0: 0, 1: 0, 4: 1.5, 10: 7.5}}
PLAIN: dict[float, dict[float, float]] = {hours: {-60: -60, 0: 0, 6: 6, 60: 60} for hours in (8, 4, 2, 1)}
TABLES = [
    ("binance-futures", "2024-05-01", PER_INTERVAL),
    ("binance-futures", "2025-09-18", {8: PER_INTERVAL[8]}),  # the settlement of 08:00 is a minute before the switch
    ("binance-futures", "2025-09-19", PER_8_HOURS),
    ("binance-delivery", "2026-01-01", PER_8_HOURS),
    ("bybit", "2024-05-01", PER_INTERVAL),
    ("okx-swap", "2023-05-01", PLAIN),
    ("okx-swap", "2024-05-01", PLAIN),
    ("okx-swap", "2025-06-01", PER_INTERVAL),
    ("deribit", "2024-05-01", DERIBIT),
    ("gate-futures", "2024-05-01", PER_INTERVAL),
    ("gate-futures", "2026-06-01", PER_8_HOURS),
    ("hyperliquid", "2024-05-01", {1: PER_8_HOURS[1]}),
    ("kraken-futures", "2022-05-01", {4: {-60: -30, 0: 0, 6: 3, 60: 30, 90: 40}}),  # half in 4 h, at most 10 bp an hour
    ("kraken-futures", "2024-05-01", {1: {-60: -7.5, 0: 0, 6: 0.75, 60: 7.5, 300: 25}}),  # an eighth, at most 25 bp an hour
]


@pytest.mark.parametrize(
    ("exchange", "start", "hours", "table"),
    [(exchange, start, hours, table) for exchange, start, tables in TABLES for hours, table in tables.items()],
)
def test_the_dead_band_of_a_constant_premium(exchange: str, start: str, hours: float, table: dict[float, float]) -> None:
    for premium_bps, rate_bps in table.items():
        found = settled(exchange, start, premium_bps, hours, base="ETH")
        assert found.rate / BPS == pytest.approx(rate_bps, abs=1e-9), premium_bps
        assert found.rate_8h / BPS == pytest.approx(rate_bps * 8 / hours, abs=1e-9), premium_bps
        assert found.premium / BPS == pytest.approx(premium_bps)


def test_the_cap_and_the_asset_without_interest() -> None:
    assert settled("okx-swap", "2023-05-01", 60, 8).rate == 0.00375
    assert settled("binance-futures", "2024-05-01", 0, 8, base="BNB").rate == 0.0
    assert settled("hyperliquid", "2024-05-01", 6_000, 1).rate == 0.04  # 60 % - 5 bp in 8 hours were 7.5 % an hour
    assert settled("hyperliquid", "2024-05-01", -3_000, 1).rate == pytest.approx(-0.2995 / 8)


def test_later_values_weigh_more_where_the_rule_says_so() -> None:
    """Hours of 0 and then 30 bp: rising weights give 30 · 2/3 = 20, so 15 bp on Binance; the plain mean is 15 bp on OKX of 2023."""
    for exchange, day, premium, rate in (("binance-futures", "2024-05-01", 20, 15), ("okx-swap", "2023-05-01", 15, 15)):
        start_us = to_us(day)
        path = PremiumSlots(start_us + HOUR_US, HOUR_US, np.array([0, 30]) * BPS)
        found = expected_funding(path, perp(exchange, "ETH"), start_us + 2 * HOUR_US)
        assert (round(found.premium / BPS, 9), round(found.rate / BPS, 9), found.slots) == (premium, rate, 2)
        assert (found.start_us, found.end_us) == (start_us, start_us + 8 * HOUR_US)


def test_a_continuous_venue_averages_its_rate_not_its_premium() -> None:
    """Deribit, hours of +10 and -10 bp: the rates are +7.5 and -7.5. Of +5 and 0 bp: 2.5 and 0, so 1.25; of their mean it were 0."""
    for values, rate_bps in (([10, -10], 0.0), ([5, 0], 1.25), ([-4, -4], -1.5)):
        path = PremiumSlots(MIDNIGHT + HOUR_US, HOUR_US, np.array(values) * BPS)
        found = expected_funding(path, perp("deribit"), MIDNIGHT + 2 * HOUR_US)
        assert found.rate_8h / BPS == pytest.approx(rate_bps, abs=1e-12)
        assert (found.rule.continuous, found.rule.averages) == (True, "rate")


def test_a_venue_of_hours_averages_the_premium_and_limits_the_mean() -> None:
    """Half hours of 30 and -10 bp: their mean is 10 bp. Hyperliquid: (10 - 5) / 8; the mean of the rates would be (25 - 5) / 2 / 8.

    Kraken: 10 / 8. Of 500 and -100 bp the mean is 200, which its limit of 200 bp in 8 hours lets pass: 25 bp an hour; the mean of limited
    rates would be (200 - 100) / 2 / 8. Its rate is paid in the hour after.
    """
    half_us = HOUR_US // 2
    for exchange, values, rate_bps in (
        ("hyperliquid", [30, -10], 5 / 8),
        ("kraken-futures", [30, -10], 10 / 8),
        ("kraken-futures", [500, -100], 25.0),
    ):
        path = PremiumSlots(MIDNIGHT + half_us, half_us, np.array(values) * BPS)
        found = expected_funding(path, perp(exchange), MIDNIGHT + HOUR_US)
        assert found.rate / BPS == pytest.approx(rate_bps, abs=1e-9)
        assert (found.end_us, found.interval_hours, found.rule.averages) == (MIDNIGHT + HOUR_US, 1.0, "premium")
        assert found.paid_us == MIDNIGHT + (2 if exchange == "kraken-futures" else 1) * HOUR_US


def test_a_rolling_average_reaches_into_the_interval_before() -> None:
    """OKX in 2024: at 02:00 the last eight hours are six of 8 bp and two of 0, so 6 bp; the interval itself has but zeros."""
    path = PremiumSlots(MIDNIGHT - 5 * HOUR_US, HOUR_US, np.array([8.0] * 6 + [0.0] * 2) * BPS)
    found = expected_funding(path, perp("okx-swap"), MIDNIGHT + 2 * HOUR_US)
    assert found.rate / BPS == pytest.approx(6.0)
    assert (found.slots, found.start_us, found.end_us) == (8, MIDNIGHT, MIDNIGHT + 8 * HOUR_US)


def test_an_interval_that_ends_belongs_to_itself_and_a_late_value_does_not_count_yet() -> None:
    path = PremiumSlots(MIDNIGHT + HOUR_US, HOUR_US, np.full(9, 20 * BPS), delay_us=MINUTE_US)
    at_end = expected_funding(path, perp(), MIDNIGHT + 8 * HOUR_US)
    assert (at_end.start_us, at_end.slots) == (MIDNIGHT, 7)
    assert expected_funding(path, perp(), MIDNIGHT + 9 * HOUR_US + MINUTE_US).slots == 1
    with pytest.raises(NoDataError, match="known yet"):
        expected_funding(path, perp(), MIDNIGHT + 8 * HOUR_US + 1)


def plain_rate_8h(values: list[float], *, kind: str, weights: str, per_interval: bool, hours: float, cap: float | None) -> float:
    """The rate per 8 hours of an interval's values by a loop, formulas case by case; dead bands of 5 (Deribit 2.5) bp, interest 1 bp."""

    def formula(premium: float) -> float:
        share = hours / 8 if per_interval else 1.0
        if kind == "damped":
            interest = 1e-4 * share
            rate = premium - 5e-4 if premium > interest + 5e-4 else premium + 5e-4 if premium < interest - 5e-4 else interest
        elif kind == "deribit":
            rate = premium - 2.5e-4 if premium > 2.5e-4 else premium + 2.5e-4 if premium < -2.5e-4 else 0.0
        else:
            rate = premium
        if cap is not None:
            rate = max(-cap, min(cap, rate))
        return rate / share

    top = bottom = rates = 0.0
    for place, value in enumerate(values, start=1):
        weight = place if weights == "rising" else 1
        top += weight * value
        bottom += weight
        rates += formula(value)
    return rates / len(values) if kind == "deribit" else formula(top / bottom)


# exchange, a midnight under the rule, and the rule in plain words
RULES: list[tuple[str, str, dict[str, Any]]] = [
    ("binance-futures", "2024-05-01", {"kind": "damped", "weights": "rising", "per_interval": True, "cap": None}),
    ("binance-futures", "2026-05-01", {"kind": "damped", "weights": "rising", "per_interval": False, "cap": None}),
    ("bybit", "2024-05-01", {"kind": "damped", "weights": "rising", "per_interval": True, "cap": None}),
    ("okx-swap", "2023-05-01", {"kind": "plain", "weights": "equal", "per_interval": True, "cap": 0.00375}),
    ("okx-swap", "2025-06-01", {"kind": "damped", "weights": "rising", "per_interval": True, "cap": None}),
    ("deribit", "2024-05-01", {"kind": "deribit", "weights": "equal", "per_interval": False, "cap": None}),
    ("gate-futures", "2024-05-01", {"kind": "damped", "weights": "equal", "per_interval": True, "cap": None}),
    ("gate-futures", "2026-06-01", {"kind": "damped", "weights": "rising", "per_interval": False, "cap": None}),
    ("hyperliquid", "2024-05-01", {"kind": "damped", "weights": "equal", "per_interval": False, "cap": 0.32}),
    ("kraken-futures", "2022-05-01", {"kind": "plain", "weights": "equal", "per_interval": False, "cap": 0.008}),
    ("kraken-futures", "2024-05-01", {"kind": "plain", "weights": "equal", "per_interval": False, "cap": 0.02}),
]


@settings(max_examples=60, deadline=None)
@given(
    which=st.sampled_from(RULES),
    hours=st.sampled_from([8, 4, 2, 1]),
    values=st.lists(st.floats(-0.02, 0.02), min_size=96, max_size=96),
    minutes=st.integers(15, 24 * 60),
)
def test_every_rule_equals_a_plain_loop_and_what_comes_later_changes_nothing(
    which: tuple[str, str, dict[str, Any]], hours: int, values: list[float], minutes: int
) -> None:
    exchange, day, rule = which
    start_us, step_us = to_us(day), 15 * MINUTE_US
    at_us = start_us + minutes * MINUTE_US
    path = PremiumSlots(start_us + step_us, step_us, np.array(values))
    seen = [values[place] for place in range(96) if start_us + (place + 1) * step_us <= at_us]
    elapsed = (minutes - 1) % (hours * 60) + 1
    own = seen[len(seen) - elapsed // 15 :]
    if elapsed < 15:
        with pytest.raises(NoDataError):
            expected_funding(path, perp(exchange), at_us, interval_hours=hours)
        return
    found = expected_funding(path, perp(exchange), at_us, interval_hours=hours)
    wanted = plain_rate_8h(own, hours=hours, **rule)
    assert found.slots == len(own)
    assert found.rate_8h == pytest.approx(wanted, abs=1e-14)
    assert found.rate == pytest.approx(wanted * hours / 8, abs=1e-14)
    short = PremiumSlots(path.first_end_us, step_us, np.array(seen))
    changed = PremiumSlots(path.first_end_us, step_us, np.array(seen + [0.5] * (96 - len(seen))))
    assert expected_funding(short, perp(exchange), at_us, interval_hours=hours) == found
    assert expected_funding(changed, perp(exchange), at_us, interval_hours=hours) == found


@settings(max_examples=40, deadline=None)
@given(
    hours=st.sampled_from([8, 4, 2, 1]),
    values=st.lists(st.floats(-0.02, 0.02), min_size=96, max_size=96),
    minutes=st.integers(8 * 60, 24 * 60),
    delay_us=st.sampled_from([0, MINUTE_US]),
)
def test_a_rolling_average_equals_a_plain_loop_and_what_comes_later_changes_nothing(
    hours: int, values: list[float], minutes: int, delay_us: int
) -> None:
    step_us, at_us = 15 * MINUTE_US, MIDNIGHT + minutes * MINUTE_US
    seen = [value for place, value in enumerate(values, start=1) if MIDNIGHT + place * step_us + delay_us <= at_us]
    whole, short = (PremiumSlots(MIDNIGHT + step_us, step_us, np.array(some), delay_us) for some in (values, seen))
    if len(seen) < hours * 4:
        with pytest.raises(NoDataError, match="missing"):
            expected_funding(whole, perp("okx-swap"), at_us, interval_hours=hours)
        return
    found = expected_funding(whole, perp("okx-swap"), at_us, interval_hours=hours)
    wanted = max(-0.00375, min(0.00375, math.fsum(seen[-hours * 4 :]) / (hours * 4)))
    assert found.rate == pytest.approx(wanted, abs=1e-14)
    assert expected_funding(short, perp("okx-swap"), at_us, interval_hours=hours) == found


def test_a_hole_is_refused_with_its_first_time() -> None:
    path = PremiumSlots(MIDNIGHT + HOUR_US, HOUR_US, np.array([1e-4, math.nan, 1e-4]))
    with pytest.raises(NoDataError, match="missing") as caught:
        expected_funding(path, perp(), MIDNIGHT + 4 * HOUR_US)
    assert caught.value.value == "2 of 4, the first at 2024-05-01 02:00:00 UTC"
    assert expected_funding(path, perp(), MIDNIGHT + HOUR_US).slots == 1


@pytest.mark.parametrize(
    ("instrument", "options", "words"),
    [
        (perp(asset_type="spot", contract_type=None), {}, "pays no funding"),
        (perp(asset_type="future", expiry_us=MIDNIGHT), {}, "pays no funding"),
        (perp(), {"interval_hours": 5}, "divides a day"),
        (perp(), {"interval_hours": -8}, "divides a day"),
        (perp(), {"interval_hours": math.nan}, "divides a day"),
        (perp(), {"interval_hours": 0.75}, "do not fit"),
    ],
)
def test_what_cannot_be_used_is_refused(instrument: Observation, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        expected_funding(held(1, MIDNIGHT, 8), instrument, MIDNIGHT + HOUR_US, **options)


@pytest.mark.parametrize(
    ("exchange", "at"),
    [
        ("okx-swap", "2025-04-12"),  # between the batches of the change
        ("gate-futures", "2026-05-27 04:00"),  # reports of the change disagree by 16 hours
        ("deribit", "2022-06-01"),
        ("binance-futures", "2027-12-31 23:00"),  # the settlement lies outside
    ],
)
def test_without_a_rule_for_the_settlement_there_is_no_rate(exchange: str, at: str) -> None:
    at_us = to_us(at)
    with pytest.raises(VenueRuleError, match="not known for this time"):
        expected_funding(held(1, at_us - 8 * HOUR_US, 8), perp(exchange), at_us)


@pytest.mark.parametrize(("exchange", "words"), [("kucoin-futures", "no funding rule of this contract"), ("acme", "has no funding rule")])
def test_a_contract_without_a_rule_has_no_rate(exchange: str, words: str) -> None:
    with pytest.raises(VenueRuleError, match=words):
        expected_funding(held(1, MIDNIGHT, 8), perp(exchange), MIDNIGHT + HOUR_US)


def test_real_settlements_of_a_year_are_met_within_a_fifth_of_a_basis_point(shared_data: Path) -> None:
    """BTCUSDT on Binance, 2023-12-17 to 2024-11-30, hourly perp against spot: a mean error of 0.192 bp, worked out apart from this code."""

    def hours(name: str, column: str) -> pl.DataFrame:
        frame = pl.read_ipc(shared_data / "klines" / f"binance_BTC_USDT{name}_202301-202411.feather")
        return frame.select(us=pl.col("date").dt.epoch("us"), value=pl.col(column))

    both = hours("_USDT-1h-futures", "close").join(hours("-1h", "close"), on="us", suffix="_spot").sort("us")
    premium = both.select(end_us=pl.col("us") + HOUR_US, premium=pl.col("value") / pl.col("value_spot") - 1)
    path = PremiumSlots.of(premium)
    paid = hours("_USDT-1h-funding_rate", "open").filter(pl.col("us") % (8 * HOUR_US) == 0, pl.col("us") >= to_us("2023-12-17"))
    errors_bps = [abs(expected_funding(path, perp(), us).rate - rate) / BPS for us, rate in paid.iter_rows()]
    assert len(errors_bps) > 1_000
    assert math.fsum(errors_bps) / len(errors_bps) == pytest.approx(0.192, abs=0.0005)
