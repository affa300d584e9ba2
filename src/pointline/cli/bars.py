"""The options that say which pair is compared, when, and on which bars; several commands share them."""

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
    typer.Option(
        help="Size of a bar: base units (volume, imbalance), quote units (dollar), a count (trades), a time such as 1m; or auto; "
        "or adaptive:500[,trailing_days=7][,segments=24][,least_days=5][,average=median], bars a day by the days before."
    ),
]
BarsOption = Annotated[str, typer.Option(help="volume, dollar, trades, time or imbalance.")]
EventsOption = Annotated[str, typer.Option(help="What bars are made of: trades, or candles of the lake such as candles_1m.")]
BoundaryOption = Annotated[
    str | None,
    typer.Option(help="carry: what exceeds the threshold counts for the next bar (default); reset: it does not.", show_default=False),
]
AnchorOption = Annotated[str, typer.Option(help="day: counting restarts at 00:00 UTC; start: it begins with the window.")]
JoinOption = Annotated[str, typer.Option(help="asof keeps bars without spot trades; inner drops them.")]
BaseThresholdOption = Annotated[
    str | None,
    typer.Option(help="Build the bars from finer ones of this threshold; --threshold is a whole multiple of it.", show_default=False),
]
NoCacheOption = Annotated[bool, typer.Option("--no-cache", help="Use no bar sums of earlier runs, and keep none.")]
DualOption = Annotated[
    str | None, typer.Option("--dual", help="Give the spot bars of its own with this threshold (dual spine).", show_default=False)
]
SameExchangeOption = Annotated[bool, typer.Option("--same-exchange", help="The same as --costs same-exchange.")]
CostsOption = Annotated[
    str | None,
    typer.Option(
        "--costs",
        help="guide (48 bps, the default), same-exchange (40 bps, no withdrawal), venue or venue:TIER (dated fees of the two exchanges).",
        show_default=False,
    ),
]


def costs_of_options(costs: str | None, *, same_exchange: bool = False) -> str | None:
    """The preset that --costs and --same-exchange name, None if neither is given.

    Raises:
        ConfigError: an unknown preset, or they name two.
    """
    from pointline.costs import SAME_EXCHANGE
    from pointline.venues.fees import check_preset

    if costs is None:
        return SAME_EXCHANGE if same_exchange else None
    check_preset(costs, where="--costs")
    if same_exchange and costs != SAME_EXCHANGE:
        raise ConfigError("--same-exchange and --costs name two presets", value=f"--same-exchange --costs {costs}", expected="one of them")
    return costs


def rule_of_options(kind: str, threshold: str, boundary: str | None, anchor: str) -> BarRule | str:
    """The rule that the options --bars, --threshold, --boundary and --anchor describe.

    Raises:
        ConfigError: they do not go together, or the threshold cannot be used.
    """
    from pointline.bars.adaptive import adaptive_rule
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
    if threshold.partition(":")[0] == "adaptive":
        return adaptive_rule(kind, threshold, boundary=boundary, anchor=anchor)
    common = {"anchor": anchor} if boundary is None else {"boundary": boundary, "anchor": anchor}
    if rule.unit == "time" and boundary is not None:
        raise ConfigError("time bars have no boundary rule", value=f"--boundary {boundary}", expected="--bars time without --boundary")
    return rule.of(threshold, **common)


def other_rule(option: str, kind: str, threshold: str | None, boundary: str | None, anchor: str) -> BarRule | None:
    """The rule of an option that names a further threshold, None where it is not given.

    Raises:
        ConfigError: as `rule_of_options`, or the threshold is auto.
    """
    rule = None if threshold is None else rule_of_options(kind, threshold, boundary, anchor)
    if isinstance(rule, str):
        raise ConfigError(
            f"{option} needs a threshold of its own",
            value=threshold,
            expected="a number, in the units of --threshold",
            hint="auto is for --threshold only",
        )
    return rule
