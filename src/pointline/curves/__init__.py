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

__all__ = [
    "MATURITIES_DAYS",
    "TABLE_SCHEMA",
    "CandleGrid",
    "candle_grid",
    "carry_yield",
    "constant_maturity",
    "curve_at",
    "roll_calendar",
    "smoothing",
    "spread_table",
    "summarise",
    "triangle",
]
