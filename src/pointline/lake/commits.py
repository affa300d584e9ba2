"""Changes of a lake in a bucket: each is one object, written under the next number on condition that nobody has written it yet.

From that write on the change is made: it holds the new entries of all logs and the new book of heads, and whoever holds the lease carries
out what a writer before left. Before it, nothing has happened, though data files that no log names may lie in the bucket. Readers see the
change when the book is replaced, which is the last step, and on condition that the book is still the one that the change was made from.
"""

from __future__ import annotations

import base64
import json
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pointline.errors import BusyError, DamageError, LakeError
from pointline.lake.bucket import WriteConflict
from pointline.lake.heads import HEADS, heads_of_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pointline.lake.bucket import Bucket, Stored
    from pointline.lake.lease import Lease

COMMITS = ".commits"
_THREADS = 8


class Commits:
    """The commits of one writer, between taking the lease and giving it back.

    Args:
        bucket: the lake's.
        lease: held; None for one who only looks.
    """

    def __init__(self, bucket: Bucket, lease: Lease | None = None) -> None:
        self._bucket = bucket
        self._lease = lease
        self._number = 0
        self._is_over = False

    def check(self) -> None:
        """Refuses to go on after the lease was lost, or a commit of which this writer does not know whether it was made.

        Raises:
            BusyError: it is so.
        """
        if self._is_over:
            raise BusyError(
                "this writer does not know the lake's state any more; nothing of this file was stored",
                where=self._bucket.url,
                hint="run the same command again: it goes on where it stopped",
            )
        if self._lease is not None:
            self._lease.check()

    def finish(self, etag: str | None, *, forgets_damaged: bool = False) -> bool:
        """Carries out the newest commit where its writer did not, and says whether it had to.

        Args:
            etag: of the book of heads, as it was read under this lease.
            forgets_damaged: remove a record that cannot be read, and write a log's entries over others.

        Raises:
            BusyError: another writer has.
            DamageError: the record of the commit cannot be read.
            LakeError: the store does not answer, or refuses.
        """
        key, record = self._newest()
        if key is None:
            return False
        self._number = int(key.rpartition("/")[2].removesuffix(".json")) + 1
        if record is None:
            raise self._taken()
        change = _read(record)
        if change is None and forgets_damaged:
            self._bucket.remove(key)
            return False
        if change is None:
            what, hint = (
                "the record of the lake's newest change cannot be read",
                "`pointline repair` forgets it, and mends what is half done",
            )
            raise DamageError(what, where=self._bucket.address(key), hint=hint)
        book = self._bucket.get(HEADS)
        if book is not None and book.content == change["heads"].encode():
            return False
        if (book.etag if book is not None else None) != etag or not _follows(change, book):
            raise self._taken()
        if forgets_damaged:
            change = {**change, "entries": {}, "over": {**change.get("over", {}), **change["entries"]}}
        self._carry_out(change, etag)
        return True

    def pending(self) -> dict[str, Any] | None:
        """The newest commit, where the book is not what it says; empty where its record cannot be read, None where it is carried out."""
        _, record = self._newest()
        if record is None:
            return None
        change, book = _read(record), self._bucket.get(HEADS)
        if change is None:
            return {}
        return None if book is not None and book.content == change["heads"].encode() else change

    def _newest(self) -> tuple[str | None, bytes | None]:
        """Key and content of the newest record; no key where there is no record, no content where it went meanwhile."""
        there = list(self._bucket.listed(COMMITS))
        if not there:
            return None, None
        record = self._bucket.get(there[-1])
        return there[-1], record.content if record is not None else None

    def repair(
        self,
        entries: Mapping[str, bytes],
        heads: str,
        etag: str | None,
        files: Mapping[str, Path],
        *,
        over: Mapping[str, bytes],
        gone: Sequence[str],
    ) -> None:
        """As `commit`, of a lake whose logs may have been rebuilt; nothing where nothing is new.

        Args:
            entries, heads, etag, files: as for `commit`.
            over: key and content of entries that take the place of others.
            gone: keys of objects that are no more.

        Raises:
            BusyError, LakeError: as `commit` does.
        """
        book = self._bucket.get(HEADS)
        if (book.etag if book is not None else None) != etag:
            raise self._taken()
        if entries or over or gone or book is None or book.content != heads.encode():
            if book is not None:  # logs are only written over where this is the newest book, whatever the store tells readers
                try:
                    etag = self._bucket.put_over(HEADS, book.content, book.etag, takes_same=False)
                except WriteConflict:
                    raise self._taken() from None
            rebuilt = {"over": {key: base64.b64encode(content).decode() for key, content in over.items()}, "gone": list(gone)}
            self._commit(entries, heads, etag, files, rebuilt)

    def commit(self, entries: Mapping[str, bytes], heads: str, etag: str | None, files: Mapping[str, Path]) -> str:
        """Uploads data files, commits, carries the commit out, and returns the new etag of the book of heads.

        Args:
            entries: key and content of the logs' new entries.
            heads: text of the new book.
            etag: of the book that the change was made from; None where there is none yet.
            files: key and path of the data files.

        Raises:
            BusyError: another writer has committed meanwhile; nothing of this change was stored.
            LakeError: the store does not answer, or refuses.
        """
        return self._commit(entries, heads, etag, files, {})

    def _commit(
        self, entries: Mapping[str, bytes], heads: str, etag: str | None, files: Mapping[str, Path], rebuilt: Mapping[str, Any]
    ) -> str:
        self.check()
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(self._upload, files, files.values()))
        self.check()
        change = {
            "nonce": secrets.token_hex(8),  # tells two writers' records of the same change apart
            "entries": {key: base64.b64encode(content).decode() for key, content in entries.items()},
            "heads": heads,
            "made_from": etag,
            **rebuilt,
        }
        self._is_over = True  # until the book is replaced
        try:
            self._bucket.put_new(self._key(self._number), json.dumps(change).encode())
        except WriteConflict:
            raise self._taken() from None
        self._refuse_late_commit(heads, etag)
        try:
            new = self._carry_out(change, etag)
        except BusyError:
            raise
        except LakeError as error:
            what = "the change is written down but could not be finished; the next ingest finishes it"
            raise LakeError(what, where=error.where, value=error.what, hint=error.hint) from error
        if self._number:
            self._bucket.remove(self._key(self._number - 1))
        self._number += 1
        self._is_over = False
        return new

    def _refuse_late_commit(self, heads: str, etag: str | None) -> None:
        """Takes a commit back whose number was used and freed by others while this writer was away.

        Numbers are freed once the book has moved on, so none was if the book is still the one that the change was made from. Where another
        writer has carried this commit out, the book is that of the commit.
        """
        if self._bucket.is_as(HEADS, etag) if etag is not None else self._bucket.get(HEADS) is None:
            return
        book = self._bucket.get(HEADS)
        if book is None or book.content.decode() != heads:
            self._bucket.remove(self._key(self._number))
            raise self._taken()

    def _carry_out(self, change: Mapping[str, Any], etag: str | None) -> str:
        for key in change.get("gone", ()):
            self._bucket.remove(key)
        for key, content in change.get("over", {}).items():
            self._bucket.put(key, base64.b64decode(content))
        for key, content in change["entries"].items():
            try:
                self._bucket.put_new(key, base64.b64decode(content))
            except WriteConflict:
                raise DamageError(
                    "the log of a table has an entry that pointline did not write",
                    where=self._bucket.address(key),
                    hint="write to a lake with pointline only; `pointline repair` writes the entry anew",
                ) from None
        text = change["heads"].encode()
        try:
            return self._bucket.put_new(HEADS, text) if etag is None else self._bucket.put_over(HEADS, text, etag)
        except WriteConflict:
            raise self._taken() from None

    def _upload(self, key: str, path: Path) -> None:
        if path.is_file():
            self._bucket.put(key, path)
        elif self._bucket.size(key) is None:
            raise DamageError("a data file of the change is missing", where=str(path), hint="run the same command again")

    def _taken(self) -> BusyError:
        self._is_over = True
        return BusyError(
            "another writer has changed this lake meanwhile; whether this file's rows are in it shows when it is ingested again",
            where=self._bucket.url,
            hint="run the same command again: it goes on where it stopped",
        )

    @staticmethod
    def _key(number: int) -> str:
        return f"{COMMITS}/{number:020d}.json"


def _follows(change: Mapping[str, Any], book: Stored | None) -> bool:
    """Whether a change was made from this book, or the book is lost; else a store has told of the change before last."""
    if book is None or change.get("made_from", book.etag) == book.etag:
        return True
    try:
        heads_of_text(book.content.decode("utf-8", "replace"), HEADS)
    except DamageError:
        return True
    return False


def _read(record: bytes) -> dict[str, Any] | None:
    """A record's content; None where it cannot be read."""
    try:
        change = json.loads(record)
        for content in (*change["entries"].values(), *change.get("over", {}).values()):
            base64.b64decode(content, validate=True)
        return {**change, "heads": str(change["heads"])}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
