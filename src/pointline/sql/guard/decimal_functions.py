"""Functions by what they do with decimals, and their names as a statement may write them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pointline.sql.guard.trees import Tree, arguments_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUOTIENTS = frozenset({"divide", "intDiv", "modulo", "intDivOrZero", "moduloOrZero", "positiveModulo", "divideOrNull", "intDivOrNull",
                        "moduloOrNull", "positiveModuloOrNull"})  # fmt: skip
MODULI = frozenset({"modulo", "positiveModulo", "moduloOrNull", "positiveModuloOrNull"})
SUMS = frozenset({"plus", "minus", "sum", "avg", "sumCount", "sumWithOverflow", "sumKahan", "sumMap", "sumMappedArrays",
                   "sumMapWithOverflow", "sumMapFiltered", "sumMapFilteredWithOverflow", "groupArrayMovingSum", "groupArrayMovingAvg",
                   "arraySum", "arrayAvg", "arrayCumSum", "arrayCumSumNonNegative", "arrayDifference",
                   "runningDifference"})  # fmt: skip
VECTORS = frozenset({"tuplePlus", "tupleMinus", "tupleMultiply", "tupleDivide", "tupleMultiplyByNumber", "tupleDivideByNumber",
                      "dotProduct", "arrayDotProduct", "scalarProduct", "mapAdd", "mapSubtract", "arrayProduct", "sqr",
                      "tupleIntDiv", "tupleIntDivOrZero", "tupleIntDivByNumber", "tupleIntDivOrZeroByNumber", "tupleModulo",
                      "tupleModuloByNumber", "tuplePositiveModuloByNumber", "cosineDistance", "kqlMultiply", "kqlDivide", "kqlBin",
                      "kqlBinAt", "kqlRangeCount",
                      *(f"{stem}{tail}" for stem in ("L1", "L2", "L2Squared", "Linf", "Lp") for tail in ("Norm", "Distance", "Normalize"))
                      })  # fmt: skip
# Functions that take the name of an aggregate function as text.
BY_TEXT = frozenset({"arrayReduce", "arrayReduceInRanges", "initializeAggregation"})
CASTS = re.compile(r"_?CAST|accurateCast\w*|toDecimal\d+\w*")
# Aggregate functions that take floats and no decimals, with the number of arguments that are values; None is all.
FLOATS_ONLY: dict[str, int | None] = {
    **dict.fromkeys(("corr", "covarPop", "covarSamp", "avgWeighted"), 2),
    **dict.fromkeys(("corrMatrix", "covarPopMatrix", "covarSampMatrix", "stochasticLinearRegression", "stochasticLogisticRegression")),
    **dict.fromkeys(("regr_avgx", "regr_avgy", "regr_intercept", "regr_r2", "regr_slope", "regr_sxx", "regr_sxy", "regr_syy"), 2),
    **dict.fromkeys(("deltaSum", "deltaSumTimestamp", "studentTTest", "welchTTest"), 1),
    **{
        f"{stem}{tail}": 1
        for stem in ("quantile", "quantiles", "median")
        for tail in ("BFloat16", "ExactExclusive", "ExactInclusive", "TDigest", "TDigestWeighted", "Timing", "TimingWeighted")
    },
}
MIXING = frozenset({"if", "multiIf", "coalesce", "ifNull", "nullIf", "greatest", "least", "array", "caseWithExpression", "transform"})
# What gives a Float64 for a Float64.
PASSING = frozenset({"multiply", "divide", "plus", "minus", "negate", "abs", "round", "floor", "ceil", "trunc", "min", "max", "sum", "avg",
                      "any", "anyLast", "argMin", "argMax", "assumeNotNull", "toNullable", "materialize", *MIXING})  # fmt: skip
BY_NAME = frozenset({"multiply", "toFloat64", *QUOTIENTS, *VECTORS, *MIXING, *BY_TEXT})
TAKES_FUNCTIONS = re.compile(r"(?:array|map)[A-Z]\w*")
# Parts of a statement that must stay the constants that they are.
CONSTANT_PARTS = frozenset({"limit_length", "limit_offset", "limit_by_length", "limit_by_offset", "parameters", "fill_from", "fill_to",
                             "fill_step", "fill_staleness", "frame_begin_offset", "frame_end_offset", "sample_size",
                             "sample_offset"})  # fmt: skip


class Stems:
    """Names of functions as in the sets of this module: without the combinators of aggregate functions, in one spelling."""

    def __init__(self, combinators: Sequence[str], spellings: Mapping[str, str]) -> None:
        self._combinators = combinators
        self._spellings = spellings
        self._known = {spellings.get(name, name): name for name in (*BY_NAME, *SUMS, *FLOATS_ONLY)}

    def __call__(self, name: str) -> str:
        """The name of a function, or its beginning, where that is in a set of this module; else the name itself."""
        stem = name
        while (found := self._spelt(stem)) is None:
            suffix = next((suffix for suffix in self._combinators if stem.endswith(suffix) and len(stem) > len(suffix)), None)
            if suffix is None:
                return name
            stem = stem[: -len(suffix)]
        return found

    def of(self, function: Tree) -> str:
        """The same of a function in the tree; of those that take an aggregate function as text where that is a sum, else empty."""
        stem = self(str(function["name"]))
        if stem not in BY_TEXT:
            return stem
        first = next(iter(arguments_of(function)), {})
        word = re.match(r"\s*(\w*)", str(first.get("value", {}).get("value", "")))
        return stem if word is not None and self(word[1]) in SUMS else ""

    def _spelt(self, name: str) -> str | None:
        own = self._spellings.get(name) or self._spellings.get(name.lower()) or name
        return self._known.get(own)
