"""Results in Arrow and Parquet whose decimals other programs can read.

Prices and amounts have 76 digits in SQL. Polars and DuckDB read decimals of 38, so results in these formats are written again with such,
or with floats where 38 digits do not hold a value; see `pointline.sql.narrow`.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

FORMATS = frozenset({"Arrow", "ArrowStream", "Parquet"})

_ARROW_CODECS = {"none": None, "lz4_frame": "lz4", "zstd": "zstd"}


def readable(data: bytes | memoryview, output_format: str, settings: Mapping[str, str]) -> tuple[bytes | memoryview, list[str]]:
    """A result with decimals of at most 38 digits; as it is where it has no others.

    Args:
        data: what the engine wrote.
        output_format: one of `FORMATS`.
        settings: of the statement; Arrow is compressed as they say, Parquet as the engine did.

    Returns:
        The bytes, and a sentence for each column that is a float now.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pointline.sql.narrow import has_wide, losses, narrowed

    if not len(data):
        return data, []
    source = pa.py_buffer(data)
    if output_format == "Parquet":
        file = pq.ParquetFile(pa.BufferReader(source))
        if not any(has_wide(field.type) for field in file.schema_arrow):
            return data, []
        table, notes = narrowed(file.read())
        sink = io.BytesIO()
        codec = file.metadata.row_group(0).column(0).compression if file.metadata.num_row_groups else "UNCOMPRESSED"
        pq.write_table(table, sink, compression="NONE" if codec == "UNCOMPRESSED" else codec)
        return sink.getvalue(), losses(notes)
    with pa.ipc.open_file(source) if output_format == "Arrow" else pa.ipc.open_stream(source) as reader:
        if not any(has_wide(field.type) for field in reader.schema):
            return data, []
        table, notes = narrowed(reader.read_all())
    return _written(table, output_format, settings.get("output_format_arrow_compression_method", "lz4_frame")), losses(notes)


def _written(table: pa.Table, output_format: str, codec: str) -> bytes:
    import pyarrow as pa

    sink = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=_ARROW_CODECS[codec])
    writer = pa.ipc.new_file if output_format == "Arrow" else pa.ipc.new_stream
    with writer(sink, table.schema, options=options) as out:
        out.write_table(table)
    return sink.getvalue()
