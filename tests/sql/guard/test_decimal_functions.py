"""No decimal of a statement wraps or loses places without a word, whatever function of the engine computes with it."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from itertools import product
from typing import TYPE_CHECKING

import pytest
from tests.server.attacks.engine import read_lists

from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from tests.server.running import DirectWorker

LARGE = "(SELECT number, CAST('9e25' AS Decimal(38, 12)) AS p FROM numbers(3))"
MIXED = "(SELECT CAST('1.2' AS Decimal(9, 1)) AS q, CAST('1.123456789' AS Decimal(38, 12)) AS p)"
Q, P = (f"SELECT {kind} AS p" for kind in ("CAST('1.2' AS Decimal(9, 1))", "CAST('1.123456789' AS Decimal(38, 12))"))
LOW, HIGH = "CAST('1.2' AS Decimal(9, 1))", "CAST('1.123456789' AS Decimal(18, 9))"
SUM = "270000000000000000000000000"

# What is computed is what is written, in whatever way it is written.
EXACT = {
    f"SELECT SUM(p), Sum(p), sum(p) FROM {LARGE}": (SUM,) * 3,
    f"SELECT * APPLY(sum) FROM (SELECT p FROM {LARGE})": (SUM,),
    f"SELECT COLUMNS('p') APPLY(SUM) FROM {LARGE}": (SUM,),
    f"SELECT toString(arrayReduce('sum', [p, p, p])) FROM {LARGE} LIMIT 1": (SUM,),
    f"SELECT toString(arrayReduce('SUM', [p, p, p])) FROM {LARGE} LIMIT 1": (SUM,),
    f"SELECT toString(arrayReduce('sumIf', [p, p, p], [1, 1, 1])) FROM {LARGE} LIMIT 1": (SUM,),
    f"SELECT finalizeAggregation(initializeAggregation('sumState', p)) FROM {LARGE} LIMIT 1": (SUM[0].replace("2", "9") + "0" * 25,),
    f"SELECT sumMappedArrays([1], [p]).2[1], sumMapFiltered([1])([1], [p]).2[1], sumMap(map(1, p))[1], sumKahan(p) FROM {LARGE}": (SUM,)
    * 4,
    f"SELECT sumForEach([p])[1], sumOrNull(p), sumIf(p, 1), sumMerge(s) FROM (SELECT p, sumState(p) AS s FROM {LARGE} GROUP BY p)": (
        str(9 * 10**25),
        str(9 * 10**25),
        str(9 * 10**25),
        SUM,
    ),
    f"SELECT (SELECT sum(p) FROM ({Q})), (SELECT sum(p) FROM ({P}))": ("1.2", "1.123456789"),
    f"SELECT (SELECT sum(p) FROM ({P})), (SELECT sum(p) FROM ({Q}))": ("1.123456789", "1.2"),
    f"WITH a AS (SELECT sum(p) AS s FROM ({Q})), b AS (SELECT sum(p) AS s FROM ({P})) SELECT a.s, b.s FROM a, b": ("1.2", "1.123456789"),
    f"SELECT * FROM (SELECT sum(p) FROM ({Q}) UNION ALL SELECT sum(p) FROM ({P})) ORDER BY 1": ("1.123456789\n1.2",),
    f"SELECT arrayMap(x -> x * x, [{LOW}])[1], arrayMap(x -> x * x, [{HIGH}])[1]": ("1.44", "1.262155156750190521"),
    f"SELECT arrayMap(x -> x + x, [{HIGH}])[1], arrayMap(x -> x + x, [{LOW}])[1]": ("2.246913578", "2.4"),
    "SELECT toDecimal32('7', 2) % toDecimal32('2.5', 1), 7 % toDecimal32('2.5', 1), toNullable(7) % toDecimal32('2.5', 1)": ("2",) * 3,
    "SELECT toDecimal64('7.75', 10) % toDecimal32('2.5', 1), mod(-7, toDecimal32('2.5', 1)), pmod(-7, toDecimal32('2.5', 1))": (
        "0.25",
        "-2",
        "0.5",
    ),
    "SELECT CAST(toDecimal32('1.25', 2) AS Decimal(9, 2)), CAST(toDecimal128('1.25', 12) AS Decimal(18, 1))": ("1.25", "1.2"),
    "SELECT toInt64(3) % CAST('9e25' AS Decimal(38, 12)), 3 % toDecimal256('2', 20)": ("3", "1"),
}


@pytest.mark.parametrize("text", EXACT)
def test_it_is_exact(worker: DirectWorker, text: str) -> None:
    _, data = worker.run(text)
    assert tuple(data.decode().strip().split("\t")) == EXACT[text]


# What cannot be told, or would pass the end of 256 bits, is refused.
REFUSED = {
    f"SELECT * APPLY(x -> sum(x)) FROM {MIXED}": "NOT_IMPLEMENTED",
    f"SELECT * APPLY(sum) FROM (SELECT *, 1.55 AS f FROM {MIXED})": "NOT_IMPLEMENTED",
    f"SELECT arrayMap(multiply, [p], [p]) FROM {LARGE}": "NOT_IMPLEMENTED",
    f"SELECT arrayMap(MOD, [p], [p]) FROM {LARGE}": "NOT_IMPLEMENTED",
    "SELECT 1.5 AS p, p * p * p FROM (SELECT toDecimal256('1000000000000000000', 20) AS p) SETTINGS prefer_column_name_to_alias = 1": (
        "DECIMAL_OVERFLOW"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
def test_it_is_refused(worker: DirectWorker, text: str) -> None:
    assert worker.refused(text).name == REFUSED[text]


def test_settings_of_the_address_count_too(worker: DirectWorker) -> None:
    text = "SELECT 1.5 AS p, p * p * p FROM (SELECT toDecimal256('1000000000000000000', 20) AS p)"
    assert worker.rows(text) == [[1.5, 3.375]]
    assert worker.refused(text, settings={"prefer_column_name_to_alias": "1"}).name == "DECIMAL_OVERFLOW"
    assert worker.rows(text, settings={"limit": "1"}) == [[1.5, 3.375]]


def test_a_parameter_is_compared_with_the_bounds(worker: DirectWorker) -> None:
    text = "SELECT sum({x:Decimal(76, 0)}) AS s FROM numbers(20)"
    assert worker.run(text, parameters={"x": "5"})[1] == b"100\n"
    assert worker.refused(text, parameters={"x": "5" + "0" * 75}).name == "DECIMAL_OVERFLOW"
    answer = worker.run("SELECT {x:Decimal(9, 2)}, toTypeName({x:Decimal(9, 2)})", parameters={"x": "1.25"})
    assert answer[1] == b"1.25\tDecimal(9, 2)\n"


# Every function of the engine that could compute with decimals, against the same with floats.
_AGGREGATE = ("{f}(p)", "{f}(p, number)", "{f}([p])", "{f}([1], [p])", "{f}(map(1, p))", "{f}([1])([1], [p])", "{f}(1)(p, number)")
_SCALAR = (
    "{f}(p)", "{f}(p, p)", "{f}(3, p)", "{f}(p, 3)", "{f}([p, p, p])", "{f}((p, p))", "{f}((p, p), (p, 3))", "{f}((p, p), 3)",
    "{f}([p, p], [p, p])", "{f}(map(1, p), map(1, p))", "{f}(x -> x, [p, p, p])",
)  # fmt: skip
_CATEGORIES = (
    "Arithmetic",
    "Arrays",
    "Mathematical",
    "Rounding",
    "Tuple",
    "Map",
    "Distance",
    "Financial",
    "Conditional",
    "Null",
    "Time Window",
)
_NOT_NUMBERS = re.compile(
    r"groupConcat|group_concat|string_agg|array(StringConcat|_to_string|Shuffle|PartialShuffle|RandomSample|SymmetricDifference)|"
    r"array(Union|Intersect|Except)|estimateCompressionRatio|kqlRangeCount|.*[sS]ample.*|.*Hash.*|bit\w+|byte\w+|"
    r"cos|sin|tan|cot|simpleLinearRegression"  # of 9e25 the neighbour of the nearest float has another sine
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|nan|inf")


def _numbers(worker: DirectWorker, text: str) -> list[float] | None:
    try:
        return [float(found) for found in _NUMBER.findall(worker.run(text)[1].decode("utf-8", "replace"))]
    except RefusedError:
        return None


def _agree(some: list[float], others: list[float]) -> bool:
    pairs = zip(some, others, strict=False)
    return len(some) == len(others) and all(
        math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) or (math.isnan(a) and math.isnan(b)) for a, b in pairs
    )


@pytest.mark.slow
def test_no_function_wraps(worker: DirectWorker) -> None:
    engine = read_lists()
    rows = worker.rows(
        "SELECT name, is_aggregate FROM system.functions WHERE categories IN {c:Array(String)}",
        parameters={"c": str(["Aggregate Functions", *_CATEGORIES])},
    )
    names = [(name, aggregate) for name, aggregate in rows if name not in engine.refused and not _NOT_NUMBERS.fullmatch(name)]
    assert len(names) > 400
    floats = LARGE.replace("CAST('9e25' AS Decimal(38, 12))", "toFloat64(CAST('9e25' AS Decimal(38, 12)))")
    wrong = {}
    for name, aggregate in names:
        for shape in _AGGREGATE if aggregate else _SCALAR:
            call = shape.format(f=f"`{name}`")
            exact = _numbers(worker, f"SELECT {call} FROM {LARGE}")
            if exact is not None and (about := _numbers(worker, f"SELECT {call} FROM {floats}")) is not None and not _agree(exact, about):
                wrong[call] = (exact[:3], about[:3])
    assert wrong == {}


@pytest.mark.parametrize(("left", "sign", "right"), [*product(("7.75", "-7.75", "3"), "+-*%", ("2.5", "0.125", "-4"))])
def test_it_agrees_with_python(worker: DirectWorker, left: str, sign: str, right: str) -> None:
    """Between decimals of any number of places, and whole numbers."""
    computed = {"+": Decimal.__add__, "-": Decimal.__sub__, "*": Decimal.__mul__, "%": Decimal.__mod__}[sign](Decimal(left), Decimal(right))
    kinds = [f"CAST('{{}}' AS Decimal({digits}, {places}))" for digits, places in ((9, 3), (18, 9), (38, 12), (76, 20))]
    texts = [f"({a.format(left)}) {sign} ({b.format(right)})" for a, b in product(kinds, kinds)]
    for text in texts:
        try:
            _, data = worker.run(f"SELECT {text}")
        except RefusedError as refusal:
            # a remainder whose divisor has more places, and constants that pass 64 bits before they are widened
            assert "scale" in refusal.what or refusal.name == "DECIMAL_OVERFLOW", text  # noqa: PT017
        else:
            assert Decimal(data.decode().strip()) == computed, text
