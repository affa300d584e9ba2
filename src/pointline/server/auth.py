"""Users and their passwords and tokens, which are kept as hashes and compared in constant time."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import os
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointline.server.config import User
from pointline.server.hashes import hash_password, hash_token, matches
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointline.server.config import ServerConfig

_REMEMBERED = 1_000
OPEN_USER = "default"
TOKEN_NAMES = frozenset({"", "token", OPEN_USER})
"""Names that clients may send with a token in the place of the password, where no user is called so."""


@dataclass(frozen=True)
class Credentials:
    """What a request gives to identify its user: a name with a password, or a token."""

    name: str | None = None
    password: str = ""
    token: str | None = None


def credentials_of(headers: Mapping[str, str], query: Mapping[str, str]) -> Credentials:
    """The credentials of a request: ``Authorization``, else ``X-ClickHouse-User`` and ``-Key``, else ``user`` and ``password``.

    Raises:
        RefusedError: an ``Authorization`` that is neither Basic nor Bearer, or two ways at once.
    """
    authorization = headers.get("authorization", "")
    in_headers = "x-clickhouse-user" in headers or "x-clickhouse-key" in headers
    in_query = "user" in query or "password" in query
    if sum((bool(authorization), in_headers, in_query)) > 1:
        raise RefusedError("AUTHENTICATION_FAILED", "the request names its user in more than one way")
    if authorization:
        return _from_authorization(authorization)
    if in_headers:
        return Credentials(headers.get("x-clickhouse-user", OPEN_USER), headers.get("x-clickhouse-key", ""))
    if in_query:
        return Credentials(query.get("user", OPEN_USER), query.get("password", ""))
    return Credentials()


def _from_authorization(value: str) -> Credentials:
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() == "bearer" and rest:
        return Credentials(token=rest.strip())
    if scheme.lower() == "basic":
        try:
            name, colon, password = base64.b64decode(rest, validate=True).decode().partition(":")
        except UnicodeDecodeError:
            raise RefusedError("AUTHENTICATION_FAILED", "the name or the password in the Authorization header is not UTF-8 text") from None
        except binascii.Error:
            colon = ""
        if colon:
            return Credentials(name, password)
    raise RefusedError("AUTHENTICATION_FAILED", "the Authorization header is neither 'Basic ...' nor 'Bearer ...'")


class Authenticator:
    """Finds the user of a request.

    A token may also stand where a password is asked for, with its user's name or with one of `TOKEN_NAMES`.

    A password that was right is remembered for the life of the process (as a keyed digest, not as itself), so that only a user's first
    request pays for the slow hash; wrong ones are hashed one after another, which is also what bounds guessing.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._users = config.users
        self._nobody = User(OPEN_USER, limits=config.limits)
        self._key = os.urandom(32)
        self._right: dict[bytes, str] = {}
        self._turn = asyncio.Semaphore(1)
        self._unused_hash = hash_password(secrets.token_hex())

    async def authenticate(self, credentials: Credentials) -> User:
        """The user with these credentials.

        Raises:
            RefusedError: there is none, or the password or token is wrong; which of them is not said.
        """
        if not self._users:
            return self._open(credentials)
        if credentials.token is not None:
            return self._by_token(credentials.token)
        if credentials.name is None:
            raise RefusedError("REQUIRED_PASSWORD", "this server has users: send a name and a password, or a token")
        return await self._by_password(credentials.name, credentials.password)

    def _open(self, credentials: Credentials) -> User:
        if credentials.token is None and credentials.name in {None, "", OPEN_USER} and not credentials.password:
            return self._nobody
        raise RefusedError(
            "AUTHENTICATION_FAILED", f"this server has no users: leave user and password out, or send {OPEN_USER!r} without a password"
        )

    def _by_token(self, token: str) -> User:
        found = self._owner(token)
        if found is None:
            raise _wrong()
        return found

    def _owner(self, token: str) -> User | None:
        """Whose token this is; takes as long for a wrong one."""
        given = hash_token(token)
        found = [user for user in self._users.values() for kept in user.tokens if hmac.compare_digest(given, kept)]
        return found[0] if found else None

    async def _by_password(self, name: str, password: str) -> User:
        owner = self._owner(password)
        if owner is not None and (owner.name == name or (name in TOKEN_NAMES and name not in self._users)):
            return owner
        digest = hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")
        if digest in self._right:
            return self._users[self._right[digest]]
        user = self._users.get(name)
        stored = user.password if user is not None else None
        async with self._turn:
            right = await asyncio.to_thread(matches, password, stored or self._unused_hash)
        if user is None or stored is None or not right:
            raise _wrong()
        if len(self._right) >= _REMEMBERED:
            self._right.clear()
        self._right[digest] = name
        return user


def _wrong() -> RefusedError:
    return RefusedError("AUTHENTICATION_FAILED", "there is no such user, or the password or token is wrong")
