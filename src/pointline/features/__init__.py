"""Features of bars: a registry of named formulas, the query that computes them, and the labels that stay apart from them.

>>> from pointline.features import FEATURES
>>> FEATURES["basis_momentum"].formula
'basis_bps - basis_bps.shift(1)'
"""

from __future__ import annotations

from pointline.features.feature import Feature, FeatureParams, PairParams
from pointline.features.labels import forward_labels, label_names
from pointline.features.registry import (
    BUILT_IN,
    CROSS_QUOTE_PREFIX,
    FEATURES,
    PROVENANCE_COLUMNS,
    compute_features,
    feature_table,
    register,
    unregister,
)

__all__ = [
    "BUILT_IN",
    "CROSS_QUOTE_PREFIX",
    "FEATURES",
    "PROVENANCE_COLUMNS",
    "Feature",
    "FeatureParams",
    "PairParams",
    "compute_features",
    "feature_table",
    "forward_labels",
    "label_names",
    "register",
    "unregister",
]
