"""The perp's trades as bar builders of other projects want them: arrays of decoded numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

if TYPE_CHECKING:
    import pandas as pd
    from job import Job


def perp_table(job: Job, *more: str) -> dict[str, Any]:
    """Time in microseconds, price, quantity, and the columns that are asked for."""
    names = ["ts_local_us", "price_int", "qty_int", *more]
    table = pq.read_table(job.perp_files, columns=names, partitioning=None)
    units = job.units()
    return {
        "us": table["ts_local_us"].to_numpy(),
        "price": np.round(table["price_int"].to_numpy() * units["perp_tick"], job.perp_decimals[0]),
        "qty": np.round(table["qty_int"].to_numpy() * units["perp_lot"], job.perp_decimals[1]),
        **{name: table[name].to_numpy() for name in more},
    }


def bar_totals(bars: pd.DataFrame, job: Job) -> dict[str, Any]:
    """Number of bars and their volume in lots: all that bars of another rule can be held against."""
    return {"bars": len(bars), "perp_lots": round(float(bars["volume"].sum()) * 10 ** job.perp_decimals[1])}
