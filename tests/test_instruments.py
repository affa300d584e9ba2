"""Instruments: versions in time, symbols, exchangeInfo files, and which spot belongs to which derivative."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import itertools
import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.clock import to_us
from pointline.errors import ConfigError, PointlineError, RegistryError, SourceError
from pointline.instruments import (
    FAR_FUTURE_US,
    INSTRUMENT_SCHEMA,
    OBSERVATION_SCHEMA,
    PAIR_SCHEMA,
    Instrument,
    Registry,
    check_pair,
    derive,
    find_pairs,
    funding_payment,
    pair_spot,
    symbol_id_of,
)
from pointline.sources.base import INSTRUMENTS, Hints, Identity
from pointline.sources.exchange_info import ExchangeInfo

if TYPE_CHECKING:
    from pathlib import Path

NOW = to_us("2024-05-01")
UTC = dt.UTC
SYMBOL_ID_OF_BTCUSDT = 652877987059473496


def _us(*parts: int) -> int:
    return int(dt.datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc, arg-type]


def _row(symbol: str = "BTCUSDT", **changes: object) -> dict[str, object]:
    row = {
        "exchange": "binance-futures",
        "exchange_symbol": symbol,
        "base_asset": symbol.removesuffix("USDT"),
        "quote_asset": "USDT",
        "settle_asset": "USDT",
        "asset_type": "perpetual",
        "contract_type": "linear",
        "contract_size": 1.0,
        "price_increment": 0.1,
        "qty_increment": 0.001,
        "expiry_us": None,
        "listed_us": None,
        "source": "exchange_info",
    }
    return {**row, **changes}


def _spot(symbol: str, **changes: object) -> dict[str, object]:
    return _row(symbol, **{"exchange": "binance-spot", "settle_asset": None, "asset_type": "spot", "contract_type": None, **changes})


def _snapshot(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={name: kind for name, kind in OBSERVATION_SCHEMA.items() if name != "observed_us"})


def _registry(*rows: dict[str, object], observed_us: int = NOW) -> Registry:
    return Registry().with_snapshot(_snapshot(*rows), observed_us)


def _spans(registry: Registry, exchange: str, symbol: str) -> list[tuple[int, int]]:
    versions = registry.versions(exchange, symbol, 0, FAR_FUTURE_US)
    return list(versions.select("valid_from_us", "valid_until_us").iter_rows())


# --- symbol_id ---------------------------------------------------------------------------------------------------------------


def test_symbol_id_is_the_first_63_bits_of_the_hash() -> None:
    digest = hashlib.sha256(b"binance-futures|BTCUSDT|1569398400000000").hexdigest()
    assert symbol_id_of("binance-futures", "BTCUSDT", 1_569_398_400_000_000) == int(digest, 16) >> (256 - 63)


def test_symbol_id_stays_what_it_was() -> None:
    assert symbol_id_of("binance-futures", "BTCUSDT", 1_569_398_400_000_000) == SYMBOL_ID_OF_BTCUSDT
    assert 0 <= SYMBOL_ID_OF_BTCUSDT < 2**63


# --- symbols -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exchange", "symbol", "expected"),
    [
        ("binance", "BTCUSDT", ("BTC", "USDT", None, "spot", None, 1.0, None)),
        ("binance-spot", "BNBBUSD", ("BNB", "BUSD", None, "spot", None, 1.0, None)),
        ("binance-spot", "TUSDUSDT", ("TUSD", "USDT", None, "spot", None, 1.0, None)),
        ("binance-spot", "ADAEUR", ("ADA", "EUR", None, "spot", None, 1.0, None)),
        ("binance-spot", "BTCAEUR", ("BTC", "AEUR", None, "spot", None, 1.0, None)),
        ("binance-futures", "1000SHIBUSDT", ("1000SHIB", "USDT", "USDT", "perpetual", "linear", 1.0, None)),
        ("binance-usdm-future", "BTCUSDT_250328", ("BTC", "USDT", "USDT", "future", "linear", 1.0, _us(2025, 3, 28, 8))),
        ("binance-delivery", "BTCUSD_PERP", ("BTC", "USD", "BTC", "perpetual", "inverse", 100.0, None)),
        ("binance-delivery", "ETHUSD_PERP", ("ETH", "USD", "ETH", "perpetual", "inverse", 10.0, None)),
        ("binance-delivery", "BTCUSD_250328", ("BTC", "USD", "BTC", "future", "inverse", 100.0, _us(2025, 3, 28, 8))),
        ("bybit", "BTCUSD", ("BTC", "USD", "BTC", "perpetual", "inverse", 1.0, None)),
        ("okx-spot", "BTC-USDT", ("BTC", "USDT", None, "spot", None, 1.0, None)),
        ("okx-swap", "BTC-USDT-SWAP", ("BTC", "USDT", "USDT", "perpetual", "linear", 0.01, None)),
        ("coinbase", "BTC-USD", ("BTC", "USD", None, "spot", None, 1.0, None)),
    ],
)
def test_derive(exchange: str, symbol: str, expected: tuple[object, ...]) -> None:
    found = derive(exchange, symbol)
    names = ("base_asset", "quote_asset", "settle_asset", "asset_type", "contract_type", "contract_size", "expiry_us")
    assert tuple(getattr(found, name) for name in names) == expected
    assert found.source == "derived"


@pytest.mark.parametrize(
    ("exchange", "symbol"),
    [
        ("binance-spot", "USDT"),
        ("binance-spot", "BTCXYZ"),
        ("binance-futures", "BTCUSDT_251332"),
        ("binance-delivery", "BTCUSD"),
        ("binance-delivery", "_PERP"),
        ("okx-spot", "BTC-USDT-SWAP"),
        ("okx-swap", "ETH-USDT"),
        ("coinbase", "-USD"),
    ],
)
def test_a_symbol_that_cannot_be_split_says_what_would_help(exchange: str, symbol: str) -> None:
    with pytest.raises(RegistryError, match="cannot be split") as caught:
        derive(exchange, symbol)
    assert "exchangeInfo" in str(caught.value)


def test_a_delivery_beyond_the_known_dates_is_refused_as_an_instrument() -> None:
    with pytest.raises(RegistryError, match="delivery rule") as caught:
        derive("binance-futures", "BTCUSDT_310328")
    assert "BTCUSDT_310328" in str(caught.value)


def test_an_unknown_exchange_shows_the_nearest() -> None:
    with pytest.raises(RegistryError, match="binance-futures"):
        derive("binance-future", "BTCUSDT")


@given(
    st.sampled_from(["binance-spot", "binance-futures", "binance-delivery", "okx-spot", "kraken", "nowhere"]),
    st.text(max_size=20),
)
def test_any_text_is_split_or_refused(exchange: str, symbol: str) -> None:
    try:
        found = derive(exchange, symbol)
    except PointlineError:
        return
    assert found.base_asset
    assert symbol.startswith(found.base_asset)
    assert symbol.removeprefix(found.base_asset).lstrip("-").startswith(found.quote_asset)


@pytest.mark.parametrize(
    ("exchange", "symbol", "market"),
    [
        ("binance-spot", "BTCUSDT", "BTC-USDT"),
        ("binance-futures", "BTCUSDT", "BTC-USDT"),
        ("binance-futures", "BTCUSDT_250328", "BTC-USDT-2025-03-28"),
        ("binance-delivery", "BTCUSD_PERP", "BTC-USD-PERP"),
        ("binance-delivery", "BTCUSD_250328", "BTC-USD-2025-03-28"),
    ],
)
def test_universal_names_find_the_same_instrument(exchange: str, symbol: str, market: str) -> None:
    registry = Registry().with_derived(exchange, symbol)
    found = registry.find(exchange, symbol, NOW)
    assert found.market == market
    assert registry.find(exchange, market, NOW) == found
    assert registry.find(exchange, market.lower(), NOW) == found
    assert found.name == f"{exchange}:{symbol}"


# --- versions ----------------------------------------------------------------------------------------------------------------

T1, T2, T3 = _us(2021, 1, 1), _us(2022, 1, 1), _us(2023, 1, 1)
LISTED = _us(2019, 9, 25, 8)


def test_the_empty_registry_has_all_columns_and_knows_nothing() -> None:
    registry = Registry()
    assert dict(registry.frame.schema) == INSTRUMENT_SCHEMA
    assert dict(find_pairs(registry, NOW).schema) == PAIR_SCHEMA
    assert registry.list().is_empty()
    with pytest.raises(RegistryError, match="no instrument of this exchange"):
        registry.find("binance-futures", "BTCUSDT", NOW)


def test_an_unchanged_snapshot_changes_nothing() -> None:
    once = _registry(_row(listed_us=LISTED), observed_us=T1)
    twice = once.with_snapshot(_snapshot(_row(listed_us=LISTED)), T2)
    assert twice.frame.equals(once.frame)
    assert _spans(twice, "binance-futures", "BTCUSDT") == [(LISTED, FAR_FUTURE_US)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_changed_attribute_begins_a_version_whatever_the_order(order: tuple[int, ...]) -> None:
    snapshots = [
        (_snapshot(_row(listed_us=LISTED, price_increment=0.01)), T1),
        (_snapshot(_row(listed_us=LISTED, price_increment=0.1)), T2),
        (_snapshot(_row(listed_us=LISTED, price_increment=0.1)), T3),
    ]
    registry = Registry()
    for index in order:
        registry = registry.with_snapshot(*snapshots[index])
    assert _spans(registry, "binance-futures", "BTCUSDT") == [(LISTED, T2), (T2, FAR_FUTURE_US)]
    assert registry.find("binance-futures", "BTCUSDT", T2 - 1).price_increment == 0.01
    assert registry.find("binance-futures", "BTCUSDT", T2).price_increment == 0.1


def test_an_attribute_that_returns_makes_three_versions() -> None:
    registry = Registry()
    for at, step in ((T3, 0.1), (T1, 0.1), (T2, 0.5)):
        registry = registry.with_snapshot(_snapshot(_row(price_increment=step)), at)
    assert _spans(registry, "binance-futures", "BTCUSDT") == [(0, T2), (T2, T3), (T3, FAR_FUTURE_US)]


def test_an_increment_that_becomes_unknown_is_a_change() -> None:
    registry = _registry(_row(), observed_us=T1).with_snapshot(_snapshot(_row(price_increment=None)), T2)
    assert registry.find("binance-futures", "BTCUSDT", T2).price_increment is None
    assert registry.find("binance-futures", "BTCUSDT", T1).price_increment == 0.1


def test_a_symbol_listed_anew_is_another_instrument_from_its_listing_on() -> None:
    relisted = _us(2021, 6, 1)
    registry = _registry(_row("ABCUSDT", listed_us=LISTED), observed_us=T1)
    registry = registry.with_snapshot(_snapshot(_row("ABCUSDT", listed_us=relisted)), T2)
    assert _spans(registry, "binance-futures", "ABCUSDT") == [(LISTED, relisted), (relisted, FAR_FUTURE_US)]
    old, new = (registry.find("binance-futures", "ABCUSDT", at) for at in (relisted - 1, relisted))
    assert old.symbol_id == symbol_id_of("binance-futures", "ABCUSDT", LISTED)
    assert new.symbol_id == symbol_id_of("binance-futures", "ABCUSDT", relisted)
    assert registry.by_id(old.symbol_id) == old


def test_a_corrected_listing_date_counts_from_the_correction() -> None:
    registry = _registry(_row(listed_us=LISTED), observed_us=T1)
    registry = registry.with_snapshot(_snapshot(_row(listed_us=LISTED + 1)), T2)
    assert _spans(registry, "binance-futures", "BTCUSDT") == [(LISTED, T2), (T2, FAR_FUTURE_US)]


def test_changes_before_the_listing_leave_no_version_behind() -> None:
    listing = _us(2024, 1, 1)
    registry = Registry()
    for at, step in ((T1, 0.01), (T2, 0.1), (T3, 0.5)):
        registry = registry.with_snapshot(_snapshot(_row(listed_us=listing, price_increment=step)), at)
    assert _spans(registry, "binance-futures", "BTCUSDT") == [(listing, FAR_FUTURE_US)]
    assert registry.find("binance-futures", "BTCUSDT", listing).price_increment == 0.5
    with pytest.raises(RegistryError, match="not at that time") as caught:
        registry.find("binance-futures", "BTCUSDT", listing - 1)
    assert "2024-01-01" in str(caught.value)


def test_announced_listings_that_are_withdrawn_leave_no_version_behind() -> None:
    announced = [(_us(2021, 1, 1), LISTED), (_us(2021, 2, 1), _us(2021, 8, 1)), (_us(2021, 3, 1), _us(2021, 9, 1)), (_us(2021, 4, 1), None)]
    registry = Registry()
    for at, listed in announced:
        registry = registry.with_snapshot(_snapshot(_row(listed_us=listed)), at)
    assert _spans(registry, "binance-futures", "BTCUSDT") == [(LISTED, _us(2021, 4, 1)), (_us(2021, 4, 1), FAR_FUTURE_US)]


def test_the_reused_symbol_luna_is_two_coins() -> None:
    switch = _us(2022, 5, 31, 6)
    registry = Registry().with_derived("binance-spot", "LUNAUSDT").with_derived("binance-spot", "LUNCUSDT")
    registry = registry.with_derived("binance-futures", "LUNAUSDT").with_derived("binance-futures", "LUNA2USDT")
    assert _spans(registry, "binance-spot", "LUNAUSDT") == [(0, switch), (switch, FAR_FUTURE_US)]
    old, new = (registry.find("binance-spot", "LUNAUSDT", at) for at in (switch - 1, switch))
    assert (old.underlying_asset, new.underlying_asset) == ("LUNC", "LUNA")
    assert old.symbol_id != new.symbol_id
    before, after = _us(2022, 1, 1), _us(2023, 1, 1)
    assert pair_spot(registry, registry.find("binance-futures", "LUNAUSDT", before), before).spot == old
    assert pair_spot(registry, registry.find("binance-futures", "LUNA2USDT", after), after).spot == new
    with pytest.raises(ConfigError, match="different assets"):
        check_pair(registry.find("binance-futures", "LUNA2USDT", before), old)


def test_a_snapshot_replaces_what_was_read_off_the_symbol_in_either_order() -> None:
    rows = _snapshot(_row(listed_us=LISTED))
    derived = Registry().with_derived("binance-futures", "BTCUSDT")
    assert derived.find("binance-futures", "BTCUSDT", 0).source == "derived"
    assert _spans(derived, "binance-futures", "BTCUSDT") == [(0, FAR_FUTURE_US)]
    replaced = derived.with_snapshot(rows, T1)
    kept = Registry().with_snapshot(rows, T1).with_derived("binance-futures", "BTCUSDT")
    assert replaced.frame.equals(kept.frame)
    assert replaced.frame["source"].to_list() == ["exchange_info"]
    assert _spans(replaced, "binance-futures", "BTCUSDT") == [(LISTED, FAR_FUTURE_US)]
    with pytest.raises(RegistryError, match="look it up again"):
        replaced.by_id(derived.frame["symbol_id"][0])


def test_a_symbol_that_is_known_is_not_derived_again() -> None:
    registry = _registry(_row())
    assert registry.with_derived("binance-usdm-future", "BTCUSDT") is registry


def test_of_two_snapshots_of_the_same_moment_the_one_that_knows_more_counts() -> None:
    registry = _registry(_row(price_increment=None)).with_snapshot(_snapshot(_row()), NOW)
    assert registry.frame["price_increment"].to_list() == [0.1]


def test_stored_observations_restore_the_registry(tmp_path: Path) -> None:
    registry = _registry(_row(listed_us=LISTED), _spot("BTCUSDT"), observed_us=T1).with_derived("binance-delivery", "BTCUSD_PERP")
    registry.observations.write_parquet(tmp_path / "observations.parquet")
    assert Registry(pl.read_parquet(tmp_path / "observations.parquet")).frame.equals(registry.frame)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_order_of_snapshots_gives_the_same_versions_without_gaps(data: st.DataObject) -> None:
    stamps = st.integers(1, 8).map(lambda step: _us(2020 + step, 1, 1))
    listings = st.none() | stamps | st.just(LISTED)
    rows = st.builds(
        lambda symbol, step, listed: _row(symbol, price_increment=step, listed_us=listed),
        st.sampled_from(["BTCUSDT", "LUNAUSDT"]),
        st.sampled_from([0.1, 0.5, None]),
        listings,
    )
    snapshots = data.draw(st.lists(st.tuples(rows, stamps), min_size=1, max_size=6))
    shuffled = data.draw(st.permutations(snapshots))
    one, other = Registry(), Registry()
    for (row, at), (row_b, at_b) in zip(snapshots, shuffled, strict=True):
        one, other = one.with_snapshot(_snapshot(row), at), other.with_snapshot(_snapshot(row_b), at_b)
    assert one.frame.equals(other.frame)
    for symbol in {str(row["exchange_symbol"]) for row, _ in snapshots}:
        spans = _spans(one, "binance-futures", symbol)
        assert all(start < end for start, end in spans)
        assert all(end == start for (_, end), (start, _) in itertools.pairwise(spans))
        assert spans[-1][1] == FAR_FUTURE_US


# --- look-ups ----------------------------------------------------------------------------------------------------------------


def test_find_accepts_exchange_aliases() -> None:
    registry = _registry(_spot("BTCUSDT"), _row())
    assert registry.find("binance", "BTC-USDT", NOW).asset_type == "spot"
    assert registry.find("binance-usdm-future", "BTC-USDT", NOW).asset_type == "perpetual"


def test_an_unknown_symbol_shows_the_nearest() -> None:
    with pytest.raises(RegistryError, match="unknown on this exchange") as caught:
        _registry(_row(), _row("ETHUSDT")).find("binance-futures", "BTCUSD", NOW)
    assert "BTCUSDT" in str(caught.value.hint)


def test_a_name_of_several_instruments_is_refused() -> None:
    registry = _registry(_row("AUSDT", base_asset="A"), _row("A_USDT", base_asset="A"))
    with pytest.raises(RegistryError, match="several instruments"):
        registry.find("binance-futures", "A-USDT", NOW)
    assert registry.find("binance-futures", "A_USDT", NOW).exchange_symbol == "A_USDT"


def test_versions_are_those_that_touch_the_window() -> None:
    registry = _registry(_row(), observed_us=T1).with_snapshot(_snapshot(_row(price_increment=0.5)), T2)
    assert registry.versions("binance-futures", "BTCUSDT", T1, T2)["price_increment"].to_list() == [0.1]
    assert registry.versions("binance-futures", "BTCUSDT", T1, T2 + 1)["price_increment"].to_list() == [0.1, 0.5]
    assert registry.versions("binance-futures", "BTCUSDT", T2, T3)["price_increment"].to_list() == [0.5]


def test_list_filters_by_every_given_value() -> None:
    registry = _registry(_spot("BTCUSDT"), _spot("ETHUSDT"), _row(), _row("ETHUSDT"))
    assert registry.list().height == 4
    assert registry.list(exchange="binance")["exchange_symbol"].to_list() == ["BTCUSDT", "ETHUSDT"]
    found = registry.list(exchange="binance-futures", base_asset="BTC", quote_asset="USDT", asset_type="perpetual")
    assert found["symbol_id"].to_list() == [symbol_id_of("binance-futures", "BTCUSDT", 0)]


def test_an_asset_type_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="asset type") as caught:
        _registry(_row()).list(asset_type="perp")
    assert caught.value.expected == "spot, perpetual, future"


@pytest.mark.parametrize(("drop", "observed"), [("contract_size", NOW), (None, 0)])
def test_an_unusable_snapshot_is_refused(drop: str | None, observed: int) -> None:
    rows = _snapshot(_row())
    with pytest.raises(RegistryError):
        Registry().with_snapshot(rows.drop(drop) if drop else rows, observed)


# --- pairs -------------------------------------------------------------------------------------------------------------------


def test_a_pair_of_like_base_and_quote() -> None:
    registry = _registry(_row(), _spot("BTCUSDT"), _spot("BTCBUSD", base_asset="BTC", quote_asset="BUSD"))
    pair = pair_spot(registry, registry.find("binance-futures", "BTCUSDT", NOW), NOW)
    assert pair.spot.name == "binance-spot:BTCUSDT"
    assert (pair.quote_match, pair.price_factor) == (True, 1.0)
    assert pair.reason == "same base BTC and quote USDT; exchangeInfo of both"


def test_1000shib_is_set_against_1000_shib() -> None:
    registry = _registry(_row("1000SHIBUSDT")).with_derived("binance-spot", "SHIBUSDT")
    perp = registry.find("binance-futures", "1000SHIBUSDT", NOW)
    assert (perp.base_asset, perp.underlying_asset, perp.multiplier) == ("1000SHIB", "SHIB", 1000)
    pair = pair_spot(registry, perp, NOW)
    assert (pair.spot.exchange_symbol, pair.price_factor, pair.quote_match) == ("SHIBUSDT", 1000.0, True)
    assert "1000SHIB = 1000 SHIB" in pair.reason
    assert pair.reason.endswith("exchangeInfo of the derivative, archive symbol of the spot")


def test_1000cat_is_not_cat() -> None:
    registry = _registry(_row("1000CATUSDT"), _spot("CATUSDT"))
    perp = registry.find("binance-futures", "1000CATUSDT", NOW)
    with pytest.raises(RegistryError, match="no spot market of 1000CAT"):
        pair_spot(registry, perp, NOW)
    assert find_pairs(registry, NOW).is_empty()
    with pytest.raises(ConfigError, match="different assets"):
        check_pair(perp, registry.find("binance-spot", "CATUSDT", NOW))
    listed = registry.with_snapshot(_snapshot(_spot("1000CATUSDT")), NOW)
    pair = pair_spot(listed, perp, NOW)
    assert (pair.spot.exchange_symbol, pair.price_factor) == ("1000CATUSDT", 1.0)


def test_a_name_that_is_not_in_the_reviewed_table_is_its_own_asset() -> None:
    registry = _registry(_row("1000NEWUSDT"), _spot("NEWUSDT"))
    assert find_pairs(registry, NOW).is_empty()


@pytest.mark.parametrize(("name", "multiplier"), [("1000SATS", 1000), ("1MBABYDOGE", 1_000_000), ("1000CHEEMS", 1000)])
def test_an_asset_listed_in_bundles_on_both_sides_has_factor_1(name: str, multiplier: int) -> None:
    registry = _registry(_row(f"{name}USDT"), _spot(f"{name}USDT"))
    pair = pair_spot(registry, registry.find("binance-futures", f"{name}USDT", NOW), NOW)
    assert (pair.perp.multiplier, pair.spot.multiplier, pair.price_factor) == (multiplier, multiplier, 1.0)
    assert pair.reason.startswith(f"same base {name} and quote USDT")


def test_a_usd_contract_is_paired_across_quotes_only_for_want_of_a_usd_spot() -> None:
    registry = Registry().with_derived("binance-delivery", "BTCUSD_PERP").with_derived("binance-spot", "BTCUSDT")
    registry = registry.with_derived("binance-spot", "BTCEUR").with_derived("binance-spot", "BTCUSDC")
    perp = registry.find("binance-delivery", "BTCUSD_PERP", NOW)
    cross = pair_spot(registry, perp, NOW)
    assert (cross.spot.exchange_symbol, cross.quote_match) == ("BTCUSDT", False)
    assert "cross quote: USD against USDT" in cross.reason
    like = pair_spot(registry.with_derived("coinbase", "BTC-USD"), perp, NOW)
    assert (like.spot.name, like.quote_match) == ("coinbase:BTC-USD", True)
    assert "different venues" in like.reason


def test_quotes_outside_the_dollar_family_are_not_crossed() -> None:
    registry = _registry(_row("ETHBTC", base_asset="ETH", quote_asset="BTC"), _spot("ETHUSDT"))
    assert find_pairs(registry, NOW).is_empty()


def test_the_spot_of_the_same_venue_goes_first() -> None:
    registry = Registry()
    for exchange, symbol in (("bybit", "BTCUSDT"), ("binance-spot", "BTCUSDT"), ("bybit-spot", "BTCUSDT")):
        registry = registry.with_derived(exchange, symbol)
    assert pair_spot(registry, registry.find("bybit", "BTCUSDT", NOW), NOW).spot.exchange == "bybit-spot"


def test_a_spot_of_the_same_name_goes_before_another_of_the_same_asset() -> None:
    before = _us(2022, 1, 1)
    registry = _registry(_row("LUNCUSDT"), _spot("LUNAUSDT"), _spot("LUNCUSDT"), observed_us=T1)
    assert pair_spot(registry, registry.find("binance-futures", "LUNCUSDT", before), before).spot.exchange_symbol == "LUNCUSDT"


def test_find_pairs_leaves_out_what_is_delivered_or_has_no_spot() -> None:
    registry = Registry()
    for exchange, symbol in (
        ("binance-futures", "BTCUSDT"),
        ("binance-futures", "BTCUSDT_240628"),
        ("binance-futures", "BTCUSDT_240329"),
        ("binance-futures", "DEFIUSDT"),
        ("binance-delivery", "BTCUSD_PERP"),
        ("binance-spot", "BTCUSDT"),
        ("bybit-spot", "DEFIUSDT"),
    ):
        registry = registry.with_derived(exchange, symbol)
    found = find_pairs(registry, NOW)
    assert dict(found.schema) == PAIR_SCHEMA
    rows = list(found.select("perp_exchange_symbol", "spot_exchange_symbol", "quote_match", "price_factor").iter_rows())
    assert rows == [("BTCUSD_PERP", "BTCUSDT", False, 1.0), ("BTCUSDT", "BTCUSDT", True, 1.0), ("BTCUSDT_240628", "BTCUSDT", True, 1.0)]
    for row in found.iter_rows(named=True):
        pair = pair_spot(registry, registry.by_id(row["perp_symbol_id"]), NOW)
        assert (pair.spot.symbol_id, pair.reason) == (row["spot_symbol_id"], row["reason"])


def test_swapped_instruments_are_refused_with_the_right_order() -> None:
    registry = _registry(_row(), _spot("BTCUSDT"))
    perp, spot = registry.find("binance-futures", "BTCUSDT", NOW), registry.find("binance-spot", "BTCUSDT", NOW)
    assert check_pair(perp, spot) == pair_spot(registry, perp, NOW)
    with pytest.raises(ConfigError, match="swapped") as caught:
        check_pair(spot, perp)
    assert caught.value.expected == "binance-futures:BTCUSDT, binance-spot:BTCUSDT"
    with pytest.raises(ConfigError, match="is a spot market"):
        check_pair(spot, spot)
    with pytest.raises(ConfigError, match="is not a spot market"):
        check_pair(perp, perp)
    with pytest.raises(ConfigError, match="has no spot of its own"):
        pair_spot(registry, spot, NOW)


# --- funding payment ---------------------------------------------------------------------------------------------------------


def _instrument(exchange: str, symbol: str) -> Instrument:
    return Registry().with_derived(exchange, symbol).find(exchange, symbol, NOW)


def test_a_long_pays_positive_funding() -> None:
    # 2 BTC at 60,000 and 1 bp: 12 USDT. 600 contracts of 100 USD at 60,000: 1 BTC of notional, 0.0001 BTC.
    linear, inverse = _instrument("binance-futures", "BTCUSDT"), _instrument("binance-delivery", "BTCUSD_PERP")
    assert funding_payment(linear, 2.0, 0.0001, 60_000.0) == pytest.approx(12.0)
    assert funding_payment(linear, -2.0, 0.0001, 60_000.0) == pytest.approx(-12.0)
    assert funding_payment(inverse, 600.0, 0.0001, 60_000.0) == pytest.approx(0.0001)
    # 100 contracts of 0.01 BTC are 1 BTC.
    assert funding_payment(_instrument("okx-swap", "BTC-USDT-SWAP"), 100.0, -0.0001, 60_000.0) == pytest.approx(-6.0)
    frame = pl.DataFrame({"qty": [600.0, None], "rate": [0.0001, 0.0001], "mark": [60_000.0, 60_000.0]})
    column = frame.select(funding_payment(inverse, pl.col("qty"), pl.col("rate"), pl.col("mark")).alias("coin"))["coin"].to_list()
    assert column[0] == pytest.approx(0.0001)
    assert column[1] is None


@pytest.mark.parametrize(("exchange", "symbol"), [("binance-spot", "BTCUSDT"), ("binance-futures", "BTCUSDT_250328")])
def test_only_perpetuals_pay_funding(exchange: str, symbol: str) -> None:
    with pytest.raises(ConfigError, match="pays no funding"):
        funding_payment(_instrument(exchange, symbol), 1.0, 0.0001, 60_000.0)


# --- exchangeInfo files ------------------------------------------------------------------------------------------------------

IDENTITY = Identity("exchange_info", "", "", "instruments", "*", "", kind=INSTRUMENTS)
_FILTERS = [{"filterType": "PRICE_FILTER", "tickSize": "0.10"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]
_USD_M = {
    "symbol": "BTCUSDT",
    "contractType": "PERPETUAL",
    "deliveryDate": 4133404800000,
    "onboardDate": 1569398400000,
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "filters": _FILTERS,
}
_COIN_M = {**_USD_M, "symbol": "BTCUSD_PERP", "quoteAsset": "USD", "marginAsset": "BTC", "contractSize": 100}
_SPOT = {"symbol": "BTCUSDT", "baseAsset": "BTC", "quoteAsset": "USDT", "isSpotTradingAllowed": True, "filters": _FILTERS}


def _info(*entries: object, **top: object) -> dict[str, object]:
    return {"timezone": "UTC", "serverTime": 1_700_000_000_123, "rateLimits": [], **top, "symbols": list(entries)}


def recognised(path: Path) -> bool:
    found = ExchangeInfo().recognise(path, Hints())
    assert found in {None, IDENTITY}
    return found is not None


def observations(path: Path) -> pl.DataFrame:
    (batch,) = ExchangeInfo().read(path, IDENTITY, Hints())
    assert (batch.kind, batch.symbol) == (INSTRUMENTS, "*")
    assert batch.frame["exchange"].unique().to_list() == [batch.exchange]
    assert batch.rejects.is_empty()
    return batch.frame


def _write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("content", "exchange", "contract_size"),
    [
        (_info(_USD_M, futuresType="U_MARGINED"), "binance-futures", 1.0),
        (_info(_COIN_M), "binance-delivery", 100.0),
        (_info(_SPOT), "binance-spot", 1.0),
    ],
)
def test_the_market_is_told_by_the_content(tmp_path: Path, content: dict[str, object], exchange: str, contract_size: float) -> None:
    path = _write(tmp_path / "info.json", content)
    assert recognised(path)
    rows = observations(path)
    assert dict(rows.schema) == OBSERVATION_SCHEMA
    assert rows["observed_us"].to_list() == [1_700_000_000_123_000]
    assert (rows["exchange"][0], rows["contract_size"][0]) == (exchange, contract_size)
    assert (rows["price_increment"][0], rows["qty_increment"][0], rows["expiry_us"][0]) == (0.1, 0.001, None)


def test_gzip_and_the_recorded_line_read_alike(tmp_path: Path) -> None:
    plain = _write(tmp_path / "a.json", _info(_COIN_M))
    text = f"https://dapi.binance.com/dapi/v1/exchangeInfo -> 1626916402.98: {plain.read_text()}\nconfiguration: {{}}\n"
    recorded = tmp_path / "b.gz"
    recorded.write_bytes(gzip.compress(text.encode()))
    zipped = tmp_path / "c.json.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    expected = observations(plain)
    for path in (recorded, zipped):
        assert recognised(path)
        assert observations(path).equals(expected)


def test_an_address_of_another_market_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(f"https://fapi.binance.com/fapi/v1/exchangeInfo -> 1.0: {json.dumps(_info(_COIN_M))}")
    with pytest.raises(SourceError, match="disagree"):
        observations(path)


def test_dated_and_ended_contracts_carry_their_expiry(tmp_path: Path) -> None:
    dated = {**_USD_M, "symbol": "BTCUSDT_231229", "contractType": "CURRENT_QUARTER", "deliveryDate": 1_703_836_800_000}
    ended = {**_USD_M, "symbol": "ABCUSDT", "contractType": "PERPETUAL DELIVERING", "deliveryDate": 1_703_836_800_000}
    unnamed = {**_USD_M, "symbol": "DEFUSDT", "contractType": "", "filters": []}
    rows = observations(_write(tmp_path / "i.json", _info(_USD_M, dated, ended, unnamed, futuresType="U_MARGINED")))
    assert rows["asset_type"].to_list() == ["perpetual", "future", "perpetual", "perpetual"]
    assert rows["expiry_us"].to_list() == [None, _us(2023, 12, 29, 8), _us(2023, 12, 29, 8), None]
    assert rows["price_increment"].to_list() == [0.1, 0.1, 0.1, None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "not exchangeInfo"),
        ({"timezone": "UTC", "serverTime": 1}, "not exchangeInfo"),
        (_info(), "not exchangeInfo"),
        (_info({"symbol": "X", "filters": _FILTERS}), "does not tell its market"),
        (_info(_SPOT, {"symbol": "X", "baseAsset": "X"}), "it has no"),
        (_info(_SPOT, {**_SPOT, "baseAsset": ""}), "not a name"),
        (_info(_SPOT, 7), "symbol 7"),
        (_info({**_USD_M, "contractType": "LUNAR"}, futuresType="U_MARGINED"), "LUNAR"),
    ],
)
def test_wrong_content_is_refused(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(SourceError) as caught:
        observations(_write(tmp_path / "i.json", content))
    assert message in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"{", b"id,price\n1,2\n", b"\x1f\x8bbroken", b"\xff\xfe\x00", b'{"timezone": 1}'])
def test_other_files_are_neither_recognised_nor_read(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(raw)
    assert not recognised(path)
    assert not recognised(tmp_path / "absent")
    with pytest.raises(SourceError):
        observations(path)


# --- real exchangeInfo -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_data: Path) -> Registry:
    registry = Registry()
    for path in sorted((shared_data / "meta").glob("cryptofeed_*.gz")):
        assert recognised(path)
        rows = observations(path)
        registry = registry.with_snapshot(rows, rows["observed_us"][0])
    return registry


def test_real_counts_and_increments(real: Registry) -> None:
    counts = dict(real.frame.filter(pl.col("valid_from_us") < _us(2022, 1, 1)).group_by("exchange").len().iter_rows())
    assert counts == {"binance-spot": 1695, "binance-delivery": 36, "binance-futures": 122}
    perp = real.find("binance-futures", "BTCUSDT", _us(2021, 7, 21))
    assert (perp.price_increment, perp.qty_increment, perp.contract_size) == (0.01, 0.001, 1.0)
    assert perp.listed_us == LISTED
    coin = real.find("binance-delivery", "BTC-USD-PERP", _us(2021, 7, 21))
    assert (coin.contract_size, coin.price_increment, coin.settle_asset, coin.contract_type) == (100.0, 0.1, "BTC", "inverse")
    assert real.find("binance-delivery", "ETHUSD_PERP", _us(2021, 7, 21)).contract_size == 10.0


def test_real_delivery_dates(real: Registry) -> None:
    at = _us(2021, 7, 21)
    expected = {
        ("binance-futures", "BTC-USDT-2021-09-24"): _us(2021, 9, 24, 8),
        ("binance-delivery", "BTC-USD-2021-09-24"): _us(2021, 9, 24, 8),
        ("binance-delivery", "BTC-USD-2021-12-31"): _us(2021, 12, 31, 8),
    }
    assert {key: real.find(*key, at).expiry_us for key in expected} == expected


def test_symbols_alone_say_what_the_real_files_say(real: Registry) -> None:
    names = ["base_asset", "quote_asset", "settle_asset", "asset_type", "contract_type", "contract_size", "expiry_us"]
    told = real.observations.select("exchange", "exchange_symbol", *names)
    derived = pl.DataFrame(
        [(row[0], row[1], *(getattr(derive(row[0], row[1]), name) for name in names)) for row in told.iter_rows()],
        schema={name: OBSERVATION_SCHEMA[name] for name in told.columns},
        orient="row",
    )
    assert derived.equals(told)


def test_real_pairs(real: Registry) -> None:
    at = _us(2021, 10, 12)
    found = find_pairs(real, at)
    rows = {(row["perp_exchange"], row["perp_exchange_symbol"]): row for row in found.iter_rows(named=True)}
    shib = rows["binance-futures", "1000SHIBUSDT"]
    assert (shib["spot_exchange_symbol"], shib["price_factor"]) == ("SHIBUSDT", 1000.0)
    assert rows["binance-futures", "BTCUSDT"]["reason"] == "same base BTC and quote USDT; exchangeInfo of both"
    assert rows["binance-delivery", "BTCUSD_PERP"]["spot_exchange_symbol"] == "BTCUSDT"
    assert not rows["binance-delivery", "BTCUSD_PERP"]["quote_match"]
    assert ("binance-futures", "DEFIUSDT") not in rows
    assert ("binance-futures", "BTCUSDT_210924") not in rows
    usd_m = found.filter(pl.col("perp_exchange") == "binance-futures")
    assert usd_m["quote_match"].all()
