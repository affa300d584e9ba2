"""Amounts of which one follows from the others: price times quantity is the quote quantity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

_LAST_PLACE = 1.01e-8  # archives print up to 8 decimals, and cut the rest off
_PIECE_ROWS = 8192
_ARITHMETIC = 1e-15  # relative error of a product of doubles, with room


@dataclass(frozen=True)
class Product:
    """Which columns belong together.

    Linear: result = price × qty, in the quote currency. Inverse: result = qty × contract size / price, in the coin.

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
        """Whether a row's result differs from what its other amounts say by more than the last of eight decimals."""
        if not self.sizes and self._are_close(*(frame[name] for name in (self.price, self.qty, self.result))):
            return False
        errors, unit = self._errors(frame)
        return bool(len(errors)) and not (errors <= _LAST_PLACE * unit).all()

    @staticmethod
    def _are_close(price: pl.Series, qty: pl.Series, result: pl.Series) -> bool:
        """Whether all rows agree to eight decimals, in pieces that stay in the processor's cache; False also where one cannot tell."""
        if price.null_count() or qty.null_count() or result.null_count():
            return False
        prices, quantities, results = price.to_numpy(), qty.to_numpy(), result.to_numpy()
        room = np.empty(_PIECE_ROWS)
        for at in range(0, len(prices), _PIECE_ROWS):
            piece = slice(at, at + _PIECE_ROWS)
            errors = np.multiply(prices[piece], quantities[piece], out=room[: len(prices[piece])])
            errors -= results[piece]
            if not (errors.max() <= _LAST_PLACE and errors.min() >= -_LAST_PLACE):
                return False
        return True

    def contradicts(self, frame: pl.DataFrame, texts: pl.Series) -> pl.Series:
        """Which rows contradict themselves by more than one unit of the last decimal that the result is written with.

        Args:
            frame: rows with the three columns.
            texts: the result as it is written.
        """
        mantissa = texts.fill_null("").str.strip_chars_end("\r").str.to_lowercase()
        exponent = mantissa.str.extract(r"e([+-]?\d+)$").cast(pl.Int64, strict=False).fill_null(0)
        decimals = mantissa.str.extract(r"\.(\d*)").str.len_bytes().fill_null(0).cast(pl.Int64)
        place = 1.01 * 10.0 ** (exponent - decimals).clip(-30, 30).to_numpy().astype(np.float64)
        errors, unit = self._errors(frame)
        return pl.Series(errors > place * unit)

    def _errors(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray | float]:
        """How far each result is off beyond what doubles do, and what a unit of the result counts in the same measure."""
        price, qty, result = (frame[name].fill_null(float("nan")).to_numpy() for name in (self.price, self.qty, self.result))
        with np.errstate(all="ignore"):
            if not self.sizes:
                expected = price * qty
                errors = np.abs(expected - result)
                errors -= _ARITHMETIC * np.abs(expected)
                return errors, 1.0
            coins = result * price
            errors = np.min([np.abs(coins - qty * size) for size in self.sizes], axis=0)
            errors -= _ARITHMETIC * np.abs(coins)
            return errors, np.abs(price)
