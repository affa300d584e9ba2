"""The frames against plain loops over dictionaries, and against themselves on a lake that ends earlier."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.effort import examples
from tests.spreads.market import COINBASE, COINM, SPOT, USDM, add_candles, day

import pointline
from pointline import CostModel
from pointline.clock import DAY_US, HOUR_US

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pointline import Spreads

FIRST = day("2024-06-20")
DELIVERIES = {"240628": "2024-06-28", "240927": "2024-09-27", "241227": "2024-12-27"}
REFERENCES = {"binance:BTC-USDT": ((SPOT, "BTCUSDT"), "USDT"), "coinbase:BTC-USD": ((COINBASE, "BTC-USD"), "USD")}
RATE = (COINBASE, "USDT-USD")
MATURITIES = (5.0, 30.0, 90.0, 95.25, 180.0)
WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # each example makes a lake
COSTS = CostModel(borrow_bps_per_day=0.7)


@dataclass(frozen=True)
class Contract:
    """A contract as the tests know it: where its closes are, its names, its quote and its delivery."""

    key: tuple[str, str]
    exchange: str
    market: str
    quote: str
    expiry_us: int | None


def _contracts() -> tuple[Contract, ...]:
    found = [
        Contract((USDM, "BTCUSDT"), "binance-usdm-future", "BTC-USDT", "USDT", None),
        Contract((COINM, "BTCUSD_PERP"), "binance-coinm-future", "BTC-USD-PERP", "USD", None),
    ]
    for digits, date in DELIVERIES.items():
        expiry = day(date) + 8 * HOUR_US
        found.append(Contract((USDM, f"BTCUSDT_{digits}"), "binance-usdm-future", f"BTC-USDT-{date}", "USDT", expiry))
    found.append(Contract((COINM, "BTCUSD_240927"), "binance-coinm-future", "BTC-USD-2024-09-27", "USD", day("2024-09-27") + 8 * HOUR_US))
    return tuple(sorted(found, key=lambda one: (one.exchange, one.market)))


CONTRACTS = _contracts()
Market = dict[tuple[str, str], dict[int, float]]


@st.composite
def markets(draw: st.DrawFn) -> tuple[Market, int]:
    """Closes with holes of some days, and how many days there are; every market has its first close."""
    days = draw(st.integers(3, 12))
    closes: Market = {}
    for key in [*(contract.key for contract in CONTRACTS), *(key for key, _ in REFERENCES.values()), RATE]:
        centre = 1.0 if key == RATE else 60_000.0
        factors = draw(st.lists(st.one_of(st.none(), *[st.floats(0.9, 1.15)] * 4), min_size=days - 1, max_size=days - 1))
        own = {FIRST: round(centre * draw(st.floats(0.97, 1.03)), 4)}
        own |= {FIRST + (n + 1) * DAY_US: round(centre * factor, 4) for n, factor in enumerate(factors) if factor is not None}
        closes[key] = own
    return closes, days


# --- the plain loops --------------------------------------------------------------------------------------------------------------


def rows_of(closes: Mapping[tuple[str, str], Mapping[int, float]], days: int) -> Iterator[dict[str, Any]]:
    for n, contract, (reference, (spot_key, spot_quote)) in itertools.product(range(days), CONTRACTS, sorted(REFERENCES.items())):
        start = FIRST + n * DAY_US
        end = start + DAY_US
        if contract.expiry_us is not None and end > contract.expiry_us:
            continue
        close, spot, usdt = closes[contract.key].get(start), closes[spot_key].get(start), closes[RATE].get(start)
        row: dict[str, Any] = {
            "start": start,
            "end": end,
            "exchange": contract.exchange,
            "market": contract.market,
            "quote": contract.quote,
            "reference": reference,
            "expiry": contract.expiry_us,
            "close": close,
            "spot_close": spot,
            "spread": None,
            "basis": None,
            "kind": "like_quote",
            "days": None if contract.expiry_us is None else (contract.expiry_us - end) / DAY_US,
        }
        converted = close
        if contract.quote != spot_quote:
            row["kind"] = "cross_quote"
            if usdt is not None and close is not None and spot is not None:
                converted = close * usdt if contract.quote == "USDT" else close * (1 / usdt)
                row["kind"] = "converted"
        if close is not None and spot is not None and converted is not None:
            row["spread"] = close - spot
            row["basis"] = (converted - spot) / spot
        yield row


def yields(basis: float | None, days: float | None) -> tuple[float | None, ...]:
    if basis is None or days is None or days < 1:
        return (None, None, None)
    return tuple(100 * rate for rate in (basis * 365 / days, (1 + basis) ** (365 / days) - 1, math.log(1 + basis) * 365 / days))


def curve_of(rows: list[dict[str, Any]], at: int, max_age_us: int) -> dict[tuple[str, str, str], tuple[Any, ...]]:
    newest: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        if row["spread"] is not None and row["end"] <= at and (row["expiry"] is None or row["expiry"] > at):
            newest[row["exchange"], row["market"], row["reference"]] = row
    return {
        key: (
            at - row["end"],
            *((row["basis"] * 100, row["days"], *yields(row["basis"], row["days"])) if at - row["end"] <= max_age_us else (None,) * 5),
        )
        for key, row in newest.items()
    }


def maturity_of(
    rows: list[dict[str, Any]], start: int, family: tuple[str, str, str], wanted: float
) -> tuple[float | None, str | None, str | None]:
    points = sorted(
        (row["days"], row["market"], math.log(1 + row["basis"]))
        for row in rows
        if (row["exchange"], row["quote"], row["reference"]) == family and row["start"] == start and row["spread"] is not None
        if row["days"] is not None and row["days"] >= 1
    )
    for left, right in [*itertools.pairwise(points), *((point, point) for point in points)]:
        if left[0] <= wanted <= right[0]:
            share = 0.0 if left[0] == right[0] else (wanted - left[0]) / (right[0] - left[0])
            return (math.exp(left[2] + (right[2] - left[2]) * share) - 1) * 100, left[1], right[1]
    return None, None, None


def smoothing_of(rows: list[dict[str, Any]], window: int) -> Iterator[tuple[float | None, float | None]]:
    """Of one contract's rows in order."""
    for n, row in enumerate(rows):
        last = rows[n - window + 1 : n + 1] if n >= window - 1 else []
        smooth = slope = None
        if last and all(one["basis"] is not None and one["kind"] == row["kind"] for one in last):
            smooth = 1e4 * sum(one["basis"] for one in last) / window
        before = rows[n - window] if n >= window else None
        if before is not None and row["basis"] is not None and before["basis"] is not None and before["kind"] == row["kind"]:
            slope = 1e4 * (row["basis"] - before["basis"])
        yield smooth, slope


def carry_of(basis: float, days: float) -> tuple[float | None, ...]:
    gross, borrow = abs(basis) * 1e4, COSTS.borrow_bps_per_day if basis < 0 else 0.0
    cost = COSTS.total_bps + borrow * days
    income = gross / days - borrow
    return gross, cost, gross - cost, gross * 3.65 / days, (gross - cost) * 3.65 / days, COSTS.total_bps / income if income > 0 else None


def agree(found: object, expected: float | None) -> bool:
    if expected is None or found is None:
        return found is expected
    return isinstance(found, float) and math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-9)


def us(moment: dt.datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1_000_000)


def made(closes: Market, days: int, folder: str) -> Spreads:
    lake = add_candles(Path(folder), closes)
    names = [f"{contract.exchange}:{contract.market}" for contract in CONTRACTS]
    return pointline.spreads(
        "BTC",
        reference=list(REFERENCES),
        contracts=names,
        start="2024-06-20",
        end=dt.date(2024, 6, 20) + dt.timedelta(days=days),
        lake=lake,
    )


# --- frames against loops ---------------------------------------------------------------------------------------------------------


@settings(max_examples=examples(5), phases=WITHOUT_SHRINKING)
@given(market=markets(), hours=st.integers(24, 12 * 24), max_age_days=st.integers(1, 4), window=st.integers(2, 4))
def test_frames_equal_plain_loops(market: tuple[Market, int], hours: int, max_age_days: int, window: int) -> None:
    closes, days = market
    with tempfile.TemporaryDirectory() as folder:
        found = made(closes, days, folder)
    rows = list(rows_of(closes, days))
    check_table(found.table, rows)
    at = FIRST + hours * HOUR_US
    check_curve(found, rows, at, max_age_days * DAY_US)
    check_maturities(found, rows)
    check_smoothing(found, rows, window)
    check_summary(found, rows)


def check_table(table: pl.DataFrame, rows: list[dict[str, Any]]) -> None:
    assert table.height == len(rows)
    names = ("spread", "close", "spot_close", "days_to_expiry")
    for got, row in zip(table.iter_rows(named=True), rows, strict=True):
        assert (got["exchange"], got["market"], got["reference"]) == (row["exchange"], row["market"], row["reference"])
        assert (us(got["start"]), us(got["end"]), us(got["expiry"])) == (row["start"], row["end"], row["expiry"])
        assert us(got["known_at"]) == (None if row["spread"] is None else row["end"])
        assert [got[name] for name in names] == [row["spread"], row["close"], row["spot_close"], row["days"]]
        if row["spread"] is not None:
            assert (got["spread_pct"], got["basis_kind"]) == (row["spread"] / row["spot_close"] * 100, row["kind"])
        rates = [got[f"annualised_{name}_pct"] for name in ("simple", "compounded", "continuous")]
        assert all(map(agree, rates, yields(row["basis"], row["days"])))


def check_curve(found: Spreads, rows: list[dict[str, Any]], at: int, max_age_us: int) -> None:
    expected = curve_of(rows, at, max_age_us)
    curve = found.term_structure(at, max_age=max_age_us)
    columns = ("age_us", "basis_pct", "days_to_expiry", "annualised_simple_pct", "annualised_compounded_pct", "annualised_continuous_pct")
    got = {(row["exchange"], row["market"], row["reference"]): [row[name] for name in columns] for row in curve.to_dicts()}
    assert got.keys() == expected.keys()
    for key, values in expected.items():
        assert got[key][0] == values[0]
        assert all(map(agree, got[key][1:], values[1:]))
    carried = {(row["exchange"], row["market"], row["reference"]): row for row in found.carry(COSTS, at, max_age=max_age_us).to_dicts()}
    paying = {key: values for key, values in expected.items() if values[1] is not None and values[2] is not None and values[2] >= 1}
    assert carried.keys() == paying.keys()
    names = ("gross_bps", "cost_bps", "net_bps", "gross_annual_pct", "net_annual_pct", "break_even_days")
    for key, values in paying.items():
        row = carried[key]
        assert all(map(agree, [row[name] for name in names], carry_of(values[1] / 100, values[2])))
        assert row["side"].startswith("long spot" if values[1] >= 0 else "short spot")
        if row["break_even_days"] is not None and abs(row["net_bps"]) > 1e-6:
            assert (row["net_bps"] > 0) == (row["break_even_days"] < row["days_to_expiry"])


def check_maturities(found: Spreads, rows: list[dict[str, Any]]) -> None:
    got = found.constant_maturity(MATURITIES).to_dicts()
    keys = {(row["start"], row["exchange"], row["quote"], row["reference"]) for row in rows if row["expiry"] is not None}
    assert len(got) == len(keys) * len(MATURITIES)
    for row in got:
        family = (row["exchange"], row["quote"], row["reference"])
        basis, near, far = maturity_of(rows, us(row["start"]) or 0, family, row["maturity_days"])
        assert agree(row["basis_pct"], basis)
        assert (row["near_market"], row["far_market"]) == (near, far)
        assert us(row["known_at"]) == (None if basis is None else us(row["end"]))
        assert agree(row["annualised_compounded_pct"], yields(None if basis is None else basis / 100, row["maturity_days"])[1])


def check_smoothing(found: Spreads, rows: list[dict[str, Any]], window: int) -> None:
    smoothed = found.smoothing(window)
    for contract, reference in itertools.product(CONTRACTS, REFERENCES):
        own = [row for row in rows if (row["exchange"], row["market"], row["reference"]) == (contract.exchange, contract.market, reference)]
        is_own = (pl.col("exchange") == contract.exchange) & (pl.col("market") == contract.market) & (pl.col("reference") == reference)
        got = smoothed.filter(is_own).select("basis_smooth", "basis_slope").rows()
        assert len(got) == len(own)
        assert all(agree(a, x) and agree(b, y) for (a, b), (x, y) in zip(got, smoothing_of(own, window), strict=True))


def check_summary(found: Spreads, rows: list[dict[str, Any]]) -> None:
    for row in found.statistics.to_dicts():
        own = [
            one for one in rows if (one["exchange"], one["market"], one["reference"]) == (row["exchange"], row["market"], row["reference"])
        ]
        spreads = [one["spread"] for one in own if one["spread"] is not None]
        assert (row["candles"], row["missing"]) == (len(own), len(own) - len(spreads))
        expected = (math.fsum(spreads) / len(spreads), min(spreads), max(spreads)) if spreads else (None, None, None)
        assert all(map(agree, [row[f"{name}_spread"] for name in ("mean", "min", "max")], expected))


# --- what came later changes nothing ----------------------------------------------------------------------------------------------


@settings(max_examples=examples(4), phases=WITHOUT_SHRINKING)
@given(market=markets(), cut=st.integers(1, 11))
def test_what_came_later_changes_nothing_that_was_known(market: tuple[Market, int], cut: int) -> None:
    """The lake without everything after T gives the same rows for all that was known at T, and all rows of an instant's curve."""
    closes, days = market
    at = FIRST + min(cut, days) * DAY_US
    earlier = {key: {start: close for start, close in own.items() if start + DAY_US <= at} for key, own in closes.items()}
    with tempfile.TemporaryDirectory() as folder:
        full, cut_off = made(closes, days, f"{folder}/full"), made(earlier, days, f"{folder}/cut")
    known = pl.col("known_at") <= pl.lit(at).cast(pl.Datetime("us", "UTC"))
    pairs = {
        "table": (full.table, cut_off.table),
        "constant maturity": (full.constant_maturity(MATURITIES), cut_off.constant_maturity(MATURITIES)),
        "from spot": (full.constant_maturity(MATURITIES, from_spot=True), cut_off.constant_maturity(MATURITIES, from_spot=True)),
        "smoothing": (full.smoothing(2), cut_off.smoothing(2)),
        "triangle": (full.triangle(), cut_off.triangle()),
    }
    for whole, part in pairs.values():
        assert_frame_equal(whole.filter(known), part.filter(known), check_exact=True)
    assert full.table.filter(known).height > 0
    assert_frame_equal(full.term_structure(at, max_age="4d"), cut_off.term_structure(at, max_age="4d"), check_exact=True)
    assert_frame_equal(full.carry(COSTS, at), cut_off.carry(COSTS, at), check_exact=True)
