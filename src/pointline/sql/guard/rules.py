"""What the engine has and the guard allows: functions, system tables, views."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pointline.sql.guard.allow_lists import CATEGORIES, FUNCTIONS, NEVER
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pointline.sql.guard.trees import Tree


def shown(text: str) -> str:
    """A name as an error shows it."""
    return repr(text if len(text) <= 64 else text[:61] + "...")  # noqa: PLR2004 - a line of a message


@dataclass(frozen=True)
class Rules:
    """What the engine has and the guard allows.

    Attributes:
        functions: allowed names.
        folded: allowed names in lower case, of functions for which case does not matter.
        known: names of all functions in lower case; a name outside them does not exist, another one may be forbidden.
        combinators: suffixes of aggregate functions.
        aggregates: allowed aggregate functions, to which a suffix can be put.
        spellings: other names, and names in lower case where case does not matter -> the engine's own name of a function.
        system_tables: table of `system` -> tree of the SELECT that replaces it.
        views: names in `api`.
        time_columns: relation of `api` that is too large to be read whole -> its columns of time.
    """

    functions: frozenset[str]
    folded: frozenset[str]
    known: frozenset[str]
    combinators: tuple[str, ...]
    aggregates: frozenset[str]
    spellings: Mapping[str, str] = field(default_factory=dict)
    system_tables: Mapping[str, Tree] = field(default_factory=dict)
    views: frozenset[str] = frozenset()
    time_columns: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def check_name(self, name: str) -> None:
        """Refuses a name that the engine could take for a function that may not be called, as in ``arrayMap(file, paths)``."""
        if name.lower() in self.known and not self.allows_function(name):
            raise RefusedError(
                "ACCESS_DENIED",
                f"{shown(name)} is the name of a function that is not allowed here; a column of that name needs another one",
            )

    def check_function(self, name: str) -> None:
        """Refuses a function that may not be called."""
        if self.allows_function(name):
            return
        if name.lower() in self.known:
            raise RefusedError("ACCESS_DENIED", f"the function {shown(name)} is not allowed here")
        alike = get_close_matches(name, self.functions, n=3)
        hint = f"; alike are {', '.join(alike)}" if alike else ""
        raise RefusedError("UNKNOWN_FUNCTION", f"there is no function {shown(name)}{hint}")

    def allows_function(self, name: str) -> bool:
        """Whether a function of that name, with or without combinators, may be called."""
        if name in self.functions or name.lower() in self.folded:
            return True
        for suffix in self.combinators:
            if name.endswith(suffix) and len(name) > len(suffix):
                stem = name[: -len(suffix)]
                if stem in self.aggregates or stem.lower() in self.folded or self.allows_function(stem):
                    return True
        return False


def rules_from(
    functions: list[list[Any]],
    combinators: list[str],
    *,
    system_tables: Mapping[str, Tree],
    views: Iterable[str],
    time_columns: Mapping[str, frozenset[str]],
) -> Rules:
    """The rules for an engine.

    Args:
        functions: rows of name, is_aggregate, case_insensitive, alias_to, categories.
        combinators: suffixes of aggregate functions.
        system_tables, views, time_columns: as in `Rules`.
    """
    own = {name for name, _, _, alias, categories in functions if not alias and (categories in CATEGORIES or name in FUNCTIONS)} - NEVER
    allowed = [row for row in functions if row[0] in own or row[3] in own]
    return Rules(
        functions=frozenset(row[0] for row in allowed) | FUNCTIONS,
        folded=frozenset(row[0].lower() for row in allowed if row[2]),
        known=frozenset(row[0].lower() for row in functions),
        combinators=tuple(sorted(combinators)),
        aggregates=frozenset(row[0] for row in allowed if row[1]),
        spellings={row[0].lower(): row[3] or row[0] for row in allowed if row[2]} | {row[0]: row[3] for row in allowed if row[3]},
        system_tables=system_tables,
        views=frozenset(views),
        time_columns=time_columns,
    )
