"""The command line as tests run it, and the archive files of a small market."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest import mock

from tests import oracle

from pointline import cli

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PERP, SPOT = "binance-futures:BTCUSDT", "binance-spot:BTCUSDT"
MAY_1 = 1_714_521_600_000_000  # 2024-05-01 00:00 UTC
DAY, HOUR = oracle.DAY_US, oracle.DAY_US // 24
DAYS = (0, 1, 3)  # the lake has no 2024-05-03
PERP_TRADES, SPOT_TRADES = 400, 120
OFF_BOOK_ID = 1_203
PERP_HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"
WINDOW = ("--start", "2024-05-01", "--end", "2024-05-03")


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:  # noqa: ANN401 -- any JSON
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error that --json gives, which is all that stands on standard error."""
        (name, fields), *rest = json.loads(self.err).items()
        assert (name, rest, fields["exit_code"]) == ("error", [], self.code)
        assert list(fields) == ["what", "where", "value", "expected", "hint", "exit_code"]
        return dict(fields)


def run(*arguments: str | Path, stdin: bytes = b"") -> Result:
    """The command in this process, as the entry point runs it."""
    given, out, err = io.TextIOWrapper(io.BytesIO(stdin)), io.TextIOWrapper(io.BytesIO(), newline="\n"), io.StringIO()
    argv = ["pointline", *map(str, arguments)]
    code: object = 0
    with (
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(sys, "stdin", given),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
    out.flush()
    assert isinstance(code, int)
    return Result(code, out.buffer.getvalue().decode("utf-8"), err.getvalue())


def run_process(*arguments: str | Path, env: dict[str, str] | None = None, max_file_kib: int | None = None) -> Result:
    """The command as a process of its own, where wanted one whose files may not grow beyond a size."""
    limit = [] if max_file_kib is None else ["bash", "-c", 'ulimit -f "$0" && exec "$@"', str(max_file_kib)]
    command = [*limit, sys.executable, "-m", "pointline.cli", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    return Result(done.returncode, done.stdout, done.stderr)


def done(*arguments: str | Path) -> Result:
    """As `run`, and the command must have succeeded without a word on standard error."""
    result = run(*arguments)
    assert (result.code, result.err) == (0, "")
    return result


@dataclass(frozen=True)
class Row:
    """One line of a trades file; price in 0.01, quantity in 0.001."""

    number: int
    price: int
    qty: int
    us: int
    seller: bool

    def line(self, *, spot: bool) -> str:
        price, qty = Decimal(self.price).scaleb(-2), Decimal(self.qty).scaleb(-3)
        return f"{self.number},{price},{qty},{price * qty},{self.us // 1000},{str(self.seller).lower()}" + (",true" if spot else "")

    @property
    def trade(self) -> oracle.Trade:
        return oracle.Trade(self.us, self.price, self.qty, self.seller, self.price * self.qty)


def day_of_rows(day: int, count: int, first_number: int, seed: int) -> list[Row]:
    """A day of trades in milliseconds, many of them at the same time."""
    dice = random.Random(seed)  # noqa: S311 -- prices, not secrets
    times = sorted(MAY_1 + day * DAY + 1_000 * dice.randrange(DAY // 1_000) for _ in range(count))
    for at in range(1, count):
        if dice.random() < 0.3:
            times[at] = times[at - 1]
    times.sort()
    rows, price = [], 6_000_000 + 100 * seed
    for at, us in enumerate(times):
        price += 10 * dice.randrange(-5, 6)
        rows.append(Row(first_number + at, price, dice.randrange(1, 3_000), us, dice.random() < 0.5))
    return rows


class Market(NamedTuple):
    """The files of a market, and the trades in them that a lake should hold."""

    folder: Path
    perp: list[oracle.Trade]
    spot: list[oracle.Trade]


def write_zip(path: Path, lines: Sequence[str], *, checksum: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{path.stem}.csv", "".join(f"{line}\n" for line in lines))
    if checksum:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}", encoding="ascii")
    return path


def date(day: int) -> str:
    return f"2024-05-{day + 1:02d}"


def archive(folder: Path, market: str, day: int) -> Path:
    return folder / f"data/{market}/daily/trades/BTCUSDT/BTCUSDT-trades-{date(day)}.zip"


def exchange_info(path: Path, *, market: str, server_us: int, tick: str) -> Path:
    """An exchange's answer with the one instrument."""
    symbol: dict[str, object] = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT"}
    if market == "spot":
        symbol |= {"isSpotTradingAllowed": True}
    else:
        symbol |= {"contractType": "PERPETUAL", "marginAsset": "USDT", "deliveryDate": 4_133_404_800_000, "onboardDate": 1_569_398_400_000}
    symbol["filters"] = [{"filterType": "PRICE_FILTER", "tickSize": tick}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]
    head: dict[str, object] = {"timezone": "UTC", "serverTime": server_us // 1000, "rateLimits": []}
    if market != "spot":
        head |= {"futuresType": "U_MARGINED"}
    path.write_text(json.dumps({**head, "symbols": [symbol]}), encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with its hash, but for the lock, which holds a process number, and what reading may leave in the cache."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not {".lock", ".cache"} & set(path.relative_to(folder).parts))
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def assert_refused(result: Result, *fragments: str, advice: bool = True, code: int = 2) -> None:
    """Exit code 2 and an error that says what, where or which value, and what would do or what to do next."""
    assert result.code == code, result
    assert result.err.startswith("error: ")
    assert "Traceback" not in result.err + result.out
    assert "unexpected" not in result.err
    assert re.search(r"^  (where|value): ", result.err, re.MULTILINE), result.err
    assert re.search(r"^  (expected|hint): ", result.err, re.MULTILINE) or not advice, result.err
    for fragment in fragments:
        assert fragment in result.err
