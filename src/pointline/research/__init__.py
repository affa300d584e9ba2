"""The research API: lists of exchanges and symbols, and what the lake holds. `pointline.research.query` has the rows.

All times are int64 microseconds UTC, all windows half-open ``[start, end)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    import polars as pl

    from pointline.lake.store import LakeLike
    from pointline.research import query, resample, spines

_PARTS = ("query", "resample", "spines")


def __getattr__(name: str) -> ModuleType:
    """Loads a part of the room when it is first used."""
    if name in _PARTS:
        from importlib import import_module

        return import_module(f"pointline.research.{name}")
    raise AttributeError(f"module 'pointline.research' has no attribute {name!r}")


def list_exchanges(asset_class: str | None = None, *, lake: LakeLike | None = None) -> pl.DataFrame:
    """Exchanges of the lake's registry.

    Args:
        asset_class: ``"spot"``, ``"perpetual"`` or ``"future"`` keeps exchanges that list such instruments.
        lake: a lake or its folder; the default lake if None.

    Returns:
        exchange, sql_exchange, instruments (count), asset_types.

    Raises:
        ConfigError: there is no such asset class.

    Examples:
        >>> from pointline import research
        >>> research.list_exchanges("perpetual", lake="out/demo/lake")["exchange"].to_list()
        ['binance-futures']
    """
    import polars as pl

    from pointline.errors import ConfigError
    from pointline.instruments import sql_exchange
    from pointline.lake.store import as_lake

    classes = ("spot", "perpetual", "future")
    if asset_class is not None and asset_class not in classes:
        raise ConfigError("there is no such asset class", value=asset_class, expected=", ".join(classes))
    rows = as_lake(lake).registry().frame
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
    lake: LakeLike | None = None,
) -> pl.DataFrame:
    """Instrument versions of the lake's registry (columns of `pointline.instruments.INSTRUMENT_SCHEMA`), newest version first.

    Args:
        exchange: exchange id, alias or SQL name.
        base_asset, quote_asset: e.g. ``"BTC"``, ``"USDT"``.
        asset_type: ``"spot"``, ``"perpetual"`` or ``"future"``.
        lake: a lake or its folder; the default lake if None.

    Raises:
        RegistryError: no instrument of the exchange is known.

    Examples:
        >>> from pointline import research
        >>> perps = research.list_symbols(base_asset="BTC", asset_type="perpetual", lake="out/demo/lake")
        >>> perps.select("exchange", "exchange_symbol", "market").row(0)
        ('binance-futures', 'BTCUSDT', 'BTC-USDT')
    """
    from pointline.errors import RegistryError
    from pointline.instruments import exchange_id
    from pointline.lake.store import as_lake

    registry = as_lake(lake).registry()
    if exchange is not None and not registry.frame["exchange"].is_in([exchange_id(exchange)]).any():
        known = sorted(registry.frame["exchange"].unique())
        raise RegistryError("no instrument of this exchange is known", value=exchange, expected=f"one of {', '.join(known)}")
    found = registry.list(exchange=exchange, base_asset=base_asset, quote_asset=quote_asset, asset_type=asset_type)
    return found.sort(["exchange", "exchange_symbol", "valid_from_us"], descending=[False, False, True])


def data_coverage(exchange: str, symbol: str, *, lake: LakeLike | None = None) -> pl.DataFrame:
    """What the lake holds of an instrument: one row per table with first and last date, partitions present and missing, rows.

    Raises:
        RegistryError: the instrument is unknown; the error has the nearest names.

    Examples:
        >>> from pointline import research
        >>> held = research.data_coverage("binance-futures", "BTCUSDT", lake="out/demo/lake")
        >>> held.filter(kind="trades").select("first_date", "last_date", "rows", "missing_ids").row(0)
        ('2024-05-01', '2024-05-02', 40000, 0)
    """
    from pointline.lake.catalog import coverage
    from pointline.lake.store import as_lake
    from pointline.venues.dated import FAR_FUTURE_US, UNKNOWN_START_US

    opened = as_lake(lake)
    known = opened.registry().versions(exchange, symbol, UNKNOWN_START_US, FAR_FUTURE_US)
    return coverage(opened, known["exchange"][0], known["exchange_symbol"][0])


__all__ = ["data_coverage", "list_exchanges", "list_symbols", "query", "resample", "spines"]
