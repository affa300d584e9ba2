"""The options that change figures of the costs; several commands share them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pointline.errors import ConfigError, nearest

if TYPE_CHECKING:
    from pointline.costs import CostModel

FigureOption = Annotated[
    list[str] | None,
    typer.Option(
        "--figure", help="Another figure of the costs, as NAME=VALUE; may be repeated; an unknown name lists all.", show_default=False
    ),
]
SlippageOption = Annotated[
    str | None, typer.Option(help="Measure it: quotes (of the lake) or bars; else it is a figure.", show_default=False)
]


def figures_of_options(given: list[str], notional: float | None, *, measured: bool) -> dict[str, Any]:
    """The figures of --figure, refused before the work where they cannot be costs.

    Raises:
        ConfigError: one has no name or no number, is unknown, given twice, or cannot be used.
    """
    from dataclasses import fields

    from pointline.costs import CostModel
    from pointline.studies.costs import GUIDE_NOTIONAL_QUOTE

    known = [one.name for one in fields(CostModel) if one.name.endswith(("_bps", "_per_day", "_quote")) and one.name != "notional_quote"]
    values: dict[str, Any] = {}
    for text in given:
        name, equals, number = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError("a figure is given as NAME=VALUE", where="--figure", value=text, expected="for example perp_taker_bps=4")
        if name not in known:
            alike = nearest(name, known).lower()
            raise ConfigError("there is no such figure", where="--figure", value=name, expected=", ".join(known), hint=f"alike: {alike}")
        if name in values:
            raise ConfigError("a figure is given twice", where="--figure", value=text, expected=f"{name} once")
        if measured and name.endswith("_slippage_bps"):
            raise ConfigError("slippage is given as a figure and is to be measured", where="--figure", value=text, expected="one of them")
        try:
            values[name] = float(number)
        except ValueError:
            raise ConfigError(f"{name} is not a number", where="--figure", value=text, expected=f"for example {name}=4") from None
    if "withdrawal_quote" in values:
        values["notional_quote"] = GUIDE_NOTIONAL_QUOTE if notional is None else notional
    CostModel(**values)
    return values


def changed_costs(model: CostModel, figures: dict[str, Any]) -> CostModel:
    """The costs with figures of the user's own; a changed fee is no venue's."""
    from pointline.costs import DEFAULT_WITHDRAWAL_BPS, CostModel

    if not figures:
        return model
    if "withdrawal_quote" in figures:
        figures = {"withdrawal_bps": DEFAULT_WITHDRAWAL_BPS, **figures}
    if any(name.endswith("_taker_bps") for name in figures):
        figures = {**figures, "venue": "", "tier": "", "source": CostModel.source}
    return replace(model, **figures)
