"""Bar rules: immutable values that define when a bar of the driving instrument closes.

Bars that follow trading activity instead of the clock: D. Easley, M. Lopez de Prado, M. O'Hara, The Volume Clock: Insights into the
High-Frequency Paradigm, Journal of Portfolio Management 39 (1), 2012, doi:10.3905/jpm.2012.39.1.019. Dollar, tick and imbalance bars:
M. Lopez de Prado, Advances in Financial Machine Learning, chapter 2, Wiley 2018, ISBN 978-1-119-48208-6. Two choices are ours: no rule
splits a timestamp, and the imbalance threshold is a constant where the book adapts it to an expectation.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pointline.clock import DAY_US, DurationLike, check_count, duration_text, time_text, to_duration_us
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

Boundary = Literal["carry", "reset"]
Anchor = Literal["day", "start"]
Unit = Literal["base", "quote", "trades", "time"]


_DAILY_SHARE = Decimal("0.002")  # inside the guide's 0.1 to 0.5 % after rounding to 1, 2 or 5


def _positive(value: object, name: str) -> None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if isinstance(value, bool) or not number.is_finite() or number <= 0:
        raise ConfigError(
            f"{name} must be a number above zero", value=value, hint="volume thresholds are in base-asset units, e.g. 100 for 100 BTC"
        )


def _decimals(value: object) -> int:
    return max(0, -int(Decimal(str(value)).normalize().as_tuple().exponent))


def _one_of(value: str, allowed: tuple[str, ...], name: str) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is not a known rule", value=value, expected=" or ".join(repr(a) for a in allowed))


@dataclass(frozen=True, kw_only=True)
class BarRule:
    """Base of all bar rules.

    A kind of bar is one subclass. The rest of the package uses only its class variables and methods, apart from the kernel that counts
    its bars. `BAR_KINDS` lists the kinds.

    Attributes:
        kind: the name by which users choose the kind.
        threshold_field: the field that holds the threshold.
        unit: what the threshold is counted in: units of the base or quote asset, trades, or time.
        mergeable: whether bars of a multiple of the threshold are unions of these bars (under the carry rule).
        cacheable: whether the bars' sums can be kept and found again by the rule's fields.
        daily_share: the automatic threshold as a share of the daily trading; None: `automatic` chooses without the market.
        boundary: ``"carry"``: a timestamp belongs to bar floor(amount before it / threshold), the excess counts for the next
            bar and ids may skip; ``"reset"``: the count restarts at zero after each close.
        anchor: ``"day"``: counting restarts at 00:00 UTC, so a day's bars do not depend on the window that was asked for;
            ``"start"``: counting starts with the window.
    """

    kind: ClassVar[str]
    threshold_field: ClassVar[str]
    unit: ClassVar[Unit]
    mergeable: ClassVar[bool] = False
    cacheable: ClassVar[bool] = True
    daily_share: ClassVar[Decimal | None] = None

    boundary: Boundary = "carry"
    anchor: Anchor = "day"

    def __post_init__(self) -> None:
        _one_of(self.boundary, ("carry", "reset"), "boundary")
        _one_of(self.anchor, ("day", "start"), "anchor")

    @classmethod
    def of(cls, threshold: object, **options: str) -> Self:
        """The rule with a threshold in units of the kind; `options` are boundary and anchor."""
        fields: dict[str, Any] = {cls.threshold_field: threshold, **options}
        return cls(**fields)

    @classmethod
    def automatic(cls) -> tuple[BarRule, str]:
        """The automatic rule of a kind without a `daily_share`, and how it was chosen.

        Raises:
            ConfigError: the kind has none.
        """
        raise ConfigError(
            f"{cls.__name__} has no automatic threshold", value="auto", expected="a threshold", hint="or daily_share in the class"
        )

    @property
    def threshold(self) -> Any:  # noqa: ANN401 - a number, text or a duration, as the user gave it
        """The threshold as it was given."""
        return getattr(self, self.threshold_field)

    @property
    def signed(self) -> bool:
        """Whether buys count up and sells down; that needs the side of every trade."""
        return False

    @property
    def text(self) -> str:
        """The rule in words: its class and its fields, the threshold first."""
        named = sorted((one for one in fields(self) if one.repr), key=lambda one: bool(one.kw_only))
        return f"{type(self).__name__}({', '.join(f'{one.name}={getattr(self, one.name)}' for one in named)})"

    def words(self, base_asset: str, quote_asset: str) -> str:
        """The rule for a title: volume bars of 100 BTC."""
        unit = {"base": base_asset, "quote": quote_asset}.get(self.unit, self.unit)
        signed = "signed " if self.signed and self.kind != "imbalance" else ""
        return f"{signed}{self.kind.removesuffix('s')} bars of {float(self.threshold):,.12g} {unit}"

    def closes(self, start_us: int, end_us: int) -> Sequence[int]:
        """Times at which bars close between two times, end included; only for kinds that close by the clock.

        Raises:
            ConfigError: the kind does not close by the clock, or its class does not say when.
        """
        raise ConfigError(
            f"{type(self).__name__} does not say when bars close",
            value=f"{time_text(start_us)} to {time_text(end_us)}",
            expected=f"a method closes in the class, whose unit is {self.unit}",
        )

    def of_stretch(self, start_us: int) -> BarRule:  # noqa: ARG002 - of rules whose threshold changes by the day
        """The rule that counts the stretch that begins at an instant: this one, unless its threshold changes by the day."""
        return self

    def is_decided(self, start_us: int) -> bool:  # noqa: ARG002 - as above
        """Whether the threshold of the stretch that begins at an instant is known."""
        return True

    def kept(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Those of the counted bars that belong to the rule; all of them, unless a subclass selects some."""
        return bars

    def decimals(self) -> tuple[int, int]:
        """Price and quantity decimals that the threshold needs beyond those of the data, so that it is a whole number of units."""
        return 0, _decimals(self.threshold) if self.unit in {"base", "quote"} else 0


@dataclass(frozen=True)
class VolumeBarConfig(BarRule):
    """A bar closes when the traded volume reaches the threshold.

    Attributes:
        volume_threshold: base-asset units. Contracts are converted trade by trade, inverse ones rounded half up to 1e-8 of the coin.
        use_absolute_volume: True counts all volume; False counts buys minus sells and closes at either sign, which needs
            ``boundary="reset"`` and the side of every trade.
    """

    kind = "volume"
    threshold_field = "volume_threshold"
    unit = "base"
    mergeable = True
    daily_share = _DAILY_SHARE

    volume_threshold: float | Decimal | str
    use_absolute_volume: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self.volume_threshold, "volume_threshold")
        if not self.use_absolute_volume and self.boundary != "reset":
            raise ConfigError(
                "net volume can fall, so nothing can be carried",
                value=self.boundary,
                expected="boundary='reset' with use_absolute_volume=False",
            )

    @property
    def signed(self) -> bool:
        """Whether net volume is counted."""
        return not self.use_absolute_volume


@dataclass(frozen=True)
class DollarBarConfig(BarRule):
    """A bar closes when price x quantity reaches the threshold.

    Attributes:
        dollar_threshold: quote-asset units.
    """

    kind = "dollar"
    threshold_field = "dollar_threshold"
    unit = "quote"
    mergeable = True
    daily_share = _DAILY_SHARE

    dollar_threshold: float | Decimal | str

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self.dollar_threshold, "dollar_threshold")


@dataclass(frozen=True)
class TradeBarConfig(BarRule):
    """A bar closes when so many trades were counted.

    Attributes:
        trade_threshold: number of trades.
    """

    kind = "trades"
    threshold_field = "trade_threshold"
    unit = "trades"
    mergeable = True
    daily_share = _DAILY_SHARE

    trade_threshold: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self.trade_threshold, "trade_threshold")
        if Decimal(str(self.trade_threshold)) % 1:
            raise ConfigError("trade_threshold must be a whole number", value=self.trade_threshold, expected="a count of trades, e.g. 500")


@dataclass(frozen=True)
class TimeBarConfig(BarRule):
    """A bar closes at every multiple of the interval, counted from 00:00 UTC (or the window's start).

    Attributes:
        interval: text such as ``"1m"``, a timedelta, or integer microseconds (see `pointline.clock.to_duration_us`); at most a day with
            ``anchor="day"``.
    """

    kind = "time"
    threshold_field = "interval"
    unit = "time"

    interval: DurationLike

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.anchor == "day" and self.interval_us > DAY_US:
            raise ConfigError(
                "interval must be at most a day where bars are anchored by day", value=self.interval, expected="1m, 15m or 1h"
            )

    @classmethod
    def automatic(cls) -> tuple[BarRule, str]:
        """One minute."""
        return cls("1m"), "auto: one minute"

    @property
    def interval_us(self) -> int:
        """The interval in microseconds."""
        return to_duration_us(self.interval, name="interval")

    def words(self, base_asset: str, quote_asset: str) -> str:  # noqa: ARG002 - of the other kinds
        """The rule for a title: time bars of 1m."""
        return f"time bars of {duration_text(self.interval_us)}"

    def closes(self, start_us: int, end_us: int) -> Sequence[int]:
        """Every multiple of the interval after the start."""
        return range(start_us + self.interval_us, end_us + 1, self.interval_us)


@dataclass(frozen=True)
class ImbalanceBarConfig(BarRule):
    """A bar closes when the absolute value of buys minus sells, summed since the last close, reaches the threshold.

    Attributes:
        imbalance_threshold: base-asset units.
    """

    kind = "imbalance"
    threshold_field = "imbalance_threshold"
    unit = "base"
    daily_share = Decimal("0.0005")

    imbalance_threshold: float | Decimal | str
    boundary: Boundary = field(default="reset", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        _positive(self.imbalance_threshold, "imbalance_threshold")
        if self.boundary != "reset":
            raise ConfigError("net volume can fall, so nothing can be carried", value=self.boundary, expected="boundary='reset'")

    @property
    def signed(self) -> bool:
        """Buys minus sells are counted."""
        return True


BAR_KINDS: dict[str, type[BarRule]] = {
    rule.kind: rule for rule in (VolumeBarConfig, DollarBarConfig, TradeBarConfig, TimeBarConfig, ImbalanceBarConfig)
}


def rule_of(kind: str) -> type[BarRule]:
    """The rule of a kind of bar.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in BAR_KINDS:
        raise ConfigError("there is no such kind of bar", value=kind, expected=", ".join(BAR_KINDS))
    return BAR_KINDS[kind]


def check_bars(rule: BarRule, start_us: int, end_us: int, *, hint: str | None = None) -> None:
    """Refuses more than `pointline.clock.MOST_BARS` time bars in ``[start_us, end_us)``. Bars of other kinds cannot be counted beforehand.

    Raises:
        ConfigError: there would be more.
    """
    if isinstance(rule, TimeBarConfig):
        check_count(start_us, end_us, rule.interval_us, hint=hint)
