"""The instrument registry: every version of every instrument, rebuilt from what was observed.

The registry keeps observations (rows of exchangeInfo snapshots and symbols seen in archives) and derives the versions from all
of them at once, so the order in which snapshots arrive does not matter.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, get_args

import polars as pl

from pointline.clock import time_text
from pointline.errors import ConfigError, RegistryError, nearest
from pointline.instruments.instrument import INSTRUMENT_SCHEMA, OBSERVATION_SCHEMA, AssetType, Instrument, symbol_id_of
from pointline.instruments.symbols import derive, symbol_candidates
from pointline.venues.dated import FAR_FUTURE_US, UNKNOWN_START_US
from pointline.venues.files import Venues, package_venues
from pointline.venues.names import exchange_id
from pointline.venues.rules import asset_table, size_spans

if TYPE_CHECKING:
    from collections.abc import Iterable

_ASSET_TYPES: tuple[str, ...] = get_args(AssetType)
_KEY = ("exchange", "exchange_symbol")
_ATTRIBUTES = tuple(name for name in OBSERVATION_SCHEMA if name not in {*_KEY, "observed_us", "source"})


def _no_observations() -> pl.DataFrame:
    return pl.DataFrame(schema=OBSERVATION_SCHEMA)


@dataclass(frozen=True, eq=False)
class Registry:
    """All known instruments; every change gives a new registry.

    Attributes:
        observations: rows of `OBSERVATION_SCHEMA`; storing and reloading them restores the registry.
        known: the venue files by which names and symbols are read.
    """

    observations: pl.DataFrame = field(default_factory=_no_observations)
    known: Venues = field(default_factory=package_venues)

    @cached_property
    def frame(self) -> pl.DataFrame:
        """One row per instrument version in `INSTRUMENT_SCHEMA`, ordered by exchange, exchange symbol and valid_from_us."""
        return _versions(self.observations, asset_table(self.known), self.known)

    def exchange_id(self, name: str) -> str:
        """The exchange id of an id, alias or SQL name in any case; a name that nobody knows is returned as it is."""
        found = exchange_id(name, self.known)
        if found in self.known.markets:
            return found
        return next((one for one in self.observations["exchange"].unique().sort() if one.lower() == name.lower()), name)

    def symbol_of(self, exchange: str, name: str) -> str | None:
        """The exchange's own symbol of an instrument; None where no instrument can be known by that name.

        Args:
            exchange: exchange id, alias or SQL name.
            name: the exchange's own symbol or the universal market name, in any case.

        Raises:
            RegistryError: the name stands for several instruments, none or more than one of which is known already.

        Examples:
            Kraken lists a linear and an inverse future on one pair and day:

            >>> Registry().symbol_of("kraken-futures", "fi_xbtusd_240927")
            'FI_XBTUSD_240927'
            >>> Registry().symbol_of("kraken-futures", "XBT-USD-2024-09-27")
            Traceback (most recent call last):
            pointline.errors.RegistryError: the name stands for several instruments
              where:    kraken-futures
              value:    'XBT-USD-2024-09-27'
              expected: one of FF_XBTUSD_240927, FI_XBTUSD_240927
        """
        wanted = self.exchange_id(exchange)
        own = self.observations.filter(pl.col("exchange") == wanted)
        seen = set(own["exchange_symbol"])
        candidates = symbol_candidates(wanted, name, self.known)
        usable = [one for one in candidates if one in seen or self._derives(wanted, one)]
        if usable and usable[0] not in (name, name.upper()) and len(usable) > 1:
            known = [one for one in usable if one in seen]
            if len(known) != 1:
                raise RegistryError(
                    "the name stands for several instruments", where=wanted, value=name, expected="one of " + ", ".join(usable)
                )
            return known[0]
        if usable:
            return usable[0]
        registry = self
        for listing_exchange, symbol in self.known.instruments:
            if listing_exchange == wanted:
                registry = registry.with_derived(wanted, symbol)
        named = set(registry._on(wanted).filter(pl.col("market") == name.upper())["exchange_symbol"])  # noqa: SLF001 - another of its kind
        return named.pop() if len(named) == 1 else None

    def _derives(self, exchange: str, symbol: str) -> bool:
        try:
            derive(exchange, symbol, self.known)
        except RegistryError:
            return False
        return True

    def _on(self, exchange: str) -> pl.DataFrame:
        return self.frame.filter(pl.col("exchange") == self.exchange_id(exchange))

    def find(self, exchange: str, symbol: str, at_us: int) -> Instrument:
        """The instrument that a symbol named at a time.

        Args:
            exchange: exchange id, alias or SQL name.
            symbol: the exchange's own symbol or the universal market name, in any case.
            at_us: microseconds UTC.

        Raises:
            RegistryError: the exchange or symbol is unknown, not valid at that time, or names several instruments.
        """
        named = self._named(exchange, symbol)
        valid = named.filter((pl.col("valid_from_us") <= at_us) & (pl.lit(at_us) < pl.col("valid_until_us")))
        if valid.height == 1:
            return Instrument.from_row(valid.row(0, named=True))
        where = f"{self.exchange_id(exchange)}, {time_text(at_us)} UTC"
        if valid.height > 1:
            several = ", ".join(valid["exchange_symbol"])
            raise RegistryError("the name stands for several instruments", where=where, value=symbol, expected=f"one of {several}")
        spans = "; ".join(_span_text(start, end) for start, end in named.select("valid_from_us", "valid_until_us").iter_rows())
        raise RegistryError(
            "the instrument is known, but not at that time",
            where=where,
            value=symbol,
            expected=f"a time inside {spans}",
            hint="choose another window, or ingest an exchangeInfo snapshot of that time",
        )

    def by_id(self, symbol_id: int) -> Instrument:
        """The instrument version of a number.

        Raises:
            RegistryError: no version has it.
        """
        found = self.frame.filter(pl.col("symbol_id") == symbol_id)
        if found.height:
            return Instrument.from_row(found.row(0, named=True))
        raise RegistryError(
            "no instrument has this symbol_id",
            value=symbol_id,
            hint="the number changes when an exchangeInfo snapshot tells more about an instrument: look it up again by its symbol",
        )

    def versions(self, exchange: str, symbol: str, start_us: int, end_us: int) -> pl.DataFrame:
        """The versions of an instrument that are valid somewhere in ``[start_us, end_us)``, oldest first; may be empty.

        Raises:
            RegistryError: the exchange or symbol is unknown.
        """
        named = self._named(exchange, symbol)
        return named.filter((pl.col("valid_from_us") < end_us) & (pl.col("valid_until_us") > start_us))

    def list(
        self,
        *,
        exchange: str | None = None,
        base_asset: str | None = None,
        quote_asset: str | None = None,
        asset_type: str | None = None,
    ) -> pl.DataFrame:
        """The versions that have all the given values; without any, all versions.

        Raises:
            ConfigError: there is no such asset type.
        """
        if asset_type is not None and asset_type not in _ASSET_TYPES:
            raise ConfigError("there is no such asset type", value=asset_type, expected=", ".join(_ASSET_TYPES))
        wanted = {
            "exchange": None if exchange is None else self.exchange_id(exchange),
            "base_asset": base_asset,
            "quote_asset": quote_asset,
            "asset_type": asset_type,
        }
        return self.frame.filter(*(pl.col(name) == value for name, value in wanted.items() if value is not None))

    def with_snapshot(self, rows: pl.DataFrame, observed_us: int) -> Registry:
        """The registry that also knows an exchangeInfo snapshot.

        Unchanged attributes change nothing; a changed one ends the version at `observed_us` and begins the next. A listing date
        after the last snapshot of the old listing means that the symbol was listed anew: that version begins at the listing.
        A symbol that a snapshot lacks keeps its version, because snapshots may be partial.

        Args:
            rows: columns of `OBSERVATION_SCHEMA`; its observed_us may lack, and others are ignored.
            observed_us: the exchange's time of the snapshot.

        Raises:
            RegistryError: a column is missing, or the snapshot has no time.
        """
        missing = [name for name in OBSERVATION_SCHEMA if name not in {"observed_us", *rows.columns}]
        if missing:
            raise RegistryError("a snapshot lacks columns", value=", ".join(missing), expected=", ".join(OBSERVATION_SCHEMA))
        if observed_us <= UNKNOWN_START_US:
            raise RegistryError("a snapshot needs the time at which it was observed", value=observed_us, expected="microseconds UTC")
        snapshot = rows.with_columns(observed_us=pl.lit(observed_us)).select(
            pl.col(name).cast(kind) for name, kind in OBSERVATION_SCHEMA.items()
        )
        return Registry(pl.concat([self.observations, snapshot]).unique(maintain_order=True), self.known)

    def with_derived(self, exchange: str, exchange_symbol: str) -> Registry:
        """The registry that also knows an instrument by its archive symbol alone; unchanged where it is known already.

        Raises:
            RegistryError: the exchange is unknown, or the venue file does not say enough to read the symbol.
        """
        known = (pl.col("exchange") == self.exchange_id(exchange)) & (pl.col("exchange_symbol") == exchange_symbol)
        if self.observations.filter(known).height:
            return self
        row = pl.DataFrame([asdict(derive(exchange, exchange_symbol, self.known))], schema=OBSERVATION_SCHEMA)
        return Registry(pl.concat([self.observations, row]), self.known)

    def with_readable(self, names: Iterable[tuple[str, str]]) -> Registry:
        """The registry that also knows instruments by their archive symbols alone, those whose symbols can be read.

        Args:
            names: exchange ids and symbols that the registry does not know yet.
        """
        rows = []
        for exchange, symbol in names:
            with contextlib.suppress(RegistryError):  # the index of a pair, BTCUSD, has candles but is no instrument
                rows.append(asdict(derive(exchange, symbol, self.known)))
        if not rows:
            return self
        return Registry(pl.concat([self.observations, pl.DataFrame(rows, schema=OBSERVATION_SCHEMA)]), self.known)

    def _named(self, exchange: str, symbol: str) -> pl.DataFrame:
        on_exchange = self._on(exchange)
        if on_exchange.is_empty():
            known = self.frame["exchange"].unique().to_list()
            raise RegistryError(
                "no instrument of this exchange is known",
                value=exchange,
                expected="one of " + ", ".join(sorted(known)) if known else "an exchange of which a file was ingested",
                hint=f"nearest names: {nearest(exchange, known).lower()}",
            )
        for spelling in dict.fromkeys((symbol, symbol.upper())):
            for column in ("exchange_symbol", "market"):
                named = on_exchange.filter(pl.col(column) == spelling)
                if named.height:
                    return named
        names = [*on_exchange["exchange_symbol"], *on_exchange["market"]]
        raise RegistryError(
            "the symbol is unknown on this exchange",
            where=self.exchange_id(exchange),
            value=symbol,
            hint=f"nearest names: {nearest(symbol, names)}",
        )


def _span_text(start_us: int, end_us: int) -> str:
    start = "the beginning" if start_us == UNKNOWN_START_US else f"{time_text(start_us)} UTC"
    end = "now on" if end_us == FAR_FUTURE_US else f"{time_text(end_us)} UTC"
    return f"[{start}, {end})"


def _versions(observations: pl.DataFrame, assets: pl.DataFrame, known: Venues) -> pl.DataFrame:
    runs = _split_at_size_changes(_runs(_best_observations(observations)), known)
    split = _split_at_asset_changes(runs, assets)
    return (
        _with_underlying(split, assets)
        .with_columns(market=_market())
        .with_columns(
            symbol_id=pl.Series(
                [symbol_id_of(*row) for row in split.select(*_KEY, "valid_from_us").iter_rows()],
                dtype=pl.Int64(),
            )
        )
        .select(pl.col(name).cast(kind) for name, kind in INSTRUMENT_SCHEMA.items())
    )


def _best_observations(observations: pl.DataFrame) -> pl.DataFrame:
    """One observation per instrument and time, in order; what else is known of a symbol counts only while there is no snapshot."""
    has_snapshot = (pl.col("source") == "exchange_info").any().over(_KEY)
    return (
        observations.filter((pl.col("source") == "exchange_info") | ~has_snapshot)
        .sort(*_KEY, "observed_us", *_ATTRIBUTES, "source")
        .unique(subset=[*_KEY, "observed_us"], keep="last", maintain_order=True)
    )


def _runs(observations: pl.DataFrame) -> pl.DataFrame:
    """The stretches of equal attributes as rows with valid_from_us and valid_until_us."""
    same_instrument = pl.all_horizontal(pl.col(name) == pl.col(name).shift(1) for name in _KEY).fill_null(value=False)
    changed = pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift(1)) for name in _ATTRIBUTES)
    listed, seen_before = pl.col("listed_us"), pl.col("observed_us").shift(1)
    listed_anew = listed.ne_missing(listed.shift(1)) & (listed > seen_before)
    start = (
        pl.when(~same_instrument)
        .then(listed.fill_null(UNKNOWN_START_US))
        .when(listed_anew.fill_null(value=False))
        .then(listed)
        .otherwise(pl.max_horizontal("observed_us", "listed_us"))
    )
    starts = observations.with_columns(valid_from_us=start, _first=~same_instrument | changed).filter("_first")
    earliest_after = pl.col("valid_from_us").cum_min(reverse=True).shift(-1).over(_KEY)
    kept = starts.filter((pl.col("valid_from_us") < earliest_after) | earliest_after.is_null())
    return kept.with_columns(valid_until_us=pl.col("valid_from_us").shift(-1).over(_KEY).fill_null(FAR_FUTURE_US))


def _split_at_size_changes(runs: pl.DataFrame, known: Venues) -> pl.DataFrame:
    """Versions that are known by their symbol alone have the contract size of the venue file's dates, and exist between these only."""
    sized = (pl.col("source") == "derived") & pl.col("contract_type").is_not_null() & pl.col("contract_size").is_not_null()
    dated = sized & pl.col("exchange").is_in(known.exchanges_of_dated_sizes)
    if not runs.select(dated.any()).item():
        return runs
    rows = []
    for row in runs.filter(dated).iter_rows(named=True):
        for start, until, size in size_spans(row["exchange"], row["base_asset"], row["quote_asset"], row["contract_type"], known):
            first, last = max(start, row["valid_from_us"]), min(until, row["valid_until_us"])
            if first < last:
                rows.append({**row, "contract_size": size, "valid_from_us": first, "valid_until_us": last})
    return pl.concat([runs.filter(~dated), pl.DataFrame(rows, schema=runs.schema)]).sort(*_KEY, "valid_from_us")


def _split_at_asset_changes(runs: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Versions end where the reviewed asset table says that the base asset became another one."""
    changes = pl.concat([table.select("exchange", "base_asset", at_us=name) for name in ("asset_from_us", "asset_until_us")]).unique()
    changes = changes.join(runs, on=["exchange", "base_asset"], how="semi").sort("exchange", "base_asset", "at_us")
    for exchange, base_asset, at_us in changes.iter_rows():
        crossed = (
            (pl.col("exchange") == exchange)
            & (pl.col("base_asset") == base_asset)
            & (pl.col("valid_from_us") < at_us)
            & (pl.col("valid_until_us") > at_us)
        )
        after = runs.filter(crossed).with_columns(valid_from_us=pl.lit(at_us))
        if after.height:
            before = runs.with_columns(valid_until_us=pl.when(crossed).then(at_us).otherwise("valid_until_us"))
            runs = pl.concat([before, after])
    return runs.sort(*_KEY, "valid_from_us")


def _with_underlying(versions: pl.DataFrame, assets: pl.DataFrame) -> pl.DataFrame:
    applies = (pl.col("asset_from_us") <= pl.col("valid_from_us")) & (pl.col("valid_from_us") < pl.col("asset_until_us"))
    key = [*_KEY, "valid_from_us"]
    reviewed = (
        versions.select(*key, "base_asset")
        .join(assets, on=["exchange", "base_asset"], how="inner")
        .filter(applies)
        .select(*key, "underlying_asset", "multiplier")
    )
    return versions.join(reviewed, on=key, how="left", maintain_order="left").with_columns(
        pl.col("underlying_asset").fill_null(pl.col("base_asset")),
        pl.col("multiplier").fill_null(1),
    )


def _market() -> pl.Expr:
    pair = pl.col("base_asset") + "-" + pl.col("quote_asset")
    delivery = pl.from_epoch("expiry_us", time_unit="us").dt.strftime("%Y-%m-%d")
    return (
        pl.when(pl.col("asset_type") == "future")
        .then(pair + "-" + delivery)
        .when((pl.col("asset_type") == "perpetual") & (pl.col("contract_type") == "inverse"))
        .then(pair + "-PERP")
        .otherwise(pair)
    )
