"""The lake that is attacked: secrets in and around it, and workers with and without their guard."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

from tests import machine
from tests.server.attacks.attempts import MADE
from tests.server.attacks.program import GUARD
from tests.server.running import DirectWorker

import pointline
from pointline.lake.store import open_lake
from pointline.server.catalogues import Catalogues
from pointline.server.config import ServerConfig
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.limits import QueryLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.attacks.attempts import Attempt, Kind

    from pointline.lake.store import Lake

LIMITS = QueryLimits(time_s=2.0, memory_mb=200, rows_read=50_000_000, rows_returned=100_000, megabytes_returned=20, threads=1)
_PROGRAM = str(Path(__file__).with_name("program.py"))
_PLANTED = "secret-{}-7d41c09e"
_HANGS_S = 20.0
# Errors that the engine finds before it could look for a file.
_BEFORE_FILES = frozenset({"NUMBER_OF_ARGUMENTS_DOESNT_MATCH", "ILLEGAL_TYPE_OF_ARGUMENT", "UNKNOWN_FUNCTION", "SYNTAX_ERROR", "READONLY"})
GUARDED, UNGUARDED = "guarded", "unguarded"


@dataclass(frozen=True)
class Outcome:
    """What became of a statement.

    Attributes:
        how: ``guard`` (it refused), ``engine`` (it refused or failed), ``ran`` or ``ended`` (the worker, with it).
        said: result, or name and text of the error.
    """

    how: str
    said: str


@dataclass
class Tally:
    """Outcomes of a kind, with what went wrong: statement -> what."""

    counts: dict[str, int] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


class AttackedLake:
    """A lake with secrets in and around it.

    Args:
        lake: copied.
        folder: for everything.
    """

    def __init__(self, lake: Lake, folder: Path) -> None:
        self.folder = folder
        self.lake = folder / "lake"
        shutil.copytree(lake.root, self.lake)
        self.secrets: dict[str, str] = {}
        self.closed = [*self._put_secrets(), "/etc/passwd", "/proc/self/environ", pointline.__file__, str(self.lake / "pointline.json")]
        self._secret_of_environment = self._new_secret("environment")
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = str(self._listener.getsockname()[1])
        self._other_process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        self._catalogues = Catalogues(open_lake(self.lake), folder / "server", ServerConfig(limits=LIMITS), confined=True)
        asyncio.run(self._catalogues.build())
        self._workers = {mode: self._new_worker(mode) for mode in (GUARDED, UNGUARDED)}
        self.started = 0
        self._before = self._now()

    def _new_secret(self, where: str) -> str:
        self.secrets[where] = _PLANTED.format(where)
        return self.secrets[where]

    def _put_secrets(self) -> list[str]:
        """Files with a known content: outside the lake, in its folder, in its folders that are not served, beside a table's log."""
        places = {
            "outside": self.folder / "outside" / "secret.csv",
            "inside": self.lake / "notes.txt",
            "manifest": self.lake / "manifest" / "part.parquet",
            "quarantine": self.lake / "quarantine" / "trades" / "bad.csv",
            "reserve": self.lake / "_reserve" / "held.txt",
            "log": self.lake / "trades" / "_delta_log" / "notes.json",
            "table": self.lake / "trades" / "notes.csv",
        }
        for where, path in places.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{self._new_secret(where)}\n", encoding="utf-8")
        return [str(path) for path in places.values()]

    def _new_worker(self, mode: str) -> DirectWorker:
        setup, _ = asyncio.run(self._catalogues.new_setup())
        return DirectWorker(setup, (_PROGRAM, mode), POINTLINE_SECRET=self._secret_of_environment)

    def ask(self, mode: str, attempt: Attempt, time_s: float) -> Outcome:
        """Gives a statement to a worker; one that ends is replaced."""
        worker = self._workers[mode]
        limits = replace(LIMITS, time_s=time_s)
        guard = threading.Timer(machine.limit(_HANGS_S), worker.process.kill)
        guard.start()
        try:
            _, data = worker.run(
                attempt.text, parameters=attempt.parameters, settings=attempt.settings, default_format=attempt.output_format, limits=limits
            )
        except RefusedError as refusal:
            by_guard = refusal.what.startswith(GUARD)
            return Outcome("guard" if by_guard else "engine", f"{refusal.name}: {refusal.what.removeprefix(GUARD)}")
        except (AssertionError, OSError) as error:
            worker.process.kill()
            worker.close()
            self.started += 1
            self._workers[mode] = self._new_worker(mode)
            return Outcome("ended", str(error))
        finally:
            guard.cancel()
        return Outcome("ran", data.decode("utf-8", "replace"))

    def try_kind(self, kind: Kind, mode: str) -> Tally:
        """Tries every statement of a kind; those with a closed file once more with a file that is not there."""
        tally = Tally()
        if kind.only_guarded and mode == UNGUARDED:
            return tally
        for attempt, closed in zip(kind.attempts, cycle(self.closed)):
            outcome, asked = self._try(attempt, closed, mode, kind.time_s)
            label = outcome.how if not outcome.said.startswith("SYNTAX_ERROR") else "syntax"
            tally.counts[label] = tally.counts.get(label, 0) + 1
            wrong = self._leak(outcome, asked)
            if mode == GUARDED and not kind.may_run and outcome.how in {"ran", "ended"}:
                wrong = wrong or f"was not refused: {outcome.said[:200]}"
            if outcome.how in {"ran", "engine"} and asked != attempt and outcome.said.partition(":")[0] not in _BEFORE_FILES:
                missing, _ = self._try(attempt, f"{closed[:-1]}q", mode, kind.time_s)
                if missing.how != outcome.how or (
                    outcome.how == "engine" and _without(missing.said, f"{closed[:-1]}q") != _without(outcome.said, closed)
                ):
                    wrong = wrong or f"tells a file from none: {outcome.said[:200]!r} and {missing.said[:200]!r}"
            if wrong:
                tally.wrong[asked.text[:300] + f" {asked.parameters or ''}{asked.settings or ''}"] = wrong
        return tally

    def _try(self, attempt: Attempt, closed: str, mode: str, time_s: float) -> tuple[Outcome, Attempt]:
        filled = attempt.filled(closed, self.port)
        return self.ask(mode, filled, time_s), filled

    def _leak(self, outcome: Outcome, asked: Attempt) -> str | None:
        """What an answer tells that its question did not."""
        said, question = outcome.said.lower(), str(asked).lower()
        forms: dict[str, str] = {}
        for where, secret in self.secrets.items():
            data = secret.encode()
            forms |= dict.fromkeys((secret, data.hex(), base64.b64encode(data[:18]).decode(), secret[::-1]), f"content of {where}")
        forms |= {
            "root:x:0:0": "system file",
            "PointlineError": "file of the package",
            "LANG=C.UTF-8": "environment",
            "4C414E473D": "environment",
        }
        if outcome.how == "engine":
            forms |= {f"{place}/": "a path" for place in (self.folder, Path(sys.prefix), "/proc", "/etc", "/usr")}
        found = [what for form, what in forms.items() if form.lower() in said and form.lower() not in question]
        return f"tells {found}: {outcome.said[:300]}" if found else None

    def _now(self) -> dict[str, str]:
        """Every file that must not change, with its digest: all but the engine's own folders in those of the workers."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            parts = path.relative_to(self.folder).parts
            if len(parts) > 1 and parts[1].startswith("worker-"):
                continue
            found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for made in MADE:
            found |= {made: "made"} if Path(made).exists() else {}
        return found

    @contextmanager
    def no_side_effects(self) -> Iterator[None]:
        """Checks around a block that no file changed, no connection was made, and no process was started or stopped."""
        yield
        after = self._now()
        changed = {path for path in {*self._before, *after} if self._before.get(path) != after.get(path)}
        assert not changed, changed
        try:
            called = self._listener.accept()
        except BlockingIOError:
            called = None
        assert called is None
        assert self._other_process.poll() is None
        for worker in self._workers.values():
            children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children")
            assert not children.exists() or not children.read_text(encoding="ascii").split()
            own = [path for path in Path(worker.setup.folder).rglob("*") if not path.is_relative_to(worker.setup.catalogue)]
            assert all(path.is_file() and path.suffix in {".xml", ".json"} for path in own), own

    def close(self) -> None:
        """Ends all processes."""
        for worker in self._workers.values():
            worker.close()
        self._other_process.kill()
        self._other_process.wait()
        self._listener.close()


def _without(text: str, path: str) -> str:
    """The text with one word for every path."""
    for shown in (path, path.replace("/", "\\/"), path.lstrip("/"), Path(path).name):
        text = re.sub(rf"{re.escape(shown)}(?![a-z])", "<path>", text)  # "environ" is no part of "environment"
    return text
