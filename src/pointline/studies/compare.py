"""compare(): one perp against its spot, from the lake to a table of features."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pointline import clock
from pointline.bars.aggregate import has_trade
from pointline.bars.build import build_bars
from pointline.bars.cache import cache_of
from pointline.bars.candle_events import candle_length
from pointline.bars.request import TRADES, BarRequest
from pointline.bars.rules import BarRule, check_bars
from pointline.bars.stretches import keep_stretches, stretches, venue_of
from pointline.bars.threshold import resolve_rule
from pointline.bars.trailing import decided, threshold_note, thresholds_text
from pointline.costs import CostModel
from pointline.errors import ConfigError, VenueRuleError
from pointline.features import FEATURES, FeatureParams, PairParams, compute_features
from pointline.features.registry import prepare
from pointline.instruments import check_pair
from pointline.instruments.versions import warn_of_versions
from pointline.lake.store import as_lake
from pointline.progress import followed
from pointline.report.files import WrittenTable, check_output, write_blocks
from pointline.state.attach import StateParams
from pointline.state.feeds import StateReader
from pointline.studies.coverage import coverage_notes, interval_notes, sides_of
from pointline.studies.figures import BarTotals
from pointline.studies.named import named_instrument, resolved_costs
from pointline.studies.study import Study
from pointline.venues.funding import funding_rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pointline.instruments import Instrument, Pair, Registry
    from pointline.lake.store import Lake, LakeLike
    from pointline.progress import Progress
    from pointline.studies.study import Join
    from pointline.venues.files import Venues
    from pointline.venues.funding import FundingRule


THRESHOLDS = "pointline_thresholds"
"""In the footer of the file of a part: its thresholds, where these change by the day (`pointline.bars.trailing.thresholds_text`)."""


def compare(
    perp: str,
    spot: str,
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    bars: BarRule | str | pl.DataFrame = "auto",
    spot_bars: BarRule | None = None,
    base_bars: BarRule | None = None,
    events: str = TRADES,
    join: Join = "asof",
    costs: CostModel | str | None = None,
    params: FeatureParams | None = None,
    state: StateParams | None = None,
    lake: LakeLike | None = None,
    threads: int | None = None,
    cache: bool = True,
    include_off_book: bool = False,
    output: str | Path | None = None,
    progress: Progress = False,
) -> Study:
    """Builds bars from the perp's trades or candles, sums both venues on them, and computes every feature.

    Args:
        perp: ``"exchange:symbol"`` of the derivative, e.g. ``"binance-futures:BTCUSDT"``.
        spot: ``"exchange:symbol"`` of its spot market.
        start, end: the window ``[start, end)``; any form that `pointline.clock.to_us` reads.
        bars: when a bar closes; ``"auto"`` takes volume bars of 0.1 to 0.5 % of the daily perp volume. A frame is a spine of your own:
            its windows are the bars (see `pointline.bars.given.GivenBars`).
        spot_bars: gives the spot a spine of its own, whose newest known bar is joined to each perp bar (dual spine).
        base_bars: finer bars of the same kind (carry rule) from which `bars`, a whole multiple of them, are derived; the result does
            not depend on it. With the cache, one pass over the trades then serves a sweep over thresholds.
        events: what bars are made of: ``"trades"``, or candles of traded prices that the lake holds of both sides, such as
            ``"candles_1m"``. Bars of candles are volume, dollar or time bars and end where candles end; what needs single trades is null
            (see `pointline.bars.candle_events`).
        join: ``"asof"`` keeps bars without spot trades, ``"inner"`` drops them.
        costs: cost model of the carry features, or a preset by name (see `pointline.venues.fees.named_costs`); ``params.costs`` if None,
            by default the figures of the perp-spot guide.
        params: feature parameters.
        state: age limits of funding, mark, index and open interest.
        lake: a lake or its folder; the default lake if None.
        threads: days counted in parallel; the result does not depend on it.
        cache: keep the bars' sums beside the lake and use those of earlier calls; the result does not depend on it.
        include_off_book: also count the prints that are flagged as off-book.
        output: write the features to this file (.parquet, .arrow or .exact.csv) block by block instead of holding them in memory, which
            then does not grow with the number of bars; the study reads the file when its features are asked for. A .xlsx or .csv is
            for spreadsheets: times and long numbers become text, computed figures have 12 digits; the study keeps every digit.
        progress: True shows a line of progress; a function is called with the microseconds of the window that are done, those of the
            whole window, and the date.

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

    Examples:
        Hourly bars of one day of the demo's market:

        >>> import pointline
        >>> from pointline.research.spines import TimeBarConfig
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT",
        ...     "binance-spot:BTCUSDT",
        ...     start="2024-05-01",
        ...     end="2024-05-02",
        ...     bars=TimeBarConfig("1h"),
        ...     lake="out/demo/lake",
        ... )
        >>> study.features.height
        24
        >>> study.features.columns[:4]
        ['symbol_id', 'bar_id', 'bucket_start', 'bucket_end']
    """
    began = time.perf_counter()
    check_choices(join, output, (spot_bars, base_bars), params=params, state=state)
    if events != TRADES:
        candle_length(events)  # refuses what is no such table
    (start_us, end_us), opened = clock.window_us(start, end), as_lake(lake)
    choice = settle(opened, perp, spot, (start_us, end_us), bars, costs=costs, params=params, events=events, in_memory=output is None)
    pair, notes = choice.pair, list(choice.notes)
    limits: FeatureParams = choice.params
    with followed("compare", progress) as tell:
        built = build_bars(
            BarRequest(
                *(opened, pair.perp, pair.spot, start_us, end_us, choice.rule, spot_bars, base_bars),
                max_hole_us=limits.max_hole_us,
                warm_up_bars=_look_back_bars(choice.params),
                threads=threads,
                cache=cache_of(opened) if cache and choice.rule.cacheable else None,
                include_off_book=include_off_book,
                events=events,
                told=lambda us: tell(us - start_us, end_us - start_us, clock.date_text(us - 1)),
            )
        )
        units = {"base": pair.perp.base_asset, "quote": pair.perp.quote_asset}
        rule_note = choice.rule_note or threshold_note(built.thresholds, units.get(choice.rule.unit, choice.rule.unit))
        sides, covered = sides_of(opened, built, start_us, end_us)
        notes += coverage_notes(covered, "trades" if events == TRADES else "candles")
        known = StateReader(opened, pair.perp, state or StateParams())
        known.read_ahead(start_us + 1)  # while the first bars are counted
        prepare(choice.params)
        tables = _Tables(known.attach, choice.params, start_us, join, BarTotals(limits.max_spot_age_us), events)
        table, whole = tables.together(built.blocks) if output is None else tables.written(built.blocks, Path(output))
    return Study(
        pair=pair,
        rule=choice.rule,
        rule_note=rule_note,
        start_us=start_us,
        end_us=end_us,
        join=join,
        params=choice.params,
        notes=(*notes, *tables.notes),
        elapsed_s=time.perf_counter() - began,
        _table=table,
        _bars=whole,
        _totals=tables.totals,
        _sides=sides,
        _covered=covered,
        _lake=opened,
        thresholds=built.thresholds,
    )


@dataclass(frozen=True)
class Settled:
    """What is settled before a comparison's first bar is counted.

    Attributes:
        pair: the two instruments, as they were at the window's start.
        rule: when bars close.
        rule_note: how the threshold was chosen, where it was left open.
        params: of the features, with those of the pair, the costs and the venue's funding rules.
        notes: what a reader should know.
    """

    pair: Pair
    rule: BarRule
    rule_note: str
    params: PairParams
    notes: tuple[str, ...]


def settle(
    lake: Lake,
    perp: str,
    spot: str,
    window_us: tuple[int, int],
    bars: BarRule | str | pl.DataFrame,
    *,
    costs: CostModel | str | None,
    params: FeatureParams | None,
    events: str,
    in_memory: bool,
) -> Settled:
    """Settles what depends on the whole window of a comparison: instruments, rule, costs and funding rules.

    Args:
        lake: where the instruments and days are.
        perp, spot, bars, costs, params, events: as for `compare`.
        window_us: the window ``[start, end)``.
        in_memory: refuse more time bars than memory should hold.

    Raises:
        PointlineError: as `compare`.
    """
    pair, notes = _pair(lake.registry(), perp, spot, *window_us, stacklevel=5)  # the line that called `compare`
    rule, rule_note = _rule_of(bars, lake, pair.perp, window_us, in_memory=in_memory, events=events)
    chosen = FeatureParams() if params is None else params
    known = _pair_params(chosen, costs, pair, window_us, notes, lake.venues)
    return Settled(pair, rule, rule_note, known, tuple(notes))


def compare_part(request: BarRequest, choice: Settled, join: Join, state: StateParams | None, path: Path) -> PartFigures:
    """The features of a part of a comparison's window, in a Parquet file; a part without a whole bar has no file.

    Thresholds that change by the day stand in the file's footer.

    Bars that are counted by the day, and features that look back on a stated number of bars, make parts of whole days together equal to
    the whole, bit for bit: each part looks back on the bars in front of it. What depends on the whole window is settled before.

    Args:
        request: the part. ``warm_up_bars`` and ``max_hole_us`` are replaced by those of the features.
        choice: what was settled for the whole window.
        join, state: as for `compare`.
        path: of the file, in an existing folder.

    Raises:
        NoDataError: one side has no trades or candles in the part.
        DamageError: a file of the lake is not what was written.
    """
    limits: FeatureParams = choice.params
    built = build_bars(replace(request, max_hole_us=limits.max_hole_us, warm_up_bars=_look_back_bars(choice.params), part=True))
    known = StateReader(request.lake, choice.pair.perp, state or StateParams())
    tables = _Tables(known.attach, choice.params, request.start_us, join, BarTotals(limits.max_spot_age_us), request.events)
    told = {} if built.thresholds.is_empty() else {THRESHOLDS: thresholds_text(built.thresholds)}
    rows = complete = 0

    def kept() -> Iterator[pl.DataFrame]:
        nonlocal rows, complete
        for table in tables.computed(built.blocks):
            kept = tables.kept(table)
            rows, complete = rows + kept.height, complete + int(table["complete"].sum())
            yield kept

    blocks = kept()
    first = next(blocks, None)
    if first is None:
        return PartFigures(0, 0)
    write_blocks(chain([first], blocks), path, footer=told)
    return PartFigures(rows, complete)


@dataclass(frozen=True)
class PartFigures:
    """What a part of a comparison holds.

    Attributes:
        rows: bars that the join keeps.
        complete: bars that closed by their rule, kept or not.
    """

    rows: int
    complete: int


def _look_back_bars(params: PairParams) -> int:
    return max(feature.bars_needed(params) for feature in FEATURES.values())


def sweep(
    perp: str,
    spot: str,
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    bars: Sequence[BarRule],
    join: Join = "asof",
    costs: CostModel | str | None = None,
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
        ConfigError: `bars` is no list of rules.
        PointlineError: as `compare`; those of a rule when its turn comes.

    Examples:
        >>> import pointline
        >>> from pointline.research.spines import TimeBarConfig
        >>> studies = pointline.sweep(
        ...     "binance-futures:BTCUSDT",
        ...     "binance-spot:BTCUSDT",
        ...     start="2024-05-01",
        ...     end="2024-05-02",
        ...     bars=[TimeBarConfig("1h"), TimeBarConfig("4h")],
        ...     lake="out/demo/lake",
        ... )
        >>> [study.features.height for study in studies]
        [24, 6]
    """
    _check_rules(bars)
    start_us, end_us = clock.window_us(start, end)
    opened = as_lake(lake)
    pair, _ = _pair(opened.registry(), perp, spot, start_us, end_us)
    driver, other = (
        venue_of(opened, instrument, start_us, end_us, include_off_book=include_off_book) for instrument in (pair.perp, pair.spot)
    )
    for anchor in sorted({rule.anchor for rule in bars}):
        rules = [rule for rule in bars if rule.anchor == anchor]
        parts = stretches(rules[0], [driver], start_us, end_us)
        rules = [decided(rule, opened, pair.perp, include_off_book=include_off_book, cache=cache_of(opened)) for rule in rules]
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


def _check_rules(bars: Sequence[BarRule]) -> None:
    if not (isinstance(bars, list | tuple) and bars) or not all(isinstance(rule, BarRule) and rule.cacheable for rule in bars):
        raise ConfigError(
            "sweep takes a list of rules", value=bars, expected="for example [VolumeBarConfig(50), VolumeBarConfig(100)]", where="bars"
        )


def _rule_of(
    bars: BarRule | str | pl.DataFrame, lake: Lake, perp: Instrument, window_us: tuple[int, int], *, in_memory: bool, events: str
) -> tuple[BarRule, str]:
    """The rule and how it was chosen; refused where its bars are more than memory should hold."""
    rule, note = resolve_rule(bars, lake, perp, *window_us, events=events)
    if in_memory:
        check_bars(rule, *window_us, hint="choose longer ones or a shorter window, or write them to a file with output=")
    return rule, note


def check_choices(
    join: str,
    output: str | Path | None,
    other_rules: tuple[object, object],
    *,
    params: FeatureParams | None,
    state: StateParams | None,
) -> None:
    """Refuses choices of a comparison that cannot be used, before the lake is read.

    Raises:
        ConfigError: one of them.
    """
    if join not in ("asof", "inner"):
        raise ConfigError("there is no such join", value=join, expected="'asof' or 'inner'")
    for name, value, kind in (("params", params, FeatureParams), ("state", state, StateParams)):
        if value is not None and not isinstance(value, kind):
            raise ConfigError(f"{name} has the wrong type", value=value, expected=f"{kind.__name__}(...) or None")
    for name, rule in zip(("spot_bars", "base_bars"), other_rules, strict=True):
        if rule is not None and not (isinstance(rule, BarRule) and rule.cacheable):
            raise ConfigError(f"{name} is not a bar rule", value=rule, expected="a config such as VolumeBarConfig(100.0), or None")
    if output is not None:
        check_output(output)


@dataclass
class _Tables:
    """Blocks of bars as blocks of features, each computed with the earlier bars that the features look back on.

    Attributes:
        attach: puts the derivative's state beside bars.
        params: of the features.
        start_us: start of the window; earlier bars are only looked back on.
        join: which bars are kept.
        totals: sums over all bars of the window.
        events: what the bars are made of.
        interval_notes: notes about the funding interval.
    """

    attach: Callable[[pl.DataFrame], pl.DataFrame]
    params: PairParams
    start_us: int
    join: Join
    totals: BarTotals
    events: str = TRADES
    interval_notes: list[str] = field(default_factory=list)

    def written(self, bars: Iterator[pl.DataFrame], path: Path) -> tuple[WrittenTable, None]:
        """The features that are kept, in a file."""
        return write_blocks((self.kept(table) for table in self.computed(bars)), path), None

    def together(self, bars: Iterator[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """All features that are kept, and all bars."""
        whole = pl.concat(self.computed(bars), rechunk=True)
        return self.kept(whole), whole.select(self.totals.columns)

    @property
    def notes(self) -> list[str]:
        """What is to be said of the tables that were made."""
        if self.events == TRADES:
            return self.interval_notes
        absent = ", ".join(sorted(self.totals.absent))
        return [
            f"bars are made of {self.events}; what these do not tell is null, with all that is computed of it: {absent}",
            *self.interval_notes,
        ]

    def kept(self, table: pl.DataFrame) -> pl.DataFrame:
        """The bars that the join keeps."""
        return table if self.join == "asof" else table.filter(has_trade("spot"))

    def computed(self, bars: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """The bars of the window with their features, block by block."""
        look_back = _look_back_bars(self.params)
        before = pl.DataFrame()
        for block in bars:
            known = pl.concat([before, self.attach(block)], how="diagonal")
            first = before.height + int((block["bucket_start"] < self.start_us).sum())
            before = known.tail(look_back)
            inside = known.slice(first)
            self.totals.add(inside)
            self.interval_notes = self.interval_notes or interval_notes(inside)
            yield compute_features(known, self.params).slice(first)


def _pair(registry: Registry, perp: str, spot: str, start_us: int, end_us: int, *, stacklevel: int = 4) -> tuple[Pair, list[str]]:
    """The two instruments, and a note for each whose metadata changed inside the window."""
    pair = check_pair(named_instrument(registry, perp, start_us), named_instrument(registry, spot, start_us), registry.known)
    notes = []
    for instrument in (pair.perp, pair.spot):
        change = warn_of_versions(registry, instrument, start_us, end_us, stacklevel=stacklevel)
        if change is not None:
            notes.append(change)
    return pair, notes


def _pair_params(
    given: FeatureParams, costs: CostModel | str | None, pair: Pair, window_us: tuple[int, int], notes: list[str], known: Venues
) -> PairParams:
    """The parameters together with the pair, the costs and the venue's funding rules."""
    params = PairParams.of(given, price_factor=float(pair.price_factor), cross_quote=not pair.quote_match)
    if costs is not None:
        model, told = resolved_costs(costs, pair, window_us, known)
        notes += told
        if params.costs not in (CostModel(), model):
            raise ConfigError(
                "the costs are given twice, in costs and in params", value=costs, expected=f"one of them; params has {params.costs}"
            )
        params = replace(params, costs=model)
    if not params.funding_rules:
        params = replace(params, funding_rules=_rules(pair.perp, window_us, notes, known))
    if not pair.quote_match:
        perp, spot = pair.perp, pair.spot
        quotes = f"{perp.name} is quoted in {perp.quote_asset}, {spot.name} in {spot.quote_asset}"
        notes.append(f"{quotes}: the basis also contains the rate between them and is named cross_quote_basis_bps")
    return params


def _rules(perp: Instrument, window_us: tuple[int, int], notes: list[str], known: Venues) -> tuple[FundingRule, ...]:
    if perp.asset_type != "perpetual":
        return ()
    try:
        return funding_rules(perp.exchange, *window_us, base_asset=perp.base_asset, quote_asset=perp.quote_asset, known=known)
    except VenueRuleError as error:
        notes.append(f"funding_fair is null: {error.what}")
        return ()
