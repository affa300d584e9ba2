"""How often the off-book rule is wrong: ``python benchmarks/off_book.py [--data FOLDER] [--prints N] [--seeds N]``.

Three tables: real sets, in which every print is a true one but for the insurance fund's of 2023-04-05 (streams are judged as if they had
said nothing); simulated markets without any off-book print, with the share that is flagged; and single prints put into calm markets and
into the real ones, one at a time, with the share of 100 that is found, by their distance, and how often others were flagged (on
2023-04-05 the insurance fund's).
"""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl

from pointline.clock import SECOND_US, date_text
from pointline.ingest.off_book import flag_off_book
from pointline.schema import TRADES
from pointline.simulate import MarketConfig, simulate_day
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Prints: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64]]  # times in microseconds, prices

MEASURED = (
    "ticks_btc_20230405/*.gz",
    "ticks_btc_20240808/*.gz",
    "demo_btc_20230405_csv/spot_BTCUSDT_trades.csv.gz",
    "demo_btc_20230405_csv/usdm_BTCUSDT_trades.csv.gz",
    "vision/futures-APEUSDT-aggTrades-2024-10-18.zip",
    "sweeps/atomusdt_spot_20251010.csv",
)
LARGE = 9_000  # prints of a real set into which others are put
MILLISECOND_US = 1_000
DISTANCES = (0.011, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)


def trades_of(times: NDArray[np.int64], prices: NDArray[np.float64]) -> pl.DataFrame:
    """Parsed trades of which no source has said anything."""
    count = len(times)
    return pl.DataFrame(
        {"ts_local_us": times, "ts_event_us": times, "trade_id": np.arange(count), "price": prices, "qty": np.ones(count)},
        schema_overrides=TRADES.parsed,
    ).with_columns([pl.lit(None, dtype=dtype).alias(name) for name, dtype in TRADES.parsed.items() if name not in _GIVEN])


_GIVEN = {"ts_local_us", "ts_event_us", "trade_id", "price", "qty"}


def _on_ticks(values: NDArray[np.float64], tick: float) -> NDArray[np.float64]:
    """Prices on a grid of a power of ten, one tick at least."""
    return (np.maximum(np.rint(values / tick), 1.0) * tick).round(-math.floor(math.log10(tick)))


def _paced(random: np.random.Generator, count: int, seconds: float) -> NDArray[np.int64]:
    """Times of a Poisson process, in whole milliseconds."""
    return np.cumsum(random.exponential(seconds, count) * 1e3).astype(np.int64) * 1_000


def coarse_ticks(
    random: np.random.Generator, count: int, start: int = 50, turn: float = 0.02, bounce: float = 0.1, unit: int = 1
) -> Prints:
    """One tick is 2 % of the price: the bid moves by a tick now and then, prints fall on bid and ask."""
    bid = np.maximum(start + np.cumsum(random.choice([-1, 0, 1], count, p=[turn / 2, 1 - turn, turn / 2])), start // 2)
    return _paced(random, count, 0.5), (bid + (random.random(count) < bounce)) * unit / 1e4


def wide_spread(random: np.random.Generator, count: int, turn: float = 0.5, step: float = 1e-4, spread: float = 0.015) -> Prints:
    """Prints bounce between bid and ask, 1.5 % apart; a side follows itself with probability 1 - `turn`."""
    middle = 100 * np.exp(np.cumsum(random.normal(0, step, count)))
    ask = np.logical_xor.accumulate(random.random(count) < turn)
    return _paced(random, count, 0.5), _on_ticks(middle * (1 + spread * (ask - 0.5)), 0.001)


def walk(random: np.random.Generator, count: int, step: float, pace: float = 0.5, *, fixed: bool = False) -> Prints:
    """A random walk of that relative step from print to print."""
    moves = random.choice([-step, step], count) if fixed else random.normal(0, step, count)
    return _paced(random, count, pace), _on_ticks(100 * np.exp(np.cumsum(moves)), 1e-5)


def fat_walk(random: np.random.Generator, count: int, step: float = 0.001) -> Prints:
    """A random walk with steps of Student's t with two degrees of freedom."""
    return _paced(random, count, 0.5), _on_ticks(100 * np.exp(np.clip(np.cumsum(random.standard_t(2, count) * step), -20, 20)), 1e-6)


def jumps(random: np.random.Generator, count: int, every: int = 500, back: float = 0.0) -> Prints:
    """A calm market with jumps of 3 %, each with 20 prints in its first moment; some return at once."""
    level = np.log(100.0)
    times, prices, now = [], [], 0
    while len(prices) < count:
        for _ in range(int(random.integers(every // 2, every))):
            now += int(random.integers(1, 1_000)) * 1_000
            level += random.normal(0, 1e-4)
            times.append(now)
            prices.append(level)
        size = float(random.choice([-0.03, 0.03]))
        now += 5_000
        times += [now] * 20
        prices += (level + np.linspace(size / 20, size, 20)).tolist()
        level += 0.0 if random.random() < back else size
    return np.array(times[:count]), _on_ticks(np.exp(np.array(prices[:count])), 0.01)


def cascades(random: np.random.Generator, count: int, gap: float = 0.015, *, rebound: bool = True, apart: bool = True) -> Prints:
    """A calm market with cascades of 12 prints 1.5 % apart, at times of their own or of one, that rebound at once or stay."""
    level = np.log(100.0)
    times, prices, now = [], [], 0
    while len(prices) < count:
        for _ in range(int(random.integers(200, 600))):
            now += int(random.integers(1, 1_000)) * 1_000
            level += random.normal(0, 1e-4)
            times.append(now)
            prices.append(level)
        down = float(random.choice([-gap, gap]))
        for _ in range(12):
            now += 1_000 * apart
            level += down
            times.append(now)
            prices.append(level)
        if rebound:
            level -= 12 * down
    return np.array(times[:count]), _on_ticks(np.exp(np.array(prices[:count])), 0.001)


def sparse(random: np.random.Generator, count: int, step: float = 0.002) -> Prints:
    """One trade a minute, two minutes in three without news, a spread of 1 %."""
    middle = 5 * np.exp(np.cumsum(random.normal(0, step, count) * (random.random(count) < 1 / 3)))
    return _paced(random, count, 60.0), _on_ticks(middle * (1 + random.choice([-0.005, 0.005], count)), 0.001)


def ladder(random: np.random.Generator, count: int) -> Prints:
    """Large market orders that walk a thin book of 0.5 % levels, several prints each, and the book that fills again."""
    middle = 100 * np.exp(np.cumsum(random.normal(0, 1e-4, count)))
    depth = random.geometric(0.4, count) - 1
    times, prices, now = [], [], 0
    for at in range(count):
        now += int(random.integers(1, 2_000)) * 1_000
        side = random.choice([-1, 1])
        for level in range(int(depth[at]) + 1):
            times.append(now)
            prices.append(middle[at] * (1 + side * 0.005 * level))
        if len(prices) >= count:
            break
    return np.array(times[:count]), _on_ticks(np.array(prices[:count]), 0.01)


def regimes(random: np.random.Generator, count: int) -> Prints:
    """Calm, wild, coarse and sparse stretches of one market after another."""
    parts = []
    price, now = 100.0, 0
    while sum(len(times) for times, _ in parts) < count:
        times, prices = MARKETS[str(random.choice(STRETCHES))](random, int(random.integers(50, 3_000)))
        parts.append((times + now, _on_ticks(prices / prices[0] * price, 1e-6)))
        now, price = int(parts[-1][0][-1]) + 1_000, float(parts[-1][1][-1])
    return np.concatenate([times for times, _ in parts])[:count], np.concatenate([prices for _, prices in parts])[:count]


STRETCHES = ("walk 0.2 %", "walk 1.5 %", "spread 1.5 %", "jumps 3 %", "sparse, spread 1 %", "cascades apart")
MARKETS: dict[str, Callable[[np.random.Generator, int], Prints]] = {
    "ticks of 2 %": coarse_ticks,
    "ticks of 2 %, still": lambda random, count: coarse_ticks(random, count, turn=0.001, bounce=0.003),
    "ticks of 2 % in steps of 5": lambda random, count: coarse_ticks(random, count, turn=0.005, unit=5),
    "ticks of 0.7 %": lambda random, count: coarse_ticks(random, count, 150, 0.1),
    "spread 1.5 %": wide_spread,
    "spread 1.5 %, sides in runs": lambda random, count: wide_spread(random, count, 0.03),
    "spread 1.5 %, sides in long runs": lambda random, count: wide_spread(random, count, 0.005),
    "spread 1.5 %, moves of 0.1 %": lambda random, count: wide_spread(random, count, 0.1, 1e-3),
    "spread 4 %": lambda random, count: wide_spread(random, count, 0.2, 1e-4, 0.04),
    "jumps 3 %": jumps,
    "jumps 3 %, half return": lambda random, count: jumps(random, count, 300, 0.5),
    "cascades apart": cascades,
    "cascades apart, stay": lambda random, count: cascades(random, count, rebound=False),
    "cascades in one moment": lambda random, count: cascades(random, count, apart=False),
    "cascades in one moment, stay": lambda random, count: cascades(random, count, apart=False, rebound=False),
    "thin book": ladder,
    **{f"walk {step:g} %": lambda random, count, step=step: walk(random, count, step / 100) for step in (0.2, 0.5, 0.6, 1.0, 1.5)},
    **{
        f"walk of fixed {step:g} %": lambda random, count, step=step: walk(random, count, step / 100, fixed=True)
        for step in (0.6, 1.0, 1.1, 1.5)
    },
    "walk, fat tails": fat_walk,
    "walk, fatter tails": lambda random, count: fat_walk(random, count, 0.004),
    "sparse, spread 1 %": sparse,
    "sparse, steps of 1 %": lambda random, count: sparse(random, count, 0.01),
    "sparse, steps of 3 %": lambda random, count: sparse(random, count, 0.03),
    "regimes": regimes,
}


def _tick_of(prices: pl.Series) -> float:
    steps = prices.diff().abs()
    return 10.0 ** round(math.log10(float(steps.filter(steps > 0).min())))  # type: ignore[arg-type]


def calm(random: np.random.Generator, count: int) -> Prints:
    """Steps of 0.005 % and a spread of a tick."""
    middle = 60_000 * np.exp(np.cumsum(random.normal(0, 5e-5, count)))
    return _paced(random, count, 0.05), _on_ticks(middle + random.choice([0.0, 0.1], count), 0.1)


def calm_simulated(random: np.random.Generator, count: int) -> Prints:
    """The project's own simulated perpetual."""
    config = MarketConfig(seed=int(random.integers(1 << 30)), perp_trades_per_day=count, off_book_prints_per_day=0)
    day = simulate_day(config, 0).perp
    return day["ts_event_us"].to_numpy(), day["price"].to_numpy()


CALM = {  # with their ticks
    "calm walk": (calm, 0.1),
    "simulated perpetual": (calm_simulated, 0.1),
    "sparse, steps of 0.02 %": (lambda random, count: walk(random, count, 2e-4, 60.0), 1e-5),
}


def found(prints: Prints, random: np.random.Generator, distance: float, tick: float, tries: int = 100) -> tuple[int, int]:
    """How many of the single prints at that distance, each put into the market alone, are found, and how many other prints are flagged."""
    times, prices = prints
    hits = others = 0
    for row in random.choice(np.flatnonzero(np.diff(times) > MILLISECOND_US)[50:], tries).tolist():
        near = slice(max(0, row - 5_000), row + 50)
        put = _on_ticks(prices[row : row + 1] * (1 + random.choice([-1.0, 1.0]) * distance), tick)
        place = row + 1 - near.start
        mixed = trades_of(np.insert(times[near], place, times[row] + MILLISECOND_US), np.insert(prices[near], place, put))
        flags = flag_off_book(mixed)["off_book"]
        hits += int(flags[place])
        others += int(flags.sum()) - int(flags[place])
    return hits, others


def real_sets(folder: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """The trades of each file, market and day, single and aggregated apart, with what the rule says of them."""
    for pattern in MEASURED:
        for path in sorted(folder.glob(pattern)):
            for label, trades in _trades_in(path).items():
                for (day,), rows in (
                    trades.with_columns(_day=pl.col("ts_local_us") // 86_400_000_000).partition_by("_day", as_dict=True).items()
                ):
                    sorted_rows = rows.drop("_day").sort("ts_local_us", maintain_order=True)
                    yield f"{path.parent.name}/{path.name} {label} {date_text(int(day) * 86_400 * SECOND_US)}", flag_off_book(sorted_rows)


def _trades_in(path: Path) -> dict[str, pl.DataFrame]:
    if path.suffix == ".csv":
        rows = pl.read_csv(path)
        return {"spot": trades_of(rows["time_us"].to_numpy(), rows["price"].cast(pl.Float64).to_numpy())}
    hints = Hints(clock="event") if "20240808" in path.name else Hints()
    if path.name.endswith(".csv.gz"):
        spot = path.name.startswith("spot")
        hints = Hints(exchange="binance-spot" if spot else "binance-futures", dataset="trades", symbol="BTCUSDT")
    if path.name.startswith("futures-APE"):
        hints = Hints(exchange="binance-futures", dataset="aggTrades", symbol="APEUSDT", period="2024-10-18")
    source, identity = next((s, f) for s in all_sources() if (f := s.recognise(path, hints)) is not None)
    parts: dict[str, list[pl.DataFrame]] = {}
    for batch in source.read(path, identity, hints):
        if batch.kind == "trades" and batch.frame.height:
            unsaid = batch.frame.select(list(TRADES.parsed)).with_columns(off_book=pl.lit(None, dtype=pl.Boolean))
            for name, chosen in (("trades", pl.col("first_trade_id").is_null()), ("aggTrades", pl.col("first_trade_id").is_not_null())):
                parts.setdefault(f"{batch.symbol} {name}", []).append(unsaid.filter(chosen))
    return {name: frame for name, frames in parts.items() if (frame := pl.concat(frames)).height}


def false_share(make: Callable[[np.random.Generator, int], Prints], prints: int, seeds: int) -> tuple[int, int]:
    """How many prints of a market without off-book prints are flagged, and of how many, over several seeds."""
    flagged = total = 0
    for seed in range(seeds):
        trades = trades_of(*make(np.random.default_rng(seed), prints))
        flagged += int(flag_off_book(trades)["off_book"].sum())
        total += trades.height
    return flagged, total


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser()
    root = Path(__file__).resolve().parent.parent.parent
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("POINTLINE_DATA", root / "shared" / "data")))
    parser.add_argument("--prints", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=5)
    chosen = parser.parse_args()
    print(f"{'real set':95}{'prints':>9}{'flagged':>9}")
    for name, rows in real_sets(chosen.data):
        flagged = rows.filter("off_book")
        print(f"{name:95}{rows.height:9,}{flagged.height:9}  {flagged.select('trade_id', 'price').rows() or ''}")
    print(f"\n{'simulated market':40}{'prints':>9}{'flagged':>9}{'share':>9}")
    for name, make in MARKETS.items():
        flagged_rows, total = false_share(make, chosen.prints, chosen.seeds)
        print(f"{name:40}{total:9,}{flagged_rows:9}{flagged_rows / total:9.4%}")
    markets = {name: (make(np.random.default_rng(1), chosen.prints), tick) for name, (make, tick) in CALM.items()}
    for name, rows in real_sets(chosen.data):
        if rows.height >= LARGE:
            markets[name.split(" ")[0].split("/")[1]] = (
                (rows["ts_event_us"].to_numpy(), rows["price"].to_numpy()),
                float(_tick_of(rows["price"])),
            )
    print(f"\n{'one print put into':50}" + "".join(f"{distance:9.1%}" for distance in DISTANCES) + "  others")
    for name, (prints, tick) in markets.items():
        results = [found(prints, np.random.default_rng(2), distance, tick) for distance in DISTANCES]
        print(f"{name:50}" + "".join(f"{hits:8}%" for hits, _ in results) + f"{sum(others for _, others in results):8}")


if __name__ == "__main__":
    main()
