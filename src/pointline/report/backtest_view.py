"""A backtest as text tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl
    from rich.console import RenderableType

_TERMS = (
    ("perp_price_quote", "price of the perp leg", 1),
    ("spot_price_quote", "price of the spot leg", 1),
    ("funding_quote", "funding", 1),
    ("fees_quote", "fees and withdrawals", -1),
    ("slippage_quote", "slippage", -1),
    ("borrow_quote", "borrowing", -1),
    ("pnl_quote", "change of equity", 1),
)
_VIEWS = (("basis_quote", "of the prices: basis", 1), ("unhedged_quote", "of the prices: not hedged", 1))


def backtest_view(summary: Mapping[str, Any], *, title: str, lines: Sequence[str], notes: Sequence[str]) -> RenderableType:
    """What `pointline backtest` prints.

    Args:
        summary: figures of the backtest.
        title: heading.
        lines: what was done, and the verdict.
        notes: sentences below the tables.
    """
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(title, style="bold"), *(Text(line) for line in lines), Text()]
    parts += [_attribution(summary), Text(), _figures(summary), Text()]
    return Group(*parts, *(Text(f"note: {note}", style="yellow") for note in notes))


def sweep_view(trials: pl.DataFrame, best: RenderableType, *, title: str, verdict: str) -> RenderableType:
    """What `pointline backtest` prints of a sweep.

    Args:
        trials: one row per trial.
        best: the best of them.
        title: heading.
        verdict: the result in a sentence.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in trials.columns:
        table.add_column(name.replace("_", " "), justify="right")
    for row in trials.iter_rows():
        table.add_row(*(value if isinstance(value, str) else _number(value, ",.4g") for value in row))
    return Group(Text(title, style="bold"), Text(verdict), Text(), table, Text(), best)


def _grid() -> Any:  # noqa: ANN401 - a rich table
    from rich.table import Table

    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)


def attribution_of(summary: Mapping[str, Any]) -> list[tuple[str, float]]:
    """What each term added to the equity, costs below zero, then the change of equity and the two views of the prices.

    Args:
        summary: figures of the backtest.
    """
    return [(text, sign * summary[name] + 0.0) for name, text, sign in (*_TERMS, *_VIEWS)]


def figures_of(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The figures of a backtest in words, with their units.

    Args:
        summary: figures of the backtest.
    """
    reasons = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in summary["exit_reasons"].items())
    error, asset, near = summary["pnl_bps_error"], summary["quote_asset"], summary["nearest_liquidation"]
    return [
        ("trades", f"{summary['trades']:,}, {summary['long']:,} of them long; ended by: {reasons}"),
        ("profit of a trade", f"{summary['pnl_bps']:+.2f} bps" + ("" if error is None else f" ± {error:.2f}")),
        ("trades that earned", f"{summary['hit_rate']:.1%}"),
        ("held", f"{_number(summary['median_holding_hours'], '.2f')} h (median), {summary['hours_held_share']:.1%} of the time"),
        ("return", f"{summary['total_return']:+.2%} on {summary['capital_quote']:,.2f} {asset} in {summary['days']:,} days"),
        ("return a year", _number(summary["annual_return"], "+.2%")),
        ("volatility a year", _number(summary["annual_volatility"], ".2%")),
        ("Sharpe ratio", "-" if summary["sharpe"] is None else f"{summary['sharpe']:.2f} ± {summary['sharpe_error']:.2f} (365 days)"),
        ("above chance", f"{_number(summary['deflated_sharpe_probability'], '.3f')}, trials: {summary['trials']:,}"),
        ("drawdown", f"{summary['max_drawdown']:.2%}, {summary['drawdown_days']:,} days"),
        ("turnover", f"{summary['turnover_per_day']:.2f} times the capital a day"),
        ("funding payments", f"{summary['funding_payments']:,}"),
        ("nearest liquidation", "-" if near is None else f"{near:.2%} of the entry price away"),
        ("largest quantity not hedged", f"{summary['largest_unhedged_base']:.6g}"),
        ("capacity", _range(summary["capacity_quote"], asset)),
        ("bars without a signal", f"{summary['bars_without_signal']:,} of {summary['bars']:,}"),
        ("decisions not filled", f"{summary['decisions_unfilled']:,}"),
    ]


def _attribution(summary: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a rich table
    table = _grid()
    table.add_column()
    table.add_column(justify="right")
    for number, (text, value) in enumerate(attribution_of(summary)):
        style = None if number < len(_TERMS) - 1 else "bold" if number < len(_TERMS) else "dim"
        table.add_row(text, f"{value:+,.2f} {summary['quote_asset']}", style=style)
    return table


def _figures(summary: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a rich table
    table = _grid()
    for name, text in figures_of(summary):
        table.add_row(name, text)
    return table


def _range(bounds: Sequence[float] | None, asset: str) -> str:
    if bounds is None:
        return "-"
    return f"{bounds[0]:,.0f} to {bounds[1]:,.0f} {asset} a trade" if bounds[1] > 0 else "none: it earns nothing after costs"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
