"""spreads(): contracts of one asset against its spot, from the lake to tables and charts, and the Spreads that hold the result."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import clock
from pointline.costs import CostModel
from pointline.curves import (
    MATURITIES_DAYS,
    carry_yield,
    constant_maturity,
    curve_at,
    roll_calendar,
    smoothing,
    spread_table,
    summarise,
    triangle,
)
from pointline.curves.closes import MAX_TRADE_AGE_US
from pointline.curves.contracts import contract_listings, reference_listings, traded_contracts
from pointline.curves.grid import CandleGrid, candle_grid
from pointline.curves.quotes import CROSS_QUOTE
from pointline.datetimes import pandas_frame
from pointline.errors import ConfigError, NoDataError
from pointline.lake.store import as_lake
from pointline.lake.studies import save_study
from pointline.lake.window_coverage import no_data
from pointline.studies.summary import Summary
from pointline.venues.fees import VENUE, check_preset, named_costs

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from rich.console import RenderableType

    from pointline.curves.contracts import Listing
    from pointline.lake.store import Lake, LakeLike
    from pointline.report.spread_charts import ChartKind

_MAX_AGE_CANDLES = 2


@dataclass(frozen=True, eq=False, kw_only=True)
class Spreads:
    """The result of `spreads`. It can be pickled; a lake of that path is then needed for `save` only.

    Attributes:
        base_asset: the asset.
        references: the spot markets, as ``exchange:market`` with SQL names.
        contracts: the perpetuals and dated futures, likewise.
        grid: the candles.
        table: one row per candle, contract and reference (see `pointline.curves.table.spread_table`).
        notes: warnings about the result: missing candles, differing quotes, rates that were used, differing sources.
        elapsed_s: seconds from the call to the table.
    """

    base_asset: str
    references: tuple[str, ...]
    contracts: tuple[str, ...]
    grid: CandleGrid
    table: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()
    elapsed_s: float = 0.0
    _lake: Lake = field(repr=False)

    @cached_property
    def statistics(self) -> pl.DataFrame:
        """Mean, lowest and highest spread per contract and reference, and missing candles (see `pointline.curves.summarise`)."""
        return summarise(self.table)

    @property
    def title(self) -> str:
        """How many contracts against which references."""
        count = len(self.contracts)
        return f"{self.base_asset}: {count} contract{'' if count == 1 else 's'} against {', '.join(self.references)}"

    @property
    def window_text(self) -> str:
        """First and last moment, and the candles."""
        start, end = (clock.time_text(us) for us in (self.grid.start_us, self.grid.end_us))
        return f"{start} to {end} UTC, end exclusive: {self.grid.count:,} candles of {_duration_text(self.grid)}"

    @cached_property
    def summary(self) -> Summary:
        """What the command line prints as JSON, without the long table, at the guide's costs."""
        return self.figures()

    def figures(self, costs: CostModel | str | None = None) -> Summary:
        """The window, the statistics of each contract, and the term structure and carry at the end of the window.

        Args:
            costs: fees and slippage of the carry, or a preset by name; the guide's figures for two exchanges if None.

        Raises:
            ConfigError: an unknown preset, or fees of venues where the contracts or references are on several exchanges.
            VenueRuleError: the fees of an exchange are not known.
        """
        model = self._model(costs)
        curve = self._curve(self.grid.end_us)
        return Summary(
            {
                "base_asset": self.base_asset,
                "references": list(self.references),
                "contracts": list(self.contracts),
                "window_us": [self.grid.start_us, self.grid.end_us],
                "duration_us": self.grid.duration_us,
                "cost_bps": model.total_bps,
                "cost_preset": model.preset,
                "cost_as_of": model.as_of if model.is_sourced else None,
                "summary": self.statistics.to_dicts(),
                "term_structure": curve.to_dicts(),
                "carry": carry_yield(curve, model).to_dicts(),
                "constant_maturity": self.constant_maturity().to_dicts(),
                "roll_calendar": self.roll_calendar().to_dicts(),
                "notes": list(self.notes),
            }
        )

    def term_structure(self, at: clock.TimeLike | None = None, *, max_age: clock.DurationLike | None = None) -> pl.DataFrame:
        """Every contract's basis by maturity as it was known at an instant (see `pointline.curves.curve_at`).

        Args:
            at: the instant; the end of the window if None.
            max_age: the values of older spreads are null; two candles if None.

        Raises:
            NoDataError: nothing was known then.
        """
        at_us = self.grid.end_us if at is None else clock.to_us(at, name="at")
        curve = self._curve(at_us, max_age)
        if curve.is_empty():
            first = self.table.select(pl.col("known_at").min().dt.strftime("%Y-%m-%d %H:%M:%S")).item()
            raise NoDataError(
                "no spread of a contract that was still trading was known at this instant",
                value=f"{clock.time_text(at_us)} UTC",
                expected=None if first is None else f"{first} UTC or later, before the last contract's delivery",
            )
        return curve

    def _curve(self, at_us: int, max_age: clock.DurationLike | None = None) -> pl.DataFrame:
        max_age_us = _MAX_AGE_CANDLES * self.grid.duration_us if max_age is None else clock.to_duration_us(max_age, name="max_age")
        return curve_at(self.table, at_us, max_age_us=max_age_us)

    def constant_maturity(self, maturities_days: Sequence[float] = MATURITIES_DAYS, *, from_spot: bool = False) -> pl.DataFrame:
        """The basis at fixed distances to delivery, per candle and curve (see `pointline.curves.constant_maturity`)."""
        return constant_maturity(self.table, maturities_days, from_spot=from_spot)

    def roll_calendar(self, *, days_before: float = 0.0) -> pl.DataFrame:
        """Which dated contract is in front, from when until when (see `pointline.curves.roll_calendar`)."""
        return roll_calendar(self.table, days_before=days_before)

    def carry(
        self,
        costs: CostModel | str | None = None,
        at: clock.TimeLike | None = None,
        *,
        max_age: clock.DurationLike | None = None,
    ) -> pl.DataFrame:
        """The yield of cash and carry per dated contract at an instant, before and after costs (see `pointline.curves.carry_yield`).

        Args:
            costs: fees and slippage, or a preset by name; the guide's figures for two exchanges if None.
            at, max_age: as in `term_structure`.

        Raises:
            ConfigError, VenueRuleError: as for `figures`.
            NoDataError: as for `term_structure`.
        """
        return carry_yield(self.term_structure(at, max_age=max_age), self._model(costs))

    def _model(self, costs: CostModel | str | None) -> CostModel:
        """The cost model of a preset; fees of venues are those at the end of the window."""
        if not isinstance(costs, str):
            return costs or CostModel()
        check_preset(costs)
        sides = [sorted({name.partition(":")[0] for name in names}) for names in (self.contracts, self.references)]
        if costs.startswith(VENUE) and any(len(exchanges) != 1 for exchanges in sides):
            raise ConfigError(
                "fees of venues need contracts of one exchange and references of one",
                where="costs",
                value=", ".join(dict.fromkeys((*sides[0], *sides[1]))),
                hint="choose contracts and a reference, or give the figures to CostModel",
            )
        return named_costs(costs, sides[0][0], sides[1][0], self.grid.end_us - 1, known=self._lake.venues)

    def smoothing(self, window: int = 5) -> pl.DataFrame:
        """The guide's basis_smooth and basis_slope per contract over candles (see `pointline.curves.smoothing`)."""
        return smoothing(self.table, window=window)

    def triangle(self) -> pl.DataFrame:
        """Each contract against two references, and these against each other (see `pointline.curves.triangle`)."""
        return triangle(self.table, self.references)

    def view(self, costs: CostModel | str | None = None) -> RenderableType:
        """What the command line prints: summary, term structure and carry at the end of the window, notes."""
        from pointline.report.spread_view import spreads_view

        model = self._model(costs)
        curve = self._curve(self.grid.end_us)
        return spreads_view(
            title=self.title,
            window=self.window_text,
            table=self.table,
            summary=self.statistics,
            curve=curve,
            carry=carry_yield(curve, model),
            costs=f"costs {model.text}",
            notes=self.notes,
        )

    def chart(self, path: str | Path | None = None, *, kind: ChartKind = "overview") -> Any:  # noqa: ANN401 - a plotly figure
        """A plotly figure.

        Args:
            path: also writes it, as a page that needs no network (``.html``) or as a picture (``.png``, by an installed Chromium or
                Chrome).
            kind: ``"spread"`` through time, ``"percent"`` of spot through time, ``"curve"`` by maturity, ``"heatmap"`` of the annualised
                basis, or ``"overview"``: spread, curve and heat map.

        Raises:
            ConfigError: the path ends otherwise or its folder does not exist.
            MissingExtraError: plotly, or for a picture a browser, is not installed.
            NoDataError: the chart is of dated contracts and there are none.
        """
        from pointline.report.chart_files import check_chart_path, write_chart
        from pointline.report.spread_charts import spread_figure

        target = None if path is None else check_chart_path(Path(path))
        start, end = (clock.time_text(us).removesuffix(":00") for us in (self.grid.start_us, self.grid.end_us))
        title = f"{self.base_asset}: contracts against {', '.join(self.references)}"
        figure = spread_figure(self.table, kind, title=title, subtitle=f"{start} to {end} UTC, candles of {_duration_text(self.grid)}")
        if target is not None:
            write_chart(figure, target)
        return figure

    def to_pandas(self) -> pd.DataFrame:
        """The long table as a frame of pandas: the index is ``end``, the end of each row's candle in UTC.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return pandas_frame(self.table, index="end")

    def save(self, name: str, *, lake: LakeLike | None = None) -> Path:
        """Stores the long table in the lake, where SQL has it as ``study = name`` in ``api.spreads``.

        Args:
            name: letters, digits, dots, dashes and underscores; a study of the same name is replaced.
            lake: another lake than the one that was measured.

        Returns:
            The Parquet file.

        Raises:
            ConfigError: the name cannot be a file's.
        """
        return save_study(self._lake if lake is None else as_lake(lake), name, self.table, kind="spreads")

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        tables = [("Statistics", self.statistics)]
        curve = self._curve(self.grid.end_us)
        if not curve.is_empty():
            tables.append(("Term structure at the end of the window", curve))
        return study_html(title=self.title, lines=[self.window_text], tables=tables, notes=self.notes)


def spreads(
    base_asset: str,
    *,
    reference: str | Sequence[str],
    start: clock.TimeLike,
    end: clock.TimeLike | None = None,
    through: clock.TimeLike | None = None,
    contracts: str | Sequence[str] | None = None,
    duration: clock.DurationLike = "1d",
    max_trade_age: clock.DurationLike = MAX_TRADE_AGE_US,
    lake: LakeLike | None = None,
) -> Spreads:
    """Measures the closes of perpetuals and dated futures against a spot market.

    Args:
        base_asset: the asset, e.g. ``"BTC"``.
        reference: the spot market as ``exchange:market``, or several. Name the exchange by its id, alias or SQL name, the market by its
            universal name or the exchange's own symbol.
        start: first moment; a bare date is its midnight UTC.
        end: first moment that is not in the window any more.
        through: in place of `end`, the last day of the window, as in ``BETWEEN '2024-12-01' AND '2024-12-31'``.
        contracts: ``exchange:market`` of one or several contracts; all that the lake has of the asset if None.
        duration: length of a candle in whole minutes, e.g. ``"1d"`` or ``"1h"``.
        max_trade_age: age that a last trade may have at a candle's end to give its close (see `pointline.curves.closes.closes`).
        lake: a lake or its folder; the default lake if None.

    Returns:
        A `Spreads`.

    Raises:
        ConfigError: an empty window, not one of `end` and `through`, a name that is no reference or no contract of the asset.
        RegistryError: an unknown instrument; the error has the nearest names.
        NoDataError: the lake has nothing of the asset, of a reference or of a named contract in the window.

    Examples:
        Daily closes of the demo's perpetual against its spot market:

        >>> import pointline
        >>> measured = pointline.spreads("BTC", reference="binance:BTC-USDT", start="2024-05-01", end="2024-05-03", lake="out/demo/lake")
        >>> measured.contracts
        ('binance-usdm-future:BTC-USDT',)
        >>> measured.table.height
        2
    """
    began = time.perf_counter()
    asset = base_asset.strip().upper()
    grid = candle_grid(start, end, duration, through=through)
    age_us = clock.to_duration_us(max_trade_age, name="max_trade_age")
    opened = as_lake(lake)
    named = contract_listings(opened, _names(contracts), asset, grid)
    spots = reference_listings(opened.registry(), _names(reference) or [], asset, grid)
    table = spread_table(opened, spots, named, grid, max_trade_age_us=age_us)
    if contracts is None:
        named, table = _with_closes(named, table)
    _check_data(opened, table, spots, named, grid)
    return Spreads(
        base_asset=asset,
        references=tuple(spot.name for spot in spots),
        contracts=tuple(dict.fromkeys(contract.name for contract in named)),
        grid=grid,
        table=table,
        notes=(*_notes(table, named, grid), *(_left_out_notes(opened, named, asset, grid) if contracts is None else ())),
        elapsed_s=time.perf_counter() - began,
        _lake=opened,
    )


def _names(given: str | Sequence[str] | None) -> list[str] | None:
    return None if given is None else [given] if isinstance(given, str) else list(given)


def _with_closes(contracts: list[Listing], table: pl.DataFrame) -> tuple[list[Listing], pl.DataFrame]:
    """The contracts that have a close in the window, and their rows."""
    closed = table.filter(pl.col("close").is_not_null()).select("exchange", "market").unique()
    known = set(closed.iter_rows())
    kept = [contract for contract in contracts if (contract.exchange, contract.instrument.market) in known]
    return kept, table.join(closed, on=["exchange", "market"], how="semi", maintain_order="left")


def _check_data(lake: Lake, table: pl.DataFrame, spots: Sequence[Listing], contracts: Sequence[Listing], grid: CandleGrid) -> None:
    """Raises where a reference or a contract has not a single close."""
    closed = set(table.filter(pl.col("close").is_not_null()).select("exchange", "market").iter_rows())
    priced = set(table.filter(pl.col("spot_close").is_not_null())["reference"].to_list())
    bare = [contract for contract in contracts if (contract.exchange, contract.instrument.market) not in closed]
    bare += [spot for spot in spots if spot.name not in priced]
    if bare and not table.is_empty():
        one = bare[0].instrument
        kind = f"closes of {_duration_text(grid)} candles"
        raise no_data(lake, kind, one.exchange, one.exchange_symbol, grid.start_us, grid.end_us)
    if table.is_empty():
        raise NoDataError(
            f"no contract has a close of a {_duration_text(grid)} candle in this window",
            value=f"{clock.time_text(grid.start_us)} to {clock.time_text(grid.end_us)} UTC",
            expected="a window in which a contract was trading and that the lake holds",
            hint="`pointline catalog` lists what the lake holds",
        )


def _duration_text(grid: CandleGrid) -> str:
    for unit_us, letter in ((clock.DAY_US, "d"), (clock.HOUR_US, "h")):
        if grid.duration_us % unit_us == 0:
            return f"{grid.duration_us // unit_us}{letter}"
    return f"{grid.duration_us // clock.MINUTE_US}m"


def _notes(table: pl.DataFrame, contracts: Sequence[Listing], grid: CandleGrid) -> list[str]:
    summary = summarise(table)
    notes = []
    for row in summary.filter(pl.col("missing") > 0).iter_rows(named=True):
        pair = f"{row['exchange']}:{row['market']} against {row['reference']}"
        sides = f"{row['missing_close']:,} of the contract, {row['missing_spot']:,} of the reference"
        notes.append(f"{pair}: {row['missing']:,} of {row['candles']:,} candles are missing ({sides})")
    notes += _untraded_notes(table)
    notes += _quote_notes(table)
    for name, column, close in (("contracts", "close_source", "close"), ("references", "spot_source", "spot_close")):
        sources = table.filter(pl.col(close).is_not_null())[column].drop_nulls().unique().sort().to_list()
        if len(sources) > 1:
            notes.append(f"closes of the {name} come from {', '.join(sources)}; see the column {column}")
    ended = [c.name for c in contracts if c.until_us < grid.end_us and c.instrument.expiry_us == c.until_us]
    notes += [f"{name} is delivered inside the window; its rows end before" for name in ended]
    return notes


def _untraded_notes(table: pl.DataFrame) -> list[str]:
    """A line for each market that has candles without a close because nothing was traded, as after a settlement."""
    market = pl.concat_str("exchange", pl.lit(":"), "market")
    sides = (
        table.filter(pl.col("close").is_null() & pl.col("close_source").is_not_null()).select(market.alias("name"), "start"),
        table.filter(pl.col("spot_close").is_null() & pl.col("spot_source").is_not_null()).select(name="reference", start="start"),
    )
    quiet = pl.concat(sides).unique().group_by("name").agg(pl.len(), first=pl.col("start").min(), last=pl.col("start").max()).sort("name")
    reason = "have no close, because nothing was traded up to their end"
    rows = quiet.with_columns(pl.col("first", "last").dt.strftime("%Y-%m-%d %H:%M"))
    return [f"{name}: {count:,} candles {reason}: {first} to {last}" for name, count, first, last in rows.iter_rows()]


def _left_out_notes(lake: Lake, taken: Sequence[Listing], base_asset: str, grid: CandleGrid) -> list[str]:
    """A line for the contracts that were trading and that the lake has, but without data for closes of this duration."""
    names = sorted(set(traded_contracts(lake, base_asset, grid)) - {contract.name for contract in taken})
    if not names:
        return []
    return [f"left out, because the lake has no data for closes of {_duration_text(grid)} candles in the window: {', '.join(names)}"]


def _quote_notes(table: pl.DataFrame) -> list[str]:
    crossed = table.filter(pl.col("cross_quote") & pl.col("spread").is_not_null())
    notes = []
    for (quote, reference, other), rows in crossed.group_by("quote", "reference", "reference_quote", maintain_order=True):
        bare = rows.filter(pl.col("basis_kind") == CROSS_QUOTE).height
        used = ", ".join(rows["rate_market"].drop_nulls().unique().sort())
        text = f"contracts in {quote} against {reference} in {other}: the spread also contains the rate between them"
        converted = (
            f"; converted_spread does not, it is converted with {used}"
            if used
            else f", and the lake has no market of {quote} and {other} to convert it"
        )
        rest = f" ({bare:,} of {rows.height:,} rows have no rate)" if used and bare else ""
        notes.append(text + converted + rest)
    return notes
