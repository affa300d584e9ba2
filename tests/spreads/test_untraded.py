"""A candle in which nothing was traded is no price: closes of candles against a plain loop, and a contract that was settled."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.spreads.market import SPOT, USDM
from tests.sql.markets import Candle, candles_archives, lake_with

import pointline
from pointline.clock import DAY_US, HOUR_US, MINUTE_US, SECOND_US, to_us
from pointline.curves.closes import closes
from pointline.curves.grid import candle_grid

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pointline.lake.store import Lake

DAY = to_us("2024-05-01")
MINUTES = 240
WITHOUT_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)  # each example makes a lake


def minute(number: int, state: str) -> Candle:
    price = str(100 + number)
    volume, count = {"traded": ("2", 3), "no volume": ("0", 3), "no trade": ("2", 0), "neither": ("0", 0)}[state]
    return Candle(DAY + number * MINUTE_US, price, price, price, price, volume, count)


def by_loop(states: dict[int, str], minutes: int, max_age_us: int) -> dict[int, tuple[float | None, int | None]]:
    """Start -> close and age of every candle of which its minutes tell."""
    found: dict[int, tuple[float | None, int | None]] = {}
    for start in range(0, MINUTES, minutes):
        last = start + minutes - 1
        young = [n for n in range(start, last + 1) if n == last or (last - n) * MINUTE_US < max_age_us]
        traded = [n for n in young if states.get(n) == "traded"]
        if last not in states:
            continue
        if not traded:
            found[DAY + start * MINUTE_US] = (None, None)
        elif all(n in states for n in range(traded[-1], last)):
            found[DAY + start * MINUTE_US] = (100.0 + traded[-1], (last - traded[-1]) * MINUTE_US)
    return found


@settings(max_examples=12, phases=WITHOUT_SHRINKING)
@given(st.integers(0, 10**6), st.sampled_from([(9, 1, 1, 1, 1), (2, 1, 1, 1, 0), (1, 1, 1, 1, 1)]))
def test_closes_of_candles_equal_a_plain_loop(tmp_path_factory: pytest.TempPathFactory, seed: int, weights: tuple[int, ...]) -> None:
    dice = random.Random(seed)  # noqa: S311 - candles, not secrets
    drawn = dice.choices(["traded", "no volume", "no trade", "neither", "missing"], weights, k=MINUTES)
    states = {n: state for n, state in enumerate(drawn) if state != "missing"}
    folder = tmp_path_factory.mktemp("minutes")
    lake = lake_with(folder, candles_archives(folder, SPOT, "BTCUSDT", "1m", [minute(n, state) for n, state in states.items()]))
    fired = set()
    for minutes in (1, 5, 15, 60):
        for max_age_us in (SECOND_US, MINUTE_US, 3 * MINUTE_US + 1, HOUR_US):
            grid = candle_grid("2024-05-01", "2024-05-01 04:00", f"{minutes}m")
            rows = closes(lake, SPOT, "BTCUSDT", grid, max_trade_age_us=max_age_us)
            expected = by_loop(states, minutes, max_age_us)
            assert {start: (close, age) for start, close, _, _, age in rows.iter_rows()} == expected
            assert (rows["known_us"] == rows["start_us"] + grid.duration_us).all()
            fired |= {"no price" if close is None else "carried" if age else "fresh" for close, age in expected.values()}
    assert fired == {"no price", "carried", "fresh"}


def test_a_finer_table_tells_what_a_longer_candle_does_not(tmp_path: Path) -> None:
    """The day has no volume; the hours of one of the two days have."""
    days = [Candle(DAY + n * DAY_US, "1", "1", "1", "1", "0", 0) for n in range(2)]
    hours = [Candle(DAY + 23 * HOUR_US, "5", "5", "5", "5"), Candle(DAY + DAY_US + 23 * HOUR_US, "6", "6", "6", "6", "0", 0)]
    paths = [*candles_archives(tmp_path, SPOT, "BTCUSDT", "1d", days), *candles_archives(tmp_path, SPOT, "BTCUSDT", "1h", hours)]
    found = closes(lake_with(tmp_path, paths), SPOT, "BTCUSDT", candle_grid("2024-05-01", "2024-05-03"))
    assert found.rows() == [
        (DAY, 5.0, DAY + DAY_US, "candles_1h", 0),
        (DAY + DAY_US, None, DAY + 2 * DAY_US, "candles_1d", None),
    ]


def settled(folder: Path) -> Lake:
    """A contract that is flat and untraded from its sixth day on, against a spot market that rises."""
    flat = [Candle(DAY + n * DAY_US, "0.7", "0.7", "0.7", "0.7", *(("1000", 5) if n < 5 else ("0", 0))) for n in range(31)]
    spot = [Candle(DAY + n * DAY_US, "0.7", "2", "0.5", f"{0.70 + 0.012 * n:.3f}") for n in range(31)]
    return lake_with(
        folder, [*candles_archives(folder, USDM, "FTMUSDT", "1d", flat), *candles_archives(folder, SPOT, "FTMUSDT", "1d", spot)]
    )


def test_a_settled_contract_has_no_spread(tmp_path: Path) -> None:
    study = pointline.spreads("FTM", reference="binance:FTM-USDT", start="2024-05-01", through="2024-05-31", lake=settled(tmp_path))
    assert study.table["spread"].is_null().to_list() == [False] * 5 + [True] * 26
    assert study.table["close_age_us"].to_list() == [0] * 5 + [None] * 26
    assert study.table["spot_age_us"].to_list() == [0] * 31
    (note,) = (note for note in study.notes if "nothing was traded" in note)
    assert note.startswith("binance-usdm-future:FTM-USDT: 26 candles have no close")
    assert note.endswith("2024-05-06 00:00 to 2024-05-31 00:00")
    assert study.term_structure("2024-05-20").is_empty() or study.term_structure("2024-05-20")["basis_pct"].is_null().all()


def test_cutting_the_candles_changes_no_close_that_was_known(tmp_path: Path) -> None:
    states = {n: ("traded" if n % 7 < 4 else "neither") for n in range(MINUTES)}
    told = []
    for name, until in (("whole", MINUTES), ("cut", 100)):
        paths = candles_archives(tmp_path / name, SPOT, "BTCUSDT", "1m", [minute(n, states[n]) for n in range(until)])
        lake = lake_with(tmp_path / name, paths)
        rows = closes(lake, SPOT, "BTCUSDT", candle_grid("2024-05-01", "2024-05-01 04:00", "5m"), max_trade_age_us=3 * MINUTE_US).rows()
        told.append([row for row in rows if row[2] <= DAY + 100 * MINUTE_US])
    assert told[0] == told[1]
    assert {row[1] is None for row in told[0]} == {True, False}
