"""What the tables hold by the writer's own book: one small file beside them, which readers compare with the Delta logs.

A log entry that is lost, empty or changed, or a checkpoint that is damaged, gives a reader other live files than the writer left. So the
writer notes, per table, the newest version, how many files are live, and a sum over their names and row counts that does not depend on
their order. It also notes the files that were replaced and when, so that they can leave the disk after a while.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pointline.errors import DamageError
from pointline.lake.durable import write_atomically
from pointline.lake.places import mirror_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

HEADS = ".heads.json"
_MODULUS = 1 << 64


@dataclass(frozen=True)
class Head:
    """What one table holds.

    Attributes:
        version: number of the newest commit.
        files: how many files are live.
        digest: the sum of `digest_of` over them, mod 2**64.
        log_crc32: of all entries of the log, one after the other.
        dead: replaced files that are still on the disk, and when they were replaced (milliseconds UTC).
    """

    version: int
    files: int
    digest: int
    log_crc32: int = 0
    dead: tuple[tuple[str, int], ...] = ()

    def after(self, log: Path, added: Iterable[tuple[str, int]], removed: Iterable[tuple[str, int]], now_ms: int) -> Head:
        """The head after commits that add and remove these files (path and rows).

        Args:
            log: folder of the table's log, which has the commits.
            added, removed: the files.
            now_ms: time of the commits.
        """
        plus, minus = list(added), list(removed)
        digest = self.digest + sum(digest_of(*file) for file in plus) - sum(digest_of(*file) for file in minus)
        fresh = {path for path, _ in plus}
        dead = [(path, since) for path, since in self.dead if path not in fresh] + [
            (path, now_ms) for path, _ in minus if path not in fresh
        ]
        version, crc32 = log_state(log, self.version, self.log_crc32)
        return Head(version, self.files + len(plus) - len(minus), digest % _MODULUS, crc32, tuple(dead))


NOTHING = Head(-1, 0, 0)


def log_state(log: Path, version: int = -1, crc32: int = 0) -> tuple[int, int]:
    """Number of a log's newest entry, and the CRC-32 of all entries, going on from a known one."""
    while (entry := log / f"{version + 1:020d}.json").is_file():
        crc32 = zlib.crc32(entry.read_bytes(), crc32)
        version += 1
    return version, crc32


def digest_of(path: str, rows: int | None) -> int:
    """64 bits of a live file's name and row count."""
    return int.from_bytes(hashlib.blake2b(f"{path}\n{rows}".encode(), digest_size=8).digest(), "big")


def head_of(log: Path, live: Iterable[tuple[str, int]], dead: tuple[tuple[str, int], ...] = ()) -> Head:
    """The head of a table with this log and these live files."""
    version, crc32 = log_state(log)
    count, digest = summed(live)
    return Head(version, count, digest, crc32, dead)


def summed(live: Iterable[tuple[str, int | None]]) -> tuple[int, int]:
    """How many live files there are, and the sum over them."""
    files = list(live)
    return len(files), sum(digest_of(*file) for file in files) % _MODULUS


def read_heads(root: Path) -> dict[str, Head]:
    """The heads of a lake's tables; none where nothing was written yet.

    Raises:
        DamageError: the file cannot be read.
    """
    if (mirror := mirror_of(root)) is not None:
        return dict(mirror.heads)
    path = root / HEADS
    try:
        return heads_of_text(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise _unreadable(str(path), error) from error


def heads_of_text(text: str, where: str) -> dict[str, Head]:
    """The heads that a file's text tells.

    Raises:
        DamageError: it is no such text.
    """
    try:
        content = json.loads(text)
        return {name: Head(**{**head, "dead": tuple((file, since) for file, since in head["dead"])}) for name, head in content.items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise _unreadable(where, error) from error


def _unreadable(where: str, error: Exception) -> DamageError:
    return DamageError(
        "the book of the lake's tables cannot be read",
        where=where,
        value=str(error)[:100],
        hint="`pointline repair` writes it anew",
    )


def write_heads(root: Path, heads: dict[str, Head]) -> None:
    """Replaces the file, durably. Of a lake in a bucket, this publishes what the heads tell of."""
    if (mirror := mirror_of(root)) is not None:
        mirror.publish(heads)
        return
    text = json.dumps({name: asdict(head) for name, head in sorted(heads.items())}, indent=1)
    write_atomically(root / HEADS, lambda path: path.write_text(text, encoding="utf-8"))
