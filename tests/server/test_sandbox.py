"""The sandbox: what a confined process cannot do, each beside the same deed without sandbox."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

import pointline
from pointline.server import sandbox
from pointline.server.catalogues import served_folders

if TYPE_CHECKING:
    from pathlib import Path

    from pointline.server.catalogues import Catalogues

pytestmark = pytest.mark.usefixtures("confining")

# Does each deed and says which the system refused. Arguments: "confined" or "none", a readable file, a writable folder, a folder outside,
# a port that listens.
DEEDS = """
import ctypes, json, os, signal, socket, subprocess, sys, threading
from pathlib import Path
from pointline.server import sandbox
from pointline.server.catalogues import served_folders

mode, inside, own, outside = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
receiver, port = socket.socket(), int(sys.argv[5])
receiver.settimeout(5)
parent = os.getppid()
if mode == "confined":
    sandbox.confine(sandbox.Permissions(read=(inside,), write=(own,)))

def link():
    (own / "link").symlink_to(outside / "secret.txt")
    return (own / "link").read_text()

def thread():
    found = []
    worker = threading.Thread(target=lambda: found.append(list(outside.iterdir())))
    worker.start(); worker.join()
    if not found: raise PermissionError
    return found

def fork():
    child = os.fork()
    if child == 0: os._exit(0)
    os.waitpid(child, 0)

deeds = {
    "read inside": lambda: inside.read_text(),
    "write own": lambda: (own / "a").write_text("x"),
    "remove own": lambda: (own / "a").unlink(),
    "start a thread": lambda: threading.Thread(target=int).start(),
    "read outside": lambda: (outside / "secret.txt").read_text(),
    "list outside": lambda: os.listdir(outside),
    "read outside in a new thread": thread,
    "read through a link": link,
    "write outside": lambda: (outside / "b").write_text("x"),
    "write inside": lambda: inside.write_text("x"),
    "truncate outside": lambda: os.truncate(outside / "secret.txt", 6),
    "remove outside": lambda: (outside / "victim").unlink(),
    "rename outside": lambda: (outside / "secret.txt").rename(outside / "secret.txt"),
    "chmod outside": lambda: (outside / "secret.txt").chmod(0o644),
    "read passwd": lambda: Path("/etc/passwd").read_text(),
    "read another's environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
    "connect": lambda: receiver.connect(("127.0.0.1", port)),
    "new socket": lambda: socket.socket(socket.AF_UNIX).close(),
    "send a datagram": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    "fork": fork,
    "run a program": lambda: subprocess.run(["/bin/true"], check=True),
    "become a program": lambda: os.execv("/nonexistent", ["x"]),
    "signal the parent": lambda: os.kill(parent, 0),
}
said = {}
for name, deed in deeds.items():
    try:
        deed()
        said[name] = "done"
    except PermissionError:
        said[name] = "refused"
    except OSError as error:
        said[name] = error.strerror
print(json.dumps(said))
"""
INSIDE = {"read inside", "write own", "remove own", "start a thread"}


@pytest.fixture(scope="module")
def deeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What happened to each deed with sandbox and without."""
    found = {}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for mode in ("none", "confined"):
            folder = tmp_path_factory.mktemp(mode)
            for name in ("own", "outside"):
                (folder / name).mkdir()
            (folder / "inside.txt").write_text("known", encoding="utf-8")
            for name in ("secret.txt", "victim"):
                (folder / "outside" / name).write_text("secret", encoding="utf-8")
            places = (folder / "inside.txt", folder / "own", folder / "outside", listener.getsockname()[1])
            run = subprocess.run([sys.executable, "-c", DEEDS, mode, *map(str, places)], capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr
            found[mode] = json.loads(run.stdout)
    return found


def test_within_the_sandbox_work_goes_on(deeds: dict[str, dict[str, str]]) -> None:
    assert {name: deeds["confined"][name] for name in INSIDE} == dict.fromkeys(INSIDE, "done")


def test_beyond_the_sandbox_everything_is_refused(deeds: dict[str, dict[str, str]]) -> None:
    beyond = {name: said for name, said in deeds["confined"].items() if name not in INSIDE}
    assert beyond == dict.fromkeys(beyond, "refused")


def test_without_sandbox_all_of_it_works(deeds: dict[str, dict[str, str]]) -> None:
    """Else the test above would show nothing."""
    become = "become a program"
    assert {name for name, said in deeds["none"].items() if said != "done"} == {become}
    assert deeds["none"][become] == os.strerror(2)


def test_no_file_grows_after_writing_is_forbidden(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pointline.server import sandbox\n"
        "sandbox.forbid_writing()\n"
        "try: Path(sys.argv[1]).write_text('x')\n"
        "except OSError as error: print(error.strerror)"
    )
    run = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout.strip() == os.strerror(27)  # file too large


def test_memory_is_bounded() -> None:
    script = (
        "from pointline.server import sandbox\n"
        "sandbox.limit_memory(100_000_000, sandbox.open_statm())\n"
        "print(len(bytes(50_000_000)))\n"
        "try: bytes(200_000_000)\n"
        "except MemoryError: print('refused')"
    )
    run = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout.split() == ["50000000", "refused"]


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_refuses_what_it_lists_and_allows_the_rest(machine: str) -> None:
    """The filter is run here by a small interpreter of its instructions."""
    known = sandbox._ARCHITECTURES[machine]
    program = sandbox.filter_program(known)
    allow, refuse, absent, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000

    def verdict(number: int, *, argument: int = 0, audit: int = known.audit) -> int:
        data = struct.pack("<IIQQ", number, audit, 0, argument)
        at, accumulator = 0, 0
        while True:
            code, yes, no, value = program[at]
            if code == 0x20:
                accumulator = struct.unpack_from("<I", data, value)[0]
                at += 1
            elif code == 0x06:
                return value
            else:
                holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
                at += 1 + (yes if holds else no)

    read, write = (0, 1) if machine == "x86_64" else (63, 64)
    assert verdict(read) == verdict(write) == allow
    for name, number in known.refused.items():
        assert verdict(number) == refuse, name
    assert verdict(known.clone, argument=0x00010F00) == allow  # a thread
    assert verdict(known.clone, argument=0x01200011) == refuse  # a process
    assert verdict(known.clone3) == absent
    assert verdict(read, audit=0x40000003) == kill  # 32-bit calls
    assert verdict(0x40000000 | read) == kill  # x32 calls


# The same through the engine, past the guard: its own functions meet the sandbox.


def test_the_engine_itself_cannot_reach_out(catalogues: Catalogues, tmp_path: Path) -> None:
    """The guard is left out here: what it would refuse is run in a confined engine."""
    secret = tmp_path / "secret.csv"
    secret.write_text("1\n", encoding="utf-8")
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from pointline.server import worker\n"
        "setup = worker.WorkerSetup(**json.loads(sys.argv[1]))\n"
        "runner = worker._prepared(setup)\n"
        "for text in json.loads(sys.argv[2]):\n"
        "    session = runner._open(runner._address)\n"
        "    try: said = 'done ' + str(session.query(text, 'TSV').data())[:80]\n"
        "    except RuntimeError as error: said = str(error)\n"
        "    session.close()\n"
        "    print(json.dumps(said))\n"
        "print(json.dumps([p.stat().st_size for p in Path(setup.catalogue).rglob('*.out')]))\n"
    )
    setup, _ = asyncio.run(catalogues.new_setup())
    lake = catalogues._lake.root
    system = ("/proc/self/environ", "/proc/meminfo", "/etc/localtime")
    closed = (*system, f"{lake}/pointline.json", sys.executable, pointline.__file__, f"{setup.folder}/catalogue.json")
    texts = {
        **{f"SELECT file('{path}')": "denied" for path in closed},
        f"SELECT file('{secret}')": "Permission denied",
        "SELECT file('/etc/passwd')": "Permission denied",
        f"SELECT 1 INTO OUTFILE '{tmp_path}/made.csv'": "Permission denied",
        f"SELECT * FROM file('{secret}', 'CSV', 'a Int8')": "ACCESS_DENIED",
        "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'a Int8')": "ACCESS_DENIED",
        "INSERT INTO FUNCTION file('x.csv') SELECT 1": "ACCESS_DENIED",
        "SELECT * FROM lake.trades": "ACCESS_DENIED",
        "CREATE TABLE api.x (a Int8) ENGINE = Memory": "ACCESS_DENIED",
        "DROP VIEW api.trade": "ACCESS_DENIED",
        "ALTER USER default IDENTIFIED BY 'x'": "ACCESS_DENIED",
        "SET readonly = 0": "READONLY",
        "SYSTEM SHUTDOWN": "ACCESS_DENIED",
        "SELECT count() FROM api.market_spot": "done",
    }
    texts[f"SELECT 1 INTO OUTFILE '{setup.catalogue}/made.out'"] = ""
    arguments = (json.dumps(asdict(setup)), json.dumps(list(texts)))
    run = subprocess.run([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    *said, sizes = map(json.loads, run.stdout.splitlines())
    for (text, expected), answer in zip(texts.items(), said, strict=True):
        assert expected in answer, (text, answer)
    assert set(sizes) <= {0}  # in its own folder a worker can make a file but not fill it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv"]


def test_what_stays_readable_follows_from_the_served_files(tmp_path: Path) -> None:
    """A table's folders without its log; a new exchange is a new folder; a link that leads nowhere gives nothing."""
    for exchange in ("exchange=a", "exchange=b"):
        (tmp_path / "trades" / exchange / "symbol=x").mkdir(parents=True)
        (tmp_path / "trades" / exchange / "symbol=x" / "part.parquet").touch()
    (tmp_path / "trades" / "_delta_log").mkdir()
    (tmp_path / "study.parquet").touch()
    links = {name: tmp_path / f"link-{name}" for name in ("a", "b", "study", "gone")}
    for name in ("a", "b"):
        links[name].symlink_to(tmp_path / "trades" / f"exchange={name}" / "symbol=x" / "part.parquet")
    links["study"].symlink_to(tmp_path / "study.parquet")
    links["gone"].symlink_to(tmp_path / "nothing.parquet")
    first = served_folders([str(links["a"]), str(links["study"]), str(links["gone"])])
    assert first == [str(tmp_path / "study.parquet"), str(tmp_path / "trades" / "exchange=a")]
    assert served_folders([str(links["a"]), str(links["b"])]) == [str(tmp_path / "trades" / f"exchange={name}") for name in ("a", "b")]
