"""Where the messages of the package go that its modules give to the loggers below ``pointline``."""

from __future__ import annotations

import logging
import platform
import sys
import time
from pathlib import Path

from pointline.errors import ConfigError
from pointline.version import package_version

_ALL = logging.getLogger("pointline")
_KERNELS = logging.getLogger("pointline.kernels")  # say when they are compiled, which takes seconds
_mine: list[tuple[logging.Logger, logging.Handler]] = []


class _StandardError(logging.Handler):
    """Lines on standard error, wherever that leads when they come; errors are told elsewhere, and so is what a server says."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(form))

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR and record.name != "pointline.serve":
            sys.stderr.write(self.format(record) + "\n")


class _OneLine(logging.Formatter):
    """A record as one line with its time in UTC."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        return "; ".join(line.strip() for line in super().format(record).splitlines())


def start(*, verbose: bool, quiet: bool, log: Path | None) -> None:
    """Sends messages where a command wants them, and nowhere else that an earlier command chose.

    Args:
        verbose: all of them to standard error.
        quiet: none to standard error.
        log: all of them to this file too.

    Raises:
        ConfigError: the log file cannot be written.
    """
    stop()
    if verbose:
        _add(_ALL, logging.DEBUG, _StandardError("%(name)s: %(message)s"))
    elif not quiet:
        _add(_KERNELS, logging.INFO, _StandardError("%(message)s"))
    if log is not None:
        handler = _file(log)
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        _add(_ALL, logging.DEBUG, handler)
    if verbose or log is not None:
        _ALL.info("pointline %s, Python %s, in %s", package_version(), platform.python_version(), Path.cwd())


def _file(path: Path) -> logging.Handler:
    try:
        return logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(
            "the log file cannot be written", where=str(path), value=error.strerror, expected="a file in an existing folder"
        ) from error


def _add(logger: logging.Logger, level: int, handler: logging.Handler) -> None:
    logger.setLevel(level)
    logger.addHandler(handler)
    _mine.append((logger, handler))


def error(text: str) -> None:
    """Appends an error to the log file, where there is one."""
    if any(isinstance(handler, logging.FileHandler) for _, handler in _mine):
        _ALL.error(text)


def stop() -> None:
    """Takes back what `start` did."""
    while _mine:
        logger, handler = _mine.pop()
        logger.removeHandler(handler)
        handler.close()
        logger.setLevel(logging.NOTSET)
