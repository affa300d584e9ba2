"""The files of other exchanges' archives that all sources are held to their contract with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.contract.suite import Case

from pointline.sources.base import RANKS

DAY_US = 1_714_521_600_000_000  # 2024-05-01 00:00 UTC
DAY_MS = DAY_US // 1000
MOMENTS_US = (DAY_US, DAY_US + 7_000, DAY_US + 7_000)
VALUES = (("60000.5", "0.05", True), ("60000.25", "12", False), ("59999.1", "9.612e-05", True))


def trades(
    ids: tuple[int | str, ...] = (41, 42, 43), *, late_us: int = 0, sided: bool = True, sizes: tuple[str, ...] = ()
) -> tuple[dict[str, Any], ...]:
    """The rows of `VALUES`; ids that are text go into ``text_id``."""
    rows = []
    for at, (us, (price, qty, seller_was_taker)) in enumerate(zip(MOMENTS_US, VALUES, strict=True)):
        number = ids[at] if ids else None
        text = isinstance(number, str)
        rows.append(
            {
                "ts_local_us": us + late_us,
                "ts_event_us": us,
                "trade_id": None if text else number,
                "text_id": number if text else None,
                "price": float(price),
                "qty": float(sizes[at] if sizes else qty),
                "side": seller_was_taker if sided else None,
            }
        )
    return tuple(rows)


def okx_trades(symbol: str, exchange: str, *, period: str = "2024-05-01", source: bool = False) -> Case:
    """Older files write the side in small letters, newer ones have the column source."""
    sides = {True: "SELL", False: "BUY"} if source else {True: "sell", False: "buy"}
    lines = tuple(
        f"{symbol},{41 + at},{sides[sold]},{price},{size},{us // 1000}" + (",0" if source else "")
        for at, (us, (price, size, sold)) in enumerate(zip(MOMENTS_US, VALUES, strict=True))
    )
    return Case(
        source="okx",
        place=f"okx/{symbol}-trades-{period}",
        lines=lines,
        bad=(lines[0].replace("60000.5", "6o000.5"), "price", "6o000.5"),
        kind="trades",
        exchange=exchange,
        symbol=symbol,
        period=period,
        header="instrument_name,trade_id,side,price,size,created_time" + (",source" if source else ""),
        rank=RANKS["daily" if len(period) == len("2024-05-01") else "monthly"],
        expected=trades(),
        csv=True,
    )


def funding(source: str, place: str, exchange: str, symbol: str, period: str, **more: Any) -> Case:  # noqa: ANN401
    """Two payments, the second one 8 hours later; ``lines`` and ``bad`` come from the caller."""
    rates = (0.0001, -6e-07)
    return Case(
        source=source,
        place=place,
        kind="funding",
        exchange=exchange,
        symbol=symbol,
        period=period,
        csv=True,
        expected=tuple(
            {"ts_local_us": us, "ts_event_us": us, "funding_us": us, "funding_rate": rate, "interval_hours": None, "mark_price": None}
            for us, rate in zip((DAY_US, DAY_US + 8 * 3_600_000_000), rates, strict=True)
        ),
        **more,
    )


def okx_funding() -> Case:
    symbol = "BTC-USDT-SWAP"
    lines = (f"{symbol},0.0001,{DAY_MS}", f"{symbol},-6.0E-7,{DAY_MS + 8 * 3_600_000}")
    return funding(
        "okx",
        f"{symbol}-fundingrates-2024-05",
        "okx-swap",
        symbol,
        "2024-05",
        lines=lines,
        bad=(lines[0].replace("0.0001", "none"), "funding_rate", "none"),
        header="instrument_name,funding_rate,funding_time",
        rank=RANKS["monthly"],
    )


def gate_funding() -> Case:
    lines = (f"{DAY_MS // 1000},0.0001000", f"{DAY_MS // 1000 + 28_800},-0.0000006")
    return funding(
        "gate",
        "futures_usdt/funding_applies/202405/BTC_USDT-202405",
        "gate-futures",
        "BTC_USDT",
        "2024-05",
        lines=lines,
        bad=(lines[0].replace("0.0001000", "none"), "rate", "none"),
        rank=RANKS["monthly"],
        numeric_time=False,
    )


def kraken_trades() -> Case:
    """Stamps are cut to seconds, so all three trades bear the same one, and are known when their second is over."""
    sizes = ("0.05000000", "12.00000000", "0.00009612")
    lines = tuple(f"{DAY_US // 1_000_000},{price},{size}" for (price, _, _), size in zip(VALUES, sizes, strict=True))
    return Case(
        source="kraken",
        place="Kraken_Trading_History/XBTUSD",
        lines=lines,
        bad=(lines[0].replace("60000.5", "6o000.5"), "price", "6o000.5"),
        kind="trades",
        exchange="kraken",
        symbol="XBTUSD",
        period="",
        rank=RANKS["monthly"],
        expected=tuple({**row, "ts_event_us": DAY_US, "ts_local_us": DAY_US + 999_999} for row in trades((), sided=False)),
        csv=True,
        numeric_time=False,
    )


def gate_trades(market: str) -> Case:
    """Seconds with six decimals; spot has a column of sides, futures sell below zero."""
    spot = market == "spot"
    sizes = tuple(size for _, size, _ in VALUES) if spot else ("50", "120", "77")
    lines = tuple(
        f"{us // 1_000_000}.{us % 1_000_000:06d},{41 + at},{price},"
        + (f"{size},{2 if sold else 1}" if spot else f"{'-' if sold else ''}{size}")
        for at, (us, (price, _, sold), size) in enumerate(zip(MOMENTS_US, VALUES, sizes, strict=True))
    )
    return Case(
        source="gate",
        place=f"{market}/{'deals' if spot else 'trades'}/202405/BTC_USDT-202405",
        lines=lines,
        bad=(lines[0].replace("60000.5", "6o000.5"), "price", "6o000.5"),
        kind="trades",
        exchange="gate-spot" if spot else "gate-futures",
        symbol="BTC_USDT",
        period="2024-05",
        rank=RANKS["monthly"],
        expected=trades(("41", "42", "43"), sizes=sizes),
        csv=True,
        numeric_time=False,
    )


def kucoin_trades(market: str) -> Case:
    symbol = "BTCUSDT" if market == "spot" else "BTCUSDTM"
    ids = (1_781_779_581_100_170, 41, 100_000_000_000_000_043)
    lines = tuple(
        f"{number},{us // 1000},{price},{size},{'SELL' if sold else 'buy'}"
        for number, us, (price, size, sold) in zip(ids, MOMENTS_US, VALUES, strict=True)
    )
    return Case(
        source="kucoin",
        place=f"data/{market}/daily/trades/{symbol}/{symbol}-trades-2024-05-01",
        lines=lines,
        bad=(lines[0].replace("60000.5", "6o000.5"), "price", "6o000.5"),
        kind="trades",
        exchange=f"kucoin-{market}",
        symbol="BTC-USDT" if market == "spot" else "XBTUSDTM",
        period="2024-05-01",
        header="trade_id,trade_time,price,size,side",
        expected=trades(tuple(map(str, ids))),
        csv=True,
    )


def records(source: str, place: str, symbol: str, lines: tuple[str, ...], bad: tuple[str, str, str], **more: Any) -> Case:  # noqa: ANN401
    old, new, column = bad
    return Case(
        source=source,
        place=place,
        lines=lines,
        bad=(lines[0].replace(old, new), column, new.rpartition(":")[2].strip('"')),
        kind="trades",
        exchange=source,
        symbol=symbol,
        packings=(".jsonl.gz", ".json", ".jsonl"),
        by_content=True,
        **more,
    )


def coinbase_trades() -> Case:
    """The maker's side."""
    stamps = ("2024-05-01T00:00:00Z", "2024-05-01T00:00:00.007Z", "2024-05-01T00:00:00.007000Z")
    lines = tuple(
        f'{{"time":"{stamp}","trade_id":{41 + at},"price":"{price}","size":"{size}","side":"{"buy" if sold else "sell"}"}}'
        for at, (stamp, (price, size, sold)) in enumerate(zip(stamps, VALUES, strict=True))
    )
    place = "coinbase-BTC-USD-trades-2024-05-01"
    return records("coinbase", place, "BTC-USD", lines, ('"60000.5"', '"6o"', "price"), period="2024-05-01", expected=trades())


def deribit_trades() -> Case:
    lines = tuple(
        f'{{"trade_seq":{41 + at},"trade_id":"{900 + at}","timestamp":{us // 1000},"tick_direction":1,"price":{price},"mark_price":60001.5,'
        f'"instrument_name":"BTC-PERPETUAL","index_price":60002,"direction":"{"sell" if sold else "buy"}","amount":{size}}}'
        for at, (us, (price, size, sold)) in enumerate(zip(MOMENTS_US, VALUES, strict=True))
    )
    expected = tuple({**row, "off_book": None} for row in trades())
    return records("deribit", "history", "BTC-PERPETUAL", lines, ('"price":60000.5', '"price":-1', "price"), period="", expected=expected)


def hyperliquid_trades() -> Case:
    lines = tuple(
        f'{{"coin":"BTC","side":"{"A" if sold else "B"}","px":"{price}","sz":"{size}","time":{us // 1000},"hash":"0x1","tid":{41 + at}}}'
        for at, (us, (price, size, sold)) in enumerate(zip(MOMENTS_US, VALUES, strict=True))
    )
    expected = trades(("41", "42", "43"))
    return records("hyperliquid", "tape", "BTC", lines, ('"60000.5"', '"6o"', "px"), period="", expected=expected)


FUNDING_RECORDS = {
    "bybit": (
        "BTCUSDT",
        '{{"fundingRate":"{rate}","fundingRateTimestamp":"{ms}","symbol":"BTCUSDT"}}',
        "fundingRate",
    ),
    "deribit": (
        "BTC-PERPETUAL",
        '{{"index_price":60000.5,"interest_1h":{rate},"interest_8h":0.5,"prev_index_price":60001,"timestamp":{ms}}}',
        "interest_1h",
    ),
    "gate-futures": ("BTC_USDT", '{{"r":"{rate}","t":{s}}}', "r"),
    "hyperliquid": ("BTC", '{{"coin":"BTC","fundingRate":"{rate}","premium":"0.5","time":{ms}}}', "fundingRate"),
    "kraken-futures": (
        "PF_XBTUSD",
        '{{"fundingRate":1.25,"relativeFundingRate":{rate},"timestamp":"{text}"}}',
        "relativeFundingRate",
    ),
    "kucoin-futures": ("XBTUSDTM", '{{"fundingRate":{rate},"symbol":"XBTUSDTM","timepoint":{ms}}}', "fundingRate"),
}
"""Symbol, the form of a record and its field with the rate, by exchange."""


def rest_funding(exchange: str) -> Case:
    symbol, record, column = FUNDING_RECORDS[exchange]
    times = ((DAY_MS, "2024-05-01T00:00:00Z"), (DAY_MS + 8 * 3_600_000, "2024-05-01T08:00:00.000Z"))
    lines = tuple(
        record.format(rate=rate, ms=ms, s=ms // 1000, text=text) for rate, (ms, text) in zip(("0.0001", "-6.0E-7"), times, strict=True)
    )
    bad = lines[0].replace("0.0001", "17")
    case = funding(
        "rest_funding",
        f"{exchange}/fundingHistory/{symbol}/{exchange}-{symbol}-funding-2024-05",
        exchange,
        symbol,
        "2024-05",
        lines=lines,
        bad=(bad, column, "17"),
        rank=RANKS["monthly"],
        packings=(".jsonl.gz", ".json", ".jsonl"),
        by_content=True,
    )
    hours = 1.0 if exchange == "deribit" else None
    return replace(case, csv=False, expected=tuple({**row, "interval_hours": hours} for row in case.expected))


EXCHANGE_CASES = {
    "okx spot trades": okx_trades("BTC-USDT", "okx-spot"),
    "okx swap trades, column source": okx_trades("BTC-USDT-SWAP", "okx-swap", source=True),
    "okx swap trades, month": okx_trades("BTC-USDT-SWAP", "okx-swap", period="2024-05"),
    "okx future trades": okx_trades("BTC-USD-240628", "okx-futures"),
    "okx funding": okx_funding(),
    "kraken trades": kraken_trades(),
    "gate spot trades": gate_trades("spot"),
    "gate futures trades": gate_trades("futures_usdt"),
    "gate funding": gate_funding(),
    "kucoin spot trades": kucoin_trades("spot"),
    "kucoin futures trades": kucoin_trades("futures"),
    "coinbase trades": coinbase_trades(),
    "deribit trades": deribit_trades(),
    "hyperliquid trades": hyperliquid_trades(),
    **{f"{exchange} funding by REST": rest_funding(exchange) for exchange in FUNDING_RECORDS},
}
