"""Strategies: which signal is traded, on which side, in which legs, and when a position ends."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import polars as pl

from pointline.clock import DAY_US, DurationField, is_whole, to_duration_us
from pointline.errors import ConfigError, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

Side = Literal["long", "short"]
Legs = Literal["both", "perp", "spot"]
Until = Literal["signal", "end", "delivery"]

_LEAST_QUANTILE = 0.5


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """Thresholds that are quantiles of the signal's past, fitted anew at regular times.

    A position is opened above the quantile ``entry`` or below the quantile ``1 - entry``. The first kind ends at or below the quantile
    ``exit``, the second at or above ``1 - exit``. Only bars known at the fit count; until there are enough of them nothing is traded.

    Attributes:
        entry: from 0.5 to below 1.
        exit: from 0.5, the median, to `entry`.
        refit_us: time between two fits, counted from 1970-01-01T00:00Z, so that fits do not depend on the window.
        lookback_us: how far each fit looks back; None for all of the past.
        fewest_bars: signal values that a fit needs.

    Durations are given as text (``"1d"``), a timedelta or integer microseconds.

    Raises:
        ConfigError: a figure is out of its range.
    """

    entry: float = 0.95
    exit: float = 0.5
    refit_us: DurationField = DurationField(DAY_US)  # noqa: RUF009 - it holds no value
    lookback_us: int | None = 30 * DAY_US
    fewest_bars: int = 500

    def __post_init__(self) -> None:
        if self.lookback_us is not None:
            object.__setattr__(self, "lookback_us", to_duration_us(self.lookback_us, name="lookback_us"))
        for name, value in (("entry", self.entry), ("exit", self.exit)):
            if not _is_number(value) or not _LEAST_QUANTILE <= value < 1:
                raise ConfigError(f"{name} is no quantile", where="Quantiles", value=value, expected="from 0.5 to below 1")
        if self.exit > self.entry:
            expected = f"at most entry, {self.entry}"
            raise ConfigError("a position would end where it begins", where="Quantiles, exit", value=self.exit, expected=expected)
        if not is_whole(self.fewest_bars) or self.fewest_bars < 2:  # noqa: PLR2004 - a quantile of one value says nothing
            raise ConfigError("fewest_bars cannot be used", where="Quantiles", value=self.fewest_bars, expected="a whole number, 2 or more")

    @property
    def text(self) -> str:
        """The rule in words."""
        return f"beyond the {self.entry:g} quantile of the past, until the {self.exit:g} quantile"


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Thresholds in the signal's own unit, chosen by the user and not by the data.

    Attributes:
        above: a position is opened where the signal is above; None opens none there.
        exit_above: that position ends at or below this; None keeps it.
        below: a position is opened where the signal is below; None opens none there.
        exit_below: that position ends at or above this; None keeps it.

    Raises:
        ConfigError: a level is not a number, nothing would be traded, or a position would end where it begins.
    """

    above: float | None = None
    exit_above: float | None = None
    below: float | None = None
    exit_below: float | None = None

    def __post_init__(self) -> None:
        for name in ("above", "exit_above", "below", "exit_below"):
            value = getattr(self, name)
            if value is not None and not _is_number(value):
                raise ConfigError(f"{name} is no level", where="Levels", value=value, expected="a finite number or None")
        if self.above is None and self.below is None:
            raise ConfigError("no level opens a position", where="Levels", expected="above, below, or both")
        wrong = [
            one
            for one, opens, ends in (("exit_above", self.above, self.exit_above), ("exit_below", self.exit_below, self.below))
            if opens is not None and ends is not None and ends > opens
        ]
        if wrong or (self.above is not None and self.below is not None and self.below > self.above):
            levels = {"above": self.above, "exit_above": self.exit_above, "below": self.below, "exit_below": self.exit_below}
            raise ConfigError(
                "a position would end where it begins, or be of both sides",
                where="Levels",
                value=levels,
                expected="exit_above ≤ above, exit_below ≥ below, below ≤ above",
            )

    @property
    def text(self) -> str:
        """The rule in words."""
        parts = []
        for word, opens, ends in (("above", self.above, self.exit_above), ("below", self.below, self.exit_below)):
            if opens is not None:
                parts.append(f"{word} {opens:g}" + ("" if ends is None else f" until {ends:g}"))
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """What is traded and why.

    Attributes:
        name: of the strategy.
        text: the idea in a sentence.
        signal: a column of the features frame, known at ``bucket_end``.
        minus: a column that is subtracted from it; None for none.
        high: the side that is taken where the signal is high, of the perp, or of the spot where only that is traded; the other side is
            taken where it is low.
        legs: ``"both"``: the spot takes the other side of the perp; ``"perp"`` or ``"spot"``: that leg alone.
        sides: the sides that may be taken.
        thresholds: when a position begins and ends.
        max_holding_us: a position ends after so long at the latest; None for no limit. A duration, as text or in microseconds.
        until: ``"signal"``: a position ends by the thresholds; ``"end"``: it is held to the end of the window; ``"delivery"``: a dated
            future is held until it is delivered.

    Raises:
        ConfigError: one of them is none of those.
    """

    name: str
    text: str
    signal: str
    minus: str | None = None
    high: Side = "long"
    legs: Legs = "both"
    sides: tuple[Side, ...] = ("long", "short")
    thresholds: Quantiles | Levels = field(default_factory=Quantiles)
    max_holding_us: int | None = None
    until: Until = "signal"

    def __post_init__(self) -> None:
        choices: tuple[tuple[str, object, tuple[str, ...]], ...] = (
            ("high", self.high, ("long", "short")),
            ("legs", self.legs, ("both", "perp", "spot")),
            ("until", self.until, ("signal", "end", "delivery")),
        )
        for name, value, known in choices:
            if value not in known:
                raise ConfigError(f"{name} is none of the choices", where="Strategy", value=value, expected=", ".join(known))
        if not self.sides or not set(self.sides) <= {"long", "short"}:
            raise ConfigError("sides are none of the choices", where="Strategy", value=self.sides, expected="long, short, or both")
        if not isinstance(self.thresholds, Quantiles | Levels):
            raise ConfigError(
                "thresholds have the wrong type", where="Strategy", value=self.thresholds, expected="Quantiles(...) or Levels(...)"
            )
        if self.max_holding_us is not None:
            object.__setattr__(self, "max_holding_us", to_duration_us(self.max_holding_us, name="max_holding_us"))

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the signal reads."""
        return (self.signal,) if self.minus is None else (self.signal, self.minus)

    @property
    def signal_text(self) -> str:
        """The signal as a formula."""
        return " - ".join(self.columns)

    def expression(self) -> pl.Expr:
        """The signal of each bar."""
        return (pl.col(self.signal) if self.minus is None else pl.col(self.signal) - pl.col(self.minus)).cast(pl.Float64)


_ALL = (
    Strategy(
        name="funding_basis_divergence",
        text=(
            "mean reversion of the guide's divergence: where it is low the basis is high for its funding, so the perp is sold and the spot "
            "bought, and the other way round where it is high"
        ),
        signal="funding_basis_divergence",
        high="long",
    ),
    Strategy(
        name="momentum_divergence",
        text="the spot follows a move that the perp made without it: bought where the perp rose more, sold where it fell more",
        signal="momentum_divergence",
        high="long",
        legs="spot",
    ),
    Strategy(
        name="basis_temporary",
        text="the basis returns to its rolling mean: the perp is sold and the spot bought where the basis is far above it",
        signal="basis_bps",
        minus="basis_smooth",
        high="short",
    ),
    Strategy(
        name="basis_structural",
        text="the rolling mean of the basis returns to its usual level: the perp is sold and the spot bought where it is high",
        signal="basis_smooth",
        high="short",
    ),
    Strategy(
        name="cash_and_carry",
        text="long spot and short perp from the first bar whose funding rate is above zero, held to the end of the window",
        signal="funding_8h",
        high="short",
        sides=("short",),
        thresholds=Levels(above=0.0),
        until="end",
    ),
    Strategy(
        name="cash_and_carry_dated",
        text="long spot and short future from the first bar whose basis is above zero, held until the future is delivered",
        signal="basis_bps",
        high="short",
        sides=("short",),
        thresholds=Levels(above=0.0),
        until="delivery",
    ),
)

STRATEGIES: Mapping[str, Strategy] = MappingProxyType({one.name: one for one in _ALL})
"""The strategies that have a name."""


def strategy_of(chosen: str | Strategy) -> Strategy:
    """The strategy of that name, or the given one.

    Raises:
        ConfigError: there is no such strategy.

    Examples:
        >>> strategy_of("basis_temporary").signal_text
        'basis_bps - basis_smooth'
    """
    if isinstance(chosen, Strategy):
        return chosen
    found = STRATEGIES.get(chosen)
    if found is None:
        hint = nearest(str(chosen), list(STRATEGIES)).lower()
        raise ConfigError("there is no such strategy", where="strategy", value=chosen, expected=", ".join(STRATEGIES), hint=hint)
    return found
