"""Does one market say anything about another? Who leads, and where prices are found.

Functions take frames of trades or of features and return frozen values; `pointline.lead_lag` takes a lake and names.
"""

from pointline.evaluation.cross_moments import cross_moments, leads_by_hour, responses
from pointline.evaluation.information_shares import (
    InformationShares,
    PriceDiscovery,
    information_shares,
    price_discovery,
)
from pointline.evaluation.lead_lag import LagFigures, LeadLag, lead_lag
from pointline.evaluation.ticks import grid_correlation

__all__ = [
    "InformationShares",
    "LagFigures",
    "LeadLag",
    "PriceDiscovery",
    "cross_moments",
    "grid_correlation",
    "information_shares",
    "lead_lag",
    "leads_by_hour",
    "price_discovery",
    "responses",
]
