"""Damage is found where it matters, said with the file and the remedy, and repaired from the archive files."""

from __future__ import annotations

import gzip
import json
import random
import re
import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.lake.archives import FUTURES, futures_trades, land, ms, quarantine, trade, write
from tests.lake.stores import COPIES_SLOWLY, InFolder, Stored

import pointline
from pointline.clock import to_us
from pointline.errors import DamageError
from pointline.ingest.repair import repair
from pointline.lake import Lake, open_lake
from pointline.lake.catalog import catalog
from pointline.lake.maintenance import maintain
from pointline.lake.verify import verify
from pointline.research import query
from pointline.research.spines import VolumeBarConfig
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.sql import query as ask

if TYPE_CHECKING:
    from tests.lake.stores import StoredFrom

MAPPING = """
kind = "trades"
exchange = "binance-futures"
symbol = "BTCUSDT"
[columns]
ts_event_us = { column = "time", unit = "ms" }
trade_id = "id"
price = "price"
qty = "qty"
side = { column = "maker", seller_taker = ["true"] }
"""
SYMBOL = {
    "symbol": "BTCUSDT",
    "contractType": "PERPETUAL",
    "deliveryDate": 4133404800000,
    "onboardDate": 1569398400000,
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "status": "TRADING",
    "filters": [{"filterType": "PRICE_FILTER", "tickSize": "0.10"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}],
}


def small_archives(folder: Path) -> list[tuple[list[Path], Hints]]:
    """Overlapping archives of several tables, with rows set aside, rows in reserve and a list of instruments."""
    days = [[trade(n, f"2024-05-0{day} 12:00:{n % 60:02d}") for n in range(day * 100, day * 100 + 40)] for day in (1, 2, 3)]
    month = futures_trades(folder, "2024-05", *days[0], *days[1], *days[2])
    second = futures_trades(folder, "2024-05-02", *days[1][:30], "9,oops,1,1,1,true")
    candles = [
        f"{ms('2024-05-01') + minute * 60_000},1,3,0.5,2,1.5,{ms('2024-05-01') + minute * 60_000 + 59_999},3.25,7,1.25,2.5,0"
        for minute in range(30)
    ]
    minutes = write(folder, f"{FUTURES}/monthly/klines/BTCUSDT/1m/BTCUSDT-1m-2024-05.zip", *candles)
    info = {"timezone": "UTC", "serverTime": ms("2024-05-01"), "futuresType": "U_MARGINED", "rateLimits": [], "symbols": [SYMBOL]}
    listed = folder / "exchangeInfo.json"
    listed.write_text(json.dumps({**info, "exchangeFilters": [], "assets": []}))
    table = folder / "table.csv.gz"
    rows = [f"{ms('2024-05-04 10:00')},{n},60000.5,0.002,true" for n in range(900, 905)]
    table.write_bytes(gzip.compress("\n".join(["time,id,price,qty,maker", *rows, ""]).encode()))
    mapping = folder / "mapping.toml"
    mapping.write_text(MAPPING)
    return [([month, second, minutes, listed], Hints()), ([table], Hints(mapping=mapping))]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage")
    for paths, hints in small_archives(folder / "in"):
        land(folder / "lake", *paths, hints=hints)
    sizes = {size.table: size for size in maintain(open_lake(folder / "lake"), 0)}
    assert (sizes["trades"].removed_files, sizes["trades"].dead_files) == (1, 0)  # the monthly rows of a day that a daily file serves
    assert pl.read_parquet(folder / "lake/trades/**/*.parquet", hive_partitioning=False)["trade_id"].is_unique().all()
    assert verify(open_lake(folder / "lake")).problems == []
    assert {"trades_reserve", "quarantine", "instruments"} <= {path.name for path in (folder / "lake").iterdir()}
    return folder / "lake"


def all_contents(stored: Stored) -> dict[str, bytes]:
    """Bytes of the live data files of the trades' reserve and of all market tables, as they are stored."""
    lake = stored.opened()
    tables = [*lake.kinds(), "trades_reserve"]
    return {f"{table}/{path}": stored.read(f"{table}/{path}") for table in tables for path in lake.live(table)["path"]}


def answers(stored: Stored) -> object:
    """What a reader is told; an error is an answer too."""
    try:
        lake = stored.opened()
        told = {
            kind: lake.scan(kind, "binance-futures", "BTCUSDT", to_us("2024-01-01"), to_us("2025-01-01")).collect().rows()
            for kind in ("trades", "candles_1m")
        }
        return told, catalog(lake)["instruments"], lake.registry().frame.rows()
    except DamageError as error:
        return error


def flip(stored: Stored, name: str, place: float, bit: int) -> None:
    data = bytearray(stored.read(name))
    if data:
        data[min(int(place * len(data)), len(data) - 1)] ^= 1 << bit
    stored.write(name, bytes(data))


def damages(stored: Stored, name: str, how: str) -> None:
    if how == "deleted":
        stored.write(name, None)
    elif how == "emptied":
        stored.write(name, b"")
    else:
        flip(stored, name, float(how), 3)


HOWS = ("deleted", "emptied", "0.4")


def chosen(stored: Stored) -> list[tuple[str, str]]:
    """Each file with a damage, and each kind of file with every damage."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for name in stored.names():
        kinds.setdefault((name.split("/")[0], Path(name).suffix), []).append(name)
    return [(names[n % len(names)], HOWS[n % len(HOWS)]) for names in kinds.values() for n in range(max(len(names), len(HOWS)))]


@pytest.mark.parametrize("stored_from", ["folder"], indirect=True)  # the next one runs over a bucket too
def test_any_damaged_file_is_found_and_repaired(clean: Path, stored_from: StoredFrom) -> None:
    stored = stored_from(clean)
    damage = chosen(stored)
    assert {name for name, _ in damage} == set(stored.names())
    found_and_repaired(clean, stored_from, damage)


@pytest.mark.slow
def test_every_file_is_found_and_repaired_after_every_damage(clean: Path, stored_from: StoredFrom) -> None:
    found_and_repaired(clean, stored_from, [(name, how) for name in stored_from(clean).names() for how in HOWS])


def found_and_repaired(clean: Path, stored_from: StoredFrom, damage: list[tuple[str, str]]) -> None:
    expected, told = all_contents(InFolder(clean)), answers(InFolder(clean))
    silent = []
    for name, how in damage:
        stored = stored_from(clean)
        damages(stored, name, how)
        found = verify(stored.opened(damaged=True)).problems
        heard = answers(stored)
        if not isinstance(heard, DamageError) and heard != told:
            silent.append((name, how))
        assert found, f"{how}: verify says nothing of {name}"
        done = repair(stored.opened(damaged=True), all_sources)
        assert done.missing == [], name
        assert done.after.problems == [], name
        assert verify(stored.opened()).problems == [], name
        assert all_contents(stored) == expected, name
        assert answers(stored)[0] == told[0], name  # type: ignore[index]
        stored.discard()
    assert silent == []


def lose(stored: Stored, day: str) -> None:
    """Removes the data file of the trades of a day."""
    (path,) = stored.opened().partition_paths("trades", "binance-futures", "BTCUSDT", day)
    stored.write(path.relative_to(stored.opened().root).as_posix(), None)


def test_an_error_names_the_file_and_the_remedy(clean: Path, stored_from: StoredFrom) -> None:
    stored = stored_from(clean)
    (path,) = stored.opened().partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-01")
    flip(stored, path.relative_to(stored.opened().root).as_posix(), 0.5, 0)
    with pytest.raises(DamageError, match="damaged") as caught:
        stored.opened().scan("trades", "binance-futures", "BTCUSDT", to_us("2024-05-01"), to_us("2024-05-02")).collect()
    assert path.name in str(caught.value)
    assert "pointline repair" in str(caught.value)


@COPIES_SLOWLY
def test_what_is_gone_is_not_called_unchanged(clean: Path, stored_from: StoredFrom) -> None:
    stored = stored_from(clean)
    expected = all_contents(stored)
    paths = [Path(row) for row in stored.opened().rows("manifest", {})["path"].to_list()]
    month = next(path for path in paths if path.name == "BTCUSDT-trades-2024-05.zip")
    lose(stored, "2024-05-01")
    stored.opened()
    with pytest.raises(DamageError, match="missing"):
        land(stored.place, month)
    repair(stored.opened(), all_sources)
    (report,) = land(stored.place, month)
    assert report.outcome == "unchanged"
    assert all_contents(stored) == expected


@COPIES_SLOWLY
def test_archives_are_found_in_another_folder(clean: Path, tmp_path: Path, stored_from: StoredFrom) -> None:
    stored, moved = stored_from(clean), tmp_path / "moved"
    folder = clean.parent / "in"
    lose(stored, "2024-05-04")
    shutil.move(folder, moved)
    try:
        assert repair(stored.opened(), all_sources).missing != []
        done = repair(stored.opened(), all_sources, [moved])
    finally:
        shutil.move(moved, folder)
    assert (done.missing, done.after.problems) == ([], [])
    assert all_contents(stored) == all_contents(InFolder(clean))
    assert quarantine(stored.place) == quarantine(clean)


# In a folder only: which archive file is found does not depend on where the lake is.
def test_a_moved_file_is_found_whose_name_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(MAPPING)
    own = tmp_path / "in/fills[1]*.csv"
    own.parent.mkdir()
    own.write_text(f"time,id,price,qty,maker\n{ms('2024-05-01 12:00:00')},1,60000.5,1,true\n")
    stored = InFolder(tmp_path / "lake")
    land(stored.place, own, hints=Hints(mapping=tmp_path / "rules.toml"))
    expected = all_contents(stored)
    lose(stored, "2024-05-01")
    own.parent.rename(tmp_path / "moved")
    done = repair(Lake(tmp_path / "lake"), all_sources, [tmp_path / "moved"])
    assert (done.missing, done.after.problems) == ([], [])
    assert all_contents(stored) == expected


@pytest.mark.parametrize("count", [16, pytest.param(400, marks=pytest.mark.slow)])
def test_readers_never_see_less_without_an_error(count: int, clean: Path, stored_from: StoredFrom) -> None:
    """A flipped bit of a file, half of it, or none of it, for a reader that has seen nothing before: an error, or the same answers."""
    stored = stored_from(clean)
    told = answers(stored)
    names = [name for name in stored.names() if name.endswith((".parquet", ".json"))]
    heard = 0
    for number in range(count):
        name = names[number * 7 % len(names)]
        content = stored.read(name)
        if number % 3 == 0:
            flip(stored, name, (number * 37 % 101) / 101, number % 8)
        else:
            stored.write(name, content[: (number * 37 % 101) * len(content) // 101] if number % 3 == 1 else None)
        found = answers(stored)
        assert isinstance(found, DamageError) or found == told, (name, number % 3)
        heard += isinstance(found, DamageError)
        stored.write(name, content)
    assert heard > count / 4
    assert answers(stored) == told


# In a folder only: a log in a bucket is compared with the sum in the book before it is used.
def test_bounds_in_a_log_are_not_believed(tmp_path: Path) -> None:
    """Whatever the log says of the times in a file, SQL answers from the file."""
    write_archives(MarketConfig(days=2, perp_trades_per_day=1_000), tmp_path / "in", datasets=("trades", "klines"))
    land(tmp_path / "lake", *sorted((tmp_path / "in").rglob("*.zip")))
    told = [ask(text, lake=Lake(tmp_path / "lake")).rows() for text in QUESTIONS[:2]]
    for number, (name, other) in enumerate((("ts_event_us", "ts_fvent_us"), ("17", "97"), ("17", "07"))):
        root = tmp_path / f"lake-{number}"
        shutil.copytree(tmp_path / "lake", root)
        log = root / "trades/_delta_log/00000000000000000001.json"
        least, most = log.read_text().split("maxValues")
        log.write_text(f"{least}maxValues{most.replace(name, other)}")
        assert [ask(text, lake=Lake(root)).rows() for text in QUESTIONS[:2]] == told, other


@pytest.mark.parametrize(
    ("name", "other"),
    [("BTCUSDT", "BTCUSDU"), ("binance-futures", "bInance-futures"), ("2024-05-01", "2024-05-02"), ("2024-05-01", "2026-05-01")],
)
@COPIES_SLOWLY
def test_a_log_that_names_another_partition_than_the_path_is_damage(clean: Path, stored_from: StoredFrom, name: str, other: str) -> None:
    stored = stored_from(clean)
    changed = 0
    for log in (log for log in stored.names() if log.startswith("trades/_delta_log/") and log.endswith(".json")):
        before = stored.read(log).decode()
        entries = re.sub(r'(?<="partitionValues":){[^}]*}', lambda match: match.group().replace(name, other), before)
        changed += entries != before
        stored.write(log, entries.encode())
    assert changed > 0
    with pytest.raises(DamageError, match="log of a table is damaged"):
        stored.opened().listing("trades")
    assert any("trades" in str(problem) for problem in verify(stored.opened(damaged=True)).problems)


# Many flips, with every answer that a user asks for


def all_answers(stored: Stored) -> object:
    """Rows, features, SQL; an error of the lake is an answer too."""
    try:
        lake = stored.opened()
        trades = [query.trades(*side, "2024-05-01", "2024-05-03", lake=lake).rows() for side in (PERP, SPOT)]
        with warnings.catch_warnings(action="ignore"):
            study = pointline.compare(
                *(":".join(side) for side in (PERP, SPOT)),
                start="2024-05-01",
                end="2024-05-03",
                bars=VolumeBarConfig(1.0),
                lake=lake,
                cache=False,
            )
        asked = [ask(text, lake=lake).rows() for text in QUESTIONS]
        return trades, study.features.rows(), asked, catalog(lake)["instruments"]
    except DamageError as error:
        return error


PERP, SPOT = ("binance-futures", "BTCUSDT"), ("binance-spot", "BTCUSDT")
QUESTIONS = (
    (
        "SELECT exchange, count(), toFloat64(sum(quantity)), min(timestamp), max(timestamp) FROM api.trade "
        "WHERE timestamp > '2024-01-01' GROUP BY 1 ORDER BY 1"
    ),
    "SELECT exchange, market, start, close FROM api.ohlcv(candle_duration_in_minutes = 60) ORDER BY ALL",
    "SELECT * FROM api.funding_rate ORDER BY ALL",
)


# In a folder only: the columns that are read of a large file in a bucket are not compared with its name (docs/s3.md).
@pytest.mark.slow
def test_of_five_hundred_flips_none_changes_an_answer_unseen(tmp_path: Path) -> None:
    market = MarketConfig(days=2, perp_trades_per_day=2_000)
    write_archives(market, tmp_path / "in", datasets=("trades", "klines", "fundingRate", "metrics", "recorded"))
    land(tmp_path / "clean", *sorted(path for path in (tmp_path / "in").rglob("*") if path.suffix in {".zip", ".gz"}))
    stored = InFolder(tmp_path / "clean")
    told = all_answers(stored)
    assert not isinstance(told, DamageError)
    shutil.rmtree(tmp_path / "clean" / ".cache", ignore_errors=True)
    names = [name for name in stored.names() if not name.startswith(".cache/")]
    dice = random.Random(8)  # noqa: S311 - places, not secrets
    counted: Counter[tuple[str, str]] = Counter()
    for _ in range(500):
        name = dice.choice(names)
        content = stored.read(name)
        flip(stored, name, dice.random(), dice.randrange(8))
        heard = all_answers(stored)
        outcome = "error" if isinstance(heard, DamageError) else "same" if heard == told else "silent"
        counted[outcome, name.split("/")[0]] += 1
        stored.write(name, content)
    assert not [key for key in counted if key[0] == "silent"]
