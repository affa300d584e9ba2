"""One pair of a scan as a file with one row, and the table of all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.errors import ClusterError, ConfigError
from pointline.report.files import write_blocks
from pointline.scale.files import read_content
from pointline.scale.pins import pinned_files
from pointline.scale.task import digest
from pointline.studies.compare import PartFigures
from pointline.studies.named import named_instrument
from pointline.studies.scan import compare_pair
from pointline.studies.scan_rows import SCAN_SCHEMA, scan_table, without_common_notes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pointline.lake.store import Lake
    from pointline.scale.task import ScanRowWork
    from pointline.studies.scan_pairs import ScanPair

_ROW_SCHEMA = {**SCAN_SCHEMA, "notes": pl.List(pl.String())}


def pinned_pair(lake: Lake, pair: ScanPair, start_us: int, end_us: int) -> str | None:
    """A digest of a pair's instruments and of the lake's files that its rows come from; None where there is no pair.

    Raises:
        RegistryError: an instrument is unknown.
    """
    if pair.spot is None:
        return None
    registry = lake.registry()
    perp, spot = (named_instrument(registry, name, start_us) for name in (pair.perp, pair.spot))
    return digest([perp, spot, pinned_files(lake, (perp, spot), end_us)])


def write_scan_row(lake: Lake, work: ScanRowWork, path: Path) -> PartFigures:
    """Compares a pair and writes its row.

    Raises:
        ClusterError: the lake's files of the pair are others than when the plan was made.
    """
    options = work.options
    if pinned_pair(lake, work.pair, options.start_us, options.end_us) != work.pinned:
        raise ClusterError(
            "the lake's files of a pair changed after the plan was made",
            where=str(lake.root),
            value=f"{work.pair.perp} and {work.pair.spot}",
            hint="run the same command into a new folder; nothing of two states of the lake was mixed",
        )
    row = compare_pair(lake, work.pair, options=options, limits=work.limits, folder=None).row
    write_blocks(iter([pl.DataFrame([[row[name] for name in _ROW_SCHEMA]], schema=_ROW_SCHEMA, orient="row")]), path)
    return PartFigures(1, 1)


def table_of_rows(contents: Sequence[bytes], sort: str) -> pl.DataFrame:
    """The table of `pointline.scan` from the files of its rows.

    Raises:
        ConfigError: there is no such column to sort by.
    """
    check_sort(sort)
    rows: list[dict[str, Any]] = [read_content(one).row(0, named=True) for one in contents]
    told, _ = without_common_notes(rows)
    return scan_table(told, sort)


def check_sort(sort: str) -> None:
    """Refuses an unknown column to sort by.

    Raises:
        ConfigError: there is no such column.
    """
    if sort not in SCAN_SCHEMA:
        raise ConfigError("the table has no such column", where="sort", value=sort, expected=", ".join(SCAN_SCHEMA))
