"""Prints how often the tests of pointline.evaluation are wrong, and what they find: ``python -m tests.evaluation.sizes``.

Size over the eight cases of tests/evaluation/cases.py, power and coverage at a true information coefficient, and the chance of any
false finding among many; sizes of the pooled figures out of sample. All figures are per cent of the runs.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from tests.evaluation.cases import CASES, ENDOGENOUS, HORIZONS, PHIS, Outcome, family_errors, out_of_sample_outcomes, outcomes, power

if TYPE_CHECKING:
    from collections.abc import Iterable

FAMILY_PART = 50
OUT_OF_SAMPLE_N = 2_000  # at h = 50 five folds need nearly as many


def of_family(part: tuple[int, int]) -> dict[str, float]:
    """One part of the runs of the family error."""
    runs, seed = part
    return family_errors(runs, seed=seed)


def print_sizes(parts: Iterable[list[Outcome]]) -> None:
    """One line for each case and persistence, as soon as it is there."""
    print(f"{'':24}{'φ':>6}" + "".join(f"{f'EWC h={h}':>12}" for h in HORIZONS) + "".join(f"{f'causal h={h}':>14}" for h in HORIZONS))
    found = []
    for row in parts:
        name = f"{row[0].case:24}{row[0].phi:6}"
        print(name + "".join(f"{one.ewc:12.1%}" for one in row) + "".join(f"{one.causal:14.1%}" for one in row), flush=True)
        found += row
    exogenous = [one.ewc for one in found if one.case not in ENDOGENOUS]
    causal = [one.causal for one in found]
    for name, values in (("EWC where the feature is not endogenous", exogenous), ("causal in all cases", causal)):
        if values:
            print(f"{name}: mean {np.mean(values):.1%}, largest {max(values):.1%}, of {len(values)} cells")


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2_000, help="of each cell")
    parser.add_argument("--bars", type=int, nargs="*", default=[2_000, 20_000], help="lengths of the samples")
    parser.add_argument("--family-runs", type=int, default=2_000)
    parser.add_argument("--out-of-sample-runs", type=int, default=400, help="of each cell")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    with ProcessPoolExecutor(options.processes) as pool:
        for n in options.bars:
            print(f"\nsize at 5 %, n = {n:,}, {options.runs:,} runs", flush=True)
            grid = [(case, phi) for case, phi in product(CASES, PHIS)]
            parts = pool.map(outcomes, *zip(*grid, strict=True), [n] * len(grid), [options.runs] * len(grid))
            print_sizes(parts)
            print(f"\npower and coverage of the interval at 95 %, returns iid, n = {n:,}, {options.runs:,} runs", flush=True)
            cells = list(product(PHIS, HORIZONS, (0.03, 0.05)))
            for one, cell in zip(
                pool.map(power, *zip(*cells, strict=True), [n] * len(cells), [options.runs] * len(cells)), cells, strict=True
            ):
                print(
                    f"φ {one.phi:5}  h {one.horizon:2}  IC {cell[2]}: power EWC {one.ewc:6.1%}  causal {one.causal:6.1%}"
                    f"  coverage {one.coverage:.1%}, given the path {one.coverage_of_path:.1%}",
                    flush=True,
                )
        if options.family_runs:
            part = min(FAMILY_PART, options.family_runs)
            parts = [(part, seed) for seed in range(options.family_runs // part)]
            errors = list(pool.map(of_family, parts))
            print(f"\nchance of any false finding at 5 %: 15 features × 4 horizons, n = 3,000, {len(parts) * part:,} runs")
            for name in errors[0]:
                print(f"{name:30}{np.mean([error[name] for error in errors]):7.1%}")
        if options.out_of_sample_runs:
            runs, bars = options.out_of_sample_runs, OUT_OF_SAMPLE_N
            print(f"\nout of sample, size at 5 %, n = {bars:,}, {runs:,} runs", flush=True)
            cells = list(product(("walk-forward", "purged k-fold"), CASES, PHIS))
            for part in pool.map(out_of_sample_outcomes, *zip(*cells, strict=True), [bars] * len(cells), [runs] * len(cells)):
                for one in part:
                    print(
                        f"{one.scheme:14}{one.case:24}φ {one.phi:5}  h {one.horizon:2}: EWC {one.ewc:6.1%}  causal {one.causal:6.1%}"
                        f"  both {one.both:6.1%}  mean IC {one.mean:+.4f} ± {2 * one.mean_error:.4f}",
                        flush=True,
                    )
    print(f"\n{time.perf_counter() - began:,.0f} s")


if __name__ == "__main__":
    main()
