"""Study.backtest(): what a strategy would have earned on a comparison, after all costs, and the Backtest that holds the result."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from pointline import clock
from pointline.clock import DAY_US, DurationField, is_whole
from pointline.costs import CostModel
from pointline.errors import ConfigError, NoDataError
from pointline.evaluation.multiplicity import deflated_sharpe_ratio
from pointline.instruments.versions import MetadataWarning
from pointline.studies.backtest_data import BacktestData
from pointline.studies.held_funding import PERP_PRICE
from pointline.studies.summary import Summary
from pointline.trading.accounting import COST_TERMS, PRICE_TERMS, TERMS
from pointline.trading.backtest import Account, BacktestInputs, FutureDelivery, run_backtest
from pointline.trading.capacity import Capacity, Liquidity, capacity
from pointline.trading.execution import BAR_EXECUTIONS, check_execution
from pointline.trading.funding_flows import MAX_MARK_AGE_US
from pointline.trading.legs import PairTerms
from pointline.trading.performance import DAYS_PER_YEAR, Performance, performance
from pointline.trading.strategy import Levels, Quantiles, Strategy, strategy_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from pointline.studies.compared import Compared
    from pointline.trading.backtest import BacktestTables

CONVINCING = 0.95
"""Probability that the Sharpe ratio beats the best of as many trials without merit, from which on a strategy is called profitable."""

_THRESHOLD_OPTIONS = ("entry", "exit", "refit_us", "lookback_us", "fewest_bars")
_LEVEL_OPTIONS = ("above", "exit_above", "below", "exit_below")
_FEWEST_TRADES = 2


@dataclass(frozen=True, kw_only=True)
class BacktestOptions:
    """How decisions are filled and what they cost. Durations are text, a timedelta or integer microseconds.

    Attributes:
        execution: ``"next_bar_vwap"``: at the vwap of the first later bar in which the traded legs trade; ``"next_bar_open"``: at its first
            prices; ``"next_trade"``: at the first trade of each leg after the latency; ``"touch"``: at the best bid or ask after the
            latency, where the lake has quotes.
        latency_us: from the end of a bar to the order's arrival, for ``next_trade`` and ``touch``.
        max_wait_us: longest time until a fill (``touch``: oldest quote); a decision of which one leg waits longer is filled in neither,
            although that is known only when the time is over. They are counted as ``decisions_unfilled``.
        costs: fees, slippage, withdrawal, borrowing; the study's if None. At the touch the spread takes the place of the slippage.
        notional_quote: of each trade, in the spot's quote asset.
        leverage: of the perp's isolated margin; None for no margin.
        maintenance_margin: fraction of the perp's notional at which the margin is used up.
        capital_quote: equity at the begin; what one trade ties up if None.
        funding: ``"settled"``: each settlement in (entry, exit] at its own mark price; ``"none"``: funding is not counted, which a note
            says.
        max_mark_age_us: how old a mark price may be at its settlement.
        perp_price_as_mark: let the perp's own price stand in where there is no mark price.
        quote_rate: the spot's quote units for one of a linear perp's of another quote asset, constant.
        trials: strategies and settings that were tried in all, this one included; the Sharpe ratio is deflated by them.
        trial_sharpe_std: standard deviation of the annual Sharpe ratios of all trials; the error of this one if None.

    Raises:
        ConfigError: a choice or a figure cannot be used.
    """

    execution: str = "next_bar_vwap"
    latency_us: DurationField = DurationField(100_000, least_us=0)  # noqa: RUF009 - it holds no value
    max_wait_us: DurationField = DurationField(clock.MINUTE_US, least_us=0)  # noqa: RUF009
    costs: CostModel | None = None
    notional_quote: float = Account.notional_quote
    leverage: float | None = Account.leverage
    maintenance_margin: float = Account.maintenance_margin
    capital_quote: float | None = None
    funding: Literal["settled", "none"] = "settled"
    max_mark_age_us: DurationField = DurationField(MAX_MARK_AGE_US, least_us=0)  # noqa: RUF009
    perp_price_as_mark: bool = False
    quote_rate: float | None = None
    trials: int = 1
    trial_sharpe_std: float | None = None

    def __post_init__(self) -> None:
        check_execution(self.execution)
        if self.funding not in ("settled", "none"):
            raise ConfigError("there is no such way with funding", where="funding", value=self.funding, expected="settled or none")
        if self.costs is not None and not isinstance(self.costs, CostModel):
            raise ConfigError("costs has the wrong type", where="costs", value=self.costs, expected="CostModel(...) or None")
        if not is_whole(self.trials) or self.trials < 1:
            raise ConfigError("trials is no number of trials", where="trials", value=self.trials, expected="a whole number, 1 or more")
        spread = self.trial_sharpe_std
        number = isinstance(spread, int | float) and not isinstance(spread, bool)
        if spread is not None and not (number and math.isfinite(spread) and spread >= 0):
            raise ConfigError("trial_sharpe_std cannot be used", where="trial_sharpe_std", value=spread, expected="a number, 0 or more")
        _ = self.account

    @property
    def account(self) -> Account:
        """The money behind the strategy."""
        return Account(**{one.name: getattr(self, one.name) for one in fields(Account)})


@dataclass(frozen=True, eq=False, kw_only=True)
class Backtest:
    """The result of `pointline.Study.backtest`. It can be pickled.

    Attributes:
        strategy: what was traded.
        options: how it was filled and what it cost.
        pair: names of the two instruments.
        quote_asset: the asset of all amounts.
        window_us: start and end.
        bars: number of bars.
        tables: trades, days and funding payments.
        performance: statistics of the daily equity.
        capacity: how much money it could carry.
        notes: what a reader should know of the result.
    """

    strategy: Strategy
    options: BacktestOptions
    pair: tuple[str, str]
    quote_asset: str
    window_us: tuple[int, int]
    bars: int
    tables: BacktestTables = field(repr=False)
    performance: Performance
    capacity: Capacity
    notes: tuple[str, ...]

    @property
    def trades(self) -> pl.DataFrame:
        """One row per trade: side, times, prices and quantities of both legs, what it earned and paid, in the spot's quote asset."""
        return self.tables.trades

    @property
    def daily(self) -> pl.DataFrame:
        """One row per UTC day, known at its end: what each term of the accounting added, equity, and what was traded."""
        return self.tables.daily

    @property
    def funding(self) -> pl.DataFrame:
        """One row per trade and settlement, see `pointline.trading.funding_flows.FUNDING_FLOWS_SCHEMA`."""
        return self.tables.funding

    @property
    def title(self) -> str:
        """Strategy and pair."""
        return f"{self.strategy.name} on {self.pair[0]} and {self.pair[1]}"

    @property
    def lines(self) -> tuple[str, ...]:
        """What was done, in sentences."""
        start, end = (clock.time_text(us) for us in self.window_us)
        options, strategy = self.options, self.strategy
        late = "" if options.execution in BAR_EXECUTIONS else f" after {clock.duration_text(options.latency_us)}"
        return (
            f"{start} to {end} UTC, end exclusive, {self.bars:,} bars",
            f"Signal {strategy.signal_text}: {strategy.thresholds.text}. Filled at {options.execution}{late}.",
        )

    @cached_property
    def totals(self) -> dict[str, float]:
        """The terms of the accounting over all trades; the change of equity is price + funding - fees - slippage - borrow."""
        return {name: math.fsum(self.trades[name]) for name in (*TERMS, "pnl_quote", "basis_quote", "unhedged_quote")}

    @cached_property
    def deflated(self) -> float | None:
        """The probability that the Sharpe ratio beats the best of as many trials without merit; None without a ratio.

        `pointline.evaluation.deflated_sharpe_ratio` says how; with one trial it is the probability that the ratio is above zero.
        """
        found = self.performance
        if found.daily_sharpe is None or found.skew is None or found.kurtosis is None or found.sharpe_error is None:
            return None
        year = math.sqrt(DAYS_PER_YEAR)
        spread = (found.sharpe_error if self.options.trial_sharpe_std is None else self.options.trial_sharpe_std) / year
        return deflated_sharpe_ratio(
            found.daily_sharpe,
            periods=found.days,
            trials=self.options.trials,
            trial_variance=spread**2,
            skew=found.skew,
            kurtosis=found.kurtosis,
        ).probability

    @property
    def profitable(self) -> bool | None:
        """Whether it earned money and its deflated Sharpe ratio is convincing; None where there are too few days to tell."""
        return None if self.deflated is None else self.totals["pnl_quote"] > 0 and self.deflated >= CONVINCING

    @property
    def verdict(self) -> str:
        """The result in a sentence or two."""
        told = self.summary
        way = "earned" if told["pnl_quote"] >= 0 else "lost"
        text = (
            f"{told['trades']:,} {'trade' if told['trades'] == 1 else 'trades'} {way} {abs(told['pnl_quote']):,.2f} {self.quote_asset}, "
            f"{abs(told['pnl_quote'] / told['capital_quote']):.2%} of the capital: {told['gross_bps']:+.2f} bps a trade "
            f"before costs of {told['cost_bps']:.2f} bps."
        )
        if self.deflated is None:
            return f"{text} {'The capital is used up.' if self.performance.used_up else 'Too few days for a Sharpe ratio.'}"
        found = f"Sharpe ratio {told['sharpe']:.2f} ± {told['sharpe_error']:.2f}"
        trials = "0" if told["trials"] == 1 else f"the best of {told['trials']:,} trials without merit"
        call = "Profitable" if self.profitable else "Not shown to be profitable"
        return f"{text} {call}: {found}, above {trials} with probability {self.deflated:.2f}."

    @cached_property
    def summary(self) -> Summary:
        """The figures, JSON-ready."""
        trades, daily, found = self.trades, self.daily, self.performance
        notional, capital = self.options.notional_quote, self.tables.capital_quote
        pnl_bps, n = trades["pnl_bps"], trades.height
        gross = sum(self.totals[name] for name in (*PRICE_TERMS, "funding_quote"))
        per_trade_bps = 1e4 / notional / n
        days = max(1.0, (self.window_us[1] - self.window_us[0]) / DAY_US)
        size = self.capacity.range
        return Summary(
            {
                "strategy": self.strategy.name,
                "perp": self.pair[0],
                "spot": self.pair[1],
                "quote_asset": self.quote_asset,
                "window_us": list(self.window_us),
                "bars": self.bars,
                "execution": self.options.execution,
                "thresholds": self.strategy.thresholds.text,
                "trades": n,
                "long": int((trades["side"] == "long").sum()),
                "exit_reasons": dict(sorted(Counter(trades["exit_reason"]).items())),
                "hit_rate": float((pnl_bps > 0).sum()) / n,
                "pnl_bps": float(pnl_bps.mean()),  # type: ignore[arg-type]
                "pnl_bps_error": float(pnl_bps.std()) / math.sqrt(n) if n >= _FEWEST_TRADES else None,  # type: ignore[arg-type]
                "gross_bps": gross * per_trade_bps,
                "cost_bps": sum(self.totals[name] for name in COST_TERMS) * per_trade_bps,
                **self.totals,
                "notional_quote": notional,
                "capital_quote": capital,
                **{name: value for name, value in asdict(found).items() if name not in ("skew", "kurtosis")},
                "trials": self.options.trials,
                "deflated_sharpe_probability": self.deflated,
                "profitable": self.profitable,
                "turnover_per_day": float(daily["traded_quote"].sum()) / capital / days,
                "hours_held_share": float(trades["holding_hours"].sum()) / 24 / days,
                "median_holding_hours": trades["holding_hours"].median(),
                "funding_payments": self.funding.height,
                "nearest_liquidation": trades["nearest_liquidation"].min(),
                "largest_unhedged_base": float(trades["unhedged_base"].abs().max()),  # type: ignore[arg-type]
                "capacity_quote": None if size is None else list(size),
                "capacity_by_volume_quote": self.capacity.by_volume and list(self.capacity.by_volume),
                "capacity_by_impact_quote": self.capacity.by_impact and list(self.capacity.by_impact),
                "bars_without_signal": self.tables.bars_without_signal,
                "decisions_unfilled": self.tables.decisions_unfilled,
            }
        )

    @property
    def figures(self) -> pl.DataFrame:
        """The figures in words, with their units: figure, value."""
        from pointline.report.backtest_view import figures_of

        return pl.DataFrame(figures_of(self.summary), schema={"figure": pl.String, "value": pl.String}, orient="row")

    def view(self) -> RenderableType:
        """What the command line prints."""
        from pointline.report.backtest_view import backtest_view

        return backtest_view(self.summary, title=self.title, lines=(*self.lines, self.strategy.text, self.verdict), notes=self.notes)

    def chart(self, path: str | Path | None = None) -> Any:  # noqa: ANN401 - a plotly figure
        """Equity, what each term added to it, and the drawdown, day by day.

        Args:
            path: also writes it, as a page that needs no network (``.html``) or as a picture (``.png``, by an installed Chromium or
                Chrome).

        Raises:
            ConfigError: the path ends otherwise or its folder does not exist.
            MissingExtraError: plotly, or for a picture a browser, is not installed.
        """
        from pointline.report.chart_files import written
        from pointline.studies.report_trading import equity_chart

        return written(equity_chart(self, self.lines[1], self.quote_asset), path)

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        tables = [("Figures", self.figures), ("The last days", self.daily.tail(5))]
        return study_html(title=self.title, lines=[*self.lines, self.verdict], tables=tables, notes=self.notes)


def backtest(study: Compared, strategy: str | Strategy = "funding_basis_divergence", **options: Any) -> Backtest:  # noqa: ANN401
    """What a strategy would have earned on a comparison (see `pointline.Study.backtest`)."""
    chosen, settings = settled_options(strategy, options)
    return run_on(BacktestData(study), chosen, settings)


def settled_options(strategy: str | Strategy, options: Mapping[str, Any]) -> tuple[Strategy, BacktestOptions]:
    """The strategy with the thresholds among the options, and the rest of these.

    Raises:
        ConfigError: there is no such strategy or option, or one cannot be used.
    """
    chosen = strategy_of(strategy)
    quantiles = {name: options[name] for name in _THRESHOLD_OPTIONS if name in options}
    levels = {name: options[name] for name in _LEVEL_OPTIONS if name in options}
    own = {name: options[name] for name in ("max_holding_us", "until") if name in options}
    rest = {name: value for name, value in options.items() if name not in {*quantiles, *levels, *own}}
    known = {one.name for one in fields(BacktestOptions)}
    unknown = sorted(set(rest) - known)
    if unknown:
        expected = ", ".join((*_THRESHOLD_OPTIONS, *_LEVEL_OPTIONS, "max_holding_us", "until", *sorted(known)))
        raise ConfigError("there is no such option", where="backtest", value=unknown, expected=expected)
    if quantiles and levels:
        raise ConfigError("thresholds are given twice", where="backtest", value=[*quantiles, *levels], expected="quantiles or levels")
    if levels:
        own["thresholds"] = Levels(**levels)
    elif quantiles:
        base = chosen.thresholds if isinstance(chosen.thresholds, Quantiles) else Quantiles()
        own["thresholds"] = replace(base, **quantiles)
    return replace(chosen, **own), BacktestOptions(**rest)


def run_on(data: BacktestData, strategy: Strategy, options: BacktestOptions) -> Backtest:
    """The backtest of a strategy on data that may be used again.

    Raises:
        ConfigError: as `pointline.Study.backtest`.
        NoDataError: the same.
    """
    study, notes = data.study, list(data.study.notes)
    pair, account = study.pair, options.account
    costs = study.params.costs if options.costs is None else options.costs
    account.capital(strategy.legs)
    if strategy.until == "delivery" and pair.perp.asset_type != "future":
        raise ConfigError(
            f"{pair.perp.name} is never delivered", where=strategy.name, value=pair.perp.asset_type, expected="a dated future"
        )
    terms = PairTerms.of(pair, quote_rate=options.quote_rate)
    bars = data.with_signal(strategy)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)  # a note of the study says it
        fills = data.fills(options.execution, strategy.legs, latency_us=options.latency_us, max_wait_us=options.max_wait_us, costs=costs)
        delivery = _delivery(data, terms, notes)
        payments = _payments(data, strategy, options, notes)
    inputs = BacktestInputs(
        bars=bars,
        fills=fills,
        terms=terms,
        costs=costs,
        account=account,
        window_us=(study.start_us, study.end_us),
        payments=payments,
        delivery=delivery,
    )
    tables = run_backtest(strategy, inputs)
    found = performance(tables.daily["equity_quote"], tables.capital_quote)
    if found.used_up:
        day = clock.date_text(int(tables.daily["date_us"][found.days - 1]))
        notes.append(f"the capital is used up on {day}: return, Sharpe ratio and drawdown are of the days up to it, amounts of all trades")
    return Backtest(
        strategy=strategy,
        options=replace(options, costs=costs),
        pair=(pair.perp.name, pair.spot.name),
        quote_asset=pair.spot.quote_asset,
        window_us=inputs.window_us,
        bars=bars.height,
        tables=tables,
        performance=found,
        capacity=_capacity(bars, tables.trades, strategy),
        notes=(*notes, *_notes(tables, strategy, replace(options, costs=costs))),
    )


def _delivery(data: BacktestData, terms: PairTerms, notes: list[str]) -> FutureDelivery | None:
    """How the future ends, with its price in the future's own quote asset."""
    found, pair = data.delivery, data.study.pair
    if found is None or found.price is None:
        return found
    notes.append("delivery is settled, and the spot sold, at the mean spot price of the half hour before it; the venue averages its index")
    if terms.inverse and not pair.quote_match:
        notes.append(f"the mean in {pair.spot.quote_asset} stands for the settlement price in {pair.perp.quote_asset}")
    return replace(found, price=found.price / terms.quote_rate)


def _payments(data: BacktestData, strategy: Strategy, options: BacktestOptions, notes: list[str]) -> Any:  # noqa: ANN401 - a function
    if strategy.legs == "spot" or data.study.pair.perp.asset_type != "perpetual":
        return None
    if options.funding == "none":
        notes.append("funding is not counted, as was asked for")
        return None
    try:
        return data.payments(max_mark_age_us=options.max_mark_age_us, perp_price_as_mark=options.perp_price_as_mark)
    except NoDataError as error:
        raise NoDataError(
            error.what,
            where=error.where,
            value=error.value,
            expected=error.expected,
            hint='ingest settled funding rates, or state that funding is not counted: funding="none" (--funding none)',
        ) from error


def _notes(tables: BacktestTables, strategy: Strategy, options: BacktestOptions) -> list[str]:
    notes = []
    shorts = int((tables.trades["spot_qty"] < 0).sum())
    if shorts and options.costs is not None and options.costs.borrow_bps_per_day == 0:
        notes.append(f"{shorts:,} trades sell the spot short, and borrowing the coin is counted at nothing: set borrow_bps_per_day")
    reasons = Counter(tables.trades["exit_reason"])
    if reasons["end_of_data"]:
        notes.append("the last trade was open when the data ended: it is closed at the last prices, with the costs of a fill")
    if reasons["margin"]:
        notes.append(
            f"{reasons['margin']:,} trades were ended because the perp passed its liquidation price; they are closed like any other "
            "decision, the venue's own liquidation price and penalty are not known here"
        )
    stand_ins = int(tables.funding["mark_source"].str.starts_with(PERP_PRICE).sum()) if tables.funding.height else 0
    if stand_ins:
        notes.append(f"{stand_ins:,} of {tables.funding.height:,} funding payments count at the perp's own price, in place of a mark price")
    if isinstance(strategy.thresholds, Levels) and strategy.until == "signal":
        notes.append("the thresholds are levels that were chosen, not fitted on the past: count every choice that was tried as a trial")
    if options.quote_rate is not None:
        notes.append(f"amounts of the perp are converted at the constant rate {options.quote_rate:g}")
    return notes


def _capacity(bars: pl.DataFrame, trades: pl.DataFrame, strategy: Strategy) -> Capacity:
    """The capacity by the volumes of the bars of the fills."""
    known = bars["bucket_end"].to_numpy()
    days = max(1.0, float(known[-1] - bars["bucket_start"][0]) / DAY_US)
    legs = []
    for leg in ("perp", "spot") if strategy.legs == "both" else (strategy.legs,):
        told = pl.coalesce(pl.col(f"{leg}_quote_volume"), pl.col(f"{leg}_volume") * pl.col(f"{leg}_close"))
        volume = bars.select(told.cast(pl.Float64)).to_series().to_numpy()
        filled = np.searchsorted(known, pl.concat([trades["entry_us"], trades["exit_us"]]).to_numpy(), side="right")
        moves = bars[f"{leg}_close"].cast(pl.Float64).drop_nulls().log().diff().drop_nulls().to_numpy()
        volatility = math.sqrt(float(np.square(moves).sum()) / days)
        total = float(np.nansum(volume)) / days
        legs.append(Liquidity(volume[np.minimum(filled, len(known) - 1)], volatility, total))
    return capacity(legs, net_edge_bps=float(trades["pnl_bps"].mean()))  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class BacktestSweep:
    """Several settings of a strategy on one comparison, each judged by how many were tried.

    Attributes:
        backtests: one per setting, in order.
        settings: what each was given.
    """

    backtests: tuple[Backtest, ...]
    settings: tuple[dict[str, Any], ...]

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row per trial: its settings, trades, profit, Sharpe ratio, and the probability deflated by all trials."""
        columns = (
            "trades",
            "pnl_quote",
            "pnl_bps",
            "total_return",
            "sharpe",
            "sharpe_error",
            "max_drawdown",
            "deflated_sharpe_probability",
        )
        rows = [
            {**{name: str(value) for name, value in setting.items()}, **{name: one.summary[name] for name in columns}}
            for setting, one in zip(self.settings, self.backtests, strict=True)
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    @property
    def best(self) -> Backtest:
        """The one with the highest Sharpe ratio, or the highest profit where none has one."""
        return max(self.backtests, key=lambda one: (_or_lowest(one.performance.sharpe), one.totals["pnl_quote"]))

    @property
    def verdict(self) -> str:
        """The best of them, judged by the number of trials."""
        return f"{len(self.backtests):,} settings were tried. The best: {self.best.verdict}"

    def view(self) -> RenderableType:
        """What the command line prints: the trials, and the best of them in full."""
        from pointline.report.backtest_view import sweep_view

        return sweep_view(self.table, self.best.view(), title=f"Sweep of {self.backtests[0].title}", verdict=self.verdict)

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        title = f"Sweep of {self.backtests[0].title}"
        return study_html(title=title, lines=[self.verdict], tables=[("Trials", self.table)], notes=self.best.notes)


def _or_lowest(sharpe: float | None) -> float:
    return -math.inf if sharpe is None else sharpe


def sweep_backtests(
    study: Compared,
    strategy: str | Strategy,
    grid: Mapping[str, Sequence[Any]],
    *,
    earlier_trials: int = 0,
    **options: Any,  # noqa: ANN401
) -> BacktestSweep:
    """Every combination of some options (see `pointline.Study.backtest_sweep`)."""
    if not grid or any(isinstance(values, str) or not len(values) for values in grid.values()):
        raise ConfigError("there is nothing to sweep", where="grid", value=dict(grid), expected='for example {"entry": [0.9, 0.95]}')
    if not is_whole(earlier_trials) or earlier_trials < 0:
        expected = "a whole number, 0 or more"
        raise ConfigError("earlier_trials is no number of trials", where="earlier_trials", value=earlier_trials, expected=expected)
    data = BacktestData(study)
    settings = tuple(dict(zip(grid, values, strict=True)) for values in product(*grid.values()))
    chosen = [settled_options(strategy, {**options, **setting}) for setting in settings]
    tried = [run_on(data, one, own) for one, own in chosen]
    ratios = [one.performance.sharpe for one in tried if one.performance.sharpe is not None]
    spread = float(np.std(ratios, ddof=1)) if len(ratios) > 1 else None
    told = {"trials": len(tried) + earlier_trials, "trial_sharpe_std": spread}
    return BacktestSweep(tuple(replace(one, options=replace(one.options, **told)) for one in tried), settings)  # type: ignore[arg-type]
