"""Every archive's layout of trades: whatever happened, the real reader says it again as a plain loop does, or refuses the file.

What a layout cannot have (`tests.property.layouts.FORMS`) has to be refused or read right.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.property.layouts import DAY_US, FORMS, HOURS, Form, Print, Style, aggregated, read, styles, text_of

from pointline.ingest.checks import check_rows
from pointline.sources.taker_side import LEAST_MOVES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from tests.property.layouts import Row

EXAMPLES = settings.get_profile(settings.get_current_profile_name()).max_examples
MANY, SOME, FEW = (max(EXAMPLES // share, 1) for share in (8, 16, 25))  # of each of the many layouts


def amounts(most_decimals: int = 12) -> st.SearchStrategy[Decimal]:
    """Up to fifteen digits, of which up to twelve are decimals."""
    digits = st.one_of(st.integers(1, 10**15 - 1), st.integers(1, 10**6))
    return st.builds(lambda count, decimals: Decimal(count).scaleb(-decimals), digits, st.integers(0, most_decimals))


MOMENTS = st.builds(
    lambda count, step: DAY_US * 1000 + count * step % (HOURS * 3600 * 10**9),
    st.one_of(st.integers(0, 3), st.integers(0, HOURS * 3600 * 10**9 - 1)),
    st.sampled_from([1, 10**3, 10**6, 10**9]),
)
LATEST = st.sampled_from([0, 1, 999_999_999, 10**9])
SIDES = st.booleans()
OTHER = (Decimal(7), Decimal("7.5"))
CHANGES = ("nothing", "price", "size", "side", "time")


@st.composite
def markets(draw: st.DrawFn, sides: st.SearchStrategy[bool] = SIDES) -> list[Print]:
    """Trades in any order, some of them written again, and some of these with another value."""
    one = st.builds(Print, MOMENTS, st.integers(0, 10**6), LATEST, amounts(), amounts(), sides)
    prints: list[Print] = draw(st.lists(one, min_size=1, max_size=8, unique_by=lambda p: p.number))
    for p, change in draw(st.lists(st.tuples(st.sampled_from(prints), st.sampled_from(CHANGES)), max_size=4)):
        other = {"price": OTHER[p.price == OTHER[0]], "size": OTHER[p.size == OTHER[0]], "side": not p.sold, "time": p.ns + 2 * 10**9}
        names = {"price": "price", "size": "size", "side": "sold", "time": "ns"}
        prints.append(p if change == "nothing" else replace(p, **{names[change]: other[change]}))
    return draw(st.permutations(prints))


def landed(rows: list[Row], first_line: int) -> tuple[list[Row], list[int], int]:
    """Plain loop of what may land: rows by receipt, lines that contradict a row of their id, and how many say one again."""
    kept, contradictions, repeats = [], [], 0
    seen: dict[tuple[int | None, str | None], list[Row]] = {}
    for line, row in sorted(enumerate(rows, first_line), key=lambda item: item[1][0]):
        key = (row[2], row[3])
        said = seen.setdefault(key, [])
        if key == (None, None) or not said:
            kept.append(row)
        elif row[1:] in [other[1:] for other in said]:
            repeats += 1
        else:
            contradictions.append(line)
        said.append(row)
    return kept, contradictions, repeats


def rows_of(frame: pl.DataFrame) -> list[Row]:
    return frame.select("ts_local_us", "ts_event_us", "trade_id", "text_id", "price", "qty", "side").rows()


def file_of(form: Form, prints: Sequence[Print], style: Style, units: Sequence[str] = ()) -> str:
    """A file of trades; `units` of each where they are not all the same."""
    counted = units or [style.unit] * len(prints)
    return text_of(form, [form.line(p, replace(style, unit=unit)) for p, unit in zip(prints, counted, strict=True)], style)


def hold(form: Form, prints: list[Print], style: Style) -> None:
    """The reader's rows are those that happened, and of them lands what a plain loop lets land."""
    said = read(form, file_of(form, prints, style), style)
    assert said is not None
    assert said.rejects == []
    expected = [form.row(p, style.unit) for p in prints]
    assert rows_of(said.frame) == expected
    first_line = 2 if style.header else 1
    assert said.frame["source_row"].to_list() == list(range(first_line, first_line + len(prints)))
    if form.line is aggregated:
        assert said.frame.select("first_trade_id", "last_trade_id").rows() == [(p.number * 3, p.number * 3 + 2) for p in prints]
    checked = check_rows(said.frame, "trades")
    found = rows_of(checked.frame), sorted(checked.rejects["line"].to_list()), checked.duplicates
    kept, contradictions, repeats = landed(expected, first_line)
    assert found == (kept, sorted(contradictions), repeats)


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=MANY)
@given(data=st.data(), prints=markets())
def test_any_trades_are_read_as_a_plain_loop_reads_them(name: str, data: st.DataObject, prints: list[Print]) -> None:
    """In each unit, with a header or none, in any order, repeated or contradicted, of both sides, to the last decimal."""
    form = FORMS[name]
    hold(form, prints, data.draw(styles(form)))


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=FEW)
@given(data=st.data(), sold=SIDES)
def test_a_file_of_one_side_and_one_of_a_single_trade_are_read(name: str, data: st.DataObject, sold: bool) -> None:
    form = FORMS[name]
    prints = data.draw(markets(st.just(sold)).map(lambda each: [replace(p, sold=sold) for p in each]))
    hold(form, prints, data.draw(styles(form)))
    hold(form, prints[:1], data.draw(styles(form)))


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=SOME)
@given(data=st.data(), prints=markets())
def test_times_in_a_unit_that_the_layout_has_not_are_refused(name: str, data: st.DataObject, prints: list[Print]) -> None:
    """A file of seconds read as milliseconds would be one of January 1970; one of nanoseconds, of no year at all."""
    form = FORMS[name]
    style = replace(data.draw(styles(form)), unit=data.draw(st.sampled_from(form.foreign)))
    assert read(form, file_of(form, prints, style), style) is None


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=SOME)
@given(data=st.data(), prints=markets())
def test_units_that_change_inside_a_file_give_no_wrong_time(name: str, data: st.DataObject, prints: list[Print]) -> None:
    """The file is refused, or each row is read in its own unit, or rows of a unit that is not the layout's are set aside."""
    form = FORMS[name]
    style = data.draw(styles(form))
    units = data.draw(st.lists(st.sampled_from([*form.units, *form.foreign]), min_size=len(prints), max_size=len(prints)))
    said = read(form, file_of(form, prints, style, units), style)
    if said is None:
        return
    own = [form.row(p, unit) for p, unit in zip(prints, units, strict=True) if unit in form.units]
    assert rows_of(said.frame) == own
    assert len(said.rejects) == len(prints) - len(own)


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if not form.json and not form.bare])
@settings(max_examples=FEW)
@given(data=st.data(), prints=markets())
def test_a_header_where_none_is_and_none_where_one_is_are_refused(name: str, data: st.DataObject, prints: list[Print]) -> None:
    form = FORMS[name]
    style = data.draw(styles(form))
    turned = replace(style, header=not style.header)
    assert read(form, file_of(form, prints, turned), turned) is None


@pytest.mark.parametrize("sold", [False, True], ids=["buys", "sells"])
@pytest.mark.parametrize("name", ["gate spot", "gate futures", "coinbase", "deribit", "hyperliquid"])
def test_a_long_file_of_one_side_is_read(name: str, sold: bool) -> None:
    """So long that the guard of sides would speak: where prices go both ways, trades of one side say nothing against it."""
    form = FORMS[name]
    steps = (1, 1, -1, 1, -1, -1, -1, 1)  # as many up as down
    moves = (steps[n % len(steps)] for n in range(LEAST_MOVES + 10))
    prices = [Decimal(price) for price in accumulate(moves, initial=60_000)]
    prints = [Print((DAY_US + n * 10**6) * 1000, n, 10**6, price, Decimal(n % 7 + 1) / 1000, sold) for n, price in enumerate(prices)]
    hold(form, prints, Style(form.units[0], header=form.header is not None))
