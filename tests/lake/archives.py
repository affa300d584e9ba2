"""Small archive files written by hand, and what a lake looks like from outside."""

from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING

from pointline.clock import to_us
from pointline.ingest.run import ingest
from pointline.lake import open_lake
from pointline.lake.manifest import Manifest, read_quarantine
from pointline.schema import MANIFEST_SCHEMA
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from pointline.ingest.run import FileReport
    from pointline.lake import Lake

SOURCES = all_sources()
TRADES_HEADER = "id,price,qty,quote_qty,time,is_buyer_maker"
FUTURES = "data/futures/um"


def ms(text: str) -> int:
    """Milliseconds of a time."""
    return to_us(text) // 1000


def trade(number: int, time: str, price: str = "60000.1", qty: str = "0.001", maker: str = "true") -> str:
    """A line of a USD-M trades file."""
    return f"{number},{price},{qty},{Decimal(price) * Decimal(qty)},{ms(time)},{maker}"


def write(folder: Path, place: str, *lines: str, header: str | None = None, checksum: bool = False) -> Path:
    """An archive (zip, gz or plain by its name) of these lines at a place such as ``data/…/BTCUSDT-trades-2024-05-01.zip``."""
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in ([header] if header else []) + list(lines)).encode()
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{path.stem}.csv", "w") as member:
            member.write(text)
    else:
        path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    if checksum:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        path.with_name(f"{path.name}.CHECKSUM").write_text(f"{digest}  {path.name}", encoding="ascii")
    return path


def futures_trades(folder: Path, date: str, *lines: str, checksum: bool = False) -> Path:
    """A USD-M trades file of a day or month with its header."""
    span = "daily" if len(date) == len("2024-05-01") else "monthly"
    place = f"{FUTURES}/{span}/trades/BTCUSDT/BTCUSDT-trades-{date}.zip"
    return write(folder, place, *lines, header=TRADES_HEADER, checksum=checksum)


def noon_trades(folder: Path, day: str, first: int, count: int = 5, price: str = "60000.1") -> Path:
    """A USD-M trades file of a day with so many trades, at noon."""
    return futures_trades(folder, day, *(trade(first + k, f"{day} 12:00:{k:02d}", price) for k in range(count)))


def take(root: Path | str, *paths: Path, hints: Hints | None = None) -> list[FileReport]:
    """Ingests files into the lake at `root`, which is made where it does not exist."""
    return ingest(open_lake(root, create=True), paths, sources=SOURCES, hints=hints or Hints())


def land(root: Path | str, *paths: Path, hints: Hints | None = None) -> list[FileReport]:
    """As `take`, and every file must have been accepted."""
    reports = take(root, *paths, hints=hints)
    assert [report.problem for report in reports if report.outcome in {"failed", "unknown"}] == []
    return reports


def contents(root: Path | str) -> dict[str, bytes]:
    """All live data files of the market tables, by path, with their bytes."""
    lake = open_lake(root)
    with lake.held():
        return {
            f"{kind}/{path}": (lake.table_path(kind) / path).read_bytes() for kind in lake.kinds() for path in lake.listing(kind)["path"]
        }


def rows(root: Path | str, kind: str = "trades", exchange: str = "binance-futures", symbol: str = "BTCUSDT") -> pl.DataFrame:
    """All stored rows of an instrument, in time order."""
    lake = open_lake(root)
    return lake.scan(kind, exchange, symbol, to_us("2010-01-01"), to_us("2100-01-01")).collect()


def quarantine(root: Path | str) -> list[dict[str, object]]:
    """Rows set aside from the files that count now."""
    lake = open_lake(root)
    return read_quarantine(lake, Manifest(lake)).to_dicts()


def manifest(root: Path | str) -> pl.DataFrame:
    """Every entry of the manifest, also of files that were replaced."""
    return open_lake(root).rows("manifest", MANIFEST_SCHEMA).sort("entry")


def versions(root: Path | str) -> dict[str, int | None]:
    """Table -> number of its newest commit."""
    lake = open_lake(root)
    return {name: lake.newest_version(name) for name in lake.tables()}


def footer(lake: Lake, kind: str, date: str, exchange: str = "binance-futures", symbol: str = "BTCUSDT") -> dict[str, object]:
    """What a partition's file says of itself."""
    (file,) = (file for file in lake.files(kind, exchange, symbol) if file.start_us == to_us(date))
    return json.loads(json.dumps(file.footer))
