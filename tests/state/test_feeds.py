"""The state of a derivative comes from every feed that the lake has, and a feed that begins later changes nothing before it."""

from __future__ import annotations

import io
import math
import tempfile
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.effort import examples

from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.ingest.run import ingest
from pointline.instruments import OBSERVATION_SCHEMA, Registry
from pointline.lake import Lake, open_lake
from pointline.research.spines import TradeBarConfig
from pointline.schema import table
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.state.attach import StateParams, attach_state
from pointline.state.feeds import StateReader
from pointline.studies.compare import compare

if TYPE_CHECKING:
    from pointline.studies.study import Study

MARKET = MarketConfig(start="2024-05-01", days=2, perp_trades_per_day=3_000)
SECOND_DAY = to_us("2024-05-02")


def lake_of(folder: Path, *, recorded_days: tuple[str, ...], datasets: tuple[str, ...]) -> Lake:
    paths = write_archives(MARKET, folder / "archives", datasets=("trades", "recorded", *datasets))
    wanted = [path for path in paths if "recorded" not in path.parts or any(day in path.name for day in recorded_days)]
    lake = open_lake(folder / "lake", create=True)
    ingest(lake, wanted, sources=all_sources(), hints=Hints())
    return lake


def study_of(lake: Lake, end: str) -> Study:
    return compare("binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end=end, bars=TradeBarConfig(50), lake=lake)


def test_a_ticker_that_begins_on_the_second_day_changes_nothing_on_the_first(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, recorded_days=("20240502",), datasets=("markPriceKlines", "indexPriceKlines", "fundingRate"))
    alone = study_of(lake, "2024-05-02").features
    both = study_of(lake, "2024-05-03").features
    assert alone["mark_close"].null_count() < alone.height / 10  # the candles tell it
    assert both.filter(pl.col("bucket_start") < SECOND_DAY).equals(alone)
    second = both.filter(pl.col("bucket_start") >= SECOND_DAY)
    assert second["mark_age_us"].median() < 2_000_000  # the ticker, each second
    assert alone["mark_age_us"].median() > 10_000_000  # the candles, each minute


def test_mark_and_index_are_the_last_known_of_either_feed(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, recorded_days=("20240502",), datasets=("markPriceKlines",))
    bars = study_of(lake, "2024-05-03").bars
    known = []
    for kind, column in (("mark_candles_1m", "close"), ("derivative_ticker", "mark_price")):
        rows = lake.scan(kind, "binance-futures", "BTCUSDT", SECOND_DAY - DAY_US, SECOND_DAY + DAY_US, ["ts_local_us", column]).collect()
        known += [(us, float(price)) for us, price in rows.iter_rows() if price is not None]
    known.sort(key=lambda row: row[0])
    for end, mark, age in bars.select("bucket_end", "mark_close", "mark_age_us").gather_every(7).iter_rows():
        before = [row for row in known if row[0] < end]
        if before and end - before[-1][0] <= 60_000_000:
            assert (mark, age) == (before[-1][1], end - before[-1][0])
        else:
            assert mark is None


def test_estimates_without_any_payment_take_the_usual_interval_and_say_so(tmp_path: Path) -> None:
    study = study_of(lake_of(tmp_path, recorded_days=("20240501", "20240502"), datasets=()), "2024-05-03")
    told = study.features.filter(pl.col("funding_close").is_not_null())
    assert told.height > study.features.height / 2
    assert told["funding_interval_source"].unique().to_list() == ["default"]
    assert told["funding_8h"].equals(told["funding_close"])
    assert told["funding_basis_divergence"].null_count() == told["basis_bps"].null_count()
    assert len([note for note in study.notes if "usual 8 h" in note]) == 1


def test_payments_that_tell_their_interval_need_no_note(tmp_path: Path) -> None:
    study = study_of(lake_of(tmp_path, recorded_days=("20240501", "20240502"), datasets=("fundingRate",)), "2024-05-03")
    assert set(study.features.filter(pl.col("funding_close").is_not_null())["funding_interval_source"]) == {"payment"}
    assert not [note for note in study.notes if "interval" in note]


@pytest.mark.parametrize("place", ["text", "path"])
def test_a_lake_may_be_named_by_its_folder(tmp_path: Path, place: str) -> None:
    from pointline import research
    from pointline.research import query

    lake = lake_of(tmp_path, recorded_days=(), datasets=())
    named = str(lake.root) if place == "text" else lake.root
    assert query.trades("binance-spot", "BTCUSDT", "2024-05-01", "2024-05-02", lake=named).height == 300
    assert research.list_symbols(exchange="binance", lake=named).height == 1
    assert research.data_coverage("binance-spot", "BTCUSDT", lake=named)["rows"].to_list() == [600]


# --- consecutive blocks of bars, beside rows made by hand

START = to_us("2024-04-27")  # the months of funding, open interest and candles meet inside the week
PERP = (
    Registry(observations=pl.DataFrame(schema=OBSERVATION_SCHEMA))
    .with_derived("binance-futures", "BTCUSDT")
    .find("binance-futures", "BTCUSDT", START)
)
Row = dict[str, Any]


class HandMade(Lake):
    """A lake of rows that were never ingested: one file per day, or month, of each table."""

    def __init__(self, root: Path, tables: dict[str, pl.DataFrame]) -> None:
        super().__init__(root)
        self._made = {kind: self._write(kind, rows) for kind, rows in tables.items()}

    def listing(self, kind: str) -> pl.DataFrame:
        return self._made.get(kind, super().listing(kind))

    def _write(self, kind: str, rows: pl.DataFrame) -> pl.DataFrame:
        date = pl.from_epoch("ts_local_us", time_unit="us").dt.strftime("%Y-%m-01" if table(kind).monthly else "%Y-%m-%d")
        found = []
        self.table_path(kind).mkdir()
        for (day,), part in (
            rows.sort("ts_local_us", maintain_order=True).with_columns(_date=date).partition_by("_date", as_dict=True).items()
        ):
            part.drop("_date").write_parquet(self.table_path(kind) / f"{day}.parquet")
            found.append((f"{day}.parquet", "binance-futures", "BTCUSDT", day, part.height))
        return pl.DataFrame(found, schema=list(super().listing(kind).schema), orient="row") if found else super().listing(kind)


def rows_of(kind: str, rows: list[Row]) -> pl.DataFrame:
    columns = table(kind).columns
    return pl.DataFrame([{**dict.fromkeys(columns), "ts_event_us": row["ts_local_us"], **row} for row in rows], schema=columns)


def bars_between(edges: list[int]) -> pl.DataFrame:
    return pl.DataFrame({"bucket_start": edges[:-1], "bucket_end": edges[1:]}, schema={"bucket_start": pl.Int64, "bucket_end": pl.Int64})


def file_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.rechunk().write_parquet(buffer)
    return buffer.getvalue()


def in_blocks(lake: Lake, bars: pl.DataFrame, cuts: list[int], params: StateParams) -> pl.DataFrame:
    reader = StateReader(lake, PERP, params)
    places = [0, *cuts, bars.height]
    return pl.concat([reader.attach(bars.slice(first, end - first)) for first, end in pairwise(places)])


def times(days: int) -> st.SearchStrategy[int]:
    return st.integers(0, 24 * days).map(lambda hour: START + hour * HOUR_US)


def tables_of(days: int) -> st.SearchStrategy[dict[str, pl.DataFrame]]:
    amount = st.sampled_from([None, math.nan, 1.0, 2.5, 3.0])
    close = st.sampled_from([None, Decimal("7.25"), Decimal(8)])
    settlement = st.one_of(st.none(), st.integers(0, 12 * days).map(lambda k: START + k * 4 * HOUR_US))
    rates = {"funding_rate": amount, "predicted_funding_rate": amount, "next_funding_us": settlement}
    columns: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "derivative_ticker": {"mark_price": amount, "index_price": amount, "open_interest": amount, **rates},
        "funding": {"funding_rate": amount, "interval_hours": st.sampled_from([None, 0.0, 4.0, 8.0, 96.0, math.nan])},
        "open_interest": {"open_interest": amount},
        "mark_candles_1m": {"close": close},
        "index_candles_1m": {"close": close},
    }
    lists = {kind: st.lists(st.fixed_dictionaries({"ts_local_us": times(days), **told}), max_size=12) for kind, told in columns.items()}
    return st.fixed_dictionaries(lists).map(lambda rows: {kind: rows_of(kind, found) for kind, found in rows.items()})


LIMITS = st.builds(
    StateParams,
    max_ticker_age_us=st.sampled_from([MINUTE_US, 200 * MINUTE_US, 5 * DAY_US]),
    max_settled_age_us=st.sampled_from([None, 12 * DAY_US]),
    max_open_interest_age_us=st.sampled_from([HOUR_US, 5 * DAY_US]),
    default_interval_hours=st.sampled_from([None, 4.0]),
)


@settings(max_examples=examples(30), deadline=None)
@given(tables_of(14), st.lists(times(14), min_size=2, max_size=14, unique=True).map(sorted), LIMITS, st.data())
def test_any_cut_of_the_bars_gives_the_same_bytes(
    tables: dict[str, pl.DataFrame], edges: list[int], params: StateParams, data: st.DataObject
) -> None:
    bars = bars_between(edges)
    kept = data.draw(st.lists(st.booleans(), min_size=bars.height, max_size=bars.height))
    bars = bars.filter(pl.Series(kept, dtype=pl.Boolean)) if any(kept) else bars
    cuts = sorted(data.draw(st.lists(st.integers(0, bars.height), max_size=4)))
    with tempfile.TemporaryDirectory() as folder:
        lake = HandMade(Path(folder), tables)
        whole = file_bytes(in_blocks(lake, bars, [], params))
        assert file_bytes(in_blocks(lake, bars, cuts, params)) == whole
        assert file_bytes(in_blocks(lake, bars, list(range(1, bars.height)), params)) == whole
        alone = [StateReader(lake, PERP, params).attach(bar) for bar in bars.iter_slices(1)]
        assert file_bytes(pl.concat(alone)) == whole
        reader = StateReader(lake, PERP, params)
        backwards = [reader.attach(bar) for bar in reversed(list(bars.iter_slices(1)))]
        assert file_bytes(pl.concat(backwards[::-1])) == whole


@settings(max_examples=examples(30), deadline=None)
@given(tables_of(1), st.lists(times(2), min_size=2, max_size=10, unique=True).map(sorted))
def test_inside_the_look_back_it_is_what_attach_state_says(tables: dict[str, pl.DataFrame], edges: list[int]) -> None:
    params = StateParams(max_ticker_age_us=5 * HOUR_US, max_open_interest_age_us=7 * HOUR_US, default_interval_hours=8.0)
    closes = [
        tables[kind].select("ts_local_us", "ts_event_us", pl.col("close").cast(pl.Float64).alias(column))
        for kind, column in (("mark_candles_1m", "mark_price"), ("index_candles_1m", "index_price"))
    ]
    ticker = pl.concat([*closes, tables["derivative_ticker"]], how="diagonal")
    expected = attach_state(
        bars_between(edges), ticker=ticker, funding=tables["funding"], open_interest=tables["open_interest"], params=params
    )
    with tempfile.TemporaryDirectory() as folder:
        assert in_blocks(HandMade(Path(folder), tables), bars_between(edges), [], params).equals(expected)


def test_a_settlement_from_beyond_the_look_back_was_never_known(tmp_path: Path) -> None:
    far = {"ts_local_us": START, "mark_price": 1.0, "next_funding_us": START + 6 * DAY_US}
    near = {"ts_local_us": START + 3 * DAY_US, "mark_price": 2.0, "funding_rate": 0.0001}
    lake = HandMade(tmp_path, {"derivative_ticker": rows_of("derivative_ticker", [far, near])})
    edges = [START + HOUR_US, START + DAY_US, START + 3 * DAY_US + HOUR_US]
    state = in_blocks(lake, bars_between(edges), [], StateParams(max_ticker_age_us=DAY_US))
    assert state["seconds_to_funding"].to_list() == [5 * 86_400.0, 7 * 3_600.0]
    assert state["mark_close"].to_list() == [1.0, 2.0]
    # of both rows only the later one is left
    alone = in_blocks(lake, bars_between(edges[1:]), [], StateParams(max_ticker_age_us=DAY_US))
    assert alone.equals(state.tail(1))


def test_an_estimate_from_beyond_the_look_back_does_not_hide_the_age_of_a_payment(tmp_path: Path) -> None:
    estimate = {"ts_local_us": START, "funding_rate": 0.0001}
    payment = {"ts_local_us": START + 2 * DAY_US, "funding_rate": 0.0002, "interval_hours": 1.0}
    tables = {"derivative_ticker": rows_of("derivative_ticker", [estimate]), "funding": rows_of("funding", [payment])}
    bars = bars_between([START + HOUR_US, START + DAY_US, START + 3 * DAY_US])
    params = StateParams(max_settled_age_us=HOUR_US)
    whole = in_blocks(HandMade(tmp_path, tables), bars, [], params)
    assert whole["funding_age_us"].to_list() == [DAY_US, DAY_US]
    assert whole["funding_close"].to_list() == [None, None]
    assert StateReader(HandMade(tmp_path, {}), PERP, params).attach(bars)["funding_age_us"].null_count() == 2


def test_consecutive_blocks_read_no_file_twice_and_hold_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticker = [{"ts_local_us": START + hour * HOUR_US, "mark_price": float(hour)} for hour in range(24 * 20)]
    lake = HandMade(tmp_path, {"derivative_ticker": rows_of("derivative_ticker", ticker)})
    read: Counter[str] = Counter()
    scan = pl.scan_parquet
    monkeypatch.setattr(pl, "scan_parquet", lambda paths, **options: (read.update(path.name for path in paths), scan(paths, **options))[1])
    reader = StateReader(lake, PERP, StateParams(max_ticker_age_us=DAY_US))
    edges = [START + 5 * DAY_US + k * HOUR_US // 2 for k in range(2 * 24 * 12)]
    bars = bars_between(edges)
    for block in bars.iter_slices(100):
        known = reader.attach(block)
        assert known["mark_close"].null_count() == 0
    # the day before the first bar, and one further back for the columns that it leaves open, are the look-back
    assert set(read.values()) == {1}
    assert len(read) == 14
