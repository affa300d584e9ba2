"""compare(): one perp against its spot, from the lake to a table of features, and the Study that holds the result."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from pointline import clock
from pointline.errors import ConfigError, VenueRuleError
from pointline.features import FEATURES, FeatureParams, compute_features, forward_labels
from pointline.instruments import check_pair
from pointline.lake.store import as_lake
from pointline.report.summary import summarise
from pointline.research.bars import BarRequest, Bars, build_bars, missing_days, spine_of
from pointline.research.cache import cache_of
from pointline.research.metadata import warn_of_versions
from pointline.research.spines.builder import window
from pointline.research.state import StateParams
from pointline.research.state_feeds import with_state
from pointline.research.threshold import resolve_rule
from pointline.trading.costs import CostModel
from pointline.venue_rules import funding_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.instruments import Instrument, Pair, Registry
    from pointline.lake.store import LakeLike
    from pointline.research.spines.config import BarRule
    from pointline.venue_rules import FundingRule

Join = Literal["asof", "inner"]


_SHOWN_DAYS = 5


class CoverageWarning(UserWarning):
    """Days of the window are missing on one side."""


@dataclass(frozen=True)
class Study:
    """The result of `compare`.

    Attributes:
        pair: the two instruments and why they belong together.
        rule: when bars close.
        rule_note: how the threshold was chosen, where it was chosen for the user.
        start_us, end_us: the window.
        join: ``"asof"`` keeps every bar, ``"inner"`` drops those without a spot trade (the guide's way).
        bars: one row per bar: spine, per-venue aggregates, state with ages.
        features: the bars' columns and every feature, known at ``bucket_end``.
        params: limits, windows and costs of the features.
        notes: what a reader should know: metadata versions, missing days, mixed quotes.
        elapsed_s: seconds from the call to the table.
    """

    pair: Pair
    rule: BarRule
    rule_note: str
    start_us: int
    end_us: int
    join: Join
    bars: pl.DataFrame = field(repr=False)
    features: pl.DataFrame = field(repr=False)
    params: FeatureParams = field(repr=False)
    notes: tuple[str, ...] = ()
    elapsed_s: float = 0.0
    _built: Bars | None = field(default=None, repr=False, compare=False)

    @property
    def spine(self) -> pl.DataFrame:
        """The windows: symbol_id, bar_id, bucket_start, bucket_end, ts_local_us, complete."""
        return spine_of(self.bars)

    @property
    def rule_text(self) -> str:
        """When bars close, in words."""
        values = ", ".join(f"{f.name}={getattr(self.rule, f.name)}" for f in sorted(fields(self.rule), key=lambda f: bool(f.kw_only)))
        text = f"{type(self.rule).__name__}({values})"
        return f"{text}, {self.rule_note}" if self.rule_note else text

    def labels(self, horizons_bars: Sequence[int] = (1, 5, 10), horizons_us: Sequence[int] = ()) -> pl.DataFrame:
        """Forward returns and basis changes from ``bucket_end`` on; never part of `features` (see `forward_labels`)."""
        return forward_labels(self.bars, horizons_bars, horizons_us, params=self.params)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What the command line prints: counts, volume ratio with advice, stale share, quantiles, null shares, speed."""
        if self._built is None:
            raise ConfigError("this study was not made by compare()")
        return summarise(
            features=self.features,
            bars=self.bars,
            built=self._built,
            window=(self.start_us, self.end_us),
            elapsed_s=self.elapsed_s,
            max_spot_age_us=self.params.max_spot_age_us,
            price_factor=self.params.price_factor,
        )


def compare(
    perp: str,
    spot: str,
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    bars: BarRule | str = "auto",
    spot_bars: BarRule | None = None,
    base_bars: BarRule | None = None,
    join: Join = "asof",
    costs: CostModel | None = None,
    params: FeatureParams | None = None,
    state: StateParams | None = None,
    lake: LakeLike | None = None,
    threads: int | None = None,
    cache: bool = True,
) -> Study:
    """Builds bars from the perp's trades, puts both venues on them, and computes every feature.

    Args:
        perp: ``"exchange:symbol"`` of the derivative, e.g. ``"binance-futures:BTCUSDT"``.
        spot: ``"exchange:symbol"`` of its spot market.
        start, end: the window ``[start, end)``; any form that `pointline.clock.to_us` reads.
        bars: when a bar closes; ``"auto"`` takes volume bars of 0.1 to 0.5 % of the daily perp volume.
        spot_bars: gives the spot a spine of its own, whose newest known bar is joined to each perp bar (dual spine).
        base_bars: finer bars of the same kind (carry rule) from which `bars`, a whole multiple of them, are derived; the result does
            not depend on it. With the cache, one pass over the trades then serves a sweep over thresholds.
        join: ``"asof"`` keeps bars without spot trades, ``"inner"`` drops them.
        costs: cost model of the carry features; the guide's figures if None.
        params: other feature parameters; its cost figures are replaced by `costs` where both are given.
        state: age limits of funding, mark, index and open interest.
        lake: a lake or its folder; the default lake if None.
        threads: days counted side by side; the result does not depend on it.
        cache: keep the bars' sums beside the lake and use those of earlier calls; the result does not depend on it.

    Returns:
        A `Study`.

    Raises:
        ConfigError: swapped or unrelated instruments, an empty window, an unusable threshold.
        RegistryError: an unknown instrument; the error has the nearest names.
        NoDataError: nothing in the window; the error has the coverage.

    Warns:
        MetadataWarning: an instrument has several versions inside the window.
        CoverageWarning: days are missing on one side.
    """
    began = time.perf_counter()
    if join not in ("asof", "inner"):
        raise ConfigError("there is no such join", value=join, expected="'asof' or 'inner'")
    start_us, end_us = window(start, end)
    opened = as_lake(lake)
    pair, notes = _pair(opened.registry(), perp, spot, start_us, end_us)
    rule, rule_note = resolve_rule(bars, opened, pair.perp, start_us, end_us)
    params = _feature_params(params, costs, pair, start_us, end_us, notes)
    built = build_bars(
        BarRequest(
            lake=opened,
            perp=pair.perp,
            spot=pair.spot,
            start_us=start_us,
            end_us=end_us,
            rule=rule,
            spot_rule=spot_bars,
            base_rule=base_bars,
            warm_up_bars=max(f.bars_needed(params) for f in FEATURES.values()),
            threads=threads,
            cache=cache_of(opened) if cache else None,
        )
    )
    bars_with_state = with_state(opened, pair.perp, built.frame, state or StateParams())
    notes += [*_coverage_notes(built, start_us, end_us), *_interval_notes(bars_with_state)]
    first = int((built.frame["bucket_start"] < start_us).sum())  # behind the bars that features only look back on
    table = compute_features(bars_with_state, params).slice(first)
    if join == "inner":
        table = table.filter(pl.col("spot_trade_count") > 0)
    return Study(
        pair=pair,
        rule=rule,
        rule_note=rule_note,
        start_us=start_us,
        end_us=end_us,
        join=join,
        bars=bars_with_state.slice(first),
        features=table,
        params=params,
        notes=tuple(notes),
        elapsed_s=time.perf_counter() - began,
        _built=built,
    )


def _pair(registry: Registry, perp: str, spot: str, start_us: int, end_us: int) -> tuple[Pair, list[str]]:
    """The two instruments, and a note for each whose metadata changed inside the window."""
    pair = check_pair(_find(registry, perp, start_us), _find(registry, spot, start_us))
    notes = []
    for instrument in (pair.perp, pair.spot):
        change = warn_of_versions(registry, instrument, start_us, end_us)
        if change is not None:
            notes.append(change)
    return pair, notes


def _find(registry: Registry, name: str, at_us: int) -> Instrument:
    exchange, colon, symbol = name.partition(":")
    if not colon or not exchange or not symbol:
        raise ConfigError(
            "an instrument is named by exchange and symbol", value=name, expected="exchange:symbol, e.g. binance-futures:BTCUSDT"
        )
    return registry.find(exchange, symbol, at_us)


def _coverage_notes(built: Bars, start_us: int, end_us: int) -> list[str]:
    notes = []
    for side, venue in (("perp", built.perp_venue), ("spot", built.spot_venue)):
        missing = missing_days(venue, start_us, end_us)
        if missing:
            shown, more = missing[:_SHOWN_DAYS], len(missing) - _SHOWN_DAYS
            days = ", ".join(clock.date_text(day) for day in shown) + (f" and {more} more" if more > 0 else "")
            effect = "no bars there" if side == "perp" else "bars there have no fresh spot"
            note = f"{len(missing)} of the window's days have no {side} trades ({effect}): {days}"
            warnings.warn(note, CoverageWarning, stacklevel=3)
            notes.append(note)
    return notes


def _interval_notes(bars: pl.DataFrame) -> list[str]:
    told = pl.col("funding_close").is_not_null() & (pl.col("funding_interval_source") == "default")
    assumed = bars.filter(told)["funding_interval_hours"]
    if assumed.is_empty():
        return []
    usual = f"the funding interval is taken to be the venue's usual {assumed[0]:g} h where no payment tells it"
    return [f"{usual}: ingest fundingRate files to know"]


def _feature_params(
    given: FeatureParams | None, costs: CostModel | None, pair: Pair, start_us: int, end_us: int, notes: list[str]
) -> FeatureParams:
    """The parameters with what the pair, the costs and the venue's rules settle."""
    params = given or FeatureParams()
    if costs is not None or given is None:
        model = costs or CostModel()
        params = replace(
            params, total_cost_bps=model.total_bps, four_fill_cost_bps=model.four_fill_bps, borrow_bps_per_day=model.borrow_bps_per_day
        )
    if not params.funding_rules:
        params = replace(params, funding_rules=_rules(pair.perp, start_us, end_us, notes))
    if not pair.quote_match:
        perp, spot = pair.perp, pair.spot
        quotes = f"{perp.name} is quoted in {perp.quote_asset}, {spot.name} in {spot.quote_asset}"
        notes.append(f"{quotes}: the basis holds their rate and is named cross_quote_basis_bps")
    return replace(params, price_factor=float(pair.price_factor), cross_quote=not pair.quote_match)


def _rules(perp: Instrument, start_us: int, end_us: int, notes: list[str]) -> tuple[FundingRule, ...]:
    if perp.asset_type != "perpetual":
        return ()
    try:
        return funding_rules(perp.exchange, start_us, end_us, base_asset=perp.base_asset)
    except VenueRuleError as error:
        notes.append(f"funding_fair is null: {error.what}")
        return ()
