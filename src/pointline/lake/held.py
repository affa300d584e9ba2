"""A lake as it stands at one time, for work that reads many instruments: its tables are listed once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.lake.store import Lake

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from pointline.lake.store import FileRow


class HeldLake(Lake):
    """A lake whose tables stay as they were when each was first asked for, whatever is written meanwhile.

    Listing a table looks through its log, and finding an instrument's files through the listing. Here both are done once, so that reading
    hundreds of instruments takes no longer for each of them than reading one. Not for long-lived use: files that were replaced leave the
    disk after a while. A pickled copy is a plain lake.

    Args:
        root: the folder.

    Examples:
        >>> import pointline
        >>> held = HeldLake(pointline.open_lake("out/demo/lake").root)
        >>> [file.rows for file in held.files("funding", "binance-futures", "BTCUSDT")]
        [6]
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._kinds: list[str] | None = None
        self._versions: dict[str, int | None] = {}
        self._live: dict[str, pl.DataFrame] = {}
        self._by_instrument: dict[str, dict[tuple[str, str], list[FileRow]]] = {}

    def kinds(self) -> list[str]:
        """Market tables that existed at first sight, in name order."""
        if self._kinds is None:
            self._kinds = super().kinds()
        return list(self._kinds)

    def newest_version(self, kind: str) -> int | None:
        """Number of the newest commit in a table's log at first sight."""
        if kind not in self._versions:
            self._versions[kind] = super().newest_version(kind)
        return self._versions[kind]

    def live(self, name: str) -> pl.DataFrame:
        """All files of a table that were live at first sight.

        Raises:
            DamageError: the log is damaged, or lists other files than the writer left.
        """
        found = self._live.get(name)
        if found is None:
            self._versions.pop(name, None)  # what the book of the tables vouches for is read together with it
            found = self._live[name] = super().live(name)
        return found

    def rows_of(self, kind: str, exchange: str, symbol: str) -> list[FileRow]:
        """The entries of one instrument's files in a table's listing, in time order."""
        found = self._by_instrument.get(kind)
        if found is None:
            found = {}
            for row in self.listing(kind).iter_rows():
                found.setdefault((row[1], row[2]), []).append(row)
            self._by_instrument[kind] = found
        return found.get((exchange, symbol), [])
