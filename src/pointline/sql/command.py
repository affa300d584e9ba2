"""What ``pointline sql`` does: find the statement, run it, and show or write what it gave."""

from __future__ import annotations

import sys
import warnings
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from pointline import spreadsheets
from pointline.errors import ConfigError, QueryError, QueryNote
from pointline.lake.durable import write_atomically
from pointline.sql import arrow_output
from pointline.sql.interrupts import in_thread
from pointline.sql.process import frame, run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import polars as pl
    from rich.table import Table

MOST_ROWS = 1_000  # that a table on the screen shows

_FORMATS = {
    "csv": "CSVWithNames",
    "tsv": "TSVWithNames",
    "json": "JSONEachRow",
    "jsonl": "JSONEachRow",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "markdown": "Markdown",
    "md": "Markdown",
}
_BINARY = {"Parquet", "Arrow", "ArrowStream", "Native", "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "ORC", "Avro"}


@dataclass(frozen=True, kw_only=True)
class SqlOptions:
    """The options of ``pointline sql``.

    Attributes:
        text, file: the statement, or where it is.
        output_format: one of the short names, or ClickHouse's own.
        output: the file for the result; ``-`` is standard output.
        parameters: ``name=value`` of the statement's parameters.
        lake: the lake's folder.
        unsafe: the statement runs as it is, with the rights of this process and decimals that wrap.
    """

    text: str | None = None
    file: Path | None = None
    output_format: str | None = None
    output: Path | None = None
    parameters: tuple[str, ...] = ()
    lake: str | None = None
    unsafe: bool = False

    @property
    def is_to_stdout(self) -> bool:
        """Whether the result is to be written to standard output, as a file would be."""
        return self.output is not None and str(self.output) == "-"


def answer(
    options: SqlOptions, *, note: Callable[[str], None], to_terminal: bool = False, wait: Callable[[Callable[[], Any]], Any] = in_thread
) -> Table | bytes | None:
    """Runs the statement.

    Args:
        options: what the user wants.
        note: gets each note on the result, one sentence.
        to_terminal: the bytes go to a screen; binary formats are refused then.
        wait: does the work; in a thread, where a signal is to end the process.

    Returns:
        A table, the bytes of another format, or None where they went to a file.

    Raises:
        ConfigError: no statement or two, an unknown parameter form, a place that cannot be written.
        QueryError: the statement is wrong.
    """
    try:
        return _answer(options, note=note, to_terminal=to_terminal, wait=wait)
    except QueryError as error:
        error.where = error.where or _place(options)
        raise


def _place(options: SqlOptions) -> str:
    """Where the statement is."""
    if options.file is not None:
        return str(options.file)
    return "standard input" if options.text == "-" else "the statement"


def _answer(
    options: SqlOptions, *, note: Callable[[str], None], to_terminal: bool, wait: Callable[[Callable[[], Any]], Any]
) -> Table | bytes | None:
    text, parameters = _statement(options), _parameters(options.parameters)
    output = None if options.is_to_stdout else options.output
    chosen = options.output_format or _usual_format(options)
    if output is None and chosen.lower() == "table":
        return table_view(_frame(options, text, parameters, note, wait))
    if (sheet := _sheet_writer(options, chosen)) is not None and output is not None:
        _check_place(output, chosen)
        found = _frame(options, text, parameters, note, wait).lazy()
        write_atomically(output.absolute(), lambda path: sheet(found, path))
        return None
    wanted = _FORMATS.get(chosen.lower(), chosen)
    if output is not None:
        _check_place(output, chosen)
    elif to_terminal and wanted in _BINARY:
        raise ConfigError("this format is for files, not for the screen", value=chosen, hint="add -o FILE, or redirect the output")
    settings = {"output_format_json_array_of_rows": 1} if chosen.lower() == "json" else {}
    how = {"output_format": wanted, "settings": settings, "guarded": not options.unsafe}
    result = wait(partial(run, text, lake=options.lake, parameters=parameters, **how))  # type: ignore[arg-type]
    data, losses = arrow_output.readable(result.data, wanted, {}) if wanted in arrow_output.FORMATS else (result.data, [])
    _tell_all([*result.notes, *losses], note)
    if output is None:
        return bytes(data)
    write_atomically(output.absolute(), lambda path: _write(path, data))
    return None


def _usual_format(options: SqlOptions) -> str:
    """The format where none was chosen."""
    if options.is_to_stdout:
        return "csv"
    return "table" if options.output is None else options.output.suffix.removeprefix(".")


def _frame(
    options: SqlOptions, text: str, parameters: dict[str, object], note: Callable[[str], None], wait: Callable[[Callable[[], Any]], Any]
) -> pl.DataFrame:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", QueryNote)
        found: pl.DataFrame = wait(partial(frame, text, lake=options.lake, parameters=parameters, guarded=not options.unsafe))
    _tell_all([str(one.message) for one in caught if issubclass(one.category, QueryNote)], note)
    return found


def _sheet_writer(options: SqlOptions, chosen: str) -> Callable[[pl.LazyFrame, Path], None] | None:
    """What writes a file for spreadsheets, where one is asked for; a format that is named is that format, with every digit."""
    output = None if options.is_to_stdout else options.output
    if chosen.lower() == "xlsx":
        if output is None:
            raise ConfigError("an Excel file is no text", value=chosen, hint="name a file: -o FILE.xlsx")
        spreadsheets.check_xlsx()
        return spreadsheets.write_xlsx
    is_exact = options.output_format is not None or output is None or output.suffixes[-2:] == [".exact", ".csv"]
    return spreadsheets.write_csv if chosen.lower() == "csv" and not is_exact else None


def _tell_all(notes: list[str], note: Callable[[str], None]) -> None:
    for text in dict.fromkeys(notes):
        note(text)


def _write(path: Path, data: bytes | memoryview) -> None:
    path.write_bytes(data)


def _statement(options: SqlOptions) -> str:
    if (options.text is None) == (options.file is None):
        raise ConfigError(
            "one statement is wanted",
            value="none" if options.text is None else "one, and a file with --file",
            expected='pointline sql "SELECT …", pointline sql -f FILE.sql, or pointline sql - with the statement on standard input',
            hint="a prompt needs a terminal for input and output",
        )
    if options.text == "-":
        return sys.stdin.read()
    if options.file is None:
        return str(options.text)
    try:
        return options.file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError("the statement's file is no text", where=str(options.file), value=str(error), expected="UTF-8") from error


def _parameters(given: tuple[str, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError("a parameter is given by name and value", value=item, expected="--param x=VALUE")
        found[name] = value
    return found


def _check_place(path: Path, chosen: str) -> None:
    if not path.absolute().parent.is_dir() or path.is_dir():
        raise ConfigError("the output cannot be written there", value=str(path), expected="a file in an existing folder")
    if not chosen or chosen == "table":
        raise ConfigError(
            "the output's name does not tell its format",
            value=str(path),
            expected="a name ending in " + ", ".join(f".{name}" for name in (*_FORMATS, "xlsx")),
            hint="or say it: --format csv",
        )


def table_view(frame: pl.DataFrame, most_rows: int = MOST_ROWS) -> Table:
    """The frame as a table for the screen: numbers right, times in UTC, decimals without idle zeros."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    more = frame.height - most_rows
    caption = f"the first {most_rows:,} of {frame.height:,} rows; --format csv gives all" if more > 0 else _count(frame.height)
    table = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    for name, dtype in frame.schema.items():
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold")
    for row in frame.head(most_rows).iter_rows():
        table.add_row(*(_cell(value) for value in row))
    return table


def _count(rows: int) -> str:
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _cell(value: object) -> str:
    import datetime as dt

    if value is None:
        return "NULL"
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, dt.datetime):
        utc = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return utc.isoformat(sep=" ")
    return str(value)
