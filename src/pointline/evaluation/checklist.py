"""The checklist before a feature is used: the seven points of the perp-spot guide, and six about the data behind it.

Values in, values out: `CheckFacts` holds what was measured, `CheckLimits` what it is held against, and `check_points` gives one
`CheckPoint` for each question. The advice is that of the guide's sections Debugging and Production Considerations where it has any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import polars as pl

from pointline.clock import DAY_US, HOUR_US, is_whole, to_us
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pointline.costs import CostModel
    from pointline.evaluation.check_limits import CheckLimits
    from pointline.venues.fees import VenueFee

Status = Literal["pass", "warn", "fail", "unknown"]
STATUS_CODES: dict[Status, int] = {"pass": 0, "warn": 1, "fail": 2, "unknown": 3}
"""The number of each status, for machines."""

EVALUATION_COLUMNS = ("feature", "label", "ic", "significant", "ic_out")
BAR_COLUMNS = (
    "spot_volume",
    "funding_close",
    "funding_source",
    "funding_age_us",
    "funding_interval_hours",
    "funding_interval_source",
)
_OURS = "pointline"


@dataclass(frozen=True, kw_only=True)
class SideFacts:
    """What is known of the trades or candles of one side.

    Attributes:
        rows: of the partitions of the window's days.
        covered_share: of the window's time, 0 to 1.
        missing_ids: ids that are missing.
        flagged: rows flagged as off-book.
        flagged_in_bars: whether the bars contain them.
        quarantined: rows that were set aside.
        fee: the preset of its exchange at the window's end; None where there is none.
    """

    rows: int
    covered_share: float
    missing_ids: int
    flagged: int
    flagged_in_bars: bool
    quarantined: int
    fee: VenueFee | None


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckFacts:
    """What the checklist judges, measured in one window.

    Attributes:
        bars: one row per bar in order of time, with `BAR_COLUMNS`.
        basis_bps: the basis of each bar in basis points, nulls where there is none.
        perp_volume, spot_volume: sums over the window in base units of the spot; None where they are not known.
        base_asset: the asset that the spot volume counts.
        uneven_days: days that the two sides do not both cover whole, so that their volumes cannot be compared.
        dual: the spot has a spine of its own.
        null_shares: share of nulls of each joined feature, by name.
        untold: joined features that the kind of data cannot give, which do not count.
        stale_share: share of bars whose spot price is too old.
        pays_funding: the derivative is a perpetual.
        perp, spot: the two sides.
        costs: the cost model of the study.
        end_us: the window's end.
        evaluation: one row per feature and label that was evaluated, with `EVALUATION_COLUMNS`: `ic` in sample, `ic_out` out of sample
            times the sign that was fitted on other rows, so that it is above zero where the sign holds, and `significant` after the
            correction for all rows. None where nothing was evaluated.
        trials: features, labels and settings that were tried in all; None where that is not known.

    Raises:
        ConfigError: a frame lacks a column, or `trials` is no whole number above zero.
    """

    bars: pl.DataFrame
    basis_bps: pl.Series
    perp_volume: float | None
    spot_volume: float | None
    base_asset: str
    uneven_days: int
    dual: bool
    null_shares: Mapping[str, float]
    untold: tuple[str, ...]
    stale_share: float
    pays_funding: bool
    perp: SideFacts
    spot: SideFacts
    costs: CostModel
    end_us: int
    evaluation: pl.DataFrame | None = None
    trials: int | None = None

    def __post_init__(self) -> None:
        _check_frame("bars", self.bars, BAR_COLUMNS)
        if self.evaluation is not None:
            _check_frame("evaluation", self.evaluation, EVALUATION_COLUMNS)
            _check_types(self.evaluation)
        if self.trials is not None and not (is_whole(self.trials) and self.trials > 0):
            raise ConfigError("trials is not a number of trials", value=self.trials, expected="a whole number, 1 or more, or None")


def _check_frame(name: str, frame: object, columns: tuple[str, ...]) -> None:
    if not isinstance(frame, pl.DataFrame):
        raise ConfigError(f"{name} is not a frame", value=type(frame).__name__, expected=f"a polars DataFrame with {', '.join(columns)}")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ConfigError(f"{name} lacks columns", value=", ".join(missing), expected=f"a frame with {', '.join(columns)}")


def _check_types(evaluation: pl.DataFrame) -> None:
    types = {name: str(evaluation.schema[name]) for name in ("ic", "ic_out", "significant")}
    numbers = all(evaluation.schema[name].is_numeric() or evaluation.schema[name] == pl.Null for name in ("ic", "ic_out"))
    if not numbers or evaluation.schema["significant"] != pl.Boolean:
        raise ConfigError(
            "evaluation has columns of the wrong type", value=types, expected="numbers in ic and ic_out, booleans in significant"
        )


@dataclass(frozen=True, kw_only=True)
class CheckPoint:
    """The answer to one question of the checklist.

    Attributes:
        name: of the question.
        status: ``"pass"``, ``"warn"``, ``"fail"``, or ``"unknown"`` where the data cannot answer it.
        value: the measured figure; None where there is none.
        threshold: what it is held against, in words.
        unit: of the value; ``"share"`` is a fraction, 0 to 1.
        advice: what to do, or what the figure means, in a sentence.
        source: of the threshold.
    """

    name: str
    status: Status
    value: float | None
    threshold: str
    unit: str
    advice: str
    source: str


def check_points(facts: CheckFacts, limits: CheckLimits) -> tuple[CheckPoint, ...]:
    """Judges a window.

    Args:
        facts: what was measured.
        limits: what it is held against.

    Returns:
        One point per question, always the same names in the same order.

    Examples:
        `pointline.Study.checklist` gathers the facts of a study and calls this:

        >>> import pointline
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end="2024-05-03", lake="out/demo/lake"
        ... )
        >>> [point.status for point in study.checklist().points if point.name == "volume_ratio"]
        ['pass']
    """
    return tuple(point(facts, limits) for point in _POINTS)


def _volume_ratio(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    low, top, high = limits.volume_ratio_min, limits.volume_ratio_max, limits.volume_ratio_high
    perp, spot = facts.perp_volume, facts.spot_volume
    ratio = perp / spot if perp is not None and spot else None
    status: Status = "pass"
    if facts.uneven_days:
        status, advice = "unknown", f"The sides do not both cover {_days(facts.uneven_days)} whole, so their volumes cannot be compared."
    elif perp is None or spot is None:
        status, advice = "unknown", "The data do not tell the volume of both sides."
    elif ratio is None:
        status, advice = "fail", "The spot has no volume in the window: choose another spot market or window."
    elif ratio < low and facts.dual:
        advice = "The spot has a spine of its own, which the guide advises at a low ratio."
    elif ratio < low:
        status, advice = "fail", "Give each side its own bars (dual spine), or segment by hour of day if the ratio varies over the day."
    elif ratio <= top:
        advice = "A spine driven by the perp makes sense."
    else:
        status = "warn" if ratio <= high else "fail"
        advice = "The spot is thin: raise the threshold of the bars, filter bars with little spot volume, or segment by hour of day."
    return CheckPoint(
        name="volume_ratio",
        status=status,
        value=None if facts.uneven_days else ratio,
        threshold=f"{low:g} to {top:g}",
        unit="1",
        advice=advice,
        source=limits.source_of("volume_ratio_min", "volume_ratio_max", "volume_ratio_high"),
    )


def _spot_volume(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    median = _number(facts.bars["spot_volume"].median())
    least = limits.spot_volume_of(facts.base_asset)
    status: Status = "unknown"
    if median is None:
        advice = "No bar has a spot volume."
    elif least is None:
        advice = f"The guide's limit is for BTC: set spot_volume_base to what is enough {facts.base_asset} for you."
    elif median > least:
        status, advice = "pass", "Bars hold enough spot volume."
    else:
        status, advice = "fail", "Raise the threshold of the bars, or filter bars with little spot volume."
    return CheckPoint(
        name="spot_volume",
        status=status,
        value=median,
        threshold="none for this asset" if least is None else f"> {least:g}",
        unit=facts.base_asset,
        advice=advice,
        source=limits.source_of("spot_volume_base"),
    )


def _data_quality(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    worst = max(facts.null_shares, key=facts.null_shares.__getitem__, default=None)
    value = None if worst is None else facts.null_shares[worst]
    status: Status = "pass"
    if value is None:
        status, advice = "unknown", "There is no joined feature to count."
    elif value < limits.null_share or limits.null_share == 1:
        advice = "The joined features are whole."
    else:
        status = "fail"
        advice = f"{worst} has the most nulls: raise the threshold of the bars, or ingest what it is made of (spot trades, funding)."
    if facts.untold:
        advice += f" This kind of data cannot give {', '.join(facts.untold)}."
    return CheckPoint(
        name="data_quality",
        status=status,
        value=value,
        threshold=f"< {limits.null_share:g}",
        unit="share",
        advice=advice,
        source=limits.source_of("null_share"),
    )


def _funding(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    old = pl.col("funding_age_us") > limits.funding_age_intervals * HOUR_US * pl.col("funding_interval_hours")
    missing = pl.col("funding_close").is_null() | ((pl.col("funding_source") == "settled") & old.fill_null(value=False))
    value = _number(facts.bars.select(missing.mean()).item())
    status: Status = "unknown"
    if not facts.pays_funding:
        value, advice = None, "A dated future pays no funding."
    elif value is None:
        advice = "There are no bars."
    elif value <= limits.funding_missing_share:
        status, advice = "pass", "Funding is there and is updated at its interval."
    elif value == 1:
        status, advice = "fail", "Ingest funding: payments (fundingRate files) or a recording of the running rate."
    else:
        status, advice = "fail", "Ingest the missing payments: the last known rate is older than its interval, or there is none."
    return CheckPoint(
        name="funding",
        status=status,
        value=value,
        threshold=f"<= {limits.funding_missing_share:g}",
        unit="share",
        advice=advice,
        source=limits.source_of("funding_missing_share", "funding_age_intervals"),
    )


def _ic(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    status: Status = "unknown"
    value = None
    if facts.evaluation is None:
        advice = "Evaluate the features out of sample and pass the table: study.checklist(evaluation=...)."
    else:
        value, significant = _best_ic(facts.evaluation)
        if value is None:
            advice = "The evaluation has no value out of sample: widen the window."
        elif significant > limits.ic:
            status, value, advice = "pass", significant, "A feature holds out of sample; compare its decile returns with the costs."
        elif value > limits.ic:
            status, advice = "warn", "A feature holds out of sample, but is not significant after the correction for all that was tried."
        else:
            status = "fail"
            advice = "No feature holds out of sample: look at funding-basis divergence and lead-lag, which the guide finds stronger."
    return CheckPoint(
        name="ic",
        status=status,
        value=value,
        threshold=f"> {limits.ic:g}",
        unit="1",
        advice=advice,
        source=limits.source_of("ic"),
    )


def _best_ic(evaluation: pl.DataFrame) -> tuple[float | None, float]:
    """The largest IC out of sample whose sign holds: of all rows, None if none has a value; of significant rows."""
    told = evaluation.select("significant", pl.col("ic", "ic_out").cast(pl.Float64).fill_nan(None)).drop_nulls(["ic", "ic_out"])
    if told.is_empty():
        return None, 0.0
    held = told.filter(pl.col("ic_out") > 0)
    best, significant = held["ic_out"].max(), held.filter("significant")["ic_out"].max()
    return _number(best) or 0.0, _number(significant) or 0.0


def _basis(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    known = facts.basis_bps.drop_nulls()
    low, high = limits.basis_min_bps, limits.basis_max_bps
    value = None if known.is_empty() else _number((~known.is_between(low, high)).mean())
    status: Status = "pass"
    if value is None:
        status, advice = "unknown", "No bar has a basis: prices are missing or too old."
    else:
        advice = f"The basis lies between {_number(known.min()):.4g} and {_number(known.max()):.4g} bps."
        if value > limits.basis_outside_share:
            status, advice = "fail", f"{advice} Check that both sides have like quotes and the right contract size."
        elif value > 0:
            status, advice = "warn", f"{advice} Look at the bars outside, and filter them or clip the basis."
    return CheckPoint(
        name="basis",
        status=status,
        value=value,
        threshold=f"<= {limits.basis_outside_share:g} outside {low:g} to {high:g} bps",
        unit="share",
        advice=advice,
        source=limits.source_of("basis_min_bps", "basis_max_bps", "basis_outside_share"),
    )


def _fees(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    """The smaller of the two legs' margins; figures of a model that are dearer than the preset are careful, and pass."""
    legs = (("perp", facts.costs.perp_taker_bps, facts.perp.fee), ("spot", facts.costs.spot_taker_bps, facts.spot.fee))
    margins = {name: taker - fee.taker_bps for name, taker, fee in legs if fee is not None}
    ages = [abs(facts.end_us - to_us(fee.as_of)) / DAY_US for _, _, fee in legs if fee is not None]
    cheap = [name for name, margin in margins.items() if margin < 0]
    absent = [name for name, _, fee in legs if fee is None]
    status: Status = "pass"
    if cheap:
        status = "fail"
        advice = (
            f"The cost model is cheaper than the venue on the {' and '.join(cheap)} leg: use the preset, or name your tier with its source."
        )
    elif absent:
        status = "unknown"
        advice = f"No preset for the {' and '.join(absent)} leg: state its fee in a venue file of the lake ([[fee]]) with its source."
    elif max(ages) > limits.fee_age_days:
        status = "warn"
        advice = f"The preset was read {max(ages):,.0f} days from the window's end: verify the fees of that time."
    else:
        advice = "The cost model is no cheaper than the venue."
    return CheckPoint(
        name="fees",
        status=status,
        value=min(margins.values(), default=None),
        threshold=f">= 0 above the preset, read within {limits.fee_age_days:g} days",
        unit="bps",
        advice=advice,
        source="; ".join(dict.fromkeys(fee.source for _, _, fee in legs if fee is not None)) or limits.source_of("fee_age_days"),
    )


def _data_age(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    status = _graded(facts.stale_share, limits.stale_share_warn, limits.stale_share_fail)
    trouble = (
        "Raise the threshold of the bars or filter stale bars: a stale spot price alone makes leads and reversions that are not there."
    )
    return CheckPoint(
        name="data_age",
        status=status,
        value=facts.stale_share,
        threshold=f"<= {limits.stale_share_warn:g}, fails above {limits.stale_share_fail:g}",
        unit="share",
        advice="Spot prices are fresh." if status == "pass" else trouble,
        source=limits.source_of("stale_share_warn", "stale_share_fail"),
    )


def _holes(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    sides = {"perp": facts.perp, "spot": facts.spot}
    worst = min(sides, key=lambda name: sides[name].covered_share)
    value = 1 - sides[worst].covered_share
    status = _graded(value, limits.hole_share_warn, limits.hole_share_fail)
    ids = sum(side.missing_ids for side in sides.values())
    advice = "Both sides cover the window."
    if status != "pass":
        advice = f"Ingest what is missing of the {worst}, or choose another window; `pointline catalog` lists it."
    elif ids:
        status, advice = "warn", f"{ids:,} trades are missing by their ids; `pointline catalog` lists where."
    return CheckPoint(
        name="holes",
        status=status,
        value=value,
        threshold=f"<= {limits.hole_share_warn:g}, fails above {limits.hole_share_fail:g}",
        unit="share",
        advice=advice,
        source=limits.source_of("hole_share_warn", "hole_share_fail"),
    )


def _flagged(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    sides = (facts.perp, facts.spot)
    inside = any(side.flagged and side.flagged_in_bars for side in sides)
    where = "They are in the bars: leave include_off_book out." if inside else "The bars leave them out."
    return _rows_aside("flagged", [(side.flagged, side.rows) for side in sides], limits, "flagged as off-book", where)


def _quarantined(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:
    counts = [(side.quarantined, side.rows + side.quarantined) for side in (facts.perp, facts.spot)]
    where = "`pointline catalog --quarantine` shows them: correct the files, or their mapping, and ingest again."
    return _rows_aside("quarantined", counts, limits, "quarantined", where)


def _rows_aside(name: str, counts: list[tuple[int, int]], limits: CheckLimits, kind: str, advice: str) -> CheckPoint:
    """A point about rows of either side that are set apart: none passes, few are a warning."""
    most: float = getattr(limits, f"{name}_share")
    value = max(count / rows if rows else 0.0 for count, rows in counts)
    found = sum(count for count, _ in counts)
    told = f"{found:,} {'row is' if found == 1 else 'rows are'} {kind}."
    return CheckPoint(
        name=name,
        status=_graded(value, 0.0, most),
        value=value,
        threshold=f"0, fails above {most:g}",
        unit="share",
        advice=f"{told} {advice}" if found else f"No row is {kind}.",
        source=limits.source_of(f"{name}_share"),
    )


def _funding_interval(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:  # noqa: ARG001 - a change is a change under any limits
    told = facts.bars.filter(pl.col("funding_interval_hours").is_not_null())
    hours = told["funding_interval_hours"]
    changes = int((hours != hours.shift(1)).fill_null(value=False).sum())
    assumed = bool((told["funding_interval_source"] == "default").any())
    status: Status = "pass"
    value: float | None = changes
    if not facts.pays_funding:
        status, value, advice = "unknown", None, "A dated future has no funding interval."
    elif hours.is_empty():
        status, value, advice = "unknown", None, "No payment tells the interval: ingest fundingRate files."
    elif changes:
        status, advice = "warn", "Use funding_8h, which is the same for every interval, or split the window where the interval changes."
    elif assumed:
        status, advice = "unknown", "The interval is assumed to be the venue's usual one: ingest fundingRate files, which tell it."
    else:
        advice = f"The interval is {hours[0]:g} h throughout."
    return CheckPoint(
        name="funding_interval",
        status=status,
        value=value,
        threshold="0",
        unit="changes",
        advice=advice,
        source=_OURS,
    )


def _selection(facts: CheckFacts, limits: CheckLimits) -> CheckPoint:  # noqa: ARG001 - it is held against the evaluation
    corrected = 1 if facts.evaluation is None else max(facts.evaluation.height, 1)
    status: Status = "pass"
    if facts.trials is None:
        status, advice = "unknown", "Say how many features, labels and settings were tried: study.checklist(trials=...)."
    elif facts.trials <= corrected:
        advice = "Nothing was tried beyond what the evaluation corrects for."
    else:
        status = "warn"
        advice = "More was tried than the evaluation corrects for: evaluate all of it together, or confirm the choice on new data."
    return CheckPoint(
        name="selection",
        status=status,
        value=facts.trials,
        threshold=f"<= {corrected:,}",
        unit="trials",
        advice=advice,
        source=_OURS,
    )


_POINTS: tuple[Callable[[CheckFacts, CheckLimits], CheckPoint], ...] = (
    _volume_ratio,
    _spot_volume,
    _data_quality,
    _funding,
    _ic,
    _basis,
    _fees,
    _data_age,
    _holes,
    _flagged,
    _quarantined,
    _funding_interval,
    _selection,
)


def _graded(value: float, warn: float, fail: float) -> Status:
    """Passes up to one limit, warns up to the other, fails above it."""
    return "pass" if value <= warn else "warn" if value <= fail else "fail"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _days(count: int) -> str:
    return "a day" if count == 1 else f"{count:,} days"
