"""The version of the package that is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def package_version() -> str:
    """The version, e.g. ``"0.1.0"``."""
    try:
        return version("pointline")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0.1.0"
