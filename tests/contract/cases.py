"""The files that all sources are held to their contract with, by archive."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from tests.contract.exchange_cases import EXCHANGE_CASES
from tests.contract.suite import Case
from tests.contract.vendor_cases import VENDOR_CASES

from pointline.sources.base import INSTRUMENTS, RANKS

DAY_US = 1_714_521_600_000_000  # 2024-05-01 00:00 UTC
DAY_MS = DAY_US // 1000
MICROSECOND_DAY_US = 1_735_689_600_000_000  # 2025-01-01: the spot archive counts microseconds from here on


def same(us: int) -> dict[str, int]:
    """Both clocks of a row without receipt time."""
    return {"ts_local_us": us, "ts_event_us": us}


def known(us: int, late_us: int) -> dict[str, int]:
    """Both clocks of a row that the exchange sent some time after it happened."""
    return {"ts_local_us": us + late_us, "ts_event_us": us}


def vision(market: str, dataset: str, symbol: str, *, span: str = "daily", interval: str | None = None, period: str = "2024-05-01") -> str:
    folder = f"data/{market}/{span}/{dataset}/{symbol}"
    return f"{folder}/{interval}/{symbol}-{interval}-{period}" if interval else f"{folder}/{symbol}-{dataset}-{period}"


EXCHANGES = {"spot": "binance-spot", "futures/um": "binance-futures", "futures/cm": "binance-delivery"}
SYMBOLS = {"spot": "BTCUSDT", "futures/um": "BTCUSDT", "futures/cm": "BTCUSD_PERP"}
HEADERS = {
    ("trades", "futures/um"): "id,price,qty,quote_qty,time,is_buyer_maker",
    ("trades", "futures/cm"): "id,price,qty,base_qty,time,is_buyer_maker",
    ("aggTrades", "futures/um"): "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
    ("aggTrades", "futures/cm"): "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker",
}
KLINES_HEADER = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"


def result(price: str, qty: str, *, inverse: bool) -> str:
    """The column after price and quantity: quote quantity, or of an inverse contract the base quantity of 100 dollars each."""
    amount = Decimal(qty) * 100 / Decimal(price) if inverse else Decimal(price) * Decimal(qty)
    return f"{amount:.8f},"


def vision_trades(market: str, dataset: str, *, header: bool, unit: int = 1000, day_us: int = DAY_US, span: str = "daily") -> Case:
    """Trades or aggregated trades; `unit` is how many microseconds the file counts by."""
    spot = market == "spot"
    symbol = SYMBOLS[market]
    true, false = ("True", "False") if spot else ("true", "false")
    tail = ",True" if spot else ""
    middle = "{n}60,{n}63," if dataset == "aggTrades" else ""
    moments = (day_us, day_us + 7_000, day_us + 7_000)
    values = (("60000.5", "0.05", true), ("60000.25", "12", false), ("59999.10", "0.00100000", true))
    lines = tuple(
        f"{n},{price},{qty},{middle.format(n=n) or result(price, qty, inverse=market == 'futures/cm')}{at // unit},{maker}{tail}"
        for n, (at, (price, qty, maker)) in enumerate(zip(moments, values, strict=True), start=41)
    )
    period = ("2024-05-01" if day_us == DAY_US else "2025-01-01")[: 10 if span == "daily" else 7]
    return Case(
        source="binance_vision",
        csv=True,
        place=vision(market, dataset, symbol, period=period, span=span),
        lines=lines,
        bad=(lines[0].replace("60000.5", "6o000.5"), "price", "6o000.5"),
        kind="trades",
        exchange=EXCHANGES[market],
        symbol=symbol,
        period=period,
        header=HEADERS[dataset, market] if header else None,
        rank=RANKS[span],
        expected=tuple(
            {**same(at), "trade_id": n, "price": float(price), "qty": float(qty), "side": maker == true}
            | ({"first_trade_id": int(f"{n}60"), "last_trade_id": int(f"{n}63")} if dataset == "aggTrades" else {})
            for n, (at, (price, qty, maker)) in enumerate(zip(moments, values, strict=True), start=41)
        ),
    )


def vision_klines(market: str, dataset: str, *, header: bool, unit: int = 1000, day_us: int = DAY_US) -> Case:
    spot, inverse = market == "spot", market == "futures/cm"
    symbol = "BTCUSD" if inverse and dataset == "indexPriceKlines" else SYMBOLS[market]
    kind = {"klines": "", "markPriceKlines": "mark_", "indexPriceKlines": "index_", "premiumIndexKlines": "premium_"}[dataset]
    prices = ("-0.00012", "0.00034", "-0.0005", "0.00001") if kind == "premium_" else ("60000.10", "60010", "59990.5", "60005.25")
    starts = (day_us, day_us + 60_000_000)
    volumes = ("12.5", "750000.125", "7", "6.25", "375000.0625") if dataset == "klines" else ("0", "0", "60", "0", "0")
    volume, quote, count, bought, bought_quote = volumes
    lines = tuple(
        f"{at // unit},{','.join(prices)},{volume},{(at + 60_000_000) // unit - 1},{quote},{count},{bought},{bought_quote},0"
        for at in starts
    )
    values: dict[str, Any] = {name: Decimal(text) for name, text in zip(("open", "high", "low", "close"), prices, strict=True)}
    values |= dict.fromkeys(("volume", "quote_volume", "base_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume"))
    if dataset == "klines":
        values |= {"volume": Decimal(volume), "trade_count": 7, "taker_buy_volume": Decimal(bought)}
        values |= (
            {"base_volume": Decimal(quote)}
            if inverse
            else {"quote_volume": Decimal(quote), "taker_buy_quote_volume": Decimal(bought_quote)}
        )
    period = "2024-05-01" if day_us == DAY_US else "2025-01-01"
    return Case(
        source="binance_vision",
        csv=True,
        place=vision(market, dataset, symbol, interval="1m", period=period),
        lines=lines,
        bad=(lines[0].replace(prices[2], "?"), "low", "?"),
        kind=f"{kind}candles_1m",
        exchange="binance-spot" if spot else EXCHANGES[market],
        symbol=symbol,
        period=period,
        header=KLINES_HEADER if header else None,
        expected=tuple({**same(at + 60_000_000), "start_us": at, **values} for at in starts),
    )


def vision_funding(market: str) -> Case:
    return Case(
        source="binance_vision",
        csv=True,
        place=vision(market, "fundingRate", SYMBOLS[market], span="monthly", period="2024-05"),
        lines=(f"{DAY_MS + 4},8,0.00010000", f"{DAY_MS + 4 * 3_600_000},4,-0.00002760"),
        bad=(f"{DAY_MS + 1},8,none", "last_funding_rate", "none"),
        kind="funding",
        exchange=EXCHANGES[market],
        symbol=SYMBOLS[market],
        period="2024-05",
        header="calc_time,funding_interval_hours,last_funding_rate",
        rank=RANKS["monthly"],
        expected=(
            {**same(DAY_US + 4_000), "funding_us": DAY_US, "funding_rate": 0.0001, "interval_hours": 8.0, "mark_price": None},
            {
                **same(DAY_US + 4 * 3_600_000_000),
                "funding_us": DAY_US + 4 * 3_600_000_000,
                "funding_rate": -0.0000276,
                "interval_hours": 4.0,
                "mark_price": None,
            },
        ),
    )


def vision_metrics(market: str) -> Case:
    symbol = SYMBOLS[market]
    columns = (
        "open_interest",
        "open_interest_value",
        "top_trader_account_ratio",
        "top_trader_position_ratio",
        "account_ratio",
        "taker_volume_ratio",
    )
    texts = (("80000.5", "4.8e9", "1.5", "1.25", "1.75", "0.9"), ("80001", "4800000001", "1.5", "1.25", "1.75", "1.1"))
    stamps = ("2024-05-01 00:05:00", "2024-05-01 00:10:00")
    lines = tuple(f"{stamp},{symbol},{','.join(text)}" for stamp, text in zip(stamps, texts, strict=True))
    return Case(
        source="binance_vision",
        csv=True,
        place=vision(market, "metrics", symbol),
        numeric_time=False,
        lines=lines,
        bad=(lines[0].replace("80000.5", "many"), "sum_open_interest", "many"),
        kind="open_interest",
        exchange=EXCHANGES[market],
        symbol=symbol,
        period="2024-05-01",
        header=(
            "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
            "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio"
        ),
        expected=tuple(
            {**same(DAY_US + minute * 60_000_000), **dict(zip(columns, map(float, text), strict=True))}
            for minute, text in zip((5, 10), texts, strict=True)
        ),
    )


def vision_quotes(market: str) -> Case:
    lines = (f"5,60000,1.5,60000.1,0.125,{DAY_MS},{DAY_MS + 3}", f"6,60000.05,2,60000.1,7,{DAY_MS + 1},{DAY_MS + 5}")
    names = ("update_id", "bid_price", "bid_qty", "ask_price", "ask_qty")
    return Case(
        source="binance_vision",
        csv=True,
        place=vision(market, "bookTicker", SYMBOLS[market]),
        lines=lines,
        bad=(lines[0].replace("0.125", "0.125x"), "best_ask_qty", "0.125x"),
        kind="quotes",
        exchange=EXCHANGES[market],
        symbol=SYMBOLS[market],
        period="2024-05-01",
        header="update_id,best_bid_price,best_bid_qty,best_ask_price,best_ask_qty,transaction_time,event_time",
        expected=(
            {**known(DAY_US, 3_000), **dict(zip(names, (5, 60000.0, 1.5, 60000.1, 0.125), strict=True))},
            {**known(DAY_US + 1000, 4_000), **dict(zip(names, (6, 60000.05, 2.0, 60000.1, 7.0), strict=True))},
        ),
    )


def recording(
    market: str,
    symbol: str,
    kind: str,
    messages: tuple[str, str],
    expected: tuple[dict[str, Any], ...],
    bad: tuple[str, str, str],
    *,
    rank: int = 0,
    digits: int = 16,
) -> Case:
    """Two messages received 50 ms and 60 ms after midnight; `bad` is what to replace by what, and the column."""
    tail = "0" * (digits - 16)
    lines = tuple(f"{DAY_US + late}{tail} {message}" for late, message in zip((50_001, 60_002), messages, strict=True))
    old, new, column = bad
    return Case(
        source="recorded",
        place=f"binance_{market}_{symbol.lower()}",
        lines=lines,
        bad=(lines[0].replace(old, new), column, new.strip('"').split('"')[-1]),
        kind=kind,
        exchange={"spot": "binance-spot", "usdm": "binance-futures", "coinm": "binance-delivery"}[market],
        symbol=symbol,
        period="",
        expected=tuple({"ts_local_us": DAY_US + late, **row} for late, row in zip((50_001, 60_002), expected, strict=True)),
        rank=RANKS["recorded"] + rank,
        clock="recorded",
        packings=(".dat.gz", ".dat"),
        by_content=True,
    )


def recorded_trade(market: str, symbol: str, *, digits: int = 16) -> Case:
    tail = '"M":true' if market == "spot" else '"X":"MARKET"'
    message = '{"e":"trade","E":%d,"T":%d,"s":"%s","t":%d,"p":"%s","q":"0.5","m":%s,%s}'
    values = ((DAY_MS + 40, 7, "60000.5", "true"), (DAY_MS + 41, 8, "60000.25", "false"))
    messages = tuple(message % (t, t, symbol, n, p, m, tail) for t, n, p, m in values)
    off_book = None if market == "spot" else False  # X says it; spot has none
    expected = tuple(
        {"ts_event_us": t * 1000, "trade_id": n, "price": float(p), "qty": 0.5, "side": m == "true", "off_book": off_book}
        for t, n, p, m in values
    )
    return recording(market, symbol, "trades", messages, expected, ('"60000.5"', '"6o"', "price"), digits=digits)  # type: ignore[arg-type]


def recorded_agg_trade() -> Case:
    message = '{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":%d,"s":"BTCUSDT","a":%d,"p":"%s","q":"3","f":1,"l":4,"T":%d,"m":%s}}'
    values = ((DAY_MS + 40, 7, "60000.5", "true"), (DAY_MS + 41, 8, "60000.25", "false"))
    messages = tuple(message % (t, n, p, t, m) for t, n, p, m in values)
    ids = {"first_trade_id": 1, "last_trade_id": 4}
    expected = tuple(
        {"ts_event_us": t * 1000, "trade_id": n, **ids, "price": float(p), "qty": 3.0, "side": m == "true"} for t, n, p, m in values
    )
    bad = ('"60000.5"', '"6o"', "price")
    return recording("usdm", "BTCUSDT", "trades", messages, expected, bad)  # type: ignore[arg-type]


def recorded_quote(market: str) -> Case:
    times = {"spot": "", "usdm": f',"T":{DAY_MS + 40},"E":{DAY_MS + 41}'}[market]
    event = "" if market == "spot" else '"e":"bookTicker",'
    message = '{%s"u":%d,"s":"BTCUSDT","b":"60000","B":"1.5","a":"60000.5","A":"0.125"%s}'
    names = {"bid_price": 60000.0, "bid_qty": 1.5, "ask_price": 60000.5, "ask_qty": 0.125}
    stamps = (DAY_US + 50_001, DAY_US + 60_002) if market == "spot" else (DAY_US + 40_000,) * 2
    return recording(
        market,
        "BTCUSDT",
        "quotes",
        (message % (event, 5, times), message % (event, 6, times)),
        tuple({"ts_event_us": at, "update_id": n, **names} for n, at in zip((5, 6), stamps, strict=True)),
        ('"60000"', '"low"', "bid_price"),
    )


def recorded_mark() -> Case:
    data = '{"e":"markPriceUpdate","E":%d,"s":"BTCUSDT","p":"60000.5","i":"60001","r":"0.0001","T":%d}'
    message = f'{{"stream":"btcusdt@markPrice@1s","data":{data}}}'
    settlement = DAY_MS + 8 * 3_600_000
    values = {"mark_price": 60000.5, "index_price": 60001.0, "last_price": None, "funding_rate": 0.0001}
    values |= {"next_funding_us": settlement * 1000, "predicted_funding_rate": None, "open_interest": None}
    return recording(
        "usdm",
        "BTCUSDT",
        "derivative_ticker",
        (message % (DAY_MS, settlement), message % (DAY_MS + 10, settlement)),
        ({"ts_event_us": DAY_US, **values}, {"ts_event_us": DAY_US + 10_000, **values}),
        ('"60000.5"', '"?"', "mark_price"),
    )


def mapped(
    kind: str, columns: str, header: str, lines: tuple[str, ...], expected: tuple[dict[str, Any], ...], bad: tuple[str, str, str]
) -> Case:
    return Case(
        source="table",
        place="export",
        lines=lines,
        bad=(lines[0].replace(bad[0], bad[1]), bad[2], bad[1]),
        kind=kind,
        exchange="bybit",
        symbol="BTCUSDT",
        period="",
        header=header,
        expected=expected,
        rank=RANKS["table"],
        mapping=f'kind = "{kind}"\nexchange = "bybit"\nsymbol = "BTCUSDT"\n[columns]\n{columns}',
    )


def mapped_trades() -> Case:
    columns = (
        'ts_event_us = {column = "time", unit = "s"}\ntrade_id = "id"\nprice = "price"\nqty = "size"\n'
        'side = {column = "side", seller_taker = ["Sell"]}\n'
    )
    return mapped(
        "trades",
        columns,
        "time,side,size,price,id",
        (f"{DAY_MS // 1000}.25,Sell,0.5,60000.5,41", f"{DAY_MS // 1000}.250001,Buy,12,60000.25,42"),
        (
            {**same(DAY_US + 250_000), "trade_id": 41, "price": 60000.5, "qty": 0.5, "side": True},
            {**same(DAY_US + 250_001), "trade_id": 42, "price": 60000.25, "qty": 12.0, "side": False},
        ),
        ("60000.5", "6o", "price"),
    )


def mapped_candles() -> Case:
    columns = 'start_us = {column = "t", unit = "ms"}\nopen = "o"\nhigh = "h"\nlow = "l"\nclose = "c"\nvolume = "v"\n'
    nothing = dict.fromkeys(("quote_volume", "base_volume", "trade_count", "taker_buy_volume", "taker_buy_quote_volume"))
    prices = {"open": Decimal("1.25"), "high": Decimal(3), "low": Decimal("0.5"), "close": Decimal("0.123456789012") * 10}
    return mapped(
        "candles_1h",
        columns,
        "t,o,h,l,c,v",
        tuple(f"{DAY_MS + hour * 3_600_000},1.25,3,0.5,1.23456789012,7.5" for hour in range(2)),
        tuple(
            {
                **same(DAY_US + (hour + 1) * 3_600_000_000),
                "start_us": DAY_US + hour * 3_600_000_000,
                **prices,
                "volume": Decimal("7.5"),
                **nothing,
            }
            for hour in range(2)
        ),
        ("0.5", "x", "low"),
    )


def mapped_funding() -> Case:
    columns = (
        'ts_event_us = {column = "when", unit = "text"}\nfunding_rate = {column = "rate", percent = true}\n'
        'interval_hours = {column = "every", suffix = "h"}\n'
    )
    return mapped(
        "funding",
        columns,
        "when,every,rate",
        ("2024-05-01 00:00:00.004,8h,0.010000%", "2024-05-01 08:00:00,8h,-0.00276%"),
        tuple(
            {**same(at), "funding_us": at // 60_000_000 * 60_000_000, "funding_rate": rate, "interval_hours": 8.0, "mark_price": None}
            for at, rate in ((DAY_US + 4_000, 0.0001), (DAY_US + 8 * 3_600_000_000, -0.0000276))
        ),
        ("0.010000%", "?", "funding_rate"),
    )


def instrument_list() -> Case:
    """USD-M's answer, a line for each symbol: a perpetual, and a future that is delivered on 2024-06-28 at 08:00."""
    listed_ms, never_ms, delivery_ms = 1_569_398_400_000, 4_133_404_800_000, 1_719_561_600_000
    filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.10"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]
    common = {"onboardDate": listed_ms, "baseAsset": "BTC", "quoteAsset": "USDT", "marginAsset": "USDT", "filters": filters}
    entries = (
        {"symbol": "BTCUSDT", "contractType": "PERPETUAL", "deliveryDate": never_ms, "status": "TRADING", **common},
        {"symbol": "BTCUSDT_240628", "contractType": "CURRENT_QUARTER", "deliveryDate": delivery_ms, "status": "TRADING", **common},
    )
    values = {"base_asset": "BTC", "quote_asset": "USDT", "settle_asset": "USDT", "contract_type": "linear", "contract_size": 1.0}
    values |= {"price_increment": 0.1, "qty_increment": 0.001, "listed_us": listed_ms * 1000, "source": "exchange_info"}
    own = (("BTCUSDT", "perpetual", None), ("BTCUSDT_240628", "future", delivery_ms * 1000))
    lines = (f"{json.dumps(entries[0])},", f"{json.dumps(entries[1])}]}}")
    return Case(
        source="exchange_info",
        place="usdm",
        lines=lines,
        bad=(lines[0].replace("PERPETUAL", "LUNAR"), None, "LUNAR"),
        kind=INSTRUMENTS,
        exchange="binance-futures",
        symbol="*",
        period="",
        header=f'{{"timezone":"UTC","serverTime":{DAY_MS},"futuresType":"U_MARGINED","rateLimits":[],"symbols":[',
        expected=tuple(
            {
                "observed_us": DAY_US,
                "exchange": "binance-futures",
                "exchange_symbol": symbol,
                "asset_type": kind,
                "expiry_us": expiry,
                **values,
            }
            for symbol, kind, expiry in own
        ),
        packings=(".json.gz", ".json"),
        by_content=True,
    )


CASES = {
    "spot trades ms": vision_trades("spot", "trades", header=False),
    "spot trades us": vision_trades("spot", "trades", header=False, unit=1, day_us=MICROSECOND_DAY_US),
    "spot trades monthly": vision_trades("spot", "trades", header=False, span="monthly"),
    "um trades without header": vision_trades("futures/um", "trades", header=False),
    "um trades with header": vision_trades("futures/um", "trades", header=True),
    "um trades us": vision_trades("futures/um", "trades", header=True, unit=1),
    "cm trades without header": vision_trades("futures/cm", "trades", header=False),
    "cm trades with header": vision_trades("futures/cm", "trades", header=True),
    "spot aggTrades ms": vision_trades("spot", "aggTrades", header=False),
    "spot aggTrades us": vision_trades("spot", "aggTrades", header=False, unit=1, day_us=MICROSECOND_DAY_US),
    "um aggTrades without header": vision_trades("futures/um", "aggTrades", header=False),
    "um aggTrades with header": vision_trades("futures/um", "aggTrades", header=True),
    "um aggTrades monthly": vision_trades("futures/um", "aggTrades", header=True, span="monthly"),
    "cm aggTrades with header": vision_trades("futures/cm", "aggTrades", header=True),
    "spot klines ms": vision_klines("spot", "klines", header=False),
    "spot klines us": vision_klines("spot", "klines", header=False, unit=1, day_us=MICROSECOND_DAY_US),
    **{
        f"{market} {dataset} {'with' if header else 'without'} header": vision_klines(f"futures/{market}", dataset, header=header)
        for market in ("um", "cm")
        for dataset in ("klines", "markPriceKlines", "indexPriceKlines", "premiumIndexKlines")
        for header in (True, False)
    },
    "um fundingRate": vision_funding("futures/um"),
    "cm fundingRate": vision_funding("futures/cm"),
    "um metrics": vision_metrics("futures/um"),
    "cm metrics": vision_metrics("futures/cm"),
    "um bookTicker": vision_quotes("futures/um"),
    "cm bookTicker": vision_quotes("futures/cm"),
    "recorded spot trade": recorded_trade("spot", "BTCUSDT"),
    "recorded um trade": recorded_trade("usdm", "BTCUSDT"),
    "recorded um trade, nanoseconds": recorded_trade("usdm", "BTCUSDT", digits=19),
    "recorded cm trade": recorded_trade("coinm", "BTCUSD_PERP"),
    "recorded um aggTrade": recorded_agg_trade(),
    "recorded spot bookTicker": recorded_quote("spot"),
    "recorded um bookTicker": recorded_quote("usdm"),
    "recorded um markPrice": recorded_mark(),
    "exchange information": instrument_list(),
    "table trades": mapped_trades(),
    "table candles": mapped_candles(),
    "table funding": mapped_funding(),
    **VENDOR_CASES,
    **EXCHANGE_CASES,
}
