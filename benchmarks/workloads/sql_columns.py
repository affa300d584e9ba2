"""Results of the SQL engines, in the integers that are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from job import NO_TRADE, fingerprint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from job import Job


def concatenated(days: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One array per column over all days."""
    return {name: np.ma.concatenate([day[name] for day in days]) for name in days[0]}


def sql_summary(bars: dict[str, Any], _job: Job) -> dict[str, Any]:
    """The fingerprint of the bars."""
    columns = {}
    for venue in ("perp", "spot"):
        trades = np.ma.filled(bars[f"{venue}_trades"], 0)
        columns[f"{venue}_trades"] = trades
        columns[f"{venue}_volume"] = np.ma.filled(bars[f"{venue}_volume"], 0)
        columns[f"{venue}_close"] = np.where(trades > 0, np.ma.filled(bars[f"{venue}_close"], 0), NO_TRADE)
    return fingerprint(columns)
