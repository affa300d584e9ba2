"""compare(): the same bars and the same bits whatever window, split or number of threads, and nothing known before its time."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.archives import Print, lake_from, lake_of

from pointline import clock, compare
from pointline.clock import DAY_US, HOUR_US, MINUTE_US
from pointline.research import query
from pointline.research.spines import BarRule, DollarBarConfig, ImbalanceBarConfig, TimeBarConfig, TradeBarConfig, VolumeBarConfig
from pointline.simulate import MarketConfig, write_archives
from pointline.studies.coverage import CoverageWarning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.lake.store import Lake

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
DAYS = 4
FIRST = clock.to_us("2024-05-01")
END = FIRST + DAYS * DAY_US
CONFIG = MarketConfig(seed=11, start="2024-05-01", days=DAYS, perp_trades_per_day=2_500, perp_spot_ratio=8.0)
DATASETS = ("trades", "markPriceKlines", "indexPriceKlines", "fundingRate")

RULES: dict[str, dict[str, Any]] = {
    "volume": {"bars": VolumeBarConfig("2.5")},
    "reset": {"bars": VolumeBarConfig("2.5", boundary="reset")},
    "dollar": {"bars": DollarBarConfig(200_000)},
    "trades": {"bars": TradeBarConfig(40)},
    "time": {"bars": TimeBarConfig("10m")},
    "imbalance": {"bars": ImbalanceBarConfig("1.5")},
    "signed": {"bars": VolumeBarConfig("1.5", use_absolute_volume=False, boundary="reset")},
    "dual": {"bars": VolumeBarConfig("2.5"), "spot_bars": VolumeBarConfig("0.3")},
    "dual time": {"bars": VolumeBarConfig("2.5"), "spot_bars": TimeBarConfig("7m")},
    "inner": {"bars": VolumeBarConfig("0.5"), "join": "inner"},
}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_archives(CONFIG, tmp_path_factory.mktemp("archives"), datasets=DATASETS)


@pytest.fixture(scope="module")
def lake(archives: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_from(tmp_path_factory.mktemp("whole"), archives)


def features_of(lake: Lake, start: int, end: int, *, threads: int | None = None, **options: Any) -> pl.DataFrame:  # noqa: ANN401
    """Counted anew each time: what the cache of earlier calls knows is not asked."""
    return compare(PERP, SPOT, start=start, end=end, lake=lake, threads=threads, cache=False, **options).features


def same_bits(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    """Equal as values and as the bytes of a Parquet file (which has no room for what lies behind a null)."""
    if not left.equals(right):
        different = [name for name in left.columns if left.height == right.height and not left[name].equals(right[name])]
        pytest.fail(f"{left.shape} and {right.shape} differ in {different}")
    return file_bytes(left) == file_bytes(right)


def file_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("threads", [1, 2])
def test_days_put_together_are_the_whole(lake: Lake, name: str, threads: int) -> None:
    whole = features_of(lake, FIRST, END, threads=threads, **RULES[name])
    days = [features_of(lake, day, day + DAY_US, threads=threads, **RULES[name]) for day in range(FIRST, END, DAY_US)]
    assert same_bits(pl.concat(days, rechunk=True), whole)


@pytest.mark.parametrize("name", RULES)
def test_threads_do_not_matter(lake: Lake, name: str) -> None:
    one, three = (features_of(lake, FIRST, END, threads=threads, **RULES[name]) for threads in (1, 3))
    assert same_bits(one, three)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (FIRST + 7 * HOUR_US + 13 * MINUTE_US + 1, FIRST + 2 * DAY_US + 5 * HOUR_US),
        (FIRST + DAY_US + 23 * HOUR_US, END),
        (FIRST + 3 * DAY_US + 11 * HOUR_US, FIRST + 3 * DAY_US + 19 * HOUR_US + 30 * MINUTE_US),
    ],
)
def test_a_window_that_starts_and_ends_anywhere_gives_the_whole_bars_inside(lake: Lake, name: str, start: int, end: int) -> None:
    whole = features_of(lake, FIRST, END, **RULES[name])
    inside = whole.filter((pl.col("bucket_start") >= start) & (pl.col("bucket_end") <= end))
    assert inside.height > 3
    assert same_bits(features_of(lake, start, end, **RULES[name]), inside)


@pytest.mark.parametrize("name", RULES)
def test_bars_hold_every_trade(lake: Lake, name: str) -> None:
    bars = compare(PERP, SPOT, start=FIRST, end=END, lake=lake, cache=False, **RULES[name]).bars
    for venue, place in (("perp", PERP), ("spot", SPOT)):
        if venue == "spot" and "spot_bars" in RULES[name]:
            continue  # each perp bar shows one spot bar; see the next test
        exchange, symbol = place.split(":")
        trades = query.trades(exchange, symbol, FIRST, END, lake=lake).filter(~pl.col("off_book"))
        assert bars[f"{venue}_trade_count"].sum() == trades.height
        assert bars[f"{venue}_volume"].sum() == pytest.approx(trades["qty"].sum(), rel=1e-12)
        assert bars[f"{venue}_buy_volume"].sum() == pytest.approx(trades.filter(pl.col("side") == 0)["qty"].sum(), rel=1e-12)
        assert bars[f"{venue}_quote_volume"].sum() == pytest.approx((trades["qty"] * trades["price"]).sum(), rel=1e-12)


def test_a_dual_spine_shows_the_newest_spot_bar_that_was_known(lake: Lake) -> None:
    """The spot's own bars are those that it would drive itself, and none is seen before its end."""
    dual = compare(PERP, SPOT, start=FIRST, end=END, lake=lake, cache=False, **RULES["dual"]).bars
    from pointline.research.spines import get_builder

    spot_id = lake.registry().find(*SPOT.split(":"), FIRST).symbol_id
    spine = get_builder("volume").build_spine(
        symbol_id=spot_id, start_ts_us=FIRST, end_ts_us=END, config=RULES["dual"]["spot_bars"], lake=lake
    )
    windows = spine.select("bucket_start", "bucket_end").rows()
    trades = query.trades(*SPOT.split(":"), FIRST, END, lake=lake)
    assert dual.height > 100
    for bar in dual.iter_rows(named=True):
        known = [window for window in windows if window[1] <= bar["bucket_end"]]
        if not known:
            assert bar["spot_close"] is None
            assert bar["spot_trade_count"] == 0
            continue
        assert (bar["spot_bucket_start"], bar["spot_bucket_end"]) == known[-1]
        inside = trades.filter((pl.col("ts_local_us") >= known[-1][0]) & (pl.col("ts_local_us") < known[-1][1]))
        assert bar["spot_trade_count"] == inside.height
        before = trades.filter(pl.col("ts_local_us") < known[-1][1])
        assert bar["spot_close"] == before["price"][-1]
        assert bar["spot_age_us"] == bar["bucket_end"] - before["ts_local_us"][-1]


def test_an_inner_join_drops_bars_without_spot_and_changes_no_other(lake: Lake) -> None:
    kept = features_of(lake, FIRST, END, **RULES["inner"])
    every = features_of(lake, FIRST, END, bars=RULES["inner"]["bars"])
    assert 0 < kept.height < every.height
    assert same_bits(kept, every.filter(pl.col("spot_trade_count") > 0))


# --- nothing is known before its time

TIME_OF: dict[str, Callable[[list[str]], int]] = {  # when a row of the archive is known, in microseconds
    "trades": lambda row: int(row[4]) * 1_000,
    "markPriceKlines": lambda row: int(row[0]) * 1_000 + MINUTE_US,
    "indexPriceKlines": lambda row: int(row[0]) * 1_000 + MINUTE_US,
    "fundingRate": lambda row: int(row[0]) * 1_000,
}


def cut_archive(path: Path, folder: Path, cut_us: int) -> Path | None:
    """The archive file without the rows known at `cut_us` or later; None where nothing is left."""
    dataset = next(name for name in DATASETS if name in path.parts)
    with zipfile.ZipFile(path) as archive:
        (member,) = archive.namelist()
        lines = archive.read(member).decode().splitlines(keepends=True)
    rows = [line for line in lines if not line[0].isdigit() or TIME_OF[dataset](line.split(",")) < cut_us]
    if not any(line[0].isdigit() for line in rows):
        return None
    kept = folder / path.relative_to(next(parent for parent in path.parents if parent.name == "data").parent)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(kept, "w") as archive:
        archive.writestr(member, "".join(rows))
    return kept


@pytest.mark.parametrize("moment", ["at the end of a bar", "inside a bar"])
def test_what_comes_later_changes_no_known_row(lake: Lake, archives: list[Path], tmp_path: Path, moment: str) -> None:
    end = FIRST + 3 * DAY_US
    ends = features_of(lake, FIRST, end, bars=RULES["volume"]["bars"])["bucket_end"]
    cut_us = ends[ends.search_sorted(end - 7 * HOUR_US)] + (0 if moment == "at the end of a bar" else 777)
    cut_files = [cut_archive(path, tmp_path / "cut", cut_us) for path in archives]
    cut = lake_from(tmp_path, [path for path in cut_files if path is not None])
    for name, options in RULES.items():
        known = pl.col("bucket_end") <= cut_us
        whole = features_of(lake, FIRST, end, **options).filter(known)
        assert whole.height > 20, name
        assert same_bits(features_of(cut, FIRST, end, **options).filter(known), whole), name


# --- days that are missing

STEP = 10 * MINUTE_US


def prints(days: tuple[int, ...], price: int, places: range) -> list[Print]:
    return [(FIRST + day * DAY_US + k * STEP, f"{price + day + k / 10:.1f}", f"{1 + k % 3}", k % 2 == 0) for day in days for k in places]


@pytest.mark.parametrize(
    "options", [{}, {"spot_bars": VolumeBarConfig(5)}, {"spot_bars": TimeBarConfig("1h")}], ids=["one", "dual", "time"]
)
@pytest.mark.parametrize(
    ("perp_days", "spot_days"),
    [
        ((0, 2), (0, 1, 2)),
        ((0, 1, 2), (0, 2)),
        ((0, 2), (0, 2)),
        ((1, 2), (0, 1, 2)),
        ((0, 1, 2), (1, 2)),
        ((1, 2), (0, 2)),
        ((2,), (0, 2)),
    ],
)
def test_the_last_day_does_not_depend_on_the_window(
    tmp_path: Path, perp_days: tuple[int, ...], spot_days: tuple[int, ...], options: dict[str, BarRule]
) -> None:
    """Spot starts at 06:00, so the first bars of the day carry the price of whatever day came before."""
    perp, spot = prints(perp_days, 100, range(144)), prints(spot_days, 99, range(36, 100))
    lake = lake_of(tmp_path, {("binance-futures", "BTCUSDT"): perp, ("binance-spot", "BTCUSDT"): spot})
    rule = VolumeBarConfig(10)
    last = features_of(lake, FIRST + 2 * DAY_US, FIRST + 3 * DAY_US, bars=rule, **options)
    if len(perp_days) + len(spot_days) == 6:
        wide = features_of(lake, FIRST, FIRST + 3 * DAY_US, bars=rule, **options)
    else:
        with pytest.warns(CoverageWarning):
            wide = features_of(lake, FIRST, FIRST + 3 * DAY_US, bars=rule, **options)
    assert same_bits(last, wide.filter(pl.col("bucket_start") >= FIRST + 2 * DAY_US))
    first = last.row(0, named=True)
    newest = max(item[0] for item in spot if item[0] < FIRST + 2 * DAY_US)
    assert first["spot_age_us"] == first["bucket_end"] - newest
    assert first["spot_close"] == float(next(item[1] for item in spot if item[0] == newest))
