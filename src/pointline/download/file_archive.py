"""What archives of files have in common; each archive states what is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pointline.download.symbols import check_symbol
from pointline.errors import ConfigError

if TYPE_CHECKING:
    from pointline.download.transport import Transport


class FileArchive:
    """The archive, or a mirror of it.

    Args:
        transport: the client.
        base_url: of a mirror with the archive's paths below it.

    Attributes:
        source: the parser that reads its files, see `pointline.sources.families`.
        files: the address of its files.
        kinds: the kinds of data that it has, and the dataset of each.
        day_start_us: when its days begin, from 00:00 UTC.
    """

    source: ClassVar[str]
    files: ClassVar[str]
    kinds: ClassVar[dict[str, str]] = {"trades": "trades"}
    day_start_us: ClassVar[int] = 0

    def __init__(self, transport: Transport, base_url: str | None = None) -> None:
        self._transport = transport
        self._files = (base_url or self.files).rstrip("/")

    @classmethod
    def dataset(cls, kind: str) -> str:
        """The archive's dataset of a kind of data.

        Raises:
            ConfigError: there is none that ingest reads.
        """
        if kind not in cls.kinds:
            raise ConfigError("the archive has no such kind of data", value=kind, expected=", ".join(cls.kinds))
        return cls.kinds[kind]

    @staticmethod
    def check_symbol(exchange: str, symbol: str) -> None:
        """Refuses what cannot be a symbol.

        Raises:
            ConfigError: it is none.
        """
        check_symbol(exchange, symbol)

    @classmethod
    def continued(cls, symbol: str, dataset: str) -> tuple[str, str] | None:
        """Symbol and dataset that are asked for to go on with those of the lake; None where nothing is."""
        return (symbol, cls.kinds[dataset]) if dataset in cls.kinds else None
