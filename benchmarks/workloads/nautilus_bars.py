"""NautilusTrader: volume bars of the perp from its own tick objects.

Its rule: every bar has exactly the threshold's volume, a trade is split where it does not fit; what follows the last close is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from job import run
from nautilus_trader.data.aggregation import VolumeBarAggregator
from nautilus_trader.model.data import Bar, BarType
from nautilus_trader.persistence.wranglers import TradeTickDataWrangler
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from peer_columns import bar_totals, perp_table

if TYPE_CHECKING:
    from job import Job


def bars(job: Job) -> pd.DataFrame:
    """Open, high, low, close and volume."""
    table = perp_table(job, "trade_id", "side")
    trades = pd.DataFrame(
        {"trade_id": table["trade_id"], "price": table["price"], "quantity": table["qty"], "buyer_maker": table["side"]},
        index=pd.to_datetime(table["us"], unit="us", utc=True),
    )
    instrument = TestInstrumentProvider.btcusdt_perp_binance()
    # a step is a whole number of units, so smaller thresholds are counted as one
    step = max(1, round(float(job.threshold)))
    closed: list[Bar] = []
    kind = BarType.from_str(f"{instrument.id}-{step}-VOLUME-LAST-INTERNAL")
    aggregator = VolumeBarAggregator(instrument, kind, closed.append)
    for tick in TradeTickDataWrangler(instrument).process(trades):
        aggregator.handle_trade_tick(tick)
    return pd.DataFrame({"volume": [float(bar.volume) for bar in closed], "close": [float(bar.close) for bar in closed]})


if __name__ == "__main__":
    run(bars, bar_totals)
