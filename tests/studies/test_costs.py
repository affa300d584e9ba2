"""Study.costs: against features, on real minutes, with measured slippage, and what is refused."""

from __future__ import annotations

import gzip
import json
import pickle
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.bars.test_candle_events import lake_of_minutes, walk
from tests.studies.test_real_checks import MAPPING

import pointline
from pointline.clock import DAY_US, MINUTE_US, to_us
from pointline.costs import CostModel
from pointline.errors import ConfigError, NoDataError, VenueRuleError
from pointline.research.spines import TimeBarConfig
from pointline.studies.costs import CostStudy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.demo import Demo

PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
DAY = to_us("2024-05-01")
CHEAP = CostModel(perp_taker_bps=1.0, perp_slippage_bps=0.5, spot_taker_bps=1.0, spot_slippage_bps=0.5, withdrawal_bps=0.0)  # 6 bps


@pytest.fixture(scope="module")
def of_demo(demo: Demo) -> pointline.Study:
    window = {"start": "2024-05-01", "end": "2024-05-03", "bars": TimeBarConfig("5m"), "lake": demo.folder / "lake"}
    return pointline.compare(*PAIR, costs=CHEAP, **window)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lake_of_minutes(tmp_path_factory.mktemp("costs"), walk(1440, seed=1), walk(1440, seed=5)).root


def of_minutes(lake: Path, **options: Any) -> pointline.Study:  # noqa: ANN401 - those of compare
    window = {"start": "2024-05-01", "end": "2024-05-02", "bars": TimeBarConfig("1m"), "events": "candles_1m", "lake": lake}
    return pointline.compare(*PAIR, **{**window, **options})  # type: ignore[arg-type]


def test_the_counts_are_those_of_the_feature(of_demo: pointline.Study) -> None:
    found = of_demo.costs()
    assert found.costs == CHEAP
    above = of_demo.features["cash_carry_opportunity"].sum()
    assert found.opportunities.row(2, named=True)["bars"] == above > 0
    excess = of_demo.features.filter("cash_carry_opportunity")["cash_carry_profit_bps"]
    assert found.opportunities.row(2, named=True)["mean_excess_bps"] == pytest.approx(excess.mean())
    assert found.spells["bars"].sum() == above
    assert found.sensitivity.filter(cost_bps=6.0)["bars"].to_list() == [above]


def test_funding_pays_as_the_feature_says(of_demo: pointline.Study) -> None:
    table = of_demo.costs().pays_back
    last = of_demo.features.filter(pl.col("basis_bps").is_not_null() & pl.col("funding_8h").is_not_null()).tail(1).row(0, named=True)
    row = table.row(0 if last["basis_bps"] >= 0 else 1, named=True)
    assert row["funding_bps_per_payment"] is not None
    assert row["hours_with_basis"] == pytest.approx(last["cash_carry_breakeven_hours"])  # nothing is withdrawn, so the costs are equal
    assert row["interval_hours"] == 8.0


def test_presets_by_name(of_demo: pointline.Study) -> None:
    for name, total in (("guide", 48.0), ("same-exchange", 40.0), ("venue", 40.0), ("venue:non-VIP", 40.0)):
        found = of_demo.costs(name)
        assert (found.summary["cost_bps"], found.break_even["round_trip_bps"][-1]) == (total, total)
        assert found.summary["preset"].startswith(name)
        assert found.summary["as_of"] == "2026-02-09"
        assert found.verdict.startswith(f"A round trip of both legs costs {total:g} bps ({found.costs.preset}, figures of 2026-02-09).")
    with pytest.raises(ConfigError, match="no such preset") as caught:
        of_demo.costs("cheap")
    assert caught.value.expected == "guide, same-exchange, venue, venue:TIER"
    with pytest.raises(VenueRuleError, match="in the tier VIP 9"):
        of_demo.costs("venue:VIP 9")
    with pytest.raises(ConfigError, match="costs has the wrong type"):
        of_demo.costs(48.0)  # type: ignore[arg-type]


def test_compare_takes_the_same_names(lake: Path) -> None:
    assert of_minutes(lake, costs="same-exchange").params.costs == CostModel.same_exchange()
    study = of_minutes(lake, costs="venue")
    assert (study.params.costs.tier, study.summary["costs"]) == ("non-VIP", "40 bps (venue:non-VIP, figures of 2026-02-09)")
    with pytest.raises(ConfigError, match="no such preset"):
        of_minutes(lake, costs="Guide")


def test_the_ladder_has_the_presets(of_demo: pointline.Study) -> None:
    table = of_demo.costs(ladder=(0.5, 1.0)).sensitivity
    assert table.select("name", "cost_bps").rows() == [
        *(("0.5 x own figures", 3.0), ("1 x own figures", 6.0)),
        *(("same-exchange", 40.0), ("venue:non-VIP", 40.0), ("guide", 48.0)),
    ]
    assert table["bars"].is_sorted(descending=True)


def test_the_result_pickles_and_shows(of_demo: pointline.Study) -> None:
    found = of_demo.costs()
    again = pickle.loads(pickle.dumps(found))  # noqa: S301 - our own bytes
    assert isinstance(again, CostStudy)
    assert again.opportunities.equals(found.opportunities)
    assert again.summary == found.summary
    page = found._repr_html_()
    for heading in ("Break-even", "What pays for it", "Opportunities", "By condition", "At other costs", "spells"):
        assert heading in page
    assert "borrowing the coin" in page


def test_a_shorter_window_gives_the_same_bars_and_spells(demo: Demo) -> None:
    window = {"start": "2024-05-01", "bars": TimeBarConfig("5m"), "costs": CHEAP, "lake": demo.folder / "lake"}
    long, short = (pointline.compare(*PAIR, end=end, **window).costs() for end in ("2024-05-03", "2024-05-02T07:00"))  # type: ignore[arg-type]
    assert short.bars.equals(long.bars.head(short.bars.height))
    done = short.spells.filter(pl.col("ended_by") != "window")
    assert done.equals(long.spells.head(done.height))


def test_money_follows_the_notional(of_demo: pointline.Study) -> None:
    found = of_demo.costs(CostModel(withdrawal_quote=5.0, notional_quote=60_000))
    assert (found.notional_quote, found.summary["cost_quote"]) == (60_000, pytest.approx(245.0))  # 40 bps and $5
    larger = of_demo.costs(CostModel(withdrawal_quote=5.0, notional_quote=60_000), notional_quote=600_000)
    assert larger.break_even.filter(leg="withdrawal").select("round_trip_bps", "round_trip_quote").row(0) == pytest.approx(
        (0.08333, 5.0), rel=1e-4
    )
    assert of_demo.costs(notional_quote=10_000).summary["cost_quote"] == pytest.approx(6.0)
    for wrong in (0, -5, float("nan")):
        with pytest.raises(ConfigError, match="notional_quote is no size"):
            of_demo.costs(notional_quote=wrong)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"slippage": "book"}, "slippage cannot be measured"),
        ({"ladder": ()}, "ladder holds no multiples"),
        ({"ladder": (1.0, -2.0)}, "ladder holds no multiples"),
        ({"levels_bps": (float("nan"),)}, "cannot be a cost"),
        ({"levels_bps": ("50",)}, "cannot be a cost"),
    ],
)
def test_wrong_options(of_demo: pointline.Study, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        of_demo.costs(**options)


def test_stated_small_slippage_is_said(of_demo: pointline.Study) -> None:
    notes = of_demo.costs(CostModel(perp_slippage_bps=0.008)).notes
    assert "perp_slippage_bps = 0.008 is read as basis points; as a fraction it would be 80" in notes


def test_no_funding_is_said(lake: Path) -> None:
    found = of_minutes(lake).costs()
    assert "no funding is known in the window: hours and payments are not told" in found.notes
    assert found.pays_back["hours_alone"].null_count() == 2
    assert "No funding is known" in found.verdict


def test_pairs_of_two_quotes_are_refused(tmp_path: Path) -> None:
    lake = lake_of_minutes(tmp_path, walk(60, seed=1), walk(60, seed=5), ("binance-delivery", "BTCUSD_PERP"))
    window = {"start": "2024-05-01", "end": "2024-05-01T01:00", "bars": TimeBarConfig("1m"), "events": "candles_1m", "lake": lake}
    study = pointline.compare("binance-delivery:BTCUSD_PERP", PAIR[1], **window)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="rate between two quotes"):
        study.costs()


QUOTES = """
kind = "quotes"
exchange = "{exchange}"
symbol = "BTCUSDT"

[columns]
ts_event_us = {{ column = "at", unit = "us" }}
bid_price = "bid"
bid_qty = "size"
ask_price = "ask"
ask_qty = "size"
"""


def with_quotes(folder: Path, lake: Path, name: str, rows: list[tuple[int, float, float]]) -> None:
    (folder / "quotes.toml").write_text(QUOTES.format(exchange=name.partition(":")[0]), encoding="utf-8")
    lines = "".join(f"{at},{bid},{ask},1\n" for at, bid, ask in rows)
    (folder / f"{name.partition(':')[0]}.csv").write_text(f"at,bid,ask,size\n{lines}", encoding="utf-8")
    report = pointline.ingest(folder / f"{name.partition(':')[0]}.csv", mapping=folder / "quotes.toml", lake=lake)
    assert report["outcome"].to_list() == ["landed"]


def test_slippage_from_quotes(tmp_path: Path) -> None:
    minutes = (walk(1440, seed=1), walk(1440, seed=5))
    lake = lake_of_minutes(tmp_path, *minutes).root
    hour = 60 * MINUTE_US
    # Perp: half a minute at 1 bps, then a minute at 4, and the last quote holds for a minute at 2: (0.5 + 4 + 2) / 2.5 = 2.6
    perp = [(hour, 99.99, 100.01), (hour + MINUTE_US // 2, 99.96, 100.04), (hour + 3 * MINUTE_US // 2, 99.98, 100.02)]
    with_quotes(tmp_path, lake, PAIR[0], [(DAY + at, bid, ask) for at, bid, ask in perp])
    study = of_minutes(lake)
    with pytest.raises(NoDataError, match="no quotes of binance-spot:BTCUSDT"):
        study.costs(slippage="quotes")
    with_quotes(tmp_path, lake, PAIR[1], [(DAY + hour, 59_999.99, 60_000.0)])
    found = of_minutes(lake).costs("venue", slippage="quotes")
    assert found.costs.perp_slippage_bps == pytest.approx(2.6)
    assert found.costs.spot_slippage_bps == pytest.approx(0.01 / 119_999.99 * 10_000)  # 0.0008 bps
    assert found.costs.slippage_source.startswith("half the quoted spread, weighted by time, 2024-05-01 00:00:00")
    assert found.verdict.startswith("A round trip of both legs costs 35.2 bps (venue:non-VIP, figures of 2026-02-09, slippage measured)")
    assert "2.6 bps from 3 quotes, which hold for 0.2% of the window" in found.notes[0]
    assert not [note for note in found.notes if "is read as basis points" in note]


def test_slippage_from_bars(lake: Path) -> None:
    found = of_minutes(lake).costs(slippage="bars")
    assert "pairs of bars); depth is not in it" in found.notes[0]
    assert found.costs.preset == "own figures"
    assert found.costs.slippage_source.startswith("half the effective spread of bars")
    with pytest.raises(ConfigError, match="too few bars tell a spread"):
        of_minutes(lake, end="2024-05-01T01:40").costs(slippage="bars")


@pytest.fixture(scope="module")
def month(shared_data: Path) -> pl.DataFrame:
    path = shared_data / "minutes_btc_2025" / "BTC_1m_perp_spot.parquet"
    return pl.read_parquet(path).head(35 * 24 * 60).with_columns(opens=pl.col("date").dt.epoch("us"))


@pytest.fixture(scope="module")
def real(month: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pointline.Study:
    folder = tmp_path_factory.mktemp("minutes")
    for letter, name in zip("ps", PAIR, strict=True):
        own = {part: f"{part}_{letter}" for part in ("open", "high", "low", "close", "volume")}
        month.select("opens", *(pl.col(column).alias(part) for part, column in own.items())).write_csv(folder / f"{letter}.csv")
        (folder / f"{letter}.toml").write_text(MAPPING.format(exchange=name.partition(":")[0]), encoding="utf-8")
        pointline.ingest(folder / f"{letter}.csv", mapping=folder / f"{letter}.toml", lake=folder / "lake")
    window = {"start": "2025-05-20", "end": "2025-06-24", "lake": folder / "lake"}
    return pointline.compare(*PAIR, bars=TimeBarConfig("1m"), events="candles_1m", **window)  # type: ignore[arg-type]


def test_the_month_of_real_minutes(month: pl.DataFrame, real: pointline.Study) -> None:
    found = real.costs(CHEAP)
    assert (month["opens"].diff().drop_nulls() == MINUTE_US).all()  # the loop below needs no gaps
    runs, before, above, remain = 0, 0, {1: 0, -1: 0}, 0
    lengths: list[int] = []
    for perp, spot in month.select("close_p", "close_s").iter_rows():
        basis = (perp / spot - 1) * 10_000
        side = 0 if abs(basis) <= 6.0 else 1 if basis > 0 else -1
        if side:
            above[side] += 1
            remain += side == before
            if side != before:
                runs += 1
                lengths.append(0)
            lengths[-1] += 1
        before = side
    positive, negative, either = found.opportunities.filter(name="own figures").iter_rows(named=True)
    assert (positive["bars"], negative["bars"], either["bars"]) == (above[1], above[-1], above[1] + above[-1])
    assert (either["spells"], either["longest_spell_us"]) == (runs, max(lengths) * MINUTE_US)
    assert either["remain_next_bar"] == remain
    assert either["share_of_time"] == (above[1] + above[-1]) / month.height
    assert (negative["bars"] > 500, found.notional_quote) == (True, 60_000)
    assert found.by_condition.filter(condition="all bars")["bars"].to_list() == [35 * 24 * 60]


def test_no_real_minute_pays_the_guides_costs(month: pl.DataFrame, real: pointline.Study) -> None:
    found = real.costs()
    largest = ((month["close_p"] / month["close_s"] - 1) * 10_000).abs().max()
    assert found.sensitivity["bars"].to_list() == [0] * found.sensitivity.height
    assert f"the largest was -{largest:.2f} bps" in found.verdict
    measured = real.costs(slippage="bars")
    assert 0 < measured.costs.perp_slippage_bps < 1.0  # a tick is 0.01 bps: the bars say no more than that it is small
    assert "drowns in their ranges" in " ".join(measured.notes)
    assert real.end_us - real.start_us == DAY_US * 35


HOURS = {
    "binance-futures": "binance_BTC_USDT_USDT-1h-futures_202301-202411.feather",
    "binance-spot": "binance_BTC_USDT-1h_202301-202411.feather",
}


def test_two_years_of_real_hours(shared_data: Path, tmp_path: Path) -> None:
    """The guide says that the basis exceeds its costs in 0.5 to 2 % of the time; of these hours it does in one."""
    frames = {}
    for exchange, name in HOURS.items():
        frames[exchange] = pl.read_ipc(shared_data / "klines" / name).with_columns(opens=pl.col("date").dt.epoch("us"))
        frames[exchange].select("opens", "open", "high", "low", "close", "volume").write_csv(tmp_path / f"{exchange}.csv")
        mapping = tmp_path / f"{exchange}.toml"
        mapping.write_text(MAPPING.format(exchange=exchange).replace("candles_1m", "candles_1h"), encoding="utf-8")
        pointline.ingest(tmp_path / f"{exchange}.csv", mapping=mapping, lake=tmp_path / "lake")
    window = {"start": "2023-01-01", "end": "2024-11-30", "events": "candles_1h", "lake": tmp_path / "lake"}
    found = pointline.compare(*PAIR, bars=TimeBarConfig("1h"), **window).costs(ladder=(0.25, 0.5, 1.0))  # type: ignore[arg-type]

    both = frames["binance-futures"].join(frames["binance-spot"], on="opens", suffix="_s").filter(pl.col("opens") < to_us("2024-11-30"))
    traded = both.filter((pl.col("volume") > 0) & (pl.col("volume_s") > 0))
    basis = ((traded["close"] / traded["close_s"] - 1) * 10_000).abs()
    ladder = found.sensitivity.filter(pl.col("name").str.ends_with("guide"))
    assert ladder.filter(pl.col("cost_bps") < 40)["bars"].to_list() == [(basis > 12.0).sum(), (basis > 24.0).sum()]
    either = found.opportunities.row(2, named=True)
    assert (either["bars"], (basis > 48.0).sum(), traded.height) == (1, 1, 16_774)
    assert either["share_remaining"] == 0.0
    assert abs(either["largest_basis_bps"]) == pytest.approx(basis.max())


def test_the_quoted_spread_of_real_minutes(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ticks_btc_20230405"
    pointline.ingest(folder, lake=tmp_path / "lake")
    window = {"start": "2023-04-05T00:00", "end": "2023-04-05T00:06", "lake": tmp_path / "lake"}
    costs = pointline.compare(*PAIR, bars=TimeBarConfig("1s"), **window).costs("venue", slippage="quotes").costs  # type: ignore[arg-type]
    end = to_us(window["end"])
    for name, found in (("usdm", costs.perp_slippage_bps), ("spot", costs.spot_slippage_bps)):
        held: list[tuple[int, float]] = []
        with gzip.open(folder / f"binance_{name}_btcusdt_20230405.dat.gz", "rt", encoding="utf-8") as lines:
            for line in lines:
                local, _, message = line.partition(" ")
                if "@bookTicker" in message and to_us(window["start"]) <= int(local) < end:
                    quote = json.loads(message)["data"]
                    bid, ask = float(quote["b"]), float(quote["a"])
                    held.append((int(local), (ask - bid) / (ask + bid) * 10_000))
        weights = [min(after - at, MINUTE_US) for (at, _), (after, _) in pairwise([*held, (end, 0.0)])]
        expected = sum(half * weight for (_, half), weight in zip(held, weights, strict=True)) / sum(weights)
        assert found == pytest.approx(expected, rel=1e-4)
    assert costs.perp_slippage_bps == pytest.approx(0.018, abs=5e-4)


def test_the_chart_shows_the_share_of_time_by_sign(of_demo: pointline.Study) -> None:
    found = of_demo.costs()
    drawn = {trace.name: list(trace.x) for trace in found.chart().data}
    told = found.opportunities.filter(side="positive")["share_of_time"] * 100
    assert drawn["perp above spot"] == pytest.approx(told.to_list())
