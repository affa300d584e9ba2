"""What stands around a query: settings, formats, parameters, other statements, ways to write them."""

from __future__ import annotations

from itertools import cycle, product
from typing import TYPE_CHECKING

from tests.server.attacks.attempts import MADE, Attempt, Kind, plain

if TYPE_CHECKING:
    from tests.server.attacks.engine import Engine

_CLAUSES = (
    "SELECT 1 SETTINGS {}",
    "SELECT * FROM (SELECT 1 SETTINGS {})",
    "SELECT * FROM numbers(1, SETTINGS {})",
    "EXPLAIN SELECT 1 SETTINGS {}",
    "SELECT 1 UNION ALL (SELECT 2 SETTINGS {})",
    "SELECT 1 FORMAT CSV SETTINGS {}",
    "SELECT * FROM view(SELECT 1 SETTINGS {})",
    "DESCRIBE (SELECT 1) SETTINGS {}",
    "SET {}",
    "SHOW TABLES SETTINGS {}",
)
_STATEMENTS = """
INSERT INTO api.trade VALUES (1)
INSERT INTO FUNCTION file('<closed>', 'CSV', 'a String') SELECT 'x'
INSERT INTO FUNCTION url('http://127.0.0.1:<listener>/', 'CSV', 'a String') SELECT 'x'
INSERT INTO TABLE FUNCTION null('a String') SELECT 'x'
INSERT INTO api.trade FROM INFILE '<closed>' FORMAT CSV
CREATE TABLE api.x (a Int8) ENGINE = Memory
CREATE TABLE x AS file('<closed>', 'LineAsString')
CREATE TEMPORARY TABLE x (a Int8)
CREATE TABLE api.x ENGINE = File(CSV, '<closed>') AS SELECT 1
CREATE VIEW api.x AS SELECT file('<closed>')
CREATE VIEW api.x DEFINER = lake_owner SQL SECURITY DEFINER AS SELECT * FROM lake.trades
CREATE OR REPLACE VIEW api.trade AS SELECT 1
CREATE MATERIALIZED VIEW api.x ENGINE = Memory AS SELECT 1
CREATE LIVE VIEW api.x AS SELECT 1
CREATE WINDOW VIEW api.x AS SELECT 1
CREATE DATABASE x
CREATE DATABASE x ENGINE = Filesystem('/')
CREATE DICTIONARY api.d (a UInt64) PRIMARY KEY a SOURCE(FILE(path '<closed>' format 'CSV')) LAYOUT(FLAT()) LIFETIME(1)
CREATE DICTIONARY api.d (a UInt64) PRIMARY KEY a SOURCE(EXECUTABLE(command 'id' format 'CSV')) LAYOUT(FLAT()) LIFETIME(1)
CREATE FUNCTION f AS x -> file(x)
CREATE OR REPLACE FUNCTION upper AS x -> file(x)
CREATE FUNCTION f ENGINE = Executable
CREATE USER x IDENTIFIED BY 'x'
CREATE ROLE x
CREATE ROW POLICY p ON api.trade USING 1 TO default
CREATE QUOTA q
CREATE SETTINGS PROFILE p SETTINGS readonly = 0
CREATE NAMED COLLECTION c AS url = 'http://127.0.0.1:<listener>/'
CREATE WORKLOAD w
CREATE RESOURCE r (READ DISK d)
CREATE INDEX i ON api.trade (a)
CREATE MASKING POLICY p ON api.trade UPDATE a = 1
ALTER TABLE api.trade DELETE WHERE 1
ALTER TABLE api.trade ADD COLUMN x Int8
ALTER TABLE lake.trades ATTACH PARTITION ALL
ALTER USER default IDENTIFIED BY 'x'
ALTER USER default SETTINGS readonly = 0
ALTER ROLE x RENAME TO y
ALTER SETTINGS PROFILE default SETTINGS readonly = 0
ALTER DATABASE api MODIFY COMMENT 'x'
ALTER NAMED COLLECTION c SET a = 1
ATTACH TABLE x FROM '<closed>' (a Int8) ENGINE = Memory
ATTACH DATABASE x ENGINE = Atomic
DETACH TABLE api.trade
DETACH DATABASE api PERMANENTLY
DROP TABLE api.trade
DROP VIEW IF EXISTS api.trade
DROP DATABASE api
DROP USER default
DROP FUNCTION upper
UNDROP TABLE api.trade
TRUNCATE TABLE api.trade
TRUNCATE ALL TABLES FROM api
RENAME TABLE api.trade TO api.x
EXCHANGE TABLES api.trade AND api.coverage
OPTIMIZE TABLE lake.trades FINAL
CHECK TABLE lake.trades
CHECK ALL TABLES
CHECK GRANT SELECT ON lake.*
DELETE FROM api.trade WHERE 1
UPDATE api.trade SET price = 1 WHERE 1
GRANT ALL ON *.* TO default
GRANT CURRENT GRANTS ON *.* TO default
REVOKE SELECT ON api.* FROM default
MOVE USER default TO memory
SET readonly = 0
SET ROLE ALL
SET DEFAULT ROLE ALL TO default
SET TRANSACTION SNAPSHOT 1
SET param_x = 1
USE lake
USE system
KILL QUERY WHERE 1 SYNC
KILL MUTATION WHERE 1
KILL TRANSACTION WHERE 1
BEGIN TRANSACTION
COMMIT
ROLLBACK
BACKUP DATABASE api TO File('/tmp/x')
BACKUP TABLE lake.trades TO Disk('default', 'x')
RESTORE DATABASE api FROM File('<closed>')
WATCH api.trade
EXISTS TABLE lake.trades
EXISTS DATABASE lake
EXISTS DICTIONARY lake.d
SHOW CREATE VIEW api.trade
SHOW CREATE USER default
SHOW CREATE QUOTA CURRENT
SHOW CREATE ROW POLICY p
SHOW ACCESS
SHOW GRANTS
SHOW GRANTS FOR lake_owner
SHOW USERS
SHOW ROLES
SHOW PROFILES
SHOW POLICIES
SHOW QUOTAS
SHOW QUOTA
SHOW PROCESSLIST
SHOW SETTINGS LIKE '%'
SHOW SETTING max_threads
SHOW ENGINES
SHOW FUNCTIONS
SHOW MERGES
SHOW CLUSTERS
SHOW CLUSTER 'default'
SHOW DICTIONARIES FROM lake
SHOW TABLES FROM lake
SHOW TABLES FROM system
SHOW FULL TABLES FROM information_schema
SHOW TABLES FROM {d:Identifier}
SHOW TEMPORARY TABLES
SHOW COLUMNS FROM lake.trades
SHOW INDEXES FROM lake.trades
SHOW FILESYSTEM CACHES
SHOW NAMED COLLECTIONS
SHOW TYPE 'String'
SELECT 1 PARALLEL WITH SELECT 2
EXECUTE AS lake_owner SELECT 1
COPY api.trade TO '/tmp/x'
PREPARE x AS SELECT 1
DESCRIBE CACHE 'x'
DESCRIBE file('<closed>')
DESCRIBE url('http://127.0.0.1:<listener>/', 'CSV')
TABLE lake.trades
HANDLE x
IMPORT x
SNAPSHOT x
UNFREEZE x
UNLOCK INSTANCE
"""
_SYSTEM = """
SHUTDOWN; KILL; SUSPEND FOR 1 SECOND; RELOAD CONFIG; RELOAD DICTIONARIES; RELOAD FUNCTIONS; RELOAD USERS; FLUSH LOGS; DROP DNS CACHE;
DROP MARK CACHE; DROP QUERY CACHE; DROP SCHEMA CACHE; DROP FORMAT SCHEMA CACHE; DROP FILESYSTEM CACHE; SYNC FILE CACHE; START LISTEN HTTP;
STOP LISTEN QUERIES ALL; STOP MERGES; START MERGES; ENABLE FAILPOINT x; WAIT FAILPOINT x; UNFREEZE WITH NAME x; RESTART DISK default;
RELOAD ASYNCHRONOUS METRICS; JEMALLOC PURGE; JEMALLOC ENABLE PROFILE; STOP THREAD FUZZER; RESET COVERAGE; NOTIFY FAILPOINT x;
PREWARM MARK CACHE lake.trades; LOAD PRIMARY KEY; WAIT LOADING PARTS lake.trades;
RESTORE DATABASE REPLICA x; CLEAR DNS CACHE; INSTRUMENT ADD x
"""
_EXPLAINS = (
    "",
    "AST",
    "SYNTAX",
    "PLAN",
    "PIPELINE",
    "QUERY TREE",
    "ESTIMATE",
    "TABLE OVERRIDE",
    "CURRENT TRANSACTION",
    "ANALYZE",
    "WHAT IF",
    "LOGICAL",
    "INDEXES",
)
_OPTIONS = (
    "header = 1",
    "description = 0",
    "indexes = 1",
    "actions = 1",
    "json = 1",
    "projections = 1",
    "distributed = 1",
    "keep_logical_steps = 1",
    "sorting = 1",
    "graph = 1",
    "compact = 0",
    "run_passes = 1",
    "dump_ast = 1",
    "dump_tree = 0",
    "passes = 1",
    "oneline = 1",
    "query_tree_passes = 1",
    "run_query_tree_passes = 1",
    "optimize = 1",
    "pretty = 1",
    "input_headers = 1",
    "column_structure = 1",
    "nosuch = 1",
    "readonly = 0",
)
_OUTFILES = (
    "INTO OUTFILE '{}'",
    "INTO OUTFILE '{}' APPEND",
    "INTO OUTFILE '{}' TRUNCATE",
    "INTO OUTFILE '{}' AND STDOUT",
    "INTO OUTFILE '{}' COMPRESSION 'gzip'",
    "INTO OUTFILE '{}' COMPRESSION 'gzip' LEVEL 9",
    "INTO OUTFILE '{}' FORMAT CSV",
    "INTO OUTFILE '{}' FORMAT CSV SETTINGS max_threads = 1",
    "INTO OUTFILE {{f:String}}",
    "into/**/outfile '{}'",
)
_BEFORE_OUTFILE = (
    "SELECT 1 {}",
    "SELECT 1 UNION ALL SELECT 2 {}",
    "SHOW TABLES {}",
    "EXPLAIN SELECT 1 {}",
    "DESCRIBE TABLE api.trade {}",
    "SELECT * FROM (SELECT 1 {})",
    "WITH x AS (SELECT 1) SELECT * FROM x {}",
    "SELECT * FROM view(SELECT 1 {})",
)
_READ = "file('<closed>')"


def kinds(engine: Engine) -> list[Kind]:
    """All of them."""
    allowed = "settings on the list, none of which names a file, and those without effect here"
    return [
        Kind("setting in a clause", _in_clauses(engine), allowed),
        Kind("setting of the address", _of_address(engine), allowed),
        Kind("format", _formats(engine), "served formats"),
        Kind("format of the address", _formats_of_address(engine), "served formats"),
        Kind("parameter", _parameters(engine), "values of types that only hold values"),
        Kind("statement", _statements(), "EXISTS DATABASE, which says of all but api that it is not there"),
        Kind("keyword", _keywords(engine), "SELECT, SHOW TABLES and their like"),
        Kind("explain", _explains(), "EXPLAIN, AST, SYNTAX and PIPELINE without options"),
        Kind("into outfile", _outfiles()),
        Kind("several statements", _several(), "one statement with a semicolon, comments or an empty one after it"),
        Kind("spelling", _spellings(), "names in which a letter only looks like another"),
    ]


def _value(kind: str) -> str:
    return "<closed>" if kind.startswith("String") else "1"


def _in_clauses(engine: Engine) -> list[Attempt]:
    found = plain(
        clause.format(f"{name} = '{_value(kind)}'") for (name, kind), clause in zip(engine.settings[::2], cycle(_CLAUSES), strict=False)
    )
    paths = ("<closed>", "../../../../../..<closed>", "file://<closed>", "http://127.0.0.1:<listener>/", "a&readonly=0", "1;readonly=0")
    names = [name for name, kind in engine.settings if kind.startswith("String")]
    return found + plain(f"SELECT 1 SETTINGS {name} = '{path}'" for name, path in zip(names, cycle(paths), strict=False))


def _of_address(engine: Engine) -> list[Attempt]:
    texts = cycle(
        (
            "SELECT 1",
            "SELECT toDateTime(0) AS a FORMAT ORC",
            "SELECT now() AS a FORMAT Parquet",
            "SELECT count() FROM api.coverage",
            "SELECT 1 FORMAT Template",
        )
    )
    found = [Attempt(text, settings={name: _value(kind)}) for (name, kind), text in zip(engine.settings, texts, strict=False)]
    others = (
        "config-file",
        "path",
        "user_files_path",
        "tmp_path",
        "user",
        "database",
        "log_level",
        "logger.log",
        "format_schema_path",
        "readonly",
        "allow_ddl",
        "profile",
        "role",
    )
    return found + [Attempt("SELECT 1", settings={name: "<closed>"}) for name in others]


def _formats(engine: Engine) -> list[Attempt]:
    return plain(
        text.format(name)
        for name, text in product(
            engine.formats, ("SELECT 'x' AS a, 1 AS b FORMAT {}", "SHOW TABLES FORMAT {}", "SELECT formatRow('{}', 1)")
        )
    )


def _formats_of_address(engine: Engine) -> list[Attempt]:
    names = [*engine.formats, "<closed>", "CSV INTO OUTFILE '/tmp/x'", "csv", "", "CSV\\0", "file('<closed>')"]
    return [Attempt("SELECT 'x' AS a, toDateTime(0) AS b", output_format=name) for name in names]


def _parameters(engine: Engine) -> list[Attempt]:
    values = cycle(
        ("<closed>", _READ, "1); SELECT file('<closed>'); --", "\\N", "'", "\\'||file(\\'<closed>\\')||\\'", "[1,2", "{a:1}", "\\0")
    )
    found = [Attempt(f"SELECT {{x:{kind}}}", {"x": value}) for kind, value in zip(engine.types * 2, values, strict=False)]
    places = (
        "SELECT * FROM {x:Identifier}",
        "SELECT {x:Identifier}",
        "SELECT * FROM numbers({x:UInt64})",
        "SELECT 1 LIMIT {x:UInt64}",
        "SELECT {x:String}(1)",
        "SELECT 1 FORMAT {x:Identifier}",
        "SELECT 1 SETTINGS max_threads = {x:UInt64}",
        "SELECT CAST(1 AS {x:Identifier})",
        "SELECT CAST(1, {x:String})",
        "SELECT 1 AS {x:Identifier}",
    )
    return found + [
        Attempt(place, {"x": value})
        for place, value in product(
            places, (_READ, "lake.trades", "system.users", "1 UNION ALL SELECT file('<closed>')", "AggregateFunction(sum, Int8)")
        )
    ]


def _statements() -> list[Attempt]:
    texts = [line for line in _STATEMENTS.splitlines() if line] + [f"SYSTEM {line.strip()}" for line in _SYSTEM.split(";") if line.strip()]
    return [Attempt(text, {"d": "lake"}) if "{d" in text else Attempt(text) for text in dict.fromkeys(texts)]


def _keywords(engine: Engine) -> list[Attempt]:
    tails = cycle(("TABLE lake.trades", "'<closed>'", "SELECT file('<closed>')", "lake.trades"))
    return plain(f"{word} {tail}" for word, tail in zip(engine.keywords, tails, strict=False))


def _explains() -> list[Attempt]:
    texts = [f"EXPLAIN {kind} {option} SELECT 1" for kind in _EXPLAINS for option in ("", *_OPTIONS)]
    texts += [f"EXPLAIN {kind} SELECT {_READ}" for kind in _EXPLAINS] + [f"EXPLAIN {kind} SELECT * FROM lake.trades" for kind in _EXPLAINS]
    texts += [
        f"EXPLAIN {kind} {statement}"
        for kind in _EXPLAINS
        for statement in ("DROP TABLE api.trade", "EXPLAIN SELECT 1", "INSERT INTO api.trade SELECT 1")
    ]
    texts += [f"SELECT * FROM (EXPLAIN {kind} SELECT {_READ})" for kind in _EXPLAINS] + [
        f"SELECT * FROM viewExplain('EXPLAIN {kind}', '', (SELECT 1))" for kind in _EXPLAINS
    ]
    return plain(texts)


def _outfiles() -> list[Attempt]:
    places = cycle(("<closed>", *MADE, "made.csv", "../made.csv", "/proc/self/mem"))
    texts = [before.format(clause.format(next(places))) for before, clause in product(_BEFORE_OUTFILE, _OUTFILES)]
    return [Attempt(text, {"f": MADE[0]}) for text in texts]


def _several() -> list[Attempt]:
    ends = (
        "; SELECT 2",
        ";; SELECT 2",
        "; DROP TABLE api.trade",
        f"; SELECT {_READ}",
        ";\n-- x\nSELECT 2",
        ";/**/SELECT 2",
        "; FORMAT CSV",
        "\\G SELECT 2",
        "; SET readonly = 0",
        ";;",
        "; -- x",
        "; SELECT 2;",
        "\0; SELECT 2",
        "\uff1bSELECT 2",
        "\u037e SELECT 2",
        "\n;\n;\n",
    )
    starts = ("SELECT 1", "SHOW TABLES", "DESCRIBE TABLE api.trade", "EXPLAIN SELECT 1", "SELECT ';'")
    return plain(start + end for start, end in product(starts, ends))


def _spellings() -> list[Attempt]:
    ways = (
        "SELECT/**/file/**/('<closed>')",
        "SELECT file -- x\n('<closed>')",
        "SELECT file # x\n('<closed>')",
        "SELECT file\t\n\r\f\v('<closed>')",
        "SELECT\u00a0file('<closed>')",
        "SELECT\u2003file('<closed>')",
        "SELECT \ufefffile('<closed>')",
        "\ufeffSELECT file('<closed>')",
        "SELECT \u200bfile('<closed>')",
        "SELECT fi\u200dle('<closed>')",
        "SELECT \uff46\uff49\uff4c\uff45('<closed>')",
        "SELECT f\u0456le('<closed>')",
        "SELECT \ufb01le('<closed>')",
        "SELECT file\uff08'<closed>'\uff09",
        "SELECT f\u0131le('<closed>')",
        "SELECT file('<closed>')\0",
        "SELECT file\0('<closed>')",
        "SELECT 1\0, file('<closed>')",
        "\0SELECT file('<closed>')",
        "SELECT `fi\\x6ce`('<closed>')",
        "SELECT \"f\\x69le\"('<closed>')",
        "SELECT `file\\0`('<closed>')",
        "SELECT `\\u0066ile`('<closed>')",
        "SELECT $$<closed>$$ AS a, file(a)",
        "SELECT file($a$<closed>$a$)",
        "SELECT file(x'2F6574632F706173737764')",
        "SELECT file(b'00101111')",
        "SELECT file(\u2018<closed>\u2019)",
        "SELECT /*/**/*/ file('<closed>')",
        "SELECT /* */*/ file('<closed>')",
        "SELECT 1 --\rfile('<closed>')",
        "SELECT 1 /* \n, file('<closed>')",
        "SELECT 1 #! x\n, file('<closed>')",
        "SELECT $file$ x $file$, file('<closed>')",
        "SELECT file(/*'*/'<closed>'/*'*/)",
        "(((SELECT file('<closed>'))))",
        "sElEcT FiLe('<closed>')",
        "SELECT default.file('<closed>')",
        "SELECT api.file('<closed>')",
        "SELECT system.file('<closed>')",
        "SELECT file.file('<closed>')",
        "SELECT `file`.`file`('<closed>')",
        "SELECT {fn file('<closed>')}",
        "SELECT @@file, file('<closed>')",
        "SELECT :file, file('<closed>')",
        "SELECT ?, file('<closed>')",
        "SELECT file ('<closed>') OVER ()",
        "SELECT DISTINCT ON (file('<closed>')) 1",
        "SELECT * EXCEPT file FROM (SELECT file('<closed>') AS file)",
        "SELECT file.* FROM (SELECT file('<closed>') AS a) AS file",
        "select * from file where file('<closed>') = ''",
        "SELECT \ud7fffile('<closed>')",
        "SELECT '\\' , file('<closed>') --'",
        "SELECT '''', file('<closed>')",
        'SELECT """", file(\'<closed>\')',
        "SELECT `\\``, file('<closed>')",
        "VALUES (file('<closed>'))",
        "SELECT FROM numbers(1) file('<closed>')",
        "WITH 1 AS file SELECT file('<closed>')",
        "WITH (x -> x) AS file SELECT file('<closed>')",
        "WITH file AS (SELECT 1) SELECT file('<closed>') FROM file",
        "SELECT file AS file, file('<closed>') FROM (SELECT 1 AS file)",
        "SELECT toString(file)('<closed>')",
    )
    return plain(ways)
