"""What commands exit with: 0 done, 1 the result says no, 2 wrong usage, 3 data refused or set aside, 4 busy, 5 the system failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.cli.running import run
from tests.lake.archives import TRADES_HEADER, futures_trades, trade, write

from pointline.lake import open_lake
from pointline.lake.durable import single_writer

if TYPE_CHECKING:
    from pathlib import Path

GOOD = [trade(n, f"2024-05-01 12:00:0{n}") for n in range(1, 6)]
BAD = [*GOOD, "9,oops,1,1,1714557609000,true"]
MAPPING = """
kind = "trades"
exchange = "binance-futures"
symbol = "BTCUSDT"
[columns]
ts_event_us = { column = "time", unit = "ms" }
price = "price"
qty = "qty"
side = { column = "side", seller_taker = ["sell"] }
"""


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    assert run("ingest", futures_trades(tmp_path / "good", "2024-05-01", *GOOD), "--lake", tmp_path / "lake").code == 0
    return tmp_path / "lake"


def test_0_superseded_rows_included(lake: Path, tmp_path: Path) -> None:
    month = futures_trades(tmp_path / "month", "2024-05", *GOOD)
    assert run("ingest", month, "--lake", lake).code == 0
    assert run("ingest", month, "--lake", lake).code == 0
    assert run("verify", "--lake", lake).code == 0


def test_1_where_the_result_says_no(lake: Path, tmp_path: Path) -> None:
    (path,) = open_lake(lake).partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-01")
    path.write_bytes(path.read_bytes()[:-9])
    found = run("verify", "--lake", lake)
    assert found.code == 1
    assert path.name in found.out.replace("\n", "")
    (tmp_path / "good").rename(tmp_path / "elsewhere")
    assert run("repair", "--lake", lake).code == 1
    assert run("repair", "--archives", tmp_path / "elsewhere", "--lake", lake).code == 0
    assert run("verify", "--lake", lake).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "x.zip", "--clock", "wrong"),
        ("compare", "binance-futures:NOPE", "binance-spot:BTCUSDT", "--start", "2024-05-01", "--end", "2024-05-02"),
        ("catalog", "--exchange", "nowhere"),
        ("maintain", "--grace", "soon"),
        ("repair", "--archives", "no/such/folder"),
    ],
)
def test_2_where_the_usage_is_wrong(lake: Path, arguments: tuple[str, ...]) -> None:
    result = run(*arguments, "--lake", lake)
    assert result.code == 2
    assert "Traceback" not in result.err


def test_3_where_rows_are_set_aside_also_when_told_again(lake: Path, tmp_path: Path) -> None:
    path = futures_trades(tmp_path / "bad", "2024-05-02", *BAD)
    first, again = run("ingest", path, "--lake", lake), run("ingest", path, "--lake", lake)
    assert (first.code, again.code) == (3, 3)
    assert "unchanged" in again.out
    assert "oops" in again.err


def test_3_where_a_file_is_refused_and_the_rest_lands(lake: Path, tmp_path: Path) -> None:
    damaged = write(tmp_path / "damaged", "data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2024-05-03.zip", *GOOD, header=TRADES_HEADER)
    damaged.write_bytes(damaged.read_bytes()[:60])
    whole = futures_trades(tmp_path / "whole", "2024-05-04", *[trade(n, f"2024-05-04 12:00:0{n}") for n in range(1, 4)])
    result = run("ingest", damaged, whole, "--lake", lake)
    assert result.code == 3
    assert "1 landed" in result.out


def test_3_where_no_row_can_land(lake: Path, tmp_path: Path) -> None:
    table, mapping = tmp_path / "t.csv", tmp_path / "m.toml"
    table.write_text("time,price,qty,side\n1714557600000,free,1,sell\n1714557601000,-1,1,sell\n")
    mapping.write_text(MAPPING)
    result = run("ingest", table, "--mapping", mapping, "--lake", lake, "--json")
    assert result.code == 3
    (report,) = result.json
    assert (report["outcome"], report["rows_read"], report["rows_quarantined"], report["rows_landed"]) == ("quarantined", 2, 2, 0)


def test_4_where_another_process_writes(lake: Path, tmp_path: Path) -> None:
    path = futures_trades(tmp_path / "more", "2024-05-02", *GOOD)
    with single_writer(lake):
        for command in (("ingest", path), ("repair",), ("maintain",)):
            result = run(*command, "--lake", lake)
            assert (result.code, "another process is writing" in result.err) == (4, True)


def test_5_where_the_lake_is_damaged(lake: Path) -> None:
    (path,) = open_lake(lake).partition_paths("trades", "binance-futures", "BTCUSDT", "2024-05-01")
    path.unlink()
    result = run("ingest", lake.parent / "good", "--lake", lake)
    assert result.code == 5
    assert path.name in result.err
    assert "pointline repair" in result.err
