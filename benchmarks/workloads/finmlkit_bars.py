"""finmlkit: volume bars of the perp, with its own preparation of the trades.

Its rule: trades of one moment and price become one, the count restarts at zero after each close, the first trade is a bar of its
own, and a bar may end inside a moment. Amounts are single-precision numbers.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from job import run
from peer_columns import bar_totals, perp_table

if TYPE_CHECKING:
    import pandas as pd
    from job import Job

logging.disable(logging.WARNING)


def bars(job: Job) -> pd.DataFrame:
    """Open, high, low, close, volume and directional figures."""
    from finmlkit.bar.data_model import TradesData
    from finmlkit.bar.kit import VolumeBarKit

    table = perp_table(job, "side")
    trades = TradesData(
        table["us"],
        table["price"],
        table["qty"],
        np.arange(len(table["us"])),
        is_buyer_maker=table["side"],
        timestamp_unit="us",
        preprocess=True,
    )
    kit = VolumeBarKit(trades, float(job.threshold))
    return kit.build_ohlcv().join(kit.build_directional_features())


if __name__ == "__main__":
    run(bars, bar_totals)
