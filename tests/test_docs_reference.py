"""Reference pages say what the code says: the columns of the lake, the list of features, the sources of an ingest."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pointline import schema
from pointline.features import BUILT_IN, FEATURES
from pointline.features import registry as registry_module
from pointline.sources.families import FAMILIES
from pointline.venues.files import package_venues

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

DOCS = Path(__file__).resolve().parent.parent / "docs"
TABLES = {
    "trades": schema.TRADES,
    "liquidations": schema.LIQUIDATIONS,
    "quotes": schema.QUOTES,
    "derivative_ticker": schema.DERIVATIVE_TICKER,
    "funding": schema.FUNDING,
    "open_interest": schema.OPEN_INTEREST,
    "candles": schema.candles("1m"),
}


def lake_sections() -> dict[str, str]:
    """The text under each third-level heading of the lake's page."""
    _, *parts = re.split(r"^### ", (DOCS / "lake.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {part.partition("\n")[0].strip(): re.split(r"^## ", part, flags=re.MULTILINE)[0] for part in parts}


def documented_columns(section: str) -> list[tuple[str, str]]:
    return re.findall(r"^\| `(\w+)` \| ([\w(), ]+?) \|", section, flags=re.MULTILINE)


def type_text(dtype: pl.DataType) -> str:
    return f"Decimal({dtype.precision}, {dtype.scale})" if isinstance(dtype, pl.Decimal) else str(dtype)


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its module up
    spec.loader.exec_module(module)
    return module


def test_every_fixed_table_has_its_section() -> None:
    constants = {table.name for table in vars(schema).values() if isinstance(table, schema.Table)}
    assert set(TABLES) == constants | {"candles"}
    assert set(lake_sections()) == set(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_columns_of_the_lake_page(name: str) -> None:
    table = TABLES[name]
    section = lake_sections()[name]
    assert documented_columns(section) == [(column, type_text(dtype)) for column, dtype in table.columns.items()]
    assert ("By month." in section) == table.monthly


def test_the_features_page_is_up_to_date() -> None:
    page = (DOCS / "features.md").read_text(encoding="utf-8")
    assert script("make_features").updated(page) == page, "run python docs/make_features.py"


def test_the_features_page_has_every_feature_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "features.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(rows) == sorted(BUILT_IN)


def test_the_ingest_page_lists_every_source() -> None:
    page = (DOCS / "ingest.md").read_text(encoding="utf-8")
    assert script("make_sources").updated(page) == page, "run python docs/make_sources.py"
    assert re.findall(r"^\| `(\w+)` \|.*\|.*\|.*\|$", script("make_sources").table(), flags=re.MULTILINE) == [one.name for one in FAMILIES]


def test_the_venue_rules_page_is_up_to_date() -> None:
    page = (DOCS / "venue-rules.md").read_text(encoding="utf-8")
    assert script("make_venue_rules").updated(page) == page, "run python docs/make_venue_rules.py"


def test_the_venue_rules_page_shows_every_rule_with_its_source() -> None:
    page = (DOCS / "venue-rules.md").read_text(encoding="utf-8")
    for venue in package_venues().files:
        for rule in (*venue.market, *venue.contract_size, *venue.delivery, *venue.funding, *venue.fee, *venue.unsettled):
            assert f"| {rule.source} |" in page
    row = next(line for line in page.splitlines() if line.startswith("| `okx-swap` | 2024-03-05 |"))
    assert row.split(" | ")[2:6] == ["2025-04-10 00:01", "P, per interval", "none", "of the premium, equal weights, rolling"]
    assert row.split(" | ")[6:9] == ["8 h", "at its end", "BTC 0.00375"]


def test_the_sizing_page_is_up_to_date() -> None:
    page = (DOCS / "sizing.md").read_text(encoding="utf-8")
    assert script("make_sizing").updated(page) == page, "run python docs/make_sizing.py"


def test_sizes_by_hand() -> None:
    """A large pair over a year: 365.25 days of 3.335 and 4.432 million trades."""
    sizing = script("make_sizing")
    year = sizing.SizingCase("", 1, 0, 1)
    assert year.archive_bytes == pytest.approx(1218.10875e6 * 13.8 + 1618.788e6 * 21.3)
    assert year.lake_bytes == pytest.approx(1218.10875e6 * 4.21 + 1618.788e6 * 6.63)
    assert year.ingest_hours == pytest.approx((1218.10875e6 / 3_210_820 + 1618.788e6 / 996_033) / 3600)
    assert year.features_cpu_hours == pytest.approx((365.25 / 7 * 0.14 + (1218.10875 + 1618.788) * 8 / 7 * 0.031) / 3600)
    twice = sizing.SizingCase("", 2, 0, 3)
    assert twice.run_dollars == pytest.approx(6 * year.run_dollars)


def test_sizes_are_made_of_figures_that_the_pages_have() -> None:
    sizing = script("make_sizing")
    pages = {name: (DOCS / f"{name}.md").read_text(encoding="utf-8") for name in ("performance", "cluster", "s3")}
    rates = [f"| {rate:,} |" for rate in sizing.INGEST_ROWS_PER_S]
    sizes = [f"| {archive} | {lake} |" for archive, lake in zip(sizing.ARCHIVE_BYTES, sizing.LAKE_BYTES, strict=True)]
    assert [text for text in (*rates, *sizes) if text not in pages["performance"]] == []
    assert f"{sizing.WORKER_BYTES / 1e6:.0f} MB" in pages["cluster"]
    assert all(f"| {seconds} |" in pages["cluster"] for seconds in (sizing.CPU_S_PER_TASK, sizing.CPU_S_PER_MILLION_TRADES))
    assert f"{sizing.GETS_PER_PAIR_DAY * 9 + 59:.0f} |" in pages["s3"]


def test_the_script_puts_the_tables_between_its_marks() -> None:
    make_features = script("make_features")
    page = f"Before.\n\n{make_features.BEGIN}\nstale text\n{make_features.END}\n\nAfter.\n"
    made = make_features.updated(page)
    assert made.startswith(f"Before.\n\n{make_features.BEGIN}\n\n### ")
    assert made.endswith(f"|\n\n{make_features.END}\n\nAfter.\n")
    assert "stale text" not in made


@pytest.fixture
def restored() -> Iterator[None]:
    before = dict(FEATURES)
    yield
    registry_module._BY_NAME.clear()
    registry_module._BY_NAME.update(before)


@pytest.mark.usefixtures("restored")
def test_the_features_page_registers_a_feature() -> None:
    page = (DOCS / "features.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- not-run -->\n```python\n(.*?)```", page, flags=re.DOTALL)
    exec(compile(block, "features.md", "exec"), {})  # noqa: S102 -- our own documentation
    added = FEATURES["basis_per_spread"]
    one_bar = pl.DataFrame({"basis_bps": [4.0], "perp_hl_spread": [0.0002]})
    assert one_bar.select(added.expression(registry_module._DEFAULTS)).item() == 2.0
