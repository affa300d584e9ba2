"""Restrictions that a worker process sets on itself before it starts the engine; they cannot be lifted.

Three mechanisms of the Linux kernel, called with ctypes. **Landlock** leaves the folders of the served tables readable and one folder
writable, and refuses TCP and signals to other processes where the kernel supports that. **seccomp** refuses system calls that a query never
needs: sockets, new programs, new processes, access to other processes. **Resource limits** bound file size, open files and memory.
A thread that is started later has the same restrictions; threads that ran before do not. So the process is confined before the engine
starts its threads, and after everything is imported: the interpreter's own files, ``/proc`` and ``/etc`` are closed.

See landlock(7), seccomp(2) and prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pointline.errors import LakeError, PointlineError

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446  # the same numbers on every architecture
_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 4, 22, 38
_SECCOMP_MODE_FILTER = 2

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_READ = _READ_FILE | _READ_DIR
_ALL_OF_ABI_1 = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
# write, remove and make plain files and folders; no devices, sockets, pipes or links
_WRITE = _READ | 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8
_NET_TCP = 0b11  # bind and connect
_SCOPED = 0b11  # abstract unix sockets and signals
_FILES_ONLY = 1 << 1 | 1 << 2 | _TRUNCATE | _IOCTL_DEV  # rights that a rule on a single file can give


@dataclass(frozen=True)
class Permissions:
    """What a confined worker may access.

    Attributes:
        read: files and folders that stay readable, with everything below them.
        write: folders in which files can be made, written and removed.
        open_files: file descriptors.
    """

    read: tuple[Path, ...]
    write: tuple[Path, ...]
    open_files: int = 1024


class SandboxError(PointlineError, RuntimeError):
    """The kernel cannot confine the processes that run queries."""


def landlock_abi() -> int:
    """Version of Landlock that the kernel has; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _syscall(_LANDLOCK_CREATE, None, 0, 1))


def architecture() -> str | None:
    """The processor's name where its system call numbers are known, else None."""
    name = platform.machine()
    return name if name in _ARCHITECTURES and sys.platform == "linux" else None


def missing_layers() -> list[str]:
    """The mechanisms for confining a worker that this machine lacks; empty where it has all."""
    missing = []
    if landlock_abi() < 1:
        missing.append("Landlock (Linux 5.13 or newer, with landlock among its security modules)")
    if architecture() is None:
        missing.append("a seccomp filter (written for Linux on x86_64 and aarch64)")
    return missing


def confine(permissions: Permissions) -> None:
    """Confines the calling process, which must have one thread.

    Raises:
        SandboxError: a mechanism is missing or failed; the process must not run queries then.
    """
    missing = missing_layers()
    if missing:
        raise SandboxError("this system cannot confine the processes that run queries", value="; ".join(missing))
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl no_new_privs")
    _checked(libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl dumpable")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (permissions.open_files, permissions.open_files))
    _landlock(permissions)
    _seccomp(libc)


def open_statm() -> TextIO:
    """The file with the size of the process; opened before the process is confined, which closes ``/proc``."""
    return Path("/proc/self/statm").open(encoding="ascii")


def limit_memory(extra_bytes: int, statm: TextIO) -> None:
    """Lets the address space grow by `extra_bytes` from now and no further."""
    statm.seek(0)
    now = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + extra_bytes, now + extra_bytes))


def forbid_writing() -> None:
    """From now on no file of the process can grow by a byte; pipes are not files."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _syscall(number: int, *arguments: object) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return int(libc.syscall(number, *arguments))


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise SandboxError("the kernel refused a restriction of the sandbox", where=what, value=os.strerror(code))
    return result


def _landlock(permissions: Permissions) -> None:
    abi = landlock_abi()
    handled = _ALL_OF_ABI_1
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        handled |= right if abi >= since else 0
    fields = [handled, _NET_TCP if abi >= 4 else 0, _SCOPED if abi >= 6 else 0]  # noqa: PLR2004 - versions of the interface
    size = 8 if abi < 4 else 16 if abi < 6 else 24  # noqa: PLR2004
    ruleset = _checked(_syscall(_LANDLOCK_CREATE, struct.pack("QQQ", *fields), size, 0), "landlock ruleset")
    try:
        writable = (_WRITE | _TRUNCATE) & handled
        for paths, right in ((permissions.read, _READ), (permissions.write, writable)):
            for path in paths:
                _allow(ruleset, path, right)
        _checked(_syscall(_LANDLOCK_RESTRICT, ruleset, 0), "landlock restrict")
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, right: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise LakeError("a folder that queries need is gone", where=str(path)) from error
    try:
        allowed = right if path.is_dir() else right & _FILES_ONLY
        rule = struct.pack("=Qi", allowed, descriptor)
        _checked(_syscall(_LANDLOCK_ADD, ruleset, 1, rule, 0), f"landlock {path}")
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class _Architecture:
    audit: int  # what the kernel calls it in a filter
    refused: dict[str, int]
    clone: int
    clone3: int


# The table of each architecture: linux/arch/x86/entry/syscalls/syscall_64.tbl and linux/include/uapi/asm-generic/unistd.h
_X86_64 = {
    "socket": 41, "connect": 42, "accept": 43, "sendto": 44, "sendmsg": 46, "bind": 49, "listen": 50, "socketpair": 53,
    "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "truncate": 76, "link": 86, "symlink": 88, "chmod": 90, "chown": 92,
    "lchown": 94, "ptrace": 101, "mknod": 133, "personality": 135, "pivot_root": 155, "chroot": 161, "acct": 163, "mount": 165,
    "umount2": 166, "swapon": 167, "reboot": 169, "init_module": 175, "delete_module": 176, "setxattr": 188, "tkill": 200,
    "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250, "mknodat": 259, "fchownat": 260, "linkat": 265,
    "symlinkat": 266, "fchmodat": 268, "unshare": 272, "accept4": 288, "perf_event_open": 298, "open_by_handle_at": 304, "setns": 308,
    "process_vm_readv": 310, "process_vm_writev": 311, "finit_module": 313, "kexec_file_load": 320, "bpf": 321, "execveat": 322,
    "userfaultfd": 323, "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_open": 434, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip
_AARCH64 = {
    "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206, "sendmsg": 211,
    "execve": 221, "kill": 129, "tkill": 130, "truncate": 45, "linkat": 37, "symlinkat": 36, "mknodat": 33, "fchmodat": 53,
    "fchownat": 54, "setxattr": 5, "ptrace": 117, "personality": 92, "pivot_root": 41, "chroot": 51, "acct": 89, "mount": 40,
    "umount2": 39, "swapon": 224, "reboot": 142, "init_module": 105, "delete_module": 106, "kexec_load": 104, "add_key": 217,
    "request_key": 218, "keyctl": 219, "unshare": 97, "accept4": 242, "perf_event_open": 241, "open_by_handle_at": 265, "setns": 268,
    "process_vm_readv": 270, "process_vm_writev": 271, "finit_module": 273, "kexec_file_load": 294, "bpf": 280, "execveat": 281,
    "userfaultfd": 282, "pidfd_send_signal": 424, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "pidfd_open": 434, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip
_ARCHITECTURES = {
    "x86_64": _Architecture(0xC000003E, _X86_64, clone=56, clone3=435),
    "aarch64": _Architecture(0xC00000B7, _AARCH64, clone=220, clone3=435),
}

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000
_NUMBER, _ARCH, _FIRST_ARGUMENT = 0, 4, 16  # offsets in what a filter is shown
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_X32_BIT = 0x40000000


def filter_program(machine: _Architecture) -> list[tuple[int, int, int, int]]:
    """The seccomp filter as instructions (code, jump if true, jump if false, value).

    Refused calls return "operation not permitted". A `clone` that does not make a thread is refused; `clone3`, whose flags a filter
    cannot see, says that it does not exist, and the C library then takes `clone`. A foreign call table kills the process.
    """
    refused = sorted(set(machine.refused.values()))
    program = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, machine.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL),
        (_EQUAL, 0, 1, machine.clone3),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        (_EQUAL, 0, 4, machine.clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_ANY_BIT, 0, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
    ]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | _EPERM)]
    program.append((_RETURN, 0, 0, _ALLOW))
    return program


def _seccomp(libc: ctypes.CDLL) -> None:
    name = architecture()
    assert name is not None  # noqa: S101 - `missing_layers` has looked
    program = filter_program(_ARCHITECTURES[name])
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxQ", len(program), ctypes.addressof(buffer))
    _checked(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0), "seccomp filter")
