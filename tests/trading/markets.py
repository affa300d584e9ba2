"""Small random markets and rules for the plain loop, and the same given to the package."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl
from hypothesis import strategies as st
from tests.trading import backtest_loop as loop

from pointline.costs import CostModel
from pointline.instruments.instrument import Instrument
from pointline.instruments.pairs import Pair
from pointline.trading.backtest import Account, BacktestInputs
from pointline.trading.execution import next_bar_fills
from pointline.trading.funding_flows import MARKS_SCHEMA, FundingTerms, funding_cash_flows
from pointline.trading.legs import PairTerms
from pointline.trading.strategy import Levels, Quantiles, Strategy

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
START_US = 19_844 * DAY_US  # 2024-05-01
LEGS = ("both", "perp", "spot")


@dataclass
class Case:
    """A market and its rules."""

    bars: list[loop.Bar]
    rules: loop.Rules
    settlements: list[loop.Settlement]


def frame_of(bars: list[loop.Bar], price: str) -> pl.DataFrame:
    """The bars as the columns that a backtest reads."""
    floats = ("perp", "spot", "perp_close", "spot_close", "perp_low", "perp_high", "signal")
    schema = {"start": pl.Int64, "end": pl.Int64} | dict.fromkeys(floats, pl.Float64)
    frame = pl.DataFrame(bars, schema=schema, orient="row")
    return frame.rename({"start": "bucket_start", "end": "bucket_end", "perp": f"perp_{price}", "spot": f"spot_{price}"})


def strategy_of(rules: loop.Rules) -> Strategy:
    thresholds: Levels | Quantiles
    if rules.levels is not None:
        thresholds = Levels(**dict(zip(("above", "exit_above", "below", "exit_below"), rules.levels, strict=True)))
    else:
        thresholds = Quantiles(
            entry=rules.entry, exit=rules.exit, refit_us=rules.refit_us, lookback_us=rules.lookback_us, fewest_bars=rules.fewest
        )
    return Strategy(
        name="random",
        text="",
        signal="signal",
        high="long" if rules.high_is_long else "short",
        legs=rules.legs,  # type: ignore[arg-type]
        sides=tuple("long" if side == 1 else "short" for side in rules.sides),
        thresholds=thresholds,
        max_holding_us=rules.max_holding_us,
        until="end" if rules.until_end else "signal",
    )


def payments_of(rules: loop.Rules, settlements: list[loop.Settlement]) -> Callable[[pl.DataFrame], pl.DataFrame]:
    columns: dict[str, Any] = {
        "funding_us": [one.us for one in settlements],
        "funding_rate": [one.rate for one in settlements],
        "interval_hours": [8.0] * len(settlements),
        "mark_price": [one.mark for one in settlements],
    }
    rows, kind = pl.DataFrame(columns), "inverse" if rules.inverse else "linear"
    terms = FundingTerms(contract_type=kind, contract_size=rules.contract_size, settle_asset="X", quote_asset="Y")  # type: ignore[arg-type]
    end_us = max(rules.window_us[1], settlements[-1].us)
    return lambda positions: funding_cash_flows(positions, rows, pl.DataFrame(schema=MARKS_SCHEMA), terms=terms, data_end_us=end_us)


def inputs_of(case: Case) -> BacktestInputs:
    """The same market for `run_backtest`; raises as `next_bar_fills`."""
    rules, price = case.rules, "open" if case.rules.at_open else "vwap"
    bars = frame_of(case.bars, price)
    fills = next_bar_fills(bars, price=price, legs=rules.legs, max_wait_us=rules.max_wait_us, slippage_bps=rules.slippage_bps)  # type: ignore[arg-type]
    terms = PairTerms(
        inverse=rules.inverse,
        contract_size=rules.contract_size,
        price_factor=rules.factor,
        quote_rate=rules.quote_rate,
        perp_step=rules.perp_step,
        spot_step=rules.spot_step,
    )
    costs = CostModel(
        perp_taker_bps=rules.fee_bps[0],
        spot_taker_bps=rules.fee_bps[1],
        perp_slippage_bps=rules.slippage_bps[0],
        spot_slippage_bps=rules.slippage_bps[1],
        withdrawal_bps=rules.withdrawal_bps,
        borrow_bps_per_day=rules.borrow_bps,
    )
    account = Account(
        notional_quote=rules.notional, leverage=rules.leverage, maintenance_margin=rules.maintenance, capital_quote=rules.capital
    )
    return BacktestInputs(
        bars=bars,
        fills=fills,
        terms=terms,
        costs=costs,
        account=account,
        window_us=rules.window_us,
        payments=payments_of(rules, case.settlements),
    )


@st.composite
def bars_of(draw: st.DrawFn, factor: float, *, least: int = 6, most: int = 30) -> list[loop.Bar]:
    """Bars of uneven length with holes between them, untraded legs, missing closes and signals."""
    now = START_US + draw(st.integers(0, 2 * DAY_US))
    spot, found = 100.0, []
    thousandths = st.integers(-30, 30).map(lambda n: 1 + n / 1000)
    for _ in range(draw(st.integers(least, most))):
        now += draw(st.sampled_from([0, 0, 0, 0, HOUR_US, 10 * HOUR_US]))
        end = now + draw(st.sampled_from([1, HOUR_US, 4 * HOUR_US, 8 * HOUR_US, 13 * HOUR_US]))
        end += (-end) % (8 * HOUR_US) if draw(st.booleans()) else 0  # on a settlement, often at midnight
        spot *= draw(thousandths)
        perp = spot * factor * draw(thousandths)
        perp_fill, spot_fill = (price * draw(thousandths) if draw(st.integers(0, 4)) else None for price in (perp, spot))
        perp_close, spot_close = (price if draw(st.integers(0, 5)) else None for price in (perp, spot))
        low, high = ((perp * (1 + side * draw(st.integers(0, 40)) / 1000)) if perp_fill else None for side in (-1, 1))
        signal = draw(st.one_of(st.none(), st.integers(-5, 5).map(float), st.integers(-5, 5).map(float)))
        found.append(loop.Bar(now, end, perp_fill, spot_fill, perp_close, spot_close, low, high, signal))
        now = end
    return found


@st.composite
def rules_of(draw: st.DrawFn, bars: list[loop.Bar], factor: float) -> loop.Rules:
    inverse = factor == 1.0 and draw(st.booleans())
    levels = draw(st.sampled_from([None, (1.0, 0.0, -1.0, 0.0), (2.0, None, None, None), (None, None, 0.0, 1.0), (0.0, 0.0, -2.0, None)]))
    bps = st.integers(0, 20).map(float)
    steps = st.sampled_from([None, 0.001, 0.1])
    return loop.Rules(
        legs=draw(st.sampled_from(LEGS)),
        high_is_long=draw(st.booleans()),
        sides=draw(st.sampled_from([(1, -1), (1,), (-1,)])),
        levels=levels,
        entry=draw(st.sampled_from([0.5, 0.7, 0.9])),
        refit_us=draw(st.sampled_from([HOUR_US, 8 * HOUR_US, 5 * HOUR_US])),
        lookback_us=draw(st.sampled_from([None, 12 * HOUR_US, 30 * HOUR_US])),
        fewest=draw(st.integers(2, 4)),
        max_holding_us=draw(st.sampled_from([None, HOUR_US, 20 * HOUR_US])),
        until_end=draw(st.integers(0, 4)) == 0,
        at_open=draw(st.booleans()),
        max_wait_us=draw(st.sampled_from([0, 2 * HOUR_US, 30 * HOUR_US])),
        leverage=draw(st.sampled_from([None, 1.0, 10.0, 50.0])),
        maintenance=draw(st.sampled_from([0.0, 0.005])),
        inverse=inverse,
        contract_size=10.0 if inverse else 1.0,
        factor=factor,
        quote_rate=1.0 if inverse else draw(st.sampled_from([1.0, 0.5])),
        perp_step=draw(st.sampled_from([None, 1.0])) if inverse else draw(steps),
        spot_step=draw(steps),
        fee_bps=(draw(bps), draw(bps)),
        slippage_bps=(draw(bps), draw(bps)),
        withdrawal_bps=draw(bps),
        borrow_bps=draw(bps),
        window_us=(bars[0].start, bars[-1].end),
        capital=1_000_000.0,
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    factor = draw(st.sampled_from([1.0, 1.0, 1000.0]))
    bars = draw(bars_of(factor))
    rules = draw(rules_of(bars, factor))
    stamps = range(START_US - 8 * HOUR_US, bars[-1].end + 16 * HOUR_US, 8 * HOUR_US)
    rates = draw(st.lists(st.integers(-30, 30), min_size=len(stamps), max_size=len(stamps)))
    return Case(bars, rules, [loop.Settlement(us, rate / 1e4, (100 + rate / 10) * factor) for us, rate in zip(stamps, rates, strict=True)])


def pair_of(*, perp_quote: str = "USDT", inverse: bool = False, contract_size: float = 1.0, qty_increment: float = 0.001) -> Pair:
    """A perpetual and its spot in USDT; an inverse one has contracts of 100 USD."""
    spot = Instrument(
        symbol_id=1,
        exchange="binance-spot",
        exchange_symbol="BTCUSDT",
        market="BTC-USDT",
        base_asset="BTC",
        quote_asset="USDT",
        settle_asset=None,
        asset_type="spot",
        contract_type=None,
        contract_size=None,
        multiplier=1,
        underlying_asset="BTC",
        price_increment=0.01,
        qty_increment=0.00001,
        expiry_us=None,
        listed_us=None,
        valid_from_us=0,
        valid_until_us=2**62,
        source="derived",
    )
    perp = replace(
        spot,
        exchange="binance-futures",
        quote_asset="USD" if inverse else perp_quote,
        asset_type="perpetual",
        contract_type="inverse" if inverse else "linear",
        contract_size=100.0 if inverse else contract_size,
        qty_increment=1.0 if inverse else qty_increment,
    )
    return Pair(perp=perp, spot=spot, quote_match=perp.quote_asset == spot.quote_asset, price_factor=1.0, reason="")
