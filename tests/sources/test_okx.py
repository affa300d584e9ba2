"""OKX archives: names, units, days of UTC+8, funding, and the way from a folder of files to a comparison."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

import pointline
from pointline.cli import app
from pointline.clock import HOUR_US, to_us
from pointline.errors import SourceError
from pointline.research import query
from pointline.research.spines import VolumeBarConfig
from pointline.sources.base import Hints
from pointline.sources.okx import Okx

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_swap_of_unknown_contract_size_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, "NEW-USDT-SWAP-trades-2024-05-01", TRADES, f"NEW-USDT-SWAP,1,buy,2500,1,{DAY_MS}")
    (report,) = json.loads(command("ingest", path, "--lake", tmp_path / "lake", "--json", code=3))
    assert report["outcome"] == "failed"
    assert "could not be read back" in report["problem"]


def test_the_plain_name_of_a_family_of_futures_is_the_spot_file(tmp_path: Path) -> None:
    path = packed(tmp_path, "BTC-USDT-trades-2024-05-01", TRADES, f"BTC-USDT,1,buy,60000,1,{DAY_MS}")
    with pytest.raises(SourceError, match="this is the spot file") as caught:
        Okx().recognise(path, Hints(exchange="okx-futures"))
    assert "BTC-USDT-futureschain-trades-2024-05-01.zip" in str(caught.value.hint)


def test_a_row_of_another_instrument_is_set_aside(tmp_path: Path) -> None:
    rows = [f"BTC-USD-SWAP,{at},buy,60000,1,{DAY_MS}" for at in range(3)]
    path = packed(tmp_path, "BTC-USD-SWAP-trades-2024-05-01", TRADES, *rows, f"BTC-USD,9,buy,60000,1,{DAY_MS}")
    identity = Okx().recognise(path, Hints())
    assert identity is not None
    (batch,) = Okx().read(path, identity, Hints())
    assert batch.frame.height == 3
    assert batch.rejects.select("line", "column", "value").rows() == [(5, "instrument_name", "BTC-USD")]


def test_a_chain_holds_all_futures_of_its_family(tmp_path: Path) -> None:
    """Chains of one day differ in their key, so that one never replaces the other."""
    keys = []
    for family in ("BTC-USD", "ETH-USD"):
        lines = [
            f"{family}-240628,1,buy,60000,1,{DAY_MS}",
            f"{family}-240927,5,sell,61000,2,{DAY_MS + 1}",
            f"XRP-USD-240628,1,buy,1,1,{DAY_MS}",
        ]
        path = packed(tmp_path, f"{family}-futureschain-trades-2024-05-01", TRADES, *lines)
        identity = Okx().recognise(path, Hints())
        assert identity is not None
        keys.append(identity.key("sha"))
        first, second = Okx().read(path, identity, Hints())
        assert (first.exchange, first.symbol, second.symbol) == ("okx-futures", f"{family}-240628", f"{family}-240927")
        assert (first.frame["qty"].to_list(), second.frame["qty"].to_list()) == ([1.0], [2.0])
        assert first.rejects["reason"].to_list() == [f"is no future of {family}"]
        (one,) = Okx().read(path, identity, Hints(symbol=f"{family}-240927"))
        assert (one.symbol, one.frame.height, one.skipped) == (f"{family}-240927", 1, 1)
    assert len(set(keys)) == 2
    assert all("|futureschain|" in key for key in keys)


def funding_of_all(folder: Path, date: str, *hours: int) -> Path:
    start = to_us(date) // 1000
    rows = [
        f"{symbol},{rate},{start + hour * 3_600_000}"
        for hour in hours
        for symbol, rate in (("BTC-USDT-SWAP", "0.0001"), ("NEW-USDT-SWAP", "-6E-7"))
    ]
    return packed(folder, f"allswap-fundingrates-{date}", FUNDING, *rows)


def test_funding_of_all_swaps(tmp_path: Path) -> None:
    """A day of UTC+8 has the payments of 16:00 the day before, midnight and 08:00; the archive does not say the interval."""
    for date in ("2024-05-01", "2024-05-02"):
        funding_of_all(tmp_path / "in", date, -8, 0, 8)
    lake = tmp_path / "lake"
    reports = json.loads(command("ingest", tmp_path / "in", "--lake", lake, "--symbol", "BTC-USDT-SWAP", "--json"))
    assert [(report["rows_landed"], report["rows_skipped"], report["displaced"]) for report in reports] == [(3, 3, 0)] * 2
    paid = query.funding("okx-swap", "BTC-USDT-SWAP", "2024-04-30", "2024-05-03", lake=lake)
    first = to_us("2024-04-30T16:00:00Z")
    assert paid["funding_us"].to_list() == [first + at * 8 * HOUR_US for at in range(6)]
    assert set(paid["funding_rate"]) == {0.0001}
    assert paid["interval_hours"].null_count() == 6


def test_swaps_that_nothing_is_known_of_are_set_aside_and_named(tmp_path: Path) -> None:
    path = funding_of_all(tmp_path, "2024-05-01", 0)
    (report,) = json.loads(command("ingest", path, "--lake", tmp_path / "lake", "--json", code=3))
    assert (report["rows_landed"], report["rows_quarantined"]) == (1, 1)
    assert "NEW-USDT-SWAP" in report["problem"]


def test_funding_beyond_the_position_is_no_rate(tmp_path: Path) -> None:
    lines = [f"BTC-USDT-SWAP,{rate},{DAY_MS + at}" for at, rate in enumerate(("0.01", "-0.02", "1.5"))]
    path = packed(tmp_path, "BTC-USDT-SWAP-fundingrates-2024-05", FUNDING, *lines)
    identity = Okx().recognise(path, Hints())
    assert identity is not None
    (batch,) = Okx().read(path, identity, Hints())
    assert batch.rejects.select("line", "column", "value").rows() == [(4, "funding_rate", "1.5")]


@pytest.mark.parametrize(
    "name", ["BTC-USD-240628-60000-C-trades-2024-05-01", "BTC-USDT-SWAP-trades-2024-13-01", "allfutures-fundingrates-2024-05-01"]
)
def test_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    assert Okx().recognise(packed(tmp_path, name, TRADES, "x"), Hints()) is None


def test_a_file_of_another_header_is_left_to_other_archives(tmp_path: Path) -> None:
    path = packed(tmp_path, "PERP-BTCUSDT-trades-2024-05-01", "id,price,qty,quote_qty,time,is_buyer_maker", "1,2,3,6,4,true")
    assert Okx().recognise(path, Hints()) is None
