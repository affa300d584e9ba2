"""One simulated day: trades of both venues, mark and index, premium, funding, open interest, and the truth behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pointline.errors import ConfigError
from pointline.simulate.config import VENUES
from pointline.simulate.process import DAY_S, MeanReversion, Purpose, basis_bps, intensity, price_path, stream
from pointline.simulate.trades import MarketPath, venue_trades

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.simulate.config import MarketConfig
    from pointline.simulate.process import Floats

SAMPLE_S = 5  # the premium index enters the funding average every five seconds
DAMPER = 0.0005
INTEREST_8H = 0.0001
SCALED_RULE_FROM_US = 1_758_182_460_000_000  # 2025-09-18 08:01: the 8 h rate is divided by 8 / interval
_METRICS_US = 5 * MINUTE_US
_OPEN_INTEREST_BASE = 80_000.0
_STREAM_JITTER_MS = 12


@dataclass(frozen=True, kw_only=True)
class SimulatedDay:
    """Everything that happens on one day.

    Attributes:
        day_us: midnight UTC.
        perp, spot: ``trade_id``, ``ts_event_us``, ``price`` (on a tick), ``qty`` (base asset, whole lots), ``side`` (True = the
            seller was the taker), ``off_book`` (True = printed away from the market on purpose).
        mark: each second ``ts_event_us`` (a few ms after the full second), ``mark_price``, ``index_price``, ``funding_rate`` (the
            running estimate of the next payment, a fraction per interval), ``next_funding_us``.
        mark_price_1m, index_price_1m, premium_index_1m: ``start_us``, ``open``, ``high``, ``low``, ``close``, ``count`` of the
            one-second values; the premium index is a fraction.
        funding: settlements stamped on this day: ``ts_event_us`` (with the venue's jitter), ``funding_us``, ``funding_rate``,
            ``interval_hours``.
        metrics: each five minutes, stamped at their end: ``ts_event_us``, ``open_interest`` (base asset), ``open_interest_value``,
            ``top_trader_account_ratio``, ``top_trader_position_ratio``, ``account_ratio``, ``taker_volume_ratio``.
        truth: what an estimator should find: ``lead_ms``, ``annual_volatility``, the basis parameters, ``off_book_trade_ids``,
            ``off_book_distance_percent``, ``halts_us`` per venue as ``[start, end)``, ``side_autocorrelation``, ``tie_share``.
    """

    day_us: int
    perp: pl.DataFrame
    spot: pl.DataFrame
    mark: pl.DataFrame
    mark_price_1m: pl.DataFrame
    index_price_1m: pl.DataFrame
    premium_index_1m: pl.DataFrame
    funding: pl.DataFrame
    metrics: pl.DataFrame
    truth: dict[str, object]


def simulate_day(config: MarketConfig, day_index: int) -> SimulatedDay:
    """Day `day_index` (0 = the first) of the market, the same whatever other days are made.

    Raises:
        ConfigError: the market has no such day.

    Examples:
        >>> from pointline.simulate import MarketConfig, simulate_day
        >>> day = simulate_day(MarketConfig(perp_trades_per_day=1_000, perp_spot_ratio=10), 0)
        >>> day.perp.height, day.spot.height
        (1000, 100)
    """
    if not 0 <= day_index < config.days:
        raise ConfigError("the simulated market has no such day", value=day_index, expected=f"0 to {config.days - 1}")
    market = MarketPath(price_path(config, day_index), basis_bps(config, day_index), intensity(config, day_index))
    perp = venue_trades(config, day_index, "perp", market)
    spot = venue_trades(config, day_index, "spot", market)

    midnight = config.day_us(day_index)
    premium = market.basis_bps[:-1] / 1e4
    index_price = market.path.at(np.arange(DAY_S, dtype=np.int64) * 1_000 - config.venue("spot").lag_ms)
    mark_price = index_price * (1 + premium)
    estimate = funding_estimates(premium, interval_hours=config.funding_interval_hours, midnight_us=midnight)
    mark = _mark_frame(config, day_index, mark_price, index_price, estimate)
    return SimulatedDay(
        day_us=midnight,
        perp=perp,
        spot=spot,
        mark=mark,
        mark_price_1m=_minutes(midnight, mark_price),
        index_price_1m=_minutes(midnight, index_price),
        premium_index_1m=_minutes(midnight, premium),
        funding=_settlements(config, day_index, estimate),
        metrics=_metrics(config, day_index, perp, mark_price),
        truth=_truth(config, day_index, perp),
    )


def simulate_market(config: MarketConfig) -> Iterator[SimulatedDay]:
    """All days of the market, one at a time.

    Examples:
        >>> from pointline.simulate import MarketConfig, simulate_market
        >>> [day.perp.height for day in simulate_market(MarketConfig(perp_trades_per_day=1_000, days=2))]
        [1000, 1000]
    """
    for day_index in range(config.days):
        yield simulate_day(config, day_index)


def funding_estimates(premium: Floats, *, interval_hours: int, midnight_us: int) -> Floats:
    """The running funding estimate at each second of a day, from the premium index (a fraction) at each second.

    The rule is Binance's, as its support article 360033525031 on funding rates states it.

    Each interval starts afresh. Every 5 s one premium is sampled, the n-th sample of the interval has weight n, and with their
    mean P the rate per interval is F = P + clamp(I - P, -0.05 %, +0.05 %), so that F = I while P stays within 0.05 % of I. I is 0.01 %
    per 8 h; from 2025-09-18 08:01 UTC on, intervals other than 8 h take F with the 8 h interest and divide it by 8 / interval,
    before it the interest alone is scaled. There is no cap. Rates have eight decimals, as published.

    Examples:
        A premium of 10 bps pays what lies beyond the damper of 5 bps:

        >>> import numpy as np
        >>> from pointline.clock import to_us
        >>> from pointline.simulate import funding_estimates
        >>> premium = np.full(86_400, 0.0010)
        >>> float(funding_estimates(premium, interval_hours=8, midnight_us=to_us("2024-05-01"))[-1])
        0.0005
    """
    samples = premium[::SAMPLE_S].reshape(24 // interval_hours, -1)
    weight = np.arange(1, samples.shape[1] + 1)
    average = np.cumsum(samples * weight, axis=1) / np.cumsum(weight)
    share = interval_hours / 8
    payment_us = midnight_us + np.arange(1, 24 // interval_hours + 1)[:, None] * interval_hours * HOUR_US
    scaled = payment_us >= SCALED_RULE_FROM_US
    interest = np.where(scaled, INTEREST_8H, INTEREST_8H * share)
    rate = (average + np.clip(interest - average, -DAMPER, DAMPER)) * np.where(scaled, share, 1.0)
    return np.repeat(np.round(rate, 8).ravel(), SAMPLE_S)


def _mark_frame(config: MarketConfig, day_index: int, mark_price: Floats, index_price: Floats, estimate: Floats) -> pl.DataFrame:
    second_us = np.arange(DAY_S, dtype=np.int64) * SECOND_US + config.day_us(day_index)
    jitter_ms = stream(config, Purpose.STREAM_JITTER, day_index).integers(0, _STREAM_JITTER_MS, DAY_S)
    interval_us = config.funding_interval_hours * HOUR_US
    return pl.DataFrame(
        {
            "ts_event_us": second_us + jitter_ms * 1_000,
            "mark_price": np.round(mark_price, 8),
            "index_price": np.round(index_price, 8),
            "funding_rate": estimate,
            "next_funding_us": (second_us // interval_us + 1) * interval_us,
        }
    )


def _minutes(midnight_us: int, values: Floats) -> pl.DataFrame:
    """One-minute open, high, low, close of one-second values, rounded to eight decimals."""
    rows = np.round(values, 8).reshape(-1, 60)
    return pl.DataFrame(
        {
            "start_us": np.arange(len(rows), dtype=np.int64) * MINUTE_US + midnight_us,
            "open": rows[:, 0],
            "high": rows.max(axis=1),
            "low": rows.min(axis=1),
            "close": rows[:, -1],
            "count": np.full(len(rows), 60),
        }
    )


def _settlements(config: MarketConfig, day_index: int, estimate: Floats) -> pl.DataFrame:
    """Payments stamped on this day; the one at midnight is the last estimate of the day before."""
    hours = config.funding_interval_hours
    before = funding_estimates(
        basis_bps(config, day_index - 1)[:-1] / 1e4, interval_hours=hours, midnight_us=config.day_us(day_index) - DAY_US
    )
    count = 24 // hours
    rates = np.concatenate([before[-1:], estimate[hours * 3_600 - 1 :: hours * 3_600][: count - 1]])
    stamps = config.day_us(day_index) + np.arange(count) * hours * HOUR_US
    jitter_ms = stream(config, Purpose.STREAM_JITTER, day_index, 0).integers(0, _STREAM_JITTER_MS, count)
    return pl.DataFrame(
        {
            "ts_event_us": stamps + jitter_ms * 1_000,
            "funding_us": stamps,
            "funding_rate": rates,
            "interval_hours": np.full(count, float(hours)),
        }
    )


def _metrics(config: MarketConfig, day_index: int, perp: pl.DataFrame, mark_price: Floats) -> pl.DataFrame:
    """Open interest and ratios every five minutes; a ratio without sales in its five minutes is null."""
    step = _METRICS_US // SECOND_US
    start = np.arange(DAY_S // step, dtype=np.int64) * _METRICS_US + config.day_us(day_index)

    def path(purpose: Purpose, std: float) -> Floats:
        return np.exp(MeanReversion(purpose=purpose, std=std, half_life_s=6 * 3_600).seconds(config, day_index)[step::step])

    open_interest = np.round(_OPEN_INTEREST_BASE * path(Purpose.OPEN_INTEREST, 0.05), 3)
    part = (perp["ts_event_us"].to_numpy() - config.day_us(day_index)) // _METRICS_US
    seller_taker, qty = perp["side"].to_numpy(), perp["qty"].to_numpy()
    bought, sold = (np.bincount(part, weights=qty * mask, minlength=len(start)) for mask in (~seller_taker, seller_taker))
    ratio = np.divide(bought, sold, out=np.full(len(start), np.nan), where=sold > 0)
    return pl.DataFrame(
        {
            "ts_event_us": start + _METRICS_US,
            "open_interest": open_interest,
            "open_interest_value": np.round(open_interest * mark_price[step - 1 :: step], 8),
            "top_trader_account_ratio": np.round(1.2 * path(Purpose.TOP_ACCOUNTS, 0.1), 8),
            "top_trader_position_ratio": np.round(1.1 * path(Purpose.TOP_POSITIONS, 0.1), 8),
            "account_ratio": np.round(1.3 * path(Purpose.ACCOUNTS, 0.1), 8),
            "taker_volume_ratio": pl.Series(np.round(ratio, 8)).fill_nan(None),
        }
    )


def _truth(config: MarketConfig, day_index: int, perp: pl.DataFrame) -> dict[str, object]:
    midnight = config.day_us(day_index)
    return {
        "lead_ms": config.lead_ms,
        "annual_volatility": config.annual_volatility,
        "basis_mean_bps": config.basis_mean_bps,
        "basis_std_bps": config.basis_std_bps,
        "basis_half_life_s": config.basis_half_life_s,
        "tie_share": config.tie_share,
        "side_autocorrelation": config.side_autocorrelation,
        "off_book_trade_ids": perp.filter(pl.col("off_book"))["trade_id"].to_list(),
        "off_book_distance_percent": config.off_book_distance_percent,
        "halts_us": {
            name: [(midnight + start * 1_000, midnight + end * 1_000) for start, end in config.halts_ms(name, day_index)] for name in VENUES
        },
    }
