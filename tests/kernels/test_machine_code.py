"""The kept machine code: found again, made again where it is missing or damaged, and loaded without the compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pointline import kernels
from pointline.kernels import machine_code
from pointline.kernels.slots import BAR_INTS, OVERFLOW

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOAD = """
import sys
from pathlib import Path
from pointline.kernels import machine_code
machine_code._folders = lambda: [Path(folder) for folder in sys.argv[1:]]
import numpy as np
from pointline import kernels
state, ends, ids = np.zeros(4, dtype=np.int64), np.zeros(6, dtype=np.int64), np.zeros(6, dtype=np.int64)
ts, amount = np.array([1, 2, 2, 3, 4], dtype=np.int64), np.array([4, 4, 1, 7, 2], dtype=np.int64)
closed = kernels.close_on_total(ts, amount, 8, True, state, ends, ids)
print(closed, ends[:closed].tolist(), ids[:closed].tolist(), "numba" in sys.modules)
"""
CLOSED = "2 [3, 4] [0, 1]"


def load(*folders: Path) -> str:
    done = subprocess.run([sys.executable, "-c", LOAD, *map(str, folders)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_the_code_is_made_once_and_again_when_it_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    assert load(folder) == f"{CLOSED} True"
    assert load(folder) == f"{CLOSED} False"
    (kept,) = folder.iterdir()
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    assert load(folder) == f"{CLOSED} True"
    assert kept.read_bytes() != bytes(content)
    kept.write_bytes(kept.read_bytes()[:40])
    assert load(folder) == f"{CLOSED} True"


@pytest.mark.slow
def test_a_folder_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    blocked, second = tmp_path / "blocked", tmp_path / "second"
    blocked.write_text("a file where a folder should be")
    assert load(blocked, second) == f"{CLOSED} True"
    assert load(blocked, second) == f"{CLOSED} False"
    assert load(blocked) == f"{CLOSED} True"


def test_the_kept_code_belongs_to_its_sources_and_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    before = machine_code._name()
    machine_code._name.cache_clear()
    monkeypatch.setattr(machine_code, "_features", lambda: "+none")
    assert machine_code._name() != before
    machine_code._name.cache_clear()
    monkeypatch.undo()
    assert machine_code._name() == before


@pytest.fixture
def bars() -> Iterator[np.ndarray]:
    return np.zeros((3, len(BAR_INTS)), dtype=np.int64)


def test_arrays_that_do_not_fit_are_refused_before_they_are_read(bars: np.ndarray) -> None:
    ints, side = np.arange(4, dtype=np.int64), np.zeros(4, dtype=np.int8)
    empty = np.empty(0, dtype=np.int64)
    with pytest.raises(ValueError, match="int32"):
        kernels.add_rows(ints.astype(np.int32), ints, ints, side, empty, empty, 0, bars)
    with pytest.raises(ValueError, match="4 contiguous values"):
        kernels.add_rows(ints, ints[:2], ints, side, empty, empty, 0, bars)
    with pytest.raises(ValueError, match="contiguous"):
        kernels.add_rows(ints, np.arange(8, dtype=np.int64)[::2], ints, side, empty, empty, 0, bars)
    with pytest.raises(ValueError, match="belong together"):  # four bars are reached, three are there
        kernels.add_rows(ints, ints + 1, ints + 1, side, empty, ints + 1, 0, bars)
    with pytest.raises(ValueError, match="shape"):
        kernels.merge_rows(bars[:, :5], ints[:3], bars)
    with pytest.raises(ValueError, match="no such bar"):
        kernels.merge_rows(bars, np.array([0, 1, 3], dtype=np.int64), bars)
    with pytest.raises(ValueError, match="no such bar"):
        kernels.close_last(bars, 3)
    assert not bars.any()


def test_a_count_beyond_62_bits_is_told_and_not_wrapped() -> None:
    state, room = np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    large = np.full(3, (1 << 62) - 1, dtype=np.int64)
    ts = np.array([1, 1, 2], dtype=np.int64)
    assert kernels.close_on_total(ts, large, (1 << 62) - 1, True, state.copy(), room, room.copy()) == OVERFLOW
    assert kernels.close_on_imbalance(ts, -large, (1 << 62) - 1, state.copy(), room, room.copy()) == OVERFLOW
    apart = np.array([1, 2, 3], dtype=np.int64)
    assert kernels.close_on_total(apart, large, (1 << 62) - 1, True, state, room, room.copy()) == 2
