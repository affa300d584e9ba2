"""Funding: how each venue made a rate of the average premium, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline.errors import ConfigError, VenueRuleError
from pointline.venues.dated import rule_at
from pointline.venues.files import package_venues
from pointline.venues.names import exchange_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pointline.venues.files import Venues
    from pointline.venues.payments import Averages, Funding, FundingKind, Weights

_FUNDING_HOURS = 8.0


@dataclass(frozen=True)
class FundingRule:
    """How one venue turned the average premium into the funding rate, and when.

    Attributes:
        kind: ``"premium_clamp"``: P + clamp(I - P, ±clamp); ``"deribit"``: max(clamp, P) + min(-clamp, P); ``"clamp_mean"``: P.
        interest_8h: interest as a fraction per 8 hours.
        clamp: half width of the dead band, a fraction (unused by ``"clamp_mean"``).
        cap: largest absolute rate, in the period that the formula speaks of; None where it is not known.
        interval_hours: the venue's default funding interval; symbols may differ.
        valid_from_us, valid_until_us: the dates for which the rule is known, half-open.
        source: where the rule is stated, with its confidence.
        per_interval: True: the formula gives the rate of one interval; False: of 8 hours, of which an interval pays its share.
        weighting: how the premium of an interval is averaged, see `weights`.
        rolling: the average is always over the last whole interval, also inside one.
        continuous: the rate accrues all the time, on the premium of each moment; there are no settlements.
        averages: what the venue takes the mean of: the ``"premium"``, to which it then applies the formula, or the ``"rate"`` that the
            formula makes of each value.
        periods_later: how many intervals after the one whose premium makes it the rate is paid.
    """

    kind: FundingKind
    interest_8h: float
    clamp: float
    cap: float | None
    interval_hours: float
    valid_from_us: int
    valid_until_us: int
    source: str
    per_interval: bool = False
    weighting: Weights | None = None
    rolling: bool = False
    continuous: bool = False
    averages: Averages = "premium"
    periods_later: int = 0

    @property
    def weights(self) -> Weights:
        """How the premium of an interval is averaged: what the file says, else rising where the rule damps the premium."""
        return self.weighting or ("rising" if self.kind == "premium_clamp" else "equal")


def funding_rule(
    exchange: str, at_us: int, *, base_asset: str | None = None, quote_asset: str | None = None, known: Venues | None = None
) -> FundingRule:
    """The funding rule of an exchange at a time.

    Args:
        exchange: exchange id, alias or SQL name.
        at_us: microseconds UTC.
        base_asset: applies the asset's own interest and cap where the file states them (BNB pays no interest on Binance).
        quote_asset: with it, a rule of that contract alone goes before those of all contracts; some exchanges have only such.
        known: the venue files.

    Raises:
        VenueRuleError: the exchange has no funding rule, none of that contract, or none is known for that time.

    Examples:
        >>> rule = funding_rule("hyperliquid", 1_714_521_600_000_000, base_asset="BTC")
        >>> rule.kind, rule.interval_hours, rule.weights, rule.cap
        ('premium_clamp', 1.0, 'equal', 0.32)
    """
    venues, wanted = known or package_venues(), exchange_id(exchange, known)
    own = _rules_of(venues, wanted, base_asset, quote_asset)
    named = [rule for rule in own if rule.pairs]
    holding = [rule for rule in named if rule.valid_from_us <= at_us < rule.valid_until_us]
    rule = rule_at(holding or own or _others(venues, wanted, base_asset, quote_asset), wanted, at_us, "funding", venues.unsettled)
    before = [] if rule.pairs else [one.valid_until_us for one in named if one.valid_until_us <= at_us]
    after = [] if rule.pairs else [one.valid_from_us for one in named if one.valid_from_us > at_us]
    return FundingRule(
        kind=rule.kind,
        interest_8h=0.0 if base_asset in rule.interest_free_bases else rule.interest_8h,
        clamp=rule.clamp,
        cap=rule.caps.get(base_asset or "", rule.cap),
        interval_hours=rule.interval_hours,
        valid_from_us=max([rule.valid_from_us, *before]),
        valid_until_us=min([rule.valid_until_us, *after]),
        source=rule.source,
        per_interval=rule.per_interval,
        weighting=rule.weights,
        rolling=rule.rolling,
        continuous=rule.continuous,
        averages=rule.averages,
        periods_later=rule.periods_later,
    )


def _rules_of(venues: Venues, exchange: str, base_asset: str | None, quote_asset: str | None) -> list[Funding]:
    """The rules of an exchange id that speak of a contract: those of all contracts, and those that name it."""
    pair = f"{base_asset}-{quote_asset}"
    stated = [rule for venue in venues.files for rule in venue.funding if exchange in rule.exchanges]
    return [rule for rule in stated if not rule.pairs or pair in rule.pairs]


def _others(venues: Venues, exchange: str, base_asset: str | None, quote_asset: str | None) -> list[Funding]:
    """The rules of the other exchanges.

    Raises:
        VenueRuleError: the exchange has rules, but of other contracts.
    """
    stated = [rule for venue in venues.files for rule in venue.funding]
    pairs = [pair for rule in stated if exchange in rule.exchanges for pair in rule.pairs]
    if not pairs:
        return stated
    why = [one.reason for one in venues.unsettled if one.rule == "funding" and exchange in one.exchanges]
    raise VenueRuleError(
        f"no funding rule of this contract is known on {exchange}",
        value=None if base_asset is None and quote_asset is None else f"{base_asset}-{quote_asset}",
        expected="one of " + ", ".join(dict.fromkeys(pairs)),
        hint="; ".join([*why, "add the rule with its dates and source to a venue file of the lake"]),
    )


def funding_rules(
    exchange: str,
    start_us: int,
    end_us: int,
    *,
    base_asset: str | None = None,
    quote_asset: str | None = None,
    known: Venues | None = None,
) -> tuple[FundingRule, ...]:
    """All funding rules of an exchange that are known somewhere in ``[start_us, end_us)``, oldest first.

    Raises:
        VenueRuleError: the exchange has no funding rule, none of that contract, or none is known in the window.

    Examples:
        >>> year = 365 * 86_400_000_000
        >>> [rule.per_interval for rule in funding_rules("binance-futures", 1_735_689_600_000_000, 1_735_689_600_000_000 + year)]
        [True, False]
    """
    own = _rules_of(known or package_venues(), exchange_id(exchange, known), base_asset, quote_asset)
    seen = {max(rule.valid_from_us, start_us) for rule in own if rule.valid_from_us < end_us and rule.valid_until_us > start_us}
    again = {rule.valid_until_us for rule in own if rule.pairs and start_us < rule.valid_until_us < end_us}
    resumed = {at_us for at_us in again if any(rule.valid_from_us <= at_us < rule.valid_until_us for rule in own)}
    return tuple(
        funding_rule(exchange, at_us, base_asset=base_asset, quote_asset=quote_asset, known=known)
        for at_us in sorted(seen | resumed) or [start_us]
    )


def fair_funding_8h(rule: FundingRule, premium: float, *, interval_hours: float | None = None) -> float:
    """The funding rate per 8 hours that the rule makes of an average premium.

    Args:
        rule: the venue's rule at the time.
        premium: average premium of the period, (perp - index) / index as a fraction.
        interval_hours: the symbol's funding interval; None = the rule's default. It matters where the formula speaks of one
            interval: the dead band is then applied per interval.

    Raises:
        ConfigError: the interval is not a positive number.

    Examples:
        >>> round(fair_funding_8h(funding_rule("binance-futures", 1_714_521_600_000_000), 0.0020), 6)
        0.0015
    """
    hours = rule.interval_hours if interval_hours is None else interval_hours
    if not hours > 0:
        raise ConfigError("a funding interval must be a positive number of hours", value=interval_hours)
    share = hours / _FUNDING_HOURS if rule.per_interval else 1.0
    if rule.kind == "premium_clamp":
        rate = premium + min(max(rule.interest_8h * share - premium, -rule.clamp), rule.clamp)
    elif rule.kind == "deribit":
        rate = max(rule.clamp, premium) + min(-rule.clamp, premium)
    else:
        rate = premium
    if rule.cap is not None:
        rate = min(max(rate, -rule.cap), rule.cap)
    return rate / share


def fair_funding_8h_values(
    rule: FundingRule, premium: NDArray[np.float64], *, interval_hours: float | NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """`fair_funding_8h` of many premiums; inside the dead band the rate is the interest to the last digit.

    Args:
        rule: the venue's rule at the time of all of them.
        premium: shape (…, n), average premium, a fraction; NaN gives NaN.
        interval_hours: the funding interval of each, shape (n,), one for all, or None for the rule's default.

    Returns:
        Shape (…, n), the rate per 8 hours.

    Examples:
        >>> rule = funding_rule("binance-futures", 1_714_521_600_000_000)
        >>> (fair_funding_8h_values(rule, np.array([0.0, 6e-4, 8e-4, 60e-4])) * 1e4).round(9).tolist()
        [1.0, 1.0, 3.0, 55.0]
    """
    hours = np.asarray(rule.interval_hours if interval_hours is None else interval_hours, dtype=np.float64)
    share = hours / _FUNDING_HOURS if rule.per_interval else np.ones_like(hours)
    if rule.kind == "premium_clamp":
        target = rule.interest_8h * share
        moved = np.where(premium > target, premium - rule.clamp, premium + rule.clamp)
        rate = np.where(np.abs(target - premium) <= rule.clamp, target, moved)
    elif rule.kind == "deribit":
        rate = np.maximum(rule.clamp, premium) + np.minimum(-rule.clamp, premium)
    else:
        rate = premium
    if rule.cap is not None:
        rate = np.clip(rate, -rule.cap, rule.cap)
    return np.asarray(rate / share)


def fair_funding_8h_expr(rule: FundingRule, premium: pl.Expr, *, interval_hours: float | pl.Expr | None = None) -> pl.Expr:
    """`fair_funding_8h` as an expression; a null premium or interval gives null.

    Args:
        rule: the venue's rule at the time of all rows.
        premium: average premium, a fraction.
        interval_hours: the funding interval of each row, one for all, or None for the rule's default.
    """
    hours = rule.interval_hours if interval_hours is None else interval_hours
    interval = hours if isinstance(hours, pl.Expr) else pl.lit(hours)
    share = interval / _FUNDING_HOURS if rule.per_interval else pl.lit(1.0)
    if rule.kind == "premium_clamp":
        rate = premium + (rule.interest_8h * share - premium).clip(-rule.clamp, rule.clamp)
    elif rule.kind == "deribit":
        rate = premium.clip(lower_bound=rule.clamp) + premium.clip(upper_bound=-rule.clamp)
    else:
        rate = premium
    if rule.cap is not None:
        rate = rate.clip(-rule.cap, rule.cap)
    return rate / share
