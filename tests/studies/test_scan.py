"""A scan: its figures are worked out by hand and those of single comparisons, no pair is lost, and nothing depends on threads."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tests.sql.markets import Candle, add, candles_archives, funding_archive, lake_with

import pointline
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, to_us
from pointline.errors import ConfigError, NoDataError, PointlineError
from pointline.instruments import Registry
from pointline.lake.held import HeldLake
from pointline.research.spines import TimeBarConfig, TradeBarConfig
from pointline.studies.scan_pairs import ScanPair
from pointline.studies.scan_panel import computed_panel, panel_schema
from pointline.studies.scan_rows import (
    SCAN_SCHEMA,
    carry_of,
    estimated_per_year,
    row_of_reason,
    scan_table,
    settled_funding,
    without_common_notes,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.lake.store import Lake
    from pointline.studies.scan import Scan

START = to_us("2024-05-01")
WINDOW = {"start": "2024-05-01", "end": "2024-05-03"}
PERP, SPOT = "binance-futures", "binance-spot"


def minutes(price: str, volume: str, days: float = 2.0, first: int = START) -> list[Candle]:
    return [Candle(first + n * MINUTE_US, price, price, price, price, volume, 3) for n in range(int(days * 1_440))]


def payments(rate: str, days: int) -> list[tuple[int, int, str]]:
    return [(START + n * 8 * HOUR_US + 4_000, 8, rate) for n in range(3 * days)]


def made(folder: Path, days: int) -> Lake:
    """Pairs whose prices never move.

    AAA pays 1 bp each 8 h and BBB takes 10; the perp of SHIB holds 1000 coins; CCC is quoted in USDC against USDT; DDD has no spot, EEE
    only later candles of it.
    """
    paths: list[Path] = []
    for exchange, symbol, price, volume in (
        (PERP, "AAAUSDT", "100.1", "6"),
        (SPOT, "AAAUSDT", "100.0", "1"),
        (PERP, "BBBUSDT", "49.9", "8"),
        (SPOT, "BBBUSDT", "50.0", "1"),
        (PERP, "1000SHIBUSDT", "0.0200", "70"),
        (SPOT, "SHIBUSDT", "0.0000200", "10000"),
        (PERP, "CCCUSDC", "10.01", "6"),
        (SPOT, "CCCUSDT", "10.00", "1"),
        (PERP, "DDDUSDT", "5.0", "1"),
        (PERP, "EEEUSDT", "7.0", "1"),
    ):
        paths += candles_archives(folder / "a", exchange, symbol, "1m", minutes(price, volume, days))
    late = minutes("7.0", "1", 1, START + 40 * DAY_US)
    paths += candles_archives(folder / "a", SPOT, "EEEUSDT", "1m", late)
    for symbol, rate in (("AAAUSDT", "0.0001"), ("BBBUSDT", "-0.0010"), ("CCCUSDC", "0.0001")):
        paths.append(funding_archive(folder / "a", PERP, symbol, "2024-05", payments(rate, days)))
    return lake_with(folder, paths)


@pytest.fixture(scope="module")
def lake(built_once: Callable[[str, Callable[[Path], None]], Path]) -> Lake:
    return pointline.open_lake(built_once("scan", lambda folder: made(folder, 2) and None) / "lake")


@pytest.fixture(scope="module")
def found(lake: Lake) -> Scan:
    return pointline.scan(PERP, **WINDOW, lake=lake, threads=1)


def row(found: Scan, symbol: str) -> dict[str, Any]:
    return found.table.filter(pl.col("perp") == f"{PERP}:{symbol}").row(0, named=True)


# --- the figures ------------------------------------------------------------------------------------------------------------------


def test_figures_by_hand(found: Scan) -> None:
    one = row(found, "AAAUSDT")
    assert (one["spot"], one["status"], one["bars"], one["volume_ratio"]) == (f"{SPOT}:AAAUSDT", "compared", 576, 6.0)
    for name in ("p01", "p25", "p50", "p75", "p99"):
        assert one[f"basis_{name}_bps"] == pytest.approx(10.0)
    assert one["funding_settled_per_year"] == pytest.approx(1e-4 * 3 * 365)
    assert (one["funding_settlements"], one["funding_covered"], one["funding_estimate_per_year"]) == (6, 1.0, None)
    assert (one["carry_side"], one["cost_bps"]) == ("short perp", 48.0)
    assert (one["carry_gross_bps"], one["carry_net_bps"], one["carry_breakeven_days"]) == pytest.approx((6.0, -42.0, 16.0))
    assert (one["perp_covered"], one["spot_covered"], one["share_bars_stale_spot"], one["share_bars_without_spot"]) == (1.0, 1.0, 0.0, 0.0)


def test_negative_funding_is_received_by_the_long_perp_that_borrows_the_coin(found: Scan, lake: Lake) -> None:
    one = row(found, "BBBUSDT")
    assert (one["carry_side"], one["carry_gross_bps"], one["carry_net_bps"]) == ("long perp", pytest.approx(60.0), pytest.approx(12.0))
    costs = pointline.CostModel(borrow_bps_per_day=2.0)
    again = row(pointline.scan(PERP, **WINDOW, lake=lake, costs=costs), "BBBUSDT")
    assert (again["carry_net_bps"], again["carry_breakeven_days"]) == pytest.approx((8.0, 48 / 28))


def test_the_registry_pairs_a_thousand_coins_with_their_spot(found: Scan) -> None:
    one = row(found, "1000SHIBUSDT")
    assert (one["spot"], one["price_factor"], one["volume_ratio"]) == (f"{SPOT}:SHIBUSDT", 1000.0, 7.0)
    assert one["basis_p50_bps"] == pytest.approx(0.0)
    assert (one["carry_net_bps"], one["funding_settlements"], one["funding_covered"]) == (None, 0, 0.0)


def test_pairs_of_different_quotes_are_named_and_have_no_carry(found: Scan) -> None:
    one = row(found, "CCCUSDC")
    assert one["cross_quote"]
    assert (one["basis_p50_bps"], one["carry_net_bps"]) == (None, None)
    assert one["cross_quote_basis_p50_bps"] == pytest.approx(10.0)
    assert one["funding_settled_per_year"] == pytest.approx(0.1095)
    assert any("cross quote" in note and "CCCUSDC" in note for note in found.notes)


def test_what_cannot_be_compared_is_a_row_with_the_reason(found: Scan) -> None:
    assert found.table.height == 6
    assert (row(found, "DDDUSDT")["status"], row(found, "DDDUSDT")["spot"]) == ("not compared", None)
    assert "no spot market of DDD" in row(found, "DDDUSDT")["reason"]
    assert "has no candles_1m of binance-spot:EEEUSDT" in row(found, "EEEUSDT")["reason"]
    assert (found.summary["pairs"], found.summary["compared"], found.summary["not_compared"]) == (6, 4, 2)
    assert any("not compared" in note and "DDDUSDT" in note and "EEEUSDT" in note for note in found.notes)


def test_what_is_not_known_comes_last(found: Scan, lake: Lake) -> None:
    names = [name.partition(":")[2] for name in found.table["perp"]]
    assert names == ["BBBUSDT", "AAAUSDT", "1000SHIBUSDT", "CCCUSDC", "DDDUSDT", "EEEUSDT"]
    by_ratio = pointline.scan(PERP, **WINDOW, lake=lake, sort="volume_ratio").table
    assert by_ratio["volume_ratio"].to_list() == [8.0, 7.0, 6.0, 6.0, None, None]
    assert by_ratio["perp"].to_list()[2] < by_ratio["perp"].to_list()[3]


def test_a_row_is_what_the_comparison_says(lake: Lake, found: Scan) -> None:
    study = pointline.compare(f"{PERP}:BBBUSDT", f"{SPOT}:BBBUSDT", **WINDOW, bars=TimeBarConfig("5m"), events="candles_1m", lake=lake)
    one, judged = row(found, "BBBUSDT"), study.checklist()
    assert one["volume_ratio"] == study.summary["volume_ratio"]
    assert (one["checklist"] == "pass") is judged.passed
    assert one["failed"] == ", ".join(judged.summary["fail"])
    assert one["basis_p50_bps"] == study.summary["quantiles"]["basis_bps"]["0.5"]
    assert_frame_equal(found.study(f"{PERP}:BBBUSDT").features, study.features)


def test_ticks_have_the_running_estimate(demo: Any) -> None:  # noqa: ANN401 - the demo of the documentation
    one = pointline.scan(PERP, **WINDOW, events="trades", lake=demo.folder / "lake").table.row(0, named=True)
    study = pointline.compare(f"{PERP}:BTCUSDT", f"{SPOT}:BTCUSDT", **WINDOW, bars=TimeBarConfig("5m"), lake=demo.folder / "lake")
    told = study.features.filter(funding_source="estimate").drop_nulls("funding_carry_annual")
    assert one["funding_estimate_per_year"] == pytest.approx(told["funding_carry_annual"].mean())
    assert one["funding_settlements"] == 6


# --- what it does not depend on ---------------------------------------------------------------------------------------------------


def test_threads_change_nothing(lake: Lake, found: Scan, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "three"]
    for folder, threads in zip(folders, (1, 3), strict=True):
        folder.mkdir()
        again = pointline.scan(PERP, **WINDOW, lake=lake, threads=threads, output=folder)
        assert again.table.equals(found.table)
        assert again.summary == found.summary
    written = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert written[0] == written[1]
    assert len(written[0]) == 4
    assert all((folders[0] / name).read_bytes() == (folders[1] / name).read_bytes() for name in written[0])


def test_what_comes_later_changes_no_row(found: Scan, tmp_path: Path) -> None:
    longer = pointline.scan(PERP, **WINDOW, lake=made(tmp_path, 3))
    known = pl.col("status") == "compared"
    assert longer.table.filter(known).equals(found.table.filter(known))


def test_given_pairs_are_those_of_the_exchange(lake: Lake, found: Scan) -> None:
    some = pointline.scan([f"{PERP}:BBBUSDT", (f"{PERP}:AAAUSDT", f"{SPOT}:AAAUSDT")], **WINDOW, lake=lake)
    assert some.table.drop("notes").equals(found.table.head(2).drop("notes"))


# --- the features -----------------------------------------------------------------------------------------------------------------


def test_the_panel_is_the_same_from_files_and_computed(lake: Lake, found: Scan, tmp_path: Path) -> None:
    written = pointline.scan(PERP, **WINDOW, lake=lake, output=tmp_path).features.collect()
    computed = found.features.collect()
    assert written.equals(computed)
    assert computed.height == 4 * 576
    one = computed.filter(pl.col("perp") == f"{PERP}:AAAUSDT")
    study = found.study(f"{PERP}:AAAUSDT")
    assert one.select(study.columns).equals(study.features)
    assert one["cross_quote_basis_bps"].null_count() == one.height
    crossed = computed.filter(pl.col("perp") == f"{PERP}:CCCUSDC")
    assert (crossed["basis_bps"].null_count(), crossed["cross_quote_basis_bps"].null_count()) == (576, 0)


def test_a_query_computes_only_what_it_needs() -> None:
    asked: list[tuple[str, str]] = []

    def features(names: tuple[str, str]) -> pl.DataFrame:
        asked.append(names)
        return pl.DataFrame({"bucket_end": [1, 2, 3]})

    schema = panel_schema([pl.Schema({"bucket_end": pl.Int64()})])
    panel = computed_panel([("a", "x"), ("b", "y"), ("c", "z")], schema, features)
    assert panel.filter(pl.col("perp") == "b").select("bucket_end").collect()["bucket_end"].to_list() == [1, 2, 3]
    assert asked == [("b", "y")]
    asked.clear()
    assert panel.head(4).collect().rows() == [("a", "x", 1), ("a", "x", 2), ("a", "x", 3), ("b", "y", 1)]
    assert ("c", "z") not in asked
    assert panel.filter(pl.col("bucket_end") > 2).collect()["perp"].to_list() == ["a", "b", "c"]


def test_an_interruption_leaves_whole_files_and_the_next_scan_is_whole(lake: Lake, found: Scan, tmp_path: Path) -> None:
    def stop(done: int, _: int, __: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pointline.scan(PERP, **WINDOW, lake=lake, threads=2, output=tmp_path, progress=stop)
    assert all(path.suffix == ".parquet" and pl.read_parquet(path).height == 576 for path in tmp_path.iterdir())
    assert pointline.scan(PERP, **WINDOW, lake=lake, output=tmp_path).features.collect().equals(found.features.collect())


def test_shapes_for_people_and_pickle(found: Scan, tmp_path: Path) -> None:
    copy = pickle.loads(pickle.dumps(found))  # noqa: S301 - it was written a moment ago
    assert copy.table.equals(found.table)
    assert copy.features.select("perp").head(1).collect().height == 1
    assert "4 of 6 pairs compared, 2 could not be" in found.verdict
    assert "AAAUSDT" in found._repr_html_()
    page = found.report(tmp_path / "scan.html").read_text(encoding="utf-8")
    assert all(symbol in page for symbol in ("AAAUSDT", "CCCUSDC", "DDDUSDT", "no spot market of DDD"))


# --- refusals ---------------------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, Any], type[PointlineError], str]] = {
    "exchange": ({"markets": "kraken-futures"}, NoDataError, "no perpetual of this exchange"),
    "number": ({"markets": 7}, ConfigError, "of an exchange or of pairs"),
    "nothing": ({"markets": []}, ConfigError, "of an exchange or of pairs"),
    "twice": ({"markets": [f"{PERP}:AAAUSDT"] * 2}, ConfigError, "given twice"),
    "swapped": ({"markets": [(f"{SPOT}:AAAUSDT", f"{PERP}:AAAUSDT")]}, ConfigError, "swapped"),
    "window": ({"end": "2024-05-01"}, ConfigError, "window is empty"),
    "sort": ({"sort": "carry"}, ConfigError, "no such column"),
    "bars": ({"bars": TradeBarConfig(5)}, ConfigError, "count single trades"),
    "bars type": ({"bars": 5}, ConfigError, "a rule or the word auto"),
    "events": ({"events": "mark_candles_1m"}, ConfigError, "bars cannot be made"),
    "threads": ({"threads": 0}, ConfigError, "no number of threads"),
    "limits": ({"limits": {}}, ConfigError, "limits has the wrong type"),
    "output": ({"output": "missing"}, ConfigError, "cannot be written there"),
    "costs": ({"costs": "cheap"}, ConfigError, "preset"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_argument_is_one_clear_error(lake: Lake, case: str) -> None:
    options, kind, words = WRONG[case]
    with pytest.raises(kind, match=words):
        pointline.scan(**{"markets": PERP, **WINDOW, "lake": lake, **options})  # type: ignore[arg-type]


def test_no_such_pair(found: Scan) -> None:
    with pytest.raises(ConfigError, match="compared no such pair"):
        found.study(f"{PERP}:DDDUSDT")


# --- the sums, by a plain loop ----------------------------------------------------------------------------------------------------

rates = st.integers(-300, 300).map(lambda units: units / 100_000)


@given(st.lists(st.tuples(rates | st.none(), st.sampled_from([1.0, 4.0, 8.0, None]))), st.sampled_from([None, 8.0]))
def test_settled_funding_is_rates_over_hours(paid: list[tuple[float | None, float | None]], usual: float | None) -> None:
    total, hours, count = Fraction(0), Fraction(0), 0
    for rate, own in paid:
        interval = usual if own is None else own
        if rate is not None and interval is not None:
            total, hours, count = total + Fraction(rate), hours + Fraction(interval), count + 1
    frame = pl.DataFrame(paid, schema={"funding_rate": pl.Float64, "interval_hours": pl.Float64}, orient="row")
    told = settled_funding(frame, usual, window_hours=48)
    assert told["funding_settlements"] == count
    assert told["funding_covered"] == min(1.0, float(hours / 48))
    expected = None if not hours else float(total / hours * 8_760)
    assert told["funding_settled_per_year"] == (None if expected is None else pytest.approx(expected, rel=1e-12, abs=1e-15))


@given(st.lists(st.tuples(rates | st.none(), st.sampled_from(["estimate", "settled", None]), st.integers(1, 10**9))))
def test_the_estimate_is_weighted_by_time(bars: list[tuple[float | None, str | None, int]]) -> None:
    told = [(Fraction(rate), us) for rate, source, us in bars if rate is not None and source == "estimate"]
    length = sum(us for _, us in told)
    schema = {"funding_carry_annual": pl.Float64, "funding_source": pl.String, "bar_duration_us": pl.Int64}
    found = estimated_per_year(pl.DataFrame(bars, schema=schema, orient="row"))
    if not length:
        assert found is None
    else:
        assert found == pytest.approx(float(sum(rate * us for rate, us in told) / length), rel=1e-12, abs=1e-15)


@given(rates.map(lambda rate: rate * 100), st.floats(0.1, 1_000), st.floats(0, 100), st.floats(0, 5))
def test_carry_adds_up(per_year: float, days: float, cost: float, borrow: float) -> None:
    found = carry_of(per_year, days=days, cost_bps=cost, borrow_bps_per_day=borrow)
    paid = cost + (borrow * days if per_year < 0 else 0.0)
    assert found["carry_gross_bps"] >= 0
    assert found["carry_net_bps"] == pytest.approx(found["carry_gross_bps"] - paid, abs=1e-6)
    if found["carry_breakeven_days"] is not None:
        again = carry_of(per_year, days=found["carry_breakeven_days"], cost_bps=cost, borrow_bps_per_day=borrow)
        assert again["carry_net_bps"] == pytest.approx(0.0, abs=1e-6)


def test_notes_of_all_pairs_are_said_once() -> None:
    rows = [{"notes": ["a", "b"]}, {"notes": None}, {"notes": ["b"]}]
    assert without_common_notes(rows) == ([{"notes": "a"}, {"notes": None}, {"notes": ""}], ["b"])
    assert without_common_notes([{"notes": ["a"]}]) == ([{"notes": ""}], ["a"])


def test_an_empty_table_keeps_its_columns() -> None:
    assert scan_table([], "perp").schema == pl.Schema(SCAN_SCHEMA)
    assert scan_table([row_of_reason(ScanPair("a:b"), "why")], "perp")["reason"].to_list() == ["why"]


# --- a lake at one time -----------------------------------------------------------------------------------------------------------


def test_a_held_lake_is_the_lake_until_something_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    first = lake_with(tmp_path, candles_archives(folder, PERP, "AAAUSDT", "1m", minutes("1.0", "1", 0.1)))
    held = HeldLake(first.root)
    assert held.kinds() == first.kinds() == ["candles_1m"]
    assert held.files("candles_1m", PERP, "AAAUSDT") == first.files("candles_1m", PERP, "AAAUSDT")
    assert held.files("candles_1m", PERP, "BBBUSDT") == []
    assert held.registry().frame.equals(first.registry().frame)
    lake_with_more = pointline.open_lake(first.root)
    add(lake_with_more, *candles_archives(folder, PERP, "BBBUSDT", "1m", minutes("1.0", "1", 0.1)))
    assert held.files("candles_1m", PERP, "BBBUSDT") == []
    assert len(lake_with_more.files("candles_1m", PERP, "BBBUSDT")) == 1
    assert HeldLake(first.root).registry().frame.height == 2


def test_instruments_are_derived_together_as_one_by_one() -> None:
    names = [(PERP, "AAAUSDT"), (PERP, "AAAUSD"), (SPOT, "1000SATSUSDT"), ("binance-delivery", "BTCUSD"), (PERP, "BTCUSDT_240628")]
    one_by_one = Registry()
    for exchange, symbol in names:
        try:
            one_by_one = one_by_one.with_derived(exchange, symbol)
        except PointlineError:
            continue
    assert Registry().with_readable(names).frame.equals(one_by_one.frame)
