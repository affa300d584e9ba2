"""Output formats that a query may ask for, with the content type that each is sent as."""

from __future__ import annotations

_TSV = "text/tab-separated-values; charset=UTF-8"
_CSV = "text/csv; charset=UTF-8; header={}"
_JSON = "application/json; charset=UTF-8"
_NDJSON = "application/x-ndjson; charset=UTF-8"
_TEXT = "text/plain; charset=UTF-8"
_BINARY = "application/octet-stream"

FORMATS: dict[str, str] = {
    **{
        f"{stem}{tail}": _TSV
        for stem in ("TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw")
        for tail in ("", "WithNames", "WithNamesAndTypes")
    },
    "CSV": _CSV.format("absent"),
    "CSVWithNames": _CSV.format("present"),
    "CSVWithNamesAndTypes": _CSV.format("present"),
    **dict.fromkeys(("JSON", "JSONStrings", "JSONCompact", "JSONCompactStrings", "JSONColumns", "JSONCompactColumns"), _JSON),
    **dict.fromkeys(("JSONColumnsWithMetadata", "JSONObjectEachRow"), _JSON),
    **dict.fromkeys(("JSONEachRow", "JSONLines", "JSONL", "NDJSON", "JSONStringsEachRow", "JSONEachRowWithProgress"), _NDJSON),
    **{
        f"{stem}{tail}": _NDJSON
        for stem in ("JSONCompactEachRow", "JSONCompactStringsEachRow")
        for tail in ("", "WithNames", "WithNamesAndTypes", "WithProgress")
    },
    "JSONStringsEachRowWithProgress": _NDJSON,
    **{f"{style}{tail}": _TEXT for style in ("Pretty", "PrettyCompact", "PrettySpace") for tail in ("", "NoEscapes", "MonoBlock")},
    **dict.fromkeys(("Vertical", "Values", "TSKV", "LineAsString", "Markdown", "Null"), _TEXT),
    "XML": "application/xml; charset=UTF-8",
    **dict.fromkeys(("Native", "RowBinary", "RowBinaryWithNames", "RowBinaryWithNamesAndTypes", "MsgPack"), _BINARY),
    "Parquet": "application/vnd.apache.parquet",
    "Arrow": "application/vnd.apache.arrow.file",
    "ArrowStream": "application/vnd.apache.arrow.stream",
    "ORC": _BINARY,
}
"""Name -> content type."""

DEFAULT_FORMAT = "TabSeparated"
