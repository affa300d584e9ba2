"""Study.report(): one page about a study, from its data to what it would have earned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from pointline.errors import ConfigError, PointlineError
from pointline.report.page import ReportPage, check_page_path, write_page
from pointline.studies import report_data as data
from pointline.studies import report_evidence as evidence
from pointline.studies import report_trading as trading
from pointline.studies.checklist import Checklist
from pointline.studies.evaluate import Evaluation
from pointline.studies.lead_lag import LeadLagStudy
from pointline.studies.report_verdict import facts, headline

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.report.page import PageSection
    from pointline.studies.reported import Reported

_Found = TypeVar("_Found")


def write_report(
    study: Reported,
    path: str | Path,
    *,
    evaluation: Evaluation | None = None,
    checklist: Checklist | None = None,
    lead_lag: LeadLagStudy | None = None,
    forecast: Any = None,  # noqa: ANN401 - a forecast of the next funding
    costs: Any = None,  # noqa: ANN401 - break-even and opportunities
    backtest: Any = None,  # noqa: ANN401 - trades and daily figures
    pictures: str | Path | None = None,
) -> Path:
    """Writes the page of a study (see `pointline.Study.report`).

    Args:
        study: a comparison.
        path, evaluation, checklist, lead_lag, forecast, costs, backtest, pictures: as `pointline.Study.report`.

    Returns:
        The page's file.

    Raises:
        ConfigError, MissingExtraError, PointlineError: as `pointline.Study.report`.
    """
    target = check_page_path(path, pictures)
    _check_given(evaluation=(evaluation, Evaluation), checklist=(checklist, Checklist), lead_lag=(lead_lag, LeadLagStudy))
    for name, part, wanted in (
        ("forecast", forecast, trading.FORECAST_PARTS),
        ("costs", costs, trading.COST_PARTS),
        ("backtest", backtest, trading.BACKTEST_PARTS),
    ):
        trading.check_part(name, part, wanted)
    parts = _Parts(study.notes)
    if evaluation is None:
        evaluation = parts.found("Information coefficients, nulls and tenths", study.ic)
    judged = evaluation
    if checklist is None:
        checklist = parts.found("Checklist", lambda: study.checklist(evaluation=judged))
    parts.add(data.coverage_section(study))
    parts.add(data.basis_section(study))
    if evaluation is not None:
        parts.add(evidence.ic_section(study, evaluation))
        parts.add(
            evidence.null_section(study, evaluation),
            "Null battery",
            "there are no nulls (draws=0), or no coefficients with returns",
        )
        parts.add(evidence.decile_section(study, evaluation), "Returns by tenths", "no feature has enough rows")
    measured = (lead_lag, "") if lead_lag is not None else parts.found("Lead and lag", lambda: evidence.lead_lag_of(study))
    if measured is not None:
        parts.add(evidence.lead_lag_section(*measured))
    traded = _add_traded(study, parts, forecast=forecast, costs=costs, backtest=backtest)
    if checklist is not None:
        parts.add(evidence.checklist_section(checklist))
    parts.add(data.provenance_section(study, target.name))
    page = ReportPage(
        title=f"{study.pair.perp.name} against {study.pair.spot.name}",
        subtitle=f"{data.window_text(study)}. Bars: {study.rule_text}",
        verdict=headline(study, evaluation, checklist, traded),
        facts=facts(study, evaluation),
        sections=parts.sections,
        notes=study.notes,
        left_out=parts.left_out,
    )
    write_page(page, target, pictures=pictures)
    return target


def _add_traded(study: Reported, parts: _Parts, *, forecast: Any, costs: Any, backtest: Any) -> tuple[str, float] | None:  # noqa: ANN401 - as above
    """The sections about trading; what is not given is computed with its defaults. Returns the strategy and its profit of a trade."""
    subtitle, quote = data.compared_pair(study).subtitle, study.pair.spot.quote_asset
    told = forecast if forecast is not None else parts.found("Funding forecast", study.next_funding)
    if told is not None:
        parts.add(trading.forecast_section(told, subtitle))
    held = costs if costs is not None else parts.found("Costs and opportunities", study.costs)
    if held is not None:
        parts.add(trading.cost_section(held, subtitle))
    traded = backtest if backtest is not None else parts.found("Backtest", study.backtest)
    if traded is not None:
        parts.add(trading.backtest_section(traded, subtitle, quote))
    return None if traded is None else (traded.summary["strategy"], traded.summary["pnl_bps"])


class _Parts:
    """The sections that there are, and those that are left out with the reason."""

    def __init__(self, told: tuple[str, ...]) -> None:
        self.told = told  # notes of the study, which stand at the top of the page
        self.sections: list[PageSection] = []
        self.left_out: list[tuple[str, str]] = []

    def found(self, name: str, compute: Callable[[], _Found]) -> _Found | None:
        """What is computed, or nothing where the data do not allow it."""
        try:
            return compute()
        except PointlineError as error:
            self.left_out.append((name, error.what))
            return None

    def add(self, section: PageSection | None, name: str = "", reason: str = "") -> None:
        """Adds a section, or says why it is left out."""
        if section is None:
            self.left_out.append((name, reason))
        else:
            self.sections.append(replace(section, notes=[note for note in section.notes if note not in self.told]))


def _check_given(**given: tuple[object, type]) -> None:
    for name, (value, kind) in given.items():
        if value is not None and not isinstance(value, kind):
            raise ConfigError(f"{name} has the wrong type", where="report", value=type(value).__name__, expected=f"{kind.__name__} or None")
