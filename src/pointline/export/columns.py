"""The columns of the views: what each is made from, in DuckDB's SQL, for the files of one market.

Amounts are exact decimals. A stored integer is multiplied by a power of ten, and a quantity by the size of its contract too, which is
one multiplication of decimals. Times are TIMESTAMP in UTC, made from the stored microseconds, which stand in ``_us`` columns beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.lake.store import stored_columns
from pointline.schema import MAX_DECIMALS

if TYPE_CHECKING:
    from collections.abc import Callable

PRICE_TYPE = f"DECIMAL(38, {MAX_DECIMALS})"
RATE_TYPE = "DECIMAL(38, 20)"
MOST_PLACES = 20
_DIGITS = 38
_STORED_TYPES: dict[pl.DataType, str] = {
    pl.Int8(): "TINYINT",
    pl.Int64(): "BIGINT",
    pl.Boolean(): "BOOLEAN",
    pl.Float64(): "DOUBLE",
    pl.String(): "VARCHAR",
    schema.PRICE: "DECIMAL(38, 12)",
}
# The folder of a file's partition, whatever the folders above it are called.
_DATE = r"CAST(regexp_extract(filename, '.*/date=([0-9]{4}-[0-9]{2}-[0-9]{2})/[^/]*$', 1) AS DATE)"


@dataclass(frozen=True)
class ExportedMarket:
    """A market of the lake, whose files one SELECT reads.

    Attributes:
        exchange, market, native_symbol: its names in SQL, and the exchange's own symbol.
        contract_size: base units per unit of quantity (1 where the exchange counts base units, or the contract is inverse); None where it
            is not known.
        contract_type: ``LINEAR_PERPETUAL``, ``INVERSE_PERPETUAL`` or an empty text.
    """

    exchange: str
    market: str
    native_symbol: str
    contract_size: Decimal | None = Decimal(1)
    contract_type: str = ""

    @property
    def is_inverse(self) -> bool:
        """Whether the contract is inverse."""
        return self.contract_type.startswith("INVERSE")


def literal(text: str) -> str:
    """A text as SQL writes it."""
    parts = ("'" + part.replace("'", "''") + "'" for part in text.split("\0"))
    return " || chr(0) || ".join(parts)


def places(size: Decimal | None) -> int:
    """How many decimals a size has."""
    return 0 if size is None else max(0, -int(size.normalize().as_tuple().exponent))


def quantity_type(markets: list[ExportedMarket]) -> str:
    """The type that holds the quantities of all markets: 12 decimals, and those of the sizes of their contracts."""
    return f"DECIMAL({_DIGITS}, {min(MOST_PLACES, MAX_DECIMALS + max((places(one.contract_size) for one in markets), default=0))})"


def columns_of(kind: str, market: ExportedMarket, quantity: str) -> dict[str, str]:
    """The columns of a table's view, each with what it is made from.

    Args:
        kind: the lake's table.
        market: whose files are read.
        quantity: the type of quantities.
    """
    names = {"exchange": literal(market.exchange), "market": literal(market.market)}
    own = {"native_symbol": literal(market.native_symbol)}
    rest = _TABLES[kind](market, quantity) if kind in _TABLES else _candles(kind, market, quantity)
    daily = {} if schema.table(kind).monthly else {"date": _DATE}
    clocks = {"ts_event_us": "ts_event_us", "ts_local_us": "ts_local_us"}
    return {**names, **rest, "known_at": _moment("ts_local_us"), "sequence": "source_row", **own, **daily, **clocks}


def nothing(kind: str) -> str:
    """A relation with the columns of a table's files and no rows."""
    columns = {**{name: _STORED_TYPES[dtype] for name, dtype in stored_columns(kind).items()}, "filename": "VARCHAR"}
    return "(SELECT " + ", ".join(f"CAST(NULL AS {dtype}) AS {name}" for name, dtype in columns.items()) + " WHERE false)"


def _moment(us: str) -> str:
    return f"make_timestamp({us})"


def _trades(market: ExportedMarket, quantity: str) -> dict[str, str]:
    return {
        "side": "CASE side WHEN true THEN 'sell' WHEN false THEN 'buy' END",
        "quantity": _counted("qty_int", "qty_decimals", market.contract_size, quantity),
        "price": _counted("price_int", "price_decimals", Decimal(1), PRICE_TYPE),
        "timestamp": _moment("ts_event_us"),
        "trade_id": "coalesce(text_id, CAST(trade_id AS VARCHAR), '')",
        "trade_number": "trade_id",
        "off_book": "coalesce(off_book, false)",
    }


def _liquidations(market: ExportedMarket, quantity: str) -> dict[str, str]:
    same = _trades(market, quantity)
    return {**{name: same[name] for name in ("side", "quantity", "price", "timestamp")}, "liquidation_id": "liquidation_id"}


def _quotes(market: ExportedMarket, quantity: str) -> dict[str, str]:
    amounts = {}
    for side in ("bid", "ask"):
        amounts[f"{side}_price"] = _counted(f"{side}_price_int", "price_decimals", Decimal(1), PRICE_TYPE)
        amounts[f"{side}_quantity"] = _counted(f"{side}_qty_int", "qty_decimals", market.contract_size, quantity)
    return {"timestamp": _moment("ts_event_us"), **amounts, "update_id": "update_id"}


def _ticker(market: ExportedMarket, quantity: str) -> dict[str, str]:
    del quantity  # the exchange publishes these as floats
    return {
        "timestamp": _moment("ts_event_us"),
        **{name: name for name in ("mark_price", "index_price", "last_price")},
        "estimated_funding_rate": "funding_rate",
        "next_funding": _moment("next_funding_us"),
        "predicted_funding_rate": "predicted_funding_rate",
        "open_interest": _sized_float("open_interest", market.contract_size),
        "next_funding_us": "next_funding_us",
    }


def _open_interest(market: ExportedMarket, quantity: str) -> dict[str, str]:
    del quantity  # as in `_ticker`
    value, absent = "open_interest_value", "CAST(NULL AS DOUBLE)"
    return {
        "timestamp": _moment("ts_event_us"),
        "open_interest": _sized_float("open_interest", market.contract_size),
        value: absent if market.is_inverse else value,
        f"{value}_base": value if market.is_inverse else absent,
        **{name: name for name in ("top_trader_account_ratio", "top_trader_position_ratio", "account_ratio", "taker_volume_ratio")},
    }


def _funding(market: ExportedMarket, quantity: str) -> dict[str, str]:
    del quantity  # rates have none
    finite = "CASE WHEN isfinite(funding_rate) THEN CAST(funding_rate AS VARCHAR) END"  # the shortest text is what the exchange printed
    rate = f"CAST(trunc(CAST({finite} AS DECIMAL(38, 30)), {MOST_PLACES}) AS {RATE_TYPE})"
    return {
        "contract_type": literal(market.contract_type),
        "timestamp": _moment("funding_us"),
        "funding_rate": rate,
        "rate": rate,
        "interval_hours": "interval_hours",
        "mark_price": "mark_price",
        "funding_us": "funding_us",
    }


_TABLES: dict[str, Callable[[ExportedMarket, str], dict[str, str]]] = {
    schema.TRADES.name: _trades,
    schema.LIQUIDATIONS.name: _liquidations,
    schema.QUOTES.name: _quotes,
    schema.DERIVATIVE_TICKER.name: _ticker,
    schema.OPEN_INTEREST.name: _open_interest,
    schema.FUNDING.name: _funding,
}


def _candles(kind: str, market: ExportedMarket, quantity: str) -> dict[str, str]:
    of_trades = kind.startswith("candles_")
    size = market.contract_size if of_trades else Decimal(1)
    counted = {name: _sized_decimal(name, size, quantity) for name in ("volume", "taker_buy_volume")}
    return {
        "start": _moment("start_us"),
        '"end"': _moment("ts_event_us"),
        **{name: name for name in ("open", "high", "low", "close")},
        "volume": counted["volume"],
        "count": "trade_count",
        "quote_volume": "quote_volume",
        "base_volume": "base_volume",
        "taker_buy_volume": counted["taker_buy_volume"],
        "taker_buy_quote_volume": "taker_buy_quote_volume",
        "traded": "coalesce(volume <> 0, true) AND coalesce(trade_count <> 0, true)",
        "start_us": "start_us",
    }


def _counted(stored: str, decimals: str, size: Decimal | None, kind: str) -> str:
    """Integers that count ``10**-decimals``, times a size, as exact decimals."""
    if size is None:
        return f"CAST(NULL AS {kind})"
    scale = MAX_DECIMALS + places(size)
    steps = " ".join(f"WHEN {n} THEN {size.scaleb(-n):.{scale}f}" for n in range(MAX_DECIMALS + 1))
    return f"CAST(CAST({stored} AS DECIMAL(19, 0)) * CASE {decimals} {steps} END AS {kind})"


def _sized_decimal(name: str, size: Decimal | None, kind: str) -> str:
    if size is None:
        return f"CAST(NULL AS {kind})"
    return f"CAST({name} AS {kind})" if size == 1 else f"CAST({name} * {size:f} AS {kind})"


def _sized_float(name: str, size: Decimal | None) -> str:
    """A float times a size, rounded as `pointline.lake.rows.in_size` does."""
    if size is None:
        return "CAST(NULL AS DOUBLE)"
    finer = places(size)
    return name if size == 1 else f"{name} * {float(size.scaleb(finer))!r}::DOUBLE / {10.0**finer!r}::DOUBLE"
