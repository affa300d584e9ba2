"""All archive parsers, in the order in which they are asked whether a file is theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.errors import ConfigError
from pointline.sources.binance_vision import BinanceVision
from pointline.sources.recorded import Recorded
from pointline.sources.table import MappedTable

if TYPE_CHECKING:
    from pointline.sources.base import Source


def all_sources(name: str | None = None) -> list[Source]:
    """Every parser, or the one of that name.

    Raises:
        ConfigError: there is no parser of that name.
    """
    sources: list[Source] = [MappedTable(), BinanceVision(), Recorded()]
    if name is None:
        return sources
    chosen = [source for source in sources if source.name == name]
    if not chosen:
        raise ConfigError("there is no such source", value=name, expected=", ".join(source.name for source in sources))
    return chosen
