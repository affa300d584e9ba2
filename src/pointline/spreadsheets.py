"""Tables for spreadsheets, which keep 15 digits of a number, and no time zone: as .xlsx, and as a .csv that survives being opened in one.

- Times are real dates in .xlsx and ISO text with a ``Z`` in .csv. So are int64 microseconds since 1970, whose columns lose their ``_us``.
- Integers of more than 15 digits are text: in .csv behind a ``#``, without which a spreadsheet makes 1.7E+15 of them.
- Floats that have more than 15 digits were computed; they are rounded to 12. Floats with up to 15 digits stay as they are.
- Decimals become numbers of 15 digits. Lists and structs become JSON.
- Text that a spreadsheet would run as a formula stands behind an apostrophe in .csv; in .xlsx every text is a text.

What must be exact goes to Parquet or Arrow.
"""

from __future__ import annotations

import datetime as dt
import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MOST_ROWS = 1_048_575  # of a sheet, without the line of names
MOST_COLUMNS = 16_384
_MOST_TEXT = 32_767
DIGITS, COMPUTED_DIGITS = 15, 12
_LONG = 10**DIGITS
_FIRST_DATE = dt.date(1900, 3, 1)  # before it dates of sheets are off or none
_FIRST_US, _LAST_US = (int(dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()) * 1_000_000 for year in (2000, 2100))
_TIMES = ("bucket_start", "bucket_end")  # int64 microseconds whose names do not say so
_TEXTS = {pl.String, pl.Categorical, pl.Enum}
_FORMULA = r"^[=+\-@\t\r]"
_EXACT_POWER = 22  # the largest power of ten that is a double


def write_csv(rows: pl.LazyFrame, path: Path) -> None:
    """Writes a table as text that a spreadsheet keeps.

    Args:
        rows: the table.
        path: the file.
    """
    signs = rows.select(pl.any_horizontal(pl.lit(value=False), *_with_signs(rows)).any()).collect().item()
    with path.open("wb") as file:
        # without the mark Excel takes UTF-8 for another encoding
        rows.select(_columns(rows, text=True)).collect().write_csv(file, include_bom=bool(signs))


def write_xlsx(rows: pl.LazyFrame, path: Path) -> None:
    """Writes a table as the one sheet of an Excel file, its first line frozen.

    Args:
        rows: the table.
        path: the file.

    Raises:
        ConfigError: it has more rows or columns than a sheet, or a text that is longer than a cell.
        MissingExtraError: XlsxWriter is not installed.
    """
    check_xlsx()
    frame = rows.select(_columns(rows, text=False)).collect()
    _check_size(frame, path)
    frame = frame.with_columns(pl.col(name).dt.to_string() for name in frame.columns if _is_older(frame[name]))
    import xlsxwriter

    options = {"strings_to_formulas": False, "strings_to_numbers": False, "strings_to_urls": False, "nan_inf_to_errors": True}
    with path.open("wb") as file, xlsxwriter.Workbook(file, options) as book:
        formats: Any = {pl.Float64: "General", pl.Int64: "0", pl.Datetime: _time_format(frame)}
        distinct = frame.rename(dict(zip(frame.columns, _distinct(frame.columns), strict=True)))
        distinct.write_excel(book, "table", dtype_formats=formats, freeze_panes=(1, 0), autofit=True)


def _distinct(names: list[str]) -> list[str]:
    """The names with numbers behind those that a sheet could not tell apart: it reads A and a as one."""
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        number, own = 1, name
        while own.lower() in taken:
            number += 1
            own = f"{name}_{number}"
        taken.add(own.lower())
        found.append(own)
    return found


def check_xlsx() -> None:
    """Makes sure, before the work, that an Excel file can be written.

    Raises:
        MissingExtraError: XlsxWriter is not installed.
    """
    if find_spec("xlsxwriter") is None:
        raise MissingExtraError("an .xlsx file needs XlsxWriter", hint="pip install 'pointline[report]', or write a .csv")


def _is_older(times: pl.Series) -> bool:
    return isinstance(times.dtype, (pl.Date, pl.Datetime)) and times.min() is not None and bool((times.cast(pl.Date) < _FIRST_DATE).any())


def _check_size(frame: pl.DataFrame, path: Path) -> None:
    if frame.height > MOST_ROWS or frame.width > MOST_COLUMNS:
        raise ConfigError(
            "the table is larger than a sheet",
            where=str(path),
            value=f"{frame.height:,} rows, {frame.width:,} columns",
            expected=f"up to {MOST_ROWS:,} rows and {MOST_COLUMNS:,} columns",
            hint="take a shorter window or longer bars, or write .parquet or .csv",
        )
    for column in frame.select(pl.col(pl.String).str.len_chars().max()).iter_columns():
        if (column.item() or 0) > _MOST_TEXT:
            raise ConfigError(
                "a text is longer than a cell of a sheet",
                where=f"{path}, column {column.name}",
                value=f"{column.item():,} characters",
                expected=f"up to {_MOST_TEXT:,}",
                hint="write .parquet or .csv",
            )


def _time_format(frame: pl.DataFrame) -> str:
    whole = all(_is_whole(column) for column in frame.iter_columns() if isinstance(column.dtype, pl.Datetime))
    return "yyyy-mm-dd hh:mm:ss" if whole else "yyyy-mm-dd hh:mm:ss.000"


# --- columns ----------------------------------------------------------------------------------------------------------------------


def _columns(rows: pl.LazyFrame, *, text: bool) -> list[pl.Expr]:
    """The columns as a spreadsheet takes them; `text` where times and long integers are spelled out."""
    schema = rows.collect_schema()
    bounds = _bounds(rows, schema)
    found = []
    for name, dtype in schema.items():
        low, high = bounds.get(name, (None, None))
        if dtype.is_integer() and low is not None and _is_time(name, low, high):
            short = name.removesuffix("_us")
            moment = pl.from_epoch(name, time_unit="us").alias(short if short not in schema else name)
            found.append(_iso(moment) if text else moment)
        elif dtype.is_integer() and low is not None and max(-low, high) >= _LONG:
            digits = pl.col(name).cast(pl.String)
            found.append((pl.lit("#") + digits).alias(name) if text else digits)
        else:
            found.append(_plain(name, dtype, text=text))
    return found


def _bounds(rows: pl.LazyFrame, schema: pl.Schema) -> dict[str, tuple[Any, Any]]:
    integers = [name for name, dtype in schema.items() if dtype.is_integer()]
    if not integers:
        return {}
    ends = rows.select(*(pl.col(name).min().alias(f"min {name}") for name in integers), *(pl.col(name).max() for name in integers))
    row = ends.collect().row(0, named=True)
    return {name: (row[f"min {name}"], row[name]) for name in integers}


def _is_time(name: str, low: int, high: int) -> bool:
    """Whether integers are times: ages and other durations in microseconds are far below."""
    return (name.endswith("_us") or name in _TIMES) and low >= _FIRST_US and high < _LAST_US


def _plain(name: str, dtype: pl.DataType, *, text: bool) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        utc = (column.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else column).dt.cast_time_unit("us")
        return _iso(utc) if text else utc
    if isinstance(dtype, pl.Decimal) or dtype.is_float():
        doubles = (column.cast(pl.String) if dtype == pl.Float32 else column).cast(pl.Float64)
        return doubles.map_batches(rounded if dtype.is_float() else _to_digits, return_dtype=pl.Float64, is_elementwise=True)
    if isinstance(dtype, pl.Duration):
        return column.dt.to_string()
    if isinstance(dtype, pl.Binary):
        return column.bin.encode("hex")
    if dtype.is_nested():
        return column.map_elements(_as_json, return_dtype=pl.String)
    return _word(name) if text and dtype in _TEXTS else column


def _word(name: str) -> pl.Expr:
    words = pl.col(name).cast(pl.String)
    return pl.when(words.str.contains(_FORMULA)).then(pl.lit("'") + words).otherwise(words).alias(name)


def _as_json(value: Any) -> str:  # noqa: ANN401 - a list or a struct
    return json.dumps(value.to_list() if isinstance(value, pl.Series) else value, default=str, ensure_ascii=False)


def _iso(moment: pl.Expr) -> pl.Expr:
    """Times as ISO text in UTC: to the second where all of them are whole seconds, else to the microsecond."""
    return moment.map_batches(
        lambda times: times.dt.strftime("%Y-%m-%dT%H:%M:%SZ" if _is_whole(times) else "%Y-%m-%dT%H:%M:%S%.6fZ"),
        return_dtype=pl.String,
    )


def _is_whole(times: pl.Series) -> bool:
    return not bool((times.dt.microsecond() != 0).any())


def _with_signs(rows: pl.LazyFrame) -> list[pl.Expr]:
    texts = [pl.col(name).cast(pl.String).str for name, dtype in rows.collect_schema().items() if dtype in _TEXTS]
    return [text.len_bytes() != text.len_chars() for text in texts]


# --- digits -----------------------------------------------------------------------------------------------------------------------


def rounded(values: pl.Series) -> pl.Series:
    """Floats with up to 15 digits as they are, all others to 12 digits.

    Args:
        values: float64; nulls, nan and infinities stay.
    """
    numbers = values.to_numpy()
    short = _to(numbers, DIGITS)
    found = np.where((short == numbers) | ~np.isfinite(numbers), numbers, _to(numbers, COMPUTED_DIGITS))
    return pl.Series(values.name, found, dtype=pl.Float64).set(values.is_null(), None)


def _to_digits(values: pl.Series) -> pl.Series:
    return pl.Series(values.name, _to(values.to_numpy(), DIGITS), dtype=pl.Float64).set(values.is_null(), None)


def _to(numbers: NDArray[np.float64], digits: int) -> NDArray[np.float64]:
    """The doubles that are nearest to the decimals of so many digits, so that they print as such."""
    with np.errstate(all="ignore"):
        places = digits - 1 - np.floor(np.log10(np.abs(numbers)))
        easy = np.isfinite(places) & (np.abs(places) <= _EXACT_POWER)
        power = 10.0 ** np.where(easy, np.abs(places), 0)
        counts = np.rint(np.where(places >= 0, numbers * power, numbers / power))
        found = np.where(places >= 0, counts / power, counts * power)
    hard = ~easy & np.isfinite(numbers) & (numbers != 0)
    found[hard] = [float(f"{number:.{digits}g}") for number in numbers[hard].tolist()]
    return np.where(easy | hard, found, numbers)
