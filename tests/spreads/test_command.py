"""`pointline spreads`: what it prints and writes, and what each option refuses."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.spreads.market import COINBASE, SPOT, USDM, add_candles, day

import pointline
from pointline import cli

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

START = "2024-12-01"
REQUEST = {"--reference": "binance:BTC-USDT", "--start": START, "--end": "2025-01-01"}


class Result(NamedTuple):
    code: object
    out: str
    err: str


def run(*arguments: object) -> Result:
    """The command in this process, as the entry point runs it."""
    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    argv = ["pointline", "spreads", *map(str, arguments)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
    return Result(code, out.getvalue(), err.getvalue())


def words(options: Mapping[str, object]) -> list[object]:
    return [word for option, value in options.items() for word in (option, value)]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")

    def closes(premium: float) -> dict[int, float | str]:
        return {day(START, n): round((60_000 + 100 * n) * (1 + premium), 2) for n in range(31)}

    markets = {
        (SPOT, "BTCUSDT"): closes(0.0),
        (COINBASE, "BTC-USD"): closes(0.001),
        (USDM, "BTCUSDT"): closes(0.0002),
        (USDM, "BTCUSDT_250328"): closes(0.04),
    }
    return add_candles(folder, markets).root


def test_the_tables_are_printed(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    result = run("BTC", *words(REQUEST), "--lake", lake)
    assert (result.code, result.err) == (0, "")
    text = result.out
    assert "BTC: 2 contracts against binance:BTC-USDT" in text
    assert "2024-12-01 00:00:00 to 2025-01-01 00:00:00 UTC, end exclusive: 31 candles of 1d" in text
    assert "62 rows" in text
    assert "binance-usdm-future:BTC-USDT-2025-03-28  2025-03-28 08:00  86.33   +4.000" in text
    assert "costs 48 bps" in text


def test_files_are_written_and_json_is_printed(lake: Path, tmp_path: Path) -> None:
    table, chart = tmp_path / "spreads.parquet", tmp_path / "spreads.html"
    result = run("btc", *words(REQUEST), "--lake", lake, "-o", table, "--chart", chart, "--json", "--same-exchange")
    assert (result.code, result.err) == (0, "")
    found: dict[str, Any] = json.loads(result.out)
    assert (len(found["table"]), found["cost_bps"], found["references"]) == (62, 40.0, ["binance:BTC-USDT"])
    assert found["table"][0]["known_at"] == "2024-12-02 00:00:00+00:00"
    assert [row["market"] for row in found["carry"]] == ["BTC-USDT-2025-03-28"]
    expected = pointline.spreads("BTC", reference="binance:BTC-USDT", start=START, through="2024-12-31", lake=lake).table
    assert_frame_equal(pl.read_parquet(table), expected)
    assert chart.stat().st_size > 1_000_000


def test_csv(lake: Path, tmp_path: Path) -> None:
    path = tmp_path / "spreads.csv"
    assert run("BTC", *words(REQUEST), "--lake", lake, "-o", path, "--contracts", "binance-futures:BTCUSDT").code == 0
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 32
    assert lines[0].startswith("day,exchange,market,reference,close,spot_close,spread,spread_pct,start,end,known_at")
    assert lines[1].startswith("2024-12-01,binance-usdm-future,BTC-USDT,binance:BTC-USDT,60012.0,60000.0,12.0,0.02,2024-12-01T00:00:00")


def test_several_references_and_contracts(lake: Path) -> None:
    several = {"--reference": "binance:BTC-USDT, coinbase:BTC-USD", "--contracts": "binance-futures:BTCUSDT,binance-futures:BTCUSDT_250328"}
    result = run("BTC", *words(REQUEST | several), "--lake", lake)
    assert (result.code, result.err) == (0, "")
    assert "BTC: 2 contracts against binance:BTC-USDT, coinbase:BTC-USD" in result.out
    assert "note: contracts in USDT against coinbase:BTC-USD in USD" in result.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"--reference": "binance:BTC-EUR"}, "unknown on this exchange"),
        ({"--reference": ","}, "a reference is needed"),
        ({"--start": "last month"}, "start cannot be read as a time"),
        ({"--start": "2025-01-01"}, "the window is empty"),
        ({"--end": "2024-13-01"}, "end cannot be read as a time"),
        ({"--through": "2024-12-31"}, "a window has one end"),
        ({"--contracts": "BTCUSDT_250328"}, "exchange and market"),
        ({"--contracts": ""}, "no contract is named"),
        ({"--duration": "daily"}, "duration cannot be read as a duration"),
        ({"--duration": "30s"}, "whole minutes"),
        ({"--max-trade-age": "young"}, "max_trade_age cannot be read"),
        ({"-o": "spreads.ods"}, "the output cannot be written there"),
        ({"--chart": "spreads.svg"}, "the chart cannot be written there"),
        ({"--lake": "nowhere"}, "there is no lake here"),
    ],
)
def test_a_wrong_value_of_each_option(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("BTC", *words(REQUEST | {"--lake": str(lake)} | options))
    assert (result.code, result.out) == (2, "")
    assert said in result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_or_unknown(lake: Path) -> None:
    assert run("DOGE", *words(REQUEST), "--lake", lake).code == 2
    assert run(*words(REQUEST), "--lake", lake).code == 2
    assert run("BTC", "--lake", lake).code == 2
    result = run("BTC", *words(REQUEST), "--lake", lake, "--colour", "red")
    assert (result.code, result.out) == (2, "")
    assert "--colour" in result.err
