"""The guide's smoothed basis and its slope, per contract, over candles.

The guide calls these a "term structure". They describe one contract through time; curves over maturities are in
`pointline.curves.term_structure`.
"""

from __future__ import annotations

import polars as pl

from pointline.curves.table import KEY, basis_fraction
from pointline.errors import ConfigError
from pointline.features.rolling import rolling_mean_expr

_GROUP = ("exchange", "market", "reference")
_BPS = 10_000


def smoothing(table: pl.DataFrame, *, window: int = 5) -> pl.DataFrame:
    """The basis of each contract, its mean over a window and its change over it.

    Formulas of the perp-spot guide ("Basis Term Structure"): basis_smooth = mean of basis_bps over the last `window` candles,
    basis_slope = basis_bps - basis_bps `window` candles before. Values that need a candle without a basis are null. So are
    values that need candles of which only some were converted to one quote asset.

    Args:
        table: rows of `pointline.curves.table.TABLE_SCHEMA`.
        window: candles.

    Returns:
        start, end, exchange, market, reference, basis_kind, basis_bps, basis_smooth, basis_slope (basis points) and known_at: when all
        that the row's values are made of was known.

    Raises:
        ConfigError: the window is below two candles.
    """
    if window < 2:  # noqa: PLR2004 - one candle smooths nothing
        raise ConfigError("a smoothing window has at least two candles", value=window, expected="2 or more")
    kind = pl.col("basis_kind")
    alike = pl.all_horizontal(kind.shift(back) == kind for back in range(1, window))
    parts = [
        rows.with_columns(basis_bps=basis_fraction() * _BPS)
        .with_columns(
            basis_smooth=pl.when(alike).then(rolling_mean_expr("basis_bps", window)),
            basis_slope=pl.when(kind.shift(window) == kind).then(pl.col("basis_bps") - pl.col("basis_bps").shift(window)),
            known_at=pl.when(pl.col("basis_bps").is_not_null()).then(
                pl.max_horizontal(pl.col("known_at").shift(back) for back in range(window + 1))
            ),
        )
        .select("start", "end", *_GROUP, "basis_kind", "basis_bps", "basis_smooth", "basis_slope", "known_at")
        for rows in table.sort(KEY).partition_by(_GROUP, maintain_order=True)
    ]
    return pl.concat(parts).sort(KEY) if parts else pl.DataFrame()
