"""Funding cash flows: the fast path against a plain loop, what must not change them, and what is refused."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.trading.loops import HOUR_US, Contract, Flow, Mark, Position, Settlement, flows

from pointline.errors import ConfigError, NoDataError
from pointline.instruments.instrument import INSTRUMENT_SCHEMA, Instrument, funding_payment
from pointline.trading.funding_flows import (
    FUNDING_FLOWS_SCHEMA,
    MARKS_SCHEMA,
    POSITIONS_SCHEMA,
    FundingTerms,
    funding_cash_flows,
    near_settlements,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

LINEAR = FundingTerms(contract_type="linear", contract_size=1.0, settle_asset="USDT", quote_asset="USDT")
INVERSE = FundingTerms(contract_type="inverse", contract_size=100.0, settle_asset="BTC", quote_asset="USD")
SETTLEMENTS = {"funding_us": pl.Int64, "funding_rate": pl.Float64, "interval_hours": pl.Float64, "mark_price": pl.Float64}
DAY = 24 * HOUR_US
EIGHT = 8 * HOUR_US
END = 10 * DAY
FLAGGED: dict[str, Any] = {"data_end_us": END, "gaps": "flag"}


def position_frame(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=POSITIONS_SCHEMA, orient="row")


def settlement_frame(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SETTLEMENTS, orient="row")


def mark_frame(rows: Sequence[tuple[Any, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=MARKS_SCHEMA, orient="row")


NO_MARKS = mark_frame([])


def every_eight_hours(count: int = 30, *, rate: float = 0.0001, mark: float | None = 50_000.0) -> list[Settlement]:
    return [Settlement(EIGHT * k, rate, 8.0, mark) for k in range(count)]


def charged(*positions: tuple[Any, ...], settlements: Sequence[tuple[Any, ...]] = (), terms: FundingTerms = LINEAR) -> pl.DataFrame:
    given_rows = settlement_frame(settlements or every_eight_hours())
    return funding_cash_flows(position_frame(positions), given_rows, NO_MARKS, terms=terms, data_end_us=9 * DAY)


# --- against the loop -------------------------------------------------------------------------------------------------------------

rates = st.floats(-0.003, 0.003).map(lambda rate: round(rate, 8))
prices = st.floats(0.01, 200_000).map(lambda price: max(0.01, round(price, 2)))
quantities = st.floats(0.001, 1_000).map(lambda size: round(size, 3)) | st.floats(-1_000, -0.001).map(lambda size: round(size, 3))
# moments on a settlement, a microsecond beside it, or anywhere
moments = st.builds(
    lambda hour, off: max(0, min(END, hour * HOUR_US + off)), st.integers(0, 240), st.sampled_from((0, -1, 1, 7_000, 1_800_000_000))
)


def settled_rows(steps: list[tuple[float, float, float | None, bool]]) -> list[Settlement]:
    """Settlements at changing intervals, some of them missing, some with a price of their own."""
    us, found = 0, []
    for hours, rate, mark, kept in steps:
        us += round(hours * HOUR_US)
        found += [Settlement(us, rate, hours, mark)] if kept else []
    return found or [Settlement(EIGHT, 0.0001, 8.0, None)]


hours_between = st.sampled_from((8.0, 8.0, 4.0, 1.0))
settled = st.lists(st.tuples(hours_between, rates, st.none() | prices, st.sampled_from((True, True, False))), max_size=30).map(settled_rows)


def held_position(number: int, first: int, second: int, closed: bool, quantity: float) -> Position:
    return Position(number, min(first, second), max(first, second) if closed else None, quantity)


held = st.lists(st.builds(held_position, st.integers(1, 4), moments, moments, st.booleans(), quantities), min_size=1, max_size=6)
marked = st.lists(st.builds(Mark, moments, prices, st.sampled_from(("derivative_ticker", "mark_candles_1h"))), max_size=30).map(
    lambda found: list({mark.ts_us: mark for mark in found}.values())
)


def told(table: pl.DataFrame) -> list[Flow]:
    names = ("position_id", "funding_us", "funding_rate", "mark_price", "mark_age_us", "cash", "cumulative_cash", "status")
    return [Flow(*row) for row in table.select(names).iter_rows()]


def assert_same(found: list[Flow], wanted: list[Flow]) -> None:
    assert [(one.position_id, one.funding_us, one.rate, one.mark, one.age_us, one.status) for one in found] == [
        (one.position_id, one.funding_us, one.rate, one.mark, one.age_us, one.status) for one in wanted
    ]
    for one, other in zip(found, wanted, strict=True):
        assert (one.cash is None) == (other.cash is None)
        if one.cash is not None and other.cash is not None:
            assert one.cash == pytest.approx(other.cash, rel=1e-14, abs=1e-300)
        assert one.cumulative == pytest.approx(other.cumulative, rel=1e-12, abs=1e-9)


@given(held, settled, marked, st.sampled_from((LINEAR, INVERSE)), st.sampled_from((0, 60_000_000, EIGHT)))
def test_it_is_the_plain_loop(
    positions: list[Position], settlements: list[Settlement], marks: list[Mark], terms: FundingTerms, limit_us: int
) -> None:
    table = funding_cash_flows(
        *(position_frame(positions), settlement_frame(settlements[::-1]), mark_frame(marks)),
        terms=terms,
        max_mark_age_us=limit_us,
        **FLAGGED,
    )
    assert table.schema == pl.Schema(FUNDING_FLOWS_SCHEMA)
    contract = Contract(inverse=terms is INVERSE, size=terms.contract_size)
    assert_same(told(table), flows(positions, settlements, marks, contract, END, limit_us))


@given(held, settled, marked, st.sampled_from((LINEAR, INVERSE)))
def test_the_other_side_gets_what_one_side_pays(
    positions: list[Position], settlements: list[Settlement], marks: list[Mark], terms: FundingTerms
) -> None:
    flipped = [one._replace(quantity=-one.quantity) for one in positions]
    rows = (settlement_frame(settlements), mark_frame(marks))
    one, other = (funding_cash_flows(position_frame(side), *rows, terms=terms, **FLAGGED) for side in (positions, flipped))
    assert_frame_equal(one.with_columns(-pl.col("cash", "cumulative_cash")).drop("side", "quantity"), other.drop("side", "quantity"))


@given(held, settled, marked, moments, st.sampled_from((LINEAR, INVERSE)))
def test_a_position_in_two_pieces_pays_the_same(
    positions: list[Position], settlements: list[Settlement], marks: list[Mark], cut_us: int, terms: FundingTerms
) -> None:
    in_time, in_size = [], []
    for one in positions:
        inside = one.entry_us <= cut_us and (one.exit_us is None or cut_us <= one.exit_us)
        in_time += [one._replace(exit_us=cut_us), one._replace(entry_us=cut_us)] if inside else [one]
        in_size += [one._replace(quantity=one.quantity * share) for share in (0.25, 0.75)]
    rows = (settlement_frame(settlements), mark_frame(marks))
    whole, cut, lots = (
        funding_cash_flows(position_frame(pieces), *rows, terms=terms, **FLAGGED) for pieces in (positions, in_time, in_size)
    )
    assert_frame_equal(whole, cut)
    sums = [
        table.group_by("position_id", "funding_us", "status").agg(pl.col("cash").sum()).sort("position_id", "funding_us", "status")
        for table in (whole, lots)
    ]
    assert_frame_equal(*sums, rel_tol=1e-12)


@given(held, settled, marked, moments)
def test_what_was_paid_does_not_depend_on_what_came_later(
    positions: list[Position], settlements: list[Settlement], marks: list[Mark], cut_us: int
) -> None:
    """Settlements, marks and exits after a moment are cut off; what was paid up to that moment stays as it was."""
    known = [one for one in settlements if one.funding_us <= cut_us]
    opened = [one for one in positions if one.entry_us <= cut_us]
    if not known or not opened:
        return
    then = [one._replace(exit_us=None if one.exit_us is None or one.exit_us > cut_us else one.exit_us) for one in opened]
    full = funding_cash_flows(position_frame(positions), settlement_frame(settlements), mark_frame(marks), terms=LINEAR, **FLAGGED)
    cut = funding_cash_flows(
        position_frame(then),
        settlement_frame(known),
        mark_frame([mark for mark in marks if mark.ts_us <= cut_us]),
        terms=LINEAR,
        data_end_us=cut_us,
        gaps="flag",
    )
    before = full.filter((pl.col("funding_us") <= cut_us) & (pl.col("status") != "no settlement"))
    assert_frame_equal(before, cut.filter(pl.col("status") != "no settlement"))


@given(quantities, rates, prices, st.sampled_from((LINEAR, INVERSE)))
def test_it_agrees_with_the_payment_of_one_settlement(quantity: float, rate: float, price: float, terms: FundingTerms) -> None:
    table = charged((1, 1, EIGHT, quantity), settlements=[Settlement(EIGHT, rate, 8.0, price)], terms=terms)
    assert table["cash"][0] == pytest.approx(-funding_payment(perp(terms.contract_type), quantity, rate, price), rel=1e-14)


# --- edges ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry_us", "exit_us", "stamps"),
    [
        (EIGHT, 2 * EIGHT, [2 * EIGHT]),  # entered at a settlement: not charged; left at one: charged
        (EIGHT - 1, 2 * EIGHT - 1, [EIGHT]),
        (EIGHT + 1, 2 * EIGHT, [2 * EIGHT]),
        (EIGHT, EIGHT, []),
        (EIGHT + 1, 2 * EIGHT - 1, []),
    ],
)
def test_a_position_pays_after_its_entry_and_up_to_its_exit(entry_us: int, exit_us: int, stamps: list[int]) -> None:
    assert charged((1, entry_us, exit_us, 1.0))["funding_us"].to_list() == stamps


def test_a_late_stamp_of_the_exchange_moves_nothing() -> None:
    """Entered between the settlement and the exchange's stamp of it, 11 ms later: the position was not there at the settlement."""
    late = settlement_frame(every_eight_hours()).with_columns(ts_event_us=pl.col("funding_us") + 11_000)
    one = position_frame([(1, EIGHT + 5_000, 2 * EIGHT, 1.0)])
    assert funding_cash_flows(one, late, NO_MARKS, terms=LINEAR, data_end_us=END)["funding_us"].to_list() == [2 * EIGHT]
    near = near_settlements(one, late)
    assert near.rows() == [(1, EIGHT, "entry", 5_000, False), (1, 2 * EIGHT, "exit", 0, True)]
    assert near_settlements(one, late, within="5ms").rows() == [(1, 2 * EIGHT, "exit", 0, True)]


def test_nothing_is_near_a_settlement_but_what_comes_after_it() -> None:
    rows = [(1, EIGHT - 1, 2 * EIGHT - 1, 1.0), (2, EIGHT + 60_000_000, None, 1.0), (3, EIGHT, EIGHT, 1.0)]
    assert near_settlements(position_frame(rows), settlement_frame(every_eight_hours())).is_empty()


def test_who_enters_and_leaves_behind_one_settlement_pays_nothing() -> None:
    table = near_settlements(position_frame([(1, EIGHT + 5, EIGHT + 9, 1.0)]), settlement_frame(every_eight_hours()))
    assert table.rows() == [(1, EIGHT, "entry", 5, False), (1, EIGHT, "exit", 9, False)]


def test_a_held_position_is_charged_up_to_the_end_of_the_data() -> None:
    """No later: the last rate is never carried on."""
    rows = every_eight_hours(count=10)
    table = funding_cash_flows(position_frame([(1, 0, None, 1.0)]), settlement_frame(rows), NO_MARKS, terms=LINEAR, data_end_us=5 * EIGHT)
    assert table["funding_us"].to_list() == [EIGHT * k for k in range(1, 6)]
    with pytest.raises(NoDataError, match="not in the data: 2"):
        funding_cash_flows(position_frame([(1, 0, None, 1.0)]), settlement_frame(rows), NO_MARKS, terms=LINEAR, data_end_us=11 * EIGHT)
    flagged = funding_cash_flows(
        position_frame([(1, 0, None, 1.0)]), settlement_frame(rows), NO_MARKS, terms=LINEAR, data_end_us=11 * EIGHT, gaps="flag"
    )
    assert flagged.tail(2).select("funding_us", "funding_rate", "cash", "status").rows() == [
        (10 * EIGHT, None, None, "no settlement"),
        (11 * EIGHT, None, None, "no settlement"),
    ]
    assert flagged["cumulative_cash"][-1] == flagged["cumulative_cash"][-3] == pytest.approx(-9 * 5.0)


def test_a_contract_that_ended_settles_no_more() -> None:
    ended = FundingTerms(contract_type="linear", contract_size=1.0, settle_asset="USDT", quote_asset="USDT", ends_us=9 * EIGHT + 1)
    rows = settlement_frame(every_eight_hours(count=10))
    table = funding_cash_flows(position_frame([(1, 0, None, 1.0)]), rows, NO_MARKS, terms=ended, data_end_us=END)
    assert table["funding_us"].to_list() == [EIGHT * k for k in range(1, 10)]


@pytest.mark.parametrize(
    ("entry", "leave", "rows", "missing"),
    [
        (8, 24, [(8, 8), (24, 8)], [16]),  # a hole
        (8, 16, [(8, 8), (12, 4), (16, 4)], []),  # 8 hours become 4
        (4, 20, [(4, 4), (8, 4), (12, 4), (20, 8)], []),  # and 4 become 8
        (4, 20, [(4, 4), (8, 4), (20, 4)], [12, 16]),
        (0, 16, [(16, 8)], [8]),  # before the first
        (7, 23, [(16, 8)], [8]),
        (8, 16, [(16, 8)], []),
        (0, 32, [(8, 8)], [16, 24, 32]),  # after the last
        (0, 31, [(8, 8)], [16, 24]),
        (8, 28, [(8, 8), (28, 4)], [16, 24]),  # two are missing, then comes a shorter interval
    ],
)
def test_settlements_that_must_have_taken_place(entry: int, leave: int, rows: list[tuple[int, float]], missing: list[int]) -> None:
    given_rows = settlement_frame([(HOUR_US * at, 0.0001, hours, 100.0) for at, hours in rows])
    one = position_frame([(1, HOUR_US * entry, HOUR_US * leave, 1.0)])
    table = funding_cash_flows(one, given_rows, NO_MARKS, terms=LINEAR, **FLAGGED)
    assert table.filter(pl.col("status") == "no settlement")["funding_us"].to_list() == [HOUR_US * at for at in missing]
    if missing:
        with pytest.raises(NoDataError, match=f"not in the data: {len(missing)}"):
            funding_cash_flows(one, given_rows, NO_MARKS, terms=LINEAR, data_end_us=END)


def test_a_hole_outside_of_every_position_does_not_matter() -> None:
    rows = [one for one in every_eight_hours() if one.funding_us != 5 * EIGHT]
    table = charged((1, 0, 4 * EIGHT, 1.0), (2, 5 * EIGHT, 8 * EIGHT, 1.0), settlements=rows)
    assert table.height == 4 + 3


def test_each_settlement_counts_at_its_own_mark() -> None:
    rows = [Settlement(EIGHT, 0.0001, 8.0, 100.0), Settlement(2 * EIGHT, 0.0001, 8.0, None), Settlement(3 * EIGHT, 0.0001, 8.0, None)]
    marks = [Mark(EIGHT, 1.0, "a"), Mark(2 * EIGHT - 5, 200.0, "b"), Mark(2 * EIGHT + 1, 2.0, "c"), Mark(3 * EIGHT, 300.0, "d")]
    table = funding_cash_flows(
        position_frame([(7, 1, 3 * EIGHT, -2.0)]), settlement_frame(rows), mark_frame(marks), terms=LINEAR, data_end_us=END
    )
    assert table.select("mark_price", "mark_age_us", "mark_source", "notional", "side").rows() == [
        (100.0, 0, "settlement", 200.0, "short"),
        (200.0, 5, "b", 400.0, "short"),
        (300.0, 0, "d", 600.0, "short"),
    ]
    assert table["cash"].to_list() == pytest.approx([0.02, 0.04, 0.06])


def test_a_mark_that_is_too_old_is_none() -> None:
    rows = settlement_frame([Settlement(EIGHT, 0.0001, 8.0, None)])
    old = mark_frame([Mark(EIGHT - 60_000_001, 100.0, "a")])
    one = position_frame([(1, 1, EIGHT, 1.0)])
    with pytest.raises(NoDataError, match="at most 1m old: 1") as caught:
        funding_cash_flows(one, rows, old, terms=LINEAR, data_end_us=END)
    assert caught.value.value == "1970-01-01 08:00:00"
    flagged = funding_cash_flows(one, rows, old, terms=LINEAR, **FLAGGED).row(0, named=True)
    assert (flagged["funding_rate"], flagged["mark_price"], flagged["mark_age_us"], flagged["cash"]) == (0.0001, None, 60_000_001, None)
    assert funding_cash_flows(one, rows, old, terms=LINEAR, data_end_us=END, max_mark_age_us="2m")["cash"].to_list() == [-0.01]


def test_an_inverse_contract_pays_coin() -> None:
    table = charged((1, 0, EIGHT, 200.0), terms=INVERSE)
    assert table.select("notional", "cash", "settle_asset").rows() == [(20_000.0, pytest.approx(-20_000 / 50_000 * 0.0001), "BTC")]


def test_a_rate_of_zero_pays_a_plain_zero() -> None:
    table = charged((1, 0, EIGHT, 1.0), (2, 0, EIGHT, -1.0), settlements=every_eight_hours(rate=0.0))
    assert [math.copysign(1.0, cash) for cash in table["cash"]] == [1.0, 1.0]


def test_no_position_pays_nothing() -> None:
    empty = position_frame([])
    for rows in (settlement_frame(every_eight_hours()), settlement_frame([])):
        table = funding_cash_flows(empty, rows, NO_MARKS, terms=LINEAR, data_end_us=END)
        assert (table.height, table.schema) == (0, pl.Schema(FUNDING_FLOWS_SCHEMA))


def test_pieces_of_one_position_add_up_under_its_number() -> None:
    table = charged((5, 0, 2 * EIGHT, 1.0), (5, 0, 2 * EIGHT, 3.0), (4, 0, EIGHT, -1.0))
    assert table.select("position_id", "cumulative_cash").rows() == [(4, 5.0), (5, -5.0), (5, -20.0), (5, -25.0), (5, -40.0)]


# --- what is refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1, 0, EIGHT, 0.0), "quantity"),
        ((1, 0, EIGHT, float("nan")), "quantity"),
        ((1, 0, EIGHT, float("inf")), "quantity"),
        ((1, 0, EIGHT, None), "no number, entry or quantity"),
        ((None, 0, EIGHT, 1.0), "no number, entry or quantity"),
        ((1, None, EIGHT, 1.0), "no number, entry or quantity"),
        ((1, EIGHT, 0, 1.0), "ends before it begins"),
        ((1, 0, 9 * DAY + 1, 1.0), "beyond the end of the data"),
        ((1, 9 * DAY + 1, None, 1.0), "beyond the end of the data"),
    ],
)
def test_positions_that_cannot_be_used(row: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        charged((2, 0, EIGHT, 1.0), row)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(EIGHT, 0.0001, 8.0, 100.0), (EIGHT, 0.0002, 8.0, 100.0)], "contradict"),
        ([(EIGHT, 0.0001, 8.0, 100.0), (EIGHT, 0.0001, 4.0, 100.0)], "contradict"),
        ([(EIGHT, 0.0001, 8.0, 100.0), (EIGHT, 0.0001, 8.0, 101.0)], "contradict"),
        ([(EIGHT, None, 8.0, 100.0)], "no time or no rate"),
        ([(EIGHT, float("nan"), 8.0, 100.0)], "no time or no rate"),
        ([(None, 0.0001, 8.0, 100.0)], "no time or no rate"),
        ([(EIGHT, 1.5, 8.0, 100.0)], "more than the whole position"),
        ([(EIGHT, 0.0001, 0.0, 100.0)], "not positive"),
        ([(EIGHT, 0.0001, float("nan"), 100.0)], "not positive"),
        ([(EIGHT, 0.0001, None, 100.0)], "not known"),
        ([(EIGHT, 0.0001, 8.0, 0.0)], "no price"),
        ([(EIGHT, 0.0001, 8.0, float("nan"))], "no price"),
    ],
)
def test_settlements_that_cannot_be_used(rows: list[tuple[Any, ...]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        charged((1, 0, EIGHT, 1.0), settlements=rows)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(EIGHT, 0.0, "a")], "no price"),
        ([(EIGHT, float("nan"), "a")], "no price"),
        ([(EIGHT, None, "a")], "no price"),
        ([(None, 1.0, "a")], "no price"),
        ([(EIGHT, 1.0, None)], "no source"),
        ([(EIGHT, 1.0, "a"), (EIGHT, 2.0, "a")], "contradict"),
    ],
)
def test_marks_that_cannot_be_used(rows: list[tuple[Any, ...]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        funding_cash_flows(
            position_frame([(1, 0, EIGHT, 1.0)]),
            settlement_frame(every_eight_hours()),
            mark_frame(rows),
            terms=LINEAR,
            data_end_us=END,
        )


def test_a_settlement_that_stands_there_twice_alike_counts_once() -> None:
    rows = [*every_eight_hours(), *every_eight_hours(mark=None)]
    assert charged((1, 0, 2 * EIGHT, 1.0), settlements=rows)["cash"].to_list() == [-5.0, -5.0]


def test_an_interval_that_the_rows_do_not_tell_can_be_stated() -> None:
    terms = FundingTerms(contract_type="linear", contract_size=1.0, settle_asset="USDT", quote_asset="USDT", interval_hours=8.0)
    rows = [one._replace(hours=None) for one in every_eight_hours()]  # type: ignore[arg-type]
    assert charged((1, 0, 2 * EIGHT, 1.0), settlements=rows, terms=terms)["interval_hours"].to_list() == [8.0, 8.0]


def test_without_settlements_nothing_is_known() -> None:
    with pytest.raises(NoDataError, match="no settlements"):
        funding_cash_flows(position_frame([(1, 0, EIGHT, 1.0)]), settlement_frame([]), NO_MARKS, terms=LINEAR, **FLAGGED)


def test_frames_of_another_shape() -> None:
    good = (position_frame([(1, 0, EIGHT, 1.0)]), settlement_frame(every_eight_hours()), NO_MARKS)
    with pytest.raises(ConfigError, match="no column quantity"):
        funding_cash_flows(good[0].drop("quantity"), *good[1:], terms=LINEAR, data_end_us=END)
    with pytest.raises(ConfigError, match="wrong type"):
        funding_cash_flows(good[0].with_columns(pl.col("entry_us").cast(pl.Float64)), *good[1:], terms=LINEAR, data_end_us=END)
    with pytest.raises(ConfigError, match="no such way"):
        funding_cash_flows(*good, terms=LINEAR, data_end_us=END, gaps="ignore")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="max_mark_age_us has no unit"):
        funding_cash_flows(*good, terms=LINEAR, data_end_us=END, max_mark_age_us="60")


def test_times_in_another_unit_do_not_fill_the_memory() -> None:
    nanoseconds = [Settlement(1_714_521_600_000_000_000, 0.0001, 1e-9 * 3, 1.0)]
    with pytest.raises(ConfigError):
        funding_cash_flows(
            position_frame([(1, 0, None, 1.0)]),
            settlement_frame(nanoseconds),
            NO_MARKS,
            terms=LINEAR,
            data_end_us=2_000_000_000_000_000_000,
        )


# --- terms ------------------------------------------------------------------------------------------------------------------------


def perp(contract_type: str | None, **fields: Any) -> Instrument:  # noqa: ANN401 - fields of an instrument
    usual: dict[str, Any] = {
        **dict.fromkeys(INSTRUMENT_SCHEMA),
        "exchange": "binance-delivery" if contract_type == "inverse" else "binance-futures",
        "exchange_symbol": "BTCUSD_PERP" if contract_type == "inverse" else "BTCUSDT",
        "base_asset": "BTC",
        "quote_asset": "USD" if contract_type == "inverse" else "USDT",
        "settle_asset": "BTC" if contract_type == "inverse" else "USDT",
        "asset_type": "perpetual",
        "contract_type": contract_type,
        "contract_size": 100.0 if contract_type == "inverse" else 1.0,
    }
    return Instrument.from_row({**usual, **fields})


def test_terms_of_an_instrument() -> None:
    assert FundingTerms.of(perp("linear")) == LINEAR
    assert FundingTerms.of(perp("inverse", expiry_us=5)) == FundingTerms(
        contract_type="inverse", contract_size=100.0, settle_asset="BTC", quote_asset="USD", ends_us=5
    )


@pytest.mark.parametrize(
    ("instrument", "message"),
    [
        (perp("linear", asset_type="future"), "pays no funding"),
        (perp(None, asset_type="spot"), "pays no funding"),
        (perp("inverse", contract_size=None), "contract size"),
        (perp("linear", settle_asset="BTC"), "third asset"),
    ],
)
def test_instruments_without_terms(instrument: Instrument, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FundingTerms.of(instrument)


@pytest.mark.parametrize("wrong", [{"contract_type": "quanto"}, {"contract_size": 0.0}, {"contract_size": -1.0}, {"interval_hours": 0.0}])
def test_terms_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        FundingTerms(**{"contract_type": "linear", "contract_size": 1.0, "settle_asset": "USDT", "quote_asset": "USDT", **wrong})
