"""Spines and sums equal the plain loops of ``tests/oracle.py`` on random trades, however the trades are cut into pieces."""

from __future__ import annotations

import math
import random
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracle
from tests.oracle import Trade, Window

from pointline import schema
from pointline.bars.aggregate import venue_frame
from pointline.bars.amounts import Amounts, TradeRows, read_trades
from pointline.bars.closer import Closer
from pointline.bars.pages import FiledBars
from pointline.bars.run import Run, Sums, VenueTrades, run_spine
from pointline.bars.stretches import run_stretches, spine_frame
from pointline.clock import DAY_US, to_us
from pointline.errors import AmountOverflowError
from pointline.instruments import Instrument, Registry
from pointline.kernels.slots import BAR_INTS
from pointline.lake.partition import Feed, encode, write_partition
from pointline.lake.store import PartitionFile
from pointline.research.spines import BarRule, DollarBarConfig, ImbalanceBarConfig, TimeBarConfig, TradeBarConfig, VolumeBarConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

FIRST_DAY = to_us("2024-05-01")
PRICE_DECIMALS, QTY_DECIMALS = 9, 3
QTY_COLUMN = BAR_INTS.index("qty")
_REGISTRY = Registry().with_derived("binance-futures", "BTCUSDT").with_derived("binance-spot", "BTCUSDT")
PERP = _REGISTRY.find("binance-futures", "BTCUSDT", FIRST_DAY)
SPOT = _REGISTRY.find("binance-spot", "BTCUSDT", FIRST_DAY)


@dataclass(frozen=True)
class MemoryFile:
    """A day of trades that is read as a stored partition is: in the fewest decimals that hold it."""

    trades: tuple[Trade, ...]

    @cached_property
    def totals(self) -> dict[str, int]:
        return {
            "price_decimals": fewest_decimals([t.price for t in self.trades], PRICE_DECIMALS),
            "qty_decimals": fewest_decimals([t.qty for t in self.trades], QTY_DECIMALS),
        }


def fewest_decimals(values: list[int], decimals: int) -> int:
    while decimals and all(value % 10 == 0 for value in values):
        values = [value // 10 for value in values]
        decimals -= 1
    return decimals


def memory_rows(
    file: MemoryFile, amounts: Amounts, instrument: str, use: Callable[[TradeRows], None], *, batch_rows: int, include_off_book: bool
) -> None:
    """Stands in for `read_trades`."""
    del include_off_book
    for first in range(0, len(file.trades), batch_rows):
        use(rows_of(file.trades[first : first + batch_rows], instrument, amounts))


def rows_of(trades: tuple[Trade, ...], instrument: str = "test:ONE", amounts: Amounts | None = None) -> TradeRows:
    amounts = amounts or Amounts(PRICE_DECIMALS, QTY_DECIMALS)
    arrays = [
        np.array([t.us for t in trades], dtype=np.int64),
        np.array([scaled(t.price, PRICE_DECIMALS, amounts.price_decimals) for t in trades], dtype=np.int64),
        np.array([scaled(t.qty, QTY_DECIMALS, amounts.qty_decimals) for t in trades], dtype=np.int64),
    ]
    for array in arrays:
        array.setflags(write=False)  # as columns of a file are
    return TradeRows(*arrays, np.array([t.seller for t in trades], dtype=np.int8), np.empty(0, dtype=np.int64), instrument)


def scaled(value: int, decimals: int, wanted: int) -> int:
    return value // 10 ** (decimals - wanted) if wanted <= decimals else value * 10 ** (wanted - decimals)


def venue(instrument: Instrument, trades: list[Trade]) -> VenueTrades:
    days: dict[int, list[Trade]] = {}
    for trade in trades:
        days.setdefault(trade.us - trade.us % DAY_US, []).append(trade)
    files: Any = {day: MemoryFile(tuple(rows)) for day, rows in days.items()}
    return VenueTrades(instrument, files)


@pytest.fixture(scope="module", autouse=True)
def trades_are_read_from_memory() -> Iterator[None]:
    def rows(file: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        reader: Any = memory_rows if isinstance(file, MemoryFile) else read_trades
        reader(file, *arguments, **options)

    with patch("pointline.bars.run.read_trades", rows):
        yield


# --- random markets

PRICES = st.one_of(
    st.just((1, 3)), st.just((10**9, 10**6)), st.just((6 * 10**13, 10**10)), st.just((1 << 50, 1 << 45)), st.just((1, 1 << 50))
)
QUANTITIES = st.one_of(st.just(9), st.just(5_000), st.just(10**6), st.just(1 << 53))


@st.composite
def markets(draw: st.DrawFn, most: int = 40) -> list[Trade]:
    """Trades of up to three days: ties, huge trades, empty days, days of one trade."""
    lowest, spread = draw(PRICES)
    largest = draw(QUANTITIES)
    step = draw(st.sampled_from([1, 10, 1000]))
    trades: list[Trade] = []
    for day in range(3):
        us = FIRST_DAY + day * DAY_US + draw(st.sampled_from([0, 0, 1, 977]))
        for gap, price, qty, seller in draw(st.lists(TRADE, max_size=most)):
            us += gap
            if us >= FIRST_DAY + (day + 1) * DAY_US:
                break
            amount = max(step, min(largest, qty * step))
            cost = max(step, (lowest + price % spread) // step * step)
            trades.append(Trade(us, cost, amount, seller, cost * amount))
    return trades


TRADE = st.tuples(
    st.sampled_from([0, 0, 0, 1, 5, 1_000, 3_600_000_000, DAY_US - 978]),
    st.one_of(st.integers(0, 20), st.integers(0, 1 << 50)),
    st.one_of(st.integers(1, 9), st.integers(1, 9), st.sampled_from([100, 10**6, 1 << 53])),
    st.booleans(),
)


def long_market(seed: int, count: int) -> list[Trade]:
    """Many trades on two days: whole blocks without a close, and more bars than the accumulators start with."""
    dice = random.Random(seed)  # noqa: S311
    us, price = FIRST_DAY + dice.randrange(10), 60_000_000
    trades = []
    for number in range(count):
        us += dice.choice([0, 0, 0, 1, 1_000, 1_000_000]) + (DAY_US - us % DAY_US if number == count // 2 else 0)
        price += dice.randrange(-30, 31)
        qty = 40_000 if dice.random() < 0.002 else dice.randrange(1, 30)
        trades.append(Trade(us, price, qty, dice.random() < 0.5, price * qty))
    return trades


@st.composite
def rules(draw: st.DrawFn, trades: list[Trade]) -> BarRule:
    """A rule whose bars number from none to many."""
    parts = draw(st.sampled_from([1, 2, 3, 7, 50, 1_000]))
    boundary = draw(st.sampled_from(["carry", "reset"]))
    anchor = draw(st.sampled_from(["day", "start"]))
    volume = max(1, sum(t.qty for t in trades) // parts)
    quote = max(1, sum(t.quote for t in trades) // parts // 10**PRICE_DECIMALS)
    base = f"{volume}e-{QTY_DECIMALS}"
    kinds: dict[str, Callable[[], BarRule]] = {
        "volume": lambda: VolumeBarConfig(base, boundary=boundary, anchor=anchor),
        "dollar": lambda: DollarBarConfig(f"{quote}e-{QTY_DECIMALS}", boundary=boundary, anchor=anchor),
        "trades": lambda: TradeBarConfig(max(1, len(trades) // parts), boundary=boundary, anchor=anchor),
        "time": lambda: TimeBarConfig(draw(st.sampled_from(["1h", "7h", "1d", "86399999999us"])), anchor=anchor),
        "imbalance": lambda: ImbalanceBarConfig(base, anchor=anchor),
        "signed": lambda: VolumeBarConfig(base, use_absolute_volume=False, boundary="reset", anchor=anchor),
    }
    if max(t.price for t in trades) * max(t.qty for t in trades) >= 1 << 56:
        del kinds["dollar"]  # refused, see the tests of overflow
    return kinds[draw(st.sampled_from(list(kinds)))]()


# --- expected windows

AMOUNTS: Mapping[type[BarRule], oracle.Amount] = {
    VolumeBarConfig: oracle.volume,
    DollarBarConfig: oracle.dollars,
    TradeBarConfig: oracle.one,
}


def expected_windows(rule: BarRule, trades: list[Trade], start: int, end: int) -> list[Window]:
    if isinstance(rule, TimeBarConfig):
        return oracle.time_windows(rule.interval_us, start, end)
    if isinstance(rule, ImbalanceBarConfig):
        return oracle.reset_windows(trades, oracle.bought_less_sold, units(rule.imbalance_threshold, QTY_DECIMALS), start, end)
    if isinstance(rule, VolumeBarConfig) and not rule.use_absolute_volume:
        return oracle.reset_windows(trades, oracle.bought_less_sold, units(rule.volume_threshold, QTY_DECIMALS), start, end)
    count = oracle.carry_windows if rule.boundary == "carry" else oracle.reset_windows
    threshold = {
        VolumeBarConfig: lambda r: units(r.volume_threshold, QTY_DECIMALS),
        DollarBarConfig: lambda r: units(r.dollar_threshold, PRICE_DECIMALS + QTY_DECIMALS),
        TradeBarConfig: lambda r: r.trade_threshold,
    }[type(rule)](rule)
    return count(trades, AMOUNTS[type(rule)], threshold, start, end)


def units(threshold: float | Decimal | str, decimals: int) -> int:
    return int(Decimal(str(threshold)).scaleb(decimals))


def stretches_of(rule: BarRule, trades: list[Trade]) -> list[tuple[int, int]]:
    """Days, or (anchored at the start) all of them and a window that begins and ends with the times of trades."""
    if rule.anchor == "day":
        return oracle.days_with_trades(trades)
    inner = (trades[len(trades) // 4].us, trades[-1].us)
    return [(FIRST_DAY, FIRST_DAY + 3 * DAY_US), *([inner] if inner[0] < inner[1] else [])]


# --- comparison

COLUMNS = ("open", "high", "low", "close")


def check_sums(run: Run, place: int, trades: list[Trade], windows: list[Window]) -> None:
    frame = venue_frame("v", run.sums[place], run.amounts[place])
    assert frame.height == len(windows)
    for row, window in zip(frame.iter_rows(named=True), windows, strict=True):
        sums = oracle.sums_of(trades, window)
        assert row["v_trade_count"] == sums.count
        assert row["v_last_us"] == sums.last_us
        for name in COLUMNS:
            value = getattr(sums, name)
            assert row[f"v_{name}"] == (None if value is None else oracle.nearest_double(value, PRICE_DECIMALS))
        volume = oracle.nearest_double(sums.qty, QTY_DECIMALS)
        quote = oracle.nearest_double(sums.quote, PRICE_DECIMALS + QTY_DECIMALS)
        assert row["v_volume"] == volume
        assert row["v_quote_volume"] == quote
        assert row["v_buy_volume"] == oracle.nearest_double(sums.bought, QTY_DECIMALS)
        assert row["v_sell_volume"] == oracle.nearest_double(sums.sold, QTY_DECIMALS)
        check_vwap(row, Fraction(sums.quote, 10 ** (PRICE_DECIMALS + QTY_DECIMALS)), Fraction(sums.qty, 10**QTY_DECIMALS))
        exact = None if sums.variance is None else sums.variance / 10 ** (2 * PRICE_DECIMALS)
        assert row["v_price_std"] == (None if exact is None else math.sqrt(exact))
        realized = sums.realized_variance
        # each squared return is counted in 2**-100, rounded down
        found = None if row["v_realized_vol"] is None else row["v_realized_vol"] ** 2
        assert found == (None if realized is None else pytest.approx(realized, rel=2e-12, abs=sums.count * 2.0**-100))


def check_vwap(row: Mapping[str, Any], quote: Fraction, base: Fraction) -> None:
    """Inside [low, high] as doubles, and right to 1e-12."""
    if not base:
        assert row["v_vwap"] is None
        return
    assert row["v_low"] <= row["v_vwap"] <= row["v_high"]
    assert abs(Fraction(row["v_vwap"]) - quote / base) <= quote / base * Fraction(1, 10**12)


def windows_of(run: Run) -> list[Window]:
    frame = spine_frame(run.bars(0, len(run.ends)), 1)
    return [Window(*row) for row in frame.select("bar_id", "bucket_start", "bucket_end", "complete").iter_rows()]


def bits(run: Run) -> pl.DataFrame:
    """Everything that a run says, bit for bit: integers as they are, floats as their bytes."""
    parts = [spine_frame(run.bars(0, len(run.ends)), 1)]
    for place, (sums, amounts) in enumerate(zip(run.sums, run.amounts, strict=True)):
        frame = venue_frame(f"v{place}", sums, amounts)
        floats = [name for name, dtype in frame.schema.items() if dtype == pl.Float64]
        parts.append(frame.with_columns(pl.col(floats).reinterpret(signed=True)))
    return pl.concat(parts, how="horizontal")


# --- properties


@given(st.data())
def test_windows_and_sums_equal_the_plain_loops(data: st.DataObject) -> None:
    perp, spot = data.draw(markets()), data.draw(markets())
    if not perp:
        return
    rule = data.draw(rules(perp))
    batch_rows = data.draw(st.integers(1, len(perp) + 1))
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    for start, end in stretches_of(rule, perp):
        run = run_spine(rule, driver, (driver, other), start, end, batch_rows)
        windows = expected_windows(rule, perp, start, end)
        assert windows_of(run) == windows
        check_sums(run, 0, perp, windows)
        check_sums(run, 1, spot, windows)


@pytest.mark.parametrize(
    "rule",
    [
        VolumeBarConfig("1.3"),
        VolumeBarConfig("0.04", boundary="reset"),
        VolumeBarConfig("6", boundary="reset"),
        DollarBarConfig("0.001"),
        TradeBarConfig(2),
        TradeBarConfig(700),
        ImbalanceBarConfig("0.2"),
        TimeBarConfig("1s", anchor="start"),
    ],
    ids=str,
)
def test_long_markets_equal_the_plain_loops(rule: BarRule) -> None:
    perp, spot = long_market(1, 3_000), long_market(2, 700)
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    start, end = (FIRST_DAY, FIRST_DAY + DAY_US) if rule.anchor == "day" else (FIRST_DAY, FIRST_DAY + 1_500_000_000)
    run = run_spine(rule, driver, (driver, other), start, end, 1_000)
    windows = expected_windows(rule, perp, start, end)
    assert windows_of(run) == windows
    check_sums_of_some(run, perp, spot, windows)


def check_sums_of_some(run: Run, perp: list[Trade], spot: list[Trade], windows: list[Window]) -> None:
    """The plain loop looks at all trades for each bar: of many bars, each tenth and the last."""
    picked = [*range(0, len(windows), max(1, len(windows) // 60)), len(windows) - 1]
    chosen = replace(run, sums=tuple(ints[picked] for ints in run.sums))
    for place, trades in enumerate((perp, spot)):
        check_sums(chosen, place, trades, [windows[k] for k in picked])


@given(st.data())
def test_a_spine_tiles_its_stretch_and_loses_nothing(data: st.DataObject) -> None:
    perp, spot = data.draw(markets()), data.draw(markets())
    if not perp:
        return
    rule = data.draw(rules(perp))
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    for start, end in stretches_of(rule, perp):
        run = run_spine(rule, driver, (driver, other), start, end, 7)
        frame = spine_frame(run.bars(0, len(run.ends)), 1)
        assert frame["bucket_start"][0] == start
        assert frame["bucket_end"][-1] == end
        assert frame["bucket_start"][1:].to_list() == frame["bucket_end"][:-1].to_list()
        assert (frame["bar_id"].diff().drop_nulls() > 0).all()
        assert frame["complete"][:-1].all()
        for ints, trades in zip(run.sums, (perp, spot), strict=True):
            inside = [t for t in trades if start <= t.us < end]
            unit = 10 ** (QTY_DECIMALS - run.amounts[0 if trades is perp else 1].qty_decimals)
            assert sum(ints[:, QTY_COLUMN].tolist()) * unit == sum(t.qty for t in inside)
            assert int(ints[:, 0].sum()) == len(inside)


@given(st.data())
def test_a_bar_never_splits_a_timestamp(data: st.DataObject) -> None:
    perp = data.draw(markets())
    if not perp:
        return
    rule = data.draw(rules(perp))
    driver = venue(PERP, perp)
    for start, end in stretches_of(rule, perp):
        run = run_spine(rule, driver, (driver,), start, end, data.draw(st.integers(1, 9)))
        edges = [start, *run.ends.tolist()]
        counts = run.sums[0][:, 0].tolist()
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            assert count == sum(low <= t.us < high for t in perp)


@given(st.data())
def test_batches_do_not_matter(data: st.DataObject) -> None:
    perp, spot = data.draw(markets()), data.draw(markets())
    if not perp:
        return
    rule = data.draw(rules(perp))
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    for start, end in stretches_of(rule, perp):
        whole = bits(run_spine(rule, driver, (driver, other), start, end, 1 << 20))
        for batch_rows in (1, 2, 3, data.draw(st.integers(1, len(perp)))):
            assert bits(run_spine(rule, driver, (driver, other), start, end, batch_rows)).equals(whole)


@pytest.mark.parametrize("batch_rows", [1, 127, 128, 129, 500, 2_999])
def test_batches_do_not_matter_in_long_markets(batch_rows: int) -> None:
    perp, spot = long_market(3, 3_000), long_market(4, 700)
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    for rule in (VolumeBarConfig("1.3"), TradeBarConfig(400), TimeBarConfig("1m")):
        cut = bits(run_spine(rule, driver, (driver, other), FIRST_DAY, FIRST_DAY + DAY_US, batch_rows))
        assert cut.equals(bits(run_spine(rule, driver, (driver, other), FIRST_DAY, FIRST_DAY + DAY_US, 1 << 20)))


@contextmanager
def pages_of(bars: int, in_memory: int) -> Iterator[None]:
    """Pages of so many bars, and a file where there are more of them than are held in memory."""
    with patch("pointline.bars.run.PAGE_BARS", bars), patch("pointline.bars.pages.SPILL_BARS", in_memory):
        yield


@given(st.data())
def test_pages_and_files_of_bars_do_not_matter(data: st.DataObject) -> None:
    perp, spot = data.draw(markets()), data.draw(markets())
    if not perp:
        return
    rule = data.draw(rules(perp))
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    for start, end in stretches_of(rule, perp):
        whole = run_spine(rule, driver, (driver, other), start, end, 1 << 20)
        with pages_of(data.draw(st.integers(2, 9)), data.draw(st.integers(0, 40))):
            run = run_spine(rule, driver, (driver, other), start, end, data.draw(st.integers(1, len(perp))))
            together = [np.asarray(sums[0 : len(sums)]) for sums in run.sums]
        assert run.ends.tolist() == whole.ends.tolist()
        for found, expected in zip(together, whole.sums, strict=True):
            assert np.array_equal(found, expected[0 : len(expected)])


def test_very_many_bars_wait_in_a_file() -> None:
    """One bar a trade: more bars than are held in memory, read back in slices."""
    perp, spot = long_market(3, 3_000), long_market(4, 700)
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    with pages_of(64, 500):
        run = run_spine(TradeBarConfig(1), driver, (driver, other), FIRST_DAY, FIRST_DAY + DAY_US, 1 << 20)
    assert all(isinstance(sums, FiledBars) for sums in run.sums)
    windows = expected_windows(TradeBarConfig(1), perp, FIRST_DAY, FIRST_DAY + DAY_US)
    assert windows_of(run) == windows
    in_memory = replace(run, sums=tuple(np.concatenate([sums[0:100], sums[100 : len(sums)]]) for sums in run.sums))
    check_sums(in_memory, 0, perp, windows)
    check_sums(in_memory, 1, spot, windows)


@given(st.data())
def test_later_trades_change_no_bar_that_is_known(data: st.DataObject) -> None:
    perp, spot = data.draw(markets()), data.draw(markets())
    if not perp:
        return
    rule = data.draw(rules(perp))
    cut = data.draw(st.sampled_from([t.us + shift for t in perp for shift in (0, 1)]))
    for start, end in stretches_of(rule, perp):
        if cut <= start:
            continue
        whole = bits(run_of(rule, perp, spot, start, end))
        known = bits(run_of(rule, [t for t in perp if t.us < cut], [t for t in spot if t.us < cut], start, end))
        before = pl.col("bucket_end") <= cut
        assert known.filter(before).equals(whole.filter(before))


def run_of(rule: BarRule, perp: list[Trade], spot: list[Trade], start: int, end: int) -> Run:
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    return run_spine(rule, driver, (driver, other), start, end, 5)


def test_the_scale_of_later_trades_changes_no_bar_that_is_known() -> None:
    """A finer price or quantity after the cut makes all integers of the day finer, but no figure of earlier bars may move by a bit."""
    dice = random.Random(5)  # noqa: S311
    for _ in range(200):
        prices = [dice.randrange(1, 10**6) * 10 ** (PRICE_DECIMALS - 1) for _ in range(6)]
        qtys = [dice.randrange(1, 10**12) * 10**QTY_DECIMALS for _ in range(6)]
        early = [Trade(FIRST_DAY + 10 * k, p, q, k % 2 == 0, p * q) for k, (p, q) in enumerate(zip(prices, qtys, strict=True))]
        late = Trade(FIRST_DAY + 1_000, 123_456_789_123, 1, seller=False, quote=123_456_789_123)
        rule = TradeBarConfig(3, boundary="reset")
        whole = bits(run_of(rule, [*early, late], [*early, late], FIRST_DAY, FIRST_DAY + DAY_US))
        known = bits(run_of(rule, early, early, FIRST_DAY, FIRST_DAY + DAY_US))
        assert known[:2].equals(whole[:2])


@given(st.data())
def test_days_side_by_side_equal_days_in_a_row(data: st.DataObject) -> None:
    perp, spot = data.draw(markets()), data.draw(markets())
    if not perp:
        return
    rule = replace(data.draw(rules(perp)), anchor="day")
    driver, other = venue(PERP, perp), venue(SPOT, spot)
    parts = oracle.days_with_trades(perp)
    together = [bits(run) for run in run_stretches(rule, driver, (driver, other), parts, threads=1)]
    side_by_side = [bits(run) for run in run_stretches(rule, driver, (driver, other), parts, threads=2)]
    one_by_one = [bits(next(run_stretches(rule, driver, (driver, other), [part]))) for part in parts]
    for left, right, alone in zip(together, side_by_side, one_by_one, strict=True):
        assert left.equals(right)
        assert left.equals(alone)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 99), st.integers(1, 9)), min_size=2, max_size=12))
def test_first_and_last_of_a_tie_are_those_of_the_file(rows: list[tuple[bool, int, int]]) -> None:
    trades = [Trade(FIRST_DAY + 5, price, qty, seller, price * qty) for seller, price, qty in rows]
    run = run_of(VolumeBarConfig("0.001"), trades, trades, FIRST_DAY, FIRST_DAY + DAY_US)
    for sums, amounts in zip(run.sums, run.amounts, strict=True):
        bar = venue_frame("v", sums, amounts).row(0, named=True)
        assert bar["v_open"] == oracle.nearest_double(trades[0].price, PRICE_DECIMALS)
        assert bar["v_close"] == oracle.nearest_double(trades[-1].price, PRICE_DECIMALS)


# --- stored partitions


@settings(max_examples=15)
@given(st.data())
def test_stored_partitions_give_the_same(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    perp = [t for t in data.draw(markets(12)) if t.price < 1 << 50 and t.qty < 1 << 50]
    if not perp:
        return
    rule = data.draw(rules(perp))
    stored = stored_venue(tmp_path_factory.mktemp("stored"), perp)
    driver = venue(PERP, perp)
    for start, end in stretches_of(rule, perp):
        batch_rows = data.draw(st.integers(1, len(perp)))
        found = bits(run_spine(rule, stored, (stored,), start, end, batch_rows))
        assert found.equals(bits(run_spine(rule, driver, (driver,), start, end, 1 << 20)))


NO_IDS = {name: pl.lit(None, schema.TRADES.columns[name]) for name in ("first_trade_id", "last_trade_id", "text_id")}


def stored_venue(folder: Path, trades: list[Trade]) -> VenueTrades:
    files = {}
    for day, file in venue(PERP, trades).files.items():
        rows = file.trades  # type: ignore[attr-defined]
        frame = pl.DataFrame(
            {
                "ts_local_us": [t.us for t in rows],
                "ts_event_us": [t.us for t in rows],
                "trade_id": list(range(len(rows))),
                "price": [oracle.nearest_double(t.price, PRICE_DECIMALS) for t in rows],
                "qty": [oracle.nearest_double(t.qty, QTY_DECIMALS) for t in rows],
                "side": [t.seller for t in rows],
                "off_book": [False] * len(rows),
                "source_row": list(range(len(rows))),
                "source_file": [1] * len(rows),
            }
        ).with_columns(**NO_IDS)
        path = folder / f"{day}.parquet"
        write_partition(path, encode(frame, "trades"), "trades", [Feed("test", "0", "", 10, len(rows), "assumed")])
        files[day] = PartitionFile(path, PERP.exchange, PERP.exchange_symbol, day, len(rows))
    return VenueTrades(PERP, files)


# --- overflow


def test_products_and_squares_are_exact_far_beyond_64_bits() -> None:
    top = (1 << 53) - 1
    trades = [Trade(FIRST_DAY + k, price, top - k, k % 2 == 0, price * (top - k)) for k, price in enumerate([top, 1, top - 7, 3, top] * 20)]
    run = run_of(TradeBarConfig(50), trades, trades, FIRST_DAY, FIRST_DAY + DAY_US)
    windows = expected_windows(TradeBarConfig(50), trades, FIRST_DAY, FIRST_DAY + DAY_US)
    assert windows_of(run) == windows
    check_sums(run, 0, trades, windows)
    check_sums(run, 1, trades, windows)


HUGE = 1 << 53


@pytest.mark.parametrize("batch_rows", [1, 100, 1 << 20])
@pytest.mark.parametrize("rule", [TradeBarConfig(5_000), TimeBarConfig("1h")], ids=["trades", "time"])
def test_a_quantity_that_does_not_fit_is_refused(rule: BarRule, batch_rows: int) -> None:
    """1,024 trades of 2**53 are 2**63, one more than an int64 holds."""
    trades = [Trade(FIRST_DAY + k, 5, HUGE, seller=False, quote=0) for k in range(1_024)]
    driver = venue(PERP, trades)
    with pytest.raises(AmountOverflowError, match=r"binance-futures:BTCUSDT"):
        run_spine(rule, driver, (driver,), FIRST_DAY, FIRST_DAY + DAY_US, batch_rows)
    fits = venue(PERP, trades[:511])
    run = run_spine(rule, fits, (fits,), FIRST_DAY, FIRST_DAY + DAY_US, batch_rows)
    assert run.sums[0][0, QTY_COLUMN] == 511 * HUGE


@pytest.mark.parametrize("batch_rows", [1, 100, 1 << 20])
def test_a_price_range_that_does_not_fit_is_refused(batch_rows: int) -> None:
    """Falling prices, so that the distances from the first of the bar grow with their number."""
    trades = [Trade(FIRST_DAY + k, HUGE if k == 0 else HUGE // (k + 1), 1, seller=False, quote=0) for k in range(1_100)]
    driver = venue(PERP, trades)
    with pytest.raises(AmountOverflowError, match=r"binance-futures:BTCUSDT"):
        run_spine(TradeBarConfig(5_000), driver, (driver,), FIRST_DAY, FIRST_DAY + DAY_US, batch_rows)


def test_a_price_range_that_shrinks_as_the_bar_grows_is_refused_too() -> None:
    """Each distance alone, times the trades so far, stays below 2**62; their sum does not."""
    steps = [0, *[HUGE - 1] * 510, *[((1 << 62) - (1 << 12)) // (k + 1) for k in range(511, 3_000)]]
    trades = [Trade(FIRST_DAY + k, HUGE - step, 1, seller=False, quote=0) for k, step in enumerate(steps)]
    assert sum(steps) > 1 << 63
    driver = venue(PERP, trades)
    with pytest.raises(AmountOverflowError, match=r"binance-futures:BTCUSDT"):
        run_spine(TradeBarConfig(5_000), driver, (driver,), FIRST_DAY, FIRST_DAY + DAY_US, 1)


def test_one_huge_trade_among_many_small_ones_is_no_overflow() -> None:
    trades = [Trade(FIRST_DAY + k, 5, HUGE if k == 900 else 1, seller=False, quote=0) for k in range(2_000)]
    driver = venue(PERP, trades)
    run = run_spine(TimeBarConfig("1h"), driver, (driver,), FIRST_DAY, FIRST_DAY + DAY_US, 1 << 20)
    assert run.sums[0][0, QTY_COLUMN] == HUGE + 1_999


def test_a_driving_amount_that_does_not_fit_is_refused() -> None:
    amounts = Amounts(0, 0)
    rows = rows_of(tuple(Trade(FIRST_DAY + k, 1, HUGE, seller=False, quote=0) for k in range(600)), "test:ONE", Amounts(9, 3))
    with pytest.raises(AmountOverflowError, match="test:ONE"):
        Closer(VolumeBarConfig((1 << 62) - 1), amounts, FIRST_DAY, FIRST_DAY + DAY_US).feed(rows)
    product = rows_of((Trade(FIRST_DAY, 1 << 40, 1 << 22, seller=False, quote=0),), "test:ONE", Amounts(9, 3))
    with pytest.raises(AmountOverflowError, match="test:ONE"):
        Closer(DollarBarConfig(1), amounts, FIRST_DAY, FIRST_DAY + DAY_US).feed(product)


def test_an_amount_beyond_53_bits_is_refused_when_it_is_read(tmp_path: Path) -> None:
    """In the window's scale, which the threshold can make finer than the file's."""
    stored = stored_venue(tmp_path, [Trade(FIRST_DAY, 10**9, (1 << 50) // 1000 * 1000, seller=False, quote=0)])
    with pytest.raises(AmountOverflowError, match=r"binance-futures:BTCUSDT"):
        run_spine(VolumeBarConfig("0.000001"), stored, (stored,), FIRST_DAY, FIRST_DAY + DAY_US, 10)


def test_sums_are_kept_apart_from_bar_to_bar() -> None:
    """Bars without trades in front, between and behind."""
    sums = Sums()
    ends = np.array([10, 20, 30, 40], dtype=np.int64) + FIRST_DAY
    sums.add(rows_of((Trade(FIRST_DAY + 25, 7, 3, seller=True, quote=21),)), ends[:2])
    sums.add(rows_of((Trade(FIRST_DAY + 29, 8, 1, seller=False, quote=8), Trade(FIRST_DAY + 45, 9, 2, seller=False, quote=18))), ends)
    ints = sums.finish(5)
    assert ints[:, 0].tolist() == [0, 0, 2, 0, 1]
    assert ints[:, QTY_COLUMN].tolist() == [0, 0, 4, 0, 2]
