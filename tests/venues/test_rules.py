"""Venue rules: what the files may say, delivery times and contract sizes."""

from __future__ import annotations

import datetime as dt

import pytest

from pointline.errors import ConfigError, VenueRuleError
from pointline.venues import rules
from pointline.venues.rules import parse_venue


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
