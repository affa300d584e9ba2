"""Types that Arrow does not have cost one more statement of the engine, once for each text and state of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.sql.markets import add, candles_archives, lake_with, walk

from pointline import sql
from pointline.clock import MINUTE_US, to_us
from pointline.errors import QueryError
from pointline.sql import process
from pointline.sql.chdb_import import session_class

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointline.lake.store import Lake

MONDAY = to_us("2024-04-29")
TIMES = "SELECT toDateTime(start, {zone:String}) AS moment, minutes FROM api.ohlcv(candle_duration_in_minutes = 60) ORDER BY start LIMIT 1"
TOKYO = (pl.Datetime("us", "Asia/Tokyo"), pl.UInt32())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_with(tmp_path, candles_archives(tmp_path, "binance-spot", "BTCUSDT", "1m", walk(MONDAY, 120, MINUTE_US)))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, lake: Lake) -> Callable[[], list[str]]:
    """The first words of the statements that the engine ran since the last call."""
    sql.query("SELECT 1", lake=lake)  # the engine is open, and the guard knows the functions
    found: list[str] = []
    opening = session_class()
    query = opening.query

    def noted(session: Any, text: str, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - chdb has no types
        found.append(" ".join(text.split("(", maxsplit=1)[0].split()[:2]))
        return query(session, text, *arguments, **options)

    monkeypatch.setattr(opening, "query", noted)

    def since() -> list[str]:
        last = found.copy()
        found.clear()
        return last

    return since


CHECK = ["SELECT formatQuerySingleLine", "SELECT formatQueryFromJSON"]


def test_types_are_asked_for_once(lake: Lake, asked: Callable[[], list[str]]) -> None:
    first = sql.query(TIMES, lake=lake, zone="Asia/Tokyo")
    assert asked() == [*CHECK, "SELECT toDateTime", "DESCRIBE TABLE"]
    again = sql.query(TIMES, lake=lake, zone="Asia/Tokyo")
    assert asked() == ["SELECT toDateTime"]
    assert first.equals(again)
    assert first.schema == again.schema == pl.Schema(zip(("moment", "minutes"), TOKYO, strict=True))


def test_types_that_arrow_has_are_not_asked_for(lake: Lake, asked: Callable[[], list[str]]) -> None:
    text = "SELECT exchange AS place FROM api.ohlcv(candle_duration_in_minutes = 60)"
    for expected in ([*CHECK, "SELECT exchange"], ["SELECT exchange"]):
        sql.query(text, lake=lake)
        assert asked() == expected


def test_other_parameters_have_types_of_their_own(lake: Lake, asked: Callable[[], list[str]]) -> None:
    for zone in ("Asia/Tokyo", "UTC", "Asia/Tokyo"):
        assert sql.query(TIMES, lake=lake, zone=zone).schema["moment"] == pl.Datetime("us", zone)
    assert asked().count("DESCRIBE TABLE") == 2


def test_another_state_of_the_lake_has_types_of_its_own(lake: Lake, tmp_path: Path, asked: Callable[[], list[str]]) -> None:
    sql.query(TIMES, lake=lake, zone="UTC")
    add(lake, *candles_archives(tmp_path / "more", "binance-spot", "ETHUSDT", "1m", walk(MONDAY, 120, MINUTE_US)))
    asked()
    sql.query(TIMES, lake=lake, zone="UTC")
    assert asked().count("DESCRIBE TABLE") == 1


def test_what_runs_unchecked_is_asked_each_time(lake: Lake, asked: Callable[[], list[str]]) -> None:
    """Such a statement may make tables, whose columns change."""
    for _ in range(2):
        found = process.frame("SELECT toUInt32(1) AS n -- one\n;", lake=lake, parameters={}, guarded=False)
        assert found.schema == pl.Schema({"n": pl.UInt32()})
        assert asked() == ["SELECT toUInt32", "DESCRIBE TABLE"]


def test_errors_are_not_kept(lake: Lake) -> None:
    for _ in range(2):
        with pytest.raises(QueryError, match="UNKNOWN_IDENTIFIER"):
            sql.query("SELECT nosuch FROM api.trade", lake=lake)
