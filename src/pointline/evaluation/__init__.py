"""Whether a feature predicts anything: information coefficients, their errors, what many tries are worth, and nulls.

Arrays go in; frozen values and Polars frames come out. Nothing here opens a lake.
"""

from __future__ import annotations

from pointline.evaluation.causal import CausalTest, causal_test
from pointline.evaluation.coefficient import InformationCoefficient, information_coefficient
from pointline.evaluation.coefficients import COEFFICIENTS_SCHEMA, CoefficientTable, forward_sums, information_coefficients
from pointline.evaluation.deciles import Deciles, deciles
from pointline.evaluation.inputs import rows_needed
from pointline.evaluation.multiplicity import DeflatedSharpe, benjamini_hochberg, deflated_sharpe_ratio, step_down_min_p
from pointline.evaluation.nulls import (
    NullSummary,
    circular_shift,
    day_shuffle,
    kept_at_random,
    moved,
    null_coefficients,
    thinned,
    with_bounce,
)

__all__ = [
    "COEFFICIENTS_SCHEMA",
    "CausalTest",
    "CoefficientTable",
    "Deciles",
    "DeflatedSharpe",
    "InformationCoefficient",
    "NullSummary",
    "benjamini_hochberg",
    "causal_test",
    "circular_shift",
    "day_shuffle",
    "deciles",
    "deflated_sharpe_ratio",
    "forward_sums",
    "information_coefficient",
    "information_coefficients",
    "kept_at_random",
    "moved",
    "null_coefficients",
    "rows_needed",
    "step_down_min_p",
    "thinned",
    "with_bounce",
]
