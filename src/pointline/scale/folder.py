"""A dataset while it is filled: the plan, a record of each task, and files that appear whole or not at all.

::

    DATASET/plan.json                          what is to be in it
    DATASET/records/KEY.json                   what became of each task
    DATASET/data/perp=…/spot=…/case=0/….parquet
    DATASET/manifest.ndjson                    written last: the dataset is complete

`DATASET` is a folder, or ``s3://BUCKET/PREFIX``.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pointline.errors import ClusterError, ConfigError, LakeError, MissingExtraError
from pointline.lake.places import SCHEME
from pointline.scale.files import files_at
from pointline.scale.pins import cannot_use
from pointline.scale.task import TaskRecord

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pointline.scale.files import DatasetFiles

PLAN, MANIFEST, RECORDS = "plan.json", "manifest.ndjson", "records"


@dataclass(frozen=True)
class DatasetFolder:
    """What is in a dataset, and where.

    Attributes:
        files: where its files lie.
    """

    files: DatasetFiles

    @classmethod
    def of(cls, path: str | Path) -> DatasetFolder:
        """The dataset at a path or URL.

        Raises:
            ConfigError: no dataset can be there.
        """
        return cls(files_at(path))

    @property
    def place(self) -> str:
        """Its folder, or its URL."""
        return self.files.place

    def plan(self) -> dict[str, Any] | None:
        """The plan that is shown there; None where there is none.

        Raises:
            ConfigError: its file is damaged.
        """
        content = self.files.read(PLAN)
        if content is None:
            return None
        try:
            found = json.loads(content)
        except ValueError as error:
            raise ConfigError("the plan of a dataset cannot be read", where=f"{self.place}/{PLAN}", hint="use a new folder") from error
        return found if isinstance(found, dict) else None

    def begin(self, plan: dict[str, Any]) -> None:
        """Shows a plan; what is there of the same plan stays as it is.

        Raises:
            ConfigError: another plan is shown there, or other files are there.
        """
        found = self.plan()
        if found is None:
            if self.files.has_others():
                raise ConfigError("the folder holds other files and no plan", value=self.place, expected="a new or an empty folder")
            self.files.write_first(PLAN, (json.dumps(plan, indent=1, sort_keys=True) + "\n").encode())
            found = self.plan()
        if found is None or found.get("key") != plan["key"]:
            raise ConfigError(
                "the folder holds the dataset of another plan",
                where=self.place,
                value="; ".join(_differences(found or {}, plan)),
                expected="a new folder, or the same command as before",
            )

    def check_plan(self, key: str) -> None:
        """Makes sure that a worker sees the dataset that the plan was written to.

        Raises:
            ClusterError: it does not.
        """
        try:
            found = self.plan()
        except (ConfigError, LakeError, MissingExtraError) as error:
            if self.place.startswith(SCHEME):
                raise cannot_use("the dataset", self.place, error) from error
            raise
        if found is None or found.get("key") != key:
            raise ClusterError(
                f"a worker on {socket.gethostname()} does not see the dataset's folder",
                where=self.place,
                hint="write to a folder that is mounted at the same path on every worker, or to a bucket",
            )

    def filling(self) -> AbstractContextManager[None]:
        """Holds the dataset for one run.

        Raises:
            BusyError: another run fills it.
        """
        return self.files.filling()

    def record(self, key: str) -> TaskRecord | None:
        """What became of a task; None where that is not told, or not readable."""
        try:
            return TaskRecord.read(json.loads(self.files.read(f"{RECORDS}/{key}.json") or b""))
        except (ValueError, TypeError):
            return None

    def keep(self, record: TaskRecord) -> None:
        """Keeps what became of a task."""
        self.files.write(f"{RECORDS}/{record.key}.json", (json.dumps(record.told(), sort_keys=True) + "\n").encode())

    def holds(self, record: TaskRecord) -> bool:
        """Whether the file of a record is there with every byte."""
        size = self.files.size(record.path)
        if not record.rows:
            return size is None
        return size == record.bytes and self.files.sha256(record.path) == record.sha256

    def complete(self, plan_key: str, records: list[TaskRecord]) -> None:
        """Writes the manifest, which makes the dataset complete.

        Raises:
            BusyError: another run may fill the dataset by now.
        """
        self.files.check()
        head = {"plan": plan_key, "files": sum(bool(one.rows) for one in records), "rows": sum(one.rows for one in records)}
        lines = [head, *(one.told() for one in records)]
        self.files.write(MANIFEST, "".join(json.dumps(line, sort_keys=True) + "\n" for line in lines).encode())

    def manifest(self) -> tuple[dict[str, Any], list[TaskRecord]] | None:
        """The manifest's first line and its records; None where the dataset is not complete.

        Raises:
            ConfigError: its file is damaged.
        """
        content = self.files.read(MANIFEST)
        if content is None:
            return None
        where = f"{self.place}/{MANIFEST}"
        try:
            head, *lines = [json.loads(line) for line in content.decode("utf-8").splitlines()]
            records = [TaskRecord.read(line) for line in lines]
            whole = (sum(bool(one.rows) for one in records), sum(one.rows for one in records)) == (head["files"], head["rows"])
        except (ValueError, TypeError, KeyError) as error:
            raise _damaged(where) from error
        if not whole:
            raise _damaged(where)
        return head, records


def _damaged(where: str) -> ConfigError:
    return ConfigError("the manifest of a dataset is damaged", where=where, hint="run the command that made it again: it writes a new one")


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
