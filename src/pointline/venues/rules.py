"""Dated venue rules: contract sizes, delivery times and multipliers of assets.

Where to look:

- a venue's figures with their sources: ``venues/<venue>.toml``, shown in docs/venue-rules.md;
- what a file may say: `pointline.venues.markets` (exchanges, symbols), `pointline.venues.contracts` (sizes, assets, delivery),
  `pointline.venues.payments` (funding, fees), all on `pointline.venues.dated`; read by `pointline.venues.files`;
- what is done with it: names in `pointline.venues.names`, funding formulas in `pointline.venues.funding`, fees in `pointline.venues.fees`.

Functions here take exchange ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pointline.clock import time_text, to_us
from pointline.errors import VenueRuleError
from pointline.venues.dated import rule_at, spans_text
from pointline.venues.files import Venues, package_venues

if TYPE_CHECKING:
    import datetime as dt

    import polars as pl


def size_spans(
    exchange: str, base_asset: str, quote_asset: str, contract_type: Literal["linear", "inverse"], known: Venues | None = None
) -> list[tuple[int, int, float]]:
    """The sizes of a contract with their dates, oldest first: valid from, valid until, and quote (inverse) or base units (linear).

    What a file says of the pair goes before what it says of the base asset, and that before what it says of all.

    Args:
        exchange: exchange id.
        base_asset, quote_asset: as the exchange names them.
        contract_type: ``"linear"`` or ``"inverse"``.
        known: the venue files; the package's own if None, here and in the other functions of this module.

    Raises:
        VenueRuleError: no venue file states the contract's size.

    Examples:
        >>> [(time_text(start), size) for start, _, size in size_spans("okx-swap", "BTC", "USDT", "linear")]
        [('2020-01-01 00:00:00', 0.0001), ('2020-03-20 08:30:00', 0.01)]
    """
    tables = [
        one
        for venue in (known or package_venues()).files
        for one in venue.contract_size
        if exchange in one.exchanges and one.contract_type == contract_type
    ]
    pair = f"{base_asset}-{quote_asset}"
    stated = (
        [one.by_pair.get(pair) for one in tables],
        [one.by_base_asset.get(base_asset) for one in tables],
        [one.default for one in tables],
    )
    for sizes in stated:
        found = [(one.valid_from_us, one.valid_until_us, size) for one, size in zip(tables, sizes, strict=True) if size is not None]
        if found:
            return sorted(found)
    why = [one.reason for one in (known or package_venues()).unsettled if one.rule == "contract size" and exchange in one.exchanges]
    raise VenueRuleError(
        f"the contract size of this {contract_type} contract is in no venue file",
        where=exchange,
        value=pair,
        hint="; ".join([*why, "ingest the exchange's list of instruments, or state it: [[contract_size]] in a venue file of the lake"]),
    )


def contract_size(
    exchange: str,
    base_asset: str,
    quote_asset: str,
    contract_type: Literal["linear", "inverse"],
    known: Venues | None = None,
    *,
    at_us: int | None = None,
) -> float:
    """Quote units per inverse contract, or base units per linear one, of an exchange id.

    Args:
        exchange, base_asset, quote_asset, contract_type, known: as in `size_spans`.
        at_us: when, microseconds UTC; the newest size that is known if None.

    Raises:
        VenueRuleError: no venue file states the contract's size, or none for that time.

    Examples:
        >>> contract_size("okx-futures", "BTC", "USDT", "linear"), contract_size("okx-futures", "BTC", "USD", "inverse")
        (0.01, 100.0)
    """
    spans = size_spans(exchange, base_asset, quote_asset, contract_type, known)
    if at_us is None:
        return spans[-1][2]
    found = next((size for start, until, size in spans if start <= at_us < until), None)
    if found is not None:
        return found
    raise VenueRuleError(
        f"the contract size of {base_asset}-{quote_asset} on {exchange} is not known for this time",
        value=time_text(at_us),
        expected=f"a time inside {spans_text((start, until) for start, until, _ in spans)} UTC",
        hint="ingest the exchange's list of instruments of that time, or state the size in a venue file of the lake",
    )


def delivery_us(exchange: str, day: dt.date, known: Venues | None = None, *, contract_type: Literal["linear", "inverse"] = "linear") -> int:
    """When a contract that is delivered on `day` expires, microseconds UTC.

    Raises:
        VenueRuleError: the delivery time of that exchange, type of contract and day is not known.

    Examples:
        >>> import datetime as dt
        >>> time_text(delivery_us("deribit", dt.date(2025, 3, 28), contract_type="inverse"))
        '2025-03-28 08:00:00'
        >>> time_text(delivery_us("kraken-futures", dt.date(2024, 9, 27), contract_type="inverse"))  # 16:00 in London
        '2024-09-27 15:00:00'
    """
    venues = known or package_venues()
    rules = [rule for venue in venues.files for rule in venue.delivery if rule.contract_type in (None, contract_type)]
    return rule_at(rules, exchange, to_us(day), "delivery", venues.unsettled).on(day)


def asset_table(known: Venues | None = None) -> pl.DataFrame:
    """The reviewed table of base assets: exchange, base_asset, underlying_asset, multiplier, valid from and until."""
    import polars as pl

    rows = [
        (exchange, rule.base_asset, rule.underlying_asset, rule.multiplier, rule.valid_from_us, rule.valid_until_us)
        for venue in (known or package_venues()).files
        for rule in venue.asset
        for exchange in rule.exchanges
    ]
    schema = {
        "exchange": pl.String(),
        "base_asset": pl.String(),
        "underlying_asset": pl.String(),
        "multiplier": pl.Int64(),
        "asset_from_us": pl.Int64(),
        "asset_until_us": pl.Int64(),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
