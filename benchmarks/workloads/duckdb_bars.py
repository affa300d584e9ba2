"""DuckDB on the same Parquet files: a spine from the volume per moment, both venues put on it by ASOF JOIN, one query a day.

One query over all days, and cumulative sums over single trades instead of moments, were both slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
from job import DAY_US, run
from sql_columns import concatenated, sql_summary

if TYPE_CHECKING:
    from job import Job

_FIGURES = """
    SELECT bucket_end, arg_min(price_int, source_row) AS {venue}_open, max(price_int) AS {venue}_high, min(price_int) AS {venue}_low,
        arg_max(price_int, source_row) AS {venue}_close, sum(qty_int)::BIGINT AS {venue}_volume,
        sum(price_int * qty_int)::DOUBLE AS {venue}_quote_volume, count(*) AS {venue}_trades,
        coalesce(sum(qty_int) FILTER (NOT side), 0)::BIGINT AS {venue}_bought, stddev_samp(price_int) AS {venue}_deviation
    FROM read_parquet(${venue}, hive_partitioning = false) AS trade ASOF JOIN spine ON trade.ts_local_us < spine.bucket_end
    GROUP BY bucket_end"""
_QUERY = f"""
WITH moments AS (
    SELECT ts_local_us AS us, sum(qty_int)::BIGINT AS lots FROM read_parquet($perp, hive_partitioning = false) GROUP BY us
), counted AS (
    SELECT us, lots, (sum(lots) OVER (ORDER BY us))::BIGINT AS total FROM moments
), spine AS MATERIALIZED (
    SELECT (total - lots) // $threshold AS bar,
        CASE WHEN max(total) >= (bar + 1) * $threshold THEN max(us) + 1 ELSE (max(us) // {DAY_US} + 1) * {DAY_US} END AS bucket_end
    FROM counted GROUP BY bar
), perp AS ({_FIGURES.format(venue="perp")}
), spot AS ({_FIGURES.format(venue="spot")}
)
SELECT *,
    perp_close * $perp_tick / (spot_close * $spot_tick) * 1e4 - 1e4 AS basis_bps,
    perp_volume * $perp_lot / (spot_volume * $spot_lot) AS volume_ratio,
    2 * perp_bought / perp_volume - 2 * spot_bought / spot_volume AS flow_divergence,
    perp_deviation * $perp_tick / (spot_deviation * $spot_tick) AS volatility_ratio
FROM perp LEFT JOIN spot USING (bucket_end) ORDER BY bucket_end
"""


def features(job: Job) -> dict[str, Any]:
    """The columns of the window as arrays."""
    connection = duckdb.connect(config={"threads": job.threads})
    days = []
    for perp, spot in zip(job.perp_files, job.spot_files, strict=True):
        values = {"perp": perp, "spot": spot, "threshold": job.threshold_lots, **job.units()}
        days.append(connection.execute(_QUERY, values).fetchnumpy())
    return concatenated(days)


if __name__ == "__main__":
    run(features, sql_summary)
