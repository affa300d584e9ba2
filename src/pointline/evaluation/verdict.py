"""What a table of coefficients says, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL_WORDS = {
    "perp_return": "the perp's return",
    "spot_return": "the spot's return",
    "basis_change": "the change of the basis",
    "perp_volatility": "the perp's volatility",
    "spot_volatility": "the spot's volatility",
}
"""Labels as words of a sentence."""
_TRADED = ("perp_return", "spot_return", "basis_change")


def stands(table: pl.DataFrame, level: float) -> pl.Expr:
    """Whether a row stands: both tests reject, also after counting all rows, and no null is as large.

    Args:
        table: of `pointline.evaluation.ic`, with or without nulls.
        level: of the tests, 1 - confidence.
    """
    beyond = pl.col("beyond_null").fill_null(value=True) if "beyond_null" in table.columns else pl.lit(value=True)
    both = pl.col("significant").fill_null(value=False) & (pl.col("p_bh") < level).fill_null(value=False)
    return both & beyond


def verdict(table: pl.DataFrame, trials: int) -> str:
    """What predicts what, for how long, worth how many basis points, against which cost.

    Args:
        table: of `pointline.evaluation.ic`.
        trials: rows that were tested.
    """
    if not trials:
        return "Nothing could be tested: every feature lacks values or varies too little (see the column reason)."
    found = table.filter("stands").sort(pl.col("ic").abs(), descending=True)
    head = f"{found.height} of {trials} tests stand, after all tries are counted and against the nulls."
    if found.is_empty():
        return f"No feature predicts anything here: 0 of {trials} tests stand, after all tries are counted and against the nulls."
    sentences = []
    for label in dict.fromkeys(table["label"].to_list()):
        rows = found.filter(pl.col("label") == label)
        what = LABEL_WORDS.get(label, label)
        sentences.append(_best(rows.row(0, named=True), what) if rows.height else f"Nothing predicts {what}.")
    return " ".join([head, *sentences])


def _best(row: Mapping[str, Any], what: str) -> str:
    half = (row["high"] - row["low"]) / 2
    said = f"{row['feature']} predicts {what} over {row['horizon']} best: IC {row['ic']:+.4f} ± {half:.4f}"
    later = row["ic_next"]
    if later is not None:
        gone = row["next_low"] <= 0 <= row["next_high"]
        said += f", and {later:+.4f} entered one bar later" + (" (gone)" if gone else "")
    if row.get("ic_out") is not None:
        sure = ", which is not significant there" if row["significant_out"] is False else ""
        said += f", and {row['ic_out']:+.4f} out of sample (times the sign of earlier rows){sure}"
    spread, cost = row["decile_spread_bps"], row["cost_bps"]
    if spread is None or cost is None or row["label"] not in _TRADED:
        return f"{said}."
    pays = "which pays" if abs(spread) > cost else "which does not pay"
    return f"{said}. Its top and bottom deciles differ by {abs(spread):.2f} bp, {pays} a cost of {cost:g} bp."
