"""compare_venues(): several perps and several spot markets of one asset on one spine, and the widest basis among them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pointline import clock
from pointline.bars.run import VenueTrades
from pointline.costs import SAME_EXCHANGE, CostModel
from pointline.curves.widest import PairTermsOnSpine, funding_spreads, pair_basis, widest_basis
from pointline.errors import ConfigError, NoDataError
from pointline.instruments import check_pair
from pointline.instruments.versions import MetadataWarning
from pointline.lake.store import as_lake
from pointline.research import query
from pointline.studies.compare import compare
from pointline.studies.named import named_instrument, resolved_costs
from pointline.studies.summary import Summary
from pointline.venues.fees import of_one_venue

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from pointline.bars.rules import BarRule
    from pointline.features import FeatureParams
    from pointline.instruments import Instrument, Pair
    from pointline.lake.store import Lake, LakeLike
    from pointline.state.attach import StateParams
    from pointline.studies.study import Study

LARGEST = "largest"
_RATE_LOOK_BACK_US = clock.DAY_US


@dataclass(frozen=True, eq=False, kw_only=True)
class VenueComparison:
    """The result of `pointline.compare_venues`. It can be pickled.

    Attributes:
        driver: the perp whose bars all others are put on.
        perps, spots: names of the instruments, in the order that was given.
        start_us, end_us: the window.
        rule_text: when bars close, in words.
        studies: a comparison for each instrument that needed one, by perp and spot, all on the driver's bars.
        pairs: the basis of every pair at every bar (`pointline.curves.widest.PAIR_BASIS_SCHEMA`).
        notes: what a reader should know.
    """

    driver: str
    perps: tuple[str, ...]
    spots: tuple[str, ...]
    start_us: int
    end_us: int
    rule_text: str
    studies: dict[tuple[str, str], Study] = field(repr=False)
    pairs: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...]

    @cached_property
    def widest(self) -> pl.DataFrame:
        """The widest basis of each bar, with pair, cost and ages (`pointline.curves.widest.WIDEST_SCHEMA`)."""
        return widest_basis(self.pairs)

    @cached_property
    def funding_spreads(self) -> pl.DataFrame:
        """What one perp pays more than another (`pointline.curves.widest.FUNDING_SPREADS_SCHEMA`)."""
        told: dict[str, pl.DataFrame] = {}
        for (perp, _), study in self.studies.items():
            if perp not in told and study.pair.perp.asset_type == "perpetual":
                told[perp] = study.features.select("bucket_end", "funding_8h")
        return funding_spreads(told)

    @property
    def title(self) -> str:
        """The asset and how many markets."""
        asset = next(iter(self.studies.values())).pair.spot.underlying_asset
        return f"{asset}: perps {', '.join(self.perps)}; spot {', '.join(self.spots)}"

    @property
    def window_text(self) -> str:
        """The window and the bars."""
        start, end = (clock.time_text(us) for us in (self.start_us, self.end_us))
        return f"{start} to {end} UTC, end exclusive. Bars of {self.driver}: {self.rule_text}"

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row per pair: bars with a basis, its quantiles, the cost, and how often it was the widest and above its cost.

        Quantiles of a pair with `cross_quote` hold the rate between the two quotes.
        """
        size, told = pl.col("basis_bps").abs(), pl.coalesce("basis_bps", "cross_quote_basis_bps")
        found = self.pairs.group_by("perp", "spot", maintain_order=True).agg(
            bars=pl.len(),
            fresh_share=told.is_not_null().mean(),
            cross_quote=pl.col("cross_quote_basis_bps").is_not_null().any(),
            median_bps=told.median(),
            low_bps=told.quantile(0.01),
            high_bps=told.quantile(0.99),
            cost_bps=pl.col("cost_bps").first(),
            above_cost_share=(size > pl.col("cost_bps")).mean(),
        )
        times = self.widest.group_by("perp", "spot").agg(widest_bars=pl.len()).filter(pl.col("perp").is_not_null())
        return found.join(times, on=["perp", "spot"], how="left", maintain_order="left").with_columns(pl.col("widest_bars").fill_null(0))

    @property
    def verdict(self) -> str:
        """Which pair is the widest most often, and how often it pays its cost."""
        known = self.widest.filter(pl.col("basis_bps").is_not_null())
        if known.is_empty():
            return "No pair had a basis at any bar."
        row = self.table.sort("widest_bars", descending=True, maintain_order=True).row(0, named=True)
        above = float((known["net_bps"] > 0).mean())  # type: ignore[arg-type]
        median_bps = _number(known["basis_bps"].abs().median())
        return (
            f"{row['perp']} against {row['spot']} is the widest in {row['widest_bars'] / known.height:.1%} of {known.height:,} bars; "
            f"the widest basis has a median of {median_bps:.2f} bps and is above its cost in {above:.2%} of them."
        )

    @cached_property
    def summary(self) -> Summary:
        """The figures, JSON-ready."""
        net = self.widest["net_bps"].drop_nulls()
        spreads = self.funding_spreads.group_by("first", "second", maintain_order=True).agg(
            pl.col("spread_8h_bps").median(), pl.col("spread_year").median()
        )
        return Summary(
            {
                "driver": self.driver,
                "perps": list(self.perps),
                "spots": list(self.spots),
                "window_us": [self.start_us, self.end_us],
                "bars": self.widest.height,
                "bars_with_a_basis": net.len(),
                "bars_above_cost": int((net > 0).sum()),
                "pairs": self.table.to_dicts(),
                "funding_spreads": spreads.to_dicts(),
                "notes": list(self.notes),
            }
        )

    def view(self) -> RenderableType:
        """What the command line prints."""
        from pointline.report.venues_view import venues_view

        spreads = pl.DataFrame(self.summary["funding_spreads"])
        return venues_view(self.table, spreads, title=self.title, lines=(self.window_text, self.verdict), notes=self.notes)

    def _repr_html_(self) -> str:
        from pointline.report.html import study_html

        return study_html(title=self.title, lines=[self.window_text, self.verdict], tables=[("Pairs", self.table)], notes=self.notes)


def compare_venues(
    perps: Sequence[str],
    spots: Sequence[str],
    *,
    start: clock.TimeLike,
    end: clock.TimeLike,
    driver: str = LARGEST,
    bars: BarRule | str | pl.DataFrame = "auto",
    events: str = "trades",
    rates: Mapping[str, str] | None = None,
    costs: CostModel | str | None = None,
    params: FeatureParams | None = None,
    state: StateParams | None = None,
    lake: LakeLike | None = None,
    threads: int | None = None,
) -> VenueComparison:
    """Several perps, and several spot markets, of one asset on the bars of one perp: every basis, the widest, and funding between venues.

    The perp-spot guide's Advanced 2 trades the pair with the widest basis. Here a pair counts at a bar only if both of its prices, and the
    rate that converts them, are recent enough; what is widest is known at the bar's end.

    Args:
        perps: derivatives as ``exchange:symbol``.
        spots: spot markets as ``exchange:symbol``.
        start, end: the window ``[start, end)``.
        driver: the perp whose trades make the bars, or ``"largest"``: the one with the most volume of the window in units of the asset.
        bars: as for `pointline.compare`, of the driver.
        events: as for `pointline.compare`.
        rates: instruments of the lake by the quotes that they convert, e.g. ``{"USDT/USD": "kraken:USDTUSD"}``: dollars for one USDT.
            Pairs of unlike quotes without one are named cross-quote and are never the widest.
        costs: of every pair, or the name of a preset (``"venue"`` takes each pair's own fees); if None the guide's figures, with a
            withdrawal only where the two exchanges are no one venue's.
        params, state, lake, threads: as for `pointline.compare`.

    Returns:
        A `VenueComparison`.

    Raises:
        ConfigError: no perp or no spot, one twice, instruments of different assets, an unknown driver, or a rate that converts nothing.
        RegistryError: an unknown instrument; the error has the nearest names.
        NoDataError: an instrument has no data in the window.

    Examples:
        >>> import pointline
        >>> from pointline.research.spines import TimeBarConfig
        >>> found = pointline.compare_venues(
        ...     ["binance-futures:BTCUSDT"],
        ...     ["binance-spot:BTCUSDT"],
        ...     start="2024-05-01",
        ...     end="2024-05-02",
        ...     bars=TimeBarConfig("1h"),
        ...     lake="out/demo/lake",
        ... )
        >>> found.table.select("perp", "spot", "bars", "cost_bps").row(0)
        ('binance-futures:BTCUSDT', 'binance-spot:BTCUSDT', 24, 40.0)
    """
    window = clock.window_us(start, end)
    opened = as_lake(lake)
    legs = _Legs.of(opened, perps, spots, window)
    terms = [_terms(one, two, costs, rates or {}, window, opened) for one in legs.perps for two in legs.spots]
    leading = legs.driver(driver, opened, window, events)
    told = {"start": window[0], "end": window[1], "events": events, "params": params, "state": state, "lake": opened, "threads": threads}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the notes of the studies say the same
        first = compare(leading.name, legs.spots[0].name, bars=bars, **told)  # type: ignore[arg-type]
        studies = {(leading.name, legs.spots[0].name): first}
        for perp, spot in legs.others(leading):
            studies[perp.name, spot.name] = compare(perp.name, spot.name, bars=first.spine, **told)  # type: ignore[arg-type]
    prices = _prices(studies)
    spine = prices[leading.name]
    converted = {name: _rate(opened, (rates or {})[name], spine, events, window) for name in {one.rate for one in terms if one.rate}}
    perp_age_us, spot_age_us = first.params.age_limits_us
    return VenueComparison(
        driver=leading.name,
        perps=tuple(one.name for one in legs.perps),
        spots=tuple(one.name for one in legs.spots),
        start_us=window[0],
        end_us=window[1],
        rule_text=first.rule_text,
        studies=studies,
        pairs=pair_basis(prices, terms, rates=converted, max_perp_age_us=perp_age_us, max_spot_age_us=spot_age_us),
        notes=(*_clock_notes(studies), *_quote_notes(terms, legs), *_study_notes(studies)),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


@dataclass(frozen=True)
class _Legs:
    perps: list[Instrument]
    spots: list[Instrument]

    @classmethod
    def of(cls, lake: Lake, perps: Sequence[str], spots: Sequence[str], window: tuple[int, int]) -> _Legs:
        found = []
        for kind, names in (("perps", perps), ("spots", spots)):
            if isinstance(names, str) or not names:
                raise ConfigError(f"{kind} is no list of instruments", where=kind, value=names, expected='for example ["binance:BTCUSDT"]')
            registry = lake.registry()
            own = [named_instrument(registry, name, window[0]) for name in names]
            if len({one.symbol_id for one in own}) < len(own):
                raise ConfigError("an instrument is named twice", where=kind, value=list(names), expected="each once")
            found.append(own)
        return cls(*found)

    def driver(self, name: str, lake: Lake, window: tuple[int, int], events: str) -> Instrument:
        """The perp that is named, or the one with the most volume."""
        if name != LARGEST:
            wanted = named_instrument(lake.registry(), name, window[0])
            same = [one for one in self.perps if one.symbol_id == wanted.symbol_id]
            if not same:
                known = ", ".join(one.name for one in self.perps)
                raise ConfigError("the driver is none of the perps", where="driver", value=name, expected=f"{LARGEST}, or one of {known}")
            return same[0]
        return max(self.perps, key=lambda one: _volume(lake, one, window, events)) if len(self.perps) > 1 else self.perps[0]

    def others(self, leading: Instrument) -> list[tuple[Instrument, Instrument]]:
        """As few pairs as have every other perp and spot in them."""
        perps = [one for one in self.perps if one is not leading]
        spots = self.spots[1:]
        count = max(len(perps), len(spots))
        return [(perps[n] if n < len(perps) else leading, spots[n] if n < len(spots) else self.spots[0]) for n in range(count)]


def _volume(lake: Lake, instrument: Instrument, window: tuple[int, int], events: str) -> float:
    """Volume of the window in units of the asset, of trades that of whole days."""
    inverse = instrument.contract_type == "inverse"
    symbol = (instrument.exchange, instrument.exchange_symbol)
    if events == "trades":
        size = float(instrument.size)
        sums = ((float(file.qty) * size, float(file.last_price)) for file in lake.files(events, *symbol, *window))
        return sum(qty / price if inverse else qty for qty, price in sums) * instrument.multiplier
    ends = (window[0] + 1, window[1] + 1)  # a candle is known at its end
    candles = query.candles(*symbol, *ends, interval=events.removeprefix("candles_"), lazy=True, lake=lake)
    total = candles.select(pl.col("base_volume" if inverse else "volume").sum()).collect().item()
    return float(total or 0.0) * instrument.multiplier


def _terms(
    perp: Instrument, spot: Instrument, costs: CostModel | str | None, rates: Mapping[str, str], window: tuple[int, int], lake: Lake
) -> PairTermsOnSpine:
    pair = check_pair(perp, spot, lake.registry().known)
    plain = PairTermsOnSpine(
        perp=perp.name, spot=spot.name, price_factor=float(pair.price_factor), cost_bps=_cost(pair, costs, window, lake).total_bps
    )
    if pair.quote_match:
        return plain
    straight, other = f"{spot.quote_asset}/{perp.quote_asset}", f"{perp.quote_asset}/{spot.quote_asset}"
    if straight in rates:
        return replace(plain, rate=straight)
    return replace(plain, rate=other, inverted=True) if other in rates else replace(plain, cross_quote=True)


def _cost(pair: Pair, costs: CostModel | str | None, window: tuple[int, int], lake: Lake) -> CostModel:
    if costs is not None:
        return resolved_costs(costs, pair, window, lake.venues)[0]
    together = of_one_venue(pair.perp.exchange, pair.spot.exchange, lake.venues)
    return resolved_costs(SAME_EXCHANGE, pair, window, lake.venues)[0] if together else CostModel.guide()


def _prices(studies: Mapping[tuple[str, str], Study]) -> dict[str, pl.DataFrame]:
    """By instrument, the last price before each bar's end and its age; strictly as the bars have them."""
    found: dict[str, pl.DataFrame] = {}
    for names, study in studies.items():
        for side, name in zip(("perp", "spot"), names, strict=True):
            if name not in found:
                found[name] = study.bars.select("bucket_start", "bucket_end", close=f"{side}_close", age_us=f"{side}_age_us")
    return found


def _rate(lake: Lake, name: str, spine: pl.DataFrame, events: str, window: tuple[int, int]) -> pl.DataFrame:
    """The last price of an instrument strictly before each bar's end, and its age."""
    instrument = named_instrument(lake.registry(), name, window[0])
    symbol, begin_us = (instrument.exchange, instrument.exchange_symbol), window[0] - _RATE_LOOK_BACK_US
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MetadataWarning)
        try:
            rows = query.trades(*symbol, begin_us, window[1], lazy=True, lake=lake).filter(~pl.col("off_book").fill_null(value=False))
            known = rows.select("ts_local_us", "price").collect()
        except NoDataError:
            if events == "trades":
                raise
            interval = events.removeprefix("candles_")
            candles = query.candles(*symbol, begin_us, window[1], interval=interval, lazy=True, lake=lake)
            known = candles.select("ts_local_us", price="close").collect()
    times, prices = known["ts_local_us"].to_numpy(), known["price"].to_numpy()
    ends = spine["bucket_end"].to_numpy()
    row = np.searchsorted(times, ends, side="left") - 1
    there = row >= 0
    return spine.select("bucket_start", "bucket_end").with_columns(
        close=pl.Series(np.where(there, prices[row], np.nan), nan_to_null=True),
        age_us=pl.Series(np.where(there, ends - times[row], 0)).set(pl.Series(~there), None),
    )


def _clock_notes(studies: Mapping[tuple[str, str], Study]) -> list[str]:
    """How the times of each market came about: collectors in different cities receive at different distances."""
    kinds: dict[str, str] = {}
    for names, study in studies.items():
        for side, name in zip(("perp", "spot"), names, strict=True):
            venue = study._sides[side]  # noqa: SLF001 - of the same room
            if isinstance(venue, VenueTrades):
                kinds[name] = "received" if _received(venue) else "exchange"
    received = sorted(name for name, kind in kinds.items() if kind == "received")
    if not received:
        return []
    others = sorted(name for name, kind in kinds.items() if kind == "exchange")
    told = f"times of {', '.join(received)} are those of a recorder, whose distance to the exchange is part of each age"
    return [f"{told}; those of {', '.join(others)} are the exchange's own, without it" if others else told]


def _study_notes(studies: Mapping[tuple[str, str], Study]) -> list[str]:
    """The notes of the first study, and those of the others with the markets that they are of."""
    (_, first), *others = studies.items()
    notes = list(first.notes)
    for (perp, spot), study in others:
        notes += [f"{perp}, {spot}: {note}" for note in study.notes if note not in first.notes and "cross_quote_basis_bps" not in note]
    return notes


def _received(venue: VenueTrades) -> bool:
    file = next(iter(venue.files.values()))
    rows = file.scan(["ts_local_us", "ts_event_us"]).head(1_000).collect()
    return bool((rows["ts_local_us"] != rows["ts_event_us"]).any())


def _quote_notes(terms: Sequence[PairTermsOnSpine], legs: _Legs) -> list[str]:
    quotes = {one.name: one.quote_asset for one in (*legs.perps, *legs.spots)}
    crossed = [f"{one.perp} against {one.spot} ({quotes[one.perp]}, {quotes[one.spot]})" for one in terms if one.cross_quote]
    converted = sorted({one.rate for one in terms if one.rate})
    notes = []
    if crossed:
        notes.append(f"pairs of unlike quotes without a rate are never the widest: {'; '.join(crossed)}")
    if converted:
        notes.append(f"prices of unlike quotes are converted at the last {', '.join(converted)} of the lake")
    return notes
