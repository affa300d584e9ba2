"""pointline: the same asset across perpetual futures, dated futures and spot, point in time.

>>> import pointline
>>> pointline.__version__
'0.1.0'

The rooms `research`, `features`, `evaluation`, `trading`, `scale`, `sql`, `download` and `ingest` are loaded when they are first used, as
every other name is.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# numpy's BLAS makes a thread per core when it is loaded, and each keeps its core busy for 2**26 cycles before it sleeps: some 0.07 s of
# every process. They sleep after 2**16 cycles, 25 µs, where the user has not chosen and numpy is not loaded yet.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")

if TYPE_CHECKING:
    from pointline import evaluation, features, research, scale, sql, trading
    from pointline.costs import CostModel
    from pointline.datetimes import with_datetimes
    from pointline.download import download
    from pointline.export.duckdb import export_duckdb
    from pointline.ingest import ingest
    from pointline.lake.store import Lake, open_lake
    from pointline.studies.compare import compare, sweep
    from pointline.studies.compare_venues import VenueComparison, compare_venues
    from pointline.studies.funding_payments import FundingPayments, funding_payments
    from pointline.studies.lead_lag import LeadLagStudy, lead_lag
    from pointline.studies.next_funding import FundingForecast, next_funding
    from pointline.studies.scan import Scan, scan
    from pointline.studies.spreads import Spreads, spreads
    from pointline.studies.study import Study
    from pointline.updates import UpdateReport, update

    __version__: str

_HOMES = {
    "CostModel": "pointline.costs",
    "FundingPayments": "pointline.studies.funding_payments",
    "FundingForecast": "pointline.studies.next_funding",
    "Lake": "pointline.lake.store",
    "LeadLagStudy": "pointline.studies.lead_lag",
    "Scan": "pointline.studies.scan",
    "Spreads": "pointline.studies.spreads",
    "Study": "pointline.studies.study",
    "UpdateReport": "pointline.updates",
    "VenueComparison": "pointline.studies.compare_venues",
    "compare": "pointline.studies.compare",
    "compare_venues": "pointline.studies.compare_venues",
    "export_duckdb": "pointline.export.duckdb",
    "funding_payments": "pointline.studies.funding_payments",
    "lead_lag": "pointline.studies.lead_lag",
    "next_funding": "pointline.studies.next_funding",
    "open_lake": "pointline.lake.store",
    "scan": "pointline.studies.scan",
    "spreads": "pointline.studies.spreads",
    "sweep": "pointline.studies.compare",
    "update": "pointline.updates",
    "with_datetimes": "pointline.datetimes",
}
_ROOMS = (
    "download",
    "evaluation",
    "features",
    "ingest",
    "research",
    "scale",
    "sql",
    "trading",
)  # `download` and `ingest` are functions too

__all__ = [
    "CostModel",
    "FundingForecast",
    "FundingPayments",
    "Lake",
    "LeadLagStudy",
    "Scan",
    "Spreads",
    "Study",
    "UpdateReport",
    "VenueComparison",
    "__version__",
    "compare",
    "compare_venues",
    "download",
    "evaluation",
    "export_duckdb",
    "features",
    "funding_payments",
    "ingest",
    "lead_lag",
    "next_funding",
    "open_lake",
    "research",
    "scale",
    "scan",
    "spreads",
    "sql",
    "sweep",
    "trading",
    "update",
    "with_datetimes",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the names have different types
    """Loads a public name when it is first used, so that importing pointline stays quick."""
    if name == "__version__":
        from pointline.version import package_version

        return package_version()
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _ROOMS:
        return import_module(f"pointline.{name}")
    raise AttributeError(f"module 'pointline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
