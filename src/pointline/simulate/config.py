"""Settings of a simulated market: one frozen value that, with the day's number, decides every byte."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pointline.clock import DAY_US, TimeLike, day_start, to_duration_us, to_us
from pointline.errors import ConfigError

if TYPE_CHECKING:
    import datetime as dt

VenueName: TypeAlias = Literal["perp", "spot"]
VENUES: tuple[VenueName, ...] = ("perp", "spot")

MICROSECOND_SPOT_FROM_US = 1_735_689_600_000_000  # 2025-01-01: the spot archive counts microseconds from here on
MAX_LEAD_MS = 60_000
MIN_HALF_LIFE_S = 30.0


class Outage(NamedTuple):
    """A halt of trading at one venue; a plain tuple of the same three values will do.

    Attributes:
        venue: ``"perp"`` or ``"spot"``.
        start: first moment without trades, rounded down to the millisecond.
        length: duration, e.g. ``"90s"``; the end is rounded up to the millisecond.
    """

    venue: str
    start: TimeLike
    length: int | str | dt.timedelta

    @property
    def interval_us(self) -> tuple[int, int]:
        """Half-open ``[start, end)`` in whole milliseconds, counted in microseconds."""
        start = to_us(self.start, name="outage start")
        end = start + to_duration_us(self.length, name="outage length")
        return start - start % 1_000, end + -end % 1_000


class Increment(NamedTuple):
    """A price or quantity step: `multiple` counted in units of ``10 ** -decimals``."""

    multiple: int
    decimals: int

    @property
    def value(self) -> float:
        """The step as a float."""
        return float(self.multiple / 10**self.decimals)


@dataclass(frozen=True, kw_only=True)
class SimulatedVenue:
    """One venue of the market as the generator needs it.

    Attributes:
        name: ``"perp"`` or ``"spot"``.
        symbol: the exchange's own symbol.
        trades_per_day: trades of a day without a halt.
        lag_ms: the venue's price is the efficient price this long ago.
        price, qty: price and quantity steps.
        spread_ticks: distance between best bid and best ask.
        median_qty_base: median size of a trade.
        first_trade_id: id of the first trade of day 0.
        off_book_prints: prints per day away from the market.
    """

    name: VenueName
    symbol: str
    trades_per_day: int
    lag_ms: int
    price: Increment
    qty: Increment
    spread_ticks: int
    median_qty_base: float
    first_trade_id: int
    off_book_prints: int


@dataclass(frozen=True, kw_only=True)
class MarketConfig:
    """A market with known truth: a USD-M perpetual, its spot, funding, mark and index.

    Attributes:
        seed: the only source of randomness, a non-negative integer.
        start: first day; must be midnight UTC.
        days: number of days.
        perp_symbol, spot_symbol: the exchange's names of the two instruments.
        base_asset, quote_asset: their assets, used in the exchange information only.
        perp_trades_per_day: trades of the perpetual on a day without a halt.
        perp_spot_ratio: perpetual trades for one spot trade.
        lead_ms: the perpetual shows the efficient price this many milliseconds before spot does; negative: spot is ahead.
        start_price: efficient price at `start`, in the quote asset.
        annual_volatility: standard deviation of the yearly log return (365 days).
        basis_mean_bps, basis_std_bps, basis_half_life_s: stationary mean and standard deviation and the half-life of the
            Ornstein-Uhlenbeck basis, (perpetual - efficient price) / efficient price.
        funding_interval_hours: 1, 2, 4 or 8.
        tie_share: share of trades that are further fills of the taker order before them, hence of its millisecond, side and
            price. Ties by coincidence come on top.
        activity_std, activity_half_life_s: standard deviation and half-life of the logarithm of the trading intensity, which
            both venues share.
        burst_probability, burst_factor: each second is a burst with this probability, its intensity multiplied by this factor.
        side_autocorrelation: correlation of the taker sides of consecutive orders. Sides do not depend on prices.
        perp_median_qty_base, spot_median_qty_base, qty_log_std: log-normal size of a trade, rounded to lots, at least one lot.
        perp_spread_ticks, spot_spread_ticks: distance between best bid and best ask, which trades bounce between.
        off_book_prints_per_day: prints of the perpetual away from the market each day (as insurance-fund prints are), each at
            a time of its own while there are enough of those.
        off_book_distance_percent: their distance from the perpetual's price, in percent, up or down.
        outages: halts of trading as (venue, start, length).
        perp_price_increment, perp_qty_increment, spot_price_increment, spot_qty_increment: steps as decimal text.

    Raises:
        ConfigError: a value cannot be used.
    """

    seed: int = 1
    start: TimeLike = "2024-05-01"
    days: int = 1
    perp_symbol: str = "BTCUSDT"
    spot_symbol: str = "BTCUSDT"
    base_asset: str = "BTC"
    quote_asset: str = "USDT"
    perp_trades_per_day: int = 5_000_000
    perp_spot_ratio: float = 10.0
    lead_ms: int = 100
    start_price: float = 60_000.0
    annual_volatility: float = 0.5
    basis_mean_bps: float = 2.0
    basis_std_bps: float = 3.0
    basis_half_life_s: float = 1_800.0
    funding_interval_hours: int = 8
    tie_share: float = 0.6
    activity_std: float = 0.7
    activity_half_life_s: float = 120.0
    burst_probability: float = 0.01
    burst_factor: float = 10.0
    side_autocorrelation: float = 0.2
    perp_median_qty_base: float = 0.012
    spot_median_qty_base: float = 0.012
    qty_log_std: float = 1.8
    perp_spread_ticks: int = 1
    spot_spread_ticks: int = 1
    off_book_prints_per_day: int = 1
    off_book_distance_percent: float = 2.0
    outages: tuple[Outage, ...] = ()
    perp_price_increment: str = "0.1"
    perp_qty_increment: str = "0.001"
    spot_price_increment: str = "0.01"
    spot_qty_increment: str = "0.00001"

    def __post_init__(self) -> None:
        """Check every value and bring `outages` into their own type."""
        _check_integers(self)
        _check_reals(self)
        _check_names(self)
        if to_us(self.start, name="start") % DAY_US:
            raise _refused("start", self.start, "midnight UTC of a day, e.g. '2024-05-01'")
        for name in ("perp_price_increment", "perp_qty_increment", "spot_price_increment", "spot_qty_increment"):
            _increment(getattr(self, name), name)
        if self.start_price < 1_000 * max(self.venue(name).price.value for name in VENUES):
            raise _refused("start_price", self.start_price, "at least 1000 price increments of both venues")
        object.__setattr__(self, "outages", tuple(_outage(item) for item in self.outages))

    @property
    def start_us(self) -> int:
        """Midnight UTC of the first day."""
        return to_us(self.start, name="start")

    def day_us(self, day_index: int) -> int:
        """Midnight UTC of day `day_index`, 0 being the first."""
        return self.start_us + day_index * DAY_US

    def venue(self, name: VenueName) -> SimulatedVenue:
        """The venue of that name."""
        if name == "perp":
            return SimulatedVenue(
                name=name,
                symbol=self.perp_symbol,
                trades_per_day=self.perp_trades_per_day,
                lag_ms=max(0, -self.lead_ms),
                price=_increment(self.perp_price_increment, "perp_price_increment"),
                qty=_increment(self.perp_qty_increment, "perp_qty_increment"),
                spread_ticks=self.perp_spread_ticks,
                median_qty_base=self.perp_median_qty_base,
                first_trade_id=4_000_000_001,
                off_book_prints=self.off_book_prints_per_day,
            )
        return SimulatedVenue(
            name=name,
            symbol=self.spot_symbol,
            trades_per_day=round(self.perp_trades_per_day / self.perp_spot_ratio),
            lag_ms=max(0, self.lead_ms),
            price=_increment(self.spot_price_increment, "spot_price_increment"),
            qty=_increment(self.spot_qty_increment, "spot_qty_increment"),
            spread_ticks=self.spot_spread_ticks,
            median_qty_base=self.spot_median_qty_base,
            first_trade_id=3_000_000_001,
            off_book_prints=0,
        )

    def halts_ms(self, name: VenueName, day_index: int) -> list[tuple[int, int]]:
        """The venue's halts inside that day, merged and in order, as milliseconds after midnight ``[start, end)``."""
        midnight = self.day_us(day_index)
        inside: list[tuple[int, int]] = []
        for start, end in sorted(outage.interval_us for outage in self.outages if outage.venue == name):
            first, last = max(start, midnight) - midnight, min(end, midnight + DAY_US) - midnight
            if first >= last:
                continue
            if inside and first <= inside[-1][1] * 1_000:
                inside[-1] = (inside[-1][0], max(inside[-1][1], last // 1_000))
            else:
                inside.append((first // 1_000, last // 1_000))
        return inside

    def trade_count(self, name: VenueName, day_index: int) -> int:
        """Trades of the venue on that day: its usual number less the share of the day that is halted."""
        halted_ms = sum(end - start for start, end in self.halts_ms(name, day_index))
        return round(self.venue(name).trades_per_day * (1 - halted_ms / (DAY_US // 1_000)))

    def first_trade_id(self, name: VenueName, day_index: int) -> int:
        """Id of the venue's first trade on that day; ids rise by one across days."""
        venue = self.venue(name)
        halted_days = {
            (day_start(midnight) - self.start_us) // DAY_US
            for outage in self.outages
            if outage.venue == name
            for midnight in range(day_start(outage.interval_us[0]), outage.interval_us[1], DAY_US)
        }
        missing = sum(venue.trades_per_day - self.trade_count(name, day) for day in halted_days if 0 <= day < day_index)
        return venue.first_trade_id + day_index * venue.trades_per_day - missing


_INTEGERS = {
    "seed": (0, 2**63 - 1),
    "days": (1, 36_500),
    "perp_trades_per_day": (1, 200_000_000),
    "lead_ms": (-MAX_LEAD_MS, MAX_LEAD_MS),
    "perp_spread_ticks": (1, 1_000),
    "spot_spread_ticks": (1, 1_000),
    "off_book_prints_per_day": (0, 1_000),
}
_REALS = {  # name: lowest, highest
    "perp_spot_ratio": (0.001, 1e6),
    "start_price": (1e-9, 1e9),
    "annual_volatility": (0.0, 5.0),
    "basis_mean_bps": (-1_000.0, 1_000.0),
    "basis_std_bps": (0.0, 500.0),
    "basis_half_life_s": (MIN_HALF_LIFE_S, 1e9),
    "tie_share": (0.0, 0.95),
    "activity_std": (0.0, 3.0),
    "activity_half_life_s": (MIN_HALF_LIFE_S, 1e9),
    "burst_probability": (0.0, 1.0),
    "burst_factor": (1.0, 1_000.0),
    "side_autocorrelation": (-1.0, 1.0),
    "perp_median_qty_base": (1e-9, 1e9),
    "spot_median_qty_base": (1e-9, 1e9),
    "qty_log_std": (0.0, 4.0),
    "off_book_distance_percent": (0.01, 50.0),
}


def _check_integers(config: MarketConfig) -> None:
    for name, (lowest, highest) in _INTEGERS.items():
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise _refused(name, value, f"an integer from {lowest} to {highest}")
    if config.funding_interval_hours not in {1, 2, 4, 8}:
        raise _refused("funding_interval_hours", config.funding_interval_hours, "1, 2, 4 or 8")
    if config.off_book_prints_per_day > config.perp_trades_per_day:
        raise _refused("off_book_prints_per_day", config.off_book_prints_per_day, "at most perp_trades_per_day")


def _check_reals(config: MarketConfig) -> None:
    for name, (lowest, highest) in _REALS.items():
        value = getattr(config, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not lowest <= value <= highest:
            raise _refused(name, value, f"a number from {lowest:g} to {highest:g}")


def _check_names(config: MarketConfig) -> None:
    for name in ("perp_symbol", "spot_symbol", "base_asset", "quote_asset"):
        value = getattr(config, name)
        if not isinstance(value, str) or not value.isascii() or not value.isalnum() or value != value.upper():
            raise _refused(name, value, "capital letters and digits, e.g. 'BTCUSDT'")


def _outage(item: object) -> Outage:
    if not isinstance(item, tuple) or len(item) != len(Outage._fields):
        raise _refused("outages", item, "tuples of (venue, start, length)")
    outage = Outage(*item)
    if outage.venue not in VENUES:
        raise _refused("outages", item, "venue 'perp' or 'spot'")
    start, end = outage.interval_us
    if end <= start:
        raise _refused("outages", item, "a length above zero")
    return outage


def _increment(text: str, name: str) -> Increment:
    try:
        step = Decimal(text).normalize()
    except (InvalidOperation, TypeError, ValueError):
        raise _refused(name, text, "a decimal number as text, e.g. '0.1'") from None
    if not step.is_finite() or step <= 0 or not isinstance(text, str):
        raise _refused(name, text, "a decimal number above zero as text, e.g. '0.1'")
    decimals = max(0, -int(step.as_tuple().exponent))
    if decimals > 8:  # noqa: PLR2004 - the archives print at most eight decimals
        raise _refused(name, text, "at most eight decimals")
    return Increment(int(step.scaleb(decimals)), decimals)


def _refused(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"the simulated market cannot have this {name}", where=f"MarketConfig.{name}", value=value, expected=expected)
