"""What a trade is worth in base units, whose side is not known and which prints do not count: bars equal plain loops over fractions."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import oracle
from tests.oracle import Trade, Window

from pointline import schema
from pointline.bars.aggregate import venue_frame
from pointline.bars.amounts import amounts_of
from pointline.bars.cache import BarCache
from pointline.bars.coarsen import coarsen
from pointline.bars.run import Run, VenueTrades, run_spine
from pointline.bars.stretches import run_stretches, spine_frame
from pointline.clock import DAY_US, to_us
from pointline.errors import AmountOverflowError, ConfigError
from pointline.instruments import Instrument, Registry
from pointline.kernels.slots import BAR_INTS
from pointline.lake.partition import Feed, encode, write_partition
from pointline.lake.store import PartitionFile
from pointline.research.spines import BarRule, DollarBarConfig, ImbalanceBarConfig, TimeBarConfig, TradeBarConfig, VolumeBarConfig

if TYPE_CHECKING:
    from pathlib import Path

DAY = to_us("2024-05-01")
END = DAY + DAY_US
PRICE_DECIMALS = 5
_REGISTRY = Registry().with_derived("binance-delivery", "BTCUSD_PERP").with_derived("okx-swap", "BTC-USDT-SWAP")
INVERSE = _REGISTRY.find("binance-delivery", "BTCUSD_PERP", DAY)
LINEAR = _REGISTRY.find("okx-swap", "BTC-USDT-SWAP", DAY)
_NULL_IDS = {name: pl.lit(None, schema.TRADES.columns[name]) for name in ("trade_id", "first_trade_id", "last_trade_id", "text_id")}


@dataclass(frozen=True)
class Print:
    """A trade as the exchange states it: price in 1e-5, whole contracts; `seller` None where the side is not known."""

    us: int
    price: int
    contracts: int
    seller: bool | None = False
    off_book: bool = False


def sized(instrument: Instrument, size: str) -> Instrument:
    return dataclasses.replace(instrument, contract_size=float(size))


def base_of(item: Print, instrument: Instrument) -> Fraction:
    size = Fraction(str(instrument.contract_size))
    return item.contracts * size * (Fraction(10**PRICE_DECIMALS, item.price) if instrument.contract_type == "inverse" else 1)


def quote_of(item: Print, instrument: Instrument) -> Fraction:
    return base_of(item, instrument) * Fraction(item.price, 10**PRICE_DECIMALS)


def venue_of(folder: Path, instrument: Instrument, prints: list[Print]) -> VenueTrades:
    """The prints as stored partitions, one a day, whose footers count what ingest counts."""
    files = {}
    for day in sorted({item.us - item.us % DAY_US for item in prints}):
        rows = [item for item in prints if day <= item.us < day + DAY_US]
        frame = pl.DataFrame(
            {
                "ts_local_us": [item.us for item in rows],
                "ts_event_us": [item.us for item in rows],
                "price": [item.price / 10**PRICE_DECIMALS for item in rows],
                "qty": [float(item.contracts) for item in rows],
                "side": pl.Series([item.seller for item in rows], dtype=pl.Boolean),
                "off_book": [item.off_book for item in rows],
                "source_row": list(range(len(rows))),
                "source_file": [1] * len(rows),
            }
        ).with_columns(**_NULL_IDS)
        path = folder / f"{day}.parquet"
        feed = Feed(**{field.name: _FEED.get(field.name) for field in dataclasses.fields(Feed)})
        write_partition(path, encode(frame, "trades"), "trades", [feed])
        file = PartitionFile(path, instrument.exchange, instrument.exchange_symbol, day, len(rows))
        counts = {"off_book": sum(item.off_book for item in rows), "unknown_sides": sum(item.seller is None for item in rows)}
        file.__dict__["footer"] = {**file.footer, "totals": {**file.totals, **counts}}
        files[day] = file
    return VenueTrades(instrument, files)


_FEED: dict[str, Any] = {"key": "test", "sha256": "0", "options": "", "rank": 10, "rows": 1, "clock": "assumed", "file_name": "test"}

PRICES = st.one_of(st.integers(1_000, 1_030), st.integers(6_000_000_000, 6_000_100_000), st.integers(10**9, 10**10), st.just(4_000_050_000))
CONTRACTS = st.one_of(st.integers(1, 9), st.integers(1, 800))
SIZES = st.sampled_from(["1", "10", "100", "0.01", "0.0001", "12.5"])
GAPS = st.sampled_from([0, 0, 1, 1_000, 3_600_000_000])
RULES = st.sampled_from(
    [TradeBarConfig(1), TradeBarConfig(3), TimeBarConfig("1h"), DollarBarConfig("500"), VolumeBarConfig("0.02"), VolumeBarConfig("7")]
)


SIDES = st.booleans()
NO_FLAGS = st.just(value=False)


@st.composite
def markets(draw: st.DrawFn, sides: st.SearchStrategy[Any] = SIDES, flags: st.SearchStrategy[bool] = NO_FLAGS) -> list[Print]:
    us = DAY + draw(st.sampled_from([0, 17]))
    same_price = draw(st.one_of(st.none(), st.none(), PRICES))
    prints = []
    for gap, price, contracts, seller, off in draw(st.lists(st.tuples(GAPS, PRICES, CONTRACTS, sides, flags), min_size=1, max_size=25)):
        us += gap
        if us < END:
            prints.append(Print(us, same_price or price, contracts, seller, off))
    return prints


def frame_of(run: Run, place: int = 0) -> pl.DataFrame:
    return pl.concat([spine_frame(run.bars(0, len(run.ends)), 1), venue_frame("v", run.sums[place], run.amounts[place])], how="horizontal")


def same_bits(left: pl.DataFrame, right: pl.DataFrame) -> bool:
    floats = [name for name, dtype in left.schema.items() if dtype == pl.Float64]
    as_integers = pl.col(floats).reinterpret(signed=True)
    return left.with_columns(as_integers).equals(right.with_columns(as_integers))


def close(found: float | None, exact: Fraction, digits: int) -> bool:
    return found is not None and abs(Fraction(found) - exact) <= exact / 10**digits


def check_bars(frame: pl.DataFrame, prints: list[Print], instrument: Instrument) -> None:
    for row in frame.iter_rows(named=True):
        inside = [item for item in prints if row["bucket_start"] <= item.us < row["bucket_end"]]
        assert row["v_trade_count"] == len(inside)
        base = sum((base_of(item, instrument) for item in inside), Fraction(0))
        quote = sum((quote_of(item, instrument) for item in inside), Fraction(0))
        assert close(row["v_volume"], base, 15)
        assert close(row["v_quote_volume"], quote, 15)
        if any(item.seller is None for item in inside):
            assert row["v_buy_volume"] is row["v_sell_volume"] is None
        else:
            assert close(row["v_buy_volume"], sum((base_of(item, instrument) for item in inside if not item.seller), Fraction(0)), 15)
            assert close(row["v_sell_volume"], sum((base_of(item, instrument) for item in inside if item.seller), Fraction(0)), 15)
        if inside:
            assert row["v_low"] <= row["v_vwap"] <= row["v_high"]
            assert close(row["v_vwap"], quote / base, 12)
            assert (row["v_low"], row["v_high"]) == tuple(f([i.price for i in inside]) / 10**PRICE_DECIMALS for f in (min, max))


def expected_windows(rule: BarRule, prints: list[Print], instrument: Instrument) -> list[Window] | None:
    """By the plain loops, counting inverse contracts in 1e-8 of the coin, rounded half up trade by trade."""
    inverse = instrument.contract_type == "inverse"
    unit = 8 if inverse else 12
    size = Fraction(str(instrument.contract_size))
    trades = []
    for item in prints:
        price = Fraction(item.price, 10**PRICE_DECIMALS)
        qty = oracle.base_of_contracts(Fraction(item.contracts), size, price) if inverse else int(base_of(item, instrument) * 10**unit)
        trades.append(Trade(item.us, item.price, qty, bool(item.seller), int(quote_of(item, instrument) * 10**12)))
    if isinstance(rule, VolumeBarConfig):
        return oracle.carry_windows(trades, oracle.volume, int(Decimal(str(rule.volume_threshold)).scaleb(unit)), DAY, END)
    if isinstance(rule, DollarBarConfig):
        return oracle.carry_windows(trades, oracle.dollars, int(Decimal(str(rule.dollar_threshold)).scaleb(12)), DAY, END)
    return None


@pytest.mark.parametrize("contract", [INVERSE, LINEAR], ids=["inverse", "linear"])
@given(data=st.data())
def test_bars_are_in_base_units(tmp_path_factory: pytest.TempPathFactory, contract: Instrument, data: st.DataObject) -> None:
    instrument, prints, rule = sized(contract, data.draw(SIZES)), data.draw(markets()), data.draw(RULES)
    venue = venue_of(tmp_path_factory.mktemp("venue"), instrument, prints)
    whole = frame_of(run_spine(rule, venue, (venue,), DAY, END, 1 << 20))
    check_bars(whole, prints, instrument)
    windows = expected_windows(rule, prints, instrument)
    if windows is not None:
        assert [Window(*row) for row in whole.select("bar_id", "bucket_start", "bucket_end", "complete").iter_rows()] == windows
    cut = frame_of(run_spine(rule, venue, (venue,), DAY, END, data.draw(st.integers(1, len(prints)))))
    assert same_bits(cut, whole)


@given(st.data())
def test_bars_of_several_thresholds_come_from_finer_ones(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    sides = st.sampled_from([True, False, False, None])
    prints = data.draw(markets(sides))
    instrument = sized(data.draw(st.sampled_from([INVERSE, LINEAR])), data.draw(SIZES))
    venue = venue_of(tmp_path_factory.mktemp("venue"), instrument, prints)
    factor = data.draw(st.integers(2, 5))
    volumes = VolumeBarConfig("0.02"), VolumeBarConfig(Decimal("0.02") * factor)
    for fine, coarse in (volumes, (TradeBarConfig(2), TradeBarConfig(2 * factor))):
        derived = coarsen(run_spine(fine, venue, (venue,), DAY, END, 4), factor)
        counted = run_spine(coarse, venue, (venue,), DAY, END, 1 << 20)
        if derived is not None:
            assert same_bits(frame_of(derived), frame_of(counted))


@given(st.data())
def test_the_order_of_inverse_trades_changes_no_sum(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    prints = data.draw(markets())
    turned = [dataclasses.replace(item, us=us) for item, us in zip(data.draw(st.permutations(prints)), [p.us for p in prints], strict=True)]
    columns = [BAR_INTS.index(name) for name in ("qty", "qty_fraction", "buy", "buy_fraction", "quote_high", "quote_low")]
    sums = []
    for rows in (prints, turned):
        venue = venue_of(tmp_path_factory.mktemp("venue"), INVERSE, rows)
        sums.append(np.asarray(run_spine(TimeBarConfig("1d"), venue, (venue,), DAY, END, 3).sums[0])[:, columns].tolist())
    assert sums[0] == sums[1]


@given(st.data())
def test_a_bar_with_an_unknown_side_has_no_sides_and_all_else(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    prints = data.draw(markets(st.sampled_from([True, False, False, None])))
    instrument, rule = data.draw(st.sampled_from([INVERSE, LINEAR])), data.draw(RULES)
    venue = venue_of(tmp_path_factory.mktemp("some"), instrument, prints)
    found = frame_of(run_spine(rule, venue, (venue,), DAY, END, data.draw(st.integers(1, len(prints)))))
    check_bars(found, prints, instrument)
    known = [dataclasses.replace(item, seller=bool(item.seller)) for item in prints]
    sided = venue_of(tmp_path_factory.mktemp("all"), instrument, known)
    flow = ["v_buy_volume", "v_sell_volume"]
    assert same_bits(found.drop(flow), frame_of(run_spine(rule, sided, (sided,), DAY, END, 1 << 20)).drop(flow))


@pytest.mark.parametrize("rule", [ImbalanceBarConfig("1"), VolumeBarConfig("1", use_absolute_volume=False, boundary="reset")], ids=str)
def test_bars_of_signed_volume_refuse_unknown_sides(tmp_path: Path, rule: BarRule) -> None:
    venue = venue_of(tmp_path, LINEAR, [Print(DAY, 10, 1), Print(DAY + 3_600_000_000, 10, 1, seller=None)])
    with pytest.raises(ConfigError, match="side of every trade") as caught:
        run_spine(rule, venue, (venue,), DAY, END, 100)
    assert "okx-swap:BTC-USDT-SWAP, 2024-05-01 01:00:00" in str(caught.value)


@given(st.data())
def test_flagged_prints_are_as_if_they_were_not_there(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    prints = data.draw(markets(flags=st.sampled_from([False, False, True])))
    rule, batch_rows = data.draw(RULES), data.draw(st.integers(1, len(prints)))
    venue = venue_of(tmp_path_factory.mktemp("flagged"), LINEAR, prints)
    kept = [item for item in prints if not item.off_book]
    without = venue_of(tmp_path_factory.mktemp("without"), LINEAR, kept)
    found = frame_of(run_spine(rule, venue, (venue,), DAY, END, batch_rows))
    assert same_bits(found, frame_of(run_spine(rule, without, (without,), DAY, END, 1 << 20)))
    unflagged = venue_of(tmp_path_factory.mktemp("all"), LINEAR, [dataclasses.replace(item, off_book=False) for item in prints])
    everything = dataclasses.replace(venue, include_off_book=True)
    found = frame_of(run_spine(rule, everything, (everything,), DAY, END, batch_rows))
    assert same_bits(found, frame_of(run_spine(rule, unflagged, (unflagged,), DAY, END, 1 << 20)))


def test_the_cache_keeps_bars_with_and_without_flagged_prints_apart(tmp_path: Path) -> None:
    prints = [Print(DAY + k, 1_000 + k, 5, k % 2 == 0, off_book=k == 3) for k in range(9)]
    venue = venue_of(tmp_path, LINEAR, prints)
    cache, parts = BarCache(tmp_path / "cache"), [(DAY, END)]
    for _ in range(2):
        for one, count in ((venue, 8), (dataclasses.replace(venue, include_off_book=True), 9)):
            (cached,) = run_stretches(TradeBarConfig(3), one, (one,), parts, cache=cache)
            (fresh,) = run_stretches(TradeBarConfig(3), one, (one,), parts)
            assert same_bits(frame_of(cached), frame_of(fresh))
            assert frame_of(cached)["v_trade_count"].sum() == count
    assert len(cache.entries()) == 2


@pytest.mark.parametrize("contract", [INVERSE, LINEAR], ids=["inverse", "linear"])
def test_a_contract_of_unknown_size_is_refused(tmp_path: Path, contract: Instrument) -> None:
    unknown = dataclasses.replace(contract, contract_size=None)
    venue = venue_of(tmp_path, unknown, [Print(DAY, 10, 1)])
    with pytest.raises(ConfigError, match="contract size") as caught:
        run_spine(TradeBarConfig(1), venue, (venue,), DAY, END, 10)
    assert contract.name in str(caught.value)


def test_a_threshold_finer_than_the_contract_is_counted_exactly(tmp_path: Path) -> None:
    venue = venue_of(tmp_path, LINEAR, [Print(DAY + k, 10, 3) for k in range(10)])
    assert amounts_of(LINEAR, venue.files.values()).qty_decimals == 2
    run = run_spine(VolumeBarConfig("0.0905"), venue, (venue,), DAY, END, 4)
    assert run.ids.tolist() == [0, 1, 2, 3]
    assert frame_of(run)["v_volume"].to_list() == [0.12, 0.09, 0.09, 0.0]


def test_a_coin_amount_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    venue = venue_of(tmp_path, INVERSE, [Print(DAY, 1, 10_000)])
    with pytest.raises(AmountOverflowError, match=r"binance-delivery:BTCUSD_PERP"):
        run_spine(TradeBarConfig(1), venue, (venue,), DAY, END, 10)


@settings(max_examples=20)
@given(st.integers(1, 1 << 50), st.integers(1, 1 << 40))
def test_one_price_is_its_own_vwap(price: int, contracts: int) -> None:
    """However large: a bar of one price has no other mean."""
    ints = np.zeros((1, len(BAR_INTS)), dtype=np.int64)
    values = {"count": 2, "open": price, "high": price, "low": price, "close": price, "qty": contracts, "distinct_times": 2}
    quote = price * contracts
    for name, value in {**values, "quote_high": quote >> 62, "quote_low": quote & ((1 << 62) - 1)}.items():
        ints[0, BAR_INTS.index(name)] = value
    row = venue_frame("v", ints, amounts_of(sized(LINEAR, "1"), [], price_decimals=7, qty_decimals=3)).row(0, named=True)
    assert row["v_vwap"] == row["v_low"] == row["v_high"]
