"""Rules for the rows of a file: which rows keep them, and what is said of the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from pointline.errors import SourceError
from pointline.sources.base import REJECT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

RAW_CHARACTERS = 4_000  # as much of a line as is kept with a reject

# A file whose columns price and qty have changed places: of its first rows, what is called quantity keeps to one level, as prices do,
# and what is called price does not.
_SWAP_ROWS = (100, 1000)  # at least, at most
_ONE_LEVEL, _MANY_LEVELS = 1.5, 5.0  # largest / smallest; 9th / 1st decile


@dataclass(frozen=True)
class Check:
    """A rule that every row has to keep.

    Attributes:
        ok: true where the row keeps it; null counts as broken.
        column: the column to name in the reject.
        value: what stood there; None: the text of that column in the row's line.
        reason: why such a row is not accepted, such as ``"must be above zero"``.
        fatal: as in `REJECT_SCHEMA`.
    """

    ok: pl.Expr
    column: str
    value: pl.Expr | None
    reason: str | pl.Expr
    fatal: bool = True

    @classmethod
    def never(cls, column: str, reason: str, wrong: pl.Expr) -> Check:
        """What no row may be: it contradicts itself, or what its file says of it; where `wrong` is null, the row passes.

        >>> check = Check.never("qty", "must be above zero", pl.col("qty") <= 0)
        >>> pl.DataFrame({"qty": [1.0, 0.0, None]}).select(check.ok).to_series().to_list()
        [True, False, True]
        """
        return cls(~wrong.fill_null(value=False), column, None, reason)

    @property
    def broken(self) -> pl.Expr:
        """True where the row breaks it, else false."""
        return ~self.ok.fill_null(value=False)


def first_broken(checks: Sequence[Check]) -> pl.Expr:
    """The number of the first check that a row breaks; null where it keeps all."""
    return pl.coalesce(
        pl.lit(None, dtype=pl.Int32),
        *(pl.when(check.broken).then(pl.lit(number, dtype=pl.Int32)) for number, check in enumerate(checks)),
    )


def rejected(rows: Iterable[tuple[Any, ...]] = ()) -> pl.DataFrame:
    """Rejects, each as the values of `REJECT_SCHEMA`'s columns."""
    return pl.DataFrame(list(rows), schema=REJECT_SCHEMA, orient="row")


def split_rows(frame: pl.DataFrame, checks: Sequence[Check]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that keep all checks, and rejects for the others, each with the first check that it breaks.

    Args:
        frame: rows with ``source_row`` (line of the file) and ``raw`` (the line as it stood).
        checks: the rules, the most basic first; each says its value.

    Returns:
        Accepted rows with the columns of `frame`; rejected ones in `REJECT_SCHEMA`. Both in the order of `frame`.
    """
    marked = frame.with_columns(_broken=first_broken(checks))
    accepted = marked.filter(pl.col("_broken").is_null()).drop("_broken")
    if accepted.height == frame.height:
        return accepted, rejected()
    rejects = [
        marked.filter(pl.col("_broken") == number).select(
            line=pl.col("source_row"),
            column=pl.lit(check.column),
            value=(pl.lit(None) if check.value is None else check.value).cast(pl.String).str.slice(0, RAW_CHARACTERS),
            reason=pl.lit(check.reason) if isinstance(check.reason, str) else check.reason,
            raw=pl.col("raw").str.slice(0, RAW_CHARACTERS),
            fatal=pl.lit(check.fatal),
        )
        for number, check in enumerate(checks)
    ]
    return accepted, pl.concat(rejects).sort("line", maintain_order=True)


def problem_of(column: str) -> str:
    """Name of the column that says why a value of another one cannot be taken as it stands; null where it can."""
    return f"problem of {column}"


def refuse_swapped(trades: pl.DataFrame, path: Path) -> None:
    """Looks at the first trades of a file.

    Args:
        trades: ``price`` and ``qty``.
        path: the file, for the error.

    Raises:
        SourceError: price and quantity have changed places.
    """
    least, most = _SWAP_ROWS
    if trades.height < least:
        return
    price, qty = trades["price"].head(most).to_numpy(), trades["qty"].head(most).to_numpy()
    low, high = np.quantile(price, (0.1, 0.9))
    if high > _MANY_LEVELS * low and qty.max() < _ONE_LEVEL * qty.min() and len(np.unique(qty)) > least // 10:
        raise SourceError(
            "price and quantity seem to have changed places; nothing of the file was stored",
            where=str(path),
            value=f"prices from {price.min():g} to {price.max():g}, quantities from {qty.min():g} to {qty.max():g}",
            expected="the columns in the archive's order",
            hint="if the file is right, bring it in as a table with --mapping",
        )
