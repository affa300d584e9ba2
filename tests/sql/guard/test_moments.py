"""Bounds of the times that statements write out, against what the engine makes of them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from pointline.sql.guard.moments import bounds_of
from pointline.sql.guard.trees import arguments_of, walk

pytest.importorskip("chdb")

NOW = dt.datetime.now(dt.UTC)
SHOWN = (
    "'2024-05-01'",
    "'2024-05-01 23:59:59'",
    "'2024-05-01 23:59:59.123456'",
    "toDate('2024-05-01')",
    "toDate('2024-05-01 13:00:00')",
    "toDate32('2024-05-01')",
    "toDateTime('2024-05-01 13:00:00')",
    "toDateTime('2024-05-01 13:00:00', 'Asia/Tokyo')",
    "toDateTime64('2024-05-01 13:00:00.5', 3, 'America/Los_Angeles')",
    "toDateTime(1714555800)",
    "toDateTime64(1714555800, 3)",
    "fromUnixTimestamp(1714555800)",
    "fromUnixTimestamp64Milli(1714555800123)",
    "fromUnixTimestamp64Micro(1714555800123456, 'UTC')",
    "now()",
    "now64(6)",
    "today()",
    "yesterday()",
    "now() - INTERVAL 36 HOUR",
    "now() + INTERVAL 2 WEEK",
    "subtractDays(now(), 3)",
    "addHours(toDateTime('2024-05-01 00:00:00'), -5)",
    "toStartOfDay(toDateTime('2024-05-01 23:00:00'))",
    "toStartOfHour(now() - INTERVAL 90 MINUTE)",
    "toStartOfFifteenMinutes(toDateTime(1714555800))",
    "toMonday(toDate('2024-05-05'))",
    "toStartOfWeek(toDate('2024-05-05'))",
    "toStartOfMonth(toDateTime('2024-05-31 23:59:59'))",
    "CAST('2024-05-01 13:00:00' AS DateTime)",
    "CAST(toDateTime('2024-05-01 23:00:00') AS Date)",
    "'2024-05-01'::DateTime64(3)",
    "DATE '2024-05-01'",
    "toDate(now())",
    "{day:Date}",
    "{time:DateTime('UTC')}",
    "{text:String}",
)
HIDDEN = (
    "'soon'",
    "'2024-13-01'",
    "1714555800",
    "toDate(19844)",
    "toDateTime('2140-01-01')",
    "toDateTime(4200000000)",
    "toDateTime('2099-12-31') + INTERVAL 20 WEEK",
    "now() - 86400",
    "today() - INTERVAL 1 MONTH",
    "parseDateTimeBestEffort('2024-05-01')",
    "CAST('2024-05-01' AS String)",
    "if(1, now(), now())",
    "{count:UInt32}",
    "{nothing:Date}",
)
PARAMETERS = {"day": "2024-05-01", "time": "2024-05-01 13:00:00", "text": "2024-05-01 13:00:00", "count": "1714555800"}


@pytest.fixture(scope="module")
def session() -> Any:  # noqa: ANN401 - chDB has no types
    from pointline.sql import process
    from pointline.sql.chdb_import import session_class

    process.close()  # one engine per process
    with session_class()(":memory:") as made:
        yield made


def bounds(session: Any, text: str) -> tuple[int, int] | None:  # noqa: ANN401
    answer = session.query(
        "SELECT parseQueryToJSON({q:String})", "JSONCompact", params={"q": f"SELECT 1 WHERE x = {text}".replace("'", "\\'")}
    )
    tree = json.loads(json.loads(answer.bytes())["data"][0][0])
    condition = next(node for node in walk(tree) if node.get("name") == "equals")
    return bounds_of(arguments_of(condition)[1], PARAMETERS, int(NOW.timestamp() * 1_000_000))


@pytest.mark.parametrize("text", SHOWN)
def test_the_engine_s_time_lies_within_the_bounds(session: Any, text: str) -> None:  # noqa: ANN401
    found = bounds(session, text)
    assert found is not None
    for zone in ("UTC", "Asia/Tokyo", "America/Los_Angeles", "Pacific/Kiritimati"):
        whole = f"SELECT toUnixTimestamp64Micro(toDateTime64({text}, 6)) SETTINGS session_timezone = '{zone}'"
        us = int(session.query(whole, "TSV", params={name: PARAMETERS[name] for name in PARAMETERS}).bytes())
        assert found[0] <= us <= found[1], zone
    assert found[1] - found[0] < 40 * 86_400_000_000


@pytest.mark.parametrize("text", HIDDEN)
def test_what_the_text_does_not_show_has_no_bounds(session: Any, text: str) -> None:  # noqa: ANN401
    assert bounds(session, text) is None
