"""Legs: what a quantity of a perpetual, a dated future or a coin is worth, how it is rounded, and when its margin is used up.

Quantities are signed, + long and - short: of the perp in base units where the contract is linear and in contracts where it is inverse, of
the spot in its own units. All money is in the spot's quote asset. An inverse contract pays in its coin; the coin is valued at the spot
price of the moment (domain arithmetic: long earns N M (1/entry - 1/exit) coins for N contracts of M quote units).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.instruments import Pair
    from pointline.trading.strategy import Legs

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_ROUNDING = 1e-9  # of a step: what binary fractions may be short of a whole step
_DECIMALS = 12


@dataclass(frozen=True, kw_only=True)
class PairTerms:
    """The terms of the two legs.

    Attributes:
        inverse: the perp is an inverse contract.
        contract_size: quote units of one inverse contract; not used for linear ones.
        price_factor: spot units in one perp unit.
        quote_rate: the spot's quote units for one quote unit of a linear perp; 1 where both are quoted in the same asset.
        perp_step, spot_step: smallest steps of the quantities, in their units here; None where they are not known.
    """

    inverse: bool = False
    contract_size: float = 1.0
    price_factor: float = 1.0
    quote_rate: float = 1.0
    perp_step: float | None = None
    spot_step: float | None = None

    @classmethod
    def of(cls, pair: Pair, *, quote_rate: float | None = None) -> PairTerms:
        """The terms of a pair of the registry.

        Args:
            pair: the instruments.
            quote_rate: the spot's quote units for one of the perp's, constant; needed for a linear perp of another quote asset.

        Raises:
            ConfigError: the size of a contract is not known, or the rate is needed, not needed, or not above zero.
        """
        perp = pair.perp
        inverse = perp.contract_type == "inverse"
        crossed = not pair.quote_match and not inverse
        if crossed and quote_rate is None:
            raise ConfigError(
                f"{perp.name} pays in {perp.quote_asset} and {pair.spot.name} is quoted in {pair.spot.quote_asset}",
                where="quote_rate",
                expected=f"a constant rate to assume, in {pair.spot.quote_asset} for one {perp.quote_asset}, or a spot of the same quote",
            )
        number = isinstance(quote_rate, int | float) and not isinstance(quote_rate, bool)
        if quote_rate is not None and not (crossed and number and math.isfinite(quote_rate) and quote_rate > 0):
            raise ConfigError(
                "quote_rate cannot be used",
                where="quote_rate",
                value=quote_rate,
                expected="a number above zero" if crossed else "None: no amount of this pair is converted at a rate",
            )
        size = float(perp.size)
        step = perp.qty_increment
        return cls(
            inverse=inverse,
            contract_size=size if inverse else 1.0,
            price_factor=float(pair.price_factor),
            quote_rate=quote_rate or 1.0,
            perp_step=(step or 1.0) if inverse else None if step is None else step * size,
            spot_step=pair.spot.qty_increment,
        )

    def perp_base(self, qty: Floats, price: Floats) -> Floats:
        """Spot units that a perp position at a price is worth."""
        base = qty * self.contract_size / price if self.inverse else qty
        return base * self.price_factor

    def perp_value(self, qty: Floats, entry: Floats, price: Floats, spot: Floats) -> Floats:
        """What a perp position entered at a price has earned at another one, in the spot's quote."""
        if self.inverse:
            return qty * self.contract_size * (1 / entry - 1 / price) * (spot * self.price_factor)
        return qty * (price - entry) * self.quote_rate

    def perp_notional(self, qty: Floats, price: Floats, spot: Floats) -> Floats:
        """The unsigned notional of a perp position, in the spot's quote."""
        if self.inverse:
            return np.abs(qty) * self.contract_size / price * (spot * self.price_factor)
        return np.abs(qty) * price * self.quote_rate

    def quantities(self, legs: Legs, side: Floats, notional: float, perp: Floats, spot: Floats) -> tuple[Floats, Floats]:
        """Signed quantities of both legs for a notional, sized at the prices of the decision and rounded down to whole steps.

        Where both legs are traded, the spot hedges the perp quantity that is left after rounding.

        Args:
            legs: the legs that are traded; the other quantity is zero.
            side: shape (n,), +1 or -1, of the perp, or of the spot where only that is traded.
            notional: of the spot's quote.
            perp, spot: shape (n,), prices known at the decision.
        """
        nothing = np.zeros_like(side)
        if legs == "spot":
            return nothing, side * _down(notional / spot, self.spot_step)
        if self.inverse:
            perp_qty = _down(notional / (spot * self.price_factor) * perp / self.contract_size, self.perp_step)
        else:
            perp_qty = _down(notional / (spot * self.price_factor), self.perp_step)
        if legs == "perp":
            return side * perp_qty, nothing
        return side * perp_qty, -side * _down(self.perp_base(perp_qty, perp), self.spot_step)

    def liquidation_price(self, side: int, entry: float, leverage: float, maintenance: float) -> float:
        """The perp price at which an isolated margin of 1/leverage is down to the maintenance margin; infinite where it never is.

        Linear, long: margin + q (P - E) = m q P with margin = q E / L. Inverse: the same in coins, margin = N M / (E L).
        """
        margin = 1 / leverage
        if self.inverse:
            rest = 1 + side * margin
            return entry * (1 + side * maintenance) / rest if rest > 0 else math.inf
        rest = 1 - side * margin
        return entry * rest / (1 - side * maintenance) if rest > 0 else 0.0


def _down(amount: Floats, step: float | None) -> Floats:
    return amount if step is None else np.round(np.floor(amount / step + _ROUNDING) * step, _DECIMALS)
