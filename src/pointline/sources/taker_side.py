"""Which side of a trade was the taker, told by prices: a guard for archives whose side is easily taken for the other one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pointline.errors import SourceError

if TYPE_CHECKING:
    from pathlib import Path

LEAST_MOVES = 1_000
LEAST_SHARE = 0.4


class TickTest:
    """Refuses a file in which takers seem to buy where prices fall, and to sell where they rise.

    A taker who buys pays the ask, and one who sells gets the bid. So of the trades that print above the one before, most are buys, whatever
    the market does (the tick test of Lee and Ready, The Journal of Finance 46(2), 1991, 733-746, doi:10.1111/j.1540-6261.1991.tb02683.x).
    Where sides are exchanged, most are not. In between nothing is said.

    Args:
        path: the file, for the error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._moves = 0
        self._agreeing = 0

    def see(self, trades: pl.DataFrame) -> None:
        """Counts the moves of one block.

        Args:
            trades: ``ts_event_us``, ``price`` and ``side`` (true where the seller was the taker) in the order of the file.
        """
        move = trades.sort("ts_event_us", maintain_order=True).select(
            "side",
            up=pl.col("price").diff().sign(),
            later=pl.col("ts_event_us").diff() > 0,  # of trades of one moment the order may be either
        )
        move = move.filter(pl.col("later") & (pl.col("up") != 0) & pl.col("side").is_not_null())
        self._moves += move.height
        self._agreeing += int((move["side"] == (move["up"] < 0)).sum())

    def judge(self) -> None:
        """Says at the end of the file what its moves show.

        Raises:
            SourceError: of at least `LEAST_MOVES` moves, fewer than `LEAST_SHARE` agree with the sides.
        """
        if self._moves >= LEAST_MOVES and self._agreeing < LEAST_SHARE * self._moves:
            raise SourceError(
                "the sides seem to be exchanged: most takers buy where the price falls; nothing of the file was stored",
                where=str(self._path),
                value=f"{self._agreeing:,} of {self._moves:,} moves of the price agree with the sides",
                expected=f"at least {LEAST_SHARE:.0%}",
                hint="the archive may have changed the meaning of its column side; bring the file in as a table with --mapping",
            )
