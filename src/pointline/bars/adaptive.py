"""Bars whose threshold follows the market: each UTC day and each segment of the day has its own, decided by the days before it.

A threshold is fixed before its day begins, from whole days only, so that no bar depends on what was traded later. It is

    average over the trailing days of the segment's amount  x  segments  /  bars per day,

rounded down to six significant digits and at most eight decimals (whole trades for trade bars). So each segment gets about the same
number of bars, and their number a day stays about the same while the volume drifts. Thresholds that stay near a number of bars per day:
M. Lopez de Prado, Advances in Financial Machine Learning, chapter 2, Wiley 2018, ISBN 978-1-119-48208-6.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from pointline.bars.rules import BarRule, DollarBarConfig, TradeBarConfig, VolumeBarConfig
from pointline.clock import DAY_US, MINUTE_US, is_whole
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

ADAPTIVE = "adaptive"
SIGNIFICANT_DIGITS = 6
MOST_DECIMALS = 8
MOST_DAYS = 366
_DAY_MINUTES = DAY_US // MINUTE_US

Average = Literal["mean", "median"]


class Decider(Protocol):
    """What decides the thresholds of a day; see `pointline.bars.trailing`."""

    def thresholds(self, day_us: int) -> tuple[Decimal, ...]:
        """One threshold per segment of a day."""
        ...

    def is_decided(self, day_us: int) -> bool:
        """Whether enough whole days lie before a day."""
        ...


@dataclass(frozen=True)
class AdaptiveBars(BarRule):
    """Base of the rules whose threshold follows the market.

    A bar closes when the amount reaches the threshold of the segment in which the bar begins. As under every rule, counting restarts at
    00:00 UTC and no timestamp is split. What exceeds a threshold counts for the next bar (``boundary="carry"``), or does not
    (``"reset"``).

    Attributes:
        target_bars_per_day: how many bars a day should have, about; at least one per segment.
        trailing_days: the days right before a day, UTC, whose amounts decide its thresholds.
        segments: equal parts of the day that have a threshold of their own, each from the same part of the trailing days: 1 is the whole
            day, 24 the hours. A segment is a whole number of minutes.
        least_days: of the trailing days so many must be covered whole, else the day is refused; None = all of them. Days that are
            not covered whole never count.
        average: ``"mean"`` or ``"median"`` of the trailing days.
        decider: what decides the thresholds of a day; filled in where bars are built.
    """

    threshold_field = "target_bars_per_day"
    fixed: ClassVar[type[BarRule]]
    changing: ClassVar[type[SegmentBars]]

    target_bars_per_day: int
    trailing_days: int = field(default=7, kw_only=True)
    segments: int = field(default=1, kw_only=True)
    least_days: int | None = field(default=None, kw_only=True)
    average: Average = field(default="mean", kw_only=True)
    decider: Decider | None = field(default=None, kw_only=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anchor != "day":
            raise ConfigError(
                "adaptive thresholds are those of a UTC day, so counting restarts at 00:00", value=self.anchor, expected="anchor='day'"
            )
        _check_count("trailing_days", self.trailing_days, 1, MOST_DAYS)
        _check_count("segments", self.segments, 1, _DAY_MINUTES)
        if _DAY_MINUTES % self.segments:
            raise ConfigError(
                "the segments do not divide 24 hours into whole minutes",
                where="segments",
                value=self.segments,
                expected="a divisor of 1440, for example 1, 3, 6, 24 or 48",
            )
        _check_count("target_bars_per_day", self.target_bars_per_day, self.segments, None, hint="one bar per segment or more")
        if self.least_days is not None:
            _check_count("least_days", self.least_days, 1, self.trailing_days)
        if self.average not in ("mean", "median"):
            raise ConfigError("there is no such average", where="average", value=self.average, expected="'mean' or 'median'")

    @property
    def days_required(self) -> int:
        """How many of the trailing days must be whole."""
        return self.trailing_days if self.least_days is None else self.least_days

    @property
    def segment_us(self) -> int:
        """Length of a segment in microseconds."""
        return DAY_US // self.segments

    def words(self, base_asset: str, quote_asset: str) -> str:  # noqa: ARG002 - of the other kinds
        """The rule for a title: volume bars, about 500 a day."""
        return f"{self.kind.removesuffix('s')} bars, about {self.target_bars_per_day:,} a day"

    def decided_by(self, decider: Decider) -> Self:
        """The rule with what decides its thresholds."""
        return replace(self, decider=decider)

    def of_stretch(self, start_us: int) -> BarRule:
        """The rule of the day that begins at `start_us`: of a fixed threshold, or of one per segment.

        Raises:
            ConfigError: too few whole days lie before the day, or nothing says what they traded.
        """
        if self.decider is None:
            raise ConfigError("nothing decides these thresholds", value=self.text, expected="a rule from pointline.bars.trailing.decided")
        thresholds = self.decider.thresholds(start_us)
        options: dict[str, str] = {"boundary": self.boundary}
        return self.fixed.of(thresholds[0], **options) if self.segments == 1 else self.changing.of(thresholds, **options)

    def is_decided(self, start_us: int) -> bool:
        """Whether enough whole days lie before a day."""
        return self.decider is not None and self.decider.is_decided(start_us)

    def threshold_of(self, amounts: Sequence[Fraction | int]) -> Decimal:
        """The threshold of a segment from what it traded on the trailing days that are whole.

        Args:
            amounts: in the rule's unit, one per day, at least one.

        Returns:
            A number of the unit; zero where it would be smaller than can be counted.

        Examples:
            Two days of 1000 and 1101 coins, 100 bars a day:

            >>> from fractions import Fraction
            >>> AdaptiveVolumeConfig(100, trailing_days=2).threshold_of([Fraction(1000), Fraction(1101)])
            Decimal('10.505')
        """
        exact = [Fraction(amount) for amount in amounts]
        middle = sum(exact, Fraction(0)) / len(exact) if self.average == "mean" else median(exact)
        return rounded_down(middle * self.segments / self.target_bars_per_day, whole=self.unit == "trades")


@dataclass(frozen=True)
class SegmentBars(BarRule):
    """Bars of one day whose threshold is that of the segment of the day in which they begin.

    Attributes:
        thresholds: one per segment of equal length.
    """

    threshold_field = "thresholds"

    thresholds: tuple[Decimal, ...]

    def decimals(self) -> tuple[int, int]:
        """As of the finest threshold."""
        if self.unit == "trades":
            return 0, 0
        return 0, max(max(0, -int(one.normalize().as_tuple().exponent)) for one in self.thresholds)


@dataclass(frozen=True)
class SegmentVolumeBars(SegmentBars):
    """Bars of base-asset units, a threshold per segment."""

    kind = "volume"
    unit = "base"


@dataclass(frozen=True)
class SegmentDollarBars(SegmentBars):
    """Bars of quote-asset units, a threshold per segment."""

    kind = "dollar"
    unit = "quote"


@dataclass(frozen=True)
class SegmentTradeBars(SegmentBars):
    """Bars of trades, a threshold per segment."""

    kind = "trades"
    unit = "trades"


@dataclass(frozen=True)
class AdaptiveVolumeConfig(AdaptiveBars):
    """A bar closes when the traded volume, in base-asset units, reaches a threshold that follows the days before.

    Attributes:
        target_bars_per_day, trailing_days, segments, least_days, average: as of `AdaptiveBars`.

    Examples:
        About 50 bars a day. The first days of a lake have too few days before them; here one of the seven is enough:

        >>> import pointline
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT",
        ...     "binance-spot:BTCUSDT",
        ...     start="2024-05-02",
        ...     end="2024-05-03",
        ...     bars=AdaptiveVolumeConfig(50, least_days=1),
        ...     lake="out/demo/lake",
        ... )
        >>> study.thresholds.select("day", "days_used").rows()
        [('2024-05-02', 1)]
    """

    kind = "volume"
    unit = "base"
    fixed = VolumeBarConfig
    changing = SegmentVolumeBars


@dataclass(frozen=True)
class AdaptiveDollarConfig(AdaptiveBars):
    """A bar closes when price x quantity, in quote-asset units, reaches a threshold that follows the days before.

    Attributes:
        target_bars_per_day, trailing_days, segments, least_days, average: as of `AdaptiveBars`.

    Examples:
        >>> AdaptiveDollarConfig(300, segments=24).segment_us // 60_000_000
        60
    """

    kind = "dollar"
    unit = "quote"
    fixed = DollarBarConfig
    changing = SegmentDollarBars


@dataclass(frozen=True)
class AdaptiveTradeConfig(AdaptiveBars):
    """A bar closes when so many trades were counted; how many follows the days before.

    Attributes:
        target_bars_per_day, trailing_days, segments, least_days, average: as of `AdaptiveBars`.

    Examples:
        >>> AdaptiveTradeConfig(300, trailing_days=30, least_days=25, average="median").days_required
        25
    """

    kind = "trades"
    unit = "trades"
    fixed = TradeBarConfig
    changing = SegmentTradeBars


ADAPTIVE_KINDS: dict[str, type[AdaptiveBars]] = {
    rule.kind: rule for rule in (AdaptiveVolumeConfig, AdaptiveDollarConfig, AdaptiveTradeConfig)
}
_OPTIONS = tuple(one.name for one in fields(AdaptiveBars) if one.name in ("trailing_days", "segments", "least_days", "average"))


def adaptive_rule(kind: str, text: str, *, boundary: str | None = None, anchor: str = "day") -> AdaptiveBars:
    """The rule that a text such as ``"adaptive:500,trailing_days=7,segments=24"`` describes.

    Args:
        kind: ``"volume"``, ``"dollar"`` or ``"trades"``.
        text: the word adaptive, the bars per day, and options by name with commas.
        boundary, anchor: of the rule.

    Raises:
        ConfigError: bars of this kind have no adaptive threshold, an option is unknown, given twice or no number, or the values do not
            go together.

    Examples:
        >>> adaptive_rule("volume", "adaptive:500,segments=24") == AdaptiveVolumeConfig(500, segments=24)
        True
    """
    form = "adaptive:500 or adaptive:500,trailing_days=7,segments=24,least_days=5,average=median"
    if kind not in ADAPTIVE_KINDS:
        raise ConfigError("these bars have no adaptive threshold", value=f"{kind} bars", expected=f"{', '.join(ADAPTIVE_KINDS)} bars")
    target, *options = text.partition(":")[2].split(",")
    values: dict[str, Any] = {"target_bars_per_day": _number("target_bars_per_day", target, form)}
    for option in options:
        name, _, value = (part.strip() for part in option.partition("="))
        if name not in _OPTIONS or name in values:
            raise ConfigError(
                "an option of the adaptive threshold is unknown or given twice", value=option, expected=", ".join(_OPTIONS), hint=form
            )
        values[name] = value if name == "average" else _number(name, value, form)
    of_rule: dict[str, Any] = {"anchor": anchor} if boundary is None else {"boundary": boundary, "anchor": anchor}
    return ADAPTIVE_KINDS[kind](**values, **of_rule)


def _number(name: str, text: str, form: str) -> int:
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise ConfigError(f"{name} must be a whole number", value=text, expected=form)
    return int(text)


def _check_count(name: str, value: object, least: int, most: int | None, hint: str | None = None) -> None:
    if not is_whole(value) or not least <= value or (most is not None and value > most):
        upper = "or more" if most is None else f"to {most:,}"
        raise ConfigError(f"{name} must be a whole number", where=name, value=value, expected=f"{least:,} {upper}", hint=hint)


def rounded_down(value: Fraction, *, whole: bool = False) -> Decimal:
    """The largest number of six significant digits and at most eight decimals that is not above a value.

    Args:
        value: zero or more.
        whole: without decimals.

    Examples:
        >>> rounded_down(Fraction(2, 3)), rounded_down(Fraction(123456789)), rounded_down(Fraction(7, 2), whole=True)
        (Decimal('0.666666'), Decimal('123456000'), Decimal('3'))
    """
    decimals = 0 if whole else MOST_DECIMALS
    while value * Fraction(10) ** decimals >= 10**SIGNIFICANT_DIGITS:
        decimals -= 1
    counted = value * Fraction(10) ** decimals
    number = counted.numerator // counted.denominator
    return Decimal(f"{Decimal(number).scaleb(-decimals).normalize():f}")
