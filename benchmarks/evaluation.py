"""What a table of information coefficients costs: ``python benchmarks/evaluation.py [--bars 100000] [--features 30] [--runs 3]``.

Simulated persistent features, a tenth of them with missing rows, at four horizons of one label, with Benjamini-Hochberg and step-down
min-P over all of them. Each run is a process of its own. Prints the median seconds of the whole process, of the table and of the
multiplicity, the processor seconds and the peak of memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

HORIZONS = (1, 5, 10, 50)
DRAWS = 10_000


def measured(bars: int, features: int) -> dict[str, float]:
    """Seconds of the table and of the multiplicity, in this process."""
    import numpy as np

    from pointline.evaluation import benjamini_hochberg, information_coefficients, step_down_min_p

    rng = np.random.default_rng(1)
    one_bar = np.append(rng.standard_normal(bars - 1), np.nan)
    table_features = {}
    for number in range(features):
        values = rng.standard_normal(bars)
        for row in range(1, bars):
            values[row] += 0.9 * values[row - 1]
        if number % 10 == 0:
            values[rng.random(bars) < 0.1] = np.nan  # noqa: PLR2004 - a tenth of the rows
        table_features[f"feature {number}"] = values
    began = time.perf_counter()
    table = information_coefficients(table_features, one_bar, HORIZONS)
    made = time.perf_counter()
    p = table.frame["p"].to_numpy()
    benjamini_hochberg(p)
    step_down_min_p(p, table.cosines, draws=DRAWS)
    return {"table_s": made - began, "multiplicity_s": time.perf_counter() - made}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bars", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        print(json.dumps(measured(options.bars, options.features)))
        return
    from measure import run_process

    words = [sys.executable, str(Path(__file__).resolve()), "--work", "--bars", str(options.bars), "--features", str(options.features)]
    samples = [run_process(words) for _ in range(options.runs)]
    print(f"{options.bars:,} bars × {options.features} features × {len(HORIZONS)} horizons, {DRAWS:,} draws, median of {options.runs}")
    for name in ("table_s", "multiplicity_s"):
        print(f"{name.removesuffix('_s'):14}{median(sample.printed[name] for sample in samples):7.2f} s")
    print(f"{'process':14}{median(sample.wall_s for sample in samples):7.2f} s, with imports and the simulation of the features")
    print(f"{'processor':14}{median(sample.cpu_s for sample in samples):7.2f} s")
    print(f"{'peak memory':14}{median(sample.peak_mb for sample in samples):7.0f} MB")


if __name__ == "__main__":
    main()
