"""A line of progress: what it shows, how often, and what is left of it."""

from __future__ import annotations

import re
import sys

import pytest

from pointline import progress
from pointline.errors import ConfigError
from pointline.progress import ProgressLine, followed


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress.time, "monotonic", found)
    return found


def lines(written: str) -> list[str]:
    return [line.rstrip() for line in written.split("\r") if line.strip()]


def test_the_line_has_share_time_left_and_place(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine("ingest")
    clock.now += 10
    line.tell(25, 100, "a.zip")
    assert lines(capsys.readouterr().err) == ["ingest  25% [######..................] 30 s left, a.zip"]
    clock.now += 30
    line.tell(100, 100, "b.zip")
    assert lines(capsys.readouterr().err) == ["ingest 100% [########################] 40.0 s, b.zip"]


def test_a_long_name_keeps_its_end_and_the_line_its_width(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine("ingest")
    clock.now += 1
    line.tell(1, 3, "x" * 60 + "BTCUSDT-trades-2024-05-01.zip")
    (shown,) = lines(capsys.readouterr().err)
    assert len(shown) <= 79
    assert ", …" in shown
    assert shown.endswith("BTCUSDT-trades-2024-05-01.zip")


def test_it_is_written_ten_times_a_second_at_most(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    line = ProgressLine("compare")
    for done in range(100):
        clock.now += 0.03
        line.tell(done, 100, "x")
    assert 20 < len(lines(capsys.readouterr().err)) <= 31


def test_the_last_line_stays_where_there_is_no_terminal(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with followed("compare", True) as tell:
        tell(1, 2, "first")
        tell(2, 2, "last")  # within the same tenth of a second
    assert re.search(r"\rcompare 100% \S+ 0\.0 s, last *\n *$", capsys.readouterr().err)
    assert clock.now == 100.0


def test_a_terminal_is_left_as_it_was(clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with followed("compare", True) as tell:
        tell(1, 2, "first")
    assert capsys.readouterr().err.endswith(f"\r{' ' * 79}\r")
    assert clock.now == 100.0


def test_nothing_to_do_is_done(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    ProgressLine("ingest").tell(0, 0, "nothing")
    assert "100%" in capsys.readouterr().err
    assert clock.now == 100.0


def test_a_function_is_called_and_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[int, int, str]] = []
    with followed("compare", lambda *values: told.append(values)) as tell:
        tell(1, 2, "x")
    for nobody in (False, None):
        with followed("compare", nobody) as tell:
            tell(1, 2, "x")
    assert (told, capsys.readouterr().err) == ([(1, 2, "x")], "")


def test_another_type_is_refused() -> None:
    with pytest.raises(ConfigError, match="progress is of another type"), followed("compare", 3):
        pass
