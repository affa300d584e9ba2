"""next_funding(): how well the next funding rate can be told some hours before, and the FundingForecast that holds the result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True, eq=False, kw_only=True)
class FundingForecast:
    """The result of `pointline.next_funding`. It can be pickled.

    Attributes:
        perp, spot: the two instruments, as ``exchange:symbol``.
        start_us, end_us: the window of settlements.
        premium_source: what the premium was computed from: ``"premium_index"``, ``"mark_index"``, ``"basis"`` or ``"cross_quote_basis"``.
        table: scores, columns of `pointline.evaluation.funding_scores.SCORES_SCHEMA`: one row for each predictor and lead.
        settlements: the scored settlements, columns of `pointline.evaluation.funding_scores.FORECASTS_SCHEMA`: one row for each
            settlement and lead, with the actual rate and a column for each predictor, in basis points per 8 hours.
        verdict: what follows, in sentences.
        notes: warnings about the result.
        elapsed_s: seconds from the call to the result.
    """

    perp: str
    spot: str
    start_us: int
    end_us: int
    premium_source: str
    table: pl.DataFrame = field(repr=False)
    settlements: pl.DataFrame = field(repr=False)
    verdict: str
    notes: tuple[str, ...] = ()
    elapsed_s: float = 0.0
