"""What the guard lets through and what it refuses, asked of a real worker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointline.sql.guard.allow_lists import named
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.limits import QueryLimits

if TYPE_CHECKING:
    from tests.server.running import DirectWorker

DAY = "timestamp >= '2024-05-01' AND timestamp < '2024-05-02'"

ALLOWED = {
    "SELECT 1": "1",
    "select 1;": "1",
    "SELECT 1 -- a comment\n": "1",
    "/* first */ SELECT 1 # last": "1",
    "SELECT 'a;b'": "a;b",
    "SELECT 'SELECT file(1)', 'DROP TABLE x'": "SELECT file(1)\tDROP TABLE x",
    "SELECT sum(x) FROM (SELECT 1 AS x UNION ALL SELECT 2)": "3",
    "WITH t AS (SELECT 1 AS x) SELECT x FROM t": "1",
    "WITH trade AS (SELECT 1 AS x) SELECT x FROM trade": "1",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t WHERE n < 4) SELECT sum(n) FROM t": "10",
    "SELECT count() FROM numbers(10)": "10",
    "SELECT max(generate_series) FROM generate_series(1, 7)": "7",
    "SELECT sum(a) FROM values('a Int8', 1, 2)": "3",
    "SELECT a + b FROM (VALUES (1, 2)) AS t(a, b)": "3",
    "SELECT count() FROM view(SELECT 1)": "1",
    "SELECT arrayMap(x -> x + 1, [1, 2])": "[2,3]",
    "SELECT sumIf(number, number > 1), maxIfOrNull(number, number > 9) FROM numbers(4)": "5\t\\N",
    "SELECT SUM(number), Count(*) FROM numbers(3)": "3\t3",
    "SELECT * APPLY(sum) FROM (SELECT 1 AS a)": "1",
    "SELECT row_number() OVER (ORDER BY number DESC) FROM numbers(1)": "1",
    "SELECT 2 IN (1, 2), 2 IN (SELECT 2)": "1\t1",
    "SELECT a FROM (SELECT 1 AS a) ORDER BY a WITH FILL FROM 1 TO 2": "1",
    "SELECT 1e20, -0.0, [1.5, 1e300], inf, -1e-5": "100000000000000000000\t-0\t[1.5,1e300]\tinf\t-0.00001",
    "SELECT 1 SETTINGS max_threads = 1": "1",
    "SELECT toDateTime(0) SETTINGS date_time_output_format = 'iso'": "1970-01-01T00:00:00Z",
    "SHOW DATABASES LIKE 'api'": "api",
    "SHOW TABLES LIKE 'tra%'": "trade\ntrade_last",
    "SELECT name FROM system.databases": "api",
    "SELECT name FROM system.tables WHERE name = 'trade'": "trade",
    "SELECT t.name FROM system.tables AS t WHERE t.name LIKE 'trad_'": "trade",
    "SELECT count() > 0 FROM system.columns WHERE table = 'trade'": "1",
    "SELECT DISTINCT database FROM system.columns": "api",
    "SELECT readonly FROM system.settings WHERE name = 'max_threads'": "0",
    "SELECT readonly FROM system.settings WHERE name = 'allow_ddl'": "1",
    "EXPLAIN AST SELECT 1": None,
    "EXPLAIN SELECT 1": None,
    "DESCRIBE TABLE api.trade": None,
    "DESC api.ohlcv(candle_duration_in_minutes = 60)": None,
    "DESCRIBE (SELECT 1 AS a)": "a\tUInt8\t\t\t\t\t",
    f"SELECT count() > 0 FROM api.trade WHERE {DAY}": "1",
    f"SELECT count() > 0 FROM trade WHERE {DAY}": "1",
    f"SELECT count() > 0 FROM (SELECT * FROM api.trade) WHERE {DAY}": "1",
    f"WITH t AS (SELECT * FROM api.trade) SELECT count() > 0 FROM t WHERE {DAY}": "1",
    "SELECT count() > 0 FROM api.trade AS t WHERE t.known_at BETWEEN '2024-05-01' AND '2024-05-02'": "1",
    "SELECT count() FROM api.trade WHERE toDate(timestamp) = '2020-01-01'": "0",
    "SELECT * FROM api.trade LIMIT 0": "",
    "SELECT sum(price) FROM api.trade ORDER BY 1 LIMIT 0": "",
    "SELECT exchange FROM api.trade WHERE exchange = 'binance' LIMIT 2": "binance\nbinance",
    "SELECT exchange FROM (SELECT * FROM api.trade) WHERE exchange = 'binance' LIMIT 1": "binance",
    "SELECT max(timestamp), count() FROM api.trade": None,
    "SELECT max(timestamp), min(known_at), count() FROM api.trade WHERE market = 'BTC-USDT'": None,
    "SELECT exchange, max(timestamp) FROM api.trade GROUP BY exchange": None,
    "SELECT arrayMap(upper, ['a']), arraySort(negate, [1, 2])": "['A']\t[2,1]",
    "SELECT * FROM values('a Tuple(x Int8, `y z` Array(Nullable(String)))', ((1, ['b'])))": "(1,['b'])",
    "SELECT CAST('1' AS Enum8('1' = 1)), accurateCast(1, 'Nullable(Decimal(38, 2))')": "1\t1",
    "SELECT system.columns.type FROM system.columns WHERE system.columns.table = 'trade' AND system.columns.name = 'market'": "String",
    "SELECT currentUser(), USER() AS me": "default\tdefault",
    "SELECT [1, 2] AS sum, arrayElement(sum, 2), arrayMap(toFloat64, [1])": "[1,2]\t2\t[1]",
    "EXISTS TABLE api.trade": "1",
    "EXISTS VIEW nothing": "0",
    "EXISTS TABLE api.trade FORMAT CSV": "1",
    "EXISTS DATABASE api": "1",
    "EXISTS DATABASE lake": "0",
}


@pytest.mark.parametrize("text", ALLOWED)
def test_what_only_reads_runs(worker: DirectWorker, text: str) -> None:
    _, data = worker.run(text)
    expected = ALLOWED[text]
    assert data != b"" if expected is None else data.decode() == (expected and expected + "\n")


REFUSED = {
    # other statements
    "SELECT 1; SELECT 2": "SYNTAX_ERROR",
    "SELECT 1;; SELECT 2": "SYNTAX_ERROR",
    "": "SYNTAX_ERROR",
    "-- nothing": "SYNTAX_ERROR",
    "INSERT INTO api.trade VALUES (1)": "ACCESS_DENIED",
    "INSERT INTO FUNCTION file('x.csv') SELECT 1": "ACCESS_DENIED",
    "CREATE TABLE x (a Int8) ENGINE = Memory": "ACCESS_DENIED",
    "CREATE FUNCTION f AS x -> x": "ACCESS_DENIED",
    "DROP TABLE api.trade": "ACCESS_DENIED",
    "TRUNCATE TABLE api.trade": "ACCESS_DENIED",
    "ALTER TABLE api.trade DELETE WHERE 1": "ACCESS_DENIED",
    "ATTACH TABLE x": "ACCESS_DENIED",
    "SYSTEM SHUTDOWN": "ACCESS_DENIED",
    "KILL QUERY WHERE 1": "ACCESS_DENIED",
    "SET max_threads = 1": "ACCESS_DENIED",
    "SET ROLE ALL": "ACCESS_DENIED",
    "USE lake": "ACCESS_DENIED",
    "GRANT SELECT ON *.* TO default": "ACCESS_DENIED",
    "BACKUP TABLE api.trade TO File('x')": "ACCESS_DENIED",
    "BEGIN TRANSACTION": "ACCESS_DENIED",
    "EXISTS TABLE lake.trades": "ACCESS_DENIED",
    "SHOW CREATE TABLE api.trade": "ACCESS_DENIED",
    "SHOW TABLES FROM lake": "ACCESS_DENIED",
    "SHOW TABLES FROM system": "ACCESS_DENIED",
    "SHOW TABLES LIMIT length(file('x'))": "ACCESS_DENIED",
    "SHOW SETTINGS LIKE '%'": "ACCESS_DENIED",
    "SHOW PROCESSLIST": "ACCESS_DENIED",
    "SHOW USERS": "ACCESS_DENIED",
    "SELECT 1 PARALLEL WITH SELECT 2": "ACCESS_DENIED",
    "EXECUTE AS lake_owner SELECT 1": "ACCESS_DENIED",
    "EXPLAIN ESTIMATE SELECT * FROM api.trade": "ACCESS_DENIED",
    "EXPLAIN indexes = 1 SELECT 1": "ACCESS_DENIED",
    "EXPLAIN SELECT file('x')": "ACCESS_DENIED",
    "DESCRIBE file('/etc/passwd')": "ACCESS_DENIED",
    "DESCRIBE lake.trades": "ACCESS_DENIED",
    "DESCRIBE (SELECT file('x'))": "ACCESS_DENIED",
    # clauses
    "SELECT 1 INTO OUTFILE 'x.csv'": "ACCESS_DENIED",
    "SELECT 1 INTO OUTFILE 'x.csv' TRUNCATE": "ACCESS_DENIED",
    "SELECT 1 FORMAT Template": "UNKNOWN_FORMAT",
    "SELECT 1 FORMAT PostgreSQLWire": "UNKNOWN_FORMAT",
    "SELECT 1 SETTINGS readonly = 0": "READONLY",
    "SELECT 1 SETTINGS allow_ddl = 1": "READONLY",
    "SELECT 1 SETTINGS output_format_schema = '/tmp/x'": "READONLY",
    "SELECT 1 SETTINGS date_time_output_format = 'a&readonly=0'": "BAD_ARGUMENTS",
    "SELECT * FROM (SELECT 1 SETTINGS max_threads = 1)": "READONLY",
    # functions
    "SELECT file('/etc/passwd')": "ACCESS_DENIED",
    "SELECT `file`('/etc/passwd')": "ACCESS_DENIED",
    "SELECT FILE('/etc/passwd')": "ACCESS_DENIED",
    "SELECT/**/file/**/('/etc/passwd')": "ACCESS_DENIED",
    "WITH file('/etc/passwd') AS x SELECT x": "ACCESS_DENIED",
    "SELECT arrayMap(x -> file(x), ['/etc/passwd'])": "ACCESS_DENIED",
    "SELECT * APPLY(file) FROM (SELECT 'x' AS a)": "ACCESS_DENIED",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT 'x' AS a)": "ACCESS_DENIED",
    "SELECT * REPLACE (file('x') AS a) FROM (SELECT 'x' AS a)": "ACCESS_DENIED",
    "SELECT 1 ORDER BY file('x')": "ACCESS_DENIED",
    "SELECT 1 LIMIT length(file('x'))": "ACCESS_DENIED",
    "SELECT 1 WHERE 1 = length(file('x'))": "ACCESS_DENIED",
    "SELECT 1 QUALIFY length(file('x')) > row_number() OVER ()": "ACCESS_DENIED",
    "SELECT count() OVER w FROM numbers(1) WINDOW w AS (ORDER BY file('x'))": "ACCESS_DENIED",
    "SELECT 1 ORDER BY 1 WITH FILL INTERPOLATE (a AS file('x'))": "ACCESS_DENIED",
    "SELECT * FROM numbers(length(file('x')))": "ACCESS_DENIED",
    "SELECT count() FROM numbers(1) ARRAY JOIN [file('x')] AS a": "ACCESS_DENIED",
    "SELECT * FROM numbers(1) AS a JOIN numbers(1) AS b ON length(file('x')) = a.number": "ACCESS_DENIED",
    "SELECT sleep(1)": "ACCESS_DENIED",
    "SELECT hostName()": "ACCESS_DENIED",
    "SELECT getMacro('x')": "ACCESS_DENIED",
    "SELECT getServerSetting('x')": "ACCESS_DENIED",
    "SELECT filesystemAvailable()": "ACCESS_DENIED",
    "SELECT addressToSymbol(1)": "ACCESS_DENIED",
    "SELECT dictGet('d', 'a', 1)": "ACCESS_DENIED",
    "SELECT joinGet('lake.trades', 'b', 1)": "ACCESS_DENIED",
    "SELECT hasColumnInTable('lake', 'trades', 'a')": "ACCESS_DENIED",
    "SELECT aiGenerate('x')": "ACCESS_DENIED",
    "SELECT logTrace('x')": "ACCESS_DENIED",
    "SELECT showCertificate()": "ACCESS_DENIED",
    "SELECT aggThrow(1)(number) FROM numbers(1)": "ACCESS_DENIED",
    "SELECT formatRow('Protobuf', number) FROM numbers(1)": "ACCESS_DENIED",  # makes a file for the schema
    "SELECT groupFormat('Protobuf')(number) FROM numbers(1)": "ACCESS_DENIED",
    "SELECT arrayReduce('groupFormatIf(\\'Protobuf\\')', [1], [1])": "UNKNOWN_FUNCTION",
    "SELECT nosuchfunction(1)": "UNKNOWN_FUNCTION",
    # table functions
    "SELECT * FROM file('/etc/passwd', 'LineAsString')": "ACCESS_DENIED",
    "SELECT * FROM url('http://127.0.0.1/', 'LineAsString')": "ACCESS_DENIED",
    "SELECT * FROM s3('http://127.0.0.1/a/b')": "ACCESS_DENIED",
    "SELECT * FROM executable('ls', 'TSV', 'a String')": "ACCESS_DENIED",
    "SELECT * FROM python('x')": "ACCESS_DENIED",
    "SELECT * FROM eval('SELECT 1')": "ACCESS_DENIED",
    "SELECT * FROM filesystem('/etc')": "ACCESS_DENIED",
    "SELECT * FROM merge('lake', '.*')": "ACCESS_DENIED",
    "SELECT * FROM remote('127.0.0.1', 'system', 'one')": "ACCESS_DENIED",
    "SELECT * FROM view(SELECT * FROM lake.trades)": "ACCESS_DENIED",
    "SELECT * FROM loop(api.trade)": "ACCESS_DENIED",
    "SELECT * FROM deltaLakeLocal('/tmp')": "ACCESS_DENIED",
    "SELECT * FROM lake.trades(a = 1)": "ACCESS_DENIED",
    "SELECT * FROM (EXPLAIN SELECT 1)": "ACCESS_DENIED",
    # tables
    "SELECT * FROM lake.trades": "ACCESS_DENIED",
    "SELECT * FROM `lake`.`trades`": "ACCESS_DENIED",
    "SELECT * FROM system.users": "ACCESS_DENIED",
    "SELECT * FROM system.processes": "ACCESS_DENIED",
    "SELECT * FROM system.query_log": "ACCESS_DENIED",
    "SELECT * FROM information_schema.tables": "ACCESS_DENIED",
    "SELECT * FROM INFORMATION_SCHEMA.COLUMNS": "ACCESS_DENIED",
    "SELECT 1 IN system.processes": "ACCESS_DENIED",
    "SELECT (1, 2) NOT IN lake.trades": "ACCESS_DENIED",
    "SELECT * FROM numbers(1) WHERE 1 GLOBAL IN lake.trades": "ACCESS_DENIED",
    "WITH x AS (SELECT * FROM lake.trades) SELECT 1": "ACCESS_DENIED",
    "SELECT (SELECT count() FROM lake.trades)": "ACCESS_DENIED",
    "SELECT * FROM api.nosuch": "UNKNOWN_TABLE",
    "SELECT nosuch": "UNKNOWN_IDENTIFIER",
    # all trades of all times
    "SELECT sum(price) FROM api.trade": "TOO_MANY_ROWS",
    "SELECT max(price) FROM trade": "TOO_MANY_ROWS",
    "SELECT max(timestamp), sum(price) FROM api.trade": "TOO_MANY_ROWS",
    "SELECT max(timestamp) FROM api.trade WHERE price > 1": "TOO_MANY_ROWS",
    "SELECT max(timestamp) OVER () FROM api.trade": "TOO_MANY_ROWS",
    "SELECT count() FROM api.trade WHERE side = 'buy'": "TOO_MANY_ROWS",
    "SELECT price FROM api.trade": "TOO_MANY_ROWS",
    "SELECT price FROM api.trade LIMIT 10001": "TOO_MANY_ROWS",
    "SELECT DISTINCT price FROM api.trade LIMIT 10": "TOO_MANY_ROWS",
    "SELECT sum(price) FROM api.trade LIMIT 10": "TOO_MANY_ROWS",
    "SELECT a.price FROM api.trade AS a, api.trade AS b LIMIT 10": "TOO_MANY_ROWS",
    "SELECT * FROM (SELECT * FROM api.trade ORDER BY price) LIMIT 10": "TOO_MANY_ROWS",
    "SELECT * FROM (SELECT sum(price) FROM api.trade) LIMIT 10": "TOO_MANY_ROWS",
    "SELECT timestamp FROM api.trade ORDER BY timestamp LIMIT 1": "TOO_MANY_ROWS",
    "SELECT sum(price) FROM api.trade WHERE 1 IN (SELECT 1 WHERE now() > toDateTime(0))": "TOO_MANY_ROWS",
    "SELECT 1 WHERE 1 IN api.trade": "TOO_MANY_ROWS",
    f"SELECT count() FROM api.trade AS a JOIN (SELECT * FROM api.trade WHERE {DAY}) AS b ON a.trade_id = b.trade_id": "TOO_MANY_ROWS",
    # depth
    "SELECT " + "(" * 2_000 + "1" + ")" * 2_000: "TOO_DEEP_RECURSION",
    "SELECT " + "+".join(["1"] * 20_000): "TOO_DEEP_AST",
    "SELECT * FROM " + "(SELECT * FROM " * 300 + "numbers(1)" + ")" * 300: None,
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:60])
def test_everything_else_is_refused(worker: DirectWorker, text: str) -> None:
    refusal = worker.refused(text)
    expected = REFUSED[text]
    assert expected is None or refusal.name == expected, refusal
    assert refusal.status in {400, 403, 404}


def test_a_refusal_of_trades_says_what_to_write(worker: DirectWorker) -> None:
    advice = worker.refused("SELECT sum(price) FROM api.trade").what
    condition = re.search(r"WHERE (.*?) \(", advice)
    assert condition is not None
    assert worker.rows(f"SELECT count(price) FROM api.trade WHERE {condition[1]}") == [[0]]


def test_system_tables_tell_no_path(worker: DirectWorker) -> None:
    for name in ("tables", "databases", "columns"):
        _, data = worker.run(f"SELECT * FROM system.{name} FORMAT JSONCompactEachRow")
        for place in (worker.setup.folder.rpartition("/")[0], "metadata/", "store/", "lake_owner"):
            assert place.encode() not in data.replace(b"\\/", b"/"), name


def test_identifier_parameters_are_looked_at_as_if_written(worker: DirectWorker) -> None:
    both = "SELECT count(*), any(1) FROM {d:Identifier}.{t:Identifier}"
    assert worker.rows(both, parameters={"d": "api", "t": "market_spot"})
    assert worker.refused(both, parameters={"d": "lake", "t": "trades"}).name == "ACCESS_DENIED"
    assert worker.refused(both, parameters={"d": "system", "t": "processes"}).name == "ACCESS_DENIED"
    assert worker.refused(both, parameters={"d": "api", "t": "trade"}).name == "TOO_MANY_ROWS"
    one = "SELECT count() FROM {t:Identifier}"
    for value in ("lake.trades", "`lake`.trades", "trades FROM", "", "a b"):
        assert worker.refused(one, parameters={"t": value}).name == "BAD_QUERY_PARAMETER"
    assert worker.refused(one).name == "BAD_QUERY_PARAMETER"
    assert worker.refused("SELECT 1 IN {t:Identifier}", parameters={"t": "trade"}).name == "TOO_MANY_ROWS"
    assert worker.rows("SELECT {c:Identifier} FROM (SELECT 7 AS x)", parameters={"c": "x"}) == [[7]]


def test_a_format_and_settings_of_the_statement_win(worker: DirectWorker) -> None:
    answer, data = worker.run("SELECT toInt64(1) AS a FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 1")
    assert (answer.output_format, data) == ("JSONEachRow", b'{"a":"1"}\n')
    answer, data = worker.run("SELECT 1 AS a UNION ALL SELECT 1 FORMAT CSVWithNames")
    assert (answer.output_format, data) == ("CSVWithNames", b'"a"\n1\n1\n')


def test_relations_are_told(worker: DirectWorker) -> None:
    answer, _ = worker.run(f"SELECT 1 FROM api.trade, market_spot, numbers(1) AS n WHERE {DAY} LIMIT 0")
    assert answer.relations == ["trade", "market_spot"]


LITERALS = st.one_of(
    st.integers(-(2**63), 2**64 - 1).map(lambda value: (str(value), value)),
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: (repr(value), value)),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20).map(lambda value: ("'" + quoted(value) + "'", value)),
)


def quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(literals=st.lists(LITERALS, min_size=1, max_size=4))
def test_a_statement_means_the_same_after_the_guard(worker: DirectWorker, literals: list[tuple[str, object]]) -> None:
    """The text that runs was written anew from the tree; its values must be those that were sent."""
    listed = ", ".join(f"{text} AS c{n}" for n, (text, _) in enumerate(literals))
    names = ", ".join(f"c{n}, toTypeName(c{n})" for n in range(len(literals)))
    for query in (
        f"WITH t AS (SELECT {listed}) SELECT {names} FROM t",
        f"WITH t AS (SELECT {listed}) SELECT {names} FROM {{t:Identifier}}",
    ):
        (found,) = worker.rows(query, parameters={"t": "t"})
        for (_, sent), value, kind in zip(literals, found[::2], found[1::2], strict=True):
            assert (float(value) if kind == "Float64" else value) == sent
            assert isinstance(sent, {"Float64": float, "String": str}.get(kind, int))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_a_parameter_arrives_as_it_was_sent(worker: DirectWorker, value: str) -> None:
    sent = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")
    assert worker.rows("SELECT {v:String}", parameters={"v": sent}) == [[value]]


WORDS = st.sampled_from(
    sorted(
        named("""
        SELECT FROM WHERE UNION ALL WITH AS IN EXPLAIN DESCRIBE INSERT INTO OUTFILE FORMAT JSON SETTINGS readonly=0
        file url numbers `file` '/etc/passwd' 'x' x api.market_spot system.one lake.trades ( ) , ; * 1 /* */ -- #
        """)
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(WORDS, max_size=14))
def test_no_heap_of_words_gets_past(worker: DirectWorker, words: list[str]) -> None:
    """Whatever happens is an answer or a refusal, and no answer holds a line of a system file."""
    try:
        answer, data = worker.run("\n".join(words))
    except RefusedError as refusal:
        assert refusal.code > 0  # noqa: PT017 -- a refusal is as good as an answer
    else:
        assert b"root:" not in data
        assert set(answer.relations) <= {"market_spot", "x", "1"}


def test_times_are_written_as_orc(worker: DirectWorker) -> None:
    """The writer opens the file of a time zone, the only file of the system that a worker reads."""
    assert worker.run("SELECT toDateTime(0) AS t", default_format="ORC")[1].startswith(b"ORC")


@pytest.mark.parametrize("text", ["SELECT max(timestamp) FROM api.trade", "SELECT market, min(known_at) FROM api.trade GROUP BY market"])
def test_what_needs_no_condition_on_time_keeps_the_limit_on_rows(worker: DirectWorker, text: str) -> None:
    assert worker.rows(text)
    assert worker.refused(text, limits=QueryLimits(rows_read=1_000)).name == "TOO_MANY_ROWS"
    assert worker.refused(text, settings={"max_rows_to_read": "1000"}).name == "TOO_MANY_ROWS"
