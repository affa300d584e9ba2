"""next_funding(): how well the next funding rate can be told some hours before, and the FundingForecast that holds the result."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pointline import clock
from pointline.curves.grid import candle_grid
from pointline.datetimes import pandas_frame
from pointline.errors import ConfigError
from pointline.evaluation.funding_forecast import FOLDS, HOURS_BEFORE, funding_forecasts, leads_of
from pointline.evaluation.funding_scores import MODELS
from pointline.instruments import check_pair
from pointline.instruments.versions import warn_of_versions
from pointline.lake.store import as_lake
from pointline.studies import funding_data
from pointline.studies.named import named_instrument
from pointline.studies.summary import Summary
from pointline.venues.funding import funding_rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    import polars as pl
    from rich.console import RenderableType

    from pointline.evaluation.funding_forecast import JudgedForecasts
    from pointline.instruments import Pair
    from pointline.lake.store import Lake, LakeLike
    from pointline.studies.funding_data import PremiumSource, WantedPremium

_SOURCE_WORDS = {
    "premium_index": "the exchange's premium index",
    "mark_index": "mark against index",
    "basis": "perp against spot",
    "cross_quote_basis": "perp against spot of another quote",
}


@dataclass(frozen=True, eq=False, kw_only=True)
class FundingForecast:
    """The result of `pointline.next_funding`. It can be pickled.

    Attributes:
        perp, spot: the two instruments, as ``exchange:symbol``.
        start_us, end_us: the window of settlements.
        premium_source: what the premium was computed from: ``"premium_index"``, ``"mark_index"``, ``"basis"`` or ``"cross_quote_basis"``.
        step_us: distance of two values of the premium.
        folds: parts of the settlements that were scored, each by what was fitted before it.
        notes: warnings about the result.
        elapsed_s: seconds from the call to the result.
    """

    perp: str
    spot: str
    start_us: int
    end_us: int
    premium_source: PremiumSource
    step_us: int
    folds: int
    notes: tuple[str, ...] = ()
    elapsed_s: float = 0.0
    _judged: JudgedForecasts = field(repr=False)

    @property
    def table(self) -> pl.DataFrame:
        """Scores, columns of `pointline.evaluation.SCORES_SCHEMA`: one row for each predictor and lead."""
        return self._judged.scores

    @property
    def settlements(self) -> pl.DataFrame:
        """The scored settlements, columns of `pointline.evaluation.FORECASTS_SCHEMA`: one row for each settlement and lead.

        It has the rate that was paid and what each predictor said, in basis points per 8 hours; null where it said nothing.
        """
        return self._judged.forecasts

    @property
    def coming(self) -> pl.DataFrame:
        """The settlement after the window, columns of `pointline.evaluation.COMING_SCHEMA`: what the rule says where the prices end.

        No row where the prices end before the window's last settlement, or have a hole after it.
        """
        return self._judged.coming

    @property
    def verdict(self) -> str:
        """Whether a model says more than the venue's own rule, in sentences."""
        return self._judged.verdict

    @property
    def title(self) -> str:
        """What is forecast."""
        return f"The next funding of {self.perp}"

    @property
    def window_text(self) -> str:
        """The scored settlements, and where the premium comes from."""
        first, last = (clock.time_text(us) for us in (self.settlements["funding_us"][0], self.settlements["funding_us"][-1]))
        count = self.settlements["funding_us"].n_unique()
        premium = f"{_SOURCE_WORDS[self.premium_source]}, each {clock.duration_text(self.step_us)}"
        fitted = f"in {self.folds} walk-forward parts" if self.folds > 1 else "fitted on as many before them"
        return f"{count:,} settlements from {first} to {last} UTC, {fitted}; premium: {premium}"

    @property
    def coming_text(self) -> str:
        """The settlement after the window in a sentence, empty where it cannot be told."""
        if self.coming.is_empty():
            return ""
        row = self.coming.row(0, named=True)
        when = f"{clock.time_text(row['funding_us'])} UTC, told {row['hours_before']:g} h before"
        told = f"{row['rule_bps']:.3f} bp by the rule, {row['last_known_bps']:.3f} the last rate"
        return f"The next settlement after the window, {when}: {told}."

    @cached_property
    def summary(self) -> Summary:
        """What the command line prints as JSON, beside the rows of the table."""
        judged = self._judged
        return Summary(
            {
                "perp": self.perp,
                "spot": self.spot,
                "window_us": [self.start_us, self.end_us],
                "verdict": self.verdict,
                "premium_source": self.premium_source,
                "step_us": self.step_us,
                "folds": self.folds,
                "settlements": judged.settlements,
                "settlements_left_out": judged.left_out,
                "settlements_scored": self.settlements["funding_us"].n_unique(),
                "scored_from_us": self.settlements["funding_us"][0],
                "extra_predictors": list(judged.extras),
                "coming": self.coming.to_dicts(),
                "unit": "bps per 8 h",
                "notes": list(self.notes),
            }
        )

    @property
    def _lines(self) -> tuple[str, ...]:
        return tuple(filter(None, (self.window_text, self.verdict, self.coming_text)))

    def view(self) -> RenderableType:
        """What the command line prints: the verdict and the scores."""
        from pointline.report.forecast_view import forecast_view

        return forecast_view(self.table, title=self.title, lines=self._lines, notes=self.notes)

    def chart(self, path: str | Path | None = None) -> Any:  # noqa: ANN401 - a plotly figure
        """What each settlement paid, and what the venue's rule and the best predictor said four hours before.

        Args:
            path: also writes it, as a page that needs no network (``.html``) or as a picture (``.png``, by an installed Chromium or
                Chrome).

        Raises:
            ConfigError: the path ends otherwise or its folder does not exist, or no settlement was forecast.
            MissingExtraError: plotly, or for a picture a browser, is not installed.
        """
        from pointline.report.chart_files import written
        from pointline.studies.report_trading import forecast_chart

        figure, _ = forecast_chart(self, self.window_text)
        if figure is None:
            raise ConfigError("no settlement was forecast", where="next_funding", expected="a longer window")
        return written(figure, path)

    def to_pandas(self) -> pd.DataFrame:
        """The settlements as a frame of pandas: times are datetimes in UTC, the index is ``funding_us``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return pandas_frame(self.settlements, index="funding_us")

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        return study_html(title=self.title, lines=list(self._lines), tables=[("Scores, bps per 8 hours", self.table)], notes=self.notes)


def next_funding(
    perp: str,
    spot: str,
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    hours_before: Sequence[float] = HOURS_BEFORE,
    folds: int = FOLDS,
    premium: WantedPremium = "auto",
    step: clock.DurationLike = "1h",
    models: Sequence[str] = MODELS,
    confidence: float = 0.95,
    seed: int = 0,
    lake: LakeLike | None = None,
) -> FundingForecast:
    """Forecasts each settlement of a perpetual some hours before, and says whether models know more than the venue's own rule.

    It works from hourly or finer candles as well as from trades: the premium is taken at the end of each step
    (`pointline.studies.funding_data.premium`), and averaged as the venue does. Only what was known by each moment is used, and each
    part of the settlements is forecast by what was fitted on those before it (`pointline.evaluation.funding_forecasts`).

    Args:
        perp: ``"exchange:symbol"`` of the perpetual, e.g. ``"binance-futures:BTCUSDT"``.
        spot: ``"exchange:symbol"`` of its spot market.
        start, end: the window of settlements ``[start, end)``; any form that `pointline.clock.to_us` reads. Prices are read from its start.
        hours_before: when each settlement is forecast; 0 is the settlement itself, at which models are not fitted.
        folds: parts that are scored after the first part has trained; 1 fits on the first half and scores the second.
        premium: ``"premium_index"``, ``"mark_index"`` or ``"basis"``; ``"auto"`` takes the first that the lake tells.
        step: distance of two values of the premium; it divides an hour.
        models: some of ``"least_squares"``, ``"ridge"`` and ``"boosting"``.
        confidence: of the intervals of the information coefficients.
        seed: of the boosting.
        lake: a lake or its folder; the default lake if None.

    Returns:
        A `FundingForecast`.

    Raises:
        ConfigError: swapped or unrelated instruments, a contract without funding, an empty window, too few settlements.
        RegistryError: an unknown instrument; the error has the nearest names.
        NoDataError: the lake has no settled funding, or no premium, in the window.
        VenueRuleError: no funding rule of the exchange is known.
        MissingExtraError: scipy or scikit-learn is not installed.

    Warns:
        MetadataWarning: an instrument has several versions inside the window.

    Examples:
        The demo has two days, which are six settlements:

        >>> import pointline
        >>> pointline.next_funding(
        ...     "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end="2024-05-03", lake="out/demo/lake"
        ... )
        Traceback (most recent call last):
        pointline.errors.ConfigError: too few settlements...
    """
    began = time.perf_counter()
    window = clock.window_us(start, end)
    grid = candle_grid(*window, step)
    leads = leads_of(hours_before, grid.duration_us)
    opened = as_lake(lake)
    pair, notes = _pair_of(opened, perp, spot, window)
    rules = funding_rules(
        pair.perp.exchange, *window, base_asset=pair.perp.base_asset, quote_asset=pair.perp.quote_asset, known=opened.venues
    )
    settled, of_payments = funding_data.payments(opened, pair, window, rules[0].interval_hours)
    read = funding_data.premium(opened, pair, grid, premium)
    judged = funding_forecasts(
        settled,
        read.slots,
        rules,
        extras=funding_data.extras(opened, pair, settled, leads),
        hours_before=hours_before,
        folds=folds,
        models=models,
        confidence=confidence,
        seed=seed,
    )
    return FundingForecast(
        perp=pair.perp.name,
        spot=pair.spot.name,
        start_us=window[0],
        end_us=window[1],
        premium_source=read.source,
        step_us=grid.duration_us,
        folds=folds,
        notes=(*notes, *of_payments, *read.notes, *judged.notes),
        elapsed_s=time.perf_counter() - began,
        _judged=judged,
    )


def _pair_of(lake: Lake, perp: str, spot: str, window: tuple[int, int]) -> tuple[Pair, list[str]]:
    """The two instruments, and a note for each whose metadata changed inside the window."""
    registry = lake.registry()
    pair = check_pair(named_instrument(registry, perp, window[0]), named_instrument(registry, spot, window[0]), registry.known)
    changes = [warn_of_versions(registry, one, *window) for one in (pair.perp, pair.spot)]
    return pair, [change for change in changes if change is not None]
