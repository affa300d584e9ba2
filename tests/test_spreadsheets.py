"""Files for spreadsheets, read back: by `csv`, and by openpyxl, which reads what Excel would."""

from __future__ import annotations

import csv
import datetime as dt
import gc
import math
import sys
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.running import run

import pointline
from pointline import spreadsheets
from pointline.errors import ConfigError, MissingExtraError
from pointline.report import files
from pointline.report.files import check_output, write_blocks
from pointline.spreadsheets import rounded, write_csv, write_xlsx

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

MAY_1 = 1_714_521_600_000_000
TABLE = pl.DataFrame(
    {
        "bucket_start": [MAY_1, MAY_1 + 1, None],
        "known_us": [MAY_1, MAY_1 + 60_000_000, MAY_1],
        "age_us": [0, 86_400_000_000, None],
        "symbol_id": [8_123_456_789_012_345_678, 1, None],
        "count": [999_999_999_999_999, -3, None],
        "price": [97_265.1, 0.1 + 0.2, None],
        "mean": [60_000.123456789012, 1 / 3, float("nan")],
        "amount": pl.Series([Decimal("97265.10"), Decimal("0.000000000001"), None], dtype=pl.Decimal(38, 20)),
        "market": ["BTC-USDT", "=1+1", None],
        "complete": [True, False, None],
        "day": [dt.date(2024, 5, 1), dt.date(2024, 5, 2), None],
        "at": pl.Series([dt.datetime(2024, 5, 1, tzinfo=dt.UTC), None, None], dtype=pl.Datetime("ns", "UTC")),
        "sizes": [[1, 2], [], None],
    }
)


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def sheet(path: Path) -> list[list[Any]]:
    book = openpyxl.load_workbook(path)
    try:
        return [list(row) for row in book.worksheets[0].iter_rows(values_only=True)]
    finally:
        book.close()


# --- text -------------------------------------------------------------------------------------------------------------------------


def test_a_csv_that_a_spreadsheet_keeps(tmp_path: Path) -> None:
    write_csv(TABLE.lazy(), tmp_path / "t.csv")
    first, second, third = csv_rows(tmp_path / "t.csv")
    assert first == {
        "bucket_start": "2024-05-01T00:00:00.000000Z",
        "known": "2024-05-01T00:00:00Z",
        "age_us": "0",
        "symbol_id": "#8123456789012345678",
        "count": "999999999999999",
        "price": "97265.1",
        "mean": "60000.1234568",
        "amount": "97265.1",
        "market": "BTC-USDT",
        "complete": "true",
        "day": "2024-05-01",
        "at": "2024-05-01T00:00:00Z",
        "sizes": "[1, 2]",
    }
    assert [second[name] for name in ("bucket_start", "symbol_id", "price", "mean", "amount", "market")] == [
        *("2024-05-01T00:00:00.000001Z", "#1", "0.3", "0.333333333333", "1e-12", "'=1+1")
    ]
    assert {name for name, value in third.items() if value} == {"known", "mean"}


@pytest.mark.parametrize(("text", "marked"), [("BTC-USDT", False), ("币安", True)])
def test_letters_beyond_ascii_get_the_mark_that_excel_wants(tmp_path: Path, text: str, marked: bool) -> None:
    write_csv(pl.LazyFrame({"market": [text, None]}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbf") is marked
    assert csv_rows(tmp_path / "t.csv")[0]["market"] == text
    assert pl.read_csv(tmp_path / "t.csv").columns == ["market"]


def test_no_number_has_more_digits_than_a_spreadsheet_keeps(tmp_path: Path, demo: Demo) -> None:
    write_csv(pl.scan_parquet(demo.folder / "features.parquet"), tmp_path / "t.csv")
    rows = csv_rows(tmp_path / "t.csv")
    assert len(rows) > 100
    for row in rows:
        for name, value in row.items():
            try:
                number = float(value)
            except ValueError:
                continue
            digits = value.partition("e")[0].replace(".", "").replace("-", "").strip("0")
            assert len(digits) <= 15, (name, value)
            assert abs(number) < 1e15, (name, value)
    assert rows[0]["bucket_start"].startswith("2024-05-01T00:00:00")


def test_a_short_name_that_is_taken_is_not_used_twice(tmp_path: Path) -> None:
    write_csv(pl.LazyFrame({"known_us": [MAY_1], "known": ["x"]}), tmp_path / "t.csv")
    assert csv_rows(tmp_path / "t.csv") == [{"known_us": "2024-05-01T00:00:00Z", "known": "x"}]


@pytest.mark.parametrize("frame", [TABLE.clear(), pl.DataFrame({"a": pl.Series([None, None], dtype=pl.Int64)})])
def test_tables_without_rows_or_values(tmp_path: Path, frame: pl.DataFrame) -> None:
    write_csv(frame.lazy(), tmp_path / "t.csv")
    write_xlsx(frame.lazy(), tmp_path / "t.xlsx")
    assert (tmp_path / "t.csv").read_text().count("\n") == frame.height + 1
    assert sheet(tmp_path / "t.xlsx")[0][-1] == frame.columns[-1]


# --- digits -----------------------------------------------------------------------------------------------------------------------


def digits_of(number: float) -> int:
    """How many digits the shortest text of a number has."""
    return len(repr(abs(number)).partition("e")[0].replace(".", "").strip("0"))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_computed_floats_get_12_digits_and_others_stay(numbers: list[float]) -> None:
    for before, after in zip(numbers, rounded(pl.Series("x", numbers, dtype=pl.Float64)), strict=True):
        if digits_of(before) <= 15:
            assert after == before
        else:
            assert digits_of(after) <= 15
            assert math.isclose(before, after, rel_tol=5.1e-12)


@given(st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 20))
def test_what_an_exchange_prints_with_15_digits_stays(count: int, places: int) -> None:
    number = float(Decimal(count).scaleb(-places))
    assert rounded(pl.Series("x", [number]))[0] == number


def test_noise_goes() -> None:
    noisy = [0.1 + 0.2, 1.1 * 3, 97_265.1 - 0.1 + 0.1, None, float("inf")]
    assert rounded(pl.Series("x", noisy, dtype=pl.Float64)).to_list() == [0.3, 3.3, 97_265.1, None, float("inf")]


# --- Excel ------------------------------------------------------------------------------------------------------------------------


def test_a_sheet(tmp_path: Path) -> None:
    write_xlsx(TABLE.lazy(), tmp_path / "t.xlsx")
    names, first, second, third = sheet(tmp_path / "t.xlsx")
    assert names == ["bucket_start", "known", *TABLE.columns[2:]]
    midnight = dt.datetime(2024, 5, 1)  # noqa: DTZ001 -- a sheet knows no zones
    assert first == [
        *(midnight, midnight, 0, "8123456789012345678", 999_999_999_999_999, 97_265.1, 60_000.1234568),
        *(97_265.1, "BTC-USDT", True, midnight, midnight, "[1, 2]"),
    ]
    assert second[1:4] == [midnight + dt.timedelta(minutes=1), 86_400_000_000, "1"]
    assert second[5:9] == [0.3, 0.333333333333, 1e-12, "=1+1"]
    assert third[0] is third[3] is third[5] is third[8] is None
    book = openpyxl.load_workbook(tmp_path / "t.xlsx")
    page = book.worksheets[0]
    assert page.freeze_panes == "A2"
    assert page["A2"].is_date
    assert page["A2"].number_format == "yyyy-mm-dd hh:mm:ss.000"
    assert page["I3"].data_type == "s"  # no formula
    assert page["D2"].data_type == "s"
    book.close()


def test_nothing_in_a_sheet_is_a_formula_or_a_link(tmp_path: Path) -> None:
    texts = ["=HYPERLINK(1)", "https://example.org", "+1", "{=1}", "@x"]
    write_xlsx(pl.LazyFrame({"text": texts}), tmp_path / "t.xlsx")
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        page = archive.read("xl/worksheets/sheet1.xml").decode()
        assert "<f>" not in page
        assert "hyperlink" not in page.lower()
        assert "=HYPERLINK(1)" in archive.read("xl/sharedStrings.xml").decode()
    assert [row[0] for row in sheet(tmp_path / "t.xlsx")[1:]] == texts


def test_names_that_a_sheet_reads_as_one(tmp_path: Path) -> None:
    write_xlsx(pl.LazyFrame({"a": [1], "A": [2], "a_2": [3]}), tmp_path / "t.xlsx")
    assert sheet(tmp_path / "t.xlsx") == [["a", "A_2", "a_2_2"], [1, 2, 3]]


def test_types_that_sheets_do_not_know(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "old": [dt.date(1899, 12, 31)],
            "far": [dt.datetime(1800, 1, 1, 12)],  # noqa: DTZ001 -- a sheet knows no zones
            "wait": [dt.timedelta(seconds=90)],
            "single": pl.Series([0.1], dtype=pl.Float32),
            "raw": [b"\x00\xff"],
            "pair": [{"a": 1, "b": None}],
            "large": pl.Series([2**64 - 1], dtype=pl.UInt64),
        }
    )
    write_xlsx(frame.lazy(), tmp_path / "t.xlsx")
    write_csv(frame.lazy(), tmp_path / "t.csv")
    expected = ["1899-12-31", "1800-01-01 12:00:00.000000", "PT1M30S", 0.1, "00ff", '{"a": 1, "b": null}', "18446744073709551615"]
    assert sheet(tmp_path / "t.xlsx")[1] == expected
    assert list(csv_rows(tmp_path / "t.csv")[0].values()) == [
        *("1899-12-31", "1800-01-01T12:00:00Z", "PT1M30S", "0.1", "00ff", '{"a": 1, "b": null}', "#18446744073709551615")
    ]


@pytest.mark.parametrize(("rows", "columns"), [(6, 1), (1, 4)])
def test_a_table_larger_than_a_sheet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, columns: int) -> None:
    monkeypatch.setattr(spreadsheets, "MOST_ROWS", 5)
    monkeypatch.setattr(spreadsheets, "MOST_COLUMNS", 3)
    frame = pl.DataFrame({f"c{n}": range(rows) for n in range(columns)})
    with pytest.raises(ConfigError, match="larger than a sheet") as caught:
        write_blocks(iter([frame]), tmp_path / "t.xlsx")
    assert f"{rows:,} rows, {columns:,} columns" in str(caught.value)
    assert ".parquet" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_is_that_of_excel(tmp_path: Path) -> None:
    assert spreadsheets.MOST_ROWS + 1 == 2**20
    with pytest.raises(ConfigError, match="larger than a sheet"):
        write_xlsx(pl.LazyFrame({"n": range(2**20)}), tmp_path / "t.xlsx")


def test_a_text_longer_than_a_cell_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="longer than a cell") as caught:
        write_xlsx(pl.LazyFrame({"note": ["x" * 32_768]}), tmp_path / "t.xlsx")
    assert "column note" in str(caught.value)


def test_without_the_library_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    monkeypatch.setattr(spreadsheets, "find_spec", lambda _: None)
    for attempt in (lambda: check_output(tmp_path / "t.xlsx"), lambda: write_xlsx(TABLE.lazy(), tmp_path / "t.xlsx")):
        with pytest.raises(MissingExtraError, match="XlsxWriter") as caught:
            attempt()
        assert "pointline[report]" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# --- the commands -----------------------------------------------------------------------------------------------------------------

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", "--start", "2024-05-01", "--end", "2024-05-03", "--threshold", "100")


@pytest.mark.parametrize("ending", [".csv", ".xlsx"])
def test_a_study_in_a_spreadsheet_keeps_every_digit(demo: Demo, tmp_path: Path, ending: str) -> None:
    window = {"start": "2024-05-01", "end": "2024-05-03", "lake": demo.folder / "lake", "cache": False}
    bars = pointline.research.spines.VolumeBarConfig(100.0)
    whole = pointline.compare(*PAIR[:2], bars=bars, **window)
    study = pointline.compare(*PAIR[:2], bars=bars, output=tmp_path / f"f{ending}", **window)
    assert study.features.equals(whole.features)
    assert study.columns == whole.columns
    rows = csv_rows(tmp_path / "f.csv") if ending == ".csv" else sheet(tmp_path / "f.xlsx")[1:]
    assert len(rows) == whole.features.height
    assert [path.name for path in tmp_path.iterdir()] == [f"f{ending}"]


def test_the_exact_table_behind_a_spreadsheet_goes_with_its_reader(tmp_path: Path) -> None:
    written = write_blocks(iter([TABLE]), tmp_path / "t.csv")
    folder = written.exact.parent
    assert written.scan().collect().equals(TABLE)
    assert folder.is_dir()
    del written
    gc.collect()
    assert not folder.exists()


def test_a_failure_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ConfigError("no")

    made: list[Path] = []
    monkeypatch.setattr(files.tempfile, "mkdtemp", lambda prefix: made.append(tmp_path / prefix) or made[-1].mkdir() or str(made[-1]))  # type: ignore[func-returns-value]
    monkeypatch.setattr(spreadsheets, "write_csv", fail)
    with pytest.raises(ConfigError):
        write_blocks(iter([TABLE]), tmp_path / "t.csv")
    assert len(made) == 1
    assert list(tmp_path.iterdir()) == []


def test_compare_and_sql_write_spreadsheets(demo: Demo, tmp_path: Path) -> None:
    lake = ("--lake", demo.folder / "lake")
    assert run("compare", *PAIR, *lake, "-o", tmp_path / "f.xlsx").code == 0
    assert isinstance(sheet(tmp_path / "f.xlsx")[1][sheet(tmp_path / "f.xlsx")[0].index("bucket_end")], dt.datetime)
    candles = "api.ohlcv(candle_duration_in_minutes = 1440)"
    text = f"SELECT start, market, close, toInt64(9007199254740993) AS id FROM {candles} ORDER BY exchange, start"
    assert run("sql", text, *lake, "-o", tmp_path / "c.csv").code == 0
    assert run("sql", text, *lake, "-o", tmp_path / "c.exact.csv").code == 0
    assert run("sql", text, *lake, "-o", tmp_path / "c.xlsx").code == 0
    kept, exact = csv_rows(tmp_path / "c.csv"), csv_rows(tmp_path / "c.exact.csv")
    assert (kept[0]["start"], exact[0]["start"]) == ("2024-05-01T00:00:00Z", "2024-05-01 00:00:00")
    assert (kept[0]["id"], exact[0]["id"]) == ("#9007199254740993", "9007199254740993")
    assert [Decimal(row["close"]) for row in kept] == [Decimal(row["close"]) for row in exact]
    page = sheet(tmp_path / "c.xlsx")
    assert page[1][0] == dt.datetime(2024, 5, 1)  # noqa: DTZ001 -- a sheet knows no zones
    assert [row[2] for row in page[1:]] == [float(row["close"]) for row in exact]
    refused = run("sql", text, *lake, "--format", "xlsx")
    assert refused.code == 2
    assert "-o FILE.xlsx" in refused.err
