"""``pointline.ingest``: what the command does, as a function that the package itself is."""

from __future__ import annotations

import copyreg
import inspect
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
from tests.cli.running import PERP_HEADER, day_of_rows, run, write_zip
from tests.lake.archives import futures_trades, trade

import pointline
from pointline.errors import BusyError, ConfigError, LakeError, SourceError
from pointline.ingest.request import REPORT_SCHEMA, as_paths
from pointline.ingest.run import FileReport
from pointline.lake.durable import single_writer

GOOD = [trade(n, f"2024-05-01 12:00:0{n}") for n in range(1, 6)]
BAD = [*(trade(n, f"2024-05-02 12:00:{n:02d}") for n in range(6, 11)), "11,oops,1,1,1714644009000,true"]
MAPPING = 'kind = "trades"\nexchange = "binance-spot"\nsymbol = "BTCUSDT"\n[columns]\nts_event_us = { column = "time", unit = "ms" }\n'


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    """A folder with a good file, one with a bad row, one that is damaged and one of another kind."""
    folder = tmp_path / "archives"
    futures_trades(folder, "2024-05-01", *GOOD)
    futures_trades(folder, "2024-05-02", *BAD)
    damaged = futures_trades(folder, "2024-05-03", *GOOD)
    damaged.write_bytes(damaged.read_bytes()[:60])
    (folder / "notes.txt").write_text("buy low\n", encoding="utf-8")
    return folder


def test_the_report_is_that_of_the_command(archives: Path, tmp_path: Path) -> None:
    frame = pointline.ingest(archives, lake=tmp_path / "python")
    command = run("ingest", archives, "--lake", tmp_path / "command", "--json")
    assert command.code == 3
    assert dict(frame.schema) == REPORT_SCHEMA
    assert frame.to_dicts() == command.json
    assert frame["outcome"].to_list() == ["landed", "landed", "failed", "unknown"]
    assert frame["rows_landed"].to_list() == [5, 5, 0, 0]
    assert [None if text is None else text.splitlines()[0][:9] for text in frame["problem"]] == [
        None,
        "1 malform",
        "the archi",
        "no source",
    ]
    verdict = run("verify", "--lake", tmp_path / "python")
    assert verdict.code == 0


def test_a_report_lists_every_figure_once() -> None:
    row = FileReport(Path("a.zip"), "landed").row()
    assert set(row) == set(REPORT_SCHEMA)
    assert "error" not in row


def test_one_path_or_several_and_texts(archives: Path, tmp_path: Path) -> None:
    (one,) = archives.rglob("*2024-05-01.zip")
    assert pointline.ingest(str(one), lake=str(tmp_path / "lake"))["outcome"].to_list() == ["landed"]
    assert pointline.ingest([one, str(one)], lake=pointline.open_lake(tmp_path / "lake"))["outcome"].to_list() == ["unchanged"] * 2
    with pytest.raises(ConfigError, match="paths are of another type"):
        as_paths(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="paths are of another type"):
        pointline.ingest([one, None], lake=tmp_path / "lake")


def test_the_default_lake_is_made(archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTLINE_LAKE", str(tmp_path / "mine"))
    pointline.ingest(archives)
    assert (tmp_path / "mine" / "trades").is_dir()


def test_options_say_what_a_path_does_not(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "BTCUSDT-trades-2024-05-05.zip", [PERP_HEADER, *(r.line(spot=False) for r in day_of_rows(4, 5, 1, seed=4))])
    bare = pointline.ingest(path, lake=tmp_path / "lake")
    assert bare["outcome"].to_list() == ["failed"]
    told = pointline.ingest(path, lake=tmp_path / "lake", exchange="binance-futures", latency="20ms")
    assert told["rows_landed"].to_list() == [5]
    rows = pointline.research.query.trades("binance-futures", "BTCUSDT", "2024-05-05", "2024-05-06", lake=tmp_path / "lake")
    assert (rows["ts_local_us"] - rows["ts_event_us"]).unique().to_list() == [20_000]


def test_a_table_by_a_mapping(tmp_path: Path) -> None:
    table, mapping = tmp_path / "t.csv", tmp_path / "m.toml"
    table.write_text("time,p,q\n1714557600000,5,1\n", encoding="utf-8")
    mapping.write_text(MAPPING + 'price = "p"\nqty = "q"\n', encoding="utf-8")
    assert pointline.ingest(table, mapping=str(mapping), lake=tmp_path / "lake")["rows_landed"].to_list() == [1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"clock": "wall"}, "no such clock"),
        ({"latency": "soon"}, "--latency cannot be read"),
        ({"source": "tarot"}, "no such source"),
        ({"mapping": "absent.toml"}, "mapping file cannot be read"),
        ({"progress": 7}, "progress is of another type"),
    ],
)
def test_options_that_cannot_be_used_are_raised_before_a_lake_is_made(
    options: dict[str, object], says: str, archives: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=says):
        pointline.ingest(archives, lake=tmp_path / "lake", **options)
    assert not (tmp_path / "lake").exists()


def test_what_the_command_exits_with_2_4_and_5_for_is_raised(archives: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no archive file was found"):
        pointline.ingest([], lake=tmp_path / "lake")
    (one,) = archives.rglob("*2024-05-01.zip")
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        pointline.ingest(one, mapping="absent.toml", lake=tmp_path / "lake")
    pointline.ingest(one, lake=tmp_path / "lake")
    with single_writer(tmp_path / "lake"), pytest.raises(BusyError):
        pointline.ingest(one, lake=tmp_path / "lake")
    (tmp_path / "lake" / "pointline.json").write_text("{", encoding="utf-8")
    with pytest.raises(LakeError, match="version file cannot be read"):
        pointline.ingest(one, lake=tmp_path / "lake")


def test_progress_is_told_in_bytes(archives: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int, str]] = []
    pointline.ingest(archives, lake=tmp_path / "lake", progress=lambda *values: told.append(values))
    sizes = [path.stat().st_size for path in sorted(path for path in archives.rglob("*") if path.suffix in {".zip", ".txt"})]
    assert [done for done, _, _ in told] == [sum(sizes[: n + 1]) for n in range(len(sizes))]
    assert {total for _, total, _ in told} == {sum(sizes)}
    assert told[-1][2] == "notes.txt"


def test_a_report_holds_no_rows_of_a_failed_file(archives: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error with its traceback would keep everything that was read; also where a library has errors copied with it, as Dask does."""
    monkeypatch.setitem(copyreg.dispatch_table, SourceError, lambda error: (lambda: error, ()))
    from pointline.ingest.request import IngestOptions, ingest_paths

    reports = ingest_paths([archives], IngestOptions(), lake=tmp_path / "lake")
    errors = [report.error for report in reports if report.error is not None]
    assert len(errors) == 3
    assert [(error.__traceback__, error.__cause__, error.__context__) for error in errors] == [(None, None, None)] * 3


# ---- the package that is a function


def test_the_package_is_a_module_and_a_function() -> None:
    import pointline.ingest.run

    room = sys.modules["pointline.ingest"]
    assert pointline.ingest is room
    assert isinstance(room, ModuleType)
    assert pointline.ingest.run is sys.modules["pointline.ingest.run"]
    assert inspect.signature(pointline.ingest) == inspect.signature(pointline.ingest.ingest)
    assert list(inspect.signature(pointline.ingest).parameters)[:2] == ["paths", "lake"]


def test_it_works_in_a_process_that_has_imported_nothing_else(archives: Path, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "lake", ignore_errors=True)
    code = f"import pointline; print(pointline.ingest({str(archives)!r}, lake={str(tmp_path / 'lake')!r}).height)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "4\n"


def test_the_frame_is_a_frame(archives: Path, tmp_path: Path) -> None:
    frame = pointline.ingest(archives, lake=tmp_path / "lake")
    assert frame.filter(pl.col("problem").is_not_null()).height == 3
    assert frame["kinds"].to_list()[0] == ["trades"]
