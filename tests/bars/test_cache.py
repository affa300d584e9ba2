"""Cached, uncached, parallel, serial and derived runs give the same bytes; a changed file makes exactly its days anew."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from pointline.bars import cache as cache_module
from pointline.bars.cache import cache_of
from pointline.bars.coarsen import multiple_of
from pointline.errors import ConfigError
from pointline.ingest.run import ingest
from pointline.lake import open_lake
from pointline.research.spines import DollarBarConfig, ImbalanceBarConfig, TimeBarConfig, TradeBarConfig, VolumeBarConfig
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.studies.compare import compare, sweep

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake import Lake
    from pointline.research.spines import BarRule

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
MARKET = MarketConfig(start="2024-05-01", days=3, perp_trades_per_day=4_000)
RULE = VolumeBarConfig("1.5")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the archives and the lake of three days; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("cache")
    paths = write_archives(MARKET, folder / "archives", datasets=("trades",))
    ingest(open_lake(folder / "lake", create=True), paths, sources=all_sources(), hints=Hints())
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path) -> Path:
    """A copy without cached entries."""
    shutil.copytree(filled, tmp_path / "copy", ignore=shutil.ignore_patterns(".cache"))
    return tmp_path / "copy"


def features(lake: Lake, rule: BarRule = RULE, start: str = "2024-05-01", end: str = "2024-05-04", **options: object) -> pl.DataFrame:
    return compare(PERP, SPOT, start=start, end=end, bars=rule, lake=lake, **options).features  # type: ignore[arg-type]


def names(lake: Lake) -> set[str]:
    return {path.name for path, _, _ in cache_of(lake).entries()}


def test_a_second_run_reads_no_trades_and_gives_the_same_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = open_lake(folder / "lake")
    computed = features(lake, cache=False)
    assert names(lake) == set()
    assert features(lake).equals(computed)
    assert len(names(lake)) == 6  # three days of two venues

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trades were read")

    monkeypatch.setattr("pointline.bars.run.read_trades", refuse)
    assert features(lake).equals(computed)
    assert features(lake, threads=1).equals(computed)
    assert features(lake, start="2024-05-02", end="2024-05-03").equals(
        computed.filter(pl.col("bucket_start").is_between(*day_bounds("2024-05-02"), closed="left"))
    )


def day_bounds(date: str) -> tuple[int, int]:
    start = int(pl.Series([date]).str.to_date().cast(pl.Datetime("us")).dt.epoch("us")[0])
    return start, start + 86_400_000_000


def test_a_corrected_file_makes_exactly_its_days_anew(folder: Path) -> None:
    lake = open_lake(folder / "lake")
    features(lake)
    before = names(lake)
    corrected = MarketConfig(start="2024-05-01", days=3, perp_trades_per_day=4_000, seed=99)
    paths = write_archives(corrected, folder / "other", datasets=("trades",))
    spot = [path for path in paths if "/spot/" in path.as_posix() and "2024-05-02" in path.name]
    ingest(lake, spot, sources=all_sources(), hints=Hints())
    after = features(lake)
    assert len(names(lake) - before) == 1  # the spot's sums of 2 May; the perp's stay
    assert after.equals(features(lake, cache=False))


def test_damaged_and_foreign_entries_are_computed_anew(folder: Path) -> None:
    lake = open_lake(folder / "lake")
    computed = features(lake)
    for number, (path, _, _) in enumerate(cache_of(lake).entries()):
        data = bytearray(path.read_bytes())
        if number % 3 == 0:
            data = data[: len(data) // 2]
        elif number % 3 == 1:
            data[len(data) // 2] ^= 1
        else:
            data = bytearray(b"no entry")
        path.write_bytes(bytes(data))
    assert features(lake).equals(computed)


def test_the_oldest_entries_go_when_the_cache_is_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = open_lake(folder / "lake")
    features(lake, TimeBarConfig("1h"))
    old = names(lake)
    size = sum(entry[1] for entry in cache_of(lake).entries())
    monkeypatch.setenv("POINTLINE_CACHE_BYTES", str(size + 100))
    features(lake, TimeBarConfig("2h"))
    entries = cache_of(lake).entries()
    assert sum(entry[1] for entry in entries) <= size + 100
    assert len(old - names(lake)) > 0
    assert cache_of(lake).clear() == len(entries)
    assert names(lake) == set()


def test_two_at_once_and_a_cache_that_cannot_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = open_lake(folder / "lake")
    expected = features(lake, cache=False)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: features(open_lake(folder / "lake")), range(4)))
    assert all(frame.equals(expected) for frame in found)
    blocked = folder / "lake" / "blocked"
    blocked.write_text("a file where the folder should be", encoding="utf-8")
    monkeypatch.setattr(cache_module, "cache_of", lambda _: cache_module.BarCache(blocked / "bars"))
    monkeypatch.setattr("pointline.studies.compare.cache_of", cache_module.cache_of)
    assert features(lake).equals(expected)


@pytest.mark.parametrize("anchor", ["day", "start"])
@pytest.mark.parametrize(
    ("rule", "base"),
    [
        (VolumeBarConfig("3"), VolumeBarConfig("0.5")),
        (VolumeBarConfig(40), VolumeBarConfig("0.001")),
        (DollarBarConfig(900_000), DollarBarConfig(100_000)),
        (TradeBarConfig(60), TradeBarConfig(1)),
        (TradeBarConfig(7), TradeBarConfig(7)),
    ],
)
def test_derived_bars_equal_counted_ones(folder: Path, rule: BarRule, base: BarRule, anchor: str) -> None:
    from dataclasses import replace

    lake = open_lake(folder / "lake")
    rule, base = replace(rule, anchor=anchor), replace(base, anchor=anchor)  # type: ignore[arg-type]
    assert features(lake, rule, base_bars=base).equals(features(lake, rule, cache=False))


def test_what_cannot_be_derived_is_refused() -> None:
    assert multiple_of(VolumeBarConfig("0.3"), VolumeBarConfig(0.1)) == 3
    with pytest.raises(ConfigError, match="no multiple"):
        multiple_of(VolumeBarConfig(100), VolumeBarConfig(30))
    for rule, base in (
        (VolumeBarConfig(100, boundary="reset"), VolumeBarConfig(10, boundary="reset")),
        (VolumeBarConfig(100), VolumeBarConfig(10, anchor="start")),
        (VolumeBarConfig(100), TradeBarConfig(10)),
        (TimeBarConfig("1h"), TimeBarConfig("1m")),
    ):
        with pytest.raises(ConfigError, match="derived only"):
            multiple_of(rule, base)


def test_a_sweep_reads_the_trades_once_and_equals_each_study_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules of other kinds, anchors and units of counting; none of them reads a trade when its turn comes."""
    lake = open_lake(folder / "lake")
    rules = [
        VolumeBarConfig(2),
        VolumeBarConfig(5, boundary="reset"),
        TradeBarConfig(300),
        TimeBarConfig("30m"),
        VolumeBarConfig("2.00005"),
    ]
    rules += [VolumeBarConfig(3, anchor="start"), ImbalanceBarConfig(1)]
    alone = [features(lake, rule, cache=False) for rule in rules]
    studies = sweep(PERP, SPOT, start="2024-05-01", end="2024-05-04", bars=rules, lake=lake)
    first = next(studies)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trades were read")

    monkeypatch.setattr("pointline.bars.run.read_trades", refuse)
    for study, expected in zip([first, *studies], alone, strict=True):
        assert study.features.equals(expected)


def test_the_check_sum_finds_words_that_changed_places_and_another_entry_s_content(tmp_path: Path) -> None:
    from pointline.bars.cache import _check_sum

    body = np.arange(40, dtype=np.int64)
    swapped = body.copy()
    swapped[[3, 17]] = swapped[[17, 3]]
    one, other = tmp_path / "one.bars", tmp_path / "other.bars"
    assert len({_check_sum(one, body), _check_sum(one, swapped), _check_sum(other, body)}) == 3
