"""OKX archives: names, units, days of UTC+8, funding, and the way from a folder of files to a comparison."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

import pointline
from pointline.cli import app
from pointline.clock import HOUR_US, to_us
from pointline.errors import RegistryError, SourceError
from pointline.research import query
from pointline.research.spines import VolumeBarConfig
from pointline.sources.base import Hints
from pointline.sources.okx import Okx

TRADES = "instrument_name,trade_id,side,price,size,created_time"
FUNDING = "instrument_name,funding_rate,funding_time"
DAY_US = to_us("2024-05-01") - 8 * HOUR_US  # the day of UTC+8
DAY_MS = DAY_US // 1000


def packed(folder: Path, name: str, *lines: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", "".join(f"{line}\r\n" for line in lines))
    return path


def command(*words: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stdout


def market(folder: Path, days: int = 2, per_day: int = 600) -> None:
    """Trades of the swap and of spot: the swap 0.1 % above, its size in contracts of 0.01 BTC, rows of a file in reverse."""
    for day in range(days):
        date = f"2024-05-{day + 1:02d}"
        for symbol, premium, sizes in (("BTC-USDT-SWAP", 1.001, ("3", "7")), ("BTC-USDT", 1.0, ("0.03", "9.612e-05"))):
            lines = []
            for at in range(per_day):
                number = day * per_day + at
                price = round((60_000 + 5 * (number % 7)) * premium, 1)
                ms = DAY_MS + day * 86_400_000 + at * 86_400_000 // per_day
                lines.append(f"{symbol},{1000 + number},{('buy', 'SELL')[number % 2]},{price},{sizes[number % 2]},{ms}")
            packed(folder, f"{symbol}-trades-{date}", TRADES, *reversed(lines))


def test_a_folder_of_files_becomes_a_comparison(tmp_path: Path) -> None:
    market(tmp_path / "in")
    lake = tmp_path / "lake"
    reports = json.loads(command("ingest", tmp_path / "in", "--lake", lake, "--json"))
    assert [report["outcome"] for report in reports] == ["landed"] * 4
    assert [report["rows_landed"] for report in reports] == [600] * 4
    assert {report["missing_ids"] for report in reports} == {0}
    assert not any(report["displaced"] for report in reports)

    trades = query.trades("okx-swap", "BTC-USDT-SWAP", "2024-04-30", "2024-05-03", lake=lake)
    assert trades.height == 1200
    assert trades["ts_event_us"][0] == DAY_US
    assert trades["qty"].head(2).to_list() == [0.03, 0.07]  # base asset
    assert trades["side"].head(2).to_list() == [0, 1]
    spot = query.trades("okx-spot", "BTC-USDT", "2024-04-30", "2024-05-03", lake=lake)
    assert spot["qty"].head(2).to_list() == [0.03, 9.612e-05]

    study = pointline.compare(
        "okx-swap:BTC-USDT-SWAP", "okx-spot:BTC-USDT", start="2024-05-01", end="2024-05-02", bars=VolumeBarConfig(1.0), lake=lake
    )
    basis = study.features["basis_bps"].drop_nulls()
    assert basis.len() > 10
    assert basis.median() == pytest.approx(10, abs=10)


def test_the_declared_day_is_that_of_utc_plus_8(tmp_path: Path) -> None:
    path = packed(tmp_path, "BTC-USDT-SWAP-trades-2024-05-01", TRADES, f"BTC-USDT-SWAP,1,buy,60000,1,{DAY_MS}")
    identity = Okx().recognise(path, Hints())
    assert identity is not None
    assert identity.declared_us == (to_us("2024-04-30") + 16 * HOUR_US, to_us("2024-05-01") + 16 * HOUR_US)
    month = Okx().recognise(path.rename(tmp_path / "BTC-USDT-SWAP-trades-2024-05.zip"), Hints())
    assert month is not None
    assert month.declared_us == (to_us("2024-04-30") + 16 * HOUR_US, to_us("2024-05-31") + 16 * HOUR_US)
