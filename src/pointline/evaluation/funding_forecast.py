"""How well the next funding rate can be told some hours before it is paid, by the venue's own rule and by models.

A forecast of the settlement at S with a lead of L is made at S - L, from what was known by then: the rates that were paid strictly
before, and values of the premium whose slots had ended. The rate is joined by the time of its settlement, so that an interval that
changes (8, 4, 2 or 1 hours) moves nothing. All rates are basis points per 8 hours.

At S - L the venue is in the interval that ends at or after that moment. With a lead of a whole interval, that is the one before: its
premium is complete, and the payment that falls on the same instant is not known yet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import clock
from pointline.errors import ConfigError
from pointline.evaluation.funding_coming import coming_settlement
from pointline.evaluation.funding_models import FEWEST_TO_FIT, Predictors, fold_forecasts
from pointline.evaluation.funding_scores import BASELINES, FORECASTS_SCHEMA, MODELS, RULE, SCORES_SCHEMA, forecast_scores
from pointline.evaluation.funding_verdict import forecast_verdict
from pointline.evaluation.inputs import check_confidence
from pointline.evaluation.multiplicity import benjamini_hochberg
from pointline.evaluation.premium import PER_BPS, VenueRates
from pointline.evaluation.settlements import SettledRates
from pointline.evaluation.splits import RowSpans, check_count, walk_forward
from pointline.venues.premium import PremiumSoFar, premium_so_far

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pointline.evaluation.splits import Split
    from pointline.venues.funding import FundingRule
    from pointline.venues.premium import PremiumSlots

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

HOURS_BEFORE = (8.0, 4.0, 1.0, 0.0)
FOLDS = 5
FEWEST_SETTLEMENTS = 30
_LONGEST_LEAD_HOURS = 48
EXTRA_SHARE = 0.9  # a further predictor is used if at least this share of the settlements has it
LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class JudgedForecasts:
    """What `funding_forecasts` found.

    Attributes:
        scores: one row for each predictor and lead, columns of `SCORES_SCHEMA`.
        forecasts: one row for each scored settlement and lead, columns of `FORECASTS_SCHEMA`.
        settlements: how many there were.
        left_out: how many of them lack a value at one of the leads, and so count at none.
        extras: the further predictors that the models used.
        notes: what was left out, and why.
        coming: the settlement after the last one, columns of `COMING_SCHEMA`, or no row (see `coming_settlement`).
        level: below which an adjusted p counts.
    """

    scores: pl.DataFrame = field(repr=False)
    forecasts: pl.DataFrame = field(repr=False)
    settlements: int
    left_out: int
    extras: tuple[str, ...]
    notes: tuple[str, ...]
    coming: pl.DataFrame = field(repr=False)
    level: float = LEVEL

    @property
    def verdict(self) -> str:
        """Where a model tells more than the venue's own rule, in sentences."""
        return forecast_verdict(self.scores, self.level)


def funding_forecasts(
    settlements: pl.DataFrame,
    slots: PremiumSlots,
    rules: Sequence[FundingRule],
    *,
    extras: pl.DataFrame | None = None,
    hours_before: Sequence[float] = HOURS_BEFORE,
    folds: int = FOLDS,
    models: Sequence[str] = MODELS,
    confidence: float = 0.95,
    seed: int = 0,
) -> JudgedForecasts:
    """Forecasts each settlement some hours before it, walk-forward, and scores them.

    Settlements that have a last rate and a premium at every lead count; the others are left out of all, so that all rows of the scores
    are about the same settlements. The first of `folds` + 1 equal parts only trains. Then each part is forecast by what was fitted on
    all settlements whose rates were known one interval before the part's first forecast was made. With ``folds=1`` the first half trains
    and the second is scored. At the settlement itself (0 hours before) only the baselines are scored.

    Baselines: ``constant``, the interest; ``last``, the last rate; ``ar1``, a + b × last; ``rule``, the venue's rule on the premium so far
    plus one offset (`pointline.evaluation.premium.fitted_offset`). Models: ``least_squares`` of last, rule and premium; ``ridge`` and
    ``boosting`` of these, the latest premium and the extras.

    Args:
        settlements: ``funding_us``, ``known_us``, ``rate`` (a fraction per interval) and ``interval_hours``, in time order.
        slots: the premium (`pointline.venues.premium.PremiumSlots`).
        rules: the venue's rules (`pointline.venues.funding.funding_rules`).
        extras: further predictors: ``at_us`` (distinct) and a column of floats each, what was known strictly before that moment. Joined
            at the moments of the forecasts.
        hours_before: leads, multiples of the slots.
        folds: parts that are scored.
        models: those of `MODELS` that are fitted.
        confidence: of the intervals of the information coefficients.
        seed: of the boosting.

    Raises:
        ConfigError: input that cannot be used, or too few settlements.
        MissingExtraError: scipy or scikit-learn is not installed.

    Examples:
        A market whose rate is what the rule makes of the premium, and an hourly premium that forgets a tenth each hour:

        >>> import numpy as np
        >>> import polars as pl
        >>> from pointline.venues.premium import PremiumSlots, premium_so_far
        >>> from pointline.venues.funding import fair_funding_8h, funding_rule
        >>> hour, start = 3_600_000_000, 1_704_067_200_000_000
        >>> rule, noise = funding_rule("binance-futures", start), np.random.default_rng(1).normal(0, 4e-4, 8 * 400)
        >>> values = np.zeros(8 * 400)
        >>> for place in range(1, len(values)):
        ...     values[place] = 0.9 * values[place - 1] + noise[place]
        >>> slots = PremiumSlots(start + hour, hour, values)
        >>> funding_us = start + 8 * hour * np.arange(1, 401)
        >>> premium = premium_so_far(slots, funding_us - 8 * hour, funding_us).average
        >>> settlements = pl.DataFrame(
        ...     {
        ...         "funding_us": funding_us,
        ...         "known_us": funding_us,
        ...         "rate": [fair_funding_8h(rule, float(one)) for one in premium],
        ...         "interval_hours": np.full(400, 8.0),
        ...     }
        ... )
        >>> found = funding_forecasts(settlements, slots, [rule], hours_before=[0, 4], folds=1, models=["least_squares"])
        >>> found.scores.filter(pl.col("hours_before") == 0)["mae_bps"].round(2).to_list()
        [2.31, 3.08, 2.66, 0.0]
    """
    check_confidence(confidence)
    check_count(folds, "folds", 1)
    leads_us, chosen = leads_of(hours_before, slots.step_us), _models(models)
    paid = SettledRates.of(settlements)
    if not len(paid):
        raise ConfigError("there are no settlements", where="settlements")
    rates = VenueRates.at(rules, paid.funding_us, paid.interval_hours)
    _refuse_fixed_earlier(rates)
    told = {lead: _KnownAtLead.at(paid, slots, rates, lead) for lead in (*leads_us, 0)}
    complete = np.all([np.isfinite(one.premium.average) & np.isfinite(one.last_bps) for one in told.values()], axis=0)
    names, notes = _usable_extras(extras, paid, leads_us, complete)
    values = {lead: _extra_values(extras, names, paid.funding_us - lead) for lead in leads_us}
    for lead in leads_us:
        complete &= np.all([np.isfinite(column) for column in values[lead].values()], axis=0) if names else True
    rows = np.flatnonzero(complete)
    if len(rows) < FEWEST_SETTLEMENTS:
        raise ConfigError(
            "too few settlements",
            where="settlements",
            value=f"{len(rows):,} of {len(paid):,} have a last rate and a premium at every lead",
            expected=f"at least {FEWEST_SETTLEMENTS}",
            hint="choose a longer window; where settlements are left out, look for holes in the prices",
        )
    parts, scores, widest = [], [], int(paid.interval_us.max())
    shared = _LeadFits(paid, rows, told[0].premium.average[rows], told[0].values(rates, rows), chosen, seed)
    for lead in leads_us:
        known = told[lead].predictors(rates, rows, {name: column[rows] for name, column in values[lead].items()})
        spans = RowSpans.by_time(paid.funding_us[rows] - lead, paid.known_us[rows] + 1, lookback_us=widest)
        frame = shared.forecasts(lead, known, walk_forward(spans, folds=folds))
        parts.append(frame)
        scores += _lead_scores(frame, lead // int(paid.interval_us.min()) + 1, confidence)
    if len(rows) < len(paid):
        lack = "they lack a last rate, a premium without holes or a further predictor at one of the leads"
        notes.append(f"{len(paid) - len(rows):,} of {len(paid):,} settlements are left out: {lack}")
    if any(leads_us) and chosen and not shared.fitted:
        few = f"the first part has less than {FEWEST_TO_FIT} settlements to fit them on"
        notes.append(f"no models: {few}; take fewer folds or a longer window")
    coming = coming_settlement(paid, slots, rules, told[0].premium.average, told[0].premium.values)
    forecasts = pl.concat(parts).sort("funding_us", "hours_before", descending=[False, True])
    return JudgedForecasts(_adjusted(scores), forecasts, len(paid), len(paid) - len(rows), names, tuple(notes), coming)


@dataclass(frozen=True, eq=False)
class _KnownAtLead:
    """What was known of each settlement at one lead."""

    premium: PremiumSoFar
    last_bps: Floats

    @classmethod
    def at(cls, paid: SettledRates, slots: PremiumSlots, rates: VenueRates, lead_us: int) -> _KnownAtLead:
        moments = paid.funding_us - lead_us
        ending, start = paid.intervals_at(moments)
        average, latest, counts = np.full(len(paid), np.nan), np.full(len(paid), np.nan), np.zeros(len(paid), dtype=np.int64)
        longest = int((paid.interval_us // slots.step_us).max()) if rates.needs_values else 0
        values = np.full((len(paid), longest), np.nan)
        for number, weights in enumerate(rates.weights()):
            own = np.flatnonzero((ending >= 0) & (rates.which[ending] == number))
            found = premium_so_far(slots, start[own], moments[own], weights=weights, keep_values=rates.needs_values)
            average[own], latest[own], counts[own] = found.average, found.latest, found.slots
            values[own, : found.values.shape[1]] = found.values
        return cls(PremiumSoFar(average, latest, counts, values), paid.last_known(moments))

    def values(self, rates: VenueRates, rows: Ints) -> Floats | None:
        """The values of the premium of some rows, where a rule averages the rate."""
        return self.premium.values[rows] if rates.needs_values else None

    def predictors(self, rates: VenueRates, rows: Ints, extras: dict[str, Floats]) -> Predictors:
        """The rows that are complete."""
        average, latest, last_bps = self.premium.average[rows], self.premium.latest[rows], self.last_bps[rows]
        return Predictors(rates.take(rows), average, latest, last_bps, extras, self.values(rates, rows))


@dataclass(eq=False)
class _LeadFits:
    """What the forecasts of all leads share.

    Attributes:
        paid: all settlements.
        rows: those that count.
        whole_premium: the average premium of their whole intervals.
        whole_values: its values, where a rule averages the rate.
        models: those that are wanted.
        seed: of the boosting.
        fitted: whether there were rows enough to fit them.
    """

    paid: SettledRates
    rows: Ints
    whole_premium: Floats
    whole_values: Floats | None
    models: tuple[str, ...]
    seed: int
    fitted: bool = False

    def forecasts(self, lead_us: int, known: Predictors, splits: Sequence[Split]) -> pl.DataFrame:
        """The scored settlements at one lead, columns of `FORECASTS_SCHEMA`."""
        actual = self.paid.rate_bps[self.rows]
        enough = len(splits[0].train) >= FEWEST_TO_FIT
        models = self.models if lead_us and enough else ()
        self.fitted |= bool(models)
        frames = []
        for number, split in enumerate(splits):
            test = split.test
            told, offset = fold_forecasts(
                known, self.whole_premium, actual, split.train, test, models=models, seed=self.seed, whole_values=self.whole_values
            )
            funding_us = self.paid.funding_us[self.rows[test]]
            columns = {
                "funding_us": funding_us,
                "hours_before": np.full(len(test), lead_us / clock.HOUR_US),
                "known_us": funding_us - lead_us,
                "interval_hours": self.paid.interval_hours[self.rows[test]],
                "fold": np.full(len(test), number),
                "actual_bps": actual[test],
                "last_known_bps": known.last_bps[test],
                "premium_bps": known.premium[test] * PER_BPS,
                "offset_bps": np.full(len(test), offset),
                **{f"{name}_bps": told.get(name) for name in (*BASELINES, *MODELS)},
            }
            frames.append(pl.DataFrame(columns, schema=FORECASTS_SCHEMA))
        return pl.concat(frames)


def _refuse_fixed_earlier(rates: VenueRates) -> None:
    """Refuses rules whose rate is known before the interval in which it is paid begins."""
    later = [rates.rules[number] for number in np.unique(rates.which).tolist() if rates.rules[number].periods_later]
    if later:
        raise ConfigError(
            "the rate is made of the premium of an earlier interval than the one in which it is paid",
            where="rules",
            value=f"paid {later[0].periods_later} interval(s) later",
            expected="a rule that settles at the end of its interval",
            hint="such a rate is known before its interval begins: see `pointline.venues.expected.expected_funding` and its paid_us",
        )


def _lead_scores(frame: pl.DataFrame, overlap: int, confidence: float) -> list[dict[str, object]]:
    """The scores of each predictor at one lead."""
    actual, last, rule = (frame[name].to_numpy() for name in ("actual_bps", "last_known_bps", f"{RULE}_bps"))
    found = []
    for name in (*BASELINES, *MODELS):
        column = frame[f"{name}_bps"]
        if column.null_count():
            continue
        kind = "model" if name in MODELS else "baseline"
        scores = forecast_scores(column.to_numpy(), actual, last, rule, overlap=overlap, confidence=confidence)
        found.append({"predictor": name, "kind": kind, "hours_before": frame["hours_before"][0], **scores})
    return found


def _adjusted(scores: list[dict[str, object]]) -> pl.DataFrame:
    """The table, with the p of the models adjusted for their number."""
    table = pl.DataFrame(scores, schema={name: kind for name, kind in SCORES_SCHEMA.items() if name != "p_adjusted"})
    p = table.select(pl.when(pl.col("kind") == "model").then("p_less_than_rule")).to_series().fill_null(np.nan).to_numpy()
    return table.with_columns(pl.Series("p_adjusted", benjamini_hochberg(p)).fill_nan(None)).select(list(SCORES_SCHEMA))


def leads_of(hours_before: Sequence[object], step_us: int) -> tuple[int, ...]:
    """The leads of forecasts in microseconds, the longest first.

    Args:
        hours_before: distinct hours before a settlement, from 0 to 48.
        step_us: distance of two values of the premium, which divides each lead.

    Raises:
        ConfigError: the hours cannot be used.

    Examples:
        >>> [lead // 3_600_000_000 for lead in leads_of([0, 4], 3_600_000_000)]
        [4, 0]
    """
    usable = [one for one in hours_before if isinstance(one, int | float) and 0 <= one <= _LONGEST_LEAD_HOURS]
    leads = sorted({round(one * clock.HOUR_US) for one in usable}, reverse=True)
    if not leads or len(leads) != len(hours_before) or any(lead % step_us for lead in leads):
        raise ConfigError(
            "the hours before a settlement cannot be used",
            where="hours_before",
            value=hours_before,
            expected=f"distinct hours from 0 to {_LONGEST_LEAD_HOURS}, multiples of {clock.duration_text(step_us)}",
        )
    return tuple(leads)


def _models(models: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in models if name not in MODELS] if isinstance(models, (list, tuple)) else [models]
    if unknown or len(set(models)) != len(models):
        raise ConfigError("there is no such model", where="models", value=models, expected=f"a list of some of {', '.join(MODELS)}")
    return tuple(models)


def _usable_extras(
    extras: pl.DataFrame | None, paid: SettledRates, leads_us: Sequence[int], complete: NDArray[np.bool_]
) -> tuple[tuple[str, ...], list[str]]:
    """The further predictors that nearly all settlements have, and a note for each that they lack."""
    if extras is None or not complete.any():
        return (), []
    wanted = [name for name in extras.columns if name != "at_us"]
    if (
        extras.schema.get("at_us") != pl.Int64()
        or any(extras.schema[name] != pl.Float64() for name in wanted)
        or extras["at_us"].is_duplicated().any()
    ):
        raise ConfigError(
            "the extras cannot be used", where="extras", value=extras.schema, expected="distinct at_us (int64, µs UTC) and float64 columns"
        )
    names, notes = [], []
    for name in wanted:
        shares = [np.isfinite(_extra_values(extras, (name,), paid.funding_us - lead)[name][complete]).mean() for lead in leads_us]
        if min(shares) >= EXTRA_SHARE:
            names.append(name)
        else:
            notes.append(f"{name} is not used: it is known of {min(shares):.0%} of the settlements, {EXTRA_SHARE:.0%} are needed")
    return tuple(names), notes


def _extra_values(extras: pl.DataFrame | None, names: Sequence[str], at_us: Ints) -> dict[str, Floats]:
    """The extras at some moments, NaN where they are not known."""
    if extras is None or not names:
        return {}
    joined = pl.DataFrame({"at_us": at_us}).join(extras.select("at_us", *names), on="at_us", how="left", maintain_order="left")
    return {name: joined[name].fill_null(np.nan).to_numpy() for name in names}
