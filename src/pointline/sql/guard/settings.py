"""Settings that a client may send, in the address or in a SETTINGS clause.

Every other setting is refused: the engine runs read only, and these are handed to it from outside for one query.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pointline.sql.guard.allow_lists import named
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointline.sql.guard.limits import QueryLimits

# Read by the server itself, or without meaning here: sessions keep nothing, results are sent when they are complete.
TRANSPORT = named("""
    query database default_format user password quota_key session_id session_timeout session_check query_id compress decompress
    enable_http_compression http_zlib_compression_level wait_end_of_query buffer_size client_protocol_version role stacktrace
    send_progress_in_http_headers http_headers_progress_interval_ms http_response_buffer_size add_http_cors_header
    cancel_http_readonly_queries_on_client_close http_make_head_request http_write_exception_in_output_format readonly log_queries
    log_comment max_query_size output_format_compression_level network_compression_method session_timezone http_send_timeout
    http_receive_timeout
""")

MEANING = named("""
    join_use_nulls join_default_strictness union_default_mode except_default_mode intersect_default_mode group_by_use_nulls
    aggregate_functions_null_for_empty transform_null_in prefer_column_name_to_alias
""")
"""Settings that change what a name means or of which type a value is."""

_RESULT = MEANING | named("""
    extremes limit offset count_distinct_implementation date_time_input_format date_time_output_format date_time_overflow_behavior
    bool_true_representation bool_false_representation
    format_csv_delimiter format_csv_null_representation format_tsv_null_representation max_block_size result_overflow_mode totals_mode
""")
# Every one of these takes a number, a switch or a word of the engine's own list; none names a file, a zone or a schema.
_OUTPUT = named("""
    output_format_always_write_decimal_point_in_float_and_decimal output_format_arrow_compression_method
    output_format_arrow_date_as_uint16 output_format_arrow_fixed_string_as_fixed_byte_array
    output_format_arrow_low_cardinality_as_dictionary
    output_format_arrow_record_batch_size output_format_arrow_string_as_string output_format_arrow_unsupported_types_as_binary
    output_format_arrow_use_64_bit_indexes_for_dictionary output_format_arrow_use_native_writer
    output_format_arrow_use_signed_indexes_for_dictionary output_format_arrow_uuid_as_fixed_byte_array
    output_format_binary_encode_types_in_binary_format output_format_binary_write_json_as_string output_format_csv_crlf_end_of_line
    output_format_csv_header_serialize_tuple_into_separate_columns output_format_csv_serialize_tuple_into_separate_columns
    output_format_decimal_trailing_zeros output_format_enable_streaming output_format_float_precision output_format_json_array_of_rows
    output_format_json_escape_forward_slashes output_format_json_map_as_array_of_tuples output_format_json_named_tuples_as_objects
    output_format_json_pretty_print output_format_json_quote_64bit_floats output_format_json_quote_64bit_integers
    output_format_json_quote_decimals output_format_json_quote_denormals output_format_json_skip_null_value_in_named_tuples
    output_format_json_validate_utf8 output_format_markdown_escape_special_characters output_format_msgpack_uuid_representation
    output_format_native_encode_types_in_binary_format output_format_native_write_json_as_string output_format_orc_compression_method
    output_format_orc_dictionary_key_size_threshold output_format_orc_row_index_stride output_format_orc_string_as_string
    output_format_parallel_formatting output_format_parquet_batch_size output_format_parquet_compliant_nested_types
    output_format_parquet_compression_method output_format_parquet_data_page_size output_format_parquet_date_as_uint16
    output_format_parquet_datetime_as_uint32 output_format_parquet_enum_as_byte_array
    output_format_parquet_fixed_string_as_fixed_byte_array output_format_parquet_row_group_size output_format_parquet_string_as_string
    output_format_parquet_unsupported_types_as_binary output_format_parquet_use_custom_encoder output_format_parquet_version
    output_format_pretty_color output_format_pretty_display_footer_column_names output_format_pretty_fallback_to_vertical
    output_format_pretty_grid_charset output_format_pretty_highlight_digit_groups output_format_pretty_highlight_trailing_spaces
    output_format_pretty_max_column_name_width_cut_to output_format_pretty_max_column_pad_width output_format_pretty_max_rows
    output_format_pretty_max_value_width output_format_pretty_multiline_fields output_format_pretty_row_numbers
    output_format_pretty_single_large_number_tip_threshold output_format_pretty_squash_consecutive_ms output_format_tsv_crlf_end_of_line
    output_format_values_escape_quote_with_quote output_format_write_statistics
""")
_VALUE = re.compile(r"[\w .,:;|+*/-]{0,64}", re.ASCII)

# Limits can be lowered, never raised; 0 asks for no limit and gets the server's.
_LIMITS = ("max_execution_time", "max_memory_usage", "max_rows_to_read", "max_result_rows", "max_result_bytes", "max_threads")

# What a worker may not write to disk it must hold in memory, within its limit. The server has limited the size of the text already.
_ALWAYS = {
    "max_bytes_ratio_before_external_group_by": "0",
    "max_bytes_ratio_before_external_sort": "0",
    "max_query_size": "10000000",
}

ACCEPTED = sorted(_RESULT | _OUTPUT | set(_LIMITS))
"""Names that are handed to the engine."""


def is_accepted(name: str) -> bool:
    """Whether the setting is handed to the engine."""
    return name in _RESULT or name in _LIMITS or name in _OUTPUT


def for_engine(asked: Mapping[str, str], limits: QueryLimits) -> dict[str, str]:
    """The engine's settings for one query.

    Args:
        asked: what the client sent, without the names in `TRANSPORT`.
        limits: the user's.

    Returns:
        QueryLimits first, then what was asked for, in name order.

    Raises:
        RefusedError: a setting that is not accepted, or a value that cannot be one.
    """
    highest = {
        "max_execution_time": limits.time_s,
        "max_memory_usage": limits.memory_mb * 1_000_000,
        "max_rows_to_read": limits.rows_read,
        "max_result_rows": limits.rows_returned,
        "max_result_bytes": limits.megabytes_returned * 1_000_000,
        "max_threads": limits.threads,
    }
    chosen: dict[str, str] = dict(_ALWAYS)
    chosen |= {name: _number(value) for name, value in highest.items()}
    for name, value in checked(asked).items():
        chosen[name] = _lowered(name, value, highest[name]) if name in highest else value
    return chosen


def checked(asked: Mapping[str, str]) -> dict[str, str]:
    """The settings in name order, if all of them are accepted.

    Raises:
        RefusedError: a setting that is not accepted, or a value that cannot be one.
    """
    for name, value in asked.items():
        if not is_accepted(name):
            raise RefusedError(
                "READONLY",
                f"the setting {_shown(name)} cannot be changed here; what can: {', '.join(sorted(_RESULT | set(_LIMITS)))}, "
                "and settings of the served formats (SELECT name FROM system.settings WHERE readonly = 0)",
            )
        if _VALUE.fullmatch(value) is None:
            raise RefusedError(
                "BAD_ARGUMENTS", f"the value of the setting {_shown(name)} is not one: at most 64 letters, digits and ordinary signs"
            )
        if name == "count_distinct_implementation" and re.fullmatch(r"uniq\w*", value) is None:
            raise RefusedError("BAD_ARGUMENTS", f"the setting {name} takes one of the functions uniq…, not {_shown(value)}")
    return dict(sorted(asked.items()))


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def _lowered(name: str, value: str, highest: float) -> str:
    number = re.fullmatch(r"\d{1,18}(\.\d{1,6})?", value)
    if number is None or (number[1] and name != "max_execution_time"):
        raise RefusedError("BAD_ARGUMENTS", f"the setting {name} takes a number, not {_shown(value)}")
    asked = float(value)
    if asked == 0 or asked >= highest:
        return _number(highest)
    return value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 64 else text[:61] + "...")  # noqa: PLR2004
