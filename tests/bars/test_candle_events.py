"""Bars of candles: against bars of the same trades, against a plain loop, cut off, with holes, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.archives import MARKETS, lake_from, trades_archive
from tests.sql.markets import zipped

import pointline
from pointline.bars.rules import BarRule, DollarBarConfig, ImbalanceBarConfig, TimeBarConfig, TradeBarConfig, VolumeBarConfig
from pointline.clock import DAY_US, MINUTE_US, date_text, to_us
from pointline.errors import ConfigError, NoDataError
from pointline.features import FeatureParams

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tests.archives import Print

    from pointline.lake.store import Lake
    from pointline.studies.study import Study

START = to_us("2024-05-01")
PERP, SPOT = ("binance-futures", "BTCUSDT"), ("binance-spot", "BTCUSDT")
VENUE = ("open", "high", "low", "close", "vwap", "volume", "quote_volume", "trade_count", "buy_volume", "sell_volume")


class Minute(NamedTuple):
    """A candle of one minute, numbers as an archive prints them."""

    start_us: int
    open: str
    high: str
    low: str
    close: str
    volume: str = "1"
    quote: str = "0"
    count: int = 1
    bought: str = "0"


def minutes_of(prints: Sequence[Print], first_us: int, count: int) -> list[Minute]:
    """The candles of trades by a plain loop; one without a trade repeats the last close, as archives do."""
    found: list[Minute] = []
    last = prints[0][1]
    for start in range(first_us, first_us + count * MINUTE_US, MINUTE_US):
        own = [(Decimal(price), Decimal(qty), sold) for us, price, qty, sold in prints if start <= us < start + MINUTE_US]
        if not own:
            found.append(Minute(start, last, last, last, last, "0", "0", 0, "0"))
            continue
        prices = [price for price, _, _ in own]
        volume = sum((qty for _, qty, _ in own), Decimal(0))
        quote = sum((price * qty for price, qty, _ in own), Decimal(0))
        bought = sum((qty for _, qty, sold in own if not sold), Decimal(0))
        last = str(prices[-1])
        edges = (prices[0], max(prices), min(prices), prices[-1])
        found.append(Minute(start, *map(str, edges), str(volume), str(quote), len(own), str(bought)))
    return found


def minutes_archives(folder: Path, market: tuple[str, str], minutes: Iterable[Minute]) -> list[Path]:
    """One archive per month of starts."""
    exchange, symbol = market
    months: dict[str, list[str]] = {}
    for m in minutes:
        line = ",".join((str(m.start_us), *m[1:6], str(m.start_us + MINUTE_US - 1), m.quote, str(m.count), m.bought, "0,0\n"))
        months.setdefault(date_text(m.start_us)[:7], []).append(line)
    where = folder / "data" / MARKETS[exchange] / "monthly" / "klines" / symbol / "1m"
    return [zipped(where / f"{symbol}-1m-{month}.zip", lines) for month, lines in months.items()]


def lake_of_minutes(folder: Path, perp: Iterable[Minute], spot: Iterable[Minute], perp_market: tuple[str, str] = PERP) -> Lake:
    return lake_from(folder, [*minutes_archives(folder / "a", perp_market, perp), *minutes_archives(folder / "a", SPOT, spot)])


def compared(lake: Lake, rule: BarRule | str, start_us: int = START, end_us: int = START + DAY_US, **options: Any) -> Study:  # noqa: ANN401 - of compare
    options = {"events": "candles_1m", "lake": lake, **options}
    return pointline.compare(":".join(PERP), ":".join(SPOT), start=start_us, end=end_us, bars=rule, **options)


def walk(count: int, *, seed: int, first_us: int = START) -> list[Minute]:
    """Candles whose price and volume move by a fixed rule."""
    found = []
    for place in range(count):
        price = 60_000 + (place * (37 + seed)) % 211
        low, high = price - place % 5, price + 1 + place % 7
        volume = f"{1 + (place * (13 + seed)) % 29}.{place % 10}"
        found.append(Minute(first_us + place * MINUTE_US, str(price), str(high), str(low), str(price + 1), volume, "0", 3, "0.5"))
    return found


# --- against bars of the same trades ----------------------------------------------------------------------------------------------

PRINTS = st.lists(
    st.tuples(
        st.integers(0, 20 * MINUTE_US - 1),
        st.integers(5_990_000, 6_010_000).map(lambda cents: f"{cents / 100:.2f}"),
        st.integers(1, 90_000).map(lambda lots: f"{lots / 1000:.3f}"),
        st.booleans(),
    ),
    min_size=1,
    max_size=40,
).map(lambda rows: [(START + us, *rest) for us, *rest in sorted(rows)])


@settings(max_examples=12)
@given(perp=PRINTS, spot=PRINTS)
def test_equal_bars_of_the_trades_that_the_candles_hold(tmp_path_factory: pytest.TempPathFactory, perp: list[Any], spot: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("both")
    paths = []
    for (exchange, symbol), prints in ((PERP, perp), (SPOT, spot)):
        paths += [trades_archive(folder / "a", exchange, symbol, START, prints)]
        paths += minutes_archives(folder / "a", (exchange, symbol), minutes_of(prints, START, 1440))
    lake = lake_from(folder, paths)
    wanted = ["bar_id", "bucket_start", "bucket_end", "complete", *(f"{side}_{name}" for side in ("perp", "spot") for name in VENUE)]
    of_trades, of_candles = (compared(lake, TimeBarConfig("5m"), events=events).bars for events in ("trades", "candles_1m"))
    assert of_candles.select(wanted).equals(of_trades.select(wanted))
    for side in ("perp", "spot"):
        age = f"{side}_age_us"
        shorter = of_trades[age] - of_candles[age]
        assert shorter.drop_nulls().is_between(1, MINUTE_US).all()
        assert of_candles[age].null_count() == of_trades[age].null_count()
    assert of_candles["perp_realized_vol"].null_count() == of_candles.height


# --- against a plain loop -----------------------------------------------------------------------------------------------------------


def plain_bars(perp: Sequence[Minute], threshold: Decimal, *, quote: bool, carry: bool) -> list[tuple[int, int, int]]:
    """Bar id, start and end of one day's bars."""
    bars, total, start, number = [], Decimal(0), START, 0
    for m in perp:
        total += Decimal(m.quote if quote else m.volume)
        if total >= threshold:
            bars.append((number, start, m.start_us + MINUTE_US))
            start = m.start_us + MINUTE_US
            number += int(total // threshold) if carry else 1
            total = total % threshold if carry else Decimal(0)
    if start < START + DAY_US:
        bars.append((number, start, START + DAY_US))
    return bars


@settings(max_examples=12)
@given(
    volumes=st.lists(st.integers(0, 400), min_size=30, max_size=30),
    threshold=st.integers(50, 900),
    quote=st.booleans(),
    boundary=st.sampled_from(["carry", "reset"]),
)
def test_equal_a_plain_loop(
    tmp_path_factory: pytest.TempPathFactory, volumes: list[int], threshold: int, quote: bool, boundary: str
) -> None:
    perp = [
        Minute(START + place * MINUTE_US, "100", "103", "99", "101", f"{volume / 10:g}", f"{volume * 7 / 10:g}", 1 if volume else 0)
        for place, volume in enumerate([*volumes, 10_000])
    ]
    lake = lake_of_minutes(tmp_path_factory.mktemp("loop"), perp, perp)
    amount = Decimal(threshold) / 10
    rule = (DollarBarConfig if quote else VolumeBarConfig)(str(amount), boundary=boundary)  # type: ignore[arg-type]
    bars = compared(lake, rule).bars
    assert bars.select("bar_id", "bucket_start", "bucket_end").rows() == plain_bars(perp, amount, quote=quote, carry=boundary == "carry")
    for row in bars.iter_rows(named=True):
        own = [m for m in perp if row["bucket_start"] <= m.start_us < row["bucket_end"]]
        assert row["spot_volume"] == float(sum((Decimal(m.volume) for m in own), Decimal(0)))


# --- time -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return lake_of_minutes(tmp_path_factory.mktemp("two"), walk(2 * 1440, seed=1), walk(2 * 1440, seed=5))


RULES = [TimeBarConfig("15m"), VolumeBarConfig("220"), VolumeBarConfig("220", boundary="reset")]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("cut", [17, 40, 1440, 2000])
def test_candles_after_an_instant_change_nothing_known_at_it(tmp_path: Path, two_days: Lake, rule: BarRule, cut: int) -> None:
    until = START + cut * MINUTE_US
    short = lake_of_minutes(tmp_path, walk(cut, seed=1), walk(cut, seed=5))
    end_us = START + -(-cut // 1440) * DAY_US
    whole, known = (
        compared(lake, rule, START, end_us).features.filter(pl.col("complete") & (pl.col("bucket_end") <= until))
        for lake in (two_days, short)
    )
    assert known.equals(whole)
    assert known.height > 0


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_wider_window_has_the_same_bars(two_days: Lake, rule: BarRule) -> None:
    narrow = compared(two_days, rule, START + DAY_US + 5 * 3_600_000_000, START + 2 * DAY_US).features
    wide = compared(two_days, rule, START, START + 2 * DAY_US).features
    assert narrow.height > 10
    assert wide.tail(narrow.height).equals(narrow)


def test_a_missing_candle_is_a_hole_and_a_quiet_one_is_not(tmp_path: Path) -> None:
    perp = [m for m in walk(60, seed=1) if m.start_us != START + 20 * MINUTE_US]
    spot = [m._replace(volume="0", count=0, bought="0") if m.start_us == START + 40 * MINUTE_US else m for m in walk(60, seed=5)]
    bars = compared(lake_of_minutes(tmp_path, perp, spot), TimeBarConfig("1m")).bars.head(60)
    assert [place for place, hole in enumerate(bars["perp_hole"]) if hole] == [20, 21]  # of the minute, and of the return over it
    assert not bars["spot_hole"].any()
    quiet, before = bars.row(40, named=True), bars.row(39, named=True)
    assert (quiet["spot_close"], quiet["spot_open"], quiet["spot_volume"], quiet["spot_age_us"]) == (
        before["spot_close"],
        None,
        0.0,
        MINUTE_US,
    )


def test_a_longer_limit_lets_a_missing_minute_pass(tmp_path: Path) -> None:
    perp = [m for m in walk(60, seed=1) if m.start_us != START + 20 * MINUTE_US]
    lake = lake_of_minutes(tmp_path, perp, walk(60, seed=5))
    bars = compared(lake, TimeBarConfig("1m"), params=FeatureParams(max_hole_us="2m")).bars.head(60)
    assert not bars["perp_hole"].any()


def test_a_quote_volume_that_contradicts_the_prices_gives_no_vwap(tmp_path: Path) -> None:
    """1 BTC for 100 to 103: 101.5 is its mean price, 1,015 is not."""
    perp = [Minute(START + n * MINUTE_US, "100", "103", "100", "101", "1", "101.5" if n else "1015", 3) for n in range(3)]
    lake = lake_of_minutes(tmp_path, perp, walk(3, seed=5))
    bars = compared(lake, TimeBarConfig("1m", anchor="start"), START, START + 3 * MINUTE_US).bars
    assert bars["perp_vwap"].to_list() == [None, 101.5, 101.5]


def test_the_last_price_before_the_window_is_carried_into_it(tmp_path: Path) -> None:
    spot = [m._replace(volume="0", count=0, bought="0") if m.start_us >= START + DAY_US else m for m in walk(1500, seed=5)]
    lake = lake_of_minutes(tmp_path, walk(1500, seed=1), spot)
    first = compared(lake, TimeBarConfig("1m", anchor="start"), START + DAY_US, START + DAY_US + 3 * MINUTE_US).bars.row(0, named=True)
    assert first["spot_close"] == float(spot[1439].close)
    assert first["spot_age_us"] == MINUTE_US


# --- amounts ----------------------------------------------------------------------------------------------------------------------


def test_inverse_contracts_are_counted_in_the_coin(tmp_path: Path) -> None:
    """100 contracts of 100 USD at 50,000: 0.2 BTC, as the archive's base volume says; quote volume is contracts x size."""
    rows = [Minute(START + n * MINUTE_US, "50000", "50000", "50000", "50000", "100", "0.2", 1) for n in range(10)]
    lake = lake_of_minutes(tmp_path, rows, walk(10, seed=5), ("binance-delivery", "BTCUSD_PERP"))
    study = pointline.compare(
        "binance-delivery:BTCUSD_PERP",
        "binance-spot:BTCUSDT",
        start=START,
        end=START + DAY_US,
        bars=VolumeBarConfig("0.4"),
        events="candles_1m",
        lake=lake,
    )
    first = study.bars.row(0, named=True)
    assert (first["bucket_end"] - first["bucket_start"], first["perp_volume"], first["perp_quote_volume"]) == (2 * MINUTE_US, 0.4, 20_000.0)
    assert (first["perp_vwap"], first["perp_buy_volume"]) == (50_000.0, None)


def test_what_candles_do_not_tell_is_null_and_named(two_days: Lake) -> None:
    study = compared(two_days, TimeBarConfig("1h"))
    (note,) = [note for note in study.notes if "candles_1m" in note]
    assert "perp_realized_vol" in note
    assert "perp_volume" not in note.split(": ")[1].split(", ")
    assert study.features["volatility_ratio"].null_count() == study.features.height


def test_an_inner_join_keeps_bars_with_spot_volume_where_nothing_counts_trades(tmp_path: Path) -> None:
    table = pl.DataFrame(
        {
            "at": [START + n * MINUTE_US for n in range(4)],
            "price": [100.0, 101.0, 102.0, 103.0],
            "perp": [1.0, 1.0, 1.0, 1.0],
            "spot": [1.0, 0.0, 2.0, 0.0],
        }
    )
    table.write_csv(tmp_path / "candles.csv")
    lake = tmp_path / "lake"
    for side, (exchange, symbol) in (("perp", PERP), ("spot", SPOT)):
        columns = {
            "start_us": '{ column = "at", unit = "us" }',
            **dict.fromkeys(("open", "high", "low", "close"), '"price"'),
            "volume": f'"{side}"',
        }
        body = "\n".join(f"{name} = {value}" for name, value in columns.items())
        (tmp_path / "m.toml").write_text(f'kind = "candles_1m"\nexchange = "{exchange}"\nsymbol = "{symbol}"\n\n[columns]\n{body}\n')
        pointline.ingest(tmp_path / "candles.csv", mapping=tmp_path / "m.toml", lake=lake)
    opened = pointline.open_lake(lake)
    every, inner = (
        compared(opened, TimeBarConfig("1m", anchor="start"), START, START + 4 * MINUTE_US, join=join) for join in ("asof", "inner")
    )
    assert every.bars["spot_trade_count"].to_list() == [None] * 4
    assert inner.features["bucket_start"].to_list() == [START, START + 2 * MINUTE_US]
    assert every.summary["share_bars_without_spot"] == 0.5
    assert (every.summary["perp_trades"], every.summary["perp_volume_base"]) == (None, 4.0)


def test_the_automatic_threshold_comes_from_the_day_before(two_days: Lake) -> None:
    study = compared(two_days, "auto", START + DAY_US, START + 2 * DAY_US)
    daily = sum(Decimal(m.volume) for m in walk(1440, seed=1))
    assert study.rule == VolumeBarConfig(Decimal(50))
    assert f"{daily:,.0f} BTC on 2024-05-01, the day before the window" in study.rule_note


# --- what is refused --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "options", "what"),
    [
        (TradeBarConfig(5), {}, "these bars count single trades"),
        (ImbalanceBarConfig("5"), {}, "these bars count single trades"),
        (TimeBarConfig("90s"), {}, "bars cannot end inside a candle"),
        (VolumeBarConfig("5", anchor="start"), {"start_us": START + 30_000_000}, "bars cannot end inside a candle"),
        (VolumeBarConfig("100"), {"spot_bars": VolumeBarConfig("10")}, "spot_bars needs trades"),
        (VolumeBarConfig("100"), {"base_bars": VolumeBarConfig("10")}, "base_bars needs trades"),
        (VolumeBarConfig("100"), {"include_off_book": True}, "include_off_book needs trades"),
        (VolumeBarConfig("100"), {"events": "mark_candles_1m"}, "bars cannot be made of these events"),
        (VolumeBarConfig("100"), {"events": "candles_1mo"}, "bars cannot be made of these events"),
        (VolumeBarConfig("100"), {"events": "quotes"}, "bars cannot be made of these events"),
        ("auto:trades", {}, "these bars count single trades"),
        ("auto", {"events": "candle_1m"}, "bars cannot be made of these events"),
        ("auto", {"events": None}, "bars cannot be made of these events"),
    ],
)
def test_refused(two_days: Lake, rule: BarRule | str, options: dict[str, Any], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        compared(two_days, rule, **options)


def test_a_lake_without_such_candles_says_what_it_has(two_days: Lake) -> None:
    with pytest.raises(NoDataError, match="candles_5m"):
        compared(two_days, TimeBarConfig("1h"), events="candles_5m")
    with pytest.raises(NoDataError, match="candles_1m 2024-05-01 to 2024-05-0"):
        compared(two_days, TimeBarConfig("1h"), START + 9 * DAY_US, START + 10 * DAY_US)
