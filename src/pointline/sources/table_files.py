"""Reads the mapped columns of a CSV, JSON, Parquet or Feather file as text, with the line or record that each row came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.errors import ConfigError, SourceError, nearest
from pointline.sources.checks import Check, rejected, split_rows
from pointline.sources.inflate import open_archive
from pointline.sources.json_records import column_of, keys_of, read_records
from pointline.sources.mapping import TIMES, Mapping, SymbolRule
from pointline.sources.text_lines import number_lines

if TYPE_CHECKING:
    from pathlib import Path

_PACKED = (".gz", ".zip")
_LINES = frozenset({"jsonl", "ndjson"})
_SUFFIXES = {**dict.fromkeys(("csv", "tsv", "txt"), "csv"), **dict.fromkeys(("json", *_LINES), "json"), "parquet": "parquet"}
_SUFFIXES |= dict.fromkeys(("feather", "arrow", "ipc"), "ipc")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAX_INT = 9.2e18

_DECIMALS = r"^[-+]?[0-9]*\.([0-9]+)$"
_DIGITS = r"^[0-9]+$"
_CUT = "the file ends inside this line, without a line end, so its last value may be cut; if it is whole, end the file with a line end"


def format_of(path: Path) -> str | None:
    """csv, json, parquet or ipc by the file's name; None for other files."""
    stem = path.with_suffix("") if path.suffix in _PACKED else path
    return _SUFFIXES.get(stem.suffix[1:].lower(), "csv" if stem != path else None)


def text_of(target: str) -> str:
    """Name of the column that holds the file's own text for a table column."""
    return f"text of {target}"


def binary_of(target: str) -> str:
    """Name of the column that says which of a table column's values are binary floats; absent where none are."""
    return f"binary of {target}"


@dataclass
class TableFile:
    """The mapped columns of a file.

    Attributes:
        path: the file.
        mapping: what its columns mean.
        mapping_path: where that stands, for errors.
    """

    path: Path
    mapping: Mapping
    mapping_path: Path

    def __post_init__(self) -> None:
        self.origins = {name: rule.column for name, rule in self.mapping.columns.items() if rule.column is not None}
        if isinstance(self.mapping.symbol, SymbolRule):
            self.origins["symbol"] = self.mapping.symbol.column

    def rows(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows (`source_row`, `raw`, `text_of` and `binary_of` columns), and rejects for lines that cannot be taken apart.

        Raises:
            SourceError: the file is damaged.
            ConfigError: a column of the mapping is not in the file, or its unit is not said.
        """
        kind = format_of(self.path)
        try:
            if kind in {"parquet", "ipc"}:
                frame = pl.read_parquet(self.path) if kind == "parquet" else pl.read_ipc(self.path)
                return self._typed(frame), rejected()
            with open_archive(self.path) as stream:
                data = stream.read().removeprefix(_BYTE_ORDER_MARK)
            return self._csv(data) if kind == "csv" else self._json(data)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise SourceError("the file is damaged", where=str(self.path), value=str(error)[:200], hint="copy it again") from error

    def _typed(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The mapped columns of a typed frame as text that loses nothing."""
        self._require(frame.columns)
        self._require_units(frame.schema)
        parsed = schema.table(self.mapping.kind).parsed
        number, raw = pl.int_range(1, pl.len() + 1, dtype=pl.Int64), pl.struct(frame.columns).struct.json_encode()
        texts = []
        for name, column in self.origins.items():
            value, dtype = pl.col(column), frame.schema[column]
            text = value.cast(pl.String)
            if isinstance(dtype, pl.Datetime):
                zoned = value.dt.convert_time_zone("UTC") if dtype.time_zone else value
                text = zoned.dt.strftime("%Y-%m-%d %H:%M:%S%.6f" + ("+00:00" if dtype.time_zone else ""))
            elif dtype.is_float() and (name in TIMES or name == "side" or parsed.get(name, pl.String()) in {pl.Int64(), pl.String()}):
                whole = (value == value.round()) & (value.abs() < _MAX_INT)
                text = pl.when(whole).then(value.cast(pl.Int64, strict=False).cast(pl.String)).otherwise(text)
            texts.append(text.alias(text_of(name)))
            if dtype == pl.Float64:
                texts.append(value.is_not_null().alias(binary_of(name)))
        return frame.select(number.alias("source_row"), raw.alias("raw"), *texts)

    def _json(self, data: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
        stem = self.path.with_suffix("") if self.path.suffix in _PACKED else self.path
        found = read_records(data, self.mapping.records, lines=stem.suffix[1:].lower() in _LINES, where=str(self.path))
        names, usable = list(self.mapping.column_names), found.usable
        if any(isinstance(record.value, list) for record in usable) and not names:
            what = "the records are lists: the mapping has to name their places"
            raise ConfigError(what, where=str(self.mapping_path), expected='column_names = ["…", …]', value=usable[0].text[:80])
        if usable:
            self._require([*keys_of(usable, nested=any("." in column for column in self.origins.values())), *names])
        self._require_units()
        odd = [record for record in usable if isinstance(record.value, list) and len(record.value) != len(names)]
        usable = [record for record in usable if isinstance(record.value, dict) or len(record.value) == len(names)]
        broken = [(r.row, "line", r.text[:80], f"has {len(r.value)} values, not {len(names)}", r.text, True) for r in odd]
        rejects = pl.concat([found.rejects, rejected(broken)]).sort("line", maintain_order=True)
        columns: dict[str, pl.Series] = {
            "source_row": pl.Series([record.row for record in usable], dtype=pl.Int64),
            "raw": pl.Series([record.text for record in usable], dtype=pl.String),
        }
        for name, column in self.origins.items():
            texts, binary = column_of(usable, column, names)
            columns[text_of(name)] = pl.Series(texts, dtype=pl.String)
            columns[binary_of(name)] = pl.Series(binary, dtype=pl.Boolean)
        return pl.DataFrame(columns), rejects

    def _csv(self, data: bytes) -> tuple[pl.DataFrame, pl.DataFrame]:
        lines = number_lines(data)[self.mapping.skip_lines :]
        last_line = lines["source_row"].max()
        lines = lines.filter(pl.col("raw").str.strip_chars() != "")
        names = list(self.mapping.column_names)
        if not names:
            if lines.is_empty():
                raise SourceError("the file is empty", where=str(self.path))
            names = [str(name).strip() for name in self._fields(lines["raw"][:1], 0).row(0)]
            lines = lines[1:]
        self._require(names)
        self._require_units()
        if twice := sorted({name for name in self.origins.values() if names.count(name) > 1}):
            raise ConfigError("the file has this column twice", where=str(self.path), value=", ".join(twice))
        separators = pl.col("raw").str.replace_all('"[^"]*"', "").str.count_matches(self.mapping.separator, literal=True)
        reason = pl.format(f"has {{}} fields, not {len(names)}", pl.col("count"))
        whole = Check(pl.col("count") == len(names), "line", pl.col("raw").str.slice(0, 80), reason)
        lines, rejects = split_rows(lines.with_columns(count=separators + 1), (whole,))
        fields = self._fields(lines["raw"], len(names))
        if fields.height != lines.height:
            raise SourceError("a quoted field goes over several lines, which is not supported", where=str(self.path))
        texts = [pl.col(f"column_{names.index(column)}").alias(text_of(name)) for name, column in self.origins.items()]
        rows = pl.concat([lines.select("source_row", "raw"), fields.select(texts)], how="horizontal")
        if "side" in self.origins:
            rows = rows.with_columns(pl.col(text_of("side")).fill_null(""))  # an empty field, which is no null of a typed file
        last = [name for name, column in self.origins.items() if column == names[-1]]
        ended = data.endswith(b"\n") or self.path.suffix in _PACKED  # an archive has a checksum
        if ended or not last or rows.is_empty() or rows["source_row"][-1] != last_line:
            return rows, rejects
        return self._without_cut_end(rows, rejects, last[0])

    def _without_cut_end(self, rows: pl.DataFrame, rejects: pl.DataFrame, name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Sets the last line of a plain text file aside where nothing shows that its last field is whole.

        A file without a last line end may have been cut anywhere in its last line, and a cut number is still a number. The field is whole
        where it is quoted, one of the words of a side, a count of seconds or parts of them (a cut one lies far in the past), closed by a
        percent sign or the rule's suffix, or where the lines above always have as many decimals or, without any, as many characters.
        """
        field, rule = pl.col(text_of(name)), self.mapping.columns.get(name)
        closed = ['"', "%", *([rule.suffix] if rule is not None and rule.suffix else [])]
        if rows["raw"][-1].rstrip().endswith(tuple(closed)) or name == "side":
            return rows, rejects
        if name in TIMES and rows[-1].select(field.str.contains(_DIGITS)).item():
            return rows, rejects
        form = rows.select(
            decimals=field.str.extract(_DECIMALS).str.len_bytes(),
            characters=pl.when(~field.str.contains(_DECIMALS)).then(field.str.len_bytes()),
        )
        if rows.height > 1 and form.n_unique() == 1 and rows["raw"][-1].rstrip("\r")[-1:] != ".":
            return rows, rejects
        last = rows[-1]
        _, cut = split_rows(last, (Check(pl.lit(value=False), name, field, _CUT),))
        return rows[:-1], pl.concat([rejects, cut])

    def _fields(self, lines: pl.Series, count: int) -> pl.DataFrame:
        if lines.is_empty():
            return pl.DataFrame(schema={f"column_{number}": pl.String() for number in range(count)})
        return pl.read_csv("\n".join(lines).encode(), has_header=False, infer_schema=False, separator=self.mapping.separator)

    def _require(self, columns: list[str]) -> None:
        for name, column in self.origins.items():
            if column not in columns:
                where = f"{self.path} with {self.mapping_path}, {name}"
                hint = f"names alike: {nearest(column, columns).lower()}"
                raise ConfigError(f"the file has no column {column!r}", where=where, expected=", ".join(columns), hint=hint)

    def _require_units(self, types: pl.Schema | None = None) -> None:
        for name in TIMES & self.mapping.columns.keys():
            rule, where = self.mapping.columns[name], f"{self.mapping_path}, columns.{name}"
            temporal = types is not None and types[self.origins[name]].is_temporal()
            if temporal and rule.unit not in {None, "text"}:
                raise ConfigError("the file itself types this column as a time: leave unit out", where=where, value=rule.unit)
            if not temporal and rule.unit is None:
                raise ConfigError(f"say in which unit {rule.column!r} is", where=where, expected='unit = "s", "ms", "us", "ns" or "text"')
