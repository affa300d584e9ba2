"""SQL on the lake: ClickHouse's dialect, in this process, over the views of the database `api`; see `query`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointline.errors import QueryError

if TYPE_CHECKING:
    from pointline.sql.process import query

__all__ = ["QueryError", "query"]


def __getattr__(name: str) -> object:
    """Imports `query` with Polars when it is used: the server's workers need neither."""
    if name == "query":
        from pointline.sql.process import query

        return query
    raise AttributeError(name)
