"""Amounts of which one follows from the others: price times quantity is the quote quantity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PIECE_ROWS = 8192
_LAST_PLACE = 1e-8  # archives print up to 8 decimals
_ROUNDED_UP = 0.5  # of a unit of the last decimal: what is cut off or rounded is at most this much above the true result
_ARITHMETIC = 1e-15  # relative error of a product of doubles, with room


@dataclass(frozen=True)
class Product:
    """Which columns belong together.

    Linear: result = price x qty, in the quote currency. Inverse: result = qty x contract size / price, in the coin.

    Attributes:
        price, qty, result: column names, all Float64.
        sizes: contract sizes that an inverse contract may have, in the quote currency; empty for a linear one.
    """

    price: str
    qty: str
    result: str
    sizes: tuple[float, ...] = ()

    @property
    def reason(self) -> str:
        """What is said of a row that contradicts itself."""
        right = f"{self.qty} x contract size / {self.price}" if self.sizes else f"{self.price} x {self.qty}"
        return f"is not {right}: the row contradicts itself"

    def is_suspect(self, frame: pl.DataFrame) -> bool:
        """Whether a row's result differs from what its other amounts say by more than the last of eight decimals.

        Rows are taken in pieces that stay in the processor's cache.
        """
        columns = [frame[name] for name in (self.price, self.qty, self.result)]
        if any(column.null_count() for column in columns):
            return True
        price, qty, result = (column.to_numpy() for column in columns)
        room = np.empty(_PIECE_ROWS)
        for at in range(0, len(price), _PIECE_ROWS):
            piece = slice(at, at + _PIECE_ROWS)
            if self.sizes:
                missing = self._missing(price[piece], qty[piece], result[piece])
            else:
                with np.errstate(all="ignore"):
                    missing = np.multiply(price[piece], qty[piece], out=room[: len(price[piece])])
                    missing -= result[piece]
            if not (missing.max() <= _LAST_PLACE and missing.min() >= -_ROUNDED_UP * _LAST_PLACE):
                return True
        return False

    def contradicts(self, frame: pl.DataFrame, texts: pl.Series) -> pl.Series:
        """Which rows contradict themselves by more than the rounding (or the cut) of the decimals that the result is written with.

        Of several contract sizes any may fit: where decimals are few, it need not be the one that comes nearest. A column that is the same
        in all rows and right in none says nothing: somebody filled it in.

        Args:
            frame: rows with the three columns.
            texts: the result as it is written.
        """
        written = texts.fill_null("").str.strip_chars_end("\r").str.to_lowercase()
        exponent = written.str.extract(r"e([+-]?\d+)$").cast(pl.Int64, strict=False).fill_null(0)
        decimals = written.str.extract(r"\.(\d*)").str.len_bytes().fill_null(0).cast(pl.Int64)
        place = 10.0 ** (exponent - decimals).clip(-30, 30).to_numpy().astype(np.float64)
        price, qty, result = (frame[name].fill_null(float("nan")).to_numpy() for name in (self.price, self.qty, self.result))
        wrong = pl.Series(np.all([_is_off(missing, result, place) for missing in self._each_missing(price, qty, result)], axis=0))
        says_nothing = len(texts) > 1 and texts.n_unique() == 1 and wrong.all()
        return wrong & False if says_nothing else wrong

    def _missing(self, price: NDArray[np.float64], qty: NDArray[np.float64], result: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the other amounts say, less the result; of several contract sizes, by the one that comes nearest."""
        differences = self._each_missing(price, qty, result)
        with np.errstate(all="ignore"):
            nearest = np.abs(differences).argmin(axis=0)
        found: NDArray[np.float64] = np.take_along_axis(differences, nearest[None], axis=0)[0]
        return found

    def _each_missing(self, price: NDArray[np.float64], qty: NDArray[np.float64], result: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the other amounts say, less the result: a line for each contract size, one of a linear contract."""
        with np.errstate(all="ignore"):
            said = [qty * size / price for size in self.sizes] or [price * qty]
            return np.array([each - result for each in said])


def _is_off(missing: NDArray[np.float64], result: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether more is missing than a result that is cut off or rounded at its last place can lack."""
    with np.errstate(all="ignore"):
        slack = _ARITHMETIC * np.abs(missing + result)
        off: NDArray[np.bool_] = (missing - slack > place) | (-missing - slack > _ROUNDED_UP * place)
    return off
