"""The verdict of a report in one sentence, and the few figures below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.evaluation.verdict import LABEL_WORDS
from pointline.features import CROSS_QUOTE_PREFIX

if TYPE_CHECKING:
    from pointline.studies.checklist import Checklist
    from pointline.studies.evaluate import Evaluation
    from pointline.studies.reported import Reported

RETURNS = ("spot_return", "perp_return")
_STALE_SHARE = 0.01
_BPS = 1e4


def headline(study: Reported, evaluation: Evaluation | None, checklist: Checklist | None, traded: tuple[str, float] | None) -> str:
    """The result in one sentence, with what it does not know.

    Args:
        study: a comparison.
        evaluation, checklist: what was found; None where it could not be computed.
        traded: a strategy and its mean profit of a trade after all costs, in bps.
    """
    told = [_found(study, evaluation)]
    if traded is not None:
        strategy, profit_bps = traded
        told.append(f"trading {strategy} {'earned' if profit_bps >= 0 else 'lost'} {abs(profit_bps):.2f} bps a trade after all costs")
    unknown = "; ".join(_unknown(study, evaluation, checklist))
    return f"{'; '.join(told)}; {_ready(checklist)}; not known: {unknown}."


def _found(study: Reported, evaluation: Evaluation | None) -> str:
    names = f"{study.pair.perp.name} or {study.pair.spot.name}"
    if evaluation is None:
        return f"Whether anything predicts the return of {names} could not be tested"
    tested = evaluation.table.filter(pl.col("label").is_in(RETURNS), pl.col("p").is_not_null()).height
    if not tested:
        return f"Whether anything predicts the return of {names} was not tested"
    trials = f"{tested} {'test' if tested == 1 else 'tests'} of returns"
    best = evaluation.standing.filter(pl.col("label").is_in(RETURNS))
    if best.is_empty():
        return f"No feature predicts the return of {names} in this window ({trials})"
    row = best.row(0, named=True)
    said = f"{row['feature']} predicts {LABEL_WORDS[row['label']]} over {row['horizon']} (IC {row['ic']:+.3f}, the largest of the "
    said += f"{best.height} that stand among {trials})"
    later, spread, cost = row["ic_next"], row["decile_spread_bps"], row["cost_bps"]
    if later is not None:
        said += f", {later:+.3f} if one enters a bar later"
    if spread is not None and cost is not None:
        pays = "pays them" if abs(spread) > cost else "cannot pay them"
        said += f"; its tenths differ by {abs(spread):.2f} bps, which {pays.replace('them', f'a cost of {cost:g} bps')}"
    return said


def _ready(checklist: Checklist | None) -> str:
    if checklist is None:
        return "the checklist could not be made"
    failed = [point.name.replace("_", " ") for point in checklist.points if point.status == "fail"]
    return f"the checklist fails on {', '.join(failed)}" if failed else "no point of the checklist fails"


def _unknown(study: Reported, evaluation: Evaluation | None, checklist: Checklist | None) -> list[str]:
    told = ["whether it holds outside this window"]
    stale = study.summary["share_bars_stale_spot"]
    if stale > _STALE_SHARE:
        told.append(f"what spot was worth in {stale:.0%} of the bars, where its price is stale")
    if evaluation is not None:
        least = evaluation.table.filter(pl.col("label").is_in(RETURNS))["detectable"].median()
        if isinstance(least, float):
            told.append(f"coefficients below about {least:.2f}, which this many bars do not show")
    told += [point.name.replace("_", " ") for point in (() if checklist is None else checklist.points) if point.status == "unknown"]
    return told


def facts(study: Reported, evaluation: Evaluation | None) -> list[tuple[str, str]]:
    """The few figures below the verdict, by name."""
    summary = study.summary
    name = f"{CROSS_QUOTE_PREFIX}basis_bps" if "basis_bps" not in study.columns else "basis_bps"
    basis, funding = (summary["quantiles"][one]["0.5"] for one in (name, "funding_8h"))
    covered = min(own["share"] for own in summary["coverage"].values())
    found = [
        ("bars", str(summary["bars"])),
        ("window covered", f"{covered:.2%}"),
        ("bars with stale spot", f"{summary['share_bars_stale_spot']:.1%}"),
        ("median basis", "not known" if basis is None else f"{basis:+.2f} bps"),
        ("median funding, 8 h", "not known" if funding is None else f"{funding * _BPS:+.3f} bps"),
    ]
    if evaluation is not None:
        found.append(("tests that stand", f"{evaluation.standing.height} of {evaluation.summary['trials']}"))
    return found
