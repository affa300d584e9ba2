"""The costs of a pair and its opportunities as text tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl
    from rich.console import RenderableType
    from rich.table import Table

_UNITS = (("d", DAY_US), ("h", HOUR_US), ("min", MINUTE_US), ("s", SECOND_US), ("ms", 1_000))
_WORDS = frozenset({"leg", "side", "trade", "name", "condition"})
_LEGS = {
    "leg": "leg",
    "taker_bps": "fee of a fill",
    "slippage_bps": "slippage of a fill",
    "fills": "fills",
    "fees_bps": "fees",
    "slippage_paid_bps": "slippage",
    "withdrawal_bps": "withdrawal",
    "round_trip_bps": "round trip",
    "round_trip_quote": "in money",
}
_SIDES = {
    "side": "basis",
    "trade": "trade",
    "basis_earned_bps": "earns by closing",
    "missing_bps": "missing",
    "funding_bps_per_payment": "a payment",
    "borrow_bps_per_payment": "borrowing",
    "payments_alone": "payments",
    "hours_alone": "hours",
    "payments_with_basis": "with the basis",
    "hours_with_basis": "hours",
}
_COUNTED = {
    "bars": "bars",
    "spells": "spells",
    "share_of_time": "time",
    "longest_spell_us": "longest",
    "mean_excess_bps": "mean excess",
    "largest_basis_bps": "largest",
    "share_remaining": "later",
    "stale_bars": "stale",
}
_OPPORTUNITIES = {"name": "level", "cost_bps": "bps", "side": "side", **_COUNTED}
_LADDER = {"name": "costs", "cost_bps": "bps", **_COUNTED}
_CONDITIONS = {
    "condition": "condition",
    "bars": "bars",
    "share_of_time": "time",
    "opportunities": "opportunities",
    "share_of_condition": "of its bars",
    "share_of_opportunities": "of all",
    "mean_excess_bps": "mean excess",
    "remain_next_bar": "later",
    "stale_bars": "stale",
}
_READING = (
    "spells: runs of bars without a gap. time: share of the bars with a fresh basis. later: of the bars that have a bar right after them, "
    "those still above it then. stale: bars whose old prices are as far apart; they are no opportunities."
)


def costs_view(
    *,
    title: str,
    lines: Sequence[str],
    legs: pl.DataFrame,
    sides: pl.DataFrame,
    opportunities: pl.DataFrame,
    conditions: pl.DataFrame,
    ladder: pl.DataFrame,
    notional: str,
    notes: Sequence[str],
) -> RenderableType:
    """What `pointline costs` prints.

    Args:
        title: heading.
        lines: sentences below it.
        legs, sides, opportunities, conditions, ladder: the tables of `pointline.studies.costs.CostStudy`.
        notional: size of one leg, in words.
        notes: what a reader should know.
    """
    from rich.console import Group
    from rich.text import Text

    def headed(text: str, table: Table) -> list[RenderableType]:
        return [Text(), Text(text, style="bold"), table]

    parts: list[RenderableType] = [
        Text(title, style="bold"),
        *map(Text, lines),
        *headed(f"Break-even, bps of {notional} a leg", _table(legs, _LEGS)),
        *headed("What pays for it, at the last basis and funding", _table(_with_never(sides), _SIDES)),
        *headed("Opportunities: the size of the basis is above", _table(opportunities, _OPPORTUNITIES)),
        *headed("By condition (they overlap)", _table(conditions, _CONDITIONS)),
        *headed("At other costs, both sides", _table(ladder, _LADDER)),
        Text(),
        Text(_READING, style="dim"),
    ]
    parts += [Text(f"note: {note}", style="yellow") for note in notes]
    return Group(*parts)


def _with_never(sides: pl.DataFrame) -> pl.DataFrame:
    """Hours without end where funding never pays, which is known; where it is not, they stay null."""
    from polars import col, lit, when

    return sides.with_columns(
        when(col("paid_by_funding").not_() & col(name).is_null()).then(lit(float("inf"))).otherwise(name).alias(name)
        for name in ("hours_alone", "hours_with_basis")
    )


def _table(frame: pl.DataFrame, headings: dict[str, str]) -> Table:
    """Columns of a frame under other headings, each cell as its column is written; columns of words stand left."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as TextTable

    shown = TextTable(box=SIMPLE_HEAD, header_style="cyan", pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name, heading in headings.items():
        shown.add_column(heading, justify="left" if name in _WORDS else "right", overflow="fold", no_wrap=name not in _WORDS)
    for row in frame.iter_rows(named=True):
        shown.add_row(*(row[name] if name in _WORDS else _form(name)(row[name]) for name in headings))
    return shown


def _form(name: str) -> Callable[[float | None], str]:
    """How the figures of a column are written, by the unit in its name."""
    return next((form for ending, form in _FORMS.items() if name.endswith(ending)), _count)


def _bps(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}".removesuffix(".00") if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"  # noqa: PLR2004


def _money(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,}"


def _hours(value: float | None) -> str:
    return "-" if value is None else "never" if value == float("inf") else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _time(us: float | None) -> str:
    if us is None:
        return "-"
    unit, size = next((one for one in _UNITS if us >= one[1]), _UNITS[-1])
    return f"{us / size:.3g} {unit}"


_FORMS: dict[str, Callable[[float | None], str]] = {"_per_payment": _bps, "_bps": _bps, "_us": _time, "_quote": _money}
_FORMS |= {"hours_alone": _hours, "hours_with_basis": _hours}
_FORMS |= dict.fromkeys(("share_of_time", "share_remaining", "share_of_condition", "share_of_opportunities"), _share)
