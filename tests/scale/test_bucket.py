"""A lake and a dataset in a bucket: the bytes are those of folders, with workers too, and a worker that lacks something says what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from tests import buckets
from tests.cli.running import run
from tests.scale.working import PAIR, bytes_of

from pointline import scale
from pointline.errors import BusyError, ClusterError, ConfigError, LakeError
from pointline.lake import places
from pointline.lake.bucket import Bucket
from pointline.lake.transfer import copy_lake
from pointline.research.spines import TimeBarConfig
from pointline.scale.files import BucketFiles
from pointline.scale.folder import DatasetFolder
from pointline.scale.pins import lake_of_plan

URL = "s3://desk/scale/lake"


@pytest.fixture(scope="module")
def copied(s3_server: buckets.Server, lake: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """URL of a copy of the lake."""
    with pytest.MonkeyPatch.context() as patch:
        buckets.enter(patch, s3_server, tmp_path_factory.mktemp("mirrors"))
        patch.setattr(places, "_MIRRORS", {})
        copy_lake(lake, URL)
    return URL


def made(lake: str, output: str | Path, **changed: Any) -> scale.ScaledDataset:  # noqa: ANN401
    given = {"start": "2024-05-01", "end": "2024-05-04", "bars": TimeBarConfig("1h"), "days_per_task": 1, **changed}
    return scale.compare([PAIR], **given, lake=lake, output=output)


def bytes_in(url: str) -> dict[str, str]:
    """Hashes of all objects of a dataset."""
    files = BucketFiles(Bucket(url))
    return {key: files.sha256(key) for key in files.bucket.listed() if not key.startswith(".")}


def test_workers_read_a_lake_in_a_bucket_and_write_to_one(lake: str, copied: str, store: buckets.Server, tmp_path: Path) -> None:
    store.forget()
    options = ["--start", "2024-05-01", "--end", "2024-05-04", "--bars", "time", "--threshold", "1h", "--days-per-task", "1"]
    url = "s3://desk/scale/made"
    told = run("scale", "compare", "--pair", ",".join(PAIR), *options, "--cluster", "local:2", "--lake", copied, "-o", url)
    assert told.code == 0, told.err
    assert not [key for method, key in store.requests if method not in {"GET", "HEAD"} and not key.startswith("scale/made/")]
    folder = made(lake, tmp_path / "folder")
    plans = [DatasetFolder.of(place).plan() or {} for place in (url, tmp_path / "folder")]
    assert [plan["lake"].pop("folder") for plan in plans] == [copied, lake]
    assert plans[0] == plans[1]
    assert {**bytes_in(url), "plan.json": ""} == {**bytes_of(folder.root), "plan.json": ""}
    assert run("scale", "check", url).out == f"{folder.rows} rows in 3 files in {url}\n" + told.out.partition("\n")[2]


def test_a_dataset_in_a_bucket_is_made_once_and_what_is_damaged_again(lake: str, store: buckets.Server, tmp_path: Path) -> None:
    url = "s3://desk/scale/damaged"
    first = made(lake, Path(url))  # which has one slash less
    before = bytes_in(url)
    assert (first.place, first.run and first.run.computed) == (url, 3)
    assert_frame_equal(scale.open_dataset(url).features().collect(), made(lake, tmp_path / "folder").features().collect(), check_exact=True)
    with pytest.raises(ConfigError, match="has no folder"):
        _ = first.root
    one, two, _ = first.files["path"]
    bucket = Bucket(url)
    bucket.put(one, b"x" * first.files["bytes"][0])
    bucket.remove(two)
    bucket.remove("manifest.ndjson")
    with pytest.raises(ConfigError, match="not complete"):
        scale.open_dataset(url)
    mended = made(lake, url)
    assert mended.run is not None
    assert (mended.run.computed, mended.run.kept) == (2, 1)
    assert bytes_in(url) == before
    store.forget()
    again = made(lake, url)
    assert again.run is not None
    assert (again.run.computed, again.run.kept) == (0, 3)
    assert {key for method, key in store.requests if method == "PUT"} == {"scale/damaged/.lease.json", "scale/damaged/manifest.ndjson"}
    with pytest.raises(ConfigError, match="another plan"):
        made(lake, url, end="2024-05-03")
    bucket.remove(two)
    with pytest.raises(ConfigError, match="1 of 3 files are missing or damaged"):
        again.check()


def test_a_bucket_with_other_objects_and_one_that_another_run_fills_are_refused(lake: str, store: buckets.Server) -> None:
    del store
    Bucket("s3://desk/scale/others").put("notes.txt", b"mine")
    with pytest.raises(ConfigError, match="other files"):
        made(lake, "s3://desk/scale/others")
    url = "s3://desk/scale/busy"
    with pytest.raises(BusyError, match="another run fills this dataset"):
        made(lake, url, progress=lambda *_: made(lake, url))
    with pytest.raises(ConfigError, match="no place for a lake or a dataset"):
        made(lake, "s3://")
    with pytest.raises(LakeError, match="no such bucket"):
        made(lake, "s3://nowhere/made")


def test_a_run_that_lost_its_lease_completes_nothing(lake: str, store: buckets.Server) -> None:
    del store
    url = "s3://desk/scale/lost"
    with pytest.MonkeyPatch.context() as patch:

        def lose(done: int, total: int, path: str) -> None:
            del path
            if done == total:
                patch.setattr("pointline.lake.lease.time.monotonic", lambda: 1e12)

        with pytest.raises(BusyError, match="away for longer"):
            made(lake, url, progress=lose)
    with pytest.raises(ConfigError, match="not complete"):
        scale.open_dataset(url)


def test_a_store_that_fails_leaves_a_dataset_that_goes_on(lake: str, store: buckets.Server) -> None:
    url = "s3://desk/scale/failing"
    store.fault = lambda method, key: (403, "AccessDenied") if method == "PUT" and key.endswith("02.parquet") else None
    with pytest.raises(LakeError, match="1 of 3 tasks failed, 2 are done") as told:
        made(lake, url)
    assert "the store refuses access to the bucket" in str(told.value.value)
    store.forget()
    found = made(lake, url)
    assert found.run is not None
    assert (found.run.computed, found.run.kept) == (1, 2)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"AWS_ACCESS_KEY_ID": ""}, "there are no credentials for the store"),
        ({"AWS_ENDPOINT_URL": "http://store:9000"}, "the endpoint of the store is not encrypted"),
    ],
)
def test_a_worker_without_credentials_is_named(
    copied: str, store: buckets.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], words: str
) -> None:
    del store
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ClusterError, match=r"a worker on .*, process \d+, cannot use the lake in the bucket") as told:
        lake_of_plan(copied, f"of {words}")
    assert words in str(told.value.value)
    assert buckets.SECRET_KEY not in str(told.value)
    with pytest.raises(ClusterError, match="cannot use the dataset in the bucket"):
        DatasetFolder.of("s3://desk/scale/made").check_plan("key")
    with pytest.raises(ClusterError, match="a worker finds no lake"):
        lake_of_plan(str(tmp_path / "nowhere"), words)
