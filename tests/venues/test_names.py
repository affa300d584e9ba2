"""Names of exchanges: every id, SQL name and alias leads to one id."""

from __future__ import annotations

import pytest

from pointline.errors import RegistryError
from pointline.venues import names


def test_names_of_an_exchange() -> None:
    known = {"binance": "binance-spot", "binance-usdm-future": "binance-futures", "okex-swap": "okx-swap", "bybit": "bybit", "mine": "mine"}
    assert {name: names.exchange_id(name) for name in known} == known
    assert names.sql_exchange("binance-spot") == "binance"
    assert names.sql_exchange("binance-futures") == "binance-usdm-future"
    assert names.sql_exchange("mine") == "mine"
    with pytest.raises(RegistryError, match="no venue file knows"):
        names.market_of("binanse-futures")


def test_the_recorder_s_ids_are_known() -> None:
    known = {
        "okex": "okx-spot",
        "okex-swap": "okx-swap",
        "okex-futures": "okx-futures",
        "gate-io": "gate-spot",
        "gate-io-futures": "gate-futures",
        "cryptofacilities": "kraken-futures",
        "binance-delivery": "binance-delivery",
        "hyperliquid": "hyperliquid",
        "kucoin": "kucoin-spot",
    }
    assert {name: names.exchange_id(name) for name in known} == known
    assert names.venue_names()["kraken-futures"] == names.venue_names()["kraken"]


def test_no_name_stands_for_two_exchanges() -> None:
    known = [name for market in names.markets().values() for name in {market.exchange, market.sql_name, *market.aliases}]
    assert len(known) == len(set(known))
