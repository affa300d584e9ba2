"""Backtests of a lake: ``python benchmarks/backtest.py LAKE START END [--bars 1m] [--events candles_1h] [--executions …]``.

Compares the BTCUSDT perp of Binance with its spot once, then runs every strategy with every execution rule. Prints the seconds of the
comparison and of each backtest, the peak memory of the process, and each result in a sentence.
"""

from __future__ import annotations

import argparse
import resource
import time
import warnings

import pointline
from pointline.errors import ConfigError
from pointline.research.spines import TimeBarConfig

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
KB_PER_MB = 1024


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("lake")
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("--bars", default="auto", help="length of time bars such as 1m; else volume bars")
    parser.add_argument("--events", default="trades")
    parser.add_argument("--executions", default="next_bar_vwap,next_trade")
    parser.add_argument("--strategies", default="funding_basis_divergence,basis_temporary,momentum_divergence,cash_and_carry")
    parser.add_argument("--capital", type=float, default=100_000.0)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    rule = "auto" if given.bars == "auto" else TimeBarConfig(given.bars)
    began = time.perf_counter()
    study = pointline.compare(
        *(PERP, SPOT), start=given.start, end=given.end, bars=rule, events=given.events, costs="same-exchange", lake=given.lake
    )
    print(f"compare: {study.features.height:,} bars in {time.perf_counter() - began:.2f} s")
    for strategy in given.strategies.split(","):
        for execution in given.executions.split(","):
            began = time.perf_counter()
            try:
                found = study.backtest(strategy, execution=execution, capital_quote=given.capital)
            except ConfigError as error:
                print(f"{strategy}, {execution}: {error.what}")
                continue
            print(f"{strategy}, {execution}: {time.perf_counter() - began:.2f} s. {found.verdict}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB_PER_MB
    print(f"peak memory of the process: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
