"""Local copies of what is read of a bucket's data files: their footers, the columns that were asked for, or all of them.

A file of which columns were read is a sparse file of the same size, with the same bytes in the same places, so that it is read by the same
code as a file of a local lake. What was never fetched is a hole, in which no reader finds a page: it fails, it does not return zeros. Each
column of each row group is fetched whole, once, and its CRC-32 stands beside it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pointline.errors import DamageError
from pointline.lake.content import check_content
from pointline.lake.durable import make_folder, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pointline.lake.bucket import Bucket

PARTS = ".cache/parts"
TAIL_BYTES = 64 * 1024
"""How much is read of a file's end at first: all of the footer of a day in twenty row groups; a smaller file is read whole."""

_END_BYTES = 8  # of a Parquet file: the length of its footer, and four letters
_THREADS = 16


class FetchedParts:
    """The data files below a bucket's prefix, as far as they were read.

    Args:
        bucket: where they are.
        root: the folder that mirrors it.

    Attributes:
        fetched: files that were fetched whole and are what their names say.
    """

    def __init__(self, bucket: Bucket, root: Path) -> None:
        self._bucket = bucket
        self._root = root
        self._locks: dict[Path, threading.Lock] = {}
        self._guard = threading.Lock()
        self._checked: set[tuple[Path, str]] = set()
        self.fetched: set[Path] = set()

    def footer(self, path: Path) -> io.BytesIO | Path:
        """What a reader of a file's footer opens: the end of the file, or all of it where it is here.

        Raises:
            DamageError: the file is missing.
            LakeError: the store does not answer, or refuses.
        """
        with self._lock(path):
            tail = self._tail(path)
        return path if tail is None else io.BytesIO(tail)

    def prefetch(self, paths: Sequence[Path]) -> None:
        """Fetches the footers of several files at once."""
        absent = [path for path in paths if not path.is_file() and not self._beside(path, "tail").is_file()]
        if len(absent) > 1:
            with ThreadPoolExecutor(_THREADS) as pool:
                list(pool.map(self.footer, absent))

    def whole(self, path: Path) -> Path:
        """Fetches a file whole, if it is not here, and returns it.

        Raises:
            DamageError: the file is missing, or its content is not what its name says.
            LakeError: the store does not answer, or refuses.
        """
        with self._lock(path):
            if self._is_here(path):
                return path
            write_atomically(path, lambda temporary: self._download(path, temporary))
            check_content(path)
            self.fetched.add(path)
        return path

    def _download(self, path: Path, target: Path) -> None:
        if not self._bucket.download(self._key(path), target):
            raise self._missing(path)

    def all_whole(self, paths: Sequence[Path]) -> list[Path]:
        """Fetches several files whole, at once."""
        absent = [path for path in paths if not path.is_file()]
        with ThreadPoolExecutor(_THREADS) if len(absent) > 1 else contextlib.nullcontext() as pool:
            if pool is not None:
                list(pool.map(self.whole, absent))
        return [self.whole(path) for path in paths]

    def with_columns(
        self, path: Path, columns: Iterable[str], span_us: tuple[int, int] | None = None
    ) -> tuple[Path, tuple[int, int] | None]:
        """A local file in which these columns can be read.

        Args:
            path: the data file.
            columns: those that will be read.
            span_us: only row groups that reach into this span of ``ts_local_us`` are needed; all if None.

        Returns:
            The file, and the first row and the number of rows that can be read; None for all.

        Raises:
            DamageError: the file is missing.
            LakeError: the store does not answer, or refuses.
        """
        with self._lock(path):
            tail = self._tail(path)
            if tail is None:
                return path, None
            metadata = self._metadata(path, tail)
            groups, rows = _groups(metadata, span_us)
            chunks = dict(chunk for group in groups for chunk in _chunks(metadata.row_group(group), group, set(columns)))
            return self._fetched(path, tail, chunks), rows

    def _metadata(self, path: Path, tail: bytes) -> Any:  # noqa: ANN401 - pyarrow has no types
        import pyarrow.parquet as pq

        try:
            return pq.read_metadata(io.BytesIO(tail))
        except (OSError, ValueError) as error:
            self._beside(path, "tail").unlink(missing_ok=True)  # so that it is fetched again
            raise self._damaged(path) from error

    def _damaged(self, path: Path) -> DamageError:
        hint = "`pointline verify` lists what is damaged, `pointline repair` reads the archive files behind it again"
        where = self._bucket.address(self._key(path))
        return DamageError("a data file of the lake is damaged", where=where, expected="a Parquet file", hint=hint)

    def _fetched(self, path: Path, tail: bytes, chunks: dict[str, tuple[int, int]]) -> Path:
        sparse, known = self._beside(path, "parquet"), self._known(path)
        sums: dict[str, int] = known["sums"] if sparse.is_file() else {}
        wanted = {name: span for name, span in chunks.items() if not self._is_sound(sparse, name, span, sums)}
        if not sparse.is_file() or wanted:
            contents = self._bucket.ranges(self._key(path), list(wanted.values())) if wanted else []
            make_folder(sparse.parent)
            handle = os.open(sparse, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                os.ftruncate(handle, known["size"])
                os.pwrite(handle, tail, known["size"] - len(tail))
                for (start, end), content in zip(wanted.values(), contents, strict=True):
                    if len(content) != end - start:
                        raise DamageError(
                            "a data file of the lake is shorter than its footer says", where=self._bucket.address(self._key(path))
                        )
                    os.pwrite(handle, content, start)
            finally:
                os.close(handle)
            sums = {**sums, **{name: zlib.crc32(content) for name, content in zip(wanted, contents, strict=True)}}
            self._write_known(path, {**known, "sums": sums})
            self._checked.update((sparse, name) for name in wanted)
        os.utime(sparse)
        return sparse

    def _is_sound(self, sparse: Path, name: str, span: tuple[int, int], sums: dict[str, int]) -> bool:
        """Whether a column of a row group was fetched, and still is what was fetched; looked at once by each process."""
        if name not in sums:
            return False
        if (sparse, name) not in self._checked:
            with sparse.open("rb") as stream:
                stream.seek(span[0])
                if zlib.crc32(stream.read(span[1] - span[0])) != sums[name]:
                    return False
            self._checked.add((sparse, name))
        return True

    def _tail(self, path: Path) -> bytes | None:
        """The end of a file with its footer; None where the file is here whole."""
        if self._is_here(path):
            return None
        kept = self._beside(path, "tail")
        with contextlib.suppress(FileNotFoundError):
            content = kept.read_bytes()
            if _holds_footer(content) and self._known(path)["size"] >= len(content):
                return content
        tail, size = self._read_tail(path)
        if len(tail) == size:
            write_atomically(path, lambda temporary: temporary.write_bytes(tail))
            check_content(path)
            self.fetched.add(path)
            return None
        self._write_known(path, {"size": size, "sums": {}})
        write_atomically(kept, lambda temporary: temporary.write_bytes(tail))
        return tail

    def _read_tail(self, path: Path) -> tuple[bytes, int]:
        found = self._bucket.tail(self._key(path), TAIL_BYTES)
        if found is not None and len(found[0]) < found[1] and not _holds_footer(found[0]):
            found = self._bucket.tail(self._key(path), int.from_bytes(found[0][-_END_BYTES:-4], "little") + _END_BYTES)
        if found is None:
            raise self._missing(path)
        if not _holds_footer(found[0]):
            raise self._damaged(path)
        return found

    def _is_here(self, path: Path) -> bool:
        """Whether a file is here whole; one that is damaged here is removed, and fetched again."""
        if not path.is_file():
            return False
        try:
            check_content(path)
        except DamageError:
            path.unlink(missing_ok=True)
            return False
        os.utime(path)
        return True

    def _known(self, path: Path) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads(self._beside(path, "json").read_text(encoding="utf-8"))
            return {"size": int(known["size"]), "sums": dict(known["sums"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {"size": -1, "sums": {}}

    def _write_known(self, path: Path, known: dict[str, Any]) -> None:
        target = self._beside(path, "json")
        make_folder(target.parent)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
        temporary.write_text(json.dumps(known), encoding="utf-8")
        temporary.replace(target)

    def _beside(self, path: Path, ending: str) -> Path:
        place = self._root / PARTS / path.relative_to(self._root)
        return place.with_name(f"{place.name.removesuffix('.parquet')}.{ending}")

    def _key(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def _missing(self, path: Path) -> DamageError:
        return DamageError(
            "a data file of the lake is missing",
            where=self._bucket.address(self._key(path)),
            hint="it may have been replaced more than the grace time ago: run the same command again; if that does not help, "
            "`pointline verify` lists what is damaged",
        )

    def _lock(self, path: Path) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(path, threading.Lock())


def _holds_footer(tail: bytes) -> bool:
    return tail[-4:] == b"PAR1" and int.from_bytes(tail[-_END_BYTES:-4], "little") + _END_BYTES <= len(tail)


def _groups(metadata: Any, span_us: tuple[int, int] | None) -> tuple[list[int], tuple[int, int] | None]:  # noqa: ANN401 - pyarrow has no types
    """The row groups that reach into a span of time, and their first row and number of rows; None where these are all."""
    everything = list(range(metadata.num_row_groups))
    if span_us is None:
        return everything, None
    first = last = None
    offset, offsets = 0, [0]
    for number in everything:
        group = metadata.row_group(number)
        columns = (group.column(place) for place in range(group.num_columns))
        bounds = next((column.statistics for column in columns if column.path_in_schema == "ts_local_us"), None)
        if bounds is None or not bounds.has_min_max:
            return everything, None
        if bounds.max >= span_us[0] and bounds.min < span_us[1]:
            first, last = number if first is None else first, number
        offset += group.num_rows
        offsets.append(offset)
    if first is None or last is None:
        return [], (0, 0)
    if (first, last) == (0, len(everything) - 1):
        return everything, None
    return everything[first : last + 1], (offsets[first], offsets[last + 1] - offsets[first])


def _chunks(group: Any, number: int, columns: set[str]) -> list[tuple[str, tuple[int, int]]]:  # noqa: ANN401 - as above
    """Name and bytes of the columns of a row group."""
    found = []
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema.partition(".")[0] in columns:
            start = column.data_page_offset
            if column.has_dictionary_page and column.dictionary_page_offset:
                start = min(start, column.dictionary_page_offset)
            found.append((f"{number}:{column.path_in_schema}", (start, start + column.total_compressed_size)))
    return found
