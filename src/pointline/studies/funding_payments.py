"""funding_payments(): what a position in a perpetual paid and received, and the FundingPayments that hold the result."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import clock
from pointline.datetimes import pandas_frame
from pointline.errors import ConfigError
from pointline.instruments.versions import MetadataWarning, warn_of_versions
from pointline.lake.store import as_lake
from pointline.lake.window_coverage import no_data
from pointline.schema import FUNDING
from pointline.studies.held_funding import PERP_PRICE, held_funding
from pointline.studies.named import named_instrument
from pointline.studies.summary import Summary
from pointline.trading.funding_flows import (
    MAX_MARK_AGE_US,
    NO_MARK,
    NO_SETTLEMENT,
    PAID,
    POSITIONS_SCHEMA,
    FundingTerms,
    funding_cash_flows,
    near_settlements,
)

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import RenderableType

    from pointline.instruments import Instrument, Registry
    from pointline.lake.store import LakeLike
    from pointline.trading.funding_flows import Gaps


@dataclass(frozen=True, eq=False, kw_only=True)
class FundingPayments:
    """The result of `pointline.funding_payments`. It can be pickled.

    Attributes:
        perp: the perpetual, as ``exchange:symbol``.
        start_us, end_us: from when to when the position was held.
        quantity: + long, - short; of a linear contract in base units, of an inverse one in contracts.
        unit: of the quantity: the base asset, or ``"contracts"``.
        terms: of the contract.
        table: a row for each settlement, see `pointline.trading.funding_flows.FUNDING_FLOWS_SCHEMA`.
        notes: what a reader should know of the result.
    """

    perp: str
    start_us: int
    end_us: int
    quantity: float
    unit: str
    terms: FundingTerms
    table: pl.DataFrame
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The position in words."""
        return f"Funding of a {'long' if self.quantity > 0 else 'short'} of {abs(self.quantity):,.12g} {self.unit}, {self.perp}"

    @property
    def window_text(self) -> str:
        """When the position was held."""
        start, end = (clock.time_text(us) for us in (self.start_us, self.end_us))
        return f"entered at {start}, left at {end} UTC; settlements after the entry, up to and with the exit"

    @property
    def verdict(self) -> str:
        """Payments, their sum of rates and the cash, in a sentence."""
        told = self.summary
        if not told["settlements"]:
            return "No settlement fell into this time, so nothing was paid."
        way = "received" if told["cash"] >= 0 else "paid"
        text = (
            f"{told['payments']:,} payments, sum of rates {told['rate_sum_bps']:+,.4f} bp: "
            f"the position {way} {abs(told['cash']):,.10g} {told['settle_asset']}."
        )
        unknown = told["settlements"] - told["payments"]
        return f"{text} Settlements that are not known and count nothing: {unknown:,}." if unknown else text

    @cached_property
    def summary(self) -> Summary:
        """The figures, JSON-ready."""
        paid = self.table.filter(pl.col("status") == PAID)
        cash = paid["cash"]
        sources = paid.group_by("mark_source").len().sort("mark_source")
        return Summary(
            {
                "perp": self.perp,
                "held_us": [self.start_us, self.end_us],
                "quantity": self.quantity,
                "unit": self.unit,
                "contract_type": self.terms.contract_type,
                "settle_asset": self.terms.settle_asset,
                "settlements": self.table.height,
                "payments": paid.height,
                "no_settlement": self.table.filter(pl.col("status") == NO_SETTLEMENT).height,
                "no_mark": self.table.filter(pl.col("status") == NO_MARK).height,
                "first_funding_us": self.table["funding_us"].min(),
                "last_funding_us": self.table["funding_us"].max(),
                "rate_sum_bps": math.fsum(paid["funding_rate"]) * 1e4,
                "cash": math.fsum(cash),
                "received": math.fsum(cash.filter(cash > 0)),
                "paid": math.fsum(cash.filter(cash < 0)),
                "mean_notional": paid["notional"].mean(),
                "quote_asset": self.terms.quote_asset,
                "mark_sources": dict(sources.iter_rows()),
                "oldest_mark_age_us": paid["mark_age_us"].max(),
            }
        )

    def view(self, *, rows: int = 6) -> RenderableType:
        """What the command line prints.

        Args:
            rows: settlements that are shown at each end of the table.
        """
        from pointline.report.funding_view import funding_view

        lines = (self.window_text, self.verdict)
        return funding_view(
            self.table, title=self.title, lines=lines, notes=self.notes, rows=rows, assets=(self.terms.quote_asset, self.terms.settle_asset)
        )

    def chart(self, path: str | Path | None = None) -> Any:  # noqa: ANN401 - a plotly figure
        """The rate of each settlement, and the cash so far.

        Args:
            path: also writes it, as a page that needs no network (``.html``) or as a picture (``.png``, by an installed Chromium or
                Chrome).

        Raises:
            ConfigError: the path ends otherwise or its folder does not exist.
            MissingExtraError: plotly, or for a picture a browser, is not installed.
        """
        from pointline.report.chart_files import check_chart_path, write_chart
        from pointline.report.funding_view import funding_figure

        target = None if path is None else check_chart_path(Path(path))
        figure = funding_figure(self.table, title=self.title, subtitle=self.verdict, settle_asset=self.terms.settle_asset)
        if target is not None:
            write_chart(figure, target)
        return figure

    def to_pandas(self) -> pd.DataFrame:
        """The table as a frame of pandas; the index is ``funding_us``.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        return pandas_frame(self.table, index="funding_us")

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        tables = [("Figures", self.summary.frame()), ("Settlements", self.table)]
        return study_html(title=self.title, lines=[self.verdict, self.window_text], tables=tables, notes=self.notes)


def funding_payments(
    perp: str,
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    quantity: float = -1.0,
    max_mark_age: clock.DurationLike = MAX_MARK_AGE_US,
    perp_price_as_mark: bool = False,
    interval_hours: float | None = None,
    gaps: Gaps = "refuse",
    lake: LakeLike | None = None,
) -> FundingPayments:
    """What a position in a perpetual paid and received in funding, settlement by settlement.

    The position is entered at `start` and left at `end`, so it is charged at settlements in ``(start, end]``: the one at `start` is its
    predecessor's. Each payment is the settled rate times the position at the mark price of that moment.

    Args:
        perp: a perpetual as ``exchange:symbol``.
        start, end: entry and exit.
        quantity: + long, - short; linear contracts: base units, inverse contracts: number of contracts.
        max_mark_age: how old a mark price may be at its settlement.
        perp_price_as_mark: let the perpetual's last trade or candle stand in where there is no mark price; ``mark_source`` names it.
        interval_hours: the funding interval of settlements whose row in the lake does not say it.
        gaps: ``"refuse"``, or ``"flag"`` to get rows without cash where a settlement or its mark price is missing.
        lake: a lake or its folder; the default lake if None.

    Returns:
        `FundingPayments`.

    Raises:
        ConfigError: an empty window, a name that is not exchange:symbol, no perpetual, a quantity that is no number or 0, a contract of
            unknown size, a venue without settlements, contradicting rows.
        RegistryError: an unknown instrument; the error has the nearest names.
        NoDataError: the lake has no settlements in the window, or one or its mark price is missing and `gaps` is ``"refuse"``.

    Examples:
        A short of one coin over a day of the demo:

        >>> import pointline
        >>> held = pointline.funding_payments("binance-futures:BTCUSDT", start="2024-05-01", end="2024-05-02", lake="out/demo/lake")
        >>> held.summary["payments"]
        3
        >>> held.table.columns[:4]
        ['position_id', 'funding_us', 'side', 'quantity']
    """
    start_us, end_us = clock.window_us(start, end)
    if not math.isfinite(quantity) or quantity == 0:
        raise ConfigError("the quantity of a position cannot be used", value=quantity, expected="a number other than 0: + long, - short")
    opened = as_lake(lake)
    registry = opened.registry()
    instrument = named_instrument(registry, perp, start_us)
    terms = FundingTerms.of(instrument, interval_hours=interval_hours)
    settlements, marks = held_funding(
        opened, instrument, start_us, end_us, max_mark_age_us=max_mark_age, perp_price_as_mark=perp_price_as_mark
    )
    position = pl.DataFrame([(0, start_us, end_us, float(quantity))], schema=POSITIONS_SCHEMA, orient="row")
    none_inside = settlements.filter((pl.col("funding_us") > start_us) & (pl.col("funding_us") <= end_us)).is_empty()
    table = funding_cash_flows(
        *(position, settlements, marks),
        terms=terms,
        data_end_us=end_us,
        max_mark_age_us=max_mark_age,
        gaps="flag" if none_inside else gaps,
    )
    if none_inside and not table.is_empty():
        raise no_data(opened, FUNDING.name, instrument.exchange, instrument.exchange_symbol, start_us, end_us)
    return FundingPayments(
        perp=instrument.name,
        start_us=start_us,
        end_us=end_us,
        quantity=float(quantity),
        unit="contracts" if terms.contract_type == "inverse" else instrument.base_asset,
        terms=terms,
        table=table,
        notes=(*_version_notes(registry, instrument, start_us, end_us), *_notes(table, near_settlements(position, settlements))),
    )


def _version_notes(registry: Registry, instrument: Instrument, start_us: int, end_us: int) -> list[str]:
    with warnings.catch_warnings(action="ignore", category=MetadataWarning):  # the note says the same
        text = warn_of_versions(registry, instrument, start_us, end_us)
    return [] if text is None else [text]


def _notes(table: pl.DataFrame, near: pl.DataFrame) -> list[str]:
    notes = []
    for status, what in (
        (NO_SETTLEMENT, "that must have taken place and are missing"),
        (NO_MARK, "without a mark price that is young enough"),
    ):
        stamps = table.filter(pl.col("status") == status)["funding_us"]
        if stamps.len():
            first, last = clock.time_text(stamps[0]), clock.time_text(stamps[-1])
            span = first if stamps.len() == 1 else f"from {first} to {last}"
            notes.append(f"settlements {what}: {stamps.len():,}, {span}; they count nothing")
    for funding_us, edge, offset_us, charged in near.select("funding_us", "edge", "offset_us", "charged").iter_rows():
        moment = "at" if offset_us == 0 else f"{offset_us / clock.SECOND_US:g} s after"
        counts = "counts" if charged else "does not count"
        notes.append(f"the {edge} is {moment} the settlement of {clock.time_text(funding_us)}, which {counts}")
    stand_ins = table.filter(pl.col("mark_source").str.starts_with(PERP_PRICE))
    if not stand_ins.is_empty():
        notes.append(f"settlements at which the perpetual's own price stands in for the mark price: {stand_ins.height:,}")
    return notes
