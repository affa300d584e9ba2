"""Evidence: does a feature predict anything, and which market leads?

Information coefficients with their errors, what many tries are worth, and nulls; lead and lag, and where prices are found. Arrays and
frames go in; frozen values and frames come out. Nothing here opens a lake.
"""

from pointline.evaluation.causal import CausalTest, causal_test
from pointline.evaluation.check_limits import CheckLimits
from pointline.evaluation.checklist import STATUS_CODES, CheckFacts, CheckPoint, SideFacts, check_points
from pointline.evaluation.coefficient import InformationCoefficient, information_coefficient
from pointline.evaluation.coefficients import COEFFICIENTS_SCHEMA, CoefficientTable, forward_sums, information_coefficients
from pointline.evaluation.combination import PREDICTIONS_SCHEMA, WEIGHTS_SCHEMA, FittedCombination, fitted_combination
from pointline.evaluation.cross_moments import cross_moments, leads_by_hour, responses
from pointline.evaluation.deciles import Deciles, deciles
from pointline.evaluation.funding_coming import COMING_SCHEMA, coming_settlement
from pointline.evaluation.funding_forecast import JudgedForecasts, funding_forecasts
from pointline.evaluation.funding_scores import FORECASTS_SCHEMA, SCORES_SCHEMA, ErrorDifference, error_difference, forecast_scores
from pointline.evaluation.information import IcOptions, JudgedFeatures, ic
from pointline.evaluation.information_shares import (
    InformationShares,
    PriceDiscovery,
    information_shares,
    price_discovery,
)
from pointline.evaluation.inputs import rows_needed
from pointline.evaluation.labels import LABELS, LabelSeries, label_series
from pointline.evaluation.lead_lag import LagFigures, LeadLag, lead_lag
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
from pointline.evaluation.premium import VenueRates, fitted_offset
from pointline.evaluation.settlements import SettledRates
from pointline.evaluation.splits import RowSpans, Split, purged_k_fold, walk_forward
from pointline.evaluation.ticks import grid_correlation
from pointline.evaluation.time_of_day import volumes_by_hour
from pointline.venues.premium import PremiumSlots, PremiumSoFar, premium_so_far

__all__ = [
    "COEFFICIENTS_SCHEMA",
    "COMING_SCHEMA",
    "FOLDS_SCHEMA",
    "FORECASTS_SCHEMA",
    "LABELS",
    "OUT_OF_SAMPLE_SCHEMA",
    "PREDICTIONS_SCHEMA",
    "SCORES_SCHEMA",
    "STATUS_CODES",
    "WEIGHTS_SCHEMA",
    "CausalTest",
    "CheckFacts",
    "CheckLimits",
    "CheckPoint",
    "CoefficientTable",
    "Deciles",
    "DeflatedSharpe",
    "ErrorDifference",
    "FittedCombination",
    "IcOptions",
    "InformationCoefficient",
    "InformationShares",
    "JudgedFeatures",
    "JudgedForecasts",
    "LabelSeries",
    "LagFigures",
    "LeadLag",
    "NullSummary",
    "OutOfSample",
    "PremiumSlots",
    "PremiumSoFar",
    "PriceDiscovery",
    "RowSpans",
    "SettledRates",
    "SideFacts",
    "Split",
    "VenueRates",
    "benjamini_hochberg",
    "causal_test",
    "check_points",
    "circular_shift",
    "coming_settlement",
    "cross_moments",
    "day_shuffle",
    "deciles",
    "deflated_sharpe_ratio",
    "error_difference",
    "fitted_combination",
    "fitted_offset",
    "forecast_scores",
    "forward_sums",
    "funding_forecasts",
    "grid_correlation",
    "ic",
    "inflation",
    "information_coefficient",
    "information_coefficients",
    "information_shares",
    "kept_at_random",
    "label_series",
    "lead_lag",
    "leads_by_hour",
    "moved",
    "null_coefficients",
    "out_of_sample",
    "premium_so_far",
    "price_discovery",
    "purged_k_fold",
    "responses",
    "rows_needed",
    "step_down_min_p",
    "thinned",
    "volumes_by_hour",
    "walk_forward",
    "with_bounce",
]
