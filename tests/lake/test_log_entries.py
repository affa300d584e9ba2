"""Live files as the entries of a log tell of them: those of the Delta library, or none where the log is not what the book says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.lake.archives import futures_trades, land, trade, write

from pointline.errors import DamageError
from pointline.lake import log_entries, open_lake
from pointline.lake.heads import read_heads
from pointline.lake.log_entries import live_files
from pointline.sources.base import Hints

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake import Lake


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose tables have files that were added, replaced and set aside, and an instrument whose folder is encoded."""
    folder = tmp_path_factory.mktemp("entries")
    days = [futures_trades(folder, f"2024-05-0{day}", trade(10 * day, f"2024-05-0{day} 12:00")) for day in (1, 2, 3)]
    land(folder / "lake", *days)
    land(folder / "lake", futures_trades(folder / "later", "2024-05-02", trade(20, "2024-05-02 12:00"), trade(21, "2024-05-02 12:01")))
    mapping = write(
        folder,
        "t.toml",
        'kind = "trades"\nexchange = "x"\nsymbol = "A/B ü"\n[instrument]\nbase_asset = "A"\nquote_asset = "B"\nasset_type = "spot"\n'
        '[columns]\nts_event_us = { column = "time", unit = "ms" }\nprice = "price"\nqty = "qty"',
    )
    land(folder / "lake", write(folder, "t.csv", "1,2,1714521600000", header="price,qty,time"), hints=Hints(mapping=mapping))
    return folder / "lake"


# In a folder only: the mirror of a bucket has the same files, of which `test_bucket_read` looks at the requests.
@pytest.fixture
def lake(made: Path, tmp_path: Path) -> Lake:
    shutil.copytree(made, tmp_path / "lake")
    return open_lake(tmp_path / "lake")


def test_the_entries_tell_what_the_delta_library_does(lake: Lake) -> None:
    heads = read_heads(lake.root)
    assert {"trades", "instruments", "manifest"} <= heads.keys()
    for name, head in heads.items():
        found = live_files(lake.table_path(name), head)
        version, files = open_lake(lake.root)._files_by_delta(name)
        assert found is not None
        assert (head.version, sorted(found)) == (version, sorted(files))
    (symbol,) = {symbol for _, exchange, symbol, _, _ in live_files(lake.table_path("trades"), heads["trades"]) or () if exchange == "x"}
    assert symbol == "A/B ü"


@pytest.mark.parametrize("change", ["a word", "a space", "cut", "empty", "missing"])
def test_an_entry_that_was_changed_is_left_to_the_library(lake: Lake, change: str) -> None:
    head = read_heads(lake.root)["trades"]
    entry = lake.log_path("trades") / f"{head.version:020d}.json"
    text = entry.read_text(encoding="utf-8")
    changed = {"a word": text.replace("numRecords", "numrecords"), "a space": text + " ", "cut": text[: len(text) // 2], "empty": ""}
    if change == "missing":
        entry.unlink()
    else:
        entry.write_text(changed[change], encoding="utf-8")
    assert live_files(lake.table_path("trades"), head) is None


def test_a_path_that_is_no_text_is_damage_of_the_log(lake: Lake) -> None:
    entry = lake.log_path("trades") / f"{read_heads(lake.root)['trades'].version:020d}.json"
    entry.write_text(entry.read_text(encoding="utf-8").replace("part-", "part%D9", 1), encoding="utf-8")
    with pytest.raises(DamageError, match="log of a table is damaged"):
        lake.live("trades")


def test_a_long_log_is_left_to_the_library(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    head = read_heads(lake.root)["trades"]
    monkeypatch.setattr(log_entries, "MOST_ENTRIES", head.version)
    assert live_files(lake.table_path("trades"), head) is None
    assert lake.live("trades").rows() == sorted(lake._files_by_delta("trades")[1], key=lambda file: (*file[1:4], file[0]))


def test_a_lake_is_listed_without_the_delta_library(lake: Lake) -> None:
    code = f"import pointline, sys; pointline.open_lake({str(lake.root)!r}).registry().frame; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.split()
    assert "polars" in loaded
    assert not {"deltalake", "pydantic", "pyarrow"} & {name.partition(".")[0] for name in loaded}
