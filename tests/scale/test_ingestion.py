"""An ingest with workers: the lake's bytes are those of an ingest without, whatever becomes of the workers."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.cli.running import run
from tests.machine import limit, until
from tests.scale.working import StopsParsing

from pointline.errors import ClusterError, ConfigError
from pointline.ingest.request import IngestOptions
from pointline.ingest.request import ingest_paths as ingest_here
from pointline.lake.bucket import Bucket
from pointline.lake.store import open_lake
from pointline.scale.files import sha256_of
from pointline.scale.ingestion import ParsedFiles, ParsedSource, calls_of, ingest_paths
from pointline.scale.parsing import ParsedFile, _write, batches_of, is_whole, parse_file
from pointline.scale.staging import place_of_run
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from distributed import Client
    from tests.buckets import Server


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of four days, and one that is no archive."""
    folder = tmp_path_factory.mktemp("archives")
    write_archives(MarketConfig(start="2024-05-01", days=4, perp_trades_per_day=800), folder, datasets=("trades", "fundingRate"))
    next(folder.rglob("*spot*/**/*2024-05-02.zip")).write_bytes(b"no archive")
    return folder


def data_of(lake: Path) -> dict[str, str]:
    return {str(path.relative_to(lake)): sha256_of(path) for path in lake.rglob("*.parquet") if ".staging" not in path.parts}


@pytest.fixture(scope="module")
def serial(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], list[object]]:
    lake = tmp_path_factory.mktemp("serial") / "lake"
    reports = ingest_here([archives], IngestOptions(), lake=lake)
    return data_of(lake), [report.row() for report in reports]


def test_the_lake_is_that_of_an_ingest_without_workers(
    archives: Path, tmp_path: Path, client: Client, serial: tuple[dict[str, str], list[object]]
) -> None:
    found = ingest_paths([archives], IngestOptions(), cluster=client, lake=tmp_path / "lake")
    assert (data_of(tmp_path / "lake"), [report.row() for report in found.reports]) == serial
    assert found.by_workers == len(found.reports) - 1
    assert found.trouble is None
    again = ingest_paths([archives], IngestOptions(), cluster=client, lake=tmp_path / "lake")
    assert [report.outcome for report in again.reports].count("unchanged") == len(found.reports) - 1
    assert again.by_workers == 0
    assert data_of(tmp_path / "lake") == serial[0]


def test_a_killed_worker_is_survived(archives: Path, tmp_path: Path, client: Client, serial: tuple[dict[str, str], list[object]]) -> None:
    client.wait_for_workers(2, timeout=limit(60))
    marker = tmp_path / "parsing"
    client.register_plugin(StopsParsing(str(marker)))

    def kill() -> None:
        until(lambda: marker.exists() and marker.read_text().endswith("\n"))
        os.kill(int(marker.read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        found = ingest_paths([archives], IngestOptions(), cluster=client, lake=tmp_path / "lake")
    finally:
        killer.join()
        client.unregister_worker_plugin("stops-parsing")
    assert (data_of(tmp_path / "lake"), [report.row() for report in found.reports]) == serial
    assert found.by_workers == len(found.reports) - 1


def test_workers_that_do_not_fit_are_told_before_anything_is_stored(
    archives: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pointline.scale.ingestion.own_versions", lambda: {"pointline": "9.9"})
    with pytest.raises(ClusterError, match="has other versions"):
        ingest_paths([archives], IngestOptions(), cluster=client, lake=tmp_path / "lake")
    assert open_lake(tmp_path / "lake").kinds() == []
    with pytest.raises(ConfigError, match="no such folder for parsed rows"):
        ingest_paths([archives], IngestOptions(), cluster=client, lake=tmp_path / "lake", staging=tmp_path / "nowhere")


MAPPING = """
kind = "trades"
exchange = "coinbase"
symbol = { column = "pair", values = { "BTC/USD" = "BTC-USD", "NEW/USD" = "NEW-USD" } }

[columns]
ts_event_us = { column = "when", unit = "ms" }
price = "price"
qty = "size"
side = { column = "taker", seller_taker = ["sell"] }

[[instrument]]
symbol = "NEW-USD"
base_asset = "NEW"
quote_asset = "USD"
asset_type = "spot"
"""


@pytest.fixture
def tables(tmp_path: Path) -> IngestOptions:
    """Three tables, one of them with a row that cannot land, and their mapping."""
    (tmp_path / "tables").mkdir()
    for day in range(3):
        times = [1_714_559_400_000 + day * 86_400_000 + n * 250 for n in range(400)]
        rows = [
            f"{us},{('BTC/USD', 'NEW/USD')[n % 2]},{60_000 + n}.5,0.0{n % 9 + 1},{('sell', 'buy')[n % 3 > 0]}" for n, us in enumerate(times)
        ]
        if day == 1:
            rows.insert(7, f"{times[7]},ETH/USD,many,1,buy")
        (tmp_path / "tables" / f"fills-{day}.csv").write_text("when,pair,price,size,taker\n" + "\n".join(rows) + "\n")
    (tmp_path / "fills.toml").write_text(MAPPING)
    return IngestOptions(mapping=tmp_path / "fills.toml", latency="20ms")


def test_workers_parse_tables_of_a_mapping_to_the_same_bytes(tables: IngestOptions, tmp_path: Path, client: Client) -> None:
    folder = tmp_path / "tables"
    serial = [report.row() for report in ingest_here([folder], tables, lake=tmp_path / "serial")]
    assert sum(row["rows_landed"] for row in serial) == 1_200
    found = ingest_paths([folder], tables, cluster=client, lake=tmp_path / "lake")
    assert ([report.row() for report in found.reports], found.by_workers) == (serial, 3)
    assert data_of(tmp_path / "lake") == data_of(tmp_path / "serial")
    told = run(*("scale", "ingest", folder, "--mapping", tables.mapping, "--latency", "20ms", "--cluster", client.scheduler.address),
               *("--lake", tmp_path / "lake"))  # fmt: skip
    assert told.out.splitlines()[-1] == "0 of 3 files were parsed by workers"
    assert calls_of(open_lake(tmp_path / "lake"), sorted(folder.iterdir()), tables, str(tmp_path)) == []
    other = replace(tables, latency="30ms")
    assert len(calls_of(open_lake(tmp_path / "lake"), sorted(folder.iterdir()), other, str(tmp_path))) == 3


def test_a_mapping_that_was_changed_meanwhile_is_read_by_this_process(tables: IngestOptions, tmp_path: Path, client: Client) -> None:
    path, mapping = tmp_path / "tables" / "fills-0.csv", tmp_path / "fills.toml"
    (call,) = calls_of(open_lake(tmp_path / "lake", create=True), [path], tables, str(tmp_path))
    parsed = ParsedFiles([call])
    parsed.put(path, parse_file(call))
    mapping.write_text(MAPPING.replace('"sell"', '"buy"'))
    source = ParsedSource(next(one for one in all_sources("table") if one.name == call.source), parsed)
    assert next(iter(source.read(path, call.identity, call.hints))).frame["side"][:2].to_list() == [0, 1]
    assert parsed.taken == 0
    mapping.unlink()
    with pytest.raises(ConfigError, match="mapping file cannot be read"):
        ingest_paths([path], tables, cluster=client, lake=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_only_what_was_parsed_of_the_same_bytes_and_names_is_taken(archives: Path, tmp_path: Path) -> None:
    path = next(archives.rglob("*um*/**/*trades-2024-05-01.zip"))
    (call,) = calls_of(open_lake(tmp_path / "lake", create=True), [path], IngestOptions(), str(tmp_path))

    def taken(staged: ParsedFile | None, hints: Hints = call.hints, *, spoil: str = "") -> bool:
        parsed = ParsedFiles([call])
        parsed.put(path, staged)
        if spoil and staged is not None:
            (tmp_path / str(staged.staged) / spoil).unlink()
        source = ParsedSource(next(one for one in all_sources() if one.name == call.source), parsed)
        rows = sum(batch.frame.height for batch in source.read(path, call.identity, hints))
        assert rows == 800
        return bool(parsed.taken)

    assert taken(parse_file(call))
    assert not taken(None)
    assert not taken(parse_file(call), replace(call.hints, latency_us=5))
    assert not taken(replace(parse_file(call), sha256="0"))
    assert not taken(parse_file(call), spoil="0.arrow")
    assert not taken(parse_file(call), spoil="batches.json")
    with pytest.raises(ClusterError, match="does not see a file or folder of the client"):
        parse_file(replace(call, staging=str(tmp_path / "nowhere")))


def test_the_command_tells_what_workers_did(
    archives: Path, tmp_path: Path, client: Client, serial: tuple[dict[str, str], list[object]]
) -> None:
    options = ("--cluster", client.scheduler.address, "--staging", tmp_path, "--lake", tmp_path / "lake")
    told = run("scale", "ingest", archives, *options)
    count = len(serial[1])
    assert told.code == 3  # of the file that is no archive
    assert told.out.splitlines()[-1] == f"{count - 1} of {count} files were parsed by workers"
    assert data_of(tmp_path / "lake") == serial[0]
    again = run("scale", "ingest", archives, *options, "--json")
    assert [one["outcome"] for one in again.json].count("unchanged") == count - 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake"]


def test_the_command_refuses_a_cluster_that_is_none(archives: Path, tmp_path: Path) -> None:
    told = run("scale", "ingest", archives, "--cluster", "none", "--lake", tmp_path / "lake")
    assert (told.code, "no such cluster" in told.err) == (2, True)


def test_parsed_rows_go_through_a_bucket(
    archives: Path, tmp_path: Path, store: Server, serial: tuple[dict[str, str], list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Bucket("s3://desk/waiting")
    place.put("pointline-parsed-killed/0", b"left by a run that was killed")
    store.forget()
    found = ingest_paths([archives], IngestOptions(), cluster="local:1", lake=tmp_path / "lake", staging=place.url)
    assert (data_of(tmp_path / "lake"), [report.row() for report in found.reports]) == serial
    assert found.by_workers == len(found.reports) - 1
    assert list(place.listed()) == ["pointline-parsed-killed/0"]
    puts = [key for method, key in store.requests if method == "PUT"]
    assert len(puts) == 1 + found.by_workers  # the run's mark, and one for each file
    monkeypatch.setattr("pointline.scale.staging.LEFT_OVER", timedelta(0))
    with place_of_run(Path(place.url)) as staged:
        assert list(place.listed()) == [staged.place.removeprefix(f"{place.url}/") + "/run.json"]
    assert list(place.listed()) == []


def test_what_a_bucket_lost_is_parsed_by_this_process(archives: Path, tmp_path: Path, store: Server) -> None:
    path = next(archives.rglob("*um*/**/*trades-2024-05-01.zip"))
    lake = open_lake(tmp_path / "lake", create=True)
    with place_of_run("s3://desk/waiting") as staged:
        (call,) = calls_of(lake, [path], IngestOptions(), staged.place)

        def taken(file: ParsedFile) -> int:
            parsed = ParsedFiles([call])
            parsed.put(path, file)
            source = ParsedSource(next(one for one in all_sources() if one.name == call.source), parsed)
            assert sum(batch.frame.height for batch in source.read(path, call.identity, call.hints)) == 800
            return parsed.taken

        objects = Bucket(staged.place)
        assert taken(parse_file(call)) == 1
        assert list(objects.listed()) == ["run.json"]
        lost = parse_file(call)
        objects.remove(str(lost.staged))
        assert taken(lost) == 0
        damaged = parse_file(call)
        objects.put(str(damaged.staged), b"no zip")
        assert taken(damaged) == 0
        store.fault = lambda method, _: (403, "AccessDenied") if method == "PUT" else None
        assert parse_file(call).staged is None  # a worker that may not write
        store.fault = lambda method, _: (403, "AccessDenied") if method == "HEAD" else None
        with pytest.raises(ClusterError, match=r"cannot use the parsed rows in the bucket"):
            parse_file(call)
        store.fault = None
    with pytest.raises(ClusterError, match=r"cannot use the parsed rows in the bucket"):
        parse_file(call)  # of a run that has ended
    for nowhere in ("gs://desk/waiting", "s3:", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"no such folder for parsed rows|no place"), place_of_run(nowhere):
            pass


@pytest.mark.parametrize("compression", ["lz4", "uncompressed"])
def test_batches_come_back_as_they_were(tmp_path: Path, archives: Path, compression: Literal["lz4", "uncompressed"]) -> None:
    source = next(one for one in all_sources() if one.name == "binance_vision")
    path = next(archives.rglob("*um*/**/*trades-2024-05-01.zip"))
    identity = source.recognise(path, Hints())
    assert identity is not None
    (whole,) = source.read(path, identity, Hints())
    assert whole.frame["text_id"].null_count() == whole.frame.height
    odd = whole.frame.with_columns(pl.lit(None, pl.Int8).alias("text_id"))  # another type than the table's, so it is written
    without = whole.frame.select(pl.lit(None, dtype).alias(name) for name, dtype in whole.frame.schema.items())
    batches = [replace(whole, frame=frame) for frame in (whole.frame, whole.frame.clear(), odd, without)]
    _write(tmp_path, iter(batches), compression)
    assert is_whole(tmp_path)
    for found, given in zip(batches_of(tmp_path), batches, strict=True):
        assert_frame_equal(found.frame, given.frame)
        assert_frame_equal(found.rejects, given.rejects)
        assert replace(found, frame=given.frame, rejects=given.rejects) == given
