"""Lakes in either store: the marks that run a test over both, and lakes whose stored files can be damaged."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Protocol

import pytest

from pointline.lake import Lake, open_lake, places
from pointline.lake.bucket import Bucket
from pointline.lake.transfer import copy_lake

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    StoredFrom = Callable[[Path], "Stored"]

BOTH_STORES = pytest.mark.parametrize("place", ["folder", "bucket"], indirect=True)
"""The test has a fixture `place`, where a new lake may be made."""
BOTH_STORES_SLOWLY = pytest.mark.parametrize("place", ["folder", pytest.param("bucket", marks=pytest.mark.slow)], indirect=True)
"""As `BOTH_STORES`; over a bucket only where the slow tests run."""
COPIES_SLOWLY = pytest.mark.parametrize("stored_from", ["folder", pytest.param("bucket", marks=pytest.mark.slow)], indirect=True)
"""As `BOTH_STORES_SLOWLY`, of the fixture `stored_from`."""

_NOT_DATA = {".lock", "pointline.json", ".lease.json", ".clock"}


class Stored(Protocol):
    """A lake, and the files that its store holds."""

    place: Path | str

    def names(self) -> list[str]:
        """Of the stored files that tell what the lake holds."""

    def read(self, name: str) -> bytes:
        """A stored file."""

    def write(self, name: str, content: bytes | None) -> None:
        """Replaces a stored file behind the lake's back, or removes it."""

    def opened(self, *, damaged: bool = False) -> Lake:
        """The lake, as one who has seen nothing of it before opens it."""

    def discard(self) -> None:
        """Frees what the copy takes."""


class InFolder:
    """A lake in a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def names(self) -> list[str]:
        names = (path.relative_to(self.place).as_posix() for path in sorted(self.place.rglob("*")) if path.is_file())
        return [name for name in names if name not in _NOT_DATA]

    def read(self, name: str) -> bytes:
        return (self.place / name).read_bytes()

    def write(self, name: str, content: bytes | None) -> None:
        path = self.place / name
        path.unlink() if content is None else path.write_bytes(content)

    def opened(self, *, damaged: bool = False) -> Lake:
        return Lake(self.place) if damaged else open_lake(self.place)

    def discard(self) -> None:
        shutil.rmtree(self.place)


class InBucket:
    """A lake in a bucket, whose mirrors on this machine lie in a folder."""

    def __init__(self, place: str, mirrors: Path) -> None:
        self.place, self._mirrors, self._bucket = place, mirrors, Bucket(place)

    def names(self) -> list[str]:
        return [key for key in self._bucket.listed() if key not in _NOT_DATA and not key.startswith(".commits/")]

    def read(self, name: str) -> bytes:
        found = self._bucket.get(name)
        assert found is not None
        return found.content

    def write(self, name: str, content: bytes | None) -> None:
        self._bucket.remove(name) if content is None else self._bucket.put(name, content)

    def opened(self, *, damaged: bool = False) -> Lake:
        self.forget()
        return open_lake(self.place, damaged=damaged)

    def discard(self) -> None:
        self.forget()

    def forget(self) -> None:
        """From here on this machine has mirrored nothing."""
        shutil.rmtree(self._mirrors, ignore_errors=True)
        places._MIRRORS.clear()


def stored_copy(request: pytest.FixtureRequest, folder: Path) -> StoredFrom:
    """Copies a lake into the store that the fixture's parameter says, a new copy each time."""

    def copied(lake: Path) -> Stored:
        number = len(made)
        if request.param == "folder":
            made.append(InFolder(folder / f"copy-{number}"))
            shutil.copytree(lake, folder / f"copy-{number}")
        else:
            url = f"{request.getfixturevalue('new_url')}-{number}"
            copy_lake(lake, url)
            made.append(InBucket(url, folder / "mirrors"))
        return made[-1]

    made: list[Stored] = []
    return copied
