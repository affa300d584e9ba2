"""ClickHouse's own client for Node, as web developers use it. `node/ask.mjs` asks, the tests here look at what it got.

Node and npm are needed; the client is installed into pytest's cache as `node/package-lock.json` says.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.machine import limit

from pointline import sql

if TYPE_CHECKING:
    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

NODE = Path(__file__).parent / "node"
MINUTES = 60
CANDLES = """SELECT toString(start) AS start, exchange, market, toString(close) AS close, toString(volume) AS volume
FROM api.ohlcv(candle_duration_in_minutes = {minutes:UInt32}) ORDER BY exchange, market, start"""


@pytest.fixture(scope="module")
def installed(pytestconfig: pytest.Config) -> Path:
    """A folder with the script and the client."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("Node and npm are not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        pytest.skip(f"Node is {version}, the client needs 20 or newer")
    digest = hashlib.sha256((NODE / "package-lock.json").read_bytes()).hexdigest()[:16]
    place = Path(pytestconfig.cache.mkdir("node")) / digest
    if not place.is_dir():
        making = Path(tempfile.mkdtemp(dir=place.parent))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(NODE / name, making)
        run = subprocess.run(
            [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=making, capture_output=True, text=True, check=False
        )
        if run.returncode:
            shutil.rmtree(making)
            pytest.skip(f"@clickhouse/client cannot be installed: {run.stderr.strip()[-300:]}")
        try:
            making.rename(place)
        except OSError:  # another process was quicker
            shutil.rmtree(making)
    shutil.copy(NODE / "ask.mjs", place)
    return place


@pytest.fixture(scope="module")
def told(installed: Path, server: RunningServer) -> dict[str, Any]:
    """What every task of the script gave."""
    run = subprocess.run(
        ["node", "ask.mjs", server.url.rstrip("/")], cwd=installed, capture_output=True, text=True, check=False, timeout=limit(120)
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.fixture(scope="module")
def rows(simulated: Lake) -> list[dict[str, str]]:
    """The candles without a server."""
    return sql.query(CANDLES, lake=simulated, minutes=MINUTES).to_dicts()


def test_no_task_fails(told: dict[str, Any]) -> None:
    assert {name: value for name, value in told.items() if isinstance(value, dict) and "failed" in value} == {}


def test_pings(told: dict[str, Any]) -> None:
    assert told["ping"] == told["pingWithSelect"] == {"success": True}


def test_every_format_gives_the_rows_that_the_library_gives(told: dict[str, Any], rows: list[dict[str, str]]) -> None:
    assert len(rows) > 40
    assert told["json"] == rows
    assert told["jsonCompactEachRow"] == [list(row.values()) for row in rows]
    assert told["streamedRows"] == rows
    assert list(csv.reader(io.StringIO(told["csv"]))) == [list(row.values()) for row in rows]
    assert pl.read_parquet(io.BytesIO(base64.b64decode(told["parquet"]))).to_dicts() == rows


def test_streams_and_compression(told: dict[str, Any]) -> None:
    text = "".join(f"{n}\n" for n in range(500_000))
    assert told["largeStream"] == {"rows": 500_000, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    assert told["compressed"] == 100_000 * 99_999 // 2


def test_parameters_arrive_as_they_were_sent(told: dict[str, Any]) -> None:
    given, row = told["parameters"]["given"], told["parameters"]["row"]
    assert row.pop("time") == "2024-12-01 01:02:03.456"
    assert given.pop("time") == "2024-12-01T01:02:03.456Z"
    assert row == given
    assert [{name: int(value) for name, value in row.items()} for row in told["identifier"]] == [{"n": 1}]


def test_settings_sessions_and_ids(told: dict[str, Any]) -> None:
    assert told["settings"] == 3
    assert told["session"] == [{"a": 1}]
    assert told["queryId"] == "from-node-1"
    assert told["parallel"] == 1


def test_refusals_have_code_and_name(told: dict[str, Any]) -> None:
    expected = {
        "command": ("497", "ACCESS_DENIED"),
        "insert": ("497", "ACCESS_DENIED"),
        "unknownColumn": ("47", "UNKNOWN_IDENTIFIER"),
        "hostile": ("497", "ACCESS_DENIED"),
        "unknownSetting": ("164", "READONLY"),
    }
    assert {name: (told[name]["code"], told[name]["type"]) for name in expected} == expected
    assert {told[name]["name"] for name in expected} == {"ClickHouseError"}


def test_an_aborted_query_is_stopped(told: dict[str, Any], server: RunningServer) -> None:
    assert told["abort"]["told"] is not None
    assert told["abort"]["after"] == [{"a": 1}]
    assert server.client.get(server.url + "ping").text == "Ok.\n"
    assert server.entry("aborted-by-node")["outcome"] == "gone"
