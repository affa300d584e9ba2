"""What ClickHouse's JDBC driver asks when a tool lists schemas, tables, columns and keys, in the driver's own manner of naming."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server.running import RunningServer

_SIZES = ", ".join(f"system.columns.type == '{kind}', {size}" for kind, size in (("Int8", 1), ("Int64", 8), ("Float64", 8), ("UUID", 16)))

TABLES = """
SELECT '' AS TABLE_CAT, t.database AS TABLE_SCHEM, t.name AS TABLE_NAME,
    if(t.is_temporary = 1, concat('Temporary', t.engine), t.engine) AS TABLE_TYPE, t.comment AS REMARKS,
    CAST(null AS Nullable(String)) AS TYPE_CAT, d.engine AS TYPE_SCHEM
FROM system.tables t JOIN system.databases d ON system.tables.database = system.databases.name
WHERE t.database LIKE '%' AND t.name LIKE '%'
    AND ((t.engine IN ('View', 'MaterializedView')) OR (t.engine NOT IN ('Log', 'View') AND NOT t.engine LIKE 'System%'))
    AND (t.is_temporary = 0)
"""
COLUMNS = f"""
SELECT '' AS TABLE_CAT, database AS TABLE_SCHEM, table AS TABLE_NAME, name AS COLUMN_NAME, toInt32(1111) AS DATA_TYPE, type AS TYPE_NAME,
    toInt32(multiIf(character_octet_length IS NOT NULL, character_octet_length, {_SIZES}, numeric_precision IS NOT NULL,
        numeric_precision, 0)) AS COLUMN_SIZE,
    toInt32(IF (numeric_scale == 0, NULL, numeric_scale)) AS DECIMAL_DIGITS, toInt32(numeric_precision_radix) AS NUM_PREC_RADIX,
    toInt32(position(type, 'Nullable(') >= 1 ?1 : 0) AS NULLABLE, system.columns.comment AS REMARKS,
    system.columns.default_expression AS COLUMN_DEF, character_octet_length::Nullable(Int32) AS CHAR_OCTET_LENGTH,
    toInt32(system.columns.position) AS ORDINAL_POSITION, position(upper(type), 'NULLABLE') >= 1 ? 'YES' : 'NO' AS IS_NULLABLE,
    CAST(NULL AS Nullable(Int16)) AS SOURCE_DATA_TYPE
FROM system.columns WHERE database LIKE 'api' AND table LIKE 'trade' AND name LIKE '%'
ORDER BY TABLE_SCHEM, TABLE_NAME, ORDINAL_POSITION
"""
KEYS = """
SELECT NULL::Nullable(String) AS TABLE_CAT, system.tables.database AS TABLE_SCHEM, system.tables.name AS TABLE_NAME,
    trim(c.1) AS COLUMN_NAME, CAST(c.2 AS Int16) AS KEY_SEQ, 'PRIMARY' AS PK_NAME
FROM system.tables ARRAY JOIN arrayZip(splitByChar(',', primary_key), arrayEnumerate(splitByChar(',', primary_key))) AS c
WHERE system.tables.primary_key <> '' AND system.tables.database ILIKE 'api' AND system.tables.name ILIKE '%'
ORDER BY COLUMN_NAME
"""
OTHERS = {
    "SELECT name AS TABLE_SCHEM, '' AS TABLE_CATALOG FROM system.databases ORDER BY name": [["api", ""]],
    "SELECT arrayJoin(['TABLE', 'VIEW']) AS TABLE_TYPE ORDER BY TABLE_TYPE": [["TABLE"], ["VIEW"]],
    "SELECT CAST(NULL as Nullable(String)) AS TABLE_CAT, CAST(0 as Int32) AS ORDINAL_POSITION, '' AS IS_NULLABLE LIMIT 0": [],
    "SELECT count() > 50 FROM system.data_type_families": [[1]],
}


def test_tables_are_listed(server: RunningServer) -> None:
    rows = server.rows(TABLES)
    assert {row[2] for row in rows} >= {"trade", "trade_last", "funding_rate", "market_spot", "market_future", "coverage", "features"}
    assert {row[1] for row in rows} == {"api"}


def test_columns_are_listed_in_order(server: RunningServer) -> None:
    rows = server.rows(COLUMNS)
    assert [row[3] for row in rows][:7] == ["exchange", "market", "side", "quantity", "price", "timestamp", "trade_id"]
    price = dict(zip([row[3] for row in rows], rows, strict=True))["price"]
    assert price[5:8] == ["Decimal(76, 20)", 76, 20]


def test_there_are_no_primary_keys(server: RunningServer) -> None:
    assert server.rows(KEYS) == []


@pytest.mark.parametrize("text", OTHERS)
def test_other_questions_are_answered(server: RunningServer, text: str) -> None:
    assert server.rows(text) == OTHERS[text]
