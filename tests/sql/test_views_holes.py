"""What `api.ohlcv` says of holes, stale closes and completeness, against the Python functions that the rest of pointline goes by."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.archives import trades_archive
from tests.effort import examples
from tests.sql.markets import Candle, candles_archives, lake_with, walk, zipped

from pointline import sql
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, to_us
from pointline.curves.closes import closes
from pointline.curves.grid import candle_grid
from pointline.lake.catalog import held

if TYPE_CHECKING:
    from pointline.lake.store import Lake

pytestmark = pytest.mark.filterwarnings("ignore::pointline.errors.QueryNote")  # what is left out is told; not what is looked at here


SPOT = ("binance-spot", "BTCUSDT")
FIRST = to_us("2024-05-01")  # a whole month is declared by each file of candles
TEXT = (
    "SELECT toUnixTimestamp(start) AS start_s, toUnixTimestamp(end) AS end_s, toString(close) AS close, close_age_seconds, "
    "close_unknown_seconds, complete, covered_share, minutes FROM api.ohlcv(candle_duration_in_minutes = {n:UInt32}) ORDER BY start"
)
# An example makes and opens a lake: few of them, and none is made smaller.
FEW = settings(deadline=None, max_examples=examples(5), phases=(Phase.explicit, Phase.reuse, Phase.generate))


class Shown(NamedTuple):
    """A candle of the view."""

    start_us: int
    end_us: int
    close: float | None
    age_us: int | None
    unknown_us: int | None
    complete: bool
    share: float
    minutes: int


def shown(lake: Lake, minutes: int) -> list[Shown]:
    found = []
    for start_s, end_s, close, age_s, unknown_s, complete, share, known in sql.query(TEXT, lake=lake, n=minutes).iter_rows():
        us = [None if s is None else s * SECOND_US for s in (age_s, unknown_s)]
        price = None if close is None else float(close)
        found.append(Shown(start_s * SECOND_US, end_s * SECOND_US, price, *us, complete, share, known))
    return found


def told(rows: list[Shown], max_age_us: int) -> dict[int, tuple[float, int]]:
    """The closes that stand for the end of their candle: young enough, and nothing unknown after them."""
    return {
        row.start_us: (row.close, row.age_us)
        for row in rows
        if row.close is not None and row.age_us is not None and row.age_us < max_age_us and row.unknown_us == 0
    }


def by_python(lake: Lake, minutes: int, max_age_us: int) -> dict[int, tuple[float, int]]:
    grid = candle_grid(FIRST, FIRST + 3 * DAY_US, f"{minutes}m")
    frame = closes(lake, *SPOT, grid, max_trade_age_us=max_age_us).drop_nulls("close")
    return {start_us: (close, age_us) for start_us, close, age_us in frame.select("start_us", "close", "age_us").iter_rows()}


def spans(most: int) -> st.SearchStrategy[list[tuple[int, int]]]:
    """Stretches of candles, by the place of the first and their number."""
    return st.lists(st.tuples(st.integers(0, most), st.integers(1, most // 3)), max_size=4)


def inside(n: int, stretches: list[tuple[int, int]]) -> bool:
    return any(first <= n < first + count for first, count in stretches)


def with_holes(length_us: int, gone: list[tuple[int, int]], quiet: list[tuple[int, int]]) -> list[Candle]:
    """Three days of candles without the `gone` ones, and without trades in the `quiet` ones."""
    made = []
    for n, candle in enumerate(walk(FIRST, 3 * DAY_US // length_us, length_us, seed=3)):
        if not inside(n, gone):
            made.append(candle._replace(volume="0", count=0) if inside(n, quiet) else candle._replace(volume="1", count=1))
    return made or walk(FIRST, 1, length_us)


AGES_US = (MINUTE_US, HOUR_US, 5 * HOUR_US, DAY_US)


@FEW
@given(st.sampled_from([("1h", HOUR_US), ("5m", 5 * MINUTE_US)]), spans(72), spans(72))
def test_candles_with_holes_and_quiet_hours(
    tmp_path_factory: pytest.TempPathFactory, kind: tuple[str, int], gone: list[tuple[int, int]], quiet: list[tuple[int, int]]
) -> None:
    folder, (name, length_us) = tmp_path_factory.mktemp("holes"), kind
    if length_us < HOUR_US:  # the same stretches of hours, moved off the hour
        gone, quiet = ([(12 * first + 5, 12 * count - 3) for first, count in part] for part in (gone, quiet))
    lake = lake_with(folder, candles_archives(folder, *SPOT, name, with_holes(length_us, gone, quiet)))
    for minutes in (60, 240, 1_440):
        rows = shown(lake, minutes)
        for max_age_us in AGES_US:
            assert told(rows, max_age_us) == by_python(lake, minutes, max_age_us)
    check_coverage(lake, "candles_" + name)


def check_coverage(lake: Lake, kind: str) -> None:
    """Days are complete, and covered, as far as the catalog says."""
    (one,) = (one for one in held(lake) if one.row["kind"] == kind)
    days = shown(lake, 1_440)
    for row in days:
        missing_us = sum(b - a for a, b in one.covered.uncovered(row.start_us, row.end_us))
        assert row.complete == (missing_us == 0)
        assert row.share == pytest.approx(1 - missing_us / DAY_US, abs=1e-12)
        assert row.minutes * MINUTE_US == DAY_US - missing_us
    expected_us = one.covered.until_us - one.covered.from_us - one.covered.missing_us
    assert sum(row.minutes for row in days) * MINUTE_US == expected_us


@FEW
@given(spans(72), spans(72), st.booleans())
def test_several_sources_say_no_more_than_python_knows(
    tmp_path_factory: pytest.TempPathFactory, gone: list[tuple[int, int]], quiet: list[tuple[int, int]], with_days: bool
) -> None:
    """Hours with holes beside 5-minute candles of the second day: a close that the view tells is the close that Python tells."""
    folder = tmp_path_factory.mktemp("several")
    hours = with_holes(HOUR_US, gone, quiet)
    paths = candles_archives(folder, *SPOT, "1h", hours)
    fine = [
        Candle(candle.start_us + n * 5 * MINUTE_US, *([candle.close] * 4), candle.volume, candle.count)
        for candle in hours
        if DAY_US <= candle.start_us - FIRST < 2 * DAY_US
        for n in range(12)
    ]
    paths += candles_archives(folder, *SPOT, "5m", fine)
    if with_days:
        paths += candles_archives(folder, "binance-futures", "BTCUSDT", "1d", [Candle(FIRST, *["1"] * 4)])
    lake = lake_with(folder, paths)
    for minutes in (60, 240, 1_440):
        rows = [row for row in shown(lake, minutes) if row.close != 1.0]
        for max_age_us in AGES_US:
            python = by_python(lake, minutes, max_age_us)
            assert set(told(rows, max_age_us)) <= set(python)
            assert {start_us: close for start_us, (close, _) in told(rows, max_age_us).items()} == {
                start_us: python[start_us][0] for start_us in told(rows, max_age_us)
            }


TRADES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 59_999), st.booleans()), min_size=1, max_size=150)


@FEW
@given(TRADES)
def test_trades_with_missing_ids(tmp_path_factory: pytest.TempPathFactory, drawn: list[tuple[int, int, bool]]) -> None:
    """Some of a day's first minutes have trades, of which some ids are missing."""
    folder = tmp_path_factory.mktemp("trades")
    events = sorted((FIRST + minute * MINUTE_US + ms * 1_000, gone) for minute, ms, gone in drawn)
    numbered = [(n, us, str(100 + n)) for n, (us, gone) in enumerate(events, 1) if not gone or n == 1]
    path = folder / "data" / "spot" / "daily" / "trades" / "BTCUSDT" / "BTCUSDT-trades-2024-05-01.zip"
    lake = lake_with(folder, [zipped(path, [f"{n},{price},1,{price},{us},True,True\n" for n, us, price in numbered])])
    for minutes in (1, 5, 60):
        python = by_python(lake, minutes, MINUTE_US)
        assert {start_us: close for start_us, (close, _) in told(shown(lake, minutes), MINUTE_US).items()} == {
            start_us: close for start_us, (close, _) in python.items()
        }
    holes = [(us, after_us) for (n, us, _), (after, after_us, _) in pairwise(numbered) if after != n + 1]
    for minutes in (1, 15, 1_440):
        for row in shown(lake, minutes):
            lost_us = sum(max(0, min(b, row.end_us) - max(a, row.start_us)) for a, b in holes)
            assert row.share <= 1 - lost_us / (row.end_us - row.start_us) + 1e-9
            assert not (row.complete and lost_us)


KINDS: dict[str, tuple[list[Candle], list[Any]]] = {
    "all of a day": (walk(FIRST, 24, HOUR_US), [0, 0, True, 1.0]),
    "the last hour is missing": (walk(FIRST, 23, HOUR_US), [3_600, 3_600, False, 23 / 24]),
    "an hour in the middle is missing": ([c for n, c in enumerate(walk(FIRST, 24, HOUR_US)) if n != 12], [0, 0, False, 23 / 24]),
    "nothing traded in the last hours": (
        [c._replace(volume="0") if n > 20 else c for n, c in enumerate(walk(FIRST, 24, HOUR_US))],
        [3 * 3_600, 0, True, 1.0],
    ),
    "nothing traded in the last hours, and one of them is missing": (
        [c._replace(volume="0") if n > 20 else c for n, c in enumerate(walk(FIRST, 24, HOUR_US)) if n != 22],
        [3 * 3_600, 3_600, False, 23 / 24],
    ),
    "nothing traded at all": ([c._replace(volume="0") for c in walk(FIRST, 24, HOUR_US)], [None, None, True, 1.0]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beside", [False, True])
def test_every_kind_of_day(tmp_path_factory: pytest.TempPathFactory, kind: str, beside: bool) -> None:
    """With one source in the lake, and with another market's beside it, for which the view is made otherwise."""
    candles, expected = KINDS[kind]
    folder = tmp_path_factory.mktemp("kinds")
    paths = candles_archives(folder, *SPOT, "1h", candles)
    if beside:
        paths.append(trades_archive(folder, "binance-futures", "BTCUSDT", FIRST, [(FIRST, "1", "1", False)]))
    columns = "close_age_seconds, close_unknown_seconds, complete, covered_share"
    text = f"SELECT {columns} FROM api.ohlcv(candle_duration_in_minutes = 1440) WHERE exchange = 'binance'"
    (row,) = sql.query(text, lake=lake_with(folder, paths)).rows()
    assert list(row) == expected
