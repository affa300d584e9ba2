"""Every view of an export has the rows of pointline's own SQL, or of `research.query` where SQL has no such view."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.export.agreement import differences, opened, ordered

import pointline
from pointline.clock import DAY_US
from pointline.export.duckdb import export_duckdb
from pointline.ingest.run import ingest
from pointline.instruments import sql_exchange
from pointline.lake.store import open_lake
from pointline.research import query
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pointline.lake.store import Lake

pytestmark = pytest.mark.filterwarnings("ignore::pointline.errors.QueryNote", "ignore::pointline.instruments.versions.MetadataWarning")

EXAMPLES = Path(__file__).parents[2] / "examples" / "mappings"


@pytest.mark.parametrize("name", ["market", "mixed", "contracts", "empty"])
def test_every_view_says_what_our_sql_says(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    lake: Lake = request.getfixturevalue(name)
    export_duckdb(tmp_path / "lake.duckdb", lake=lake)
    assert differences(lake, tmp_path / "lake.duckdb") == {}


def test_saved_studies(tmp_path: Path, market: Lake) -> None:
    lake = open_lake(tmp_path / "lake", create=True)
    window = {"start": "2024-05-01", "end": "2024-05-03", "lake": market, "cache": False}
    study = pointline.compare("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", bars="auto", **window)
    study.save("one", lake=lake)
    narrow = pointline.compare("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", bars="auto", **{**window, "end": "2024-05-02"})
    narrow.save("two", lake=lake)
    frame = pl.read_parquet(lake.root / "studies" / "two.parquet").drop("basis_bps").with_columns(note=pl.lit("é"))
    frame.write_parquet(lake.root / "studies" / "two.parquet")
    export_duckdb(tmp_path / "lake.duckdb", lake=lake)
    assert differences(lake, tmp_path / "lake.duckdb", ("features",), ()) == {}
    with opened(tmp_path / "lake.duckdb") as connection:
        held = connection.execute(
            "SELECT study, count(*), count(basis_bps), count(note) FROM api.features GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert held == [
        ("one", study.features.height, study.features["basis_bps"].count(), 0),
        ("two", narrow.features.height, 0, frame.height),
    ]


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Recorded trades, quotes and tickers of three markets, Vision's archives, and daily candles by a mapping."""
    lake = open_lake(tmp_path_factory.mktemp("real") / "lake", create=True)

    def add(path: Path, source: str | None, **hints: Any) -> None:  # noqa: ANN401 -- handed on to Hints as they are
        (report,) = ingest(lake, [path], sources=all_sources(source), hints=Hints(**hints))
        assert report.rows_landed > 0, report.problem

    for path in sorted((shared_data / "ticks_btc_20230405").glob("binance_*.dat.gz")):
        add(path, "recorded")
    for path in sorted((shared_data / "ticks_btc_20240808").glob("binance_*.gz")):
        add(path, "recorded", clock="event")
    vision = shared_data / "vision"
    add(vision / "futures-APEUSDT-aggTrades-2024-10-18.zip", "binance_vision", exchange="binance-futures")
    for exchange, file in (("binance-futures", "futures-um-klines"), ("binance-spot", "spot-klines")):
        add(vision / f"{file}-BTCUSDT-1h-2024-10-28.zip", "binance_vision", exchange=exchange, dataset="klines-1h")
    for file, mapping in (
        ("klines/Binance_BTCUSDT_d.csv", "candles_daily_spot"),
        ("klines/BTCUSD_PERP_Binance_futures_CM_day.csv", "candles_daily_coinm"),
        ("funding/binance_usdm_BTC_funding_rates.json", "funding_json"),
        ("funding/binance_coinm_BTCUSD_PERP_funding_history_2024-08-09.csv", "funding_export_coinm"),
    ):
        add(shared_data / file, "table", mapping=EXAMPLES / f"{mapping}.toml")
    return lake


def test_real_data(real: Lake, tmp_path: Path) -> None:
    done = export_duckdb(tmp_path / "lake.duckdb", lake=real)
    rows = {view.name: view.rows for view in done.views}
    assert rows["trade"] > 90_000
    assert rows["quote"] > 90_000
    assert differences(real, tmp_path / "lake.duckdb") == {}
    check_stored_tables(real, tmp_path / "lake.duckdb")


@pytest.mark.parametrize("name", ["market", "mixed", "contracts"])
def test_what_sql_has_no_view_of_says_what_research_says(request: pytest.FixtureRequest, tmp_path: Path, name: str) -> None:
    lake: Lake = request.getfixturevalue(name)
    export_duckdb(tmp_path / "lake.duckdb", lake=lake)
    check_stored_tables(lake, tmp_path / "lake.duckdb")


VIEWS = {"trades": "trade", "quotes": "quote", "funding": "funding_rate"}
# By table: columns of the view, and what research calls the same.
PAIRS: dict[str, dict[str, str]] = {
    "quotes": {
        **{f"{side}_price": f"{side}_price" for side in ("bid", "ask")},
        **{f"{side}_quantity": f"{side}_qty" for side in ("bid", "ask")},
        "update_id": "update_id",
        "ts_event_us": "ts_event_us",
        "sequence": "source_row",
    },
    "derivative_ticker": {
        **dict.fromkeys(
            ("mark_price", "index_price", "last_price", "next_funding_us", "predicted_funding_rate", "open_interest", "ts_event_us")
        ),
        "estimated_funding_rate": "funding_rate",
    },
    "open_interest": dict.fromkeys(("open_interest", "open_interest_value", "account_ratio", "taker_volume_ratio", "ts_event_us")),
    "candles": {
        **dict.fromkeys(
            ("open", "high", "low", "close", "volume", "quote_volume", "base_volume", "taker_buy_volume", "start_us", "ts_event_us")
        ),
        "count": "trade_count",
    },
}


def check_stored_tables(lake: Lake, path: Path) -> None:
    """Decoded amounts as floats, which is how research gives them: the nearest float of an exact decimal."""
    checked = 0
    with opened(path) as connection:
        for kind in lake.kinds():
            for exchange, symbol in lake.listing(kind).select("exchange", "symbol").unique().iter_rows():
                pairs = PAIRS.get("candles" if "candles_" in kind else kind, {})
                ours = in_research(lake, kind, exchange, symbol)
                if "bid_qty_contracts" in ours.columns and symbol.endswith("_PERP"):  # of inverse contracts research converts, SQL does not
                    pairs = {mine: f"{theirs}_contracts" if mine.endswith("_quantity") else theirs for mine, theirs in pairs.items()}
                own = {mine: theirs or mine for mine, theirs in pairs.items() if (theirs or mine) in ours.columns}
                listed = ", ".join(f'CAST("{mine}" AS DOUBLE)' for mine in own) or "NULL"
                source = f"api.{VIEWS.get(kind, kind)}"
                asked = f"SELECT {listed} FROM {source} WHERE native_symbol = ? AND exchange = ?"
                theirs = connection.execute(asked, [symbol, sql_exchange(exchange)]).fetchall()
                if own:
                    assert ordered(theirs) == ordered(ours.select(pl.col(list(own.values())).cast(pl.Float64)).rows()), (
                        kind,
                        exchange,
                        symbol,
                    )
                assert len(theirs) == ours.height
                checked += 1
    assert checked > 3


def in_research(lake: Lake, kind: str, exchange: str, symbol: str) -> pl.DataFrame:
    files = lake.files(kind, exchange, symbol)
    asked = (exchange, symbol, files[0].start_us, files[-1].start_us + 40 * DAY_US)
    if "candles_" in kind:
        price, _, interval = kind.rpartition("candles_")
        return query.candles(*asked, interval=interval, price=price.rstrip("_") or "trade", lake=lake)  # type: ignore[call-overload,no-any-return]
    return getattr(query, kind)(*asked, lake=lake)  # type: ignore[no-any-return]
