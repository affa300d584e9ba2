"""Parts of a report of the shapes that it reads: a forecast, costs, a backtest, and a page with every kind of part."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from pointline.clock import DAY_US, HOUR_US

FIRST_US = 1_704_067_200_000_000  # 2024-01-01
MARKUP = "</script><script>alert('it ran')</script> <b>\"quoted\"</b> & 🚀"


def forecast(settlements: int = 60, verdict: str = "The rule is not beaten.") -> Any:  # noqa: ANN401 - a value with attributes
    dice = np.random.default_rng(3)
    paid = 1 + dice.normal(0, 0.3, settlements).cumsum()
    times = [FIRST_US + n * 8 * HOUR_US for n in range(settlements)]
    rows, scores = [], []
    for lead in (8.0, 4.0, 1.0):
        columns = {
            "rule_bps": paid + dice.normal(0, 0.05 * lead, settlements),
            "ridge_bps": paid + dice.normal(0, 0.04 * lead, settlements),
        }
        rows.append(pl.DataFrame({"funding_us": times, "hours_before": lead, "actual_bps": paid, "last_known_bps": 1.0, **columns}))
        for name, error in (("constant", 0.7), ("rule", 0.05 * lead), ("ridge", 0.04 * lead)):
            scores.append((name, lead, settlements, error, 0.9, 0.8, 0.5, float("nan") if name == "constant" else 0.4, 0.6))
    names = ("predictor", "hours_before", "n", "mae_bps", "r2", "direction_right", "ic", "ic_low", "ic_high")
    table = pl.DataFrame(scores, schema=names, orient="row")
    return SimpleNamespace(table=table, settlements=pl.concat(rows), verdict=verdict, notes=("the premium is hourly",))


def costs() -> Any:  # noqa: ANN401 - as above
    levels = [("guide", 48.0), ("100 bps", 100.0)]
    sides = (("positive", 0.02), ("negative", 0.01), ("either", 0.03))
    rows = [(name, cost, side, 3, share, 90_000_000) for name, cost in levels for side, share in sides]
    opportunities = pl.DataFrame(rows, schema=["name", "cost_bps", "side", "bars", "share_of_time", "longest_spell_us"], orient="row")
    ladder = pl.DataFrame({"name": ["0.5 x guide", "guide"], "cost_bps": [24.0, 48.0], "share_of_time": [0.1, 0.03]})
    return SimpleNamespace(
        break_even=pl.DataFrame({"leg": ["perp", "spot", "total"], "round_trip_bps": [14.0, 26.0, 40.0]}),
        opportunities=opportunities,
        by_condition=pl.DataFrame({"condition": ["spot is silent"], "bars": [5]}),
        sensitivity=ladder,
        verdict="A round trip costs 48 bps.",
        notes=(),
    )


def backtest(days: int = 40, title: str = "funding_basis_divergence") -> Any:  # noqa: ANN401 - as above
    dice = np.random.default_rng(4)
    perp, funding = dice.normal(0, 100, days), dice.normal(3, 3, days)
    spot, fees = -perp + dice.normal(1, 9, days), np.full(days, 2.0)
    pnl = perp + spot + funding - fees - 1.0
    daily = {
        "date_us": [FIRST_US + n * DAY_US for n in range(days)],
        "perp_price_quote": perp,
        "spot_price_quote": spot,
        "funding_quote": funding,
        "fees_quote": fees,
        "slippage_quote": np.full(days, 1.0),
        "borrow_quote": np.zeros(days),
        "pnl_quote": pnl,
        "equity_quote": 10_000 + pnl.cumsum(),
    }
    trades = {"trade_id": [1, 2], "side": ["short", "long"], "decision_us": [FIRST_US, FIRST_US + DAY_US], "pnl_quote": [3.5, -1.25]}
    return SimpleNamespace(
        title=title,
        trades=pl.DataFrame(trades),
        daily=pl.DataFrame(daily),
        summary={"strategy": title, "pnl_bps": 1.125},
        figures=pl.DataFrame({"figure": ["trades", "nearest liquidation"], "value": ["2, 1 of them long", "-"]}),
        verdict="2 trades earned 2.25 USDT.",
        notes=("funding is settled",),
    )
