"""What a client is told beside the rows: advice in errors, notes, and formats whose decimals others can read."""

from __future__ import annotations

import io
import math
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.server.running import DirectWorker, RunningServer

LENGTH = "api.ohlcv(candle_duration_in_minutes = 1440)"
ONE = "(SELECT toDecimal256('61680.98', 20) AS p, toDecimal256('0.25', 20) AS q)"


@pytest.mark.parametrize(
    "text",
    [
        "DESCRIBE api.ohlcv",
        "SELECT close FROM api.ohlcv",
        "SELECT * FROM api.ohlcv",
        "SELECT count() FROM api.ohlcv()",
        "SELECT close * 2 FROM api.ohlcv",
        "SELECT count() FROM api.ohlcv(candle_duration_in_minutes = 0)",
    ],
)
def test_a_missing_or_wrong_length_says_what_to_write(worker: DirectWorker, text: str) -> None:
    assert LENGTH in worker.refused(text).what


def test_a_wrong_name_of_the_length_is_put_right(worker: DirectWorker) -> None:
    assert "api.ohlcv(candle_duration_in_minutes = 5)" in worker.refused("SELECT count() FROM api.ohlcv(minutes = 5)").what


def test_an_interval_is_no_number_of_minutes(worker: DirectWorker) -> None:
    """The engine takes it for its number: one day was one minute."""
    assert "minutes" in worker.refused("SELECT count() FROM api.ohlcv(candle_duration_in_minutes = INTERVAL 1 DAY)").what
    assert worker.rows("SELECT count() > 0 FROM api.ohlcv(candle_duration_in_minutes = 24 * 60)") == [[1]]


@pytest.mark.parametrize("output_format", ["Arrow", "ArrowStream", "Parquet"])
def test_other_programs_read_the_decimals(worker: DirectWorker, output_format: str) -> None:
    text = f"SELECT p, [q] AS many, p * q AS money, toDecimal256('1', 30) / 3 AS third FROM {ONE}"
    answer, data = worker.run(text, default_format=output_format)
    reading = {"Arrow": pl.read_ipc, "ArrowStream": pl.read_ipc_stream, "Parquet": pl.read_parquet}[output_format]
    row = reading(io.BytesIO(data)).row(0, named=True)
    assert (row["p"], row["many"], row["money"]) == (Decimal("61680.98"), [Decimal("0.25")], Decimal("15420.245"))
    assert row["third"] == Decimal("0." + "3" * 30)
    assert answer.notes == []
    assert not any(pa.types.is_decimal256(field.type) for field in _schema(data, output_format))


def _schema(data: bytes, output_format: str) -> pa.Schema:
    if output_format == "Parquet":
        import pyarrow.parquet as pq

        return pq.read_schema(io.BytesIO(data))
    opening = pa.ipc.open_file if output_format == "Arrow" else pa.ipc.open_stream
    return opening(data).schema


def test_what_38_digits_do_not_hold_becomes_a_float_and_is_told(worker: DirectWorker) -> None:
    text = "SELECT toDecimal256('12345678901234567890.12345678901234567891', 20) AS x"
    answer, data = worker.run(text, default_format="Parquet")
    assert pl.read_parquet(io.BytesIO(data))["x"].to_list() == [12345678901234567890.12345678901234567891]
    assert len(answer.notes) == 1
    assert answer.notes[0].startswith("column x: Decimal(76, 20) left as float64")


def test_parquet_keeps_its_compression_and_results_without_wide_decimals_their_bytes(worker: DirectWorker) -> None:
    import pyarrow.parquet as pq

    _, data = worker.run(f"SELECT p FROM {ONE} SETTINGS output_format_parquet_compression_method = 'zstd'", default_format="Parquet")
    assert pq.ParquetFile(io.BytesIO(data)).metadata.row_group(0).column(0).compression == "ZSTD"
    _, plain = worker.run("SELECT number FROM numbers(3)", default_format="Parquet")
    assert pq.read_table(io.BytesIO(plain))["number"].to_pylist() == [0, 1, 2]


def test_orc_has_no_wide_decimals(worker: DirectWorker) -> None:
    refusal = worker.refused(f"SELECT p FROM {ONE} FORMAT ORC")
    assert refusal.name == "NOT_IMPLEMENTED"
    assert "FORMAT Parquet" in refusal.what
    _, data = worker.run(f"SELECT toDecimal128(p, 2) AS p FROM {ONE} FORMAT ORC")
    assert data.startswith(b"ORC")


def test_notes_are_sent_in_a_header(server: RunningServer) -> None:
    response = server.ask(f"SELECT sum(p * q) / sum(q) FROM {ONE}")
    assert response.text == "61680.98\n"
    assert response.headers["X-Pointline-Notes"] == (
        '["sum(p * q) / sum(q) is computed in Float64 (about 16 digits): an exact decimal would need 60 places"]'
    )
    assert "X-Pointline-Notes" not in server.ask("SELECT 1").headers


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.decimals(-(10**25), 10**25, places=12, allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_a_float_of_a_decimal_is_the_nearest(worker: DirectWorker, values: list[Decimal]) -> None:
    listed = ", ".join(f"('{value:f}')" for value in values)
    rows = worker.rows(f"SELECT toFloat64(x), CAST(x AS Float64) FROM values('x Decimal(76, 20)', {listed})")
    assert [float(row[0]) for row in rows] == [float(row[1]) for row in rows] == [float(value) for value in values]


def test_a_float_of_a_price_is_the_nearest(worker: DirectWorker) -> None:
    prices = [n / 100 for n in range(371_000, 371_500)] + [97326.1, 1e-8, 0.00001234, 123456789.125, 3e12]
    listed = ", ".join(f"('{price:.8f}')" for price in prices)
    rows = worker.rows(f"SELECT toFloat64(x) FROM values('x Nullable(Decimal(76, 20))', {listed}, (NULL))")
    assert [row[0] for row in rows] == [*prices, None]
    assert all(not math.isnan(price) for price in prices)
