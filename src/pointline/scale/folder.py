"""A dataset's folder while it is filled: the plan, a record of each task, and files that appear whole or not at all.

::

    DATASET/plan.json                          what is to be in it
    DATASET/records/KEY.json                   what became of each task
    DATASET/data/perp=…/spot=…/case=0/….parquet
    DATASET/manifest.ndjson                    written last: the dataset is complete
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from pointline.errors import BusyError, ClusterError, ConfigError
from pointline.lake.durable import disk_errors, make_folder, single_writer, sync, write_atomically
from pointline.scale.task import TaskRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN, MANIFEST, RECORDS, DATA, STAGING = "plan.json", "manifest.ndjson", "records", "data", ".staging"
_BLOCK = 1 << 20


@dataclass(frozen=True)
class DatasetFolder:
    """The folder of a dataset.

    Attributes:
        root: the folder.
    """

    root: Path

    @classmethod
    def of(cls, path: str | Path) -> DatasetFolder:
        """The folder at a path.

        Raises:
            ConfigError: it is a URL, or something else than a folder is there.
        """
        if "://" in str(path):
            raise ConfigError(
                "only local folders can hold a dataset in this version", value=str(path), expected="a path that all workers share"
            )
        root = Path(path).expanduser().absolute()
        if root.exists() and not root.is_dir():
            raise ConfigError(
                "there is a file where the dataset shall be", value=str(root), expected="a new folder, or one of the same plan"
            )
        return cls(root)

    def plan(self) -> dict[str, Any] | None:
        """The plan that the folder shows; None where there is none.

        Raises:
            ConfigError: its file is damaged.
        """
        try:
            found = json.loads((self.root / PLAN).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ConfigError("the plan of a dataset cannot be read", where=str(self.root / PLAN), hint="use a new folder") from error
        return found if isinstance(found, dict) else None

    def begin(self, plan: dict[str, Any]) -> None:
        """Shows a plan; a folder of the same plan stays as it is.

        Raises:
            ConfigError: the folder holds another plan, or something else.
        """
        found = self.plan()
        if found is None:
            if self.root.is_dir() and any(not path.name.startswith(".") for path in self.root.iterdir()):
                raise ConfigError("the folder holds other files and no plan", value=str(self.root), expected="a new or an empty folder")
            make_folder(self.root)
            text = json.dumps(plan, indent=1, sort_keys=True) + "\n"
            write_atomically(self.root / PLAN, lambda path: path.write_text(text, encoding="utf-8"))
        elif found.get("key") != plan["key"]:
            raise ConfigError(
                "the folder holds the dataset of another plan",
                where=str(self.root),
                value="; ".join(_differences(found, plan)),
                expected="a new folder, or the same command as before",
            )

    def check_plan(self, key: str) -> None:
        """Makes sure that a worker sees the folder that the plan was written to.

        Raises:
            ClusterError: it does not.
        """
        found = self.plan()
        if found is None or found.get("key") != key:
            raise ClusterError(
                f"a worker on {socket.gethostname()} does not see the dataset's folder",
                where=str(self.root),
                hint="write to a folder that is mounted at the same path on every worker",
            )

    @contextlib.contextmanager
    def filling(self) -> Iterator[None]:
        """Holds the folder for one run, and removes what an earlier one left unfinished.

        Raises:
            BusyError: another run fills it.
        """
        staging = self.root / STAGING
        try:
            with single_writer(staging):
                for path in staging.glob("*.parquet*"):
                    path.unlink(missing_ok=True)
                yield
        except BusyError as error:
            raise BusyError(
                "another run fills this dataset", where=str(self.root), value=error.value, hint="wait until it has ended"
            ) from error

    def staged(self, key: str) -> Path:
        """A place for a file that is not finished, which no other process uses."""
        make_folder(self.root / STAGING)
        return self.root / STAGING / f"{key}-{_host()}-{os.getpid()}.parquet"

    def finish(self, staged: Path, path: str) -> None:
        """Puts a finished file at its place; what was there is replaced."""
        target = self.root / path
        make_folder(target.parent)
        with disk_errors(target):
            staged.replace(target)
            sync(target.parent)

    def record(self, key: str) -> TaskRecord | None:
        """What became of a task; None where that is not told, or not readable."""
        try:
            return TaskRecord.read(json.loads((self.root / RECORDS / f"{key}.json").read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def keep(self, record: TaskRecord) -> None:
        """Keeps what became of a task."""
        text = json.dumps(record.told(), sort_keys=True) + "\n"
        write_atomically(self.root / RECORDS / f"{record.key}.json", lambda path: path.write_text(text, encoding="utf-8"))

    def holds(self, record: TaskRecord) -> bool:
        """Whether the file of a record is there with every byte."""
        path = self.root / record.path
        if not record.rows:
            return not path.exists()
        return path.is_file() and path.stat().st_size == record.bytes and sha256_of(path) == record.sha256

    def complete(self, plan_key: str, records: list[TaskRecord]) -> None:
        """Writes the manifest, which makes the dataset complete."""
        head = {"plan": plan_key, "files": sum(bool(one.rows) for one in records), "rows": sum(one.rows for one in records)}
        lines = [head, *(one.told() for one in records)]
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines)
        write_atomically(self.root / MANIFEST, lambda path: path.write_text(text, encoding="utf-8"))

    def manifest(self) -> tuple[dict[str, Any], list[TaskRecord]] | None:
        """The manifest's first line and its records; None where the dataset is not complete.

        Raises:
            ConfigError: its file is damaged.
        """
        file = self.root / MANIFEST
        try:
            head, *lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
            records = [TaskRecord.read(line) for line in lines]
            whole = (sum(bool(one.rows) for one in records), sum(one.rows for one in records)) == (head["files"], head["rows"])
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise _damaged(file) from error
        if not whole:
            raise _damaged(file)
        return head, records


def _host() -> str:
    return re.sub(r"[^\w-]", "-", socket.gethostname())


def _damaged(file: Path) -> ConfigError:
    return ConfigError(
        "the manifest of a dataset is damaged", where=str(file), hint="run the command that made it again: it writes a new one"
    )


def _differences(found: dict[str, Any], plan: dict[str, Any]) -> list[str]:
    """What two plans say differently, three values of it at most."""
    return list(islice(_unlike(found, plan, "plan"), 3))


def _unlike(one: Any, other: Any, where: str) -> Iterator[str]:  # noqa: ANN401 - values of JSON
    if one == other:
        return
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted({*one, *other} - {"key"}):
            yield from _unlike(one.get(name), other.get(name), name)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for first, second in zip(one, other, strict=True):
            yield from _unlike(first, second, where)
    else:
        yield f"{where}: {str(one)[:160]} there, {str(other)[:160]} here"


def sha256_of(path: Path) -> str:
    """Hash of a file's bytes."""
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            hashed.update(block)
    return hashed.hexdigest()


def rows_of_file(path: Path) -> int:
    """Rows of a Parquet file, from its footer.

    Raises:
        OSError: it is no Parquet file.
    """
    import pyarrow.parquet as pq

    return int(pq.ParquetFile(path).metadata.num_rows)


def read_file(path: Path) -> pl.DataFrame:
    """All rows of a file of a dataset."""
    return pl.read_parquet(path, hive_partitioning=False)
