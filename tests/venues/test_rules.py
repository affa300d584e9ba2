"""Venue rules: what the files may say, delivery times and contract sizes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest

from pointline.clock import to_us
from pointline.errors import ConfigError, VenueRuleError
from pointline.lake import open_lake
from pointline.venues import rules
from pointline.venues.funding import funding_rule
from pointline.venues.rules import parse_venue

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.venues.rules import Venues


def test_delivery_is_at_8_utc_and_only_where_known() -> None:
    # 2025-03-28 is day 20,175 since 1970.
    assert rules.delivery_us("binance-futures", dt.date(2025, 3, 28)) == (20_175 * 24 + 8) * 3_600_000_000
    with pytest.raises(VenueRuleError):
        rules.delivery_us("binance-futures", dt.date(2031, 3, 28))
    with pytest.raises(VenueRuleError):
        rules.delivery_us("coinbase", dt.date(2025, 3, 28))


def test_contract_sizes() -> None:
    assert rules.contract_size("binance-delivery", "BTC", "USD", "inverse") == 100.0
    assert rules.contract_size("binance-delivery", "ETH", "USD", "inverse") == 10.0
    assert rules.contract_size("bybit", "BTC", "USD", "inverse") == 1.0
    with pytest.raises(VenueRuleError, match="contract size"):
        rules.contract_size("binance-spot", "BTC", "USD", "inverse")


def test_every_rule_names_its_source_with_its_confidence() -> None:
    for venue in rules.package_venues().files:
        for rule in (*venue.market, *venue.instrument, *venue.contract_size, *venue.delivery, *venue.asset, *venue.funding, *venue.fee):
            assert rule.source.startswith("[")


@pytest.mark.parametrize("place", range(len(rules.package_texts())))
def test_a_file_of_the_package_is_what_the_checking_reader_makes_of_it(place: int) -> None:
    name, text = list(rules.package_texts().items())[place]
    checked, built = parse_venue(text, where=name), rules.package_venues().files[place]
    assert built == checked
    assert repr(built) == repr(checked)  # of equal types too: a float is no integer, a tuple no list


def test_all_files_of_the_package_are_read() -> None:
    assert [venue.venue for venue in rules.package_venues().files] == [name.removesuffix(".toml") for name in rules.package_texts()]


MINIMAL = """
venue = "x"
[[market]]
exchange = "x"
sql_name = "x"
asset_type = "perpetual"
symbols = "dashed"
source = "[D] test"
"""
FUNDING = """
[[funding]]
exchanges = ["x"]
kind = "deribit"
per_interval = false
interest_8h = 0.0
clamp = 0.1
interval_hours = 8.0
source = "[D] test"
"""
TERMS = """
exchange = "x"
exchange_symbol = "X"
base_asset = "A"
quote_asset = "B"
asset_type = "perpetual"
contract_type = "linear"
contract_size = 1.0
"""
DATES = "valid_from = {}-01-01T00:00:00Z\nvalid_until = {}-01-01T00:00:00Z\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("venue = ", "not TOML"),
        (MINIMAL + "speed = 3\n", "there is no key speed"),
        (MINIMAL.replace('source = "[D] test"', ""), "Field required"),
        (MINIMAL + FUNDING, "are both needed"),
        (MINIMAL + FUNDING + DATES.format(2024, 2023), "must lie before"),
        (MINIMAL + FUNDING + DATES.format(2023, 2025) + FUNDING + DATES.format(2024, 2026), "overlap"),
        (MINIMAL + FUNDING.replace('["x"]', '["y"]') + DATES.format(2023, 2025), "has no .*market"),
        (MINIMAL + FUNDING + "valid_from = 2023-01-01T00:00:00\nvalid_until = 2024-01-01T00:00:00Z\n", "timezone"),
        (MINIMAL + FUNDING.replace("clamp = 0.1", "clamp = -0.1") + DATES.format(2023, 2025), "clamp must be zero or more"),
        (MINIMAL + FUNDING.replace("8.0", "0.0") + DATES.format(2023, 2025), "interval_hours must be finite and greater than 0"),
        (MINIMAL + FUNDING.replace("8.0", '"often"') + DATES.format(2023, 2025), "valid number"),
        (MINIMAL + FUNDING.replace('["x"]', "[]") + DATES.format(2023, 2025), "exchanges must have at least 1 entry"),
        (MINIMAL.replace("[D] test", ""), "source must have at least 1 character"),
        (MINIMAL.replace("dashed", "dotted"), "'joined', 'dashed', 'forms' or 'listed'"),
        (MINIMAL + "[[instrument]]\nsource = ''\n" + TERMS, "source must have at least 1 character"),
        (MINIMAL + "[[instrument]]\nsource = 's'\n" + TERMS.replace("1.0", "nan"), "contract_size must be finite and greater than 0"),
        (MINIMAL + "[[instrument]]\nsource = 's'\n" + TERMS.replace("perpetual", "future"), "an expiry"),
        ('venue = "x"\n', "at least one .*market"),
    ],
)
def test_a_wrong_venue_file_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_venue(text, where="x.toml")
    assert caught.value.where is not None
    assert caught.value.where.startswith("x.toml")


def test_touching_rules_do_not_overlap() -> None:
    text = MINIMAL + FUNDING + DATES.format(2023, 2024) + FUNDING + DATES.format(2024, 2026)
    assert len(parse_venue(text, where="x.toml").funding) == 2


def of_a_lake(folder: Path, text: str) -> Venues:
    """The rules of a lake with a venue file of its own."""
    lake = open_lake(folder, create=True)
    (lake.root / "venues").mkdir(exist_ok=True)
    (lake.root / "venues" / "mine.toml").write_text(f'venue = "mine"\n{text}', encoding="utf-8")
    return open_lake(lake.root).venues


BETWEEN = FUNDING.replace('["x"]', '["okx-swap"]') + "valid_from = {}\nvalid_until = {}\n"


def test_a_lake_may_state_a_rule_for_a_time_that_the_package_leaves_open(tmp_path: Path) -> None:
    known = of_a_lake(tmp_path / "a", BETWEEN.format("2025-04-10T00:01:00Z", "2025-04-24T00:01:00Z"))
    assert funding_rule("okx-swap", to_us("2025-04-17"), known=known).source == "[D] test"
    assert funding_rule("okx-swap", to_us("2025-04-25"), known=known).source.startswith("[S]")
    for first, last in (("2025-04-10T00:00:59Z", "2025-04-24T00:01:00Z"), ("2025-04-10T00:01:00Z", "2025-04-24T00:01:01Z")):
        with pytest.raises(ConfigError, match="says what is said already"):
            of_a_lake(tmp_path / "b", BETWEEN.format(first, last))


SIZE = '[[contract_size]]\nexchanges = ["{}"]\ncontract_type = "{}"\n{}\nsource = "[D] test"\n'


def test_a_lake_may_state_sizes_that_the_package_does_not_know(tmp_path: Path) -> None:
    known = of_a_lake(tmp_path / "a", SIZE.format("okx-swap", "linear", "by_pair = { ETH-USDT = 0.1 }"))
    assert rules.contract_size("okx-swap", "ETH", "USDT", "linear", known) == 0.1
    assert rules.contract_size("okx-swap", "BTC", "USDT", "linear", known) == 0.01
    for exchange, kind, what in (
        ("okx-swap", "linear", "by_pair = { BTC-USDT = 0.1 }"),
        ("okx-swap", "linear", "default = 0.1"),
        ("bybit", "inverse", "by_pair = { BTC-USD = 10.0 }"),
    ):
        with pytest.raises(ConfigError, match="says what is said already"):
            of_a_lake(tmp_path / "b", SIZE.format(exchange, kind, what))


def test_deliveries_of_one_type_of_contract() -> None:
    assert rules.delivery_us("kraken-futures", dt.date(2025, 3, 28), contract_type="linear") == to_us("2025-03-28 08:00")
    with pytest.raises(VenueRuleError, match="has no delivery rule"):
        rules.delivery_us("kraken-futures", dt.date(2025, 3, 28), contract_type="inverse")
