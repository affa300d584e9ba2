"""Random holes in a lake: days without a partition and stretches that footers list. No return, window or label reaches over one."""

from __future__ import annotations

from bisect import bisect_left
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from tests.archives import Print, lake_from, lake_of
from tests.effort import examples

from pointline import clock, compare
from pointline.bars import trade_events as bars_module
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pointline.features import FeatureParams
from pointline.lake.store import Lake, PartitionFile
from pointline.research import query
from pointline.research.spines import TimeBarConfig, TradeBarConfig, VolumeBarConfig
from pointline.simulate import MarketConfig, write_archives

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
DAYS = 4
FIRST = clock.to_us("2024-05-01")
END = FIRST + DAYS * DAY_US
CONFIG = MarketConfig(seed=5, start="2024-05-01", days=DAYS, perp_trades_per_day=400, perp_spot_ratio=4.0)
PARAMS = FeatureParams(smooth_bars=3, z_bars=5, max_hole_us="2m")

RULES: dict[str, dict[str, Any]] = {
    "volume": {"bars": VolumeBarConfig("1.5")},
    "trades": {"bars": TradeBarConfig(7)},
    "time": {"bars": TimeBarConfig("10m")},
    "derived": {"bars": TradeBarConfig(8), "base_bars": TradeBarConfig(2)},
    "dual": {"bars": TradeBarConfig(7), "spot_bars": TradeBarConfig(3)},
    "dual time": {"bars": TradeBarConfig(7), "spot_bars": TimeBarConfig("7m")},
}

Spans = list[tuple[int, int]]


class Trades:
    """When both instruments traded; with a short repr."""

    def __init__(self, times: dict[str, list[int]]) -> None:
        self.of = times

    def last_before(self, place: str, us: int, drawn: dict[str, Any]) -> int:
        times = self.of[place]
        return next(times[n] for n in reversed(range(bisect_left(times, us))) if present(drawn[place], times[n]))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    archives = write_archives(CONFIG, tmp_path_factory.mktemp("archives"), datasets=("trades",))
    return lake_from(tmp_path_factory.mktemp("whole"), archives)


@pytest.fixture(scope="module")
def trades(lake: Lake) -> Trades:
    return Trades({name: query.trades(*name.split(":"), FIRST, END, lake=lake)["ts_local_us"].to_list() for name in (PERP, SPOT)})


SPAN = st.tuples(
    st.integers(FIRST, END),
    st.sampled_from([SECOND_US, 90 * SECOND_US, 2 * MINUTE_US, 2 * MINUTE_US + 1, HOUR_US, 9 * HOUR_US, 30 * HOUR_US]),
)
HOLES = st.fixed_dictionaries(
    {
        name: st.fixed_dictionaries({"days": st.sets(st.integers(0, DAYS - 1), max_size=2), "spans": st.lists(SPAN, max_size=4)})
        for name in (PERP, SPOT)
    }
)


@contextmanager
def holed(holes: dict[str, Any]) -> Iterator[None]:
    """The lake without some days, and with stretches in the footers of the others."""
    all_files, totals = Lake.files, PartitionFile.totals.fget

    def files(self: Lake, kind: str, exchange: str, symbol: str, *window: int | None) -> list[PartitionFile]:
        gone = {FIRST + day * DAY_US for day in holes[f"{exchange}:{symbol}"]["days"]} if kind == "trades" else set()
        return [file for file in all_files(self, kind, exchange, symbol, *window) if file.start_us not in gone]

    def with_holes(self: PartitionFile) -> dict[str, Any]:
        spans = listed(holes[f"{self.exchange}:{self.symbol}"]["spans"], (self.start_us - FIRST) // DAY_US)
        return {**totals(self), "holes": [list(span) for span in spans]}

    with patch.object(Lake, "files", files), patch.object(PartitionFile, "totals", property(with_holes)):
        yield


def listed(spans: Spans, day: int) -> Spans:
    """What a day's footer lists: sorted stretches inside it, apart from each other."""
    start, end = FIRST + day * DAY_US, FIRST + (day + 1) * DAY_US
    return joined([(max(a, start), min(a + length, end)) for a, length in spans])


def joined(spans: Spans) -> Spans:
    found: Spans = []
    for first, last in sorted(span for span in spans if span[0] < span[1]):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def long_holes(drawn: dict[str, Any], times: list[int]) -> Spans:
    """All holes longer than the limit, from their definition, joined where they touch.

    What footers list, days, and the time from the last trade before days whose ids are missing to the first behind them.
    """
    spans = [span for day in range(DAYS) if day not in drawn["days"] for span in listed(drawn["spans"], day)]
    for day in drawn["days"]:
        first, last = FIRST + day * DAY_US, FIRST + (day + 1) * DAY_US
        before = [us for us in times if us < first and present(drawn, us)]
        behind = [us for us in times if us >= last and present(drawn, us)]
        spans.append((before[-1] + 1, behind[0]) if before and behind else (first, last))
    spans += [(0, FIRST), (END, 1 << 62)]  # outside its partitions the lake has nothing
    return [(a, b) for a, b in joined(spans) if b - a > PARAMS.max_hole_us]


def spoiled(holes: Spans, from_us: int, until_us: int) -> bool:
    return any(a < until_us and b > from_us for a, b in holes)


def computed(lake: Lake, start: int, end: int, **options: Any) -> pl.DataFrame:  # noqa: ANN401
    return compare(PERP, SPOT, start=start, end=end, lake=lake, params=PARAMS, **{"cache": False, **options}).features


@settings(max_examples=examples(20), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOLES, st.sampled_from(sorted(RULES)), st.integers(0, DAYS * 24 - 12), st.integers(6, 60))
@pytest.mark.filterwarnings("ignore::pointline.studies.coverage.CoverageWarning")
def test_nothing_reaches_over_a_hole(lake: Lake, trades: Trades, drawn: dict[str, Any], name: str, first_hour: int, hours: int) -> None:
    options = RULES[name]
    holes = {side: long_holes(drawn[place], trades.of[place]) for side, place in (("perp", PERP), ("spot", SPOT))}
    with holed(drawn):
        table = computed(lake, FIRST, END, **options)
        check_marks(table, holes)
        check_values(table, drawn, trades, holes, dual="spot_bars" in options)
        # a narrow window, small blocks and the cache give the same bits
        start, end = FIRST + first_hour * HOUR_US, min(FIRST + (first_hour + hours) * HOUR_US, END)
        inside = table.filter((pl.col("bucket_start") >= start) & (pl.col("bucket_end") <= end))
        narrow = all(any(present(drawn[place], day) for day in clock.days_in(start, end)) for place in (PERP, SPOT))
        if inside.height and narrow and inside["complete"].any():
            event("narrow window")
            assert computed(lake, start, end, **options).equals(inside)
        with patch.object(bars_module, "BLOCK_BARS", 23):
            assert computed(lake, FIRST, END, **options).equals(table)
    event(f"{table['perp_hole'].any()} {table['spot_hole'].any()}")


def present(drawn: dict[str, Any], day_us: int) -> bool:
    return FIRST <= day_us < END and (day_us - FIRST) // DAY_US not in drawn["days"]


def check_marks(table: pl.DataFrame, holes: dict[str, Spans]) -> None:
    """A bar is marked where a hole overlaps the time from the price known at the end of the bar before to its own end."""
    for side in ("perp", "spot"):
        rows = table.select("bucket_start", "bucket_end", f"{side}_age_us", f"{side}_hole").rows()
        for k, (start, end, _, marked) in enumerate(rows):
            before = start if k == 0 else rows[k - 1][1] - (rows[k - 1][2] or 0)
            assert marked == spoiled(holes[side], before, end), (side, k)


def check_values(table: pl.DataFrame, drawn: dict[str, Any], trades: Trades, holes: dict[str, Spans], *, dual: bool) -> None:
    """A value is there exactly where its closes are, its bars touch, and no hole lies between the first close's trade and its end."""
    rows = table.to_dicts()
    for k, row in enumerate(rows):
        for side, place in (("perp", PERP), ("spot", SPOT)):
            for lag in (1, 5):
                earlier = rows[k - lag] if k >= lag else None
                value = row[f"{side}_ret_{lag}bar"]
                touch = earlier is not None and all(rows[j]["bucket_start"] == rows[j - 1]["bucket_end"] for j in range(k - lag + 1, k + 1))
                if earlier is None or not touch or None in (earlier[f"{side}_close"], row[f"{side}_close"]):
                    assert value is None
                    continue
                traded = earlier["bucket_end"] - earlier[f"{side}_age_us"]
                if side == "perp" or not dual:
                    assert traded == trades.last_before(place, earlier["bucket_end"], drawn)
                over = spoiled(holes[side], traded, row["bucket_end"])
                expected = None if over else row[f"{side}_close"] / earlier[f"{side}_close"] - 1
                assert value == expected, (side, lag, k)
        for name, bars in (("basis_momentum", 2), ("basis_smooth", 3), ("basis_slope", 4), ("basis_z", 5)):
            if row[name] is not None:
                first = rows[k - bars + 1]
                for side in ("perp", "spot"):
                    assert not spoiled(holes[side], first["bucket_end"] - first[f"{side}_age_us"], row["bucket_end"]), (name, k)


@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HOLES, st.sampled_from(["volume", "time", "dual"]))
@pytest.mark.filterwarnings("ignore::pointline.studies.coverage.CoverageWarning")
def test_the_limit_and_the_holes_do_not_depend_on_the_cache(lake: Lake, drawn: dict[str, Any], name: str) -> None:
    """Sums come from the cache, holes from the footers: other limits on the same bars mark other bars."""
    with holed(drawn):
        for limit in ("1s", "2m", "4w"):
            params = FeatureParams(max_hole_us=limit)
            options = {"start": FIRST, "end": END, "lake": lake, "params": params, **RULES[name]}
            kept, anew = (compare(PERP, SPOT, cache=cache, **options).features for cache in (True, False))
            assert kept.equals(anew)


@pytest.mark.filterwarnings("ignore::pointline.studies.coverage.CoverageWarning")
def test_labels_reach_over_no_hole(lake: Lake, trades: Trades) -> None:
    hole = (FIRST + DAY_US + 5 * HOUR_US, HOUR_US)
    drawn: dict[str, Any] = {PERP: {"days": {2}, "spans": [hole]}, SPOT: {"days": set(), "spans": []}}
    with holed(drawn):
        study = compare(PERP, SPOT, start=FIRST, end=END, lake=lake, cache=False, params=PARAMS, **RULES["trades"])
        labels = study.labels(horizons_bars=(1, 3), horizons_us=("30m",)).to_dicts()
    bars, missing = study.bars.to_dicts(), 0
    for k, (row, bar) in enumerate(zip(labels, bars, strict=True)):
        for place, side in ((PERP, "perp"), (SPOT, "spot")):
            holes = long_holes(drawn[place], trades.of[place])
            known = bar[f"{side}_close"] is not None
            traded = bar["bucket_end"] - bar[f"{side}_age_us"] if known else 0
            for on in (1, 3):
                touch = all(left["bucket_end"] == right["bucket_start"] for left, right in pairwise(bars[k : k + on + 1]))
                inside = k + on < len(bars) - (not bars[-1]["complete"])
                there = known and inside and touch and not spoiled(holes, traded, bars[min(k + on, len(bars) - 1)]["bucket_end"])
                assert (row[f"{side}_forward_ret_{on}bar"] is not None) == there, (side, k)
                missing += not there
            if spoiled(holes, traded, bar["bucket_end"] + 30 * MINUTE_US):
                assert row[f"{side}_forward_ret_30m"] is None, (side, k)
    assert 10 < missing < len(bars)


# --- a lake as users have it


ALL_DAY = range(24)


def day_of(day: str, price: int, hours: range = ALL_DAY) -> list[Print]:
    return [
        (clock.to_us(day) + h * HOUR_US + k * MINUTE_US, f"{price + (h * 60 + k) % 7}", "1", k % 2 == 0)
        for h in hours
        for k in range(0, 60, 5)
    ]


@pytest.mark.parametrize(
    "options", [{"bars": TradeBarConfig(6)}, {"bars": TimeBarConfig("30m")}, {"bars": TimeBarConfig("30m", anchor="start")}]
)
@pytest.mark.filterwarnings("ignore::pointline.studies.coverage.CoverageWarning")
def test_no_return_spans_months(tmp_path: Path, options: dict[str, Any]) -> None:
    """The first bars after sixteen months without data, the first of them without trades, show no return over the time between."""
    perp = day_of("2022-01-01", 20_000) + day_of("2023-05-01", 44_000, range(3, 24))
    spot = day_of("2022-01-01", 20_000) + day_of("2023-05-01", 44_000, range(5, 24))
    lake = lake_of(tmp_path, {("binance-futures", "BTCUSDT"): perp, ("binance-spot", "BTCUSDT"): spot})
    study = compare(PERP, SPOT, start="2022-01-01", end="2023-05-02", lake=lake, **options)
    for name in ("perp_ret_1bar", "perp_ret_5bar", "spot_ret_1bar", "spot_ret_5bar", "momentum_divergence"):
        column = study.features[name]
        assert column.abs().max() < 0.001, name
        assert column.null_count() < study.features.height / 2 or options["bars"].anchor == "start", name
    labels = study.labels((1, 5), ("1h", "2d"))
    for name in labels.columns[1:]:
        largest = labels[name].abs().max()
        assert largest is None or largest < (0.001 if "ret" in name else 100), name
    narrow = compare(PERP, SPOT, start="2023-05-01", end="2023-05-02", lake=lake, **options).features
    if options["bars"].anchor == "day":
        assert narrow.equals(study.features.tail(narrow.height))


def test_ids_that_are_missing_between_days_are_a_hole(tmp_path: Path) -> None:
    """A file that ends at 14:00 says nothing of the rest of its day; the ids of the next one do."""
    from tests.archives import trades_archive

    days = {"2024-05-01": (range(14), 1), "2024-05-02": (range(24), 1_000)}
    paths = []
    for date, (hours, first_id) in days.items():
        for exchange in ("binance-futures", "binance-spot"):
            path = trades_archive(
                tmp_path / "a", exchange, "BTCUSDT", clock.to_us(date), day_of(date, 100 if first_id == 1 else 200, hours)
            )
            if exchange == "binance-futures" and first_id > 1:
                renumber(path, first_id)
            elif first_id > 1:
                renumber(path, 14 * 12 + 1)
            paths.append(path)
    lake = lake_from(tmp_path, paths)
    table = compare(PERP, SPOT, start="2024-05-01", end="2024-05-03", bars=TimeBarConfig("1h"), lake=lake).features
    hole_from, hole_until = clock.to_us("2024-05-01 13:55"), clock.to_us("2024-05-02")
    over = (pl.col("bucket_end") > hole_from) & (pl.col("bucket_start") <= hole_until)
    marked = table.filter(pl.col("perp_hole"))["bucket_start"].to_list()
    assert marked == table.filter(over)["bucket_start"].to_list()
    assert not table["spot_hole"].any()
    assert table.filter("perp_hole")["perp_ret_1bar"].null_count() == len(marked) == 12
    assert table["spot_ret_1bar"].null_count() == 1


def renumber(path: Path, first_id: int) -> None:
    """The archive with ids from another number on."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        (member,) = archive.namelist()
        lines = archive.read(member).decode().splitlines()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, "".join(f"{first_id + n},{line.split(',', 1)[1]}\n" for n, line in enumerate(lines)))
