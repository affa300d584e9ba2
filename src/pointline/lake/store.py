"""The lake on disk: one Delta table per kind, partitioned by exchange, symbol and date, and the listing of its files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import polars as pl

from pointline import clock, schema
from pointline.errors import ConfigError, DamageError, LakeError, LakeVersionError, NoLakeError
from pointline.lake.content import check_content
from pointline.lake.heads import read_heads, summed
from pointline.lake.log_entries import live_files
from pointline.lake.paths import partition_folder, path_of
from pointline.lake.places import REMOTE, SCHEME, is_other_place, mirror_above, mirror_of
from pointline.lake.rows import decode_one, read_footer, scan_rows
from pointline.lake.venue_files import read_venues, venue_file_paths

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator, Sequence
    from decimal import Decimal

    from deltalake import DeltaTable

    from pointline.instruments import Registry
    from pointline.lake.log_entries import LiveFile
    from pointline.lake.mirror import Mirror
    from pointline.venues.files import Venues

_log = logging.getLogger("pointline.lake")

VERSION_FILE = "pointline.json"
FOOTER_KEY = "pointline"
# The Delta library takes a path for one in URL form: %20 becomes a space, a backslash a slash.
_NO_DELTA_PATH = re.compile(r"%[0-9A-Fa-f]{2}|\\|[\x00-\x1f\x7f]|[\ud800-\udfff]")
FOOTER_CRC_KEY = "pointline_crc32"
_ANY_DATE = "2000-01-01"
_LISTING = {"path": pl.String, "exchange": pl.String, "symbol": pl.String, "date": pl.String, "num_records": pl.Int64}


@dataclass(frozen=True)
class PartitionFile:
    """One live Parquet file: all rows of an instrument's day (or month).

    Attributes:
        path: the file.
        exchange, symbol: the instrument.
        start_us: 00:00 UTC of the partition's first day.
        rows: row count.
    """

    path: Path
    exchange: str
    symbol: str
    start_us: int
    rows: int

    @cached_property
    def footer(self) -> dict[str, Any]:
        """What ingest wrote beside the rows: the feeds that they came from and the totals.

        Raises:
            DamageError: the file is missing, or its footer is damaged.
        """
        try:
            told = read_footer(self.path)
        except (pl.exceptions.PolarsError, OSError):
            check_content(self.path)  # raises where the content is damaged
            raise
        text = told.get(FOOTER_KEY)
        if text is None or told.get(FOOTER_CRC_KEY) != footer_crc(text):
            check_content(self.path)
            raise DamageError(
                "a data file was not written by pointline", where=str(self.path), hint="`pointline verify` lists what is wrong"
            )
        return json.loads(text)  # type: ignore[no-any-return]

    @property
    def totals(self) -> dict[str, Any]:
        """Row count, amounts, first and last id, time and price of the partition (see `pointline.lake.partition`)."""
        return self.footer["totals"]  # type: ignore[no-any-return]

    @property
    def last_price(self) -> Decimal:
        """Price of the last trade."""
        return decode_one(self.totals["last_price_int"], self.totals["price_decimals"])

    @property
    def qty(self) -> Decimal:
        """Sum of the traded quantities, as the exchange counts them."""
        return decode_one(self.totals["qty_int"], self.totals["qty_decimals"])

    def scan(self, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """The rows as stored, lazily; all columns if None."""
        return scan_rows(self.path, columns)


LakeLike: TypeAlias = "Lake | str | Path"
FileRow: TypeAlias = "tuple[str, str, str, str, int]"


class Lake:
    """A folder of Delta tables.

    Args:
        root: the folder; of a lake in a bucket, the one that mirrors it on this machine.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._tables: dict[str, DeltaTable] = {}
        self._listings: dict[str, tuple[int, pl.DataFrame]] = {}
        self._registry: tuple[tuple[object, ...], Registry] | None = None
        self._described: tuple[tuple[object, ...], Registry] | None = None
        self._venues: tuple[tuple[object, ...], Venues] | None = None
        self._generation = 0
        if (root / REMOTE).is_file():
            from pointline.lake.mirror import reopen_mirror

            reopen_mirror(root)

    def __repr__(self) -> str:
        return f"Lake({self.place!r})"

    @property
    def mirror(self) -> Mirror | None:
        """What is here of a lake in a bucket; None of a local lake."""
        return cast("Mirror | None", mirror_of(self.root))

    @property
    def place(self) -> str:
        """The lake's folder, or its URL."""
        mirror = self.mirror
        return str(self.root) if mirror is None else mirror.url

    def refresh(self) -> None:
        """Takes a lake in a bucket as it is now; it stays as it was when it was opened until then. A local lake is always as it is now.

        Raises:
            LakeError: the bucket does not answer, or refuses.
        """
        if (mirror := self.mirror) is not None:
            mirror.refresh()

    def has(self, path: Path) -> bool:
        """Whether a data file of the lake is there."""
        return path.is_file() or ((mirror := cast("Mirror | None", mirror_above(path))) is not None and mirror.has(path))

    @contextlib.contextmanager
    def held(self, paths: Iterable[Path] | None = None, stop: threading.Event | None = None) -> Iterator[None]:
        """Fetches data files of a lake in a bucket whole, for engines that read files of this disk, and keeps them here.

        Args:
            paths: the files; all live ones of the market tables and of the instruments if None.
            stop: set by whoever does not want the files any more.

        Raises:
            ConfigError: they are more than ``POINTLINE_MIRROR_BYTES``.
            DamageError: a file is missing, or its content is not what its name says.
            LakeError: the bucket does not answer, or refuses.
            UnwantedError: `stop` was set.
        """
        if (mirror := self.mirror) is None:
            yield
            return
        names = [*self.kinds(), "instruments"] if paths is None else []
        wanted = [self.table_path(name) / path for name in names for path in self.live(name)["path"]] if paths is None else paths
        with mirror.held(wanted, stop):
            yield

    def environment(self) -> dict[str, str]:
        """What another process of this machine needs of the environment to open the lake; it may hold secrets. Empty of a local lake."""
        if self.mirror is None:
            return {}
        own = ("AWS_", "POINTLINE_MIRROR", "XDG_CACHE_HOME", "HOME")
        return {name: text for name, text in os.environ.items() if name.startswith(own)}

    def check_local(self, what: str, then: str = "") -> None:
        """Refuses what needs the files of a lake on this disk.

        Args:
            what: it is.
            then: the command that does it with a copy of the lake in FOLDER.

        Raises:
            ConfigError: the lake is in a bucket.
        """
        if (mirror := self.mirror) is not None:
            hint = f"copy it: pointline lake copy {mirror.url} FOLDER" + (f"; then {then}" if then else "")
            raise ConfigError(f"{what} works on a local lake", value=mirror.url, expected="a folder", hint=hint)

    def __reduce__(self) -> tuple[type[Lake], tuple[Path]]:
        return Lake, (self.root,)

    def table_path(self, kind: str) -> Path:
        """Folder of one Delta table."""
        return self.root / kind

    def log_path(self, kind: str) -> Path:
        """Folder of a table's log."""
        return self.root / kind / "_delta_log"

    def kinds(self) -> list[str]:
        """Market tables that exist, in name order."""
        if (mirror := self.mirror) is not None:
            return sorted(name for name in mirror.heads if is_market(name))
        folders = sorted(self.root.iterdir()) if self.root.is_dir() else []
        return [folder.name for folder in folders if (folder / "_delta_log").is_dir() and is_market(folder.name)]

    def tables(self) -> list[str]:
        """All tables that have a log, in name order: market tables, reserves and the lake's own books."""
        if (mirror := self.mirror) is not None:
            return sorted(mirror.heads)
        return sorted(folder.name for folder in self.root.iterdir() if (folder / "_delta_log").is_dir())

    def delta(self, kind: str) -> DeltaTable | None:
        """The Delta table at its newest version, or None where it does not exist yet.

        Raises:
            DamageError: the log is damaged.
        """
        self._forget_what_was_rolled_back()
        newest = self.newest_version(kind)
        if newest is None:
            return None
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            table = self._tables.get(kind)
            if table is None:
                pinned = newest if self.mirror is not None else None  # a writer's log goes on in the same folder
                table = self._tables[kind] = DeltaTable(str(self.table_path(kind)), version=pinned)
            if self.mirror is not None and table.version() != newest:
                table.load_as_version(newest)
            if table.version() < newest:
                table.update_incremental()
        except (DeltaError, OSError, ValueError) as error:
            self._tables.pop(kind, None)
            raise self._log_damage(kind, str(error).splitlines()[0][:200]) from error
        if table.version() < newest:
            raise self._log_damage(kind, f"entry {newest} cannot be read")
        return table

    def _forget_what_was_rolled_back(self) -> None:
        """Of a lake in a bucket, a version may not be what this process wrote under its number."""
        if (mirror := self.mirror) is not None and mirror.generation != self._generation:
            self._tables.clear()
            self._listings.clear()
            self._generation = mirror.generation

    def live(self, name: str) -> pl.DataFrame:
        """All live files of a table: path, num_records and, of market tables, exchange, symbol and date (String).

        Raises:
            DamageError: the log is damaged, or lists other files than the writer left.
        """
        self._forget_what_was_rolled_back()
        head = read_heads(self.root).get(name)  # before the log is looked at: a writer may go on meanwhile
        newest = self.newest_version(name)
        if newest is None:
            if head is not None:
                raise self._log_damage(name, "there is no log")
            return pl.DataFrame(schema=_LISTING)
        known = self._listings.get(name)
        if known is not None and known[0] == newest:
            return known[1]
        files = None
        if head is not None and head.version == newest and name not in self._tables:  # a table that is open has only news to read
            files = live_files(self.table_path(name), head)
        if files is None:
            newest, files = self._files_by_delta(name)
        _check_names(files, self.table_path(name))
        if (stray := _misplaced(files)) is not None:
            raise self._log_damage(name, stray, "partition values as the path has them")
        if head is not None and head.version >= newest:
            count, digest = summed((path, rows) for path, *_, rows in files)
            if (newest, count, digest) != (head.version, head.files, head.digest):
                told = f"{count} files at version {newest}"
                raise self._log_damage(name, told, f"{head.files} files at version {head.version}, as the writer left them")
        frame = pl.DataFrame(files, schema=_LISTING, orient="row").sort("exchange", "symbol", "date", "path")
        self._listings[name] = (newest, frame)
        return frame

    def _files_by_delta(self, name: str) -> tuple[int, list[LiveFile]]:
        """Version and live files of a table that has a log, as the Delta library reads it."""
        table = self.delta(name)
        if table is None:
            raise self._log_damage(name, "there is no log")
        actions = self.actions(name)
        if actions.is_empty():
            return table.version(), []
        named = actions.select(pl.all().name.map(lambda name: name.removeprefix("partition.")))
        parts = [pl.col(name).cast(pl.String) if name in named.columns else pl.lit("").alias(name) for name in schema.PARTITION_COLUMNS]
        return table.version(), named.select("path", *parts, "num_records").rows()

    def _log_damage(self, name: str, value: str, expected: str | None = None) -> DamageError:
        log = self.table_path(name) / "_delta_log"
        return DamageError(
            "the log of a table is damaged", where=str(log), value=value, expected=expected, hint="`pointline repair` rebuilds it"
        )

    def newest_version(self, kind: str) -> int | None:
        """Number of the newest commit in a table's log, read off the file names; of a lake in a bucket, as it was opened."""
        if (mirror := self.mirror) is not None:
            return mirror.heads[kind].version if kind in mirror.heads else None
        try:
            names = [path.name for path in (self.table_path(kind) / "_delta_log").iterdir()]
        except FileNotFoundError:
            return None
        return max((int(name[:-5]) for name in names if name.endswith(".json") and name[:-5].isdigit()), default=None)

    def actions(self, name: str) -> pl.DataFrame:
        """The log's entries of a table's live files: ``path`` below its folder, size, partition values, bounds; empty without any.

        Raises:
            LakeError: a path leads out of the table's folder; the error has a hint.
            DamageError: a path is no text.
        """
        table = self.delta(name)
        actions = pl.DataFrame() if table is None else pl.DataFrame(table.get_add_actions(flatten=True))
        if actions.is_empty():
            return actions
        folder = self.table_path(name)
        paths = [path_of(logged, folder) for logged in actions["path"]]
        try:
            return actions.with_columns(pl.Series("path", paths, dtype=pl.String))
        except UnicodeEncodeError as error:
            raise self._log_damage(name, str(error), "paths in UTF-8") from error

    def listing(self, kind: str) -> pl.DataFrame:
        """All live files of a market table: path, exchange, symbol, date (String) and num_records.

        Raises:
            DamageError: the log is damaged.
        """
        return self.live(kind)

    def files(self, kind: str, exchange: str, symbol: str, start_us: int | None = None, end_us: int | None = None) -> list[PartitionFile]:
        """Live files of one instrument whose partition touches ``[start_us, end_us)``, in time order."""
        monthly = schema.table(kind).monthly
        found = []
        for path, _, _, date, count in self.rows_of(kind, exchange, symbol):
            first = clock.to_us(date)
            last = clock.next_month(first) if monthly else first + clock.DAY_US
            if (start_us is None or last > start_us) and (end_us is None or first < end_us):
                found.append(PartitionFile(self.table_path(kind) / path, exchange, symbol, first, count))
        if start_us is not None and end_us is not None:
            self.fetch_footers(found)  # all of a window's files are looked at
        return found

    def fetch_footers(self, files: Iterable[PartitionFile]) -> None:
        """Fetches the footers of data files of a lake in a bucket, several at once; nothing where the lake is on this disk."""
        if (mirror := self.mirror) is not None:
            mirror.parts.prefetch([file.path for file in files])

    def rows_of(self, kind: str, exchange: str, symbol: str) -> list[FileRow]:
        """The entries of one instrument's files in a table's listing (path, exchange, symbol, date, rows), in time order."""
        return self.listing(kind).filter((pl.col("exchange") == exchange) & (pl.col("symbol") == symbol)).rows()

    def partition_paths(self, kind: str, exchange: str, symbol: str, date: str) -> list[Path]:
        """Live files of one partition, of which there is one or none."""
        own = (pl.col("exchange") == exchange) & (pl.col("symbol") == symbol) & (pl.col("date") == date)
        return [self.table_path(kind) / path for path in self.listing(kind).filter(own)["path"].to_list()]

    def scan(self, kind: str, exchange: str, symbol: str, start_us: int, end_us: int, columns: Sequence[str] | None = None) -> pl.LazyFrame:
        """Rows with ``start_us <= ts_local_us < end_us`` as stored, lazily; only the files that can hold them are opened."""
        stored = stored_columns(kind)
        names = list(columns) if columns is not None else list(stored)
        files = self.files(kind, exchange, symbol, start_us, end_us)
        if not files:
            return pl.LazyFrame(schema={name: stored[name] for name in names})
        inside = (pl.col("ts_local_us") >= start_us) & (pl.col("ts_local_us") < end_us)
        if self.mirror is None:
            return scan_rows([f.path for f in files]).filter(inside).select(names)
        read = list(dict.fromkeys([*names, "ts_local_us"]))
        return scan_rows([f.path for f in files], read, span_us=(start_us, end_us)).filter(inside).select(names)

    def rows(self, name: str, columns: dict[str, pl.DataType]) -> pl.DataFrame:
        """All rows of a table without partitions (manifest, quarantine, instruments), files in name order."""
        paths = sorted(self.live(name)["path"].to_list())
        if not paths:
            return pl.DataFrame(schema=columns)
        return scan_rows([self.table_path(name) / path for path in paths]).collect()

    @property
    def venues(self) -> Venues:
        """The venue files that hold for this lake: the package's, and those in ``venues/*.toml`` below its folder.

        Raises:
            ConfigError: one of the lake's own cannot be used.
        """
        found = self.venue_versions()
        if self._venues is None or self._venues[0] != found:
            self._venues = (found, read_venues(self.root))
        return self._venues[1]

    def venue_versions(self) -> tuple[object, ...]:
        """A value that changes when one of the lake's own venue files does."""
        return tuple((path.name, (status := path.stat()).st_mtime_ns, status.st_size) for path in venue_file_paths(self.root))

    def described(self) -> Registry:
        """The instruments that exchangeInfo snapshots and mappings describe."""
        from pointline.instruments import OBSERVATION_SCHEMA, Registry

        versions = (self.newest_version("instruments"), *self.venue_versions())
        if self._described is None or self._described[0] != versions:
            observations = self.rows("instruments", OBSERVATION_SCHEMA).select(list(OBSERVATION_SCHEMA)).unique(maintain_order=True)
            self._described = (versions, Registry(observations=observations, known=self.venues))
        return self._described[1]

    def registry(self) -> Registry:
        """The instruments of exchangeInfo snapshots, of mappings, and those that are known from archive files alone."""
        kinds = self.kinds()
        versions = (*(self.newest_version(kind) for kind in ("instruments", *kinds)), *self.venue_versions())
        if self._registry is None or self._registry[0] != versions:
            self._registry = (versions, self._read_registry(kinds))
        return self._registry[1]

    def _read_registry(self, kinds: list[str]) -> Registry:
        registry = self.described()
        nothing = pl.DataFrame(schema={"exchange": pl.String, "symbol": pl.String})
        with ThreadPoolExecutor() as pool:
            listings = list(pool.map(self.listing, kinds))
        seen = pl.concat([nothing, *(listing.select("exchange", "symbol") for listing in listings)])
        known = registry.observations.select("exchange", symbol="exchange_symbol")
        new = seen.unique().join(known, on=["exchange", "symbol"], how="anti").sort("exchange", "symbol")
        return registry.with_readable(new.rows())


def footer_crc(text: str) -> str:
    """CRC-32 of a footer's text, stored beside it, because footers are read without the rows."""
    return f"{zlib.crc32(text.encode()):08x}"


def stored_columns(kind: str) -> dict[str, pl.DataType]:
    """Columns of a market table's files, in order; the partition columns are in the path."""
    return {**schema.table(kind).columns, "source_file": pl.Int64()}


def _check_names(files: Sequence[LiveFile], folder: Path) -> None:
    nameless = next((path for path, *names, _ in files if None in names), None)
    if nameless is not None:
        raise LakeError(
            "a partition of the lake names no exchange, symbol or date",
            where=str(folder),
            value=nameless,
            hint="take it out of the table with the deltalake library, e.g. "
            f'DeltaTable({str(folder)!r}).delete("symbol IS NULL"), and ingest the archive file again',
        )


def _misplaced(files: Sequence[LiveFile]) -> str | None:
    """The path of a file of a partition that the log names otherwise than the path does; tables without partitions have none."""
    folders: dict[tuple[str | None, str | None], str] = {}
    for path, exchange, symbol, date, _ in files:
        if not (exchange and symbol and date):
            continue
        encoded = folders.get((exchange, symbol))
        if encoded is None:
            encoded = folders[exchange, symbol] = partition_folder(exchange, symbol, _ANY_DATE).removesuffix(_ANY_DATE)
        if not path.startswith((f"{encoded}{date}/", f"exchange={exchange}/symbol={symbol}/date={date}/")):
            return f"{exchange}, {symbol}, {date}: {path}"
    return None


def is_market(name: str) -> bool:
    """Whether a table has market data: it is neither a reserve nor one of the lake's own books."""
    try:
        schema.table(name)
    except KeyError:
        return False
    return not name.endswith(schema.RESERVE)


def open_lake(path: str | Path | None = None, *, create: bool = False, damaged: bool = False) -> Lake:
    """The lake at `path`, else at ``POINTLINE_LAKE``, else at ``./lake``.

    Args:
        path: the lake's folder, or ``s3://bucket/prefix``.
        create: make it where it does not exist; a commit to a bucket that was not carried out is left to the writer, as no damage.
        damaged: open a lake in a bucket though a log or its book is damaged; only `verify` and `repair` can use it then.

    Raises:
        DamageError: a log or the book of a lake in a bucket is damaged. What is damaged of a local lake shows when it is read.
        LakeError: there is no lake at that place, or its path cannot be a Delta table's.
        LakeVersionError: an older or a newer pointline wrote it.

    Examples:
        Reads the lake of `pointline demo`:

        >>> import pointline
        >>> lake = pointline.open_lake("out/demo/lake")
        >>> lake.kinds()[:3]
        ['candles_1m', 'derivative_ticker', 'funding']
    """
    text = str(path if path is not None else os.environ.get("POINTLINE_LAKE", "lake"))
    if text.startswith("s3:/") and not text.startswith(SCHEME):
        text = SCHEME + text.removeprefix("s3:/")  # a Path takes two slashes for one
    if text.startswith(SCHEME):
        from pointline.lake.mirror import open_mirror

        mirror = open_mirror(text, VERSION_FILE, _version_text(), create=create, damaged=damaged)
        _check_version(mirror.root / VERSION_FILE)
        _log.info("lake %s, format %d, mirrored in %s", mirror.url, schema.FORMAT_VERSION, mirror.root)
        return Lake(mirror.root)
    if is_other_place(text):
        raise LakeError("this is no place for a lake", value=text, expected="a path on a local disk, or s3://BUCKET/PREFIX")
    root = _root(text)
    version = root / VERSION_FILE
    if version.is_file():
        _check_version(version)
    elif create and (not root.exists() or not any(p for p in root.iterdir() if not p.name.startswith("."))):
        from pointline.lake.durable import write_atomically

        write_atomically(version, _write_version)
    else:
        raise NoLakeError(
            "there is no lake here" if not create else "this folder is not empty and is not a lake",
            where=str(root),
            hint="make one with `pointline ingest PATH… --lake FOLDER`, or point to yours with --lake or POINTLINE_LAKE",
        )
    _log.info("lake %s, format %d", root, schema.FORMAT_VERSION)
    return Lake(root)


def _root(text: str) -> Path:
    """The folder that a text names."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # no user is called so: the folder is
        path = path.expanduser()
    root = path.resolve()
    if found := _NO_DELTA_PATH.search(str(root)):
        raise LakeError(
            "the path of the lake has a part that the Delta library would misread",
            where=str(root),
            value=found[0],
            expected="a path without backslashes, control characters and % before two hexadecimal digits",
            hint="rename the folder, or choose another one; a link to it does not help",
        )
    return root


def as_lake(lake: LakeLike | None) -> Lake:
    """An opened lake as it is; a path, or None for the default place, opened.

    Raises:
        ConfigError: it is of another type.
        LakeError: there is no lake at that place.
    """
    if lake is not None and not isinstance(lake, Lake | str | Path):
        raise ConfigError("lake has the wrong type", value=lake, expected="a lake, the path of its folder, or None for the default place")
    return lake if isinstance(lake, Lake) else open_lake(lake)


def _write_version(path: Path) -> None:
    path.write_text(_version_text(), encoding="utf-8")


def _version_text() -> str:
    return json.dumps({"format_version": schema.FORMAT_VERSION}) + "\n"


def _check_version(path: Path) -> None:
    try:
        found = int(json.loads(path.read_text(encoding="utf-8"))["format_version"])
    except (ValueError, KeyError, TypeError) as error:
        raise LakeError("the lake's version file cannot be read", where=str(path), expected='{"format_version": 2}') from error
    if found < schema.FORMAT_VERSION:
        raise LakeVersionError(
            "this lake was written by an older pointline, in a format that is no longer read",
            where=str(path),
            value=found,
            expected=f"format version {schema.FORMAT_VERSION}",
            hint="make a new lake: ingest the archive files again into another folder, then remove this one",
        )
    if found > schema.FORMAT_VERSION:
        raise LakeVersionError(
            "this lake was written by a newer pointline",
            where=str(path),
            value=found,
            expected=f"format version up to {schema.FORMAT_VERSION}",
            hint="update pointline: pip install --upgrade pointline",
        )
