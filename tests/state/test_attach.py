"""State as-of the end of a bar: hand-made cases, and a plain loop as oracle."""

from __future__ import annotations

import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US
from pointline.errors import ConfigError
from pointline.schema import DERIVATIVE_TICKER, FUNDING, OPEN_INTEREST, Table
from pointline.state.attach import STATE_COLUMNS, StateParams, attach_state

MIDNIGHT = 1_680_652_800_000_000  # 2023-04-05 00:00 UTC


def frame_of(table: Table, rows: list[dict[str, Any]]) -> pl.DataFrame:
    full = [{**dict.fromkeys(table.columns), "ts_event_us": row["ts_local_us"], **row} for row in rows]
    return pl.DataFrame(full, schema=table.columns)


def ticker_of(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame_of(DERIVATIVE_TICKER, list(rows))


def funding_of(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame_of(FUNDING, list(rows))


def interest_of(*rows: dict[str, Any]) -> pl.DataFrame:
    return frame_of(OPEN_INTEREST, list(rows))


def bars_of(*edges: int) -> pl.DataFrame:
    return pl.DataFrame({"bucket_start": edges[:-1], "bucket_end": edges[1:]}, schema={"bucket_start": pl.Int64, "bucket_end": pl.Int64})


def test_nothing_in_gives_nulls_of_the_right_type() -> None:
    bars = bars_of(MIDNIGHT, MIDNIGHT + 10)
    state = attach_state(bars)
    assert dict(state.schema) == {**bars.schema, **STATE_COLUMNS}
    assert state.select(pl.all().exclude("bucket_start", "bucket_end").null_count()).row(0) == (1,) * len(STATE_COLUMNS)
    assert dict(attach_state(bars.clear()).schema) == {**bars.schema, **STATE_COLUMNS}


def test_a_value_at_the_bars_end_belongs_to_the_next_bar() -> None:
    ticker = ticker_of(
        {"ts_local_us": MIDNIGHT + 9, "mark_price": 100.0, "index_price": 99.0},
        {"ts_local_us": MIDNIGHT + 10, "mark_price": 101.0},
    )
    state = attach_state(bars_of(MIDNIGHT, MIDNIGHT + 10, MIDNIGHT + 20), ticker=ticker)
    assert state["mark_close"].to_list() == [100.0, 101.0]
    assert state["mark_age_us"].to_list() == [1, 10]
    # The null index of the second row does not hide the first row's.
    assert state["index_close"].to_list() == [99.0, 99.0]
    assert state["index_age_us"].to_list() == [1, 11]


def test_of_two_rows_at_one_instant_the_later_counts() -> None:
    ticker = ticker_of({"ts_local_us": MIDNIGHT, "mark_price": 1.0}, {"ts_local_us": MIDNIGHT, "mark_price": 2.0})
    assert attach_state(bars_of(MIDNIGHT, MIDNIGHT + 5), ticker=ticker)["mark_close"].to_list() == [2.0]


def test_a_value_lasts_exactly_its_limit_and_keeps_its_age() -> None:
    ticker = ticker_of({"ts_local_us": MIDNIGHT, "mark_price": 100.0})
    state = attach_state(bars_of(MIDNIGHT, MIDNIGHT + MINUTE_US, MIDNIGHT + MINUTE_US + 1), ticker=ticker)
    assert state["mark_close"].to_list() == [100.0, None]
    assert state["mark_age_us"].to_list() == [MINUTE_US, MINUTE_US + 1]


def test_the_estimate_of_a_settlement_is_not_carried_past_it() -> None:
    second = SECOND_US
    ticker = ticker_of(
        {"ts_local_us": MIDNIGHT - 2 * second, "funding_rate": 0.0000270, "next_funding_us": MIDNIGHT},
        {"ts_local_us": MIDNIGHT - second, "funding_rate": 0.0000276, "next_funding_us": MIDNIGHT},
        {"ts_local_us": MIDNIGHT + 5 * second, "funding_rate": -0.0000100, "next_funding_us": MIDNIGHT + 8 * HOUR_US},
    )
    paid = {"funding_rate": 0.0000276, "interval_hours": 8.0}
    before = {"funding_rate": 0.0001, "interval_hours": 8.0, "ts_local_us": MIDNIGHT - 8 * HOUR_US}
    funding = funding_of(before, {"ts_local_us": MIDNIGHT + second, **paid})
    edges = [MIDNIGHT + s * second for s in (-2, -1, 0)] + [MIDNIGHT + second // 2, MIDNIGHT + 2 * second, MIDNIGHT + 6 * second]
    state = attach_state(bars_of(*edges), ticker=ticker, funding=funding)
    # A bar that ends at the settlement still sees the estimate; the two after it have only payments, first the old, then the new one.
    assert state["funding_source"].to_list() == ["estimate", "estimate", "settled", "settled", "estimate"]
    assert state["funding_close"].to_list() == [0.0000270, 0.0000276, 0.0001, 0.0000276, -0.0000100]
    assert state["funding_age_us"].to_list() == [second, second, 8 * HOUR_US + second // 2, second, second]
    # Opening values are of the same source: no estimate was known before the first bar, nor at the start of the last.
    assert state["funding_open"].to_list() == [None, 0.0000270, 0.0001, 0.0001, None]
    assert state["funding_settled"].to_list() == [0.0001, 0.0001, 0.0001, 0.0000276, 0.0000276]
    assert state["funding_settled_age_us"].to_list() == [
        8 * HOUR_US - second,
        8 * HOUR_US,
        8 * HOUR_US + second // 2,
        second,
        5 * second,
    ]
    # To midnight, then (no ticker yet) to the next multiple of 8 h, then to the ticker's own stamp.
    assert state["seconds_to_funding"].to_list() == [1.0, 0.0, 28_799.5, 28_798.0, 28_794.0]
    assert state["funding_interval_source"].to_list() == ["payment"] * 5


def test_without_a_payment_an_ended_estimate_leaves_nothing_but_its_age() -> None:
    ticker = ticker_of({"ts_local_us": MIDNIGHT - 1, "funding_rate": 0.0001, "next_funding_us": MIDNIGHT, "predicted_funding_rate": 0.0002})
    state = attach_state(bars_of(MIDNIGHT - 10, MIDNIGHT, MIDNIGHT + 1), ticker=ticker)
    assert state["funding_close"].to_list() == [0.0001, None]
    assert state["funding_source"].to_list() == ["estimate", None]
    assert state["funding_age_us"].to_list() == [1, 2]
    assert state["predicted_funding_close"].to_list() == [0.0002, None]
    assert state["predicted_funding_age_us"].to_list() == [1, 2]
    assert state["seconds_to_funding"].to_list() == [0.0, None]


def test_a_row_without_its_settlement_takes_the_last_one_known() -> None:
    ticker = ticker_of(
        {"ts_local_us": MIDNIGHT - 20, "funding_rate": 0.0001, "next_funding_us": MIDNIGHT},
        {"ts_local_us": MIDNIGHT - 10, "funding_rate": 0.0002},
        {"ts_local_us": MIDNIGHT + 10, "funding_rate": 0.0003},
    )
    state = attach_state(bars_of(MIDNIGHT - 15, MIDNIGHT - 5, MIDNIGHT + 5, MIDNIGHT + 15), ticker=ticker)
    assert state["funding_close"].to_list() == [0.0002, None, 0.0003]


def test_settled_rate_ends_after_two_intervals() -> None:
    funding = funding_of({"ts_local_us": MIDNIGHT, "funding_rate": 0.0001, "interval_hours": 4.0})
    end = MIDNIGHT + 8 * HOUR_US
    state = attach_state(bars_of(MIDNIGHT, end, end + 1), funding=funding)
    assert state["funding_settled"].to_list() == [0.0001, None]
    assert state["funding_interval_hours"].to_list() == [4.0, None]
    with_default = attach_state(bars_of(MIDNIGHT, end, end + 1), funding=funding, params=StateParams(default_interval_hours=8.0))
    # The payment ends with its own interval; only then the default takes over.
    assert with_default["funding_interval_hours"].to_list() == [4.0, 8.0]
    assert with_default["funding_interval_source"].to_list() == ["payment", "default"]
    assert with_default["funding_settled"].to_list() == [0.0001, None]
    # The grid: 08:00 is a settlement of both; 1 µs later the next one of 8 hours is at 16:00.
    assert with_default["seconds_to_funding"].to_list() == [0.0, (8 * HOUR_US - 1) / SECOND_US]


def test_a_rate_never_takes_another_rows_interval() -> None:
    """Payments of 8 h, then of 1 h; then none tells: the last rate stays per hour as long as it is shown."""
    funding = funding_of(
        {"ts_local_us": MIDNIGHT, "funding_rate": 0.0002, "interval_hours": 8.0},
        {"ts_local_us": MIDNIGHT + HOUR_US, "funding_rate": -0.0004, "interval_hours": 1.0},
    )
    edges = [MIDNIGHT + HOUR_US // 2 * k for k in range(10)]
    for params in (StateParams(default_interval_hours=8.0), StateParams(default_interval_hours=8.0, max_settled_age_us=3 * HOUR_US)):
        state = attach_state(bars_of(*edges), funding=funding, params=params)
        shown = state.filter(pl.col("funding_close").is_not_null()).select("funding_close", "funding_interval_hours")
        assert set(shown.rows()) == {(0.0002, 8.0), (-0.0004, 1.0)}
        # what stood at the bar's start was per 8 h: no difference of the two means anything
        assert state.filter(pl.col("funding_close") == -0.0004)["funding_open"].to_list()[0] is None
    untold = funding_of(
        {"ts_local_us": MIDNIGHT, "funding_rate": 0.1, "interval_hours": 1.0}, {"ts_local_us": MIDNIGHT, "funding_rate": 0.2}
    )
    state = attach_state(bars_of(MIDNIGHT, MIDNIGHT + 1), funding=untold, params=StateParams(default_interval_hours=8.0))
    assert state.select("funding_close", "funding_interval_hours", "funding_interval_source").rows() == [(0.2, 8.0, "default")]


def test_payment_without_an_interval_needs_a_limit() -> None:
    funding = funding_of({"ts_local_us": MIDNIGHT, "funding_rate": 0.0001})
    bars = bars_of(MIDNIGHT, MIDNIGHT + 60, MIDNIGHT + 61)
    assert attach_state(bars, funding=funding)["funding_settled"].to_list() == [None, None]
    assert attach_state(bars, funding=funding, params=StateParams(max_settled_age_us="60us"))["funding_settled"].to_list() == [0.0001, None]


def test_open_interest_never_mixes_its_feeds() -> None:
    ticker = ticker_of({"ts_local_us": MIDNIGHT + 5, "open_interest": 80_000.0})
    table = interest_of({"ts_local_us": MIDNIGHT - 5, "open_interest": 79.0}, {"ts_local_us": MIDNIGHT + MINUTE_US, "open_interest": 81.0})
    edges = (MIDNIGHT - 1, MIDNIGHT, MIDNIGHT + 10, MIDNIGHT + 20, MIDNIGHT + 2 * MINUTE_US, MIDNIGHT + 3 * MINUTE_US)
    state = attach_state(bars_of(*edges), ticker=ticker, open_interest=table)
    assert state["oi_source"].to_list() == ["open_interest", "ticker", "ticker", "open_interest", "open_interest"]
    assert state["oi_close"].to_list() == [79.0, 80_000.0, 80_000.0, 81.0, 81.0]
    assert state["oi_open"].to_list() == [79.0, None, 80_000.0, 79.0, 81.0]
    assert state["oi_age_us"].to_list() == [5, 5, 15, MINUTE_US, 2 * MINUTE_US]


def test_not_a_number_is_unknown() -> None:
    ticker = ticker_of({"ts_local_us": MIDNIGHT, "mark_price": 100.0}, {"ts_local_us": MIDNIGHT + 1, "mark_price": math.nan})
    assert attach_state(bars_of(MIDNIGHT, MIDNIGHT + 5), ticker=ticker)["mark_close"].to_list() == [100.0]


def test_attaching_again_changes_nothing() -> None:
    ticker = ticker_of({"ts_local_us": MIDNIGHT, "mark_price": 100.0})
    once = attach_state(bars_of(MIDNIGHT, MIDNIGHT + 5), ticker=ticker)
    assert attach_state(once, ticker=ticker).equals(once)


def test_mistakes_are_named() -> None:
    bars = bars_of(MIDNIGHT, MIDNIGHT + 5, MIDNIGHT + 10)
    with pytest.raises(ConfigError, match="not in order of bucket_end"):
        attach_state(bars.with_columns(pl.col("bucket_end").reverse()))
    with pytest.raises(ConfigError, match="no bucket_end"):
        attach_state(bars.drop("bucket_end"))
    with pytest.raises(ConfigError, match="has no funding_rate, mark_price"):
        attach_state(bars, funding=funding_of().drop("funding_rate", "mark_price"))
    two = ticker_of({"ts_local_us": 1}, {"ts_local_us": 2}).with_columns(pl.Series("symbol", ["BTCUSDT", "ETHUSDT"]))
    with pytest.raises(ConfigError, match="more than one instrument"):
        attach_state(bars, ticker=two)
    with pytest.raises(ConfigError, match="max_ticker_age_us"):
        StateParams(max_ticker_age_us=0)


# The oracle: the sentences of the module's docstring as plain loops over rows.

PARAMS = st.builds(
    StateParams,
    max_ticker_age_us=st.sampled_from([30 * MINUTE_US, 200 * MINUTE_US]),
    max_settled_age_us=st.sampled_from([None, 300 * MINUTE_US]),
    max_open_interest_age_us=st.just(60 * MINUTE_US),
    default_interval_hours=st.sampled_from([None, 4.0]),
)
MINUTES = st.integers(0, 1_500).map(lambda minute: MIDNIGHT + minute * MINUTE_US)
RATE = st.one_of(st.none(), st.sampled_from([0.0001, -0.0003, 0.0, 0.00005]))
AMOUNT = st.one_of(st.none(), st.floats(1, 1e6))


def _rows(**columns: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.lists(st.fixed_dictionaries({"ts_local_us": MINUTES, **columns}), max_size=25)


TICKERS = _rows(
    mark_price=AMOUNT,
    index_price=AMOUNT,
    funding_rate=RATE,
    predicted_funding_rate=RATE,
    open_interest=AMOUNT,
    next_funding_us=st.one_of(st.none(), st.integers(0, 7).map(lambda k: MIDNIGHT + k * 4 * HOUR_US)),
)
PAYMENTS = _rows(funding_rate=RATE, interval_hours=st.sampled_from([None, 1.0, 4.0, 8.0]))
INTERESTS = _rows(open_interest=AMOUNT)
EDGES = st.lists(MINUTES, min_size=2, max_size=12, unique=True).map(sorted)


def last_row(rows: list[dict[str, Any]], column: str, instant: int) -> dict[str, Any] | None:
    found = None
    for row in sorted(rows, key=lambda r: r["ts_local_us"]):
        if row["ts_local_us"] < instant and row[column] is not None:
            found = row
    return found


def known(rows: list[dict[str, Any]], column: str, instant: int, limit: int) -> tuple[Any, int | None]:
    row = last_row(rows, column, instant)
    if row is None:
        return None, None
    age = instant - row["ts_local_us"]
    return (row[column] if age <= limit else None), age


def estimate(rows: list[dict[str, Any]], column: str, instant: int, limit: int) -> tuple[Any, int | None]:
    value, age = known(rows, column, instant, limit)
    speaks_of = None
    carried = None
    for row in sorted(rows, key=lambda r: r["ts_local_us"]):
        own = row["next_funding_us"]
        carried = own if own is not None else carried
        if row["ts_local_us"] < instant and row[column] is not None:
            late = own is None and carried is not None and carried <= row["ts_local_us"]
            speaks_of = None if late else carried
    return (None if speaks_of is not None and speaks_of < instant else value), age


def payment(rows: list[dict[str, Any]], instant: int, params: StateParams) -> tuple[Any, Any, tuple[Any, Any], tuple[Any, Any]]:
    """The last rate, its age, its interval with who says it, and the interval in force with who says it."""

    def limit_of(hours: float | None) -> float:
        if params.max_settled_age_us is not None:
            return params.max_settled_age_us
        return -1 if hours is None else 2 * hours * HOUR_US

    default = (params.default_interval_hours, None if params.default_interval_hours is None else "default")
    paid = last_row(rows, "funding_rate", instant)
    if paid is None:
        return None, None, default, default
    age = instant - paid["ts_local_us"]
    told = None if paid["interval_hours"] is None else (paid["interval_hours"], "payment")
    own = told or default
    in_force = told if told is not None and age <= limit_of(told[0]) else default
    return (paid["funding_rate"] if age <= limit_of(own[0]) else None), age, own, in_force


def to_funding(ticker: list[dict[str, Any]], instant: int, hours: float | None) -> float | None:
    row = last_row(ticker, "next_funding_us", instant)
    if row is not None and row["next_funding_us"] >= instant:
        return (row["next_funding_us"] - instant) / SECOND_US
    if hours is None:
        return None
    settlement = instant // DAY_US * DAY_US
    while settlement < instant:
        settlement += int(hours) * HOUR_US
    return (settlement - instant) / SECOND_US


def oracle(
    bar: tuple[int, int], ticker: list[dict[str, Any]], paid: list[dict[str, Any]], interest: list[dict[str, Any]], params: StateParams
) -> dict[str, Any]:
    start, end = bar
    limit = params.max_ticker_age_us
    row: dict[str, Any] = {}
    row["mark_close"], row["mark_age_us"] = known(ticker, "mark_price", end, limit)
    row["index_close"], row["index_age_us"] = known(ticker, "index_price", end, limit)
    row["predicted_funding_close"], row["predicted_funding_age_us"] = estimate(ticker, "predicted_funding_rate", end, limit)
    value, age = estimate(ticker, "funding_rate", end, limit)
    settled, settled_age, own, in_force = payment(paid, end, params)
    settled_before, _, own_before, in_force_before = payment(paid, start, params)
    hours, source = in_force
    if value is not None:
        opening = estimate(ticker, "funding_rate", start, limit)[0] if in_force_before[0] == in_force[0] else None
        funding = (value, opening, age, "estimate")
    elif settled is not None:
        hours, source = own
        funding = (settled, settled_before if own_before[0] == own[0] else None, settled_age, "settled")
    else:
        funding = (None, None, age if age is not None else settled_age, None)
    row["funding_close"], row["funding_open"], row["funding_age_us"], row["funding_source"] = funding
    row["funding_settled"], row["funding_settled_age_us"] = settled, settled_age
    row["funding_interval_hours"], row["funding_interval_source"] = hours, source
    row["seconds_to_funding"] = to_funding(ticker, end, in_force[0])
    fast, fast_age = known(ticker, "open_interest", end, limit)
    slow, slow_age = known(interest, "open_interest", end, params.max_open_interest_age_us)
    if fast is not None:
        held = (fast, known(ticker, "open_interest", start, limit)[0], fast_age, "ticker")
    elif slow is not None:
        held = (slow, known(interest, "open_interest", start, params.max_open_interest_age_us)[0], slow_age, "open_interest")
    else:
        ages = [a for a in (fast_age, slow_age) if a is not None]
        held = (None, None, min(ages) if ages else None, None)
    row["oi_close"], row["oi_open"], row["oi_age_us"], row["oi_source"] = held
    return row


@settings(deadline=None)
@given(EDGES, TICKERS, PAYMENTS, INTERESTS, PARAMS)
def test_equals_the_plain_loop(
    edges: list[int],
    ticker: list[dict[str, Any]],
    paid: list[dict[str, Any]],
    interest: list[dict[str, Any]],
    params: StateParams,
) -> None:
    bars = bars_of(*edges)
    state = attach_state(
        bars,
        ticker=frame_of(DERIVATIVE_TICKER, ticker),
        funding=frame_of(FUNDING, paid),
        open_interest=frame_of(OPEN_INTEREST, interest),
        params=params,
    )
    expected = [oracle(bar, ticker, paid, interest, params) for bar in bars.rows()]
    assert state.select(list(STATE_COLUMNS)).to_dicts() == [{name: row[name] for name in STATE_COLUMNS} for row in expected]


@settings(max_examples=50, deadline=None)
@given(EDGES, TICKERS, PAYMENTS, st.data())
def test_later_rows_change_nothing(edges: list[int], ticker: list[dict[str, Any]], paid: list[dict[str, Any]], data: st.DataObject) -> None:
    kept = data.draw(st.integers(1, len(edges) - 1))
    params = StateParams(max_ticker_age_us=200 * MINUTE_US)
    known_until = edges[kept]
    full = attach_state(bars_of(*edges), ticker=frame_of(DERIVATIVE_TICKER, ticker), funding=frame_of(FUNDING, paid), params=params)
    cut = attach_state(
        bars_of(*edges[: kept + 1]),
        ticker=frame_of(DERIVATIVE_TICKER, [row for row in ticker if row["ts_local_us"] < known_until]),
        funding=frame_of(FUNDING, [row for row in paid if row["ts_local_us"] < known_until]),
        params=params,
    )
    assert full.head(kept).equals(cut)
