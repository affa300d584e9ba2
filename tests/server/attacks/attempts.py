"""A statement that attacks, and kinds of such statements."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MADE = ("/tmp/attempts-made", "/dev/shm/attempts-made")  # noqa: S108 -- what statements try to write, and must not
"""Files that must never exist."""


@dataclass(frozen=True)
class Attempt:
    """One statement. In all its texts ``<closed>`` stands for a file that exists and is closed, ``<listener>`` for a port.

    Attributes:
        text: the statement.
        parameters: of the address, for `{name:Type}`.
        settings: of the address.
        output_format: of the address.
    """

    text: str
    parameters: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    output_format: str = "TabSeparated"

    def filled(self, closed: str, listener: str) -> Attempt:
        """With places put in."""

        def put(text: str) -> str:
            return text.replace("<closed>", closed).replace("<listener>", listener)

        given = ({name: put(value) for name, value in values.items()} for values in (self.parameters, self.settings))
        return Attempt(put(self.text), *given, self.output_format)


@dataclass(frozen=True)
class Kind:
    """Statements of one kind.

    Attributes:
        name: what they try.
        attempts: the statements.
        may_run: why the guard may let some of them through; empty where it must refuse every one.
        time_s: what each may take.
        only_guarded: without the guard nothing but the same limits would hold.
    """

    name: str
    attempts: list[Attempt]
    may_run: str = ""
    time_s: float = 2.0
    only_guarded: bool = False


def plain(texts: Iterable[str]) -> list[Attempt]:
    """Statements without anything beside their texts, each once."""
    return [Attempt(text) for text in dict.fromkeys(texts)]


def quoted(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def spelt(names: Iterable[str]) -> Iterator[str]:
    """Each name in one of the ways to write a name, in turn."""
    ways = cycle(("{}", "`{}`", '"{}"', "/**/{}/**/", "{}\n"))
    for name in names:
        yield next(ways).format(name)
