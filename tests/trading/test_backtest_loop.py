"""`run_backtest` equals a plain loop over bars, and its money adds up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import Phase, event, given, settings
from tests.trading import backtest_loop as loop
from tests.trading.markets import DAY_US, Case, cases, inputs_of, strategy_of

from pointline.errors import ConfigError
from pointline.trading.accounting import COST_TERMS, TERMS
from pointline.trading.backtest import BacktestTables, run_backtest

NOSHRINK = (Phase.explicit, Phase.generate)  # to shrink a market takes minutes


def run(case: Case) -> tuple[loop.Account, BacktestTables | None]:
    """The loop's trades, and the package's; None where it refuses a market without trades or a quantity of no step."""
    told, strategy = loop.run(case.bars, case.rules, case.settlements), strategy_of(case.rules)
    legs = {"both": ("perp_qty", "spot_qty")}.get(case.rules.legs, (f"{case.rules.legs}_qty",))
    nothing = any(getattr(one, name) == 0 for one in told.trades for name in legs)
    if told.trades and not nothing:
        return told, run_backtest(strategy, inputs_of(case))
    event("refused")
    with pytest.raises(ConfigError):
        run_backtest(strategy, inputs_of(case))
    return told, None


@settings(max_examples=max(75, settings().max_examples), phases=NOSHRINK)
@given(case=cases())
def test_trades_and_equity_are_those_of_the_loop(case: Case) -> None:
    told, found = run(case)
    if found is None:
        return
    legs = case.rules.legs
    rows = found.trades.rows(named=True)
    assert [row["entry_bar"] for row in rows] == [one.decided for one in told.trades]
    event(f"trades {min(3, len(rows))}")
    for row, one in zip(rows, told.trades, strict=True):
        event(one.reason)
        assert (row["side"] == "long", row["exit_reason"]) == (one.side == 1, one.reason)
        assert (row["entry_us"], row["exit_us"]) == (one.at[0], one.left[0])
        assert (row["perp_qty"], row["spot_qty"]) == pytest.approx((one.perp_qty, one.spot_qty), rel=1e-12)
        for leg, place in (("perp", 1), ("spot", 2)):
            if legs in ("both", leg):
                assert (row[f"{leg}_entry_price"], row[f"{leg}_exit_price"]) == (one.at[place], one.left[place])
    days = found.daily.rows(named=True)
    tolerance = 1e-9 * case.rules.notional * (1 + len(rows)) * 4
    for row in days:
        assert row["equity_quote"] == pytest.approx(loop.equity_at(row["date_us"] + DAY_US, told, case.bars, case.rules), abs=tolerance)
    cash = case.rules.capital + math.fsum(amount for _, amount in told.flows)
    assert days[-1]["equity_quote"] == pytest.approx(cash, abs=tolerance)


@settings(max_examples=max(50, settings().max_examples), phases=NOSHRINK)
@given(case=cases())
def test_the_accounting_closes(case: Case) -> None:
    _, found = run(case)
    if found is None:
        return
    tolerance = 1e-9 * max(1.0, float(found.daily["traded_quote"].sum()))
    for table in (found.trades, found.daily):
        signed = sum(table[name] * (-1 if name in COST_TERMS else 1) for name in TERMS)
        assert np.allclose(table["pnl_quote"], signed, rtol=0, atol=tolerance)
        prices = table["perp_price_quote"] + table["spot_price_quote"]
        assert np.allclose(table["basis_quote"] + table["unhedged_quote"], prices, rtol=0, atol=tolerance)
        assert not table.null_count().drop("liquidation_price", "nearest_liquidation", strict=False).sum_horizontal().item()
    for name in (*TERMS, "pnl_quote", "basis_quote", "unhedged_quote"):
        assert found.daily[name].sum() == pytest.approx(found.trades[name].sum(), abs=tolerance)
    change = found.daily["equity_quote"][-1] - found.capital_quote
    assert change == pytest.approx(found.trades["pnl_quote"].sum(), abs=tolerance)
    assert found.daily["funding_quote"].sum() == pytest.approx(
        found.funding["cash_quote"].sum() if found.funding.height else 0.0, abs=tolerance
    )
