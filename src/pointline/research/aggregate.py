"""Accumulators as the columns that features are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline.kernel_slots import BAR_INTS

if TYPE_CHECKING:
    from pointline.research.amounts import Amounts

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
_COLUMN = {name: i for i, name in enumerate(BAR_INTS)}
_LIMB = 1 << 62


def venue_frame(prefix: str, ints: Ints, variances: Floats, amounts: Amounts) -> pl.DataFrame:
    """Per-venue columns of one row per bar.

    Prices in quote per base unit, volumes in base and quote units; a bar without trades has null prices and zero volumes;
    ``{prefix}_last_us`` is the time of its last trade. The sample standard deviation needs two trades, the realised
    volatility two distinct times.

    Args:
        prefix: ``"perp"`` or ``"spot"``.
        ints, variances: accumulators of `pointline.kernels.add_rows`.
        amounts: the scale of the integers.
    """
    count = ints[:, _COLUMN["count"]]
    traded = count > 0
    price_scale = 10.0**amounts.price_decimals
    qty = ints[:, _COLUMN["qty"]]
    buy = ints[:, _COLUMN["buy"]]
    quote = _wide(ints, "quote_high", "quote_low") / 10.0**amounts.quote_decimals
    volume = qty / 10.0**amounts.base_decimals
    with np.errstate(divide="ignore", invalid="ignore"):
        vwap = quote / volume
        deviation = np.sqrt(_variance(ints)) / price_scale
    columns: dict[str, tuple[Any, Any]] = {
        "open": (ints[:, _COLUMN["open"]] / price_scale, traded),
        "high": (ints[:, _COLUMN["high"]] / price_scale, traded),
        "low": (ints[:, _COLUMN["low"]] / price_scale, traded),
        "close": (ints[:, _COLUMN["close"]] / price_scale, traded),
        "vwap": (vwap, traded),
        "volume": (volume, None),
        "quote_volume": (quote, None),
        "trade_count": (count, None),
        "buy_volume": (buy / 10.0**amounts.base_decimals, None),
        "sell_volume": ((qty - buy) / 10.0**amounts.base_decimals, None),
        "price_std": (deviation, count > 1),
        "realized_vol": (np.sqrt(variances), ints[:, _COLUMN["distinct_times"]] > 1),
        "last_us": (ints[:, _COLUMN["last_us"]], traded),
    }
    series = []
    for name, (values, valid) in columns.items():
        column = pl.Series(f"{prefix}_{name}", np.ascontiguousarray(values))
        series.append(column if valid is None else _masked(column, valid))
    return pl.DataFrame(series)


def _masked(column: pl.Series, valid: np.ndarray[Any, np.dtype[np.bool_]]) -> pl.Series:
    if valid.all():
        return column
    return pl.select(pl.when(pl.Series(valid)).then(column).alias(column.name)).to_series()


def _wide(ints: Ints, high: str, low: str) -> Floats:
    return ints[:, _COLUMN[high]].astype(np.float64) * float(_LIMB) + ints[:, _COLUMN[low]].astype(np.float64)


def _variance(ints: Ints) -> Floats:
    """Sample variance of prices from exact sums: (n * sum d^2 - (sum d)^2) / (n * (n - 1)), d = price - first price of the bar."""
    count = ints[:, _COLUMN["count"]]
    deviation = ints[:, _COLUMN["deviation"]]
    squares = ints[:, _COLUMN["square_low"]]
    narrow = (
        (ints[:, _COLUMN["square_high"]] == 0)
        & (count.astype(np.float64) * squares.astype(np.float64) < _LIMB)
        & (np.abs(deviation.astype(np.float64)) < float(1 << 31))
    )
    top = np.where(narrow, count * squares - deviation * deviation, 0).astype(np.float64)
    for row in np.flatnonzero(~narrow).tolist():
        exact = (int(ints[row, _COLUMN["square_high"]]) << 62) + int(squares[row])
        top[row] = float(int(count[row]) * exact - int(deviation[row]) ** 2)
    n = count.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return top / (n * (n - 1.0))
