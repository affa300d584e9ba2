"""A lake and a dataset in a bucket: the bytes are those of folders, with workers too, and a worker that lacks something says what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests import buckets
from tests.cli.running import run
from tests.scale.working import PAIR, bytes_of

from pointline import scale
from pointline.errors import ClusterError
from pointline.lake import places
from pointline.lake.transfer import copy_lake
from pointline.research.spines import TimeBarConfig
from pointline.scale.pins import lake_of_plan

if TYPE_CHECKING:
    from pathlib import Path

URL = "s3://desk/scale/lake"


@pytest.fixture(scope="module")
def copied(s3_server: buckets.Server, lake: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of a copy of the lake."""
    with pytest.MonkeyPatch.context() as patch:
        buckets.enter(patch, s3_server, tmp_path_factory.mktemp("mirrors"))
        patch.setattr(places, "_MIRRORS", {})
        copy_lake(lake, URL)
    return URL


def test_workers_read_a_lake_in_a_bucket(lake: str, copied: str, store: buckets.Server, tmp_path: Path) -> None:
    store.forget()
    options = ["--start", "2024-05-01", "--end", "2024-05-04", "--bars", "time", "--threshold", "1h", "--days-per-task", "1"]
    told = run("scale", "compare", "--pair", ",".join(PAIR), *options, "--cluster", "local:2", "--lake", copied, "-o", str(tmp_path / "s3"))
    assert told.code == 0, told.err
    assert {method for method, _ in store.requests} <= {"GET", "HEAD"}
    window = {"start": "2024-05-01", "end": "2024-05-04", "bars": TimeBarConfig("1h"), "days_per_task": 1}
    found = bytes_of(scale.compare([PAIR], **window, lake=lake, output=tmp_path / "folder").root)  # type: ignore[arg-type]
    ours = bytes_of(tmp_path / "s3")
    plans = [json.loads((tmp_path / name / "plan.json").read_text()) for name in ("s3", "folder")]
    assert [plan["lake"].pop("folder") for plan in plans] == [copied, lake]
    assert plans[0] == plans[1]
    assert {**ours, "plan.json": ""} == {**found, "plan.json": ""}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "there are no credentials for the store"),
        ({"AWS_ENDPOINT_URL": "http://store:9000"}, "the endpoint of the store is not encrypted"),
    ],
)
def test_a_worker_without_credentials_is_named(
    copied: str, store: buckets.Server, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], words: str
) -> None:
    del store
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ClusterError, match=r"a worker on .*, process \d+, cannot use the lake in the bucket") as told:
        lake_of_plan(copied, f"of {words}")
    assert words in str(told.value.value)
    assert buckets.SECRET_KEY not in str(told.value)
