"""The door of ingest: every name of a market leads to one place, and what could not be read back does not land unless it is stated."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.effort import examples
from tests.lake.archives import TRADES_HEADER, write

import pointline
from pointline import research
from pointline.errors import ConfigError, RegistryError
from pointline.ingest.repair import repair
from pointline.ingest.run import ingest
from pointline.instruments import Registry
from pointline.lake import open_lake
from pointline.lake.catalog import asked_for, catalog
from pointline.lake.verify import verify
from pointline.research import query
from pointline.research.spines import VolumeBarConfig
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.sql.process import query as sql
from pointline.venues import names

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.ingest.run import FileReport
    from pointline.lake import Lake

START_MS = 1_714_521_600_000  # 2024-05-01
DAY = ("2024-05-01", "2024-05-02")
COLUMNS = """
[columns]
ts_event_us = { column = "time", unit = "ms" }
trade_id = "id"
price = "price"
qty = "qty"
side = { column = "maker", seller_taker = ["true"] }
"""
# A symbol of each market that its venue file lets one read, with the universal name of its instrument.
EXAMPLES = {
    "binance-spot": ("BTCUSDT", "BTC-USDT"),
    "binance-futures": ("BTCUSDT", "BTC-USDT"),
    "binance-delivery": ("BTCUSD_PERP", "BTC-USD-PERP"),
    "bybit-spot": ("BTCUSDT", "BTC-USDT"),
    "bybit": ("BTCUSDT", "BTC-USDT"),
    "okx-spot": ("BTC-USDT", "BTC-USDT"),
    "okx-swap": ("BTC-USDT-SWAP", "BTC-USDT"),
    "coinbase": ("BTC-USD", "BTC-USD"),
    "kraken": ("BCHEUR", "BCH-EUR"),
    "okx-futures": ("BTC-USDT-250328", "BTC-USDT-2025-03-28"),
    "deribit": ("BTC-PERPETUAL", "BTC-USD-PERP"),
    "kraken-futures": ("PF_XBTUSD", "XBT-USD"),
    "gate-spot": ("BTC_USDT", "BTC-USDT"),
    "gate-futures": ("BTC_USDT", "BTC-USDT"),
    "kucoin-spot": ("BTC-USDT", "BTC-USDT"),
    "kucoin-futures": ("XBTUSDTM", "XBT-USDT"),
    "hyperliquid": ("BTC", "BTC-USDT"),
}
# Those whose every alias goes through a lake; of the others the resolver alone is asked.
BROUGHT = tuple(EXAMPLES)[:9]
ALIASES = [
    (exchange, called)
    for exchange, market in sorted(names.markets().items())
    for name in sorted({exchange, market.sql_name, *market.aliases})
    for called in (name, name.upper())
]


def rows(count: int = 30, first: int = 1) -> list[str]:
    return [f"{first + n},{60_000 + n % 3},{1 + n % 2},{START_MS + 1_000 * n},{'true' if n % 2 else 'false'}" for n in range(count)]


def table(folder: Path, mapping: str, lines: list[str], header: str = "id,price,qty,time,maker", name: str = "t") -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.toml").write_text(mapping, encoding="utf-8")
    (folder / f"{name}.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return folder / f"{name}.csv", folder / f"{name}.toml"


def bring(lake: Lake, path: Path, **hints: Any) -> FileReport:  # noqa: ANN401 - Hints has the types
    (report,) = ingest(lake, [path], sources=all_sources(), hints=Hints(**hints))
    return report


def held(lake: Lake, kind: str = "trades") -> list[tuple[str, str]]:
    return sorted(set(lake.listing(kind).select("exchange", "symbol").iter_rows()))


def quoted(text: str) -> str:
    """A text as a TOML string."""
    return json.dumps(text, ensure_ascii=True).replace("\\ud", "\\uD") if text.isascii() else '"' + "".join(map(_toml, text)) + '"'


def _toml(one: str) -> str:
    return one if one.isalnum() else f"\\U{ord(one):08x}"


def terms(**said: object) -> str:
    return "\n".join(f"{key} = {quoted(value) if isinstance(value, str) else value}" for key, value in said.items()) + "\n"


PERP = {"base_asset": "BTC", "quote_asset": "USDC", "asset_type": "perpetual", "contract_type": "linear", "contract_size": 1.0}
SPOT = {"base_asset": "BTC", "quote_asset": "USDC", "asset_type": "spot"}


# ------------------------------------------------------------------------------------------------- one place for every alias


def test_every_exchange_has_an_example() -> None:
    assert set(EXAMPLES) == set(names.markets())


def test_every_alias_and_spelling_means_one_symbol() -> None:
    registry = Registry()
    for exchange, called in ALIASES:
        symbol, market = EXAMPLES[exchange]
        for spelling in (symbol, symbol.lower(), market, market.lower()):
            assert (registry.exchange_id(called), registry.symbol_of(called, spelling)) == (exchange, symbol), (called, spelling)
        known = registry.with_derived(called, symbol)
        assert {known.find(called, name, START_MS * 1_000).exchange_symbol for name in (symbol, market)} == {symbol}


@pytest.mark.parametrize(("exchange", "called"), [pair for pair in ALIASES if pair[0] in BROUGHT])
def test_every_alias_of_a_mapping_lands_in_one_place(tmp_path: Path, exchange: str, called: str) -> None:
    symbol, market = EXAMPLES[exchange]
    lake = open_lake(tmp_path / "lake", create=True)
    for number, spelling in enumerate(dict.fromkeys((symbol, symbol.lower(), market, market.lower()))):
        path, mapping = table(
            tmp_path,
            f'kind = "trades"\nexchange = "{called}"\nsymbol = "{spelling}"\n{COLUMNS}',
            rows(first=100 * number),
            name=str(number),
        )
        assert bring(lake, path, mapping=mapping).outcome == "landed", spelling
        assert bring(lake, path, mapping=mapping, exchange=called, symbol=spelling).outcome == "unchanged"
    assert held(lake) == [(exchange, symbol)]
    (read,) = {query.trades(called, name, *DAY, lake=lake, decoded=False).height for name in (symbol, symbol.lower(), market)}
    assert read == lake.listing("trades")["num_records"].sum()
    assert research.data_coverage(called, symbol, lake=lake)["rows"].sum() == read
    assert research.list_symbols(called, lake=lake)["exchange_symbol"].unique().to_list() == [symbol]
    assert [row["symbol"] for row in catalog(lake, called, market)["instruments"]] == [symbol]
    assert lake.listing("trades").filter(asked_for(lake, called, symbol.lower())).height == 1


@pytest.mark.parametrize(("exchange", "called"), [pair for pair in ALIASES if pair[0].startswith("binance")])
def test_every_alias_of_a_flag_is_taken_by_every_source(tmp_path: Path, exchange: str, called: str) -> None:
    symbol, _ = EXAMPLES[exchange]
    lake = open_lake(tmp_path / "lake", create=True)
    line, header = {
        "binance-spot": (f"1,60000,1,60000,{START_MS},true,true", f"{TRADES_HEADER},is_best_match"),
        "binance-futures": (f"1,60000,1,60000,{START_MS},true", TRADES_HEADER),
        "binance-delivery": (f"1,60000,3,0.005,{START_MS},true", TRADES_HEADER.replace("quote_qty", "base_qty")),
    }[exchange]
    vision = write(tmp_path, f"{symbol}-trades-2024-05-01.csv", line, header=header)
    assert bring(lake, vision, exchange=called).outcome == "landed"
    message = {"e": "aggTrade", "E": START_MS, "T": START_MS, "s": symbol, "a": 7, "p": "60000", "q": "1", "f": 8, "l": 9, "m": True}
    if exchange == "binance-spot":
        message["M"] = True
    recording = tmp_path / "r.dat"
    recording.write_text(f"{START_MS + 5}000 {json.dumps(message)}\n", encoding="utf-8")
    assert bring(lake, recording, exchange=called).outcome in {"landed", "superseded"}
    assert held(lake) == [(exchange, symbol)]


def test_every_alias_is_taken_by_every_command(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    for exchange, number in (("binance-futures", 1), ("binance-spot", 2)):
        path, mapping = table(
            tmp_path, f'kind = "trades"\nexchange = "{exchange}"\nsymbol = "BTCUSDT"\n{COLUMNS}', rows(), name=str(number)
        )
        bring(lake, path, mapping=mapping)
    spellings = [("binance-futures:BTCUSDT", "binance-spot:BTCUSDT"), ("Binance-USDM-Future:btc-usdt", "BINANCE:btcusdt")]
    found = []
    for perp, spot in spellings:
        study = pointline.compare(perp, spot, start=DAY[0], end=DAY[1], bars=VolumeBarConfig(5.0), lake=lake, cache=False)
        found.append(study.features)
        made = run("compare", perp, spot, "--start", DAY[0], "--end", DAY[1], "--threshold", "5", "--lake", str(lake.root), "--json")
        assert json.loads(made.stdout)["bars"] == study.features.height
        shown = run("catalog", "--exchange", perp.partition(":")[0], "--symbol", perp.partition(":")[2], "--lake", str(lake.root), "--json")
        assert [row["symbol"] for row in json.loads(shown.stdout)["instruments"]] == ["BTCUSDT"]
    assert found[0].equals(found[1])


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([sys.executable, "-m", "pointline.cli", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


# ------------------------------------------------------------------------------------------ what could not be read back


@pytest.mark.parametrize(
    ("exchange", "symbol", "says"),
    [
        ("my-exchange", "BTCUSDT", "no venue file knows it"),
        ("bybit", "BTC_PERP", "cannot be split"),
        ("binance-futures", "BTC/USDT", "cannot be split"),
        ("binance-futures", "BTCUSDT Perpetual", "cannot be split"),
        ("okx-futures", "BTC-USDC-250328", "the contract size"),
        ("binance-futures", "../../../../../outside", "cannot be split"),
    ],
)
def test_what_could_not_be_read_back_is_refused_and_lands_once_it_is_stated(tmp_path: Path, exchange: str, symbol: str, says: str) -> None:
    lake = open_lake(tmp_path / "deep" / "lake", create=True)
    head = f'kind = "trades"\nexchange = "{exchange}"\nsymbol = "{symbol}"\n'
    path, mapping = table(tmp_path, head + COLUMNS, rows())
    report = bring(lake, path, mapping=mapping)
    assert report.outcome == "failed"
    assert says in str(report.problem)
    assert "[instrument]" in str(report.problem)
    assert "venues/" in str(report.problem)
    assert held(lake) == []
    path, mapping = table(tmp_path, head + "[instrument]\n" + terms(**PERP) + COLUMNS, rows())
    assert bring(lake, path, mapping=mapping).outcome == "landed"
    assert bring(lake, path, mapping=mapping).outcome == "unchanged"
    assert held(lake) == [(exchange, symbol)]
    mapping.unlink()
    again = open_lake(lake.root)  # without the mapping
    assert query.trades(exchange, symbol, *DAY, lake=again).height == len(rows())
    assert again.registry().find(exchange, "BTC-USDC", 0).source == "mapping"
    assert not list(tmp_path.glob("outside*"))
    assert {p.name for p in tmp_path.iterdir()} == {"deep", "t.csv"}


def test_a_column_of_symbols_lands_those_that_are_known_and_counts_the_others(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    head = 'kind = "trades"\nexchange = "Bybit"\nsymbol = { column = "coin" }\n'
    lines = [f"{line},{coin}" for coin in ("BTCUSDT", "BTC_PERP", "ETH_PERP") for line in rows(3)]
    header = "id,price,qty,time,maker,coin"
    path, mapping = table(tmp_path, head + COLUMNS, lines, header)
    report = bring(lake, path, mapping=mapping)
    assert (report.outcome, report.rows_read, report.rows_landed, report.rows_quarantined) == ("landed", 9, 3, 6)
    assert "line 5, column symbol" in str(report.problem)
    assert held(lake) == [("bybit", "BTCUSDT")]
    stated = "[instrument.BTC_PERP]\n" + terms(**PERP) + "[instrument.ETH_PERP]\n" + terms(**{**PERP, "base_asset": "ETH"})
    path, mapping = table(tmp_path, head + stated + COLUMNS, lines, header)
    assert bring(lake, path, mapping=mapping).rows_landed == 9
    assert held(lake) == [("bybit", "BTCUSDT"), ("bybit", "BTC_PERP"), ("bybit", "ETH_PERP")]
    assert lake.registry().find("bybit", "ETH_PERP", 0).base_asset == "ETH"
    as_list = "[[instrument]]\n" + terms(symbol="BTC_PERP", **PERP)
    as_list += "[[instrument]]\n" + terms(symbol="ETH_PERP", **{**PERP, "base_asset": "ETH"})
    path, mapping = table(tmp_path, head + as_list + COLUMNS, lines, header)
    bring(lake, path, mapping=mapping)
    assert lake.registry().frame.height == 3


def test_the_index_of_a_pair_is_no_instrument_and_lands(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    columns = "[columns]\n" + "".join(f'{name} = "{name}"\n' for name in ("open", "high", "low", "close"))
    columns += 'start_us = { column = "time", unit = "ms" }\n'
    line, header = [f"1,1,1,1,{START_MS}"], "open,high,low,close,time"
    for kind, exchange, symbol, outcome in (
        ("index_candles_1m", "binance-coinm-future", "BTCUSD", "landed"),
        ("premium_candles_1m", "binance-coinm-future", "BTCUSD", "landed"),
        ("mark_candles_1m", "binance-coinm-future", "BTCUSD", "failed"),
        ("index_candles_1m", "my-exchange", "BTCUSD", "failed"),
    ):
        path, mapping = table(tmp_path, f'kind = "{kind}"\nexchange = "{exchange}"\nsymbol = "{symbol}"\n{columns}', line, header)
        assert bring(lake, path, mapping=mapping).outcome == outcome, (kind, exchange)
    assert held(lake, "index_candles_1m") == [("binance-delivery", "BTCUSD")]


# ---------------------------------------------------------------------------------------------------------- statements


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({**PERP, "contract_size": 0}, "greater than 0"),
        ({k: v for k, v in PERP.items() if k != "contract_size"}, "needs contract_type"),
        ({**SPOT, "contract_size": 10.0}, "a spot market has no"),
        ({**PERP, "asset_type": "future"}, "expiry"),
        ({**PERP, "base_asset": ""}, "at least 1 character"),
        ({**PERP, "tick": 1.0}, "there is no key tick"),
    ],
)
def test_a_statement_that_says_too_little_or_nonsense_is_refused(tmp_path: Path, said: dict[str, Any], says: str) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    path, mapping = table(tmp_path, 'kind = "trades"\nexchange = "bybit"\nsymbol = "X"\n[instrument]\n' + terms(**said) + COLUMNS, rows())
    report = bring(lake, path, mapping=mapping)
    assert report.outcome == "failed"
    assert says in str(report.problem)
    assert "t.toml, instrument" in str(report.problem)


@pytest.mark.parametrize(("exchange", "symbol"), [("okx-swap", "BTC-USDT-SWAP"), ("bybit", "X")])
def test_a_statement_does_not_contradict_what_is_known(tmp_path: Path, exchange: str, symbol: str) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    head = f'kind = "trades"\nexchange = "{exchange}"\nsymbol = "{symbol}"\n[instrument]\n'
    known = {**PERP, "quote_asset": "USDT", "contract_size": 0.01}
    path, mapping = table(tmp_path, head + terms(**known) + COLUMNS, rows())
    assert bring(lake, path, mapping=mapping).outcome == "landed"
    path, mapping = table(tmp_path, head + terms(**{**known, "contract_size": 100.0}) + COLUMNS, rows())
    report = bring(lake, path, mapping=mapping)
    assert report.outcome == "failed"
    assert "another contract_size" in str(report.problem)


def test_a_stated_future_has_its_expiry_and_increments(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    said = terms(**PERP, price_increment=0.5, qty_increment=0.001).replace("perpetual", "future") + "expiry = 2024-06-28T08:00:00Z\n"
    path, mapping = table(tmp_path, 'kind = "trades"\nexchange = "okx-futures"\nsymbol = "B"\n[instrument]\n' + said + COLUMNS, rows())
    assert bring(lake, path, mapping=mapping).outcome == "landed"
    one = lake.registry().find("okx-futures", "BTC-USDC-2024-06-28", 0)
    assert (one.price_increment, one.qty_increment, one.settle_asset) == (0.5, 0.001, "USDC")


# ----------------------------------------------------------------------------------------------- venue files of a lake


VENUE = """
venue = "bitstamp"
[[market]]
exchange = "bitstamp"
sql_name = "bitstamp"
aliases = ["krk"]
asset_type = "spot"
symbols = "joined"
quote_assets = ["EUR", "USD"]
source = "my own"
"""


def with_venue(root: Path, text: str) -> Lake:
    lake = open_lake(root, create=True)
    (lake.root / "venues").mkdir(exist_ok=True)
    (lake.root / "venues" / "own.toml").write_text(text, encoding="utf-8")
    return lake


def test_a_venue_file_of_the_lake_opens_it_to_an_exchange_and_only_that_lake(tmp_path: Path) -> None:
    path, mapping = table(tmp_path / "in", f'kind = "trades"\nexchange = "KRK"\nsymbol = "BCHEUR"\n{COLUMNS}', rows())
    plain = open_lake(tmp_path / "plain", create=True)
    assert bring(plain, path, mapping=mapping).outcome == "failed"
    lake = with_venue(tmp_path / "lake", VENUE)
    assert bring(lake, path, mapping=mapping).outcome == "landed"
    assert held(lake) == [("bitstamp", "BCHEUR")]
    assert query.trades("krk", "bch-eur", *DAY, lake=lake).height == len(rows())
    told = sql("SELECT exchange, market, count() AS n FROM api.trade GROUP BY ALL", lake=lake).row(0)
    assert told == ("bitstamp", "BCH-EUR", len(rows()))
    assert bring(plain, path, mapping=mapping).outcome == "failed"
    assert "bitstamp" not in names.markets()
    assert names.exchange_id("krk") == "krk"


def test_a_venue_file_may_add_instruments_to_an_exchange_of_the_package(tmp_path: Path) -> None:
    listed = '[[instrument]]\nexchange = "bybit"\nexchange_symbol = "BTCPERP"\nsource = "my own"\n' + terms(**PERP)
    lake = with_venue(tmp_path / "lake", 'venue = "more"\n' + listed)
    path, mapping = table(tmp_path, f'kind = "trades"\nexchange = "bybit"\nsymbol = "BTCPERP"\n{COLUMNS}', rows())
    assert bring(lake, path, mapping=mapping).outcome == "landed"
    assert lake.registry().find("bybit", "BTC-USDC", 0).source == "venue_file"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("venue = ", "not TOML"),
        (VENUE.replace('"krk"', '"Binance"'), "exchange name binance"),
        (VENUE.replace('sql_name = "bitstamp"', 'sql_name = "kr"'), "has one name"),
        (VENUE + VENUE.partition("[[market]]")[1] + VENUE.partition("[[market]]")[2], "exchange name"),
        ('venue = "m"\n[[contract_size]]\nexchanges = ["bybit"]\ndefault = 5.0\nsource = "s"\n', "contract size of bybit"),
        (
            'venue = "m"\n[[instrument]]\nexchange = "hyperliquid"\nexchange_symbol = "HYPE"\nsource = "s"\n' + terms(**PERP),
            "instrument of hyperliquid",
        ),
        ('venue = "m"\n[[instrument]]\nexchange = "nowhere"\nexchange_symbol = "X"\nsource = "s"\n' + terms(**PERP), "has no [[market]]"),
    ],
)
def test_a_venue_file_that_cannot_be_used_is_explained(tmp_path: Path, text: str, says: str) -> None:
    lake = with_venue(tmp_path / "lake", text)
    with pytest.raises(ConfigError) as caught:
        lake.registry()
    assert says in str(caught.value)
    assert "own.toml" in str(caught.value)


# -------------------------------------------------------------------------------------------------- symbols of any text


ODD = [
    "BTC/USDT",
    "BTCUSDT Perpetual",
    "币安人生USDT",
    "../../../../../out",
    'a"b',
    "a'b\\c",
    "*?[1]{a}%20#",
    "é",
    "e\u0301",
    "x" * 300,
    "..",
    "a\tb\n",
]


@given(symbols=st.lists(st.one_of(st.sampled_from(ODD), st.text(min_size=1, max_size=40)), min_size=1, max_size=3, unique=True))
@example(symbols=ODD)
@settings(max_examples=examples(6))
def test_an_instrument_of_any_name_can_be_ingested_and_queried(symbols: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    lake = open_lake(folder / "deep" / "deep" / "lake", create=True)
    for number, symbol in enumerate(symbols):
        for name, exchange, said in (("p", "my perps", PERP), ("s", "my spot/", SPOT)):
            own = {**said, "base_asset": f"B{number}"}
            head = f'kind = "trades"\nexchange = {quoted(exchange)}\nsymbol = {quoted(symbol)}\n[instrument]\n'
            path, mapping = table(folder / "in", head + terms(**own) + COLUMNS, rows(10 + number), name=f"{name}{number}")
            report = bring(lake, path, mapping=mapping)
            assert report.outcome == "landed", report.problem
    outside = [path for path in folder.rglob("*") if "lake" not in path.parts[len(folder.parts) :] and "in" not in path.parts[-2:]]
    assert {path.name for path in outside} <= {"deep", "in"}
    for number, symbol in enumerate(symbols):
        assert query.trades("my perps", symbol, *DAY, lake=lake).height == 10 + number
        study = pointline.compare(
            f"my perps:{symbol}", f"my spot/:{symbol}", start=DAY[0], end=DAY[1], bars=VolumeBarConfig(5.0), lake=lake
        )
        assert study.features.height
    assert {row["symbol"] for row in catalog(lake)["instruments"]} == set(symbols)
    told = sql("SELECT exchange, market, count() AS n FROM api.trade GROUP BY ALL", lake=lake)
    assert sorted(told.iter_rows()) == sorted(
        (exchange, f"B{number}-USDC", 10 + number) for exchange in ("my perps", "my spot/") for number in range(len(symbols))
    )


@pytest.mark.parametrize("base", ["A/B", 'A"B', "币 安", "*", "x" * 260, "a'\\b", "%41", "?"])
def test_sql_gives_market_names_of_any_text(tmp_path: Path, base: str) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    head = 'kind = "trades"\nexchange = "bybit"\nsymbol = "ODD"\n[instrument]\n'
    path, mapping = table(tmp_path, head + terms(**{**PERP, "base_asset": base}) + COLUMNS, rows())
    assert bring(lake, path, mapping=mapping).outcome == "landed"
    path, mapping = table(tmp_path, f'kind = "trades"\nexchange = "bybit"\nsymbol = "BTCUSDT"\n{COLUMNS}', rows(7))
    bring(lake, path, mapping=mapping)
    market = f"{base}-USDC"
    counted = "SELECT count() AS n FROM api.trade WHERE market = {m:String}"
    assert sql(counted, lake=lake, m=market)["n"].item() == len(rows())
    assert sql(counted, lake=lake, m="BTC-USDT")["n"].item() == 7
    candles = sql("SELECT market, sum(count) AS n FROM api.ohlcv(candle_duration_in_minutes = 60) GROUP BY market", lake=lake)
    assert dict(candles.iter_rows()) == {market: len(rows()), "BTC-USDT": 7}


def test_unknown_names_are_refused_with_the_nearest(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    path, mapping = table(tmp_path, f'kind = "trades"\nexchange = "bybit"\nsymbol = "BTCUSDT"\n{COLUMNS}', rows())
    bring(lake, path, mapping=mapping)
    with pytest.raises(RegistryError, match="BTCUSDT"):
        query.trades("bybit", "BTCUSD", *DAY, lake=lake)


def test_a_stated_name_serves_plain_readers_too(tmp_path: Path) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    path, mapping = table(tmp_path, f'kind = "trades"\nexchange = "bybit"\nsymbol = "BTCUSDT"\n{COLUMNS}', rows())
    bring(lake, path, mapping=mapping)
    read = pl.read_parquet(lake.root / "trades" / "**" / "*.parquet", hive_partitioning=True)
    assert set(read.select("exchange", "symbol").iter_rows()) == {("bybit", "BTCUSDT")}


@pytest.mark.parametrize("symbol", ["BTC/USDT", "币 安", "x" * 300, ".."])
@pytest.mark.parametrize("lost", ["a data file", "the log", "instruments"])
def test_a_lake_with_odd_names_is_verified_and_repaired(tmp_path: Path, symbol: str, lost: str) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    head = f'kind = "trades"\nexchange = "my exchange"\nsymbol = {quoted(symbol)}\n[instrument]\n'
    path, mapping = table(tmp_path, head + terms(**PERP) + COLUMNS, rows())
    bring(lake, path, mapping=mapping)
    assert verify(lake).problems == []
    (data,) = (lake.root / "trades").rglob("part-*.parquet")
    if lost == "a data file":
        data.unlink()
    else:
        shutil.rmtree(lake.root / {"the log": "trades/_delta_log", "instruments": "instruments"}[lost])
    assert verify(open_lake(lake.root)).problems
    repair(open_lake(lake.root), all_sources)
    mended = open_lake(lake.root)
    assert verify(mended).problems == []
    assert query.trades("my exchange", symbol, *DAY, lake=mended).height == len(rows())
