"""A hand-worked week of funding of a linear and of an inverse position; the arithmetic stands in README.md."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.archives import lake_from
from tests.trading.archives import candle_archives, funding_archives

import pointline
from pointline.clock import to_us
from pointline.trading.funding_flows import FundingTerms, funding_cash_flows

if TYPE_CHECKING:
    from pointline.lake.store import Lake

HERE = Path(__file__).parent
TERMS = {
    "linear": FundingTerms(contract_type="linear", contract_size=1.0, settle_asset="USDT", quote_asset="USDT"),
    "inverse": FundingTerms(contract_type="inverse", contract_size=100.0, settle_asset="BTC", quote_asset="USD"),
}
MARKETS = {"linear": ("binance-futures", "BTCUSDT"), "inverse": ("binance-delivery", "BTCUSD_PERP")}
END = "2024-05-13"


@cache
def table(name: str, contract: str) -> pl.DataFrame:
    """The rows of a contract, as text, with ``settlement``, ``entry`` and ``exit`` in microseconds."""
    rows = pl.read_csv(HERE / f"funding_{name}.csv", infer_schema=False).filter(pl.col("contract") == contract)
    times = [column for column in ("settlement", "entry", "exit") if column in rows.columns]
    stamps = [pl.col(column).str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us").cast(pl.Int64) for column in times]
    return rows.with_columns(stamps)


def settlements_and_marks(contract: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = table("settlements", contract).with_columns(pl.col("interval_hours", "funding_rate", "mark_price").cast(pl.Float64))
    none = pl.lit(None, dtype=pl.Float64)
    settlements = rows.select("funding_rate", "interval_hours", funding_us="settlement", mark_price=none)
    marks = rows.select(
        "mark_price", ts_us=pl.col("settlement") - pl.col("mark_before_s").cast(pl.Int64) * 1_000_000, mark_source=pl.lit("by hand")
    )
    return settlements, marks


@pytest.mark.parametrize("contract", ["linear", "inverse"])
def test_the_week(contract: str) -> None:
    rows = table("positions", contract)
    positions = rows.select(
        pl.col("position_id").cast(pl.Int64), entry_us="entry", exit_us="exit", quantity=pl.col("quantity").cast(pl.Float64)
    )
    found = funding_cash_flows(positions, *settlements_and_marks(contract), terms=TERMS[contract], data_end_us=to_us(END))
    wanted = table("flows", contract)
    assert found["funding_us"].to_list() == wanted["settlement"].to_list()
    for column in ("position_id", "quantity", "funding_rate", "mark_price", "notional"):
        assert found[column].cast(pl.Float64).to_list() == wanted[column].cast(pl.Float64).to_list(), column
    assert found["cash"].to_list() == pytest.approx(wanted["cash"].cast(pl.Float64).to_list(), rel=1e-15, abs=0)
    assert found["cumulative_cash"].to_list() == pytest.approx(wanted["cumulative_cash"].cast(pl.Float64).to_list(), rel=1e-13)
    assert found["mark_age_us"].to_list() == [
        age * 1_000_000 for age in table("settlements", contract)["mark_before_s"].cast(pl.Int64).to_list()[1:]
    ]
    assert set(found["status"]) == {"paid"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The same week as archives: late stamps, and one-minute mark candles that end at the settlements, or a minute before them."""
    folder = tmp_path_factory.mktemp("golden-funding")
    paths = []
    for contract, market in MARKETS.items():
        rows = table("settlements", contract).select("settlement", "interval_hours", "funding_rate", "mark_price", "mark_before_s").rows()
        rates = [(us // 1_000 + number % 32, int(hours), rate) for number, (us, hours, rate, *_) in enumerate(rows)]
        ends = [(us // 1_000 - (60_000 if before == "60" else 0), mark) for us, *_, mark, before in rows]
        paths += funding_archives(folder, *market, rates)
        paths += candle_archives(folder, *market, [(ms - 60_000, mark, mark, mark, mark) for ms, mark in ends], interval="1m")
    return lake_from(folder, paths)


@pytest.mark.parametrize(
    ("contract", "start", "end", "quantity", "rows"),
    [
        ("linear", "2024-05-06", "2024-05-09 12:00", -2.0, slice(0, 10)),
        ("linear", "2024-05-09 12:00", END, -0.5, slice(10, None)),
        ("inverse", "2024-05-06", "2024-05-10", 350.0, slice(0, 15)),
        ("inverse", "2024-05-10", END, -150.0, slice(15, None)),
    ],
)
def test_the_week_through_a_lake(lake: Lake, contract: str, start: str, end: str, quantity: float, rows: slice) -> None:
    name = ":".join(MARKETS[contract])
    held = pointline.funding_payments(name, start=start, end=end, quantity=quantity, lake=lake)
    cash = table("flows", contract)["cash"].cast(pl.Float64).to_list()[rows]
    assert held.table["cash"].to_list() == pytest.approx(cash, rel=1e-15, abs=0)
    assert held.terms == TERMS[contract]
    assert held.summary["mark_sources"] == {"mark_candles_1m": len(cash)}
    assert held.summary["oldest_mark_age_us"] == 60_000_000
