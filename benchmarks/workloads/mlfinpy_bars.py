"""mlfinpy: volume bars of the perp, by its loop over rows.

Its rule: the count restarts at zero after each close, over days; a bar may end inside a moment; what follows the last close is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from job import run
from mlfinpy.data_structure.standard_bars import get_volume_bars
from peer_columns import bar_totals, perp_table

if TYPE_CHECKING:
    from job import Job


def bars(job: Job) -> pd.DataFrame:
    """Open, high, low, close and volumes."""
    table = perp_table(job)
    trades = pd.DataFrame({"date_time": pd.to_datetime(table["us"], unit="us"), "price": table["price"], "volume": table["qty"]})
    return get_volume_bars(trades, threshold=float(job.threshold), verbose=False)


if __name__ == "__main__":
    run(bars, bar_totals)
