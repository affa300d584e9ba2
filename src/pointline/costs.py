"""What it costs to open and close a perp leg and a spot leg, in basis points of the notional."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from pointline.errors import ConfigError

DEFAULT_WITHDRAWAL_BPS = 8.0
_BPS = 10_000.0

_LARGEST_FRACTION = 0.02

GUIDE = "guide"
"""Name of the perp-spot guide's figures."""

SAME_EXCHANGE = "same-exchange"
"""Name of the same figures without a withdrawal."""

OWN = "own figures"
"""Name of all others that belong to no venue."""

LEAST_FEE_BPS = 0.5
"""No venue's published taker fee lies between 0 and this; a figure that does is a fraction or a percentage."""

MOST_FEE_BPS = 200.0
"""2 %, above the taker fees of retail tiers; a larger one is no fee of an exchange."""

MOST_BPS = 10_000.0
"""The whole notional: slippage, a withdrawal or a day's borrowing cannot take more."""

SMALL_BPS = 0.01
"""A stated slippage or borrowing below this is real in deep books, but may be a fraction; studies say how they read it."""


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """Fees and slippage of one perp leg and one spot leg.

    A fill costs its taker fee and its slippage; a round trip is two fills. The defaults are the figures of the perp-spot guide
    of 2026-02-09: perp 14 bps and spot 26 bps for the round trip, 8 bps for a withdrawal, 48 bps together. Each is a parameter.

    Attributes:
        perp_taker_bps: taker fee of one perp fill; 0, or `LEAST_FEE_BPS` to `MOST_FEE_BPS`.
        perp_slippage_bps: slippage of one perp fill; however small, because half the spread of a deep book can be 0.001 bps.
        spot_taker_bps: taker fee of one spot fill, as that of the perp.
        spot_slippage_bps: slippage of one spot fill, as that of the perp.
        withdrawal_bps: moving the coin between venues, once a trade; 0 on one exchange.
        withdrawal_quote: the withdrawal in money; it is divided by `notional_quote` and takes the place of `withdrawal_bps`.
        notional_quote: the position that `withdrawal_quote` is paid for, in the same money.
        borrow_bps_per_day: borrowing the coin for the short spot leg; a yearly rate divided by 365 (5 % a year is 1.37). The guide has no
            figure, so 0 means "not counted".
        venue: where these fees apply; empty where they belong to no venue.
        tier: fee tier they were read for.
        as_of: date of the figures, ``YYYY-MM-DD``.
        source: where they were read.
        slippage_source: how the slippage was found: ``"stated"``, or what it was measured from.

    Raises:
        ConfigError: a figure is negative, infinite or not a number, a fee is a fraction or a percentage instead of basis points, a figure
            is absurdly large, or the withdrawal is given twice or without its notional.

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
    slippage_source: str = "stated"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith(("_bps", "_per_day", "_quote")) and value is not None:
                _check_amount(field.name, value)
        if self.withdrawal_quote is None and self.notional_quote is None:
            return
        object.__setattr__(self, "withdrawal_bps", self._withdrawal_from_money())
        _check_amount("withdrawal_bps", self.withdrawal_bps)

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
    def guide(cls) -> CostModel:
        """The figures of the perp-spot guide, which are the defaults: 14 bps on the perp, 34 on spot with the withdrawal, 48 together.

        Examples:
            >>> CostModel.guide().preset, CostModel.guide().total_bps
            ('guide', 48.0)
        """
        return cls()

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
    def preset(self) -> str:
        """The name under which output shows these costs; one changed figure makes them figures of your own.

        ``"guide"``, ``"same-exchange"``, ``"venue:TIER"`` of fees of venues, or ``"own figures"``.

        Examples:
            >>> CostModel(perp_taker_bps=4.0).preset
            'own figures'
        """
        if self.venue:
            return f"venue:{self.tier}"
        if _figures(self) == _figures(CostModel()):
            return GUIDE
        return SAME_EXCHANGE if _figures(self) == _figures(CostModel.same_exchange()) else OWN

    @property
    def is_sourced(self) -> bool:
        """Whether `as_of` and `source` are those of the figures; they are not where some of the guide's figures were changed.

        Examples:
            >>> CostModel().is_sourced, CostModel(perp_taker_bps=4.0).is_sourced
            (True, False)
            >>> CostModel(perp_taker_bps=4.0, as_of="2024-05-01", source="my fee tier").is_sourced
            True
        """
        return self.preset != OWN or self.source != CostModel.source

    @property
    def text(self) -> str:
        """The costs in words: total, preset, and of which day the figures are, where that is known.

        Examples:
            >>> CostModel().text
            '48 bps (guide, figures of 2026-02-09)'
        """
        figures = "" if self.preset == OWN else ", figures"
        told = f"{self.preset}{figures} of {self.as_of}" if self.is_sourced else self.preset
        return f"{self.total_bps:.4g} bps ({told}{'' if self.slippage_source == 'stated' else ', slippage measured'})"

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


def _figures(costs: CostModel) -> tuple[float, ...]:
    fills = (costs.perp_taker_bps, costs.perp_slippage_bps, costs.spot_taker_bps, costs.spot_slippage_bps)
    return (*fills, costs.withdrawal_bps, costs.borrow_bps_per_day)


def _check_amount(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(float(value)) or float(value) < 0:  # type: ignore[arg-type]
        raise ConfigError(f"{name} cannot be a cost", where="CostModel", value=value, expected="a finite number, zero or more")
    figure = float(value)  # type: ignore[arg-type]
    if name.endswith("_taker_bps"):
        _check_fee(name, figure)
    elif not name.endswith("_quote") and figure >= MOST_BPS:
        raise ConfigError(
            f"{name} takes the whole notional", where="CostModel", value=value, expected=f"basis points, below {MOST_BPS:,.0f}"
        )


def _check_fee(name: str, fee: float) -> None:
    if fee == 0 or LEAST_FEE_BPS <= fee <= MOST_FEE_BPS:
        return
    expected = f"basis points: 0, or {LEAST_FEE_BPS:g} to {MOST_FEE_BPS:g}"
    if fee > MOST_FEE_BPS:
        hint = f"{fee:g} bps are {fee / 100:g} %; is it {fee / 100:g} bps?"
        raise ConfigError(f"{name} is too large for a fee", where="CostModel", value=fee, expected=expected, hint=hint)
    meant = [f"{fee:g} as a fraction is {fee * _BPS:g} bps"] if fee < _LARGEST_FRACTION and fee * _BPS >= LEAST_FEE_BPS else []
    meant += [f"{fee:g} % is {fee * 100:g} bps"] if fee * 100 >= LEAST_FEE_BPS else []
    what = f"{name} is too small for basis points"
    raise ConfigError(what, where="CostModel", value=fee, expected=expected, hint=", ".join(meant) or None)
