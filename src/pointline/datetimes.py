"""Times of a frame as datetimes, and frames for pandas; inside of pointline, and in files, times are int64 microseconds UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from pointline.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    Times: TypeAlias = Literal["us", "datetime"]
    Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

TIME_COLUMNS = frozenset(
    {
        *("ts_local_us", "ts_event_us", "bucket_start", "bucket_end", "spot_bucket_start", "spot_bucket_end"),
        *("start_us", "funding_us", "next_funding_us", "expiry_us", "listed_us", "valid_from_us", "valid_until_us", "observed_us"),
    }
)
"""Columns that hold a time in microseconds UTC. Ages and durations end in ``_us`` too, and are none."""


def with_datetimes(frame: Frame) -> Frame:
    """The frame with its times as ``Datetime("us", "UTC")``; names, order and all other columns stay.

    For what a study or a query gives: features, bars, labels, trades. Functions of pointline that take frames take times as integers, so
    convert at the end.

    Args:
        frame: a polars frame, eager or lazy.

    Raises:
        ConfigError: it is no polars frame.

    Examples:
        An age is no time, and stays:

        >>> import polars as pl
        >>> import pointline
        >>> frame = pl.DataFrame({"bucket_end": [1714521600000000], "spot_age_us": [250000]})
        >>> print(pointline.with_datetimes(frame).write_csv())
        bucket_end,spot_age_us
        2024-05-01T00:00:00.000000+0000,250000
        <BLANKLINE>
    """
    import polars as pl

    if not isinstance(frame, pl.DataFrame | pl.LazyFrame):
        raise ConfigError(
            "the frame is no polars frame",
            value=type(frame).__name__,
            expected="a polars DataFrame or LazyFrame",
            hint="pl.from_pandas(frame) makes one of a pandas frame",
        )
    held = [name for name, dtype in frame.collect_schema().items() if name in TIME_COLUMNS and dtype == pl.Int64()]
    return frame.with_columns(pl.col(held).cast(pl.Datetime("us", "UTC")))


def in_times(frame: Frame, times: Times) -> Frame:
    """The frame with its times as asked for: ``"us"`` leaves the integers, ``"datetime"`` is `with_datetimes`.

    Raises:
        ConfigError: it is neither.
    """
    if times not in ("us", "datetime"):
        raise ConfigError("there is no such form of times", value=times, expected="'us' or 'datetime'")
    return with_datetimes(frame) if times == "datetime" else frame


def pandas_frame(frame: pl.DataFrame, *, index: str) -> pd.DataFrame:
    """The frame for pandas: times are datetimes in UTC, one of them is the index.

    Args:
        frame: a polars frame.
        index: the column of times that becomes the index.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd  # noqa: F401 - polars needs it
    except ImportError as error:
        raise MissingExtraError("frames for pandas need pandas", hint="pip install 'pointline[pandas]'") from error
    made: Any = with_datetimes(frame).to_pandas()
    return made.set_index(index)
