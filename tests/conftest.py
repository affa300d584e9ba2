"""Settings and fixtures that all tests share; what examples in docstrings need too stands in conftest.py above."""

from __future__ import annotations

import itertools
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tests import buckets
from tests.machine import limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser
    from tests.demo import Demo
    from tests.lake.stores import StoredFrom

    from pointline.lake import Lake

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

# Examples are the same on every run, whatever the order of tests is. How long one takes says nothing on a busy machine.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", unhurried, derandomize=True, max_examples=50)
settings.register_profile("fuzz", unhurried, max_examples=2_000)
settings.load_profile("ci")

_NUMBERS = itertools.count(1)
ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
# Files that take more than ten seconds of a processor. They begin first, in any order, so that no process ends long after the other.
LONG = frozenset(
    TESTS / name
    for name in (
        "lake/test_damage.py",
        "lake/test_lake_state.py",
        "server/attacks/test_attacks.py",
        "server/page/test_chart.py",
        "server/page/test_editor.py",
        "server/page/test_examples.py",
        "server/page/test_query.py",
        "server/page/test_table.py",
        "server/test_fairness.py",
        "server/test_hostile.py",
        "server/test_hostile_http.py",
        "server/test_lifecycle.py",
        "sources/test_contradictions.py",
        "sources/test_mapping_shapes.py",
        "sources/test_recorded.py",
        "sql/guard/test_decimal_functions.py",
        "sql/guard/test_decimals.py",
        "sql/test_coarse_candles.py",
        "sql/test_engine.py",
        "sql/test_engine_pruning.py",
        "sql/test_interrupts.py",
        "sql/test_specification.py",
        "sql/test_trade_last.py",
        "sql/test_views_holes.py",
        "sql/test_views_ohlcv.py",
        "studies/test_backtest.py",
        "studies/test_next_funding.py",
        "studies/test_report.py",
        "test_base_units.py",
        "test_benchmarks.py",
        "test_datetimes.py",
        "test_docs.py",
        "test_docs_api.py",
        "test_examples.py",
        "test_front_door.py",
        "test_real_data.py",
        "test_simulate.py",
    )
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the long files to the front of the random order."""
    items.sort(key=lambda item: item.path not in LONG)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config) -> None:
    """Says how to repeat the order in which tests failed; the first lines say it only where they are printed."""
    seed = config.getoption("randomly_seed", None)
    if exitstatus == pytest.ExitCode.TESTS_FAILED and isinstance(seed, int):
        terminalreporter.write_line(f"the same order again: --randomly-seed={seed}")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data, never part of the repository."""
    folder = Path(os.environ.get("POINTLINE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real market data is not at {folder}; set POINTLINE_DATA to test against it")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The installed browser; ended with the module, because the driver's event loop keeps others from theirs."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are tested with playwright: pip install playwright")
    path = os.environ.get("POINTLINE_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"pages are tested in a browser, and none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox"], timeout=limit(180_000))
        yield found
        found.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[buckets.Server]:
    """One store for all tests of a process."""
    yield from buckets.serve()


@pytest.fixture
def store(s3_server: buckets.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[buckets.Server]:
    """The store, with its counts at zero and the environment of this process set to it; mirrors are new."""
    buckets.enter(monkeypatch, s3_server, tmp_path / "mirrors")
    monkeypatch.setattr("pointline.lake.places._MIRRORS", {})
    s3_server.forget()
    yield s3_server
    s3_server.forget()


@pytest.fixture
def new_url(store: buckets.Server) -> str:  # noqa: ARG001 - the store must answer there
    """A place in the store where nothing is yet."""
    return f"s3://desk/lake-{next(_NUMBERS)}"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """From here on this process is another machine: nothing was mirrored yet."""
    numbers = itertools.count(1)

    def move() -> None:
        monkeypatch.setenv("POINTLINE_MIRROR", str(tmp_path / f"other-{next(numbers)}"))
        monkeypatch.setattr("pointline.lake.places._MIRRORS", {})

    return move


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new lake may be made: in a folder or in a bucket, as `tests.lake.stores.BOTH_STORES` says."""
    return tmp_path / "lake" if request.param == "folder" else str(request.getfixturevalue("new_url"))


@pytest.fixture(params=["folder", "bucket"])
def stored_from(request: pytest.FixtureRequest, tmp_path: Path) -> StoredFrom:
    """Makes copies of a lake in either store, whose stored files a test may damage."""
    from tests.lake.stores import stored_copy

    return stored_copy(request, tmp_path)


@pytest.fixture(params=["folder", "bucket"])
def at_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Lake], Lake]:
    """Gives a lake that was made in a folder as it lies in either store: itself, or its copy in a bucket as a new machine opens it."""
    if request.param == "folder":
        return lambda lake: lake
    request.getfixturevalue("store")

    def copied(lake: Lake) -> Lake:
        from pointline.lake import open_lake
        from pointline.lake.transfer import copy_lake

        number = next(_NUMBERS)
        copy_lake(lake.root, f"s3://desk/either-{number}")
        monkeypatch.setenv("POINTLINE_MIRROR", str(tmp_path / f"reader-{number}"))
        return open_lake(f"s3://desk/either-{number}")

    return copied


@pytest.fixture(scope="session")
def copied(s3_server: buckets.Server, demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's lake, which is in the store at `buckets.DEMO` too."""
    from pointline.lake.transfer import copy_lake

    with pytest.MonkeyPatch.context() as patch:
        buckets.enter(patch, s3_server, tmp_path_factory.mktemp("mirrors"))
        patch.setattr("pointline.lake.places._MIRRORS", {})
        copy_lake(demo.folder / "lake", buckets.DEMO)
    return demo.folder / "lake"
