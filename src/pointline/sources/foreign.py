"""Files of other archives that Binance Vision could have named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.sources.exchange_csv import first_line

if TYPE_CHECKING:
    from pathlib import Path

_HEADERS = ("instrument_name,", "trade_id,trade_time,")  # OKX, KuCoin


def is_of_another_archive(path: Path) -> bool:
    """Whether the first line of a file is the header of another archive."""
    return first_line(path).lower().startswith(_HEADERS)
