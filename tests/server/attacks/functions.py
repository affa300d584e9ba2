"""Functions: called, named, in every clause, and aggregate functions that a text names."""

from __future__ import annotations

from itertools import cycle, product
from typing import TYPE_CHECKING

from tests.server.attacks.attempts import Attempt, Kind, plain, quoted, spelt

if TYPE_CHECKING:
    from tests.server.attacks.engine import Engine

_ARGUMENTS = ("'<closed>'", "", "'<closed>', 'x'", "1", "'lake.trades', 'market', 'x'")
_READS = (
    "file('<closed>')",
    "hostName()",
    "toString(filesystemAvailable())",
    "getServerPort('tcp_port')",
    "serverUUID()",
    "formatQuery('SELECT 1')",
)

_CLAUSES = """
SELECT {}
SELECT 1 WHERE {} = ''
SELECT 1 PREWHERE {} = ''
SELECT 1 HAVING {} = ''
SELECT count() FROM numbers(1) GROUP BY {}
SELECT count() FROM numbers(1) GROUP BY GROUPING SETS (({}), (number))
SELECT count() FROM numbers(1) GROUP BY ROLLUP({})
SELECT count() FROM numbers(1) GROUP BY CUBE(number, {})
SELECT 1 ORDER BY {}
SELECT number FROM numbers(1) ORDER BY number WITH FILL FROM 0 TO length({})
SELECT number AS n, 1 AS a FROM numbers(1) ORDER BY n WITH FILL INTERPOLATE (a AS length({}))
SELECT 1 LIMIT length({})
SELECT 1 LIMIT 1 OFFSET length({})
SELECT number FROM numbers(1) LIMIT 1 BY {}
SELECT sum(number) OVER (PARTITION BY {}) FROM numbers(1)
SELECT sum(number) OVER (ORDER BY {} ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM numbers(1)
SELECT sum(number) OVER w FROM numbers(1) WINDOW w AS (PARTITION BY {})
SELECT row_number() OVER () AS r FROM numbers(1) QUALIFY {} != ''
SELECT * FROM numbers(1) AS a JOIN numbers(1) AS b ON a.number = b.number AND {} != ''
SELECT * FROM numbers(1) AS a ASOF JOIN numbers(1) AS b ON a.number = b.number AND a.number >= length({})
SELECT * FROM numbers(1) ARRAY JOIN [{}] AS x
SELECT * FROM numbers(length({}))
SELECT * FROM values('a String', ({}))
SELECT * FROM values(({}), ('x'))
SELECT * FROM view(SELECT {})
SELECT * FROM api.ohlcv(candle_duration_in_minutes = length({}))
SELECT 1 IN (SELECT {})
SELECT {} IN ('x')
SELECT 'x' IN ({}, 'y')
SELECT EXISTS (SELECT {})
SELECT (SELECT {})
SELECT 1 UNION ALL SELECT length({})
SELECT 1 EXCEPT SELECT length({})
SELECT 1 INTERSECT SELECT length({})
WITH {} AS x SELECT x
WITH x AS (SELECT {}) SELECT * FROM x
WITH x AS MATERIALIZED (SELECT {}) SELECT * FROM x
WITH RECURSIVE x AS (SELECT 1 AS n, {} AS s UNION ALL SELECT n + 1, s FROM x WHERE n < 2) SELECT * FROM x
WITH (x -> {}) AS f SELECT f(1)
SELECT arrayMap(x -> {}, [1])
SELECT * APPLY(x -> {}) FROM (SELECT 1 AS a)
SELECT * REPLACE ({} AS a) FROM (SELECT 'x' AS a)
SELECT CASE WHEN 1 THEN {} ELSE '' END
SELECT if(1, {}, ''), 1 ? {} : ''
SELECT tuple({}).1, [{}][1], map(1, {})[1]
SELECT {} BETWEEN 'a' AND 'b', {} LIKE 'x', {} || 'x'
SELECT {}::String, CAST({} AS String)
SELECT groupConcat({})({})
SELECT quantile(length({}) / 100)(number) FROM numbers(1)
SELECT INTERVAL length({}) DAY
EXPLAIN SELECT {}
EXPLAIN AST SELECT {}
EXPLAIN SYNTAX SELECT {}
EXPLAIN PIPELINE SELECT {}
DESCRIBE (SELECT {})
SHOW TABLES LIMIT length({})
SELECT getSetting({})
SELECT toFixedString('x', length({}))
SELECT toTypeName({}), dumpColumnStructure({}), isConstant({})
SELECT ignore({}), materialize({}), identity({})
SELECT * FROM numbers(1) SAMPLE length({})
SELECT sumIf(number, {} != '') FILTER (WHERE {} != '') FROM numbers(1)
SELECT toTypeName(b) FROM values('a String, b String', ('x', {}))
FROM (SELECT {} AS a) SELECT a
"""
_NAMED = """
SELECT {h}({f}, {a})
SELECT {h}({f}, {a}) FROM numbers(1) GROUP BY ALL
WITH {f} AS g SELECT {h}(g, {a})
WITH g AS (SELECT {h}({f}, {a})) SELECT * FROM g
SELECT {h}((x -> {f}(x)), {a})
SELECT {h}(x -> {h}({f}, {a}), {a})
SELECT (SELECT {h}({f}, {a}))
EXPLAIN SELECT {h}({f}, {a})
EXPLAIN SYNTAX SELECT {h}({f}, {a})
DESCRIBE (SELECT {h}({f}, {a}))
SELECT * FROM view(SELECT {h}({f}, {a}))
SELECT 1 WHERE {h}({f}, {a}) IN (SELECT 1)
SELECT * FROM numbers(1) AS a JOIN numbers(1) AS b ON a.number = b.number AND length({h}({f}, {a})) > 0
SELECT 1 ORDER BY {h}({f}, {a})
SELECT number FROM numbers(1) LIMIT 1 BY {h}({f}, {a})
SELECT number AS n, 1 AS b FROM numbers(1) ORDER BY n WITH FILL INTERPOLATE (b AS length({h}({f}, {a})))
SELECT sum(1) OVER (PARTITION BY {h}({f}, {a}))
SELECT sum(1) OVER w FROM numbers(1) WINDOW w AS (ORDER BY {h}({f}, {a}))
SELECT row_number() OVER () AS r FROM numbers(1) QUALIFY length({h}({f}, {a})) > 0
SELECT count() FROM numbers(1) GROUP BY GROUPING SETS (({h}({f}, {a})), ())
SELECT * FROM api.ohlcv(candle_duration_in_minutes = length({h}({f}, {a})))
SELECT * APPLY({f}) FROM (SELECT {a} AS a)
SELECT COLUMNS('a') APPLY(x -> {f}(x)) FROM (SELECT {a} AS a)
SELECT * FROM values('a String', ({h}({f}, {a})))
SELECT 1 IN {h}({f}, {a})
"""
_PARAMETER = (
    "SELECT {h}({{f:Identifier}}, {a})",
    "SELECT (SELECT {h}({{f:Identifier}}, {a}))",
    "EXPLAIN SELECT {h}({{f:Identifier}}, {a})",
)


def kinds(engine: Engine) -> list[Kind]:
    """All of them."""
    return [
        Kind("function called", _called(engine)),
        Kind("function in a clause", _in_clauses()),
        Kind("function as a name", _as_names(engine)),
        Kind("function as a parameter", _as_parameters(engine)),
        Kind("any function on paths", _on_paths(engine), "functions that only compute may have a path as text", time_s=1.0),
        Kind("aggregate by text", _by_text(engine)),
    ]


def _called(engine: Engine) -> list[Attempt]:
    calls = [f"SELECT {name}({arguments})" for name, arguments in zip(spelt(engine.refused), cycle(_ARGUMENTS), strict=False)]
    calls += [f"SELECT {name.swapcase()}('<closed>')" for name in ("file", "FQDN", "hostname", "HMAC", "connection_id", "globalVariable")]
    calls += [f"SELECT {name}('<closed>', 1)" for name in engine.refused]
    return plain(calls)


def _in_clauses() -> list[Attempt]:
    clauses = [line for line in _CLAUSES.splitlines() if line]
    return plain(clause.replace("{}", read) for clause, read in zip(clauses * 2, cycle(_READS[:1] + _READS), strict=False))


def _array(function: str) -> str:
    """Something to call a function on."""
    return "map('<closed>', '<closed>')" if function.startswith("map") else "['<closed>']"


def _as_names(engine: Engine) -> list[Attempt]:
    shapes, higher = cycle(line for line in _NAMED.splitlines() if line), cycle(engine.higher_order)
    texts = []
    for name, times in product(spelt(engine.refused), range(2)):
        function = "file" if times and len(texts) % 3 == 0 else name
        of = next(higher)
        texts.append(next(shapes).format(h=of, f=function, a=_array(of)))
    texts += [f"SELECT {of}(file, {_array(of)})" for of in engine.higher_order]
    return plain(texts)


def _as_parameters(engine: Engine) -> list[Attempt]:
    found = [
        Attempt(shape.format(h=of, a=_array(of)), {"f": name})
        for name, of, shape in zip(engine.refused, cycle(engine.higher_order), cycle(_PARAMETER), strict=False)
    ]
    texts = ("{f:Identifier}", "{f:String}", "identity({f:Identifier})", "arrayMap({f:Identifier}, ['<closed>'])")
    values = ("file", "`file`", '"file"', "file('<closed>')", "lake.trades", "a.file", "FILE", "file ", "f ile", "file\\0", "ﬁle")
    return found + [Attempt(f"SELECT arraySort({text}, ['<closed>'])", {"f": value}) for text, value in product(texts, values)]


def _on_paths(engine: Engine) -> list[Attempt]:
    shapes = cycle(
        (
            "'<closed>'",
            "'<closed>', '<closed>'",
            "'<closed>', 1",
            "1, '<closed>'",
            "['<closed>'], '<closed>'",
            "now(), '../../../../../..<closed>'",
        )
    )
    return plain(f"SELECT `{name}`({arguments})" for name, arguments in zip(engine.own, shapes, strict=False))


def _by_text(engine: Engine) -> list[Attempt]:
    takers = (
        "SELECT arrayReduce({}, ['a', 'b'])",
        "SELECT arrayReduceInRanges({}, [(1, 2)], ['a', 'b'])",
        "SELECT initializeAggregation({}, 'a')",
        "WITH {} AS f SELECT arrayReduce(f, ['a', 'b'])",
        "SELECT * FROM (SELECT arrayReduce({}, ['a', 'b']))",
        "EXPLAIN SELECT arrayReduce({}, ['a', 'b'])",
        "DESCRIBE (SELECT initializeAggregation({}, 'a'))",
        "SELECT arrayMap(x -> arrayReduce({}, [x]), ['a'])",
    )
    reads = [f"groupConcat{suffix}({read})" for suffix, read in product(("", *engine.combinators), _READS[:3])]
    reads += [f"quantile({read})" for read in _READS] + [
        f"{name}('<closed>')" for name in ("aggThrow", "flameGraph", "groupFormat", "file")
    ]
    reads += ["groupConcat(CAST('x', concat('Enum8(''x''=1,''', hex(file('<closed>')), '''=2)')))", "groupConcat((SELECT 'x'))"]
    texts = [taker.format(quoted(read)) for read, taker in zip(reads * 2, cycle(takers), strict=False)]
    texts += [taker.format(f"concat({quoted(read[:5])}, {quoted(read[5:])})") for read, taker in zip(reads, cycle(takers), strict=False)]
    found = plain(texts)
    return found + [Attempt("SELECT arrayReduce({f:String}, ['a', 'b'])", {"f": read}) for read in reads[:10]]
