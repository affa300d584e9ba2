"""What `pointline serve` does with its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointline.server.config import ServerConfig, read_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def configured(path: Path | None, *, host: str | None, port: int | None, workers: int | None) -> ServerConfig:
    """The server's configuration: the file's, overridden by the command line.

    Raises:
        ConfigError: the file or a value cannot be used.
    """
    config = read_config(path) if path is not None else ServerConfig()
    given = {"host": host, "port": port, "workers": workers}
    return config.changed(**{name: value for name, value in given.items() if value is not None})


def start(lake: str | None, config: ServerConfig, *, say: Callable[[str], None], unsafe_no_sandbox: bool) -> int:
    """Serves a lake until a signal stops the process; returns the exit code, as `serve` does.

    Raises:
        PointlineError: there is no lake, or the configuration or the machine do not allow it.
    """
    from pointline.lake.store import open_lake
    from pointline.server.serve import log_to_stderr, serve

    log_to_stderr()
    return serve(open_lake(lake), config, say=say, unsafe_no_sandbox=unsafe_no_sandbox)


@dataclass(frozen=True)
class Secret:
    """A password or token, made for the configuration file.

    Attributes:
        lines: for the file and, of a token, for its owner.
        values: the same by name: ``password`` or ``tokens`` as the file takes them, ``token`` for its owner.
    """

    lines: str
    values: dict[str, str | list[str]]


def new_secret(kind: str, ask: Callable[[], str]) -> Secret:
    """A password's hash, or a new token with its hash.

    Args:
        kind: ``"password"`` or ``"token"``.
        ask: gives the password, e.g. a prompt.
    """
    from pointline.server.hashes import hash_password, new_token

    if kind == "password":
        hashed = hash_password(ask())
        return Secret(f'password = "{hashed}"\n', {"password": hashed})
    token, digest = new_token()
    return Secret(f'token, for its owner only: {token}\ntokens = ["{digest}"]\n', {"token": token, "tokens": [digest]})
