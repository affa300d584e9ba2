"""Amounts without loss: a text's digits as they stand or refused, a binary float as the decimal that it stands for.

A double next to a short decimal is that decimal with the noise of binary arithmetic: 0.1 + 0.2 gives 0.30000000000000004. A source does
not know the increment of an instrument, so what can be said is: of the decimals within `TOLERANCE` of the float, relative to it, the one
with the fewest places, at most 12. A float that is already a decimal of up to 15 digits is never touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from pointline.schema import MAX_DECIMALS

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = 1e-15
_DOUBLE_BITS = 51  # of an amount that the lake stores as an integer from a double, see `lake.partition`
_WHOLE_BITS = 53
_DECIMAL_BITS = 53
_DECIMAL_DIGITS = 26  # before the point, of Decimal(38, 12)

_PLAIN_DOUBLE = r"^[-+]?[0-9]{0,15}\.?[0-9]{0,12}$"
_PLAIN_BYTES = 15  # so long a text has at most 15 digits
_PLAIN_DECIMAL = r"^[-+]?[0-9]{0,20}(?:\.[0-9]{0,12})?$"
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?")
_TOO_FINE = f"has more than {MAX_DECIMALS} decimals, which cannot be stored exactly"
_TOO_LONG = "has more digits than can be stored exactly"
_NO_DECIMAL = f"is a binary float that no decimal of up to {MAX_DECIMALS} places stands for"


@dataclass(frozen=True)
class ExactAmounts:
    """What became of a column of amounts.

    Attributes:
        values: the numbers; null where the text is none or `problems` says why not.
        problems: why a number cannot be taken as it stands, null where it can.
        rounded: true where the noise of a binary float was taken off.
    """

    values: pl.Series
    problems: pl.Series
    rounded: pl.Series


def shortest_decimals(values: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """For each double the double of the shortest decimal that it stands for (see the head of this module), NaN where there is none.

    Args:
        values: float64.
        bits: how large a value may be, counted in its last decimal.
    """
    found = np.full(len(values), np.nan)
    with np.errstate(all="ignore"):
        for tolerance, limit in ((0.0, 1e15), (TOLERANCE, 2.0**bits)):
            for decimals in range(MAX_DECIMALS + 1):
                open_ = np.flatnonzero(np.isnan(found))
                if not len(open_):
                    return found
                value = values[open_]
                count = _nearest_count(value, 10.0**decimals)
                decimal = count / 10.0**decimals
                near = np.abs(decimal - value) <= tolerance * np.abs(value)
                fits = np.abs(count) < (limit if decimals else 2.0**_WHOLE_BITS)
                found[open_[near & fits]] = decimal[near & fits]
    return found


def _nearest_count(value: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """The whole number that divided by `scale` comes nearest; a large product of the two can be rounded to its neighbour."""
    counts = np.rint(value * scale) + np.array([[0.0], [-1.0], [1.0]])
    best = np.argmin(np.abs(counts / scale - value), axis=0)
    return cast("NDArray[np.float64]", np.take_along_axis(counts, best[None], axis=0)[0])


def exact_amounts(text: pl.Series, binary: pl.Series | None, dtype: pl.DataType) -> ExactAmounts:
    """Numbers of which nothing is lost.

    Args:
        text: what the file has, null where it has nothing; of binary floats their shortest digits.
        binary: which of them are binary floats; None for none.
        dtype: Float64, or Decimal(38, 12).
    """
    double = dtype.is_float()
    plain = text.str.contains(_PLAIN_DOUBLE if double else _PLAIN_DECIMAL)
    if double:
        plain &= text.str.len_bytes() <= _PLAIN_BYTES
    values = text.cast(dtype, strict=False)
    problems = pl.repeat(None, len(text), dtype=pl.String, eager=True)
    rounded = pl.repeat(False, len(text), dtype=pl.Boolean, eager=True)  # noqa: FBT003
    odd = (~plain).fill_null(value=False)
    if not odd.any():
        return ExactAmounts(values, problems, rounded)
    floats = odd & binary if binary is not None else pl.repeat(False, len(text), dtype=pl.Boolean, eager=True)  # noqa: FBT003
    frame = pl.DataFrame({"text": text, "value": values, "problem": problems, "float": floats, "rounded": rounded})
    frame = _texts(frame.with_columns(odd=odd & ~floats), dtype)
    if floats.any():
        frame = _floats(frame, dtype)
    return ExactAmounts(frame["value"], frame["problem"], frame["rounded"])


def tidy_floats(values: pl.Series, binary: pl.Series | None) -> tuple[pl.Series, pl.Series]:
    """Doubles of which `binary` ones lose their noise where they have any, and which of them did; the others stay as they are."""
    if binary is None or not binary.any():
        return values, pl.repeat(False, len(values), dtype=pl.Boolean, eager=True)  # noqa: FBT003
    short = pl.Series(shortest_decimals(values.fill_null(float("nan")).to_numpy(), _DECIMAL_BITS))
    better = (binary & short.is_finite() & (short != values)).fill_null(value=False)
    return pl.select(pl.when(better).then(short).otherwise(values)).to_series(), better


def _texts(frame: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
    """Judges the rows that are `odd`: each distinct text once, by its digits."""
    texts = frame.filter("odd")["text"].unique().to_list()
    judged = [_judge(item, double=dtype.is_float()) for item in texts]
    verdicts = pl.DataFrame({"text": texts, "digits": [j[0] for j in judged], "reason": [j[1] for j in judged]}, schema=_VERDICTS)
    return (
        frame.join(verdicts, on="text", how="left", maintain_order="left")
        .with_columns(
            value=pl.when("odd").then(pl.col("digits").cast(dtype, strict=False)).otherwise("value"),
            problem=pl.when("odd").then("reason").otherwise("problem"),
        )
        .drop("digits", "reason")
    )


_VERDICTS = {"text": pl.String, "digits": pl.String, "reason": pl.String}


def _judge(text: str, *, double: bool) -> tuple[str | None, str | None]:
    """A number's digits to parse, or why they cannot be stored; neither for a text that is no number."""
    if _NUMBER.fullmatch(text) is None:
        return None, None
    sign, digits, exponent = Decimal(text).as_tuple()
    coefficient = "".join(map(str, digits)).rstrip("0") or "0"
    exponent = int(exponent) + len(digits) - len(coefficient) if coefficient != "0" else 0
    decimals = max(-exponent, 0)
    if decimals > MAX_DECIMALS:
        return None, _TOO_FINE
    count = int(coefficient) * 10 ** max(exponent, 0)
    largest = (1 << (_DOUBLE_BITS if decimals else _WHOLE_BITS)) if double else 10 ** (_DECIMAL_DIGITS + decimals)
    if count >= largest:
        return None, _TOO_LONG
    return f"{'-' if sign else ''}{count}e-{decimals}", None


def _floats(frame: pl.DataFrame, dtype: pl.DataType) -> pl.DataFrame:
    """Takes the noise off the rows that are `float`."""
    rows = frame["float"].arg_true()
    values = frame["text"].gather(rows).cast(pl.Float64, strict=False).fill_null(float("nan"))
    short = pl.Series(shortest_decimals(values.to_numpy(), _DOUBLE_BITS if dtype.is_float() else _DECIMAL_BITS)).fill_nan(None)
    problem = pl.select(pl.when(short.is_null() & values.is_finite()).then(pl.lit(_NO_DECIMAL))).to_series()
    typed = short if dtype.is_float() else short.cast(pl.String).cast(dtype, strict=False)
    return frame.with_columns(
        frame["value"].scatter(rows, typed),
        frame["problem"].scatter(rows, problem),
        frame["rounded"].scatter(rows, (short != values).fill_null(value=False)),
    )
