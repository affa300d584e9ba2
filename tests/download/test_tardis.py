"""Tardis datasets: who sees the key, which days need one, how its refusal is told from a ban."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from tests.cli.running import run as cli
from tests.download.conftest import NOW_US
from tests.download.hosts import CASES
from tests.download.server import Archive, Server

from pointline.download import get_targets, targets_of
from pointline.download.archives import ARCHIVES
from pointline.download.symbols import check_symbol
from pointline.download.tardis import EXCHANGES, KEY_VARIABLE, TardisArchive
from pointline.errors import ConfigError
from pointline.venues.names import exchange_id, markets

if TYPE_CHECKING:
    from tests.download.conftest import Rig
    from tests.download.server import Handler

KEY = "TD.a-key-that-nobody-may-read"
CASE = CASES["tardis"]


@pytest.fixture
def keys(rig: Rig) -> list[str | None]:
    """The Authorization header of each request."""
    rig.serve(CASE)
    seen: list[str | None] = []

    def look(handler: Handler) -> bool:
        seen.append(handler.headers.get("Authorization"))
        return False

    rig.archive.misdeeds.append(look)
    return seen


def test_the_key_is_sent_and_nowhere_written(
    rig: Rig, keys: list[str | None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, f" {KEY}\n")
    caplog.set_level(logging.DEBUG)
    report = rig.get(CASE)
    assert report.counts == {"fetched": 3}
    assert set(keys) == {f"Bearer {KEY}"}
    said = [
        json.dumps(report.to_json()),
        caplog.text,
        repr(report),
        *(path.read_bytes().decode("latin-1") for path in rig.folder.rglob("*") if path.is_file()),
    ]
    assert not any(KEY in text for text in said)


def test_without_a_key_only_the_first_day_of_a_month_is_asked_for(
    rig: Rig, keys: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    plan = rig.get(CASE, dry_run=True)
    assert (plan.counts, plan.exit_code) == ({"planned": 1, "key_refused": 2}, 4)
    report = rig.get(CASE)
    assert report.counts == {"fetched": 1, "key_refused": 2}
    assert set(keys) == {None}
    assert {path for _, path in rig.archive.asked} == {f"/{CASE.served('2024-05-01')}"}
    assert KEY_VARIABLE in str(report.failed[0].error)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    rig.get(CASE)
    monkeypatch.delenv(KEY_VARIABLE)
    assert rig.get(CASE).counts == {"held": 3}, "what is there needs no key"


@pytest.mark.parametrize(("status", "outcome", "said"), [(401, "key_refused", "wants a key"), (403, "blocked", "refuses this request")])
def test_a_refused_key_is_told_from_a_ban(
    rig: Rig, keys: list[str | None], monkeypatch: pytest.MonkeyPatch, status: int, outcome: str, said: str
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def refuse(handler: Handler) -> bool:
        handler.send_response(status, f"bad key {KEY}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return True

    rig.archive.misdeeds.append(refuse)
    report = rig.get(CASE)
    assert (report.counts, report.exit_code) == ({outcome: 1}, 4)
    assert said in str(report.failed[0].error)
    assert len(keys) == 1
    words = ("--exchange", "okx-swap", "--symbols", "BTC-USDT-SWAP", "--kinds", "trades", "--start", "2024-05-01", "--end", "2024-05-02")
    found = cli("download", *words, "--archive", "tardis", "--folder", rig.folder, "--base-url", rig.url, "--json")
    assert found.code == 4
    assert KEY not in found.out + found.err + json.dumps(report.to_json())


def test_a_redirect_to_another_host_does_not_carry_the_key(rig: Rig, keys: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    elsewhere, seen = Archive(files=dict(rig.archive.files)), []

    def look(handler: Handler) -> bool:
        seen.append(handler.headers.get("Authorization"))
        return False

    elsewhere.misdeeds.append(look)
    with Server(elsewhere) as other:
        rig.archive.misdeeds.append(lambda handler: handler.send(302, b"", {"Location": f"{other.url}{handler.path}"}) or True)  # type: ignore[func-returns-value]
        assert rig.get(CASE).counts == {"fetched": 3}
    assert set(keys) == {f"Bearer {KEY}"}
    assert set(seen) == {None}
    assert len(seen) == 6


def test_the_key_goes_to_its_host_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    ARCHIVES["tardis"](rig.transport, "http://mirror.example")
    assert rig.transport._keys == {}, "in clear text to another machine"
    ARCHIVES["tardis"](rig.transport)
    assert list(rig.transport._keys) == [("https", "datasets.tardis.dev")]
    rig.archive.misdeeds.append(lambda handler: handler.headers.get("Authorization") is not None and (handler.send(500, b"", {}) or True))  # type: ignore[func-returns-value]
    assert rig.run().counts == {"fetched": 3}, "the test server is another host"


def test_a_key_that_cannot_be_one_is_not_repeated(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "two words\nX-Header: 1")
    with pytest.raises(ConfigError) as error:
        TardisArchive(rig.transport, rig.url)
    assert "two words" not in str(error.value)


def test_the_vendor_s_ids_are_those_that_ingest_reads() -> None:
    assert {exchange_id(vendor): vendor for vendor in EXCHANGES.values()} == EXCHANGES
    assert set(EXCHANGES) <= set(markets())


@pytest.mark.parametrize(
    ("exchange", "symbol", "path"),
    [
        ("binance-spot", "BTCUSDT", "v1/binance/trades/2024/05/01/BTCUSDT"),
        ("kraken", "XBT/USD", "v1/kraken/trades/2024/05/01/XBT-USD"),
        ("kraken", "XBTUSD", "v1/kraken/trades/2024/05/01/XBT-USD"),
        ("kraken-futures", "PF_XBTUSD", "v1/cryptofacilities/trades/2024/05/01/PF_XBTUSD"),
        ("hyperliquid", "kPEPE", "v1/hyperliquid/trades/2024/05/01/KPEPE"),
        ("deribit", "PERPETUALS", "v1/deribit/trades/2024/05/01/PERPETUALS"),
        ("gate-futures", "BTC_USDT", "v1/gate-io-futures/trades/2024/05/01/BTC_USDT"),
    ],
)
def test_paths(rig: Rig, exchange: str, symbol: str, path: str) -> None:
    rig.archive.files.clear()
    rig.archive.add(f"{path}.csv.gz", b"x", checksum=False)
    targets = targets_of(exchange, symbol, "trades", "2024-05-01", "2024-05-02", archive="tardis")
    report = get_targets(targets, transport=rig.transport, folder=rig.folder, base_url=rig.url, now_us=NOW_US, dry_run=True)
    assert [file.key for file in report.files] == [f"tardis/{path}.csv.gz"]


@pytest.mark.parametrize(
    ("exchange", "symbol", "kind", "archive", "said"),
    [
        ("deribit", "../x", "trades", "tardis", "no symbol"),
        ("deribit", "OPTIONS", "trades", "tardis", "no symbol"),
        ("kraken", "FOOBAR", "trades", "tardis", "part"),
        ("deribit", "BTC-PERPETUAL", "options_chain", "tardis", "no table for options"),
        ("my-exchange", "X", "trades", "tardis", "not known"),
        ("deribit", "BTC-PERPETUAL", "trades", "other", "no such archive"),
        ("tardis", "BTCUSDT", "trades", None, "no archive of this exchange"),
        ("gate-spot", "BTCUSDT", "trades", None, "no symbol"),
        ("gate-futures", "BTC_USD", "trades", None, "no symbol"),
        ("gate-spot", "BTC_USDT", "funding", None, "for futures only"),
        ("gate-spot", "BTC_USDT", "quotes", None, "no such kind"),
        ("kucoin-spot", "BTCUSDT", "trades", None, "no symbol"),
        ("kucoin-futures", "XBTMU26", "trades", None, "no symbol"),
        ("kucoin-futures", "BTCUSDTM", "trades", None, "read back"),
        ("kucoin-spot", "BTC-USDT", "quotes", None, "no such kind"),
        ("bybit-spot", "BTC-USDT", "trades", None, "no symbol"),
    ],
)
def test_a_wrong_request_is_refused_before_anybody_is_asked(exchange: str, symbol: str, kind: str, archive: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        targets_of(exchange, symbol, kind, "2024-05-01", "2024-05-02", archive=archive)


def test_every_exchange_with_an_archive_has_a_grammar() -> None:
    for name in ARCHIVES:
        if not name.startswith("binance") and name != "tardis":
            with pytest.raises(ConfigError, match="no symbol"):
                check_symbol(name, "../x")
