"""Websocket recordings of Binance: lines of a receipt time, a space and the JSON message as the exchange sent it.

The receipt time is in microseconds (16 digits) or nanoseconds (19), one unit per file. The message is bare or in the wrapper of a
combined stream, ``{"stream": …, "data": {…}}``. Read are the events

==================  =====================  ====================================================================
event               table                  exchange time
==================  =====================  ====================================================================
trade, aggTrade     ``trades``             ``T``, when it was traded
bookTicker          ``quotes``             ``T``; spot sends none, there the receipt time stands in; known no earlier than ``E``
markPriceUpdate     ``derivative_ticker``  ``E``; ``r`` is the running estimate of the next funding payment
==================  =====================  ====================================================================

of spot, USD-M and COIN-M, one at a time or, as those of ``!markPrice@arr``, many in a list; every other message (order book, klines, …)
is passed over and counted. A row is an update that is read, or a line that is not. A trade whose ``X`` is not MARKET is flagged: off-book.
Files are plain text or gzip and are read in blocks, so that memory does not grow with the file or with a line.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import schema
from pointline.errors import SourceError
from pointline.sources import text_lines
from pointline.sources.base import RANKS, Batch, Hints, Identity, parsed_rows
from pointline.sources.checks import RAW_CHARACTERS, Check, problem_of, rejected, split_rows
from pointline.sources.exact import exact_amounts
from pointline.sources.inflate import GZIP_MAGIC, head_of
from pointline.sources.json_records import decode_objects
from pointline.sources.receipt import ClockCheck, uses_event_time
from pointline.sources.recorded_events import EVENTS, Event
from pointline.sources.stamps import is_possible
from pointline.sources.text_lines import LINE_BYTES, number_lines, whole_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

HEAD_BYTES = 64 << 10  # as much of a file as is looked at to recognise it
_OVERLONG = f" … cut: this line is longer than {LINE_BYTES >> 20} MB"

_SUFFIXES = (".dat", ".gz", ".txt", ".jsonl", ".log")
_SPOT, _LINEAR, _INVERSE = "binance-spot", "binance-futures", "binance-delivery"
_NAMED = {"spot": _SPOT, "usdm": _LINEAR, "coinm": _INVERSE}
_FILE_NAME = re.compile(r"(?<![a-z])binance[_-](spot|usdm|coinm)(?![a-z])", re.IGNORECASE)
_LINE = re.compile(rb"^\d{16}(?:\d{3})?[ \t]+(\{.*\}|\[.*\])\s*$")
_INVERSE_SYMBOL = r"^[A-Z0-9]+USD_(?:PERP|\d{6})$"
_BOOK_TICKER_KEYS = frozenset("usbBaA")

_NANOSECOND_DIGITS = 19
_STAMP = r"^(\d{16}|\d{19})[ \t]+[\{\[]"
_LIST = r'^(?:\[|\{[^\[{]*"data"\s*:\s*\[)'
_EVENT_KEY = r'"e"\s*:'
_EVENT = r'"e"\s*:\s*"([^"]*)"'
_BARE_BOOK_TICKER = r'"B"\s*:'


def read_blocks(path: Path) -> Iterator[bytes]:
    """The text of a plain or gzip file in blocks of whole lines.

    Of a line longer than `LINE_BYTES` only the beginning is kept, with a note at its end.

    Raises:
        SourceError: the gzip stream is truncated or damaged; the error says how much could be read.
    """
    return whole_lines(_pieces(path), lambda start: start[:RAW_CHARACTERS] + _OVERLONG.encode())


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        compressed = file.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    lines = 0
    try:
        with gzip.open(path) if compressed else path.open("rb") as stream:
            while piece := stream.read1(text_lines.BLOCK_BYTES):
                lines += piece.count(b"\n")
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceError(
            f"the gzip file is truncated or damaged: {lines} whole lines could be read, nothing was stored",
            where=f"{path}, after line {lines}",
            value=str(error),
            hint="copy the file again; to keep what is readable, unpack it with 'gzip -cd FILE > FILE.txt' and ingest that",
        ) from error


class Recorded:
    """Parser of websocket recordings."""

    name = "recorded"

    def recognise(self, path: Path, hints: Hints) -> Identity | None:
        """The identity from the first lines, the file's name and the hints; only the first `HEAD_BYTES` are read.

        Raises:
            SourceError: spot, USD-M and COIN-M cannot be told apart or are mixed, or ``--exchange`` contradicts the messages.
        """
        if not path.name.lower().endswith(_SUFFIXES) or not path.is_file():
            return None
        head = head_of(path, HEAD_BYTES, 4 * HEAD_BYTES)
        messages = [message for line in head.split(b"\n") for message in _messages(line)]
        if not messages:
            return None
        symbols = {str(message["s"]) for message in messages if "s" in message}
        symbol = hints.symbol or (symbols.pop() if len(symbols) == 1 else "*")
        return Identity(self.name, _exchange(path, messages, hints), "", "stream", symbol, "")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows: a batch per block, table and symbol.

        Lines that belong to no table (cut ones, say) come as rejects of an empty batch of trades under the identity's symbol. Messages of
        other events, and with ``hints.symbol`` of other instruments, are passed over; the last batch counts them. With ``hints.clock ==
        "event"`` spot quotes, which have no exchange time, are passed over too; the first of each symbol is a reject that says how many.

        Raises:
            SourceError: receipt times of both units, a clock behind the exchange's, messages of another market, or a damaged file.
            ConfigError: ``hints.clock`` is unknown.
        """
        uses_event_time(hints.clock)
        recording = _Recording(path, identity, hints)
        first_line = 1
        for block in read_blocks(path):
            lines = number_lines(block, first_line)
            first_line += lines.height
            yield from recording.batches(lines)
        yield from recording.finish()


@dataclass
class _Recording:
    """What has to be remembered from one block of a file to the next."""

    path: Path
    identity: Identity
    hints: Hints
    digits: tuple[int, int] | None = None  # of the receipt time, and the line that showed it first
    untimed: dict[str, tuple[int, str, int]] = field(default_factory=dict)  # symbol -> first line, its text, how many

    skipped: int = 0

    def __post_init__(self) -> None:
        self.clock = ClockCheck(self.path)
        self.by_event_time = uses_event_time(self.hints.clock)

    def batches(self, lines: pl.DataFrame) -> Iterator[Batch]:
        """The batches of one block of lines (``raw``, ``source_row``)."""
        rows, rejects = self._received(lines)
        if not rejects.is_empty():
            yield self._batch("trades", self.identity.symbol, pl.DataFrame(), rejects)
        self.skipped += rows.height
        for name, event in EVENTS.items():
            selected = rows.filter(pl.col("event") == name).with_columns(body=pl.col("raw").str.slice("digits").str.strip_chars_start())
            self.skipped -= selected.height
            is_list = selected["body"].str.contains(_LIST)
            for take, part in ((_single, selected.filter(~is_list)), (_listed, selected.filter(is_list))):
                if not part.is_empty():
                    yield from self._event_batches(name, event, take(part, event))

    def finish(self) -> Iterator[Batch]:
        """What can be said only at the end of the file."""
        if not self.by_event_time:
            self.clock.judge()
        for symbol, (line, raw, count) in self.untimed.items():
            reason = f"{count} spot quotes from this line on have no exchange time, which --clock event needs"
            reject = rejected([(line, "ts_event_us", None, reason, raw, False)])
            yield self._batch("quotes", symbol, pl.DataFrame(), reject, skipped=count - 1)
        if self.skipped:
            yield self._batch("trades", self.identity.symbol, pl.DataFrame(), rejected(), skipped=self.skipped)

    def _received(self, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Splits off the receipt time (`local_us`) and names the event; malformed lines become rejects."""
        raw = pl.col("raw")
        event, stamp = raw.str.extract(_EVENT), raw.str.extract(_STAMP)
        received = stamp.cast(pl.Int64, strict=False)
        rows = lines.filter(raw.str.strip_chars() != "").with_columns(
            digits=stamp.str.len_bytes(),
            local_us=pl.when(stamp.str.len_bytes() == _NANOSECOND_DIGITS).then(received // 1000).otherwise(received),
            event=event,
        )
        if rows["event"].null_count():
            quote = pl.col("event").is_null() & raw.str.contains(_BARE_BOOK_TICKER) & ~raw.str.contains(_EVENT_KEY)
            rows = rows.with_columns(event=pl.when(quote).then(pl.lit("bookTicker")).otherwise("event"))
        ended = raw.str.strip_chars_end()
        overlong, cut = pl.lit(f"is longer than {LINE_BYTES >> 20} MB"), pl.lit("is cut: its JSON object does not end")
        cut = pl.when(raw.str.ends_with(_OVERLONG)).then(overlong).otherwise(cut)
        start, head = raw.str.slice(0, 80), "a receipt time of 16 (microseconds) or 19 (nanoseconds) digits and a JSON object"
        checks: tuple[Check, ...] = (
            Check(~raw.str.contains("\ufffd", literal=True), "line", start, "holds bytes that are not UTF-8"),
            Check(pl.col("digits").is_not_null(), "line", start, f"does not begin with {head}"),
            Check(ended.str.ends_with("}") | ended.str.ends_with("]"), "line", start, cut),
            Check(is_possible(pl.col("local_us")), "ts_local_us", stamp, "lies outside 2009 to 2050"),
        )
        if rows["event"].null_count():
            unnamed = pl.col("event").is_null() & raw.str.contains(_EVENT_KEY)
            checks = (*checks, Check(~unnamed, "line", start, "field e must be the name of an event"))
        rows, rejects = split_rows(rows, checks)
        self._refuse_mixed_units(rows)
        return rows, rejects

    def _refuse_mixed_units(self, rows: pl.DataFrame) -> None:
        for digits, line in rows.group_by("digits").agg(pl.col("source_row").first()).sort("source_row").iter_rows():
            if self.digits is None:
                self.digits = (digits, line)
            if self.digits[0] != digits:
                unit = {True: "nanoseconds", False: "microseconds"}
                first, second = unit[self.digits[0] == _NANOSECOND_DIGITS], unit[digits == _NANOSECOND_DIGITS]
                raise SourceError(
                    f"receipt times are in {first} from line {self.digits[1]} and in {second} at line {line}",
                    where=f"{self.path}, line {line}",
                    expected="one unit in a file",
                    hint="split the file where the recorder changed",
                )

    def _event_batches(self, name: str, event: Event, rows: pl.DataFrame) -> Iterator[Batch]:
        """The batches of one event's messages, as `_single` and `_listed` take them apart."""
        if self.hints.symbol is not None:
            kept = rows.filter(pl.col("s").is_null() | (pl.col("s") == self.hints.symbol))
            self.skipped += rows.height - kept.height
            rows = kept
        amounts = {column: exact_amounts(rows[key], None, pl.Float64()) for column, key in event.amounts.items()}
        rows = rows.with_columns(
            **event.columns,
            **{column: each.values for column, each in amounts.items()},
            **{problem_of(column): each.problems for column, each in amounts.items()},
            known_us=event.known_us,
        )
        named = pl.col("e") == name
        checks = (
            Check(pl.col("is_json"), "line", pl.col("raw").str.slice(0, 80), "is not valid JSON with plain values"),
            Check(pl.col("odd").is_null(), "line", pl.col("raw").str.slice(0, 80), pl.col("odd")),
            Check(
                (named | pl.col("e").is_null()) if name == "bookTicker" else named, "line", pl.col("e"), f"is no message of event {name}"
            ),
            Check(pl.col("s").str.len_bytes() > 0, "symbol", pl.col("s"), "field s must name the instrument"),
            *event.checks,
        )
        for group in rows.partition_by("s", maintain_order=True):
            accepted, rejects = split_rows(group, checks)
            self._refuse_other_market(event, accepted)
            symbol = group["s"][0] or self.identity.symbol
            timed = self._clocks(accepted, symbol)
            if not (timed.is_empty() and rejects.is_empty()):
                yield self._batch(event.kind, symbol, timed, rejects)

    def _clocks(self, rows: pl.DataFrame, symbol: str) -> pl.DataFrame:
        """Adds ``ts_local_us`` and fills ``ts_event_us``."""
        has_time = pl.col("ts_event_us").is_not_null()
        if not self.by_event_time:
            self.clock.see(rows.filter(has_time).select(pl.col("ts_event_us") - pl.col("local_us")).to_series())
            return rows.with_columns(ts_local_us=pl.col("local_us"), ts_event_us=pl.coalesce("ts_event_us", "local_us"))
        untimed = rows.filter(~has_time)
        if not untimed.is_empty():
            line, raw, count = self.untimed.get(symbol, (untimed["source_row"][0], untimed["raw"][0], 0))
            self.untimed[symbol] = (line, raw, count + untimed.height)
        return rows.filter(has_time).with_columns(ts_local_us=pl.col("known_us") + self.hints.latency_us)

    def _refuse_other_market(self, event: Event, rows: pl.DataFrame) -> None:
        if self.identity.exchange not in _NAMED.values():
            return
        inverse = pl.when(pl.col("s").str.contains(_INVERSE_SYMBOL)).then(pl.lit(_INVERSE)).otherwise(pl.lit(_LINEAR))
        market = pl.when(event.spot).then(pl.lit(_SPOT)).otherwise(inverse)
        other = rows.select("source_row", "s", "raw", market=market).filter(pl.col("market") != self.identity.exchange)
        if not other.is_empty():
            line, symbol, raw, found = other.row(0)
            raise SourceError(
                f"a message of {found} ({symbol}) in a recording of {self.identity.exchange}",
                where=f"{self.path}, line {line}",
                value=raw[:120],
                expected="messages of one exchange in a file",
                hint="record each market to its own file, or give the right --exchange",
            )

    def _batch(self, kind: str, symbol: str, frame: pl.DataFrame, rejects: pl.DataFrame, skipped: int = 0) -> Batch:
        return Batch(
            kind=kind,
            exchange=self.identity.exchange,
            symbol=symbol,
            frame=parsed_rows(kind, frame) if frame.width else pl.DataFrame(schema=schema.table(kind).parsed),
            clock="assumed" if self.by_event_time else "recorded",
            rank=RANKS["recorded"],
            skipped=skipped,
            rejects=rejects,
        )


def _single(rows: pl.DataFrame, event: Event) -> pl.DataFrame:
    """Messages that are one object, bare or under ``data``: `source_row`, `raw`, `local_us`, `is_json`, `odd` and the fields as text."""
    keys = ("e", "s", *event.keys)
    flat = dict.fromkeys(keys, pl.String())
    message = decode_objects(rows["body"], pl.Struct({**flat, "data": pl.Struct(flat)}))
    data, bare = pl.col("message").struct["data"], pl.col("message")
    fields = pl.DataFrame({"message": message}).select(
        pl.col("message").is_not_null().alias("is_json"),
        *(pl.when(data.is_not_null()).then(data.struct[key]).otherwise(bare.struct[key]).alias(key) for key in keys),
    )
    rows = pl.concat([rows.select("source_row", "raw", "local_us"), fields], how="horizontal")
    found = pl.sum_horizontal(pl.col(key).is_not_null() for key in keys)
    return rows.with_columns(_oddities(rows["raw"], rows.select(found).to_series(), event))


def _listed(rows: pl.DataFrame, event: Event) -> pl.DataFrame:
    """Messages that are a list of objects, bare or under ``data``: a row per object, else as `_single`."""
    keys = ("e", "s", *event.keys)
    body = pl.col("body")
    wrapped = rows.select(pl.when(body.str.starts_with("[")).then(pl.lit('{"data":') + body + pl.lit("}")).otherwise(body)).to_series()
    message = decode_objects(wrapped, pl.Struct({"data": pl.List(pl.Struct(dict.fromkeys(keys, pl.String())))}))
    listed = pl.DataFrame({"message": message}).select(update=pl.col("message").struct["data"])
    found = pl.sum_horizontal(pl.col("update").list.eval(pl.element().struct[key].is_not_null().sum()).list.sum() for key in keys)
    odd = _oddities(rows["raw"], listed.select(found).to_series(), event)
    rows = pl.concat([rows.select("source_row", "raw", "local_us"), listed], how="horizontal").with_columns(odd)
    update = pl.col("update")
    return rows.explode("update").select(
        "source_row", "raw", "local_us", update.is_not_null().alias("is_json"), *(update.struct[key].alias(key) for key in keys), "odd"
    )


def _oddities(raw: pl.Series, found: pl.Series, event: Event) -> pl.Series:
    """Why a line's message cannot be taken at its word, ``odd``: a key that is named twice, or an amount that is no text; null mostly.

    The decoder keeps the first of two equal keys and reads every number as a double, so both are looked for in the line itself.

    Args:
        raw: the lines.
        found: how many fields the decoder found in each.
        event: which fields those are.
    """
    keys = "".join(("e", "s", *event.keys))
    suspect = raw.str.count_matches(rf'"[{keys}]":') != found
    if event.amounts:
        texts = "".join(event.amounts.values())
        suspect |= raw.str.count_matches(rf'"[{texts}]": ?"') != len(event.amounts)
    odd = pl.repeat(None, len(raw), dtype=pl.String, eager=True).alias("odd")
    rows = suspect.fill_null(value=True).arg_true()
    if not len(rows):
        return odd
    reasons = [_oddity(line.split(None, 1)[1], event) for line in raw.gather(rows)]
    return odd.scatter(rows, pl.Series(reasons, dtype=pl.String)).alias("odd")


def _oddity(body: str, event: Event) -> str | None:
    twice: list[str] = []

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice.extend(key for key in found if [name for name, _ in pairs].count(key) > 1)
        return found

    try:
        message = json.loads(body, object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None  # the decoder has found that too
    if twice:
        return f"names the field {twice[0]} twice"
    message = message.get("data", message) if isinstance(message, dict) else message
    fields = message if isinstance(message, dict) else {}
    numbers = [key for key in event.amounts.values() if isinstance(fields.get(key), int | float)]
    return f"field {numbers[0]} must be text: a number does not keep its digits" if numbers else None


def _messages(line: bytes) -> list[dict[str, Any]]:
    """The exchange's messages on a line, none where the line is not one of Binance."""
    matched = _LINE.match(line)
    if matched is None:
        return []
    try:
        found = json.loads(matched[1])
    except (ValueError, RecursionError):
        return []
    found = found.get("data", found) if isinstance(found, dict) else found
    items = found if isinstance(found, list) else [found]
    return [item for item in items if isinstance(item, dict) and _is_known(item)]


def _is_known(message: dict[str, Any]) -> bool:
    named = isinstance(message.get("e"), str) and isinstance(message.get("s"), str)
    return named or ("e" not in message and message.keys() >= _BOOK_TICKER_KEYS) or "lastUpdateId" in message


def _evidence(message: dict[str, Any]) -> str | None:
    """The exchange that one message proves, None where it fits several."""
    if "ps" in message or re.match(_INVERSE_SYMBOL, str(message.get("s", ""))):
        return _INVERSE
    event = message.get("e")
    if event is None:  # spot sends its bookTicker without name and times, early futures did without name
        spot = None if not message.keys() >= _BOOK_TICKER_KEYS else not message.keys() & {"T", "E"}
    elif event == "trade":
        spot = "M" in message if message.keys() & {"M", "X"} else None
    elif event == "depthUpdate":
        spot = "pu" not in message
    else:
        known = {"aggTrade": "M" in message, "bookTicker": False, "markPriceUpdate": False}
        spot = known.get(event)
    return None if spot is None else _SPOT if spot else _LINEAR


def _exchange(path: Path, messages: Iterable[dict[str, Any]], hints: Hints) -> str:
    proved = sorted({exchange for message in messages if (exchange := _evidence(message)) is not None})
    if len(proved) > 1:
        raise SourceError(
            "the recording mixes markets",
            where=str(path),
            value=", ".join(proved),
            expected="messages of one exchange in a file",
            hint="record each market to its own file",
        )
    wanted = hints.exchange
    if wanted is not None:
        if proved and wanted in _NAMED.values() and wanted != proved[0]:
            raise SourceError("the messages are not of the exchange that was given", where=str(path), value=wanted, expected=proved[0])
        return wanted
    if proved:
        return proved[0]
    named = _FILE_NAME.search(path.name)
    if named is None:
        raise SourceError(
            "the recording does not show which of Binance's markets it is",
            where=str(path),
            expected="a file name such as binance_spot_…, binance_usdm_… or binance_coinm_…",
            hint=f"give --exchange ({', '.join(_NAMED.values())})",
        )
    return _NAMED[named[1].lower()]
