"""Lists of what a statement may be made of."""

from __future__ import annotations


def named(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


NODES = named("""
    SelectWithUnionQuery SelectIntersectExceptQuery SelectQuery ExpressionList Function Identifier Asterisk
    QualifiedAsterisk ColumnsRegexpMatcher ColumnsListMatcher QualifiedColumnsRegexpMatcher QualifiedColumnsListMatcher
    ColumnsTransformerList ColumnsApplyTransformer ColumnsExceptTransformer ColumnsReplaceTransformer
    ColumnsReplaceTransformerReplacement TablesInSelectQuery TablesInSelectQueryElement TableExpression TableJoin ArrayJoin Subquery
    WithElement QueryParameter OrderByElement InterpolateElement SampleRatio WindowDefinition WindowListElement
""")
"""Kinds of node in the tree of a query."""

TABLE_FUNCTIONS = frozenset({"numbers", "generateSeries", "generate_series", "values", "SQLStandardValues", "view"})
"""Table functions beside the views of `api`; what they generate counts as rows read."""

EXPLAIN_KINDS = frozenset({"EXPLAIN", "EXPLAIN AST", "EXPLAIN SYNTAX", "EXPLAIN PIPELINE"})

CATEGORIES = frozenset(
    {
        "Aggregate Functions", "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional", "Dates and Times", "Distance",
        "Encoding", "Financial", "Geo", "Geo Polygon", "Hash", "IP Address", "JSON", "Logical", "Map", "Mathematical", "Null",
        "NumericIndexedVector", "QBit", "Random Number", "Rounding", "String", "String Replacement", "String Search",
        "String Splitting", "Time Window", "Tuple", "Type Conversion", "URL", "UUID",
    }
)  # fmt: skip
"""Categories of `system.functions` whose members only compute; new functions of the engine outside them are not allowed."""

FUNCTIONS = named("""
    bar blockNumber blockSize byteSize caseWithExpression countDigits currentDatabase currentSchemas currentUser
    defaultValueOfArgumentType defaultValueOfTypeName digits displayName dumpColumnStructure errorCodeToName finalizeAggregation
    formatReadableDecimalSize formatReadableQuantity formatReadableSize formatReadableTimeDelta getSetting getSettingOrDefault
    getSizeOfEnumType getSubcolumn identity ignore indexHint initializeAggregation isConstant isDecimalOverflow lowCardinalityIndices
    lowCardinalityKeys materialize minSampleSizeContinuous minSampleSizeConversion neighbor parseISO8601Duration parseReadableSize
    parseReadableSizeOrNull parseReadableSizeOrZero parseTimeDelta queryID revision rowNumberInAllBlocks rowNumberInBlock
    runningAccumulate runningDifference runningDifferenceStartingWithFirstValue throwIf toColumnTypeName toTypeName transform
    variantElement variantType version visibleWidth seriesDecomposeSTL seriesOutliersDetectTukey stochasticLinearRegression grouping
    lambda exists
""")
"""Functions of other categories, or of none, that only compute or return what every client may see."""

NEVER = frozenset({"aggThrow", "flameGraph", "chdb", "formatRow", "formatRowNoNewline", "groupFormat"})
"""Functions of those categories that are left out: they stop the process or read its memory, or write in any format that a text names."""

USER_FUNCTIONS = frozenset({"currentUser", "user", "current_user", "USER", "CURRENT_USER"})
"""Functions that return the client's name; the engine has one user for all clients."""

TYPE_ARGUMENTS = {
    **dict.fromkeys(("CAST", "_CAST", "accurateCast", "accurateCastOrNull", "accurateCastOrDefault", "reinterpret"), 1),
    **dict.fromkeys(("variantElement", "dynamicElement"), 1),
    **dict.fromkeys(("JSONExtract", "JSONExtractCaseInsensitive"), -1),
    **dict.fromkeys(("JSONExtractKeysAndValues", "JSONExtractKeysAndValuesCaseInsensitive"), -1),
    "defaultValueOfTypeName": 0,
}
"""Functions that read a type from text, with the place of that argument."""

# The tables of `system` that clients read when they connect or list tables, as a SELECT without paths and other databases.
SYSTEM_TABLES = {
    "one": "SELECT * FROM system.one",
    "numbers": "SELECT * FROM system.numbers",
    "databases": "SELECT * REPLACE ('' AS data_path, '' AS metadata_path) FROM system.databases WHERE name = 'api'",
    "tables": "SELECT * REPLACE ('' AS metadata_path, '' AS create_table_query, '' AS as_select, '' AS definer, "
    "CAST([], 'Array(String)') AS data_paths) FROM system.tables WHERE database = 'api'",
    "columns": "SELECT * FROM system.columns WHERE database = 'api'",
    "settings": "SELECT * REPLACE (toUInt8(name NOT IN ({accepted})) AS readonly) FROM system.settings",
    "functions": "SELECT * FROM system.functions",
    "table_functions": "SELECT * FROM system.table_functions",
    "data_type_families": "SELECT * FROM system.data_type_families",
    "formats": "SELECT * FROM system.formats",
    "keywords": "SELECT * FROM system.keywords",
    "time_zones": "SELECT * FROM system.time_zones",
}
READ_BY_THE_SERVER = (
    "enable_http_compression",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "cancel_http_readonly_queries_on_client_close",
    "wait_end_of_query",
)
