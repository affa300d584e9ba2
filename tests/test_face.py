"""What ``import pointline`` gives: names that are there, loaded when they are used, and none of the weight before."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import pointline

ROOMS = {"download", "features", "ingest", "research", "sql"}
STUDIES = {"FundingForecast", "LeadLagStudy", "Spreads", "Study", "compare", "lead_lag", "next_funding", "spreads", "sweep"}
NAMES = {"CostModel", "Lake", "UpdateReport", "__version__", "open_lake", "update", "with_datetimes"} | STUDIES


def fresh(code: str) -> str:
    """What code prints in a process that has imported nothing."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_dir_shows_every_public_name_before_any_was_used() -> None:
    listed = set(fresh("import pointline; print(*dir(pointline))").split())
    assert listed >= ROOMS | NAMES
    assert not {name for name in listed if name.startswith("_")} - {"__version__"}
    assert listed == set(pointline.__all__)


@pytest.mark.parametrize(
    "name",
    [
        "research.list_symbols",
        "research.query.trades",
        "research.spines.VolumeBarConfig",
        "research.resample.assign_to_buckets",
        "sql.query",
        "features.FEATURES",
        "ingest.ingest",
        "ingest",
        *sorted(NAMES),
    ],
)
def test_a_plain_import_leads_to_everything(name: str) -> None:
    printed = fresh(f"import pointline; found = pointline.{name}; print(found is not None, 'chdb' in __import__('sys').modules)")
    assert printed == "True False\n"


def test_the_import_loads_next_to_nothing() -> None:
    loaded = fresh("import sys; before = set(sys.modules); import pointline; print(*sorted(set(sys.modules) - before))").split()
    assert [name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names] == ["pointline"]
    assert not {"importlib.metadata", "logging", "email"} & set(loaded)


def test_the_version_is_the_distribution_s() -> None:
    assert pointline.__version__ == version("pointline")


@pytest.mark.parametrize("name", ["nothing", "lakes", "_version"])
def test_a_name_that_is_not_there(name: str) -> None:
    with pytest.raises(AttributeError, match=f"'pointline' has no attribute '{name}'"):
        getattr(pointline, name)
    with pytest.raises(AttributeError, match=f"'pointline.research' has no attribute '{name}'"):
        getattr(pointline.research, name)
