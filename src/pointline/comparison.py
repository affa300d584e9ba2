"""compare(): one perp against its spot, from the lake to a table of features, and the Study that holds the result."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from pointline import clock
from pointline.errors import ConfigError, VenueRuleError
from pointline.features import FEATURES, FeatureParams, compute_features, forward_labels
from pointline.instruments import check_pair, sql_exchange
from pointline.lake.coverage import share_text
from pointline.lake.store import as_lake
from pointline.lake.studies import save_study
from pointline.report.files import WrittenTable, check_output, write_blocks
from pointline.report.summary import BarTotals, summarise
from pointline.research.bars import BarRequest, Bars, build_bars, spine_of
from pointline.research.cache import cache_of
from pointline.research.coverage import window_coverage
from pointline.research.metadata import warn_of_versions
from pointline.research.spines.builder import keep_stretches, stretches, venue_of, window
from pointline.research.spines.config import check_bars
from pointline.research.state import StateParams
from pointline.research.state_feeds import StateReader
from pointline.research.threshold import resolve_rule
from pointline.trading.costs import CostModel
from pointline.venue_rules import funding_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pointline.instruments import Instrument, Pair, Registry
    from pointline.lake.store import Lake, LakeLike
    from pointline.research.coverage import WindowCoverage
    from pointline.research.spines.config import BarRule
    from pointline.venue_rules import FundingRule, Venues

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
    params: FeatureParams = field(repr=False)
    notes: tuple[str, ...]
    elapsed_s: float
    _table: pl.DataFrame | WrittenTable = field(repr=False)
    _bars: pl.DataFrame | None = field(repr=False)
    _totals: BarTotals = field(repr=False)
    _built: Bars = field(repr=False, compare=False)
    _lake: Lake = field(repr=False, compare=False)

    @cached_property
    def features(self) -> pl.DataFrame:
        """The bars' columns and every feature, one row per bar that the join keeps, known at ``bucket_end``."""
        return self._table if isinstance(self._table, pl.DataFrame) else self._table.scan().collect()

    @cached_property
    def bars(self) -> pl.DataFrame:
        """One row per bar: spine, per-venue aggregates, state with ages; of a study that was written to a file, the bars in it."""
        return self.features.select(self._totals.columns) if self._bars is None else self._bars

    @property
    def columns(self) -> list[str]:
        """Names of the columns of `features`."""
        return self._rows.collect_schema().names()

    @property
    def _rows(self) -> pl.LazyFrame:
        return self._table.lazy() if isinstance(self._table, pl.DataFrame) else self._table.scan()

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

    def labels(self, horizons_bars: Sequence[int] = (1, 5, 10), horizons_us: Sequence[clock.DurationLike] = ()) -> pl.DataFrame:
        """Forward returns and basis changes from ``bucket_end`` on; never part of `features` (see `forward_labels`)."""
        return forward_labels(self.bars, horizons_bars, horizons_us, params=self.params)

    def save(self, name: str, *, lake: LakeLike | None = None) -> Path:
        """Stores the features in the lake, where SQL finds them as ``study = name`` in ``api.features``.

        Args:
            name: letters, digits, dots, dashes and underscores; a study of the same name is replaced.
            lake: another lake than the one that was compared in.

        Returns:
            The Parquet file.

        Raises:
            ConfigError: the name cannot be a file's, or there is no lake to save in.
        """
        opened = self._lake if lake is None else as_lake(lake)
        if opened is None:
            raise ConfigError("this study was not made by compare()", expected="lake=, the lake to save it in")
        sides = {"perp": self.pair.perp, "spot": self.pair.spot}
        names = {f"{side}_exchange": sql_exchange(one.exchange) for side, one in sides.items()}
        names |= {f"{side}_market": one.market for side, one in sides.items()}
        return save_study(opened, name, self.features.with_columns(pl.lit(value).alias(column) for column, value in names.items()))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """What the command line prints: counts, volume ratio with advice, stale share, quantiles, null shares, speed."""
        return summarise(
            features=self._rows,
            totals=self._totals,
            built=self._built,
            covered=_window_coverage(self._lake, self._built, self.start_us, self.end_us),
            window=(self.start_us, self.end_us),
            elapsed_s=self.elapsed_s,
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
    include_off_book: bool = False,
    output: str | Path | None = None,
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
        include_off_book: also count the prints that are flagged as off-book.
        output: write the features to this file (.parquet, .arrow or .exact.csv) block by block instead of holding them in memory, which
            then does not grow with the number of bars; the study reads the file when its features are asked for. A .xlsx or .csv is
            for spreadsheets: times and long numbers become text, computed figures have 12 digits; the study keeps every digit.

    Returns:
        A `Study`.

    Raises:
        ConfigError: swapped or unrelated instruments, an empty window, an unusable threshold, a contract whose size is not known, more
            time bars than `pointline.clock.MOST_BARS` in memory; a registered feature that fails, looks ahead or states too short a window.
        RegistryError: an unknown instrument; the error has the nearest names.
        NoDataError: nothing in the window; the error has the coverage.

    Warns:
        MetadataWarning: an instrument has several versions inside the window.
        CoverageWarning: days are missing on one side.
    """
    began = time.perf_counter()
    _check_choices(join, output)
    (start_us, end_us), opened = window(start, end), as_lake(lake)
    pair, notes = _pair(opened.registry(), perp, spot, start_us, end_us)
    rule, rule_note = _rule_of(bars, opened, pair.perp, (start_us, end_us), in_memory=output is None)
    params = _feature_params(params, costs, pair, (start_us, end_us), notes, opened.venues)
    built = build_bars(
        BarRequest(
            *(opened, pair.perp, pair.spot, start_us, end_us),
            rule=rule,
            spot_rule=spot_bars,
            base_rule=base_bars,
            max_hole_us=params.max_hole_us,
            warm_up_bars=max(f.bars_needed(params) for f in FEATURES.values()),
            threads=threads,
            cache=cache_of(opened) if cache else None,
            include_off_book=include_off_book,
        )
    )
    notes += _coverage_notes(_window_coverage(opened, built, start_us, end_us))
    attach = StateReader(opened, pair.perp, state or StateParams()).attach
    tables = _Tables(attach, params, start_us, join, BarTotals(params.max_spot_age_us))
    table, whole = tables.together(built.blocks) if output is None else tables.written(built.blocks, Path(output))
    return Study(
        pair=pair,
        rule=rule,
        rule_note=rule_note,
        start_us=start_us,
        end_us=end_us,
        join=join,
        params=params,
        notes=(*notes, *tables.interval_notes),
        elapsed_s=time.perf_counter() - began,
        _table=table,
        _bars=whole,
        _totals=tables.totals,
        _built=built,
        _lake=opened,
    )


def sweep(
    perp: str,
    spot: str,
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    bars: Sequence[BarRule],
    join: Join = "asof",
    costs: CostModel | None = None,
    params: FeatureParams | None = None,
    state: StateParams | None = None,
    lake: LakeLike | None = None,
    threads: int | None = None,
    include_off_book: bool = False,
) -> Iterator[Study]:
    """`compare` for several rules, with one pass over the trades for all of them.

    The sums of every rule's bars go to the lake's cache in that pass, and each study is made from them when it is asked for; it
    equals what `compare` gives for its rule alone.

    Args:
        perp, spot, start, end, join, costs, params, state, lake, threads, include_off_book: as for `compare`.
        bars: when a bar closes, for each study.

    Yields:
        A `Study` per rule, in the order of the rules.

    Raises:
        PointlineError: as `compare`; those of a rule when its turn comes.
    """
    start_us, end_us = window(start, end)
    opened = as_lake(lake)
    pair, _ = _pair(opened.registry(), perp, spot, start_us, end_us)
    driver, other = (
        venue_of(opened, instrument, start_us, end_us, include_off_book=include_off_book) for instrument in (pair.perp, pair.spot)
    )
    for anchor in sorted({rule.anchor for rule in bars}):
        rules = [rule for rule in bars if rule.anchor == anchor]
        parts = stretches(rules[0], [driver], start_us, end_us)
        keep_stretches(rules, driver, (driver, other), parts, cache_of(opened), threads=threads)
    for rule in bars:
        yield compare(
            *(perp, spot),
            start=start,
            end=end,
            bars=rule,
            join=join,
            costs=costs,
            params=params,
            state=state,
            lake=opened,
            threads=threads,
            include_off_book=include_off_book,
        )


def _rule_of(bars: BarRule | str, lake: Lake, perp: Instrument, window_us: tuple[int, int], *, in_memory: bool) -> tuple[BarRule, str]:
    """The rule and how it was chosen; refused where its bars are more than memory should hold."""
    rule, note = resolve_rule(bars, lake, perp, *window_us)
    if in_memory:
        check_bars(rule, *window_us, hint="choose longer ones or a shorter window, or write them to a file with output=")
    return rule, note


def _check_choices(join: str, output: str | Path | None) -> None:
    if join not in ("asof", "inner"):
        raise ConfigError("there is no such join", value=join, expected="'asof' or 'inner'")
    if output is not None:
        check_output(output)


@dataclass
class _Tables:
    """Blocks of bars as blocks of features, each with as many bars in front of it as the features look back on.

    Attributes:
        attach: puts the derivative's state beside bars.
        params: of the features.
        start_us: where the window starts; the bars before it are only looked back on.
        join: which bars are kept.
        totals: sums over all bars of the window.
        interval_notes: what is to be said of the funding interval.
    """

    attach: Callable[[pl.DataFrame], pl.DataFrame]
    params: FeatureParams
    start_us: int
    join: Join
    totals: BarTotals
    interval_notes: list[str] = field(default_factory=list)

    def written(self, bars: Iterator[pl.DataFrame], path: Path) -> tuple[WrittenTable, None]:
        """The features that are kept, in a file."""
        return write_blocks((self._kept(table) for table in self._all(bars)), path), None

    def together(self, bars: Iterator[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """All features that are kept, and all bars."""
        whole = pl.concat(self._all(bars), rechunk=True)
        return self._kept(whole), whole.select(self.totals.columns)

    def _kept(self, table: pl.DataFrame) -> pl.DataFrame:
        return table if self.join == "asof" else table.filter(pl.col("spot_trade_count") > 0)

    def _all(self, bars: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        look_back = max(f.bars_needed(self.params) for f in FEATURES.values())
        before = pl.DataFrame()
        for block in bars:
            known = pl.concat([before, self.attach(block)], how="diagonal")
            first = before.height + int((block["bucket_start"] < self.start_us).sum())
            before = known.tail(look_back)
            inside = known.slice(first)
            self.totals.add(inside)
            self.interval_notes = self.interval_notes or _interval_notes(inside)
            yield compute_features(known, self.params).slice(first)


def _pair(registry: Registry, perp: str, spot: str, start_us: int, end_us: int) -> tuple[Pair, list[str]]:
    """The two instruments, and a note for each whose metadata changed inside the window."""
    pair = check_pair(_find(registry, perp, start_us), _find(registry, spot, start_us), registry.known)
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


def _coverage_notes(covered: dict[str, WindowCoverage]) -> list[str]:
    notes = []
    for side, own in covered.items():
        if own.missing_days:
            days = _first_of([clock.date_text(day) for day in own.missing_days])
            effect = "no bars there" if side == "perp" else "bars there have no fresh spot"
            note = f"{len(own.missing_days)} of the window's days have no {side} trades ({effect}): {days}"
            warnings.warn(note, CoverageWarning, stacklevel=3)
            notes.append(note)
        if own.part_days:
            days = _first_of([f"{clock.date_text(day)} to {share_text(share)}, {words}" for day, share, words in own.part_days], "; ")
            notes.append(f"{len(own.part_days)} of the window's days are covered in part by {side} trades: {days}")
        counts = (own.flagged, own.quarantined, own.missing_ids)
        reasons = ("flagged as off-book and not in the bars", "quarantined", "missing by their ids")
        told = [f"{count:,} {reason}" for count, reason in zip(counts, reasons, strict=True) if count]
        if told:
            notes.append(f"{side} trades of the window's days: {'; '.join(told)}")
    return notes


def _first_of(texts: list[str], comma: str = ", ") -> str:
    more = len(texts) - _SHOWN_DAYS
    return comma.join(texts[:_SHOWN_DAYS]) + (f" and {more} more" if more > 0 else "")


def _window_coverage(lake: Lake, built: Bars, start_us: int, end_us: int) -> dict[str, WindowCoverage]:
    sides = {"perp": built.perp_venue, "spot": built.spot_venue}
    return {side: window_coverage(lake, venue.instrument, venue.files, start_us, end_us) for side, venue in sides.items()}


def _interval_notes(bars: pl.DataFrame) -> list[str]:
    told = pl.col("funding_close").is_not_null() & (pl.col("funding_interval_source") == "default")
    assumed = bars.filter(told)["funding_interval_hours"]
    if assumed.is_empty():
        return []
    usual = f"the funding interval is taken to be the venue's usual {assumed[0]:g} h where no payment tells it"
    return [f"{usual}: ingest fundingRate files to know"]


def _feature_params(
    given: FeatureParams | None, costs: CostModel | None, pair: Pair, window_us: tuple[int, int], notes: list[str], known: Venues
) -> FeatureParams:
    """The parameters with what the pair, the costs and the venue's rules settle."""
    params = given or FeatureParams()
    if costs is not None or given is None:
        model = costs or CostModel()
        params = replace(
            params, total_cost_bps=model.total_bps, four_fill_cost_bps=model.four_fill_bps, borrow_bps_per_day=model.borrow_bps_per_day
        )
    if not params.funding_rules:
        params = replace(params, funding_rules=_rules(pair.perp, window_us, notes, known))
    if not pair.quote_match:
        perp, spot = pair.perp, pair.spot
        quotes = f"{perp.name} is quoted in {perp.quote_asset}, {spot.name} in {spot.quote_asset}"
        notes.append(f"{quotes}: the basis holds their rate and is named cross_quote_basis_bps")
    return replace(params, price_factor=float(pair.price_factor), cross_quote=not pair.quote_match)


def _rules(perp: Instrument, window_us: tuple[int, int], notes: list[str], known: Venues) -> tuple[FundingRule, ...]:
    if perp.asset_type != "perpetual":
        return ()
    try:
        return funding_rules(perp.exchange, *window_us, base_asset=perp.base_asset, known=known)
    except VenueRuleError as error:
        notes.append(f"funding_fair is null: {error.what}")
        return ()
