"""Thresholds from the days before: what decides them, that nothing later does, and what is refused."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from tests.archives import lake_of
from tests.bars.test_candle_events import lake_of_minutes, walk
from tests.cli.running import run

import pointline
from pointline.bars.adaptive import rounded_down
from pointline.bars.cache import cache_of
from pointline.bars.trailing import decided, threshold_table
from pointline.clock import DAY_US, MINUTE_US, to_us
from pointline.errors import ConfigError
from pointline.research import query
from pointline.research.spines import (
    AdaptiveDollarConfig,
    AdaptiveTradeConfig,
    AdaptiveVolumeConfig,
    DollarBarConfig,
    ImbalanceBarConfig,
    VolumeBarConfig,
    get_builder,
)
from pointline.studies.provenance import call_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from tests.archives import Print

    from pointline.bars.adaptive import AdaptiveBars
    from pointline.bars.rules import BarRule
    from pointline.lake.store import Lake
    from pointline.studies.study import Study

FIRST, DAYS = to_us("2024-05-01"), 8
PERP, SPOT, INVERSE = ("binance-futures", "BTCUSDT"), ("binance-spot", "BTCUSDT"), ("binance-delivery", "BTCUSD_PERP")
HOLED, HOLED_SPOT = ("binance-futures", "ETHUSDT"), ("binance-spot", "ETHUSDT")
RULES: dict[str, AdaptiveBars] = {
    "volume": AdaptiveVolumeConfig(20, trailing_days=3),
    "volume by segments": AdaptiveVolumeConfig(24, trailing_days=3, segments=6),
    "dollar by segments": AdaptiveDollarConfig(24, trailing_days=3, segments=6, average="median"),
    "trades": AdaptiveTradeConfig(20, trailing_days=3, boundary="reset"),
}


def prints_of(seed: int, days: Iterable[int] = range(DAYS), per_day: int = 300, scale: int = 1_000) -> list[Print]:
    """Trades whose volume grows by the day and is largest in the afternoon; the first at the start of each day, the last near its end."""
    random_numbers = random.Random(seed)  # noqa: S311 - no secrets
    found: list[Print] = []
    for day in days:
        times = sorted({0, DAY_US - 1_000_000, *(random_numbers.randrange(DAY_US) for _ in range(per_day))})
        for us in times:
            size = random_numbers.randrange(1, 400) * (day + 2) * (3 if us > DAY_US // 2 else 1)
            price = f"{6_000_000 + random_numbers.randrange(-9_000, 9_000):d}"
            qty = f"{size}" if scale == 1 else f"{Decimal(size) / scale}"
            found.append((FIRST + day * DAY_US + us, f"{price[:-2]}.{price[-2:]}", qty, random_numbers.random() < 0.5))
    return found


def holed() -> list[Print]:
    """No trades on the third day, and on the fifth none after noon."""
    prints = prints_of(4, days=[day for day in range(DAYS) if day != 2])
    return [one for one in prints if not FIRST + 4 * DAY_US + DAY_US // 2 < one[0] < FIRST + 5 * DAY_US]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    markets = {
        PERP: prints_of(1),
        SPOT: prints_of(2, per_day=100),
        INVERSE: prints_of(3, scale=1),
        HOLED: holed(),
        HOLED_SPOT: prints_of(5, per_day=50),
    }
    return lake_of(tmp_path_factory.mktemp("adaptive"), markets)


def date(day: int) -> str:
    return f"2024-05-{day + 1:02d}"


def compared(
    lake: Lake, rule: BarRule, first: int = 3, last: int = DAYS, pair: Sequence[tuple[str, str]] = (PERP, SPOT), **options: object
) -> Study:
    perp, spot = (":".join(market) for market in pair or (PERP, SPOT))
    return pointline.compare(perp, spot, start=date(first), end=date(last), bars=rule, lake=lake, **options)  # type: ignore[arg-type]


def table_of(lake: Lake, rule: AdaptiveBars, days: Iterable[int], market: tuple[str, str] = PERP) -> pl.DataFrame:
    instrument = lake.registry().find(*market, FIRST)
    return threshold_table(decided(rule, lake, instrument), [FIRST + day * DAY_US for day in days])


# --- what decides -----------------------------------------------------------------------------------------------------------------


def plain_threshold(prints: list[Print], rule: AdaptiveBars, day: int, segment: int, amount: Callable[[Print], Fraction]) -> Decimal:
    """By its definition, from the trades as they were written."""
    sums = []
    for back in range(1, rule.trailing_days + 1):
        start = FIRST + (day - back) * DAY_US + segment * rule.segment_us
        sums.append(sum((amount(one) for one in prints if start <= one[0] < start + rule.segment_us), Fraction(0)))
    ordered = sorted(sums)
    middle = len(sums) // 2
    average = sum(sums, Fraction(0)) / len(sums)
    if rule.average == "median":
        average = ordered[middle] if len(sums) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return rounded_down(average * rule.segments / rule.target_bars_per_day, whole=rule.unit == "trades")


def coins(one: Print) -> Fraction:
    return Fraction(one[2]) * 100 / Fraction(one[1])


@pytest.mark.parametrize(
    ("market", "rule", "amount"),
    [
        (PERP, RULES["volume"], lambda one: Fraction(one[2])),
        (PERP, RULES["volume by segments"], lambda one: Fraction(one[2])),
        (PERP, RULES["dollar by segments"], lambda one: Fraction(one[1]) * Fraction(one[2])),
        (PERP, RULES["trades"], lambda _: Fraction(1)),
        (PERP, AdaptiveTradeConfig(24, trailing_days=2, segments=4, average="median"), lambda _: Fraction(1)),
        (INVERSE, AdaptiveVolumeConfig(24, trailing_days=2, segments=4), coins),
        (INVERSE, AdaptiveVolumeConfig(24, trailing_days=2), coins),
        (INVERSE, AdaptiveDollarConfig(24, trailing_days=3), lambda one: Fraction(one[2]) * 100),
    ],
)
def test_thresholds_equal_a_plain_loop(
    lake: Lake, market: tuple[str, str], rule: AdaptiveBars, amount: Callable[[Print], Fraction]
) -> None:
    prints = prints_of(3, scale=1) if market == INVERSE else prints_of(1)
    found = table_of(lake, rule, [3, 7], market)
    expected = [f"{plain_threshold(prints, rule, day, segment, amount):f}" for day in (3, 7) for segment in range(rule.segments)]
    assert found["threshold_text"].to_list() == [text.rstrip("0").rstrip(".") if "." in text else text for text in expected]
    assert found["days_used"].unique().to_list() == [rule.trailing_days]


def test_a_day_of_one_threshold_equals_the_fixed_threshold_bit_for_bit(lake: Lake) -> None:
    study = compared(lake, RULES["volume"], cache=False)
    for day, threshold in study.thresholds.select("day", "threshold_text").iter_rows():
        fixed = pointline.compare(
            *(":".join(PERP), ":".join(SPOT)), start=day, end=to_us(day) + DAY_US, bars=VolumeBarConfig(threshold), lake=lake, cache=False
        )
        assert study.bars.filter(pl.col("bucket_start") // DAY_US == to_us(day) // DAY_US).equals(fixed.bars)


def test_the_number_of_bars_a_day_stays_while_the_volume_grows(lake: Lake) -> None:
    def per_day(rule: AdaptiveBars | VolumeBarConfig) -> list[int]:
        bars = compared(lake, rule).bars
        return bars.group_by(pl.col("bucket_start") // DAY_US, maintain_order=True).len()["len"].to_list()

    growing = per_day(VolumeBarConfig("12"))
    steady = per_day(AdaptiveVolumeConfig(20, trailing_days=1))
    assert growing[-1] > 1.6 * growing[0]
    assert max(steady) < 1.4 * min(steady)


def test_segments_spread_the_bars_over_the_day(lake: Lake) -> None:
    def in_the_morning(rule: AdaptiveBars) -> float:
        starts = compared(lake, rule).bars["bucket_start"]
        return float((starts % DAY_US < DAY_US // 2).mean())  # type: ignore[arg-type]

    assert in_the_morning(AdaptiveVolumeConfig(24, trailing_days=3)) < 0.3
    assert 0.42 < in_the_morning(AdaptiveVolumeConfig(24, trailing_days=3, segments=6)) < 0.58


# --- nothing later decides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
def test_day_by_day_equals_the_whole_window_and_a_later_start_changes_nothing(lake: Lake, name: str) -> None:
    rule = RULES[name]
    whole = compared(lake, rule)
    days = [compared(lake, rule, day, day + 1, cache=False) for day in range(3, DAYS)]
    assert pl.concat([one.bars for one in days]).equals(whole.bars)
    assert pl.concat([one.thresholds for one in days]).equals(whole.thresholds)
    later = compared(lake, rule, 5, threads=1, cache=False)
    assert later.features.equals(compared(lake, rule, 5, threads=4).features)
    assert later.bars.equals(whole.bars.filter(pl.col("bucket_start") >= FIRST + 5 * DAY_US))


def test_trades_after_an_instant_change_nothing_known_at_it(tmp_path: Path, lake: Lake) -> None:
    cut = FIRST + 6 * DAY_US + 31_234_567_890

    def before(prints: list[Print]) -> list[Print]:
        return [one for one in prints if FIRST + 2 * DAY_US <= one[0] < cut]

    short = lake_of(tmp_path, {PERP: before(prints_of(1)), SPOT: before(prints_of(2, per_day=100))})
    for rule in RULES.values():
        known, found = (compared(one, rule, 6, 7).features.filter(pl.col("bucket_end") <= cut) for one in (lake, short))
        assert known.height > 3
        assert found.equals(known)
        assert table_of(short, rule, [6]).equals(table_of(lake, rule, [6]))


# --- holes ------------------------------------------------------------------------------------------------------------------------


def test_a_day_that_is_missing_or_covered_in_part_is_refused_by_name(lake: Lake) -> None:
    rule = AdaptiveVolumeConfig(20, trailing_days=3)
    with pytest.raises(ConfigError, match="2024-05-04 needs 3 whole days among the 3 before it, and 2 are whole") as refused:
        compared(lake, rule, 3, 6, (HOLED, HOLED_SPOT))
    assert "2024-05-03: no trades" in str(refused.value)
    assert "from 2024-05-09 on it works" in str(refused.value)
    assert "least_days=2" in str(refused.value)
    with pytest.raises(ConfigError, match="2024-05-08") as refused:
        table_of(lake, rule, [7], HOLED)
    assert "2024-05-05: covered to 5" in str(refused.value)


def test_fewer_days_decide_where_that_is_allowed_and_it_is_said(lake: Lake) -> None:
    study = compared(lake, AdaptiveVolumeConfig(20, trailing_days=3, least_days=1), 3, DAYS, (HOLED, HOLED_SPOT))
    days = study.thresholds.select("day", "days_used", "days_missing").rows()
    assert days[0] == ("2024-05-04", 2, "2024-05-03")
    assert days[2] == ("2024-05-06", 1, "2024-05-03, 2024-05-05")
    assert "of 5 days; 5 of them by fewer than all trailing days (2024-05-04 by 2, " in study.rule_text
    volume = sum(Fraction(one[2]) for one in holed() if FIRST + 3 * DAY_US <= one[0] < FIRST + 4 * DAY_US)
    assert study.thresholds["threshold_text"][2] == f"{rounded_down(Fraction(volume) / 20):f}"


def test_the_first_days_of_a_lake_are_refused_and_the_error_says_from_when_it_works(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="2024-05-02 needs 3 whole days") as refused:
        compared(lake, RULES["volume"], 1)
    assert "2024-04-29: no trades; 2024-04-30: no trades" in str(refused.value)
    assert "from 2024-05-04 on it works" in str(refused.value)
    with pytest.raises(ConfigError, match="no later day of the lake has enough of them"):
        compared(lake, AdaptiveVolumeConfig(20, trailing_days=30), 7)


def test_a_segment_without_trades_is_refused(tmp_path: Path) -> None:
    quiet = [one for one in prints_of(1, days=range(3), per_day=60) if not 2 <= one[0] % DAY_US // (DAY_US // 24) < 3]
    sparse = lake_of(tmp_path, {PERP: quiet})
    with pytest.raises(ConfigError, match="too little was traded") as refused:
        table_of(sparse, AdaptiveVolumeConfig(24, trailing_days=2, segments=24), [2])
    assert "segment from 02:00 of 2024-05-03" in str(refused.value)


# --- the other doors --------------------------------------------------------------------------------------------------------------


def test_kept_sums_give_the_same_bytes_and_rules_do_not_meet_in_the_cache(lake: Lake) -> None:
    rules = [RULES["volume by segments"], AdaptiveVolumeConfig(24, trailing_days=2, segments=6), AdaptiveVolumeConfig(24, trailing_days=3)]
    fresh = [compared(lake, rule, cache=False).features for rule in rules]
    assert not fresh[0].equals(fresh[1])
    for _ in range(2):
        assert all(compared(lake, rule).features.equals(one) for rule, one in zip(rules, fresh, strict=True))
    cache_of(lake).clear()
    swept = pointline.sweep(":".join(PERP), ":".join(SPOT), start=date(3), end=date(DAYS), bars=rules, lake=lake)
    assert all(study.features.equals(one) for study, one in zip(swept, fresh, strict=True))


def test_a_dual_spine_has_thresholds_of_its_own_side(lake: Lake) -> None:
    rule = AdaptiveVolumeConfig(10, trailing_days=3)
    whole = compared(lake, RULES["volume"], spot_bars=rule).bars
    assert whole["spot_bucket_end"].null_count() < 5
    later = compared(lake, RULES["volume"], 5, spot_bars=rule).bars
    assert later.equals(whole.filter(pl.col("bucket_start") >= FIRST + 5 * DAY_US))


def test_provenance_makes_the_study_again(lake: Lake) -> None:
    study = compared(lake, RULES["volume by segments"])
    text = call_text(study)
    assert "from pointline.research.spines import AdaptiveVolumeConfig" in text
    assert "bars=AdaptiveVolumeConfig(target_bars_per_day=24, trailing_days=3, segments=6)" in text
    assert "thresholds " in study.rule_text
    assert " BTC, of 5 days" in study.rule_text


def test_a_fixed_threshold_has_no_table(lake: Lake) -> None:
    assert compared(lake, VolumeBarConfig("20"), 6).thresholds.is_empty()


def test_bars_of_candles(tmp_path: Path) -> None:
    perp = walk(3 * 1440, seed=1)
    lake = lake_of_minutes(tmp_path, [one for one in perp if one.start_us != FIRST + 99 * MINUTE_US], walk(3 * 1440, seed=2))
    rule = AdaptiveVolumeConfig(48, trailing_days=1, segments=24)
    with pytest.raises(ConfigError, match="2024-05-02 needs 1 whole days") as refused:
        compared(lake, rule, 1, 2, events="candles_1m")
    assert "2024-05-01: candles are missing" in str(refused.value)
    assert "from 2024-05-03 on it works" in str(refused.value)
    study = compared(lake, rule, 2, 3, events="candles_1m")
    for segment, text in enumerate(study.thresholds["threshold_text"]):
        first = FIRST + DAY_US + segment * 60 * MINUTE_US
        volume = sum(Fraction(one.volume) for one in perp if first <= one.start_us < first + 60 * MINUTE_US)
        assert text == f"{rounded_down(Fraction(volume) / 2):f}"
    assert 40 < study.bars.height <= 48


def test_a_spine_alone(lake: Lake) -> None:
    symbol_id = lake.registry().find(*PERP, FIRST).symbol_id
    window: dict[str, Any] = {"symbol_id": symbol_id, "start_ts_us": date(4), "end_ts_us": date(6), "lake": lake}
    spine = get_builder("volume").build_spine(config=RULES["volume by segments"], **window)
    assert spine.equals(compared(lake, RULES["volume by segments"], 4, 6).spine)
    with pytest.raises(ConfigError, match="a dollar spine takes another config"):
        get_builder("dollar").build_spine(config=RULES["volume by segments"], **window)
    assert query.trades(*PERP, date(4), date(5), lake=lake).height > 0


# --- wrong arguments --------------------------------------------------------------------------------------------------------------

WRONG: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((0,), {}, "target_bars_per_day must be a whole number"),
    ((-5,), {}, "target_bars_per_day must be a whole number"),
    ((math.nan,), {}, "target_bars_per_day must be a whole number"),
    (("500",), {}, "target_bars_per_day must be a whole number"),
    ((True,), {}, "target_bars_per_day must be a whole number"),
    ((2.5,), {}, "target_bars_per_day must be a whole number"),
    ((500,), {"trailing_days": 0}, "trailing_days must be a whole number"),
    ((500,), {"trailing_days": 400}, "trailing_days must be a whole number"),
    ((500,), {"trailing_days": "7"}, "trailing_days must be a whole number"),
    ((500,), {"segments": 0}, "segments must be a whole number"),
    ((500,), {"segments": 7}, "the segments do not divide 24 hours"),
    ((500,), {"segments": math.nan}, "segments must be a whole number"),
    ((20,), {"segments": 24}, "target_bars_per_day must be a whole number"),
    ((500,), {"least_days": 8}, "least_days must be a whole number"),
    ((500,), {"least_days": 0}, "least_days must be a whole number"),
    ((500,), {"average": "mode"}, "there is no such average"),
    ((500,), {"anchor": "start"}, "counting restarts at 00:00"),
    ((500,), {"boundary": "split"}, "boundary is not a known rule"),
]


@pytest.mark.parametrize(("values", "options", "what"), WRONG, ids=str)
def test_wrong_arguments(values: tuple[Any, ...], options: dict[str, Any], what: str) -> None:
    for kind in (AdaptiveVolumeConfig, AdaptiveDollarConfig, AdaptiveTradeConfig):
        with pytest.raises(ConfigError, match=what):
            kind(*values, **options)


def test_numpy_counts_are_counts() -> None:
    assert AdaptiveVolumeConfig(np.int64(500)) == AdaptiveVolumeConfig(500)  # type: ignore[arg-type]


def test_finer_base_bars_and_unbound_rules_are_refused(lake: Lake) -> None:
    with pytest.raises(ConfigError, match="bars can be derived only from finer"):
        compared(lake, RULES["volume"], base_bars=RULES["volume"])
    with pytest.raises(ConfigError, match="nothing decides these thresholds"):
        RULES["volume"].of_stretch(FIRST)
    with pytest.raises(ConfigError, match="too little was traded"):
        compared(lake, AdaptiveTradeConfig(5_000, trailing_days=3))


COMMAND = ("compare", ":".join(PERP), ":".join(SPOT), "--start", date(3), "--end", date(5))


@pytest.mark.parametrize(
    ("threshold", "bars", "what"),
    [
        ("adaptive", "volume", "target_bars_per_day must be a whole number"),
        ("adaptive:0", "volume", "target_bars_per_day must be a whole number"),
        ("adaptive:-1", "volume", "target_bars_per_day must be a whole number"),
        ("adaptive:nan", "volume", "target_bars_per_day must be a whole number"),
        ("adaptive:many", "volume", "target_bars_per_day must be a whole number"),
        ("adaptive:500,segments=7", "volume", "the segments do not divide 24 hours"),
        ("adaptive:500,segments=x", "dollar", "segments must be a whole number"),
        ("adaptive:500,days=7", "volume", "unknown or given twice"),
        ("adaptive:500,segments=2,segments=3", "volume", "unknown or given twice"),
        ("adaptive:500,average=mode", "volume", "there is no such average"),
        ("adaptive:500", "time", "these bars have no adaptive threshold"),
        ("adaptive:500", "imbalance", "these bars have no adaptive threshold"),
        ("adaptively", "volume", "volume_threshold must be a number"),
    ],
)
def test_wrong_thresholds_of_the_command_line(lake: Lake, threshold: str, bars: str, what: str) -> None:
    done = run(*COMMAND, "--bars", bars, "--threshold", threshold, "--lake", lake.root)
    assert done.code != 0
    assert what in done.err
    assert done.err.count("error:") == 1


def test_the_command_line_says_the_thresholds(lake: Lake) -> None:
    options = ("--bars", "dollar", "--threshold", "adaptive:24,trailing_days=3,segments=6,average=median", "--json")
    done = run(*COMMAND, *options, "--lake", lake.root)
    assert done.code == 0, done.err
    assert "thresholds " in done.out
    assert "AdaptiveDollarConfig(target_bars_per_day=24" in done.out
    assert isinstance(DollarBarConfig(1).of_stretch(0), DollarBarConfig)
    assert ImbalanceBarConfig(1).is_decided(0)
