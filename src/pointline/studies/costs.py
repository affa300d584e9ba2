"""Study.costs(): what a round trip costs, when the basis was larger than that, and for how long."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, days_in, time_text
from pointline.costs import DEFAULT_WITHDRAWAL_BPS, SMALL_BPS, CostModel
from pointline.errors import ConfigError, NoDataError, VenueRuleError
from pointline.research import query
from pointline.studies.named import resolved_costs
from pointline.studies.summary import Summary
from pointline.trading.break_even import check_notional, leg_costs, side_costs
from pointline.trading.opportunities import (
    COLUMNS_READ,
    LADDER,
    LEVELS_BPS,
    checked_cost,
    count_by_condition,
    count_opportunities,
    opportunity_bars,
    sensitivity,
    spells,
)
from pointline.trading.slippage import bar_half_spread, quoted_half_spread
from pointline.venues.fees import VENUE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from pointline.instruments import Instrument
    from pointline.studies.compared import Compared

GUIDE_NOTIONAL_QUOTE = 60_000.0
"""The position of the perp-spot guide's example: one BTC."""

SLIPPAGES = ("quotes", "bars")
"""What slippage can be measured from."""

_VENUES = ("perp", "spot")
_FUNDING = ("funding_8h", "funding_interval_hours")
_SHOWN_SPELLS = 10


@dataclass(frozen=True, eq=False)
class CostStudy:
    """The result of `pointline.Study.costs`. It can be pickled.

    Attributes:
        perp, spot: names of the two instruments.
        start_us, end_us: the window.
        rule_text: when bars close, in words.
        costs: the cost model that was used, with measured slippage in it.
        notional_quote: size of one leg, in money of the spot's quote asset.
        quote_asset: that asset.
        levels_bps: sizes of the basis that are counted beside the cost.
        bars: one row per bar, known at its ``bucket_end`` (see `pointline.trading.opportunities.opportunity_bars`).
        break_even: what each leg costs, and all of it (see `pointline.trading.break_even.leg_costs`).
        pays_back: what pays for it on each side: the basis, funding payments, hours (see `pointline.trading.break_even.side_costs`), at the
            basis and the funding of the last bar that has them.
        notes: warnings about the result.
    """

    perp: str
    spot: str
    start_us: int
    end_us: int
    rule_text: str
    costs: CostModel
    notional_quote: float
    quote_asset: str
    levels_bps: tuple[float, ...]
    bars: pl.DataFrame = field(repr=False)
    break_even: pl.DataFrame = field(repr=False)
    pays_back: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...]
    _ladder: tuple[tuple[str, float], ...] = field(repr=False)

    @property
    def title(self) -> str:
        """The two instruments."""
        return f"Costs of {self.perp} against {self.spot}"

    @property
    def window_text(self) -> str:
        """The window and the bars, in words."""
        return f"{time_text(self.start_us)} to {time_text(self.end_us)} UTC, end exclusive. Bars: {self.rule_text}"

    @cached_property
    def opportunities(self) -> pl.DataFrame:
        """Bars, spells and time above the cost and each level, by side (see `pointline.trading.opportunities.count_opportunities`)."""
        levels = [(f"{level:g} bps", level) for level in self.levels_bps]
        return count_opportunities(self.bars, [(self.costs.preset, self.costs.total_bps), *levels])

    @cached_property
    def spells(self) -> pl.DataFrame:
        """Each spell above the cost (see `pointline.trading.opportunities.spells`)."""
        return spells(self.bars, self.costs.total_bps)

    @cached_property
    def by_condition(self) -> pl.DataFrame:
        """Opportunities by what the market was like (see `pointline.trading.opportunities.count_by_condition`)."""
        return count_by_condition(self.bars, self.costs.total_bps, self.levels_bps)

    @cached_property
    def sensitivity(self) -> pl.DataFrame:
        """Opportunities at other costs: multiples of these, and known presets (see `pointline.trading.opportunities.sensitivity`)."""
        return sensitivity(self.bars, self._ladder)

    @property
    def _either(self) -> dict[str, Any]:
        return self.opportunities.row(2, named=True)

    @cached_property
    def verdict(self) -> str:
        """The result in a few sentences."""
        found, fresh = self._either, int(self.bars["fresh"].sum())
        cost = f"A round trip of both legs costs {self.costs.text}."
        if not fresh:
            return f"{cost} No bar has a fresh basis, so nothing can be said of opportunities."
        largest = self._largest()
        seen = f"of {fresh:,} bars with a fresh basis"
        if not found["bars"]:
            return f"{cost} None {seen} had more; the largest was {largest:+.2f} bps. {self._funding_text()}"
        rate = "" if found["share_remaining"] is None else f", and {found['share_remaining']:.0%} of them were still above it a bar later"
        spell = f"in {found['spells']:,} {'spell' if found['spells'] == 1 else 'spells'}, the longest {_time(found['longest_spell_us'])}"
        share = f"{found['bars']:,} {seen} ({found['share_of_time']:.2%} of the time) had more, {spell}{rate}"
        return f"{cost} {share}. The largest was {largest:+.2f} bps. {self._funding_text()}"

    def _largest(self) -> float:
        basis = self.bars.filter("fresh")["basis_bps"]
        return float(basis[basis.abs().arg_max() or 0])

    def _funding_text(self) -> str:
        if self.pays_back["funding_bps_per_payment"].null_count():
            return "No funding is known, so it is not told when funding pays the cost."
        paying = self.pays_back.filter(pl.col("payments_alone").is_not_null())
        rate = f"{self.pays_back['funding_bps_per_payment'][0]:+.3g} bps a payment"
        if paying.is_empty():
            return f"At the last funding of {rate}, neither side is ever paid for by funding."
        row = paying.row(0, named=True)
        return f"At the last funding of {rate}, {row['trade']} takes {row['payments_alone']:,} payments to pay for itself."

    @property
    def summary(self) -> Summary:
        """The verdict, the costs, and the counts of both sides at these costs."""
        found, costs = self._either, self.costs
        return Summary(
            {
                "perp": self.perp,
                "spot": self.spot,
                "window_us": [self.start_us, self.end_us],
                "rule": self.rule_text,
                "verdict": self.verdict,
                "preset": costs.preset,
                "as_of": costs.as_of if costs.is_sourced else None,
                "source": costs.source if costs.is_sourced else None,
                "slippage_source": costs.slippage_source,
                "cost_bps": costs.total_bps,
                "notional_quote": self.notional_quote,
                "cost_quote": self.break_even["round_trip_quote"][-1],
                "bars": self.bars.height,
                "fresh_bars": int(self.bars["fresh"].sum()),
                "opportunities": {name: value for name, value in found.items() if name not in {"name", "cost_bps", "side"}},
            }
        )

    def chart(self, path: str | Path | None = None) -> Any:  # noqa: ANN401 - a plotly figure
        """The share of time in which the basis was larger than the costs and each level, by its sign.

        Args:
            path: also writes it, as a page that needs no network (``.html``) or as a picture (``.png``, by an installed Chromium or
                Chrome).

        Raises:
            ConfigError: the path ends otherwise or its folder does not exist.
            MissingExtraError: plotly, or for a picture a browser, is not installed.
        """
        from pointline.report.chart_files import written
        from pointline.report.trading_figures import opportunity_figure

        return written(opportunity_figure(self.opportunities, title=self.title, subtitle=self.window_text), path)

    def view(self) -> RenderableType:
        """What the command line prints."""
        from pointline.report.cost_view import costs_view

        return costs_view(
            title=self.title,
            lines=[self.window_text, self.verdict],
            legs=self.break_even,
            sides=self.pays_back,
            opportunities=self.opportunities,
            conditions=self.by_condition,
            ladder=self.sensitivity,
            notional=f"{self.notional_quote:,.10g} {self.quote_asset}",
            notes=self.notes,
        )

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        return study_html(
            title=self.title,
            lines=[self.window_text, self.verdict],
            tables=[
                (f"Break-even, {self.costs.preset}, {self.notional_quote:,.0f} {self.quote_asset} a leg", self.break_even),
                ("What pays for it", self.pays_back),
                ("Opportunities", self.opportunities),
                ("By condition", self.by_condition),
                ("At other costs", self.sensitivity),
                (f"The first spells of {self.spells.height:,}", self.spells.head(_SHOWN_SPELLS)),
            ],
            notes=self.notes,
        )


def cost_study(
    study: Compared,
    model: CostModel | str | None = None,
    *,
    slippage: str | None = None,
    notional_quote: float | None = None,
    levels_bps: Sequence[float] = LEVELS_BPS,
    ladder: Sequence[float] = LADDER,
) -> CostStudy:
    """Holds the basis of a study against what a round trip costs.

    Args:
        study: a comparison.
        model: the costs; a preset by name (see `pointline.venues.fees.named_costs`); those of the study if None.
        slippage: measure it: ``"quotes"`` (half the quoted spread over the window, of quotes in the lake) or ``"bars"`` (half the effective
            spread that the bars tell, or what they could not tell if that is larger; see `pointline.trading.slippage`).
        notional_quote: size of one leg in money; that of the model if None, else `GUIDE_NOTIONAL_QUOTE`.
        levels_bps: sizes of the basis that are counted too.
        ladder: multiples of the cost in the table of sensitivity.

    Raises:
        ConfigError: the quotes of the pair differ, a figure cannot be used, or the bars tell no spread.
        NoDataError: slippage from quotes, and the lake has none of an instrument.
        VenueRuleError: a venue's fees are not known.

    Examples:
        >>> import pointline
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end="2024-05-03", lake="out/demo/lake"
        ... )
        >>> found = study.costs("same-exchange")
        >>> found.break_even.select("leg", "round_trip_bps", "round_trip_quote").rows()
        [('perp', 14.0, 84.0), ('spot', 26.0, 156.0), ('withdrawal', 0.0, 0.0), ('total', 40.0, 240.0)]
        >>> found.opportunities.filter(name="same-exchange")["bars"].to_list()
        [0, 0, 0]
    """
    check_request(slippage=slippage, notional_quote=notional_quote)
    costs = study.params.costs if model is None else model
    costs, notes = resolved_costs(costs, study.pair, (study.start_us, study.end_us), study._lake.venues)  # noqa: SLF001 - of the same room
    rungs, levels = _checked_ladder(ladder), tuple(checked_cost(level) for level in levels_bps)
    table = study._rows.select([name for name in (*COLUMNS_READ, *_of_spreads(), *_FUNDING) if name in study.columns]).collect()  # noqa: SLF001
    bars = opportunity_bars(table, study.params)
    costs = _for_notional(costs, notional_quote)
    if slippage is not None:
        costs, measured = _with_slippage(costs, slippage, study, table)
        notes += measured
    present = _present(table, bars)
    size = costs.notional_quote or (GUIDE_NOTIONAL_QUOTE if notional_quote is None else notional_quote)
    return CostStudy(
        perp=study.pair.perp.name,
        spot=study.pair.spot.name,
        start_us=study.start_us,
        end_us=study.end_us,
        rule_text=study.rule_text,
        costs=costs,
        notional_quote=float(size),
        quote_asset=study.pair.spot.quote_asset,
        levels_bps=levels,
        bars=bars,
        break_even=leg_costs(costs, size),
        pays_back=side_costs(costs, **present),
        notes=(*notes, *_notes(study, costs, bars, present), *study.notes),
        _ladder=_rungs(costs, rungs, study),
    )


def check_request(*, slippage: str | None, notional_quote: float | None) -> None:
    """Refuses options of `cost_study` before any work.

    Raises:
        ConfigError: slippage cannot be measured from this, or the notional is no finite number above zero.

    Examples:
        >>> check_request(slippage="quotes", notional_quote=60_000.0)
        >>> check_request(slippage="book", notional_quote=None)
        Traceback (most recent call last):
        pointline.errors.ConfigError: slippage cannot be measured from this
          where:    slippage
          value:    'book'
          expected: quotes or bars
    """
    if slippage is not None and slippage not in SLIPPAGES:
        raise ConfigError("slippage cannot be measured from this", where="slippage", value=slippage, expected=" or ".join(SLIPPAGES))
    if notional_quote is not None:
        check_notional(notional_quote)


def _for_notional(costs: CostModel, notional_quote: float | None) -> CostModel:
    """The costs with a withdrawal in money divided by this notional."""
    if notional_quote is None or costs.withdrawal_quote is None:
        return costs
    return replace(costs, notional_quote=notional_quote, withdrawal_bps=DEFAULT_WITHDRAWAL_BPS)


def _checked_ladder(ladder: Sequence[object]) -> tuple[float, ...]:
    rungs = tuple(float(rung) for rung in ladder if isinstance(rung, int | float) and math.isfinite(rung) and rung >= 0)
    if not rungs or len(rungs) != len(ladder):
        raise ConfigError("the ladder holds no multiples of the cost", where="ladder", value=ladder, expected="numbers, zero or more")
    return rungs


def _rungs(costs: CostModel, ladder: tuple[float, ...], study: Compared) -> tuple[tuple[str, float], ...]:
    """The multiples of the cost, and the presets that are known of this pair, but for the one that is used."""
    found = [(f"{rung:g} x {costs.preset}", rung * costs.total_bps) for rung in ladder]
    for name in ("guide", "same-exchange", VENUE):
        try:
            preset, _ = resolved_costs(name, study.pair, (study.start_us, study.end_us), study._lake.venues)  # noqa: SLF001
        except VenueRuleError:
            continue
        if preset.preset != costs.preset:
            found.append((preset.preset, preset.total_bps))
    return tuple(found)


def _of_spreads() -> tuple[str, ...]:
    return tuple(name for venue in _VENUES for name in (f"{venue}_high", f"{venue}_low", f"{venue}_close") if name not in COLUMNS_READ)


def _present(table: pl.DataFrame, bars: pl.DataFrame) -> dict[str, float | None]:
    """The basis, the funding and its interval of the last bar that has them."""
    basis = bars.filter("fresh")["basis_bps"].tail(1).to_list()
    found: dict[str, float | None] = {"basis_bps": basis[0] if basis else None, "funding_8h": None, "interval_hours": None}
    if all(name in table.columns for name in _FUNDING):
        told = table.select(_FUNDING).cast(pl.Float64).filter(pl.col("funding_8h").is_not_null()).tail(1)
        if told.height:
            found["funding_8h"], found["interval_hours"] = told.row(0)
    return found


def _notes(study: Compared, costs: CostModel, bars: pl.DataFrame, present: dict[str, float | None]) -> list[str]:
    notes = []
    if study.join == "inner":
        notes.append('bars without a spot trade are dropped (join="inner"): the gaps end spells, and no bar of silent spot is counted')
    if present["funding_8h"] is None:
        notes.append("no funding is known in the window: hours and payments are not told")
    if costs.borrow_bps_per_day == 0:
        notes.append("borrowing the coin for the negative side is not counted (borrow_bps_per_day = 0)")
    stale = int((~bars["fresh"]).sum())
    if stale:
        apart = bars.filter(~pl.col("fresh") & (pl.col("basis_bps").abs() > costs.total_bps)).height
        apart_text = f"the old prices of {apart:,} of them are further apart than the cost" if apart else "whatever their prices are"
        notes.append(f"{stale:,} of {bars.height:,} bars have no fresh basis and are no opportunities; {apart_text}")
    if costs.slippage_source == "stated":
        figures = {name: getattr(costs, name) for name in ("perp_slippage_bps", "spot_slippage_bps", "borrow_bps_per_day")}
        small = {name: figure for name, figure in figures.items() if 0 < figure < SMALL_BPS}
        notes += [
            f"{name} = {figure:g} is read as basis points; as a fraction it would be {figure * 1e4:g}" for name, figure in small.items()
        ]
    return notes


def _with_slippage(costs: CostModel, slippage: str, study: Compared, table: pl.DataFrame) -> tuple[CostModel, list[str]]:
    """The costs with measured slippage, and how it was measured."""
    sides = zip(_VENUES, (study.pair.perp, study.pair.spot), strict=True)
    (perp, perp_note), (spot, spot_note) = [
        _from_quotes(study, instrument) if slippage == "quotes" else _from_bars(table, venue, instrument) for venue, instrument in sides
    ]
    how = (
        "half the quoted spread, weighted by time" if slippage == "quotes" else "half the effective spread of bars, Abdi and Ranaldo (2017)"
    )
    source = f"{how}, {time_text(study.start_us)} to {time_text(study.end_us)} UTC"
    return replace(costs, perp_slippage_bps=perp, spot_slippage_bps=spot, slippage_source=source), [perp_note, spot_note]


def _from_bars(table: pl.DataFrame, venue: str, instrument: Instrument) -> tuple[float, str]:
    found = bar_half_spread(table, venue)
    if found is None:
        raise ConfigError(
            "too few bars tell a spread",
            where=instrument.name,
            value="slippage from bars",
            hint="take a longer window, or state the slippage",
        )
    if found.is_seen:
        told = f"{found.half_spread_bps:.3g} bps"
    else:
        told = f"not told by the bars: a half-spread below {found.detectable_bps:.3g} bps drowns in their ranges, so this is charged"
    return found.cautious_bps, f"slippage of {instrument.name}: {told} ({found.pairs:,} pairs of bars); depth is not in it"


def _from_quotes(study: Compared, instrument: Instrument) -> tuple[float, str]:
    found = quoted_half_spread(_quotes(study, instrument), study.start_us, study.end_us)
    if found.half_spread_bps is None:
        raise NoDataError(
            "no quote of the window holds for any time",
            where=instrument.name,
            value=f"{found.quotes:,} quotes used, {found.set_aside:,} set aside",
            expected="quotes with a bid below the ask",
            hint="ingest quotes, take slippage from bars, or state the figures",
        )
    share = found.covered_us / found.window_us
    aside = f", {found.set_aside:,} set aside" if found.set_aside else ""
    told = f"{found.half_spread_bps:.3g} bps from {found.quotes:,} quotes{aside}, which hold for {share:.1%} of the window"
    return found.half_spread_bps, f"slippage of {instrument.name}: {told}; orders larger than the touch pay more"


def _quotes(study: Compared, instrument: Instrument) -> Iterator[pl.DataFrame]:
    """The quotes of the window, a day at a time."""
    some = False
    for day in days_in(study.start_us, study.end_us):
        first, last = max(day, study.start_us), min(day + DAY_US, study.end_us)
        with contextlib.suppress(NoDataError):  # a day without quotes
            rows = _quotes_of(study, instrument, first, last).collect()
            some = True
            yield rows
    if not some:
        _quotes_of(study, instrument, study.start_us, study.end_us)  # raises for the whole window


def _quotes_of(study: Compared, instrument: Instrument, start_us: int, end_us: int) -> pl.LazyFrame:
    """The quotes of a part of the window.

    Raises:
        NoDataError: there are none.
    """
    lake = study._lake  # noqa: SLF001 - of the same room
    rows = query.quotes(instrument.exchange, instrument.exchange_symbol, start_us, end_us, lazy=True, lake=lake)
    return rows.select("ts_local_us", "bid_price", "ask_price")


def _time(us: int) -> str:
    """A length of time in its natural unit."""
    unit, size = next((one for one in _UNITS if us >= 2 * one[1]), _UNITS[-1])
    return f"{us / size:.3g} {unit}"


_UNITS = (("days", DAY_US), ("hours", HOUR_US), ("minutes", MINUTE_US), ("s", SECOND_US))
