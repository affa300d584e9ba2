"""Files of Tardis and of Bybit's archive, in the layouts that their documentation gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.contract.suite import Case

from pointline.sources.base import RANKS

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY_US = 1_714_521_600_000_000  # 2024-05-01 00:00 UTC
DAY_S = DAY_US // 1_000_000
PACKINGS = (".csv.gz", ".csv")
UUIDS = ("7cb2b8b5-f1e6-5a5a-9f3c-0d2c4ec4a6d1", "00000000-006d-1000-0000-000d95a1f8c2")

COMMON = "exchange,symbol,timestamp,local_timestamp"
TARDIS_TRADES = f"{COMMON},id,side,price,amount"
TARDIS_QUOTES = f"{COMMON},ask_amount,ask_price,bid_price,bid_amount"
TARDIS_TICKER = f"{COMMON},funding_timestamp,funding_rate,predicted_funding_rate,open_interest,last_price,index_price,mark_price"
BYBIT_TRADING = "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional"
BYBIT_SPOT = "id,timestamp,price,volume,side"


def snapshot_header(levels: int) -> str:
    sides = (f"{side}[{level}].{what}" for level in range(levels) for side in ("asks", "bids") for what in ("price", "amount"))
    return f"{COMMON},{','.join(sides)}"


def received(event: int, local: int) -> dict[str, int]:
    """Clocks of a row, in microseconds after midnight."""
    return {"ts_event_us": DAY_US + event, "ts_local_us": DAY_US + local}


def tardis(
    dataset: str,
    header: str,
    tails: Sequence[str],
    expected: Sequence[dict[str, Any]],
    bad: tuple[str, str, str],
    *,
    kind: str,
    names: tuple[str, str, str, str] = ("binance-futures", "BTCUSDT", "BTCUSDT", "binance-futures"),
    own_symbol: str | None = None,
) -> Case:
    """Two rows, the second of which happened first; `names`: the vendor's exchange, symbol in path and rows, our exchange."""
    exchange, in_path, symbol, own = names
    times = ((7_000, 9_250), (5_000, 9_251))
    lines = tuple(f"{exchange},{symbol},{DAY_US + at},{DAY_US + us},{tail}" for (at, us), tail in zip(times, tails, strict=True))
    return Case(
        source="tardis",
        place=f"v1/{exchange}/{dataset}/2024/05/01/{in_path}",
        header=header,
        lines=lines,
        bad=(lines[0].replace(bad[0], bad[1]), bad[2], bad[1]),
        kind=kind,
        exchange=own,
        symbol=own_symbol or symbol,
        period="2024-05-01",
        expected=tuple({**received(*at), **row} for at, row in zip(times, expected, strict=True)),
        rank=RANKS["recorded"],
        clock="recorded",
        packings=PACKINGS,
        csv=True,
    )


NO_IDS = {"trade_id": None, "text_id": None}


def tardis_trades(
    *, names: tuple[str, str, str, str], ids: Sequence[str], found: Sequence[dict[str, Any]], own_symbol: str | None = None
) -> Case:
    rows = ((ids[0], "buy", "60000.5", "0.015"), (ids[1], "sell", "60000", "12.000"))
    expected = [{"price": 60000.5, "qty": 0.015, "side": False}, {"price": 60000.0, "qty": 12.0, "side": True}]
    return tardis(
        "trades",
        TARDIS_TRADES,
        [",".join(row) for row in rows],
        [{**NO_IDS, **own, **row} for own, row in zip(found, expected, strict=True)],
        ("60000.5", "6o000.5", "price"),
        kind="trades",
        names=names,
        own_symbol=own_symbol,
    )


def tardis_liquidations(*, exchange: str, ids: Sequence[str], found: Sequence[str | None]) -> Case:
    """A short that was closed by force, and a long."""
    rows = ((ids[0], "buy", "60000.5", "0.015"), (ids[1], "sell", "60000", "12.000"))
    expected = [{"price": 60000.5, "qty": 0.015, "side": False}, {"price": 60000.0, "qty": 12.0, "side": True}]
    return tardis(
        "liquidations",
        TARDIS_TRADES,
        [",".join(row) for row in rows],
        [{"liquidation_id": own, **row} for own, row in zip(found, expected, strict=True)],
        ("60000.5", "6o000.5", "price"),
        kind="liquidations",
        names=(exchange, "BTCUSDT", "BTCUSDT", exchange),
    )


def tardis_quotes(dataset: str, header: str, tails: Sequence[str], bad: tuple[str, str, str]) -> Case:
    names = ("ask_price", "ask_qty", "bid_price", "bid_qty")
    values = ((60000.5, 3.0, 60000.0, 0.125), (60001.0, 1.5, 60000.5, 7.0))
    expected = [{"update_id": None, **dict(zip(names, row, strict=True))} for row in values]
    return tardis(dataset, header, tails, expected, bad, kind="quotes")


def tardis_snapshot(levels: int) -> Case:
    tops = ("60000.5,3,60000,0.125", "60001,1.5,60000.5,7")
    deeper = "".join(f",6100{level},2,5900{level},4" for level in range(levels - 1))
    bad = ("60000.5", "low", "asks[0].price")
    return tardis_quotes(f"book_snapshot_{levels}", snapshot_header(levels), [top + deeper for top in tops], bad)


def tardis_ticker() -> Case:
    settlement = DAY_US + 8 * 3_600_000_000
    columns = ("next_funding_us", "funding_rate", "predicted_funding_rate", "open_interest", "last_price", "index_price", "mark_price")
    rows = ((settlement, 0.0001, None, 81234.5, 60000.5, 60001.25, 60000.75), (None, -2.5e-05, None, None, None, None, 60000.0))
    return tardis(
        "derivative_ticker",
        TARDIS_TICKER,
        (f"{settlement},0.0001,,81234.5,60000.5,60001.25,60000.75", ",-0.000025,,,,,60000.00"),
        [dict(zip(columns, row, strict=True)) for row in rows],
        ("60000.75", "?", "mark_price"),
        kind="derivative_ticker",
    )


def bybit_trading(symbol: str, *, header: bool, rpi: bool = False, inverse: bool = False) -> Case:
    """Rows that step back in time, of one moment, with seconds of none to four decimals."""
    tail = ",0" if rpi else ""
    stamps = ((f"{DAY_S}.2501", 250_100), (f"{DAY_S}", 0))
    values = (("Buy", "1500" if inverse else "0.025", "60000.5", False), ("Sell", "6000000" if inverse else "12", "60000", True))
    lines = []
    for (stamp, _), (side, size, price, _), uuid in zip(stamps, values, UUIDS, strict=True):
        home = float(size) / float(price) if inverse else float(size)
        foreign = float(size) if inverse else float(size) * float(price)
        lines.append(f"{stamp},{symbol},{side},{size},{price},ZeroMinusTick,{uuid},{foreign * 1e8},{home},{foreign:.4f}{tail}")
    return Case(
        source="bybit",
        place=f"trading/{symbol}/{symbol}2024-05-01",
        header=f"{BYBIT_TRADING}{',RPI' if rpi else ''}" if header else None,
        lines=tuple(lines),
        bad=(lines[0].replace(",60000.5,", ",6o000.5,"), "price", "6o000.5"),
        kind="trades",
        exchange="bybit",
        symbol=symbol,
        period="2024-05-01",
        expected=tuple(
            {**received(us, us), "trade_id": None, "text_id": uuid, "price": float(price), "qty": float(size), "side": seller}
            for (_, us), (_, size, price, seller), uuid in zip(stamps, values, UUIDS, strict=True)
        ),
        packings=PACKINGS,
        csv=True,
        numeric_time=False,
    )


def bybit_spot(*, header: bool, rpi: bool = False, monthly: bool = False, unit: int = 1000) -> Case:
    """`unit`: microseconds that the file counts by."""
    rows = ((2, 250_000, "60000.5", "0.025", "buy"), (1, 0, "60000", "12", "sell"))
    lines = tuple(f"{n},{(DAY_US + us) // unit},{price},{qty},{side}{',0' if rpi else ''}" for n, us, price, qty, side in rows)
    return Case(
        source="bybit",
        place=f"spot/BTCUSDT/BTCUSDT{'-2024-05' if monthly else '_2024-05-01'}",
        header=f"{BYBIT_SPOT}{',rpi' if rpi else ''}" if header else None,
        lines=lines,
        bad=(lines[0].replace("60000.5", "6o000.5"), "price", "6o000.5"),
        kind="trades",
        exchange="bybit-spot",
        symbol="BTCUSDT",
        period="2024-05" if monthly else "2024-05-01",
        expected=tuple(
            {**received(us, us), "trade_id": n, "price": float(price), "qty": float(qty), "side": side == "sell"}
            for n, us, price, qty, side in rows
        ),
        rank=RANKS["monthly" if monthly else "daily"],
        packings=PACKINGS,
        csv=True,
    )


BYBIT = {
    "bybit linear": bybit_trading("BTCUSDT", header=True),
    "bybit linear without header": bybit_trading("BTCUSDT", header=False),
    "bybit linear with RPI": bybit_trading("BTCPERP", header=True, rpi=True),
    "bybit inverse": bybit_trading("BTCUSD", header=True, inverse=True),
    "bybit dated inverse": bybit_trading("BTCUSDM24", header=True, inverse=True),
    "bybit dated linear": bybit_trading("BTC-28JUN24", header=True),
    "bybit spot": bybit_spot(header=True),
    "bybit spot without header": bybit_spot(header=False, rpi=True),
    "bybit spot monthly": bybit_spot(header=True, rpi=True, monthly=True),
    "bybit spot us": bybit_spot(header=True, unit=1),
}
TARDIS = {
    "tardis numbered trades": tardis_trades(
        names=("binance", "BTCUSDT", "BTCUSDT", "binance-spot"), ids=("41", "42"), found=({"trade_id": 41}, {"trade_id": 42})
    ),
    "tardis trades with UUIDs": tardis_trades(
        names=("bybit", "BTCUSDT", "BTCUSDT", "bybit"), ids=UUIDS, found=[{"text_id": uuid} for uuid in UUIDS]
    ),
    "tardis trades whose numbers have gaps": tardis_trades(
        names=("okex-swap", "BTC-USDT-SWAP", "BTC-USDT-SWAP", "okx-swap"), ids=("41", "57"), found=({"text_id": "41"}, {"text_id": "57"})
    ),
    "tardis trades without ids": tardis_trades(
        names=("kraken", "XBT-USD", "XBT/USD", "kraken"), ids=("", ""), found=({}, {}), own_symbol="XBTUSD"
    ),
    "tardis liquidations": tardis_liquidations(exchange="binance-futures", ids=("", ""), found=(None, None)),
    "tardis liquidations with ids": tardis_liquidations(exchange="bybit", ids=UUIDS, found=UUIDS),
    "tardis quotes": tardis_quotes(
        "quotes", TARDIS_QUOTES, ("3,60000.5,60000,0.125", "1.5,60001,60000.5,7.000"), ("0.125", "0.125x", "bid_amount")
    ),
    "tardis book_ticker": tardis_quotes(
        "book_ticker", TARDIS_QUOTES, ("3,60000.5,60000,0.125", "1.5,60001,60000.5,7.000"), ("60000.5", "?", "ask_price")
    ),
    "tardis book_snapshot_5": tardis_snapshot(5),
    "tardis book_snapshot_25": tardis_snapshot(25),
    "tardis derivative_ticker": tardis_ticker(),
}
VENDOR_CASES = {**BYBIT, **TARDIS}
