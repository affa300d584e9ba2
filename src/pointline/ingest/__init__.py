"""Archive files into the lake: read by sources, checked, united with what is there, stored.

The room is a function too: ``pointline.ingest("archives", lake="lake")`` is `ingest` of this module.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from inspect import Signature

    import polars as pl

    from pointline.clock import DurationLike
    from pointline.lake.store import LakeLike
    from pointline.progress import Progress


def ingest(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    lake: LakeLike | None = None,
    source: str | None = None,
    exchange: str | None = None,
    dataset: str | None = None,
    symbol: str | None = None,
    period: str | None = None,
    mapping: str | os.PathLike[str] | None = None,
    clock: Literal["receipt", "event"] = "receipt",
    latency: DurationLike = "0us",
    progress: Progress = False,
) -> pl.DataFrame:
    """Brings archive files into the lake, each whole or not at all, each once; what ``pointline ingest`` does.

    Args:
        paths: a file or folder, or several; folders are searched for archive files.
        lake: a lake or its folder, which is made where there is none; the default place if None.
        source: binance_vision, recorded or table; else told by path and content.
        exchange, dataset, symbol, period: what the files are of, where path and content do not say, e.g. ``"binance-futures"``,
            ``"trades"``, ``"BTCUSDT"``, ``"2024-05-01"``.
        mapping: TOML file that describes the columns of any table.
        clock: ``"receipt"`` uses a recording's receive times, ``"event"`` the exchange's.
        latency: assumed delay where there is no receive time, e.g. ``"20ms"``.
        progress: True shows a line of progress; a function is called with the bytes done, all bytes and the name of the file.

    Returns:
        One row per file: path, outcome, counts of rows (see `pointline.ingest.run.FileReport`), kinds, conflicts, problem (null where
        all is well) and exit_code. A file that is refused, or has rows set aside, has its problem there and stops no other file.

    Raises:
        ConfigError: an option cannot be used, or there is no file.
        BusyError: another process is writing.
        LakeError: the disk is full, or the lake is damaged.

    Examples:
        >>> import pointline
        >>> report = pointline.ingest("out/demo/archives/data/spot/daily/trades", lake="mine")
        >>> report.select("outcome", "rows_landed", "problem").rows()
        [('landed', 2000, None), ('landed', 2000, None)]
    """
    from pointline.errors import SourceError
    from pointline.ingest.request import IngestOptions, as_paths, failures_of, ingest_paths, report_frame

    named = as_paths(paths)
    options = IngestOptions(
        source=source,
        exchange=exchange,
        dataset=dataset,
        symbol=symbol,
        period=period,
        mapping=None if mapping is None else as_paths(mapping)[0],
        clock=clock,
        latency=latency,
    )
    reports = ingest_paths(named, options, lake=lake, progress=progress)
    errors, code = failures_of(reports, named)
    if code not in {0, SourceError.exit_code}:
        raise next(error for error in errors if error.exit_code == code)
    return report_frame(reports)


class CallableRoom(ModuleType):
    """A module that can be called: its call is its function `ingest`. Python lets a module have a class of its own."""

    def __call__(self, *paths: Any, **options: Any) -> pl.DataFrame:  # noqa: ANN401 - those of `ingest`
        """As `ingest`."""
        return ingest(*paths, **options)

    @property
    def __signature__(self) -> Signature:
        from inspect import signature

        return signature(ingest)


sys.modules[__name__].__class__ = CallableRoom
