"""KuCoin archives: days of trades of spot and futures, ``data/futures/daily/trades/BTCUSDTM/BTCUSDTM-trades-2024-05-01.zip``.

Spot files have the path of Binance Vision's; their header tells them apart. The archive's names are not always the exchange's: the pair
BTC-USDT is BTCUSDT there, and the contract XBTUSDTM is BTCUSDTM. The size of futures is a number of contracts. Ids neither rise with time
nor without gaps, so they are kept as text, which names a trade and says nothing of missing ones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import SourceError
from pointline.sources.base import Identity
from pointline.sources.checks import Check
from pointline.sources.csv_blocks import CsvLayout
from pointline.sources.exchange_csv import SUFFIX, CsvDataset, dataset_batches, first_line, one_of
from pointline.sources.hints import PERIOD, agreed, period_of, stated_period

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.sources.base import Batch, Hints

HEADER = "trade_id,trade_time,price,size,side"
OWN_SYMBOLS = {"BTCUSDTM": "XBTUSDTM", "BTCUSDM": "XBTUSDM", "BTCUSDCM": "XBTUSDCM"}
"""Contracts that the archive calls otherwise than the exchange does."""

_BEGINNING = "trade_id,trade_time,"
_NAME = re.compile(rf"(?P<symbol>[A-Z0-9]+)-trades-(?P<period>{PERIOD}){SUFFIX}")
_FOLDER = re.compile(r"(?:^|/)(?P<market>spot|futures)/daily/trades/(?P<symbol>[^/]+)$")
_SPOT_QUOTES = ("USDT", "USDC", "BTC", "ETH", "KCS", "EUR", "TRX", "BRL", "USD1", "DAI")
_EXCHANGES = {"spot": "kucoin-spot", "futures": "kucoin-futures"}
_DATASET = CsvDataset(
    kind="trades",
    layout=CsvLayout(
        layouts=(tuple(HEADER.split(",")),),
        types={"trade_id": pl.Int64(), "trade_time": pl.Int64(), "price": pl.Float64(), "size": pl.Float64(), "side": pl.String()},
        time="trade_time",
        positive=("price", "size"),
        exact=("price", "size"),
        checks=lambda _: (Check.never("trade_id", "must not be below zero", pl.col("trade_id") < 0), one_of("side", "buy", "sell")),
    ),
    convert=lambda frame: frame.select(
        "ts_event_us",
        "price",
        "source_row",
        text_id=pl.col("trade_id").cast(pl.String),
        qty=pl.col("size"),
        side=pl.col("side").str.to_lowercase() == "sell",
    ),
)


class Kucoin:
    """Parser of KuCoin's files."""

    name = "kucoin"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity that name, header and folders say, completed by the hints.

        Raises:
            SourceError: a flag contradicts the path, the folder contradicts the name, or neither folders nor hints say the exchange.
        """
        found = _NAME.fullmatch(path.name)
        if found is None or (period := period_of(found["period"])) is None:
            return None
        line = first_line(path)
        if line and not line.lower().startswith(_BEGINNING):
            return None
        folder = _FOLDER.search(path.parent.as_posix())
        if folder is not None and folder["symbol"] != found["symbol"]:
            raise SourceError(
                "name and folder of the file contradict each other; nothing of it was stored",
                where=str(path),
                value=path.name,
                expected=f"symbol {folder['symbol']}, not {found['symbol']}",
                hint="download it again, or move it to where it belongs under its own name",
            )
        exchange = agreed(path, "--exchange", hints.exchange, None if folder is None else _EXCHANGES[folder["market"]])
        if exchange is None or exchange not in _EXCHANGES.values():
            raise SourceError(
                "nothing says whether this file of KuCoin is of spot or of futures",
                where=str(path),
                value=exchange,
                expected="…/{spot|futures}/daily/trades/{SYMBOL}/…, as the archive lays it out",
                hint=f"give --exchange ({', '.join(_EXCHANGES.values())})",
            )
        agreed(path, "--dataset", hints.dataset, "trades")
        said = None if hints.symbol is None else own_symbol(exchange, hints.symbol)
        symbol = str(agreed(path, "--symbol", said, own_symbol(exchange, found["symbol"])))
        period = str(agreed(path, "--period", stated_period(hints), period))
        return Identity(self.name, exchange, "", "trades", symbol, period, kind="trades")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows, one batch per block.

        Raises:
            SourceError: the file cannot be trusted.
        """
        yield from dataset_batches(path, _DATASET, identity, hints)


def archive_symbol(exchange: str, symbol: str) -> str:
    """What the archive calls an instrument of the exchange.

    >>> archive_symbol("kucoin-spot", "BTC-USDT"), archive_symbol("kucoin-futures", "XBTUSDTM")
    ('BTCUSDT', 'BTCUSDTM')
    """
    if exchange == _EXCHANGES["futures"]:
        return {own: archive for archive, own in OWN_SYMBOLS.items()}.get(symbol, symbol)
    return symbol.replace("-", "")


def own_symbol(exchange: str, symbol: str) -> str:
    """What the exchange calls an instrument of its archive: contracts by `OWN_SYMBOLS`, pairs with a dash before the longest quote."""
    if exchange == _EXCHANGES["futures"] or "-" in symbol:
        return OWN_SYMBOLS.get(symbol, symbol)
    quotes = [quote for quote in _SPOT_QUOTES if symbol.endswith(quote) and symbol != quote]
    quote = max(quotes, key=len, default=None)
    return symbol if quote is None else f"{symbol.removesuffix(quote)}-{quote}"
