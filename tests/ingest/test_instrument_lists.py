"""Lists of instruments: files like any other, stored in their turn, before the files that they explain are read."""

from __future__ import annotations

import gzip
import json
import shutil
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.lake.archives import futures_trades, ms, trade, write
from typer.testing import CliRunner

from pointline.cli import app
from pointline.errors import SourceError
from pointline.ingest import names, run
from pointline.ingest.instrument_table import list_of
from pointline.ingest.repair import repair
from pointline.lake import open_lake
from pointline.lake.manifest import MANIFEST_SCHEMA
from pointline.lake.verify import verify
from pointline.sources.base import INSTRUMENTS, Batch, Hints
from pointline.sources.checks import rejected
from pointline.sources.exchange_info import ExchangeInfo
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointline.ingest.run import FileReport
    from pointline.lake import Lake
    from pointline.lake.delta_log import Change
    from pointline.sources.base import Identity

FILTERS = [{"filterType": "PRICE_FILTER", "tickSize": "0.1"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]


def entry(symbol: str, quote: str) -> dict[str, object]:
    assets = {"baseAsset": symbol.removesuffix(quote), "quoteAsset": quote, "marginAsset": quote}
    return {"symbol": symbol, "contractType": "PERPETUAL", "deliveryDate": 4_133_404_800_000, **assets, "filters": FILTERS}


def info(folder: Path, *entries: dict[str, object], name: str = "exchangeInfo.json", at: str = "2024-04-30") -> Path:
    """An answer of USD-M futures, gzipped where the name says so."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"timezone": "UTC", "serverTime": ms(at), "futuresType": "U_MARGINED", "rateLimits": [], "symbols": list(entries)}
    text = json.dumps(content).encode()
    path = folder / name
    path.write_bytes(gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
    return path


def odd_trades(folder: Path) -> Path:
    """Trades of an instrument that no venue file knows: nothing is quoted in QQQ."""
    header = "id,price,qty,quote_qty,time,is_buyer_maker"
    place = "data/futures/um/daily/trades/AAAQQQ/AAAQQQ-trades-2024-05-01.csv"
    return write(folder, place, trade(1, "2024-05-01 12:00:00"), header=header)


def bring(lake: Lake, *paths: Path, source: str | None = None) -> list[FileReport]:
    return run.ingest(lake, paths, sources=all_sources(source), hints=Hints())


def test_a_list_explains_the_names_in_the_next_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the list takes to be stored: the next file is not looked at before."""
    resolved, looked_at = threading.Event(), []
    resolve, carry_out = names.FileNames.__init__, run.carry_out

    def note(self: names.FileNames, lake: Lake, hints: Hints) -> None:
        looked_at.append(threading.current_thread())
        if len(looked_at) == 2:
            resolved.set()
        resolve(self, lake, hints)

    def slowly(lake: Lake, changes: dict[str, Change]) -> None:
        if changes[INSTRUMENTS].added:
            assert not resolved.wait(0.3)
        carry_out(lake, changes)

    monkeypatch.setattr(names.FileNames, "__init__", note)
    monkeypatch.setattr(run, "carry_out", slowly)
    lake = open_lake(tmp_path / "lake", create=True)
    reports = bring(lake, info(tmp_path, entry("AAAQQQ", "QQQ")), odd_trades(tmp_path))
    assert [report.outcome for report in reports] == ["instruments", "landed"]


def test_without_the_list_those_names_are_refused(tmp_path: Path) -> None:
    (report,) = bring(open_lake(tmp_path / "lake", create=True), odd_trades(tmp_path))
    assert report.outcome == "failed"
    assert "this instrument could not be read back" in str(report.problem)


def test_files_are_read_in_another_thread_and_stored_in_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, bool]] = []
    stored: list[tuple[int, bool]] = []
    carry_out, read_list = run.carry_out, ExchangeInfo.read

    def is_main() -> bool:
        return threading.current_thread() is threading.main_thread()

    def noted_read(self: ExchangeInfo, path: Path, identity: Identity, hints: Hints) -> Iterator[Batch]:
        read.append((path.name, is_main()))
        return read_list(self, path, identity, hints)

    def noted_store(lake: Lake, changes: dict[str, Change]) -> None:
        stored.append((len(stored), is_main()))
        carry_out(lake, changes)

    monkeypatch.setattr(ExchangeInfo, "read", noted_read)
    monkeypatch.setattr(run, "carry_out", noted_store)
    lists = [info(tmp_path, entry("BTCUSDT", "USDT"), name=f"{day}.json", at=day) for day in ("2024-04-29", "2024-04-30")]
    days = [futures_trades(tmp_path, day, trade(n, f"{day} 12:00:00")) for n, day in enumerate(("2024-05-01", "2024-05-02"), 1)]
    paths = [lists[0], days[0], lists[1], days[1]]
    lake = open_lake(tmp_path / "lake", create=True)
    bring(lake, *paths)
    assert read == [("2024-04-29.json", False), ("2024-04-30.json", False)]
    assert stored == [(n, True) for n in range(4)]
    manifest = lake.rows("manifest", MANIFEST_SCHEMA).sort("entry")
    assert manifest["file_name"].to_list() == [path.name for path in paths]


def test_the_row_of_the_manifest(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    path = info(tmp_path, entry("BTCUSDT", "USDT"), entry("ETHUSDT", "USDT"))
    (report,) = bring(lake, path)
    assert (report.outcome, report.rows_read, report.rows_landed, report.kinds) == ("instruments", 2, 2, ("instruments",))
    (row,) = lake.rows("manifest", MANIFEST_SCHEMA).to_dicts()
    observed_us = ms("2024-04-30") * 1000
    assert row["key"].startswith(f"exchange_info|snapshot-{observed_us}-")
    identity = ("source", "exchange", "market", "dataset", "symbol", "period")
    assert [row[name] for name in identity] == ["exchange_info", "", "", "instruments", "*", ""]
    assert [row[name] for name in ("clock", "options", "hints", "partitions", "conflicts")] == ["", "{}", "{}", [], []]
    assert (row["outcome"], row["rows_read"], row["rows_landed"], row["file_bytes"]) == ("instruments", 2, 2, path.stat().st_size)


def test_the_same_list_otherwise_packed_is_unchanged(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    one = entry("BTCUSDT", "USDT")
    paths = [info(tmp_path, one), info(tmp_path, one, name="again.json.gz"), info(tmp_path, one, name="later.json", at="2024-05-01")]
    assert [report.outcome for report in bring(lake, *paths)] == ["instruments", "unchanged", "instruments"]


@pytest.mark.parametrize("source", [None, "exchange_info", "binance_vision", "recorded", "table"])
def test_a_list_is_taken_whatever_source_is_asked(tmp_path: Path, source: str | None) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    (report,) = bring(lake, info(tmp_path, entry("BTCUSDT", "USDT")), source=source)
    assert report.outcome == "instruments"


def test_the_command_line_asks_for_lists_alone(tmp_path: Path) -> None:
    info(tmp_path / "in", entry("BTCUSDT", "USDT"))
    futures_trades(tmp_path / "in", "2024-05-01", trade(1, "2024-05-01 12:00:00"))
    done = CliRunner().invoke(
        app, ["ingest", str(tmp_path / "in"), "--source", "exchange_info", "--lake", str(tmp_path / "lake"), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert [report["outcome"] for report in json.loads(done.stdout)] == ["unknown", "instruments"]


def test_a_wrong_checksum_refuses_a_list(tmp_path: Path) -> None:
    path = info(tmp_path, entry("BTCUSDT", "USDT"))
    path.with_name(f"{path.name}.CHECKSUM").write_text("0" * 64, encoding="ascii")
    (report,) = bring(open_lake(tmp_path / "lake", create=True), path)
    assert report.outcome == "failed"
    assert "sha256 differs from its .CHECKSUM" in str(report.problem)


def test_a_lost_list_is_read_again_from_where_it_lies_now(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    path = info(tmp_path / "in", entry("AAAQQQ", "QQQ"))
    bring(lake, path)
    (tmp_path / "moved").mkdir()
    shutil.move(path, tmp_path / "moved" / path.name)
    shutil.rmtree(lake.root / "instruments")
    assert verify(open_lake(lake.root)).problems
    done = repair(open_lake(lake.root), all_sources, [tmp_path / "moved"])
    assert [report.outcome for report in done.reread] == ["instruments"]
    assert open_lake(lake.root).registry().find("binance-futures", "AAAQQQ", ms("2024-05-01") * 1000).quote_asset == "QQQ"


def test_a_list_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    path = info(tmp_path, entry("BTCUSDT", "USDT"))
    identity = ExchangeInfo().recognise(path, Hints())
    assert identity is not None
    (batch,) = ExchangeInfo().read(path, identity, Hints())
    assert list_of(path, identity, "", [batch]).observations.height == 1
    broken = replace(batch, rejects=rejected([(3, "tickSize", "x", "is no step", None, True)]))
    with pytest.raises(SourceError, match="taken whole or not at all: is no step"):
        list_of(path, identity, "", [batch, broken])
    with pytest.raises(SourceError, match="holds no instrument"):
        list_of(path, identity, "", [replace(batch, frame=batch.frame.clear())])
    with pytest.raises(SourceError, match="holds no instrument"):
        list_of(path, identity, "", [])
