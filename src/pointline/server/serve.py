"""Starting and stopping a server: its sockets, its workers and the check for changes of the lake."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from functools import partial
from typing import TYPE_CHECKING

from pointline.errors import ConfigError, MissingExtraError
from pointline.server import sandbox
from pointline.sql.fetched_links import link_scratch
from pointline.sql.scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    import uvicorn
    from starlette.applications import Starlette

    from pointline.lake.store import Lake
    from pointline.server.catalogues import Catalogues
    from pointline.server.config import ServerConfig
    from pointline.server.pool import Pool

_log = logging.getLogger("pointline.serve")
_NEEDED = ("chdb", "clickhouse_cityhash", "starlette", "uvicorn", "h11", "lz4", "zstandard", "python_multipart")
_STOP_S = 5
_KEEP_ALIVE_S = 60
LATE_FETCHES_PER_WORKER = 2
"""Fetches that may still wait for a store though nobody wants its answer any more."""


def check_extra() -> None:
    """Checks that the libraries of the extra are installed.

    Raises:
        MissingExtraError: one is missing; with the command that installs it.
    """
    from importlib.util import find_spec

    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise MissingExtraError(
            "the server needs more than a plain install has", value=", ".join(missing), hint="pip install 'pointline[sql]'"
        )


def check_sandbox(config: ServerConfig, *, unsafe_no_sandbox: bool) -> str:
    """What confines the workers, as a sentence for the log.

    Raises:
        SandboxError: this machine cannot confine them, and `unsafe_no_sandbox` is not set.
        ConfigError: `unsafe_no_sandbox` is set for a server that others can reach.
    """
    missing = sandbox.missing_layers()
    if not unsafe_no_sandbox:
        if missing:
            raise sandbox.SandboxError(
                "this machine cannot confine the processes that run queries",
                value="; ".join(missing),
                hint="--unsafe-no-sandbox serves without, on this machine only and for queries of your own",
            )
        return f"workers are confined: Landlock {sandbox.landlock_abi()}, seccomp, resource limits, a read-only engine"
    if not config.is_loopback:
        raise ConfigError(
            "--unsafe-no-sandbox is for servers that only this machine can reach", value=config.host, expected="--host 127.0.0.1"
        )
    return "WARNING: workers are not confined (--unsafe-no-sandbox): a query could read what you can read"


def listening_socket(config: ServerConfig) -> socket.socket:
    """A socket that takes connections already, bound to the configured address.

    Raises:
        ConfigError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # without the protocol asyncio leaves small packets waiting
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((config.host, config.port))
        sock.listen(min(1024, config.connections))
    except OSError as error:
        sock.close()
        where = f"{config.host}:{config.port}"
        raise ConfigError(
            "the server cannot listen there", where=where, value=error.strerror, hint="choose another with --port, 0 takes a free one"
        ) from error
    return sock


def serve(lake: Lake, config: ServerConfig, *, say: Callable[[str], None], unsafe_no_sandbox: bool = False) -> int:
    """Serves a lake until Ctrl-C or SIGTERM.

    Args:
        lake: what queries read.
        config: where, for whom and how much.
        say: gets each message, the server's address among them when it takes queries.
        unsafe_no_sandbox: go on where the workers cannot be confined.

    Returns:
        What the process exits with: 128 and the number of the signal.

    Raises:
        PointlineError: the configuration, the machine or the lake do not allow it.
    """
    check_extra()
    config = config.checked()
    say(check_sandbox(config, unsafe_no_sandbox=unsafe_no_sandbox))
    if not config.is_loopback and config.tls_certificate is None:
        say(
            "WARNING: no TLS: passwords and results can be read on the way; set tls_certificate and tls_key or put a reverse proxy in front"
        )
    with listening_socket(config) as sock:
        number = asyncio.run(_until_stopped(lake, config, sock, say=say, confined=not unsafe_no_sandbox))
    return 128 + number


class _Stop:
    """The action at the first signal; later signals change nothing, while the server shuts down."""

    def __init__(self) -> None:
        self.number = 0
        self._act: Callable[[], object] = _nothing

    def handle(self, number: int) -> None:
        """Handles a signal."""
        if not self.number:
            self.number = number
            self._act()

    def set_action(self, act: Callable[[], object]) -> None:
        """Sets the action; it happens at once where the signal came already."""
        self._act = act
        if self.number:
            act()


def _nothing() -> None:
    """The action before there is anything to stop."""


async def _until_stopped(lake: Lake, config: ServerConfig, sock: socket.socket, *, say: Callable[[str], None], confined: bool) -> int:
    """Serves until a signal comes, and returns its number."""
    loop, stop = asyncio.get_running_loop(), _Stop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.handle, number)
    own = await asyncio.to_thread(Scratch, "serve")
    links = await asyncio.to_thread(link_scratch, lake, "serve")
    try:
        folders = own.path, None if links is None else links.path
        serving = asyncio.create_task(_serve(lake, config, sock, folders, stop, say=say, confined=confined))
        stop.set_action(serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving
    finally:
        await loop.shutdown_default_executor()  # its threads copy catalogues
        own.remove()
        if links is not None:
            links.remove()
    say("stopped")
    return stop.number or signal.SIGTERM


async def _serve(
    lake: Lake,
    config: ServerConfig,
    sock: socket.socket,
    folders: tuple[Path, Path | None],
    stop: _Stop,
    *,
    say: Callable[[str], None],
    confined: bool,
) -> None:
    import uvicorn

    from pointline.server.app import make_app
    from pointline.server.catalogues import Catalogues
    from pointline.server.connection import timed_protocol
    from pointline.server.fetches import Fetches
    from pointline.server.pool import Pool

    folder, scratch = folders
    catalogues = Catalogues(lake, folder, config, confined=confined, scratch=scratch)
    hold = None if scratch is None else Fetches(catalogues.held, LATE_FETCHES_PER_WORKER * config.workers).held
    pool = Pool(config, catalogues.new_setup, catalogues.remove_setup, hold)

    @contextlib.asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        """Ends the workers within the life of the application, in which later signals change nothing."""
        watching = asyncio.create_task(_follow_lake(catalogues, pool, config))
        say(f"serving {lake.place} at {_address(config, sock)} with {config.workers} workers (ClickHouse {pool.version}); Ctrl-C stops it")
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await pool.close()

    try:
        await catalogues.build()
        await pool.open()
        tls = {"ssl_certfile": str(config.tls_certificate), "ssl_keyfile": str(config.tls_key)} if config.tls_certificate else {}
        server = uvicorn.Server(
            uvicorn.Config(
                make_app(config, pool, folder, lifespan=life),
                http=timed_protocol(config.header_s, config.connections),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_STOP_S,
                **tls,  # type: ignore[arg-type]
            )
        )
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        stop.set_action(partial(_end, server))
        await server.serve(sockets=[sock])
    finally:
        await pool.close()


def _end(server: uvicorn.Server) -> None:
    server.should_exit = True


async def _follow_lake(catalogues: Catalogues, pool: Pool, config: ServerConfig) -> None:
    """Builds a new catalogue when the lake has changed, and replaces the workers one by one."""
    while True:
        await asyncio.sleep(config.refresh_s)
        try:
            if await catalogues.is_outdated():
                pool.generation = await catalogues.build()
                _log.info("the lake has changed: workers of catalogue %d replace the others", pool.generation)
            await pool.renew()  # also what an earlier attempt left
        except Exception:  # noqa: BLE001 - the server goes on with what it has
            _log.exception("the lake could not be looked at; the catalogue stays as it is")


def _address(config: ServerConfig, sock: socket.socket) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http{'s' if config.tls_certificate else ''}://{host}:{sock.getsockname()[1]}/"


def log_to_stderr() -> None:
    """Writes the server's messages, and uvicorn's errors, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    for name, level in (("pointline.serve", logging.INFO), ("uvicorn", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = name == "pointline.serve"  # a log file of the command line takes them too
