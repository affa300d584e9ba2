"""Every command in odd places: lakes whose paths look like patterns, odd clocks, no home, tables on another disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pointline.cli import app
from pointline.lake import open_lake

START_MS = 1_714_521_600_000  # 2024-05-01
WINDOW = ("--start", "2024-05-01", "--end", "2024-05-02")
PAIR = ("binance-futures:BTCUSDT", "binance-spot:BTCUSDT")
COUNT = "SELECT count() FROM api.trade"
ASKED = f"{COUNT} WHERE timestamp >= '2024-05-01' AND timestamp < '2024-05-02'"  # the server wants a window
MAPPING = """
kind = "trades"
symbol = "BTCUSDT"
[columns]
ts_event_us = { column = "time", unit = "ms" }
trade_id = "id"
price = "price"
qty = "qty"
side = { column = "maker", seller_taker = ["true"] }
"""
# The second part of each pair is a lake beside it that a pattern would match too.
PLACES = [
    ("lake*", "lake2"),
    ("l?ke", "lake"),
    ("[1]", "1"),
    ("{a,b}", "a"),
    ("a#b", "a"),
    ("with space", "with"),
    ("it's", "its"),
    ('say "x"', "say"),
    ("a&b;c", "a"),
    ("naïve-币安", "naive"),
    ("dots...", "dots"),
    ("~nobody", "nobody"),
    ("100%", "100"),
    ("a+b=c,d", "a"),
    ("<x>", "x"),
    ("-dash", "dash"),
    ("/".join(["d" * 60] * 12), "d"),
    ("x" * 240, "x"),
]


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A mapping and a table of 40 trades, which stand for both markets."""
    folder = tmp_path_factory.mktemp("archive")
    (folder / "m.toml").write_text(MAPPING, encoding="utf-8")
    lines = [f"{n},{60_000 + n % 3},{1 + n % 2},{START_MS + 1_000 * n},{'true' if n % 2 else 'false'}" for n in range(1, 41)]
    (folder / "t.csv").write_text("\n".join(["id,price,qty,time,maker", *lines]) + "\n", encoding="utf-8")
    return folder


def run(*arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None) -> str:
    """What a command prints: of this process, or of one of its own where the environment or the folder is another."""
    if env is None and cwd is None:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None:
            raise result.exception
        return result.stdout
    command = [sys.executable, "-m", "pointline.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env, cwd=cwd)
    assert done.returncode == 0, f"{arguments[0]}: {done.stderr}"
    return done.stdout


def fill(lake: Path, archive: Path, env: dict[str, str] | None = None) -> None:
    for exchange in ("binance-futures", "binance-spot"):
        flags = ("--mapping", str(archive / "m.toml"), "--exchange", exchange, "--lake", str(lake))
        run("ingest", str(archive / "t.csv"), *flags, env=env)


def check_all(lake: Path, env: dict[str, str] | None = None) -> None:
    """Every command that reads, with what it must say."""
    place = ("--lake", str(lake))
    found = json.loads(run("catalog", *place, "--json", env=env))
    assert [row["rows"] for row in found["instruments"]] == [40, 40]
    output = lake.parent / "features.parquet"
    made = json.loads(run("compare", *PAIR, *WINDOW, "--threshold", "5", *place, "--json", "-o", str(output), "--save", "one", env=env))
    assert made["perp_rows"] == 40 if "perp_rows" in made else made["bars"] > 0
    assert output.is_file()
    again = json.loads(run("compare", *PAIR, *WINDOW, "--threshold", "5", *place, "--json", env=env))
    assert again["bars"] == made["bars"]
    assert json.loads(run("cache", *place, "--json", env=env))["entries"] > 0
    assert run("sql", COUNT, *place, "--format", "csv", env=env).split() == ['"count()"', "80"]
    saved = run("sql", "SELECT count() FROM api.features WHERE study = 'one'", *place, "--format", "csv", env=env)
    assert int(saved.split()[-1]) == made["bars"]
    spreads = run("spreads", "BTC", "--reference", "binance:BTC-USDT", *WINDOW, "--duration", "1m", *place, env=env)
    assert "BTC-USDT" in spreads
    assert json.loads(run("cache", *place, "--clear", "--json", env=env))["entries"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(("name", "beside"), PLACES, ids=lambda name: name[:20])
def test_every_command_takes_a_lake_at_any_place(tmp_path: Path, archive: Path, name: str, beside: str) -> None:
    lake = tmp_path / name
    lake.parent.mkdir(parents=True, exist_ok=True)
    other = tmp_path / beside
    fill(other, archive)
    fill(lake, archive)
    check_all(lake)
    assert not (lake / "trades" / "exchange=*").exists()


def test_a_lake_whose_path_is_a_pattern_shows_its_own_rows(tmp_path: Path, archive: Path) -> None:
    for name in ("lake1", "lake*"):
        fill(tmp_path / name, archive)
    place = ("--lake", str(tmp_path / "lake*"))
    assert [row["rows"] for row in json.loads(run("catalog", *place, "--json"))["instruments"]] == [40, 40]
    assert run("sql", COUNT, *place, "--format", "csv").split()[-1] == "80"


def test_a_relative_lake_named_like_a_users_home(tmp_path: Path, archive: Path) -> None:
    flags = ("--mapping", str(archive / "m.toml"), "--exchange", "binance")
    run("ingest", str(archive / "t.csv"), *flags, "--lake", "~nobody-has-this-name", cwd=tmp_path)
    assert (tmp_path / "~nobody-has-this-name" / "pointline.json").is_file()


def environment(**changes: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in changes}
    return {**kept, **{name: value for name, value in changes.items() if value is not None}}


def unwritable(tmp_path: Path) -> str:
    """A folder in which nothing can be made, whoever asks: it is a file."""
    (tmp_path / "home").write_text("", encoding="utf-8")
    return str(tmp_path / "home")


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["TZ=UTC-14", "TZ=Asia/Kathmandu", "no HOME", "unwritable HOME", "pattern in TMPDIR", "LANG=C"])
def test_every_command_runs_in_an_odd_environment(tmp_path: Path, archive: Path, condition: str) -> None:
    (tmp_path / "t[1]*").mkdir()
    changes: dict[str, dict[str, str | None]] = {
        "TZ=UTC-14": {"TZ": "UTC-14"},
        "TZ=Asia/Kathmandu": {"TZ": "Asia/Kathmandu"},
        "no HOME": {"HOME": None, "XDG_CACHE_HOME": None},
        "unwritable HOME": {"HOME": unwritable(tmp_path), "XDG_CACHE_HOME": None},
        "pattern in TMPDIR": {"TMPDIR": str(tmp_path / "t[1]*")},
        "LANG=C": {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"},
    }
    env = environment(**changes[condition])
    fill(tmp_path / "lake", archive, env)
    check_all(tmp_path / "lake", env)


def other_disk(here: Path) -> Path | None:
    """A folder of another file system than `here`."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    usable = memory.is_dir() and os.access(memory, os.W_OK) and memory.stat().st_dev != here.stat().st_dev
    return memory if usable else None


@pytest.mark.slow
def test_tables_may_be_links_to_another_disk(tmp_path: Path, archive: Path) -> None:
    disk = other_disk(tmp_path)
    if disk is None:
        pytest.skip("there is no second file system here")
    far = disk / f"pointline-test-{os.getpid()}"
    lake = open_lake(tmp_path / "lake", create=True)
    try:
        for kind in ("trades", "manifest", "studies"):
            (far / kind).mkdir(parents=True)
            (lake.root / kind).symlink_to(far / kind)
        fill(lake.root, archive)
        check_all(lake.root)
        assert len(list((far / "trades").rglob("part-*.parquet"))) == 2
        assert [path for path in far.rglob("*") if path.name.endswith(".tmp")] == []
    finally:
        shutil.rmtree(far, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lake*", "with space 币", "{a}#b"])
def test_a_server_takes_a_lake_at_any_place(tmp_path: Path, archive: Path, name: str) -> None:
    fill(tmp_path / name, archive)
    command = [sys.executable, "-m", "pointline.cli", "serve", "--lake", str(tmp_path / name), "--port", "0", "--unsafe-no-sandbox"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        try:
            address = next(word for line in server.stderr for word in line.split() if word.startswith("http://")).rstrip(",.;/")
            asked = urllib.request.Request(address, data=ASKED.encode())  # noqa: S310 - the server's own address
            deadline = time.monotonic() + 120
            while True:
                try:
                    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
                        assert answer.read().strip() == b"80"
                        break
                except urllib.error.HTTPError as error:
                    raise AssertionError(error.read().decode()) from error
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)
        finally:
            server.terminate()
