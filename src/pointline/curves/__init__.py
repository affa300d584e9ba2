"""Contracts of one asset against spot: closes on a common grid, spreads, term structure and the yield of cash and carry.

Everything here takes a lake or frames and returns frames; `pointline.studies.spreads.spreads` puts the pieces together.
"""

from __future__ import annotations

from pointline.curves.carry_yield import carry_yield
from pointline.curves.grid import CandleGrid, candle_grid
from pointline.curves.smoothing import smoothing
from pointline.curves.summary import summarise
from pointline.curves.table import TABLE_SCHEMA, spread_table
from pointline.curves.term_structure import MATURITIES_DAYS, constant_maturity, curve_at, roll_calendar
from pointline.curves.triangle import triangle
from pointline.curves.widest import (
    FUNDING_SPREADS_SCHEMA,
    PAIR_BASIS_SCHEMA,
    WIDEST_SCHEMA,
    PairTermsOnSpine,
    funding_spreads,
    pair_basis,
    widest_basis,
)

__all__ = [
    "FUNDING_SPREADS_SCHEMA",
    "MATURITIES_DAYS",
    "PAIR_BASIS_SCHEMA",
    "TABLE_SCHEMA",
    "WIDEST_SCHEMA",
    "CandleGrid",
    "PairTermsOnSpine",
    "candle_grid",
    "carry_yield",
    "constant_maturity",
    "curve_at",
    "funding_spreads",
    "pair_basis",
    "roll_calendar",
    "smoothing",
    "spread_table",
    "summarise",
    "triangle",
    "widest_basis",
]
