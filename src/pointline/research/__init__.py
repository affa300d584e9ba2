"""The research API: what the lake holds, and how to get at it.

All times are int64 microseconds UTC, all windows half-open ``[start, end)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

    from pointline.lake.store import Lake


def list_exchanges(asset_class: str | None = None, *, lake: Lake | None = None) -> pl.DataFrame:
    """Exchanges of the lake's registry.

    Args:
        asset_class: ``"spot"``, ``"perpetual"`` or ``"future"`` keeps exchanges that list such instruments.
        lake: the default lake if None.

    Returns:
        exchange, sql_exchange, instruments (count), asset_types.

    Raises:
        ConfigError: there is no such asset class.
    """
    import polars as pl

    from pointline.errors import ConfigError
    from pointline.instruments import sql_exchange
    from pointline.lake.store import open_lake

    classes = ("spot", "perpetual", "future")
    if asset_class is not None and asset_class not in classes:
        raise ConfigError("there is no such asset class", value=asset_class, expected=", ".join(classes))
    rows = (lake or open_lake()).registry().frame
    if asset_class is not None:
        rows = rows.filter(pl.col("asset_type") == asset_class)
    grouped = rows.group_by("exchange").agg(
        pl.col("exchange_symbol").n_unique().cast(pl.Int64).alias("instruments"), pl.col("asset_type").unique().sort().alias("asset_types")
    )
    names = pl.Series("sql_exchange", [sql_exchange(name) for name in grouped["exchange"]], dtype=pl.String)
    return grouped.with_columns(names).select("exchange", "sql_exchange", "instruments", "asset_types").sort("exchange")


def list_symbols(
    exchange: str | None = None,
    base_asset: str | None = None,
    quote_asset: str | None = None,
    asset_type: str | None = None,
    *,
    lake: Lake | None = None,
) -> pl.DataFrame:
    """Instrument versions of the lake's registry (columns of `pointline.instruments.INSTRUMENT_SCHEMA`), newest version first.

    Args:
        exchange: exchange id, alias or SQL name.
        base_asset, quote_asset: e.g. ``"BTC"``, ``"USDT"``.
        asset_type: ``"spot"``, ``"perpetual"`` or ``"future"``.
        lake: the default lake if None.
    """
    from pointline.lake.store import open_lake

    registry = (lake or open_lake()).registry()
    found = registry.list(exchange=exchange, base_asset=base_asset, quote_asset=quote_asset, asset_type=asset_type)
    return found.sort(["exchange", "exchange_symbol", "valid_from_us"], descending=[False, False, True])


def data_coverage(exchange: str, symbol: str, *, lake: Lake | None = None) -> pl.DataFrame:
    """What the lake holds of an instrument: one row per table with first and last date, partitions present and missing, rows.

    Raises:
        RegistryError: the instrument is unknown; the error has the nearest names.
    """
    from pointline.lake.catalog import coverage
    from pointline.lake.store import open_lake
    from pointline.venue_rules import FAR_FUTURE_US, UNKNOWN_START_US

    lake = lake or open_lake()
    known = lake.registry().versions(exchange, symbol, UNKNOWN_START_US, FAR_FUTURE_US)
    return coverage(lake, known["exchange"][0], known["exchange_symbol"][0])


__all__ = ["data_coverage", "list_exchanges", "list_symbols"]
