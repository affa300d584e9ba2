"""The catalogue: a folder from which the engine starts, with the databases `lake` (tables over the lake's files) and `api` (views).

A catalogue shows the lake as it was when it was built. `fingerprint` says what it was built from; when the lake's own differs, a new one
is built (links and tables of what did not change are used again). One process opens one catalogue, and a catalogue is opened by one
process: every other one gets a copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pointline import schema
from pointline.errors import ConfigError, LakeError
from pointline.lake.catalog import held
from pointline.lake.studies import STUDY_KINDS, StudyKind, saved_studies, study_schema
from pointline.sql import coarse_candles, config, tables
from pointline.sql.coarse_candles import CoarseCandles
from pointline.sql.config import OWNER
from pointline.sql.fetched_links import FetchedLinks, names_beside
from pointline.sql.files import CATALOGUE_FILE, check_files
from pointline.sql.links import Link, SqlNames, by_month, check_folder, has_plain_path, in_month, link_folder, market_links, remove_unused
from pointline.sql.live_files import LiveFiles
from pointline.sql.ohlcv import STEPS, in_base_units, ohlcv_view, seconds_of
from pointline.sql.sessions import run_statements

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator

    from pointline.lake.store import Lake
    from pointline.sql.guard.reads import Read

_VERSION = 4  # of what a catalogue looks like; part of the fingerprint
_STORE = "store"
_CODED = "files_of_"

_CANDLES = {
    "ts_local_us": "Int64",
    "start_us": "Int64",
    **dict.fromkeys(("open", "high", "low", "close"), "Decimal(38, 12)"),
    "volume": "Nullable(Decimal(38, 12))",
    "trade_count": "Nullable(Int64)",
}
_TRADES = {
    "ts_local_us": "Int64",
    "ts_event_us": "Int64",
    "trade_id": "Nullable(Int64)",
    "text_id": "Nullable(String)",
    "price_int": "Int64",
    "qty_int": "Int64",
    "side": "Nullable(Bool)",
    "off_book": "Nullable(Bool)",
    "source_row": "Int64",
    "price_decimals": "Int8",
    "qty_decimals": "Int8",
}
_FUNDING = {
    "ts_local_us": "Int64",
    "funding_us": "Int64",
    "funding_rate": "Nullable(Float64)",
    "interval_hours": "Nullable(Float64)",
}
_MARKET = {"exchange": "String", "market": "String"}
_SIZE = {"contract_size": "Decimal(38, 12)"}  # base units per unit of quantity, 0 where it is not known
_SCALARS: dict[type[pl.DataType], str] = {
    pl.Int8: "Int8",
    pl.Int16: "Int16",
    pl.Int32: "Int32",
    pl.Int64: "Int64",
    pl.UInt8: "UInt8",
    pl.UInt16: "UInt16",
    pl.UInt32: "UInt32",
    pl.UInt64: "UInt64",
    pl.Float32: "Float32",
    pl.Float64: "Float64",
    pl.Boolean: "Bool",
    pl.String: "String",
    pl.Categorical: "String",
    pl.Enum: "String",
    pl.Date: "Date32",
}


@dataclass(frozen=True)
class Catalogue:
    """A catalogue on disk.

    Attributes:
        folder: holds everything below except links of a copy, which stay where they were made.
        links: folder of the links to the lake's files.
        fingerprint: what of the lake it was built from.
        files: the links to data files that the tables read, as far as they lead to them all the time.
        is_fetched: whether the lake is in a bucket, and its files lead to rows only where and when `held` has fetched them.
        live: the files that are fetched; None in a copy, whose process cannot fetch.
        fetched: what fetches them; only in the process that built the catalogue.
    """

    folder: Path
    links: Path
    fingerprint: str
    files: list[str] = field(default_factory=list)
    is_fetched: bool = False
    live: LiveFiles | None = field(default=None, compare=False)
    fetched: FetchedLinks | None = field(default=None, compare=False)

    @property
    def path(self) -> Path:
        """The engine's own folder, for ``Session``; the process that opens it writes there."""
        return self.folder / _STORE

    @property
    def config_path(self) -> Path:
        """The engine's configuration file."""
        return self.folder / "serve.xml"

    def check_files(self) -> None:
        """Checks that every data file and the link to it exist: the engine skips missing ones silently.

        Raises:
            DamageError: a file is missing.
        """
        check_files(self.files)

    @contextlib.contextmanager
    def held(self, reads: Iterable[Read] | None, stop: threading.Event | None = None) -> Iterator[None]:
        """Fetches the files that a statement reads, and keeps them while it runs; nothing where the lake is not in a bucket.

        Args:
            reads: what it reads; None for everything.
            stop: set by whoever does not want the files any more.

        Raises:
            ConfigError: they are more than ``POINTLINE_MIRROR_BYTES``.
            DamageError: a file is missing, or its content is not what its name says.
            LakeError: the bucket does not answer, or refuses; or this process cannot fetch.
            UnwantedError: `stop` was set.
        """
        if not self.is_fetched:
            yield
            return
        if self.fetched is None or self.live is None:
            raise LakeError("this process cannot fetch the files of the lake", where=str(self.folder), hint="build a catalogue in it")
        with self.fetched.held(self.live.behind(reads), stop):
            yield

    @property
    def config_files(self) -> tuple[Path, ...]:
        """The engine's configuration files, which it reads and never writes."""
        return (self.config_path, self.config_path.with_name(f"{self.config_path.stem}-users.xml"))


def fingerprint_of(lake: Lake) -> str:
    """Changes when a table of the lake gets a commit, an instrument is added or a study is saved."""
    versions: dict[str, object] = {kind: lake.newest_version(kind) for kind in ("instruments", *lake.kinds())}
    for kind in STUDY_KINDS:
        for name, path in saved_studies(lake, kind).items():
            status = path.stat()
            versions[f"{kind} {name}"] = [status.st_mtime_ns, status.st_size, status.st_ino]
    text = json.dumps([_VERSION, str(lake.root), versions, lake.venue_versions()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def build_catalogue(lake: Lake, folder: Path, *, links: Path | None = None) -> Catalogue:
    """Makes a catalogue of the lake as it is now.

    The engine must not be open in this process, which is used for a moment to make the tables and views.

    Args:
        lake: the lake.
        folder: a new or empty folder.
        links: where links to the lake's files are kept, so that later catalogues use them again. If None, they are kept beside the lake,
            or in the catalogue where the lake cannot be written. Of a lake in a bucket they are kept in a folder of `link_scratch`, and
            beside them the names of its files, which lead to rows while a statement runs that reads them.

    Raises:
        ConfigError: the folder holds something, or its path cannot be written in SQL.
        MissingExtraError: chDB is not installed.
    """
    folder, is_remote = folder.absolute(), lake.mirror is not None
    if links is None and is_remote:
        raise ConfigError("the SQL catalogue of a lake in a bucket needs a folder for links", expected="one that `link_scratch` made")
    place = links.absolute() if links is not None else _place_of_links(lake, folder)
    for path in (folder, place):
        check_folder(path)
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError("a catalogue needs an empty folder", where=str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    catalogue = Catalogue(
        folder,
        place,
        fingerprint_of(lake),
        is_fetched=is_remote,
        live=LiveFiles(lake.root) if is_remote else None,
        fetched=FetchedLinks(lake, names_beside(place)) if is_remote else None,
    )
    statements = _statements(lake, catalogue)
    catalogue.check_files()
    remove_unused(catalogue.links)
    config.write_config(folder, changing=is_remote)
    building = config.write_config(folder, building=True)
    try:
        run_statements(catalogue.path, building, statements)
    finally:
        for file in folder.glob("build*.xml"):  # they give rights that no query may have
            file.unlink()
    _write_known(catalogue, live=None if catalogue.live is None else catalogue.live.as_json())
    return catalogue


def _write_known(catalogue: Catalogue, **more: object) -> None:
    own = {
        "fingerprint": catalogue.fingerprint,
        "links": str(catalogue.links),
        "files": catalogue.files,
        "is_fetched": catalogue.is_fetched,
    }
    known = {**own, **more}
    (catalogue.folder / CATALOGUE_FILE).write_text(json.dumps(known) + "\n", encoding="utf-8")


def _place_of_links(lake: Lake, folder: Path) -> Path:
    beside = lake.root / ".cache" / "sql"
    try:
        beside.mkdir(parents=True, exist_ok=True)
    except OSError:
        return folder / "links"
    return beside if os.access(beside, os.W_OK) and has_plain_path(beside) else folder / "links"


def copy_catalogue(catalogue: Catalogue, folder: Path) -> Catalogue:
    """A copy for another process: some small files; the links are shared.

    Args:
        catalogue: not opened by any process.
        folder: a new or empty folder.
    """
    folder = folder.absolute()
    check_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(catalogue.path, folder / _STORE, symlinks=True, dirs_exist_ok=True)
    shutil.copy(catalogue.folder / coarse_candles.FILE, folder)
    config.write_config(folder, changing=catalogue.is_fetched)
    copy = Catalogue(folder, catalogue.links, catalogue.fingerprint, catalogue.files, catalogue.is_fetched)
    _write_known(copy)
    return copy


def open_catalogue(folder: Path) -> Catalogue:
    """The catalogue that was built or copied into a folder.

    Raises:
        LakeError: there is none.
    """
    try:
        known = json.loads((folder / CATALOGUE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise LakeError("there is no SQL catalogue here", where=str(folder), expected="a folder made by build_catalogue") from error
    live = LiveFiles.of_json(known["live"]) if known.get("live") is not None else None
    return Catalogue(folder.absolute(), Path(known["links"]), known["fingerprint"], known["files"], known["is_fetched"], live)


def _statements(lake: Lake, catalogue: Catalogue) -> list[str]:
    """What makes the databases, tables and views, in order."""
    names = SqlNames(lake)
    sources, candle_days, covered_trades = tables.day_sources(lake, names)
    holdings = held(lake)
    CoarseCandles.of(holdings, names).save(catalogue.folder)
    if catalogue.live is not None:
        catalogue.live.describe(holdings, covered_trades)
    made = ["CREATE DATABASE lake", "CREATE DATABASE api"]
    kinds = {source.kind for source in sources} | {kind for kind in lake.kinds() if seconds_of(kind) is not None}
    sized = names.counts_contracts(lake, kinds)
    for kind in sorted(kinds | {"candles_1m", "trades"}):
        columns = {**(_TRADES if kind == "trades" else _CANDLES), **(_SIZE if sized else {}), **_MARKET}
        links = market_links(lake, kind, names, contract_size=sized)
        made += _named_table(catalogue, kind, columns, links, names)
    funding = {**_FUNDING, "contract_type": "String", **_MARKET}
    made += _named_table(catalogue, schema.FUNDING.name, funding, market_links(lake, "funding", names, contract_type=True), names)
    for name, frame in (
        ("instruments", tables.instrument_table(lake, names)),
        ("coverage", tables.coverage_table(holdings, names)),
        ("hole_minutes", tables.hole_minutes(holdings, names)),
        ("candle_days", candle_days),
        ("covered_trades", covered_trades),
    ):
        made.append(_small_table(catalogue, name, frame))
    made.append(f"CREATE VIEW api.ohlcv DEFINER = {OWNER} SQL SECURITY DEFINER AS\n{ohlcv_view(sources, sized=sized)}")
    made += _views(sized=sized)
    made += [*_features(lake, catalogue), *_spreads(lake, catalogue)]
    return made


def _views(*, sized: bool) -> list[str]:
    """The statements of views.sql; `sized` where the lake's trades have a ``contract_size``."""
    lines = (Path(__file__).parent / "views.sql").read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("--"))
    quantity = f"qty_int * arrayElement({STEPS}, qty_decimals + 1)"
    text = text.replace("{steps}", STEPS).replace("{quantity}", in_base_units(quantity) if sized else quantity)
    return [statement for statement in (part.strip() for part in text.split(";\n")) if statement]


def _named_table(catalogue: Catalogue, kind: str, columns: dict[str, str], links: list[Link], names: SqlNames) -> list[str]:
    """The table over a kind's files; where codes stand in its paths for names, a view over it that puts the names back."""
    monthly = schema.table(kind).monthly
    codes = {code: name for code, name in names.codes.items() if any(f"={code}/" in place for place, _ in links)}
    if not codes:
        return [_table(catalogue, kind, columns, links, monthly=monthly)]
    coded, named = (", ".join(_literal(text) for text in texts) for texts in (codes, codes.values()))
    back = ", ".join(f"transform({name}, [{coded}], [{named}], {name}) AS {name}" for name in ("exchange", "market"))
    files = f"{_CODED}{kind}"
    view = f"CREATE VIEW lake.{kind} AS SELECT * REPLACE ({back}), _file FROM lake.{files}"
    return [_table(catalogue, files, columns, links, monthly=monthly), view]


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\0", "\\0")
    return f"'{escaped}'"


def _table(catalogue: Catalogue, name: str, columns: dict[str, str], links: list[Link], *, monthly: bool = True) -> str:
    listed = ", ".join(f"`{column}` {kind}" for column, kind in columns.items())
    if not links:
        return f"CREATE TABLE lake.{name} ({listed}) ENGINE = Memory"
    levels = [f"{part.partition('=')[0]}=*" for part in links[0][0].split("/")[:-1]]
    always_there = name in STUDY_KINDS or catalogue.live is None
    if catalogue.live is not None and catalogue.fetched is not None and not always_there:
        catalogue.live.add(name.removeprefix(_CODED), links)
        links = catalogue.fetched.named(links)
    files = [place for place, _ in links]
    if not monthly:
        links, levels = by_month(catalogue.links, links), [*levels, "*"]
        files = [in_month(place) for place in files]
    folder = link_folder(catalogue.links, name, links)
    if always_there:
        catalogue.files.extend(f"{folder}/{place}" for place in files)
    return f"CREATE TABLE lake.{name} ({listed}) ENGINE = File(Parquet, '{folder}/{'/'.join(levels)}/*.parquet')"


def _small_table(catalogue: Catalogue, name: str, frame: pl.DataFrame) -> str:
    listed = ", ".join(f"`{column}` {_type_of(dtype)}" for column, dtype in frame.schema.items())
    path = catalogue.folder / "tables" / f"{name}.parquet"
    path.parent.mkdir(exist_ok=True)
    frame.write_parquet(path)
    return f"CREATE TABLE lake.{name} ({listed}) ENGINE = File(Parquet, '{path}')"


def _type_of(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime):
        digits = {"ms": 3, "us": 6, "ns": 9}[dtype.time_unit]
        return f"Nullable(DateTime64({digits}, 'UTC'))"
    if isinstance(dtype, pl.Decimal):
        return f"Nullable(Decimal({dtype.precision}, {dtype.scale}))"
    name = _SCALARS.get(type(dtype))
    if name is None:
        raise ConfigError("a column of this type has no place in SQL", value=str(dtype), expected="numbers, text, booleans and times")
    return f"Nullable({name})"


_STUDY = {
    "study": pl.String(),
    "perp_exchange": pl.String(),
    "perp_market": pl.String(),
    "spot_exchange": pl.String(),
    "spot_market": pl.String(),
}
_STUDY_BARS = {"bucket_start": pl.Int64(), "bucket_end": pl.Int64()}


_SPREADS = {"study": pl.String(), **dict.fromkeys(("start", "end", "known_at"), pl.Datetime("us", "UTC"))}


def _saved(lake: Lake, catalogue: Catalogue, kind: StudyKind, first: dict[str, pl.DataType]) -> tuple[str, list[str]]:
    """The table of the saved studies of a kind, one under another, columns matched by name; and its columns.

    Args:
        lake, catalogue: from where to where.
        kind: of the studies, and name of the table.
        first: the columns that are there without any study.
    """
    studies = saved_studies(lake, kind)
    empty = [pl.DataFrame(schema=first), *(pl.DataFrame(schema=study_schema(path)) for path in studies.values())]
    columns = dict(pl.concat(empty, how="diagonal_relaxed").schema)
    listed = {name: "String" if name == "study" else _type_of(dtype) for name, dtype in columns.items()}
    links = [(f"study={name}/{kind}.parquet", str(path)) for name, path in studies.items()]
    return _table(catalogue, kind, listed, links), list(columns)


def _spreads(lake: Lake, catalogue: Catalogue) -> list[str]:
    """The table and view of the saved spreads."""
    table, columns = _saved(lake, catalogue, "spreads", _SPREADS)
    listed = ", ".join(f"`{name}`" for name in [*_SPREADS, *(name for name in columns if name not in _SPREADS)])
    return [table, f"CREATE VIEW api.spreads DEFINER = {OWNER} SQL SECURITY DEFINER AS SELECT {listed} FROM lake.spreads"]


def _features(lake: Lake, catalogue: Catalogue) -> list[str]:
    """The table and view of the features of saved studies."""
    table, columns = _saved(lake, catalogue, "features", {**_STUDY, **_STUDY_BARS})
    own = ", ".join(f"`{name}`" for name in columns if name not in {*_STUDY, *_STUDY_BARS})
    return [
        table,
        f"""CREATE VIEW api.features DEFINER = {OWNER} SQL SECURITY DEFINER AS
SELECT {", ".join(_STUDY)}, CAST((bucket_start + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS start,
    CAST((bucket_end + 0.5) / 1000000 AS DateTime64(6, 'UTC')) AS end, end AS known_at{", " + own if own else ""}
FROM lake.features""",
    ]
