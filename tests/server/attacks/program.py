"""A worker for the attacks, started as a program.

With ``guarded`` it works as always, and names the guard in what the guard refused. With ``unguarded`` every statement and every setting
goes to the engine as it came, so that the sandbox and the engine's rights alone must stop it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pointline.server import worker
from pointline.sql.guard import checker
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.settings import for_engine
from pointline.sql.guard.tree_check import Statement, check

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pointline.sql.guard.limits import QueryLimits

GUARD = "[guard] "


def named(checking: Callable[..., Any]) -> Callable[..., Any]:
    """The same check, with the guard's name in its refusals."""

    def checked(*values: Any, **given: Any) -> Any:  # noqa: ANN401 -- arguments of the guard
        try:
            return checking(*values, **given)
        except RefusedError as refusal:
            raise RefusedError(refusal.name, GUARD + refusal.what, code=refusal.code, status=refusal.status) from None

    return checked


def check_nothing(text: str, *_: Any, **__: Any) -> Statement:  # noqa: ANN401 -- arguments of the guard
    """The statement as it came."""
    return Statement(text, None, {}, ())


def every_setting(asked: Mapping[str, str], limits: QueryLimits) -> dict[str, str]:
    """The limits, and then what was asked for."""
    return for_engine({}, limits) | dict(asked)


class Everything:
    """Has whatever it is asked for."""

    def __contains__(self, _: object) -> bool:
        return True


if __name__ == "__main__":
    if sys.argv[1] == "guarded":
        checker.check = named(check)
        worker.for_engine = named(for_engine)
    else:
        checker.check = check_nothing  # type: ignore[assignment]
        checker.StatementChecker.check_orc = check_nothing  # type: ignore[method-assign,assignment]
        worker.for_engine = every_setting
        worker.FORMATS = Everything()  # type: ignore[assignment]
    worker.main()
