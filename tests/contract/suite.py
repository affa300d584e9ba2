"""What every source owes to ingest, whatever the archive: rules that hold for each `Case`.

A case is a small file written by hand and the rows that a reader of the exchange's documentation expects from it. A new archive brings
its cases (`tests.contract.cases`); which rules apply to one, `rules_of` says.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from pointline import schema
from pointline.errors import SourceError
from pointline.instruments import OBSERVATION_SCHEMA
from pointline.sources import text_lines
from pointline.sources.base import INSTRUMENTS, RANKS, REJECT_SCHEMA, Hints
from pointline.sources.families import all_sources, family

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeAlias

    from pointline.sources.base import Batch, Identity, Source

    Rule: TypeAlias = "Callable[[Path, Case], None]"


PACKED = (".gz", ".zip")


@dataclass(frozen=True)
class Case:
    """A file and what it says.

    Attributes:
        source: name of the parser.
        place: where the file lies.
        lines: its lines without header.
        bad: a malformed line, and the column and value that its reject must name.
        kind, exchange, symbol, period: what the file is.
        expected: parsed columns of each line but the last column, `source_row`; of a list of instruments all columns.
        header: its header, None where the archive has none.
        rank: preference among files that hold the same rows.
        clock: what is said of the receipt time.
        mapping: mapping file of a table.
        packings: endings under which the same file may come.
        by_content: whether the file is known by what it holds, so that an empty one is nobody's.
        csv: whether it is the CSV of an archive, with one set of columns and one unit of time.
        numeric_time: whether its times are numbers of milliseconds or microseconds.
    """

    source: str
    place: str
    lines: tuple[str, ...]
    bad: tuple[str, str | None, str | None]
    kind: str
    exchange: str
    symbol: str
    period: str
    expected: tuple[dict[str, Any], ...]
    header: str | None = None
    rank: int = RANKS["daily"]
    clock: str = "assumed"
    mapping: str | None = None
    packings: tuple[str, ...] = (".zip", ".csv.gz", ".csv")
    by_content: bool = False
    csv: bool = False
    numeric_time: bool = True

    @property
    def is_list(self) -> bool:
        """Whether it is a list of instruments, which is taken whole or not at all."""
        return self.kind == INSTRUMENTS

    @property
    def parser(self) -> Source:
        return family(self.source).source()


def text_of(case: Case, *lines: str) -> bytes:
    return "".join(f"{line}\n" for line in ([case.header] if case.header else []) + list(lines)).encode()


def write(folder: Path, case: Case, content: bytes, packing: str) -> Path:
    path = folder / f"{case.place}{packing}"
    path.parent.mkdir(parents=True, exist_ok=True)
    if packing == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{path.stem}.csv", content)
    else:
        path.write_bytes(gzip.compress(content) if packing.endswith(".gz") else content)
    return path


def hints_of(folder: Path, case: Case) -> Hints:
    if case.mapping is None:
        return Hints()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mapping.toml"
    path.write_text(case.mapping, encoding="utf-8")
    return Hints(mapping=path)


def identity_of(path: Path, case: Case, hints: Hints) -> Identity:
    found = case.parser.recognise(path, hints)
    assert found is not None
    return found


def read(folder: Path, case: Case, content: bytes, packing: str | None = None, hints: Hints | None = None) -> list[Batch]:
    path = write(folder, case, content, packing or case.packings[-1])
    hints = hints or hints_of(folder, case)
    return list(case.parser.read(path, identity_of(path, case, hints), hints))


def rows_of(batches: list[Batch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.frame.iter_rows(named=True)]


def rejects_of(batches: list[Batch]) -> list[dict[str, Any]]:
    return [row for batch in batches for row in batch.rejects.iter_rows(named=True)]


def numbered(case: Case, *, first: int = 1) -> list[dict[str, Any]]:
    """The expected rows with their lines; the header is a line."""
    if case.is_list:
        return list(case.expected)
    offset = first + (case.header is not None)
    absent = dict.fromkeys(("first_trade_id", "last_trade_id", "text_id", "off_book")) if case.kind == "trades" else {}
    return [{**absent, **row, "source_row": offset + at} for at, row in enumerate(case.expected)]


# The rules


def exactly_one_source_recognises_the_file(folder: Path, case: Case) -> None:
    hints = hints_of(folder, case)
    path = write(folder, case, text_of(case, *case.lines), case.packings[0])
    found = [identity for source in all_sources() if (identity := source.recognise(path, hints)) is not None]
    if case.mapping is None:
        assert len(found) == 1
    identity = identity_of(path, case, hints)
    exchange = "" if case.is_list else case.exchange  # of a list, the batch says it
    assert (identity.source, identity.exchange, identity.symbol, identity.period) == (case.source, exchange, case.symbol, case.period)
    assert identity.kind in {"", case.kind}


def values_units_order_and_side(folder: Path, case: Case) -> None:
    for packing in case.packings:
        batches = read(folder, case, text_of(case, *case.lines), packing)
        assert rows_of(batches) == numbered(case)
        assert rejects_of(batches) == []


def batches_follow_the_schema(folder: Path, case: Case) -> None:
    (batch,) = read(folder, case, text_of(case, *case.lines))
    assert (batch.kind, batch.exchange, batch.symbol) == (case.kind, case.exchange, case.symbol)
    assert dict(batch.frame.schema) == (OBSERVATION_SCHEMA if case.is_list else schema.table(case.kind).parsed)
    assert dict(batch.rejects.schema) == REJECT_SCHEMA


def rank_and_clock_are_said(folder: Path, case: Case) -> None:
    (batch,) = read(folder, case, text_of(case, *case.lines))
    assert (batch.rank, batch.clock) == (case.rank, case.clock)


def file_order_is_kept(folder: Path, case: Case) -> None:
    """A source does not sort; ingest does."""
    found = rows_of(read(folder, case, text_of(case, *reversed(case.lines))))
    offset = 1 + (case.header is not None)
    assert [row["source_row"] for row in found] == [offset + at for at in range(len(case.lines))]
    assert [{**row, "source_row": 0} for row in found] == [{**row, "source_row": 0} for row in reversed(numbered(case))]


def a_malformed_line_is_named_and_the_rest_is_read(folder: Path, case: Case) -> None:
    line, column, value = case.bad
    assert line not in case.lines
    batches = read(folder, case, text_of(case, case.lines[0], line, *case.lines[1:]))
    offset = 1 + (case.header is not None)
    expected = [row if at == 0 else {**row, "source_row": row["source_row"] + 1} for at, row in enumerate(numbered(case))]
    assert rows_of(batches) == expected
    (reject,) = rejects_of(batches)
    assert (reject["line"], reject["column"], reject["value"], reject["raw"], reject["fatal"]) == (offset + 1, column, value, line, True)
    assert reject["reason"]


def a_malformed_entry_refuses_the_list(folder: Path, case: Case) -> None:
    line, _, value = case.bad
    assert line not in case.lines
    with pytest.raises(SourceError) as caught:
        read(folder, case, text_of(case, line, *case.lines[1:]))
    assert str(value) in str(caught.value)


def a_cut_last_line_is_set_aside(folder: Path, case: Case) -> None:
    """A plain file may end anywhere; half a row is not a row."""
    content = text_of(case, *case.lines)
    cut = content[: content.rindex(case.lines[-1].encode()) + len(case.lines[-1]) // 2]
    batches = read(folder, case, cut)
    assert rows_of(batches) == numbered(case)[:-1]
    (reject,) = rejects_of(batches)
    assert reject["line"] == len(case.lines) + (case.header is not None)


def a_cut_list_is_refused(folder: Path, case: Case) -> None:
    content = text_of(case, *case.lines)
    with pytest.raises(SourceError):
        read(folder, case, content[: content.rindex(case.lines[-1].encode())])


def windows_line_ends_and_blank_lines_change_only_the_line_numbers(folder: Path, case: Case) -> None:
    content = text_of(case, case.lines[0], "", *case.lines[1:]).replace(b"\n", b"\r\n")
    batches = read(folder, case, content)
    shift = int(not case.is_list)
    expected = [
        row if at == 0 or case.is_list else {**row, "source_row": row["source_row"] + shift} for at, row in enumerate(numbered(case))
    ]
    assert rows_of(batches) == expected
    assert rejects_of(batches) == []


def a_missing_last_line_end_changes_nothing(folder: Path, case: Case) -> None:
    assert rows_of(read(folder, case, text_of(case, *case.lines)[:-1])) == numbered(case)


def block_size_changes_nothing(folder: Path, case: Case) -> None:
    lines = case.lines if case.is_list else (case.lines[0], case.bad[0], *case.lines[1:])
    content = text_of(case, *lines)
    whole = read(folder, case, content, case.packings[0])
    for size in (1, 50):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(text_lines, "BLOCK_BYTES", size)
            small = read(folder, case, content, case.packings[0])
        assert rows_of(small) == rows_of(whole)
        assert rejects_of(small) == rejects_of(whole)


def latency_moves_the_receipt_time_where_there_is_none(folder: Path, case: Case) -> None:
    hints = replace(hints_of(folder, case), latency_us=1_500)
    found = rows_of(read(folder, case, text_of(case, *case.lines), hints=hints))
    moved = case.clock == "assumed" and "candles" not in case.kind
    assert found == [{**row, "ts_local_us": row["ts_local_us"] + (1_500 if moved else 0)} for row in numbered(case)]


def a_truncated_archive_is_refused(folder: Path, case: Case) -> None:
    many = text_of(case, *case.lines * (1 if case.is_list else 200))
    for packing in case.packings:
        if not packing.endswith(PACKED):
            continue
        path = write(folder, case, many, packing)
        hints = hints_of(folder, case)
        identity = identity_of(path, case, hints)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(SourceError, match=r"truncated or damaged|is broken") as caught:
            list(case.parser.read(path, identity, hints))
        assert str(path) in str(caught.value.where)
        assert caught.value.hint is not None


def a_damaged_archive_is_refused(folder: Path, case: Case) -> None:
    """One byte in the middle of a packed file differs, the length is right."""
    if not case.packings[0].endswith(PACKED):
        return
    path = write(folder, case, text_of(case, *case.lines * (1 if case.is_list else 200)), case.packings[0])
    hints = hints_of(folder, case)
    identity = identity_of(path, case, hints)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(SourceError):
        list(case.parser.read(path, identity, hints))


def an_empty_file_is_refused_or_left_alone(folder: Path, case: Case) -> None:
    path = write(folder, case, b"", case.packings[-1])
    hints = hints_of(folder, case)
    identity = case.parser.recognise(path, hints)
    if case.by_content:
        assert identity is None
        return
    assert identity is not None
    with pytest.raises(SourceError, match="empty"):
        list(case.parser.read(path, identity, hints))


def a_zip_of_two_files_is_refused(folder: Path, case: Case) -> None:
    path = write(folder, case, b"", ".zip")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for member in ("a.csv", "b.csv"):
            archive.writestr(member, text_of(case, *case.lines))
    path.write_bytes(buffer.getvalue())
    hints = hints_of(folder, case)
    with pytest.raises(SourceError, match="exactly one CSV") as caught:
        list(case.parser.read(path, identity_of(path, case, hints), hints))
    assert caught.value.value == ["a.csv", "b.csv"]


def columns_more_in_every_line_are_refused(folder: Path, case: Case) -> None:
    wide = replace(case, lines=tuple(f"{line},1,2" for line in case.lines), header=f"{case.header},rpi,more" if case.header else None)
    with pytest.raises(SourceError, match="another number of columns") as caught:
        read(folder, wide, text_of(wide, *wide.lines))
    assert "line 1" in str(caught.value.where)


def rows_that_do_not_fit_their_header_are_refused(folder: Path, case: Case) -> None:
    with pytest.raises(SourceError, match="no line fits") as caught:
        read(folder, case, text_of(case, *(f"{line},1" for line in case.lines)))
    assert "line 2" in str(caught.value.where)


def times_in_two_units_are_refused(folder: Path, case: Case) -> None:
    """Milliseconds and microseconds take turns in one file."""
    at, us = next(
        (number, us)
        for number, text in enumerate(case.lines[-1].split(","))
        for us in {case.expected[-1].get("start_us", case.expected[-1]["ts_event_us"])}
        if text in {str(us), str(us // 1000)}
    )
    fields = case.lines[-1].split(",")
    fields[at] = str(us) if fields[at] == str(us // 1000) else str(us // 1000)
    with pytest.raises(SourceError, match="inside the file") as caught:
        read(folder, case, text_of(case, *case.lines, ",".join(fields)))
    assert f"line {len(case.lines) + 1 + (case.header is not None)}" in str(caught.value.where)
    assert caught.value.value == int(fields[at])


OF_ALL: tuple[Rule, ...] = (
    exactly_one_source_recognises_the_file,
    values_units_order_and_side,
    batches_follow_the_schema,
    windows_line_ends_and_blank_lines_change_only_the_line_numbers,
    a_missing_last_line_end_changes_nothing,
    block_size_changes_nothing,
    a_truncated_archive_is_refused,
    a_damaged_archive_is_refused,
    an_empty_file_is_refused_or_left_alone,
)
OF_ROWS: tuple[Rule, ...] = (
    rank_and_clock_are_said,
    file_order_is_kept,
    a_malformed_line_is_named_and_the_rest_is_read,
    a_cut_last_line_is_set_aside,
    latency_moves_the_receipt_time_where_there_is_none,
)
OF_LISTS: tuple[Rule, ...] = (a_malformed_entry_refuses_the_list, a_cut_list_is_refused)


def rules_of(case: Case) -> list[Rule]:
    """The rules that apply to a case."""
    rules = [*OF_ALL, *(OF_LISTS if case.is_list else OF_ROWS)]
    if ".zip" in case.packings:
        rules.append(a_zip_of_two_files_is_refused)
    if case.csv:
        rules.append(columns_more_in_every_line_are_refused)
        if case.header is not None:
            rules.append(rows_that_do_not_fit_their_header_are_refused)
        if case.numeric_time:
            rules.append(times_in_two_units_are_refused)
    return rules


def hold(folder: Path, case: Case) -> None:
    """Holds a case against every rule that applies to it."""
    for rule in rules_of(case):
        rule(folder / rule.__name__, case)
