"""Funding cash flows of many positions: ``python benchmarks/funding_flows.py [--positions N] [--years N]``.

Positions that are entered at random moments and held for some days, settlements each eight hours and a mark price a minute. Prints the
seconds of `funding_cash_flows`, and those of its floor: one pass over the rows of the result that multiplies three columns.
"""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.clock import DAY_US, HOUR_US, MINUTE_US
from pointline.trading.funding_flows import FundingTerms, funding_cash_flows

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 3
MEAN_HELD_US = 3 * DAY_US
TERMS = FundingTerms(contract_type="linear", contract_size=1.0, settle_asset="USDT", quote_asset="USDT")


def frames(count: int, span_us: int) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Positions, settlements and marks."""
    random = np.random.default_rng(1)
    entry = np.sort(random.integers(0, span_us, count))
    leave = np.minimum(entry + random.exponential(MEAN_HELD_US, count).astype(np.int64), span_us)
    quantity = random.choice((-1.0, 1.0), count) * random.uniform(0.1, 10.0, count)
    positions = pl.DataFrame({"position_id": np.arange(count), "entry_us": entry, "exit_us": leave, "quantity": quantity})
    stamps = np.arange(0, span_us + 1, 8 * HOUR_US)
    rates = random.normal(0.0001, 0.0001, len(stamps))
    settlements = pl.DataFrame({"funding_us": stamps, "funding_rate": rates}).with_columns(
        interval_hours=pl.lit(8.0), mark_price=pl.lit(None, dtype=pl.Float64)
    )
    minutes = np.arange(0, span_us + 1, MINUTE_US)
    prices = 50_000 * np.exp(np.cumsum(random.normal(0, 1e-4, len(minutes))))
    marks = pl.DataFrame({"ts_us": minutes, "mark_price": prices}).with_columns(mark_source=pl.lit("mark_candles_1m"))
    return positions, settlements, marks


def seconds(work: Callable[[], object]) -> float:
    """The least time of some runs."""
    taken = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--positions", type=int, default=20_000, metavar="N")
    parser.add_argument("--years", type=int, default=2, metavar="N")
    given = parser.parse_args()
    span_us = given.years * 365 * DAY_US
    positions, settlements, marks = frames(given.positions, span_us)
    flows = funding_cash_flows(positions, settlements, marks, terms=TERMS, data_end_us=span_us)
    whole = seconds(lambda: funding_cash_flows(positions, settlements, marks, terms=TERMS, data_end_us=span_us))
    floor = seconds(lambda: flows.select(pl.col("quantity") * pl.col("mark_price") * pl.col("funding_rate")))
    print(f"{given.positions:,} positions, {settlements.height:,} settlements, {marks.height:,} marks, {flows.height:,} flows")
    print(f"{whole:.3f} s; one multiplication of the same rows {floor:.4f} s")


if __name__ == "__main__":
    main()
