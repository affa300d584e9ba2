"""What it costs to open and close a perp leg and a spot leg, in basis points of the notional."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from pointline.errors import ConfigError

DEFAULT_WITHDRAWAL_BPS = 8.0
_BPS = 10_000.0


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Fees and slippage of one perp leg and one spot leg.

    A fill costs its taker fee and its slippage; a round trip is two fills. The defaults are the figures of the perp-spot guide
    of 2026-02-09: perp 14 bps and spot 26 bps for the round trip, 8 bps for a withdrawal, 48 bps together. Each is a parameter.

    Attributes:
        perp_taker_bps: taker fee of one perp fill.
        perp_slippage_bps: slippage of one perp fill.
        spot_taker_bps: taker fee of one spot fill.
        spot_slippage_bps: slippage of one spot fill.
        withdrawal_bps: moving the coin between venues, once a trade; 0 on one exchange.
        withdrawal_quote: the withdrawal in money; it is divided by `notional_quote` and takes the place of `withdrawal_bps`.
        notional_quote: the position that `withdrawal_quote` is paid for, in the same money.
        borrow_bps_per_day: borrowing the coin for the short spot leg. The guide has no figure, so 0 means "not counted".
        venue: where these fees apply; empty where they belong to no venue.
        tier: fee tier they were read for.
        as_of: date of the figures, ``YYYY-MM-DD``.
        source: where they were read.

    Raises:
        ConfigError: a figure is negative, infinite or not a number, or the withdrawal is given twice or without its notional.

    Examples:
        >>> CostModel().total_bps
        48.0
        >>> round(CostModel(withdrawal_quote=5.0, notional_quote=60_000).withdrawal_bps, 4)
        0.8333
    """

    perp_taker_bps: float = 5.0
    perp_slippage_bps: float = 2.0
    spot_taker_bps: float = 10.0
    spot_slippage_bps: float = 3.0
    withdrawal_bps: float = DEFAULT_WITHDRAWAL_BPS
    withdrawal_quote: float | None = None
    notional_quote: float | None = None
    borrow_bps_per_day: float = 0.0
    venue: str = ""
    tier: str = ""
    as_of: str = "2026-02-09"
    source: str = "perp-spot guide, transaction cost modeling"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_bps", "_per_day", "_quote")) and value is not None:
                _check_amount(field.name, value)
        if self.withdrawal_quote is None and self.notional_quote is None:
            return
        object.__setattr__(self, "withdrawal_bps", self._withdrawal_from_money())

    def _withdrawal_from_money(self) -> float:
        if self.withdrawal_quote is None or self.notional_quote is None or self.notional_quote == 0:
            raise ConfigError(
                "a withdrawal in money needs both its amount and a positive notional",
                where="CostModel",
                value={"withdrawal_quote": self.withdrawal_quote, "notional_quote": self.notional_quote},
                expected="for example withdrawal_quote=5.0, notional_quote=60_000",
            )
        converted = self.withdrawal_quote / self.notional_quote * _BPS
        if self.withdrawal_bps not in {DEFAULT_WITHDRAWAL_BPS, converted}:
            raise ConfigError(
                "the withdrawal is given twice, in basis points and in money",
                where="CostModel",
                value=self.withdrawal_bps,
                expected="withdrawal_bps, or withdrawal_quote with notional_quote",
            )
        return converted

    @classmethod
    def same_exchange(
        cls,
        *,
        perp_taker_bps: float = 5.0,
        perp_slippage_bps: float = 2.0,
        spot_taker_bps: float = 10.0,
        spot_slippage_bps: float = 3.0,
        borrow_bps_per_day: float = 0.0,
    ) -> CostModel:
        """Both legs on one exchange: nothing is withdrawn, 40 bps with the default figures.

        Raises:
            ConfigError: a figure is negative, infinite or not a number.

        Examples:
            >>> CostModel.same_exchange().total_bps
            40.0
        """
        return cls(
            perp_taker_bps=perp_taker_bps,
            perp_slippage_bps=perp_slippage_bps,
            spot_taker_bps=spot_taker_bps,
            spot_slippage_bps=spot_slippage_bps,
            withdrawal_bps=0.0,
            borrow_bps_per_day=borrow_bps_per_day,
        )

    @property
    def perp_fill_bps(self) -> float:
        """One perp fill: taker fee and slippage."""
        return self.perp_taker_bps + self.perp_slippage_bps

    @property
    def spot_fill_bps(self) -> float:
        """One spot fill: taker fee and slippage."""
        return self.spot_taker_bps + self.spot_slippage_bps

    @property
    def perp_round_trip_bps(self) -> float:
        """Opening and closing the perp leg."""
        return 2.0 * self.perp_fill_bps

    @property
    def spot_round_trip_bps(self) -> float:
        """Opening and closing the spot leg, without the withdrawal."""
        return 2.0 * self.spot_fill_bps

    @property
    def four_fill_bps(self) -> float:
        """Opening and closing both legs, without the withdrawal."""
        return self.perp_round_trip_bps + self.spot_round_trip_bps

    @property
    def total_bps(self) -> float:
        """Opening and closing both legs and the withdrawal."""
        return self.four_fill_bps + self.withdrawal_bps


def _check_amount(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value)) or float(value) < 0:  # type: ignore[arg-type]
        raise ConfigError(f"{name} cannot be a cost", where="CostModel", value=value, expected="a finite number, zero or more")
