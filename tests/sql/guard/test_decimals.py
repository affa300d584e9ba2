"""No decimal wraps unnoticed: idioms of analysts against Python's decimals and floats, and values beyond the bounds refused."""

from __future__ import annotations

import math
import statistics
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.function_types import marked_uses

if TYPE_CHECKING:
    from tests.server.running import DirectWorker


def decimals(least: str, most: str, places: int) -> st.SearchStrategy[Decimal]:
    return st.decimals(Decimal(least), Decimal(most), places=places, allow_nan=False, allow_infinity=False)


# Money, price times amount, is a factor of products of 40 places here, and those go up to 1e18.
PAIRS = st.one_of(
    st.tuples(decimals("1e-12", "1e9", 12), decimals("1e-8", "1e9", 8)),
    st.tuples(decimals("1e-12", "1e4", 12), decimals("1e-8", "1e14", 8)),
)
ROWS = st.lists(PAIRS, min_size=2, max_size=12)


def third(rows: list[tuple[Decimal, Decimal]]) -> Decimal:
    return sum(p * p * q for p, q in rows) / sum(p * q for p, q in rows)  # type: ignore[return-value]


EXACT = {
    "sum(p * q)": lambda rows: sum(p * q for p, q in rows),
    "sum(p)": lambda rows: sum(p for p, _ in rows),
    "max(p * q) - min(p * q)": lambda rows: max(p * q for p, q in rows) - min(p * q for p, q in rows),
    "sumIf(p * q, n % 2 = 0)": lambda rows: sum(p * q for n, (p, q) in enumerate(rows) if n % 2 == 0),
    "sum(p * q * 2) + sum(p * 3)": lambda rows: sum(p * q * 2 + p * 3 for p, q in rows),
    "arraySum(arrayMap((a, b) -> a * b, groupArray(p), groupArray(q)))": lambda rows: sum(p * q for p, q in rows),
    "sum(CAST(p AS Decimal(38, 12)) * CAST(q AS Decimal(38, 8)))": lambda rows: sum(p * q for p, q in rows),
    "sumMap(map(0, p * q))[0]": lambda rows: sum(p * q for p, q in rows),
    "sum(w * w)": lambda rows: sum(p * p for p, _ in rows),
    "anyLast(p) * any(q)": lambda rows: rows[-1][0] * rows[0][1],
}
CLOSE = {
    "sum(p * q) / sum(q)": lambda rows: sum(p * q for p, q in rows) / sum(q for _, q in rows),
    "sum(p * p * p)": lambda rows: sum(p**3 for p, _ in rows),
    "sum(p * p * q) / sum(p * q)": third,
    "max(q * q * q * q)": lambda rows: max(q**4 for _, q in rows),
    "avg(p * q)": lambda rows: sum(p * q for p, q in rows) / len(rows),
    "avg(p)": lambda rows: sum(p for p, _ in rows) / len(rows),
    "avgWeighted(p, q)": lambda rows: sum(p * q for p, q in rows) / sum(q for _, q in rows),
    "stddevSampStable(p) + 1": lambda rows: Decimal(statistics.stdev(map(float, (p for p, _ in rows)))) + 1,
    "coalesce(sum(p * q) / sum(q), max(p))": lambda rows: sum(p * q for p, q in rows) / sum(q for _, q in rows),
    "if(sum(q) > 0, sum(p * q) / sum(q), min(p))": lambda rows: sum(p * q for p, q in rows) / sum(q for _, q in rows),
    "sum(tuple(p, q) * tuple(p, q))": lambda rows: sum(p * p + q * q for p, q in rows),
    "sum(p * p * q) / sum(p * q) * max(p)": lambda rows: third(rows) * max(p for p, _ in rows),
    "exp(sum(log(p)) / count())": lambda rows: Decimal(math.exp(sum(math.log(p) for p, _ in rows) / len(rows))),
}


def table(rows: list[tuple[Decimal, Decimal]]) -> str:
    values = ", ".join(f"({n}, '{p:f}', '{q:f}')" for n, (p, q) in enumerate(rows))
    return f"(SELECT n, p, q, p AS w FROM values('n UInt32, p Decimal(76, 20), q Decimal(76, 20)', {values}) ORDER BY n)"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_idioms_equal_those_of_python(worker: DirectWorker, rows: list[tuple[Decimal, Decimal]]) -> None:
    found = {}
    for idioms in (EXACT, CLOSE):
        _, data = worker.run(f"SELECT {', '.join(idioms)} FROM {table(rows)}")
        found |= dict(zip(idioms, data.decode().rstrip("\n").split("\t"), strict=True))
    with localcontext() as context:
        context.prec = 100
        for idiom, formula in EXACT.items():
            assert Decimal(found[idiom]) == formula(rows), idiom
        for idiom, formula in CLOSE.items():
            assert math.isclose(float(found[idiom]), float(formula(rows)), rel_tol=1e-9), idiom


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_windows_and_ratios_equal_those_of_python(worker: DirectWorker, rows: list[tuple[Decimal, Decimal]]) -> None:
    running = "sum(p * q) OVER (ORDER BY n)"
    _, data = worker.run(f"SELECT {running}, {running} / sum(q) OVER (ORDER BY n), p / q, p / 7 FROM {table(rows)} ORDER BY n")
    money = amount = Decimal(0)
    with localcontext() as context:
        context.prec = 100
        for line, (p, q) in zip(data.decode().splitlines(), rows, strict=True):
            money, amount = money + p * q, amount + q
            total, mean, ratio, part = map(Decimal, line.split("\t"))
            assert total == money
            assert math.isclose(float(mean), float(money / amount), rel_tol=1e-9)
            assert abs(ratio - p / q) < Decimal("1e-20")
            assert abs(part - p / 7) < Decimal("1e-20")


def test_a_volume_weighted_price_of_real_size(worker: DirectWorker) -> None:
    """The page of `api.trade` was wrong by its sign here: 61680.98 came out as -0.017."""
    rows = [(Decimal("61680.98"), Decimal(10 + n % 7)) for n in range(50)]
    _, data = worker.run(f"SELECT sum(p * q) / sum(q), sum(p * q) FROM {table(rows)} AS t, numbers(100000) AS m")
    mean, money = map(float, data.split())
    assert mean == pytest.approx(61680.98, rel=1e-12)
    assert money == float(sum(p * q for p, q in rows) * 100_000)


REFUSED = {
    "toDecimal256('900000000000000000', 20) * toDecimal256('900000000000000000000', 20)": "DECIMAL_OVERFLOW",
    "sum(toDecimal256('9000000000000000', 20) * toDecimal256('9000000000000000', 20))": "DECIMAL_OVERFLOW",
    "toDecimal256(toInt256('90000000000000000000000000000000000000000000000000000'), 40)": "DECIMAL_OVERFLOW",
    "CAST(toDecimal256('90000000000000000000000000000', 20) AS Decimal(76, 40))": "DECIMAL_OVERFLOW",
    "sum(toDecimal256('9000000000000000000000000000000000000000000000', 20))": "DECIMAL_OVERFLOW",
    "toDecimal256('1', 20) * 1000000000000000000 * 1000000000000000000 * 1000000000000000000": "DECIMAL_OVERFLOW",
    "toDecimal256('9000000000000000', 60)": "ARGUMENT_OUT_OF_BOUND",
    "CAST('1' AS Decimal(76, 41))": "ARGUMENT_OUT_OF_BOUND",
    "arrayMap(x -> x * x, [toDecimal256('9000000000000000000000', 20)])": "DECIMAL_OVERFLOW",
    "accurateCastOrNull(toInt256('90000000000000000000000000000000000000000000000000000'), 'Decimal(76, 30)')": "DECIMAL_OVERFLOW",
}


LARGEST = "5" + "0" * 75
OTHERWISE_MADE = {
    f"sum(tupleElement(CAST(tuple('{LARGEST}') AS Tuple(Decimal(76, 0))), 1))": "numbers(20)",
    f"sum(JSONExtract('{{\"a\": \"{LARGEST}\"}}', 'a', 'Decimal(76, 0)'))": "numbers(20)",
    "sum(x)": f"values('x Decimal(76, 0)', ('{LARGEST}'), ('{LARGEST}'))",
    "avg(x)": f"values('x Nullable(Decimal(76, 0))', ('{LARGEST}'), ('{LARGEST}'))",
    "x + x": f"values('x Decimal(76, 0)', ('{LARGEST}'))",
}


@pytest.mark.parametrize("expression", OTHERWISE_MADE)
def test_decimals_of_text_are_bounded_where_they_are_added(worker: DirectWorker, expression: str) -> None:
    assert worker.refused(f"SELECT {expression} FROM {OTHERWISE_MADE[expression]}").name == "DECIMAL_OVERFLOW"


@pytest.mark.parametrize("expression", REFUSED)
def test_what_would_wrap_is_refused(worker: DirectWorker, expression: str) -> None:
    refusal = worker.refused(f"SELECT {expression} FROM numbers(1000)")
    assert refusal.name == REFUSED[expression]
    assert "toFloat64" in refusal.what


NARROW = {
    "sum(toDecimal128('9000000000', 24))": ("numbers(1000000)", "9000000000000000"),
    "toDecimal128('9000000000', 18) * toDecimal128('9000000000', 18)": ("numbers(1)", "81000000000000000000"),
    "materialize(toDecimal64('90000.5', 8)) * materialize(toDecimal64('90000.5', 8))": ("numbers(1)", "8100090000.25"),
    "arrayCumSum([toDecimal128('90000000000000', 24), toDecimal128('90000000000000', 24)])": (
        "numbers(1)",
        "[90000000000000,180000000000000]",
    ),
    "avg(toDecimal128('9000000000000', 25))": ("numbers(1000)", "9000000000000"),
}


@pytest.mark.parametrize("expression", NARROW)
def test_narrow_decimals_are_widened(worker: DirectWorker, expression: str) -> None:
    source, expected = NARROW[expression]
    _, data = worker.run(f"SELECT {expression} FROM {source} LIMIT 1")
    assert data.decode().strip() == expected


def test_names_of_columns_stay(worker: DirectWorker) -> None:
    source = "(SELECT toDecimal256(2, 20) AS p, toDecimal256(3, 20) AS q)"
    texts = {
        f"SELECT sum(p * q) FROM {source}": ["sum(multiply(p, q))"],
        f"SELECT *, p * q, 1 AS one, p * p * q FROM {source}": ["p", "q", "multiply(p, q)", "one", "multiply(multiply(p, p), q)"],
        f"SELECT p * q AS x, * FROM {source}": ["x", "p", "q"],
        f"SELECT * FROM (SELECT p * q, corr(p, q) FROM {source} GROUP BY p * q)": ["multiply(p, q)", "corr(p, q)"],
        f"SELECT sum(p * q) OVER (ORDER BY p) FROM {source}": ["sum(multiply(p, q)) OVER (ORDER BY p ASC)"],
        f"SELECT p * q FROM {source} UNION ALL SELECT p FROM {source}": ["multiply(p, q)"],
    }
    for text, names in texts.items():
        _, data = worker.run(text, default_format="TSVWithNames")
        assert data.decode().splitlines()[0].split("\t") == names, text


def test_notes_say_what_is_computed_in_floats(worker: DirectWorker) -> None:
    source = "(SELECT toDecimal256(2, 20) AS p, toDecimal256(3, 20) AS q)"
    answer, _ = worker.run(f"SELECT sum(p * q) / sum(q), p * p * p FROM {source} GROUP BY p")
    assert answer.notes == [
        "sum(p * q) / sum(q) is computed in Float64 (about 16 digits): an exact decimal would need 60 places",
        "(p * p) * p is computed in Float64 (about 16 digits): an exact decimal would need 60 places",
    ]
    answer, _ = worker.run(f"SELECT sum(p * q), p / q, toFloat64(p) * toFloat64(q) FROM {source} GROUP BY p, q")
    assert answer.notes == []
    many = ", ".join(f"p * p * p * {n}" for n in range(2, 9))
    answer, _ = worker.run(f"SELECT {many} FROM {source}")
    assert len(answer.notes) == 4
    assert answer.notes[-1].startswith("and ")


def test_a_scalar_subquery_is_not_computed_twice(worker: DirectWorker) -> None:
    """Types are told without it: the statement reads as many rows as it needs."""
    answer, _ = worker.run("SELECT toDecimal256(2, 20) * (SELECT max(toDecimal256(number, 20)) FROM numbers(100000)) AS x")
    assert answer.rows == 1
    limited = "SELECT toDecimal256(2, 20) * (SELECT count() FROM numbers(100000000)) FROM numbers(number) "
    with pytest.raises(RefusedError):
        worker.run(limited)


def test_errors_are_those_of_the_statement_as_it_was_written(worker: DirectWorker) -> None:
    refusal = worker.refused("SELECT nosuch * 2 AS x FROM numbers(3)")
    assert refusal.name == "UNKNOWN_IDENTIFIER"
    assert "tupleElement" not in refusal.what


def test_uses_are_read_off_the_engines_tree() -> None:
    explained = """QUERY id: 0
  PROJECTION
    LIST id: 1, nodes: 1
      FUNCTION id: 2, function_name: tupleElement, function_type: ordinary, result_type: Decimal(76, 40)
        ARGUMENTS
          LIST id: 3, nodes: 2
            FUNCTION id: 4, function_name: tuple, function_type: ordinary, result_type: Tuple(Decimal(76, 40), String)
              ARGUMENTS
                LIST id: 5, nodes: 2
                  FUNCTION id: 6, function_name: multiply, function_type: ordinary, result_type: Decimal(76, 40)
                    ARGUMENTS
                      LIST id: 7, nodes: 2
                        COLUMN id: 8, column_name: price, result_type: Decimal(76, 20), source_id: 9
                        CONSTANT id: 10, constant_value: UInt64_2, constant_value_type: UInt8
                  CONSTANT id: 11, constant_value: 'abc:7', constant_value_type: String
            CONSTANT id: 12, constant_value: UInt64_1, constant_value_type: UInt8"""
    found = marked_uses(explained, "abc:")
    assert list(found) == [7]
    assert (found[7][0].result, found[7][0].arguments) == ("Decimal(76, 40)", ("Decimal(76, 20)", "UInt8"))
    assert marked_uses(explained, "other:") == {}
