"""A case for each archive: what is asked for, where its files stand at the host and in the folder, and bytes that ingest reads."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.download.server import HEADER, zipped

from pointline.clock import to_us

if TYPE_CHECKING:
    from collections.abc import Callable

DAYS = ("2024-05-01", "2024-05-02", "2024-05-03")
MONTHS = ("2024-03", "2024-04", "2024-05")
OKX_ROOT = "cdn/okex/traderecords"
LINES = 40


@dataclass(frozen=True)
class HostCase:
    """Three files of one archive.

    Attributes:
        exchange, symbol, kind, archive: what is asked for.
        path: of a file at the host, by its period; `digits` is the period without dashes.
        body: bytes of a file, by its period.
        folder: what stands before the path in the user's folder, `root` what of the path does not.
        checksum: of files beside them: ``"md5"``, ``"sha256"`` or none.
        window: start and end.
        lands: exchange, symbol and dataset in the lake.
    """

    exchange: str
    symbol: str
    kind: str
    path: str
    body: Callable[[str], bytes]
    lands: tuple[str, str, str]
    archive: str | None = None
    folder: str = ""
    root: str = ""
    checksum: str = ""
    periods: tuple[str, ...] = DAYS
    window: tuple[str, str] = ("2024-05-01", "2024-05-04")

    def served(self, period: str) -> str:
        """Path of a file at the host."""
        return self.path.format(period=period, digits=period.replace("-", ""), slashes=period.replace("-", "/"))

    def key(self, period: str) -> str:
        """Path of a file in the user's folder."""
        return self.folder + self.served(period).removeprefix(self.root)


def seconds(period: str) -> int:
    return to_us(period if len(period) == len("2024-05-01") else f"{period}-01") // 1_000_000


def lines(period: str, line: Callable[[int, int], str], header: str | None = None) -> str:
    """A line for each of so many seconds, by its number (which rises from file to file) and its second."""
    first = seconds(period)
    text = [line(first % 10_000_000 + at, first + at) for at in range(LINES)]
    return "".join(f"{one}\n" for one in ([header] if header else []) + text)


def packed(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)


def okx_trades(symbol: str) -> Callable[[str], bytes]:
    header = "instrument_name,trade_id,side,price,size,created_time"
    return lambda period: zipped(
        "trades", lines(period, lambda n, s: f"{symbol},{n},buy,{60_000 + n % 7},3,{(s - 8 * 3600) * 1000}", header)
    )


def okx_funding(*symbols: str) -> Callable[[str], bytes]:
    def body(period: str) -> bytes:
        at_ms = (seconds(period) + 8 * 3600) * 1000  # 08:00 UTC, in the day of UTC+8
        return zipped(
            "funding",
            "".join(f"{one}\n" for one in ("instrument_name,funding_rate,funding_time", *(f"{name},0.0001,{at_ms}" for name in symbols))),
        )

    return body


CASES = {
    "vision": HostCase(
        "binance-futures", "BTCUSDT", "trades", "data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-{period}.zip",
        lambda period: zipped("trades", lines(period, lambda n, s: f"{n},{60_000 + n % 7},1,{60_000 + n % 7},{s * 1000},true", HEADER)),
        ("binance-futures", "BTCUSDT", "trades"), checksum="sha256",
    ),
    "bybit": HostCase(
        "bybit", "BTCUSDT", "trades", "trading/BTCUSDT/BTCUSDT{period}.csv.gz",
        lambda period: packed(lines(
            period, lambda n, s: f"{s}.0001,BTCUSDT,Buy,0.5,60000,PlusTick,00000000-0000-0000-0000-{n:012d},3e12,0.5,30000",
            "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,foreignNotional",
        )),
        ("bybit", "BTCUSDT", "trades"),
    ),
    "bybit-spot": HostCase(
        "bybit-spot", "BTCUSDT", "trades", "spot/BTCUSDT/BTCUSDT_{period}.csv.gz",
        lambda period: packed(lines(period, lambda n, s: f"{n},{s * 1000},60000,0.5,buy", "id,timestamp,price,volume,side")),
        ("bybit-spot", "BTCUSDT", "trades"),
    ),
    "bybit-spot-months": HostCase(
        "bybit-spot", "BTCUSDT", "trades", "spot/BTCUSDT/BTCUSDT-{period}.csv.gz",
        lambda period: packed(lines(period, lambda n, s: f"{n},{s * 1000},60000,0.5,buy", "id,timestamp,price,volume,side")),
        ("bybit-spot", "BTCUSDT", "trades"), periods=MONTHS, window=("2024-03-01", "2024-06-01"),
    ),
    "okx-swap": HostCase(
        "okx-swap", "BTC-USDT-SWAP", "trades", OKX_ROOT + "/trades/daily/{digits}/BTC-USDT-SWAP-trades-{period}.zip",
        okx_trades("BTC-USDT-SWAP"), ("okx-swap", "BTC-USDT-SWAP", "trades"), folder="okx", root=OKX_ROOT,
        window=("2024-04-30T16:00:00", "2024-05-03T16:00:00"),
    ),
    "okx-spot": HostCase(
        "okx-spot", "BTC-USDT", "trades", OKX_ROOT + "/trades/daily/{digits}/BTC-USDT-trades-{period}.zip",
        okx_trades("BTC-USDT"), ("okx-spot", "BTC-USDT", "trades"), folder="okx", root=OKX_ROOT,
        window=("2024-04-30T16:00:00", "2024-05-03T16:00:00"),
    ),
    "okx-futures": HostCase(
        "okx-futures", "BTC-USD-240628", "trades", OKX_ROOT + "/trades/daily/{digits}/BTC-USD-futureschain-trades-{period}.zip",
        okx_trades("BTC-USD-240628"), ("okx-futures", "BTC-USD-240628", "trades-BTC-USD"), folder="okx", root=OKX_ROOT,
        window=("2024-04-30T16:00:00", "2024-05-03T16:00:00"),
    ),
    "okx-funding": HostCase(
        "okx-swap", "BTC-USDT-SWAP", "funding", OKX_ROOT + "/swaprates/monthly/{digits}/BTC-USDT-SWAP-fundingrates-{period}.zip",
        okx_funding("BTC-USDT-SWAP"), ("okx-swap", "BTC-USDT-SWAP", "fundingrates"), folder="okx", root=OKX_ROOT, periods=MONTHS,
        window=("2024-02-29T16:00:00", "2024-05-31T16:00:00"),
    ),
    "okx-all-funding": HostCase(
        "okx-swap", "BTC-USDT-SWAP", "funding", OKX_ROOT + "/swaprates/daily/{digits}/allswap-fundingrates-{period}.zip",
        okx_funding("BTC-USDT-SWAP", "BTC-USD-SWAP", "UNKNOWN-USDT-SWAP"), ("okx-swap", "BTC-USDT-SWAP", "allswap-fundingrates"),
        folder="okx", root=OKX_ROOT,
        window=("2024-04-30T16:00:00", "2024-05-03T16:00:00"),
    ),
    "gate-spot": HostCase(
        "gate-spot", "BTC_USDT", "trades", "spot/deals/{digits}/BTC_USDT-{digits}.csv.gz",
        lambda period: packed(lines(period, lambda n, s: f"{s}.000001,{n},60000,0.5,1")),
        ("gate-spot", "BTC_USDT", "deals"), folder="gate/", periods=MONTHS, window=("2024-03-01", "2024-06-01"),
    ),
    "gate-futures": HostCase(
        "gate-futures", "BTC_USDT", "trades", "futures_usdt/trades/{digits}/BTC_USDT-{digits}.csv.gz",
        lambda period: packed(lines(period, lambda n, s: f"{s}.000001,{n},60000,-5")),
        ("gate-futures", "BTC_USDT", "trades"), folder="gate/", periods=MONTHS, window=("2024-03-01", "2024-06-01"),
    ),
    "gate-funding": HostCase(
        "gate-futures", "BTC_USDT", "funding", "futures_usdt/funding_applies/{digits}/BTC_USDT-{digits}.csv.gz",
        lambda period: packed(f"{seconds(period)}.000000,0.0001\n"),
        ("gate-futures", "BTC_USDT", "funding_applies"), folder="gate/", periods=MONTHS, window=("2024-03-01", "2024-06-01"),
    ),
    "kucoin-spot": HostCase(
        "kucoin-spot", "BTC-USDT", "trades", "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-{period}.zip",
        lambda period: zipped("trades", lines(period, lambda n, s: f"{n},{s * 1000},60000,0.5,buy", "trade_id,trade_time,price,size,side")),
        ("kucoin-spot", "BTC-USDT", "trades"), folder="kucoin/", checksum="md5",
    ),
    "kucoin-futures": HostCase(
        "kucoin-futures", "XBTUSDTM", "trades", "data/futures/daily/trades/BTCUSDTM/BTCUSDTM-trades-{period}.zip",
        lambda period: zipped("trades", lines(period, lambda n, s: f"{n},{s * 1000},60000,5,sell", "trade_id,trade_time,price,size,side")),
        ("kucoin-futures", "XBTUSDTM", "trades"), folder="kucoin/", checksum="md5",
    ),
    "tardis": HostCase(
        "okx-swap", "BTC-USDT-SWAP", "trades", "v1/okex-swap/trades/{slashes}/BTC-USDT-SWAP.csv.gz",
        lambda period: packed(lines(
            period, lambda n, s: f"okex-swap,BTC-USDT-SWAP,{s}000000,{s}000123,{n},buy,60000,3",
            "exchange,symbol,timestamp,local_timestamp,id,side,price,amount",
        )),
        ("okx-swap", "BTC-USDT-SWAP", "trades"), archive="tardis", folder="tardis/",
    ),
    "tardis-quotes": HostCase(
        "kraken", "XBT/USD", "quotes", "v1/kraken/quotes/{slashes}/XBT-USD.csv.gz",
        lambda period: packed(lines(
            period, lambda _, s: f"kraken,XBT/USD,{s}000000,{s}000123,2,60001,60000,3",
            "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount",
        )),
        ("kraken", "XBTUSD", "quotes"), archive="tardis", folder="tardis/",
    ),
}  # fmt: skip
"""The archives, by a name of their own."""
