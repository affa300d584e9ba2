"""What the lake holds: instruments, days, gaps, ids that are missing or double, rows set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import schema
from pointline.clock import DAY_US, date_text, next_month, to_us
from pointline.errors import RegistryError
from pointline.instruments import Instrument, pair_spot
from pointline.lake.coverage import Covered, cover, part_days
from pointline.lake.manifest import Manifest, read_quarantine
from pointline.lake.paths import read_slot

if TYPE_CHECKING:
    from pointline.lake.store import Lake, PartitionFile

COVERAGE_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "exchange": pl.String(),
    "symbol": pl.String(),
    "first_date": pl.String(),
    "last_date": pl.String(),
    "partitions": pl.Int64(),
    "missing_partitions": pl.Int64(),
    "rows": pl.Int64(),
    "covered_share": pl.Float64(),
    "missing_us": pl.Int64(),
    "missing_ids": pl.Int64(),
    "missing_candles": pl.Int64(),
    "missing_stamps": pl.Int64(),
    "off_grid": pl.Int64(),
    "flagged": pl.Int64(),
    "superseded": pl.Int64(),
}


@dataclass(frozen=True)
class Held:
    """A table of one instrument.

    Attributes:
        row: `COVERAGE_SCHEMA`.
        gaps: dates of the partitions that are missing between the first and the last.
        days: 00:00 UTC of the days that are present, of a table of daily partitions.
        covered: what of the time it covers.
        files: its partitions, in time order.
    """

    row: dict[str, Any]
    gaps: list[str]
    days: list[int]
    covered: Covered
    files: list[PartitionFile]


def coverage(lake: Lake, exchange: str | None = None, symbol: str | None = None) -> pl.DataFrame:
    """What the lake holds and what is missing, a row per table and instrument.

    Returns:
        kind, exchange, symbol; first_date and last_date with rows (of candles: on which the first and the last start); partitions (days
        or months) present, and missing between them unless ids show that nothing was traded; rows; covered_share and missing_us of the
        time in which rows are expected; missing_ids of trades; missing_candles; missing_stamps (settlements of funding, stamps of open
        interest); off_grid (candles that start at no multiple of their length, which SQL and spreads ignore); flagged (off-book prints);
        superseded (rows in reserve, because another file has a better one). `pointline.lake.coverage` defines what counts as missing.
    """
    return pl.DataFrame([one.row for one in held(lake, exchange, symbol)], schema=COVERAGE_SCHEMA, orient="row")


def held(lake: Lake, exchange: str | None = None, symbol: str | None = None) -> list[Held]:
    """Every table and instrument of the lake, or those of one exchange and symbol."""
    slots = [(kind, *names) for kind in lake.kinds() for names, _ in _instruments(lake, kind, exchange, symbol)]
    expiries = _expiries(lake) if slots else {}
    keys = _keys(lake) if any(kind == schema.LIQUIDATIONS.name for kind, *_ in slots) else []
    return [_held(lake, *slot, expiries.get(slot[1:]), keys) for slot in slots]


def _keys(lake: Lake) -> list[str]:
    """Of the archive files that were read whole, also where they had no row."""
    files = Manifest(lake).frame().filter(pl.col("outcome").is_in(["landed", "superseded", "empty"]))
    return files["key"].to_list()


def _held(lake: Lake, kind: str, exchange: str, symbol: str, expiry_us: int | None, keys: list[str]) -> Held:
    files = lake.files(kind, exchange, symbol)
    lake.fetch_footers(files)
    covered = cover(kind, files, expiry_us, keys=keys)
    monthly = schema.table(kind).monthly
    absent = gaps([date_text(file.start_us) for file in files], monthly=monthly)
    if not monthly:  # where the ids on both sides follow one another, nothing was traded
        absent = [date for date in absent if covered.missing_in(to_us(date), to_us(date) + DAY_US)]
    row = {
        "kind": kind,
        "exchange": exchange,
        "symbol": symbol,
        "first_date": date_text(covered.from_us),
        "last_date": date_text(covered.last_us),
        "partitions": len(files),
        "missing_partitions": len(absent),
        "rows": sum(file.rows for file in files),
        "covered_share": covered.share,
        "missing_us": covered.missing_us,
        "missing_ids": covered.missing_ids,
        "missing_candles": covered.missing_candles,
        "missing_stamps": covered.missing_stamps,
        "off_grid": covered.off_grid,
        "flagged": 0 if monthly else sum(file.totals.get("off_book", 0) for file in files),
        "superseded": superseded_rows(lake, kind, exchange, symbol),
    }
    return Held(row, absent, [] if monthly else [file.start_us for file in files], covered, files)


def _expiries(lake: Lake) -> dict[tuple[str, str], int]:
    """When each dated contract is delivered, by exchange and symbol."""
    dated = lake.registry().frame.filter((pl.col("asset_type") == "future") & pl.col("expiry_us").is_not_null())
    return {(exchange, symbol): us for exchange, symbol, us in dated.select("exchange", "exchange_symbol", "expiry_us").iter_rows()}


def superseded_rows(lake: Lake, kind: str, exchange: str, symbol: str) -> int:
    """Rows that are kept in reserve because another file has a better row of the same event."""
    kept = lake.listing(f"{kind}_reserve").filter((pl.col("exchange") == exchange) & (pl.col("symbol") == symbol))
    return int(kept["num_records"].sum())


def asked_for(lake: Lake, exchange: str | None, symbol: str | None) -> pl.Expr:
    """Whether a row with ``exchange`` and ``symbol`` is one of those that were asked for.

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
    """Everything that the lake holds and misses, JSON-ready.

    Returns:
        ``instruments``: one entry per table and instrument with its coverage, the dates of its gaps, the spans of time that are
        ``missing`` (microseconds, end exclusive), its ``part_days`` (days that are covered to less than 99.9 %: date, covered_share, what
        is missing), files, quarantined rows, duplicates, rows out of order, its clock, and the ``layouts`` of its files (source and
        market, or dataset where the source has no markets); ``pairs``: each derivative that the lake holds with its spot market and the
        reason; ``quarantine``: counts by reason; ``files``: counts by outcome.
    """
    manifest = Manifest(lake)
    files = manifest.frame()
    aside = read_quarantine(lake, manifest)
    aside = aside.filter(asked_for(lake, exchange, symbol))
    by_slot = _files_by_instrument(files)
    aside_counts = {tuple(key): len(part) for key, part in aside.group_by(["kind", "exchange", "symbol"])}
    entries = []
    for one in held(lake, exchange, symbol):
        slot = (one.row["kind"], one.row["exchange"], one.row["symbol"])
        own = by_slot.get(slot, {})
        entries.append(
            {
                **one.row,
                "gaps": one.gaps,
                "missing": [list(span) for span in one.covered.missing],
                "part_days": _part_days(one),
                "files": own.get("files", 0),
                "quarantined": aside_counts.get(slot, 0),
                "duplicates": own.get("duplicates", 0),
                "out_of_order": own.get("out_of_order", 0),
                "clock": own.get("clock", ""),
                "layouts": sorted(own.get("layouts", ())),
            }
        )
    pairs = _pairs(lake, {(row["exchange"], row["symbol"]) for row in entries})
    without_id = pl.col("reason").str.split(", trade ").list.first()
    reasons = aside.group_by(without_id).len().sort("len", "reason", descending=[True, False]) if not aside.is_empty() else None
    return {
        "lake": lake.place,
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
            entry = slots.setdefault(slot, {"files": 0, "duplicates": 0, "out_of_order": 0, "clock": row["clock"], "layouts": set()})
            entry["files"] += 1
            entry["layouts"].add(f"{row['source']}/{row['market'] or row['dataset']}")
            for name in ("duplicates", "out_of_order"):
                entry[name] += row[name]
            if row["clock"] not in entry["clock"].split(","):
                entry["clock"] += f",{row['clock']}"
    return slots


def _part_days(one: Held) -> list[dict[str, Any]]:
    found = part_days(one.covered.missing, one.covered.from_us, one.covered.until_us, one.days)
    return [{"date": date_text(day), "covered_share": share, "what": what} for day, share, what in found]
