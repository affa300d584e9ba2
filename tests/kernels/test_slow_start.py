"""Where the machine code cannot be kept, loaded or made: the same results by numba itself, and one warning that says so."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pointline import kernels
from pointline.errors import SlowStartWarning
from pointline.kernels import machine_code
from pointline.kernels.slots import BAR_INTS, CLOSER_STATE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.demo import Demo

Functions = dict[str, "Callable[..., int]"]
ROWS = 3_000


@pytest.fixture(scope="module")
def by_machine_code() -> Functions:
    return dict(machine_code.entry_points())


@pytest.fixture(scope="module")
def by_numba() -> Functions:
    return machine_code._by_numba()


@pytest.fixture
def code(by_machine_code: Functions) -> bytes:
    """The kept code of this machine, so that no test but those of the compiler compiles."""
    assert by_machine_code
    paths = [folder / machine_code._name() for folder in machine_code._folders()]
    return next(path for path in paths if path.exists()).read_bytes()[machine_code._DIGEST_BYTES :]


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch, by_numba: Functions, code: bytes) -> Callable[..., list[str]]:
    """What a new process would be warned of whose code is kept in the given folders."""

    def start(*folders: Path, compiled: Callable[[], bytes] = lambda: code) -> list[str]:
        monkeypatch.setattr(machine_code, "_FUNCTIONS", {})
        monkeypatch.setattr(machine_code, "_folders", lambda: list(folders))
        monkeypatch.setattr(machine_code, "_compiled", compiled)
        monkeypatch.setattr(machine_code, "_by_numba", lambda: by_numba)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            machine_code.entry_points()
            machine_code.entry_points()
        assert all(one.category is SlowStartWarning for one in caught)
        return [str(one.message) for one in caught]

    return start


def entry(code: bytes, name: str | None = None) -> bytes:
    """A kept file: SHA-256 of the file's name and the code, then the code."""
    return hashlib.sha256((name or machine_code._name()).encode() + code).digest() + code


def results(functions: Functions, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every byte that every loop writes and answers, for random trades."""
    monkeypatch.setattr(machine_code, "_FUNCTIONS", functions)
    random = np.random.default_rng(7)
    ts = np.sort(random.integers(1, 1_000, ROWS))
    price, qty = 5_000_000 + random.integers(-20_000, 20_000, ROWS), random.integers(1, 5_000, ROWS)
    side = random.integers(0, 2, ROWS).astype(np.int8)
    notional = price * qty
    answers: list[int] = []
    arrays: list[np.ndarray] = []
    for carry in (True, False):
        state, ends, ids = np.zeros(len(CLOSER_STATE), np.int64), np.zeros(ROWS + 1, np.int64), np.zeros(ROWS + 1, np.int64)
        answers.append(kernels.close_on_total(ts, qty, 40_000, carry, state, ends, ids))
        arrays += [state, ends, ids]
    closed = np.ascontiguousarray(ends[: answers[-1]])
    state, ends, ids = np.zeros(len(CLOSER_STATE), np.int64), np.zeros(ROWS + 1, np.int64), np.zeros(ROWS + 1, np.int64)
    answers.append(kernels.close_on_imbalance(ts, qty - 2_500, 9_000, state, ends, ids))
    arrays += [state, ends, ids]
    fine = np.zeros((len(closed) + 1, len(BAR_INTS)), np.int64)
    for given in (np.empty(0, np.int64), notional):
        fine[:] = 0
        row = kernels.add_rows(ts, price, qty, side, given, closed, 0, fine)
        kernels.close_last(fine, row)
        answers.append(row)
        arrays.append(fine.copy())
    coarse = np.zeros((len(fine) // 3 + 1, len(BAR_INTS)), np.int64)
    answers.append(kernels.merge_rows(fine, np.arange(len(fine)) // 3, coarse))
    own, other = np.unique(ts), np.unique(random.integers(1, 1_000, ROWS))
    curves = np.zeros((2, 5))
    walks = [np.cumsum(random.normal(size=len(stamps))) for stamps in (own, other)]
    kernels.lagged_covariance(own, walks[0], other, walks[1], np.arange(-20, 21, 10), np.array([500, 1_000]), curves)
    assert curves.all()
    arrays.append(curves)
    assert answers[0] > 50
    assert min(answers) > 0
    return [str(answers).encode(), *(array.tobytes() for array in (*arrays, coarse))]


def test_numba_alone_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch, by_machine_code: Functions, by_numba: Functions) -> None:
    assert by_numba.keys() == by_machine_code.keys()
    assert results(by_numba, monkeypatch) == results(by_machine_code, monkeypatch)


def test_code_that_is_kept_warns_of_nothing(anew: Callable[..., list[str]], tmp_path: Path, code: bytes) -> None:
    assert anew(tmp_path / "kept") == []  # no file yet: made without a word
    assert (tmp_path / "kept" / machine_code._name()).read_bytes() == entry(code)
    assert anew(tmp_path / "kept") == []


def test_folders_that_cannot_be_written(anew: Callable[..., list[str]], tmp_path: Path) -> None:
    blocked = [tmp_path / name for name in ("first", "second")]
    for path in blocked:
        path.write_text("a file where a folder should be")
    (text,) = anew(*blocked)
    assert str(blocked[0]) in text
    assert str(blocked[1]) in text
    for part in ("cannot be kept", "File exists", "Every process compiles them", " s now", "results are the same", "XDG_CACHE_HOME"):
        assert part in text
    assert {path.name for path in tmp_path.iterdir()} == {"first", "second"}


@pytest.mark.parametrize("content", ["flipped", "cut", "no object file", "code of another processor"])
def test_a_damaged_file_is_made_again(anew: Callable[..., list[str]], tmp_path: Path, code: bytes, content: str) -> None:
    path = tmp_path / machine_code._name()
    whole = entry(code)
    foreign = code[:18] + b"\xb7\x00" + code[20:]  # the field that names the processor, in an ELF file
    wrong = {
        "flipped": whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:],
        "cut": whole[:1_000],
        "no object file": entry(b"text"),
        "code of another processor": entry(foreign, "loops-0123456789abcdef0123456789abcdef.bin"),
    }
    path.write_bytes(wrong[content])
    (text,) = anew(tmp_path)
    for part in (str(path), "was damaged", "made again", "This process compiled them", " s now", "results are the same", "check the disk"):
        assert part in text
    assert path.read_bytes() == whole
    assert anew(tmp_path) == []


def test_a_damaged_file_hides_no_good_one(anew: Callable[..., list[str]], tmp_path: Path, code: bytes) -> None:
    for folder, content in (("first", b"damaged"), ("second", entry(code))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / machine_code._name()).write_bytes(content)
    assert anew(tmp_path / "first", tmp_path / "second") == []


def _raise(error: Exception) -> bytes:
    raise error


@pytest.mark.parametrize(
    "broken",
    [
        ("_compiled", AttributeError("'CFunc' object has no attribute 'inspect_llvm'")),
        ("_compiled", machine_code.LinkError("the loops call numba_helper, which is not there when numba is not")),
        ("_linked", RuntimeError("Symbols not found:\n[ pointline_add_rows ]")),
        ("_start_compiler", RuntimeError("initialize_native_target is gone")),
        ("_name", UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")),
    ],
    ids=lambda broken: f"{broken[0]} {type(broken[1]).__name__}",
)
def test_a_compiler_that_has_changed(
    anew: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    by_numba: Functions,
    broken: tuple[str, Exception],
) -> None:
    name, error = broken
    monkeypatch.setattr(machine_code, name, lambda *_: _raise(error))
    (text,) = anew(tmp_path, **({"compiled": lambda: _raise(error)} if name == "_compiled" else {}))
    assert dict(machine_code.entry_points()) == by_numba
    for part in (
        type(error).__name__,
        "cannot be kept or loaded",
        "Every process",
        " s now",
        "results are the same",
        "numba>=",
        "found: llvm",
    ):
        assert part in text
    assert "\n" not in text
    assert list(tmp_path.iterdir()) == []


def test_a_warning_that_is_an_error_does_not_stop_the_next_call(anew: Callable[..., list[str]], tmp_path: Path, code: bytes) -> None:
    path = tmp_path / machine_code._name()
    assert anew(tmp_path) == []
    path.write_bytes(b"damaged")
    machine_code._FUNCTIONS.clear()
    with pytest.raises(SlowStartWarning):
        machine_code.entry_points()
    assert machine_code.entry_points().keys() == set(machine_code.ENTRY_NAMES)
    assert path.read_bytes() == entry(code)


COMMAND = """
from pointline import cli
from pointline.kernels import machine_code
found = machine_code._found
machine_code._found = lambda: (found()[0], "It takes long.")
cli.main()
"""


def test_the_command_line_says_it_in_one_line(demo: Demo) -> None:
    asked = [
        "compare",
        "binance-futures:BTCUSDT",
        "binance-spot:BTCUSDT",
        "--start",
        "2024-05-01",
        "--end",
        "2024-05-02",
        "--threshold",
        "100",
    ]
    command = [sys.executable, "-c", COMMAND, *asked, "--no-cache", "--lake", str(demo.folder / "lake")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["warning: It takes long."]


BROKEN = """
import sys
import llvmlite.binding
del llvmlite.binding.create_lljit_compiler
import numpy as np
from pointline import kernels
for _ in range(2):
    state, ends, ids = np.zeros(4, dtype=np.int64), np.zeros(6, dtype=np.int64), np.zeros(6, dtype=np.int64)
    ts, amount = np.array([1, 2, 2, 3, 4], dtype=np.int64), np.array([4, 4, 1, 7, 2], dtype=np.int64)
    closed = kernels.close_on_total(ts, amount, 8, True, state, ends, ids)
    print(closed, ends[:closed].tolist(), ids[:closed].tolist())
"""


@pytest.mark.slow
def test_a_process_whose_llvmlite_lacks_a_function_goes_on() -> None:
    done = subprocess.run([sys.executable, "-W", "always", "-c", BROKEN], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["2 [3, 4] [0, 1]"] * 2
    assert done.stderr.count("SlowStartWarning") == 1
    assert "create_lljit_compiler" in done.stderr
