"""Names at ingest: what a file calls its exchange and instruments becomes what the lake calls them, or is refused.

A row lands only where research can find it again: its instrument follows from a venue file (the package's or the lake's own), from an
exchangeInfo snapshot of the lake, or from what the mapping states. Candles of an index or a premium belong to a pair and are no
instrument; they need a known exchange only.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import ConfigError, RegistryError, SourceError
from pointline.instruments import OBSERVATION_SCHEMA, Observation, derive
from pointline.lake.delta_log import Change
from pointline.lake.journal import stage_rows
from pointline.lake.paths import encode_name
from pointline.sources.base import REJECT_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake
    from pointline.sources.base import Batch, Hints, Identity
    from pointline.sources.mapping import Mapping

_OF_A_PAIR = ("index_candles_", "premium_candles_")  # kinds
_SURE = ("exchange_info", "mapping", "venue_file")  # sources of an instrument that a mapping must not contradict
_COMPARED = ("base_asset", "quote_asset", "settle_asset", "asset_type", "contract_type", "contract_size", "expiry_us")


@dataclass(frozen=True)
class _Name:
    """What became of a symbol.

    Attributes:
        symbol: as the lake calls it.
        refusal: why its rows cannot land; None where they can.
        stated: what the mapping says of it.
    """

    symbol: str
    refusal: SourceError | None = None
    stated: Observation | None = None


class FileNames:
    """Resolves the names of one file.

    Args:
        lake: where the rows go.
        hints: what the user said; a mapping may state instruments.
    """

    def __init__(self, lake: Lake, hints: Hints) -> None:
        self._lake = lake
        self._registry = lake.described()
        self._mapping = None if hints.mapping is None else _load(hints.mapping)
        self._names: dict[tuple[str, str, bool], _Name] = {}
        self.hints = self._resolved(hints)

    def _resolved(self, hints: Hints) -> Hints:
        called = hints.exchange or (None if self._mapping is None else self._mapping.exchange)
        if called is None:
            return hints
        symbol = None if hints.symbol is None else self._registry.symbol_of(called, hints.symbol) or hints.symbol
        return replace(hints, exchange=None if hints.exchange is None else self._registry.exchange_id(hints.exchange), symbol=symbol)

    def identity(self, identity: Identity, path: Path) -> Identity:
        """The identity with the names that the lake uses; the hints speak of its symbol from then on.

        Raises:
            SourceError: the file's exchange or only instrument cannot be read back.
        """
        exchange = self._registry.exchange_id(identity.exchange)
        if identity.symbol == "*":
            return replace(identity, exchange=exchange)
        name = self._name(exchange, identity.symbol, of_a_pair=identity.kind.startswith(_OF_A_PAIR))
        if name.refusal is not None:
            name.refusal.where = name.refusal.where or str(path)
            raise name.refusal
        if self.hints.symbol is not None:
            self.hints = replace(self.hints, symbol=name.symbol)
        return replace(identity, exchange=exchange, symbol=name.symbol)

    def batch(self, batch: Batch) -> Batch:
        """The batch with the names that the lake uses; without rows, each of them rejected, where its instrument cannot be read back."""
        exchange = self._registry.exchange_id(batch.exchange)
        if batch.symbol == "*":
            return replace(batch, exchange=exchange)
        name = self._name(exchange, batch.symbol, of_a_pair=batch.kind.startswith(_OF_A_PAIR))
        if name.refusal is None:
            return replace(batch, exchange=exchange, symbol=name.symbol)
        rejects = batch.frame.select(
            line="source_row",
            column=pl.lit("symbol"),
            value=pl.lit(batch.symbol),
            reason=pl.lit(f"{name.refusal.what}; state it with [instrument] in the mapping, or in venues/ of the lake"),
            raw=pl.lit(None, dtype=pl.String),
            fatal=pl.lit(value=True),
        ).cast(REJECT_SCHEMA)  # type: ignore[arg-type]
        return replace(batch, exchange=exchange, frame=batch.frame.clear(), rejects=pl.concat([batch.rejects, rejects]))

    def change(self) -> Change:
        """The instruments that the mapping states, and of which rows came, as far as the lake does not know them.

        Raises:
            LakeError: the disk is full.
        """
        stated = [asdict(name.stated) for _, name in sorted(self._names.items()) if name.stated is not None]
        lake = type(self._lake)(self._lake.root)  # of its own: the next file may be reading through the other one
        known = lake.described().observations if stated else pl.DataFrame(schema=OBSERVATION_SCHEMA)
        fresh = pl.DataFrame(stated, schema=OBSERVATION_SCHEMA).join(known, on=list(OBSERVATION_SCHEMA), how="anti", nulls_equal=True)
        if fresh.is_empty():
            return Change()
        text = fresh.select(pl.all().cast(pl.String)).write_csv()
        return Change([stage_rows(lake, fresh, f"stated-{hashlib.sha256(text.encode()).hexdigest()[:32]}")])

    def _name(self, exchange: str, symbol: str, *, of_a_pair: bool) -> _Name:
        key = (exchange, symbol, of_a_pair)
        if key not in self._names:
            name = self._looked_up(exchange, symbol)
            known = name.refusal is None or exchange not in self._registry.known.markets
            self._names[key] = name if known or not of_a_pair or not symbol else _Name(symbol)
        return self._names[key]

    def _looked_up(self, exchange: str, symbol: str) -> _Name:
        try:
            for text in (exchange, symbol):
                encode_name(text)
        except ConfigError as error:
            return _Name(symbol, SourceError(error.what, value=symbol, expected=error.expected, hint="correct the file or the mapping"))
        own = self._registry.symbol_of(exchange, symbol)
        stated = None if self._mapping is None else self._mapping.instrument
        terms = None if stated is None else stated.of(symbol) or stated.of(own or symbol)
        if terms is not None:
            one = Observation(exchange=exchange, exchange_symbol=own or symbol, **terms.terms(), source="mapping")
            self._check(one)
            return _Name(one.exchange_symbol, stated=one)
        return _Name(own) if own is not None else _Name(symbol, self._refusal(exchange, symbol))

    def _refusal(self, exchange: str, symbol: str) -> SourceError:
        markets = self._registry.known.markets
        states = "[instrument] in the mapping (--mapping), or a venue file of your own in venues/ of the lake"
        if exchange not in markets:
            return SourceError(
                "this exchange could not be read back: no venue file knows it",
                value=exchange,
                expected="one of " + ", ".join(sorted(markets)),
                hint=f"name it as listed, or describe what the instrument is: {states}",
            )
        try:
            derive(exchange, symbol, self._registry.known)
        except RegistryError as error:
            return SourceError(
                f"this instrument could not be read back: {error.what}",
                where=error.where,
                value=symbol,
                expected=error.expected,
                hint=f"say which symbol of {exchange} it is, ingest the exchange's exchangeInfo first, or describe what it is: {states}",
            )
        raise AssertionError(symbol)  # the resolver would have found it

    def _check(self, stated: Observation) -> None:
        """Refuses a statement that contradicts what the exchange, a venue file or another mapping says.

        Raises:
            ConfigError: it does.
        """
        own = (pl.col("exchange") == stated.exchange) & (pl.col("exchange_symbol") == stated.exchange_symbol)
        rows = self._registry.frame.filter(own & pl.col("source").is_in(_SURE)).to_dicts()
        listed = self._registry.known.instruments.get((stated.exchange, stated.exchange_symbol))
        known = rows or ([{**listed.terms(), "source": "venue_file"}] if listed is not None else [])
        fitting = [row for row in known if all(row[name] == getattr(stated, name) for name in _COMPARED)]
        if known and not fitting:
            row = known[-1]
            name = next(name for name in _COMPARED if row[name] != getattr(stated, name))
            raise ConfigError(
                f"the mapping states another {name} than the lake knows from {str(row['source']).replace('_', ' ')}",
                where=f"{self.hints.mapping}, instrument {stated.exchange}:{stated.exchange_symbol}",
                value=getattr(stated, name),
                expected=str(row[name]),
                hint="leave [instrument] out, or correct it",
            )


def _load(path: Path) -> Mapping:
    from pointline.sources.mapping import load_mapping

    return load_mapping(path)
