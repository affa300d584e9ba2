"""The simulated market: the same from its seed, true to its stated truth, written as the exchange writes."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import math
import zipfile
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointline.clock import to_us
from pointline.errors import ConfigError
from pointline.simulate import DATASETS, MarketConfig, funding_estimates, simulate_day, simulate_market, write_archives, write_exchange_info
from pointline.simulate.process import MeanReversion, Purpose, _price_hours, basis_bps, price_path
from pointline.simulate.trades import _alone, _arrivals

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.simulate import SimulatedDay

SMALL = MarketConfig(seed=7, days=2, perp_trades_per_day=20_000)
MIDNIGHT = 1_714_521_600_000_000  # 2024-05-01
DAY_US = 86_400_000_000


@cache
def small_day(day_index: int = 0) -> SimulatedDay:
    return simulate_day(SMALL, day_index)


def frames(day: SimulatedDay) -> dict[str, pl.DataFrame]:
    return {f.name: value for f in dataclasses.fields(day) if isinstance(value := getattr(day, f.name), pl.DataFrame)}


def lines_of(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"{path.stem}.csv"]
        return archive.read(archive.namelist()[0]).decode().splitlines()


def one(paths: list[Path], *parts: str) -> Path:
    found = [path for path in paths if all(part in path.as_posix() for part in parts)]
    assert len(found) == 1, found
    return found[0]


# --- determinism ------------------------------------------------------------------------------------------------------------------


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, days=1, perp_trades_per_day=3_000)
    first, second = (write_archives(config, tmp_path / name) for name in ("a", "b"))
    assert [p.relative_to(tmp_path / "a") for p in first] == [p.relative_to(tmp_path / "b") for p in second]
    assert len(first) == 10
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


def test_another_seed_is_another_market() -> None:
    other = simulate_day(dataclasses.replace(SMALL, seed=8), 0)
    for name, frame in frames(small_day()).items():
        if name != "funding":  # inside the dead band every market pays the same
            assert not frame.equals(frames(other)[name]), name


def test_a_day_does_not_depend_on_the_others() -> None:
    second = frames(list(simulate_market(SMALL))[1])
    alone = frames(simulate_day(SMALL, 1))
    longer = frames(simulate_day(dataclasses.replace(SMALL, days=30), 1))
    for name, frame in second.items():
        assert frame.equals(alone[name])
        assert frame.equals(longer[name])


# --- the trades -------------------------------------------------------------------------------------------------------------------


def test_counts_ids_and_order() -> None:
    first, second = small_day(0), small_day(1)
    for today, tomorrow, count in ((first.perp, second.perp, 20_000), (first.spot, second.spot, 2_000)):
        assert today.height == tomorrow.height == count
        ids = np.concatenate([today["trade_id"].to_numpy(), tomorrow["trade_id"].to_numpy()])
        assert (np.diff(ids) == 1).all()
        times = np.concatenate([today["ts_event_us"].to_numpy(), tomorrow["ts_event_us"].to_numpy()])
        assert (np.diff(times) >= 0).all()
        assert times[0] >= MIDNIGHT
        assert times[count - 1] < MIDNIGHT + DAY_US <= times[count]
        assert times[-1] < MIDNIGHT + 2 * DAY_US


@pytest.mark.parametrize(("name", "tick", "lot"), [("perp", "0.1", "0.001"), ("spot", "0.01", "0.00001")])
def test_amounts_lie_exactly_on_their_steps(name: str, tick: str, lot: str) -> None:
    frame = frames(small_day())[name]
    for column, step in (("price", Decimal(tick)), ("qty", Decimal(lot))):
        for value in frame[column].head(500).to_list():
            assert Decimal(repr(value)) % step == 0
        assert frame[column].min() > 0


def test_share_of_ties() -> None:
    for share in (0.0, 0.5):
        frame = simulate_day(dataclasses.replace(SMALL, tie_share=share, burst_probability=0.0, activity_std=0.0), 0).perp
        times = frame["ts_event_us"].to_numpy()
        # 20,000 trades fall on 86.4 million milliseconds: chance makes hardly any tie
        assert np.mean(np.diff(times) == 0) == pytest.approx(share, abs=0.002)


def test_fills_of_one_order_share_side_and_price() -> None:
    frame = small_day().perp.filter(~pl.col("off_book"))
    same = np.diff(frame["ts_event_us"].to_numpy()) == 0
    sides, prices = frame["side"].to_numpy(), frame["price"].to_numpy()
    assert same.sum() > 10_000
    assert np.mean(sides[1:][same] == sides[:-1][same]) > 0.99
    assert np.mean(prices[1:][same] == prices[:-1][same]) > 0.99


def test_taker_sides_of_consecutive_orders_are_correlated_as_stated() -> None:
    config = dataclasses.replace(SMALL, perp_trades_per_day=50_000, tie_share=0.0, side_autocorrelation=0.4)
    sides = simulate_day(config, 0).perp["side"].to_numpy().astype(float)
    assert np.corrcoef(sides[1:], sides[:-1])[0, 1] == pytest.approx(0.4, abs=0.03)
    assert sides.mean() == pytest.approx(0.5, abs=0.03)


def test_sizes_are_log_normal_with_the_stated_median() -> None:
    config = dataclasses.replace(SMALL, perp_median_qty_base=2.0, qty_log_std=0.5)
    logs = np.log(simulate_day(config, 0).perp["qty"].to_numpy())
    assert np.median(logs) == pytest.approx(math.log(2.0), abs=0.02)
    assert logs.std() == pytest.approx(0.5, abs=0.02)


def test_buyers_pay_the_spread() -> None:
    config = dataclasses.replace(
        SMALL, annual_volatility=0.0, basis_mean_bps=0.0, basis_std_bps=0.0, perp_spread_ticks=3, off_book_prints_per_day=0
    )
    frame = simulate_day(config, 0).perp
    bought = frame.filter(~pl.col("side"))["price"].unique().to_list()
    sold = frame.filter("side")["price"].unique().to_list()
    assert len(bought) == len(sold) == 1
    assert bought[0] - sold[0] == pytest.approx(0.3)
    assert (bought[0] + sold[0]) / 2 == pytest.approx(60_000.0, abs=0.1)


def test_trading_clusters_and_the_venues_share_it() -> None:
    calm = dataclasses.replace(
        SMALL, perp_trades_per_day=86_400, tie_share=0.0, perp_spot_ratio=1.0, burst_probability=0.0, activity_std=0.0
    )
    wild = dataclasses.replace(calm, activity_std=1.0)
    counts = {}
    for label, config in (("calm", calm), ("wild", wild)):
        day = simulate_day(config, 0)
        counts[label] = [np.bincount((f["ts_event_us"].to_numpy() - MIDNIGHT) // 60_000_000, minlength=1_440) for f in (day.perp, day.spot)]
    hour = slice(15 * 60, 16 * 60)  # the daily wave is flat there
    assert counts["calm"][0][hour].var() < 3 * counts["calm"][0][hour].mean()
    assert counts["wild"][0][hour].var() > 5 * counts["wild"][0][hour].mean()
    assert np.corrcoef(counts["wild"][0][hour], counts["wild"][1][hour])[0, 1] > 0.7


def test_off_book_prints_stand_where_they_say() -> None:
    config = dataclasses.replace(SMALL, off_book_prints_per_day=5, off_book_distance_percent=3.0)
    day = simulate_day(config, 0)
    prints = day.perp.filter("off_book")
    assert prints["trade_id"].to_list() == day.truth["off_book_trade_ids"]
    assert prints.height == 5
    assert not day.spot["off_book"].any()
    assert day.perp.filter(pl.col("ts_event_us").is_in(prints["ts_event_us"].implode())).height == 5
    usual = day.perp.filter(~pl.col("off_book"))
    for time, price in prints.select("ts_event_us", "price").iter_rows():
        near = usual.filter(pl.col("ts_event_us") >= time)["price"][0]
        assert abs(price / near - 1) == pytest.approx(0.03, abs=0.001)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.data())
def test_rows_that_share_their_time_with_none(waits: list[int], data: st.DataObject) -> None:
    times = np.cumsum(waits)
    rows = data.draw(st.lists(st.integers(0, len(times) - 1), unique=True, max_size=len(times)))
    chosen = _alone(np.array(rows, dtype=np.int64), times)
    single = [row for row in range(len(times)) if times.tolist().count(times[row]) == 1]
    if len(single) < len(rows):
        assert chosen.tolist() == rows
    else:
        assert len(set(chosen.tolist())) == len(rows)
        assert set(chosen.tolist()) <= set(single)
        if len(rows) == 1:
            assert chosen[0] == next((row for row in single if row >= rows[0]), single[-1])


def test_an_outage_leaves_no_trades() -> None:
    outages = (("perp", "2024-05-01 10:00:00.5", "30m"), ("perp", "2024-05-01 10:20", "20m"), ("spot", "2024-05-01 23:00", "2h"))
    config = dataclasses.replace(SMALL, outages=outages)
    day, after = simulate_day(config, 0), simulate_day(config, 1)
    halted = pl.col("ts_event_us").is_between(MIDNIGHT + 36_000_500_000, MIDNIGHT + 38_400_000_000, closed="left")
    assert day.truth["halts_us"] == {
        "perp": [(MIDNIGHT + 36_000_500_000, MIDNIGHT + 38_400_000_000)],
        "spot": [(MIDNIGHT + 82_800_000_000, MIDNIGHT + DAY_US)],
    }
    assert small_day().perp.filter(halted).height > 100
    assert day.perp.filter(halted).height == 0
    assert day.spot["ts_event_us"].max() < MIDNIGHT + 82_800_000_000
    assert after.spot["ts_event_us"].min() >= MIDNIGHT + DAY_US + 3_600_000_000
    assert day.perp.height == round(20_000 * (1 - 2_399.5 / 86_400))
    assert day.spot.height == after.spot.height == round(2_000 * 23 / 24)
    assert after.spot["trade_id"][0] == day.spot["trade_id"][-1] + 1
    assert after.perp["trade_id"][0] == day.perp["trade_id"][-1] + 1


def test_a_day_may_be_halted_whole(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, days=1, perp_trades_per_day=1_000, outages=(("spot", "2024-05-01", "1d"),))
    assert simulate_day(config, 0).spot.height == 0
    written = write_archives(config, tmp_path, datasets=("trades", "klines"))
    assert lines_of(one(written, "spot", "trades")) == []
    assert lines_of(one(written, "spot", "klines")) == []


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(0, 86_000_000), st.integers(1, 400_000)), max_size=3),
    st.sampled_from([1, 1_000]),
)
def test_arrivals_avoid_halts_and_keep_their_number(seed: int, spans: list[tuple[int, int]], unit_us: int) -> None:
    halts = [(start, start + length) for start, length in sorted(spans)]
    times = _arrivals(np.random.default_rng(seed), 2_000, np.ones(86_400), halts, unit_us)
    assert len(times) == 2_000
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] < DAY_US
    assert (times % unit_us == 0).all()
    for start, end in halts:
        assert not ((times >= start * 1_000) & (times < end * 1_000)).any()


def test_spot_counts_microseconds_from_2025() -> None:
    for start, fine in (("2024-12-31", False), ("2025-01-01", True)):
        day = simulate_day(dataclasses.replace(SMALL, start=start), 0)
        assert bool((day.spot["ts_event_us"] % 1_000 != 0).any()) is fine
        assert not (day.perp["ts_event_us"] % 1_000 != 0).any()


# --- the truth --------------------------------------------------------------------------------------------------------------------


def last_price_on_grid(frame: pl.DataFrame, step_us: int) -> np.ndarray:
    usual = frame.filter(~pl.col("off_book"))
    edges = np.arange(MIDNIGHT + 3_600_000_000, MIDNIGHT + DAY_US, step_us)
    row = np.searchsorted(usual["ts_event_us"].to_numpy(), edges, side="left") - 1
    return np.log(usual["price"].to_numpy()[row])


@pytest.mark.parametrize("lead_ms", [300, 0, -700])
def test_the_lead_is_where_the_cross_correlation_peaks(lead_ms: int) -> None:
    config = dataclasses.replace(
        SMALL, lead_ms=lead_ms, perp_trades_per_day=300_000, perp_spot_ratio=1.0, tie_share=0.0, perp_spread_ticks=1, spot_spread_ticks=10
    )
    day = simulate_day(config, 0)
    perp, spot = (np.diff(last_price_on_grid(f, 100_000)) for f in (day.perp, day.spot))
    middle = slice(20, len(perp) - 20)
    correlation = {lag * 100: np.corrcoef(perp[middle], np.roll(spot, -lag)[middle])[0, 1] for lag in range(-15, 16)}
    assert max(correlation, key=correlation.__getitem__) == lead_ms
    assert day.truth["lead_ms"] == lead_ms


def last_per_time(frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    last = frame.filter(~pl.col("off_book")).group_by("ts_event_us", maintain_order=True).agg(pl.col("price").last())
    return last["ts_event_us"].to_numpy(), np.log(last["price"].to_numpy())


def test_the_lead_is_where_the_hayashi_yoshida_covariance_peaks_though_spot_is_ten_times_rarer() -> None:
    day = simulate_day(dataclasses.replace(SMALL, lead_ms=150, perp_trades_per_day=2_000_000), 0)
    (perp_us, perp), (spot_us, spot) = last_per_time(day.perp), last_per_time(day.spot)
    covariance = {}
    for shift_ms in range(0, 301, 25):
        shifted = perp_us + shift_ms * 1_000
        first = np.clip(np.searchsorted(shifted, spot_us[:-1], side="right") - 1, 0, None)
        last = np.clip(np.searchsorted(shifted, spot_us[1:], side="left"), None, len(shifted) - 1)
        covariance[shift_ms] = float(np.sum(np.diff(spot) * (perp[last] - perp[first])))  # all perp returns that overlap the spot return
    assert max(covariance, key=covariance.__getitem__) == pytest.approx(150, abs=25)


def test_price_and_basis_have_the_stated_size() -> None:
    config = dataclasses.replace(SMALL, annual_volatility=0.8, basis_mean_bps=-4.0, basis_std_bps=2.0, basis_half_life_s=60.0)
    day = simulate_day(config, 0)
    returns = np.diff(np.log(day.mark["index_price"].to_numpy()))
    assert returns.std() * math.sqrt(365 * 86_400) == pytest.approx(0.8, rel=0.02)
    basis = (day.mark["mark_price"] / day.mark["index_price"] - 1).to_numpy() * 1e4
    assert basis.mean() == pytest.approx(-4.0, abs=0.3)
    assert basis.std() == pytest.approx(2.0, rel=0.1)
    centred = basis - basis.mean()
    assert (centred[60:] * centred[:-60]).mean() / centred.var() == pytest.approx(0.5, abs=0.08)  # one half-life


def test_perp_minus_spot_trades_is_the_basis() -> None:
    config = dataclasses.replace(SMALL, basis_mean_bps=12.0, basis_std_bps=0.0, perp_trades_per_day=100_000)
    day = simulate_day(config, 0)
    perp, spot = (last_price_on_grid(f, 60_000_000) for f in (day.perp, day.spot))
    assert (perp - spot).mean() * 1e4 == pytest.approx(12.0, abs=0.5)


def test_paths_meet_at_midnight() -> None:
    for day_index in range(3):
        today, tomorrow = price_path(SMALL, day_index), price_path(SMALL, day_index + 1)
        hour = 3_600_000 // 20
        assert np.array_equal(today.log_price[-hour - 1 :], tomorrow.log_price[: hour + 1])  # the last hour is seen from both days
        assert basis_bps(SMALL, day_index)[-1] == basis_bps(SMALL, day_index + 1)[0]
    assert price_path(SMALL, 0).at(np.array([0]))[0] == pytest.approx(60_000.0)


def test_trade_prices_are_continuous_over_midnight() -> None:
    first, second = (simulate_day(dataclasses.replace(SMALL, perp_trades_per_day=100_000, annual_volatility=1.0), k) for k in (0, 1))
    for name in ("perp", "spot"):
        last, opening = frames(first)[name].filter(~pl.col("off_book"))["price"][-1], frames(second)[name]["price"][0]
        assert abs(opening / last - 1) < 0.001
    assert abs(first.perp["price"][-1] / first.perp["price"][0] - 1) > 0.002  # the price does move


def test_daily_returns_have_the_stated_volatility() -> None:
    returns = np.diff([_price_hours(SMALL, day_index)[0] for day_index in range(401)])
    assert returns.std() == pytest.approx(0.5 / math.sqrt(365), rel=0.1)


def test_mean_reversion_keeps_its_law_over_days() -> None:
    process = MeanReversion(purpose=Purpose.BASIS, std=3.0, half_life_s=6 * 3_600.0)
    midnights = np.array([process.seconds(dataclasses.replace(SMALL, seed=seed), 3)[[0, 43_200, 86_400]] for seed in range(150)])
    assert midnights.std(axis=0) == pytest.approx([3.0, 3.0, 3.0], rel=0.2)
    assert np.corrcoef(midnights[:, 0], midnights[:, 1])[0, 1] == pytest.approx(0.25, abs=0.2)  # two half-lives


# --- mark, index, funding -----------------------------------------------------------------------------------------------------------


def funding_by_loop(premium: list[float], interest: float) -> list[float]:
    """The estimate after each five-second sample of one interval."""
    estimates, weighted, weights = [], 0.0, 0.0
    for n, value in enumerate(premium, start=1):
        weighted += n * value
        weights += n
        average = weighted / weights
        estimates.append(average + max(-0.0005, min(0.0005, interest - average)))
    return estimates


def test_funding_estimate_against_a_plain_loop() -> None:
    premium = np.random.default_rng(3).normal(0.0008, 0.001, 86_400)
    estimate = funding_estimates(premium, interval_hours=8, midnight_us=MIDNIGHT)
    for part in range(3):
        expected = funding_by_loop(premium[part * 28_800 : (part + 1) * 28_800 : 5].tolist(), 0.0001)
        assert np.abs(estimate[part * 28_800 : (part + 1) * 28_800 : 5] - expected).max() < 6e-9
        assert (estimate[part * 28_800 : part * 28_800 + 5] == estimate[part * 28_800]).all()


@pytest.mark.parametrize(("premium_bps", "rate_bps"), [(-10, -5), (-4, 1), (0, 1), (6, 1), (8, 3), (10, 5), (20, 15), (60, 55)])
def test_dead_band(premium_bps: float, rate_bps: float) -> None:
    estimate = funding_estimates(np.full(86_400, premium_bps / 1e4), interval_hours=8, midnight_us=MIDNIGHT)
    assert np.abs(estimate - rate_bps / 1e4).max() < 1e-12


@pytest.mark.parametrize(
    ("date", "rate_bps"),
    [
        ("2025-09-17", 5.0),  # interest 0.5 bp: 10 - 5
        ("2025-09-19", 2.5),  # interest 1 bp: (10 - 5) / 2
    ],
)
def test_four_hour_rule_before_and_after_2025_09_18(date: str, rate_bps: float) -> None:
    estimate = funding_estimates(np.full(86_400, 0.0010), interval_hours=4, midnight_us=to_us(date))
    assert np.abs(estimate - rate_bps / 1e4).max() < 1e-12


@pytest.mark.parametrize("date", ["2025-09-17", "2025-09-19"])
def test_four_hour_interest_is_half_of_the_eight_hour_interest(date: str) -> None:
    estimate = funding_estimates(np.zeros(86_400), interval_hours=4, midnight_us=to_us(date))
    assert np.abs(estimate - 0.00005).max() < 1e-12


def test_without_basis_the_interest_is_paid() -> None:
    day = simulate_day(dataclasses.replace(SMALL, basis_mean_bps=0.0), 0)
    assert day.funding["funding_rate"].to_list() == [0.0001, 0.0001, 0.0001]
    assert day.funding["funding_us"].to_list() == [MIDNIGHT, MIDNIGHT + 28_800_000_000, MIDNIGHT + 57_600_000_000]
    jitter = (day.funding["ts_event_us"] - day.funding["funding_us"]).to_list()
    assert all(0 <= value < 12_000 and value % 1_000 == 0 for value in jitter)


def test_the_settled_rate_is_the_last_estimate_over_midnight_too() -> None:
    config = dataclasses.replace(SMALL, basis_mean_bps=15.0, funding_interval_hours=4)
    first, second = simulate_day(config, 0), simulate_day(config, 1)
    estimates = pl.concat([first.mark, second.mark])
    settled = pl.concat([first.funding, second.funding])
    assert settled.height == 12
    assert settled["funding_rate"].n_unique() > 6
    for stamp, rate in settled.select("funding_us", "funding_rate").iter_rows():
        before = estimates.filter(pl.col("ts_event_us") < stamp)
        if before.height:
            assert before["funding_rate"][-1] == rate
            assert before["next_funding_us"][-1] == stamp
    assert (estimates["next_funding_us"] > estimates["ts_event_us"] // 1_000_000 * 1_000_000).all()


def test_minute_candles_of_the_streams() -> None:
    day = small_day()
    for frame, column in ((day.mark_price_1m, "mark_price"), (day.index_price_1m, "index_price")):
        for row in (0, 777, 1_439):
            values = day.mark[column].to_list()[row * 60 : row * 60 + 60]
            expected = (MIDNIGHT + row * 60_000_000, values[0], max(values), min(values), values[-1], 60)
            assert frame.row(row) == expected
    premium = (day.mark["mark_price"] / day.mark["index_price"] - 1).to_numpy().reshape(1_440, 60)
    assert day.premium_index_1m["close"].to_numpy() == pytest.approx(premium[:, -1], abs=6e-9)
    assert day.premium_index_1m["high"].to_numpy() == pytest.approx(premium.max(axis=1), abs=6e-9)


def test_taker_ratio_of_the_metrics() -> None:
    day = small_day()
    bought = sold = 0.0
    for time, qty, seller in day.perp.select("ts_event_us", "qty", "side").iter_rows():
        if MIDNIGHT + 300_000_000 <= time < MIDNIGHT + 600_000_000:
            bought, sold = bought + qty * (not seller), sold + qty * seller
    row = day.metrics.row(1, named=True)
    assert day.metrics.height == 288
    assert row["ts_event_us"] == MIDNIGHT + 600_000_000
    assert row["taker_volume_ratio"] == pytest.approx(bought / sold, abs=1e-8)
    empty = simulate_day(dataclasses.replace(SMALL, outages=(("perp", "2024-05-01", "10m"),)), 0).metrics["taker_volume_ratio"]
    assert empty[:2].to_list() == [None, None]


# --- the files ----------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    folder = tmp_path_factory.mktemp("archive")
    return folder, write_archives(SMALL, folder)


def test_layout(archive: tuple[Path, list[Path]]) -> None:
    folder, written = archive
    daily = [
        f"data/{place}-{date}.zip"
        for date in ("2024-05-01", "2024-05-02")
        for place in (
            "futures/um/daily/trades/BTCUSDT/BTCUSDT-trades",
            "futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m",
            "spot/daily/trades/BTCUSDT/BTCUSDT-trades",
            "spot/daily/klines/BTCUSDT/1m/BTCUSDT-1m",
            "futures/um/daily/markPriceKlines/BTCUSDT/1m/BTCUSDT-1m",
            "futures/um/daily/indexPriceKlines/BTCUSDT/1m/BTCUSDT-1m",
            "futures/um/daily/premiumIndexKlines/BTCUSDT/1m/BTCUSDT-1m",
            "futures/um/daily/metrics/BTCUSDT/BTCUSDT-metrics",
        )
    ]
    expected = {
        *daily,
        "data/futures/um/monthly/fundingRate/BTCUSDT/BTCUSDT-fundingRate-2024-05.zip",
        "recorded/binance_usdm_btcusdt_20240501.dat.gz",
        "recorded/binance_usdm_btcusdt_20240502.dat.gz",
    }
    assert {path.relative_to(folder).as_posix() for path in written} == expected
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert on_disk == expected | {f"{name}.CHECKSUM" for name in expected if name.endswith(".zip")}


def test_checksums(archive: tuple[Path, list[Path]]) -> None:
    for path in archive[1]:
        if path.suffix == ".zip":
            text = path.with_name(path.name + ".CHECKSUM").read_text()
            assert text == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"


def test_perp_trade_file_holds_the_frame(archive: tuple[Path, list[Path]]) -> None:
    lines = lines_of(one(archive[1], "um/daily/trades", "2024-05-01"))
    assert lines[0] == "id,price,qty,quote_qty,time,is_buyer_maker"
    assert len(lines) == 20_001
    rows = small_day().perp.rows()
    for line, (number, time, price, qty, side, _) in list(zip(lines[1:], rows, strict=True))[::37]:
        price_text, qty_text = f"{price:.2f}", f"{qty:.3f}"
        quote = Decimal(price_text) * Decimal(qty_text)
        assert line == f"{number},{price_text},{qty_text},{quote:.5f},{time // 1_000},{str(side).lower()}"


def test_spot_trade_file_holds_the_frame(archive: tuple[Path, list[Path]]) -> None:
    lines = lines_of(one(archive[1], "spot/daily/trades", "2024-05-02"))
    assert len(lines) == 2_000
    for line, (number, time, price, qty, side, _) in list(zip(lines, small_day(1).spot.rows(), strict=True))[::7]:
        price_text, qty_text = f"{price:.8f}", f"{qty:.8f}"
        quote = Decimal(price_text) * Decimal(qty_text)
        assert line == f"{number},{price_text},{qty_text},{quote:.8f},{time // 1_000},{side},True"


@pytest.mark.parametrize(
    ("start", "trades_header", "klines_header", "spot_digits"),
    [
        ("2022-04-30", False, False, 13),
        ("2022-08-10", False, True, 13),
        ("2022-08-11", True, True, 13),
        ("2024-12-31", True, True, 13),
        ("2025-01-01", True, True, 16),
    ],
)
def test_headers_and_units_follow_the_date(
    tmp_path: Path, start: str, *, trades_header: bool, klines_header: bool, spot_digits: int
) -> None:
    config = dataclasses.replace(SMALL, start=start, days=1, perp_trades_per_day=5_000)
    written = write_archives(config, tmp_path, datasets=("trades", "klines", "markPriceKlines"))
    perp, spot = lines_of(one(written, "um/daily/trades")), lines_of(one(written, "spot/daily/trades"))
    assert perp[0].startswith("id,price") is trades_header
    assert len(perp[-1].split(",")[4]) == 13
    assert perp[-1].split(",")[5] in {"true", "false"}
    assert len(spot[0].split(",")) == 7
    assert {len(line.split(",")[4]) for line in spot} == {spot_digits}
    assert {line.split(",")[5] for line in spot} == {"True", "False"}
    for dataset in ("um/daily/klines", "markPriceKlines"):
        assert lines_of(one(written, dataset))[0].startswith("open_time,") is klines_header
    spot_kline = lines_of(one(written, "spot/daily/klines"))[0].split(",")
    assert len(spot_kline[0]) == len(spot_kline[6]) == spot_digits
    assert int(spot_kline[6]) - int(spot_kline[0]) == (59_999 if spot_digits == 13 else 59_999_999)


def candle_by_loop(frame: pl.DataFrame, minute: int, decimals: tuple[int, int, int]) -> str | None:
    start = MIDNIGHT + minute * 60_000_000
    rows = [row for row in frame.rows() if start <= row[1] < start + 60_000_000 and not row[5]]
    if not rows:
        return None
    price_text, qty_text, quote_text = (f"{{:.{n}f}}" for n in decimals)
    prices = [Decimal(repr(row[2])) for row in rows]
    sizes = [Decimal(repr(row[3])) for row in rows]
    quotes = [p * q for p, q in zip(prices, sizes, strict=True)]
    bought = [not row[4] for row in rows]
    fields = [
        str(start // 1_000),
        *(price_text.format(p) for p in (prices[0], max(prices), min(prices), prices[-1])),
        qty_text.format(sum(sizes)),
        str(start // 1_000 + 59_999),
        quote_text.format(sum(quotes)),
        str(len(rows)),
        qty_text.format(sum((q for q, b in zip(sizes, bought, strict=True) if b), Decimal(0))),
        quote_text.format(sum((q for q, b in zip(quotes, bought, strict=True) if b), Decimal(0))),
        "0",
    ]
    return ",".join(fields)


@pytest.mark.parametrize(("name", "place", "decimals"), [("perp", "um/daily/klines", (2, 3, 5)), ("spot", "spot/daily/klines", (8, 8, 8))])
def test_klines_are_made_of_the_trades(archive: tuple[Path, list[Path]], name: str, place: str, decimals: tuple[int, int, int]) -> None:
    frame = frames(small_day())[name]
    lines = {int(line.split(",")[0]): line for line in lines_of(one(archive[1], place, "2024-05-01")) if line[0].isdigit()}
    off_book = frame.filter("off_book")["ts_event_us"].to_list()
    minutes = [0, *range(600, 620), 1_439, *((time - MIDNIGHT) // 60_000_000 for time in off_book)]
    expected = {minute: candle_by_loop(frame, minute, decimals) for minute in minutes}
    traded = {minute: line for minute, line in expected.items() if line is not None}
    assert len(traded) > 10
    for minute, line in traded.items():
        assert lines[MIDNIGHT // 1_000 + minute * 60_000] == line


def test_a_minute_without_trades_repeats_the_close(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, days=1, outages=(("perp", "2024-05-01 12:00", "5m"),))
    lines = lines_of(one(write_archives(config, tmp_path, datasets=("klines",)), "um"))
    before, quiet = (line.split(",") for line in lines[720:722])
    assert len(lines) == 1_441
    assert quiet[1:5] == [before[4]] * 4
    assert [float(value) for value in (quiet[5], *quiet[7:])] == [0.0] * 6


def test_funding_file_spans_only_the_simulated_days(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, start="2024-04-30", perp_trades_per_day=100, basis_mean_bps=-20.0)
    written = write_archives(config, tmp_path, datasets=("fundingRate",))
    assert [path.name for path in written] == ["BTCUSDT-fundingRate-2024-04.zip", "BTCUSDT-fundingRate-2024-05.zip"]
    for path, day_index in zip(written, (0, 1), strict=True):
        header, *rows = lines_of(path)
        assert header == "calc_time,funding_interval_hours,last_funding_rate"
        assert len(rows) == 3
        settled = simulate_day(config, day_index).funding
        for row, (time, _, rate, _) in zip(rows, settled.rows(), strict=True):
            assert row == f"{time // 1_000},8,{rate:.8f}"
            assert rate < 0


def test_state_and_metrics_files(archive: tuple[Path, list[Path]]) -> None:
    premium = lines_of(one(archive[1], "premiumIndexKlines", "2024-05-01"))
    row = small_day().premium_index_1m.row(5, named=True)
    start = MIDNIGHT // 1_000 + 300_000
    prices = ",".join(f"{row[name]:.8f}" for name in ("open", "high", "low", "close"))
    assert premium[6] == f"{start},{prices},0,{start + 59_999},0,60,0,0,0"
    metrics = lines_of(one(archive[1], "metrics", "2024-05-01"))
    assert len(metrics) == 289
    first = small_day().metrics.row(0, named=True)
    assert metrics[1].startswith(f"2024-05-01 00:05:00,BTCUSDT,{first['open_interest']:.8f},")
    assert metrics[-1].startswith("2024-05-02 00:00:00,")


def test_recorded_stream_holds_the_running_estimate(archive: tuple[Path, list[Path]]) -> None:
    lines = gzip.decompress(one(archive[1], "recorded", "20240501").read_bytes()).decode().splitlines()
    mark = small_day().mark
    assert len(lines) == 86_400
    received = [int(line.split(" ", 1)[0]) for line in lines]
    assert received == sorted(received)
    for row in (0, 28_799, 28_800, 86_399):
        message = json.loads(lines[row].split(" ", 1)[1])
        expected = mark.row(row, named=True)
        assert message["stream"] == "btcusdt@markPrice@1s"
        data = message["data"]
        assert list(data) == ["e", "E", "s", "p", "P", "i", "r", "T"]
        assert data["e"] == "markPriceUpdate"
        assert data["E"] * 1_000 == expected["ts_event_us"]
        assert 0 < received[row] - expected["ts_event_us"] < 1_000_000
        assert float(data["p"]) == expected["mark_price"]
        assert float(data["i"]) == expected["index_price"]
        assert data["r"] == f"{expected['funding_rate']:.8f}"
        assert data["T"] * 1_000 == expected["next_funding_us"]


def test_other_symbols_and_steps(tmp_path: Path) -> None:
    config = MarketConfig(
        perp_symbol="APEUSDT", spot_symbol="APEUSDC", base_asset="APE", quote_asset="USDT", perp_trades_per_day=500, start_price=0.7,
        perp_price_increment="0.0001", perp_qty_increment="1", perp_median_qty_base=300.0, spot_price_increment="0.0005",
        spot_qty_increment="0.01", spot_median_qty_base=20.0,
    )  # fmt: skip
    written = write_archives(config, tmp_path, datasets=("trades",))
    perp = lines_of(one(written, "APEUSDT"))[1].split(",")
    spot = lines_of(one(written, "APEUSDC"))[0].split(",")
    assert len(perp[1].split(".")[1]) == 4
    assert Decimal(perp[2]) == int(perp[2])
    assert Decimal(perp[3]) == Decimal(perp[1]) * Decimal(perp[2])
    assert Decimal(spot[1]) % Decimal("0.0005") == 0
    assert Decimal(spot[3]) == Decimal(spot[1]) * Decimal(spot[2])


def test_exchange_information(tmp_path: Path) -> None:
    spot, perp = (json.loads(path.read_text()) for path in write_exchange_info(SMALL, tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"exchangeInfo-spot.json", "exchangeInfo-usdm.json"}
    for content, tick, lot in ((spot, "0.01000000", "0.00001000"), (perp, "0.10", "0.001")):
        assert content["serverTime"] == MIDNIGHT // 1_000
        symbol = content["symbols"][0]
        assert (symbol["symbol"], symbol["baseAsset"], symbol["quoteAsset"], symbol["status"]) == ("BTCUSDT", "BTC", "USDT", "TRADING")
        filters = {entry["filterType"]: entry for entry in symbol["filters"]}
        assert filters["PRICE_FILTER"]["tickSize"] == tick
        assert filters["LOT_SIZE"]["stepSize"] == lot
    terms = perp["symbols"][0]
    assert (terms["contractType"], terms["deliveryDate"], terms["marginAsset"], terms["pair"]) == (
        "PERPETUAL",
        4_133_404_800_000,
        "USDT",
        "BTCUSDT",
    )


def test_every_value_is_there(archive: tuple[Path, list[Path]]) -> None:
    for path in archive[1]:
        if path.suffix == ".zip":
            text = "\n".join(lines_of(path)).encode()
            nulls = pl.read_csv(io.BytesIO(text), has_header=not text[:1].isdigit(), infer_schema_length=None).null_count()
            ratio = "sum_taker_long_short_vol_ratio"  # empty where nobody sold in the five minutes
            assert sum(nulls.drop(ratio, strict=False).row(0)) == 0, path.name


# --- refusals -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 1.5),
        ("days", 0),
        ("start", "2024-05-01 12:00"),
        ("start", "yesterday"),
        ("perp_trades_per_day", 0),
        ("perp_spot_ratio", 0.0),
        ("lead_ms", 120_000),
        ("start_price", math.nan),
        ("start_price", 1.0),
        ("annual_volatility", -0.1),
        ("basis_half_life_s", 1.0),
        ("funding_interval_hours", 3),
        ("tie_share", 1.0),
        ("side_autocorrelation", 1.5),
        ("qty_log_std", True),
        ("off_book_prints_per_day", 2_000),
        ("off_book_distance_percent", 0.0),
        ("perp_symbol", "btc/usdt"),
        ("perp_price_increment", "-0.1"),
        ("spot_qty_increment", "lots"),
        ("outages", (("moon", "2024-05-01", "1h"),)),
        ("outages", (("perp", "2024-05-01", "0s"),)),
        ("outages", (("perp", "2024-05-01"),)),
    ],
)
def test_values_that_cannot_be_used(name: str, value: object) -> None:
    with pytest.raises(ConfigError):
        dataclasses.replace(SMALL, **{name: value})


def test_unknown_day_and_dataset(tmp_path: Path) -> None:
    for day_index in (-1, 2):
        with pytest.raises(ConfigError):
            simulate_day(SMALL, day_index)
    with pytest.raises(ConfigError) as caught:
        write_archives(SMALL, tmp_path, datasets=("aggTrades",))
    assert all(name in str(caught.value) for name in DATASETS)
    assert not list(tmp_path.iterdir())
