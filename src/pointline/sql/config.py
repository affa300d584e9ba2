"""The engine's configuration files: who may do what, how much a query may use, and that time is UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWNER = "lake_owner"  # the views read with its rights; no one can log in as it


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """What one query may use; 0 sets no limit.

    Attributes:
        max_execution_time: seconds.
        max_memory_usage: bytes.
        max_rows_to_read: rows of the lake.
        max_result_rows: rows of the result.
        max_result_bytes: bytes of the result before it is formatted.
        max_threads: threads of one query; 0 leaves it to the engine, one per core.
    """

    max_execution_time: int = 0
    max_memory_usage: int = 0
    max_rows_to_read: int = 0
    max_result_rows: int = 0
    max_result_bytes: int = 0
    max_threads: int = 0


_READER = "<readonly>1</readonly>"
_MAKER = "<readonly>0</readonly>"
_READER_RIGHTS = "<grants><query>GRANT SELECT ON api.*</query></grants>"
_MAKER_RIGHTS = "<access_management>1</access_management>"
# Values keep their types in a frame, and text stays text.
_FORMATS = (
    "<output_format_parquet_compression_method>none</output_format_parquet_compression_method>"
    "<output_format_arrow_string_as_string>1</output_format_arrow_string_as_string>"
)


def write_config(folder: Path, *, limits: QueryLimits, building: bool = False) -> Path:
    """Writes ``serve.xml`` (or ``build.xml``) with its users file into a folder; returns its path.

    Args:
        folder: where the files go.
        limits: of every query.
        building: for making databases, tables and views; otherwise the user may only read ``api``.
    """
    name = "build" if building else "serve"
    users = folder / f"{name}-users.xml"
    given = (
        "" if building else "".join(f"<{f.name}>{getattr(limits, f.name)}</{f.name}>" for f in fields(limits) if getattr(limits, f.name))
    )
    users.write_text(
        "<clickhouse>\n"
        f"<profiles><default>{_MAKER if building else _READER}<session_timezone>UTC</session_timezone>{given}{_FORMATS}</default>"
        "<owner><readonly>1</readonly><session_timezone>UTC</session_timezone></owner></profiles>\n"
        f"<users><default>{_user('default')}{_MAKER_RIGHTS if building else _READER_RIGHTS}</default>\n"
        f"<{OWNER}>{_user('owner')}<grants><query>GRANT SELECT ON lake.*</query></grants></{OWNER}></users>\n"
        "<quotas><default></default></quotas>\n"
        "</clickhouse>\n",
        encoding="utf-8",
    )
    config = folder / f"{name}.xml"
    spill = f"<tmp_path>{folder / 'tmp'}/</tmp_path>"  # where sorts and joins go that are larger than memory
    config.write_text(f"<clickhouse><timezone>UTC</timezone>{spill}<users_config>{users}</users_config></clickhouse>\n", encoding="utf-8")
    return config


def _user(profile: str) -> str:
    return f"<password></password><networks><ip>::/0</ip></networks><profile>{profile}</profile><quota>default</quota>"


def read_limits(config: Path) -> QueryLimits:
    """The limits that a configuration was written with."""
    text = config.with_name(f"{config.stem}-users.xml").read_text(encoding="utf-8")
    found = {f.name: re.search(f"<{f.name}>(\\d+)</{f.name}>", text) for f in fields(QueryLimits)}
    return QueryLimits(**{name: int(match[1]) for name, match in found.items() if match is not None})
