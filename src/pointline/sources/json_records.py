"""The records of a JSON document: objects or lists, in a list, in a wrapper or one on each line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from pointline.errors import ConfigError, SourceError
from pointline.sources.base import REJECT_SCHEMA
from pointline.sources.checks import RAW_CHARACTERS, number_lines

if TYPE_CHECKING:
    from collections.abc import Iterable


_SHORT = 16  # characters: at most 15 digits, which every double keeps


class _Number(float):
    """A number with a fraction or exponent, and how it was written."""

    text: str

    def __new__(cls, text: str) -> Self:
        number = super().__new__(cls, text)
        number.text = text
        return number


class _Ambiguous(dict[str, Any]):
    """An object that names a key twice."""


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        row: its line in a file of JSON lines, else its number, from 1.
        value: an object or a list.
        raw: its line; None where it shares a document with others.
    """

    row: int
    value: dict[str, Any] | list[Any]
    raw: str | None

    @property
    def text(self) -> str:
        """The record as JSON."""
        return json.dumps(self.value) if self.raw is None else self.raw


@dataclass(frozen=True)
class Records:
    """The usable records of a document and `REJECT_SCHEMA` rows for the others."""

    usable: list[Record]
    rejects: pl.DataFrame


def read_records(data: bytes, path: str | None, *, lines: bool, where: str) -> Records:
    """All records, in order.

    Args:
        data: the document.
        path: the keys that lead to the records, with dots between them; None where they stand at the top.
        lines: whether the document is JSON lines by its name; else it is where it is no single JSON value.
        where: the file, for errors.

    Raises:
        SourceError: the document is not JSON.
        ConfigError: nothing stands where `path` leads.
    """
    if not lines:
        try:
            document = _DECODER.decode(data.decode("utf-8").strip())
        except (ValueError, RecursionError) as error:
            if "Extra data" not in str(error):
                raise SourceError("the file is not JSON", where=where, value=str(error)[:200], hint="copy it again") from error
        else:
            return _numbered((item, None) for item in _inside(document, path, where))
    return _lines(data, path, where)


def _lines(data: bytes, path: str | None, where: str) -> Records:
    usable: list[Record] = []
    broken: list[tuple[Any, ...]] = []
    for raw, row in number_lines(data).iter_rows():
        if not raw.strip():
            continue
        if "\ufffd" in raw:
            broken.append((row, "line", raw[:80], "holds bytes that are not UTF-8", raw[:RAW_CHARACTERS], True))
            continue
        try:
            value = _DECODER.decode(raw.strip())
            items = _inside(value, path, where) if path or _is_list_of_records(value) else [value]
        except (ValueError, RecursionError, ConfigError) as error:
            reason = f"has no records at {path}" if isinstance(error, ConfigError) else "is not valid JSON"
            broken.append((row, "line", raw[:80], reason, raw[:RAW_CHARACTERS], True))
            continue
        records = _numbered(((item, raw) for item in items), row)
        usable += records.usable
        broken += records.rejects.rows()
    if not usable and broken:
        raise SourceError("the file is not JSON", where=f"{where}, line {broken[0][0]}", value=broken[0][2], hint="copy it again")
    return Records(usable, pl.DataFrame(broken, schema=REJECT_SCHEMA, orient="row"))


def _is_list_of_records(value: Any) -> bool:  # noqa: ANN401  # any JSON value
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict | list) for item in value)


def _numbered(items: Iterable[tuple[Any, str | None]], line: int | None = None) -> Records:
    usable: list[Record] = []
    broken: list[tuple[Any, ...]] = []
    for number, (value, raw) in enumerate(items, 1):
        row = number if line is None else line
        if isinstance(value, (dict, list)) and not isinstance(value, _Ambiguous):
            usable.append(Record(row, value, raw))
            continue
        text = json.dumps(value) if raw is None else raw
        reason = "names a key twice" if isinstance(value, _Ambiguous) else "is neither a record nor a list of values"
        broken.append((row, "line", text[:80], reason, text[:RAW_CHARACTERS], True))
    return Records(usable, pl.DataFrame(broken, schema=REJECT_SCHEMA, orient="row"))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Ambiguous(found)


_DECODER = json.JSONDecoder(parse_float=_Number, object_pairs_hook=_object)


def _inside(document: Any, path: str | None, where: str) -> list[Any]:  # noqa: ANN401  # any JSON value
    """The records that stand where `path` leads; one that stands there alone is one record."""
    found = document
    for key in path.split(".") if path else ():
        if not isinstance(found, dict) or key not in found:
            keys = list(found)[:20] if isinstance(found, dict) else []
            raise ConfigError("the file has no such records", where=where, value=path, expected=f"a path of {', '.join(keys) or 'keys'}")
        found = found[key]
    return found if isinstance(found, list) else [found]


def value_at(record: Record, column: str, names: list[str]) -> tuple[str | None, bool]:
    """A record's value as text and whether it is a binary float; no text where it has none.

    Args:
        record: the record.
        column: a key, a dotted path of keys, or one of `names`.
        names: of the places of a list.
    """
    value: Any = None
    if isinstance(record.value, list):
        place = names.index(column)
        value = record.value[place] if place < len(record.value) else None
    elif column in record.value:
        value = record.value[column]
    elif "." in column:
        value = record.value
        for key in column.split("."):
            value = value.get(key) if isinstance(value, dict) else None
    if value is None or isinstance(value, str):
        return value, False
    if isinstance(value, _Number):
        return value.text, _is_written_out(value)
    return json.dumps(value), False


def _is_written_out(number: _Number) -> bool:
    """Whether the digits are those that programs write for this double: what it is, and not more than it can hold."""
    return len(number.text) <= _SHORT or Decimal(number.text) in {Decimal(repr(float(number))), Decimal(f"{number:.17g}")}


def keys_of(records: list[Record]) -> list[str]:
    """All keys of the records, with the paths of nested ones, in the order in which they appear."""
    found: dict[str, None] = {}
    for record in records:
        if isinstance(record.value, dict):
            for key, value in record.value.items():
                found[key] = None
                if isinstance(value, dict):
                    found.update(dict.fromkeys(f"{key}.{inner}" for inner in _paths(value)))
    return list(found)


def _paths(value: dict[str, Any]) -> list[str]:
    return [
        path for key, inner in value.items() for path in (key, *(f"{key}.{p}" for p in (_paths(inner) if isinstance(inner, dict) else ())))
    ]
