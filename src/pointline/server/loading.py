"""Loading the engine without starting it, so that a process can be confined in between.

A thread keeps the restrictions that it was started with. Threads of the engine that run before would be free of those that the process puts
on itself later, so `load_engine` checks that none was started.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter
from pathlib import Path
from typing import Any

from pointline.server.sandbox import SandboxError
from pointline.sql.chdb_import import session_class

# Imported by chdb, or by a query later, when no file can be read any more.
_BEFORE = (
    *("numpy", "pyarrow", "pyarrow.compute", "pyarrow.parquet", "zstandard", "lz4.frame", "lz4.block", "clickhouse_cityhash.cityhash"),
    *("encodings.idna", "pointline.sql.arrow_output", "pointline.sql.narrow"),
)


def load_engine() -> Any:  # noqa: ANN401 - chdb has no types
    """ChDB's class of sessions, with everything imported that a query needs and no thread of the engine running.

    Raises:
        MissingExtraError: chDB is not installed.
        SandboxError: the import started threads after all.
    """
    for name in _BEFORE:
        importlib.import_module(name)
    _write_once()
    before = _threads()
    session = session_class()
    if _threads() > before:
        raise SandboxError(
            "the engine starts threads when it is imported, and they could not be confined",
            value=f"{_threads() - before} threads",
            expected="a version of chDB that pointline was tested with",
        )
    return session


def _write_once() -> None:
    """Writes wide decimals in every format once: the libraries import parts of themselves when they first need them."""
    import decimal
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    from pointline.sql import arrow_output

    wide = pa.decimal256(76, 20)
    value = decimal.Decimal("12345678901234567890.12345678901234567891")
    row = {"a": value, "b": [value], "c": {"d": value}, "e": [("f", value)]}
    kinds = {"a": wide, "b": pa.list_(wide), "c": pa.struct({"d": wide}), "e": pa.map_(pa.string(), wide)}
    table = pa.Table.from_pylist([row, dict.fromkeys(row)], schema=pa.schema(kinds))
    files: dict[str, io.BytesIO] = {name: io.BytesIO() for name in sorted(arrow_output.FORMATS)}
    pq.write_table(table, files["Parquet"])
    for name, opening in (("Arrow", pa.ipc.new_file), ("ArrowStream", pa.ipc.new_stream)):
        with opening(files[name], table.schema) as out:
            out.write_table(table)
    for name, file in files.items():
        arrow_output.readable(file.getvalue(), name, {})


def end_imports() -> None:
    """Makes every further import fail like that of a missing module; libraries go on without their optional parts."""
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter]


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return sum(1 for _ in tasks.iterdir()) if tasks.is_dir() else 0
