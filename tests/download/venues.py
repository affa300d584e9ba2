"""REST interfaces of exchanges on the test server: a market that is known trade by trade and payment by payment."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.download.server import Handler

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
MAY_1_MS = 1_714_521_600_000


def text_of(ms: int, extra_us: int = 0) -> str:
    at = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=ms, microseconds=extra_us)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass
class Venues:
    """What the interfaces know, and how they answer.

    Attributes:
        trades: of one instrument, by their number: milliseconds, price, size, whether the taker sold.
        payments: milliseconds and rate, in order.
        page: the most trades that Deribit gives at once, whatever is asked for.
        changes: each may change an answer, or send something else and return None.
    """

    trades: dict[int, tuple[int, str, str, bool]] = field(default_factory=dict)
    payments: list[tuple[int, str]] = field(default_factory=list)
    page: int = 1000
    changes: list[Callable[[Handler, Any], Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def answer(self, handler: Handler) -> bool:
        """A misdeed of `Archive`: it takes all requests of REST paths."""
        parts = urlsplit(handler.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if handler.command == "POST":
            query = json.loads(handler.body)
        found = self.document(parts.path, query)
        if found is None:
            return False
        self.asked.append(handler.path)
        for change in self.changes:
            found = change(handler, found)
            if found is None:
                return True
        handler.send(200, found if isinstance(found, bytes) else json_bytes(found), {"Content-Type": "application/json"})
        return True

    def document(self, path: str, query: dict[str, Any]) -> Any:  # noqa: ANN401
        """The answer to a question; None where nobody has it."""
        if path.endswith("get_last_trades_by_instrument_and_time"):
            return self._deribit(query)
        if path.endswith("/trades"):
            return self._coinbase(query)
        names = {"get_funding_rate_history": "deribit", "history": "bybit", "funding_rate": "gate", "funding-rates": "kucoin"}
        names |= {"info": "hyperliquid", "historical-funding-rates": "kraken"}
        name = names.get(path.rpartition("/")[2])
        return None if name is None else getattr(self, f"_{name}_funding")(query)

    def _deribit(self, query: dict[str, str]) -> Any:  # noqa: ANN401
        start, end, count = (int(query[key]) for key in ("start_timestamp", "end_timestamp", "count"))
        rows = [(number, trade) for number, trade in self.trades.items() if start <= trade[0] <= end]
        rows.sort(key=lambda one: (one[1][0], one[0]), reverse=query["sorting"] == "desc")
        taken = rows[: min(count, self.page)]
        trades = [
            {
                "trade_seq": number,
                "trade_id": f"{900_000 + number}",
                "timestamp": at,
                "price": Raw(price),
                "amount": Raw(size),
                "direction": "sell" if sold else "buy",
                "instrument_name": query["instrument_name"],
                "index_price": Raw("60000.10"),
            }
            for number, (at, price, size, sold) in taken
        ]
        return {"jsonrpc": "2.0", "result": {"trades": trades, "has_more": len(taken) < len(rows)}, "usOut": len(self.asked)}

    def _coinbase(self, query: dict[str, str]) -> Any:  # noqa: ANN401
        after = int(query.get("after", max(self.trades, default=0) + 1))
        numbers = [number for number in sorted(self.trades, reverse=True) if number < after][: int(query["limit"])]
        return [
            {
                "trade_id": number,
                "side": "buy" if self.trades[number][3] else "sell",  # the maker's
                "size": self.trades[number][2],
                "price": self.trades[number][1],
                "time": text_of(self.trades[number][0], number % 1000),
            }
            for number in numbers
        ]

    def _between(self, start_ms: int, end_ms: int, limit: int = 10_000) -> list[tuple[int, str]]:
        """Payments of a window with both ends in it, the newest first."""
        return [one for one in reversed(self.payments) if start_ms <= one[0] <= end_ms][:limit]

    def _bybit_funding(self, query: dict[str, str]) -> Any:  # noqa: ANN401
        found = self._between(int(query["startTime"]), int(query["endTime"]), int(query["limit"]))
        rows = [{"symbol": query["symbol"], "fundingRate": rate, "fundingRateTimestamp": str(at)} for at, rate in found]
        return {"retCode": 0, "retMsg": "OK", "result": {"category": query["category"], "list": rows}, "time": 1}

    def _gate_funding(self, query: dict[str, str]) -> Any:  # noqa: ANN401
        found = self._between(int(query["from"]) * 1000, int(query["to"]) * 1000, int(query["limit"]))
        return [{"t": at // 1000, "r": rate} for at, rate in found]

    def _kucoin_funding(self, query: dict[str, str]) -> Any:  # noqa: ANN401
        found = self._between(int(query["from"]), int(query["to"]), 100)
        return {"code": "200000", "data": [{"symbol": query["symbol"], "fundingRate": Raw(rate), "timepoint": at} for at, rate in found]}

    def _deribit_funding(self, query: dict[str, str]) -> Any:  # noqa: ANN401
        found = self._between(int(query["start_timestamp"]), int(query["end_timestamp"]), 744)
        same = {"interest_8h": Raw("1.5e-05"), "index_price": Raw("60000.10"), "prev_index_price": Raw("60000.2")}
        return {"jsonrpc": "2.0", "result": [{"timestamp": at, "interest_1h": Raw(rate), **same} for at, rate in found[::-1]]}

    def _hyperliquid_funding(self, query: dict[str, Any]) -> Any:  # noqa: ANN401
        assert query["type"] == "fundingHistory"
        found = [one for one in self.payments if query["startTime"] <= one[0] <= query["endTime"]][:500]
        return [{"coin": query["coin"], "fundingRate": rate, "premium": "-0.0001", "time": at} for at, rate in found]

    def _kraken_funding(self, _: dict[str, str]) -> Any:  # noqa: ANN401
        rates = [{"timestamp": text_of(at), "fundingRate": Raw("1.25"), "relativeFundingRate": Raw(rate)} for at, rate in self.payments]
        return {"result": "success", "serverTime": "2025-01-01T00:00:00.000Z", "rates": rates}


class Raw(str):
    """A number that is written as it stands."""

    __slots__ = ()


def json_bytes(value: Any) -> bytes:  # noqa: ANN401
    """JSON in which `Raw` texts are numbers."""
    raw: list[str] = []

    def marked(item: Any) -> Any:  # noqa: ANN401
        if isinstance(item, Raw):
            raw.append(item)
            return f"\0{len(raw) - 1}\0"
        if isinstance(item, dict):
            return {key: marked(inner) for key, inner in item.items()}
        return [marked(inner) for inner in item] if isinstance(item, list) else item

    text = json.dumps(marked(value), indent=1)
    for at, number in enumerate(raw):
        text = text.replace(f'"\\u0000{at}\\u0000"', number)
    return text.encode()


def market(days: int = 5, per_day: int = 40, first: int = 1) -> dict[int, tuple[int, str, str, bool]]:
    """Trades from 30 April on, several of them in one millisecond, numbered without gaps."""
    found = {}
    for at in range(days * per_day):
        day, place = divmod(at, per_day)
        ms = MAY_1_MS + (day - 1) * DAY_MS + place // 4 * (DAY_MS // (per_day // 4)) + (place % 4 > 1)
        found[first + at] = (ms, f"{60_000 + at}.50", f"{at + 1}0", at % 3 == 0)
    return found


def payments(hours: int, days: int = 40, start_ms: int = MAY_1_MS - 4 * DAY_MS, late_ms: int = 0) -> list[tuple[int, str]]:
    """Payments each so many hours; rates as exchanges write them."""
    count = days * 24 // hours
    return [(start_ms + at * hours * HOUR_MS + late_ms, f"-6.{at:03d}E-7" if at % 5 == 0 else f"0.{at + 1:06d}0") for at in range(count)]
