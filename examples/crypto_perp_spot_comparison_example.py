"""The perp-spot guide's workflow from beginning to end: data checks, coefficients, costs, a backtest, the next funding, one page.

It simulates twelve days of a perp and its spot and works in a temporary folder. Name a file to keep the page:

    python examples/crypto_perp_spot_comparison_example.py page.html

`examples/perp_spot_guide.py` builds the guide's features call by call; this one uses what `pointline.compare` gives.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

import pointline
from pointline.ingest.run import ingest
from pointline.research.spines import TimeBarConfig
from pointline.simulate import MarketConfig, write_archives, write_exchange_info
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pointline import FundingForecast, Lake, Study
    from pointline.studies.backtest import Backtest
    from pointline.studies.costs import CostStudy
    from pointline.studies.evaluate import Evaluation

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
START, END = "2024-05-01", "2024-05-13"  # the end is exclusive: twelve days


def make_lake(folder: Path) -> Lake:
    """Archive files of a simulated market, and a lake of them; its basis is wider than that of Bitcoin."""
    market = MarketConfig(start=START, days=12, perp_trades_per_day=20_000, perp_spot_ratio=5, basis_std_bps=25, basis_half_life_s=600)
    datasets = ("trades", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines", "fundingRate", "metrics")
    files = [*write_exchange_info(market, folder / "archives"), *write_archives(market, folder / "archives", datasets=datasets)]
    lake = pointline.open_lake(folder / "lake", create=True)
    for report in ingest(lake, files, sources=all_sources(), hints=Hints()):
        if report.problem:
            raise SystemExit(report.problem)
    return lake


def check_the_data(study: Study) -> None:
    """The guide's first checks: the volume ratio and the spot volume of a bar."""
    points = study.checklist().table
    for name in ("volume_ratio", "spot_volume"):
        row = points.row(by_predicate=pl.col("point") == name, named=True)
        print(f"{name}: {row['value']:.2f} {row['unit']}, {row['status']}")


def evaluate(study: Study) -> Evaluation:
    """What predicts the next bars."""
    features = ["funding_basis_divergence", "momentum_divergence", "flow_basis_interaction", "basis_bps", "volume_ratio"]
    found = study.ic(features, horizons=(1, 5), labels=("perp_return", "spot_return"), draws=10)
    print(found.verdict)
    return found


def trade(study: Study) -> tuple[CostStudy, Backtest]:
    """What a round trip costs, and what is left of the guide's strategy after it."""
    costs = study.costs()
    print(costs.verdict)
    strategy = "funding_basis_divergence"
    found = study.backtest(strategy)
    print(found.verdict)
    terms = {name.removesuffix("_quote"): round(value) for name, value in found.totals.items()}
    print(f"in {found.quote_asset}: {terms}")
    sweep = study.backtest_sweep(strategy, {"entry": [0.9, 0.95, 0.99], "exit": [0.5, 0.7]})
    print(f"{len(sweep.backtests)} settings; the best is above chance with probability {sweep.best.deflated:.2f}")
    return costs, found


def forecast(study: Study) -> FundingForecast:
    """Whether anything is known of the next funding that the venue's own rule does not tell."""
    found = study.next_funding(folds=1, step="1m")
    print(found.verdict)
    return found


def main() -> None:
    """Runs all steps."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        study = pointline.compare(PERP, SPOT, start=START, end=END, bars=TimeBarConfig("1m"), costs="same-exchange", lake=make_lake(folder))
        check_the_data(study)
        evaluation = evaluate(study)
        costs, backtest = trade(study)
        page = Path(sys.argv[1]) if len(sys.argv) > 1 else folder / "page.html"
        study.report(page, evaluation=evaluation, costs=costs, backtest=backtest, forecast=forecast(study))
        print(f"page: {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
