"""chDB's sessions: one catalogue in a process at a time, opened to be read or to be made."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pointline.errors import ConfigError
from pointline.sql.chdb_import import session_class
from pointline.sql.messages import query_error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_OPENED: list[Path] = []
_CHANGING = threading.Lock()


def address(store: Path, config: Path) -> str:
    """What chDB opens: a catalogue's folder under a configuration."""
    return f"{store}?config-file={quote(str(config), safe='/')}"


def open_first(store: Path, config: Path) -> Any:  # noqa: ANN401 - chdb has no types
    """The session that keeps a catalogue open in this process, until `close_last`.

    Raises:
        ConfigError: another catalogue is open.
        MissingExtraError: chDB is not installed.
        QueryError: the engine does not start.
    """
    opening = session_class()
    with _CHANGING:
        if _OPENED:
            raise ConfigError(
                "a catalogue is open in this process",
                value=str(_OPENED[0]),
                expected="one at a time",
                hint="close its engine first, or use another process, started with spawn",
            )
        try:
            session = opening(address(store, config))
        except RuntimeError as error:
            raise query_error(str(error)) from None
        _OPENED.append(store)
    return session


def close_last(session: Any) -> None:  # noqa: ANN401 - chdb has no types
    """Closes what `open_first` gave."""
    with _CHANGING:
        session.close()
        _OPENED.clear()


def run_statements(store: Path, config: Path, statements: Iterable[str]) -> None:
    """Runs statements that make tables and views, in a catalogue that no process has open.

    Raises:
        ConfigError: a catalogue is open in this process.
        QueryError: a statement failed.
    """
    session = open_first(store, config)
    try:
        for statement in statements:
            session.query(statement)
    except RuntimeError as error:
        raise query_error(str(error)) from None
    finally:
        close_last(session)
