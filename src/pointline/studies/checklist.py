"""The checklist of a comparison: its facts gathered, judged, and shown to people, programs and Prometheus."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.run import VenueTrades
from pointline.clock import time_text
from pointline.errors import ConfigError, VenueRuleError
from pointline.evaluation.check_limits import CheckLimits
from pointline.evaluation.checklist import BAR_COLUMNS, STATUS_CODES, CheckFacts, CheckPoint, SideFacts, check_points
from pointline.evaluation.time_of_day import HOUR_COLUMNS, volumes_by_hour
from pointline.features import CROSS_QUOTE_PREFIX, FEATURES
from pointline.lake.window_coverage import uneven_days
from pointline.report.prometheus import Gauge, exposition_text, write_text_file
from pointline.studies.evaluate import Evaluation
from pointline.studies.summary import Summary
from pointline.venues.fees import DEFAULT_TIER, venue_fee

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.studies.compared import Compared
    from pointline.venues.fees import VenueFee

JOINED_FEATURES = (
    "funding_basis_divergence",
    "momentum_divergence",
    "flow_basis_interaction",
    "basis_bps",
    "flow_divergence",
    "volume_ratio",
    "volatility_ratio",
)
"""The features of the guide's table of benchmarks, each made of both sides or of funding; their nulls are counted."""

_SCHEMA = {
    "point": pl.String,
    "status": pl.String,
    "value": pl.Float64,
    "threshold": pl.String,
    "unit": pl.String,
    "advice": pl.String,
    "source": pl.String,
}


@dataclass(frozen=True)
class Checklist:
    """The result of `pointline.Study.checklist`. It can be pickled.

    Attributes:
        perp, spot: names of the two instruments.
        start_us, end_us: the window.
        rule_text: when bars close, in words.
        points: one per question.
        notes: warnings about the study.
    """

    perp: str
    spot: str
    start_us: int
    end_us: int
    rule_text: str
    points: tuple[CheckPoint, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """No point fails; a warning or an unknown point is none that fails."""
        return all(point.status != "fail" for point in self.points)

    @property
    def table(self) -> pl.DataFrame:
        """One row per point: point, status, value, threshold, unit, advice, source."""
        rows = [{"point": point.name, **{name: value for name, value in asdict(point).items() if name != "name"}} for point in self.points]
        return pl.DataFrame(rows, schema=_SCHEMA)

    @property
    def summary(self) -> Summary:
        """The window, whether it passed, how many points have each status, and the names of those that do not pass."""
        counts = Counter(point.status for point in self.points)
        named = {
            str(status): [point.name for point in self.points if point.status == status] for status in STATUS_CODES if status != "pass"
        }
        return Summary(
            {
                "perp": self.perp,
                "spot": self.spot,
                "window_us": [self.start_us, self.end_us],
                "rule": self.rule_text,
                "passed": self.passed,
                "counts": {status: counts[status] for status in STATUS_CODES},
                **named,
            }
        )

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        counts = Counter(point.status for point in self.points)
        told = ", ".join(f"{counts[status]} {status}" for status in STATUS_CODES)
        failed = ", ".join(point.name for point in self.points if point.status == "fail")
        return f"{told}. " + (f"Not ready: {failed}." if failed else "No point fails.")

    @property
    def title(self) -> str:
        """The two instruments."""
        return f"Checklist of {self.perp} against {self.spot}"

    @property
    def window_text(self) -> str:
        """The window and the bars, in words."""
        return f"{time_text(self.start_us)} to {time_text(self.end_us)} UTC, end exclusive. Bars: {self.rule_text}"

    def to_prometheus(self, *, timestamps: bool = False) -> str:
        """The points as Prometheus text: ``pointline_check_value`` and ``pointline_check_status`` (0 pass, 1 warn, 2 fail, 3 unknown).

        Args:
            timestamps: stamp the samples with the window's end; the textfile collector of the node exporter refuses such files.
        """
        pair = {"perp": self.perp, "spot": self.spot}
        values = [({"point": point.name, **pair}, point.value) for point in self.points]
        gauges = [
            Gauge(
                "pointline_check_value",
                "Measured figure of each point of the checklist; absent where there is none.",
                [(labels, value) for labels, value in values if value is not None],
            ),
            Gauge(
                "pointline_check_status",
                "Status of each point of the checklist: " + ", ".join(f"{code} {status}" for status, code in STATUS_CODES.items()) + ".",
                [({"point": point.name, **pair}, STATUS_CODES[point.status]) for point in self.points],
            ),
            Gauge("pointline_check_window_end_seconds", "End of the window that was checked, Unix time.", [(pair, self.end_us / 1e6)]),
        ]
        return exposition_text(gauges, at_us=self.end_us if timestamps else None)

    def write_prometheus(self, path: str | Path) -> None:
        """Writes `to_prometheus` to a ``.prom`` file, whole or not at all.

        Raises:
            ConfigError: the name does not end in ``.prom``, or the folder does not exist.
        """
        write_text_file(self.to_prometheus(), path)

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        lines = [self.window_text, self.verdict]
        return study_html(title=self.title, lines=lines, tables=[("Points", self.table)], notes=self.notes)


def checklist(
    study: Compared,
    *,
    limits: CheckLimits | None = None,
    evaluation: pl.DataFrame | Evaluation | None = None,
    trials: int | None = None,
) -> Checklist:
    """Judges a study by the checklist.

    Args:
        study: a comparison.
        limits: what the points are held against; the guide's figures if None.
        evaluation: what `Study.ic` found, of which returns count, or coefficients of your own with their value out of sample (see
            `pointline.evaluation.CheckFacts`); without it that point is unknown.
        trials: how many features, labels and settings were tried in all; by default those of the evaluation, and without one that point
            is unknown.

    Raises:
        ConfigError: a limit cannot be used, `evaluation` lacks a column, or `trials` is no whole number above zero.

    Examples:
        >>> import pointline
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end="2024-05-03", lake="out/demo/lake"
        ... )
        >>> found = study.checklist()
        >>> found.passed  # the spot of the demo trades every 43 s: too little for bars of 2 BTC
        False
        >>> found.summary["fail"]
        ['spot_volume', 'data_quality', 'data_age']
    """
    chosen = _limits(limits)
    if isinstance(evaluation, Evaluation):
        trials = evaluation.summary["trials"] if trials is None else trials
        evaluation = _of_returns(evaluation)
    facts = _facts(study, evaluation, trials)
    return Checklist(
        perp=study.pair.perp.name,
        spot=study.pair.spot.name,
        start_us=study.start_us,
        end_us=study.end_us,
        rule_text=study.rule_text,
        points=check_points(facts, chosen),
        notes=study.notes,
    )


def by_time_of_day(study: Compared, *, limits: CheckLimits | None = None) -> pl.DataFrame:
    """Volumes of a study's bars by UTC hour (see `pointline.evaluation.volumes_by_hour`).

    Days that the two sides do not both cover whole are left out.

    Args:
        study: a comparison on one spine.
        limits: the ratios at which there is an advice; the guide's figures if None.

    Raises:
        ConfigError: a limit cannot be used, the spot has a spine of its own, or half of the bars are longer than an hour.

    Examples:
        >>> import pointline
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end="2024-05-03", lake="out/demo/lake"
        ... )
        >>> study.by_time_of_day().select("hour", "days").rows()[:2]
        [(0, 2), (1, 2)]
    """
    chosen = _limits(limits)
    if _is_dual(study):
        raise ConfigError(
            "volumes by hour need one spine: with a spine of its own, spot bars are repeated and passed over",
            value="spot_bars",
            expected="a comparison without spot_bars (--dual)",
        )
    return volumes_by_hour(
        _bars(study, HOUR_COLUMNS),
        limits=chosen,
        max_spot_age_us=study.params.age_limits_us[1],
        price_factor=study.params.price_factor,
        without_days_us=uneven_days(study._covered["perp"], study._covered["spot"]),  # noqa: SLF001 - of the same room
    )


def _limits(limits: object) -> CheckLimits:
    if limits is not None and not isinstance(limits, CheckLimits):
        raise ConfigError("limits has the wrong type", value=limits, expected="CheckLimits(...) or None")
    return limits or CheckLimits()


def _is_dual(study: Compared) -> bool:
    return "spot_bucket_end" in study.columns


def _bars(study: Compared, columns: tuple[str, ...]) -> pl.DataFrame:
    """Columns of all bars; of a study that was written to a file, of the bars in it."""
    held = study._bars  # noqa: SLF001 - of the same room
    return (study._rows if held is None else held.lazy()).select(columns).collect()  # noqa: SLF001


def _of_returns(evaluation: Evaluation) -> pl.DataFrame:
    """All rows, with a value out of sample where the label is a return; a row is significant where it stands.

    Basis changes and volatility are predictable without a trade in them.
    """
    table = evaluation.table
    value = pl.col("ic_out") if "ic_out" in table.columns else pl.lit(None, pl.Float64)
    is_return = pl.col("label").is_in(["perp_return", "spot_return"])
    return table.select("feature", "label", "ic", significant="stands", ic_out=pl.when(is_return).then(value))


def _facts(study: Compared, evaluation: pl.DataFrame | None, trials: int | None) -> CheckFacts:
    summary, pair = study.summary, study.pair
    nulls = summary["null_share"]
    prefix = CROSS_QUOTE_PREFIX if "basis_bps" not in study.columns else ""
    basis = study._rows.select(f"{prefix}basis_bps").collect().to_series()  # noqa: SLF001 - of the same room
    told, untold = _joined(study)
    perp_volume = summary["perp_volume_base"]
    return CheckFacts(
        bars=_bars(study, BAR_COLUMNS),
        basis_bps=basis,
        perp_volume=None if perp_volume is None else perp_volume * study.params.price_factor,
        spot_volume=summary["spot_volume_base"],
        base_asset=pair.spot.underlying_asset if pair.spot.multiplier == 1 else pair.spot.base_asset,
        uneven_days=len(uneven_days(study._covered["perp"], study._covered["spot"])),  # noqa: SLF001
        dual=_is_dual(study),
        null_shares={name: nulls[column] for name in told for column in (name, f"{CROSS_QUOTE_PREFIX}{name}") if column in nulls},
        untold=untold,
        stale_share=summary["share_bars_stale_spot"],
        pays_funding=pair.perp.asset_type == "perpetual",
        perp=_side(study, "perp"),
        spot=_side(study, "spot"),
        costs=study.params.costs,
        end_us=study.end_us,
        evaluation=evaluation,
        trials=trials,
    )


def _joined(study: Compared) -> tuple[list[str], tuple[str, ...]]:
    """The joined features whose nulls count, and those that the kind of data or of contract cannot give."""
    absent = set(study._totals.absent)  # noqa: SLF001 - of the same room
    if study.pair.perp.asset_type != "perpetual":
        absent.add("funding_close")
    untold = tuple(name for name in JOINED_FEATURES if _roots(name) & absent)
    return [name for name in JOINED_FEATURES if name not in untold], untold


def _roots(name: str) -> set[str]:
    """A feature and all that it is made of."""
    inputs = FEATURES[name].inputs if name in FEATURES else ()
    return {name}.union(*(_roots(one) for one in inputs if one != name))


def _side(study: Compared, name: str) -> SideFacts:
    venue, covered = study._sides[name], study._covered[name]  # noqa: SLF001 - of the same room
    return SideFacts(
        rows=sum(file.rows for file in venue.files.values()),
        covered_share=covered.share,
        missing_ids=covered.missing_ids,
        flagged=covered.flagged,
        flagged_in_bars=isinstance(venue, VenueTrades) and venue.include_off_book,
        quarantined=covered.quarantined,
        fee=_fee(study, venue.instrument.exchange),
    )


def _fee(study: Compared, exchange: str) -> VenueFee | None:
    try:
        return venue_fee(exchange, study.end_us - 1, tier=study.params.costs.tier or DEFAULT_TIER, known=study._lake.venues)  # noqa: SLF001
    except VenueRuleError:
        return None
