"""Prices that stay in force: as-of closes, their ages, and the bars that holes spoil, from one block of bars to the next."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import polars as pl

from pointline.bars.holes import Spoiled

if TYPE_CHECKING:
    from pointline.bars.request import Events

SIDES = ("perp", "spot")
LastBefore: TypeAlias = Callable[[int], tuple[float | None, int | None]]
"""The last price before an instant and its time, (None, None) where there is none."""


class CarriedCloses:
    """As-of closes of both venues, their ages at ``bucket_end`` and their holes, from one block of bars to the next.

    Args:
        events: of the two venues.
        first_us: where the first bar opens.
    """

    def __init__(self, events: Events, first_us: int) -> None:
        self._before = {side: partial(events.last_before, venue.instrument) for side, venue in zip(SIDES, events.venues, strict=True)}
        self._spoiled = [Spoiled(side, events.holes(venue, first_us)) for venue, side in enumerate(SIDES)]
        self._last = {side: pl.DataFrame() for side in SIDES}
        self._spot_bars = events.spot_bars(first_us)

    def carried(self, block: pl.DataFrame) -> pl.DataFrame:
        """The block with closes carried over quiet bars, and the bars marked that a hole spoils."""
        block = self._carried(block, "perp")
        block = self._carried(block, "spot") if self._spot_bars is None else _with_known(block, self._spot_bars)
        ages = [(pl.col("bucket_end") - pl.col(f"{prefix}_last_us")).alias(f"{prefix}_age_us") for prefix in SIDES]
        return block.with_columns(*ages, *(venue.mark(block) for venue in self._spoiled)).drop("perp_last_us", "spot_last_us")

    def _carried(self, block: pl.DataFrame, prefix: str) -> pl.DataFrame:
        last = self._last[prefix]
        carried = carry(pl.concat([last, block]) if last.height else block, prefix, self._before[prefix])
        carried = carried.slice(last.height)
        self._last[prefix] = carried.tail(1)
        return carried


def _with_known(block: pl.DataFrame, spot_bars: pl.DataFrame) -> pl.DataFrame:
    """Each perp bar with the newest spot bar that was known at its end."""
    known = block.join_asof(
        spot_bars, left_on="bucket_end", right_on="spot_bucket_end", strategy="backward", coalesce=False, check_sortedness=False
    )
    amounts = ("spot_trade_count", "spot_volume", "spot_quote_volume", "spot_buy_volume", "spot_sell_volume")
    no_bar = pl.col("spot_bucket_end").is_null()
    return known.with_columns(pl.when(no_bar).then(pl.lit(0, known.schema[name])).otherwise(name).alias(name) for name in amounts)


def carry(frame: pl.DataFrame, prefix: str, last_before: LastBefore) -> pl.DataFrame:
    """A quiet bar carries the last price before its end, also one from before the first bar or from a day without windows."""
    close, time = f"{prefix}_close", f"{prefix}_last_us"
    if not frame[close].null_count():
        return frame
    behind_gap = (pl.col("bucket_start") != pl.col("bucket_end").shift(1)).fill_null(value=True)
    openings = frame.filter(behind_gap & pl.col(close).is_null())["bucket_start"].to_list()
    found = [(start, *last_before(start)) for start in openings]
    earlier = pl.DataFrame(found, schema={"bucket_start": pl.Int64, "_price": pl.Float64, "_time": pl.Int64}, orient="row")
    return (
        frame.join(earlier, on="bucket_start", how="left", maintain_order="left")
        .with_columns(pl.coalesce(close, "_price").forward_fill().alias(close), pl.coalesce(time, "_time").forward_fill().alias(time))
        .drop("_price", "_time")
    )
