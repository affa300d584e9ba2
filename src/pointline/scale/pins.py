"""Which files of the lake a plan was made of: every task makes sure that it reads the same ones.

A lake goes on growing while a cluster works. What is written for other instruments, or for days after the window, changes nothing here. A
file of the window that was replaced does: the task stops, and no dataset is of two states of the lake.
"""

from __future__ import annotations

import hashlib
import os
import socket
from functools import lru_cache
from typing import TYPE_CHECKING

from pointline.clock import DAY_US, date_text
from pointline.errors import ClusterError, ConfigError, LakeError, MissingExtraError, NoLakeError
from pointline.lake.held import HeldLake
from pointline.lake.places import SCHEME
from pointline.lake.store import as_lake
from pointline.lake.venue_files import venue_file_paths
from pointline.scale.task import digest

if TYPE_CHECKING:
    from pointline.errors import PointlineError
    from pointline.instruments import Instrument
    from pointline.lake.store import Lake, LakeLike

_BEHIND_US = 2 * DAY_US  # the first trade behind the window tells which ids are missing at its end


def held_lake(lake: LakeLike | None) -> tuple[HeldLake, str]:
    """A lake whose tables are listed once, and the place by which workers open it: its folder, or the URL of a lake in a bucket.

    Raises:
        ConfigError: it is of another type.
        LakeError: there is none.
    """
    opened = as_lake(lake)
    return HeldLake(opened.root), str(getattr(opened, "place", opened.root))


@lru_cache(maxsize=2)
def lake_of_plan(lake: str, plan: str) -> HeldLake:  # noqa: ARG001 - another plan lists the tables anew
    """The lake as this process first saw it for a plan; its tables are listed once for all tasks.

    Raises:
        ClusterError: this worker has no lake at the path, or cannot reach the bucket: credentials come from its own environment.
    """
    try:
        return held_lake(lake)[0]
    except (ConfigError, LakeError, MissingExtraError) as error:
        if lake.startswith(SCHEME):
            raise cannot_use("the lake", lake, error) from error
        if not isinstance(error, NoLakeError):
            raise
        raise ClusterError(
            "a worker finds no lake where the plan was made with one",
            where=lake,
            hint="mount the lake at the same path on every worker, or keep it in a bucket",
        ) from error


def cannot_use(what: str, url: str, error: PointlineError) -> ClusterError:
    """The error of a worker that cannot reach a bucket, which every other task of it would meet too.

    Args:
        what: is in the bucket, in words.
        url: where.
        error: why.
    """
    found = f"{error.what}: {error.where}" if error.where and error.where != url else error.what
    return ClusterError(
        f"a worker on {socket.gethostname()}, process {os.getpid()}, cannot use {what} in the bucket",
        where=url,
        value=found,
        expected=error.expected or "a worker whose own environment has the store's endpoint and credentials",
        hint="set AWS_ENDPOINT_URL, AWS_REGION and the credentials where workers are started; the client does not send them",
    )


def pinned_files(lake: Lake, instruments: tuple[Instrument, Instrument], end_us: int) -> str:
    """A digest of the names of all files that rows of a pair can come from until a window's end; their names are hashes of their content.

    From the lake's first day on: bars in front of the window are looked back on, and thresholds follow from the days before each day.

    Args:
        lake: where they are.
        instruments: perp and spot.
        end_us: end of the window.
    """
    last = date_text(end_us + _BEHIND_US)
    names = {(one.exchange, symbol) for one in instruments for symbol in (one.exchange_symbol, one.exchange_symbol.split("_")[0])}
    found = [
        (kind, path, rows)
        for kind in lake.kinds()
        for exchange, symbol in sorted(names)
        for path, _, _, date, rows in lake.rows_of(kind, exchange, symbol)
        if date <= last
    ]
    venues = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in venue_file_paths(lake.root)]
    return digest([found, venues])


def check_pinned(lake: HeldLake, instruments: tuple[Instrument, Instrument], end_us: int, pinned: str) -> None:
    """Refuses a lake whose files of a pair are others than when the plan was made.

    Raises:
        ClusterError: they are.
    """
    if pinned_files(lake, instruments, end_us) != pinned:
        raise ClusterError(
            "the lake's files of a pair changed after the plan was made",
            where=str(lake.root),
            value=" and ".join(one.name for one in instruments),
            hint="run the same command into a new folder; nothing of two states of the lake was mixed",
        )
