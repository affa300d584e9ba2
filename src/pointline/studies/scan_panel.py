"""The features of all pairs of a scan as one long table, a pair at a time in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.lake.paths import encode_name
from pointline.report.files import WrittenTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Names = tuple[str, str]

NAMES = ("perp", "spot")


def part_path(folder: Path, perp: str, spot: str) -> Path:
    """The file of a pair's features."""
    return folder / f"{encode_name(perp)}~{encode_name(spot)}.parquet"


def panel_schema(schemas: Sequence[pl.Schema]) -> pl.Schema:
    """The columns of all pairs in the order in which they are first met, the names of the pair in front."""
    found: dict[str, pl.DataType] = dict.fromkeys(NAMES, pl.String())
    for schema in schemas:
        found |= {name: dtype for name, dtype in schema.items() if name not in found}
    return pl.Schema(found)


def written_panel(parts: Sequence[tuple[Names, Path]], schema: pl.Schema) -> pl.LazyFrame:
    """The parts as one table, one below the other."""
    frames = [_named(WrittenTable(path, schema, path).scan(), names, schema) for names, path in parts]
    return pl.concat(frames) if frames else pl.LazyFrame(schema=schema)


def computed_panel(pairs: Sequence[Names], schema: pl.Schema, features: Callable[[Names], pl.DataFrame]) -> pl.LazyFrame:
    """A table whose rows are computed when they are asked for, a pair after the other.

    Args:
        pairs: names of perp and spot.
        schema: of `panel_schema`.
        features: gives those of a pair.
    """
    from polars.io.plugins import register_io_source

    def rows(columns: list[str] | None, predicate: pl.Expr | None, most: int | None, _: int | None) -> Iterator[pl.DataFrame]:
        left = most
        for names in pairs:
            if left == 0:
                return
            if predicate is not None and _excludes(predicate, names):
                continue
            frame = _named(features(names).lazy(), names, schema)
            frame = frame if predicate is None else frame.filter(predicate)
            frame = frame if columns is None else frame.select(columns)
            found = frame.collect() if left is None else frame.head(left).collect()
            left = None if left is None else left - found.height
            yield found

    return register_io_source(rows, schema=schema, validate_schema=True, is_pure=True)


def _excludes(predicate: pl.Expr, names: Names) -> bool:
    """Whether a condition on the names alone keeps none of a pair's rows."""
    if not set(predicate.meta.root_names()) <= set(NAMES):
        return False
    return pl.DataFrame([names], schema=list(NAMES), orient="row").filter(predicate).is_empty()


def _named(frame: pl.LazyFrame, names: Names, schema: pl.Schema) -> pl.LazyFrame:
    """Features with the names in front and all columns of the panel; those that the pair does not have are null."""
    held = set(frame.collect_schema().names())
    told = dict(zip(NAMES, names, strict=True))
    return frame.select(
        pl.lit(told[name]).alias(name) if name in told else pl.col(name) if name in held else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )
