"""Which folders of this process mirror a bucket: rooms know lakes by their folders, and this is how a folder's bucket is found.

A lake of local files has no entry here, and none of its calls does more than look at an empty table.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

SCHEME = "s3://"
REMOTE = ".remote.json"
"""Stands in the folder that mirrors a lake in a bucket, and says which."""


class Mirrored(Protocol):
    """What the modules below `pointline.lake.mirror` use of it."""

    root: Path
    heads: dict[str, Any]

    def writing(self) -> AbstractContextManager[None]:
        """Holds the right to write."""

    def publish(self, heads: Mapping[str, Any]) -> None:
        """Brings a change into the bucket."""


_OTHER_PLACE = re.compile(r"(?:s3[an]?|gc?s|az|abfss?|https?|file):|.*://", re.IGNORECASE)


def is_other_place(text: str) -> bool:
    """Whether a text means no folder: an address, or what is left of one that was mistyped.

    >>> [is_other_place(text) for text in ("gs://desk/lake", "s3:", "S3:/desk", "data/lake", "lake:2024")]
    [True, True, True, False, False]
    """
    return _OTHER_PLACE.match(text) is not None


_MIRRORS: dict[str, Mirrored] = {}
_LENT: dict[str, Mirrored] = {}


def register(mirror: Mirrored) -> None:
    """Makes a mirror known to the calls that are given its folder or a path below."""
    _MIRRORS[str(mirror.root)] = mirror


def mirror_of(root: Path) -> Mirrored | None:
    """The mirror whose folder this is; None where it is a lake of local files."""
    return _MIRRORS.get(str(root)) if _MIRRORS else None


def mirror_above(path: Path) -> Mirrored | None:
    """The mirror that a path lies in; None where it is a file of a local lake."""
    if not _MIRRORS and not _LENT:
        return None
    text = str(path)
    return next((mirror for root, mirror in (*_MIRRORS.items(), *_LENT.items()) if text.startswith(f"{root}/")), None)


@contextlib.contextmanager
def lent(mirror: Mirrored) -> Iterator[None]:
    """The data files below a mirror's folder are a bucket's, but the logs and the book there are local ones, which count as they are."""
    _LENT[str(mirror.root)] = mirror
    try:
        yield
    finally:
        del _LENT[str(mirror.root)]
