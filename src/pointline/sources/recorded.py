"""Websocket recordings of Binance: lines of a receive time, a space and the JSON message as the exchange sent it.

The receive time is in microseconds (16 digits) or nanoseconds (19), one unit per file. The message is bare or in the wrapper of a
combined stream, ``{"stream": …, "data": {…}}``. Read are the events

==================  =====================  ====================================================================
event               table                  exchange time
==================  =====================  ====================================================================
trade, aggTrade     ``trades``             ``T``, when it was traded
bookTicker          ``quotes``             ``T``; spot sends none, there the receive time stands in
markPriceUpdate     ``derivative_ticker``  ``E``; ``r`` is the running estimate of the next funding payment
==================  =====================  ====================================================================

of spot, USD-M and COIN-M; every other message (order book, klines, …) is passed over. Files are plain text or gzip and are read in
blocks of `BLOCK_BYTES`, so that memory does not grow with the file.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from pointline import schema
from pointline.clock import to_us
from pointline.errors import ConfigError, SourceError
from pointline.sources.base import RANKS, REJECT_SCHEMA, Batch, Hints, Identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

BLOCK_BYTES = 8 << 20
HEAD_BYTES = 64 << 10  # as much of a file as is looked at to recognise it
CLOCK_SAMPLE_ROWS = 1_000  # after so many rows a clock that is behind is reported, without reading the rest
CLOCK_LIMIT_US = 250_000  # a message cannot arrive before it was sent; up to here it is put down to the drift of clocks

_SUFFIXES = (".dat", ".gz", ".txt", ".jsonl", ".log")
_SPOT, _LINEAR, _INVERSE = "binance-spot", "binance-futures", "binance-delivery"
_NAMED = {"spot": _SPOT, "usdm": _LINEAR, "coinm": _INVERSE}
_FILE_NAME = re.compile(r"(?<![a-z])binance[_-](spot|usdm|coinm)(?![a-z])", re.IGNORECASE)
_LINE = re.compile(rb"^\d{16}(?:\d{3})?[ \t]+(\{.*\})\s*$")
_INVERSE_SYMBOL = r"^[A-Z0-9]+USD_(?:PERP|\d{6})$"
_BOOK_TICKER_KEYS = frozenset("usbBaA")

_NANOSECOND_DIGITS = 19
_STAMP = r"^(\d{16}|\d{19})[ \t]+\{"
_EVENT = r'"e"\s*:\s*"([A-Za-z]+)"'
_BARE_BOOK_TICKER = r'"B"\s*:'
_EARLIEST_US, _LATEST_US = to_us("2009-01-01"), to_us("2100-12-31")


def decode_objects(text: pl.Series, dtype: pl.Struct) -> pl.Series:
    """One JSON object per row as a struct of the fields of `dtype`; a null struct where a row is not such an object."""
    try:
        decoded = text.str.json_decode(dtype)
    except pl.exceptions.PolarsError:
        decoded = None
    if decoded is not None and len(decoded) == len(text):
        return decoded
    if len(text) == 1:
        return pl.Series(text.name, [None], dtype=dtype)
    middle = len(text) // 2
    return pl.concat([decode_objects(text[:middle], dtype), decode_objects(text[middle:], dtype)])


def read_blocks(path: Path) -> Iterator[bytes]:
    """The text of a plain or gzip file in pieces of whole lines, each of about `BLOCK_BYTES`.

    Raises:
        SourceError: the gzip stream is truncated or damaged; the error says how much could be read.
    """
    held: list[bytes] = []
    size = lines = 0
    try:
        for piece in _pieces(path):
            held.append(piece)
            size += len(piece)
            if size < BLOCK_BYTES:
                continue
            text = b"".join(held)
            cut = text.rfind(b"\n") + 1
            if cut:
                lines += text.count(b"\n")
                yield text[:cut]
            held, size = [text[cut:]], len(text) - cut
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        lines += b"".join(held).count(b"\n")
        raise SourceError(
            f"the gzip file is truncated or damaged: {lines} whole lines could be read, nothing was stored",
            where=f"{path}, after line {lines}",
            value=str(error),
            hint="copy the file again; to keep what is readable, unpack it with 'gzip -cd FILE > FILE.txt' and ingest that",
        ) from error
    if size:
        yield b"".join(held)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
    with gzip.open(path) if compressed else path.open("rb") as stream:
        while piece := stream.read1(BLOCK_BYTES):
            yield piece


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
        messages = [message for line in _head(path) if (message := _message(line)) is not None]
        if not messages:
            return None
        symbols = {str(message["s"]) for message in messages if "s" in message}
        symbol = hints.symbol or (symbols.pop() if len(symbols) == 1 else "*")
        return Identity(self.name, _exchange(path, messages, hints), "", "stream", symbol, "")

    def read(self, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        """The file's rows: a batch per block, table and symbol.

        Lines that belong to no table (cut ones, say) come as rejects of an empty batch of trades under the identity's symbol. With
        ``hints.symbol`` other instruments are passed over. With ``hints.clock == "event"`` spot quotes, which have no exchange
        time, are set aside: one reject per symbol counts them.

        Raises:
            SourceError: receive times of both units, a clock behind the exchange's, messages of another market, or a damaged file.
            ConfigError: ``hints.clock`` is unknown.
        """
        if hints.clock not in {None, "recorded", "event"}:
            raise ConfigError("there is no such clock", value=hints.clock, expected="recorded or event")
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
    digits: tuple[int, int] | None = None  # of the receive time, and the line that showed it first
    untimed: dict[str, tuple[int, str, int]] = field(default_factory=dict)  # symbol -> first line, its text, how many

    def __post_init__(self) -> None:
        self.clock = _ClockCheck(self.path)

    @property
    def by_event_time(self) -> bool:
        """Whether the receive time is not to be used."""
        return self.hints.clock == "event"

    def batches(self, lines: pl.DataFrame) -> Iterator[Batch]:
        """The batches of one block of lines (``raw``, ``source_row``)."""
        rows, rejects = self._received(lines)
        if not rejects.is_empty():
            yield self._batch("trades", self.identity.symbol, pl.DataFrame(), rejects)
        for name, event in _EVENTS.items():
            selected = rows.filter(pl.col("event") == name)
            if not selected.is_empty():
                yield from self._event_batches(event, selected)

    def finish(self) -> Iterator[Batch]:
        """What can be said only at the end of the file."""
        if not self.by_event_time:
            self.clock.judge()
        for symbol, (line, raw, count) in self.untimed.items():
            reason = f"{count} spot quotes from this line on have no exchange time, which --clock event needs"
            reject = pl.DataFrame([(line, "ts_event_us", None, reason, raw, False)], schema=REJECT_SCHEMA, orient="row")
            yield self._batch("quotes", symbol, pl.DataFrame(), reject)

    def _received(self, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Splits off the receive time (`local_us`) and names the event; malformed lines become rejects."""
        raw = pl.col("raw")
        event, stamp = raw.str.extract(_EVENT), raw.str.extract(_STAMP)
        received = stamp.cast(pl.Int64, strict=False)
        rows = lines.filter(raw.str.strip_chars() != "").with_columns(
            digits=stamp.str.len_bytes(),
            local_us=pl.when(stamp.str.len_bytes() == _NANOSECOND_DIGITS).then(received // 1000).otherwise(received),
            event=pl.when(event.is_null() & raw.str.contains(_BARE_BOOK_TICKER)).then(pl.lit("bookTicker")).otherwise(event),
        )
        start, head = raw.str.slice(0, 80), "a receive time of 16 (microseconds) or 19 (nanoseconds) digits and a JSON object"
        checks = (
            Check(~raw.str.contains("\ufffd", literal=True), "line", start, "holds bytes that are not UTF-8"),
            Check(pl.col("digits").is_not_null(), "line", start, f"does not begin with {head}"),
            Check(raw.str.strip_chars_end().str.ends_with("}"), "line", start, "is cut: its JSON object does not end"),
            Check(pl.col("local_us").is_between(_EARLIEST_US, _LATEST_US), "ts_local_us", stamp, "lies outside 2009 to 2100"),
        )
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
                    f"receive times are in {first} from line {self.digits[1]} and in {second} at line {line}",
                    where=f"{self.path}, line {line}",
                    expected="one unit in a file",
                    hint="split the file where the recorder changed",
                )

    def _event_batches(self, event: _Event, rows: pl.DataFrame) -> Iterator[Batch]:
        keys = ("s", *event.keys)
        flat = dict.fromkeys(keys, pl.String())
        body = rows.select(pl.col("raw").str.slice(pl.col("raw").str.find("{", literal=True))).to_series()
        message = decode_objects(body, pl.Struct({**flat, "data": pl.Struct(flat)}))
        fields = pl.DataFrame({"message": message}).select(
            pl.col("message").is_not_null().alias("is_json"),
            *(pl.coalesce(pl.col("message").struct["data"].struct[key], pl.col("message").struct[key]).alias(key) for key in keys),
        )
        rows = pl.concat([rows.select("source_row", "raw", "local_us"), fields], how="horizontal").with_columns(**event.columns)
        if self.hints.symbol is not None:
            rows = rows.filter(pl.col("s").is_null() | (pl.col("s") == self.hints.symbol))
        checks = (
            Check(pl.col("is_json"), "line", pl.col("raw").str.slice(0, 80), "is not valid JSON with plain values"),
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
        return rows.filter(has_time).with_columns(ts_local_us=pl.col("ts_event_us") + self.hints.latency_us)

    def _refuse_other_market(self, event: _Event, rows: pl.DataFrame) -> None:
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

    def _batch(self, kind: str, symbol: str, frame: pl.DataFrame, rejects: pl.DataFrame) -> Batch:
        parsed = schema.table(kind).parsed
        if frame.width == 0:
            frame = pl.DataFrame(schema=parsed)
        return Batch(
            kind=kind,
            exchange=self.identity.exchange,
            symbol=symbol,
            frame=frame.select(
                (pl.col(name) if name in frame.columns else pl.lit(None)).cast(dtype).alias(name) for name, dtype in parsed.items()
            ),
            clock="assumed" if self.by_event_time else "recorded",
            rank=RANKS["recorded"],
            rejects=rejects,
        )


def _head(path: Path) -> list[bytes]:
    """The first lines; what cannot be unpacked counts as none."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 4 * HEAD_BYTES)
        except zlib.error:
            return []
    return head.split(b"\n")


def _message(line: bytes) -> dict[str, Any] | None:
    """The exchange's message on a line, None where the line is not one of Binance."""
    matched = _LINE.match(line)
    if matched is None:
        return None
    try:
        message = json.loads(matched[1])
    except ValueError:
        return None
    message = message.get("data", message)
    if not isinstance(message, dict):
        return None
    known = {"e", "s"} <= message.keys() or message.keys() >= _BOOK_TICKER_KEYS or "lastUpdateId" in message
    return cast("dict[str, Any]", message) if known else None


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
    wanted = _SPOT if hints.exchange == "binance" else hints.exchange
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
