"""What a study was made of: archive files with their hashes, the spine, the versions, and the call that makes it again."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import MISSING, fields
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import clock, schema
from pointline.bars.candle_events import VenueCandles
from pointline.bars.given import GivenBars
from pointline.bars.run import VenueTrades
from pointline.features import FeatureParams
from pointline.lake.manifest import Manifest
from pointline.version import package_version

if TYPE_CHECKING:
    from pointline.instruments import Instrument
    from pointline.studies.reported import Reported

LIBRARIES = ("polars", "numpy", "numba", "scipy", "deltalake", "pyarrow", "plotly")
_PARAMS = ("max_spot_age_us", "max_perp_age_us", "max_hole_us", "smooth_bars", "z_bars", "holding_hours")
_LOOK_BACK_US = 8 * clock.DAY_US  # payments of funding are read so far back
_PERIOD = r"^\d{4}-\d{2}(-\d{2})?$"  # of a month or a day
_STATE = {
    schema.DERIVATIVE_TICKER.name: "funding, mark, index and open interest",
    schema.FUNDING.name: "settled funding",
    schema.OPEN_INTEREST.name: "open interest",
    schema.candles("1m", "mark").name: "mark price",
    schema.candles("1m", "index").name: "index price",
}
_COLUMNS = ("file", "used_for", "period", "sha256", "rows_read", "rows_landed", "rows_flagged", "duplicates", "rows_quarantined", "clock")


def sources(study: Reported) -> pl.DataFrame:
    """The archive files that the partitions of a study's window come from, as the lake's manifest has them.

    Args:
        study: a comparison; its lake is read.

    Returns:
        One row per file: ``file``, ``used_for``, ``period``, ``sha256``, ``rows_read``, ``rows_landed``, ``rows_flagged``, ``duplicates``,
        ``rows_quarantined``, ``clock`` (whether receipt times were recorded or assumed), in order of use, name and period.

    Examples:
        >>> import pointline
        >>> study = pointline.compare(
        ...     "binance-futures:BTCUSDT", "binance-spot:BTCUSDT", start="2024-05-01", end="2024-05-02", lake="out/demo/lake"
        ... )
        >>> sources(study).select("file", "used_for").row(0)
        ('BTCUSDT-trades-2024-05-01.zip', 'perp trades: bars')
    """
    parts = pl.col("partitions").list
    told = Manifest(study._lake).frame().filter(pl.col("outcome") == "landed", parts.len() > 0)  # noqa: SLF001 - of the same room
    used = [_used(told, *one) for one in _uses(study)]
    found = pl.concat(used) if used else pl.DataFrame()
    columns = (pl.col("file_name").alias("file"), *_COLUMNS[1:])
    return found.select("order", *columns).unique(["file", "sha256", "used_for"]).sort("order", "period", "file", "sha256").drop("order")


def _uses(study: Reported) -> list[tuple[int, Instrument, str, str, tuple[int, int]]]:
    """Place in the list, instrument, table, what it is used for, and the time that is read of it."""
    window = (study.start_us, study.end_us)
    uses: list[tuple[int, Instrument, str, str, tuple[int, int]]] = []
    for side in ("perp", "spot"):
        venue = study._sides[side]  # noqa: SLF001 - of the same room
        kind = venue.kind if isinstance(venue, VenueCandles) else schema.TRADES.name
        uses.append((len(uses), venue.instrument, kind, f"{side} {kind.replace('_', ' ')}: bars", window))
    read = (study.start_us - _LOOK_BACK_US, study.end_us)
    uses += [(len(uses) + n, study.pair.perp, kind, f"perp: {what}", read) for n, (kind, what) in enumerate(_STATE.items())]
    return uses


def _used(told: pl.DataFrame, order: int, instrument: Instrument, kind: str, what: str, read: tuple[int, int]) -> pl.DataFrame:
    """The files behind the partitions of a table that lie in the time that is read."""
    names = {instrument.exchange_symbol, instrument.exchange_symbol.split("_")[0]}  # index candles are filed under the pair's name
    first, last = clock.date_text(read[0]), clock.date_text(read[1] - 1)
    part = pl.element().str.split("/")
    earliest = f"{first[:7]}-01" if schema.table(kind).monthly else first
    inside = (part.list.first() == kind) & part.list.last().is_between(pl.lit(earliest), pl.lit(last))
    own = (pl.col("exchange") == instrument.exchange) & pl.col("symbol").is_in(sorted(names))
    length = pl.col("period").str.len_chars()
    declared = pl.col("period").is_between(pl.lit(first).str.slice(0, length), pl.lit(last).str.slice(0, length))
    reaches = declared | ~pl.col("period").str.contains(_PERIOD) | pl.col("period").is_null()
    return told.filter(own, reaches, pl.col("partitions").list.eval(inside).list.any()).with_columns(
        used_for=pl.lit(what), order=pl.lit(order, dtype=pl.Int64)
    )


def digest(files: pl.DataFrame) -> str:
    """One SHA-256 of the sorted hashes of all files, each on a line: the same files give the same, whatever their number."""
    lines = "".join(f"{one}\n" for one in sorted(set(files["sha256"].to_list())))
    return hashlib.sha256(lines.encode()).hexdigest()


def versions() -> pl.DataFrame:
    """Versions of pointline, Python and the libraries that compute: ``what``, ``version``."""
    rows = [("pointline", package_version()), ("Python", platform.python_version())]
    for name in LIBRARIES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return pl.DataFrame(rows, schema={"what": pl.String, "version": pl.String}, orient="row")


def call_text(study: Reported) -> str:
    """The call that makes the study again, as Python, but for what it does not keep: age limits of state, funding rules of your own."""
    start, end = (clock.time_text(us).removesuffix(" 00:00:00") for us in (study.start_us, study.end_us))
    own = isinstance(study.rule, GivenBars)
    options = [f'start="{start}"', f'end="{end}"', "bars=spine,  # a frame of windows of your own" if own else f"bars={_short(study.rule)}"]
    venue = study._sides["perp"]  # noqa: SLF001 - of the same room
    if isinstance(venue, VenueCandles):
        options.append(f'events="{venue.kind}"')
    elif isinstance(venue, VenueTrades) and venue.include_off_book:
        options.append("include_off_book=True")
    if study.join != "asof":
        options.append(f'join="{study.join}"')
    params, standard = study.params, FeatureParams()
    changed = [f"{name}={getattr(params, name)!r}" for name in _PARAMS if getattr(params, name) != getattr(standard, name)]
    options += [f"params=FeatureParams({', '.join(changed)})"] if changed else []
    options += [f"costs={_short(params.costs)}", f'lake="{lake_name(study)}"']
    lines = [f'"{study.pair.perp.name}"', f'"{study.pair.spot.name}"', *options]
    body = "\n".join(f"    {line}" if "#" in line else f"    {line}," for line in lines)
    unknown = (
        "# spot_bars, the spot's own spine, is not kept by the study and has to be added\n" if "spot_bucket_end" in study.columns else ""
    )
    rule = "" if own else f"from pointline.research.spines import {type(study.rule).__name__}\n"
    rule = f"from pointline.features import FeatureParams\n{rule}" if changed else rule
    return f"import pointline\nfrom pointline.costs import CostModel\n{rule}\n{unknown}study = pointline.compare(\n{body}\n)"


def _short(value: Any) -> str:  # noqa: ANN401 - a frozen dataclass
    """A dataclass as a call with the fields that differ from their defaults."""
    told = [
        f"{one.name}={_plain(getattr(value, one.name))}"
        for one in fields(value)
        if one.default is MISSING or getattr(value, one.name) != one.default
    ]
    return f"{type(value).__name__}({', '.join(told)})"


def _plain(value: object) -> str:
    """A number or text as Python writes it; a Decimal as the number that was given."""
    return str(value) if isinstance(value, Decimal) else repr(value)


def lake_name(study: Reported) -> str:
    """The lake as the reader may know it: its URL; its folder's path from the current one where it lies below, else its name alone."""
    if study._lake.mirror is not None:  # noqa: SLF001 - of the same room
        return study._lake.place  # noqa: SLF001 - as above
    root = study._lake.root.absolute()  # noqa: SLF001 - of the same room
    here = Path.cwd()
    return root.relative_to(here).as_posix() if root.is_relative_to(here) and root != here else root.name
