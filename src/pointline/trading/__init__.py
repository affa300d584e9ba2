"""Trading: what a position in two legs earns and pays.

Strategies and their thresholds, fills, funding cash flows, the accounting of both legs, performance and capacity. Frames and frozen values
go in and come out. Nothing here opens a lake; `pointline.Study.backtest` does.
"""

from pointline.trading.backtest import Account, BacktestInputs, BacktestTables, FutureDelivery, run_backtest
from pointline.trading.capacity import Capacity, Liquidity, capacity
from pointline.trading.execution import EXECUTIONS, Fills, LegFills
from pointline.trading.legs import PairTerms
from pointline.trading.performance import Performance, daily_returns, performance
from pointline.trading.strategy import STRATEGIES, Levels, Quantiles, Strategy

__all__ = [
    "EXECUTIONS",
    "STRATEGIES",
    "Account",
    "BacktestInputs",
    "BacktestTables",
    "Capacity",
    "Fills",
    "FutureDelivery",
    "LegFills",
    "Levels",
    "Liquidity",
    "PairTerms",
    "Performance",
    "Quantiles",
    "Strategy",
    "capacity",
    "daily_returns",
    "performance",
    "run_backtest",
]
