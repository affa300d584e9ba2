"""One archive file parsed by a worker: its batches in files of a staging place, and a small record of them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from pointline import schema
from pointline.ingest.checksum import sha256_of
from pointline.scale.runner import check_versions
from pointline.scale.staging import check_seen, parsed_place
from pointline.scale.task import digest
from pointline.sources.base import Batch
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pointline.sources.base import Hints, Identity

_LAST = "batches.json"
_FACTS = ("kind", "exchange", "symbol", "clock", "rank", "skipped", "rounded")


@dataclass(frozen=True, kw_only=True)
class ParseCall:
    """A file as it goes to a worker.

    Attributes:
        path: of the archive file.
        source: name of its parser.
        asked: as ``--source`` was given.
        identity, hints: as the parser takes them.
        mapping: content of the file that `hints` names; None where they name none.
        staging: place for what was parsed (`pointline.scale.staging`), which all machines reach.
        compression: of the parsed rows. Without, 2.2 million rows of trades cost a third of the processor time to write and to read, and
            2.5 times the bytes.
        versions: of the libraries of the client.
    """

    path: str
    source: str
    asked: str | None
    identity: Identity
    hints: Hints
    mapping: bytes | None = None
    staging: str
    compression: Literal["lz4", "uncompressed"] = "lz4"
    versions: Mapping[str, str]

    @property
    def name(self) -> str:
        """What people call it."""
        return Path(self.path).name

    @property
    def key(self) -> str:
        """What tells it from other files."""
        return digest([self.path])


@dataclass(frozen=True)
class ParsedFile:
    """What a worker made of a file.

    Attributes:
        path: of the archive file.
        sha256: of the bytes that were parsed.
        staged: name of its batches in the staging place; None where it could not be parsed or written here, which the client then tries
            itself.
    """

    path: str
    sha256: str
    staged: str | None


def parse_file(call: ParseCall) -> ParsedFile:
    """Parses a file into a folder of its own.

    Raises:
        ClusterError: this process has other versions than the client, or does not reach the file or the staging place.
    """
    check_versions(call.versions)
    path, place = Path(call.path), parsed_place(call.staging)
    check_seen(path)
    place.check()
    source = next(one for one in all_sources(call.asked) if one.name == call.source)
    sha256 = sha256_of(path)
    name = f"{call.key}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        with place.filled(name) as folder, _hints_here(call) as hints:
            _write(folder, source.read(path, call.identity, hints), call.compression)
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001 - the client meets it too, and tells it of the file
        return ParsedFile(call.path, sha256, None)
    return ParsedFile(call.path, sha256, name)


def _write(folder: Path, batches: Iterator[Batch], compression: Literal["lz4", "uncompressed"]) -> None:
    facts = []
    for number, batch in enumerate(batches):
        held = batch.frame.select(_with_values(batch))
        held.write_ipc(folder / f"{number}.arrow", compression=compression)
        batch.rejects.write_ipc(folder / f"{number}-rejects.arrow", compression=compression)
        facts.append({"columns": batch.frame.columns, **{name: getattr(batch, name) for name in _FACTS}})
    (folder / _LAST).write_text(json.dumps(facts), encoding="utf-8")


def _with_values(batch: Batch) -> list[str]:
    """The columns that must be written: those of nulls alone, of the table's types, need not be."""
    frame, parsed = batch.frame, schema.table(batch.kind).parsed
    found = [name for name in frame.columns if frame[name].null_count() < frame.height or frame.schema[name] != parsed.get(name)]
    return found or frame.columns


@contextlib.contextmanager
def _hints_here(call: ParseCall) -> Iterator[Hints]:
    """The hints with a mapping that this machine has."""
    if call.mapping is None:
        yield call.hints
        return
    with tempfile.TemporaryDirectory(prefix="pointline-mapping-") as folder:
        path = Path(folder) / "mapping.toml"
        path.write_bytes(call.mapping)
        yield replace(call.hints, mapping=path)


def mapping_of(hints: Hints) -> bytes | None:
    """Content of the mapping that hints name; None where they name none.

    Raises:
        OSError: it cannot be read.
    """
    return None if hints.mapping is None else hints.mapping.read_bytes()


def is_whole(folder: Path) -> bool:
    """Whether this machine sees all that `parse_file` left in a folder."""
    try:
        count = len(json.loads((folder / _LAST).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False
    return all((folder / f"{number}{part}.arrow").is_file() for number in range(count) for part in ("", "-rejects"))


def batches_of(folder: Path) -> Iterator[Batch]:
    """What `parse_file` left in a folder, batch for batch as the parser gave it."""
    for number, facts in enumerate(json.loads((folder / _LAST).read_text(encoding="utf-8"))):
        held, rejects = (pl.read_ipc(folder / f"{number}{part}.arrow") for part in ("", "-rejects"))
        parsed, columns = schema.table(facts["kind"]).parsed, facts.pop("columns")
        frame = held.select(pl.col(name) if name in held.columns else pl.lit(None, parsed[name]).alias(name) for name in columns)
        yield Batch(frame=frame, rejects=rejects, **facts)
