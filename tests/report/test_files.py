"""Tables that go to a file block by block."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from pointline import compare
from pointline.errors import ConfigError
from pointline.ingest.run import ingest
from pointline.lake import open_lake
from pointline.report import files
from pointline.report.files import write_blocks
from pointline.research.spines import TradeBarConfig
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TABLE = pl.DataFrame({"a": range(1_000), "b": [None if k % 7 == 0 else k / 3 for k in range(1_000)], "c": ["x", None] * 500})


def cut(table: pl.DataFrame, rows: int) -> Iterator[pl.DataFrame]:
    for first in range(0, table.height, rows):
        yield table.slice(first, rows)


@pytest.mark.parametrize("ending", [".parquet", ".exact.csv", ".arrow", ".csv"])
def test_the_bytes_do_not_depend_on_the_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(files, "ROW_GROUP_ROWS", 128)
    contents = set()
    for rows in (1, 7, 128, 129, 999, 5_000):
        written = write_blocks(cut(TABLE, rows), tmp_path / f"table{ending}")
        assert written.scan().collect().equals(TABLE)
        contents.add(written.path.read_bytes())
    assert len(contents) == 1


def test_a_failure_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    write_blocks(cut(TABLE, 100), path)
    before = path.read_bytes()

    def broken() -> Iterator[pl.DataFrame]:
        yield TABLE
        raise ConfigError("the source broke")

    with pytest.raises(ConfigError, match="the source broke"):
        write_blocks(broken(), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["table.parquet"]


@pytest.mark.parametrize("path", ["table.ods", "missing/table.parquet"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match="cannot be written there"):
        write_blocks(iter([]), tmp_path / path)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    paths = write_archives(MarketConfig(start="2024-05-01", days=3, perp_trades_per_day=3_000), folder / "archives")
    ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=Hints())
    return folder / "lake"


@pytest.mark.parametrize("join", ["asof", "inner"])
def test_a_study_in_a_file_says_the_same(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, join: str) -> None:
    """Whatever the size of the blocks that bars, state and features go through."""
    options = {"start": "2024-05-02", "end": "2024-05-04", "bars": TradeBarConfig(5), "join": join, "lake": lake, "cache": False}
    markets = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
    whole = compare(*markets, **options)  # type: ignore[arg-type]
    assert whole.features.height > 200
    for bars in (16_384, 300, 37):
        monkeypatch.setattr("pointline.bars.trade_events.BLOCK_BARS", bars)
        study = compare(*markets, **options, output=tmp_path / "features.parquet")  # type: ignore[arg-type]
        assert study.features.equals(whole.features)
        assert study.columns == whole.columns
        assert study.notes == whole.notes
        timings = {"elapsed_s": 0, "rows_per_s": 0}
        floats = ("perp_volume_base", "spot_volume_base", "volume_ratio")
        assert {**study.summary, **timings, **dict.fromkeys(floats)} == {**whole.summary, **timings, **dict.fromkeys(floats)}
        assert [study.summary[name] for name in floats] == pytest.approx([whole.summary[name] for name in floats])
        if join == "asof":
            assert study.bars.equals(whole.bars)
            assert study.labels().equals(whole.labels())
        in_memory = compare(*markets, **options)  # type: ignore[arg-type]
        assert in_memory.features.equals(whole.features)
        assert in_memory.bars.equals(whole.bars)
