"""Settled funding by REST: asked for in windows so short that no answer can be full, from before the period to after it."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.download.json_text import NumberText, whole_number
from pointline.download.rest import PAGES, RestAnswer, RestQuestion
from pointline.download.rest_trades import after_the_end, deribit_answer, wrong
from pointline.errors import ConfigError, NotPublishedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pointline.download.rest import RestAsker, RestFile

NOTHING_BEFORE = "nothing before"
"""Said of a period before which the host has nothing: the contract is listed in it, or the host has forgotten what was before."""

_INVERSE = re.compile(r".+USD(?:[FGHJKMNQUVXZ]\d\d)?")
_MONTHS = ("daily", "monthly")


@dataclass(frozen=True)
class FundingForm:
    """How one exchange answers.

    Attributes:
        host, requests_per_s: see `RestHistory`.
        question: of a symbol's payments in ``[start_ms, end_ms)``, milliseconds.
        judge: what an answer says of itself.
        rows: the payments in a document; None where it has no such list.
        time: field with the time.
        time_us: microseconds of that field; None where it is no time.
        window_us: the longest window that is asked for at once; None for a host that answers everything at once.
        limit: how many payments an answer can have; one that has so many may be cut.
        interval_us: the longest time between two payments.
        instrument: field with the contract's name; None where there is none.
    """

    host: str
    requests_per_s: float
    question: Callable[[str, int, int], RestQuestion]
    judge: Callable[[Any], RestAnswer]
    rows: Callable[[Any], Any]
    time: str
    time_us: Callable[[Any], int | None]
    window_us: int | None
    limit: int
    interval_us: int
    instrument: str | None = None


@dataclass(frozen=True)
class _Payment:
    at_us: int
    row: dict[str, Any]


@dataclass
class FundingHistory:
    """The funding history of one exchange; see `RestHistory`."""

    form: FundingForm
    source: ClassVar[str] = "rest_funding"
    spans: tuple[str, ...] = _MONTHS
    name: str = "funding"
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _all: dict[str, list[_Payment]] = field(default_factory=dict)

    @property
    def host(self) -> str:
        """The address of the interface."""
        return self.form.host

    @property
    def requests_per_s(self) -> float:
        """How often it is asked."""
        return self.form.requests_per_s

    def judge(self, document: Any) -> RestAnswer:  # noqa: ANN401 - any JSON value
        """See `RestHistory`."""
        return self.form.judge(document)

    def write_rows(self, asker: RestAsker, file: RestFile, write: Callable[[Iterable[Any]], object]) -> str:
        """See `RestHistory`."""
        payments = self._around(asker, file)
        inside = [one for one in payments if file.start_us <= one.at_us < file.end_us]
        if not inside:
            raise NotPublishedError("the history has no payment of this period", where=file.key)
        notes = [PAGES]
        if payments[0].at_us >= file.start_us:
            notes.append(NOTHING_BEFORE)
        if payments[-1].at_us < file.end_us:
            notes.append(after_the_end(file))
        first = next(at for at, one in enumerate(payments) if one is inside[0])
        near = payments[max(first - 1, 0) : first + len(inside) + 1]
        holes = sum(after.at_us - one.at_us > self.form.interval_us + MINUTE_US for one, after in pairwise(near))
        if holes:
            notes.append(f"{holes} hole{'s' * (holes > 1)}")
        write(one.row for one in inside)
        return ", ".join(notes)

    def _around(self, asker: RestAsker, file: RestFile) -> list[_Payment]:
        """The payments from a day before the period to a day after it, in order."""
        low, high = file.start_us - DAY_US, min(file.end_us + DAY_US, file.now_us)
        if self.form.window_us is None:
            with self._lock:
                if file.symbol not in self._all:
                    self._all[file.symbol] = self._page(asker, file, 0, file.now_us + DAY_US)
                return [one for one in self._all[file.symbol] if low <= one.at_us < high]
        pages = [self._page(asker, file, at, min(at + self.form.window_us, high)) for at in range(low, high, self.form.window_us)]
        filled = [at for at, page in enumerate(pages) if page]
        if filled and not all(pages[filled[0] : filled[-1] + 1]):
            raise wrong(file, "a page between others is empty", f"{len(filled)} of {len(pages)} pages have payments")
        return [one for page in pages for one in page]

    def _page(self, asker: RestAsker, file: RestFile, low_us: int, high_us: int) -> list[_Payment]:
        form = self.form

        def read(document: Any) -> list[_Payment]:  # noqa: ANN401 - any JSON value
            rows = form.rows(document)
            if not isinstance(rows, list):
                raise wrong(file, "the answer has no payments", document)
            payments = [self._payment(file, row) for row in rows]
            times = [one.at_us for one in payments]
            ordered = sorted(set(times))
            if len(ordered) < len(times):
                raise wrong(file, "the page has two payments of one time", len(times) - len(ordered))
            if times not in (ordered, ordered[::-1]):
                raise wrong(file, "the page is not in the order of time", times[:3])
            if times and not low_us <= ordered[0] <= ordered[-1] < high_us:
                raise wrong(file, "the page has payments of another time than was asked for", [ordered[0], ordered[-1]])
            if len(times) >= form.limit:
                raise wrong(file, "the page is full, and may be cut", len(times), f"fewer than {form.limit} payments")
            return sorted(payments, key=lambda one: one.at_us)

        return asker.ask(form.question(file.symbol, low_us // 1000, high_us // 1000), read)

    def _payment(self, file: RestFile, row: Any) -> _Payment:  # noqa: ANN401 - any JSON value
        fields = row if isinstance(row, dict) else {}
        at_us = self.form.time_us(fields.get(self.form.time))
        if at_us is None:
            raise wrong(file, "a payment has no time", row)
        if self.form.instrument is not None and fields.get(self.form.instrument) != file.symbol:
            raise wrong(file, "the answer has payments of another contract", fields.get(self.form.instrument))
        return _Payment(at_us, fields)


def _from_ms(value: object) -> int | None:
    number = whole_number(value)
    return None if number is None else number * 1000


def _from_s(value: object) -> int | None:
    number = whole_number(value)
    return None if number is None else number * 1_000_000


def _from_text(value: object) -> int | None:
    try:
        return to_us(value) if isinstance(value, str) and not isinstance(value, NumberText) else None
    except ConfigError:
        return None


def _inside(*keys: str) -> Callable[[Any], Any]:
    def found(document: Any) -> Any:  # noqa: ANN401 - any JSON value
        for key in keys:
            document = document.get(key) if isinstance(document, dict) else None
        return document

    return found


def _coded(key: str, good: str, message: str, *too_often: str) -> Callable[[Any], RestAnswer]:
    """Answers that have a code of success or failure in a field."""

    def judge(document: Any) -> RestAnswer:  # noqa: ANN401 - any JSON value
        code = document.get(key) if isinstance(document, dict) else None
        said = None if code == good else f"{key} {code}: {_inside(message)(document)}"
        return RestAnswer(said, too_often=code in too_often)

    return judge


def _gate_answer(document: Any) -> RestAnswer:  # noqa: ANN401 - any JSON value
    label = document.get("label") if isinstance(document, dict) else None
    return RestAnswer(None if label is None else f"{label}: {document.get('message')}", too_often=label == "TOO_MANY_REQUESTS")


def _kraken_answer(document: Any) -> RestAnswer:  # noqa: ANN401 - any JSON value
    said = _coded("result", "success", "error")(document)
    return said._replace(too_often=_inside("error")(document) == "apiLimitExceeded")


def _nothing(document: Any) -> RestAnswer:  # noqa: ANN401, ARG001 - any JSON value
    return RestAnswer(None)


BYBIT = FundingForm(
    host="https://api.bybit.com",
    requests_per_s=10,
    question=lambda symbol, start_ms, end_ms: RestQuestion(
        "v5/market/funding/history",
        {
            "category": "inverse" if _INVERSE.fullmatch(symbol) else "linear",
            "symbol": symbol,
            "startTime": start_ms,
            "endTime": end_ms - 1,
            "limit": 200,
        },
    ),
    judge=_coded("retCode", "0", "retMsg", "10006", "10018"),
    rows=_inside("result", "list"),
    time="fundingRateTimestamp",
    time_us=_from_ms,
    window_us=8 * DAY_US,
    limit=200,
    interval_us=8 * HOUR_US,
    instrument="symbol",
)
GATE = FundingForm(
    host="https://api.gateio.ws",
    requests_per_s=10,
    question=lambda symbol, start_ms, end_ms: RestQuestion(
        f"api/v4/futures/{'btc' if symbol.endswith('_USD') else 'usdt'}/funding_rate",
        {"contract": symbol, "from": start_ms // 1000, "to": end_ms // 1000 - 1, "limit": 1000},
    ),
    judge=_gate_answer,
    rows=lambda document: document,
    time="t",
    time_us=_from_s,
    window_us=35 * DAY_US,
    limit=1000,
    interval_us=8 * HOUR_US,
)
KUCOIN = FundingForm(
    host="https://api-futures.kucoin.com",
    requests_per_s=8,
    question=lambda symbol, start_ms, end_ms: RestQuestion(
        "api/v1/contract/funding-rates", {"symbol": symbol, "from": start_ms, "to": end_ms - 1}
    ),
    judge=_coded("code", "200000", "msg", "429000", "1015"),
    rows=_inside("data"),
    time="timepoint",
    time_us=_from_ms,
    window_us=4 * DAY_US,
    limit=100,
    interval_us=8 * HOUR_US,
    instrument="symbol",
)
DERIBIT = FundingForm(
    host="https://www.deribit.com/api/v2",
    requests_per_s=5,
    question=lambda symbol, start_ms, end_ms: RestQuestion(
        "public/get_funding_rate_history", {"instrument_name": symbol, "start_timestamp": start_ms, "end_timestamp": end_ms - 1}
    ),
    judge=deribit_answer,
    rows=_inside("result"),
    time="timestamp",
    time_us=_from_ms,
    window_us=20 * DAY_US,
    limit=744,
    interval_us=HOUR_US,
)
HYPERLIQUID = FundingForm(
    host="https://api.hyperliquid.xyz",
    requests_per_s=0.4,
    question=lambda symbol, start_ms, end_ms: RestQuestion(
        "info", body={"type": "fundingHistory", "coin": symbol, "startTime": start_ms, "endTime": end_ms - 1}
    ),
    judge=_nothing,
    rows=lambda document: document,
    time="time",
    time_us=_from_ms,
    window_us=20 * DAY_US,
    limit=500,
    interval_us=HOUR_US,
    instrument="coin",
)
KRAKEN = FundingForm(
    host="https://futures.kraken.com/derivatives/api/v3",
    requests_per_s=1,
    question=lambda symbol, start_ms, end_ms: RestQuestion("historical-funding-rates", {"symbol": symbol}),  # noqa: ARG005 - all at once
    judge=_kraken_answer,
    rows=_inside("rates"),
    time="timestamp",
    time_us=_from_text,
    window_us=None,
    limit=10_000_000,
    interval_us=4 * HOUR_US,
)
