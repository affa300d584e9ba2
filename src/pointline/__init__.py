"""pointline: the same asset across perpetual futures, dated futures and spot, point in time.

>>> import pointline
>>> pointline.__version__
'0.1.0'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointline.costs import CostModel
    from pointline.lake.store import Lake, open_lake
    from pointline.studies.compare import Study, compare, sweep
    from pointline.studies.spreads import Spreads, spreads

    __version__: str

_HOMES = {
    "CostModel": "pointline.costs",
    "Lake": "pointline.lake.store",
    "Spreads": "pointline.studies.spreads",
    "Study": "pointline.studies.compare",
    "compare": "pointline.studies.compare",
    "open_lake": "pointline.lake.store",
    "spreads": "pointline.studies.spreads",
    "sweep": "pointline.studies.compare",
}

__all__ = ["CostModel", "Lake", "Spreads", "Study", "__version__", "compare", "open_lake", "spreads", "sweep"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names have different types
    """Loads a public name when it is first used, so that importing pointline stays quick."""
    if name == "__version__":
        return _version()
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pointline' has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pointline")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.1.0"


def __dir__() -> list[str]:
    return sorted(__all__)
