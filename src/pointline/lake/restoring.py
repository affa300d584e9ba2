"""A lake in a bucket as a lake of local files, for the time in which it is verified or repaired.

The logs and the book come as the bucket has them, damaged or not, into a folder of their own, and what is done there is done as in a local
lake. Data files are fetched when they are read. A repair brings what has become of the folder into the bucket by one commit
(`pointline.lake.commits`): until then the bucket is as it was, but for whole data files in the places of damaged or missing ones.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import getpid
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pointline.errors import DamageError
from pointline.lake import places
from pointline.lake.durable import is_running, single_writer
from pointline.lake.heads import HEADS, NOTHING, read_heads
from pointline.lake.journal import JOURNAL
from pointline.lake.mirror import Mirror
from pointline.lake.store import VERSION_FILE, Lake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pointline.lake.bucket import Listed
    from pointline.lake.commits import Commits

_THREADS = 16


@dataclass(frozen=True)
class _Taken:
    """What the bucket had.

    Attributes:
        listed: its objects.
        sums: SHA-256 of each entry of a log.
        etag: of the book of heads; None where there is none.
    """

    listed: Mapping[str, Listed]
    sums: Mapping[str, bytes]
    etag: str | None


@contextlib.contextmanager
def as_folder(lake: Lake) -> Iterator[Lake]:
    """The lake as one of local files, to be looked at; a local lake as it is. What a writer is about to carry out is left out.

    Raises:
        LakeError: the bucket does not answer, or refuses.
    """
    if lake.mirror is None:
        yield lake
        return
    with _folder_of(lake.mirror) as (whole, taken):
        _leave_out_what_is_under_way(whole, taken, lake.mirror)
        yield whole


@contextlib.contextmanager
def restoring(lake: Lake) -> Iterator[Lake]:
    """The lake as one of local files, to be changed by this process alone; a change of a lake in a bucket is stored at the end, whole.

    Raises:
        BusyError: another process is writing, or has written meanwhile; nothing was stored.
        LakeError: the bucket does not answer, or refuses; the error says whether the change was committed.
    """
    mirror = lake.mirror
    if mirror is None:
        with single_writer(lake.root):
            yield lake
        return
    with mirror.repairing() as commits:
        with _folder_of(mirror) as (whole, taken):
            yield whole
            _publish(Lake(whole.root), taken, commits)
        mirror.refresh()


def is_fetched(path: Path) -> bool:
    """Whether a data file's copy on this disk was fetched from a bucket, so that it can go again."""
    mirror = cast("Mirror | None", places.mirror_above(path))
    return mirror is not None and path in mirror.parts.fetched


def fetch(path: Path) -> str | None:
    """Fetches a data file of a lake in a bucket whole, where it is not here; says what is wrong with it."""
    mirror = cast("Mirror | None", places.mirror_above(path))
    if mirror is not None and not path.is_file():
        try:
            mirror.parts.whole(path)
        except DamageError as error:
            path.unlink(missing_ok=True)
            return error.what
    return None


def let_go(path: Path) -> None:
    """Removes a data file from this disk that was fetched from a bucket."""
    if is_fetched(path):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _folder_of(mirror: Mirror) -> Iterator[tuple[Lake, _Taken]]:
    """A folder beside the mirror, with the logs, the book and the small files as the bucket has them."""
    beside, name = mirror.root.parent, f".{mirror.root.name}"
    for left in beside.glob(f"{name}.*"):
        if left.suffix[1:].isdigit() and not is_running(int(left.suffix[1:])):
            shutil.rmtree(left, ignore_errors=True)
    root = Path(tempfile.mkdtemp(dir=beside, prefix=f"{name}.", suffix=f".{getpid()}"))
    own = Mirror(root, mirror.bucket)
    try:
        taken = _take(own)
        own.fetch_small_files()
        with places.lent(own):
            yield Lake(root), taken
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _is_entry(key: str) -> bool:
    return "/_delta_log/" in key and key.endswith(".json") and Path(key).stem.isdigit()


def _take(own: Mirror) -> _Taken:
    sums: dict[str, bytes] = {}

    def take(key: str) -> str | None:
        found = own.bucket.get(key)
        if found is None:
            return None
        path = own.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(found.content)
        if _is_entry(key):
            sums[key] = hashlib.sha256(found.content).digest()
        return found.etag

    etag = take(HEADS)  # before the logs are looked at, which may grow meanwhile
    listed = own.bucket.listed()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(take, [key for key in listed if key == VERSION_FILE or _is_entry(key)]))
    return _Taken(listed, sums, etag)


def _leave_out_what_is_under_way(whole: Lake, taken: _Taken, mirror: Mirror) -> None:
    """Removes the entries of logs that the book does not have yet; notes a change that is half done where that does not explain it."""
    try:
        heads, is_readable = read_heads(whole.root), taken.etag is not None
    except DamageError:
        heads, is_readable = {}, False
    change = mirror.pending()
    if change is not None and (not is_readable or not change or "over" in change):
        (whole.root / JOURNAL).write_text(json.dumps({}), encoding="utf-8")
        return
    moved_on = taken.etag is not None and not mirror.bucket.is_as(HEADS, taken.etag)
    for key in taken.sums:
        entry = whole.root / key
        if int(entry.stem) > heads.get(key.partition("/")[0], NOTHING).version and (moved_on or key in (change or {}).get("entries", ())):
            entry.unlink()
            with contextlib.suppress(OSError):
                entry.parent.rmdir()


def _publish(whole: Lake, taken: _Taken, commits: Commits) -> None:
    """Stores what the folder has become in one commit; nothing where it is as it was."""
    logs = {path.relative_to(whole.root).as_posix(): path.read_bytes() for path in sorted(whole.root.glob("*/_delta_log/*.json"))}
    entries = {key: content for key, content in logs.items() if _is_entry(key)}
    changed = {key: content for key, content in entries.items() if taken.sums.get(key) != hashlib.sha256(content).digest()}
    over = {key: content for key, content in changed.items() if key in taken.sums}
    rebuilt = {key.partition("/")[0] for key in {*over, *(taken.sums.keys() - entries.keys())}}
    old = (f"{name}/_delta_log/" for name in rebuilt)
    copies = (f".segments/{name}/" for name in rebuilt)
    gone = [key for below in (*old, *copies) for key in taken.listed if key.startswith(below) and key not in entries]
    text = (whole.root / HEADS).read_text(encoding="utf-8") if (whole.root / HEADS).is_file() else json.dumps({})
    live = [whole.table_path(name) / path for name in whole.tables() for path in whole.live(name)["path"]]
    files = {path.relative_to(whole.root).as_posix(): path for path in live if path.is_file() and not is_fetched(path)}
    commits.repair(
        {key: content for key, content in changed.items() if key not in over}, text, taken.etag, files, over=over, gone=sorted(gone)
    )
