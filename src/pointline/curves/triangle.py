"""Several references at once: each contract against two of them, and the two against each other."""

from __future__ import annotations

from itertools import combinations

import polars as pl

from pointline.errors import ConfigError

_ON = ("day", "start", "end", "exchange", "market", "close", "quote")
_OWN = ("reference", "reference_quote", "spot_close", "spread", "spread_pct", "cross_quote", "known_at")


def triangle(table: pl.DataFrame, references: tuple[str, ...]) -> pl.DataFrame:
    """The triangular view: contract to first reference, contract to second reference, second to first reference.

    The three close the circle: ``spread_first - spread_second = reference_spread``, up to rounding.

    Args:
        table: rows of `pointline.curves.table.TABLE_SCHEMA`.
        references: their names, in order; every two of them make a view.

    Returns:
        One row per candle, contract and pair of references: day, start, end, exchange, market, close, quote; of both
        references, with the endings ``_first`` and ``_second``: reference, reference_quote, spot_close, spread, spread_pct, cross_quote;
        reference_spread = spot_close_second - spot_close_first, reference_spread_pct of spot_close_first, reference_cross_quote, and
        known_at: when all of it was known. Nothing is converted here: the cross_quote columns mark spreads between different quotes.

    Raises:
        ConfigError: there are fewer than two references.
    """
    if len(references) < 2:  # noqa: PLR2004 - a triangle has two
        raise ConfigError("a triangular view needs two references", value=list(references), expected="two or more spot markets")
    parts = [_of_pair(table, first, second) for first, second in combinations(references, 2)]
    return pl.concat(parts).sort("start", "exchange", "market", "reference_first", "reference_second")


def _of_pair(table: pl.DataFrame, first: str, second: str) -> pl.DataFrame:
    one, other = (
        table.filter(pl.col("reference") == name).select(*_ON, *(pl.col(own).alias(f"{own}_{ending}") for own in _OWN))
        for name, ending in ((first, "first"), (second, "second"))
    )
    both = one.join(other.drop("day", "end", "close", "quote"), on=["start", "exchange", "market"], how="inner")
    spread = pl.col("spot_close_second") - pl.col("spot_close_first")
    known = pl.col("known_at_first").is_not_null() & pl.col("known_at_second").is_not_null()
    return both.with_columns(
        reference_spread=spread,
        reference_spread_pct=spread / pl.col("spot_close_first") * 100,
        reference_cross_quote=pl.col("reference_quote_first") != pl.col("reference_quote_second"),
        known_at=pl.when(known).then(pl.max_horizontal("known_at_first", "known_at_second")),
    ).drop("known_at_first", "known_at_second")
