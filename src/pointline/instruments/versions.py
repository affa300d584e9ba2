"""Says so when an instrument's metadata changed inside a window."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from pointline.clock import time_text

if TYPE_CHECKING:
    from pointline.instruments import Instrument, Registry


class MetadataWarning(UserWarning):
    """An instrument's metadata changed inside the window."""


def warn_of_versions(registry: Registry, instrument: Instrument, start_us: int, end_us: int, *, stacklevel: int = 4) -> str | None:
    """Warns with the versions that are valid inside ``[start_us, end_us)`` and returns the text; None where there is one.

    Warns:
        MetadataWarning: there are several.
    """
    versions = registry.versions(instrument.exchange, instrument.exchange_symbol, start_us, end_us)
    if versions.height < 2:  # noqa: PLR2004 - several
        return None
    columns = versions.select("symbol_id", "valid_from_us", "price_increment", "qty_increment", "contract_size")
    spans = "; ".join(
        f"symbol_id {symbol_id} from {time_text(max(valid_from, start_us))}: tick {tick}, lot {lot}, contract size {size}"
        for symbol_id, valid_from, tick, lot, size in columns.iter_rows()
    )
    text = f"the metadata of {instrument.name} changed inside the window: {spans}"
    warnings.warn(text, MetadataWarning, stacklevel=stacklevel)
    return text
