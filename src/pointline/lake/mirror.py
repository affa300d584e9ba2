"""A lake in a bucket, as its folder on this machine shows it.

The folder holds the logs of the tables, which are small and only grow, and of the data files what was read. The book of heads in the
bucket says which versions of all tables belong together; it is read when the lake is opened, and until it is opened again, or
`Mirror.refresh` is called, the lake stays as the book said then. So one call reads one state of all tables, and looks at the logs once.

Readers write nothing into the bucket. Writers make their change in this folder, as in a local lake, and `Mirror.publish` brings it into the
bucket by one conditional write (`pointline.lake.commits`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pointline.errors import BusyError, DamageError, LakeError, NoLakeError
from pointline.lake import places
from pointline.lake.bucket import PROBE, Bucket, WriteConflict
from pointline.lake.commits import COMMITS, Commits
from pointline.lake.heads import HEADS, NOTHING, Head, heads_of_text
from pointline.lake.lease import Lease
from pointline.lake.mirror_room import MirrorRoom
from pointline.lake.parts import FetchedParts
from pointline.lake.places import REMOTE, SCHEME
from pointline.lake.segments import SEGMENT, make_segment, new_segments, parts_of, read_segment, segment_key
from pointline.lake.threads import in_threads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PUBLISHED = ".published.json"
_THREADS = 16
_SMALL_FOLDERS = {"venues": ".toml", "studies": ".parquet"}  # files of the user's own below a lake, and how their names end


class Mirror:
    """The folder of a lake in a bucket.

    Args:
        root: the folder, which `open_mirror` made.
        bucket: the bucket's objects.

    Attributes:
        heads: what the tables hold, as the bucket's book said when it was last read.
        room: what of the folder's data stays.
        generation: changes when versions of this folder's logs became others.
    """

    def __init__(self, root: Path, bucket: Bucket) -> None:
        self.root = root
        self.bucket = bucket
        self.parts = FetchedParts(bucket, root)
        self.room = MirrorRoom(root, bucket.url)
        self.heads: dict[str, Head] = {}
        self.generation = 0
        self._etag: str | None = None
        self._text = ""
        self._proved: str | None = None
        self._commits: Commits | None = None
        self._lock = threading.RLock()
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, DamageError):
            kept = json.loads((root / PUBLISHED).read_text(encoding="utf-8"))
            self.heads, self._etag, self._text = heads_of_text(kept["heads"], str(root / PUBLISHED)), kept["etag"], kept["heads"]

    @property
    def url(self) -> str:
        """``s3://bucket/prefix``."""
        return self.bucket.url

    def refresh(self) -> None:
        """Takes the lake as the bucket has it now: one request where nothing has changed.

        Raises:
            DamageError: a log is not what the book says, or the book cannot be read.
            LakeError: the store does not answer, or refuses.
        """
        with self._lock:
            if self._etag is not None and self.bucket.is_as(HEADS, self._etag):
                return
            found = self.bucket.get(HEADS)
            if found is None:
                self._refuse_lost_book()
                self.heads, self._etag = {}, None
                return
            text = found.content.decode("utf-8", "replace")
            heads = heads_of_text(text, self.bucket.address(HEADS))
            for name, head in heads.items():
                self._fetch_log(name, head)
            self._keep(text, heads, found.etag)

    def _refuse_lost_book(self) -> None:
        """A lake without its book is one to which nothing was written yet."""
        if self.bucket.listed(COMMITS):
            hint = "the next `pointline ingest` or `pointline repair` writes it anew"
            raise DamageError("the book of the lake's tables is missing", where=self.bucket.address(HEADS), hint=hint)

    def fetch_small_files(self) -> None:
        """Brings the files that users keep below a lake, its own venue files and saved studies, up to date."""
        for folder, ending in _SMALL_FOLDERS.items():
            there = {key: one for key, one in self.bucket.listed(folder).items() if key.endswith(ending)}
            local = self.root / folder
            for path in [path for path in local.rglob(f"*{ending}") if path.is_file()] if local.is_dir() else []:
                if path.relative_to(self.root).as_posix() not in there:
                    path.unlink(missing_ok=True)
            known_file = self.root / f".{folder}.json"
            known = _read_json(known_file)
            for key, one in there.items():
                path = self.root / key
                if (known.get(key) != one.etag or not path.is_file()) and (found := self.bucket.get(key)) is not None:
                    _write(path, found.content)
            _write(known_file, json.dumps({key: one.etag for key, one in there.items()}).encode())

    def put_small_file(self, path: Path) -> None:
        """Brings one such file into the bucket."""
        self.bucket.put(path.relative_to(self.root).as_posix(), path.read_bytes())

    def has(self, path: Path) -> bool:
        """Whether a data file is in the bucket."""
        return self.bucket.size(path.relative_to(self.root).as_posix()) is not None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the lake's lease, finishes what a writer before had committed and not carried out, and forgets what was never committed.

        Raises:
            BusyError: another writer holds the lease.
            LakeError: the store does not answer, or refuses.
        """
        with Lease(self.bucket) as lease:
            commits = Commits(self.bucket, lease)
            try:
                self.refresh()
            except DamageError:
                if not commits.finish(self._book_etag()):  # it may be the commit of a repair
                    raise
                self.refresh()
            if commits.finish(self._etag):
                self.refresh()
            self.roll_back()
            self._commits, self._proved = commits, None
            try:
                yield
            finally:
                self._commits = None

    @contextlib.contextmanager
    def repairing(self) -> Iterator[Commits]:
        """Holds the lake's lease, whatever is damaged, and finishes what a writer before had committed and not carried out.

        Raises:
            BusyError: another writer holds the lease.
            LakeError: the store does not answer, or refuses.
        """
        with Lease(self.bucket) as lease:
            commits = Commits(self.bucket, lease)
            commits.finish(self._book_etag(), forgets_damaged=True)
            yield commits

    def pending(self) -> dict[str, Any] | None:
        """The newest commit, where it is not carried out; empty where its record cannot be read, None where all is carried out.

        Raises:
            LakeError: the store does not answer, or refuses.
        """
        return Commits(self.bucket).pending()

    def _book_etag(self) -> str | None:
        book = self.bucket.get(HEADS)
        return book.etag if book is not None else None

    def publish(self, heads: Mapping[str, Head], log_root: Path | None = None, files: Mapping[str, Path] | None = None) -> None:
        """Makes the change that was carried out in this folder the bucket's, whole or not at all.

        Args:
            heads: what the tables hold now.
            log_root: lake whose logs have the new entries; this folder if None.
            files: key and path of the data files to upload; those that the new entries add, if None.

        Raises:
            BusyError: another writer has committed meanwhile, or holds the lease; nothing was stored.
            LakeError: the store does not answer, or refuses; the error says whether the change was committed.
        """
        if self._commits is None:
            raise LakeError("a lake in a bucket is only changed under its lease", where=self.url)
        with self._lock:
            source = self.root if log_root is None else log_root
            try:
                entries = {
                    f"{name}/_delta_log/{version:020d}.json": (source / name / "_delta_log" / f"{version:020d}.json").read_bytes()
                    for name, head in sorted(heads.items())
                    for version in range(self.heads.get(name, NOTHING).version + 1, head.version + 1)
                }
                text = json.dumps({name: _plain(head) for name, head in sorted(heads.items())}, indent=1)
                sent = added_files(self.root, entries) if files is None else files
                segments = {
                    segment_key(name, part.start): make_segment(
                        [(source / name / "_delta_log" / f"{n:020d}.json").read_bytes() for n in part]
                    )
                    for name, head in heads.items()
                    for part in new_segments(self.heads.get(name, NOTHING).version, head.version)
                }
                etag = self._commits.commit(entries, text, self._etag, sent)
            except BaseException:
                self.roll_back()
                raise
            self._keep(text, dict(heads), etag)
            self._proved = etag
            with contextlib.suppress(LakeError):  # readers do without
                for key, content in segments.items():
                    self.bucket.put(key, content)
            if files is None:
                for key, path in sent.items():
                    if "/" in key.partition("/")[2]:  # of partitions; the rows of small tables are read again soon
                        path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def held(self, paths: Iterable[Path], stop: threading.Event | None = None) -> Iterator[None]:
        """Fetches data files whole and keeps them here; what is not among them makes room.

        Args:
            paths: of the files, in this folder.
            stop: set by whoever does not want the files any more.

        Raises:
            ConfigError: they are more than the bound.
            DamageError: a file is missing, or its content is not what its name says.
            LakeError: the store does not answer, or refuses.
            UnwantedError: `stop` was set.
        """
        sizes, absent = {}, {}
        for path in paths:
            try:
                sizes[path] = path.stat().st_size
            except FileNotFoundError:
                absent[path] = path.relative_to(self.root).as_posix()
        folders = {key.rpartition("/date=")[0] or key.partition("/")[0] for key in absent.values()}  # of an instrument, or of a small table
        listed = {key: one.size for found in in_threads(self.bucket.listed, sorted(folders), stop) for key, one in found.items()}
        sizes |= {path: listed.get(key, 0) for path, key in absent.items()}
        with self.room.held(sizes, stop):
            if missing := self.room.used(sizes):
                with self.room.room(sum(sizes[path] for path in missing)):
                    in_threads(self.parts.whole, missing, stop)
                    self.room.came(missing)
            yield

    def check_lease(self) -> None:
        """Refuses what only the holder of the lease may do.

        Raises:
            BusyError: the lease has run out.
            LakeError: none is held.
        """
        if self._commits is None:
            raise LakeError("a lake in a bucket is only changed under its lease", where=self.url)
        self._commits.check()

    def check_book(self) -> None:
        """Refuses to remove anything by a book that is no longer the lake's, which a store may give; writes it over itself, once.

        Raises:
            BusyError: the book is another by now.
            LakeError: the store does not answer, or refuses.
        """
        if self._etag is None or self._etag == self._proved:
            return
        try:
            self._keep(self._text, self.heads, self.bucket.put_over(HEADS, self._text.encode(), self._etag, takes_same=False))
        except WriteConflict:
            hint = "run the same command again"
            raise BusyError("the store told of an earlier state of the lake; nothing was removed", where=self.url, hint=hint) from None
        self._proved = self._etag

    def roll_back(self) -> None:
        """Forgets what was changed in this folder and is not in the bucket; the caller holds the folder's lock."""
        self.generation += 1
        (self.root / ".journal.json").unlink(missing_ok=True)
        for log in self.root.glob("*/_delta_log"):
            head = self.heads.get(log.parent.name)
            if head is None:
                shutil.rmtree(log.parent, ignore_errors=True)
                continue
            for path in log.iterdir():
                number = path.name[:20]
                if number.isdigit() and int(number) > head.version:
                    path.unlink(missing_ok=True)
            last = _read_json(log / "_last_checkpoint")
            if last.get("version", -1) > head.version:
                (log / "_last_checkpoint").unlink(missing_ok=True)

    def _fetch_log(self, name: str, head: Head) -> None:
        """Fetches the entries of a log that are new, all of them where those that are here are not its beginning."""
        before = self.heads.get(name, NOTHING)
        crc32 = before.log_crc32
        if before.version <= head.version:
            crc32 = self._fetch_entries(name, range(before.version + 1, head.version + 1), crc32)
        if before.version > head.version or crc32 != head.log_crc32:
            self.generation += 1
            crc32 = self._fetch_entries(name, range(head.version + 1), 0, in_segments=False)
        if crc32 != head.log_crc32:
            raise self._log_damage(name)

    def _log_damage(self, name: str) -> DamageError:
        where = self.bucket.address(f"{name}/_delta_log")
        hint = "`pointline verify` lists what is damaged, `pointline repair` rebuilds the log"
        return DamageError("the log of a table is damaged", where=where, expected="the entries that the writer left", hint=hint)

    def _fetch_entries(self, name: str, versions: range, crc32: int, *, in_segments: bool = True) -> int:
        def entry(version: int) -> bytes:
            key = f"{name}/_delta_log/{version:020d}.json"
            found = self.bucket.get(key)
            if found is None:
                raise DamageError("the log of a table is damaged", where=self.bucket.address(key), value="an entry is missing")
            return found.content

        def entries(part: range) -> list[bytes]:
            segment = self.bucket.get(segment_key(name, part.start)) if len(part) == SEGMENT else None
            return read_segment(segment.content) if segment is not None else [entry(version) for version in part]

        parts = parts_of(versions) if in_segments else [range(version, version + 1) for version in versions]
        with ThreadPoolExecutor(_THREADS) as pool:
            for part, contents in zip(parts, pool.map(entries, parts), strict=True):
                for version, content in zip(part, contents, strict=True):
                    _write(self.root / name / "_delta_log" / f"{version:020d}.json", content)
                    crc32 = zlib.crc32(content, crc32)
        return crc32

    def _keep(self, text: str, heads: dict[str, Head], etag: str) -> None:
        self.heads, self._etag, self._text = heads, etag, text
        _write(self.root / PUBLISHED, json.dumps({"etag": etag, "heads": text}).encode())


def open_mirror(url: str, version_file: str, version_text: str, *, create: bool = False, damaged: bool = False) -> Mirror:
    """The mirror of the lake at a URL, as the bucket has it now.

    Args:
        url: ``s3://bucket/prefix``.
        version_file, version_text: name of the file that a lake begins with, and what a new one says.
        create: make a lake where there is nothing.
        damaged: open it though a log or the book is damaged; it is as it was seen before then.

    Raises:
        DamageError: a log or the book is damaged.
        ConfigError: the URL or the environment cannot be used.
        NoLakeError: there is no lake at that place.
        LakeError: the store does not answer, or refuses.
    """
    bucket = Bucket(url.rstrip("/"))
    root = mirror_folder(bucket)
    mirror = cast("Mirror | None", places.mirror_of(root))
    if mirror is None or mirror.bucket.storage_options != bucket.storage_options:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        mirror = Mirror(root, bucket)
    before = mirror.heads
    try:
        mirror.refresh()
    except DamageError:
        if not damaged and not (create and mirror.pending() is not None):  # a writer carries out what was committed
            raise
    if mirror.heads is not before or not (root / version_file).is_file():
        _fetch_version(mirror, version_file, version_text, create=create)
    mirror.fetch_small_files()
    if not (root / REMOTE).is_file():
        _write(root / REMOTE, json.dumps({"url": bucket.url, "endpoint": bucket.endpoint}).encode())
    places.register(mirror)
    mirror.room.trim_now_and_then()
    return mirror


def reopen_mirror(root: Path) -> None:
    """Makes the mirror in a folder known to this process, as it was left there; nothing where the folder is a local lake."""
    if places.mirror_of(root) is not None or not (root / REMOTE).is_file():
        return
    told = _read_json(root / REMOTE)
    places.register(Mirror(root, Bucket(str(told.get("url")), str(told.get("endpoint")))))


def mirror_folder(bucket: Bucket) -> Path:
    """Folder of this machine for a lake in a bucket: below ``POINTLINE_MIRROR``, else below the user's cache."""
    base = os.environ.get("POINTLINE_MIRROR") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "pointline" / "s3"
    digest = hashlib.sha256(f"{bucket.endpoint}\n{bucket.url}".encode()).hexdigest()[:16]
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", bucket.url.removeprefix(SCHEME))[-80:]
    return Path(base).expanduser().resolve() / f"{name}-{digest}"


def added_files(root: Path, entries: Mapping[str, bytes]) -> dict[str, Path]:
    """Key and path of the data files that log entries add and none of them removes."""
    from pointline.lake.paths import path_of

    found: dict[str, Path] = {}
    for key, entry in entries.items():
        table = root / key.partition("/")[0]
        for action in map(json.loads, entry.splitlines()):
            for verb in {"add", "remove"} & set(action):
                path = table / path_of(action[verb]["path"], table)
                found[path.relative_to(root).as_posix()] = path
                if verb == "remove":
                    del found[path.relative_to(root).as_posix()]
    return found


def _fetch_version(mirror: Mirror, name: str, text: str, *, create: bool) -> None:
    found = mirror.bucket.get(name)
    if found is None and create and not mirror.heads:
        if any(key != name and not key.startswith(PROBE) for key in mirror.bucket.listed()):
            raise NoLakeError("this place in the bucket is not empty and is not a lake", where=mirror.url, hint="choose another prefix")
        with contextlib.suppress(WriteConflict):
            mirror.bucket.put_new(name, text.encode())
        with contextlib.suppress(WriteConflict):
            mirror.bucket.put_new(HEADS, json.dumps({}).encode())
        mirror.refresh()
        found = mirror.bucket.get(name)
    if found is None:
        raise NoLakeError(
            "there is no lake here",
            where=mirror.url,
            hint="make one with `pointline ingest PATH… --lake s3://BUCKET/PREFIX`, or `pointline lake copy FOLDER s3://BUCKET/PREFIX`",
        )
    _write(mirror.root / name, found.content)


def _plain(head: Head) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(head)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: bytes) -> None:
    """Replaces a file of the mirror; it can be fetched again, so it need not survive a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
