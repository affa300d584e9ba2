"""A real server as a process of its own, and a single worker without a server, for tests of either."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from tests import machine

from pointline.server import channel
from pointline.server.channel import Answer, Job
from pointline.server.environment import clean_environment
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.limits import QueryLimits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pointline.lake.store import Lake
    from pointline.server.worker import WorkerSetup


def _new_client() -> httpx.Client:
    """With a time so long that only an answer which never comes takes it."""
    return httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=600, trust_env=False)


@dataclass
class RunningServer:
    """A server that takes queries.

    Attributes:
        url: where, with the slash.
        process: the server's process.
        folder: holds its configuration and audit log.
        said: lines that it wrote to standard error.
        client: opens a connection for each request.
    """

    url: str
    process: subprocess.Popen[str]
    folder: Path
    said: list[str] = field(default_factory=list)
    client: httpx.Client = field(default_factory=_new_client)

    @property
    def host(self) -> str:
        return self.url.split("/")[2].rpartition(":")[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2].strip("/"))

    def ask(self, text: str, /, *, headers: Mapping[str, str] | None = None, **parameters: str) -> httpx.Response:
        """Posts a query."""
        return self.client.post(self.url, content=text.encode(), params=parameters, headers=headers)

    def rows(self, text: str, **parameters: str) -> list[list[Any]]:
        """Rows of a query that must succeed."""
        response = self.ask(text, default_format="JSONCompact", **parameters)
        assert response.status_code == 200, response.text
        found: list[list[Any]] = response.json()["data"]
        return found

    def workers(self) -> set[int]:
        """Process ids of the workers."""
        found = set()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = re.search(r"^PPid:\s*(\d+)$", (entry / "status").read_text(), re.MULTILINE)
                    command = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if parent and int(parent[1]) == self.process.pid and b"pointline.server.worker" in command:
                    found.add(int(entry.name))
        return found

    def has_settled(self) -> bool:
        """Whether both workers have started and wait for queries."""
        return [_shown(pid) for pid in self.workers()] == ["sql idle"] * 2

    def busy(self) -> set[int]:
        """Workers that have a query."""
        return {pid for pid in self.workers() if _shown(pid) == "sql busy"}

    def entry(self, query_id: str) -> dict[str, Any]:
        """The audit log's entry of a query, which is written when its answer has been sent."""
        return machine.until(lambda: next((entry for entry in self.audit() if entry["query_id"] == query_id), None)) or {}

    def audit(self) -> list[dict[str, Any]]:
        """Entries of the audit log."""
        path = self.folder / "audit.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


@contextmanager
def running_server(
    lake: Lake, folder: Path, *, config: str = "", options: Sequence[str] = (), place: str | None = None
) -> Iterator[RunningServer]:
    """Starts ``pointline serve`` on a free port of 127.0.0.1 and stops it at the end, which must go as it should.

    Args:
        lake: what it serves.
        folder: for its configuration and audit log (``audit.jsonl``).
        config: TOML; its ``[server]`` table, which is added where it is missing, gets port and audit log.
        options: more options of the command.
        place: of the lake, where it is not its folder.
    """
    path = folder / "serve.toml"
    given = config if "[server]" in config else f"[server]\n{config}"
    path.write_text(given.replace("[server]", '[server]\nport = 0\naudit_log = "audit.jsonl"', 1), encoding="utf-8")
    path.chmod(0o600)
    command = [sys.executable, "-m", "pointline.cli", "serve", "--lake", place or str(lake.root), "--config", str(path), *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "POLARS_MAX_THREADS": "1"})
    said: list[str] = []
    ready = threading.Event()
    reader = threading.Thread(target=_listen, args=(process, said, ready), daemon=True)
    reader.start()
    try:
        assert ready.wait(machine.limit(60)), said
        found = next((re.search(r" at (https?://\S+/) with", line) for line in said if line.startswith("serving ")), None)
        assert found is not None, "\n".join(said)
        server = RunningServer(found[1], process, folder, said)
        with server.client:
            yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(machine.limit(20))
        finally:
            process.kill()
            process.wait()
            reader.join(machine.limit(5))
            assert process.stderr is not None
            process.stderr.close()
    assert code == 128 + signal.SIGTERM, "\n".join(said)


def _shown(pid: int) -> str:
    """What a process shows of itself."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _listen(process: subprocess.Popen[str], said: list[str], ready: threading.Event) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line.rstrip("\n"))
        if line.startswith("serving "):
            ready.set()
    ready.set()


class DirectWorker:
    """A worker that is given jobs by hand.

    Args:
        setup: where it works.
        program: what Python runs, where it is not the worker itself.
        environment: variables beside those of every worker.
    """

    def __init__(self, setup: WorkerSetup, program: Sequence[str] = ("-m", "pointline.server.worker"), **environment: str) -> None:
        self.setup = setup
        self.process = subprocess.Popen(
            [sys.executable, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment() | environment,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._in, self._out = self.process.stdin.fileno(), self.process.stdout.fileno()
        channel.send(self._in, b"J", setup.encoded())
        frame = channel.receive(self._out)
        if frame is None or frame[0] != channel.READY:
            self.process.kill()
            raise AssertionError(frame, self.process.stderr.read().decode())

    def run(self, text: str, **given: Any) -> tuple[Answer, bytes]:  # noqa: ANN401 -- fields of a job
        """Answer and bytes of a query; raises what the worker refuses."""
        limits = given.pop("limits", QueryLimits())
        channel.send(self._in, b"J", Job(text, limits=asdict(limits), **given).encoded())
        frame = channel.receive(self._out)
        assert frame is not None, "the worker ended"
        said = json.loads(frame[1])
        if frame[0] == channel.REFUSED:
            raise RefusedError(said["name"], said["message"], code=said["code"], status=said["status"])
        parts = []
        while (frame := channel.receive(self._out)) is not None and frame[0] == channel.DATA:
            parts.append(frame[1])
        assert frame is not None, "the worker ended"
        assert frame[0] == channel.END
        return Answer(**said), b"".join(parts)

    def rows(self, text: str, **given: Any) -> list[list[Any]]:  # noqa: ANN401 -- fields of a job
        """Rows of a query."""
        found: list[list[Any]] = json.loads(self.run(text, default_format="JSONCompact", **given)[1])["data"]
        return found

    def refused(self, text: str, **given: Any) -> RefusedError:  # noqa: ANN401 -- fields of a job
        """The refusal of a query that must be refused."""
        try:
            answer, data = self.run(text, **given)
        except RefusedError as refusal:
            return refusal
        raise AssertionError(f"was not refused: {text!r} gave {answer} {data[:200]!r}")

    def close(self) -> None:
        """Ends the worker."""
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self.process.wait(machine.limit(20))
