"""The options that say which pair, which window and which bars, for every command that compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.bars.rules import BarRule

PerpArgument = Annotated[str, typer.Argument(help="exchange:symbol of the derivative, e.g. binance-futures:BTCUSDT.", show_default=False)]
SpotArgument = Annotated[str, typer.Argument(help="exchange:symbol of its spot market, e.g. binance-spot:BTCUSDT.", show_default=False)]
StartOption = Annotated[str, typer.Option(help="First moment of the window; a date means 00:00 UTC.", show_default=False)]
EndOption = Annotated[str, typer.Option(help="First moment after the window; a date means 00:00 UTC.", show_default=False)]
ThresholdOption = Annotated[
    str,
    typer.Option(help="Size of a bar: base units (volume, imbalance), quote units (dollar), a count (trades), a time such as 1m; or auto."),
]
BarsOption = Annotated[str, typer.Option(help="volume, dollar, trades, time or imbalance.")]
EventsOption = Annotated[str, typer.Option(help="What bars are made of: trades, or candles of the lake such as candles_1m.")]
BoundaryOption = Annotated[
    str | None,
    typer.Option(help="carry: what exceeds the threshold counts for the next bar (default); reset: it does not.", show_default=False),
]
AnchorOption = Annotated[str, typer.Option(help="day: counting restarts at 00:00 UTC; start: it begins with the window.")]


def chosen_rule(kind: str, threshold: str, boundary: str | None, anchor: str) -> BarRule | str:
    """The bar rule that the options name, or the word for an automatic one.

    Raises:
        ConfigError: options that do not go together, or an unusable threshold.
    """
    from pointline.bars.rules import rule_of

    rule = rule_of(kind)
    if threshold == "auto":
        if boundary == "reset" or anchor != "day":
            raise ConfigError(
                "--threshold auto goes with --boundary carry and --anchor day only",
                value=f"--boundary {boundary or 'carry'} --anchor {anchor}",
                expected="a number for --threshold",
                hint="run it with --threshold auto alone and use the threshold that it prints",
            )
        return f"auto:{kind}"
    common = {"anchor": anchor} if boundary is None else {"boundary": boundary, "anchor": anchor}
    if rule.unit == "time" and boundary is not None:
        raise ConfigError("time bars have no boundary rule", value=f"--boundary {boundary}", expected="--bars time without --boundary")
    return rule.of(threshold, **common)
