"""The random paths behind a simulated market: efficient price, basis and trading intensity.

Every path is drawn from coarse to fine. One draw per day gives the values at the midnights, in day order from a stream of
the seed alone; the day's own stream then fills in the hours, each hour's own stream its fine grid, as bridges between
the values already fixed. A path is therefore continuous over midnight, keeps the law of the process at every scale, and a day
does not depend on how many days are made, nor in which order.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pointline.simulate.config import MarketConfig

Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

GRID_MS = 20  # the efficient price is linear between points this far apart
HOUR_MS = 3_600_000
DAY_S = 86_400
_HOURS = 24
_YEAR_MS = 365 * DAY_S * 1_000


class Purpose(enum.IntEnum):
    """What a random stream is for; part of its key, so the numbers must never change."""

    PRICE = 1
    BASIS = 2
    ACTIVITY = 3
    BURST = 4
    PERP_TRADES = 5
    SPOT_TRADES = 6
    STREAM_JITTER = 7
    OPEN_INTEREST = 8
    TOP_ACCOUNTS = 9
    TOP_POSITIONS = 10
    ACCOUNTS = 11


def stream(config: MarketConfig, purpose: Purpose, *key: int) -> np.random.Generator:
    """The random stream of (seed, purpose, key); `key` holds the day index (from -1) and, for the finest level, the hour."""
    words = [config.seed, int(purpose), len(key), *(number + 1 for number in key)]
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(words)))


@dataclass(frozen=True)
class PricePath:
    """Logarithm of the efficient price on a regular grid.

    Attributes:
        start_ms: time of the first point, milliseconds relative to the day's midnight (negative: the day before).
        log_price: one value every `GRID_MS`.
    """

    start_ms: int
    log_price: Floats

    def at(self, time_ms: Integers) -> Floats:
        """The efficient price at these times (milliseconds relative to midnight), linear in the logarithm between grid points."""
        cell, inside = np.divmod(time_ms - self.start_ms, GRID_MS)
        left = self.log_price[cell]
        right = self.log_price[np.minimum(cell + 1, len(self.log_price) - 1)]
        price: Floats = np.exp(left + (right - left) * (inside / GRID_MS))
        return price


def price_path(config: MarketConfig, day_index: int) -> PricePath:
    """The efficient price from one hour before the day's midnight to the next midnight: a driftless geometric Brownian motion."""
    yesterday, today = _price_hours(config, day_index - 1), _price_hours(config, day_index)
    hours = np.concatenate([yesterday[-2:], today[1:]])
    count = HOUR_MS // GRID_MS
    path = np.empty((_HOURS + 1) * count + 1)
    path[0] = hours[0]
    for row in range(_HOURS + 1):
        key = (day_index - 1, _HOURS - 1) if row == 0 else (day_index, row - 1)
        shocks = stream(config, Purpose.PRICE, *key).standard_normal(count)
        path[1 + row * count : 1 + (row + 1) * count] = _bridge(shocks, hours[row], hours[row + 1], _price_std(config, GRID_MS))
    return PricePath(-HOUR_MS, path)


def _price_std(config: MarketConfig, step_ms: int) -> float:
    return config.annual_volatility * math.sqrt(step_ms / _YEAR_MS)


def _price_hours(config: MarketConfig, day_index: int) -> Floats:
    """Logarithm of the price at the day's 25 full hours."""
    shocks = stream(config, Purpose.PRICE).standard_normal(day_index + 2)  # the first belongs to the day before the start
    steps = shocks * _price_std(config, DAY_S * 1_000)
    start = math.log(config.start_price) + (-steps[0] if day_index < 0 else steps[1 : day_index + 1].sum())
    end = math.log(config.start_price) + steps[1 : day_index + 2].sum()
    inner = stream(config, Purpose.PRICE, day_index).standard_normal(_HOURS)
    return np.concatenate([[start], _bridge(inner, start, end, _price_std(config, HOUR_MS))])


def _bridge(shocks: Floats, start: float, end: float, step_std: float) -> Floats:
    """Brownian bridge from `start` (not returned) to `end` (the last value)."""
    walk = np.cumsum(shocks)
    walk *= step_std
    walk += np.linspace(0.0, end - start - walk[-1], len(walk) + 1)[1:] + start
    walk[-1] = end
    return walk


@dataclass(frozen=True, kw_only=True)
class MeanReversion:
    """A stationary Ornstein-Uhlenbeck process around zero.

    Attributes:
        purpose: key of its random streams.
        std: stationary standard deviation.
        half_life_s: time after which half of a deviation is expected to be left, in seconds.
    """

    purpose: Purpose
    std: float
    half_life_s: float

    @property
    def _rate(self) -> float:
        return math.log(2) / self.half_life_s

    def _step(self, seconds: float) -> tuple[float, float]:
        """Share of the deviation that is kept over a step, and the standard deviation of what is added."""
        return math.exp(-self._rate * seconds), self.std * math.sqrt(-math.expm1(-2 * self._rate * seconds))

    def _pull(self, count: int, seconds: float) -> Floats:
        """Weight of a bridge's end correction after 1 … `count` steps: sinh(rate·t) / sinh(rate·T)."""
        time = np.arange(1, count + 1) * seconds
        total = count * seconds
        weight: Floats = np.exp(-self._rate * (total - time)) * np.expm1(-2 * self._rate * time) / math.expm1(-2 * self._rate * total)
        return weight

    def seconds(self, config: MarketConfig, day_index: int) -> Floats:
        """The process at each second of the day, both midnights included: 86,401 values."""
        hours = self._hours(config, day_index)
        kept, added = self._step(1.0)
        shocks = np.stack([stream(config, self.purpose, day_index, hour).standard_normal(3_600) for hour in range(_HOURS)])
        decay = kept ** np.arange(1, 3_601)
        free = decay * (hours[:-1, None] + np.cumsum(shocks * added / decay, axis=1))
        free += (hours[1:] - free[:, -1])[:, None] * self._pull(3_600, 1.0)
        free[:, -1] = hours[1:]
        return np.concatenate([hours[:1], free.ravel()])

    def _hours(self, config: MarketConfig, day_index: int) -> Floats:
        start, end = self._midnights(config, day_index)
        kept, added = self._step(3_600.0)
        values = [start]
        for shock in stream(config, self.purpose, day_index).standard_normal(_HOURS):
            values.append(kept * values[-1] + added * float(shock))
        free = np.array(values)
        free[1:] += (end - free[-1]) * self._pull(_HOURS, 3_600.0)
        free[-1] = end
        return free

    def _midnights(self, config: MarketConfig, day_index: int) -> tuple[float, float]:
        shocks = stream(config, self.purpose).standard_normal(day_index + 3)  # the first two belong to the day before the start
        kept, added = self._step(DAY_S)
        previous, value = 0.0, self.std * float(shocks[0])
        for shock in shocks[1:]:
            previous, value = value, kept * value + added * float(shock)
        return previous, value


def basis_bps(config: MarketConfig, day_index: int) -> Floats:
    """The basis at each second of the day, both midnights included, in basis points of the efficient price."""
    process = MeanReversion(purpose=Purpose.BASIS, std=config.basis_std_bps, half_life_s=config.basis_half_life_s)
    return config.basis_mean_bps + process.seconds(config, day_index)


def intensity(config: MarketConfig, day_index: int) -> Floats:
    """Relative trading intensity of each of the day's 86,400 seconds, shared by both venues.

    The product of a daily wave (peak at 15:00 UTC), the exponential of a mean-reverting process, and bursts of single seconds.
    """
    process = MeanReversion(purpose=Purpose.ACTIVITY, std=config.activity_std, half_life_s=config.activity_half_life_s)
    slow = process.seconds(config, day_index)[:-1]
    wave = 1 + 0.4 * np.cos(2 * np.pi * (np.arange(DAY_S) / 3_600 - 15) / 24)
    burst = stream(config, Purpose.BURST, day_index).random(DAY_S) < config.burst_probability
    return wave * np.exp(slow) * np.where(burst, config.burst_factor, 1.0)
