"""Fees: what one fill costs on an exchange, in a tier, at a time; and the cost model of a pair that is made of them.

The figures stand in ``venues/*.toml`` with the day on which they were read and where. A venue whose fees no file states has none here.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003 - the annotation of a field
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointline.costs import DEFAULT_WITHDRAWAL_BPS, GUIDE, SAME_EXCHANGE, CostModel
from pointline.errors import ConfigError, VenueRuleError, nearest
from pointline.venues.dated import rule_at
from pointline.venues.files import package_venues
from pointline.venues.names import exchange_id

if TYPE_CHECKING:
    from pointline.venues.files import Venues
    from pointline.venues.payments import Fee

DEFAULT_TIER = "non-VIP"
"""The tier of an account that nothing else is said of, by the name that the perp-spot guide gives it, whatever the exchange calls it."""

_STATE_FEES = (
    "state them in a venue file of the lake (section [[fee]], with their source), or give figures of your own: CostModel, or on the "
    "command line --figure with a preset such as --costs guide"
)


@dataclass(frozen=True, kw_only=True)
class VenueFee:
    """What one fill costs on an exchange.

    Attributes:
        exchange: exchange id.
        tier: fee tier.
        taker_bps: fee of a fill that takes, in basis points of its notional.
        maker_bps: fee of a fill that makes; None where the source does not say.
        as_of: the day on which the figures were read.
        valid_from_us, valid_until_us: the dates for which they are known, half-open.
        source: where they were read, with its confidence.
    """

    exchange: str
    tier: str
    taker_bps: float
    maker_bps: float | None
    as_of: dt.date
    valid_from_us: int
    valid_until_us: int
    source: str


def venue_fee(exchange: str, at_us: int, *, tier: str = DEFAULT_TIER, known: Venues | None = None) -> VenueFee:
    """The fee of an exchange in a tier at a time.

    Args:
        exchange: exchange id, alias or SQL name.
        at_us: microseconds UTC.
        tier: fee tier, written as in the venue file.
        known: the venue files; the package's own if None.

    Raises:
        VenueRuleError: no venue file states the exchange's fees in that tier, or none for that time.

    Examples:
        >>> fee = venue_fee("binance", 1_714_521_600_000_000)
        >>> fee.taker_bps, fee.maker_bps, fee.as_of.isoformat()
        (10.0, None, '2026-02-09')
    """
    wanted = exchange_id(exchange, known)
    venues = known or package_venues()
    stated = [rule for venue in venues.files for rule in venue.fee]
    own = [rule for rule in stated if wanted in rule.exchanges and rule.tier == tier]
    if not own:
        raise _not_stated(wanted, tier, stated, [one.reason for one in venues.unsettled if one.rule == "fee" and wanted in one.exchanges])
    rule = rule_at(own, wanted, at_us, "fee", venues.unsettled)
    return VenueFee(
        exchange=wanted,
        tier=rule.tier,
        taker_bps=rule.taker_bps,
        maker_bps=rule.maker_bps,
        as_of=rule.as_of,
        valid_from_us=rule.valid_from_us,
        valid_until_us=rule.valid_until_us,
        source=rule.source,
    )


def _not_stated(exchange: str, tier: str, stated: list[Fee], why: list[str]) -> VenueRuleError:
    tiers = sorted({rule.tier for rule in stated if exchange in rule.exchanges})
    return VenueRuleError(
        f"no venue file states the fees of {exchange} in the tier {tier}" if tiers else f"no venue file states the fees of {exchange}",
        value=tier if tiers else exchange,
        expected=f"a tier out of {', '.join(tiers)}" if tiers else None,
        hint="; ".join([*why, _STATE_FEES]),
    )


def of_one_venue(first: str, second: str, known: Venues | None = None) -> bool:
    """Whether one venue file has both exchanges, so that nothing is withdrawn between them.

    Args:
        first, second: exchange ids.
        known: the venue files; the package's own if None.

    Examples:
        >>> of_one_venue("binance-futures", "binance-spot"), of_one_venue("bybit", "binance-spot")
        (True, False)
    """
    files = (known or package_venues()).files
    return any({first, second} <= {market.exchange for market in venue.market} for venue in files)


def venue_costs(
    perp_exchange: str,
    spot_exchange: str,
    at_us: int,
    *,
    tier: str = DEFAULT_TIER,
    perp_slippage_bps: float = CostModel.perp_slippage_bps,
    spot_slippage_bps: float = CostModel.spot_slippage_bps,
    withdrawal_bps: float | None = None,
    borrow_bps_per_day: float = CostModel.borrow_bps_per_day,
    known: Venues | None = None,
) -> CostModel:
    """The cost model of a pair with the taker fees of its two exchanges at a time.

    Args:
        perp_exchange, spot_exchange: exchange ids, aliases or SQL names.
        at_us: microseconds UTC.
        tier: fee tier on both.
        perp_slippage_bps, spot_slippage_bps, borrow_bps_per_day: as in `CostModel`; no venue states them.
        withdrawal_bps: if None, 0 where one venue file has both exchanges, else `CostModel`'s default.
        known: the venue files; the package's own if None.

    Raises:
        VenueRuleError: the fees of an exchange are not known; `CostModel` takes figures of your own.
        ConfigError: a figure cannot be a cost.

    Examples:
        >>> costs = venue_costs("binance-futures", "binance-spot", 1_714_521_600_000_000)
        >>> costs.total_bps, costs.tier, costs.as_of
        (40.0, 'non-VIP', '2026-02-09')
    """
    perp, spot = (venue_fee(name, at_us, tier=tier, known=known) for name in (perp_exchange, spot_exchange))
    if withdrawal_bps is None:
        withdrawal_bps = 0.0 if of_one_venue(perp.exchange, spot.exchange, known) else DEFAULT_WITHDRAWAL_BPS
    return CostModel(
        perp_taker_bps=perp.taker_bps,
        perp_slippage_bps=perp_slippage_bps,
        spot_taker_bps=spot.taker_bps,
        spot_slippage_bps=spot_slippage_bps,
        withdrawal_bps=withdrawal_bps,
        borrow_bps_per_day=borrow_bps_per_day,
        venue=f"{perp.exchange}, {spot.exchange}",
        tier=tier,
        as_of=min(perp.as_of, spot.as_of).isoformat(),
        source="; ".join(dict.fromkeys((perp.source, spot.source))),
    )


VENUE = "venue"
"""Name of the presets that read venue files."""

PRESETS = (GUIDE, SAME_EXCHANGE, VENUE, f"{VENUE}:TIER")
"""The names that `named_costs` knows."""


def named_costs(name: object, perp_exchange: str, spot_exchange: str, at_us: int, *, known: Venues | None = None) -> CostModel:
    """The cost model of a preset; the one door for Python and the command line.

    Args:
        name: ``"guide"`` (48 bps), ``"same-exchange"`` (40 bps, nothing is withdrawn), ``"venue"`` (the dated fees of the two exchanges in
            the tier that their files take for granted) or ``"venue:TIER"``.
        perp_exchange, spot_exchange: exchange ids, aliases or SQL names; read for venue presets only.
        at_us: microseconds UTC; likewise.
        known: the venue files; the package's own if None.

    Raises:
        ConfigError: an unknown preset; the error has the known ones.
        VenueRuleError: the fees of an exchange are not known in that tier at that time.

    Examples:
        >>> costs = named_costs("venue:non-VIP", "binance-futures", "binance-spot", 1_714_521_600_000_000)
        >>> costs.text
        '40 bps (venue:non-VIP, figures of 2026-02-09)'
        >>> named_costs("guide", "bybit", "bybit-spot", 0).total_bps
        48.0
    """
    check_preset(name)
    if name == GUIDE:
        return CostModel.guide()
    if name == SAME_EXCHANGE:
        return CostModel.same_exchange()
    tier = str(name).partition(":")[2].strip()
    return venue_costs(perp_exchange, spot_exchange, at_us, tier=tier or DEFAULT_TIER, known=known)


def check_preset(name: object, *, where: str = "costs") -> None:
    """Refuses what names no preset of costs.

    Args:
        name: as in `named_costs`.
        where: the argument or option, for the error.

    Raises:
        ConfigError: it does; the error has the known names.

    Examples:
        >>> check_preset("venue:VIP 1")  # whether the venue has that tier shows when its fees are asked for
        >>> check_preset("guid", where="--costs")
        Traceback (most recent call last):
        pointline.errors.ConfigError: there is no such preset of costs
          where:    --costs
          value:    'guid'
          expected: guide, same-exchange, venue, venue:TIER
          hint:     alike: guide
    """
    head, colon, tier = name.partition(":") if isinstance(name, str) else ("", "", "")
    if name in (GUIDE, SAME_EXCHANGE) or (head == VENUE and bool(colon) == bool(tier.strip())):
        return
    alike = nearest(str(name), PRESETS[:3]).lower()
    raise ConfigError("there is no such preset of costs", where=where, value=name, expected=", ".join(PRESETS), hint=f"alike: {alike}")
