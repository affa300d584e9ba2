"""The compiled loops' machine code: made once per machine by numba, kept in a file, and loaded from it without numba.

Importing numba and linking what it compiled takes longer than reading a day of trades; loading the finished code takes a few
milliseconds. The file is named by everything that the code depends on: the sources, the compiler's version and the processor.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import os
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import llvmlite
from llvmlite import binding as llvm

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("pointline.kernels")  # the command line shows what it says
_HERE = Path(__file__).parent
_SOURCES = ("slots.py", "loops.py", "entries.py")
_LIBRARY = frozenset({"log", "memcpy", "memmove", "memset"})  # what the code may call outside itself
_PREFIX = "pointline_"
ENTRY_NAMES = ("close_on_total", "close_on_imbalance", "add_rows", "close_last", "merge_rows")
_DIGEST_BYTES = 32
_LOCK = threading.Lock()


def entry_points() -> dict[str, Callable[..., int]]:
    """Every entry of `pointline.kernels.entries` as a function of addresses and integers that lets other threads run.

    The code is compiled where no kept file fits, which takes some seconds.

    Raises:
        ArithmeticError: (when called) a loop failed; none of them is written so that it can.
    """
    with _LOCK:
        return _made()


@cache
def _made() -> dict[str, Callable[..., int]]:
    _start_compiler()
    code = _kept()
    if code is None:
        _log.info("compiling the loops for this machine, once: some seconds")
        code = _compiled()
        _keep(code)
    return _linked(code)


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
    for text in (llvmlite.__version__, llvm.get_process_triple(), llvm.get_host_cpu_name(), _features()):
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


def _kept() -> bytes | None:
    """The kept code; None where there is none, or it is damaged."""
    for folder in _folders():
        with contextlib.suppress(OSError):
            content = (folder / _name()).read_bytes()
            if hashlib.sha256(content[_DIGEST_BYTES:]).digest() == content[:_DIGEST_BYTES]:
                return content[_DIGEST_BYTES:]
    return None


def _keep(code: bytes) -> None:
    """Writes the code where it can be written, so that another process reads all of it or nothing."""
    for folder in _folders():
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f".{_name()}.{os.getpid()}"
            temporary.write_bytes(hashlib.sha256(code).digest() + code)
            temporary.replace(folder / _name())
            return


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


_linked_code: list[Any] = []  # the code lives as long as its linker does


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
