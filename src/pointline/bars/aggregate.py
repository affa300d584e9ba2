"""Accumulators as the columns that features are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline.bars.amounts import FRACTION_BITS
from pointline.kernels.slots import BAR_INTS

if TYPE_CHECKING:
    from pointline.bars.amounts import Amounts, Ints

Floats = np.ndarray[Any, np.dtype[np.float64]]
_COLUMN = {name: i for i, name in enumerate(BAR_INTS)}
_EXACT = 1 << 53  # a whole number below it is a double
_EXACT_POWER = 22  # the largest power of ten that is a double


def venue_frame(prefix: str, ints: Ints, amounts: Amounts) -> pl.DataFrame:
    """Per-venue columns of one row per bar.

    Prices in quote per base unit, volumes in base and quote units; a bar without trades has null prices and zero volumes, one with a
    trade of unknown side has null buy and sell volumes; ``{prefix}_last_us`` is the time of its last trade. The sample standard
    deviation needs two trades, the realised volatility two distinct times.

    Args:
        prefix: ``"perp"`` or ``"spot"``.
        ints: accumulators of `pointline.kernels.add_rows`.
        amounts: the scale of the integers.
    """
    ints = np.ascontiguousarray(ints.T)  # a row per sum: each is worked on as a whole
    count = ints[_COLUMN["count"]]
    traded = count > 0
    qty, qty_fraction = ints[_COLUMN["qty"]], ints[_COLUMN["qty_fraction"]]
    buy, buy_fraction = ints[_COLUMN["buy"]], ints[_COLUMN["buy_fraction"]]
    borrowed = qty_fraction < buy_fraction
    sided = ints[_COLUMN["unknown_sides"]] == 0
    quote = nearest_float(ints[_COLUMN["quote_low"]], amounts.quote_decimals, ints[_COLUMN["quote_high"]])
    volume = _base(qty, qty_fraction, amounts)
    sold = _base(qty - buy - borrowed, qty_fraction - buy_fraction + (borrowed.astype(np.int64) << FRACTION_BITS), amounts)
    prices = {name: nearest_float(ints[_COLUMN[name]], amounts.price_decimals) for name in ("open", "high", "low", "close")}
    vwap = _vwap(ints, amounts, quote, volume, (prices["low"], prices["high"]))
    deviation = np.sqrt(_variance(ints, amounts.price_decimals))
    columns: dict[str, tuple[Any, Any]] = {
        **{name: (values, traded) for name, values in prices.items()},
        "vwap": (vwap, traded),
        "volume": (volume, None),
        "quote_volume": (quote, None),
        "trade_count": (count, None),
        "buy_volume": (_base(buy, buy_fraction, amounts), sided),
        "sell_volume": (sold, sided),
        "price_std": (deviation, count > 1),
        "realized_vol": (_realized_vol(ints), ints[_COLUMN["distinct_times"]] > 1),
        "last_us": (ints[_COLUMN["last_us"]], traded),
    }
    series = []
    for name, (values, valid) in columns.items():
        column = pl.Series(f"{prefix}_{name}", values)
        series.append(column if valid is None else _masked(column, valid))
    return pl.DataFrame(series)


def _masked(column: pl.Series, valid: np.ndarray[Any, np.dtype[np.bool_]]) -> pl.Series:
    if valid.all():
        return column
    return pl.select(pl.when(pl.Series(valid)).then(column).alias(column.name)).to_series()


def nearest_float(low: Ints, decimals: int, high: Ints | None = None) -> Floats:
    """The double nearest to ``(high * 2**62 + low) / 10**decimals``.

    One rounding only, so the result does not depend on the scale of the integers, which trades later in the day can refine.
    """
    result: Floats = low / float(10**decimals)
    inexact = low >= _EXACT
    if high is not None:
        inexact |= high != 0
    if decimals > _EXACT_POWER:
        inexact[:] = True
    for row in np.flatnonzero(inexact).tolist():
        whole = int(low[row]) + (0 if high is None else int(high[row]) << 62)
        result[row] = whole / 10**decimals
    return result


def _base(whole: Ints, fraction: Ints, amounts: Amounts) -> Floats:
    """The double nearest to a base amount of whole units and a fraction in 2**-62."""
    if not fraction.any():
        return nearest_float(whole, amounts.base_decimals)
    unit = 10**amounts.base_decimals << FRACTION_BITS
    exact = [((units << FRACTION_BITS) + rest) / unit for units, rest in zip(whole.tolist(), fraction.tolist(), strict=True)]
    return np.array(exact, dtype=np.float64)


def _vwap(ints: Ints, amounts: Amounts, quote: Floats, volume: Floats, between: tuple[Floats, Floats]) -> Floats:
    """Quote over base amount: of the doubles, and of the integers where the rounding of the three would leave [low, high].

    A mean of prices, rounded once, cannot: low and high are rounded in the same way.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        vwap = quote / volume
    low, high = between
    vwap = np.where(low == high, low, vwap)  # of one price, which the quotient of doubles often misses by its last bit
    unit = 10**amounts.base_decimals << FRACTION_BITS
    names = ("quote_high", "quote_low", "qty", "qty_fraction")
    for row in np.flatnonzero((ints[_COLUMN["count"]] > 0) & ~((low <= vwap) & (vwap <= high))).tolist():
        quote_high, quote_low, qty, fraction = (int(ints[_COLUMN[name], row]) for name in names)
        base = ((qty << FRACTION_BITS) + fraction) * 10**amounts.quote_decimals
        vwap[row] = ((quote_high << 62) + quote_low) * unit / base
    return vwap


def _realized_vol(ints: Ints) -> Floats:
    """Square root of the sum of squared returns, which is counted in 2**-100."""
    high = ints[_COLUMN["return_square_high"]].astype(np.float64)
    low = ints[_COLUMN["return_square_low"]].astype(np.float64)
    result: Floats = np.sqrt(high * 2.0**-38 + low * 2.0**-100)
    return result


def _variance(ints: Ints, price_decimals: int) -> Floats:
    """Sample variance of prices from exact sums: (n * sum d^2 - (sum d)^2) / (n * (n - 1)), d = price - first price of the bar.

    Rounded once, as in `nearest_float`.
    """
    count = ints[_COLUMN["count"]]
    deviation = ints[_COLUMN["deviation"]]
    squares = ints[_COLUMN["square_low"]]
    n = count.astype(np.float64)
    divisor = n * (n - 1.0) * float(10 ** (2 * price_decimals))
    fits = (
        (ints[_COLUMN["square_high"]] == 0)
        & (n * squares.astype(np.float64) < float(1 << 62))
        & (np.abs(deviation.astype(np.float64)) < float(1 << 31))
    )
    top = np.where(fits, count * squares - deviation * deviation, 0)
    exact = fits & (top < _EXACT) & (divisor < _EXACT)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = top / divisor
    for row in np.flatnonzero(~exact & (count > 1)).tolist():
        rows, total = int(count[row]), (int(ints[_COLUMN["square_high"], row]) << 62) + int(squares[row])
        result[row] = (rows * total - int(deviation[row]) ** 2) / (rows * (rows - 1) * 10 ** (2 * price_decimals))
    return result


def has_trade(venue: str) -> pl.Expr:
    """Whether a bar holds a trade of ``"perp"`` or ``"spot"``; of candles without trade counts, whether it holds volume."""
    return pl.coalesce(pl.col(f"{venue}_trade_count") > 0, pl.col(f"{venue}_volume") > 0, pl.col(f"{venue}_open").is_not_null())
