"""Instruments: what a symbol is, from when until when, and which spot market belongs to which derivative."""

from __future__ import annotations

from pointline.instruments.instrument import (
    INSTRUMENT_SCHEMA,
    OBSERVATION_SCHEMA,
    Instrument,
    Observation,
    funding_payment,
    symbol_id_of,
)
from pointline.instruments.pairs import PAIR_SCHEMA, Pair, check_pair, find_pairs, pair_spot
from pointline.instruments.registry import Registry
from pointline.instruments.symbols import derive
from pointline.venues.dated import FAR_FUTURE_US, UNKNOWN_START_US
from pointline.venues.names import exchange_id, sql_exchange

__all__ = [
    "FAR_FUTURE_US",
    "INSTRUMENT_SCHEMA",
    "OBSERVATION_SCHEMA",
    "PAIR_SCHEMA",
    "UNKNOWN_START_US",
    "Instrument",
    "Observation",
    "Pair",
    "Registry",
    "check_pair",
    "derive",
    "exchange_id",
    "find_pairs",
    "funding_payment",
    "pair_spot",
    "sql_exchange",
    "symbol_id_of",
]
