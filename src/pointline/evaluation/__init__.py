"""Whether a feature predicts anything: information coefficients, their errors, what many tries are worth, nulls, and rows out of sample.

Arrays go in; frozen values and Polars frames come out. Nothing here opens a lake.
"""

from __future__ import annotations

from pointline.evaluation.causal import CausalTest, causal_test
from pointline.evaluation.coefficient import InformationCoefficient, information_coefficient
from pointline.evaluation.coefficients import COEFFICIENTS_SCHEMA, CoefficientTable, forward_sums, information_coefficients
from pointline.evaluation.combination import PREDICTIONS_SCHEMA, WEIGHTS_SCHEMA, FittedCombination, fitted_combination
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
from pointline.evaluation.out_of_sample import FOLDS_SCHEMA, OUT_OF_SAMPLE_SCHEMA, OutOfSample, inflation, out_of_sample
from pointline.evaluation.splits import RowSpans, Split, purged_k_fold, walk_forward

__all__ = [
    "COEFFICIENTS_SCHEMA",
    "FOLDS_SCHEMA",
    "OUT_OF_SAMPLE_SCHEMA",
    "PREDICTIONS_SCHEMA",
    "WEIGHTS_SCHEMA",
    "CausalTest",
    "CoefficientTable",
    "Deciles",
    "DeflatedSharpe",
    "FittedCombination",
    "InformationCoefficient",
    "NullSummary",
    "OutOfSample",
    "RowSpans",
    "Split",
    "benjamini_hochberg",
    "causal_test",
    "circular_shift",
    "day_shuffle",
    "deciles",
    "deflated_sharpe_ratio",
    "fitted_combination",
    "forward_sums",
    "inflation",
    "information_coefficient",
    "information_coefficients",
    "kept_at_random",
    "moved",
    "null_coefficients",
    "out_of_sample",
    "purged_k_fold",
    "rows_needed",
    "step_down_min_p",
    "thinned",
    "walk_forward",
    "with_bounce",
]
