"""`Study.backtest` through a lake: what it refuses and says, that later data change nothing before, sweeps, copies."""

from __future__ import annotations

import dataclasses
import json
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from tests.trading.markets import pair_of

import pointline
from pointline.clock import MINUTE_US, to_us
from pointline.costs import CostModel
from pointline.errors import ConfigError, NoDataError
from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.research import query
from pointline.research.spines import TimeBarConfig
from pointline.simulate import MarketConfig, write_archives, write_exchange_info
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.studies.backtest_data import BacktestData
from pointline.trading.execution import EXECUTIONS
from pointline.trading.legs import PairTerms
from pointline.trading.strategy import Levels, Strategy

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake
    from pointline.studies.backtest import Backtest
    from pointline.studies.study import Study

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
START, CUT, END = "2024-05-01", "2024-05-02T09:40", "2024-05-03"
FITTED: dict[str, Any] = {"fewest_bars": 50, "refit_us": "3h", "entry": 0.9}
EASY: dict[str, Any] = {"above": 1e-5, "exit_above": 0.0}
QUOTES = """kind = "quotes"
exchange = "{}"
symbol = "BTCUSDT"
[columns]
ts_event_us = {{ column = "time", unit = "us" }}
bid_price = "bid"
bid_qty = "bid_size"
ask_price = "ask"
ask_qty = "ask_size"
"""


def add_quotes(lake: Lake, folder: Path, exchange: str, *, seed: int) -> None:
    """Two days of quotes, one in thirty seconds, with a spread of 2 bps."""
    rng = np.random.default_rng(seed)
    times = to_us(START) + np.arange(0, 2 * 86_400, 30) * 1_000_000
    mid = np.round(60_000 * np.exp(np.cumsum(rng.standard_normal(len(times))) * 2.5e-4), 1)
    rows = pl.DataFrame({"time": times, "bid": (mid - 6).round(1), "bid_size": 1, "ask": (mid + 6).round(1), "ask_size": 1})
    table, mapping = folder / f"{exchange}.csv", folder / f"{exchange}.toml"
    rows.write_csv(table)
    mapping.write_text(QUOTES.format(exchange), encoding="utf-8")
    (report,) = ingest(lake, [table], sources=all_sources("table"), hints=Hints(mapping=mapping))
    assert (report.outcome, report.problem) == ("landed", None)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    folder = tmp_path_factory.mktemp("backtest")
    market = MarketConfig(start=START, days=2, perp_trades_per_day=12_000, perp_spot_ratio=3, basis_std_bps=8)
    archives = write_archives(market, folder / "archives", datasets=("trades", "klines", "markPriceKlines", "fundingRate"))
    paths = [*write_exchange_info(market, folder / "archives"), *archives]
    found = open_lake(folder / "lake", create=True)
    reports = ingest(found, paths, sources=all_sources(), hints=Hints())
    assert {report.outcome for report in reports} == {"landed", "instruments"}
    for seed, exchange in enumerate(("binance-futures", "binance-spot")):
        add_quotes(found, folder, exchange, seed=seed)
    return found


def compared(lake: Lake, end: str = END, **options: Any) -> Study:  # noqa: ANN401
    return pointline.compare(PERP, SPOT, start=START, end=end, lake=lake, **{"bars": TimeBarConfig("5m"), **options})


@pytest.fixture(scope="module")
def study(lake: Lake) -> Study:
    return compared(lake)


@pytest.fixture(scope="module")
def demo_study(demo: Any) -> Study:  # noqa: ANN401
    return pointline.compare(PERP, SPOT, start=START, end=END, bars=TimeBarConfig("5m"), lake=demo.folder / "lake")


# --- what it tells ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("execution", EXECUTIONS)
def test_the_window_that_ends_earlier_has_the_same_trades_before(lake: Lake, study: Study, execution: str) -> None:
    whole = study.backtest(execution=execution, **FITTED)
    part = compared(lake, CUT).backtest(execution=execution, **FITTED)
    cut_us = to_us(CUT)
    closed = [one.trades.filter(pl.col("exit_us") < cut_us, pl.col("exit_reason") != "end_of_data") for one in (whole, part)]
    assert closed[0].equals(closed[1])
    assert closed[0].height > 5
    begun = [one.trades.filter(pl.col("entry_us") < cut_us)["entry_us"].to_list() for one in (whole, part)]
    assert begun[0][: len(begun[1])] == begun[1]
    assert len(begun[0]) - len(begun[1]) <= (execution in ("next_trade", "touch"))  # one leg may wait for its trade at the cut
    whole_days, part_days = (one.daily.filter(pl.col("date_us") < to_us("2024-05-02")) for one in (whole, part))
    assert whole_days.equals(part_days)
    assert (whole.trades["exit_us"] < to_us(END)).all()
    late = (whole.trades["entry_us"] - study.features["bucket_end"].gather(whole.trades["entry_bar"])).to_numpy()
    assert (late >= (0 if execution.startswith("next_bar") else 100_000)).all()


def test_fills_are_those_of_the_trades_and_quotes(lake: Lake, study: Study) -> None:
    """Each fill is looked up again in the rows of the lake."""
    for execution in ("next_trade", "touch"):
        found = study.backtest(execution=execution, latency_us="2s", **FITTED)
        assert found.trades.height > 5
        for leg, name in (("perp", PERP), ("spot", SPOT)):
            rows = (query.trades if execution == "next_trade" else query.quotes)(*name.split(":"), START, END, lake=lake)
            if execution == "next_trade":
                rows = rows.filter(~pl.col("off_book").fill_null(value=False))
            times = rows["ts_local_us"].to_numpy()
            for row in found.trades.iter_rows(named=True):
                wanted = study.features["bucket_end"][row["entry_bar"]] + 2_000_000
                if execution == "next_trade":
                    expected = rows["price"][int(np.searchsorted(times, wanted))]
                else:
                    at = int(np.searchsorted(times, wanted, side="right")) - 1
                    expected = (rows["bid_price"][at] + rows["ask_price"][at]) / 2
                assert row[f"{leg}_entry_price"] == pytest.approx(expected, rel=1e-12)
    spread = found.trades["slippage_quote"].sum() / (found.daily["traded_quote"].sum() * 1e-4)
    assert spread == pytest.approx(1.0, abs=0.1)  # 6 of about 60,000 a fill, in place of 2 and 3 bps


def test_an_order_that_arrives_after_the_window_is_not_filled(study: Study) -> None:
    options: dict[str, Any] = {"latency_us": 100_000, "max_wait_us": 60_000_000, "costs": CostModel()}
    for execution in EXECUTIONS:
        filled = BacktestData(study).fills(execution, "both", **options).filled
        assert filled[:-1].any()
        assert not filled[-1]


def test_funding_is_charged_and_can_be_left_out(study: Study) -> None:
    held = study.backtest("cash_and_carry", **EASY)
    assert held.strategy.until == "end"
    assert held.funding["funding_us"].to_list() == [
        to_us(f"2024-05-{at}") for at in ("01T08:00", "01T16:00", "02T00:00", "02T08:00", "02T16:00")
    ]
    assert held.totals["funding_quote"] == pytest.approx(held.funding["cash"].sum(), rel=1e-12)
    assert held.totals["funding_quote"] > 0
    without = study.backtest("cash_and_carry", funding="none", **EASY)
    assert (without.totals["funding_quote"], without.funding.height) == (0, 0)
    assert any("funding is not counted" in note for note in without.notes)
    assert any("open when the data ended" in note for note in held.notes)
    difference = held.totals["pnl_quote"] - without.totals["pnl_quote"]
    assert difference == pytest.approx(held.totals["funding_quote"], rel=1e-9)


def test_the_spot_alone_pays_no_funding_and_no_withdrawal(study: Study) -> None:
    found = study.backtest("momentum_divergence", above=2e-4, exit_above=0.0, below=-2e-4, exit_below=0.0)
    assert found.funding.height == 0
    assert (found.trades["perp_qty"] == 0).all()
    expected = found.daily["traded_quote"].sum() * 10 / 1e4
    assert found.totals["fees_quote"] == pytest.approx(expected, rel=1e-9)
    assert found.trades["nearest_liquidation"].null_count() == found.trades.height


def test_a_backtest_can_be_pickled_and_told(study: Study) -> None:
    found = study.backtest(**FITTED)
    again: Backtest = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own
    assert again.trades.equals(found.trades)
    assert again.summary == found.summary
    assert again.verdict == found.verdict
    json.dumps(dict(found.summary), allow_nan=False)
    assert "<table" in found._repr_html_()
    assert found.profitable is None
    assert "Too few days" in found.verdict


def test_twice_the_same(study: Study) -> None:
    assert study.backtest(**FITTED).trades.equals(study.backtest(**FITTED).trades)


def test_sweeps_count_their_trials(study: Study) -> None:
    swept = study.backtest_sweep(
        "funding_basis_divergence", {"entry": [0.8, 0.9], "exit": [0.5, 0.6]}, earlier_trials=3, **{**FITTED, "entry": 0.7}
    )
    assert [one["entry"] for one in swept.settings] == [0.8, 0.8, 0.9, 0.9]
    assert swept.table.height == 4
    assert all(one.options.trials == 7 for one in swept.backtests)
    alone = study.backtest(**{**FITTED, "entry": 0.9, "exit": 0.6})
    assert swept.backtests[3].trades.equals(alone.trades)
    assert swept.best.totals["pnl_quote"] == max(one.totals["pnl_quote"] for one in swept.backtests)
    assert "4 settings were tried" in swept.verdict


def test_the_best_of_a_sweep_may_have_a_ratio_of_zero(study: Study) -> None:
    swept = study.backtest_sweep("funding_basis_divergence", {"entry": [0.8, 0.9]}, fewest_bars=50, refit_us="3h")
    ratios = (0.0, -2.0)
    judged = [
        dataclasses.replace(one, performance=dataclasses.replace(one.performance, sharpe=ratio))
        for one, ratio in zip(swept.backtests, ratios, strict=True)
    ]
    assert dataclasses.replace(swept, backtests=tuple(judged)).best.performance.sharpe == 0.0


# --- what it refuses ----------------------------------------------------------------------------------------------------------------

OWN = Strategy(name="own", text="", signal="basis_bps", thresholds=Levels(above=0.0))


@pytest.mark.parametrize(
    ("strategy", "options", "told"),
    [
        ("funding_basis_divergance", {}, "no such strategy"),
        ("basis_temporary", {"executions": "touch"}, "no such option"),
        ("basis_temporary", {"execution": "next_week"}, "no such execution"),
        ("basis_temporary", {"entry": 0.9, "above": 1.0}, "given twice"),
        ("basis_temporary", {"above": None}, "no level opens"),
        ("basis_temporary", {"above": 1e9}, "never trade"),
        ("basis_temporary", {"above": float("nan")}, "no level"),
        ("basis_temporary", {"above": 0.0, "exit_above": 1.0}, "end where it begins"),
        ("basis_temporary", {"entry": 1.0}, "no quantile"),
        ("basis_temporary", {"entry": 0.6, "exit": 0.7}, "end where it begins"),
        ("basis_temporary", {"fewest_bars": 1}, "fewest_bars"),
        ("basis_temporary", {"fewest_bars": 100_000}, "too few bars"),
        ("basis_temporary", {"refit_us": 60}, "no unit"),
        ("basis_temporary", {"max_holding_us": "-1h"}, "max_holding_us"),
        (OWN, {"capital_quote": 0.0}, "capital_quote"),
        (OWN, {"capital_quote": -1.0}, "capital_quote"),
        (OWN, {"capital_quote": 100.0}, "less than one trade"),
        (OWN, {"capital_quote": "1000"}, "capital_quote"),
        (OWN, {"notional_quote": 0.0}, "notional_quote"),
        (OWN, {"notional_quote": None}, "notional_quote"),
        (OWN, {"notional_quote": 1.0}, "smaller than one step"),
        (OWN, {"leverage": 0.0}, "leverage"),
        (OWN, {"leverage": 5_000.0}, "leverage"),
        (OWN, {"leverage": True}, "leverage"),
        (OWN, {"maintenance_margin": 0.4}, "maintenance_margin"),
        (OWN, {"maintenance_margin": -0.1}, "maintenance_margin"),
        (OWN, {"funding": "estimated"}, "funding"),
        (OWN, {"costs": 10}, "costs"),
        (OWN, {"trials": 0}, "trials"),
        (OWN, {"trial_sharpe_std": "1"}, "trial_sharpe_std"),
        (OWN, {"quote_rate": 1.0}, "quote_rate"),
        (OWN, {"quote_rate": "1"}, "quote_rate"),
        (OWN, {"until": "forever"}, "until"),
        (OWN, {"until": "delivery"}, "never delivered"),
        ("cash_and_carry_dated", {}, "never delivered"),
        (dataclasses.replace(OWN, signal="basis"), {}, "no column"),
        (dataclasses.replace(OWN, signal="funding_source"), {}, "no number"),
        (dataclasses.replace(OWN, minus="basis"), {}, "no column"),
        (OWN, {"max_wait_us": -5}, "max_wait_us"),
        (OWN, {"latency_us": "100"}, "latency_us"),
    ],
)
def test_what_cannot_be_is_refused(study: Study, strategy: Any, options: dict[str, Any], told: str) -> None:  # noqa: ANN401
    with pytest.raises(ConfigError, match=told):
        study.backtest(strategy, **options)


def test_a_signal_without_values_is_refused(study: Study) -> None:
    nothing = [name for name in study.columns if study.features[name].null_count() == study.features.height]
    numbers = [name for name in nothing if study.features.schema[name].is_numeric()]
    assert numbers
    with pytest.raises(ConfigError, match="no value at any bar"):
        study.backtest(dataclasses.replace(OWN, signal=numbers[0]))


def test_strategies_are_checked_when_they_are_made() -> None:
    for wrong in ({"high": "up"}, {"legs": "all"}, {"sides": ()}, {"sides": ("both",)}, {"thresholds": 3.0}, {"until": "never"}):
        with pytest.raises(ConfigError):
            dataclasses.replace(OWN, **wrong)


def test_sweeps_of_nothing_are_refused(study: Study) -> None:
    for grid in ({}, {"entry": []}, {"entry": "0.9"}):
        with pytest.raises(ConfigError, match="nothing to sweep"):
            study.backtest_sweep("basis_temporary", grid)
    for wrong in (-1, 1.5, True):
        with pytest.raises(ConfigError, match="earlier_trials"):
            study.backtest_sweep("basis_temporary", {"entry": [0.9]}, earlier_trials=wrong)


def test_quotes_that_the_lake_does_not_have(demo_study: Study) -> None:
    with pytest.raises(NoDataError, match="no quotes"):
        demo_study.backtest(execution="touch", **FITTED)


def test_candles_do_not_tell_the_next_trade(lake: Lake) -> None:
    candles = compared(lake, events="candles_1m")
    with pytest.raises(ConfigError, match="next_bar_vwap or next_bar_open"):
        candles.backtest(execution="next_trade", **FITTED)
    assert candles.backtest(execution="next_bar_open", **FITTED).trades.height > 5


def test_a_spot_with_a_spine_of_its_own(lake: Lake) -> None:
    dual = compared(lake, spot_bars=TimeBarConfig("10m"))
    with pytest.raises(ConfigError, match="spine of its own"):
        dual.backtest(execution="next_bar_vwap", **FITTED)
    assert dual.backtest(execution="next_trade", **FITTED).trades.height > 5


def test_settlements_that_the_lake_does_not_have(tmp_path: Path) -> None:
    market = MarketConfig(start=START, days=1, perp_trades_per_day=3_000, perp_spot_ratio=1)
    paths = write_archives(market, tmp_path / "archives", datasets=("trades",))
    lake = open_lake(tmp_path / "lake", create=True)
    ingest(lake, [*write_exchange_info(market, tmp_path / "archives"), *paths], sources=all_sources(), hints=Hints())
    found = compared(lake, "2024-05-02")
    own = dataclasses.replace(OWN, thresholds=Levels(above=-1_000.0))
    with pytest.raises(NoDataError, match="no funding") as refused:
        found.backtest(own)
    assert 'funding="none"' in str(refused.value.hint)
    assert found.backtest(own, funding="none").trades.height == 1


def test_a_pair_of_two_quotes_needs_a_rate() -> None:
    for rate in (None, 0.0, -1.0, float("nan"), float("inf"), "1"):
        with pytest.raises(ConfigError, match=r"quote_rate|is quoted in"):
            PairTerms.of(pair_of(perp_quote="USDC"), quote_rate=rate)  # type: ignore[arg-type]
    assert PairTerms.of(pair_of(perp_quote="USDC"), quote_rate=0.99).quote_rate == 0.99
    with pytest.raises(ConfigError, match="quote_rate"):
        PairTerms.of(pair_of(inverse=True), quote_rate=1.0)
    assert PairTerms.of(pair_of(inverse=True)).inverse


def test_quantities_are_whole_steps() -> None:
    """0.3 is three steps of 0.1 although its binary fraction is less; 0.29 is two. Contracts of 10 coins have steps of 10."""
    terms = PairTerms(perp_step=0.1, spot_step=0.1)
    for notional, steps in ((30.0, 3), (30.000000000000004, 3), (29.0, 2), (10.0 * (0.1 + 0.2) * 10, 3), (70.0, 7), (9.99, 0)):
        perp, spot = terms.quantities("both", np.array([1.0]), notional, np.array([100.0]), np.array([100.0]))
        assert (perp[0], spot[0]) == (round(steps / 10, 12), -round(steps / 10, 12))
    contracts = PairTerms.of(pair_of(contract_size=10.0, qty_increment=1.0))
    assert (contracts.perp_step, contracts.contract_size) == (10.0, 1.0)
    inverse = PairTerms.of(pair_of(inverse=True))
    perp, spot = inverse.quantities("both", np.array([-1.0]), 1_000.0, np.array([60_000.0]), np.array([60_000.0]))
    assert (perp[0], spot[0]) == (-10.0, pytest.approx(10 * 100 / 60_000, abs=1e-5))


def test_capacity_without_volumes(study: Study) -> None:
    found = study.backtest(**FITTED)
    assert found.capacity.by_volume is not None
    assert 0 < found.capacity.by_volume[0] < found.capacity.by_volume[1]
    free = study.backtest(
        costs=CostModel(perp_taker_bps=0, perp_slippage_bps=0, spot_taker_bps=0, spot_slippage_bps=0, withdrawal_bps=0), **FITTED
    )
    assert free.totals["pnl_quote"] == pytest.approx(
        free.totals["perp_price_quote"] + free.totals["spot_price_quote"] + free.totals["funding_quote"]
    )


def test_every_minute_of_two_days_takes_seconds(lake: Lake) -> None:
    found = compared(lake, bars=TimeBarConfig("1m")).backtest(max_holding_us="30m", **{**FITTED, "refit_us": "1h"})
    assert (found.trades["exit_us"] - found.trades["entry_us"]).max() <= 45 * MINUTE_US  # type: ignore[operator]


def test_the_chart_is_drawn_from_the_days_and_written(study: Study, tmp_path: Path) -> None:
    found = study.backtest("cash_and_carry")
    figure = found.chart(tmp_path / "equity.html")
    assert figure.data[0].y[-1] == pytest.approx(found.daily["equity_quote"][-1])
    assert (tmp_path / "equity.html").stat().st_size > 1_000_000
    with pytest.raises(ConfigError, match="the chart cannot be written there"):
        found.chart(tmp_path / "equity.pdf")
