"""What must hold of any backtest: symmetries, known sums, and that later data change nothing before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.trading import backtest_loop as loop
from tests.trading.markets import DAY_US, HOUR_US, START_US, Case, cases, inputs_of, payments_of, strategy_of

from pointline.costs import CostModel
from pointline.errors import ConfigError
from pointline.trading.accounting import TERMS
from pointline.trading.backtest import Account, BacktestInputs, BacktestTables, FutureDelivery, run_backtest
from pointline.trading.execution import Fills, next_bar_fills, next_trade_fills, touch_fills
from pointline.trading.legs import PairTerms
from pointline.trading.strategy import Levels, Strategy

MONEY = (*TERMS, "pnl_quote", "basis_quote", "unhedged_quote")
FREE = CostModel(perp_taker_bps=0, spot_taker_bps=0, perp_slippage_bps=0, spot_slippage_bps=0, withdrawal_bps=0)
NO_SHRINKING = (Phase.explicit, Phase.generate)


def tables(case: Case) -> BacktestTables | None:
    try:
        return run_backtest(strategy_of(case.rules), inputs_of(case))
    except ConfigError:
        return None


def changed(case: Case, **rules: object) -> Case:
    return replace(case, rules=replace(case.rules, **rules))  # type: ignore[arg-type]


@settings(phases=NO_SHRINKING)
@given(case=cases())
def test_flipping_every_sign_flips_the_profit(case: Case) -> None:
    free = {"fee_bps": (0.0, 0.0), "slippage_bps": (0.0, 0.0), "withdrawal_bps": 0.0, "borrow_bps": 0.0, "leverage": None}
    ways = {"high_is_long": not case.rules.high_is_long, "sides": tuple(-side for side in case.rules.sides)}
    found, flipped = tables(changed(case, **free)), tables(changed(case, **free, **ways))
    assert (found is None) == (flipped is None)
    if found is None or flipped is None:
        return
    for name in MONEY:
        np.testing.assert_allclose(flipped.trades[name], -found.trades[name], rtol=0, atol=1e-9)
        np.testing.assert_allclose(flipped.daily[name], -found.daily[name], rtol=0, atol=1e-9)


@settings(phases=NO_SHRINKING)
@given(case=cases())
def test_two_positions_of_half_are_one(case: Case) -> None:
    whole = tables(changed(case, perp_step=None, spot_step=None))
    half = tables(changed(case, perp_step=None, spot_step=None, notional=case.rules.notional / 2))
    assert (whole is None) == (half is None)
    if whole is None or half is None:
        return
    for name in (*MONEY, "perp_qty", "spot_qty"):
        np.testing.assert_allclose(2 * half.trades[name], whole.trades[name], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(half.trades["pnl_bps"], whole.trades["pnl_bps"], rtol=1e-9, atol=1e-9)


@settings(phases=NO_SHRINKING, max_examples=100)
@given(case=cases(), cut=st.integers(1, 30))
def test_bars_after_the_cut_change_nothing_before_it(case: Case, cut: int) -> None:
    """Positions that were begun or closed before the cut are the same, whether at the next bar's vwap or its first price."""
    bars = case.bars[:cut]
    end_us = bars[-1].end
    whole, part = tables(case), tables(changed(replace(case, bars=bars), window_us=(case.bars[0].start, end_us)))
    assert_same_before(whole, part, end_us)


def assert_same_before(whole: BacktestTables | None, part: BacktestTables | None, end_us: int) -> None:
    empty = pl.DataFrame(schema={"entry_us": pl.Int64, "exit_us": pl.Int64, "exit_reason": pl.String})
    both = [empty if one is None else one.trades for one in (whole, part)]
    closed = [rows.filter(pl.col("exit_us") < end_us, pl.col("exit_reason") != "end_of_data") for rows in both]
    if closed[0].height + closed[1].height:
        assert closed[0].equals(closed[1])
    begun = [rows.filter(pl.col("entry_us") < end_us) for rows in both]
    assert begun[0].height == begun[1].height
    if begun[0].height:
        at_entry = [
            name for name in begun[0].columns if name.startswith(("entry", "side", "trade_id")) or name.endswith(("_qty", "entry_price"))
        ]
        assert begun[0].select(at_entry).equals(begun[1].select(at_entry))


# --- the ticks of a small market, cut -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("execution", ["next_trade", "touch"])
@pytest.mark.parametrize("seed", range(5))
def test_ticks_after_the_cut_change_nothing_before_it(execution: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known_us = START_US + np.arange(1, 201) * 60_000_000
    signal = rng.standard_normal(200)
    close = 100 + np.cumsum(rng.standard_normal(200)) / 10
    ticks = {leg: START_US + np.sort(rng.integers(0, 200 * 60_000_000, 900)) for leg in ("perp", "spot")}
    price = {leg: 100 + rng.standard_normal(900) for leg in ticks}

    def found(stop: int) -> BacktestTables:
        end_us = int(known_us[stop - 1])
        bars = pl.DataFrame({"bucket_start": known_us - 60_000_000, "bucket_end": known_us, "signal": signal})
        bars = bars.with_columns(pl.Series(name, close) for name in ("perp_close", "spot_close", "perp_low", "perp_high"))[:stop]
        wanted = known_us[:stop] + 100_000
        legs = []
        for leg, times in ticks.items():
            n = int(np.searchsorted(times, end_us))
            if execution == "touch":
                quotes = (times[:n], price[leg][:n] - 0.1, price[leg][:n] + 0.1)
                fill = touch_fills(wanted, [quotes], max_age_us=20_000_000)
                at_us = np.where(wanted < end_us, fill.at_us, -1)  # as the study does: later quotes are not known
                legs.append(replace(fill, at_us=at_us))
            else:
                legs.append(next_trade_fills(wanted, [(times[:n], price[leg][:n])], max_wait_us=20_000_000, slippage_bps=1.0))
        inputs = BacktestInputs(bars=bars, fills=Fills(*legs), account=Account(leverage=None), window_us=(START_US, end_us))
        return run_backtest(Strategy(name="x", text="", signal="signal", thresholds=Levels(above=1.0, exit_above=-0.5)), inputs)

    whole = found(200)
    assert whole.trades.height > 3
    for stop in (97, 120, 150):
        end_us, part = int(known_us[stop - 1]), found(stop)
        done = whole.trades.filter(pl.col("exit_us") < end_us)
        assert done.equals(part.trades.filter(pl.col("exit_reason") != "end_of_data")[: done.height])
        # an order of which one leg waits for its trade at the cut is not a position yet
        assert part.trades["entry_us"].to_list() == whole.trades["entry_us"].to_list()[: part.trades.height]
        assert part.trades.height >= done.height


# --- known sums ---------------------------------------------------------------------------------------------------------------------


def hourly(perp: list[float], spot: list[float], signal: list[float], *, step_us: int = HOUR_US) -> list[loop.Bar]:
    rows = zip(perp, spot, signal, strict=True)
    return [loop.Bar(START_US + k * step_us, START_US + (k + 1) * step_us, p, s, p, s, p, p, told) for k, (p, s, told) in enumerate(rows)]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("at_open", [False, True])
def test_a_round_trip_at_a_constant_difference_earns_the_funding(side: int, at_open: bool) -> None:
    """Prices wander, perp - spot = 5 always; quantities are equal; nothing costs anything. What is left is the funding."""
    rng = np.random.default_rng(4)
    spot = (1_000 + np.cumsum(rng.standard_normal(72))).tolist()
    bars = hourly([price + 5 for price in spot], spot, [float(10 <= k < 50) for k in range(72)])
    settlements = [loop.Settlement(START_US + k * 8 * HOUR_US, 0.0001 * (k + 1), 990.0 + k) for k in range(-1, 11)]
    rules = loop.Rules(
        levels=(0.5, 0.5, None, None), high_is_long=side == 1, sides=(side,), at_open=at_open, window_us=(bars[0].start, bars[-1].end)
    )
    found = tables(Case(bars, rules, settlements))
    assert found is not None
    row = found.trades.row(0, named=True)
    assert row["perp_qty"] == -row["spot_qty"]
    # decided at the end of the bars of hours 10 and 50, so at 11:00 and on the third day at 03:00: stamps 16, 24, 32, 40, 48 h
    expected = sum(-row["perp_qty"] * 0.0001 * (k + 1) * (990 + k) for k in (2, 3, 4, 5, 6))
    assert found.trades.height == 1
    assert row["pnl_quote"] == pytest.approx(expected, rel=1e-9)
    assert row["funding_quote"] == pytest.approx(expected, rel=1e-12)
    assert np.sign(row["pnl_quote"]) == -side


def delivered(terms: PairTerms, *, future: float, spot: float, settles: float, quote_rate: float = 1.0) -> BacktestTables:
    """A carry that is entered in the second of ten hours and delivered at the end of the eighth."""
    path = np.linspace(spot, settles * 0.97, 10)
    bars = pl.DataFrame(
        {
            "bucket_start": START_US + np.arange(10) * HOUR_US,
            "bucket_end": START_US + np.arange(1, 11) * HOUR_US,
            "perp_close": path * terms.price_factor / quote_rate,
            "spot_close": path,
            "signal": np.ones(10),
        }
    ).with_columns(perp_vwap=pl.lit(future), spot_vwap=pl.lit(spot))
    fills = next_bar_fills(bars, price="vwap", legs="both", max_wait_us=0, slippage_bps=(0.0, 0.0))
    inputs = BacktestInputs(
        bars=bars,
        fills=fills,
        terms=terms,
        costs=FREE,
        account=Account(notional_quote=1_000.0, leverage=None),
        window_us=(START_US, START_US + 10 * HOUR_US),
        delivery=FutureDelivery(expiry_us=START_US + 8 * HOUR_US, price=settles * terms.price_factor / quote_rate),
    )
    strategy = Strategy(name="x", text="", signal="signal", high="short", sides=("short",), thresholds=Levels(above=0.0), until="delivery")
    return run_backtest(strategy, inputs)


@pytest.mark.parametrize(("factor", "rate"), [(1.0, 1.0), (1_000.0, 1.0), (1.0, 0.98)])
def test_a_linear_carry_to_delivery_earns_the_basis(factor: float, rate: float) -> None:
    """The future is 102 spot units dear when the spot is at 100; both end at 130: 2 a coin, whatever the quote rate."""
    found = delivered(
        PairTerms(price_factor=factor, quote_rate=rate), future=102.0 * factor / rate, spot=100.0, settles=130.0, quote_rate=rate
    )
    row = found.trades.row(0, named=True)
    assert (row["exit_reason"], row["exit_us"], found.trades.height) == ("delivery", START_US + 8 * HOUR_US, 1)
    assert row["spot_qty"] == pytest.approx(-row["perp_qty"] * factor)
    assert row["spot_exit_price"] == pytest.approx(130.0)
    assert row["pnl_quote"] == pytest.approx(row["spot_qty"] * 2.0, rel=1e-12)
    assert row["unhedged_quote"] == pytest.approx(0, abs=1e-9)


def test_an_inverse_carry_to_delivery_earns_the_basis() -> None:
    """Sold N contracts of 10 at 102, bought q coins at 100; at 130 the coins of both are sold: N 10 130 (1/130 - 1/102) + 30 q."""
    found = delivered(PairTerms(inverse=True, contract_size=10.0), future=102.0, spot=100.0, settles=130.0)
    row = found.trades.row(0, named=True)
    contracts, coins = row["perp_qty"], row["spot_qty"]
    assert (contracts, coins) == pytest.approx((-100.0, 10.0))  # sized at the closes of 100
    # -100 * 10 * (1/102 - 1/130) coins = -2.1116... at 130; and ten coins that rose by 30
    assert row["perp_price_quote"] == pytest.approx(-1_000 * (1 / 102 - 1 / 130) * 130, rel=1e-12)
    assert row["pnl_quote"] == pytest.approx(300 - 1_000 * 130 * (1 / 102 - 1 / 130), rel=1e-9)
    # hedged coin for coin, 1000/102 of them, it would be the basis of 2 a coin on 1000/102 coins at 130/... the rest is unhedged
    assert row["unhedged_base"] == pytest.approx(10 - 1_000 / 102, rel=1e-12)
    assert row["basis_quote"] == pytest.approx(1_000 / 102 * 2, rel=1e-9)


# --- costs --------------------------------------------------------------------------------------------------------------------------


def test_a_random_signal_loses_the_costs_on_average() -> None:
    """200 markets without drift and a signal that knows nothing: profit before costs is zero within its error, after it is the cost."""
    gross, net = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = 400
        spot = 100 * np.exp(np.cumsum(rng.standard_normal(n)) * 1e-3)
        basis = 1e-3 * rng.standard_normal(n)
        bars = hourly((spot * (1 + basis)).tolist(), spot.tolist(), rng.standard_normal(n).tolist())
        rules = loop.Rules(
            levels=(1.0, 0.0, -1.0, 0.0), fee_bps=(5.0, 10.0), slippage_bps=(2.0, 3.0), window_us=(bars[0].start, bars[-1].end)
        )
        inputs = replace(inputs_of(Case(bars, rules, [loop.Settlement(START_US, 0.0, 1.0)])), payments=None)
        trades = run_backtest(strategy_of(rules), inputs).trades
        net.append(trades["pnl_quote"].sum() / trades.height)
        gross.append((trades["perp_price_quote"] + trades["spot_price_quote"]).sum() / trades.height)
    error = np.std(gross, ddof=1) / np.sqrt(len(gross))
    assert abs(np.mean(gross)) < 3 * error
    cost = 1_000 * 40e-4  # four fills of 7, 7, 13 and 13 bps
    assert abs(np.mean(net) + cost) < 3 * error
    assert error < cost / 20


def test_each_cost_is_counted_once() -> None:
    """Notional 1,000 at constant prices of 100, ten coins each: fees and slippage on four fills, one withdrawal, borrowing for two days."""
    bars = hourly([100.0] * 72, [100.0] * 72, [1.0] * 60 + [0.0] * 12)
    rules = loop.Rules(
        levels=(0.5, 0.5, None, None),
        fee_bps=(5.0, 10.0),
        slippage_bps=(2.0, 3.0),
        withdrawal_bps=8.0,
        borrow_bps=12.0,
        window_us=(bars[0].start, bars[-1].end),
    )
    inputs = replace(inputs_of(Case(bars, rules, [loop.Settlement(START_US, 0.0, 1.0)])), payments=None)
    found = run_backtest(strategy_of(rules), inputs)
    row = found.trades.row(0, named=True)
    # long perp, short spot; filled at the last instants of the bars of hours 1 and 61: 60 hours
    assert (row["perp_qty"], row["spot_qty"], row["holding_hours"]) == (10.0, -10.0, 60.0)
    assert row["fees_quote"] == pytest.approx(1_000 * (5 + 5 + 10 + 10 + 8) / 1e4)
    assert row["slippage_quote"] == pytest.approx(1_000 * (2 + 2 + 3 + 3) / 1e4)
    assert row["borrow_quote"] == pytest.approx(1_000 * 12 / 1e4 * 2.5)
    assert row["pnl_quote"] == pytest.approx(-(3.8 + 1.0 + 3.0))
    assert found.daily["fees_quote"].to_list() == pytest.approx([1.5, 0.0, 2.3])
    assert found.daily["borrow_quote"].to_list() == pytest.approx([1.2 * 22 / 24, 1.2, 1.2 * 14 / 24])
    assert found.daily["traded_quote"].to_list() == pytest.approx([2_000, 0, 2_000])
    assert found.daily["date_us"].to_list() == [START_US, START_US + DAY_US, START_US + 2 * DAY_US]


def test_payments_are_those_of_the_positions() -> None:
    bars = hourly([100.0] * 30, [100.0] * 30, [1.0] * 30)
    rules = loop.Rules(levels=(0.5, 0.5, None, None), window_us=(bars[0].start, bars[-1].end))
    settlements = [loop.Settlement(START_US + k * 8 * HOUR_US, 0.001, 100.0) for k in range(-1, 6)]
    seen: list[pl.DataFrame] = []
    case = Case(bars, rules, settlements)
    inputs = inputs_of(case)
    paid = payments_of(rules, settlements)
    run_backtest(strategy_of(rules), replace(inputs, payments=lambda positions: (seen.append(positions), paid(positions))[1]))
    assert seen[0].rows() == [(0, START_US + 2 * HOUR_US - 1, START_US + 30 * HOUR_US - 1, 10.0)]
