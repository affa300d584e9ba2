"""Fees: the documented figures with their dates, what is not documented, and the cost model made of them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from tests.venues.test_rules import MINIMAL

from pointline.clock import to_us
from pointline.costs import CostModel
from pointline.errors import ConfigError, VenueRuleError
from pointline.lake import open_lake
from pointline.venues.fees import VenueFee, venue_costs, venue_fee
from pointline.venues.files import Venues, package_venues, parse_venue

if TYPE_CHECKING:
    from pathlib import Path

MAY_2024 = to_us("2024-05-01")
FEE = """
[[fee]]
exchanges = ["x"]
tier = "{tier}"
taker_bps = {taker}
{more}
as_of = 2024-01-02
valid_from = {first}-01-01T00:00:00Z
valid_until = {last}-01-01T00:00:00Z
source = "[D] test"
"""


def fee_text(tier: str = "VIP 1", taker: str = "4.0", first: int = 2023, last: int = 2025, more: str = "") -> str:
    return FEE.format(tier=tier, taker=taker, first=first, last=last, more=more)


def with_file(text: str) -> Venues:
    return Venues((*package_venues().files, parse_venue(text, where="x.toml")))


# The guide's "Transaction Cost Modeling" of 2026-02-09.
@pytest.mark.parametrize(("exchange", "taker"), [("binance-futures", 5.0), ("binance-spot", 10.0), ("binance", 10.0)])
def test_the_guides_figures(exchange: str, taker: float) -> None:
    fee = venue_fee(exchange, MAY_2024)
    assert (fee.taker_bps, fee.maker_bps, fee.tier, fee.as_of) == (taker, None, "non-VIP", dt.date(2026, 2, 9))
    assert "guide" in fee.source


# Taker and maker of the lowest tier in basis points, as the pages that the files name give them in percent.
PUBLISHED = [
    ("bybit", "2024-05-01", 5.5, 2.0),  # VIP 0: 0.0550 %, 0.0200 %
    ("bybit-spot", "2024-05-01", 10.0, 10.0),  # VIP 0: 0.1000 % both
    ("okx-spot", "2024-05-01", 10.0, 8.0),  # Lv1: 0.100 %, 0.080 %
    ("okx-swap", "2024-05-01", 5.0, 2.0),
    ("okx-futures", "2024-05-01", 5.0, 2.0),
    ("kraken", "2025-05-01", 40.0, 25.0),
    ("kraken-futures", "2023-09-14", 5.0, 2.0),  # 0.0500 %, 0.0200 %
    ("gate-spot", "2025-05-01", 10.0, 10.0),
    ("gate-futures", "2025-05-01", 5.0, None),  # the announcement has takers only
    ("kucoin-futures", "2024-05-01", 6.0, 2.0),
    ("coinbase", "2024-05-01", 60.0, 40.0),
    ("deribit", "2024-05-01", 5.0, 0.0),
    ("hyperliquid", "2024-01-01", 2.5, -0.2),  # flat since June 2023
    ("hyperliquid", "2026-05-01", 4.5, 1.5),
]


@pytest.mark.parametrize(("exchange", "at", "taker", "maker"), PUBLISHED)
def test_the_published_fees(exchange: str, at: str, taker: float, maker: float | None) -> None:
    fee = venue_fee(exchange, to_us(at))
    assert (fee.taker_bps, fee.maker_bps) == (taker, maker)
    assert fee.valid_from_us <= to_us(at) < fee.valid_until_us
    assert fee.source.startswith("[")


def test_a_venue_without_a_documented_fee_has_none() -> None:
    with pytest.raises(VenueRuleError, match="no venue file states the fees of binance-delivery") as caught:
        venue_fee("binance-delivery", MAY_2024)
    assert "CostModel" in str(caught.value.hint)
    assert "--figure" in str(caught.value.hint)


def test_a_fee_that_no_source_settles_is_refused_with_the_reason() -> None:
    with pytest.raises(VenueRuleError, match="fees of kucoin-spot in the tier non-VIP") as caught:
        venue_fee("kucoin-spot", MAY_2024)
    assert caught.value.expected == "a tier out of non-VIP class A"
    assert "class of the base asset" in str(caught.value.hint)
    for exchange, at, words in (("coinbase", "2025-01-01", "of 2023"), ("hyperliquid", "2025-01-01", "have no dates")):
        with pytest.raises(VenueRuleError, match="is not known for this time") as caught:
            venue_fee(exchange, to_us(at))
        assert words in str(caught.value.hint)


def test_every_exchange_has_a_fee_or_is_named_here() -> None:
    stated = {name for venue in package_venues().files for one in venue.fee for name in one.exchanges}
    assert set(package_venues().markets) - stated == {"binance-delivery"}


def test_a_tier_that_is_not_documented_names_those_that_are() -> None:
    with pytest.raises(VenueRuleError, match="in the tier VIP 9") as caught:
        venue_fee("binance-spot", MAY_2024, tier="VIP 9")
    assert caught.value.expected == "a tier out of non-VIP"


@pytest.mark.parametrize(("at", "known"), [("2022-12-31 23:59:59.999999", False), ("2023-01-01", True), ("2028-01-01", False)])
def test_outside_its_dates_a_fee_is_an_error(at: str, known: bool) -> None:
    if known:
        assert venue_fee("binance-spot", to_us(at)).taker_bps == 10.0
        return
    with pytest.raises(VenueRuleError, match="fee rule of binance-spot is not known for this time"):
        venue_fee("binance-spot", to_us(at))


def test_the_last_microsecond_counts() -> None:
    assert venue_fee("binance-spot", to_us("2028-01-01") - 1).taker_bps == 10.0


def test_an_unknown_exchange_is_refused() -> None:
    with pytest.raises(VenueRuleError, match="fees of nowhere"):
        venue_fee("nowhere", MAY_2024)


def test_costs_of_a_pair_on_one_venue_have_no_withdrawal() -> None:
    costs = venue_costs("binance-futures", "binance", MAY_2024)
    assert costs.total_bps == 2 * (5 + 2) + 2 * (10 + 3)
    assert (costs.venue, costs.tier, costs.as_of) == ("binance-futures, binance-spot", "non-VIP", "2026-02-09")
    assert (costs.perp_taker_bps, costs.spot_taker_bps) == (CostModel().perp_taker_bps, CostModel().spot_taker_bps)


def test_costs_between_venues_have_one() -> None:
    known = with_file(MINIMAL.replace("perpetual", "spot") + fee_text(tier="non-VIP", taker="7.0"))
    costs = venue_costs("binance-futures", "x", MAY_2024, perp_slippage_bps=1.0, spot_slippage_bps=0.0, known=known)
    assert costs.total_bps == 2 * (5 + 1) + 2 * 7 + 8
    assert costs.as_of == "2024-01-02"  # the older of the two
    assert venue_costs("binance-futures", "x", MAY_2024, withdrawal_bps=0.5, known=known).withdrawal_bps == 0.5


def test_costs_of_a_venue_that_is_not_documented_are_refused() -> None:
    with pytest.raises(VenueRuleError, match="fees of binance-delivery"):
        venue_costs("binance-delivery", "binance-spot", MAY_2024)


def test_tiers_and_dates_of_a_file() -> None:
    text = MINIMAL + fee_text(more="maker_bps = -0.5") + fee_text(taker="3.0", first=2025, last=2026) + fee_text(tier="VIP 2", taker="2.0")
    known = with_file(text)
    fee = venue_fee("x", MAY_2024, tier="VIP 1", known=known)
    assert isinstance(fee, VenueFee)
    assert (fee.taker_bps, fee.maker_bps, fee.source) == (4.0, -0.5, "[D] test")
    assert venue_fee("x", to_us("2025-01-01"), tier="VIP 1", known=known).taker_bps == 3.0
    assert venue_fee("x", MAY_2024, tier="VIP 2", known=known).taker_bps == 2.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (fee_text() + fee_text(first=2024, last=2026), "rules of Fee x VIP 1 overlap"),
        (fee_text(taker="-1.0"), "taker_bps must be finite and zero or more"),
        (fee_text(taker="inf"), "taker_bps must be finite and zero or more"),
        (fee_text(more="maker_bps = nan"), "maker_bps must be finite"),
        (fee_text(tier=""), "tier must have at least 1 character"),
        (fee_text().replace('["x"]', '["y"]'), "has no .*market"),
        (fee_text().replace("as_of = 2024-01-02", ""), "Field required"),
        (fee_text().replace("valid_until", "valid_unto"), "there is no key valid_unto"),
    ],
)
def test_a_wrong_fee_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_venue(MINIMAL + text, where="x.toml")


def test_a_lake_may_add_a_tier_but_not_repeat_one(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    (lake.root / "venues").mkdir()
    own = fee_text().replace('["x"]', '["binance-spot"]')
    (lake.root / "venues" / "mine.toml").write_text(f'venue = "mine"\n{own}', encoding="utf-8")
    assert venue_fee("binance", MAY_2024, tier="VIP 1", known=open_lake(lake.root).venues).taker_bps == 4.0
    (lake.root / "venues" / "mine.toml").write_text(f'venue = "mine"\n{own.replace("VIP 1", "non-VIP")}', encoding="utf-8")
    with pytest.raises(ConfigError, match="says what is said already"):
        _ = open_lake(lake.root).venues
