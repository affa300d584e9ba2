"""A spine from the lake: the windows of one driving instrument, without any venue's sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline.bars.adaptive import AdaptiveBars
from pointline.bars.rules import check_bars, rule_of
from pointline.bars.stretches import run_stretches, spine_frame, stretches, venue_of, whole_bars
from pointline.bars.trailing import decided, threshold_table
from pointline.clock import window_us
from pointline.errors import ConfigError
from pointline.lake.store import as_lake

if TYPE_CHECKING:
    from pointline.bars.rules import BarRule
    from pointline.clock import TimeLike
    from pointline.lake.store import LakeLike


@dataclass(frozen=True)
class SpineBuilder:
    """Builds one kind of spine.

    Attributes:
        kind: ``"volume"``, ``"dollar"``, ``"trades"``, ``"time"`` or ``"imbalance"``.
        rule: the config class that it takes.
    """

    kind: str
    rule: type[BarRule]

    def build_spine(
        self,
        *,
        symbol_id: int,
        start_ts_us: TimeLike,
        end_ts_us: TimeLike,
        config: BarRule,
        lake: LakeLike | None = None,
        include_off_book: bool = False,
    ) -> pl.DataFrame:
        """The whole bars inside ``[start_ts_us, end_ts_us)``, the same that any wider request would return.

        Args:
            symbol_id: the driving instrument.
            start_ts_us, end_ts_us: the window; any form that `pointline.clock.to_us` reads.
            config: when a bar closes.
            lake: where the trades are, a lake or its folder; the default lake if None.
            include_off_book: also count the prints that are flagged as off-book.

        Returns:
            One row per bar: symbol_id, bar_id, bucket_start, bucket_end, ts_local_us (= bucket_start), complete.

        Raises:
            ConfigError: `config` is for another kind of spine, the window is empty, it would hold too many time bars, the contract's size
                is not known, or the spine counts signed volume and a trade's side is not known.
            RegistryError: no instrument has this symbol_id.
            NoDataError: the lake has no trades of it in the window; the error says what it has.
        """
        if not isinstance(config, self.rule) and not (isinstance(config, AdaptiveBars) and config.kind == self.kind):
            raise ConfigError(f"a {self.kind} spine takes another config", value=type(config).__name__, expected=self.rule.__name__)
        start_us, end_us = window_us(start_ts_us, end_ts_us)
        check_bars(config, start_us, end_us)
        opened = as_lake(lake)
        driver = venue_of(opened, opened.registry().by_id(symbol_id), start_us, end_us, include_off_book=include_off_book)
        rule = decided(config, opened, driver.instrument, include_off_book=include_off_book)
        parts = stretches(rule, [driver], start_us, end_us)
        threshold_table(rule, [part[0] for part in parts])
        runs = run_stretches(rule, driver, (), parts)
        frame = pl.concat([spine_frame(run.bars(0, len(run.ends)), symbol_id) for run in runs])
        return whole_bars(frame, start_us, end_us)


def get_builder(kind: str) -> SpineBuilder:
    """The builder of a kind of spine.

    Raises:
        ConfigError: there is no such kind.

    Examples:
        >>> from pointline import research
        >>> from pointline.research.spines import TimeBarConfig, get_builder
        >>> perp = research.list_symbols("binance-futures", lake="out/demo/lake")["symbol_id"][0]
        >>> spine = get_builder("time").build_spine(
        ...     symbol_id=perp, start_ts_us="2024-05-01", end_ts_us="2024-05-02", config=TimeBarConfig("1h"), lake="out/demo/lake"
        ... )
        >>> spine.height
        24
    """
    return SpineBuilder(kind, rule_of(kind))
