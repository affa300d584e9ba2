"""Trades by REST: Deribit by time, Coinbase by number. Both number their trades without gaps, so that a missing one is seen."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from pointline.clock import to_us
from pointline.download.json_text import whole_number
from pointline.download.rest import IDS, LATE_US, RestAnswer, RestQuestion
from pointline.errors import ConfigError, NotPublishedError, WrongContentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pointline.download.rest import RestAsker, RestFile

NOTHING_AFTER = "nothing after"
"""Said of a period behind which the host has nothing, so that its end is not proven."""

_DAILY = ("daily",)
_PAGE = 1000  # the most that both hosts give at once
_NEIGHBOURS = 100  # asked for before and after a day, as trades of one millisecond come in any order
_EARLIEST_MS = 1_230_768_000_000  # 2009-01-01


def after_the_end(file: RestFile) -> str:
    """What is said where the host has nothing behind a period.

    Raises:
        NotPublishedError: the period ended so lately that more may come.
    """
    if file.now_us < file.end_us + LATE_US:
        raise NotPublishedError(
            "the history does not reach beyond the period's end yet", where=file.key, hint="run the same command again later"
        )
    return NOTHING_AFTER


def no_trade(file: RestFile) -> NotPublishedError:
    """Of a period in which nothing traded; a file of nothing is not stored."""
    return NotPublishedError("the history has no trade of this day", where=file.key)


class _Numbered(NamedTuple):
    number: int
    at_us: int
    row: dict[str, Any]


class _TradesPage(NamedTuple):
    trades: list[_Numbered]
    more: bool


class DeribitTrades:
    """Trades by ``get_last_trades_by_instrument_and_time``; ``trade_seq`` counts the trades of an instrument."""

    host = "https://history.deribit.com/api/v2"
    requests_per_s = 5.0
    source: ClassVar[str] = "deribit"
    spans: tuple[str, ...] = _DAILY
    name = "trades"

    @staticmethod
    def judge(document: Any) -> RestAnswer:  # noqa: ANN401 - any JSON value
        """See `RestHistory`."""
        return deribit_answer(document)

    def write_rows(self, asker: RestAsker, file: RestFile, write: Callable[[Iterable[Any]], object]) -> str:
        """See `RestHistory`. Each page begins at the last millisecond of the page before, which is written then."""
        start_ms, end_ms = file.start_us // 1000, file.end_us // 1000
        before = self._page(asker, file, _EARLIEST_MS, start_ms, ascending=False, count=_NEIGHBOURS).trades
        after = self._page(asker, file, end_ms, file.now_us // 1000, count=_NEIGHBOURS).trades
        numbers = _Count()
        from_ms = start_ms
        while True:
            page = self._page(asker, file, from_ms, end_ms)
            last_ms = page.trades[-1].at_us // 1000 if page.trades else from_ms
            whole = [trade for trade in page.trades if not page.more or trade.at_us // 1000 < last_ms]
            if page.more and not whole:
                raise WrongContentError("the pages do not go on", where=file.url, value=f"{file.key} at {from_ms} ms")
            numbers.add(whole)
            write(trade.row for trade in whole)
            if not page.more:
                break
            from_ms = last_ms
        last_before = max((trade.number for trade in before), default=None)
        numbers.check(file, last_before, min((trade.number for trade in after), default=None))
        if not numbers.count:
            raise no_trade(file)
        return IDS if after else f"{IDS}, {after_the_end(file)}"

    @staticmethod
    def _page(asker: RestAsker, file: RestFile, from_ms: int, to_ms: int, *, ascending: bool = True, count: int = _PAGE) -> _TradesPage:
        """The trades of ``[from_ms, to_ms)``, the first or the last of them."""
        query = {
            "instrument_name": file.symbol,
            "start_timestamp": from_ms,
            "end_timestamp": to_ms - 1,
            "count": count,
            "sorting": "asc" if ascending else "desc",
        }

        def read(document: Any) -> _TradesPage:  # noqa: ANN401 - any JSON value
            result = document.get("result") if isinstance(document, dict) else None
            rows, more = (result.get("trades"), result.get("has_more")) if isinstance(result, dict) else (None, None)
            if not isinstance(rows, list) or not isinstance(more, bool):
                raise wrong(file, "the answer has no trades", document)
            trades = [_deribit_trade(file, row) for row in rows]
            times = [trade.at_us for trade in trades]
            if len(trades) > count:
                raise wrong(file, "the page is longer than was asked for", len(trades))
            if times != sorted(times, reverse=not ascending):
                raise wrong(file, "the page is not in the order of time", times[:3])
            if any(not from_ms <= at // 1000 < to_ms for at in times):
                raise wrong(file, "the page has trades of another time than was asked for", [min(times), max(times)])
            if more and not trades:
                raise wrong(file, "the page is empty, and more should follow", document)
            return _TradesPage(trades, more)

        return asker.ask(RestQuestion("public/get_last_trades_by_instrument_and_time", query), read)


def deribit_answer(document: Any) -> RestAnswer:  # noqa: ANN401 - any JSON value
    """What an answer of Deribit's says of itself."""
    error = document.get("error") if isinstance(document, dict) else None
    if error is None:
        return RestAnswer(None)
    code = error.get("code") if isinstance(error, dict) else None
    return RestAnswer(str(error), too_often=code == "10028")


def _deribit_trade(file: RestFile, row: Any) -> _Numbered:  # noqa: ANN401 - any JSON value
    fields = row if isinstance(row, dict) else {}
    number, at_ms = whole_number(fields.get("trade_seq")), whole_number(fields.get("timestamp"))
    if number is None or at_ms is None:
        raise wrong(file, "a trade has no number or no time", row)
    if fields.get("instrument_name") != file.symbol:
        raise wrong(file, "the answer has trades of another instrument", fields.get("instrument_name"))
    return _Numbered(number, at_ms * 1000, fields)


class _Count:
    """Whether numbers follow each other without gap, in whatever order they come."""

    def __init__(self) -> None:
        self.count = 0
        self._low: int | None = None
        self._high: int | None = None
        self._twice = False

    def add(self, trades: list[_Numbered]) -> None:
        numbers = {trade.number for trade in trades}
        if not numbers:
            return
        self._twice |= len(numbers) < len(trades)
        self.count += len(numbers)
        self._low = min(numbers) if self._low is None else min(self._low, *numbers)
        self._high = max(numbers) if self._high is None else max(self._high, *numbers)

    def check(self, file: RestFile, before: int | None, after: int | None) -> None:
        """Holds them against the number before them, None where the host has none, and the one after them.

        Raises:
            WrongContentError: a number is missing or stands twice.
        """
        first = 1 if before is None else before + 1
        low, high = first if self._low is None else self._low, first - 1 if self._high is None else self._high
        expected_high = high if after is None else after - 1
        found = f"{self.count} trades, numbers {self._low} to {self._high}"
        if self._twice or self.count != high - low + 1 or (before is not None and low != first) or (before is None and low > 1):
            raise wrong(file, "numbers of trades are missing or stand twice", found, f"{first} and so on, one after the other")
        if high != expected_high:
            raise wrong(file, "numbers of trades are missing at the end", found, f"up to {expected_high}")


class CoinbaseTrades:
    """Trades by ``/products/{id}/trades``; a day's first number is searched for, then all are asked for by number."""

    host = "https://api.exchange.coinbase.com"
    requests_per_s = 8.0
    source: ClassVar[str] = "coinbase"
    spans: tuple[str, ...] = _DAILY
    name = "trades"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first: dict[tuple[str, int], int] = {}  # symbol and time -> the first trade's number at or after it

    @staticmethod
    def judge(document: Any) -> RestAnswer:  # noqa: ANN401 - any JSON value
        """See `RestHistory`."""
        said = document.get("message") if isinstance(document, dict) else None
        return RestAnswer(None if said is None else str(said), too_often=said is not None and "rate limit" in str(said).lower())

    def write_rows(self, asker: RestAsker, file: RestFile, write: Callable[[Iterable[Any]], object]) -> str:
        """See `RestHistory`."""
        with self._lock:
            newest = self._newest(asker, file)
            first = self._first_since(asker, file, file.start_us, newest)
            end = self._first_since(asker, file, file.end_us, newest)
        proof = IDS if end <= newest else f"{IDS}, {after_the_end(file)}"
        if first == end:
            raise no_trade(file)
        for at in range(first, end, _PAGE):
            trades = self._page(asker, file, at, min(at + _PAGE, end))
            outside = [trade.row for trade in trades if not file.start_us <= trade.at_us < file.end_us]
            if outside:
                raise wrong(file, "numbers of trades do not follow time", outside[0])
            write(trade.row for trade in trades)
        return proof

    def _newest(self, asker: RestAsker, file: RestFile) -> int:
        def read(document: Any) -> int:  # noqa: ANN401 - any JSON value
            if not isinstance(document, list) or len(document) > 1:
                raise wrong(file, "the answer is no list of one trade", document)
            return _coinbase_trade(file, document[0]).number if document else 0

        return asker.ask(RestQuestion(f"products/{file.symbol}/trades", {"limit": 1}), read)

    def _first_since(self, asker: RestAsker, file: RestFile, us: int, newest: int) -> int:
        """The number of the first trade at or after a time; one more than the newest where there is none."""
        known = {at: number for (symbol, at), number in self._first.items() if symbol == file.symbol}
        if us in known:
            return known[us]
        low = max((number for at, number in known.items() if at < us), default=1)
        high = min((number for at, number in known.items() if at > us), default=newest + 1)
        while low < high:
            middle = (low + high) // 2
            if self._page(asker, file, middle, middle + 1)[0].at_us < us:
                low = middle + 1
            else:
                high = middle
        if low <= newest:
            self._first[file.symbol, us] = low
        return low

    @staticmethod
    def _page(asker: RestAsker, file: RestFile, first: int, end: int) -> list[_Numbered]:
        """The trades with the numbers ``[first, end)``, all of them."""

        def read(document: Any) -> list[_Numbered]:  # noqa: ANN401 - any JSON value
            if not isinstance(document, list):
                raise wrong(file, "the answer is no list of trades", document)
            trades = [_coinbase_trade(file, row) for row in document]
            if [trade.number for trade in trades] != list(range(end - 1, first - 1, -1)):
                numbers = [trade.number for trade in trades]
                raise wrong(
                    file, "the page has other trades than were asked for", numbers[:1] + numbers[-1:], f"{end - 1} down to {first}, each"
                )
            return trades[::-1]

        query = {"after": end, "limit": end - first}
        return asker.ask(RestQuestion(f"products/{file.symbol}/trades", query), read)


def _coinbase_trade(file: RestFile, row: Any) -> _Numbered:  # noqa: ANN401 - any JSON value
    fields = row if isinstance(row, dict) else {}
    number, time = whole_number(fields.get("trade_id")), fields.get("time")
    try:
        at_us = to_us(time) if isinstance(time, str) else None
    except ConfigError:
        at_us = None
    if number is None or at_us is None:
        raise wrong(file, "a trade has no number or no time", row)
    return _Numbered(number, at_us, fields)


def wrong(file: RestFile, what: str, value: object, expected: str | None = None) -> WrongContentError:
    """An answer that is not what was asked for."""
    return WrongContentError(f"{what}; nothing was stored", where=f"{file.url}, {file.key}", value=str(value)[:200], expected=expected)
