"""scan(): every perpetual of an exchange against its spot, from the lake to one table, and the Scan that holds it."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from pointline import clock
from pointline.bars.candle_events import candle_length
from pointline.bars.request import TRADES
from pointline.bars.rules import BarRule, TimeBarConfig
from pointline.errors import ConfigError, PointlineError
from pointline.evaluation.check_limits import CheckLimits
from pointline.lake.held import HeldLake
from pointline.lake.store import as_lake
from pointline.progress import followed
from pointline.report.files import write_blocks
from pointline.studies.compare import compare
from pointline.studies.scan_pairs import listed_markets, scan_pairs
from pointline.studies.scan_panel import computed_panel, panel_schema, part_path, written_panel
from pointline.studies.scan_rows import COMPARED, SCAN_SCHEMA, row_of_reason, row_of_study, scan_table, without_common_notes
from pointline.studies.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from pointline.costs import CostModel
    from pointline.features import FeatureParams
    from pointline.lake.store import Lake, LakeLike
    from pointline.progress import Progress
    from pointline.state.attach import StateParams
    from pointline.studies.scan_pairs import ScanPair
    from pointline.studies.study import Study

SORT = "carry_net_bps"
DEFAULT_BARS = TimeBarConfig("5m")


class ScanOptions(NamedTuple):
    """How each pair is compared; the fields are those of `pointline.compare`."""

    start_us: int
    end_us: int
    bars: BarRule | str
    events: str
    costs: CostModel | str | None
    params: FeatureParams | None
    state: StateParams | None
    cache: bool


class FoundPair(NamedTuple):
    """What became of a pair: its row, and the columns of its features or the error.

    Attributes:
        row: as `pointline.studies.scan_rows.row_of_study` gives it.
        columns: of its features; None where there are none.
        error: why, where it is an error.
    """

    row: dict[str, Any]
    columns: pl.Schema | None = None
    error: PointlineError | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan:
    """The result of `pointline.scan`. It can be pickled; a lake of that path is then needed for features that are in no file.

    Attributes:
        markets: what was scanned, in words.
        table: one row per pair with the columns of `pointline.studies.scan_rows.SCAN_SCHEMA`, sorted.
        sort: the column it is sorted by.
        options: how each pair was compared.
        notes: what a reader should know.
    """

    markets: str
    table: pl.DataFrame = field(repr=False)
    sort: str
    options: ScanOptions
    notes: tuple[str, ...]
    _schemas: dict[tuple[str, str], pl.Schema] = field(repr=False)
    _parts: Path | None = field(repr=False)
    _lake: Lake = field(repr=False)

    @property
    def title(self) -> str:
        """What was scanned."""
        return f"Scan of {self.markets}"

    @property
    def window_text(self) -> str:
        """The window and what bars are made of."""
        start, end = (clock.time_text(us) for us in (self.options.start_us, self.options.end_us))
        return f"{start} to {end} UTC, end exclusive. Bars: {_bars_text(self.options.bars)} of {self.options.events}"

    @cached_property
    def verdict(self) -> str:
        """The result in a sentence."""
        told = self.summary
        text = f"{told['compared']:,} of {told['pairs']:,} pairs compared"
        if told["not_compared"]:
            text += f", {told['not_compared']:,} could not be"
        paying = told["carry_above_costs"]
        text += f". Funding less costs was above zero in {paying:,}"
        if told["best"] is not None:
            text += f"; the largest is {told['best']['perp']} with {told['best']['carry_net_bps']:+,.1f} bps"
        return f"{text}. {told['passed']:,} pass the checklist."

    @cached_property
    def summary(self) -> Summary:
        """Counts, the best pair, and why pairs could not be compared; JSON-ready."""
        table = self.table
        compared = table.filter(pl.col("status") == COMPARED)
        best = compared.drop_nulls("carry_net_bps").sort("carry_net_bps", "perp", "spot", descending=[True, False, False]).head(1)
        reasons = Counter(table["reason"].drop_nulls().to_list())
        failed = Counter(name for text in compared["failed"].to_list() for name in text.split(", ") if name)
        return Summary(
            {
                "markets": self.markets,
                "window_us": [self.options.start_us, self.options.end_us],
                "bars": _bars_text(self.options.bars),
                "events": self.options.events,
                "sort": self.sort,
                "pairs": table.height,
                "compared": compared.height,
                "not_compared": table.height - compared.height,
                "cross_quote": int(compared["cross_quote"].sum()),
                "passed": compared.filter(pl.col("checklist") == "pass").height,
                "carry_above_costs": compared.filter(pl.col("carry_net_bps") > 0).height,
                "best": next(best.select("perp", "spot", "carry_net_bps").iter_rows(named=True), None),
                "failed_points": dict(sorted(failed.items())),
                "reasons": dict(sorted(reasons.items())),
            }
        )

    @property
    def features(self) -> pl.LazyFrame:
        """The features of all pairs one below the other, with ``perp`` and ``spot`` in front, lazily.

        Read from the files of ``output=``; without them, each pair is compared again when its rows are asked for. A pair is in memory at a
        time where the query allows it: ``scan.features.filter(...).sink_parquet(...)`` or a ``group_by`` with
        ``collect(engine="streaming")``. A row is known at its ``bucket_end``, and not before.

        Columns that a pair does not have are null: ``basis_bps`` where the quotes differ, ``cross_quote_basis_bps`` where they are alike.
        """
        schema = panel_schema(list(self._schemas.values()))
        if self._parts is not None:
            return written_panel([(names, part_path(self._parts, *names)) for names in self._schemas], schema)
        return computed_panel(list(self._schemas), schema, self._features_of)

    def study(self, perp: str, spot: str | None = None) -> Study:
        """The comparison of one pair of the scan, made again.

        Args:
            perp: its name in the table.
            spot: likewise; needed where a perpetual was set against several.

        Raises:
            ConfigError: there is no such pair among those that were compared.
        """
        named = [names for names in self._schemas if names[0] == perp and spot in (None, names[1])]
        if len(named) != 1:
            raise ConfigError(
                "the scan compared no such pair" if not named else "the scan compared this perpetual with several spots",
                where="study",
                value=perp if spot is None else (perp, spot),
                expected="a perp of the table whose status is compared" if not named else f"also one of {', '.join(n[1] for n in named)}",
            )
        return _compared(self._lake, named[0], self.options)

    def _features_of(self, names: tuple[str, str]) -> pl.DataFrame:
        with warnings.catch_warnings(action="ignore"):  # the notes of the row say the same
            return _compared(self._lake, names, self.options).features

    def view(self, *, rows: int = 20) -> RenderableType:
        """What the command line prints.

        Args:
            rows: pairs that are shown.
        """
        from pointline.report.scan_view import scan_view

        return scan_view(
            self.table,
            title=self.title,
            lines=(self.window_text, self.verdict),
            notes=self.notes,
            rows=rows,
        )

    def report(self, path: str | Path) -> Path:
        """Writes one page with the whole table that needs no network.

        Args:
            path: of the page, ends in ``.html``; its folder exists.

        Returns:
            The page's file.

        Raises:
            ConfigError: the path ends otherwise, or the folder does not exist.
            MissingExtraError: plotly is not installed.
        """
        from pointline.report.page import check_page_path, write_page
        from pointline.report.scan_page import scan_page

        target = check_page_path(path, figures=False)
        told = self.summary
        facts = (("pairs", f"{told['pairs']:,}"), ("compared", f"{told['compared']:,}"), ("pass the checklist", f"{told['passed']:,}"))
        write_page(
            scan_page(self.table, title=self.title, subtitle=self.window_text, verdict=self.verdict, facts=facts, notes=self.notes), target
        )
        return target

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        shown = self.table.select("perp", "spot", "volume_ratio", "basis_p50_bps", "funding_settled_per_year", SORT, "checklist", "reason")
        return study_html(title=self.title, lines=[self.window_text, self.verdict], tables=[("Pairs", shown)], notes=self.notes)


def scan(
    markets: str | Sequence[str | tuple[str, str]],
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    bars: BarRule | str = DEFAULT_BARS,
    events: str = "candles_1m",
    costs: CostModel | str | None = None,
    params: FeatureParams | None = None,
    state: StateParams | None = None,
    limits: CheckLimits | None = None,
    sort: str = SORT,
    lake: LakeLike | None = None,
    threads: int | None = None,
    cache: bool = True,
    output: str | Path | None = None,
    progress: Progress = False,
) -> Scan:
    """Compares every perpetual of an exchange that the lake has with its spot, and puts the figures of all into one table.

    The registry decides which spot market belongs to a perpetual at the window's start, never the names. A pair that cannot be compared is
    a row with the reason.

    Args:
        markets: an exchange, e.g. ``"binance-futures"``; or a list of perpetuals ``"exchange:symbol"``, or of pairs ``(perp, spot)``.
        start, end: the window ``[start, end)``.
        bars: when a bar closes, as for `pointline.compare`; an automatic threshold is each pair's own.
        events: what bars are made of: a table of candles such as ``"candles_1m"``, or ``"trades"``.
        costs: cost model or preset; ``"venue"`` takes each pair's own fees. The guide's figures if None.
        params, state: as for `pointline.compare`.
        limits: of the checklist.
        sort: a column of the table; numbers from large to small, what is not known last.
        lake: a lake or its folder; the default lake if None.
        threads: pairs that are compared side by side; the result does not depend on it. One per core if None.
        cache: as for `pointline.compare`.
        output: an existing folder; the features of each pair become a Parquet file in it.
        progress: True shows a line of progress; a function is called with the pairs that are done, all pairs, and the perpetual's name.

    Returns:
        A `Scan`.

    Raises:
        ConfigError: an empty window, an unknown column to sort by, a folder that does not exist; or what keeps all pairs from being
            compared, such as bars that candles cannot make.
        NoDataError: the lake has no perpetual of the exchange in the window.

    Examples:
        >>> import pointline
        >>> found = pointline.scan("binance-futures", start="2024-05-01", end="2024-05-03", events="trades", lake="out/demo/lake")
        >>> found.table.select("perp", "spot", "status", "checklist", "failed").row(0)
        ('binance-futures:BTCUSDT', 'binance-spot:BTCUSDT', 'compared', 'fail', 'spot_volume, data_quality, data_age')
        >>> found.features.select("perp", "bucket_end", "basis_bps").collect().height
        576
    """
    options = ScanOptions(*clock.window_us(start, end), bars, events, costs, params, state, cache)
    folder = check_scan(options, sort, limits, threads, output)
    opened = as_lake(lake)
    held = HeldLake(opened.root)
    pairs = scan_pairs(held, markets, options.start_us, options.end_us)
    work = partial(compare_pair, held, options=options, limits=limits, folder=folder)
    with followed("scan", progress) as tell, warnings.catch_warnings(action="ignore"):  # the notes of the rows say the same
        found = []
        for pair, one in zip(pairs, _side_by_side(work, pairs, threads), strict=True):
            found.append(one)
            tell(len(found), len(pairs), pair.perp)
    _raise_common(found)
    rows, common = without_common_notes([one.row for one in found])
    return Scan(
        markets=listed_markets(markets),
        table=scan_table(rows, sort),
        sort=sort,
        options=options,
        notes=(*common, *_notes(rows)),
        _schemas={(one.row["perp"], one.row["spot"]): one.columns for one in found if one.columns is not None},
        _parts=folder,
        _lake=opened,
    )


def check_scan(options: ScanOptions, sort: str, limits: object, threads: object, output: str | Path | None) -> Path | None:
    """Refuses choices of a scan that cannot be used; returns the folder of the features.

    Raises:
        ConfigError: one of them.
    """
    if options.events != TRADES:
        candle_length(options.events)  # refuses what is no such table
    if not isinstance(options.bars, BarRule | str):
        raise ConfigError(
            "bars must be a rule or the word auto", where="bars", value=type(options.bars).__name__, expected="TimeBarConfig('5m')"
        )
    if sort not in SCAN_SCHEMA:
        raise ConfigError("the table has no such column", where="sort", value=sort, expected=", ".join(SCAN_SCHEMA))
    if limits is not None and not isinstance(limits, CheckLimits):
        raise ConfigError("limits has the wrong type", value=limits, expected="CheckLimits(...) or None")
    if threads is not None and not (clock.is_whole(threads) and threads > 0):
        raise ConfigError("threads is no number of threads", where="threads", value=threads, expected="a whole number, 1 or more, or None")
    if output is not None and not Path(output).is_dir():
        raise ConfigError("the features cannot be written there", where="output", value=str(output), expected="an existing folder")
    return None if output is None else Path(output)


def _side_by_side(work: Any, pairs: Sequence[ScanPair], threads: int | None) -> Iterator[FoundPair]:  # noqa: ANN401 - a partial
    """What becomes of each pair, in their order; an interruption ends the pairs that are at work and starts no more."""
    workers = min(threads or os.cpu_count() or 1, len(pairs))
    if workers == 1:
        yield from map(work, pairs)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="scan")
    try:
        yield from pool.map(work, pairs)
    finally:
        pool.shutdown(cancel_futures=True)


def compare_pair(lake: Lake, pair: ScanPair, *, options: ScanOptions, limits: CheckLimits | None, folder: Path | None) -> FoundPair:
    """What becomes of one pair of a scan: its row, or the reason in place of its figures.

    Args:
        lake: where the data are.
        pair: which.
        options: how it is compared.
        limits: of the checklist.
        folder: the features become a Parquet file in it; None: they are not kept.
    """
    if pair.spot is None or pair.reason is not None:
        return FoundPair(row_of_reason(pair, pair.reason or "no spot market is known"))
    try:
        study = _compared(lake, (pair.perp, pair.spot), options)
        row = row_of_study(study, limits)
    except PointlineError as error:
        return FoundPair(row_of_reason(pair, error.what), error=error)
    if folder is not None:
        write_blocks(iter([study.features]), part_path(folder, pair.perp, pair.spot))
    return FoundPair(row, study.features.schema)


def _compared(lake: Lake, names: tuple[str, str], options: ScanOptions) -> Study:
    return compare(
        *names,
        start=options.start_us,
        end=options.end_us,
        bars=options.bars,
        events=options.events,
        costs=options.costs,
        params=options.params,
        state=options.state,
        lake=lake,
        threads=1,
        cache=options.cache,
    )


def _raise_common(found: Sequence[FoundPair]) -> None:
    """Raises what keeps every pair that has a spot market from being compared, where it is one wrong argument."""
    errors = [one.error for one in found if one.error is not None or one.columns is not None]
    first = errors[0] if errors else None
    if isinstance(first, ConfigError) and {str(error) for error in errors} == {str(first)}:
        raise first


def _notes(rows: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Pairs of differing quotes, and those that could not be compared, by name."""
    crossed = [f"{row['perp']} against {row['spot']}" for row in rows if row["cross_quote"]]
    notes = []
    if crossed:
        notes.append(f"cross quote, their basis holds the rate between the quotes and no carry is told: {', '.join(crossed)}")
    absent = [row["perp"] for row in rows if row["status"] != COMPARED]
    if absent:
        notes.append(f"not compared, the column reason says why: {', '.join(absent)}")
    return tuple(notes)


def _bars_text(bars: BarRule | str) -> str:
    return bars if isinstance(bars, str) else bars.text
