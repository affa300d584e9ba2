"""Off-book prints: what is flagged in markets that are hostile to the rule, in pieces, before a cut, and in real data."""

from __future__ import annotations

import importlib.util
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import polars as pl
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from pointline.ingest import off_book
from pointline.ingest.checks import check_rows
from pointline.ingest.off_book import OffBook, flag_off_book

_SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "off_book.py"
_SPEC = importlib.util.spec_from_file_location("off_book_benchmark", _SCRIPT)
assert _SPEC is not None
assert _SPEC.loader is not None
benchmark = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(benchmark)

# The rule, print by print


def distance(a: float, b: float) -> float:
    return 2.0 * (b - a) / (a + b)


def tick_of(recent: list[float], price: float, after: float) -> float:
    steps = [abs(b - a) for a, b in pairwise(recent) if a != b]
    if steps:
        return min(steps)
    exact = [Decimal(repr(value)) for value in (recent[-1], price, after)]
    for decimals in range(20):
        counts = [value * 10**decimals for value in exact]
        if all(count == int(count) for count in counts):
            break
    if decimals == 0:
        return 1.0
    return next(times for times in (5, 2, 1) if all(count % times == 0 for count in counts)) / 10.0**decimals


def isolated(groups: list[list[float]], at: int) -> bool:
    """Whether group `at` lies away from its neighbours."""
    if not off_book.GROUPS_BEFORE <= at < len(groups) - 1 or len(set(groups[at])) > 1:
        return False
    price, before, after = groups[at][0], groups[at - 1][-1], groups[at + 1][0]
    recent = [value for group in groups[max(0, at - off_book.RECENT_GROUPS) : at] for value in group]
    lasts = [group[-1] for group in groups[max(0, at - off_book.MOVE_GROUPS - 1) : at]]
    moves = [round(abs(distance(a, b)) * 2**40) for a, b in pairwise(lasts)]
    limit = max(0.01, 3.0 * tick_of(recent, price, after) / before, 8.0 * (sum(moves) * 2.0**-40 / len(moves)))
    up_to, down_from = distance(before, price), distance(after, price)
    return (
        up_to * down_from > 0
        and min(abs(up_to), abs(down_from)) > limit
        and abs(distance(before, after)) <= limit / 2
        and all(abs(distance(value, price)) > limit / 4 for value in recent)
    )


def flags_plainly(times: list[int], prices: list[float], said: list[bool | None]) -> list[bool]:
    """What stands in ``off_book`` in the end, by the rule of the documentation."""
    usual = [row for row in range(len(times)) if said[row] is not True]
    groups = [list(rows) for _, rows in groupby(usual, key=lambda row: times[row])]
    values = [[prices[row] for row in rows] for rows in groups]
    flags = [bool(word) for word in said]
    for at, rows in enumerate(groups):
        if all(said[row] is None for row in rows) and isolated(values, at):
            for row in rows:
                flags[row] = True
    return flags


def trades(times: list[int], prices: list[float], said: list[bool | None] | None = None) -> pl.DataFrame:
    made: pl.DataFrame = benchmark.trades_of(np.array(times, dtype=np.int64), np.array(prices, dtype=np.float64))
    return made if said is None else made.with_columns(off_book=pl.Series(said, dtype=pl.Boolean))


def quiet(count: int, price: float = 100.0, step: float = 0.01) -> list[float]:
    """Prices of a calm market."""
    return [price + step * (n % 3) for n in range(count)]


def flagged(prices: list[float], times: list[int] | None = None, said: list[bool | None] | None = None) -> list[int]:
    frame = flag_off_book(trades(list(range(len(prices))) if times is None else times, prices, said))
    return np.flatnonzero(frame["off_book"].to_numpy()).tolist()


LEVELS = st.sampled_from([100.0, 100.0, 100.0, 100.0, 100.01, 100.02, 100.5, 101.0, 101.01, 98.0, 102.0, 103.01, 110.0, 50.0, 0.001])
WAITS = st.sampled_from([0, 1, 1, 1, 1, 60_000_000])
WORDS = st.sampled_from([None, None, None, None, None, False, True])
LEVEL_MARKET = st.lists(st.tuples(LEVELS, WAITS, WORDS), min_size=1, max_size=120)
Market: TypeAlias = list[tuple[float, int, bool | None]]


def walk(seed: int, scale: float, far: float) -> Market:
    """Prices, waits and what the source says, of a random walk in which some prints are 3 % away."""
    random = np.random.default_rng(seed)
    prices = 100 * np.exp(np.cumsum(random.normal(0, scale, 150))) * np.where(random.random(150) < far, 1.03, 1.0)
    return [(price, wait, None) for price, wait in zip(prices.round(2).tolist(), random.choice([0, 1, 1], 150).tolist(), strict=True)]


MARKET = LEVEL_MARKET | st.builds(
    walk, st.integers(0, 10_000), st.sampled_from([1e-5, 1e-4, 1e-3, 3e-3, 1e-2]), st.sampled_from([0.01, 0.05, 0.3])
)


@pytest.fixture(params=["whole", "short"])
def windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule's own windows, and short ones, whose ends small markets reach."""
    if request.param == "short":
        monkeypatch.setattr(off_book, "RECENT_GROUPS", 12)
        monkeypatch.setattr(off_book, "MOVE_GROUPS", 4)
        monkeypatch.setattr(off_book, "GROUPS_BEFORE", 3)


def columns(market: Market) -> tuple[list[int], list[float], list[bool | None]]:
    prices, waits, said = (list(column) for column in zip(*market, strict=True))
    return np.cumsum(waits).tolist(), prices, said


@pytest.mark.usefixtures("windows")
@settings(max_examples=max(100, settings().max_examples))
@given(MARKET, st.lists(st.integers(0, 150), max_size=8))
def test_flags_are_those_of_the_plain_rule_however_the_rows_are_cut(market: Market, cuts: list[int]) -> None:
    times, prices, said = columns(market)
    frame = trades(times, prices, said)
    expected = flags_plainly(times, prices, said)
    event(f"judged off-book: {any(flag and word is None for flag, word in zip(expected, said, strict=True))}")
    assert flag_off_book(frame)["off_book"].to_list() == expected
    judge = OffBook()
    borders = [0, *sorted(min(cut, frame.height) for cut in cuts), frame.height]
    parts = [judge.judge(frame[start:end]) for start, end in pairwise(borders)]
    taken = sum(part.height for part in parts) + sum(rows.height for rows in judge.withheld)
    assert taken == frame.height
    found = pl.concat([*parts, judge.judge(frame[:0], last=True)])
    assert found.equals(frame.with_columns(off_book=pl.Series(expected)))


@pytest.mark.usefixtures("windows")
@settings(max_examples=max(75, settings().max_examples))
@given(MARKET, st.integers(0, 150))
def test_what_comes_after_the_next_group_changes_no_flag(market: Market, cut: int) -> None:
    times, prices, said = columns(market)
    frame = trades(times, prices, said)
    whole = flag_off_book(frame)
    until = times[min(cut, len(times) - 1)]
    known = flag_off_book(frame.filter(pl.col("ts_event_us") <= until))
    usual = known.filter(pl.Series(said[: known.height], dtype=pl.Boolean).fill_null(value=False).not_())
    followed = known["ts_event_us"] < (usual["ts_event_us"].max() if usual.height else 0)
    assert known.filter(followed).equals(whole[: known.height].filter(followed))


# Single cases


def test_a_lone_print_between_two_calm_neighbours_is_flagged() -> None:
    for price in (98.0, 102.0, 50.0, 5_000.0):
        assert flagged([*quiet(20), price, *quiet(20)]) == [20]


@pytest.mark.parametrize("share", [0.0101, 0.0104])
def test_the_limit_is_one_percent_where_hardly_anything_moves(share: float) -> None:
    """The last price before is 100.02."""
    assert flagged([*quiet(30), round(100 * (1 + share), 4), *quiet(20)]) == ([30] if share > 0.0103 else [])


def test_prints_of_one_time_are_judged_together() -> None:
    before, after = list(range(20)), list(range(30, 50))
    alike, sweep = [97.0, 97.0, 97.0], [99.0, 98.0, 97.0]
    assert flagged([*quiet(20), *alike, *quiet(20)], [*before, 25, 25, 25, *after]) == [20, 21, 22]
    assert flagged([*quiet(20), *sweep, *quiet(20)], [*before, 25, 25, 25, *after]) == []
    assert flagged([*quiet(20), 97.0, *quiet(20)], [*before, 19, *after]) == []


def test_receive_times_do_not_part_the_prints_of_one_moment() -> None:
    prices = [*quiet(20), 99.0, 98.0, 97.0, *quiet(20)]
    frame = trades([*range(20), 25, 25, 25, *range(30, 50)], prices).with_columns(ts_local_us=pl.int_range(pl.len()))
    assert not flag_off_book(frame)["off_book"].any()
    assert flag_off_book(frame.with_columns(ts_event_us="ts_local_us"))["off_book"].sum() == 0  # 98.0 is not beside a calm one
    missing = frame.with_columns(ts_event_us=pl.lit(None, dtype=pl.Int64))
    assert flag_off_book(missing)["off_book"].sum() == 0


def test_first_and_last_prints_are_never_flagged() -> None:
    assert flagged([50.0, *quiet(40), 50.0]) == []
    assert flagged([*quiet(9), 50.0, *quiet(9)]) == []
    assert flagged([*quiet(10), 50.0, *quiet(9)]) == [10]
    assert flagged([50.0]) == []


def test_a_level_that_stays_or_was_there_is_none() -> None:
    assert flagged([*quiet(20), *quiet(20, 105.0)]) == []
    assert flagged([*quiet(20, 105.0), *quiet(200), 105.0, *quiet(20)]) == []
    assert flagged([*quiet(20, 105.0), *quiet(600), 105.0, *quiet(20)]) == [620]
    assert flagged([*quiet(60), 105.0, *quiet(100), 105.0, *quiet(60)]) == [60]


def test_what_moves_much_may_go_far() -> None:
    moving = [100.0 * (1.004 if n % 2 else 1.0) for n in range(60)]
    assert flagged([*moving, 103.0, *moving]) == []
    assert flagged([*moving, 104.0, *moving]) == [60]


@pytest.mark.parametrize(("still", "price", "found"), [(2.5, 2.65, False), (2.5, 2.66, True), (50.0, 53.0, False), (50.0, 54.0, True)])
def test_three_ticks_are_told_by_digits_where_the_price_stood_still(still: float, price: float, found: bool) -> None:
    assert flagged([*[still] * 30, price, *[still] * 5]) == ([30] if found else [])


def test_three_ticks_are_told_by_steps_where_it_moved() -> None:
    before = [*[2.5] * 10, 2.55, *[2.5] * 100]
    assert flagged([*before, 2.65, *[2.5] * 5]) == []
    assert flagged([*before, 2.7, *[2.5] * 5]) == [111]


def test_what_a_stream_says_stays_and_is_no_neighbour() -> None:
    prices = [*quiet(20), 97.0, 97.0, *quiet(20)]
    nothing: list[bool | None] = [None] * 20
    assert flagged(prices) == []  # two in a row
    assert flagged(prices, said=[*nothing, True, None, *nothing]) == [20, 21]
    assert flagged(prices, said=[*nothing, True, False, *nothing]) == [20]
    assert flagged([*quiet(20), 97.0, *quiet(20)], said=[*nothing, False, *nothing]) == []
    assert flagged([*quiet(20), 97.0, 97.0, *quiet(20)], [*range(20), 25, 25, *range(30, 50)], [*nothing, False, None, *nothing]) == []
    assert flagged([0.0, *quiet(5)], said=[True] + [None] * 5) == [0]


def test_single_and_aggregated_trades_are_judged_apart() -> None:
    prices = [*quiet(20), 97.0, *quiet(20)]
    single = trades([n * 10 for n in range(41)], prices)
    both = pl.concat([single, single.with_columns(first_trade_id="trade_id", ts_event_us=pl.col("ts_event_us") + 5)])
    found = flag_off_book(both.sort("ts_event_us", maintain_order=True))
    assert found["off_book"].sum() == 2
    assert found.filter("off_book")["price"].to_list() == [97.0, 97.0]
    assert found["ts_event_us"].is_sorted()
    assert found.columns == single.columns


def test_no_rows_and_checks() -> None:
    assert flag_off_book(trades([], [])).is_empty()
    frame = trades(list(range(41)), [*quiet(20), 97.0, *quiet(20)])
    checked = check_rows(frame.reverse(), "trades")
    assert (checked.rows, checked.rejects.height, checked.frame["off_book"].sum()) == (41, 0, 1)


def test_only_a_print_that_may_be_flagged_is_withheld() -> None:
    judge = OffBook()
    assert judge.judge(trades(list(range(20)), quiet(20))).height == 20
    assert judge.judge(trades([20], [97.0])).is_empty()
    assert judge.judge(trades([20], [97.0])).is_empty()
    assert sum(rows.height for rows in judge.withheld) == 2
    assert judge.judge(trades([20], [99.0]))["off_book"].to_list() == [False] * 3
    assert judge.judge(trades([21, 22], [100.0, 95.0]))["off_book"].to_list() == [False]
    assert judge.judge(trades([23], [100.0]))["off_book"].to_list() == [True]  # and the way back may be one too
    assert judge.judge(trades([24], [100.0]))["off_book"].to_list() == [False, False]


# Markets


@pytest.mark.parametrize("name", benchmark.MARKETS)
def test_hardly_a_true_print_is_flagged(name: str) -> None:
    flags, total = benchmark.false_share(benchmark.MARKETS[name], 10_000, 2)
    assert total == 20_000
    assert flags / total < 0.001
    flags, total = benchmark.false_share(benchmark.MARKETS[name], 300, 20)
    assert flags / total < 0.002


@pytest.mark.parametrize("name", benchmark.CALM)
def test_lone_prints_in_calm_markets_are_found(name: str) -> None:
    make, tick = benchmark.CALM[name]
    market = make(np.random.default_rng(3), 20_000)
    for share in (0.02, 0.05, 0.5):
        hits, others = benchmark.found(market, np.random.default_rng(4), share, tick, 40)
        assert hits >= 38
        assert others == 0


def test_a_real_day_has_its_insurance_print_and_no_other(shared_data: Path) -> None:
    sets = {name: rows.filter("off_book")["trade_id"].to_list() for name, rows in benchmark.real_sets(shared_data)}
    assert {name: ids for name, ids in sets.items() if ids} == {
        name: [3535191080] for name in sets if "usdm" in name and name.endswith("2023-04-05")
    }
    assert sum(1 for ids in sets.values() if ids) == 2
    assert any(name.startswith("sweeps/") for name in sets)


def test_a_real_sweep_in_a_calm_market_is_no_off_book_print(shared_data: Path) -> None:
    sweep = pl.read_csv(shared_data / "sweeps" / "atomusdt_spot_20251010.csv")
    start, prices = int(sweep["time_us"][0]), sweep["price"].cast(pl.Float64).to_list()
    calm = quiet(600, 1.69, 0.001)
    for apart in (0, 1):  # the fills of one order, also as if each had its own time
        times = [*(start - 600_000 + n * 1_000 for n in range(600)), *(start + n * apart for n in range(71))]
        times += [start + (n + 1) * 1_000 for n in range(600)]
        assert flagged([*calm, *prices, *calm], times) == []
        assert flagged([*calm, *prices, *quiet(600, 1.2, 0.001)], times) == []
