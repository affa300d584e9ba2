"""What a table of funding forecasts says, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.evaluation.funding_scores import RULE

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = {"least_squares": "least squares"}


def forecast_verdict(scores: pl.DataFrame, level: float) -> str:
    """Whether the models say more than the venue's own rule, and where.

    Args:
        scores: columns of `pointline.evaluation.funding_scores.SCORES_SCHEMA`.
        level: below which an adjusted p counts.
    """
    models = scores.filter(pl.col("kind") == "model")
    better = models.filter((pl.col("p_adjusted") < level) & (pl.col("mae_less_rule_bps") < 0))
    sentences = [_rule_alone(scores)]
    if models.is_empty():
        return " ".join([*sentences, "No model was fitted."])
    if better.is_empty():
        tries = f"{models.height} tries" if models.height > 1 else "one try"
        return " ".join([*sentences, f"The models add nothing: no error is below the rule's beyond chance, counted over {tries}."])
    for hours in models["hours_before"].unique(maintain_order=True).sort(descending=True):
        found = better.filter(pl.col("hours_before") == hours).sort("mae_bps", "predictor")
        rule = _of(scores, RULE, hours)
        if found.is_empty():
            sentences.append(f"{hours:g} h before, the models add nothing beyond chance to the rule ({rule['mae_bps']:.3f} bp).")
        else:
            best = found.row(0, named=True)
            name = _WORDS.get(best["predictor"], best["predictor"])
            p = "below 0.001" if best["p_adjusted"] < 0.001 else f"{best['p_adjusted']:.3f}"  # noqa: PLR2004 - as it is printed
            errors = f"{best['mae_bps']:.3f} bp against {rule['mae_bps']:.3f}"
            said = f"{hours:g} h before, {name} is better than the rule: {errors}, p {p} after {models.height} tries"
            last = _of(scores, "last", hours)["mae_bps"]
            beaten = "" if best["mae_bps"] < last else ", so the model is no better than that"
            sentences.append(f"{said}; the last rate alone misses by {last:.3f}{beaten}." if last < rule["mae_bps"] else f"{said}.")
    return " ".join(sentences)


def _rule_alone(scores: pl.DataFrame) -> str:
    """How the rule does nearest to the settlement, beside the last rate."""
    hours = float(scores["hours_before"].min())  # type: ignore[arg-type] # a column of floats
    rule, last = (_of(scores, name, hours) for name in (RULE, "last"))
    when = "At the settlement" if hours == 0 else f"{hours:g} h before"
    explained = "" if rule["r2"] is None else f" (R² {rule['r2']:.2f})"
    return (
        f"{when}, the venue's rule on the premium so far misses the rate by {rule['mae_bps']:.3f} bp on average{explained}, "
        f"the last rate by {last['mae_bps']:.3f}, over {rule['n']:,} settlements."
    )


def _of(scores: pl.DataFrame, predictor: str, hours: float) -> Mapping[str, Any]:
    return scores.filter((pl.col("predictor") == predictor) & (pl.col("hours_before") == hours)).row(0, named=True)
