"""Where workers leave what they parsed until the client takes it: a folder that all machines share, or objects of a bucket.

A worker fills a folder; in a bucket its files become one object. What a run leaves is removed at its end. In a bucket, a run that was
killed leaves objects; the next run with the same place removes them once they are a day old, by the store's clock.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import uuid
import zipfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pointline.errors import ClusterError, ConfigError, LakeError, MissingExtraError
from pointline.lake.bucket import Bucket
from pointline.lake.places import SCHEME, is_other_place
from pointline.scale.pins import cannot_use

if TYPE_CHECKING:
    from collections.abc import Iterator

LEFT_OVER = timedelta(days=1)
"""Age from which objects of another run count as left over. One that still works would parse those files itself."""
_PREFIX = "pointline-parsed-"
_MARK = "run.json"


class ParsedPlace(Protocol):
    """A place for what was parsed, which all machines of a run reach by its text."""

    @property
    def place(self) -> str:
        """The folder, or the URL."""
        ...

    def check(self) -> None:
        """Makes sure that this machine reaches the place.

        Raises:
            ClusterError: it does not.
        """
        ...

    def filled(self, name: str) -> contextlib.AbstractContextManager[Path]:
        """A folder for files, which are at the place after the body; where the body fails, nothing is."""
        ...

    def taken(self, name: str) -> contextlib.AbstractContextManager[Path | None]:
        """The folder with these files, which are removed after the body; None where the place has none of that name."""
        ...


def parsed_place(place: str) -> ParsedPlace:
    """The place of a run by its text."""
    return ParsedObjects(Bucket(place)) if place.startswith(SCHEME) else ParsedFolder(Path(place))


@contextlib.contextmanager
def place_of_run(staging: str | Path | None) -> Iterator[ParsedPlace]:
    """A new place for one run, which is removed at its end.

    Args:
        staging: a folder, or ``s3://bucket/prefix``; the system's temporary folder if None.

    Raises:
        ConfigError: there is no such folder, or it is no place.
        LakeError: the store does not answer, or refuses.
    """
    text = "" if staging is None else str(staging)
    if text.startswith("s3:/"):  # a Path takes two slashes for one
        with _objects_of_run(SCHEME + text.removeprefix("s3:").strip("/")) as objects:
            yield objects
        return
    shared = None if staging is None else Path(staging).absolute()
    if is_other_place(text) or (shared is not None and not shared.is_dir()):
        expected = "a folder that is there, or s3://BUCKET/PREFIX"
        raise ConfigError("there is no such folder for parsed rows", where="staging", value=text, expected=expected)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True, dir=shared) as folder:
        yield ParsedFolder(Path(folder))


@contextlib.contextmanager
def _objects_of_run(url: str) -> Iterator[ParsedObjects]:
    above, run = Bucket(url), f"{_PREFIX}{uuid.uuid4().hex}"
    own = ParsedObjects(Bucket(above.address(run)))
    own.bucket.put(_MARK, b"{}")
    try:
        listed = above.listed()
        now = listed[f"{run}/{_MARK}"].modified
        for key, one in listed.items():
            if key.startswith(_PREFIX) and not key.startswith(run) and now - one.modified >= LEFT_OVER:
                above.remove(key)
        yield own
    finally:
        with contextlib.suppress(LakeError):  # the next run removes them
            for key in own.bucket.listed():
                own.bucket.remove(key)


@dataclass(frozen=True)
class ParsedFolder:
    """A folder that all machines have at the same path.

    Attributes:
        root: the folder.
    """

    root: Path

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root)

    def check(self) -> None:
        """See `ParsedPlace`."""
        check_seen(self.root)

    @contextlib.contextmanager
    def filled(self, name: str) -> Iterator[Path]:
        """See `ParsedPlace`."""
        folder = self.root / name
        folder.mkdir()
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    @contextlib.contextmanager
    def taken(self, name: str) -> Iterator[Path | None]:
        """See `ParsedPlace`."""
        folder = self.root / name
        try:
            yield folder if folder.is_dir() else None
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class ParsedObjects:
    """Objects of a bucket below a prefix of one run. Every machine takes the credentials from its own environment.

    Attributes:
        bucket: the objects.
    """

    bucket: Bucket

    @property
    def place(self) -> str:
        """The URL."""
        return self.bucket.url

    def check(self) -> None:
        """See `ParsedPlace`."""
        try:
            there = self.bucket.size(_MARK)
        except (ConfigError, LakeError, MissingExtraError) as error:
            raise cannot_use("the parsed rows", self.place, error) from error
        if there is None:
            raise cannot_use("the parsed rows", self.place, ConfigError("nothing of this run is there"))

    @contextlib.contextmanager
    def filled(self, name: str) -> Iterator[Path]:
        """See `ParsedPlace`."""
        with tempfile.TemporaryDirectory(prefix=_PREFIX) as text:
            folder, packed = Path(text) / name, Path(text) / "packed"
            folder.mkdir()
            yield folder
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:  # the files are compressed already
                for path in sorted(folder.iterdir()):
                    archive.write(path, path.name)
                    path.unlink()
            self.bucket.put(name, packed)

    @contextlib.contextmanager
    def taken(self, name: str) -> Iterator[Path | None]:
        """See `ParsedPlace`."""
        with tempfile.TemporaryDirectory(prefix=_PREFIX) as text:
            yield self._unpacked(name, Path(text))

    def _unpacked(self, name: str, own: Path) -> Path | None:
        """A folder with the files of an object, which is removed; None where it is not there, or not whole."""
        packed = own / "packed"
        try:
            if not self.bucket.download(name, packed):
                return None
            with zipfile.ZipFile(packed) as archive:
                archive.extractall(own / name)
            packed.unlink()
        except (LakeError, zipfile.BadZipFile):
            return None
        with contextlib.suppress(LakeError):  # it goes at the end of the run, or of a later one
            self.bucket.remove(name)
        return own / name


def check_seen(path: Path) -> None:
    """Makes sure that a worker sees a file or folder of the client.

    Raises:
        ClusterError: it does not.
    """
    if not path.exists():
        raise ClusterError(
            f"a worker on {socket.gethostname()} does not see a file or folder of the client",
            where=str(path),
            hint="keep archives and --staging in folders that are mounted at the same path on every worker, or --staging in a bucket",
        )
