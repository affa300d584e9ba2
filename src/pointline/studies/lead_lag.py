"""lead_lag(): which of two instruments moves first, from the lake's ticks to a verdict, and the LeadLagStudy that holds the result."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import clock
from pointline.datetimes import pandas_frame
from pointline.errors import ConfigError
from pointline.evaluation import lead_lag as measure
from pointline.evaluation import price_discovery
from pointline.evaluation.lead_lag import CLOCK_TOLERANCE_US, NEAR_US
from pointline.instruments.versions import MetadataWarning
from pointline.lake.store import as_lake
from pointline.research import query
from pointline.studies.named import named_instrument
from pointline.studies.summary import Summary

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from pointline.evaluation import LeadLag, PriceDiscovery
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, LakeLike

SHARE_INTERVALS_US = (100_000, clock.SECOND_US)


@dataclass(frozen=True, eq=False, kw_only=True)
class LeadLagStudy:
    """The result of `pointline.lead_lag`. It can be pickled.

    Attributes:
        names: the two instruments, as ``exchange:symbol``. Positive lags: the first is ahead.
        start_us, end_us: the window that was asked for.
        measured: the curve, its tests, its null and the verdict (see `pointline.evaluation.LeadLag`).
        shares: price discovery on grids of 100 ms and 1 s (see `pointline.evaluation.PriceDiscovery`), where there are points enough.
        notes: warnings about the result: clocks, prints that were left out, silences.
        elapsed_s: seconds from the call to the result.
    """

    names: tuple[str, str]
    start_us: int
    end_us: int
    measured: LeadLag
    shares: tuple[PriceDiscovery, ...]
    notes: tuple[str, ...]
    elapsed_s: float = 0.0
    _null_columns: tuple[str, ...] = field(default=("covariance", "correlation"), repr=False)

    @property
    def title(self) -> str:
        """The two instruments."""
        return f"{self.names[0]} and {self.names[1]}: who leads?"

    @property
    def verdict(self) -> str:
        """What follows from all figures, in a sentence."""
        return self.measured.verdict

    @property
    def window_text(self) -> str:
        """First and last moment at which both were trading, and their ticks."""
        start, last = (clock.time_text(us) for us in self.measured.window_us)
        first, second = self.measured.ticks
        return f"{start} to {last} UTC: {first:,} stamps of {self.names[0]}, {second:,} of {self.names[1]}"

    @cached_property
    def table(self) -> pl.DataFrame:
        """The curve: lag_us, covariance, correlation, and the null's as null_covariance, null_correlation."""
        null = self.measured.null.curve.select("lag_us", *(pl.col(name).alias(f"null_{name}") for name in self._null_columns))
        return self.measured.measured.curve.join(null, on="lag_us", how="left", maintain_order="left")

    @cached_property
    def share_table(self) -> pl.DataFrame:
        """The shares of the first instrument by interval, measured and on the null."""
        rows = []
        for found in self.shares:
            for kind, shares in (("measured", found.measured), ("null", found.null)):
                if shares is not None:
                    values = (shares.information_share_low, shares.information_share_high, shares.component_share)
                    rows.append((found.interval_us, kind, *values, shares.information_leadership_share, found.rows))
        names = ("information_share_low", "information_share_high", "component_share", "information_leadership_share")
        schema = {"interval_us": pl.Int64, "kind": pl.String, **dict.fromkeys(names, pl.Float64), "rows": pl.Int64}
        return pl.DataFrame(rows, schema=schema, orient="row")

    @cached_property
    def figure_table(self) -> pl.DataFrame:
        """The figures of the curve beside those of the null: a row each."""
        rows = []
        for kind, one in (("measured", self.measured.measured), ("null", self.measured.null)):
            low, high = one.peak_interval_us
            peak = (one.peak_us / 1000, low / 1000, high / 1000, one.peak_correlation, one.null_band)
            rows.append((kind, *peak, one.asymmetry_t, one.asymmetry_p, one.lead_lag_ratio))
        names = ("peak_ms", "low_ms", "high_ms", "correlation", "null_band", "asymmetry_t", "asymmetry_p", "lead_lag_ratio")
        return pl.DataFrame(rows, schema={"kind": pl.String, **dict.fromkeys(names, pl.Float64)}, orient="row")

    @cached_property
    def summary(self) -> Summary:
        """What the command line prints as JSON: every figure but the curve."""
        return Summary(
            {
                "first": self.names[0],
                "second": self.names[1],
                "asked_window_us": [self.start_us, self.end_us],
                **self.measured.to_dict(),
                "price_discovery": [found.to_dict() for found in self.shares],
                "notes": list(self.notes),
            }
        )

    def view(self) -> RenderableType:
        """What the command line prints: the verdict, the figures beside the null's, and the shares."""
        from pointline.report.lead_lag_view import lead_lag_view

        return lead_lag_view(
            title=self.title,
            lines=(self.window_text, self.verdict),
            figures=self.figure_table,
            shares=self.share_table,
            first=self.names[0],
            notes=self.notes,
        )

    def chart(self, path: str | Path | None = None) -> Any:  # noqa: ANN401 - a plotly figure
        """The curve of correlations by lag, the null's curve, the band that the null stays in, and the interval of the peak.

        Args:
            path: also writes it, as a page that needs no network (``.html``) or as a picture (``.png``, by an installed Chromium or
                Chrome).

        Raises:
            ConfigError: the path ends otherwise or its folder does not exist.
            MissingExtraError: plotly, or for a picture a browser, is not installed.
        """
        from pointline.report.chart_files import check_chart_path, write_chart
        from pointline.report.lead_lag_view import lead_lag_figure

        target = None if path is None else check_chart_path(Path(path))
        found = self.measured.measured
        figure = lead_lag_figure(
            self.table,
            title=self.title,
            subtitle=self.verdict,
            band=found.null_band,
            peak_interval_us=found.peak_interval_us,
            names=self.names,
        )
        if target is not None:
            write_chart(figure, target)
        return figure

    def to_pandas(self) -> pd.DataFrame:
        """The table as a frame of pandas; the index is ``lag_us``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return pandas_frame(self.table, index="lag_us")

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        tables = [("Figures of the curve", self.figure_table)]
        if not self.share_table.is_empty():
            tables.append((f"Shares of {self.names[0]} in price discovery", self.share_table))
        return study_html(title=self.title, lines=[self.verdict, self.window_text], tables=tables, notes=self.notes)


def lead_lag(
    first: str,
    second: str,
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    max_lag: clock.DurationLike = "1s",
    step: clock.DurationLike = "5ms",
    near: clock.DurationLike = NEAR_US,
    clock_tolerance_us: int = CLOCK_TOLERANCE_US,
    seed: int = 0,
    lake: LakeLike | None = None,
    include_off_book: bool = False,
) -> LeadLagStudy:
    """Measures on the lake's raw trades which of two instruments moves first, and where the price is found.

    Args:
        first, second: any two instruments as ``exchange:symbol``. Positive lags: the first is ahead.
        start, end: the window, end exclusive.
        max_lag, step, near, clock_tolerance_us, seed: as in `pointline.evaluation.lead_lag`.
        lake: a lake or its folder; the default lake if None.
        include_off_book: count prints that are flagged as off-book too.

    Returns:
        A `LeadLagStudy`.

    Raises:
        ConfigError: an empty window, a name that is not exchange:symbol, twice the same instrument, too few price changes, lags that make
            no grid.
        RegistryError: an unknown instrument; the error has the nearest names.
        NoDataError: the lake has no trades of one of them in the window.

    Examples:
        The simulated perpetual and its spot market follow one price at the same time:

        >>> import pointline
        >>> found = pointline.lead_lag(
        ...     "binance-futures:BTCUSDT",
        ...     "binance-spot:BTCUSDT",
        ...     start="2024-05-01",
        ...     end="2024-05-03",
        ...     max_lag="10s",
        ...     step="100ms",
        ...     near="2s",
        ...     lake="out/demo/lake",
        ... )
        >>> found.table.columns
        ['lag_us', 'covariance', 'correlation', 'null_covariance', 'null_correlation']
        >>> found.measured.leader is None
        True
    """
    began = time.perf_counter()
    window = clock.window_us(start, end)
    opened = as_lake(lake)
    registry = opened.registry()
    sides = [named_instrument(registry, name, window[0]) for name in (first, second)]
    if sides[0].symbol_id == sides[1].symbol_id:
        raise ConfigError("both sides are the same instrument", value=sides[0].name, expected="two instruments")
    notes: list[str] = []
    trades = [_trades(opened, one, window, notes, include_off_book=include_off_book) for one in sides]
    names = (sides[0].name, sides[1].name)
    measured = measure(
        *trades,
        max_lag=max_lag,
        step=step,
        near=near,
        clock_tolerance_us=clock_tolerance_us,
        names=names,
        seed=seed,
        include_off_book=include_off_book,
    )
    for name, gaps in zip(names, measured.gaps, strict=True):
        if gaps:
            notes.append(f"{name}: {gaps:,} silences of more than a minute; what the price did across them is not counted")
    shares = _shares(trades[0], trades[1], notes, include_off_book=include_off_book)
    return LeadLagStudy(
        names=names,
        start_us=window[0],
        end_us=window[1],
        measured=measured,
        shares=shares,
        notes=tuple(notes),
        elapsed_s=time.perf_counter() - began,
    )


def _trades(lake: Lake, instrument: Instrument, window: tuple[int, int], notes: list[str], *, include_off_book: bool) -> pl.DataFrame:
    """The trades of an instrument; what a reader should know of them goes to the notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MetadataWarning)
        rows = query.trades(instrument.exchange, instrument.exchange_symbol, *window, lazy=True, lake=lake)
    notes += [str(one.message) for one in caught]
    found = rows.select("ts_local_us", "price", "off_book", received=pl.col("ts_local_us") != pl.col("ts_event_us")).collect()
    flagged = int(found["off_book"].sum())
    if flagged and not include_off_book:
        notes.append(f"{instrument.name}: {flagged:,} prints that are flagged as off-book are left out")
    kept = "when a recorder received them" if found["received"].any() else "the exchange's own"
    notes.append(f"{instrument.name}: times are {kept}")
    return found


def _shares(first: pl.DataFrame, second: pl.DataFrame, notes: list[str], *, include_off_book: bool) -> tuple[PriceDiscovery, ...]:
    found = []
    for interval_us in SHARE_INTERVALS_US:
        try:
            found.append(price_discovery(first, second, interval=interval_us, include_off_book=include_off_book))
        except ConfigError as error:
            notes.append(f"no shares of price discovery on a grid of {clock.duration_text(interval_us)}: {error.what}")
    return tuple(found)
