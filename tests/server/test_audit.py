"""The audit log: its lines, its size and its files."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from pathlib import Path

import pytest

from pointline.errors import ConfigError
from pointline.server.audit import AuditEntry, AuditLog


def test_an_entry_is_a_line_of_json() -> None:
    now = dt.datetime(2024, 12, 1, 12, 30, 0, 123_456, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    entry = AuditEntry(user="ann", text="SELECT 'ä\n'" + " " * 20_000, elapsed_ms=1.23456, relations=("trade",))
    line = entry.line(now)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    found = json.loads(line)
    assert found["time"] == "2024-12-01T11:30:00.123Z"
    assert (found["user"], found["elapsed_ms"], found["relations"], found["outcome"]) == ("ann", 1.235, ["trade"], "ok")
    assert found["text"] == entry.text[:10_000]
    assert found["text_sha256"] == hashlib.sha256(entry.text.encode()).hexdigest()


def test_the_log_is_put_aside_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit.jsonl"
    log = AuditLog(path, 1_000)
    for n in range(60):
        log.add(AuditEntry(query_id=str(n)))
    log.close()
    files = sorted(tmp_path.rglob("audit*"))
    assert [file.name for file in files] == ["audit.jsonl", *(f"audit.jsonl.{n}" for n in range(1, 6))]
    assert all(file.stat().st_size < 1_500 for file in files)
    assert path.stat().st_mode & 0o077 == 0
    kept = [json.loads(line)["query_id"] for file in [*reversed(files[1:]), files[0]] for line in file.read_text().splitlines()]
    assert kept == [str(n) for n in range(60 - len(kept), 60)]


def test_a_line_is_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One call of the system for each entry, however long, also for the first one of a new file."""
    written: list[bytes] = []

    class Recorded(io.FileIO):
        def write(self, data: bytes) -> int:
            written.append(bytes(data))
            return super().write(data)

    monkeypatch.setattr("pointline.server.audit.io.FileIO", Recorded)
    log = AuditLog(tmp_path / "audit.jsonl", 150_000)
    texts = ["SELECT 1", "é" * 10_000, "x" * 10_000, "é" * 10_000, "SELECT 2", "é" * 10_000]
    for text in texts:
        log.add(AuditEntry(text=text))
    log.close()
    assert [json.loads(line)["text"] for line in written] == texts
    assert all(line.endswith(b"\n") for line in written)
    assert (tmp_path / "audit.jsonl.1").read_bytes() + (tmp_path / "audit.jsonl").read_bytes() == b"".join(written)


def test_an_entry_that_cannot_be_written_is_an_error() -> None:
    log = AuditLog(Path("/dev/full"), 10**6)
    with pytest.raises(OSError, match="No space"):
        log.add(AuditEntry())
    log.close()


def test_files_are_readable_for_their_owner_only(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl", 700)
    for _ in range(3):
        log.add(AuditEntry())
    log.close()
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("audit.jsonl", "audit.jsonl.1", "audit.jsonl.2"), 0o600
    )


def test_a_log_goes_on_after_a_restart(tmp_path: Path) -> None:
    for n in range(2):
        log = AuditLog(tmp_path / "a", 10**6)
        log.add(AuditEntry(query_id=str(n)))
        log.close()
    assert len((tmp_path / "a").read_text().splitlines()) == 2


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="audit log"):
        AuditLog(tmp_path / "file" / "audit", 10)
    AuditLog(None, 10).add(AuditEntry())
