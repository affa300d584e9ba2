"""Hostile statements against a real server: refused, nothing read or written beyond `api`, and the server serves on."""

from __future__ import annotations

import base64
import hashlib
import shutil
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.machine import limit
from tests.server.hostile_statements import GROUPS, HARMLESS, Attack
from tests.server.running import RunningServer, running_server

from pointline.lake.store import open_lake
from pointline.server.hashes import new_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from pointline.lake.store import Lake

TOKENS = {name: new_token() for name in ("honest", "hostile")}
LIMITS = """
memory_mb = 200
rows_read = 50_000_000
rows_returned = 100_000
megabytes_returned = 20
threads = 1
"""
SECRET, INSIDE = "secret-outside-5f1d0e27", "secret-inside-9a3c7b64"
HONEST = "SELECT count(), sum(volume), max(close) FROM api.ohlcv(candle_duration_in_minutes = 60)"
DEAR = ("too much", "deep")  # groups that run until a limit ends them: one in three in the usual run
BOUND_S = 20.0  # no statement may take longer than its time, a worker's grace and a worker's start


def config() -> str:
    """A server on which hostile statements get half a second of an idle machine, and honest ones as long as they take."""
    time_s = {"honest": 1000.0, "hostile": limit(0.5)}
    users = "".join(f'[users.{name}]\ntokens = ["{TOKENS[name][1]}"]\nlimits = {{ time_s = {time_s[name]} }}\n' for name in TOKENS)
    return f"[server]\nworkers = 2\n[limits]\n{LIMITS}{users}"


@dataclass
class AttackedServer:
    """A server with secrets beside it.

    Attributes:
        secret, inside: files with a known content, outside the lake and in its folder.
        listener: takes connections that must never come.
        scratch: where the server keeps its catalogues.
        before: of the lake's folder and the secret's, when the server had started.
        honest: answer of `HONEST`.
    """

    server: RunningServer
    secret: Path
    inside: Path
    listener: socket.socket
    scratch: Path
    before: dict[str, tuple[int, str]]
    honest: str

    def filled(self, text: str) -> str:
        """The text with its places put in."""
        port = str(self.listener.getsockname()[1])
        places = {"secret": str(self.secret), "inside": str(self.inside), "out": str(self.secret.parent / "made"), "listener": port}
        for name, value in places.items():
            text = text.replace(f"<{name}>", value)
        return text

    def ask(self, text: str, parameters: dict[str, str] | None = None) -> httpx.Response:
        """Sends a statement of the hostile user whose places are filled in."""
        given = {name: self.filled(value) for name, value in (parameters or {}).items()}
        return ask(self.server, "hostile", text, **given)

    def ask_honestly(self, text: str) -> str:
        """What a statement gives that must succeed."""
        response = ask(self.server, "honest", text)
        assert response.status_code == 200, response.text
        return response.text

    def now(self) -> dict[str, tuple[int, str]]:
        """What is in the folders that must not change, and in the server's scratch folder beside the workers' own copies."""
        return {**contents(self.secret.parent), **contents(self.inside.parent), **contents(self.scratch, without="worker-")}


def ask(server: RunningServer, user: str, text: str, /, **parameters: str) -> httpx.Response:
    """Sends a statement of a user."""
    head = {"Authorization": f"Bearer {TOKENS[user][0]}"}
    return server.client.post(server.url, content=text.encode(), params=parameters, headers=head, timeout=limit(BOUND_S))


def contents(folder: Path, without: str = "\0") -> dict[str, tuple[int, str]]:
    """Every file below a folder with its time of change and digest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(without) for part in path.relative_to(folder).parts):
            continue
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (status.st_mtime_ns if digest else 0, digest)
    return found


@pytest.fixture(scope="module")
def attacked(
    confining: None,  # noqa: ARG001 - it may skip
    simulated: Lake,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[AttackedServer]:
    """A server with small limits on a lake of its own, beside files with secrets."""
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copytree(simulated.root, folder / "lake")
    for name in ("outside", "scratch", "config"):
        (folder / name).mkdir()
    (folder / "outside" / "secret.csv").write_text(f"{SECRET}\n", encoding="utf-8")
    (folder / "lake" / "notes.txt").write_text(f"{INSIDE}\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch, socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        patch.setenv("TMPDIR", str(folder / "scratch"))
        with running_server(open_lake(folder / "lake"), folder / "config", config=config()) as server:
            found = AttackedServer(server, folder / "outside/secret.csv", folder / "lake/notes.txt", listener, folder / "scratch", {}, "")
            found.honest, found.before = found.ask_honestly(HONEST), found.now()
            yield found


def leaks(text: str, said: str, attacked: AttackedServer) -> list[str]:
    """What an answer tells that its question did not."""
    forms: dict[str, str] = {}
    for secret in (SECRET, INSIDE):
        data = secret.encode()
        forms |= dict.fromkeys((secret, data.hex(), base64.b64encode(data[:18]).decode(), secret[::-1]), f"content of {secret}")
    forms |= {
        str(attacked.inside.parent): "the lake's folder",
        str(attacked.scratch): "the server's folder",
        socket.gethostname() + "\n": "host",
    }
    forms |= {"root:x:0:0": "system file", "LANG=C.UTF-8": "environment", "4C414E473D": "environment", "lake_owner": "an internal user"}
    return [what for form, what in forms.items() if form.lower() in said.lower() and form.lower() not in text.lower()]


def wrong_with(attack: Attack, attacked: AttackedServer) -> str | None:
    """What is wrong with the server's answer to an attack, or None."""
    text = attacked.filled(attack.text)
    response = attacked.ask(text, attack.parameters)
    if found := leaks(text + attacked.filled("".join(attack.parameters.values())), response.text, attacked):
        return f"tells {found}: {response.text[:300]}"
    if response.status_code < 400 or response.status_code > 503:
        return f"was not refused: {response.status_code} {response.text[:300]}"
    if int(response.headers["x-clickhouse-exception-code"]) <= 0:
        return f"has no code: {response.text[:300]}"
    if attack.names and not any(f"({name}) (version " in response.text for name in attack.names):
        return f"was refused otherwise: {response.status_code} {response.text[-300:]}"
    return None


@contextmanager
def no_side_effects(attacked: AttackedServer) -> Iterator[None]:
    """Checks around a block that no file changed, no connection was made and the server answers as before."""
    yield
    assert attacked.ask_honestly(HONEST) == attacked.honest
    assert attacked.server.client.get(attacked.server.url + "ping", timeout=limit(BOUND_S)).text == "Ok.\n"
    assert attacked.now() == attacked.before
    assert not (attacked.secret.parent / "made").exists()
    with pytest.raises(BlockingIOError):
        attacked.listener.accept()
    assert attacked.server.process.poll() is None


@pytest.mark.parametrize(
    ("group", "step"),
    [
        *(pytest.param(group, 3 if group in DEAR else 1, id=group) for group in GROUPS),
        *(pytest.param(group, 1, id=f"{group}, all", marks=pytest.mark.slow) for group in DEAR),
    ],
)
def test_hostile_statements_are_refused(attacked: AttackedServer, group: str, step: int) -> None:
    wrong = {}
    with no_side_effects(attacked):
        for attack in GROUPS[group][::step]:
            if said := wrong_with(attack, attacked):
                wrong[attack.text[:200]] = said
            assert attacked.ask_honestly("SELECT 7") == "7\n", f"after {attack.text[:200]}"
    assert not wrong, "\n".join(f"{text}\n    {said}" for text, said in wrong.items())


def test_what_only_looks_hostile_runs(attacked: AttackedServer) -> None:
    with no_side_effects(attacked):
        given = {text: attacked.ask_honestly(text) for text in HARMLESS}
    assert given == {text: f"{expected}\n" for text, expected in HARMLESS.items()}


def test_there_are_enough_of_them() -> None:
    texts = [attack.text + str(attack.parameters) for attacks in GROUPS.values() for attack in attacks]
    assert len(texts) >= 60
    assert len(texts) == len(set(texts))


def test_the_canaries_would_be_seen(attacked: AttackedServer) -> None:
    """Else the tests above would show nothing."""
    assert INSIDE in attacked.inside.read_text(encoding="utf-8")
    for told in (SECRET, INSIDE.encode().hex().upper(), f"Cannot parse '{INSIDE}'", str(attacked.scratch), "root:x:0:0:root"):
        assert leaks("SELECT 1", told, attacked)
        assert leaks(told, told, attacked) == []
    made = attacked.inside.parent / "made"
    made.write_text("x", encoding="utf-8")
    try:
        assert attacked.now() != attacked.before
    finally:
        made.unlink()


def test_tables_that_are_answered_tell_no_secret(attacked: AttackedServer) -> None:
    """The stand-ins for tables of `system`, plans and errors from inside a view."""
    texts = [
        *(
            f"SELECT * FROM system.{name} LIMIT 20000"
            for name in ("tables", "columns", "databases", "settings", "formats", "table_functions")
        ),
        *(
            f"EXPLAIN {kind} SELECT * FROM api.{view}"
            for kind in ("", "AST", "SYNTAX", "PIPELINE")
            for view in ("market_spot", "funding_rate")
        ),
        "EXPLAIN SELECT * FROM api.ohlcv(candle_duration_in_minutes = 60)",
        "DESCRIBE api.ohlcv(candle_duration_in_minutes = 60)",
        "SELECT throwIf(1) FROM api.market_spot",
        "SELECT toUInt8(market) FROM api.ohlcv(candle_duration_in_minutes = 60)",
        "SELECT toUInt8(market) FROM api.trade WHERE timestamp > '2024-05-01'",
        "SELECT groupArray(repeat(market, 100000)) FROM api.trade WHERE timestamp > '2024-05-01'",
        "SELECT * FROM api.ohlcv(candle_duration_in_minutes = 0)",
        "SELECT nosuch FROM api.coverage",
        "SELECT * FROM api.nosuch",
        "SELECT dumpColumnStructure(market), currentUser(), displayName(), queryID() FROM api.market_spot",
    ]
    with no_side_effects(attacked):
        answers = {text: ask(attacked.server, "honest", text) for text in texts}
    assert [text for text, answer in answers.items() if answer.status_code == 408] == []
    assert {text: found for text, answer in answers.items() if (found := leaks(text, answer.text, attacked))} == {}
