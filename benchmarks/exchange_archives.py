"""Rows a second that each source of an exchange's archive parses: ``python benchmarks/exchange_archives.py [ROWS]``.

Simulated trades are written in each layout, packed as the archive packs them, and read by the source alone: nothing is stored. Wall
seconds, the smallest of three rounds. Binance Vision's layout stands beside them.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pointline.sources.base import Hints
from pointline.sources.families import family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

START_US = 1_714_521_600_000_000
ROUNDS = 3
Trade = tuple[int, int, float, float, bool]  # µs, id, price, size, whether the seller was the taker


def trades(count: int) -> list[Trade]:
    """A walk of prices, in time order, whose sides agree with its moves."""
    rng = np.random.default_rng(7)
    steps = rng.integers(-1, 2, count)
    prices = np.round(60_000 + np.cumsum(steps) * 0.1, 1)
    sizes = np.round(rng.exponential(0.05, count) + 1e-5, 5)
    sold = np.where(steps == 0, rng.integers(0, 2, count) == 1, steps < 0)
    stamps = START_US + np.sort(rng.integers(0, 57_600_000_000, count))
    return list(zip(stamps.tolist(), range(1, count + 1), prices.tolist(), sizes.tolist(), sold.tolist(), strict=True))


def coinbase(one: Trade) -> str:
    """A record of the REST interface."""
    us, number, price, size, sold = one
    moment = np.datetime64(us, "us").astype(str)
    side = "buy" if sold else "sell"
    return json.dumps({"trade_id": number, "side": side, "size": f"{size:.8f}", "price": f"{price:.2f}", "time": f"{moment}Z"})


def deribit(one: Trade) -> str:
    """A record of the REST history."""
    us, number, price, _, sold = one
    own = {"trade_seq": number, "trade_id": str(number), "timestamp": us // 1000, "tick_direction": 0, "price": price, "mark_price": price}
    return json.dumps(
        own | {"instrument_name": "BTC-PERPETUAL", "direction": "sell" if sold else "buy", "amount": 10.0 * (1 + number % 90)}
    )


def hyperliquid(one: Trade) -> str:
    """A record of the interface."""
    us, number, price, size, sold = one
    own = {
        "coin": "BTC",
        "side": "A" if sold else "B",
        "px": str(price),
        "sz": f"{size:.5f}",
        "time": us // 1000,
        "hash": f"0x{number:064x}",
    }
    return json.dumps(own | {"tid": number})


LAYOUTS: dict[str, tuple[str, str, str | None, Callable[[Trade], str]]] = {
    "binance_vision": (
        "binance_vision",
        "futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-01.zip",
        "id,price,qty,quote_qty,time,is_buyer_maker",
        lambda t: f"{t[1]},{t[2]},{t[3]},{t[2] * t[3]:.6f},{t[0] // 1000},{str(t[4]).lower()}",
    ),
    "okx": (
        "okx",
        "BTC-USDT-SWAP-trades-2024-05-01.zip",
        "instrument_name,trade_id,side,price,size,created_time,source",
        lambda t: f"BTC-USDT-SWAP,{t[1]},{'sell' if t[4] else 'buy'},{t[2]},{t[3]},{t[0] // 1000},0",
    ),
    "kraken": ("kraken", "kraken/XBTUSD.csv", None, lambda t: f"{t[0] // 1_000_000},{t[2]:.5f},{t[3]:.8f}"),
    "gate, spot": (
        "gate",
        "spot/deals/202405/BTC_USDT-202405.csv.gz",
        None,
        lambda t: f"{t[0] // 1_000_000}.{t[0] % 1_000_000:06d},{t[1]},{t[2]},{t[3]},{2 if t[4] else 1}",
    ),
    "gate, futures": (
        "gate",
        "futures_usdt/trades/202405/BTC_USDT-202405.csv.gz",
        None,
        lambda t: f"{t[0] // 1_000_000}.{t[0] % 1_000_000:06d},{t[1]},{t[2]},{'-' if t[4] else ''}{1 + t[1] % 900}",
    ),
    "kucoin": (
        "kucoin",
        "data/futures/daily/trades/BTCUSDTM/BTCUSDTM-trades-2024-05-01.zip",
        "trade_id,trade_time,price,size,side",
        lambda t: f"{1_749_781_000_000 + 7 * t[1]},{t[0] // 1000},{t[2]},{1 + t[1] % 90},{'sell' if t[4] else 'buy'}",
    ),
    "coinbase": ("coinbase", "coinbase-BTC-USD-trades-2024-05-01.jsonl.gz", None, coinbase),
    "deribit": ("deribit", "deribit-history.jsonl.gz", None, deribit),
    "hyperliquid": ("hyperliquid", "hyperliquid-tape.jsonl.gz", None, hyperliquid),
}


def write(path: Path, lines: Iterable[str]) -> None:
    """Packs lines as the file's name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{path.stem}.csv", text)
    else:
        path.write_bytes(gzip.compress(text, 6) if path.suffix == ".gz" else text)


def measured(folder: Path, count: int) -> Iterator[tuple[str, float]]:
    """Each layout's rows a second.

    Raises:
        SystemExit: a source does not give back all rows.
    """
    made = trades(count)
    for name, (source, place, header, line) in LAYOUTS.items():
        path = folder / place
        write(path, [*([header] if header else []), *map(line, made)])
        parser = family(source).source()
        identity = parser.recognise(path, Hints())
        best = float("inf")
        for _ in range(ROUNDS):
            start = time.perf_counter()
            rows = 0 if identity is None else sum(batch.frame.height for batch in parser.read(path, identity, Hints()))
            best = min(best, time.perf_counter() - start)
            if rows != count:
                raise SystemExit(f"{name}: {rows} of {count} rows came back")
        path.unlink()
        yield name, count / best


def main() -> None:
    """Prints a Markdown table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    print(f"| Source | Million rows/s ({count:,} rows) |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, rate in measured(Path(folder), count):
            print(f"| {name} | {rate / 1e6:.2f} |", flush=True)


if __name__ == "__main__":
    main()
