"""Order flow of the two venues against each other and against basis, funding and open interest.

The formulas are those of the perp-spot guide and of its companion, the funding-rate guide. One differs: ``flow_funding_interaction`` reads
the rate per 8 hours, so that contracts with other funding intervals compare.
"""

from __future__ import annotations

import polars as pl

from pointline.features.feature import FUNDING_GUIDE, GUIDE, Feature, ratio

FLOW_FEATURES = (
    Feature(
        name="flow_divergence",
        formula="perp_flow_imbalance - spot_flow_imbalance",
        unit="1",
        inputs=("perp_flow_imbalance", "spot_flow_imbalance"),
        build=lambda _: pl.col("perp_flow_imbalance") - pl.col("spot_flow_imbalance"),
        source=GUIDE,
        published_ic=0.06,
    ),
    Feature(
        name="flow_basis_interaction",
        formula="perp_flow_imbalance * basis_bps",
        unit="bps",
        inputs=("perp_flow_imbalance", "basis_bps"),
        build=lambda _: pl.col("perp_flow_imbalance") * pl.col("basis_bps"),
        source=GUIDE,
        published_ic=0.07,
    ),
    Feature(
        name="flow_funding_interaction",
        formula="perp_flow_imbalance * funding_8h",
        unit="fraction per 8 h",
        inputs=("perp_flow_imbalance", "funding_8h"),
        build=lambda _: pl.col("perp_flow_imbalance") * pl.col("funding_8h"),
        source=FUNDING_GUIDE,
    ),
    Feature(
        name="oi_pct_change",
        formula="oi_close / oi_open - 1, the change of open interest inside the bar; both from one feed",
        unit="1",
        inputs=("oi_close", "oi_open"),
        build=lambda _: ratio(pl.col("oi_close"), pl.col("oi_open")) - 1,
        source=FUNDING_GUIDE,
    ),
    Feature(
        name="funding_oi_pressure",
        formula="funding_step * oi_pct_change",
        unit="fraction",
        inputs=("funding_step", "oi_pct_change"),
        build=lambda _: pl.col("funding_step") * pl.col("oi_pct_change"),
        source=FUNDING_GUIDE,
    ),
)
