"""The prompt of ``pointline sql``: where statements end, what Ctrl-C does, what the history keeps."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.machine import limit, until
from tests.sql.test_interrupts import ENDLESS

from pointline.errors import ConfigError
from pointline.sql import prompt
from pointline.sql.command import SqlOptions
from pointline.sql.prompt import MORE, PROMPT, split_statements, statements

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointline.lake.store import Lake


@pytest.mark.parametrize(
    ("text", "found", "rest"),
    [
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT 1;", ["SELECT 1"], ""),
        ("SELECT 1; SELECT 2;", ["SELECT 1", "SELECT 2"], ""),
        ("SELECT 1; SELECT", ["SELECT 1"], "SELECT"),
        (";;", [], ""),
        ("SELECT ';'", [], "SELECT ';'"),
        ("SELECT 'it''s;';", ["SELECT 'it''s;'"], ""),
        (r"SELECT '\';';", [r"SELECT '\';'"], ""),
        ('SELECT ";", `;`;', ['SELECT ";", `;`'], ""),
        ("SELECT 1 -- one;", [], "SELECT 1 -- one;"),
        ("SELECT 1 -- one;\n, 2;", ["SELECT 1 -- one;\n, 2"], ""),
        ("SELECT /* a; b */ 1;", ["SELECT /* a; b */ 1"], ""),
        ("SELECT /* a;", [], "SELECT /* a;"),
        ("SELECT 5 - -3;", ["SELECT 5 - -3"], ""),
        ("SELECT 'open;", [], "SELECT 'open;"),
    ],
)
def test_where_statements_end(text: str, found: list[str], rest: str) -> None:
    assert split_statements(text) == (found, rest)


class Typing:
    """Lines that are typed, and the prompts that were shown for them; an exception is raised in place of a line."""

    def __init__(self, *lines: str | type[BaseException]) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []

    def __call__(self, shown: str) -> str:
        self.prompts.append(shown)
        line = self.lines.pop(0) if self.lines else EOFError
        if isinstance(line, str):
            return line
        raise line


def test_a_statement_may_have_several_lines() -> None:
    typing = Typing("", ";", "SELECT 1,", "  2", ";", "SELECT 3;")
    assert list(statements(typing)) == ["SELECT 1,\n  2", "SELECT 3"]
    assert typing.prompts == [PROMPT, PROMPT, PROMPT, MORE, MORE, PROMPT, PROMPT]


def test_ctrl_c_forgets_the_lines_so_far() -> None:
    typing = Typing("SELECT 1,", KeyboardInterrupt, "SELECT 2;", KeyboardInterrupt)
    assert list(statements(typing)) == ["SELECT 2"]
    assert typing.prompts == [PROMPT, MORE, PROMPT, PROMPT, PROMPT]


@pytest.mark.parametrize("word", ["\\q", "\\q;", " quit ", "exit;", EOFError])
def test_the_user_leaves(word: str | type[BaseException]) -> None:
    assert list(statements(Typing("SELECT 1;", word, "SELECT 2;"))) == ["SELECT 1"]


def test_a_word_that_leaves_is_no_such_inside_of_a_statement() -> None:
    assert list(statements(Typing("SELECT 1 AS", "exit", ";"))) == ["SELECT 1 AS\nexit"]


def test_where_the_history_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    assert prompt.history_file() == tmp_path / "state" / "pointline" / "sql_history"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert prompt.history_file() == tmp_path / ".local" / "state" / "pointline" / "sql_history"
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert prompt.history_file() is None


def test_a_file_for_the_result_needs_a_statement(december: Lake) -> None:
    with pytest.raises(ConfigError, match="go to the terminal"):
        prompt.run_prompt(SqlOptions(lake=str(december.root), output=Path("a.csv")), show=print, note=print)


# ---- Ctrl-C at any moment


@pytest.fixture
def _ctrl_c_is_heard() -> Iterator[None]:
    """A process that was started in the background of a shell ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def session_with(lake: Lake, monkeypatch: pytest.MonkeyPatch, *lines: str | type[BaseException]) -> Typing:
    """A prompt that was left after these lines."""
    typing = Typing(*lines)
    monkeypatch.setattr("builtins.input", typing)
    prompt.run_prompt(SqlOptions(lake=str(lake.root), output_format="csv"), show=print, note=print)
    return typing


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_between_a_line_and_its_statement_stops_the_statement(
    december: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prompt, "_remember", lambda text: press_ctrl_c() if "11" in text else None)
    session_with(december, monkeypatch, "SELECT 11;", "SELECT 22 AS n;")
    out, err = capsys.readouterr()
    assert err == "the statement was stopped\n"
    assert "11" not in out
    assert out.count("22\n") == 1


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_behind_a_statement_does_not_leave_the_prompt(
    december: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = prompt._answer

    def answer_and_press(*given: Any, **named: Any) -> None:  # noqa: ANN401 - what `_answer` takes
        answer(*given, **named)
        press_ctrl_c()

    monkeypatch.setattr(prompt, "_answer", answer_and_press)
    typing = session_with(december, monkeypatch, "SELECT 11 AS n;", "SELECT 22 AS n;", "\\q", "\\q")
    out, err = capsys.readouterr()
    assert err == ""
    assert [out.count(f"{n}\n") for n in (11, 22)] == [1, 1]
    assert typing.prompts == [PROMPT] * 3  # what came behind a statement ends the empty line that follows
    with pytest.raises(KeyboardInterrupt):  # as before
        press_ctrl_c()


@pytest.mark.usefixtures("_ctrl_c_is_heard")
def test_ctrl_c_while_an_answer_is_shown_ends_it_alone(
    december: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prompt, "answer", lambda options, **_: press_ctrl_c() if "11" in options.text else b"22\n")
    session_with(december, monkeypatch, "SELECT 11;", "SELECT 22;")
    out, err = capsys.readouterr()
    assert err == "the statement was stopped\n"
    assert out.count("22\n") == 1


# ---- on a terminal


# The program makes the terminal its own, so that Ctrl-C there is a signal, and becomes the command.
_OWNS_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


class Terminal:
    """A prompt on a terminal of its own.

    Args:
        arguments: of ``pointline sql``.
        env: the environment.

    Attributes:
        process: the command.
        said: everything that it has written, without colours.
    """

    def __init__(self, arguments: tuple[str, ...], env: dict[str, str]) -> None:
        self._master, other = pty.openpty()
        command = [sys.executable, "-c", _OWNS_TERMINAL, "-m", "pointline", "sql", *arguments]
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=env, start_new_session=True)
        os.close(other)
        self.said = ""
        self._seen = 0

    def wait_for(self, text: str) -> str:
        """What comes from the last text on until this one, which has to come."""

        def has_come() -> bool:
            if select.select([self._master], [], [], 0)[0]:
                with contextlib.suppress(OSError):  # the other side is closed
                    self.said += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(self._master, 65_536).decode("utf-8", "replace"))
            return text in self.said[self._seen :]

        until(has_come, seconds=90)
        at = self.said.index(text, self._seen)
        found, self._seen = self.said[self._seen : at], at + len(text)
        return found

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def ask(self, text: str) -> str:
        """The answer to a statement, when the prompt is there again."""
        self.type(f"{text}\n")
        return self.wait_for(PROMPT)

    def end(self) -> int:
        """The exit code."""
        return self.process.wait(limit(60))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal(simulated: Lake, tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state"), "TMPDIR": str(tmp_path), "TERM": "xterm", "COLUMNS": "120"}

    def open_terminal(*options: str) -> Terminal:
        opened.append(Terminal(("--lake", str(simulated.root), *options), env))
        return opened[-1]

    yield open_terminal
    for each in opened:
        each.close()


def test_a_session_on_a_terminal(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    session = terminal()
    assert "Statements end with ;" in session.wait_for(PROMPT)
    session.type("SELECT 40 +\n")
    session.wait_for(MORE)
    assert re.search(r"\b42\b.*1 row", session.ask("2 AS answer;"), re.DOTALL)
    assert "error: " in session.ask("SELEC 1;")
    assert "error: " in session.ask("SELECT * FROM file('/etc/passwd');")  # the guard is there
    assert "note" not in session.ask("SELECT 1;")
    before = worked(session.process.pid)
    session.type(f"{ENDLESS};\n")
    until(lambda: worked(session.process.pid) > before + SOME_TICKS, seconds=60)
    session.type("\x03")
    assert "the statement was stopped" in session.wait_for(PROMPT)
    assert re.search(r"\b7\b", session.ask("SELECT 7 AS n; SELECT 8 AS m;"))
    session.type("\x04")
    assert session.end() == 0
    history = tmp_path / "state" / "pointline" / "sql_history"
    lines = [line for line in history.read_text(encoding="utf-8").splitlines() if line]
    assert lines[0] == "SELECT 40 + 2 AS answer;"
    assert lines[-1] == "SELECT 7 AS n; SELECT 8 AS m;"
    assert history.stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("pointline-sql-*"))

    again = terminal("--format", "csv")
    again.wait_for(PROMPT)
    again.type("\x1b[A\n")  # the statement before
    assert '"n"' in again.wait_for(PROMPT)
    again.process.send_signal(signal.SIGTERM)
    assert again.end() == 143
    assert not list(tmp_path.glob("pointline-sql-*"))


SOME_TICKS = 20  # of 10 ms; more than the check of a statement takes


def worked(process: int) -> int:
    """Ticks of processor time of the engine's threads for queries, whose names stay when a query has ended."""
    ticks = 0
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            name, figures = (task / "stat").read_text(encoding="ascii", errors="replace").split("(", 1)[1].rsplit(")", 1)
            ticks += sum(map(int, figures.split()[11:13])) if name.startswith("QueryP") else 0
    return ticks


def test_where_there_is_no_lake(terminal: Callable[..., Terminal], tmp_path: Path) -> None:
    session = terminal("--lake", str(tmp_path / "nowhere"))
    session.wait_for("there is no lake here")
    assert session.end() == 2
