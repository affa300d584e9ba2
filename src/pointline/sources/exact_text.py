"""Whether a number holds what its text says, to the last digit."""

from __future__ import annotations

import math
from decimal import Decimal, InvalidOperation

import polars as pl

from pointline.schema import MAX_DECIMALS
from pointline.sources.separators import LONG_FIELD


def inexact(values: pl.Series, texts: pl.Series) -> pl.Series | None:
    """Which values are not the number that their text says, or have more than 12 decimals; None where all are and have not.

    Args:
        values: Float64 or Decimal numbers, null where the text is none.
        texts: what they were read from. A Float64 of a text of up to 15 digits is taken for exact.

    >>> inexact(pl.Series([60000.1, 0.1]), pl.Series(["60000.1000000000001", "0.1000000000000000"])).to_list()
    [True, False]
    """
    shorter = texts.str.strip_chars_end("\r").str.strip_chars_end("0")
    if values.dtype.is_float():
        doubtful = shorter.str.len_bytes() >= LONG_FIELD
    else:
        point = shorter.str.find(".", literal=True)
        doubtful = (shorter.str.len_bytes() - point.fill_null(shorter.str.len_bytes()) > MAX_DECIMALS + 1) | shorter.str.contains("[eE]")
    places = doubtful.fill_null(value=False).arg_true()
    wrong = [at for at in places.to_list() if values[at] is not None and not _holds(values[at], texts[at])]
    if not wrong:
        return None
    marks = pl.Series([False]).new_from_index(0, len(values))
    return marks.scatter(wrong, values=True)


def _holds(value: float | Decimal, text: str) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return True  # another rule's matter
    try:
        said = Decimal(text.strip())
    except InvalidOperation:
        return False
    held = value if isinstance(value, Decimal) else Decimal(repr(value))
    exponent = said.normalize().as_tuple().exponent
    return held == said and isinstance(exponent, int) and exponent >= -MAX_DECIMALS
