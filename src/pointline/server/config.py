"""The configuration of a server: where it listens, its users and its limits."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointline.errors import ConfigError
from pointline.server.hashes import is_password_hash, is_token_hash
from pointline.sql.guard.limits import QueryLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_WORKERS = 64


@dataclass(frozen=True)
class User:
    """A user of the server.

    Attributes:
        name: also in the audit log.
        password: hash that `pointline serve --hash-password` printed, or None.
        tokens: hashes that `pointline serve --new-token` printed.
        limits: the user's own, else the server's.
    """

    name: str
    password: str | None = None
    tokens: tuple[str, ...] = ()
    limits: QueryLimits = field(default_factory=QueryLimits)


@dataclass(frozen=True)
class ServerConfig:
    """A server.

    Attributes:
        host, port: where it listens; port 0 takes a free one.
        workers: processes that run queries, one query each at a time; a user holds all but one of them at most.
        waiting: queries that may wait for a worker.
        wait_s: seconds that a query waits before it is told to come back; longer than queries run, or others' queries outlast it.
        max_query_kb: largest request.
        header_s, body_s: seconds within which a request's head and body must have arrived.
        stall_s: seconds that a client may leave its answer unread.
        connections: clients connected at a time; for one more the one that has been idle for longest is dropped.
        worker_queries: a worker is replaced by a fresh one after so many.
        worker_growth_mb: or when it has grown by so much between queries.
        refresh_s: seconds between looks at the lake for new data.
        allowed_hosts: names by which clients may call the server, beside its address; ``*`` is any.
        trusted_proxies: addresses and networks of reverse proxies whose ``X-Forwarded-For`` says where a request comes from.
        kept_mb: megabytes of results that are kept for clients which read them piece by piece; 0 keeps none.
        audit_log: file of JSON lines, or None.
        audit_log_mb: size at which the log is put aside as ``.1``; five are kept.
        tls_certificate, tls_key: PEM files.
        limits: of users without their own.
        users: by name; nobody needs to be one where this is empty.
    """

    host: str = "127.0.0.1"
    port: int = 8123
    workers: int = 2
    waiting: int = 256
    wait_s: float = 60.0
    max_query_kb: int = 256
    header_s: float = 10.0
    body_s: float = 10.0
    stall_s: float = 30.0
    connections: int = 256
    worker_queries: int = 20_000
    worker_growth_mb: int = 500
    refresh_s: float = 5.0
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    kept_mb: int = 1_024
    audit_log: Path | None = None
    audit_log_mb: int = 64
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    limits: QueryLimits = field(default_factory=QueryLimits)
    users: Mapping[str, User] = field(default_factory=dict)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def checked(self) -> ServerConfig:
        """This, if it can be served.

        Raises:
            ConfigError: it listens beyond this machine without users, or a number is out of its range.
        """
        if not self.is_loopback and not self.users:
            raise ConfigError(
                "a server that others can reach needs users",
                value=self.host,
                expected="a [users.NAME] table with a password or tokens in the file given with --config",
                hint="pointline serve --hash-password and --new-token print what goes into it",
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ConfigError("TLS needs both tls_certificate and tls_key", where="[server]")
        for address in self.trusted_proxies:
            try:
                ipaddress.ip_network(address)
            except ValueError as error:
                raise ConfigError(
                    "a trusted proxy is named by its address or network",
                    where="trusted_proxies",
                    value=address,
                    expected='["127.0.0.1", "10.0.0.0/8"] for instance',
                ) from error
        for name, lowest, highest in _RANGES:
            value = getattr(self, name)
            if not lowest <= value <= highest:
                raise ConfigError("a number of the server is out of its range", where=name, value=value, expected=f"{lowest} to {highest}")
        return self


_RANGES = (
    ("port", 0, 65_535),
    ("workers", 1, MAX_WORKERS),
    ("waiting", 0, 10_000),
    ("connections", 2, 100_000),
    ("max_query_kb", 1, 100_000),
    ("kept_mb", 0, 1_000_000),
)


def read_config(path: Path) -> ServerConfig:
    """The server that a TOML file describes, with ``[server]``, ``[limits]`` and ``[users.NAME]`` tables.

    Raises:
        ConfigError: the file cannot be read, or holds a key or value that means nothing.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("the server's configuration cannot be read", where=str(path), value=str(error)) from error
    _only(content, {"server", "limits", "users"}, str(path))
    limits = _filled(QueryLimits(), _table(content, "limits", str(path)), f"{path}, [limits]")
    users = {name: _user(name, table, limits, path) for name, table in _table(content, "users", str(path)).items()}
    server = _filled(ServerConfig(), _table(content, "server", str(path)), f"{path}, [server]", without=("limits", "users"))
    near = {name: _beside(path, getattr(server, name)) for name in ("audit_log", "tls_certificate", "tls_key")}
    if users and (path.stat().st_mode & 0o007) and os.name == "posix":
        raise ConfigError("the file with the users' hashes is open to everybody on this machine", where=str(path), hint=f"chmod 600 {path}")
    found: ServerConfig = replace(server, limits=limits, users=users, **near)
    return found


def _beside(path: Path, name: Path | None) -> Path | None:
    return None if name is None else path.parent / name


def _user(name: str, table: Any, limits: QueryLimits, path: Path) -> User:  # noqa: ANN401 - any TOML
    where = f"{path}, [users.{name}]"
    if not isinstance(table, dict):
        raise ConfigError("a user is a table", where=where, value=table, expected=f"[users.{name}] with password or tokens")
    _only(table, {"password", "tokens", "limits"}, where)
    password, tokens = table.get("password"), table.get("tokens", [])
    if password is not None and not is_password_hash(password):
        raise ConfigError("a user's password is given as its hash", where=where, hint="pointline serve --hash-password prints it")
    if not isinstance(tokens, list) or not all(is_token_hash(token) for token in tokens):
        raise ConfigError("a user's tokens are given as a list of their hashes", where=where, hint="pointline serve --new-token prints one")
    if password is None and not tokens:
        raise ConfigError("a user needs a password or a token", where=where, expected='password = "scrypt:..." or tokens = ["sha256:..."]')
    return User(name, password, tuple(tokens), _filled(limits, _table(table, "limits", where), f"{where}, limits"))


def _table(content: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    table = content.get(name, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{name} is a table", where=where, value=table, expected=f"[{name}]")
    return table


def _only(table: Mapping[str, Any], known: set[str], where: str) -> None:
    for name in table:
        if name not in known:
            raise ConfigError("there is no such key", where=where, value=name, expected=", ".join(sorted(known)))


def _filled(start: Any, table: Mapping[str, Any], where: str, without: tuple[str, ...] = ()) -> Any:  # noqa: ANN401 - QueryLimits or ServerConfig
    """The dataclass with the table's values in it, each of the type that the field has."""
    types = {f.name: str(f.type) for f in fields(start) if f.name not in without}
    _only(table, set(types), where)
    return replace(start, **{name: _value(value, types[name], f"{where}, {name}") for name, value in table.items()})


def _value(value: Any, kind: str, where: str) -> Any:  # noqa: ANN401 - any TOML
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "float" and is_number and value > 0:
        return float(value)
    if kind == "int" and isinstance(value, int) and is_number and value >= 0:
        return value
    if kind == "str" and isinstance(value, str):
        return value
    if kind == "Path | None" and isinstance(value, str):
        return Path(value).expanduser()
    if kind == "tuple[str, ...]" and isinstance(value, list) and all(isinstance(item, str) for item in value):
        return tuple(value)
    expected = {
        "float": "a number above zero",
        "int": "a whole number",
        "str": "text",
        "Path | None": "a path",
        "tuple[str, ...]": "a list of texts",
    }
    raise ConfigError("a value of the configuration is of another kind", where=where, value=value, expected=expected[kind])
