"""A lake, a server on it and a browser, which the tests of the page share.

Playwright drives the browser; it and a Chromium or Chrome must be installed (``pip install playwright``, no browser of its own).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.machine import limit
from tests.server.page.browsing import read
from tests.server.running import running_server
from tests.sql.conftest import december_closes
from tests.sql.markets import Candle, candles_archives, funding_archive, lake_with

from pointline.clock import DAY_US, to_us

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page
    from tests.server.running import RunningServer

    from pointline.lake.store import Lake

CONFIG = """
[server]
workers = 2

[limits]
time_s = 1000
rows_read = 10_000_000_000_000
"""


def flat(start_us: int, price: str) -> Candle:
    """A candle of one price."""
    return Candle(start_us, price, price, price, price)


@pytest.fixture(scope="session")
def page_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """December 2024 as the specification prints it, two contracts more, a second reference, a hole in the spot closes of ETH, and funding.

    The December contract closes 1 % above spot each day, also on the 27th, on which it is delivered; the June contract 8 % above.
    """
    folder = tmp_path_factory.mktemp("page")
    first = to_us("2024-12-01")
    candles: dict[tuple[str, str], list[Candle]] = {}
    for (exchange, symbol, day_us), close in december_closes().items():
        candles.setdefault((exchange, symbol), []).append(flat(day_us, close))
    for n, spot in enumerate(candles["binance-spot", "BTCUSDT"]):
        candles.setdefault(("binance-spot", "BTCUSDC"), []).append(spot)
        for symbol, above, days in (("BTCUSDT_241227", 1.01, 27), ("BTCUSDT_250627", 1.08, 31)):
            if n < days:
                close = f"{float(spot.close) * above:.4f}"
                candles.setdefault(("binance-futures", symbol), []).append(flat(spot.start_us, close))
    for n, (spot_close, perp_close) in enumerate([("3700", "3702"), (None, "3650"), ("3800", "3799")]):
        candles.setdefault(("binance-futures", "ETHUSDT"), []).append(flat(first + n * DAY_US, perp_close))
        if spot_close:
            candles.setdefault(("binance-spot", "ETHUSDT"), []).append(flat(first + n * DAY_US, spot_close))
    paths = [path for key, rows in candles.items() for path in candles_archives(folder, *key, "1d", rows)]
    payments = [(first + n * DAY_US // 3, 8, "0.0001") for n in range(3)]
    return lake_with(folder, [*paths, funding_archive(folder, "binance-futures", "BTCUSDT", "2024-12", payments)])


@pytest.fixture(scope="session")
def served(confining: None, page_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:  # noqa: ARG001 -- skips
    """A server on that lake."""
    with running_server(page_lake, tmp_path_factory.mktemp("served"), config=CONFIG) as found:
        yield found


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens addresses, each in a browser of its own; afterwards nothing may have failed, been blocked, or been asked of another server."""
    contexts, wrong = [], []

    def open_address(address: str, **options: Any) -> Page:  # noqa: ANN401 -- the browser's
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(limit(15_000))
        origin = address.partition("#")[0]
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("request", lambda asked: None if asked.url.startswith((origin, "blob:", "data:")) else wrong.append(asked.url))
        page.goto(address)
        return page

    yield open_address
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def page(opened: Callable[..., Page], served: RunningServer) -> Page:
    """The page, with what it shows of the lake read."""
    return read(opened(served.url))
