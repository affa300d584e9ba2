"""The engine's configuration files: the rights of its users, and UTC as the time zone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWNER = "lake_owner"  # the views read with its rights; no one can log in as it


_READ_ONLY = "<readonly>1</readonly>"
_WRITABLE = "<readonly>0</readonly>"
_READ_RIGHTS = "<grants><query>GRANT SELECT ON api.*</query></grants>"
_BUILD_RIGHTS = "<access_management>1</access_management>"
# Values keep their types in a frame, and text stays text.
_FORMATS = (
    "<output_format_parquet_compression_method>none</output_format_parquet_compression_method>"
    "<output_format_arrow_string_as_string>1</output_format_arrow_string_as_string>"
)


def write_config(folder: Path, *, building: bool = False, changing: bool = False) -> Path:
    """Writes ``serve.xml`` (or ``build.xml``) with its users file into a folder; returns its path.

    Args:
        folder: where the files go.
        building: for making databases, tables and views; otherwise the user may only read ``api``.
        changing: links come to lead to other files while the engine is open, so no row count of a file may be kept.
    """
    name = "build" if building else "serve"
    counts = "<use_cache_for_count_from_files>0</use_cache_for_count_from_files>" if changing else ""
    users = folder / f"{name}-users.xml"
    users.write_text(
        "<clickhouse>\n"
        f"<profiles><default>{_WRITABLE if building else _READ_ONLY}<session_timezone>UTC</session_timezone>{_FORMATS}{counts}</default>"
        f"<owner><readonly>1</readonly><session_timezone>UTC</session_timezone>{counts}</owner></profiles>\n"
        f"<users><default>{_user('default')}{_BUILD_RIGHTS if building else _READ_RIGHTS}</default>\n"
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
