"""What a query may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class QueryLimits:
    """What one query, and one user, may take.

    Attributes:
        time_s: seconds that a query runs.
        memory_mb: megabytes that a query uses, and that its worker's address space can grow by.
        rows_read: rows that a query reads.
        rows_returned: rows of a result.
        megabytes_returned: size of a result.
        threads: threads of a query.
        queries: queries of the user at a time, running and waiting; a dashboard sends one for each of its panels.
    """

    time_s: float = 30.0
    memory_mb: int = 2_000
    rows_read: int = 500_000_000
    rows_returned: int = 1_000_000
    megabytes_returned: int = 256
    threads: int = 2
    queries: int = 32
