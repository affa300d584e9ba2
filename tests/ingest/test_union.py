"""Which rows serve: the union of files against plain loops, for every kind of id and for candles."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pointline import schema
from pointline.clock import MINUTE_US, to_us
from pointline.ingest.union import FeedRows, serve
from pointline.lake.partition import Feed, file_id

START = to_us("2024-05-01")
DECLARED = (START, START + 86_400_000_000)


def feed(name: str, rank: int = 30, declared: tuple[int, int] | None = None) -> Feed:
    return Feed(name, "0" * 64, "{}", rank, "assumed", f"{name}.csv", declared)


def trades(rows: list[dict[str, object]]) -> pl.DataFrame:
    """Parsed trades; what is not given is null."""
    columns = schema.table("trades").parsed
    full = [{name: row.get(name) for name in columns} for row in rows]
    return pl.DataFrame(full, schema=columns, orient="row")


def row(us: int, line: int, **values: object) -> dict[str, object]:
    at = START + us
    return {"ts_local_us": at, "ts_event_us": at, "price": 100.0, "qty": 1.0, "side": True, "off_book": False, "source_row": line, **values}


def lines(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return list(frame.select("source_file", "source_row").iter_rows())


# Trades without any id: as many of the same values serve as the file has that has most of them

without_id = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([1.0, 2.0]), st.booleans()), max_size=8)


@given(files=st.lists(without_id, min_size=1, max_size=3).filter(any))
def test_trades_without_ids_are_told_apart_by_their_values(files: list[list[tuple[int, float, bool]]]) -> None:
    parts = []
    most: Counter[tuple[int, float, bool]] = Counter()
    for number, told in enumerate(files):
        told = sorted(told)  # noqa: PLW2901 - rows come in time order
        parts.append(FeedRows(feed(f"f{number}"), trades([row(us, n, price=p, side=s) for n, (us, p, s) in enumerate(told)])))
        most |= Counter(told)
    served = serve("trades", [part for part in parts if part.rows.height])
    found = Counter((us - START, price, side) for us, price, side in served.serving.select("ts_event_us", "price", "side").iter_rows())
    assert found == most
    assert served.serving.height + served.reserve.height == sum(len(told) for told in files)
    backwards = serve("trades", [part for part in reversed(parts) if part.rows.height])
    assert served.serving.equals(backwards.serving)
    assert served.reserve.equals(backwards.reserve)


# Text ids


@given(files=st.lists(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6), min_size=2, max_size=3))
def test_trades_with_text_ids_serve_once(files: list[list[str]]) -> None:
    parts = [
        FeedRows(feed(f"f{n}", rank=10 * n), trades([row(ord(name), k, text_id=f"uuid-{name}") for k, name in enumerate(sorted(names))]))
        for n, names in enumerate(files)
        if names
    ]
    if not parts:
        return
    served = serve("trades", parts)
    best: dict[str, tuple[int, int]] = {}
    for n, names in reversed(list(enumerate(files))):
        for k, name in enumerate(sorted(names)):
            best[name] = (file_id(f"f{n}"), k)
    assert sorted(lines(served.serving)) == sorted(best.values())


# Kinds of ids that cannot be matched: the one that covers more minutes serves what it covers


def spread(first_minute: int, last_minute: int, **values: object) -> list[dict[str, object]]:
    return [
        row(minute * MINUTE_US + 1, n, **{k: v(n) if callable(v) else v for k, v in values.items()})
        for n, minute in enumerate(range(first_minute, last_minute))
    ]


def test_a_minute_of_a_recording_does_not_hide_a_day_of_a_table() -> None:
    table = FeedRows(feed("table", rank=40), trades(spread(0, 600)))
    recording = FeedRows(feed("recorded", rank=30), trades(spread(300, 302, trade_id=lambda n: 5 + n)))
    served = serve("trades", [table, recording])
    assert (served.serving["source_file"] == file_id("table")).all()
    assert served.serving.height == 600
    assert lines(served.reserve) == [(file_id("recorded"), 0), (file_id("recorded"), 1)]


def test_what_the_larger_source_does_not_cover_comes_from_the_smaller() -> None:
    table = FeedRows(feed("table", rank=40), trades(spread(0, 600)))
    recording = FeedRows(feed("recorded", rank=30), trades(spread(590, 700, trade_id=lambda n: 5 + n)))
    served = serve("trades", [table, recording])
    by_file = Counter(served.serving["source_file"].to_list())
    assert by_file == {file_id("table"): 600, file_id("recorded"): 100}
    assert served.serving["ts_local_us"].is_sorted()


def test_of_equal_cover_the_smaller_rank_serves() -> None:
    table = FeedRows(feed("table", rank=40), trades(spread(0, 60)))
    recording = FeedRows(feed("recorded", rank=30), trades(spread(0, 60, trade_id=lambda n: 5 + n)))
    served = serve("trades", [table, recording])
    assert (served.serving["source_file"] == file_id("recorded")).all()
    assert served.reserve.height == 60


def test_a_hole_in_the_ids_of_the_larger_source_is_filled_by_the_smaller() -> None:
    jump = trades(spread(0, 600, trade_id=lambda n: n if n < 200 else n + 50)).filter(~pl.col("source_row").is_between(200, 249))
    recording = FeedRows(feed("recorded", rank=30), jump)
    table = FeedRows(feed("table", rank=40), trades(spread(100, 300)))
    served = serve("trades", [table, recording])
    filled = served.serving.filter(pl.col("source_file") == file_id("table"))["source_row"].to_list()
    assert filled == list(range(100, 150))  # the minutes 200 to 249, of which the recording has no trade


# Sides, conflicts, candles


def test_a_row_that_tells_the_side_serves() -> None:
    blind = FeedRows(feed("a", rank=10), trades([row(0, 1, trade_id=7, side=None)]))
    telling = FeedRows(feed("b", rank=40), trades([row(0, 9, trade_id=7, side=False)]))
    served = serve("trades", [blind, telling])
    assert lines(served.serving) == [(file_id("b"), 9)]
    assert served.conflicts == ()  # not to know is no contradiction


def test_contradictions_are_told_with_both_files() -> None:
    one = FeedRows(feed("a", rank=10), trades([row(0, 1, trade_id=7), row(5_000, 2, trade_id=8)]))
    other = FeedRows(feed("b", rank=20), trades([row(0, 1, trade_id=7, price=100.5), row(5_999, 2, trade_id=8)]))
    (conflict,) = serve("trades", [one, other]).conflicts
    assert (conflict.serving, conflict.losing, conflict.rows) == ("a", "b", 1)
    assert "price 100.5 against 100.0" in conflict.example


def candle(line: int, volume: str, count: int) -> dict[str, object]:
    values = {name: Decimal(2) for name in ("open", "high", "low", "close")}
    end = START + MINUTE_US
    return {
        **values,
        "ts_local_us": end,
        "ts_event_us": end,
        "start_us": START,
        "volume": Decimal(volume),
        "trade_count": count,
        "source_row": line,
    }


def test_a_finished_candle_goes_before_an_unfinished_one_of_any_rank() -> None:
    columns = schema.table("candles_1m").parsed
    frames = {
        name: pl.DataFrame([{**dict.fromkeys(columns), **candle(1, volume, count)}], schema=columns)
        for name, volume, count in (("unfinished", "0.5", 3), ("finished", "1.5", 9))
    }
    for ranks in ({"unfinished": 10, "finished": 40}, {"unfinished": 40, "finished": 10}):
        parts = [FeedRows(feed(name, rank=ranks[name]), frame) for name, frame in frames.items()]
        served = serve("candles_1m", parts)
        assert served.serving["trade_count"].to_list() == [9]
        assert len(served.conflicts) == 1


# Any mixture: every row serves or is in reserve, and the order of the files does not matter

mixed_row = st.tuples(st.integers(0, 5), st.sampled_from(["single", "aggregated", "text", "none"]), st.integers(1, 12))


@given(files=st.lists(st.lists(mixed_row, min_size=1, max_size=8), min_size=1, max_size=3), data=st.data())
def test_every_row_is_somewhere_once_whatever_the_order(files: list[list[tuple[int, str, int]]], data: st.DataObject) -> None:
    parts = []
    for number, told in enumerate(files):
        rows = []
        seen: set[tuple[str, int]] = set()
        for n, (second, kind, ident) in enumerate(sorted(told)):
            if (kind, ident) in seen and kind != "none":
                continue
            seen.add((kind, ident))
            ids: dict[str, dict[str, object]] = {
                "single": {"trade_id": ident},
                "aggregated": {"trade_id": ident, "first_trade_id": ident, "last_trade_id": ident + 2},
                "text": {"text_id": str(ident)},
                "none": {},
            }
            rows.append(row(second * 1_000_000, n, **ids[kind]))
        parts.append(FeedRows(feed(f"f{number}", rank=10 * (number % 2)), trades(rows)))
    served = serve("trades", parts)
    shuffled = serve("trades", data.draw(st.permutations(parts)))
    assert served.serving.equals(shuffled.serving)
    assert served.reserve.equals(shuffled.reserve)
    everything = sorted((file_id(part.feed.key), line) for part in parts for line in part.rows["source_row"].to_list())
    assert sorted(lines(served.serving) + lines(served.reserve)) == everything
    counts: dict[int, int] = defaultdict(int)
    for first, last, ident in served.serving.select("first_trade_id", "last_trade_id", "trade_id").iter_rows():
        if ident is not None and first is None:
            counts[ident] += 1
        elif ident is not None:
            for each in range(first, last + 1):
                counts[each] += 100
    assert not any(n % 100 > 0 and n >= 100 for n in counts.values())  # no trade serves singly and inside an aggregated row
