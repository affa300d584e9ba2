"""Where the files of a dataset lie: a folder, or objects of a bucket below a prefix. A file is there whole or not at all.

A bucket is reached through `pointline.lake.bucket`, whose requests, retries and errors are those of lakes. What a dataset needs of it is
here, so that no other module of this room knows which of the two it is.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import polars as pl

from pointline.errors import BusyError, ConfigError, LakeError
from pointline.lake.bucket import Bucket, WriteConflict
from pointline.lake.durable import disk_errors, make_folder, single_writer, sync, write_atomically
from pointline.lake.lease import Lease
from pointline.lake.places import SCHEME, is_other_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

STAGING = ".staging"
_BLOCK = 1 << 20


class DatasetFiles(Protocol):
    """The files of a dataset by their keys, which are paths with slashes below its place."""

    @property
    def place(self) -> str:
        """The folder, or the URL."""
        ...

    def read(self, key: str) -> bytes | None:
        """The content of a file; None where there is none."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Writes a file, over the one that is there."""
        ...

    def write_first(self, key: str, content: bytes) -> None:
        """Writes a file where none is; one that is there stays as it is."""
        ...

    def has_others(self) -> bool:
        """Whether files are there whose names do not begin with a dot."""
        ...

    def staged(self, name: str) -> Path:
        """A place of this machine for a file that is not finished, which no other process uses."""
        ...

    def bring(self, staged: Path, key: str) -> None:
        """Puts a finished file at its place; what was there is replaced."""
        ...

    def size(self, key: str) -> int | None:
        """Bytes of a file; None where there is none."""
        ...

    def sha256(self, key: str) -> str:
        """Hash of a file's bytes as they are read back; empty where there is none."""
        ...

    def remove(self, key: str) -> None:
        """Removes a file, if it is there."""
        ...

    def filling(self) -> contextlib.AbstractContextManager[None]:
        """The right to fill the dataset, of one run at a time."""
        ...

    def check(self) -> None:
        """Refuses to go on where this right may be another's by now."""
        ...

    def scan(self, keys: Sequence[str]) -> pl.LazyFrame:
        """The rows of Parquet files, lazily."""
        ...

    def footer(self, key: str) -> dict[str, str]:
        """The facts beside the rows of a Parquet file."""
        ...


def files_at(path: str | Path) -> DatasetFiles:
    """The files at a path or URL.

    Raises:
        ConfigError: it is no place for a dataset, or something else than a folder is there.
    """
    text = str(path)
    if text.startswith("s3:/"):  # a Path takes two slashes for one
        return BucketFiles(Bucket(SCHEME + text.removeprefix("s3:").strip("/")))
    if is_other_place(text):
        raise ConfigError("this is no place for a dataset", value=text, expected="a path that all workers share, or s3://BUCKET/PREFIX")
    root = Path(path).expanduser().absolute()
    if root.exists() and not root.is_dir():
        raise ConfigError("there is a file where the dataset shall be", value=str(root), expected="a new folder, or one of the same plan")
    return LocalFiles(root)


@dataclass(frozen=True)
class LocalFiles:
    """Files of a folder.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root)

    def read(self, key: str) -> bytes | None:
        """See `DatasetFiles`."""
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, key: str, content: bytes) -> None:
        """See `DatasetFiles`."""
        write_atomically(self.root / key, lambda path: path.write_bytes(content))

    def write_first(self, key: str, content: bytes) -> None:
        """See `DatasetFiles`; the caller has seen that there is none."""
        self.write(key, content)

    def has_others(self) -> bool:
        """See `DatasetFiles`."""
        return self.root.is_dir() and any(not path.name.startswith(".") for path in self.root.iterdir())

    def staged(self, name: str) -> Path:
        """See `DatasetFiles`."""
        make_folder(self.root / STAGING)
        return self.root / STAGING / _own_name(name)

    def bring(self, staged: Path, key: str) -> None:
        """See `DatasetFiles`."""
        target = self.root / key
        make_folder(target.parent)
        with disk_errors(target):
            staged.replace(target)
            sync(target.parent)

    def size(self, key: str) -> int | None:
        """See `DatasetFiles`."""
        path = self.root / key
        return path.stat().st_size if path.is_file() else None

    def sha256(self, key: str) -> str:
        """See `DatasetFiles`."""
        return sha256_of(self.root / key)

    def remove(self, key: str) -> None:
        """See `DatasetFiles`."""
        (self.root / key).unlink(missing_ok=True)

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Holds the folder's lock, and removes what an earlier run left unfinished.

        Raises:
            BusyError: another run fills it.
        """
        staging = self.root / STAGING
        with _of_one_run(self.place), single_writer(staging):
            for path in staging.glob("*.parquet*"):
                path.unlink(missing_ok=True)
            yield

    def check(self) -> None:
        """The operating system holds the lock."""

    def scan(self, keys: Sequence[str]) -> pl.LazyFrame:
        """See `DatasetFiles`."""
        return pl.scan_parquet([self.root / key for key in keys], hive_partitioning=False)

    def footer(self, key: str) -> dict[str, str]:
        """See `DatasetFiles`."""
        return footer_of(self.root / key)


@dataclass(frozen=True)
class BucketFiles:
    """Objects of a bucket below a prefix.

    Attributes:
        bucket: the objects.
    """

    bucket: Bucket
    _lease: list[Lease] = field(init=False, repr=False, default_factory=list)

    @property
    def place(self) -> str:
        """The URL."""
        return self.bucket.url

    def read(self, key: str) -> bytes | None:
        """See `DatasetFiles`."""
        found = self.bucket.get(key)
        return None if found is None else found.content

    def write(self, key: str, content: bytes) -> None:
        """See `DatasetFiles`."""
        self.bucket.put(key, content)

    def write_first(self, key: str, content: bytes) -> None:
        """See `DatasetFiles`: one conditional request."""
        with contextlib.suppress(WriteConflict):
            self.bucket.put_new(key, content)

    def has_others(self) -> bool:
        """See `DatasetFiles`."""
        return any(not key.startswith(".") for key in self.bucket.listed())

    def staged(self, name: str) -> Path:
        """See `DatasetFiles`: in the system's temporary folder; what killed processes left there goes."""
        folder = Path(tempfile.gettempdir()) / f"pointline-scale-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for path in folder.glob(f"*-{_host()}-*.parquet"):
            if not Path(f"/proc/{path.stem.rpartition('-')[2]}").exists() and Path("/proc/self").exists():
                path.unlink(missing_ok=True)
        return folder / _own_name(name)

    def bring(self, staged: Path, key: str) -> None:
        """See `DatasetFiles`.

        Raises:
            LakeError: the store does not answer or refuses, or has not all bytes.
        """
        self.bucket.put(key, staged)
        if (found := self.bucket.size(key)) != staged.stat().st_size:
            raise LakeError(
                "the store does not hold what was sent",
                where=self.bucket.address(key),
                value=f"{found} bytes",
                expected=f"{staged.stat().st_size} bytes",
                hint="run the same command again",
            )

    def size(self, key: str) -> int | None:
        """See `DatasetFiles`."""
        return self.bucket.size(key)

    def sha256(self, key: str) -> str:
        """See `DatasetFiles`."""
        found = self.bucket.get(key)
        return "" if found is None else hashlib.sha256(found.content).hexdigest()

    def remove(self, key: str) -> None:
        """See `DatasetFiles`."""
        self.bucket.remove(key)

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Holds a lease, which another run takes over once it has expired (see `pointline.lake.lease`).

        Raises:
            BusyError: another run holds it.
        """
        with _of_one_run(self.place), Lease(self.bucket) as lease:
            self._lease.append(lease)
            try:
                yield
            finally:
                self._lease.clear()

    def check(self) -> None:
        """See `DatasetFiles`.

        Raises:
            BusyError: this run was away for longer than its lease lasts.
        """
        for lease in self._lease:
            lease.check()

    def scan(self, keys: Sequence[str]) -> pl.LazyFrame:
        """See `DatasetFiles`."""
        urls = [self.bucket.address(key) for key in keys]
        return pl.scan_parquet(urls, hive_partitioning=False, storage_options=self.bucket.storage_options)

    def footer(self, key: str) -> dict[str, str]:
        """See `DatasetFiles`."""
        return pl.read_parquet_metadata(self.bucket.address(key), storage_options=self.bucket.storage_options)


@contextlib.contextmanager
def _of_one_run(place: str) -> Iterator[None]:
    """Says of a dataset what the lock and the lease say of a lake."""
    try:
        yield
    except BusyError as error:
        if error.where is not None and error.where.startswith(place) and "another process is writing" in error.what:
            raise BusyError("another run fills this dataset", where=place, value=error.value, hint="wait until it has ended") from error
        raise


def _own_name(name: str) -> str:
    return f"{name}-{_host()}-{os.getpid()}.parquet"


def _host() -> str:
    return re.sub(r"[^\w-]", "-", socket.gethostname())


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes; empty where there is none."""
    hashed = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                hashed.update(block)
    except FileNotFoundError:
        return ""
    return hashed.hexdigest()


def rows_of_file(path: Path) -> int:
    """Rows of a Parquet file, from its footer.

    Raises:
        OSError: it is no Parquet file.
    """
    import pyarrow.parquet as pq

    return int(pq.ParquetFile(path).metadata.num_rows)


def read_file(path: Path) -> pl.DataFrame:
    """All rows of a Parquet file."""
    return pl.read_parquet(path, hive_partitioning=False)


def footer_of(path: Path) -> dict[str, str]:
    """The facts beside the rows of a Parquet file."""
    return pl.read_parquet_metadata(path)


def read_content(content: bytes) -> pl.DataFrame:
    """All rows of a Parquet file that was read."""
    return pl.read_parquet(io.BytesIO(content), hive_partitioning=False)
