"""The command line: parses, calls, prints.

A module per group of commands: `archives`, `download`, `upkeep`, `studies`, `check`, `queries`. `options` and `bars` hold what they share,
`output` what they print, `failures` what they say when they cannot go on, `entry` puts them together.
"""

from __future__ import annotations

from pointline.cli.entry import app, main

__all__ = ["app", "main"]
