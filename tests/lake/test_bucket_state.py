"""The state machine of the lake over a bucket: the same rules, and runs that are cut off by a store that stops to answer."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from tests.lake.test_lake_state import FIRED, File, LakeMachine, archives, every_rule_in_turn, recordings

from pointline.errors import LakeError
from pointline.ingest.run import ingest, options_text
from pointline.lake import open_lake, places
from pointline.lake.lease import LEASE
from pointline.lake.manifest import Manifest
from pointline.lake.verify import verify
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

if TYPE_CHECKING:
    from pathlib import Path

    from tests.buckets import Server

EXAMPLES = 40
_NUMBERS = itertools.count(1)


class BucketMachine(LakeMachine):
    """As `LakeMachine`, in the store of the tests."""

    server: ClassVar[Server]
    mirrors: ClassVar[Path]

    def new_place(self) -> str:
        return f"s3://desk/machine-{next(_NUMBERS)}"

    @rule(file=st.one_of(archives, recordings), answers=st.integers(0, 14), forgets=st.booleans())
    def cut_off(self, file: File, answers: int, forgets: bool) -> None:
        """The store takes a few writes and then no more; the next writer, here or elsewhere, finds all of the change or nothing."""
        if not file.groups():
            return
        path = self.new_path(file)
        left = itertools.count(-answers)
        self.server.fault = lambda method, key: (500, "InternalError") if method == "PUT" and next(left) >= 0 else None  # noqa: ARG005
        try:
            self.land(open_lake(self.place), file, path)
        except LakeError:
            FIRED["a run was cut off by the store"] += 1
        finally:
            self.server.fault = None
        if forgets:
            shutil.rmtree(self.mirrors, ignore_errors=True)
            places._MIRRORS.clear()
        mirror = open_lake(self.place).mirror
        assert mirror is not None
        mirror.bucket.remove(LEASE)  # as if it had expired
        before = Manifest(open_lake(self.place)).current(self.key(path))
        ingest(open_lake(self.place), [], sources=all_sources(), hints=Hints())
        now = Manifest(open_lake(self.place)).current(self.key(path))
        FIRED["a commit was carried out by the next writer"] += now != before
        version = (hashlib.sha256(path.read_bytes()).hexdigest(), options_text(Hints(latency_us=0 if file.recorded else file.delay_us)))
        if now is not None and (now["sha256"], now["options"]) == version:
            self.current[self.key(path)] = (file, path)
        assert verify(open_lake(self.place)).problems == []


@pytest.mark.slow
def test_the_state_in_a_bucket_is_a_function_of_the_current_files(store: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pointline.lake.bucket.MOST_RETRIES", 0)
    BucketMachine.server, BucketMachine.mirrors = store, tmp_path / "mirrors"
    every_rule_in_turn(BucketMachine)
    run_state_machine_as_test(BucketMachine, settings=settings(stateful_step_count=8, max_examples=EXAMPLES))
