"""Labels events of any instrument with the window of a spine that they fall into."""

from __future__ import annotations

from typing import overload

import polars as pl

from pointline.errors import ConfigError


@overload
def assign_to_buckets(events: pl.DataFrame, spine: pl.DataFrame | pl.LazyFrame, ts_col: str = ...) -> pl.DataFrame: ...
@overload
def assign_to_buckets(events: pl.LazyFrame, spine: pl.DataFrame | pl.LazyFrame, ts_col: str = ...) -> pl.LazyFrame: ...
def assign_to_buckets(
    events: pl.DataFrame | pl.LazyFrame, spine: pl.DataFrame | pl.LazyFrame, ts_col: str = "ts_local_us"
) -> pl.DataFrame | pl.LazyFrame:
    """Adds ``bucket_start`` and ``bucket_end`` of the spine window ``[bucket_start, bucket_end)`` that holds each event.

    Nothing is joined on exchange or symbol: any instrument's events can be assigned to any spine. An event outside the spine
    keeps its row with nulls, so it can be counted: ``events["bucket_start"].null_count()``.

    Args:
        events: rows with `ts_col`, int64 microseconds; sorted by it, as every query of pointline is.
        spine: rows with ``bucket_start`` and ``bucket_end`` that do not overlap.
        ts_col: the clock of the events.

    Returns:
        The same rows in the same order, lazy where `events` was lazy.

    Raises:
        ConfigError: `events` or `spine` is no frame of polars, a needed column is missing, or the events are not sorted (where they are
            lazy: polars says so when they are collected).

    Examples:
        >>> import polars as pl
        >>> from pointline.research.resample import assign_to_buckets
        >>> spine = pl.DataFrame({"bucket_start": [0, 10], "bucket_end": [10, 20]})
        >>> events = pl.DataFrame({"ts_local_us": [3, 9, 10, 20]})
        >>> assign_to_buckets(events, spine)["bucket_start"].to_list()
        [0, 0, 10, None]
    """
    for name, frame in (("events", events), ("spine", spine)):
        if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
            raise ConfigError(
                f"{name} is not a polars frame",
                value=type(frame).__name__,
                expected="a polars DataFrame or LazyFrame",
                hint="pl.from_pandas(frame) makes one of a pandas frame",
            )
    _require(events, (ts_col,), "events")
    _require(spine, ("bucket_start", "bucket_end"), "spine")
    _require_integers(events, ts_col, "events")
    _require_integers(spine, "bucket_start", "spine")
    if isinstance(events, pl.DataFrame) and not events[ts_col].is_sorted():
        raise ConfigError("the events are not sorted by their clock", value=ts_col, hint=f"events.sort({ts_col!r})")
    windows = spine.lazy().select("bucket_start", "bucket_end").sort("bucket_start")
    clash = [name for name in ("bucket_start", "bucket_end") if name in events.lazy().collect_schema().names()]
    joined = (
        events.lazy()
        .with_columns(pl.col(ts_col).alias("_event_us"))
        .drop(clash)
        .join_asof(windows, left_on="_event_us", right_on="bucket_start", strategy="backward", coalesce=False)
    )
    inside = pl.col("_event_us") < pl.col("bucket_end")
    joined = joined.with_columns(pl.when(inside).then(pl.col(name)).alias(name) for name in ("bucket_start", "bucket_end")).drop(
        "_event_us"
    )
    return joined if isinstance(events, pl.LazyFrame) else joined.collect()


def _require_integers(frame: pl.DataFrame | pl.LazyFrame, name: str, what: str) -> None:
    dtype = frame.collect_schema()[name]
    if not dtype.is_integer():
        raise ConfigError(
            f"the times of the {what} are no integers",
            where=name,
            value=str(dtype),
            expected="int64 microseconds UTC, as queries and spines have them",
            hint='ask for them with times="us", and use pointline.with_datetimes on the result',
        )


def _require(frame: pl.DataFrame | pl.LazyFrame, names: tuple[str, ...], what: str) -> None:
    present = frame.lazy().collect_schema().names()
    missing = [name for name in names if name not in present]
    if missing:
        raise ConfigError(
            f"the {what} lack a column that is needed",
            value=missing,
            expected=f"columns {', '.join(names)}",
            hint=f"they have {', '.join(present)}",
        )
