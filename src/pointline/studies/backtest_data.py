"""What a backtest reads of a study and its lake: bars, fills, settlements and marks, the delivery of a future."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline import clock
from pointline.bars.amounts import on_book
from pointline.bars.run import VenueTrades
from pointline.errors import ConfigError
from pointline.features.registry import CROSS_QUOTE_PREFIX
from pointline.lake.window_coverage import no_data
from pointline.research import query
from pointline.studies.held_funding import held_funding
from pointline.trading.backtest import PRICE_COLUMNS, FutureDelivery
from pointline.trading.execution import BAR_EXECUTIONS, NEVER_US, Fills, LegFills, next_bar_fills, next_trade_fills, touch_fills
from pointline.trading.funding_flows import FundingTerms, funding_cash_flows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pointline.costs import CostModel
    from pointline.studies.compared import Compared
    from pointline.trading.strategy import Legs, Strategy

    Ints = np.ndarray[Any, np.dtype[np.int64]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]

_FILL_COLUMNS = (
    *("perp_vwap", "spot_vwap", "perp_open", "spot_open", "perp_high", "perp_low"),
    *("perp_volume", "spot_volume", "perp_quote_volume", "spot_quote_volume"),
)
AVERAGED_US = 30 * clock.MINUTE_US
"""Stretch before delivery over which the spot price is averaged."""


@dataclass(frozen=True)
class BacktestData:
    """A study's part of a backtest; what is read once serves every strategy of a sweep.

    Attributes:
        study: the comparison.
    """

    study: Compared

    @cached_property
    def bars(self) -> pl.DataFrame:
        """All columns that a strategy or a fill can need, of all bars."""
        columns = set(self.study.columns)
        names = [name for name in (*PRICE_COLUMNS, *_FILL_COLUMNS) if name in columns]
        return self.study._rows.select(names).collect()  # noqa: SLF001 - of the same room

    def with_signal(self, strategy: Strategy) -> pl.DataFrame:
        """The bars with the columns of the strategy's signal.

        Raises:
            ConfigError: a column is not a number of the features frame.
        """
        known = self.study._rows.collect_schema()  # noqa: SLF001
        for name in strategy.columns:
            if name not in known:
                crossed = CROSS_QUOTE_PREFIX + name in known
                raise ConfigError(
                    "the signal is no column of the features",
                    where=strategy.name,
                    value=name,
                    expected="a feature of this study",
                    hint=f"the quotes of the pair differ: only {CROSS_QUOTE_PREFIX}{name} is known" if crossed else None,
                )
            if not known[name].is_numeric():
                raise ConfigError("the signal is no number", where=strategy.name, value=name, expected="a numeric feature")
        wanted = [name for name in strategy.columns if name not in self.bars.columns]
        return self.bars.hstack(self.study._rows.select(wanted).collect()) if wanted else self.bars  # noqa: SLF001

    def fills(self, execution: str, legs: Legs, *, latency_us: int, max_wait_us: int, costs: CostModel) -> Fills:
        """The fill of a decision at each bar.

        Raises:
            ConfigError: the spot has bars of its own, so that the next bar's spot price can be of before the decision.
            NoDataError: the lake has no quotes, or no trades, of a leg.
        """
        slippage = (costs.perp_slippage_bps, costs.spot_slippage_bps)
        if execution in BAR_EXECUTIONS:
            if "spot_bucket_end" in self.study.columns and legs != "perp":
                raise ConfigError(
                    "with a spine of its own, the spot's next bar can begin before the decision",
                    where="execution",
                    value=execution,
                    expected="next_trade or touch",
                )
            price = "vwap" if execution == "next_bar_vwap" else "open"
            return next_bar_fills(self.bars, price=price, legs=legs, max_wait_us=max_wait_us, slippage_bps=slippage)  # type: ignore[arg-type]
        wanted = self.bars["bucket_end"].to_numpy() + latency_us
        if execution == "touch":
            found = {leg: self._at_touch(leg, wanted, max_wait_us) for leg in _of(legs)}
        else:
            pairs = zip(("perp", "spot"), slippage, strict=True)
            found = {leg: self._at_trade(leg, wanted, max_wait_us, bps) for leg, bps in pairs if leg in _of(legs)}
        return Fills(found.get("perp"), found.get("spot"))

    def _at_trade(self, leg: str, wanted: Ints, max_wait_us: int, slippage_bps: float) -> LegFills:
        venue = self.study._sides[leg]  # noqa: SLF001
        if not isinstance(venue, VenueTrades):
            raise ConfigError(
                "bars of candles do not tell when the next trade is",
                where="execution",
                value="next_trade",
                expected="next_bar_vwap or next_bar_open",
            )

        def parts() -> Iterator[tuple[Ints, Floats]]:
            for _, file in sorted(venue.files.items()):
                rows = on_book(file, ["ts_local_us", "price_int"], include_off_book=venue.include_off_book).collect()
                yield rows["ts_local_us"].to_numpy(), rows["price_int"].to_numpy() / 10 ** file.totals["price_decimals"]

        return next_trade_fills(wanted, parts(), max_wait_us=max_wait_us, slippage_bps=slippage_bps)

    def _at_touch(self, leg: str, wanted: Ints, max_age_us: int) -> LegFills:
        """At the quotes of the window; an order that arrives after its end is not filled, because later quotes are not known."""
        instrument, lake = self.study._sides[leg].instrument, self.study._lake  # noqa: SLF001
        start_us, end_us = self._window
        names = (instrument.exchange, instrument.exchange_symbol)
        if not lake.files("quotes", *names, start_us, end_us):
            raise no_data(lake, "quotes", *names, start_us, end_us)

        def parts() -> Iterator[tuple[Ints, Floats, Floats]]:
            for day_us in range(start_us // clock.DAY_US * clock.DAY_US, end_us, clock.DAY_US):
                part = (max(day_us, start_us), min(day_us + clock.DAY_US, end_us))
                if lake.files("quotes", *names, *part):
                    rows = query.quotes(*names, *part, lazy=True, lake=lake).select("ts_local_us", "bid_price", "ask_price").collect()
                    yield tuple(rows[name].to_numpy() for name in rows.columns)  # type: ignore[misc]

        found = touch_fills(wanted, parts(), max_age_us=max_age_us)
        inside = wanted < end_us
        return LegFills(
            np.where(inside, found.at_us, NEVER_US), np.where(inside, found.price, np.nan), np.where(inside, found.slippage_bps, np.nan)
        )

    @property
    def _window(self) -> tuple[int, int]:
        return self.study.start_us, self.study.end_us

    def payments(self, *, max_mark_age_us: int, perp_price_as_mark: bool) -> Any:  # noqa: ANN401 - a function of positions
        """What funding positions pay: a function of them, as `pointline.trading.backtest.BacktestInputs` takes it.

        Raises:
            NoDataError: the lake has no settlements of the perpetual.
        """
        perp, lake = self.study.pair.perp, self.study._lake  # noqa: SLF001
        last_us = max(self.study.end_us, int(self.bars["bucket_end"][-1])) + max_mark_age_us
        settlements, marks = held_funding(
            lake, perp, self.study.start_us, last_us, max_mark_age_us=max_mark_age_us, perp_price_as_mark=perp_price_as_mark
        )
        terms = FundingTerms.of(perp)

        def paid(positions: pl.DataFrame) -> pl.DataFrame:
            return funding_cash_flows(
                positions, settlements, marks, terms=terms, data_end_us=last_us, max_mark_age_us=max_mark_age_us, gaps="refuse"
            )

        return paid

    @cached_property
    def delivery(self) -> FutureDelivery | None:
        """How the future ends, None for a perpetual; without a price where the window ends before. The price is in the spot's quote asset.

        The settlement price, an average of the venue's index, is taken as the time-weighted mean of the spot's last prices over the half
        hour before delivery, or of its closes where bars are made of candles.
        """
        pair = self.study.pair
        expiry_us = pair.perp.expiry_us
        if pair.perp.asset_type != "future" or expiry_us is None:
            return None
        if expiry_us > self.study.end_us:
            return FutureDelivery(expiry_us=expiry_us, price=None)
        price = self._mean_spot(expiry_us - AVERAGED_US, expiry_us) * float(pair.price_factor)
        return FutureDelivery(expiry_us=expiry_us, price=price)

    def _mean_spot(self, start_us: int, end_us: int) -> float:
        venue, lake = self.study._sides["spot"], self.study._lake  # noqa: SLF001
        symbol = (venue.instrument.exchange, venue.instrument.exchange_symbol)
        begin_us = start_us - clock.DAY_US
        if isinstance(venue, VenueTrades):
            known = query.trades(*symbol, begin_us, end_us, lazy=True, lake=lake).filter(~pl.col("off_book").fill_null(value=False))
            rows = known.select("ts_local_us", "price").collect()
        else:
            kind = venue.kind  # type: ignore[attr-defined]
            known = query.candles(*symbol, begin_us, end_us + 1, interval=kind.removeprefix("candles_"), lazy=True, lake=lake)
            rows = known.filter(pl.col("ts_local_us") <= end_us).select("ts_local_us", price="close").collect()
        times, prices = rows["ts_local_us"].to_numpy(), rows["price"].to_numpy()
        return time_weighted_mean(times, prices, start_us, end_us)


def time_weighted_mean(times: Ints, prices: Floats, start_us: int, end_us: int) -> float:
    """The mean over ``[start_us, end_us)`` of a price that stays until the next one.

    Raises:
        ConfigError: no price is known in or before the stretch.
    """
    inside = (times > start_us) & (times < end_us)
    first = int(np.searchsorted(times, start_us, side="right")) - 1
    edges = np.concatenate([[start_us] if first >= 0 else [], times[inside], [end_us]]).astype(np.int64)
    steps = np.concatenate([prices[first : first + 1] if first >= 0 else [], prices[inside]])
    if not len(steps):
        raise ConfigError("no spot price is known before the delivery", where="delivery", value=clock.time_text(end_us))
    return float(np.average(steps, weights=np.diff(edges)))


def _of(legs: Legs) -> Sequence[str]:
    return ("perp", "spot") if legs == "both" else (legs,)
