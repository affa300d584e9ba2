"""ClickHouse in process (chDB) on the same Parquet files: the spine of a day into a memory table, both venues put on it by ASOF JOIN."""

from __future__ import annotations

import io
import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from chdb.session import Session
from job import DAY_US, run
from sql_columns import concatenated, sql_summary

if TYPE_CHECKING:
    from job import Job

_SPINE = f"""
CREATE OR REPLACE TABLE bench.spine ENGINE = Memory AS
SELECT intDiv(total - lots, {{threshold}}) AS bar, 1 AS everything,
    if(max(total) >= (bar + 1) * {{threshold}}, max(us) + 1, (intDiv(max(us), {DAY_US}) + 1) * {DAY_US}) AS bucket_end
FROM (
    SELECT us, lots, sum(lots) OVER (ORDER BY us ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS total
    FROM (SELECT ts_local_us AS us, sum(toInt64(qty_int)) AS lots FROM file('{{perp}}', Parquet) GROUP BY us)
) GROUP BY bar
"""
_VENUE = """
    SELECT bucket_end, argMin(price_int, source_row) AS {venue}_open, max(price_int) AS {venue}_high, min(price_int) AS {venue}_low,
        argMax(price_int, source_row) AS {venue}_close, sum(toInt64(qty_int)) AS {venue}_volume,
        sum(toInt64(price_int) * qty_int) AS {venue}_quote_volume, toInt64(count()) AS {venue}_trades,
        sumIf(toInt64(qty_int), NOT side) AS {venue}_bought, stddevSampStable(price_int) AS {venue}_deviation
    FROM (SELECT *, 1 AS everything FROM file('{file}', Parquet)) AS trade ASOF JOIN bench.spine AS spine
        ON trade.everything = spine.everything AND trade.ts_local_us < spine.bucket_end
    GROUP BY bucket_end"""
_QUERY = """
SELECT *, perp_close * {perp_tick} / (spot_close * {spot_tick}) * 1e4 - 1e4 AS basis_bps,
    perp_volume * {perp_lot} / (spot_volume * {spot_lot}) AS volume_ratio,
    2 * perp_bought / perp_volume - 2 * spot_bought / spot_volume AS flow_divergence,
    perp_deviation * {perp_tick} / (spot_deviation * {spot_tick}) AS volatility_ratio
FROM ({perp_bars}) AS perp LEFT JOIN ({spot_bars}) AS spot USING (bucket_end) ORDER BY bucket_end
"""


def features(job: Job) -> dict[str, Any]:
    """The columns of the window as arrays."""
    days = []
    with tempfile.TemporaryDirectory() as folder:
        session = Session(folder)
        session.query("CREATE DATABASE bench")
        session.query(f"SET max_threads = {job.threads}")
        for perp, spot in zip(job.perp_files, job.spot_files, strict=True):
            session.query(_SPINE.format(threshold=job.threshold_lots, perp=perp))
            bars = {"perp_bars": _VENUE.format(venue="perp", file=perp), "spot_bars": _VENUE.format(venue="spot", file=spot)}
            answer = session.query(_QUERY.format(**bars, **job.units()), "Arrow")
            table = pa.ipc.open_file(io.BytesIO(answer.bytes())).read_all()
            days.append({name: _masked(table[name]) for name in table.column_names})
        session.close()
    return concatenated(days)


def _masked(column: pa.ChunkedArray) -> np.ma.MaskedArray[Any, Any]:
    """Nulls masked: a bar may have no spot trade."""
    return np.ma.array(column.fill_null(0).to_numpy(), mask=column.is_null().to_numpy())


if __name__ == "__main__":
    run(features, sql_summary)
