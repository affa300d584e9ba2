"""Venue rules: what the files may say, delivery times and contract sizes."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import TYPE_CHECKING

import pytest

from pointline.clock import to_us
from pointline.errors import ConfigError, RegistryError, VenueRuleError
from pointline.instruments import Registry
from pointline.lake import open_lake
from pointline.venues import rules
from pointline.venues.files import Venues, package_texts, package_venues, parse_venue
from pointline.venues.funding import funding_rule

if TYPE_CHECKING:
    from pathlib import Path


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
    for venue in package_venues().files:
        dated = (*venue.contract_size, *venue.delivery, *venue.asset, *venue.funding, *venue.fee, *venue.unsettled)
        for rule in (*venue.market, *venue.instrument, *dated):
            assert rule.source.startswith("[")


@pytest.mark.parametrize("place", range(len(package_texts())))
def test_a_file_of_the_package_is_what_the_checking_reader_makes_of_it(place: int) -> None:
    name, text = list(package_texts().items())[place]
    checked, built = parse_venue(text, where=name), package_venues().files[place]
    assert built == checked
    assert repr(built) == repr(checked)  # of equal types too: a float is no integer, a tuple no list


def test_all_files_of_the_package_are_read() -> None:
    assert [venue.venue for venue in package_venues().files] == [name.removesuffix(".toml") for name in package_texts()]


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
    known = of_a_lake(tmp_path / "a", SIZE.format("okx-swap", "linear", "by_pair = { LTC-USDT = 0.1 }"))
    assert rules.contract_size("okx-swap", "LTC", "USDT", "linear", known) == 0.1
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
        rules.delivery_us("hyperliquid", dt.date(2025, 3, 28), contract_type="inverse")


# The clocks of London go forward on the last Sunday of March (2025-03-30) and back on that of October (2024-10-27).
@pytest.mark.parametrize(
    ("day", "hour_utc"),
    [("2024-03-29", 16), ("2024-04-26", 15), ("2024-10-25", 15), ("2024-11-29", 16), ("2025-03-28", 16), ("2025-04-25", 15)],
)
def test_a_delivery_by_the_clock_of_a_place(day: str, hour_utc: int) -> None:
    found = rules.delivery_us("kraken-futures", dt.date.fromisoformat(day), contract_type="inverse")
    assert found == to_us(f"{day} {hour_utc}:00")


def test_the_hour_of_kucoins_delivery_moved_at_an_unknown_time() -> None:
    assert rules.delivery_us("kucoin-futures", dt.date(2019, 12, 27), contract_type="inverse") == to_us("2019-12-27 12:00")
    assert rules.delivery_us("kucoin-futures", dt.date(2025, 3, 28), contract_type="inverse") == to_us("2025-03-28 08:00")
    with pytest.raises(VenueRuleError, match="is not known for this time") as caught:
        rules.delivery_us("kucoin-futures", dt.date(2022, 6, 24), contract_type="inverse")
    assert "from 12:00 to 08:00 UTC" in str(caught.value.hint)


DELIVERY = """
[[delivery]]
exchanges = ["x"]
{}
valid_from = 2023-01-01T00:00:00Z
valid_until = 2024-01-01T00:00:00Z
source = "[D] test"
"""
UNSETTLED = """
[[unsettled]]
exchanges = ["{}"]
rule = "{}"
reason = "{}"
valid_from = 2023-01-01T00:00:00Z
valid_until = 2024-01-01T00:00:00Z
source = "[D] test"
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DELIVERY.format(""), "a delivery has time_utc, or local_time"),
        (DELIVERY.format("local_time = 16:00:00"), "a delivery has time_utc, or local_time"),
        (DELIVERY.format('time_utc = 08:00:00\nlocal_time = 16:00:00\ntime_zone = "Europe/London"'), "a delivery has time_utc, or"),
        (DELIVERY.format('local_time = 16:00:00\ntime_zone = "Europe/Nowhere"'), "no time zone 'Europe/Nowhere'"),
        (UNSETTLED.format("y", "fee", "because"), "has no .*market"),
        (UNSETTLED.format("x", "weather", "because"), "'funding', 'fee', 'delivery' or 'contract size'"),
        (UNSETTLED.format("x", "fee", ""), "reason must have at least 1 character"),
        (FUNDING + DATES.format(2023, 2024) + "continuous = true\n", 'needs averages = "rate"'),
        (FUNDING + DATES.format(2023, 2024) + "periods_later = -1\n", "periods_later must be zero or more"),
        (FUNDING + DATES.format(2023, 2024) + "caps = { BTC = 0.0 }\n", "caps.BTC must be finite and greater than 0"),
    ],
)
def test_a_wrong_delivery_funding_or_reason_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_venue(MINIMAL + text, where="x.toml")


def test_every_funding_rule_of_the_package_says_what_it_averages() -> None:
    for name, text in package_texts().items():
        for rule in tomllib.loads(text).get("funding", []):
            assert rule["averages"] == ("rate" if rule["kind"] == "deribit" else "premium"), name


# OKX, announcement of 2020-03-04: 0.0001 BTC until 2020-03-20 08:00 UTC, then half an hour without trading, then 0.01 BTC.
@pytest.mark.parametrize(
    ("at", "size"),
    [
        ("2019-12-31 23:59:59.999999", None),
        ("2020-01-01", 0.0001),
        ("2020-03-20 07:59:59.999999", 0.0001),
        ("2020-03-20 08:00", None),
        ("2020-03-20 08:30", 0.01),
        ("2024-05-01", 0.01),
        ("2028-01-01", None),
    ],
)
def test_a_size_that_changed_has_dates_and_is_refused_outside_them(at: str, size: float | None) -> None:
    versions = Registry().with_derived("okx-swap", "BTC-USDT-SWAP")
    if size is None:
        with pytest.raises(VenueRuleError, match="contract size of BTC-USDT on okx-swap is not known for this time"):
            rules.contract_size("okx-swap", "BTC", "USDT", "linear", at_us=to_us(at))
        with pytest.raises(RegistryError, match="not at that time"):
            versions.find("okx-swap", "BTC-USDT-SWAP", to_us(at))
        return
    assert rules.contract_size("okx-swap", "BTC", "USDT", "linear", at_us=to_us(at)) == size
    assert versions.find("okx-swap", "BTC-USDT-SWAP", to_us(at)).contract_size == size


def test_a_size_of_a_pair_goes_before_that_of_its_base_asset_and_of_all() -> None:
    text = MINIMAL + "".join(
        SIZE.format("x", "linear", what) for what in ("default = 3.0", "by_base_asset = { A = 2.0 }", "by_pair = { A-B = 1.0 }")
    )
    known = Venues((*package_venues().files, parse_venue(text, where="x.toml")))
    assert [rules.contract_size("x", *pair, "linear", known) for pair in (("A", "B"), ("A", "C"), ("D", "C"))] == [1.0, 2.0, 3.0]
    with pytest.raises(ConfigError, match="rules of Contract size x linear A-B overlap"):
        parse_venue(text + SIZE.format("x", "linear", "by_pair = { A-B = 1.0 }"), where="x.toml")
    with pytest.raises(ConfigError, match="both valid_from and valid_until, or neither"):
        parse_venue(text.replace("default = 3.0", "default = 3.0\nvalid_from = 2023-01-01T00:00:00Z"), where="x.toml")


def test_a_size_that_no_source_settles_is_refused_with_the_reason() -> None:
    with pytest.raises(VenueRuleError, match="contract size of this linear contract") as caught:
        rules.contract_size("okx-swap", "ADA", "USDT", "linear")
    assert "may not have been made" in str(caught.value.hint)
