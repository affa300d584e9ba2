"""What the lake holds: instruments, days, gaps, ids that are missing or double, rows set aside."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, date_text, next_month, to_us
from pointline.errors import RegistryError
from pointline.instruments import Instrument, pair_spot
from pointline.lake.manifest import Manifest, read_quarantine
from pointline.lake.paths import read_slot

if TYPE_CHECKING:
    from pointline.lake.store import Lake

COVERAGE_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "exchange": pl.String(),
    "symbol": pl.String(),
    "first_date": pl.String(),
    "last_date": pl.String(),
    "partitions": pl.Int64(),
    "missing_partitions": pl.Int64(),
    "rows": pl.Int64(),
}


def coverage(lake: Lake, exchange: str | None = None, symbol: str | None = None) -> pl.DataFrame:
    """One row per table and instrument: first and last date, partitions (days or months) present and missing between them, rows."""
    rows = []
    for kind in lake.kinds():
        for (found_exchange, found_symbol), part in _instruments(lake, kind, exchange, symbol):
            dates = part["date"].sort().to_list()
            missing = len(gaps(dates, monthly=schema.table(kind).monthly))
            first, last = _date_span(lake, kind, found_exchange, found_symbol, dates)
            rows.append((kind, found_exchange, found_symbol, first, last, len(dates), missing, part["num_records"].sum()))
    return pl.DataFrame(rows, schema=COVERAGE_SCHEMA, orient="row")


def _date_span(lake: Lake, kind: str, exchange: str, symbol: str, dates: list[str]) -> tuple[str, str]:
    """First and last date with rows; of monthly partitions, what their rows say."""
    if not schema.table(kind).monthly:
        return dates[0], dates[-1]
    files = lake.files(kind, exchange, symbol)
    first, last = files[0].totals["first_local_us"], files[-1].totals["last_local_us"]
    return date_text(first), date_text(max(first, last - 1))  # what ends at midnight belongs to the day before


def asked_for(lake: Lake, exchange: str | None, symbol: str | None) -> pl.Expr:
    """Whether a row with ``exchange`` and ``symbol`` is one that somebody asks for.

    Args:
        lake: whose instruments are meant.
        exchange: exchange id, alias or SQL name; every exchange if None.
        symbol: the exchange's own symbol or the universal market name, in any case; every symbol if None.
    """
    wanted = pl.lit(value=True)
    if exchange is not None:
        wanted &= pl.col("exchange") == lake.registry().exchange_id(exchange)
    if symbol is not None:
        spellings = [symbol, symbol.upper()]
        called = pl.any_horizontal(pl.col("exchange_symbol", "market").is_in(spellings))
        known = lake.registry().frame.filter(called).select("exchange", symbol="exchange_symbol").unique()
        pairs = [(pl.col("exchange") == one) & (pl.col("symbol") == own) for one, own in known.iter_rows()]
        wanted &= pl.any_horizontal(pl.col("symbol") == symbol, *pairs)
    return wanted


def _instruments(lake: Lake, kind: str, exchange: str | None, symbol: str | None) -> list[tuple[tuple[str, str], pl.DataFrame]]:
    listing = lake.listing(kind).filter(asked_for(lake, exchange, symbol))
    return [((str(key[0]), str(key[1])), part) for key, part in listing.group_by(["exchange", "symbol"], maintain_order=True)]


def gaps(dates: list[str], *, monthly: bool) -> list[str]:
    """Dates (or months' firsts) that are missing between the first and the last of `dates`."""
    present = set(dates)
    missing = []
    at, last = to_us(dates[0]), to_us(dates[-1])
    while at < last:
        at = next_month(at) if monthly else at + DAY_US
        if date_text(at) not in present:
            missing.append(date_text(at))
    return missing


def catalog(lake: Lake, exchange: str | None = None, symbol: str | None = None) -> dict[str, Any]:
    """The whole picture, JSON-ready.

    Returns:
        ``instruments``: one entry per table and instrument with its coverage, the dates of its gaps, files, quarantined rows,
        duplicates, ids missing inside files and between days, rows out of order, and its clock; ``pairs``: each derivative that
        the lake holds with its spot market and the reason; ``quarantine``: counts by reason; ``files``: counts by outcome.
    """
    manifest = Manifest(lake)
    files = manifest.frame()
    aside = read_quarantine(lake, manifest)
    aside = aside.filter(asked_for(lake, exchange, symbol))
    by_slot = _files_by_instrument(files)
    aside_counts = {tuple(key): len(part) for key, part in aside.group_by(["kind", "exchange", "symbol"])}
    entries = []
    for row in coverage(lake, exchange, symbol).iter_rows(named=True):
        slot = (row["kind"], row["exchange"], row["symbol"])
        own = by_slot.get(slot, {})
        entries.append(
            {
                **row,
                "gaps": _gap_dates(lake, *slot),
                "files": own.get("files", 0),
                "quarantined": aside_counts.get(slot, 0),
                "duplicates": own.get("duplicates", 0),
                "missing_ids": own.get("missing_ids", 0) + _missing_between(lake, *slot),
                "out_of_order": own.get("out_of_order", 0),
                "clock": own.get("clock", ""),
            }
        )
    pairs = _pairs(lake, {(row["exchange"], row["symbol"]) for row in entries})
    without_id = pl.col("reason").str.split(", trade ").list.first()
    reasons = aside.group_by(without_id).len().sort("len", "reason", descending=[True, False]) if not aside.is_empty() else None
    return {
        "lake": str(lake.root),
        "instruments": entries,
        "pairs": pairs,
        "quarantine": [] if reasons is None else [{"reason": reason, "rows": count} for reason, count in reasons.iter_rows()],
        "files": dict(files.group_by("outcome").len().sort("outcome").iter_rows()),
    }


def _pairs(lake: Lake, held: set[tuple[str, str]]) -> list[dict[str, str]]:
    """The derivatives among the held instruments with the spot market that fits each best, as of its newest version."""
    registry = lake.registry()
    found = []
    for exchange, symbol in sorted(held):
        own = (pl.col("exchange") == exchange) & (pl.col("exchange_symbol") == symbol)
        versions = registry.frame.filter(own & (pl.col("asset_type") != "spot"))
        if versions.is_empty():
            continue
        perp = Instrument.from_row(versions.row(-1, named=True))
        try:
            pair = pair_spot(registry, perp, perp.valid_from_us or perp.valid_until_us - 1)
        except RegistryError as error:
            found.append({"perp": perp.name, "spot": "", "reason": error.what})
        else:
            found.append({"perp": perp.name, "spot": pair.spot.name, "reason": pair.reason})
    return found


def _files_by_instrument(files: pl.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    slots: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in files.iter_rows(named=True):
        touched = {read_slot(p)[:3] for p in row["partitions"]}
        for slot in touched:
            entry = slots.setdefault(slot, {"files": 0, "duplicates": 0, "missing_ids": 0, "out_of_order": 0, "clock": row["clock"]})
            entry["files"] += 1
            for name in ("duplicates", "missing_ids", "out_of_order"):
                entry[name] += row[name]
            if row["clock"] not in entry["clock"].split(","):
                entry["clock"] += f",{row['clock']}"
    return slots


def _gap_dates(lake: Lake, kind: str, exchange: str, symbol: str) -> list[str]:
    ((_, part),) = _instruments(lake, kind, exchange, symbol)
    return gaps(part["date"].sort().to_list(), monthly=schema.table(kind).monthly)


def _missing_between(lake: Lake, kind: str, exchange: str, symbol: str) -> int:
    """Ids missing between the last trade of a day and the first of the next day that is present."""
    if not schema.table(kind).continuous:
        return 0
    spans = [(f.totals["first_id"], f.totals["last_id"]) for f in lake.files(kind, exchange, symbol)]
    known = [(first, last) for first, last in spans if first is not None]
    return sum(max(0, after[0] - before[1] - 1) for before, after in pairwise(known))
