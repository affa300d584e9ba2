"""pointline.next_funding: the published table from real hours, every source of the premium, holes, and what is refused."""

from __future__ import annotations

import gzip
import json
import math
import pickle
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.cli.running import run
from tests.evaluation.funding_market import START
from tests.sql.markets import zipped
from tests.studies.funding_lakes import PERP, SPOT, candle_paths, funding_paths, hours_of, lake_of_hours, lake_with

import pointline
from pointline import clock
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, date_text, to_us
from pointline.errors import ConfigError, NoDataError, VenueRuleError
from pointline.instruments import check_pair
from pointline.research.spines import TimeBarConfig
from pointline.studies.funding_data import extras
from pointline.studies.funding_data import payments as payments_of

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.lake.store import Lake

COUNT = 150
END = START + COUNT * 8 * HOUR_US + 1  # the last settlement lies inside
END_OF_60 = START + 20 * DAY_US + 1


def forecast(lake: Lake, **options: Any) -> pointline.FundingForecast:  # noqa: ANN401 - of next_funding
    return pointline.next_funding(PERP, SPOT, **{"start": START, "end": END, "lake": lake, **options})


def error(found: pointline.FundingForecast, predictor: str, hours: float) -> float:
    return float(found.table.filter(predictor=predictor, hours_before=hours)["mae_bps"].item())


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_of_hours(tmp_path_factory.mktemp("hours"), *hours_of(COUNT))


# --- real hours ------------------------------------------------------------------------------------------------------------------

# Fitted on the first half by count and scored on the second, 2023-12-17 to 2024-11-30: MAE in bp, R², direction right.
PUBLISHED = {
    ("constant", 0.0): (0.673, -0.01, 0.51),
    ("last", 0.0): (0.365, 0.68, None),
    ("ar1", 0.0): (0.411, 0.65, 0.60),
    ("rule", 0.0): (0.192, 0.92, 0.83),
    ("rule", 1.0): (0.201, 0.90, 0.83),
    ("rule", 4.0): (0.366, 0.68, 0.72),
    ("least_squares", 4.0): (0.317, 0.82, 0.71),
}


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> pointline.FundingForecast:
    """The hours as archives that a user could have, in a lake."""
    folder = tmp_path_factory.mktemp("real")

    def hours(name: str, column: str) -> list[tuple[int, str]]:
        frame = pl.read_ipc((shared_data / "klines" / f"binance_{name}_202301-202411.feather").read_bytes())
        return [(us, repr(value)) for us, value in frame.select(pl.col("date").dt.epoch("us"), column).iter_rows()]

    payments = [(us, 8, rate) for us, rate in hours("BTC_USDT_USDT-1h-funding_rate", "open")]
    made = lake_of_hours(folder, hours("BTC_USDT_USDT-1h-futures", "close"), hours("BTC_USDT-1h", "close"), payments)
    return pointline.next_funding(PERP, SPOT, start="2023-01-01", end="2024-12-01", hours_before=[4, 1, 0], folds=1, lake=made)


@pytest.mark.parametrize(("predictor", "hours"), list(PUBLISHED))
def test_real_hours_give_the_published_table(real: pointline.FundingForecast, predictor: str, hours: float) -> None:
    """To the last printed digit of the error, and to one in the second digit of the rest.

    Directions differ by up to eight of 713 settlements: inside the dead band the rule says the interest exactly. Where the last rate was
    the interest too, that is no change and counts as wrong. With rounding errors left in, some of these count as right.
    """
    mae, r2, direction = PUBLISHED[predictor, hours]
    row = real.table.filter(predictor=predictor, hours_before=hours).row(0, named=True)
    assert (row["n"], row["changes"]) == (1_049, 713)
    assert row["mae_bps"] == pytest.approx(mae, abs=0.00051)
    assert row["r2"] == pytest.approx(r2, abs=0.0052)
    assert row["direction_right"] is None if direction is None else row["direction_right"] == pytest.approx(direction, abs=0.0125)


def test_real_hours_say_where_a_model_earns_its_keep(real: pointline.FundingForecast) -> None:
    assert "4 h before, boosting is better than the rule" in real.verdict
    assert "1 h before, the models add nothing beyond chance to the rule (0.201 bp)." in real.verdict
    first, last = (real.settlements["funding_us"][place] for place in (0, -1))
    assert (first, last) == (to_us("2023-12-17 08:00"), to_us("2024-11-30 16:00"))
    paid = real.settlements.filter(hours_before=0)["actual_bps"]
    assert 0.25 < (paid == 1).mean() < 0.45


# --- simulated hours ---------------------------------------------------------------------------------------------------------------


def test_the_rule_is_exact_where_the_market_follows_it(lake: Lake) -> None:
    found = forecast(lake)
    assert error(found, "rule", 0) < 1e-4  # rates are printed with eight decimals
    assert found.premium_source == "basis"
    assert found.table["hours_before"].unique(maintain_order=True).to_list() == [8, 4, 1, 0]
    assert found.summary["settlements"] == COUNT
    assert found.summary["settlements_left_out"] == 2  # the first has no last rate, the second none eight hours before
    assert found.summary["settlements_scored"] == found.settlements.height / 4
    assert "perp against spot, each 1h" in found.window_text


def test_a_study_forecasts_its_own_window(lake: Lake) -> None:
    """Hourly bars of candles are on the same prices, but the forecast reads the lake itself."""
    hourly: dict[str, Any] = {"bars": TimeBarConfig("1h"), "events": "candles_1h", "lake": lake}
    study = pointline.compare(PERP, SPOT, start=START, end=START + 40 * DAY_US, **hourly)
    assert study.next_funding(folds=2).table.equals(forecast(lake, end=START + 40 * DAY_US, folds=2).table)


def test_bars_of_a_study_hold_the_same_premium(lake: Lake) -> None:
    hourly: dict[str, Any] = {"bars": TimeBarConfig("1h"), "events": "candles_1h", "lake": lake}
    bars = pointline.compare(PERP, SPOT, start=START, end=START + 10 * DAY_US, **hourly).features
    premium = dict(bars.select("bucket_end", pl.col("basis_bps")).iter_rows())
    rows = forecast(lake, hours_before=[0], models=[], folds=30).settlements.filter(pl.col("funding_us") <= START + 10 * DAY_US)
    assert rows.height > 0
    for us, average in rows.select("funding_us", "premium_bps").iter_rows():
        assert average == pytest.approx(sum(k * premium[us + (k - 8) * HOUR_US] for k in range(1, 9)) / 36)


def test_trades_give_what_candles_give(tmp_path: Path) -> None:
    """One trade of each side in the last second of every hour."""
    perp, spot, payments = hours_of(60)
    paths = funding_paths(tmp_path / "a", PERP, payments)
    paths += trade_paths(tmp_path, "futures/um", perp, "") + trade_paths(tmp_path, "spot", spot, ",True")
    of_trades = forecast(lake_with(tmp_path, paths), end=END_OF_60, folds=2)
    of_candles = forecast(lake_of_hours(tmp_path / "candles", perp, spot, payments), end=END_OF_60, folds=2)
    assert of_trades.table.equals(of_candles.table)


def trade_paths(folder: Path, market: str, hours: list[tuple[int, str]], best: str) -> list[Path]:
    days: dict[str, list[str]] = {}
    for number, (us, close) in enumerate(hours, start=1):
        ms = (us + HOUR_US) // 1000 - 500
        days.setdefault(date_text(us), []).append(f"{number},{close},1,{close},{ms},False{best}\n")
    where = folder / "data" / market / "daily" / "trades" / "BTCUSDT"
    return [zipped(where / f"BTCUSDT-trades-{day}.zip", lines) for day, lines in days.items()]


def premium_paths(folder: Path, values: list[tuple[int, str]]) -> list[Path]:
    """Premium index candles of one hour."""
    return price_paths(folder, "premiumIndexKlines", "1h", HOUR_US, values)


def price_paths(folder: Path, dataset: str, interval: str, length_us: int, values: list[tuple[int, str]]) -> list[Path]:
    months: dict[str, list[str]] = {}
    for us, close in values:
        line = f"{us // 1000},{close},{close},{close},{close},0,{(us + length_us) // 1000 - 1},0,12,0,0,0\n"
        months.setdefault(date_text(us)[:7], []).append(line)
    where = folder / "data" / "futures" / "um" / "monthly" / dataset / "BTCUSDT" / interval
    return [zipped(where / f"BTCUSDT-{interval}-{month}.zip", lines) for month, lines in months.items()]


def test_the_premium_index_comes_before_the_basis(tmp_path: Path) -> None:
    perp, spot, payments = hours_of(60)
    index = [(us, f"{float(close) / 60_000 - 1:.8f}") for us, close in perp]
    flat = [(us, "60000.0") for us, _ in perp]
    paths = [
        *candle_paths(tmp_path / "a", PERP, flat),
        *candle_paths(tmp_path / "a", SPOT, spot),
        *funding_paths(tmp_path / "a", PERP, payments),
    ]
    made = lake_with(tmp_path, [*paths, *premium_paths(tmp_path / "a", index)])
    found = forecast(made, end=END_OF_60, folds=2)
    assert found.premium_source == "premium_index"
    assert error(found, "rule", 0) < 1e-3
    wanted = forecast(made, end=END_OF_60, folds=2, premium="basis")
    assert wanted.premium_source == "basis"
    assert error(wanted, "rule", 0) > 1


def test_mark_and_index_give_the_premium_where_there_is_no_premium_index(tmp_path: Path) -> None:
    perp, spot, payments = hours_of(60)
    flat = [(us, "60000.0") for us, _ in perp]
    paths = [
        *candle_paths(tmp_path / "a", PERP, flat),
        *candle_paths(tmp_path / "a", SPOT, spot),
        *funding_paths(tmp_path / "a", PERP, payments),
    ]
    # the minute before the last one of each hour: known strictly before the hour's end
    for dataset, rows in (("markPriceKlines", perp), ("indexPriceKlines", flat)):
        minutes = [(us + 58 * MINUTE_US, close) for us, close in rows]
        paths += price_paths(tmp_path / "a", dataset, "1m", MINUTE_US, minutes)
    found = forecast(lake_with(tmp_path, paths), end=END_OF_60, folds=2)
    assert found.premium_source == "mark_index"
    assert error(found, "rule", 0) < 1e-3


def test_a_hole_leaves_settlements_out_and_is_counted(tmp_path: Path) -> None:
    perp, spot, payments = hours_of(60)
    del spot[8 * 40 + 3]
    found = forecast(lake_of_hours(tmp_path, perp, spot, payments), end=END_OF_60, folds=2)
    assert found.summary["settlements_left_out"] == 4
    assert payments[40][0] // HOUR_US * HOUR_US not in found.settlements["funding_us"]
    assert any("4 of 60 settlements are left out" in note for note in found.notes)


def test_intervals_that_contradict_the_times_are_said(tmp_path: Path) -> None:
    perp, spot, payments = hours_of(60)
    odd = [(us, 24 if place == 20 else hours, rate) for place, (us, hours, rate) in enumerate(payments)]
    found = forecast(lake_of_hours(tmp_path, perp, spot, odd), end=END_OF_60, folds=1)
    assert any("1 of the settlements came sooner after the one before than their interval says" in note for note in found.notes)


def test_a_missing_payment_is_not_carried_for_ever(tmp_path: Path) -> None:
    perp, spot, payments = hours_of(60)
    del payments[30:34]
    found = forecast(lake_of_hours(tmp_path, perp, spot, payments), end=END_OF_60, folds=2)
    assert found.summary["settlements"] == 56
    assert START + 35 * 8 * HOUR_US not in found.settlements["funding_us"]  # its last rate is 40 h old


def test_a_lake_that_ends_earlier_tells_the_same_of_what_was_known(tmp_path: Path, lake: Lake) -> None:
    perp, spot, payments = hours_of(COUNT)
    cut = 90
    short = lake_of_hours(tmp_path, perp[: 8 * cut], spot[: 8 * cut], payments[:cut])
    known = ["funding_us", "hours_before", "known_us", "interval_hours", "actual_bps", "last_known_bps", "premium_bps"]
    rows = [forecast(one, models=[], folds=1).settlements.select(known) for one in (lake, short)]
    both = [rows[0].join(rows[1], on=["funding_us", "hours_before"], how="semi"), rows[1].join(rows[0], on=["funding_us"], how="semi")]
    assert both[0].equals(both[1])
    assert both[0].height >= 4 * 10


def test_open_interest_and_the_estimate_are_used_where_the_lake_has_them(tmp_path: Path) -> None:
    """Open interest of 100 · 1.01^k base units at ten to each hour k, and an estimate that rises by 0.1 bp an hour."""
    perp, spot, payments = hours_of(60)
    paths = [*candle_paths(tmp_path / "a", PERP, perp), *candle_paths(tmp_path / "a", SPOT, spot)]
    paths += funding_paths(tmp_path / "a", PERP, payments)
    made = lake_with(tmp_path, [*paths, *interest_paths(tmp_path / "a", len(perp))])
    pointline.ingest(recorded_path(tmp_path / "r", len(perp)), lake=made)
    found = forecast(made, end=END_OF_60, folds=1, hours_before=[4, 1])
    assert found.summary["extra_predictors"] == ["funding_step_bps", "oi_change"]
    registry = made.registry()
    pair = check_pair(registry.find("binance-futures", "BTCUSDT", START), registry.find("binance-spot", "BTCUSDT", START), registry.known)
    settled, _ = payments_of(made, pair, (START, END_OF_60), 8.0)
    told = extras(made, pair, settled.filter(pl.col("funding_us") > START + DAY_US), [4 * HOUR_US])
    assert told is not None
    assert told["oi_change"].to_list() == pytest.approx([8 * math.log(1.01)] * told.height, rel=1e-6)
    assert told["funding_step_bps"].to_list() == pytest.approx([0.1] * told.height, abs=1e-9)


def interest_paths(folder: Path, hours: int) -> list[Path]:
    header = (
        "create_time,symbol,sum_open_interest,sum_open_interest_value,count_toptrader_long_short_ratio,"
        "sum_toptrader_long_short_ratio,count_long_short_ratio,sum_taker_long_short_vol_ratio\n"
    )
    days: dict[str, list[str]] = {}
    for place in range(hours):
        us = START + place * HOUR_US + 50 * MINUTE_US
        stamp = clock.time_text(us)
        days.setdefault(date_text(us), [header]).append(f"{stamp},BTCUSDT,{100 * 1.01**place:.10f},1.0,1.0,1.0,1.0,1.0\n")
    where = folder / "data" / "futures" / "um" / "daily" / "metrics" / "BTCUSDT"
    return [zipped(where / f"BTCUSDT-metrics-{day}.zip", lines) for day, lines in days.items()]


def recorded_path(folder: Path, hours: int) -> Path:
    """The mark price stream of a recorder, a message in the last seconds of each hour."""
    lines = []
    for place in range(hours):
        us = START + (place + 1) * HOUR_US - 5_000_000
        settles = (us // (8 * HOUR_US) + 1) * 8 * HOUR_US
        rate = f"{1e-4 + 1e-5 * (place % 8):.8f}"
        prices = '"p":"60000.0","P":"60000.0","i":"60000.0"'
        data = f'{{"e":"markPriceUpdate","E":{us // 1000},"s":"BTCUSDT",{prices},"r":"{rate}","T":{settles // 1000}}}'
        lines.append(f'{us + 1_000} {{"stream":"btcusdt@markPrice@1s","data":{data}}}\n')
    folder.mkdir()
    path = folder / "binance_usdm_btcusdt.dat.gz"
    path.write_bytes(gzip.compress("".join(lines).encode(), mtime=0))
    return path


def test_a_contract_of_another_quote_says_so(tmp_path: Path) -> None:
    perp, spot, payments = hours_of(60)
    inverse = "binance-delivery:BTCUSD_PERP"
    paths = [*candle_paths(tmp_path / "a", inverse, perp), *candle_paths(tmp_path / "a", SPOT, spot)]
    paths += funding_paths(tmp_path / "a", inverse, payments)
    found = pointline.next_funding(inverse, SPOT, start=START, end=END_OF_60, folds=2, lake=lake_with(tmp_path, paths))
    assert found.premium_source == "cross_quote_basis"
    assert any("also contains the rate between them" in note for note in found.notes)
    assert error(found, "rule", 0) < 1e-3


def test_the_settlement_after_the_window_is_told_by_the_rule(lake: Lake) -> None:
    """Three hours of an interval: 8 h less 3 are left, and the rule is exact, so the eighth hour of it says what is paid."""
    last = START + 100 * 8 * HOUR_US
    paid = dict(hours_of(COUNT)[2][place][::2] for place in range(COUNT))
    for hours in (3, 8):
        found = forecast(lake, end=last + hours * HOUR_US, models=[])
        row = found.coming.row(0, named=True)
        assert (row["funding_us"], row["hours_before"], row["known_us"]) == (last + 8 * HOUR_US, 8 - hours, last + hours * HOUR_US)
        assert row["last_known_bps"] == pytest.approx(float(paid[last + 4_000]) * 1e4)
    assert row["rule_bps"] == pytest.approx(float(paid[last + 8 * HOUR_US + 4_000]) * 1e4, abs=1e-3)
    assert f"{row['rule_bps']:.3f} bp by the rule" in found.coming_text
    assert forecast(lake, end=last + 1, models=[]).coming.is_empty()


def test_it_can_be_pickled_and_shown(lake: Lake) -> None:
    found = forecast(lake, folds=2)
    again = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own bytes
    assert again.table.equals(found.table)
    assert again.verdict == found.verdict
    page = found._repr_html_()
    assert found.verdict.split(".", maxsplit=1)[0] in page.replace("&#x27;", "'")
    assert "mae_bps" in page
    assert found.to_pandas().shape[0] == found.settlements.height


# --- what is refused -----------------------------------------------------------------------------------------------------------------


def test_no_funding_is_refused_with_what_to_do(tmp_path: Path) -> None:
    perp, spot, _ = hours_of(40)
    with pytest.raises(NoDataError, match="no settled funding") as caught:
        forecast(lake_of_hours(tmp_path, perp, spot, []))
    assert "fundingRate" in str(caught.value)
    assert "ingest" in str(caught.value)


def test_no_prices_are_refused_with_what_to_do(tmp_path: Path) -> None:
    perp, _, payments = hours_of(40)
    paths = [*candle_paths(tmp_path / "a", PERP, perp), *candle_paths(tmp_path / "a", SPOT, [(START - 90 * DAY_US, "1")])]
    with pytest.raises(NoDataError, match="no premium"):
        forecast(lake_with(tmp_path, [*paths, *funding_paths(tmp_path / "a", PERP, payments)]))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"premium": "mark"}, "no such premium"),
    ({"premium": "mark_index"}, "no premium"),
    ({"step": "7m"}, "divides an hour|multiples of 7m"),
    ({"step": "2h"}, "divides an hour|multiples of 2h"),
    ({"hours_before": [0.25]}, "multiples of 1h"),
    ({"models": ["forest"]}, "no such model"),
    ({"end": START}, "empty|end"),
    ({"end": START + 5 * DAY_US}, "too few settlements"),
    ({"folds": 400}, "too few rows"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_is_refused(lake: Lake, options: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, NoDataError), match=words):
        forecast(lake, **options)


def test_swapped_sides_are_refused(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="swapped"):
        pointline.next_funding(SPOT, PERP, start=START, end=END, lake=lake)


def test_a_dated_future_pays_no_funding(tmp_path: Path) -> None:
    perp, spot, _ = hours_of(40)
    dated = "binance-futures:BTCUSDT_240329"
    made = lake_with(tmp_path, [*candle_paths(tmp_path / "a", dated, perp), *candle_paths(tmp_path / "a", SPOT, spot)])
    with pytest.raises(ConfigError, match="pays no funding"):
        pointline.next_funding(dated, SPOT, start=START, end=START + 13 * DAY_US, lake=made)


def test_dates_without_a_rule_are_refused(lake: Lake) -> None:
    with pytest.raises(VenueRuleError, match="not known for this time"):
        forecast(lake, start="2019-01-01", end="2019-02-01")


# --- the command ---------------------------------------------------------------------------------------------------------------------


def test_the_command_prints_what_the_study_says(lake: Lake, tmp_path: Path) -> None:
    window = ("--start", "2024-01-01", "--end", "2024-02-20", "--folds", "1", "--lake", str(lake.root))
    found = forecast(lake, end="2024-02-20", folds=1)
    said = run("next-funding", PERP, SPOT, *window, "-o", str(tmp_path / "rows.parquet"))
    assert said.code == 0
    assert "least squares" in said.out
    assert pl.read_parquet(tmp_path / "rows.parquet").equals(found.settlements)
    told = json.loads(run("next-funding", PERP, SPOT, *window, "--json").out)
    assert told["verdict"] == found.verdict
    assert told["table"] == found.table.to_dicts()


def test_hours_that_are_no_numbers_are_wrong_usage(lake: Lake) -> None:
    said = run(
        "next-funding", PERP, SPOT, "--start", "2024-01-01", "--end", "2024-02-20", "--hours-before", "soon", "--lake", str(lake.root)
    )
    assert said.code == 2
    assert "--hours-before" in said.err


def test_the_chart_shows_what_was_paid(real: pointline.FundingForecast) -> None:
    paid = next(trace for trace in real.chart().data if trace.name == "paid")
    told = real.settlements["actual_bps"]
    assert (min(paid.y), max(paid.y)) == pytest.approx((told.min(), told.max()))
