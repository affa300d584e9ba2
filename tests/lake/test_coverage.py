"""What is missing of a table, against plain loops: candles and stamps of a grid, settlements, and trades with and without ids."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.archives import lake_from, trades_archive
from tests.spreads.market import add_candles
from tests.sql.markets import Candle, candles_archives, lake_with

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, to_us
from pointline.ingest.run import ingest
from pointline.lake.catalog import catalog, coverage
from pointline.lake.coverage import (
    Covered,
    Part,
    candle_length_us,
    clipped,
    cover_candles,
    cover_parts,
    cover_payments,
    cover_stamps,
    merged,
    part_days,
    share_text,
    span_text,
)
from pointline.lake.store import open_lake
from pointline.report.tables import catalog_view
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.lake.store import Lake

DAY = to_us("2024-05-01")
SPOT = ("binance-spot", "BTCUSDT")


def row_of(lake: Lake, kind: str) -> dict[str, object]:
    (row,) = (row for row in catalog(lake)["instruments"] if row["kind"] == kind)
    return row


def text_of(lake: Lake) -> str:
    from rich.console import Console

    console = Console(width=200, no_color=True)
    with console.capture() as shown:
        console.print(catalog_view(catalog(lake)))
    return shown.get()


# --- spans ------------------------------------------------------------------------------------------------------------------------

spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


@given(spans, st.integers(0, 60), st.integers(0, 60))
def test_merged_and_clipped_spans_hold_the_same_moments(drawn: list[tuple[int, int]], start: int, end: int) -> None:
    moments = {us for a, b in drawn for us in range(a, b)}
    whole = merged(drawn)
    assert [us for a, b in whole for us in range(a, b)] == sorted(moments)
    assert all(a < b for a, b in whole)
    assert all(before[1] < after[0] for before, after in pairwise(whole))
    assert [us for a, b in clipped(whole, start, end) for us in range(a, b)] == sorted(us for us in moments if start <= us < end)


# --- candles ----------------------------------------------------------------------------------------------------------------------


@st.composite
def grids(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """A candle's length, which candles there are (numbers from 2024-05-01 on), and how far some others lie off the grid."""
    length_us = draw(st.sampled_from([MINUTE_US, 5 * MINUTE_US, HOUR_US, 4 * HOUR_US, DAY_US]))
    numbers = draw(st.lists(st.integers(0, 400), min_size=1, max_size=80, unique=True))
    off = draw(st.lists(st.integers(0, 400), max_size=max(len(numbers) - 1, 0) // 2, unique=True))
    return length_us, numbers, off


@given(grids(), st.booleans())
def test_candles_between_the_first_and_the_end_of_the_last_day_are_counted(grid: tuple[int, list[int], list[int]], declared: bool) -> None:
    length_us, numbers, off = grid
    starts = [DAY + n * length_us for n in numbers]
    declared_us = to_us("2024-07-01") if declared and max(starts) < to_us("2024-07-01") else 0
    odd = [DAY + n * length_us + length_us // 3 for n in off]
    found = cover_candles(pl.Series(starts + odd, dtype=pl.Int64), length_us, declared_us=declared_us)
    end_us = max(declared_us, max(starts) + length_us)
    if length_us < DAY_US:
        end_us = max(end_us, max(starts) // DAY_US * DAY_US + DAY_US)
    expected, at = 0, min(starts)
    while at + length_us <= end_us:
        expected += at not in starts
        at += length_us
    assert (found.missing_candles, found.off_grid) == (expected, len(off))
    assert found.missing_us == expected * length_us
    assert (found.from_us, found.last_us) == (min(starts), max(starts))
    assert found.share == pytest.approx(len(starts) / (len(starts) + expected))
    assert not any(a <= start < b for start in starts for a, b in found.missing)


@settings(max_examples=8)
@given(st.lists(st.integers(0, 120), min_size=2, max_size=60, unique=True))
def test_the_lake_counts_candles_over_months_as_a_loop_does(tmp_path_factory: pytest.TempPathFactory, numbers: list[int]) -> None:
    """Days from 1 May on in a table that declares no period: what is missing lies between the first and the last."""
    lake = add_candles(tmp_path_factory.mktemp("days"), {SPOT: {DAY + n * DAY_US: 1.0 for n in numbers}})
    row = coverage(lake).row(0, named=True)
    missing = max(numbers) - min(numbers) + 1 - len(numbers)
    assert (row["missing_candles"], row["missing_us"]) == (missing, missing * DAY_US)
    assert (to_us(row["first_date"]), to_us(row["last_date"])) == (DAY + min(numbers) * DAY_US, DAY + max(numbers) * DAY_US)
    assert ("candle missing" in text_of(lake) or "candles missing" in text_of(lake)) == (missing > 0)
    assert ("no gaps" in text_of(lake)) == (missing == 0)


def test_a_month_of_which_seven_days_are_there(tmp_path: Path, at_store: Callable[[Lake], Lake]) -> None:
    july, august = to_us("2024-07-01"), to_us("2024-08-01")
    candles = [Candle(july + n * DAY_US, "1", "1", "1", "1") for n in range(7)]
    alone = lake_with(tmp_path / "alone", candles_archives(tmp_path / "alone", *SPOT, "1d", candles))
    candles += [Candle(august + n * DAY_US, "1", "1", "1", "1") for n in range(31)]
    both = lake_with(tmp_path / "both", candles_archives(tmp_path / "both", *SPOT, "1d", candles))
    alone, both = at_store(alone), at_store(both)
    for lake in (alone, both):  # the file declares its month, whether or not another follows
        assert row_of(lake, "candles_1d")["missing_candles"] == 24
        assert "candles_1d of binance-spot:BTCUSDT: 24 candles missing: 2024-07-08 to 2024-07-31" in text_of(lake)
    held = coverage(both).row(0, named=True)
    assert (held["first_date"], held["last_date"], held["covered_share"]) == ("2024-07-01", "2024-08-31", pytest.approx(38 / 62))


def test_candles_end_with_their_contract() -> None:
    starts = pl.Series([DAY + n * HOUR_US for n in range(8)])
    assert cover_candles(starts, HOUR_US, expiry_us=DAY + 8 * HOUR_US).missing_candles == 0
    assert cover_candles(starts, HOUR_US).missing_candles == 16


@pytest.mark.parametrize(
    ("kind", "length_us"),
    [
        ("candles_1m", MINUTE_US),
        ("mark_candles_4h", 4 * HOUR_US),
        ("candles_1h30m", 90 * MINUTE_US),
        ("candles_1mo", None),
        ("trades", None),
    ],
)
def test_the_length_of_a_table_s_candles(kind: str, length_us: int | None) -> None:
    assert candle_length_us(kind) == length_us


# --- stamps and settlements -------------------------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 300), min_size=1, max_size=250), st.integers(-20, 20))
def test_stamps_of_open_interest_are_counted_whatever_seconds_they_are_off(dropped: set[int], jitter_s: int) -> None:
    kept = [n for n in range(301) if n not in dropped]
    stamps = [DAY + n * 5 * MINUTE_US + (n * jitter_s) % 25 * SECOND_US for n in kept]
    found = cover_stamps(pl.Series(stamps, dtype=pl.Int64))
    steps = [b - a for a, b in pairwise(kept)]
    usual = min({step for step in steps if steps.count(step) == max(map(steps.count, steps))}, default=1)
    if usual == 1:
        assert found.missing_stamps == kept[-1] - kept[0] + 1 - len(kept)


def test_the_rest_of_a_declared_day_of_stamps_is_missing() -> None:
    stamps = pl.Series([DAY + n * 5 * MINUTE_US for n in range(100)])
    assert cover_stamps(stamps).missing_stamps == 0
    assert cover_stamps(stamps, declared_us=DAY + DAY_US).missing_stamps == 188
    after = pl.Series([DAY + n * 5 * MINUTE_US for n in range(1, 289)])  # files of metrics end with the next day's first moment
    assert cover_stamps(after, declared_us=DAY + DAY_US).missing_stamps == 0


@given(st.lists(st.sampled_from([1, 2, 4, 8]), min_size=2, max_size=40), st.data())
def test_settlements_that_are_missing_between_two_of_one_interval(hours: list[int], data: st.DataObject) -> None:
    """Every payment says how long its interval was; a change of interval is no hole."""
    at, rows = DAY, []
    for interval in hours:
        at += interval * HOUR_US
        rows.append((at, float(interval)))
    dropped = data.draw(st.sets(st.integers(1, len(rows) - 1), max_size=len(rows) - 1))
    kept = [row for n, row in enumerate(rows) if n not in dropped]
    found = cover_payments(pl.DataFrame(kept, schema={"funding_us": pl.Int64, "interval_hours": pl.Float64}, orient="row"))
    if not dropped:
        assert (found.missing_stamps, found.missing) == (0, ())
    if len(set(hours)) == 1:
        expected = sum((b - a) // (hours[0] * HOUR_US) - 1 for (a, _), (b, _) in pairwise(kept))
        assert found.missing_stamps == expected


def test_settlements_without_an_interval_are_counted_by_their_usual_distance() -> None:
    times = [DAY + n * 8 * HOUR_US for n in range(30) if n not in (7, 8, 20)]
    frame = pl.DataFrame({"funding_us": times, "interval_hours": pl.Series([None] * len(times), dtype=pl.Float64)})
    assert cover_payments(frame).missing_stamps == 3


# --- trades -----------------------------------------------------------------------------------------------------------------------


@st.composite
def prints(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Id and time of the trades of three days, of which some runs are missing."""
    gaps = draw(st.lists(st.integers(1, 9_000 * SECOND_US), min_size=10, max_size=120))
    rows, at = [], DAY + draw(st.integers(0, 5 * HOUR_US))
    for number, gap in enumerate(gaps):
        if at < DAY + 3 * DAY_US:
            rows.append((number + draw(st.just(5)), at))
        at += gap
    for _ in range(draw(st.integers(0, 4))):
        first = draw(st.integers(0, len(rows) - 1))
        del rows[first + 1 : first + 1 + draw(st.integers(0, 30))]
    return rows


def parts(rows: list[tuple[int, int]], *, ids: bool) -> list[Part]:
    days: dict[int, list[tuple[int, int]]] = {}
    for row in rows:
        days.setdefault(row[1] // DAY_US * DAY_US, []).append(row)
    found = []
    for day, own in days.items():
        holes = [(a, b) for (n, a), (m, b) in pairwise(own) if m != n + 1] if ids else []
        bounds = (own[0][0], own[-1][0]) if ids else (None, None)
        missing = own[-1][0] - own[0][0] + 1 - len(own) if ids else 0
        found.append(
            Part(
                start_us=day,
                end_us=day + DAY_US,
                first_us=own[0][1],
                last_us=own[-1][1],
                rows=len(own),
                first_id=bounds[0],
                last_id=bounds[1],
                missing_ids=missing,
                holes=tuple(holes),
            )
        )
    return found


def is_quiet(gap_us: int, part: Part, mean_us: float) -> bool:
    own = (part.last_us - part.first_us) / (part.rows - 1) if part.rows >= 10 else mean_us
    return gap_us > 1_800 * SECOND_US and gap_us > 20 * own


def mean_of(days: list[Part]) -> float:
    steps = sum(day.rows - 1 for day in days)
    return sum(day.last_us - day.first_us for day in days) / steps if steps else 0.0


@given(prints())
def test_with_ids_time_is_missing_where_ids_are_and_nowhere_else(rows: list[tuple[int, int]]) -> None:
    days = parts(rows, ids=True)
    found = cover_parts(days)
    missing = [(a, b) for (n, a), (m, b) in pairwise(rows) if m != n + 1]
    head, tail = (days[0].start_us, rows[0][1]), (rows[-1][1], days[-1].end_us)
    missing += [span for span, day in ((head, days[0]), (tail, days[-1])) if is_quiet(span[1] - span[0], day, mean_of(days))]
    assert found.missing_ids == rows[-1][0] - rows[0][0] + 1 - len(rows)
    assert found.missing == merged(missing)
    assert (found.from_us, found.until_us) == (days[0].start_us, days[-1].end_us)


@given(prints())
def test_without_ids_a_silence_at_an_edge_is_judged_by_the_days_own_gaps(rows: list[tuple[int, int]]) -> None:
    days = parts(rows, ids=False)
    mean_us = mean_of(days)
    missing = [(before.end_us, after.start_us) for before, after in pairwise(days)]
    for day in days:
        edges = [(day.start_us, day.first_us), (day.last_us, day.end_us)]
        missing += [(a, b) for a, b in edges if is_quiet(b - a, day, mean_us)]
    found = cover_parts(days)
    assert (found.missing, found.missing_ids) == (merged(missing), 0)


def test_a_market_begins_with_its_first_id_and_a_contract_ends_with_its_delivery() -> None:
    listed = Part(
        start_us=DAY, end_us=DAY + DAY_US, first_us=DAY + 13 * HOUR_US, last_us=DAY + DAY_US - 1, rows=1_000, first_id=1, last_id=1_000
    )
    found = cover_parts([listed])
    assert (found.missing, found.from_us, found.share) == ((), DAY + 13 * HOUR_US, 1.0)
    assert found.uncovered(DAY, DAY + DAY_US) == [(DAY, DAY + 13 * HOUR_US)]  # a part of a day all the same


def test_a_day_of_trades_that_ends_early(tmp_path: Path, at_store: Callable[[Lake], Lake]) -> None:
    rows = [(DAY + n * MINUTE_US, "21.7", "5", True) for n in range(980)]
    lake = at_store(lake_from(tmp_path, [trades_archive(tmp_path, *SPOT, DAY, rows)]))
    row = row_of(lake, "trades")
    assert row["part_days"] == [{"date": "2024-05-01", "covered_share": pytest.approx(979 / 1_440), "what": "ends at 16:19"}]
    assert row["covered_share"] == pytest.approx(979 / 1_440)
    shown = text_of(lake)
    assert "trades of binance-spot:BTCUSDT: 1 day covered in part: 2024-05-01 to 68 %, ends at 16:19" in shown
    assert "no gaps" not in shown


TABLE = """
kind = "trades"
exchange = "binance-spot"
symbol = { column = "symbol" }

[columns]
ts_event_us = { column = "time", unit = "us" }
price = "price"
qty = "qty"
side = { column = "side", buyer_taker = ["buy"], seller_taker = ["sell"] }
"""


def test_without_ids_a_silence_inside_a_day_is_found_in_its_rows(tmp_path: Path, at_store: Callable[[Lake], Lake]) -> None:
    times = [DAY + n * 10 * SECOND_US for n in range(8_640) if not 3_600 <= n < 5_040]
    (tmp_path / "t.csv").write_text("time,symbol,price,qty,side\n" + "".join(f"{us},BTCUSDT,1,1,buy\n" for us in times))
    (tmp_path / "t.toml").write_text(TABLE)
    lake = open_lake(tmp_path / "lake", create=True)
    (report,) = ingest(lake, [tmp_path / "t.csv"], sources=all_sources("table"), hints=Hints(mapping=tmp_path / "t.toml"))
    assert report.problem is None
    row = row_of(at_store(lake), "trades")
    assert row["missing"] == [[times[3_599], times[3_600]]]
    assert row["part_days"] == [
        {"date": "2024-05-01", "covered_share": pytest.approx(1 - 14_410 / 86_400), "what": "nothing from 09:59:50 to 14:00"}
    ]


def test_a_day_between_ids_that_follow_one_another_is_not_missing(tmp_path: Path, at_store: Callable[[Lake], Lake]) -> None:
    """No trade from noon of the first day to noon of the third: a quiet market by its ids, or a hole by them."""
    for name, first_id, missing in (("in a row", 721, 0), ("a gap", 731, 10)):
        folder = tmp_path / name
        early = [(DAY + n * MINUTE_US, "1", "1", False) for n in range(720)]
        paths = [trades_archive(folder, *SPOT, DAY, early)]
        late = [(first_id + n, DAY + 2 * DAY_US + (720 + n) * MINUTE_US) for n in range(720)]
        path = folder / "data/spot/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-03.csv"
        path.write_text("".join(f"{number},1,1,1,{us},true,true\n" for number, us in late))
        row = row_of(at_store(lake_from(folder, [*paths, path])), "trades")
        assert (row["missing_ids"], row["missing_partitions"], bool(row["part_days"])) == (missing, missing and 1, missing > 0)
        assert row["missing_us"] == (0 if not missing else 2 * DAY_US + MINUTE_US)


def test_superseded_rows_are_those_of_the_table_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = lake_from(tmp_path, [trades_archive(tmp_path, *SPOT, DAY, [(DAY, "1", "1", False)])])
    kept = pl.DataFrame({"exchange": ["binance-spot", "coinbase"], "symbol": ["BTCUSDT", "BTCUSDT"], "num_records": [7, 9]})
    listing = lake.listing
    monkeypatch.setattr(lake, "listing", lambda kind: kept if kind == "trades_reserve" else listing(kind))
    assert row_of(lake, "trades")["superseded"] == 7
    assert "7 superseded" in text_of(lake)


# --- words ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100 %"), (0.99999, "99.9 %"), (0.996, "99.6 %"), (0.68, "68 %"), (0.002, "0.2 %"), (1e-9, "0.1 %"), (0.0, "0 %")],
)
def test_a_share_looks_whole_only_where_it_is(share: float, text: str) -> None:
    assert share_text(share) == text


def test_spans_and_days_in_words() -> None:
    noon = DAY + 12 * HOUR_US
    assert span_text((DAY, DAY + DAY_US), DAY_US) == "2024-05-01"
    assert span_text((DAY, DAY + 3 * DAY_US), DAY_US) == "2024-05-01 to 2024-05-03"
    assert span_text((noon, noon + 2 * MINUTE_US), MINUTE_US) == "2024-05-01 12:00 to 2024-05-01 12:01"
    holes = [(noon - HOUR_US, noon), (noon + HOUR_US, DAY + DAY_US)]
    ((day, share, what),) = part_days(holes, DAY, DAY + 5 * DAY_US, [DAY, DAY + DAY_US])
    assert (day, share, what) == (DAY, pytest.approx(12 / 24), "ends at 13:00, nothing from 11:00 to 12:00")
    assert part_days(holes, noon, noon + HOUR_US, [DAY]) == []
    assert Covered(from_us=DAY, until_us=DAY, last_us=DAY).share == 1.0
