"""One suite over all parsers: what every source owes to ingest, whatever the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from tests.contract.cases import CASES
from tests.contract.suite import read, rows_of, rules_of, text_of

from pointline.sources.base import REJECT_SCHEMA
from pointline.sources.families import FAMILIES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.suite import Case, Rule

HELD = [pytest.param(case, rule, id=f"{rule.__name__}-{name}") for name, case in CASES.items() for rule in rules_of(case)]


@pytest.mark.parametrize(("case", "rule"), HELD)
def test_the_contract_holds(tmp_path: Path, case: Case, rule: Rule) -> None:
    rule(tmp_path, case)


def test_sources_agree_on_one_trade(tmp_path: Path) -> None:
    """The same trade from the archive, its aggregate, a recording and a table means the same."""
    for name in ("um trades with header", "um aggTrades with header", "recorded um trade", "table trades"):
        case = CASES[name]
        (row,) = rows_of(read(tmp_path, case, text_of(case, case.lines[0])))
        assert (row["price"], row["side"]) == (60000.5, True)


def test_every_archive_has_a_case() -> None:
    assert {case.source for case in CASES.values()} == {family.name for family in FAMILIES}


def test_no_case_is_left_out() -> None:
    """Every table that a parser can fill has a case."""
    kinds = {case.kind for case in CASES.values()}
    assert kinds == {
        "instruments",
        "trades",
        "liquidations",
        "quotes",
        "derivative_ticker",
        "funding",
        "open_interest",
        "candles_1m",
        "candles_1h",
        "mark_candles_1m",
        "index_candles_1m",
        "premium_candles_1m",
    }
    assert pl.DataFrame(schema=REJECT_SCHEMA).columns == ["line", "column", "value", "reason", "raw", "fatal"]
