"""A DuckDB file of views over the lake's live files, for tools that speak to DuckDB: dbt, Grafana, Metabase, notebooks.

The file holds no market data but small tables: names, coverage, and which source serves which day. Its views name the lake's files one by
one, so it shows the lake as it was when the file was made, and is made again when the lake has changed. Where `pointline maintain` has
removed a file that a view names, DuckDB says that it is not there.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline import schema
from pointline.errors import BusyError, ConfigError, LakeError, MissingExtraError, nearest
from pointline.export.columns import literal
from pointline.export.views import (
    API,
    CANDLE_VIEWS,
    INTERNAL,
    VIEW_OF,
    View,
    coverage_view,
    features_view,
    last_trades_view,
    market_views,
    ohlcv_views,
    small_table,
    table_view,
    uncovered_trades,
)
from pointline.lake.catalog import held
from pointline.lake.durable import write_atomically
from pointline.lake.store import as_lake
from pointline.sql import tables as sql_tables
from pointline.sql.catalogue import fingerprint_of
from pointline.sql.files import check_files
from pointline.sql.links import SqlNames
from pointline.version import package_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointline.lake.store import Lake, LakeLike

MARK = "pointline_export"
_STORAGE = "v1.0.0"  # what DuckDB 1.0 and later read
_BLOCK_BYTES = 16_384  # the smallest; the usual 262,144 make the file of a small lake ten times as large
_ALWAYS = tuple(kind.name for kind in (schema.TRADES, schema.QUOTES, schema.FUNDING, schema.DERIVATIVE_TICKER, schema.OPEN_INTEREST))
_TRIES = 5


@dataclass(frozen=True)
class DuckdbExport:
    """A file that was written.

    Attributes:
        path: the file.
        lake: the lake's folder.
        size: bytes of the file.
        views: what it holds: name in the schema `api`, what it shows, how many of the lake's files it names, and rows of those.
    """

    path: Path
    lake: Path
    size: int
    views: tuple[View, ...]

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        views = {one.name: {"about": one.about, "files": len(one.files), "rows": one.rows} for one in self.views}
        return {"path": str(self.path), "lake": str(self.lake), "bytes": self.size, "views": views}


def export_duckdb(
    path: str | Path, *, lake: LakeLike | None = None, tables: Sequence[str] | None = None, replace: bool = False
) -> DuckdbExport:
    """Writes a DuckDB file of views over the lake's live files; whole, durably, or not at all.

    Args:
        path: the file, in an existing folder. An earlier export is replaced.
        lake: a lake or its folder; the default lake if None.
        tables: names of views, e.g. ``["trade", "ohlcv"]``; what they are made from comes with them. All if None.
        replace: also put it in the place of a file that is no export.

    Raises:
        ConfigError: the file cannot be written there, another file is there, there is no such view, or the lake is in a bucket.
        BusyError: the file is open, or the lake changes again and again meanwhile.
        DamageError: a data file of the lake is missing.
        LakeError: there is no lake at that place, or no space is left.
        MissingExtraError: DuckDB is not installed.

    Examples:
        >>> import duckdb
        >>> import pointline
        >>> written = pointline.export_duckdb("lake.duckdb", lake="out/demo/lake", tables=["trade"])
        >>> with duckdb.connect("lake.duckdb", read_only=True) as connection:
        ...     connection.sql("SELECT count(*) FROM api.trade WHERE exchange = 'binance'").fetchall()
        [(4000,)]
    """
    file, opened, driver = Path(path).absolute(), as_lake(lake), _driver()
    opened.check_local("the export", then=f"pointline export --duckdb {Path(path).name} --lake FOLDER")
    _check_place(file)
    _check_replaceable(driver, file, replace=replace)
    for _ in range(_TRIES):
        before = fingerprint_of(opened)
        plan = _plan(opened, tables)
        check_files(one for view in (*plan.views, *plan.inner) for one in view.files)
        if fingerprint_of(opened) == before:
            break
    else:
        raise BusyError("the lake changes while it is looked at", where=str(opened.root), hint="wait until the writer has finished")
    with tempfile.TemporaryDirectory(prefix="pointline-export-") as folder:
        built = Path(folder) / "built.duckdb"
        try:
            _build(driver, built, opened, plan, before)
        except driver.IOException as error:
            reason = str(error).splitlines()[0][:200]
            raise LakeError(
                "DuckDB cannot build the export", where=folder, value=reason, hint="set TMPDIR to a folder with space"
            ) from error
        write_atomically(file, lambda temporary: shutil.copyfile(built, temporary))
    return DuckdbExport(file, opened.root, file.stat().st_size, plan.views)


def _driver() -> Any:  # noqa: ANN401 - a module
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError("the export needs DuckDB", hint="pip install 'pointline[duckdb]'") from error
    return duckdb


# --- where it may be written ------------------------------------------------------------------------------------------------------


def _check_place(file: Path) -> None:
    if not file.parent.is_dir() or file.is_dir():
        raise ConfigError("the export cannot be written there", value=str(file), expected="a file in an existing folder")
    if file.stem.lower() in {API, INTERNAL}:
        raise ConfigError(
            "an export cannot have this name: DuckDB calls the database as the file, and could not tell it from the schema in it",
            value=file.name,
            expected=f"a name other than {API} and {INTERNAL}, e.g. lake.duckdb",
        )


def _check_replaceable(driver: Any, file: Path, *, replace: bool) -> None:  # noqa: ANN401 - a module
    """Refuses to write over what is not an export of this function, or is open."""
    if not file.exists():
        return
    in_use = "close the connections to it, in this process too, and run the same again"
    if Path(f"{file}.wal").exists():
        raise BusyError("the file is open, or was not closed: changes to it lie beside it", where=f"{file}.wal", hint=in_use)
    try:
        with contextlib.closing(driver.connect(str(file), read_only=True)) as connection:
            foreign = _foreign(connection)
    except driver.Error as error:
        reason = str(error).splitlines()[0]
        if "lock" in reason or isinstance(error, driver.ConnectionException):
            raise BusyError("the file is open", where=str(file), value=reason[:200], hint=in_use) from error
        foreign = reason[:200]
    if foreign is not None and not replace:
        raise ConfigError(
            "a file is there that is not an export, or holds other things too",
            where=str(file),
            value=foreign,
            expected="a new name, or an earlier export",
            hint="choose another name, or replace the file with --replace (replace=True)",
        )


def _foreign(connection: Any) -> str | None:  # noqa: ANN401 - duckdb's
    """What of a database is no export's; None where all of it is."""
    found = {f"{schema_name}.{name}" for schema_name, name in connection.execute(_OBJECTS).fetchall()}
    if f"main.{MARK}" not in found:
        return f"a DuckDB file without the table {MARK}"
    own = {name for (names,) in connection.execute(f"SELECT objects FROM main.{MARK}").fetchall() for name in names}
    return ", ".join(sorted(found - own)) or None


_OBJECTS = """
SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal
UNION SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal
UNION SELECT schema_name, function_name FROM duckdb_functions() WHERE NOT internal
"""


# --- what is written --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """Views, those first that others read; small tables, by the name with the schema, views in the inner schema; the lake's versions."""

    views: tuple[View, ...]
    frames: dict[str, pl.DataFrame]
    inner: tuple[View, ...]
    versions: dict[str, int]


def _plan(lake: Lake, wanted: Sequence[str] | None) -> _Plan:
    chosen = _chosen(lake, wanted)
    versions = {kind: version for kind in ("instruments", *lake.kinds()) if (version := lake.newest_version(kind)) is not None}
    names = SqlNames(lake)
    kinds = [kind for kind in _kinds(lake) if VIEW_OF.get(kind, kind) in chosen]
    views: list[View] = []
    frames: dict[str, pl.DataFrame] = {}
    inner: list[View] = []
    if "trade_last" in chosen:
        kinds.append(schema.TRADES.name)
        views.append(last_trades_view())
    if chosen & {"ohlcv", *CANDLE_VIEWS}:
        sources, days, covered = sql_tables.day_sources(lake, names)
        kinds += [source.kind for source in sources if source.seconds]
        inner.append(uncovered_trades(lake, names, covered))
        views += [view for view in ohlcv_views(sources) if view.name in chosen | {"ohlcv"}]
        frames[f"{INTERNAL}.candle_days"] = days
        frames[f"{INTERNAL}.covered_trades"] = covered.select(
            "exchange", "market", pl.col("file").str.head(len("YYYY-MM-DD")).str.to_date().alias("date"), "seconds"
        )
    views += [view for view in market_views() if view.name in chosen]
    if chosen & {"market_spot", "market_future"}:
        frames[f"{INTERNAL}.instruments"] = sql_tables.instrument_table(lake, names)
    if "features" in chosen:
        views.append(features_view(lake))
    if "coverage" in chosen or f"{INTERNAL}.candle_days" in frames:
        holdings = held(lake)
        frames[f"{INTERNAL}.hole_minutes"] = sql_tables.hole_minutes(holdings, names)
        if "coverage" in chosen:
            frames[f"{INTERNAL}.coverage"] = sql_tables.coverage_table(holdings, names)
            views.append(coverage_view())
    return _Plan((*(table_view(lake, kind, names) for kind in dict.fromkeys(kinds)), *views), frames, tuple(inner), versions)


def _kinds(lake: Lake) -> list[str]:
    """The lake's tables, and those that have a view in every export."""
    return list(dict.fromkeys((*_ALWAYS, *lake.kinds())))


def _chosen(lake: Lake, wanted: Sequence[str] | None) -> set[str]:
    known = {VIEW_OF.get(kind, kind) for kind in _kinds(lake)}
    known |= {"trade_last", "ohlcv", *CANDLE_VIEWS, "market_spot", "market_future", "features", "coverage"}
    if wanted is None:
        return known
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        near = {} if not unknown else {"hint": f"nearest names: {nearest(unknown[0], known).lower()}"}
        raise ConfigError("there is no such view", value=list(unknown), expected=", ".join(sorted(known)), **near)
    return set(wanted)


def _build(driver: Any, file: Path, lake: Lake, plan: _Plan, fingerprint: str) -> None:  # noqa: ANN401 - a module
    """Makes the database; it is closed, and with it all in one file, when this returns."""
    with contextlib.closing(driver.connect()) as connection:
        connection.execute(f"ATTACH {literal(str(file))} AS built (STORAGE_VERSION '{_STORAGE}', BLOCK_SIZE {_BLOCK_BYTES})")
        connection.execute("USE built")
        for name in (API, INTERNAL):
            connection.execute(f"CREATE SCHEMA {name}")
        for name, frame in plan.frames.items():
            _add_table(connection, name, frame)
        for view in plan.inner:
            connection.execute(view.statement)
        for view in plan.views:
            connection.execute(view.statement)
            if view.statement.startswith("CREATE VIEW"):
                connection.execute(f"COMMENT ON VIEW {API}.{view.name} IS {literal(view.about)}")
        _add_mark(connection, lake, plan.versions, fingerprint)
        connection.execute("CHECKPOINT built")


def _add_table(connection: Any, name: str, frame: pl.DataFrame) -> None:  # noqa: ANN401 - duckdb's
    zoned = [column for column, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    plain = frame.with_columns(pl.col(zoned).dt.replace_time_zone(None).dt.cast_time_unit("us"))
    connection.execute(small_table(name, plain.schema.items()))
    connection.register("rows_of_frame", plain.to_arrow())
    connection.execute(f"INSERT INTO {name} SELECT * FROM rows_of_frame")
    connection.unregister("rows_of_frame")


def _add_mark(connection: Any, lake: Lake, versions: dict[str, int], fingerprint: str) -> None:  # noqa: ANN401 - duckdb's
    """The table that tells what this file is: when, from which lake at which versions, and which objects are its own."""
    connection.execute(
        f"""CREATE TABLE main.{MARK} (
            made_at TIMESTAMP, lake VARCHAR, pointline_version VARCHAR, table_versions MAP(VARCHAR, BIGINT), fingerprint VARCHAR,
            objects VARCHAR[])"""
    )
    own = sorted(f"{schema_name}.{name}" for schema_name, name in connection.execute(_OBJECTS).fetchall())
    values = [
        dt.datetime.now(dt.UTC).replace(tzinfo=None),
        str(lake.root),
        package_version(),
        list(versions),
        list(versions.values()),
        fingerprint,
        own,
    ]
    connection.execute(f"INSERT INTO main.{MARK} VALUES (?, ?, ?, MAP(?::VARCHAR[], ?::BIGINT[]), ?, ?)", values)
