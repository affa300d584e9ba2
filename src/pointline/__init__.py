"""pointline: the same asset across perpetual futures, dated futures and spot, point in time.

>>> import pointline
>>> pointline.__version__
'0.1.0'
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointline.comparison import Study, compare, sweep
    from pointline.export.duckdb import export_duckdb
    from pointline.lake.store import Lake, open_lake
    from pointline.spread_study import Spreads, spreads
    from pointline.trading.costs import CostModel

try:
    __version__ = version("pointline")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.1.0"

_HOMES = {
    "CostModel": "pointline.trading.costs",
    "Lake": "pointline.lake.store",
    "Spreads": "pointline.spread_study",
    "Study": "pointline.comparison",
    "compare": "pointline.comparison",
    "export_duckdb": "pointline.export.duckdb",
    "open_lake": "pointline.lake.store",
    "spreads": "pointline.spread_study",
    "sweep": "pointline.comparison",
}

__all__ = ["CostModel", "Lake", "Spreads", "Study", "__version__", "compare", "export_duckdb", "open_lake", "spreads", "sweep"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names have different types
    """Loads a public name when it is first used, so that importing pointline stays quick."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pointline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
