"""Times as text: read, and local ones brought to UTC, also in the hours that clocks leave out or repeat."""

from __future__ import annotations

import polars as pl

from pointline.clock import MINUTE_US

_NAIVE_FORMATS = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_OFFSET_FORMAT = "%Y-%m-%d %H:%M:%S%.f%#z"


def moments(text: pl.Expr, form: str | None) -> tuple[pl.Expr, pl.Expr]:
    """Text as local date and time without zone, and as microseconds where it carries an offset; one of them is null."""
    if form is not None and "%z" in form:
        return pl.lit(None, dtype=pl.Datetime("us")), text.str.to_datetime(form, time_unit="us", strict=False).dt.epoch("us")
    if form is not None:
        return text.str.to_datetime(form, time_unit="us", strict=False), pl.lit(None, dtype=pl.Int64)
    spaced = text.str.replace("T", " ", literal=True)
    local = pl.coalesce(spaced.str.to_datetime(naive, time_unit="us", strict=False) for naive in _NAIVE_FORMATS)
    return local, spaced.str.to_datetime(_OFFSET_FORMAT, time_unit="us", strict=False).dt.epoch("us")


def resolved(group: pl.DataFrame, zone: str, *, ties: bool) -> pl.Series:
    """Microseconds UTC of the local times ``_local``; null where a time did not exist or happened twice and nothing decides.

    A time that happened twice is decided by the grid of the ``_step`` (candle or funding interval) through the nearest certain row, else by
    the order of the file: where rows that rise (or fall) in time turn back once within the hour, the turn parts its two passes.

    Args:
        group: rows of one instrument in file order: ``_local``, ``_step``, ``raw``.
        zone: IANA name.
        ties: whether two rows may share a time.
    """
    local = pl.col("_local")
    frame = group.select(
        "_local",
        "_step",
        "raw",
        early=local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.epoch("us"),
        late=local.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null").dt.epoch("us"),
    ).with_columns(twice=(pl.col("early") != pl.col("late")).fill_null(value=False))
    if not frame["twice"].any():
        return frame["early"]
    certain = frame.filter(~pl.col("twice"))["early"].drop_nulls().diff().drop_nulls()
    rising, falling = bool((certain >= 0).all()), bool((certain <= 0).all())
    before = pl.when(rising != falling).then(local.shift(1).over("run"))
    turned = (local < before) if rising else (local > before)
    if not ties:
        turned |= (local == before) & (pl.col("raw") != pl.col("raw").shift(1).over("run"))
    anchor = pl.when(~pl.col("twice")).then("early").forward_fill().backward_fill()
    frame = (
        frame.with_columns(run=pl.col("twice").rle_id(), anchor=anchor)
        .with_columns(turns=turned.fill_null(value=False).cum_sum().over("run"))
        .with_columns(
            decided=pl.col("turns").max().over("run") == 1,
            early_fits=_on_grid(pl.col("early") - pl.col("anchor"), pl.col("_step")),
            late_fits=_on_grid(pl.col("late") - pl.col("anchor"), pl.col("_step")),
        )
    )
    first_pass = pl.col("turns") == (0 if rising else 1)
    return frame.select(
        pl.when(~pl.col("twice"))
        .then("early")
        .when(pl.col("early_fits") & ~pl.col("late_fits"))
        .then("early")
        .when(pl.col("late_fits") & ~pl.col("early_fits"))
        .then("late")
        .when(pl.col("decided"))
        .then(pl.when(first_pass).then("early").otherwise("late"))
    ).to_series()


def _on_grid(distance_us: pl.Expr, step_us: pl.Expr) -> pl.Expr:
    off = (distance_us + MINUTE_US) % step_us
    return (off <= 2 * MINUTE_US).fill_null(value=False)
