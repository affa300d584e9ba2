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
from tests.lake.archives import FUTURES, contents, futures_trades, land, ms, quarantine, trade, write

import pointline
from pointline.clock import to_us
from pointline.errors import DamageError, PointlineError
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
    from collections.abc import Iterator

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


def files_of(root: Path) -> Iterator[str]:
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_file() and name not in {".lock", "pointline.json"}:
            yield name


def all_contents(root: Path) -> dict[str, bytes]:
    reserve = {f"r/{p}": (root / "trades_reserve" / p).read_bytes() for p in Lake(root).live("trades_reserve")["path"]}
    return contents(root) | reserve


def answers(root: Path) -> object:
    """What a reader is told; an error is an answer too."""
    lake = Lake(root)
    try:
        told = {
            kind: lake.scan(kind, "binance-futures", "BTCUSDT", to_us("2024-01-01"), to_us("2025-01-01")).collect().rows()
            for kind in ("trades", "candles_1m")
        }
        return told, catalog(lake)["instruments"], lake.registry().frame.rows()
    except DamageError as error:
        return error


def flip(path: Path, place: float, bit: int) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[min(int(place * len(data)), len(data) - 1)] ^= 1 << bit
    path.write_bytes(data)


def damages(path: Path, how: str) -> None:
    if how == "deleted":
        path.unlink()
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        flip(path, float(how), 3)


HOWS = ("deleted", "emptied", "0.4")


def chosen(root: Path) -> list[tuple[str, str]]:
    """Each file with a damage, and each kind of file with every damage."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for name in files_of(root):
        kinds.setdefault((name.split("/")[0], Path(name).suffix), []).append(name)
    return [(names[n % len(names)], HOWS[n % len(HOWS)]) for names in kinds.values() for n in range(max(len(names), len(HOWS)))]


def test_any_damaged_file_is_found_and_repaired(clean: Path, tmp_path: Path) -> None:
    damage = chosen(clean)
    assert {name for name, _ in damage} == set(files_of(clean))
    found_and_repaired(clean, tmp_path, damage)


@pytest.mark.slow
def test_every_file_is_found_and_repaired_after_every_damage(clean: Path, tmp_path: Path) -> None:
    found_and_repaired(clean, tmp_path, [(name, how) for name in files_of(clean) for how in HOWS])


def found_and_repaired(clean: Path, tmp_path: Path, damage: list[tuple[str, str]]) -> None:
    expected, told = all_contents(clean), answers(clean)
    silent = []
    for number, (name, how) in enumerate(damage):
        root = tmp_path / f"lake-{number}"
        shutil.copytree(clean, root)
        damages(root / name, how)
        found = verify(Lake(root)).problems
        heard = answers(root)
        if not isinstance(heard, DamageError) and heard != told:
            silent.append((name, how))
        assert found, f"{how}: verify says nothing of {name}"
        done = repair(Lake(root), all_sources)
        assert done.missing == [], name
        assert done.after.problems == [], name
        assert all_contents(root) == expected, name
        assert answers(root)[0] == told[0], name  # type: ignore[index]
        shutil.rmtree(root)
    assert silent == []


def test_an_error_names_the_file_and_the_remedy(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    shutil.copytree(clean, root)
    (path,) = Lake(root).partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-01")
    flip(path, 0.5, 0)
    with pytest.raises(DamageError, match="damaged") as caught:
        Lake(root).scan("trades", "binance-futures", "BTCUSDT", to_us("2024-05-01"), to_us("2024-05-02")).collect()
    assert str(path) in str(caught.value)
    assert "pointline repair" in str(caught.value)


def test_what_is_gone_is_not_called_unchanged(clean: Path, tmp_path: Path) -> None:
    root = tmp_path / "lake"
    shutil.copytree(clean, root)
    expected = all_contents(root)
    paths = [Path(row) for row in open_lake(root).rows("manifest", {})["path"].to_list()]
    month = next(path for path in paths if path.name == "BTCUSDT-trades-2024-05.zip")
    (path,) = Lake(root).partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-01")
    path.unlink()
    with pytest.raises(DamageError, match="missing"):
        land(root, month)
    repair(Lake(root), all_sources)
    (report,) = land(root, month)
    assert report.outcome == "unchanged"
    assert all_contents(root) == expected


def test_archives_are_found_in_another_folder(clean: Path, tmp_path: Path) -> None:
    root, moved = tmp_path / "lake", tmp_path / "moved"
    shutil.copytree(clean, root)
    folder = clean.parent / "in"
    (path,) = Lake(root).partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-04")
    path.unlink()
    shutil.move(folder, moved)
    try:
        assert repair(Lake(root), all_sources).missing != []
        done = repair(Lake(root), all_sources, [moved])
    finally:
        shutil.move(moved, folder)
    assert (done.missing, done.after.problems) == ([], [])
    assert all_contents(root) == all_contents(clean)
    assert quarantine(root) == quarantine(clean)


def test_a_moved_file_is_found_whose_name_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(MAPPING)
    own = tmp_path / "in/fills[1]*.csv"
    own.parent.mkdir()
    own.write_text(f"time,id,price,qty,maker\n{ms('2024-05-01 12:00:00')},1,60000.5,1,true\n")
    land(tmp_path / "lake", own, hints=Hints(mapping=tmp_path / "rules.toml"))
    expected = all_contents(tmp_path / "lake")
    (path,) = Lake(tmp_path / "lake").partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-01")
    path.unlink()
    own.parent.rename(tmp_path / "moved")
    done = repair(Lake(tmp_path / "lake"), all_sources, [tmp_path / "moved"])
    assert (done.missing, done.after.problems) == ([], [])
    assert all_contents(tmp_path / "lake") == expected


def test_readers_never_see_less_without_an_error(clean: Path, tmp_path: Path) -> None:
    """Every bit of a stretch of each data file: an error, or the same answers."""
    told = answers(clean)
    names = [name for name in files_of(clean) if name.endswith(".parquet")]
    heard = 0
    for number in range(60):
        name = names[number % len(names)]
        root = tmp_path / f"lake-{number}"
        shutil.copytree(clean, root)
        flip(root / name, (number * 37 % 101) / 101, number % 8)
        found = answers(root)
        assert isinstance(found, DamageError) or found == told, name
        heard += isinstance(found, PointlineError)
        shutil.rmtree(root)
    assert heard > 0


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
def test_a_log_that_names_another_partition_than_the_path_is_damage(clean: Path, tmp_path: Path, name: str, other: str) -> None:
    shutil.copytree(clean, tmp_path / "lake")
    changed = 0
    for log in (tmp_path / "lake/trades/_delta_log").glob("*.json"):
        entries = re.sub(r'(?<="partitionValues":){[^}]*}', lambda match: match.group().replace(name, other), log.read_text())
        changed += entries != log.read_text()
        log.write_text(entries)
    assert changed > 0
    with pytest.raises(DamageError, match="log of a table is damaged"):
        Lake(tmp_path / "lake").listing("trades")
    assert any("trades" in str(problem) for problem in verify(Lake(tmp_path / "lake")).problems)


# Many flips, with every answer that a user asks for


def all_answers(root: Path) -> object:
    """Rows, features, SQL; an error of the lake is an answer too."""
    lake = Lake(root)
    try:
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


@pytest.mark.slow
def test_of_five_hundred_flips_none_changes_an_answer_unseen(tmp_path: Path) -> None:
    market = MarketConfig(days=2, perp_trades_per_day=2_000)
    write_archives(market, tmp_path / "in", datasets=("trades", "klines", "fundingRate", "metrics", "recorded"))
    land(tmp_path / "clean", *sorted(path for path in (tmp_path / "in").rglob("*") if path.suffix in {".zip", ".gz"}))
    told = all_answers(tmp_path / "clean")
    assert not isinstance(told, DamageError)
    shutil.rmtree(tmp_path / "clean" / ".cache", ignore_errors=True)
    names = list(files_of(tmp_path / "clean"))
    dice = random.Random(8)  # noqa: S311 - places, not secrets
    counted: Counter[tuple[str, str]] = Counter()
    for number in range(500):
        root = tmp_path / f"flipped-{number}"
        shutil.copytree(tmp_path / "clean", root)
        name = dice.choice(names)
        flip(root / name, dice.random(), dice.randrange(8))
        heard = all_answers(root)
        outcome = "error" if isinstance(heard, DamageError) else "same" if heard == told else "silent"
        counted[outcome, name.split("/")[0]] += 1
        shutil.rmtree(root)
    assert not [key for key in counted if key[0] == "silent"]
