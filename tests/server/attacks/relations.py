"""Tables and table functions that are not served, by every way to name them."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

from tests.server.attacks.attempts import Attempt, Kind, plain, spelt

from pointline.sql.guard.allow_lists import SYSTEM_TABLES, TABLE_FUNCTIONS

if TYPE_CHECKING:
    from tests.server.attacks.engine import Engine

_ARGUMENTS = (
    "'<closed>', 'LineAsString', 'a String'",
    "'<closed>'",
    "'http://127.0.0.1:<listener>/x', 'LineAsString', 'a String'",
    "'127.0.0.1:<listener>', 'system', 'one', 'u', 'p'",
    "'lake', 'trades'",
    "lake.trades",
    "'file://<closed>', 'RawBLOB'",
    "",
)
_AROUND = (
    "SELECT * FROM {}",
    "SELECT count() FROM {} AS t",
    "WITH x AS (SELECT * FROM {}) SELECT * FROM x",
    "SELECT * FROM view(SELECT * FROM {})",
    "SELECT 1 IN (SELECT * FROM {})",
    "SELECT * FROM numbers(1) AS n, {} AS t",
    "SELECT * FROM numbers(1) AS n LEFT JOIN {} AS t ON 1",
    "SELECT (SELECT count() FROM {})",
    "DESCRIBE {}",
    "EXPLAIN SELECT * FROM {}",
    "SELECT 1 UNION ALL SELECT count() FROM {}",
    "FROM {} SELECT *",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM {}))",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM {})",
    "SELECT arrayMap(x -> (SELECT count() FROM {}), [1])",
    "WITH (SELECT count() FROM {}) AS n SELECT n",
)
_TABLE_WAYS = (
    "SELECT * FROM {t}",
    "SELECT count() FROM {q}",
    "SELECT 1 IN {t}",
    "SELECT 1 WHERE 1 NOT IN ({t})",
    "SELECT in(1, {t})",
    "EXPLAIN SELECT * FROM {t}",
    "DESCRIBE {t}",
    "DESCRIBE TABLE {q}",
    "SHOW CREATE TABLE {t}",
    "EXISTS TABLE {t}",
    "SHOW COLUMNS FROM {t}",
    "SELECT t.* FROM {t} AS t",
    "SELECT * FROM numbers(1) AS n JOIN {t} AS t ON 1",
    "WITH t AS (SELECT * FROM {q}) SELECT * FROM t",
    "SELECT (SELECT count() FROM {t})",
    "SELECT * FROM view(SELECT * FROM {t})",
    "SELECT 1 UNION ALL SELECT count() FROM {t}",
    "TABLE {t}",
    "SELECT * FROM {u}",
    "SELECT * FROM merge({s})",
    "SELECT * FROM {t} FINAL",
    "SELECT * FROM loop({t})",
    "SELECT count() FROM {t} PREWHERE 1",
    "CHECK TABLE {t}",
    "INSERT INTO {t} SELECT * FROM {t}",
    "SELECT * FROM `{d}`.`{n}`(1)",
)
_COLUMNS = (
    "_path",
    "_file",
    "_size",
    "_time",
    "_etag",
    "_table",
    "_database",
    "_part",
    "_row_exists",
    "_sample_factor",
    "_headers",
    "_data_lake_snapshot_version",
)


def kinds(engine: Engine) -> list[Kind]:
    """All of them."""
    return [
        Kind("table function", _table_functions(engine)),
        Kind("name like a table function", _like_table_functions(engine)),
        Kind("table", _tables(engine), "stand-ins for tables of `system` without paths, and what is in no database"),
        Kind("table by parameter", _by_parameter(engine)),
        Kind("virtual column", _virtual(), "a column that no view has; _table and _database tell the view's own name"),
        Kind("table engine", _engines(engine)),
    ]


def _table_functions(engine: Engine) -> list[Attempt]:
    refused = [name for name in engine.table_functions if name not in TABLE_FUNCTIONS]
    ways, around = cycle(_ARGUMENTS), cycle(_AROUND)
    return plain(next(around).format(f"{name}({next(ways)})") for name in [*spelt(refused)] * 4)


def _like_table_functions(engine: Engine) -> list[Attempt]:
    texts = []
    for name in engine.table_functions:
        texts += [f"SELECT * FROM {place}.{name}('<closed>')" for place in ("api", "system", "lake")]
        if name not in TABLE_FUNCTIONS:
            texts.append(f"SELECT * FROM {name.swapcase()}('<closed>')")
    return plain(texts)


def _tables(engine: Engine) -> list[Attempt]:
    served = {("system", name) for name in SYSTEM_TABLES}
    hidden = [table for table in engine.tables if table not in served]
    hidden += [("lake", name) for name in ("trades", "candles_1m", "funding", "instruments", "coverage", "nosuch")] + [("default", "x")]
    texts = []
    ways = cycle(_TABLE_WAYS)
    for database, name in hidden * 2:
        shown = {"d": database, "n": name, "t": f"{database}.{name}", "q": f'`{database}`."{name}"', "u": f"{database}.{name}".swapcase()}
        texts.append(next(ways).format(**shown, s=f"'{database}', '^{name}$'"))
    texts += [
        way.format(d="lake", n="trades", t="lake.trades", q="`lake`.trades", u="LAKE.TRADES", s="'lake', 'trades'") for way in _TABLE_WAYS
    ]
    texts += [f"SELECT * FROM system.{name}" for name in SYSTEM_TABLES if not name.startswith("numbers")]
    return plain(texts)


def _by_parameter(engine: Engine) -> list[Attempt]:
    texts = (
        "SELECT * FROM {d:Identifier}.{t:Identifier}",
        "SELECT 1 IN {d:Identifier}.{t:Identifier}",
        "DESCRIBE {d:Identifier}.{t:Identifier}",
    )
    hidden = [(d, t) for d, t in engine.tables if d != "system" or t not in SYSTEM_TABLES] + [("lake", "trades"), ("lake", "funding")]
    return [Attempt(text, {"d": database, "t": name}) for (database, name), text in zip(hidden, cycle(texts), strict=False)]


def _virtual() -> list[Attempt]:
    when = "WHERE timestamp >= '2024-05-01' AND timestamp < '2024-05-02' LIMIT 3"
    texts = [f"SELECT {name} FROM api.trade {when}" for name in _COLUMNS]
    texts += [
        f"SELECT {name} FROM {view}"
        for name in _COLUMNS
        for view in ("api.coverage", "api.ohlcv(candle_duration_in_minutes = 60)", "numbers(1)")
    ]
    texts += [f"SELECT {name} FROM lake.trades" for name in _COLUMNS]
    return plain(texts)


def _engines(engine: Engine) -> list[Attempt]:
    texts = []
    for name in engine.table_engines:
        texts += [f"CREATE TABLE api.x (a String) ENGINE = {name}('<closed>')", f"CREATE TEMPORARY TABLE x (a String) ENGINE = {name}"]
    texts += [
        f"CREATE DATABASE x ENGINE = {name}('<closed>')"
        for name in ("Atomic", "Memory", "Overlay", "Filesystem", "SQLite", "MySQL", "DataLakeCatalog", "Backup", "S3", "Remote")
    ]
    return plain(texts)
