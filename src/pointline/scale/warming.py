"""Compiles the loops before work begins: on a fresh host this takes some seconds, once."""

from __future__ import annotations

import socket
import time
import warnings
from typing import TYPE_CHECKING

import polars as pl

from pointline.scale.run import HERE

if TYPE_CHECKING:
    from pointline.scale.cluster import ClusterLike

_SCHEMA = {"worker": pl.String, "host": pl.String, "seconds": pl.Float64, "warning": pl.String}


def warm(cluster: ClusterLike = None) -> pl.DataFrame:
    """Compiles pointline's loops on this machine, or on every worker of a cluster, and keeps the machine code.

    An image or a new host is made ready so; without it, the first task of each host takes the seconds.

    Args:
        cluster: as for `pointline.scale.compare`.

    Returns:
        One row per worker: its address (``here`` for this process), host, seconds until the loops were ready, and what it warned of.

    Raises:
        ConfigError: the cluster is named wrongly.
        ClusterError: it cannot be reached, or has no workers.
        MissingExtraError: Dask is not installed.

    Examples:
        >>> from pointline import scale
        >>> scale.warm()["worker"].to_list()
        ['here']
    """
    if cluster is None or cluster == HERE:
        found = {"here": warm_here()}
    else:
        from pointline.scale.cluster import connected

        with connected(cluster) as client:
            found = client.run(warm_here)
    return pl.DataFrame([(worker, *told) for worker, told in sorted(found.items())], schema=_SCHEMA, orient="row")


def warm_here() -> tuple[str, float, str | None]:
    """Compiles the loops in this process, or finds them compiled: the host, seconds, and a warning."""
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from pointline.kernels.machine_code import entry_points

        entry_points()
    return socket.gethostname(), time.perf_counter() - began, str(caught[0].message) if caught else None
