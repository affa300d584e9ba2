"""compare_venues(): a market of several venues whose widest basis is known at each bar."""

from __future__ import annotations

import itertools
import pickle
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.archives import lake_of
from tests.bars.test_candle_events import lake_of_minutes
from tests.bars.test_candle_events import walk as walk_of_minutes
from tests.cli.running import assert_refused, run

import pointline
from pointline.clock import MINUTE_US, SECOND_US, to_us
from pointline.curves.widest import PairTermsOnSpine, funding_spreads, pair_basis, widest_basis
from pointline.errors import ConfigError
from pointline.ingest.run import ingest
from pointline.research.spines import TimeBarConfig, VolumeBarConfig
from pointline.sources.base import Hints
from pointline.sources.families import all_sources
from pointline.studies.compare_venues import _volume

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archives import Print

    from pointline.lake.store import Lake

START_US = to_us("2024-05-01")
LENGTH_US = 2 * 3_600 * SECOND_US
WINDOW = {"start": START_US, "end": START_US + LENGTH_US}
LINEAR, INVERSE, LATE = "binance-futures:BTCUSDT", "binance-delivery:BTCUSD_PERP", "bybit:BTCUSDT"
SPOT, QUIET = "binance-spot:BTCUSDT", "bybit-spot:BTCUSDT"
DELAY_US = 700_000
MAPPING = """
kind = "trades"
exchange = "{exchange}"
symbol = "BTCUSDT"

[columns]
ts_event_us = { column = "time", unit = "us" }
ts_local_us = { column = "received", unit = "us" }
price = "price"
qty = "size"
"""


class Tick(NamedTuple):
    """One print as it was received."""

    at_us: int
    price: float
    qty: float


class Market(NamedTuple):
    """The lake and what was put into it, by instrument."""

    lake: Lake
    ticks: dict[str, list[Tick]]


def walk(seed: int, mean_gap_us: int, level: float, qty: float) -> list[Tick]:
    dice = np.random.default_rng(seed)
    times = np.cumsum(dice.exponential(mean_gap_us, int(3 * LENGTH_US / mean_gap_us)).astype(np.int64) + 1_000) // 1_000 * 1_000
    times = times[times < LENGTH_US]
    prices = np.round(level * np.exp(np.cumsum(dice.normal(0, 2e-4, len(times)))), 1)
    return [Tick(START_US + int(at), float(price), qty) for at, price in zip(times, prices, strict=True)]


def prints(ticks: list[Tick]) -> list[Print]:
    return [(one.at_us, f"{one.price:.1f}", f"{one.qty:g}", False) for one in ticks]


def mapped(lake: Lake, folder: Path, exchange: str, ticks: list[Tick], delay_us: int) -> None:
    """Trades of a recorder that receives them late."""
    rows = [f"{one.at_us - delay_us},{one.at_us},{one.price:.1f},{one.qty:g}\n" for one in ticks]
    (folder / f"{exchange}.csv").write_text("time,received,price,size\n" + "".join(rows))
    (folder / f"{exchange}.toml").write_text(MAPPING.replace("{exchange}", exchange))
    (report,) = ingest(lake, [folder / f"{exchange}.csv"], sources=all_sources(), hints=Hints(mapping=folder / f"{exchange}.toml"))
    assert report.outcome == "landed", report.problem


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    """Two perps of one exchange, one of them inverse, one that is received late, and two spot markets, one of them quiet."""
    folder = tmp_path_factory.mktemp("venues")
    ticks = {
        LINEAR: walk(1, 2 * SECOND_US, 60_000.0, 2.0),
        INVERSE: walk(2, 5 * SECOND_US, 60_050.0, 10.0),
        LATE: walk(3, 4 * SECOND_US, 60_020.0, 0.5),
        SPOT: walk(4, 6 * SECOND_US, 60_010.0, 0.25),
        QUIET: walk(5, 150 * SECOND_US, 59_500.0, 0.25),
    }
    archives = {tuple(name.split(":")): prints(ticks[name]) for name in (LINEAR, INVERSE, SPOT)}
    lake = lake_of(folder, archives)  # type: ignore[arg-type]
    mapped(lake, folder, "bybit", ticks[LATE], DELAY_US)
    mapped(lake, folder, "bybit-spot", ticks[QUIET], 0)
    return Market(lake, ticks)


def last(ticks: list[Tick], before_us: int) -> tuple[float, int] | None:
    """The last price before an instant and its age, by looking at every print."""
    found = None
    for one in ticks:
        if one.at_us < before_us:
            found = (one.price, before_us - one.at_us)
    return found


def test_the_widest_basis_is_that_of_the_prints(market: Market) -> None:
    found = pointline.compare_venues([LINEAR, LATE], [SPOT, QUIET], **WINDOW, bars=TimeBarConfig("1m"), lake=market.lake)
    assert found.driver == LINEAR
    for row in found.widest.iter_rows(named=True):
        best, count = None, 0
        for perp, spot in itertools.product((LINEAR, LATE), (SPOT, QUIET)):
            told = last(market.ticks[perp], row["bucket_end"]), last(market.ticks[spot], row["bucket_end"])
            if None in told or max(told[0][1], told[1][1]) > MINUTE_US:  # type: ignore[index]
                continue
            count += 1
            basis = (told[0][0] / told[1][0] - 1) * 1e4  # type: ignore[index]
            if best is None or abs(basis) > abs(best[2]):
                best = (perp, spot, basis)
        assert row["pairs"] == count
        if best is None:
            assert row["perp"] is row["basis_bps"] is None
        else:
            assert (row["perp"], row["spot"]) == best[:2]
            assert row["basis_bps"] == pytest.approx(best[2], abs=1e-6)
            assert row["net_bps"] == pytest.approx(abs(best[2]) - row["cost_bps"], abs=1e-6)
    assert set(found.widest["spot"].drop_nulls()) == {SPOT, QUIET}  # the quiet one where it is fresh, and only there
    assert found.widest["spot_age_us"].max() <= MINUTE_US  # type: ignore[operator]


def test_costs_know_where_a_withdrawal_is_needed(market: Market) -> None:
    found = pointline.compare_venues([LINEAR, LATE], [SPOT, QUIET], **WINDOW, bars=TimeBarConfig("5m"), lake=market.lake)
    costs = {(row["perp"], row["spot"]): row["cost_bps"] for row in found.table.iter_rows(named=True)}
    assert costs == {(LINEAR, SPOT): 40.0, (LINEAR, QUIET): 48.0, (LATE, SPOT): 48.0, (LATE, QUIET): 40.0}


def test_contracts_of_an_inverse_perp_are_compared_across_quotes_only_with_a_rate(market: Market) -> None:
    found = pointline.compare_venues([LINEAR, INVERSE], [SPOT], **WINDOW, bars=TimeBarConfig("1m"), lake=market.lake)
    inverse = found.pairs.filter(perp=INVERSE)
    assert inverse["basis_bps"].null_count() == inverse.height
    assert inverse["cross_quote_basis_bps"].count() > 100
    assert set(found.widest["perp"].drop_nulls()) == {LINEAR}
    assert any("pairs of unlike quotes without a rate are never the widest" in note for note in found.notes)


def test_a_rate_of_the_lake_converts_the_quotes(market: Market, tmp_path: Path) -> None:
    """Dollars for one tether, as a spot market of its own; its orders are rare, so that some bars have no fresh rate."""
    rate = [Tick(START_US + n * 90 * SECOND_US, 0.999 if n % 2 else 1.002, 100.0) for n in range(70)]
    rows = [f"{one.at_us},{one.at_us},{one.price:.4f},{one.qty:g}\n" for one in rate]
    (tmp_path / "rate.csv").write_text("time,received,price,size\n" + "".join(rows))
    (tmp_path / "rate.toml").write_text(MAPPING.replace("{exchange}", "coinbase").replace("BTCUSDT", "USDT-USD"))
    (report,) = ingest(market.lake, [tmp_path / "rate.csv"], sources=all_sources(), hints=Hints(mapping=tmp_path / "rate.toml"))
    assert report.outcome == "landed"
    told = {"bars": TimeBarConfig("1m"), "lake": market.lake, "rates": {"USDT/USD": "coinbase:USDT-USD"}}
    found = pointline.compare_venues([LINEAR, INVERSE], [SPOT], **WINDOW, **told)  # type: ignore[arg-type]
    rows = found.pairs.filter(perp=INVERSE)  # type: ignore[assignment]
    for row in rows.iter_rows(named=True):  # type: ignore[attr-defined]
        perp, spot, dollars = (last(ticks, row["bucket_end"]) for ticks in (market.ticks[INVERSE], market.ticks[SPOT], rate))
        if perp is None or spot is None or dollars is None or max(perp[1], spot[1], dollars[1]) > MINUTE_US:
            assert row["basis_bps"] is None
        else:
            assert row["basis_bps"] == pytest.approx((perp[0] / (spot[0] * dollars[0]) - 1) * 1e4, abs=1e-6)
            assert row["rate_age_us"] == dollars[1]
    assert 0 < rows["basis_bps"].null_count() < rows.height  # type: ignore[index, attr-defined]
    turned = pointline.compare_venues([INVERSE], [SPOT], **WINDOW, **{**told, "rates": {"USD/USDT": "coinbase:USDT-USD"}})  # type: ignore[arg-type]
    assert turned.pairs["rate"].drop_nulls().round(9).unique().sort().to_list() == pytest.approx([1 / 1.002, 1 / 0.999])


def test_the_driver_is_the_one_with_the_most_volume_of_the_asset(market: Market) -> None:
    """Ten contracts of 100 dollars are a sixtieth of a coin, whatever the number of contracts says."""
    found = pointline.compare_venues([INVERSE, LATE, LINEAR], [SPOT], **WINDOW, bars=VolumeBarConfig(50), lake=market.lake)
    assert found.driver == LINEAR
    named = pointline.compare_venues([INVERSE, LATE, LINEAR], [SPOT], **WINDOW, driver=LATE, bars=VolumeBarConfig(50), lake=market.lake)
    assert named.driver == LATE
    assert {perp for perp, _ in named.studies} == {INVERSE, LATE, LINEAR}


def test_candles_have_a_driver_too(tmp_path: Path) -> None:
    lake = lake_of_minutes(tmp_path, walk_of_minutes(180, seed=1), walk_of_minutes(180, seed=5))
    window = {"start": "2024-05-01", "end": "2024-05-01T03:00"}
    found = pointline.compare_venues([LINEAR], [SPOT], **window, bars=TimeBarConfig("5m"), events="candles_1m", lake=lake)  # type: ignore[arg-type]
    assert found.widest["pairs"].to_list() == [1] * found.widest.height
    assert _volume(lake, found.studies[LINEAR, SPOT].pair.perp, (found.start_us, found.end_us), "candles_1m") == pytest.approx(
        found.studies[LINEAR, SPOT].summary["perp_volume_base"]
    )


def test_clocks_of_different_kinds_are_named(market: Market) -> None:
    found = pointline.compare_venues([LINEAR, LATE], [SPOT], **WINDOW, bars=TimeBarConfig("5m"), lake=market.lake)
    (note,) = [note for note in found.notes if "recorder" in note]
    assert note.startswith(f"times of {LATE} are those of a recorder")
    assert LINEAR in note.partition("exchange's own")[0]


def test_bars_after_the_cut_change_nothing_before_it(market: Market) -> None:
    options = {"bars": VolumeBarConfig(50), "driver": LINEAR, "lake": market.lake}
    whole = pointline.compare_venues([LINEAR, LATE], [SPOT, QUIET], **WINDOW, **options)  # type: ignore[arg-type]
    cut_us = START_US + LENGTH_US // 2
    part = pointline.compare_venues([LINEAR, LATE], [SPOT, QUIET], start=START_US, end=cut_us, **options)  # type: ignore[arg-type]
    known = part.widest.filter(pl.col("bucket_end") < cut_us)
    assert known.height > 10
    assert known.equals(whole.widest.head(known.height))


def test_the_result_can_be_pickled_and_shown(market: Market) -> None:
    found = pointline.compare_venues([LINEAR], [SPOT], **WINDOW, bars=TimeBarConfig("5m"), lake=market.lake)
    assert pickle.loads(pickle.dumps(found)).widest.equals(found.widest)  # noqa: S301 - its own
    assert SPOT in found._repr_html_()


@pytest.mark.parametrize(
    ("perps", "spots", "options", "what"),
    [
        ([], [SPOT], {}, "perps is no list of instruments"),
        (LINEAR, [SPOT], {}, "perps is no list of instruments"),
        ([LINEAR, "binance-usdm-future:BTCUSDT"], [SPOT], {}, "an instrument is named twice"),
        ([LINEAR], [SPOT], {"driver": LATE}, "the driver is none of the perps"),
        ([SPOT], [LINEAR], {}, "perp and spot are swapped"),
    ],
)
def test_wrong_input_is_refused(market: Market, perps: list[str], spots: list[str], options: dict[str, str], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        pointline.compare_venues(perps, spots, **WINDOW, bars=TimeBarConfig("5m"), lake=market.lake, **options)  # type: ignore[arg-type]


# ---- frames -------------------------------------------------------------------------------------------------------------------------

PRICES = st.one_of(st.none(), st.floats(50.0, 200.0))
AGES = st.one_of(st.none(), st.integers(0, 2 * MINUTE_US))
BARS = 4


def leg(closes: list[float | None], ages: list[int | None]) -> pl.DataFrame:
    edges = [n * MINUTE_US for n in range(BARS + 1)]
    schema = {"bucket_start": pl.Int64, "bucket_end": pl.Int64, "close": pl.Float64, "age_us": pl.Int64}
    return pl.DataFrame({"bucket_start": edges[:-1], "bucket_end": edges[1:], "close": closes, "age_us": ages}, schema=schema)


LEGS = st.builds(leg, st.lists(PRICES, min_size=BARS, max_size=BARS), st.lists(AGES, min_size=BARS, max_size=BARS))


@given(st.tuples(LEGS, LEGS, LEGS, LEGS))
def test_every_bar_is_that_of_a_plain_loop(frames: tuple[pl.DataFrame, ...]) -> None:
    legs = dict(zip("abcd", frames, strict=True))
    terms = [PairTermsOnSpine(perp=perp, spot=spot, cost_bps=40.0, price_factor=2.0) for perp in "ab" for spot in "cd"]
    found = widest_basis(pair_basis(legs, terms))
    for n, row in enumerate(found.iter_rows(named=True)):
        sizes = {}
        for pair in terms:
            perp, spot = legs[pair.perp].row(n, named=True), legs[pair.spot].row(n, named=True)
            fresh = all(one["age_us"] is not None and one["age_us"] <= MINUTE_US and one["close"] is not None for one in (perp, spot))
            if fresh:
                sizes[pair.perp, pair.spot] = abs(perp["close"] - 2.0 * spot["close"]) / (2.0 * spot["close"]) * 1e4
        assert row["pairs"] == len(sizes)
        if sizes:
            assert abs(row["basis_bps"]) == pytest.approx(max(sizes.values()))
            assert sizes[row["perp"], row["spot"]] == pytest.approx(max(sizes.values()))
        else:
            assert row["perp"] is None


def test_funding_spreads_by_hand() -> None:
    """3 bp against 1 bp per 8 hours is 2 bp, three times a day, 365 days: 21.9 % a year."""
    told = {
        name: pl.DataFrame({"bucket_end": [60, 120], "funding_8h": [rate, None]}) for name, rate in (("a", 3e-4), ("b", 1e-4), ("c", 0.0))
    }
    found = funding_spreads(told)
    assert found.select("first", "second").unique(maintain_order=True).rows() == [("a", "b"), ("a", "c"), ("b", "c")]
    first = found.row(0, named=True)
    assert (first["spread_8h_bps"], first["spread_year"]) == pytest.approx((2.0, 0.219))
    assert found["spread_8h_bps"].null_count() == 3


def test_frames_of_two_spines_are_refused() -> None:
    short = leg([1.0] * BARS, [0] * BARS).head(2)
    with pytest.raises(ConfigError, match="not on one spine"):
        pair_basis({"a": leg([1.0] * BARS, [0] * BARS), "b": short}, [PairTermsOnSpine(perp="a", spot="b", cost_bps=1.0)])


# ---- the command line ---------------------------------------------------------------------------------------------------------------


def test_the_command_prints_and_writes(market: Market, tmp_path: Path) -> None:
    hours = ("--start", "2024-05-01", "--end", "2024-05-01T02:00", "--bars", "time", "--threshold", "1m", "--lake", market.lake.root)
    words = ("compare-venues", "--perp", LINEAR, "--perp", LATE, "--spot", SPOT, "--spot", QUIET, *hours)
    shown = run(*words, "-o", tmp_path / "widest.parquet", "--pairs", tmp_path / "pairs.parquet")
    assert shown.code == 0
    assert "is the widest in" in shown.out
    assert pl.read_parquet(tmp_path / "pairs.parquet").height == 4 * pl.read_parquet(tmp_path / "widest.parquet").height
    assert len(run(*words, "--json").json["pairs"]) == 4
    assert_refused(run(*words, "--rate", "USDT"), "a rate is given as BASE/QUOTE=exchange:symbol", "USDT/USD=kraken:USDTUSD")
