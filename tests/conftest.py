"""Settings and fixtures that all tests share; what examples in docstrings need too stands in conftest.py above."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tests.machine import limit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

# Examples are the same on every run, whatever the order of tests is. How long one takes says nothing on a busy machine.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", unhurried, derandomize=True, max_examples=50)
settings.register_profile("fuzz", unhurried, max_examples=2_000)
settings.load_profile("ci")

ROOT = Path(__file__).resolve().parent.parent


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
