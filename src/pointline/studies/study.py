"""Study: the result of comparing a perp with its spot, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from pointline import clock
from pointline.bars.build import spine_of
from pointline.datetimes import pandas_frame
from pointline.features import forward_labels
from pointline.instruments import sql_exchange
from pointline.lake.store import as_lake
from pointline.lake.studies import save_study
from pointline.report.files import WrittenTable
from pointline.studies.figures import summarise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from pointline.bars.request import VenueEvents
    from pointline.bars.rules import BarRule
    from pointline.costs import CostModel
    from pointline.evaluation.check_limits import CheckLimits
    from pointline.features import PairParams
    from pointline.instruments import Pair
    from pointline.lake.store import Lake, LakeLike
    from pointline.lake.window_coverage import WindowCoverage
    from pointline.studies.backtest import Backtest, BacktestSweep
    from pointline.studies.checklist import Checklist
    from pointline.studies.costs import CostStudy
    from pointline.studies.evaluate import Evaluation
    from pointline.studies.figures import BarTotals
    from pointline.studies.lead_lag import LeadLagStudy
    from pointline.studies.next_funding import FundingForecast
    from pointline.studies.summary import Summary
    from pointline.trading.strategy import Strategy

Join = Literal["asof", "inner"]

_SHOWN_BARS = 5
_SHOWN_COLUMNS = ("bar_id", "bucket_start", "bucket_end", "perp_close", "spot_close", "basis_bps", "cross_quote_basis_bps", "funding_8h")


@dataclass(frozen=True, eq=False)
class Study:
    """The result of `compare`. It can be pickled, with its summary; a lake of that path is then needed for `save` only.

    Attributes:
        pair: the two instruments and why they belong together.
        rule: when bars close.
        rule_note: how the threshold was chosen, where it was chosen for the user.
        start_us, end_us: the window.
        join: ``"asof"`` keeps every bar, ``"inner"`` drops those without a spot trade (the guide's way).
        params: limits, windows and costs of the features, and what follows from the pair.
        notes: warnings about the result: metadata versions, missing days, mixed quotes.
        elapsed_s: seconds from the call to the table.
        thresholds: of a rule whose threshold changes by the day, one row per day and segment (columns of
            `pointline.bars.trailing.threshold_table`); without rows of any other.
    """

    pair: Pair
    rule: BarRule
    rule_note: str
    start_us: int
    end_us: int
    join: Join
    params: PairParams = field(repr=False)
    notes: tuple[str, ...]
    elapsed_s: float
    _table: pl.DataFrame | WrittenTable = field(repr=False)
    _bars: pl.DataFrame | None = field(repr=False)
    _totals: BarTotals = field(repr=False)
    _sides: dict[str, VenueEvents] = field(repr=False)
    _covered: dict[str, WindowCoverage] = field(repr=False)
    _lake: Lake = field(repr=False)
    thresholds: pl.DataFrame = field(repr=False)

    def __getstate__(self) -> dict[str, Any]:
        table = self._table
        if isinstance(table, WrittenTable) and table.exact != table.path:  # a file that goes with this study
            table = self.features
        return {**self.__dict__, "summary": self.summary, "_table": table}

    @property
    def title(self) -> str:
        """The two instruments and why they belong together."""
        return f"{self.pair.perp.name} against {self.pair.spot.name} ({self.pair.reason})"

    @cached_property
    def features(self) -> pl.DataFrame:
        """The bars' columns and every feature, one row per bar that the join keeps, known at ``bucket_end``."""
        return self._table if isinstance(self._table, pl.DataFrame) else self._table.scan().collect()

    @cached_property
    def bars(self) -> pl.DataFrame:
        """One row per bar: spine, per-venue aggregates, state with ages; of a study that was written to a file, the bars in it."""
        return self.features.select(self._totals.columns) if self._bars is None else self._bars

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `features`."""
        return self._rows.collect_schema().names()

    @property
    def _rows(self) -> pl.LazyFrame:
        return self._table.lazy() if isinstance(self._table, pl.DataFrame) else self._table.scan()

    @property
    def spine(self) -> pl.DataFrame:
        """The windows: symbol_id, bar_id, bucket_start, bucket_end, ts_local_us, complete."""
        return spine_of(self.bars)

    @property
    def rule_text(self) -> str:
        """When bars close, in words."""
        return f"{self.rule.text}, {self.rule_note}" if self.rule_note else self.rule.text

    def chart(self, path: str | Path | None = None) -> Any:  # noqa: ANN401 - plotly is imported where it is used
        """Prices, basis and funding over time, for any number of bars (see `pointline.report.charts.comparison_figure`).

        Args:
            path: also write the chart to this file: a page that needs no network (``.html``) or a picture (``.png``, taken by an
                installed Chromium or Chrome).

        Returns:
            The plotly figure, which a notebook shows.

        Raises:
            ConfigError: the path ends otherwise or its folder does not exist.
            MissingExtraError: plotly, or for a picture a browser, is not installed.
        """
        from pointline.report.chart_files import check_chart_path, write_chart
        from pointline.report.charts import comparison_figure
        from pointline.studies.report_data import compared_pair

        if path is not None:
            check_chart_path(path)
        figure = comparison_figure(self._rows, compared_pair(self))
        if path is not None:
            write_chart(figure, path)
        return figure

    def to_pandas(self) -> pd.DataFrame:
        """The features as a frame of pandas: times are datetimes in UTC, the index is ``bucket_end``, when each row was known.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return pandas_frame(self.features, index="bucket_end")

    def labels(self, horizons_bars: Sequence[int] = (1, 5, 10), horizons_us: Sequence[clock.DurationLike] = ()) -> pl.DataFrame:
        """Forward returns and basis changes from ``bucket_end`` on; never part of `features` (see `forward_labels`)."""
        return forward_labels(self.bars, horizons_bars, horizons_us, params=self.params)

    def ic(self, features: Sequence[str] | None = None, **options: Any) -> Evaluation:  # noqa: ANN401 - those of IcOptions
        """Whether the features predict what happens after their bars; arguments as in `pointline.evaluation.ic`."""
        from pointline.evaluation import ic
        from pointline.evaluation.information import ic_options
        from pointline.studies.evaluate import Evaluation, followed_prices

        chosen = ic_options(options)
        followed = followed_prices(self._sides, self.features) if chosen.draws else None
        judged = ic(self.features, features, params=self.params, followed=followed, **options)
        told = self.features["seconds_to_funding"].cast(pl.Float64)
        to_funding = None if told.null_count() == len(told) else told.fill_null(float("nan")).to_numpy()
        return Evaluation(self.title, self.rule_text, chosen, judged, to_funding)

    def backtest(self, strategy: str | Strategy = "funding_basis_divergence", **options: Any) -> Backtest:  # noqa: ANN401
        """What a strategy would have earned after all costs.

        Args:
            strategy: the name of one of `pointline.trading.STRATEGIES`, or a `pointline.trading.Strategy` of your own.
            **options: its thresholds, quantiles of the past (``entry``, ``exit``, ``refit_us``, ``lookback_us``, ``fewest_bars``) or levels
                (``above``, ``exit_above``, ``below``, ``exit_below``), ``max_holding_us``, ``until``, and the fields of
                `pointline.studies.backtest.BacktestOptions`.

        Returns:
            A `pointline.studies.backtest.Backtest`: trades, daily attribution, statistics.

        Raises:
            ConfigError: an option cannot be used, the signal has no value, or the thresholds never trade.
            NoDataError: the perpetual's settled funding or its mark prices are missing, or for ``touch`` the quotes.

        Examples:
            >>> import pointline
            >>> from pointline.research.spines import TimeBarConfig
            >>> study = pointline.compare(
            ...     "binance-futures:BTCUSDT",
            ...     "binance-spot:BTCUSDT",
            ...     start="2024-05-01",
            ...     end="2024-05-03",
            ...     bars=TimeBarConfig("5m"),
            ...     lake="out/demo/lake",
            ... )
            >>> held = study.backtest("cash_and_carry")
            >>> held.trades.select("side", "exit_reason").rows()
            [('short', 'end_of_data')]
        """
        from pointline.studies.backtest import backtest

        return backtest(self, strategy, **options)

    def backtest_sweep(
        self,
        strategy: str | Strategy,
        grid: Mapping[str, Sequence[Any]],
        *,
        earlier_trials: int = 0,
        **options: Any,  # noqa: ANN401
    ) -> BacktestSweep:
        """Every combination of some options, each judged by the number of all trials.

        Args:
            strategy: as in `backtest`.
            grid: values to try by the name of the option, e.g. ``{"entry": [0.9, 0.95, 0.99]}``.
            earlier_trials: trials that were made before on the same data.
            **options: those that stay, as in `backtest`.

        Raises:
            ConfigError: the grid is empty, or as `backtest`.
            NoDataError: as `backtest`.
        """
        from pointline.studies.backtest import sweep_backtests

        return sweep_backtests(self, strategy, grid, earlier_trials=earlier_trials, **options)

    def checklist(
        self, *, limits: CheckLimits | None = None, evaluation: pl.DataFrame | Evaluation | None = None, trials: int | None = None
    ) -> Checklist:
        """Whether data, funding, costs and evidence are ready for use (see `pointline.studies.checklist.checklist`)."""
        from pointline.studies.checklist import checklist

        return checklist(self, limits=limits, evaluation=evaluation, trials=trials)

    def costs(self, model: CostModel | str | None = None, **options: Any) -> CostStudy:  # noqa: ANN401 - those of cost_study
        """What a round trip costs, and when the basis was larger; arguments as in `pointline.studies.costs.cost_study`."""
        from pointline.studies.costs import cost_study

        return cost_study(self, model, **options)

    def next_funding(self, **options: Any) -> FundingForecast:  # noqa: ANN401 - those of next_funding
        """How well the settlements of the window can be told before (see `pointline.next_funding`; it reads the lake again)."""
        from pointline.studies.next_funding import next_funding

        names = self.pair.perp.name, self.pair.spot.name
        return next_funding(*names, start=self.start_us, end=self.end_us, **{"lake": self._lake, **options})

    def by_time_of_day(self, *, limits: CheckLimits | None = None) -> pl.DataFrame:
        """Volume ratio, spot volume and stale bars by UTC hour (see `pointline.studies.checklist.by_time_of_day`)."""
        from pointline.studies.checklist import by_time_of_day

        return by_time_of_day(self, limits=limits)

    def report(
        self,
        path: str | Path,
        *,
        evaluation: Evaluation | None = None,
        checklist: Checklist | None = None,
        lead_lag: LeadLagStudy | None = None,
        forecast: FundingForecast | None = None,
        costs: CostStudy | None = None,
        backtest: Backtest | None = None,
        pictures: str | Path | None = None,
    ) -> Path:
        """Writes one page about the study that needs no network: the verdict, the data, the evidence, and what trading it would cost.

        What is not given is computed with default arguments, where the data allow it. The page names the parts that it does not have,
        with the reason. It is written whole or not at all. Its size does not grow with the number of bars:
        a series has up to 2,000 points, and every extreme among them.

        Args:
            path: of the page, ends in ``.html``; its folder exists.
            evaluation: what `ic` found.
            checklist: what `checklist` found.
            lead_lag: what `pointline.lead_lag` found.
            forecast: what `next_funding` found.
            costs: what `costs` found.
            backtest: what `backtest` found; by default of the guide's strategy, ``funding_basis_divergence``.
            pictures: an existing folder for a picture (PNG) of each figure, taken by an installed Chromium or Chrome.

        Returns:
            The page's file.

        Raises:
            ConfigError: the path ends otherwise, a folder does not exist, or a part is of another kind.
            MissingExtraError: plotly, or for pictures a browser, is not installed.

        Examples:
            >>> import pointline
            >>> study = pointline.compare(
            ...     "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end="2024-05-03", lake="out/demo/lake"
            ... )
            >>> print(study.report("out.html", evaluation=study.ic(horizons=5)))
            out.html
        """
        from pointline.studies.report import write_report

        return write_report(
            self,
            path,
            evaluation=evaluation,
            checklist=checklist,
            lead_lag=lead_lag,
            forecast=forecast,
            costs=costs,
            backtest=backtest,
            pictures=pictures,
        )

    def sources(self) -> pl.DataFrame:
        """The archive files that the study was made of, with their hashes (see `pointline.studies.provenance.sources`)."""
        from pointline.studies.provenance import sources

        return sources(self)

    def save(self, name: str, *, lake: LakeLike | None = None) -> Path:
        """Stores the features in the lake, where SQL finds them as ``study = name`` in ``api.features``.

        Args:
            name: letters, digits, dots, dashes and underscores; a study of the same name is replaced.
            lake: another lake than the one that was compared in.

        Returns:
            The Parquet file.

        Raises:
            ConfigError: the name cannot be a file's.
        """
        opened = self._lake if lake is None else as_lake(lake)
        sides = {"perp": self.pair.perp, "spot": self.pair.spot}
        names = {f"{side}_exchange": sql_exchange(one.exchange) for side, one in sides.items()}
        names |= {f"{side}_market": one.market for side, one in sides.items()}
        return save_study(opened, name, self.features.with_columns(pl.lit(value).alias(column) for column, value in names.items()))

    @cached_property
    def summary(self) -> Summary:
        """What the command line prints: counts, volume ratio with advice, stale share, quantiles, null shares, speed."""
        return summarise(
            features=self._rows,
            totals=self._totals,
            sides=self._sides,
            covered=self._covered,
            window=(self.start_us, self.end_us),
            elapsed_s=self.elapsed_s,
            price_factor=self.params.price_factor,
            costs=self.params.costs.text,
        )

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        start, end = (clock.time_text(us) for us in (self.start_us, self.end_us))
        shown = [name for name in _SHOWN_COLUMNS if name in self.columns]
        last = self._rows.select(shown).tail(_SHOWN_BARS).collect()
        return study_html(
            title=self.title,
            lines=[f"{start} to {end} UTC, end exclusive. Bars: {self.rule_text}"],
            tables=[("Summary", self.summary.frame()), (f"The last {last.height} bars", last)],
            notes=self.notes,
        )
