"""A day of fifty million trades: the bars equal those that numpy counts, in bounded memory, whatever the batches."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 50_000_000

WRITE = """
import sys
from pathlib import Path
import numpy as np, polars as pl
from pointline.clock import DAY_US, to_us
from pointline.lake.partition import Feed, write_partition
from pointline.lake.store import stored_columns
rows = int(sys.argv[2])
random = np.random.default_rng(5)
steps = random.integers(0, 3, rows)  # a third of the trades share their moment with the one before
ts = to_us("2024-05-01") + np.cumsum(steps)
assert ts[-1] < to_us("2024-05-01") + DAY_US
price = 600_000 + np.cumsum(random.integers(-1, 2, rows))
assert price.min() > 0
frame = pl.DataFrame({
    "ts_local_us": ts, "ts_event_us": ts, "trade_id": np.arange(rows), "price_int": price, "qty_int": random.integers(1, 2_000, rows),
    "side": random.integers(0, 2, rows).astype(bool), "source_row": np.arange(rows), "price_decimals": np.full(rows, 1, np.int8),
    "qty_decimals": np.full(rows, 3, np.int8), "source_file": np.zeros(rows, np.int64),
})
columns = stored_columns("trades")
missing = {name: pl.lit(None, dtype) for name, dtype in columns.items() if name not in frame.columns}  # other ids, off-book flags
frame = frame.with_columns(**missing).select(list(columns))
write_partition(Path(sys.argv[1]), frame, "trades", [Feed("k", "h", "", 0, rows, "assumed")])
"""

COUNT = """
import hashlib, json, resource, sys
from pathlib import Path
from types import SimpleNamespace
from pointline.clock import DAY_US, to_us
from pointline.instruments import Registry
from pointline.lake.store import PartitionFile
from pointline.research.spines import VolumeBarConfig
from pointline.bars.run import VenueTrades, run_spine
start = to_us("2024-05-01")
file = PartitionFile(Path(sys.argv[1]), "binance-futures", "BTCUSDT", start, int(sys.argv[2]))
venue = VenueTrades(Registry().with_derived("binance-futures", "BTCUSDT").find("binance-futures", "BTCUSDT", start), {start: file})
run = run_spine(VolumeBarConfig(sys.argv[3]), venue, (venue,), start, start + DAY_US, int(sys.argv[4]))
digest = hashlib.sha256(run.ends)
digest.update(run.ids)
for first in range(0, len(run.ends), 1 << 16):
    digest.update(run.sums[0][first : first + (1 << 16)].tobytes())
if len(sys.argv) > 5:
    import numpy as np
    np.savez(sys.argv[5], ends=run.ends, ids=run.ids, ints=run.sums[0][0 : len(run.ends)])
print(json.dumps([digest.hexdigest(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024]))
"""

EXPECT = """
import sys
import numpy as np, polars as pl
from pointline.kernels.slots import BAR_INTS
found = np.load(sys.argv[2])
frame = pl.read_parquet(sys.argv[1], columns=["ts_local_us", "price_int", "qty_int", "side"])
ts, price, qty, side = (series.to_numpy() for series in frame)
threshold = int(sys.argv[3])
before = np.cumsum(qty) - qty
moment = np.append(0, np.flatnonzero(ts[1:] != ts[:-1]) + 1)
bar = before[moment] // threshold
first = moment[np.append(0, np.flatnonzero(bar[1:] != bar[:-1]) + 1)]
last = np.append(first[1:], len(ts)) - 1
column = {name: found["ints"][:, place] for place, name in enumerate(BAR_INTS)}
assert np.array_equal(found["ids"], np.unique(bar))
assert np.array_equal(found["ends"][:-1], ts[last[:-1]] + 1)
assert np.array_equal(column["count"], last - first + 1)
assert np.array_equal(column["qty"], np.add.reduceat(qty, first))
assert np.array_equal(column["buy"], np.add.reduceat(np.where(side, 0, qty), first))
assert np.array_equal(column["quote_low"], np.add.reduceat(price * qty, first)) and not column["quote_high"].any()
assert np.array_equal(column["open"], price[first]) and np.array_equal(column["close"], price[last])
assert np.array_equal(column["high"], np.maximum.reduceat(price, first))
assert np.array_equal(column["low"], np.minimum.reduceat(price, first))
assert np.array_equal(column["last_us"], ts[last])
print(len(first), "bars")
"""


def run(script: str, *arguments: object) -> str:
    done = subprocess.run([sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_day_of_fifty_million_trades(tmp_path: Path) -> None:
    path = tmp_path / "day.parquet"
    run(WRITE, path, ROWS)
    counted = [run(COUNT, path, ROWS, "100", 1 << 18, tmp_path / "found.npz"), run(COUNT, path, ROWS, "100", 100_003)]
    (digest, peak_mb), (other, _) = map(json.loads, counted)
    assert digest == other
    assert peak_mb < 600
    assert "bars" in run(EXPECT, path, tmp_path / "found.npz", 100_000)
    one_trade, peak_mb = json.loads(run(COUNT, path, ROWS, "0.001", 1 << 18))
    assert one_trade
    assert peak_mb < 1_400  # the ends and ids of the bars alone are 530 MB
