"""A perp against its spot in three lines of code, cell by cell.

Editors that know the marks ``# %%`` run the cells one by one; ``python examples/compare_in_a_notebook.py`` runs them all.
"""

# %% A market whose truth is known, as the files that its exchange would publish
from __future__ import annotations

import json
import tempfile
from pathlib import Path

import polars as pl

import pointline
from pointline.ingest.run import ingest
from pointline.simulate import MarketConfig, write_archives, write_exchange_info
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

folder = tempfile.TemporaryDirectory()
market = MarketConfig(seed=3, perp_trades_per_day=100_000, lead_ms=300, basis_mean_bps=4.0)
archives = Path(folder.name) / "archives"
files = [*write_exchange_info(market, archives), *write_archives(market, archives)]

# %% Into a lake
lake = pointline.open_lake(Path(folder.name) / "lake", create=True)
reports = ingest(lake, files, sources=all_sources(), hints=Hints())
print(f"{len(reports)} files, {sum(r.rows_landed for r in reports):,} rows, {sum(r.rows_flagged for r in reports)} off the book")

# %% Bars from the perp, spot and funding beside it, and every feature
study = pointline.compare("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end="2024-05-02", lake=lake)
print(study.rule_note)
with pl.Config(tbl_cols=-1, tbl_hide_dataframe_shape=True):
    print(study.features.select("bucket_end", "basis_bps", "spot_age_us", "funding_close", "funding_source", "momentum_divergence").tail())

# %% What came after each bar; labels are kept apart from features and joined on the end of the bar
labels = study.labels(horizons_bars=(1, 5))
both = study.features.join(labels, on="bucket_end")
rank_correlation = both.select(pl.corr("momentum_divergence", "spot_forward_ret_1bar", method="spearman")).item()
print(f"spot's next return against momentum_divergence: rank correlation {rank_correlation:.2f}")
print("  careful: a spot price that is merely old makes such a figure too, see momentum_divergence_fresh")

# %% What a colleague would ask first
summary = study.summary
wanted = ("bars", "volume_ratio", "advice", "share_bars_without_spot", "share_bars_stale_spot", "median_bar_seconds", "funding_source")
print(json.dumps({name: summary[name] for name in wanted}, indent=2))

# %% Clean up
folder.cleanup()
