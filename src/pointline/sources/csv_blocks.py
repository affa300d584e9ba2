"""Reads an archive's CSV block by block at bounded memory, keeps track of lines, and sets aside the rows that cannot be believed."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from pointline.errors import SourceError
from pointline.schema import MAX_DECIMALS
from pointline.sources import text_lines
from pointline.sources.checks import RAW_CHARACTERS, Check, first_broken, rejected
from pointline.sources.exact_text import inexact
from pointline.sources.inflate import ahead, open_archive
from pointline.sources.separators import find_separators, has_long_fraction
from pointline.sources.stamps import TimeUnit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pointline.sources.products import Product

MAX_REJECTS = 100_000
_BLOCKS_AHEAD = 2


@dataclass(frozen=True)
class CsvLayout:
    """What a CSV must look like.

    Attributes:
        layouts: accepted column lists, told apart by their length.
        types: the columns that are read, required in every row unless `optional`.
        time: the column with the rows' time.
        positive: columns whose values must be above zero.
        flags: columns of ``true``/``false`` in any case.
        optional: columns that may be empty.
        exact: columns of amounts, whose text must be a number that is held exactly with up to 12 decimals.
        checks: what else every row has to keep, of the read columns and ``ts_event_us``, given the microseconds per unit of time.
        product: amounts of which one follows from the others.
    """

    layouts: tuple[tuple[str, ...], ...]
    types: dict[str, pl.DataType]
    time: str
    positive: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    checks: Callable[[int], tuple[Check, ...]] = lambda _: ()
    product: Product | None = None


@dataclass
class CsvBlock:
    """Accepted rows (the read columns, `ts_event_us` and `source_row`) and rejected ones of one block."""

    frame: pl.DataFrame
    rejects: pl.DataFrame


def text_blocks(path: Path) -> Iterator[bytes]:
    """The archive's text in pieces of whole lines.

    Raises:
        SourceError: damaged archive, or a line of more than `LINE_BYTES`.
    """

    def long_line(start: bytes) -> bytes:
        raise SourceError(
            "a line is too long for a CSV of an archive; nothing of the file was stored",
            where=str(path),
            value=f"more than {len(start):,} bytes without a line end",
            expected=f"up to {text_lines.LINE_BYTES:,} bytes",
            hint="download it again",
        )

    with open_archive(path) as archive:
        pieces = iter(lambda: archive.read(text_lines.BLOCK_BYTES), b"")
        yield from text_lines.whole_lines(pieces, long_line)


def read_csv_blocks(path: Path, layout: CsvLayout) -> Iterator[CsvBlock]:
    """The file's rows, block by block in file order.

    Raises:
        SourceError: the file is damaged or empty, has other columns than the layout, or most of its rows cannot be believed.
    """
    reader = _CsvReader(path, layout)
    for data in ahead(text_blocks(path), _BLOCKS_AHEAD):
        block = reader.block(data)
        if block is not None:
            yield block
    reader.finish()


@dataclass(frozen=True)
class _NumberedLines:
    """Whole lines of the file with the right number of fields.

    Attributes:
        data: their bytes.
        numbers: where they stand in the file, 1-based.
    """

    data: bytes
    numbers: Sequence[int]


class _CsvReader:
    """What is known of one file while its blocks are read."""

    def __init__(self, path: Path, layout: CsvLayout) -> None:
        self._path = path
        self._layout = layout
        self._columns: tuple[str, ...] = ()
        self._unit = TimeUnit(path, layout.time)
        self._exact_floats = any(layout.types[name].is_float() for name in layout.exact)
        self._exact_decimals = any(layout.types[name].is_decimal() for name in layout.exact)
        self._first_line = 1
        self._last_row = b""
        self._rows = 0
        self._rejects = 0
        self._odd: dict[str, Any] | None = None
        self._first_reject: dict[str, Any] | None = None

    def block(self, data: bytes) -> CsvBlock | None:
        """The rows of the next whole lines; None where there are only the header's."""
        if not self._columns:
            self._columns, header = _columns(data, self._layout, self._path)
            if header:
                data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
                self._first_line = 2
        if not data:
            return None
        found = find_separators(data, long_fields=self._exact_floats)
        count = found.line_ends + (not data.endswith(b"\n"))
        # a decimal is cut off beyond the twelfth decimal, a float holds fifteen digits for sure
        doubtful = found.long_field or (self._exact_decimals and has_long_fraction(data, MAX_DECIMALS))
        block = self._parse(data, range(self._first_line, self._first_line + count), found.others, doubtful=doubtful)
        self._first_line += count
        self._last_row = data[data.rfind(b"\n", 0, -1) + 1 :]
        self._count(block)
        return block

    def finish(self) -> None:
        """Refuses a file without a row, and one that is not what it is taken for."""
        if not self._columns:
            raise SourceError("the file is empty", where=str(self._path), expected="at least one row", hint="download it again")
        if self._odd is not None and self._rows == 0:
            raise SourceError(
                f"a line {self._odd['reason']}, and no line fits",
                where=f"{self._path}, line {self._odd['line']}",
                value=self._odd["raw"][:200],
                expected=f"{len(self._columns)} fields ({', '.join(self._columns)})",
            )
        if self._rejects > self._rows:
            raise self._refusal()

    def _count(self, block: CsvBlock) -> None:
        self._rows += block.frame.height
        self._rejects += block.rejects.height
        if not block.rejects.is_empty():
            self._first_reject = self._first_reject or block.rejects.row(0, named=True)
            self._odd = self._odd or next(block.rejects.filter(pl.col("column").is_null()).iter_rows(named=True), None)
        if self._rejects > MAX_REJECTS:
            raise self._refusal()

    def _refusal(self) -> SourceError:
        first = cast("dict[str, Any]", self._first_reject)
        return SourceError(
            f"{self._rejects:,} of the first {self._rows + self._rejects:,} rows cannot be believed, so nothing of the file was stored; "
            f"the first: {first['reason']}",
            where=f"{self._path}, line {first['line']}" + (f", column {first['column']}" if first["column"] else ""),
            value=first["value"] if first["value"] is not None else first["raw"][:200],
            expected="a file of what its name says",
            hint="download it again",
        )

    def _parse(self, data: bytes, lines: range, separators: int, *, doubtful: bool) -> CsvBlock:
        """The rows of a block that holds these lines of the file and that many separators beside line ends."""
        frame = None
        commas = len(lines) * (len(self._columns) - 1)
        if separators in {commas, commas + len(lines)}:  # the second where lines end in CR LF
            frame = self._read(data)
        if frame is not None and frame.height == len(lines) and not sum(frame.null_count().row(0)):
            numbers = pl.int_range(lines.start, lines.stop, dtype=pl.Int64, eager=True)
            return self._judge(frame.hstack([numbers.alias("source_row")]), _NumberedLines(data, lines), doubtful=doubtful)
        return self._line_by_line(data.split(b"\n"), lines.start, doubtful=doubtful)

    def _line_by_line(self, lines: list[bytes], first_line: int, *, doubtful: bool) -> CsvBlock:
        """For a block with an oddity: only lines with the right number of fields are parsed, blank ones are passed over."""
        columns = self._columns
        counts = [line.count(b",") + 1 for line in lines]
        whole = [at for at, count in enumerate(counts) if count == len(columns) and (count > 1 or lines[at].strip())]
        odd = [(at, count) for at, count in enumerate(counts) if count != len(columns) and lines[at].strip()]
        data = b"".join(lines[at] + b"\n" for at in whole)
        frame = self._read(data)
        if frame is None:
            raise SourceError("the CSV cannot be parsed", where=str(self._path), hint="download it again")
        if frame.height != len(whole):
            raise SourceError("the CSV cannot be parsed: its lines cannot be told apart", where=str(self._path), hint="download it again")
        numbers = [first_line + at for at in whole]
        frame = frame.with_columns(source_row=pl.Series(numbers, dtype=pl.Int64))
        last = first_line + len(lines) - 1 if lines[-1] else None
        block = self._judge(frame, _NumberedLines(data, numbers), doubtful=doubtful, last_line=last)
        reason = "has {} fields, not {}"
        cut = rejected((first_line + at, None, None, reason.format(count, len(columns)), _text(lines[at]), True) for at, count in odd)
        return CsvBlock(block.frame, pl.concat([block.rejects, cut]).sort("line"))

    def _read(self, data: bytes) -> pl.DataFrame | None:
        """The columns that are read, null where a value cannot be; None where lines have different numbers of fields."""
        layout, columns = self._layout, self._columns
        types = {**layout.types, **dict.fromkeys((f for f in layout.flags if f in columns), pl.Boolean())}
        schema = {f"column_{i}": types.get(name, pl.String()) for i, name in enumerate(columns)}
        wanted = {f"column_{i}": name for i, name in enumerate(columns) if name in types}
        if not data:
            return pl.DataFrame(schema={name: schema[column] for column, name in wanted.items()})
        lossy = any(schema[column] == pl.String for column in wanted)
        try:
            return pl.read_csv(
                data,
                has_header=False,
                schema=schema,
                columns=list(wanted),
                ignore_errors=True,
                quote_char=None,
                encoding="utf8-lossy" if lossy else "utf8",
            ).rename(wanted)
        except pl.exceptions.PolarsError:
            return None

    def _judge(self, frame: pl.DataFrame, lines: _NumberedLines, *, doubtful: bool, last_line: int | None = None) -> CsvBlock:
        """Keeps the rows in which every column that is read has a usable value, and which keep all checks."""
        layout = self._layout
        frame, scale = self._unit.add_event_time(frame)
        checks = list(layout.checks(scale))
        cut = self._cut_line(lines, last_line)
        if cut is not None:
            checks.append(cut)
        marked = list(self._marked(frame, lines, doubtful=doubtful))
        if not (marked or _is_suspect(frame, layout) or _is_any_broken(frame, checks)):
            return CsvBlock(frame, rejected())
        return self._divide(frame, lines, [*checks, *marked])

    def _marked(self, frame: pl.DataFrame, lines: _NumberedLines, *, doubtful: bool) -> Iterator[Check]:
        """What only the text of the rows tells: a result beyond the rounding of its decimals, a number of too many digits."""
        product = self._layout.product
        if product is not None and product.is_suspect(frame):
            wrong = product.contradicts(frame, self._texts(lines, [product.result])[product.result])
            if wrong.any():
                yield Check.never(product.result, product.reason, pl.lit(wrong))
        if doubtful and frame.height:
            texts = self._texts(lines, self._layout.exact)
            for name in self._layout.exact:
                digits = inexact(frame[name], texts[name])
                if digits is not None:
                    yield Check.never(name, "has more digits than can be held exactly", pl.lit(digits))

    def _divide(self, frame: pl.DataFrame, lines: _NumberedLines, checks: Sequence[Check]) -> CsvBlock:
        """Splits a frame by all checks; the first that a row breaks is the reason."""
        every = [*self._form_checks(frame, lines), *checks]
        judged = frame.with_columns(_broken=first_broken(every))
        bad = judged.with_row_index("_at").filter(pl.col("_broken").is_not_null()).select("_at", "_broken", "source_row")
        raw_lines = lines.data.split(b"\n")
        rejects = []
        for at, found, number in bad.iter_rows():
            raw, check = _text(raw_lines[at]), every[found]
            value = raw.split(",")[self._columns.index(check.column)][:RAW_CHARACTERS]
            rejects.append((number, check.column, value, check.reason, raw[:RAW_CHARACTERS], check.fatal))
        accepted = judged.filter(pl.col("_broken").is_null()).select(frame.columns)
        return CsvBlock(accepted, rejected(rejects))

    def _form_checks(self, frame: pl.DataFrame, lines: _NumberedLines) -> Iterator[Check]:
        """Values that cannot be read, in the order of the columns, then times that are none."""
        layout = self._layout
        blanks = [name for name in layout.optional if frame[name].null_count()]
        texts = self._texts(lines, blanks) if blanks else pl.DataFrame()
        for name in (name for name in self._columns if name in frame.columns):
            missing = pl.col(name).is_null()
            if name in blanks:
                missing &= pl.lit(texts[name].fill_null("").str.strip_chars(' "\r') != "")
            yield Check.never(name, f"cannot be read as {_noun(name, layout)}", missing)
            if frame.schema[name].is_float():
                yield Check.never(name, "is not a finite number", ~pl.col(name).is_finite())
            if name in layout.positive:
                yield Check.never(name, "must be above zero", pl.col(name) <= 0)
        yield Check.never(layout.time, self._unit.expected, pl.col("ts_event_us").is_null())

    def _cut_line(self, lines: _NumberedLines, last_line: int | None) -> Check | None:
        """Forbids the last row of a plain file that may end inside its last number.

        A zip or gz that inflates to its end is whole. A plain file that does not end in a line end may be cut: then a flag must be
        complete, and a number must have the form (as many decimals, or as many digits) of the number in the lines above it. Text is
        left to the checks of the layout.
        """
        name = self._columns[-1]
        number = last_line if last_line is not None else (lines.numbers[-1] if lines.numbers and not lines.data.endswith(b"\n") else None)
        if number is None or self._path.suffix in {".zip", ".gz"} or name not in self._layout.types or name in self._layout.flags:
            return None
        if self._layout.types[name] == pl.String:
            return None
        last, *above = lines.data.rstrip(b"\n").split(b"\n")[::-1]
        above = [line for line in (*above, self._last_row) if line]
        if above and all(_form(line) == _form(last) for line in above):
            return None
        return Check.never(name, "may be cut: the file does not end with a line end", pl.col("source_row") == number)

    def _texts(self, lines: _NumberedLines, names: Sequence[str]) -> pl.DataFrame:
        """Columns of these lines as they are written."""
        schema = {f"column_{i}": pl.String() for i in range(len(self._columns))}
        wanted = {f"column_{self._columns.index(name)}": name for name in names}
        frame = pl.read_csv(
            lines.data, has_header=False, schema=schema, columns=list(wanted), quote_char=None, encoding="utf8-lossy", ignore_errors=True
        )
        return frame.rename(wanted).select(list(names))


def _form(line: bytes) -> tuple[bool, int]:
    """How the last field of a line is written: whether it has a point, and how many bytes follow it."""
    whole, point, decimals = line.rstrip(b"\r\n").rpartition(b",")[2].partition(b".")
    return bool(point), len(decimals if point else whole)


def _columns(data: bytes, layout: CsvLayout, path: Path) -> tuple[tuple[str, ...], bool]:
    """The column list that fits the first line, and whether that line is a header."""
    first = data.split(b"\n", 1)[0].strip().removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    fields = [field.strip().strip('"') for field in first.split(",")]
    header = re.search(r"[A-Za-z]", fields[0]) is not None
    for columns in layout.layouts:
        if len(columns) == len(fields):
            break
    else:
        counts = " or ".join(f"{len(c)} ({', '.join(c)})" for c in layout.layouts)
        raise SourceError("the file has another number of columns", where=f"{path}, line 1", value=first[:200], expected=counts)
    if header:
        for name, found in zip(columns, fields, strict=True):
            if name in layout.types and name != found.lower():
                raise SourceError(
                    "a column has another name than this archive gives it",
                    where=f"{path}, line 1, column {found}",
                    value=found,
                    expected=name,
                )
    return columns, header


def _is_any_broken(frame: pl.DataFrame, checks: Sequence[Check]) -> bool:
    """Whether some row breaks a check."""
    return bool(checks) and any(frame.select(check.broken.any().alias(str(i)) for i, check in enumerate(checks)).row(0))


def _is_suspect(frame: pl.DataFrame, layout: CsvLayout) -> bool:
    """Whether some row has a value that is missing, not finite, or not above zero where it must be."""
    if sum(frame.null_count().row(0)) or not all(_is_finite(frame[name]) for name in frame.columns if frame.schema[name].is_float()):
        return True
    return frame.height > 0 and any(cast("float", frame[name].min() or 0) <= 0 for name in layout.positive)


def _is_finite(values: pl.Series) -> bool:
    """Whether all values are finite; a finite sum, which takes a fraction of the time, proves it."""
    return math.isfinite(values.sum()) or bool(values.is_finite().all())


def _text(line: bytes) -> str:
    return line[: 4 * RAW_CHARACTERS].decode("utf-8", "replace").rstrip("\r")


def _noun(name: str, layout: CsvLayout) -> str:
    if name in layout.flags:
        return "true or false"
    dtype = layout.types[name]
    return "a whole number" if dtype.is_integer() else "a number" if dtype.is_numeric() else "text"
