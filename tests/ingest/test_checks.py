"""What one file's rows are held against: repeats, and which of two equal rows stays."""

from __future__ import annotations

from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pointline import schema
from pointline.ingest.checks import check_rows


def trades(*rows: dict[str, Any]) -> pl.DataFrame:
    """Parsed trades; what a row does not say is the same in all, `source_row` is its place."""
    told = {"ts_event_us": 1, "price": 1.0, "qty": 1.0, "side": False}
    full = [told | {"ts_local_us": n, "source_row": n} | row for n, row in enumerate(rows)]
    return pl.DataFrame(full, schema=schema.TRADES.parsed)


def test_of_one_trade_from_two_connections_the_first_receipt_stays() -> None:
    frame = trades({"trade_id": 7, "ts_local_us": 20}, {"trade_id": 7, "ts_local_us": 10}, {"trade_id": 8, "ts_local_us": 30})
    checked = check_rows(frame, "trades")
    assert checked.frame.select("trade_id", "ts_local_us").rows() == [(7, 10), (8, 30)]
    assert (checked.duplicates, checked.rejects.height) == (1, 0)


def test_the_same_id_with_other_values_is_set_aside() -> None:
    checked = check_rows(trades({"trade_id": 7}, {"trade_id": 7, "price": 2.0}), "trades")
    assert checked.frame["price"].to_list() == [1.0]
    assert checked.rejects.select("line", "reason").rows() == [(1, "the same id stands above with other values")]


def test_an_aggregated_row_shares_no_numbers_with_single_trades() -> None:
    checked = check_rows(trades({"trade_id": 7}, {"trade_id": 7, "first_trade_id": 1, "last_trade_id": 2, "qty": 9.0}), "trades")
    assert (checked.rows, checked.duplicates, checked.rejects.height) == (2, 0, 0)


def test_text_ids_tell_trades_apart_where_there_are_no_others() -> None:
    checked = check_rows(trades({"text_id": "a"}, {"text_id": "b"}, {"text_id": "a"}, {}), "trades")
    assert (checked.rows, checked.duplicates) == (3, 1)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"trade_id": st.integers(0, 3), "ts_local_us": st.integers(0, 5), "price": st.sampled_from([1.0, 2.0])}
            | {name: st.sampled_from([None, 1]) for name in ("first_trade_id",)}
        ),
        min_size=1,
        max_size=12,
    )
)
def test_repeats_against_a_plain_loop(rows: list[dict[str, Any]]) -> None:
    checked = check_rows(trades(*rows), "trades")
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    seen: set[tuple[Any, ...]] = set()
    duplicates = conflicts = 0
    for row in sorted(rows, key=lambda row: row["ts_local_us"]):
        key, content = (row["trade_id"], row["first_trade_id"]), (row["trade_id"], row["first_trade_id"], row["price"])
        if key not in kept:
            kept[key] = row
        elif content in seen:
            duplicates += 1
        else:
            conflicts += 1
        seen.add(content)
    assert checked.frame["ts_local_us"].to_list() == [row["ts_local_us"] for row in kept.values()]
    assert (checked.duplicates, checked.rejects.height) == (duplicates, conflicts)
