"""Importing chDB without starting its engine.

``import chdb`` opens a connection to learn the engine's version. With it the engine starts threads, which a process that confines itself
later cannot confine any more, and makes a folder for temporary files, which is left behind by a process that ends in that moment.
`session_class` has that connection answered without an engine.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pointline.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CORE = "chdb._chdb"
_IMPORTING = threading.Lock()


def session_class() -> Any:  # noqa: ANN401 - chdb has no types
    """ChDB's class of sessions; no engine runs yet where none ran before.

    Raises:
        MissingExtraError: chDB is not installed.
    """
    with _IMPORTING:
        try:
            if "chdb" not in sys.modules:
                with _zone_that_loads():
                    _import_without_starting()
            return importlib.import_module("chdb.session").Session
        except ImportError as error:
            raise MissingExtraError("SQL needs chDB", hint="pip install 'pointline[sql]'") from error


@contextlib.contextmanager
def _zone_that_loads() -> Iterator[None]:
    """Sets TZ to UTC meanwhile: the engine does not load where TZ is no name of its own list (``UTC-14``), and works in UTC anyway."""
    before = os.environ.get("TZ")
    if before is None:
        yield
        return
    os.environ["TZ"] = "UTC"
    try:
        yield
    finally:
        os.environ["TZ"] = before


def _import_without_starting() -> None:
    found = PathFinder.find_spec("chdb")
    folders = list(found.submodule_search_locations or ()) if found is not None else []
    if not folders:
        raise ImportError("no module named 'chdb'")
    core = _core(folders)
    connect = core.connect
    core.connect = _NoConnection
    try:
        importlib.import_module("chdb")
    finally:
        core.connect = connect


def _core(folders: list[str]) -> Any:  # noqa: ANN401 - chdb has no types
    """The extension module alone, loaded as ``import chdb`` loads it: from its own folder, with its own symbols before those of others."""
    package = ModuleType("chdb")
    package.__path__ = folders
    folder, flags = Path.cwd(), sys.getdlopenflags()
    sys.modules["chdb"] = package
    os.chdir(folders[0])
    sys.setdlopenflags(flags | os.RTLD_DEEPBIND)
    try:
        return importlib.import_module(_CORE)
    finally:
        sys.setdlopenflags(flags)
        os.chdir(folder)
        del sys.modules["chdb"]


class _NoConnection:
    """Stands for a connection while chdb is imported: the import sends one query, whose answer is not used here."""

    def query(self, *_: object) -> _NoConnection:
        return self

    def bytes(self) -> bytes:
        return b'"unknown"\n'

    def close(self) -> None:
        pass
