"""Statements that ask for all there is: of the engine, of its parser, and of the guard itself."""

from __future__ import annotations

from tests.server.attacks.attempts import Kind, plain

_ENGINE = """
SELECT length(repeat('x', 4000000000))
SELECT length(space(4000000000))
SELECT length(leftPad('a', 4000000000))
SELECT length(range(4000000000))
SELECT length(arrayWithConstant(1000000000, 'x'))
SELECT length(arrayResize([1], 1000000000))
SELECT length(randomString(4000000000))
SELECT length(replicate('x', range(100000000)))
SELECT sum(length(arrayWithConstant(100000, 'xxxxxxxxxxxxxxxx'))) FROM numbers(1000000)
SELECT length(groupArray(repeat('x', 1000000))) FROM numbers(100000)
SELECT arrayFold((a, x) -> arrayConcat(a, a), range(40), [1])
SELECT match(repeat('a', 1000000), '(((a{0,100}){0,100}){0,100})b')
SELECT match(repeat('a', 10000000), '(a|aa)+b') FROM numbers(1000)
SELECT repeat('a', 100000) LIKE repeat('%a', 500)
SELECT levenshteinDistance(repeat('a', 1000000), repeat('b', 1000000))
SELECT count() FROM numbers(100000) AS a, numbers(100000) AS b, numbers(100000) AS c WHERE a.number * b.number * c.number = 7
SELECT count() FROM generate_series(0, 9000000000000000000)
SELECT number FROM numbers(2) ORDER BY number WITH FILL FROM 0 TO 1000000000000
SELECT sum(number) OVER (ORDER BY number ROWS BETWEEN 1000000 PRECEDING AND CURRENT ROW) FROM numbers(10000000)
SELECT groupArrayInsertAt('x', 4000000000)(toString(number), number) FROM numbers(2)
SELECT length(ngrams(repeat('a', 1000000), 500000))
SELECT length(arrayShingles(range(100000), 50000))
SELECT length(timeSlots(toDateTime(0), toUInt32(4000000000), 1))
SELECT count() FROM numbers(1000000) WHERE isProbablePrime(toUInt256('579208923731619542357098500868790785326998466564056403945758400791'))
SELECT uniqExact(number) FROM numbers(10000000000)
SELECT length(h3kRing(h3ToParent(644325529233966508, 5), 5000))
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count() FROM t
WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT a.n FROM t AS a, t AS b) SELECT count() FROM t
WITH repeat('x', 1000000) AS a, repeat(a, 1000) AS b, concat(b, b, b, b) AS c SELECT length(c)
SELECT arrayMap(x -> arrayMap(y -> arrayMap(z -> sipHash64(x, y, z), range(1000)), range(1000)), range(1000))
SELECT throwIf(number = 1000000000, repeat('x', 1000000)) FROM numbers(10)
SELECT quantilesExact(0.5)(arrayJoin(range(1000000))) FROM numbers(1000)
"""


def _chain(levels: int, sign: str, start: str = "toDecimal32('1.01', 2)") -> str:
    """Aliases each of which stands twice in the next."""
    return f"WITH {start} AS a0, " + ", ".join(f"a{n} {sign} a{n} AS a{n + 1}" for n in range(levels)) + f" SELECT a{levels}"


def _of_guard(*, small: bool) -> list[str]:
    deep, many, unions = (3_000, 150, 50) if small else (3_000, 600, 200)
    return [
        *(_chain(levels, sign) for levels in (12, 40) for sign in "+*/"),
        _chain(40, "+", "number") + " FROM numbers(1)",
        "SELECT " + ", ".join(f"a{n} + a{n} AS a{n + 1}" for n in range(30)) + " FROM (SELECT toDecimal32('1.01', 2) AS a0)",
        "SELECT a * a AS a FROM (" * 40 + "SELECT toDecimal32('1.01', 2) AS a" + ")" * 40,
        "SELECT a + a AS a FROM (" * 60 + "SELECT toDecimal32('1.01', 2) AS a" + ")" * 60,
        "SELECT " + "+".join(["toDecimal32('1.01', 2)"] * deep),
        "SELECT " + "*".join(["x"] * 100) + " FROM (SELECT toDecimal32('1.01', 2) AS x)",
        "SELECT " + ", ".join(f"toDecimal256({n}, 20) * x" for n in range(many)) + " FROM (SELECT toDecimal32('1.0', 1) AS x)",
        "SELECT " + ", ".join(f"x / {n + 1} AS c{n}" for n in range(many)) + " FROM (SELECT toDecimal32('1.0', 1) AS x)",
        " UNION ALL ".join(["SELECT x * x FROM (SELECT toDecimal32('1.0', 1) AS x)"] * unions),
        "SELECT * FROM (SELECT x * x FROM (" * 30 + "SELECT toDecimal32('1.0', 1) AS x" + "))" * 30,
        "SELECT " + "(" * deep + "1" + ")" * deep,
        "SELECT " + "[" * deep + "1" + "]" * deep,
        "SELECT " + "-" * deep + "1",
        "SELECT " + "NOT " * deep + "1",
        "SELECT " + "(SELECT " * 500 + "1" + ")" * 500,
        "SELECT CAST(1 AS " + "Nullable(" * deep + "Int8" + ")" * deep + ")",
        "SELECT CAST(1 AS Tuple(" + ", ".join(["Int8"] * 30_000) + "))",
        "SELECT CAST(1, '" + "Array(" * deep + "Int8" + ")" * deep + "')",
        "SELECT * FROM values('" + ", ".join(f"a{n} Int8" for n in range(20_000)) + "', 1)",
        "SELECT arrayReduce('sum" + " " * 100_000 + "x', [1])",
        "SELECT arrayReduce('" + "sumIf" * 5_000 + "', [1])",
        "SELECT sum" + "IfStateMerge" * 5_000 + "(1)",
        "SELECT '" + "\\'" * 100_000,
        "SELECT '" + "''" * 100_000 + "'",
        "SELECT " + "`a" * 50_000,
        "SELECT 1" + "/*" * 100_000,
        "SELECT " + "x -> " * 1_000 + "1",
        "SELECT " + "a." * 20_000 + "b",
        "SELECT " + "a" * 200_000,
        "SELECT " + "f(" * 1_000 + ")" * 1_000,
        "WITH " + ", ".join(f"q{n} AS (SELECT * FROM {f'q{n - 1}' if n else 'numbers(1)'})" for n in range(300)) + " SELECT * FROM q299",
        "WITH q0 AS (SELECT 1 AS a), "
        + ", ".join(f"q{n} AS (SELECT * FROM q{n - 1} UNION ALL SELECT * FROM q{n - 1})" for n in range(1, 40))
        + " SELECT count() FROM q39",
        "SELECT * FROM numbers(1) AS t0 " + " ".join(f"JOIN numbers(1) AS t{n} ON t{n}.number = t0.number" for n in range(1, 200)),
        "SELECT " + "CASE WHEN 1 THEN " * 1_000 + "1" + " END" * 1_000,
        "EXPLAIN AST SELECT " + ", ".join(["1"] * 100_000),
    ]


def kinds(*, small: bool = False) -> list[Kind]:
    """All of them; the longest statements a quarter as long if `small`."""
    runs = "what the limits on time, memory and rows end, or what turns out to be small"
    engine = plain(line for line in _ENGINE.splitlines() if line)
    return [
        Kind("load on the engine", engine, runs, time_s=0.2, only_guarded=True),
        Kind("load on the guard", plain(_of_guard(small=small)), runs, time_s=0.5, only_guarded=True),
    ]
