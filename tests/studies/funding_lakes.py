"""Lakes of hourly candles and funding, written as the exchange's archives."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from tests.evaluation.funding_market import START, hourly_premium
from tests.sql.markets import Candle, candles_archives, funding_archive, lake_with

from pointline.clock import HOUR_US, date_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pointline.lake.store import Lake

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
Hour = tuple[int, str]  # start of the hour, close
Payment = tuple[int, int, str]  # microseconds, hours of the interval, rate


def candle_paths(folder: Path, name: str, hours: Iterable[Hour], interval: str = "1h") -> list[Path]:
    """Archives of candles of which only the close counts."""
    exchange, _, symbol = name.partition(":")
    return candles_archives(folder, exchange, symbol, interval, [Candle(us, close, close, close, close) for us, close in hours])


def funding_paths(folder: Path, name: str, payments: Iterable[Payment]) -> list[Path]:
    """Monthly archives of settled funding."""
    exchange, _, symbol = name.partition(":")
    months: dict[str, list[Payment]] = defaultdict(list)
    for payment in payments:
        months[date_text(payment[0])[:7]].append(payment)
    return [funding_archive(folder, exchange, symbol, month, rows) for month, rows in months.items()]


def hours_of(settlements: int, *, seed: int = 1, spot: float = 60_000.0) -> tuple[list[Hour], list[Hour], list[Payment]]:
    """Perp and spot closes, and the rate that the rule makes of the printed ones: P + clip(1 - P, ±5) bp of eight weighted hours."""
    premium = hourly_premium(8 * settlements, seed)
    perp = [(START + place * HOUR_US, f"{spot * (1 + one):.1f}") for place, one in enumerate(premium.tolist())]
    flat = [(us, f"{spot:.2f}") for us, _ in perp]
    printed = np.array([float(close) / spot - 1 for _, close in perp]).reshape(settlements, 8)
    average = np.sum(printed * np.arange(1, 9), axis=1) / 36
    rates = average + np.clip(1e-4 - average, -5e-4, 5e-4)
    payments = [(START + 8 * HOUR_US * (place + 1) + 4_000, 8, f"{rate:.8f}") for place, rate in enumerate(rates.tolist())]
    return perp, flat, payments


def lake_of_hours(folder: Path, perp: Sequence[Hour], spot: Sequence[Hour], payments: Sequence[Payment]) -> Lake:
    """A lake of the hours and payments."""
    paths = [*candle_paths(folder / "a", PERP, perp), *candle_paths(folder / "a", SPOT, spot)]
    return lake_with(folder, [*paths, *(funding_paths(folder / "a", PERP, payments) if payments else [])])
