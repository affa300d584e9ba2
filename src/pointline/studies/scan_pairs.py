"""Which pairs a scan compares: every perpetual of an exchange that the lake has, with the spot market that the registry gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.clock import time_text
from pointline.errors import ConfigError, NoDataError, PointlineError, nearest
from pointline.instruments import find_pairs, pair_spot
from pointline.instruments.instrument import Instrument
from pointline.studies.named import named_instrument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.instruments import Registry
    from pointline.lake.store import Lake

PERPETUAL = "perpetual"


@dataclass(frozen=True)
class ScanPair:
    """A pair that is to be compared.

    Attributes:
        perp: as ``exchange:symbol``.
        spot: likewise; None where no spot market was found.
        reason: why it cannot be compared, where that is known before.
    """

    perp: str
    spot: str | None = None
    reason: str | None = None


def scan_pairs(lake: Lake, markets: object, start_us: int, end_us: int) -> list[ScanPair]:
    """The pairs that a user means.

    Args:
        lake: a lake.
        markets: as in `pointline.scan`.
        start_us, end_us: the window; a perpetual takes the spot market that fits it at its start, or when it was listed.

    Returns:
        A pair for each perpetual, in the order of their names; for pairs that were given, in their order.

    Raises:
        ConfigError: `markets` is of another form, or names a pair twice.
        NoDataError: the lake has no perpetual of the exchange in the window.
    """
    registry = lake.registry()
    if isinstance(markets, str) and ":" not in markets:
        return _of_exchange(lake, registry, markets, start_us, end_us)
    given = [markets] if isinstance(markets, str) else markets
    if not isinstance(given, list | tuple) or not given:
        raise _unusable(markets)
    found = [_given(registry, one, start_us) for one in given]
    twice = next((one for place, one in enumerate(found) if one in found[:place]), None)
    if twice is not None:
        raise ConfigError("a pair is given twice", where="markets", value=f"{twice.perp}, {twice.spot}", expected="each pair once")
    return found


def _given(registry: Registry, one: object, start_us: int) -> ScanPair:
    if isinstance(one, str):
        return _paired(registry, named_instrument(registry, one, start_us), start_us)
    if not isinstance(one, list | tuple) or len(one) != 2:  # noqa: PLR2004 - perp and spot
        raise _unusable(one)
    perp, spot = (named_instrument(registry, name, start_us) for name in one)
    return ScanPair(perp.name, spot.name)


def _unusable(value: object) -> ConfigError:
    return ConfigError(
        "a scan is of an exchange or of pairs",
        where="markets",
        value=value,
        expected="an exchange such as 'binance-futures', or a list of perpetuals 'exchange:symbol' or of pairs (perp, spot)",
    )


def _of_exchange(lake: Lake, registry: Registry, name: str, start_us: int, end_us: int) -> list[ScanPair]:
    exchange = registry.exchange_id(name)
    held = {symbol for kind in lake.kinds() for symbol in lake.listing(kind).filter(pl.col("exchange") == exchange)["symbol"].unique()}
    known = registry.frame.filter((pl.col("asset_type") == PERPETUAL) & pl.col("exchange_symbol").is_in(sorted(held)))
    inside = (pl.col("valid_from_us") < end_us) & (pl.col("valid_until_us") > start_us)
    rows = known.filter((pl.col("exchange") == exchange) & inside).sort("exchange_symbol", "valid_from_us")
    if rows.is_empty():
        others = known["exchange"].unique().to_list()
        raise NoDataError(
            "the lake has no perpetual of this exchange in the window",
            value=name,
            expected=f"one of {', '.join(sorted(_with_perpetuals(lake, registry)))}" if others else None,
            hint=f"nearest names: {nearest(name, others).lower()}; `pointline catalog` lists what the lake holds",
        )
    first = rows.unique("exchange_symbol", keep="first", maintain_order=True)
    best = {row["perp_symbol_id"]: row for row in find_pairs(registry, start_us).iter_rows(named=True)}
    found = []
    for row in first.iter_rows(named=True):
        perp = Instrument.from_row(row)
        paired = best.get(perp.symbol_id)
        if paired is None:
            found.append(_paired(registry, perp, start_us))
        else:
            found.append(ScanPair(perp.name, f"{paired['spot_exchange']}:{paired['spot_exchange_symbol']}"))
    return found


def _with_perpetuals(lake: Lake, registry: Registry) -> set[str]:
    held = {pair for kind in lake.kinds() for pair in lake.listing(kind).select("exchange", "symbol").unique().iter_rows()}
    rows = registry.frame.filter(pl.col("asset_type") == PERPETUAL).select("exchange", "exchange_symbol").unique()
    return {exchange for exchange, symbol in rows.iter_rows() if (exchange, symbol) in held}


def _paired(registry: Registry, perp: Instrument, start_us: int) -> ScanPair:
    """A perpetual with its spot market, or with the reason why it has none."""
    if perp.valid_from_us > start_us:
        return ScanPair(perp.name, None, f"it was listed inside the window, at {time_text(perp.valid_from_us)} UTC")
    try:
        return ScanPair(perp.name, pair_spot(registry, perp, start_us).spot.name)
    except PointlineError as error:
        return ScanPair(perp.name, None, error.what)


def listed_markets(markets: str | Sequence[str | tuple[str, str]]) -> str:
    """What is scanned, in words."""
    return markets if isinstance(markets, str) else f"{len(markets)} pairs"
