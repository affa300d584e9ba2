"""The backtest of a strategy on the bars of a pair: decisions, fills, funding, accounting. Frames in, frames out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import polars as pl

from pointline.costs import CostModel
from pointline.errors import ConfigError
from pointline.trading.accounting import Ledger, LegTrades, Marks, daily_amounts, trade_amounts
from pointline.trading.execution import LegFills
from pointline.trading.funding_flows import FUNDING_FLOWS_SCHEMA
from pointline.trading.legs import PairTerms
from pointline.trading.positions import OPEN, Timeline, find_positions
from pointline.trading.thresholds import bounds_of, wishes_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointline.trading.execution import Fills
    from pointline.trading.positions import Position
    from pointline.trading.strategy import Strategy
    from pointline.trading.thresholds import Bounds

    Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
    Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
    Payments: TypeAlias = Callable[[pl.DataFrame], pl.DataFrame]

PRICE_COLUMNS = ("bucket_start", "bucket_end", "perp_close", "spot_close")


@dataclass(frozen=True, kw_only=True)
class Account:
    """The money behind a strategy. Every trade has the same notional.

    Attributes:
        notional_quote: of each trade, in the spot's quote asset.
        leverage: of the perp's isolated margin, notional / leverage; None for a perp that needs no margin and is never liquidated.
        maintenance_margin: fraction of the perp's notional below which the margin is used up.
        capital_quote: equity at the begin; None for what a trade needs, see `needed`.

    Raises:
        ConfigError: a figure is out of its range.
    """

    notional_quote: float = 10_000.0
    leverage: float | None = 3.0
    maintenance_margin: float = 0.005
    capital_quote: float | None = None

    def __post_init__(self) -> None:
        checks: tuple[tuple[str, object, float, float, str], ...] = (
            ("notional_quote", self.notional_quote, 0.0, math.inf, "an amount above zero, in the spot's quote asset"),
            ("leverage", self.leverage, 0.0, 1_000.0, "above 0 and below 1,000, or None"),
            ("maintenance_margin", self.maintenance_margin, -math.inf, 1.0, "a fraction from 0 to below 1, 0.005 for half a percent"),
            ("capital_quote", self.capital_quote, 0.0, math.inf, "an amount above zero, in the spot's quote asset"),
        )
        for name, value, low, high, expected in checks:
            if value is None and name in ("leverage", "capital_quote"):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and low < value < high):
                raise ConfigError(f"{name} cannot be used", where=name, value=value, expected=expected)
        if self.maintenance_margin < 0 or (self.leverage is not None and self.maintenance_margin >= 1 / self.leverage):
            expected = "zero or more, and less than the margin that the leverage leaves"
            raise ConfigError("maintenance_margin cannot be used", where="Account", value=self.maintenance_margin, expected=expected)

    def needed(self, legs: str) -> float:
        """What one trade ties up: the spot's notional, and the margin of the perp."""
        margin = 0.0 if self.leverage is None or legs == "spot" else self.notional_quote / self.leverage
        return (0.0 if legs == "perp" else self.notional_quote) + margin or self.notional_quote

    def capital(self, legs: str) -> float:
        """Equity at the begin.

        Raises:
            ConfigError: it is less than one trade ties up.
        """
        needed = self.needed(legs)
        if self.capital_quote is not None and self.capital_quote < needed:
            raise ConfigError(
                "the capital is less than one trade ties up",
                where="capital_quote",
                value=self.capital_quote,
                expected=f"{needed:,.2f} or more: the notional of the spot leg and the margin of the perp leg",
                hint="give more capital, a smaller notional, or more leverage",
            )
        return needed if self.capital_quote is None else self.capital_quote


@dataclass(frozen=True, kw_only=True)
class FutureDelivery:
    """How a dated future ends.

    Attributes:
        expiry_us: when it is delivered.
        price: its settlement price, in the perp's unit, at which the spot leg is closed too; None where the data end before.
    """

    expiry_us: int
    price: float | None


@dataclass(frozen=True, kw_only=True)
class BacktestInputs:
    """What a backtest is run on.

    Attributes:
        bars: the bars of one spine in order, with `PRICE_COLUMNS`, ``perp_high`` and ``perp_low`` where there is a margin, and the
            columns of the strategy's signal.
        fills: of a decision at each bar.
        terms: of the two legs.
        costs: fees, withdrawal, borrowing; and slippage where a position is closed at a price without a fill.
        account: the money.
        window_us: start and end.
        payments: given positions (see `pointline.trading.funding_flows.funding_cash_flows`), their payments; None where funding is not
            counted.
        delivery: how the future ends; None for a perpetual.
    """

    bars: pl.DataFrame
    fills: Fills
    terms: PairTerms = field(default_factory=PairTerms)
    costs: CostModel = field(default_factory=CostModel)
    account: Account = field(default_factory=Account)
    window_us: tuple[int, int]
    payments: Payments | None = None
    delivery: FutureDelivery | None = None


@dataclass(frozen=True, eq=False)
class BacktestTables:
    """The result of a backtest.

    Attributes:
        trades: one row per trade, in order.
        daily: one row per UTC day of the window.
        funding: one row per trade and settlement, ``position_id`` being the trade's ``trade_id``.
        capital_quote: equity before the first day.
        bars_without_signal: bars at which the signal or its threshold is missing.
        decisions_unfilled: bars that asked for a position and from which it could not have been filled.
    """

    trades: pl.DataFrame
    daily: pl.DataFrame
    funding: pl.DataFrame
    capital_quote: float
    bars_without_signal: int
    decisions_unfilled: int


def run_backtest(strategy: Strategy, inputs: BacktestInputs) -> BacktestTables:
    """Runs a strategy over bars.

    A signal is known at its bar's end and is filled after it. A bar by whose end one of the two has no price yet begins nothing. The
    thresholds come from bars before (`Quantiles`) or from the user (`Levels`). A position that is open when the data end is closed at the
    last prices known, with the costs of a fill, and is marked ``end_of_data``.

    Args:
        strategy: what is traded.
        inputs: bars, fills, terms, costs, money, funding.

    Returns:
        `BacktestTables`. All amounts are in the spot's quote asset.

    Raises:
        ConfigError: the bars are not in order, the signal has no value, nothing is traded, a notional is smaller than one step of a
            quantity, or the capital is less than one trade ties up.
        NoDataError: a settlement or mark price is missing that a position was held over.

    Examples:
        One trade on four bars, bought above a signal of 1 and sold at 0, each a bar later, without costs:

        >>> import polars as pl
        >>> from pointline.costs import CostModel
        >>> from pointline.trading.execution import next_bar_fills
        >>> from pointline.trading.strategy import Levels, Strategy
        >>> bars = pl.DataFrame(
        ...     {
        ...         "bucket_start": [0, 60, 120, 180],
        ...         "bucket_end": [60, 120, 180, 240],
        ...         "perp_close": [100.0, 101.0, 103.0, 102.0],
        ...         "perp_vwap": [100.0, 100.0, 102.0, 103.0],
        ...         "spot_close": [100.0, 100.0, 100.0, 100.0],
        ...         "signal": [2.0, 2.0, 0.0, 0.0],
        ...     }
        ... )
        >>> strategy = Strategy(
        ...     name="example", text="an example", signal="signal", legs="perp", thresholds=Levels(above=1.0, exit_above=0.0)
        ... )
        >>> fills = next_bar_fills(bars, price="vwap", legs="perp", max_wait_us=0, slippage_bps=(0.0, 0.0))
        >>> free = CostModel(perp_taker_bps=0.0, perp_slippage_bps=0.0)
        >>> account = Account(notional_quote=1_000.0, leverage=None)
        >>> inputs = BacktestInputs(bars=bars, fills=fills, costs=free, account=account, window_us=(0, 240))
        >>> run_backtest(strategy, inputs).trades.select("perp_entry_price", "perp_exit_price", "pnl_quote").row(0)
        (100.0, 103.0, 30.0)
    """
    account, bars = inputs.account, inputs.bars
    _check_order(bars)
    capital = account.capital(strategy.legs)
    signal = bars.select(strategy.expression()).to_series().to_numpy()
    signal = np.where(np.isfinite(signal), signal, np.nan)
    known_us = bars["bucket_end"].to_numpy()
    if np.isnan(signal).all():
        raise ConfigError(
            "the signal has no value at any bar", where=strategy.name, value=strategy.signal_text, expected="bars with a value"
        )
    bounds = bounds_of(strategy.thresholds, signal, known_us)
    wishes = wishes_of(strategy, signal, bounds)
    marks = Marks(known_us, *(_without_gaps(bars[name]) for name in ("perp_close", "spot_close")))
    filled, done_us = inputs.fills.filled & ~np.isnan(marks.perp + marks.spot), inputs.fills.done_us
    if inputs.delivery is not None:
        filled = filled & (done_us < inputs.delivery.expiry_us)
    timeline = Timeline(known_us, filled, done_us)
    found = find_positions(wishes, timeline, max_holding_us=strategy.max_holding_us, breach=_margin_breach(strategy, inputs))
    if not found:
        raise _never_trades(strategy, signal, bounds, wanted=int((wishes.enter_long | wishes.enter_short).sum()))
    held = _HeldTrades.of(strategy, inputs, found)
    funding, paid, payments = _funding(inputs, held)
    amounts = trade_amounts(held.ledger, paid)
    daily = daily_amounts(held.ledger, amounts, payments, marks, window_us=inputs.window_us, capital=capital)
    missing = np.isnan(signal) | (np.isnan(bounds.above) & np.isnan(bounds.below))
    return BacktestTables(
        trades=_trade_table(held, amounts, signal, account.notional_quote),
        daily=daily,
        funding=funding,
        capital_quote=capital,
        bars_without_signal=int(missing.sum()),
        decisions_unfilled=int(((wishes.enter_long | wishes.enter_short) & ~filled & ~_busy(timeline, found)).sum()),
    )


def _busy(timeline: Timeline, found: list[Position]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Bars at whose end a position was held, or was being begun or ended."""
    busy = np.zeros(len(timeline.known_us), dtype=np.bool_)
    for one in found:
        left_us = None if one.exit == OPEN else timeline.done_us[one.exit]
        busy[one.entry : None if left_us is None else np.searchsorted(timeline.known_us, left_us, side="right")] = True
    return busy


def _check_order(bars: pl.DataFrame) -> None:
    wrong = (pl.col("bucket_end") <= pl.col("bucket_start")) | (pl.col("bucket_start") < pl.col("bucket_end").shift())
    found = bars.filter(wrong | pl.col("bucket_end").is_null())
    if not found.is_empty():
        value = found.select("bucket_start", "bucket_end").row(0)
        raise ConfigError("the bars are not in order", where="bars", value=value, expected="one spine, each bar after the one before")


def _never_trades(strategy: Strategy, signal: Floats, bounds: Bounds, *, wanted: int) -> ConfigError:
    if wanted:
        return ConfigError(
            f"none of the {wanted:,} bars that ask for a position can be filled",
            where=strategy.name,
            expected="a fill within max_wait after a decision",
            hint="allow a longer max_wait, or choose another execution rule",
        )
    judged = ~np.isnan(signal)
    low, high = (f"{at:.6g}" for at in (signal[judged].min(), signal[judged].max()))
    told = [level for level in (bounds.above, bounds.below) if not np.isnan(level).all()]
    return ConfigError(
        "the thresholds never trade" if told else "there is no threshold: too few bars are known before any fit",
        where=strategy.name,
        value=strategy.thresholds.text,
        expected=f"thresholds within {low} to {high}, the range of {strategy.signal_text} over {int(judged.sum()):,} bars",
        hint=None if told else "load more days, or fit on fewer bars (fewest_bars) or more often (refit_us)",
    )


@dataclass(frozen=True, eq=False)
class _HeldTrades:
    """The positions with their fills: one row each, and the ledger of them."""

    side: Ints
    entry: Ints
    decided: Ints
    reasons: list[str]
    liquidation: Floats
    nearest: Floats
    ledger: Ledger

    @classmethod
    def of(cls, strategy: Strategy, inputs: BacktestInputs, found: list[Position]) -> _HeldTrades:
        bars, terms = inputs.bars, inputs.terms
        known_us = bars["bucket_end"].to_numpy()
        side, entry, exit_, decided = (np.array([getattr(one, name) for one in found]) for name in ("side", "entry", "exit", "decided"))
        reasons: list[str] = [one.reason for one in found]
        perp_close, spot_close = (_without_gaps(bars[name]) for name in ("perp_close", "spot_close"))
        sized_at = perp_close[entry], spot_close[entry]
        quantities = terms.quantities(strategy.legs, side.astype(np.float64), inputs.account.notional_quote, *sized_at)
        _check_sizes(strategy, inputs, quantities)
        closing = _Closing.of(inputs, known_us, perp_close, spot_close)
        if exit_[-1] == OPEN and closing.reason == "delivery":
            reasons[-1] = "delivery"
        legs = []
        both = (inputs.fills.perp, inputs.fills.spot)
        for place, (fills, other) in enumerate((both, both[::-1])):
            closes, final = (perp_close, spot_close)[place], (closing.perp, closing.spot)[place]
            if fills is None:
                fills = _untraded(other, closes)  # noqa: PLW2901 - a leg in its place
            legs.append(_leg(fills, quantities[place], (entry, exit_), closing.at_us, final, closing.slippage_bps[place]))
        perp, spot = legs
        ledger = Ledger(terms, inputs.costs, perp, spot, spot.in_price, spot.out_price, withdraws=strategy.legs == "both")
        liquidation, nearest = _liquidation(inputs, side, perp, known_us)
        return cls(side, entry, decided, reasons, liquidation, nearest, ledger)


@dataclass(frozen=True)
class _Closing:
    """How a position that is open at the end is closed: by delivery, or inside the window at the last prices known."""

    at_us: int
    perp: float
    spot: float
    reason: str
    slippage_bps: tuple[float, float]

    @classmethod
    def of(cls, inputs: BacktestInputs, known_us: Ints, perp_close: Floats, spot_close: Floats) -> _Closing:
        costs, delivery = inputs.costs, inputs.delivery
        slippage = (costs.perp_slippage_bps, costs.spot_slippage_bps)
        if delivery is not None and delivery.price is not None:
            spot = delivery.price * inputs.terms.quote_rate / inputs.terms.price_factor
            return cls(delivery.expiry_us, delivery.price, spot, "delivery", (0.0, slippage[1]))
        return cls(min(int(known_us[-1]), inputs.window_us[1] - 1), float(perp_close[-1]), float(spot_close[-1]), "end_of_data", slippage)


def _untraded(other: LegFills | None, closes: Floats) -> LegFills:
    """In place of a leg that is not traded: the times of the other one, and the prices known at the decisions."""
    if other is None:
        raise ConfigError("no leg is traded", where="fills", expected="fills of the perp, the spot, or both")
    return LegFills(other.at_us, closes, np.zeros(len(closes)))


def _leg(fills: LegFills, qty: Floats, rows: tuple[Ints, Ints], closed_us: int, closed_at: float, slippage_bps: float) -> LegTrades:
    """One leg of all positions; one without an exit is closed at a time and price of its own."""
    entry, exit_ = rows
    still_open = exit_ == OPEN
    left = np.where(still_open, 0, exit_)
    return LegTrades(
        qty=qty,
        in_us=fills.at_us[entry],
        out_us=np.where(still_open, np.maximum(closed_us, fills.at_us[entry]), fills.at_us[left]),
        in_price=fills.price[entry],
        out_price=np.where(still_open, closed_at, fills.price[left]),
        slippage_in_bps=fills.slippage_bps[entry],
        slippage_out_bps=np.where(still_open, slippage_bps, fills.slippage_bps[left]),
    )


def _check_sizes(strategy: Strategy, inputs: BacktestInputs, quantities: tuple[Floats, Floats]) -> None:
    for name, qty in zip(("perp", "spot"), quantities, strict=True):
        if strategy.legs in ("both", name) and (qty == 0).any():
            step = inputs.terms.perp_step if name == "perp" else inputs.terms.spot_step
            raise ConfigError(
                f"the notional is smaller than one step of the {name} quantity",
                where="notional_quote",
                value=inputs.account.notional_quote,
                expected=f"enough for a step of {step:g}",
            )


def _margin_breach(strategy: Strategy, inputs: BacktestInputs) -> Callable[[int, int, int, int], int] | None:
    """The first bar whose extreme passes the liquidation price of a position.

    The bar of a fill counts whole, although a part of it is before the fill: what is not known is taken as against the position.
    """
    account, fills = inputs.account, inputs.fills.perp
    if account.leverage is None or fills is None or strategy.legs == "spot":
        return None
    leverage, maintenance = account.leverage, account.maintenance_margin
    extremes = dict(zip((1, -1), _extremes(inputs.bars), strict=True))

    def breach(side: int, entry: int, first: int, stop: int) -> int:
        price = inputs.terms.liquidation_price(side, float(fills.price[entry]), leverage, maintenance)
        passed = side * (extremes[side][first:stop] - price) <= 0
        return first + int(np.argmax(passed)) if passed.any() else stop

    return breach


def _liquidation(inputs: BacktestInputs, side: Ints, perp: LegTrades, known_us: Ints) -> tuple[Floats, Floats]:
    """The liquidation price of each position, and the nearest that the perp came to it, as a fraction of the entry price.

    All bars count that are known after the entry and begin before the exit, those of the fills included.
    """
    account = inputs.account
    nothing = np.full(len(side), np.nan)
    if account.leverage is None or inputs.fills.perp is None:
        return nothing, nothing
    prices, nearest = [], []
    (low, high), starts_us = _extremes(inputs.bars), inputs.bars["bucket_start"].to_numpy()
    for one, begun_us, ended_us, price in zip(side, perp.in_us, perp.out_us, perp.in_price, strict=True):
        limit = inputs.terms.liquidation_price(int(one), float(price), account.leverage, account.maintenance_margin)
        held = (low if one > 0 else high)[np.searchsorted(known_us, begun_us, side="right") : np.searchsorted(starts_us, ended_us)]
        traded = held[~np.isnan(held)]
        worst = price if not len(traded) else traded.min() if one > 0 else traded.max()
        prices.append(limit if 0 < limit < math.inf else math.nan)
        nearest.append(one * (worst - limit) / price if 0 < limit < math.inf else math.nan)
    return np.array(prices), np.array(nearest)


def _funding(inputs: BacktestInputs, held: _HeldTrades) -> tuple[pl.DataFrame, Floats, tuple[Ints, Floats]]:
    """The table of payments, what each trade received, and times and amounts in the spot's quote."""
    ledger, n = held.ledger, len(held.side)
    positions = pl.DataFrame(
        {
            "position_id": np.arange(n),
            "entry_us": ledger.perp.in_us,
            "exit_us": ledger.perp.out_us,
            "quantity": ledger.perp.qty,
        }
    ).filter(pl.col("quantity") != 0)
    if inputs.payments is None or positions.is_empty():
        return (
            pl.DataFrame(schema={**FUNDING_FLOWS_SCHEMA, "cash_quote": pl.Float64()}),
            np.zeros(n),
            (np.zeros(0, dtype=np.int64), np.zeros(0)),
        )
    flows = inputs.payments(positions)
    stamps, cash = flows["funding_us"].to_numpy(), flows["cash"].fill_null(0.0).to_numpy()
    if inputs.terms.inverse:
        marks = Marks(inputs.bars["bucket_end"].to_numpy(), *(_without_gaps(inputs.bars["spot_close"]),) * 2)
        rate = marks.at(stamps)[1] * inputs.terms.price_factor
    else:
        rate = np.full(len(cash), inputs.terms.quote_rate)
    received = cash * rate
    paid = np.bincount(flows["position_id"].to_numpy(), weights=received, minlength=n)
    return flows.with_columns(cash_quote=pl.Series(received)), np.asarray(paid, dtype=np.float64), (stamps, received)


def _trade_table(held: _HeldTrades, amounts: pl.DataFrame, signal: Floats, notional: float) -> pl.DataFrame:
    ledger = held.ledger
    known = {
        "trade_id": np.arange(len(held.side)),
        "side": np.where(held.side > 0, "long", "short"),
        "entry_bar": held.entry,
        "entry_signal": signal[held.entry],
        "entry_us": ledger.begun_us,
        "exit_us": ledger.ended_us,
        "exit_reason": held.reasons,
        "perp_qty": ledger.perp.qty,
        "spot_qty": ledger.spot.qty,
        "perp_entry_price": ledger.perp.in_price,
        "perp_exit_price": ledger.perp.out_price,
        "spot_entry_price": ledger.spot.in_price,
        "spot_exit_price": ledger.spot.out_price,
    }
    table = pl.DataFrame(known).hstack(amounts)
    return table.with_columns(
        pnl_bps=pl.col("pnl_quote") / notional * 1e4,
        liquidation_price=pl.Series(held.liquidation, nan_to_null=True),
        nearest_liquidation=pl.Series(held.nearest, nan_to_null=True),
    )


def _extremes(bars: pl.DataFrame) -> tuple[Floats, Floats]:
    """Lowest and highest perp price of each bar, NaN where the perp did not trade."""
    low, high = (bars[name].cast(pl.Float64).to_numpy() for name in ("perp_low", "perp_high"))
    return low, high


def _without_gaps(prices: pl.Series) -> Floats:
    """The last price known at each bar; NaN before the first."""
    return prices.cast(pl.Float64).fill_nan(None).fill_null(strategy="forward").to_numpy()
