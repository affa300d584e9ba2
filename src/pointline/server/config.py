"""The configuration of a server: where it listens, its users and its limits.

`read_config` reads it from a TOML file. The models of its tables are `ServerTable`, `LimitsTable` and `UserTable`.
"""

from __future__ import annotations

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pointline.errors import ConfigError
from pointline.server.hashes import is_password_hash, is_token_hash
from pointline.sql.guard.limits import QueryLimits

MAX_WORKERS = 64


def _hash_of_password(value: object) -> str:
    if not is_password_hash(value):
        raise ConfigError("a user's password is given as its hash", hint="pointline serve --hash-password prints it")
    return str(value)


def _hashes_of_tokens(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(is_token_hash(token) for token in value):
        raise ConfigError("a user's tokens are given as a list of their hashes", hint="pointline serve --new-token prints one")
    return tuple(value)


def _networks(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for address in addresses:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            expected = '["127.0.0.1", "10.0.0.0/8"] for instance'
            raise ConfigError("a trusted proxy is named by its address or network", value=address, expected=expected) from None
    return addresses


_Whole = Annotated[int, Field(ge=0, strict=True)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
_Texts = tuple[str, ...]
_File = Annotated[Path, AfterValidator(Path.expanduser)]


class _ConfigTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LimitsTable(_ConfigTable):
    """The ``[limits]`` table, and that of a user: the `QueryLimits` that it sets."""

    time_s: _Positive | None = None
    memory_mb: _Whole | None = None
    rows_read: _Whole | None = None
    rows_returned: _Whole | None = None
    megabytes_returned: _Whole | None = None
    threads: _Whole | None = None
    queries: _Whole | None = None

    def over(self, limits: QueryLimits) -> QueryLimits:
        """The limits with those of the table in place of theirs."""
        return replace(limits, **self.model_dump(exclude_unset=True))


class UserTable(_ConfigTable):
    """A ``[users.NAME]`` table; attributes as of `User`."""

    password: Annotated[str, BeforeValidator(_hash_of_password)] | None = None
    tokens: Annotated[_Texts, BeforeValidator(_hashes_of_tokens)] = ()
    limits: LimitsTable = LimitsTable()

    @model_validator(mode="after")
    def _has_a_secret(self) -> Self:
        if self.password is None and not self.tokens:
            raise ConfigError("a user needs a password or a token", expected='password = "scrypt:..." or tokens = ["sha256:..."]')
        return self


class ServerTable(_ConfigTable):
    """The ``[server]`` table.

    Attributes:
        host, port: where the server listens; port 0 takes a free one.
        workers: processes that run queries, one query each at a time; a user holds all but one of them at most.
        waiting: queries that may wait for a worker.
        wait_s: seconds that a query waits before it is refused; longer than queries run, or others' queries outlast it.
        max_query_kb: largest request.
        header_s, body_s: seconds within which a request's head and body must have arrived.
        stall_s: seconds that a client may leave its answer unread.
        connections: clients connected at a time; for one more the one that has been idle for longest is dropped.
        worker_queries: a worker is replaced by a fresh one after so many.
        worker_growth_mb: or when it has grown by so much between queries.
        refresh_s: seconds between checks of the lake for new data.
        allowed_hosts: names by which clients may call the server, beside its address; ``*`` is any.
        trusted_proxies: addresses and networks of reverse proxies whose ``X-Forwarded-For`` gives the client's address.
        kept_mb: megabytes of results that are stored for clients which read them piece by piece; 0 stores none.
        audit_log: file of JSON lines, or None.
        audit_log_mb: size at which the log is renamed to ``.1``; five such files are kept.
        tls_certificate, tls_key: PEM files.
    """

    host: str = "127.0.0.1"
    port: Annotated[_Whole, Field(le=65_535)] = 8123
    workers: Annotated[_Whole, Field(ge=1, le=MAX_WORKERS)] = 2
    waiting: Annotated[_Whole, Field(le=10_000)] = 256
    wait_s: _Positive = 60.0
    max_query_kb: Annotated[_Whole, Field(ge=1, le=100_000)] = 256
    header_s: _Positive = 10.0
    body_s: _Positive = 10.0
    stall_s: _Positive = 30.0
    connections: Annotated[_Whole, Field(ge=2, le=100_000)] = 256
    worker_queries: _Whole = 20_000
    worker_growth_mb: _Whole = 500
    refresh_s: _Positive = 5.0
    allowed_hosts: _Texts = ()
    trusted_proxies: Annotated[_Texts, AfterValidator(_networks)] = ()
    kept_mb: Annotated[_Whole, Field(le=1_000_000)] = 1_024
    audit_log: _File | None = None
    audit_log_mb: _Whole = 64
    tls_certificate: _File | None = None
    tls_key: _File | None = None


class _ConfigFile(_ConfigTable):
    server: ServerTable = ServerTable()
    limits: LimitsTable = LimitsTable()
    users: dict[str, UserTable] = {}


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


class ServerConfig(ServerTable):
    """A server.

    Attributes:
        limits: of users without their own.
        users: by name; empty for a server that asks for no user.

    The other attributes are those of `ServerTable`.
    """

    limits: QueryLimits = QueryLimits()
    users: Mapping[str, User] = {}

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def changed(self, **values: object) -> ServerConfig:
        """This with other values, e.g. those of the command line.

        Raises:
            ConfigError: a value is of another kind or out of its range.
        """
        try:
            return ServerConfig.model_validate({**dict(self), **values})
        except ValidationError as error:
            raise _refusal(error, "") from None

    def checked(self) -> ServerConfig:
        """This, if it can be served.

        Raises:
            ConfigError: it listens beyond this machine without users, or has one of the two files of TLS.
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
        return self


def read_config(path: Path) -> ServerConfig:
    """The server that a TOML file describes, with ``[server]``, ``[limits]`` and ``[users.NAME]`` tables.

    Raises:
        ConfigError: the file cannot be read, or holds a key or value that means nothing.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError("the server's configuration cannot be read", where=str(path), value=str(error)) from error
    try:
        found = _ConfigFile.model_validate(content)
    except ValidationError as error:
        raise _refusal(error, str(path)) from None  # its own text could show a secret
    if found.users and (path.stat().st_mode & 0o007) and os.name == "posix":
        raise ConfigError("the file with the users' hashes is open to everybody on this machine", where=str(path), hint=f"chmod 600 {path}")
    limits = found.limits.over(QueryLimits())
    users = {name: User(name, table.password, table.tokens, table.limits.over(limits)) for name, table in found.users.items()}
    files = {name: path.parent / file for name in ("audit_log", "tls_certificate", "tls_key") if (file := getattr(found.server, name))}
    return ServerConfig.model_validate({**dict(found.server), **files, "limits": limits, "users": users})


_EXPECTED = {
    "int_type": "a whole number",
    "string_type": "text",
    "path_type": "a path",
    "tuple_type": "a list of texts",
    "model_type": "a table",
    "dict_type": "a table",
}


def _refusal(error: ValidationError, path: str) -> ConfigError:
    """The error of the first value that pydantic refused.

    Args:
        error: pydantic's.
        path: of the file; empty for values from elsewhere.
    """
    detail = error.errors()[0]
    place, kind, context = [str(part) for part in detail["loc"]], detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(_keys(place[:-1]))
        alike = get_close_matches(place[-1], known)
        hint = f"names alike: {', '.join(alike)}" if alike else None
        return ConfigError("there is no such key", where=_where(path, place[:-1]), value=place[-1], expected=", ".join(known), hint=hint)
    where = _where(path, place)
    if isinstance(own := context.get("error"), ConfigError):
        return ConfigError(own.what, where=where, value=own.value, expected=own.expected, hint=own.hint)
    if kind in {"greater_than_equal", "less_than_equal"}:
        expected = f"at least {context['ge']}" if "ge" in context else f"at most {context['le']}"
        return ConfigError("a number of the server is out of its range", where=where, value=detail["input"], expected=expected)
    expected = _EXPECTED.get(kind, "a number above zero")
    return ConfigError("a value of the configuration is of another kind", where=where, value=detail["input"], expected=expected)


def _keys(place: list[str]) -> Mapping[str, Any]:
    """The keys of the table at a place of the file."""
    if not place:
        return _ConfigFile.model_fields
    if place[-1] == "limits":
        return LimitsTable.model_fields
    return ServerTable.model_fields if place == ["server"] else UserTable.model_fields


def _where(path: str, place: list[str]) -> str:
    """The file, the table in brackets, and the key, as far as there are any: ``serve.toml, [users.ann], limits, time_s``."""
    tables = 2 if place[:1] == ["users"] else 1
    table = [f"[{'.'.join(place[:tables])}]"] if place and path else place[:tables]
    return ", ".join([*([path] if path else []), *table, *place[tables:]])
