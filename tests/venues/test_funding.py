"""Funding rules: dates with bounds, and the formulas against figures worked out by hand."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointline.clock import to_us
from pointline.errors import ConfigError, VenueRuleError
from pointline.venues.files import Venues, package_venues, parse_venue
from pointline.venues.funding import FundingRule, fair_funding_8h, fair_funding_8h_expr, funding_rule, funding_rules

BPS = 1e-4
SWITCH_US = 1_758_182_460_000_000  # 2025-09-18 08:01:00 UTC

# Average premium -> funding per 8 h, in basis points, interest 1 and dead band 5.
BINANCE_BPS = {-60: -55, -6: -1, -4: 1, 0: 1, 6: 1, 8: 3, 10: 5, 20: 15, 60: 55}
DERIBIT_BPS = {-10: -7.5, -4: -1.5, -1: 0, 0: 0, 1: 0, 4: 1.5, 10: 7.5}


def _rule(**changes: object) -> FundingRule:
    values: dict[str, object] = {
        "kind": "premium_clamp",
        "interest_8h": 0.0001,
        "clamp": 0.0005,
        "cap": None,
        "interval_hours": 8.0,
        "valid_from_us": 0,
        "valid_until_us": 1,
        "source": "test",
    }
    return FundingRule(**{**values, **changes})  # type: ignore[arg-type]


def _column(rule: FundingRule, premiums: list[float | None], **options: object) -> list[float | None]:
    frame = pl.DataFrame({"premium": premiums}, schema={"premium": pl.Float64})
    expression = fair_funding_8h_expr(rule, pl.col("premium"), **options)  # type: ignore[arg-type]
    return frame.select(fair=expression)["fair"].to_list()


@pytest.mark.parametrize(
    ("exchange", "at", "expected"),
    [
        ("binance-futures", "2021-07-01", BINANCE_BPS),
        ("binance-delivery", "2026-01-01", BINANCE_BPS),
        ("bybit", "2024-01-01", BINANCE_BPS),
        ("okx-swap", "2025-06-01", BINANCE_BPS),
        ("deribit", "2024-01-01", DERIBIT_BPS),
        ("okx-swap", "2024-01-01", {-60: -60, 0: 0, 6: 6, 60: 60}),
    ],
)
def test_fair_funding_is_the_hand_worked_figure(exchange: str, at: str, expected: dict[int, float]) -> None:
    rule = funding_rule(exchange, to_us(at))
    wanted = [value * BPS for value in expected.values()]
    assert [fair_funding_8h(rule, premium * BPS) for premium in expected] == pytest.approx(wanted, abs=1e-15)
    assert _column(rule, [premium * BPS for premium in expected]) == pytest.approx(wanted, abs=1e-15)


def test_dead_band_before_the_switch_is_per_interval_and_after_it_per_8_hours() -> None:
    before = funding_rule("binance-futures", SWITCH_US - 1)
    after = funding_rule("binance-futures", SWITCH_US)
    # 4 h, premium 20 bp: one interval pays 20 - 5 = 15 bp, so 30 bp in 8 h; after the switch half of 15 bp, so 15 bp in 8 h.
    assert fair_funding_8h(before, 20 * BPS, interval_hours=4) == pytest.approx(30 * BPS)
    assert fair_funding_8h(after, 20 * BPS, interval_hours=4) == pytest.approx(15 * BPS)
    # 4 h, no premium: the interval's interest is 0.5 bp, 1 bp in 8 h, in both.
    assert fair_funding_8h(before, 0.0, interval_hours=4) == pytest.approx(1 * BPS)
    assert fair_funding_8h(after, 0.0, interval_hours=4) == pytest.approx(1 * BPS)
    frame = pl.DataFrame({"premium": [20 * BPS, 20 * BPS, None], "hours": [4.0, 8.0, 8.0]})
    column = frame.select(fair=fair_funding_8h_expr(before, pl.col("premium"), interval_hours=pl.col("hours")))["fair"].to_list()
    assert column[:2] == pytest.approx([30 * BPS, 15 * BPS])
    assert column[2] is None


def test_the_first_rule_ends_and_the_second_begins_at_the_same_microsecond() -> None:
    before, after = (funding_rule("binance-futures", at) for at in (SWITCH_US - 1, SWITCH_US))
    assert (before.valid_until_us, after.valid_from_us) == (SWITCH_US, SWITCH_US)
    assert (before.per_interval, after.per_interval) == (True, False)
    assert to_us("2025-09-18T08:01:00+00:00") == SWITCH_US


def test_cap_limits_both_sides() -> None:
    rule = funding_rule("okx-swap", to_us("2024-01-01"), base_asset="BTC")
    assert rule.cap == 0.00375
    assert [fair_funding_8h(rule, value) for value in (-0.01, 0.01, 0.001)] == pytest.approx([-0.00375, 0.00375, 0.001])
    assert _column(rule, [-0.01, 0.01, 0.001]) == pytest.approx([-0.00375, 0.00375, 0.001])
    assert funding_rule("okx-swap", to_us("2024-01-01"), base_asset="ETH").cap is None


def test_how_each_venue_averages_the_premium() -> None:
    at = to_us("2024-05-01")
    weights = {
        name: funding_rule(name, at).weights for name in ("binance-futures", "bybit", "okx-swap", "deribit", "gate-futures", "hyperliquid")
    }
    assert [name for name, one in weights.items() if one == "rising"] == ["binance-futures", "bybit"]
    assert set(weights.values()) == {"rising", "equal"}
    assert [funding_rule("okx-swap", to_us(day)).rolling for day in ("2024-03-04", "2024-03-05", "2025-06-01")] == [False, True, False]
    assert [_rule(kind=kind).weights for kind in ("premium_clamp", "deribit", "clamp_mean")] == ["rising", "equal", "equal"]


def test_bnb_pays_no_interest_on_binance() -> None:
    rule = funding_rule("binance-futures", to_us("2024-01-01"), base_asset="BNB")
    assert rule.interest_8h == 0.0
    assert fair_funding_8h(rule, 0.0) == 0.0
    assert funding_rule("binance-futures", to_us("2024-01-01"), base_asset="ETH").interest_8h == 0.0001


@pytest.mark.parametrize(
    ("exchange", "at"),
    [
        ("binance-futures", "2019-12-31 23:59:59"),
        ("binance-futures", "2028-01-01"),
        ("okx-swap", "2025-04-17"),  # between the batches of the change
        ("okx-swap", "2025-04-10 00:01:00"),
        ("deribit", "2022-12-31"),
    ],
)
def test_outside_the_dates_there_is_an_error_that_shows_them(exchange: str, at: str) -> None:
    with pytest.raises(VenueRuleError, match="is not known for this time") as caught:
        funding_rule(exchange, to_us(at))
    assert caught.value.expected is not None
    assert "UTC" in caught.value.expected
    reason = {"okx-swap": "three batches", "deribit": "wider dead band"}.get(exchange)
    assert reason is None or reason in str(caught.value.hint)


def test_kucoins_rule_is_known_of_six_contracts_only() -> None:
    start = to_us("2025-11-27 08:00")
    rule = funding_rule("kucoin-futures", start, base_asset="XRP", quote_asset="USDC")
    assert (rule.kind, rule.weights, rule.interest_8h, rule.clamp) == ("premium_clamp", "rising", 0.0001, 0.0005)
    with pytest.raises(VenueRuleError, match="is not known for this time") as caught:
        funding_rule("kucoin-futures", start - 1, base_asset="XRP", quote_asset="USDC")
    assert "contract by contract" in str(caught.value.hint)
    for base, quote in (("XBT", "USDT"), ("XRP", "USDT"), (None, None)):
        with pytest.raises(VenueRuleError, match="no funding rule of this contract is known on kucoin-futures") as caught:
            funding_rule("kucoin-futures", start, base_asset=base, quote_asset=quote)
        assert "XRP-USDC" in str(caught.value.expected)
        assert "contract by contract" in str(caught.value.hint)
        with pytest.raises(VenueRuleError, match="no funding rule of this contract"):
            funding_rules("kucoin-futures", start, start + 1, base_asset=base, quote_asset=quote)


NAMED = """
venue = "x"
[[market]]
exchange = "x"
sql_name = "x"
asset_type = "perpetual"
symbols = "dashed"
source = "[D] test"
[[funding]]
exchanges = ["x"]
kind = "clamp_mean"
per_interval = false
interest_8h = 0.0
clamp = 0.0
interval_hours = 8.0
valid_from = 2023-01-01T00:00:00Z
valid_until = 2025-01-01T00:00:00Z
source = "[D] all"
[[funding]]
exchanges = ["x"]
kind = "clamp_mean"
per_interval = false
interest_8h = 0.0
clamp = 0.0
interval_hours = 4.0
pairs = ["A-B"]
valid_from = 2024-01-01T00:00:00Z
valid_until = 2024-07-01T00:00:00Z
source = "[D] one"
"""


def test_the_rule_of_a_contract_goes_before_that_of_all() -> None:
    known = Venues((*package_venues().files, parse_venue(NAMED, where="x.toml")))
    early, named, late = to_us("2023-06-01"), to_us("2024-06-01"), to_us("2024-12-01")
    found = [funding_rule("x", at, base_asset="A", quote_asset="B", known=known) for at in (early, named, late)]
    assert [one.source for one in found] == ["[D] all", "[D] one", "[D] all"]
    spans = [(one.valid_from_us, one.valid_until_us) for one in found]
    switch, back = to_us("2024-01-01"), to_us("2024-07-01")
    assert spans == [(to_us("2023-01-01"), switch), (switch, back), (back, to_us("2025-01-01"))]
    assert list(funding_rules("x", early, late, base_asset="A", quote_asset="B", known=known)) == found
    whole = funding_rule("x", named, base_asset="A", quote_asset="C", known=known)
    assert (whole.source, whole.valid_from_us, whole.valid_until_us) == ("[D] all", to_us("2023-01-01"), to_us("2025-01-01"))
    with pytest.raises(ConfigError, match="rules of Funding x A-B overlap"):
        parse_venue(NAMED + NAMED[NAMED.rindex("[[funding]]") :], where="x.toml")


KRAKEN_SWITCH = "2022-09-29 12:00"


def test_krakens_hourly_rate_is_an_eighth_of_the_mean_premium_within_its_limit() -> None:
    """The support page's own example: a mean premium of 0.32 % makes 0.04 % an hour. Limits are 0.1 % and then 0.25 % an hour."""
    before, after = (funding_rule("kraken-futures", to_us(KRAKEN_SWITCH) + shift) for shift in (-1, 0))
    assert [(rule.interval_hours, rule.periods_later) for rule in (before, after)] == [(4.0, 1), (1.0, 1)]
    for rule in (before, after):
        assert fair_funding_8h(rule, 0.0032) / 8 == pytest.approx(0.0004)
    assert [fair_funding_8h(before, premium) / 8 for premium in (0.0079, 0.0081, -0.05)] == pytest.approx([0.0079 / 8, 0.001, -0.001])
    assert [fair_funding_8h(after, premium) / 8 for premium in (0.019, 0.021, -0.05)] == pytest.approx([0.019 / 8, 0.0025, -0.0025])


def test_a_spot_exchange_has_no_funding_rule() -> None:
    with pytest.raises(VenueRuleError, match="has no funding rule"):
        funding_rule("binance-spot", to_us("2024-01-01"))


@pytest.mark.parametrize("hours", [0, -8, float("nan")])
def test_an_impossible_interval_is_refused(hours: float) -> None:
    with pytest.raises(ConfigError, match="funding interval"):
        fair_funding_8h(_rule(), 0.0, interval_hours=hours)


def _plain(kind: str, premium: float, *, interest: float, band: float, cap: float | None, share: float) -> float:
    """The formulas case by case, without min and max."""
    if kind == "premium_clamp":
        gap = interest * share - premium
        rate = interest * share
        if abs(gap) > band:
            rate = premium + band if gap > 0 else premium - band
    elif kind == "deribit":
        rate = premium - band if premium > band else premium + band if premium < -band else 0.0
    else:
        rate = premium
    if cap is not None and abs(rate) > cap:
        rate = cap if rate > 0 else -cap
    return rate / share


@given(
    kind=st.sampled_from(["premium_clamp", "deribit", "clamp_mean"]),
    premiums=st.lists(st.floats(-0.05, 0.05), max_size=5),
    interest=st.floats(0, 0.001),
    band=st.floats(0, 0.002),
    cap=st.none() | st.floats(0.0001, 0.03),
    hours=st.sampled_from([1.0, 2.0, 4.0, 8.0]),
    per_interval=st.booleans(),
)
def test_scalar_and_column_equal_the_case_by_case_formula(
    *, kind: str, premiums: list[float], interest: float, band: float, cap: float | None, hours: float, per_interval: bool
) -> None:
    rule = _rule(kind=kind, interest_8h=interest, clamp=band, cap=cap, per_interval=per_interval)
    share = hours / 8 if per_interval else 1.0
    wanted = [_plain(kind, premium, interest=interest, band=band, cap=cap, share=share) for premium in premiums]
    assert [fair_funding_8h(rule, premium, interval_hours=hours) for premium in premiums] == pytest.approx(wanted, abs=1e-12)
    assert _column(rule, list(premiums), interval_hours=hours) == pytest.approx(wanted, abs=1e-12)
