"""Forecasts of funding: the join by settlement time, no look into the future, simulated markets with known truth, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluation.funding_market import RULE, START, Market, hourly_premium, market

from pointline.clock import HOUR_US
from pointline.errors import ConfigError
from pointline.evaluation import funding_forecasts
from pointline.evaluation.funding_scores import FORECASTS_SCHEMA, SCORES_SCHEMA
from pointline.evaluation.settlements import SettledRates
from pointline.venues.funding import fair_funding_8h, funding_rule
from pointline.venues.premium import PremiumSlots

if TYPE_CHECKING:
    from pointline.evaluation.funding_forecast import JudgedForecasts

HOURS = st.sampled_from([1, 2, 4, 8])


def judged(of: Market, **options: Any) -> JudgedForecasts:  # noqa: ANN401 - of funding_forecasts
    return funding_forecasts(of.settlements, of.slots, [RULE], **options)


def errors_of(found: JudgedForecasts, hours: float) -> dict[str, float]:
    rows = found.scores.filter(pl.col("hours_before") == hours)
    return dict(rows.select("predictor", "mae_bps").iter_rows())


# --- the join --------------------------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    intervals=st.lists(st.tuples(HOURS, st.integers(-30, 30), st.integers(0, 2 * 60)), min_size=1, max_size=30),
    gaps=st.sets(st.integers(0, 29), max_size=4),
    asked=st.lists(st.integers(-10 * 60, 100 * 60), min_size=1, max_size=30),
)
def test_rates_are_joined_by_the_time_of_their_settlement(intervals: list[tuple[int, int, int]], gaps: set[int], asked: list[int]) -> None:
    """Intervals change from settlement to settlement, some are missing, and each rate is known up to two minutes late."""
    rows, at = [], START
    for place, (hours, rate, late_s) in enumerate(intervals):
        at += hours * HOUR_US
        if place not in gaps:
            rows.append((at, at + late_s * 1_000_000, rate / 1e4, float(hours)))
    if not rows:
        return
    paid = SettledRates.of(pl.DataFrame(rows, schema=["funding_us", "known_us", "rate", "interval_hours"], orient="row"))
    moments = np.array([START + minutes * 60_000_000 for minutes in asked])
    last = paid.last_known(moments)
    ending, start = paid.intervals_at(moments)
    for place, moment in enumerate(moments.tolist()):
        known = [row for row in rows if row[1] < moment]
        expected = math.nan
        if known and moment - known[-1][0] <= 2 * known[-1][3] * HOUR_US:
            expected = known[-1][2] * 1e4 * 8 / known[-1][3]
        assert last[place] == pytest.approx(expected, nan_ok=True)
        inside = [number for number, row in enumerate(rows) if row[0] - row[3] * HOUR_US < moment <= row[0]]
        assert ending[place] == (inside[0] if inside else -1)
        if inside:
            assert start[place] == rows[inside[0]][0] - rows[inside[0]][3] * HOUR_US


def test_the_payment_of_the_same_instant_is_not_known() -> None:
    found = judged(market(), hours_before=[8, 4], models=[]).forecasts
    settled = dict(zip(market().settlements["funding_us"], market().settlements["rate"] * 1e4, strict=True))
    for row in found.iter_rows(named=True):
        back = 16 if row["hours_before"] == 8 else 8
        assert row["last_known_bps"] == pytest.approx(settled[row["funding_us"] - back * HOUR_US])


def test_a_lead_of_a_whole_interval_rests_on_the_premium_of_the_one_before() -> None:
    """So the rule then says exactly what was paid at that instant, which is not known yet."""
    found = judged(market(), hours_before=[8], models=[]).forecasts
    settled = dict(zip(market().settlements["funding_us"], market().settlements["rate"] * 1e4, strict=True))
    assert found["rule_bps"].to_list() == pytest.approx([settled[us - 8 * HOUR_US] for us in found["funding_us"]])


def test_a_hole_leaves_its_settlement_out_of_every_lead() -> None:
    of = market()
    values = of.slots.values.copy()
    values[8 * 300 + 5] = np.nan  # the sixth hour of the 301st interval
    found = judged(replace(of, slots=replace(of.slots, values=values)), models=[])
    whole = judged(of, models=[])
    hole_us = of.settlements["funding_us"][300]
    assert found.left_out == whole.left_out + 2  # the next one too: eight hours before, it rests on the same interval
    assert hole_us not in found.forecasts["funding_us"]
    assert found.forecasts.group_by("hours_before").len()["len"].n_unique() == 1


# --- time ------------------------------------------------------------------------------------------------------------------------


def changed_after(of: Market, extras: pl.DataFrame, moment: int) -> tuple[Market, pl.DataFrame]:
    """The market with other values of all that was not known at a moment."""
    random = np.random.default_rng(9)
    later = of.settlements["known_us"].to_numpy() >= moment
    rates = np.where(later, random.normal(0, 3e-3, len(later)), of.settlements["rate"].to_numpy())
    ends = of.slots.first_end_us + of.slots.step_us * np.arange(len(of.slots.values))
    values = np.where(ends > moment, random.normal(0, 3e-3, len(ends)), of.slots.values)
    known = pl.col("at_us") <= moment
    other = extras.with_columns(pl.when(known).then("hint").otherwise(pl.lit(7.0)).alias("hint"))
    return replace(of, settlements=of.settlements.with_columns(rate=pl.Series(rates)), slots=replace(of.slots, values=values)), other


def hints(of: Market, leads: tuple[int, ...] = (8, 4, 1, 0)) -> pl.DataFrame:
    """A further predictor: the surprise of each settlement, told a whole interval before, with noise."""
    funding = of.settlements["funding_us"].to_numpy()
    noise = np.random.default_rng(3).normal(0, 0.1, len(funding))
    rows = {int(us - lead * HOUR_US): float(of.surprise_bps[place] + noise[place]) for lead in leads for place, us in enumerate(funding)}
    return pl.DataFrame({"at_us": list(rows), "hint": list(rows.values())})


@pytest.mark.parametrize("lead", [8, 4, 1, 0])
@pytest.mark.parametrize("place", [120, 199, 200, 290])
def test_what_comes_after_a_forecast_never_changes_it(lead: int, place: int) -> None:
    of = market(300, surprise_bps=np.random.default_rng(2).normal(0, 1.0, 300))
    extras = hints(of, (lead,))
    moment = int(of.settlements["funding_us"][place]) - lead * HOUR_US
    other, other_extras = changed_after(of, extras, moment)
    options: dict[str, Any] = {"hours_before": [lead], "folds": 2}
    whole = judged(of, extras=extras, **options).forecasts
    changed = judged(other, extras=other_extras, **options).forecasts
    known = [name for name in FORECASTS_SCHEMA if name != "actual_bps"]
    assert moment in whole["known_us"]
    before = pl.col("known_us") <= moment
    assert changed.filter(before).select(known).equals(whole.filter(before).select(known))
    after = pl.col("known_us") > moment
    assert place == 299 or not changed.filter(after).select(known).equals(whole.filter(after).select(known))


@pytest.mark.parametrize("cut", [220, 299])
def test_what_is_known_of_a_settlement_does_not_change_when_the_data_end_there(cut: int) -> None:
    """Folds are cut by the number of settlements, so this holds of the predictors; fitted forecasts are held by the test above."""
    of = market(300)
    at = int(of.settlements["funding_us"][cut - 1])
    short = replace(of, settlements=of.settlements.head(cut), slots=replace(of.slots, values=of.slots.values[: 8 * cut]))
    names = ["funding_us", "hours_before", "known_us", "actual_bps", "last_known_bps", "premium_bps", "last_bps", "constant_bps"]
    rows = [judged(one, folds=1).forecasts.filter(pl.col("funding_us") <= at).select(names) for one in (of, short)]
    both = rows[1].join(rows[0].select("funding_us").unique(), on="funding_us", how="semi")
    assert both.equals(rows[0])
    assert both.height > 200


# --- markets with known truth ------------------------------------------------------------------------------------------------------


def test_where_the_rule_is_exact_no_model_adds_anything() -> None:
    found = judged(market(), hours_before=[4, 1, 0])
    at_settlement = errors_of(found, 0)
    assert at_settlement["rule"] < 1e-9
    assert min(at_settlement[name] for name in ("constant", "last", "ar1")) > 1
    assert found.scores.filter(hours_before=0, predictor="rule")["r2"].item() == pytest.approx(1)
    assert found.scores.filter(hours_before=0, predictor="rule")["direction_right"].item() == 1
    assert found.forecasts["offset_bps"].abs().max() == 0


def test_the_verdict_says_that_models_add_nothing() -> None:
    """Each hour's premium lies around the average so far, so that the rule on it is the best forecast that there is."""
    random = np.random.default_rng(4)
    values, rates = [], []
    for _ in range(600):
        own = [float(random.normal(20e-4, 3e-4))]
        while len(own) < 8:
            weights = range(1, len(own) + 1)
            own.append(sum(k * b for k, b in zip(weights, own, strict=True)) / sum(weights) + float(random.normal(0, 3e-4)))
        values += own
        rates.append(sum(k * b for k, b in enumerate(own, start=1)) / 36 - 5e-4)
    of = market(600)
    exact = replace(of, slots=replace(of.slots, values=np.array(values)), settlements=of.settlements.with_columns(rate=pl.Series(rates)))
    found = judged(exact, hours_before=[4, 1], folds=1)
    assert "The models add nothing: no error is below the rule's beyond chance, counted over 6 tries." in found.verdict
    for hours in (4, 1):
        assert errors_of(found, hours)["rule"] <= 1.02 * min(errors_of(found, hours).values())
        assert errors_of(found, hours)["rule"] < 0.9 * min(errors_of(found, hours)[name] for name in ("constant", "last", "ar1"))


def test_a_predictor_that_helps_is_found() -> None:
    of = market(surprise_bps=np.random.default_rng(2).normal(0, 2.0, 400))
    blind = judged(of, hours_before=[1])
    found = judged(of, hours_before=[1], extras=hints(of, (1, 0)))
    assert found.extras == ("hint",)
    assert errors_of(found, 1)["ridge"] < 0.6 * errors_of(found, 1)["rule"]
    rows = found.scores.filter(pl.col("predictor").is_in(["ridge", "boosting"]))
    assert (rows["p_adjusted"] < 1e-6).all()
    assert "1 h before, ridge is better than the rule" in found.verdict
    assert errors_of(blind, 1)["ridge"] > 0.9 * errors_of(blind, 1)["rule"]
    assert not (blind.scores["p_adjusted"] < 0.05).any()


def test_a_predictor_that_few_settlements_have_is_not_used() -> None:
    of = market(surprise_bps=np.random.default_rng(2).normal(0, 2.0, 400))
    found = judged(of, hours_before=[1], extras=hints(of, (1, 0)).sort("at_us").head(600))
    assert found.extras == ()
    assert "hint is not used: it is known of 75% of the settlements, 90% are needed" in found.notes


def test_an_offset_of_the_premium_is_found_on_the_past() -> None:
    of = market()
    shifted = replace(of, slots=replace(of.slots, values=of.slots.values - 7e-4))
    found = judged(shifted, hours_before=[0])
    assert found.forecasts["offset_bps"].unique().to_list() == [7.0]
    assert errors_of(found, 0)["rule"] < 1e-9


def test_an_interval_that_changes_moves_nothing() -> None:
    """Four hours from the 101st settlement on: the rule is exact on both sides of the change."""
    of = market(200)
    rows, start = [], START
    for place in range(300):
        hours = 8 if place < 100 else 4
        first = (start - START) // HOUR_US
        weighted = of.slots.values[first : first + hours] * np.arange(1, hours + 1)
        average = float(weighted.sum() / (hours * (hours + 1) / 2))
        interest = 1e-4 * hours / 8
        rate = average + min(max(interest - average, -5e-4), 5e-4)
        start += hours * HOUR_US
        rows.append((start, start + 5_000, rate, float(hours)))
    settlements = pl.DataFrame(rows, schema=["funding_us", "known_us", "rate", "interval_hours"], orient="row")
    found = funding_forecasts(settlements, of.slots, [RULE], hours_before=[4, 1, 0], folds=3)
    assert errors_of(found, 0)["rule"] < 1e-9
    assert found.forecasts["interval_hours"].unique().sort().to_list() == [4.0, 8.0]
    constant = found.forecasts["constant_bps"].unique().to_list()
    assert constant == [1.0]


def test_the_same_input_gives_the_same_bytes() -> None:
    first, second = (judged(market(200)) for _ in range(2))
    assert first.scores.equals(second.scores)
    assert first.forecasts.equals(second.forecasts)
    assert first.scores.schema == SCORES_SCHEMA
    assert first.forecasts.schema == FORECASTS_SCHEMA


def test_few_settlements_are_judged_without_models() -> None:
    found = judged(market(60))
    assert set(found.scores["kind"]) == {"baseline"}
    assert "No model was fitted." in found.verdict
    assert any("no models" in note for note in found.notes)


# --- what is refused ---------------------------------------------------------------------------------------------------------------

GOOD = market(60)
BAD_SETTLEMENTS: list[tuple[pl.DataFrame, str]] = [
    (GOOD.settlements.drop("rate"), "no rate"),
    (GOOD.settlements.with_columns(pl.col("funding_us").cast(pl.Float64)), "no funding_us"),
    (GOOD.settlements.reverse(), "not in the order"),
    (pl.concat([GOOD.settlements, GOOD.settlements.tail(1)]), "given twice"),
    (GOOD.settlements.with_columns(rate=pl.lit(None, dtype=pl.Float64)), "not known"),
    (GOOD.settlements.with_columns(rate=pl.lit(math.nan)), "not known"),
    (GOOD.settlements.with_columns(rate=pl.lit(math.inf)), "not known"),
    (GOOD.settlements.with_columns(pl.col("rate") * 1e4), "is no fraction"),
    (GOOD.settlements.with_columns(pl.col("known_us") - 1), "before it was settled"),
    (GOOD.settlements.with_columns(interval_hours=pl.lit(0.0)), "interval"),
    (GOOD.settlements.clear(), "no settlements"),
    (GOOD.settlements.head(20), "too few"),
]


@pytest.mark.parametrize(("settlements", "words"), BAD_SETTLEMENTS, ids=range(len(BAD_SETTLEMENTS)))
def test_settlements_that_cannot_be_used_are_refused(settlements: pl.DataFrame, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        judged(replace(GOOD, settlements=settlements))


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"hours_before": []}, "hours before"),
    ({"hours_before": [-1]}, "hours before"),
    ({"hours_before": [4, 4]}, "hours before"),
    ({"hours_before": [0.5]}, "multiples of 1h"),
    ({"hours_before": ["4"]}, "hours before"),
    ({"hours_before": [math.nan]}, "hours before"),
    ({"models": ["forest"]}, "no such model"),
    ({"models": ["ridge", "ridge"]}, "no such model"),
    ({"models": "ridge"}, "no such model"),
    ({"folds": 0}, "folds"),
    ({"confidence": 1.0}, "confidence"),
    ({"extras": pl.DataFrame({"at_us": [1, 1], "x": [0.0, 1.0]})}, "extras"),
    ({"extras": pl.DataFrame({"at_us": [1, 2], "x": [0, 1]})}, "extras"),
]


@pytest.mark.parametrize(("options", "words"), BAD_OPTIONS, ids=range(len(BAD_OPTIONS)))
def test_options_that_cannot_be_used_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        judged(GOOD, **options)


def test_a_premium_that_never_meets_a_settlement_is_too_little() -> None:
    with pytest.raises(ConfigError, match="0 of 60 have a last rate and a premium"):
        judged(replace(GOOD, slots=PremiumSlots(START - 999 * HOUR_US, HOUR_US, np.zeros(10))))


def test_a_venue_that_averages_its_rate_is_forecast_by_the_mean_of_its_rates() -> None:
    """Deribit: the rate of eight hours is the mean of the hours' rates, so at the settlement the rule tells it; the offset is zero."""
    rule = funding_rule("deribit", START)
    premium = hourly_premium(8 * 200, 3)
    rates = [float(np.mean([fair_funding_8h(rule, one) for one in premium[8 * place : 8 * place + 8]])) for place in range(200)]
    funding_us = START + 8 * HOUR_US * np.arange(1, 201)
    settlements = pl.DataFrame({"funding_us": funding_us, "known_us": funding_us, "rate": rates, "interval_hours": np.full(200, 8.0)})
    slots = PremiumSlots(START + HOUR_US, HOUR_US, premium)
    found = funding_forecasts(settlements, slots, [rule], hours_before=[0, 4], folds=1, models=["least_squares"])
    rows = found.forecasts.filter(pl.col("hours_before") == 0)
    assert rows["offset_bps"].unique().to_list() == [0.0]
    assert (rows["rule_bps"] - rows["actual_bps"]).abs().max() == pytest.approx(0.0, abs=1e-9)
    of_mean = [fair_funding_8h(rule, one / 1e4) * 1e4 for one in rows["premium_bps"]]
    assert np.max(np.abs(np.array(of_mean) - rows["actual_bps"].to_numpy())) > 0.5  # the formula of the mean premium is another rate
    cut = PremiumSlots(slots.first_end_us, HOUR_US, premium[: 8 * 150])
    short = funding_forecasts(settlements.head(150), cut, [rule], hours_before=[0], folds=1, models=[])
    assert short.coming.is_empty()
    part = PremiumSlots(slots.first_end_us, HOUR_US, premium[: 8 * 150 + 3])
    coming = funding_forecasts(settlements.head(150), part, [rule], hours_before=[0], folds=1, models=[]).coming
    wanted = np.mean([fair_funding_8h(rule, one) for one in premium[8 * 150 : 8 * 150 + 3]]) * 1e4
    assert coming["rule_bps"].item() == pytest.approx(wanted)


def test_a_rate_that_is_fixed_an_interval_earlier_is_refused() -> None:
    of = market(60)
    rule = replace(RULE, periods_later=1)
    with pytest.raises(ConfigError, match="premium of an earlier interval"):
        funding_forecasts(of.settlements, of.slots, [rule])
