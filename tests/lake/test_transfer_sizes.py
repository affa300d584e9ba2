"""Large objects are transferred in parts: memory is bounded, and a transfer that ends early is gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests import buckets

from pointline.errors import DamageError, LakeError
from pointline.lake import bucket as buckets_of_a_lake
from pointline.lake import open_lake
from pointline.lake.bucket import Bucket
from pointline.lake.content import content_name
from pointline.lake.delta_log import Change, NewFile, commit
from pointline.lake.durable import single_writer
from pointline.lake.heads import head_of, write_heads
from pointline.lake.paths import partition_folder
from pointline.lake.transfer import copy_lake

if TYPE_CHECKING:
    from pathlib import Path

SIZE = 3 * 1024 * 1024 + 7
MOST_MB = 120
COPY = """
import sys
from pathlib import Path
import deltalake, obstore.store, polars
from pointline.lake import open_lake
from pointline.lake.transfer import copy_lake

def status(name):
    text = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(text.split()[1]) / 1024

open_lake(sys.argv[1])
before = status("VmRSS")
copy_lake(sys.argv[1], sys.argv[2])
print(status("VmHWM") - before)
"""


def lake_with(folder: Path, content: bytes) -> tuple[Path, str]:
    """A lake with one data file, which holds anything; and its key."""
    lake = open_lake(folder / "lake", create=True)
    below = partition_folder("x", "Y", "2024-05-01")
    place = lake.table_path("funding") / below
    place.mkdir(parents=True)
    (place / "new").write_bytes(content)
    name = content_name(place / "new")
    (place / "new").rename(place / name)
    file = NewFile(f"{below}/{name}", {"exchange": "x", "symbol": "Y", "date": "2024-05-01"}, 1)
    with single_writer(lake.root):
        commit(lake, "funding", Change(added=[file]))
        write_heads(lake.root, {"funding": head_of(lake.log_path("funding"), [(file.path, 1)])})
    return lake.root, f"funding/{file.path}"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets_of_a_lake, "PART_BYTES", 1 << 20)
    monkeypatch.setattr(buckets_of_a_lake, "MOST_RETRIES", 1)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("cut", [0, 1, 100_000, SIZE - 1])
def test_a_body_that_ends_early_is_completed(cut: int, new_url: str, store: buckets.Server, tmp_path: Path) -> None:
    """The connection ends after some bytes of the object, each time that all of it is asked for."""
    content = os.urandom(SIZE)
    root, key = lake_with(tmp_path, content)
    copy_lake(root, new_url)
    store.cut = lambda method, name, span: cut if method == "GET" and name.endswith(key) and not span else None
    copy_lake(new_url, tmp_path / "back")
    assert (tmp_path / "back" / key).read_bytes() == content
    assert not list((tmp_path / "back" / ".staging").iterdir())


@pytest.mark.usefixtures("small_parts")
def test_a_body_that_always_ends_early_is_an_error(new_url: str, store: buckets.Server, tmp_path: Path) -> None:
    root, key = lake_with(tmp_path, os.urandom(SIZE))
    copy_lake(root, new_url)
    store.cut = lambda method, name, span: 10 if method == "GET" and name.endswith(key) else None  # noqa: ARG005
    with pytest.raises(LakeError):
        copy_lake(new_url, tmp_path / "back")
    assert not (tmp_path / "back" / key).exists()
    store.cut = None
    copy_lake(new_url, tmp_path / "back")
    assert (tmp_path / "back" / key).read_bytes() == (root / key).read_bytes()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("wrong", [b"", b"x" * SIZE, b"y" * (SIZE - 5)])
def test_another_content_is_refused(wrong: bytes, new_url: str, tmp_path: Path) -> None:
    root, key = lake_with(tmp_path, os.urandom(SIZE))
    copy_lake(root, new_url)
    Bucket(new_url).put(key, wrong)
    with pytest.raises(DamageError, match="not what was written"):
        copy_lake(new_url, tmp_path / "back")
    assert not (tmp_path / "back" / key).exists()


@pytest.mark.slow
def test_a_full_disk_is_told(new_url: str, tmp_path: Path) -> None:
    root, key = lake_with(tmp_path, os.urandom(SIZE))
    copy_lake(root, new_url)
    program = "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\nimport signal\n"
    program += "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nfrom pointline.cli import main\nsys.argv[0] = 'pointline'\nmain()\n"
    words = ["lake", "copy", new_url, str(tmp_path / "back")]
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, "no disk space is left" in done.stderr) == (5, True), done.stderr
    assert not (tmp_path / "back" / key).exists()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_size_of_a_file(new_url: str, store: buckets.Server, tmp_path: Path) -> None:
    root, _ = lake_with(tmp_path, os.urandom(1 << 20) * 300)
    env = {**os.environ, **buckets.environment(store, tmp_path / "mirror")}
    for source, target in ((root, new_url), (new_url, tmp_path / "back"), (root, tmp_path / "again")):
        command = [sys.executable, "-c", COPY, str(source), str(target)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert float(done.stdout) < MOST_MB, (source, target)
