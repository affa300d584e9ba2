"""The compiled loops' machine code: made once per machine by numba, kept in a file, and loaded from it without numba.

Importing numba and linking what it compiled takes longer than reading a day of trades; loading the finished code takes a few
milliseconds. The file is named by everything that the code depends on: the sources, the compiler's version and the processor.

Keeping the code uses parts of numba and llvmlite that may change. Where anything of it fails, numba compiles the loops for this process
alone. The results are the same bit for bit, each process takes seconds longer, and one `SlowStartWarning` says so.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import threading
import time
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
from llvmlite import binding as llvm

from pointline.errors import SlowStartWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_log = logging.getLogger("pointline.kernels")  # the command line shows what it says
_HERE = Path(__file__).parent
_SOURCES = ("slots.py", "loops.py", "entries.py")
_LIBRARY = frozenset({"log", "memcpy", "memmove", "memset"})  # what the code may call outside itself
_PREFIX = "pointline_"
ENTRY_NAMES = ("close_on_total", "close_on_imbalance", "add_rows", "close_last", "merge_rows", "lagged_covariance")
_DIGEST_BYTES = 32
_FORMAT = "2"  # of the kept file
_LOCK = threading.Lock()
_TESTED = "'numba>=0.68,<0.69' 'llvmlite>=0.50,<0.51'"
_FUNCTIONS: dict[str, Callable[..., int]] = {}
_TROUBLE: list[str] = []  # not said yet


def entry_points() -> dict[str, Callable[..., int]]:
    """Every entry of `pointline.kernels.entries` as a function of addresses and integers that lets other threads run.

    The code is compiled where no kept file can be used, which takes some seconds.

    Warns:
        SlowStartWarning: once per process: the code was compiled and cannot be kept, or a kept file was damaged.

    Raises:
        ArithmeticError: (when called) a loop failed; none of them is written so that it can.
    """
    load()
    with _LOCK:
        trouble = _TROUBLE.pop() if _TROUBLE else None
    if trouble is not None:
        warnings.warn(trouble, SlowStartWarning, stacklevel=4)  # the caller of `pointline.kernels`
    return _FUNCTIONS


def load() -> None:
    """Makes the entries ready; what is to be said about it is said by `entry_points`."""
    with _LOCK:
        if not _FUNCTIONS:
            functions, trouble = _found()
            _FUNCTIONS.update(functions)
            _TROUBLE.extend([] if trouble is None else [trouble])


def _found() -> tuple[dict[str, Callable[..., int]], str | None]:
    """The functions, and what the user should know where it took long."""
    began = time.perf_counter()
    try:
        _start_compiler()
        functions, damaged = _kept()
        if functions is not None:
            return functions, None
        _log.info("compiling the loops for this machine, once: some seconds")
        code = _compiled()
        functions = _linked(code)
        refused = _keep(code)
    except Exception as error:  # noqa: BLE001 - whatever fails here, numba itself still works
        functions = _by_numba()
        what = f"The machine code of pointline's loops cannot be kept or loaded ({type(error).__name__}: {_line(error)})"
        advice = f"Install the versions that pointline is tested with: pip install {_TESTED} (found: llvmlite {llvmlite.__version__})"
        return functions, _trouble(what, began, "Every process compiles them", advice)
    if refused is not None:
        what = f"The machine code of pointline's loops cannot be kept ({refused})"
        advice = f"Make one of these folders writable, or set XDG_CACHE_HOME to a folder that is: {', '.join(map(str, _folders()))}"
        return functions, _trouble(what, began, "Every process compiles them", advice)
    if damaged is not None:
        what = f"The kept machine code of pointline's loops was damaged ({damaged}) and has been made again"
        return functions, _trouble(what, began, "This process compiled them", "If this comes again, check the disk")
    return functions, None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _trouble(what: str, began: float, cost: str, advice: str) -> str:
    return f"{what}. {cost}, which took {time.perf_counter() - began:.1f} s now; results are the same. {advice}."


def _by_numba() -> dict[str, Callable[..., int]]:
    """The entries as numba compiles them, for this process, by its public functions only."""
    from numba import cfunc

    from pointline.kernels.entries import ENTRIES

    return {name: _callback(cfunc(signature)(function), len(signature.args)) for name, (signature, function) in ENTRIES.items()}


def _callback(compiled: Any, arguments: int) -> Callable[..., int]:
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)(compiled.address)
    _compiled_code.append(compiled)
    return function


def _start_compiler() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()


def _target() -> llvm.TargetMachine:
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=_features(), opt=3, jit=True)


def _features() -> str:
    return llvm.get_host_cpu_features().flatten()  # type: ignore[no-any-return]


@cache
def _name() -> str:
    digest = hashlib.sha256()
    for text in (_FORMAT, llvmlite.__version__, llvm.get_process_triple(), llvm.get_host_cpu_name(), _features()):
        digest.update(text.encode() + b"\n")
    for name in _SOURCES:
        digest.update((_HERE / name).read_bytes())
    return f"loops-{digest.hexdigest()[:32]}.bin"


def _folders() -> list[Path]:
    """Where the file may be: beside the byte code, else in the user's cache folder, if the user has one."""
    with contextlib.suppress(RuntimeError):  # neither HOME nor the system's list of users says where the user is at home
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        if home.is_absolute():
            return [_HERE / "__pycache__", home / "pointline"]
    return [_HERE / "__pycache__"]


def _digest(code: bytes) -> bytes:
    """Of the code and what it was made for: code for another processor would end the process where it is loaded."""
    return hashlib.sha256(_name().encode() + code).digest()


def _kept() -> tuple[dict[str, Callable[..., int]] | None, str | None]:
    """The functions of the kept code, None where there is none that can be used; and which file cannot be used, with the reason."""
    damaged = None
    for folder in _folders():
        path = folder / _name()
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if _digest(content[_DIGEST_BYTES:]) != content[:_DIGEST_BYTES]:
            damaged = f"{path}: its checksum is wrong"
            continue
        try:
            return _linked(content[_DIGEST_BYTES:]), None
        except Exception as error:  # noqa: BLE001 - the code is made again
            damaged = f"{path}: {_line(error)}"
    return None, damaged


def _keep(code: bytes) -> str | None:
    """Writes the code where it can be written, so that another process reads all of it or nothing; else says why it cannot."""
    refused = "there is no folder for it"
    for folder in _folders():
        temporary = folder / f".{_name()}.{os.getpid()}"
        try:
            with _removed_on_failure(temporary):
                folder.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(_digest(code) + code)
                temporary.replace(folder / _name())
        except OSError as error:
            refused = f"{folder}: {error.strerror or error}"
        else:
            return None
    return refused


@contextlib.contextmanager
def _removed_on_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _compiled() -> bytes:
    """The loops as one object file."""
    from numba import cfunc

    from pointline.kernels.entries import ENTRIES

    whole = llvm.parse_assembly("")
    for name, (signature, function) in ENTRIES.items():
        compiled = cfunc(signature)(function)  # type: ignore[type-var]
        module = llvm.parse_assembly(compiled.inspect_llvm())
        module.get_function(compiled.native_name.removeprefix("cfunc.")).name = _PREFIX + name  # the wrapper around it speaks to Python
        whole.link_in(module)
    _drop_unused(whole)
    return _target().emit_object(whole)  # type: ignore[no-any-return]


def _drop_unused(module: llvm.ModuleRef) -> None:
    """Leaves the entries and what they call; releasing an array, which never happens to a borrowed one, becomes unreachable."""
    for function in module.functions:
        if not function.is_declaration and not function.name.startswith(_PREFIX):
            function.linkage = "internal"
    _pass(module, "add_global_dead_code_eliminate_pass")
    foreign = [f.name for f in module.functions if f.is_declaration and not f.name.startswith("llvm.") and f.name not in _LIBRARY]
    for name in foreign:
        if not name.startswith("NRT_"):
            raise LinkError(f"the loops call {name}, which is not there when numba is not")
        module.link_in(llvm.parse_assembly(f"define void @{name}(ptr %0) {{ unreachable }}"))


def _pass(module: llvm.ModuleRef, name: str) -> None:
    builder = llvm.create_pass_builder(_target(), llvm.create_pipeline_tuning_options(speed_level=3))
    passes = llvm.create_new_module_pass_manager()
    getattr(passes, name)()
    passes.run(module, builder)


class LinkError(RuntimeError):
    """The compiled loops need a function that only numba brings."""


# The code lives as long as its linker, or numba's function, does.
_linked_code: list[Any] = []
_compiled_code: list[Any] = []


def _linked(code: bytes) -> dict[str, Callable[..., int]]:
    linker = llvm.create_lljit_compiler(_target())
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in ENTRY_NAMES:
        builder.export_symbol(_PREFIX + name)
    addresses = builder.link(linker, "pointline")
    _linked_code.extend((linker, addresses))
    return {name: _function(name, addresses[_PREFIX + name]) for name in ENTRY_NAMES}


def _function(name: str, address: int) -> Callable[..., int]:
    """The function at an address in numba's calling convention: a status comes back, the result through the first pointer."""
    prototypes: dict[int, Any] = {}

    def call(*arguments: int) -> int:
        prototype = prototypes.get(len(arguments))
        if prototype is None:
            types = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * len(arguments)]
            prototype = prototypes[len(arguments)] = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(address)
        result, raised = ctypes.c_int64(), ctypes.c_void_p()
        if prototype(ctypes.byref(result), ctypes.byref(raised), *arguments):
            raise ArithmeticError(f"the loop {name} failed")
        return result.value

    return call
