"""SQL on the lake: ClickHouse's dialect, in this process, over the views of the database `api`; see `query`."""

from __future__ import annotations

from pointline.errors import QueryError
from pointline.sql.process import query

__all__ = ["QueryError", "query"]
