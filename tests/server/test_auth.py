"""Passwords, tokens, and who a request is from."""

from __future__ import annotations

import asyncio
import base64

import pytest

from pointline.server import auth
from pointline.server.auth import Authenticator, Credentials, credentials_of
from pointline.server.config import ServerConfig, User
from pointline.server.hashes import hash_password, hash_token, is_password_hash, matches, new_token
from pointline.sql.guard.codes import RefusedError
from pointline.sql.guard.limits import QueryLimits

TOKEN, TOKEN_HASH = new_token()
ANN = User("ann", password=hash_password("correct horse"), limits=QueryLimits(queries=3))
ROBOT = User("robot", tokens=(hash_token("another"), TOKEN_HASH))


def admit(config: ServerConfig, *credentials: Credentials) -> list[str]:
    """Who each is, asked of one authenticator; a refusal as its name."""

    async def ask() -> list[str]:
        authenticator = Authenticator(config)
        found = []
        for one in credentials:
            try:
                found.append((await authenticator.authenticate(one)).name)
            except RefusedError as refusal:
                found.append(refusal.name)
        return found

    return asyncio.run(ask())


def token(text: str) -> Credentials:
    return Credentials(token=text)


WITH_USERS = ServerConfig(users={"ann": ANN, "robot": ROBOT})


def test_hashes_are_salted_and_tell_right_from_wrong() -> None:
    one, two = hash_password("päß wörd"), hash_password("päß wörd")
    assert one != two
    assert is_password_hash(one)
    assert matches("päß wörd", one)
    assert matches("päß wörd", two)
    assert not matches("päß word", one)
    assert not matches("", one)
    assert not matches("x", "not a hash")


def test_a_hash_is_what_the_standard_says() -> None:
    """RFC 7914, section 12: scrypt of "pleaseletmein" with salt "SodiumChloride", N=16384, r=8, p=1, first 32 bytes."""
    digest = bytes.fromhex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2")
    stored = f"scrypt:16384:8:1:{base64.b64encode(b'SodiumChloride').decode()}:{base64.b64encode(digest).decode()}"
    assert matches("pleaseletmein", stored)


def test_tokens_are_long_and_hashed() -> None:
    tokens = {new_token()[0] for _ in range(20)}
    assert len(tokens) == 20
    assert all(len(token) >= 43 for token in tokens)  # 256 bits in base 64
    # SHA-256 of "abc", FIPS 180-2
    assert hash_token("abc") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_users_with_their_passwords_and_tokens() -> None:
    right = [
        Credentials("ann", "correct horse"),
        Credentials("ann", "correct horse"),
        token(TOKEN),
        token("another"),
    ]
    assert admit(WITH_USERS, *right) == ["ann", "ann", "robot", "robot"]


def test_a_token_may_stand_in_the_place_of_a_password() -> None:
    assert admit(WITH_USERS, *(Credentials(name, TOKEN) for name in ("robot", "token", "", "default"))) == ["robot"] * 4
    named = ServerConfig(users={"token": User("token", password=hash_password("x")), "robot": ROBOT})
    assert admit(named, Credentials("token", TOKEN), Credentials("", TOKEN)) == ["AUTHENTICATION_FAILED", "robot"]


def test_everybody_else_is_refused_and_not_told_why() -> None:
    wrong = [
        Credentials("ann", "wrong"),
        Credentials("ann", ""),
        Credentials("ann", TOKEN),
        Credentials("nobody", TOKEN),
        Credentials("robot", TOKEN_HASH),
        Credentials("robot", ""),
        Credentials("robot", "x"),
        Credentials("nobody", "correct horse"),
        Credentials("default", ""),
        token("x"),
        token(TOKEN_HASH),
        token(""),
    ]
    assert admit(WITH_USERS, *wrong) == ["AUTHENTICATION_FAILED"] * len(wrong)
    assert admit(WITH_USERS, Credentials()) == ["REQUIRED_PASSWORD"]


def test_a_right_password_is_hashed_once_and_a_wrong_one_never_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def count(password: str, stored: str) -> bool:
        asked.append(password)
        return matches(password, stored)

    monkeypatch.setattr(auth, "matches", count)
    right, wrong = Credentials("ann", "correct horse"), Credentials("ann", "wrong")
    assert admit(WITH_USERS, right, right, wrong, wrong, right) == ["ann", "ann", *["AUTHENTICATION_FAILED"] * 2, "ann"]
    assert asked == ["correct horse", "wrong", "wrong"]


def test_an_unknown_user_costs_a_hash_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(auth, "matches", lambda password, _: asked.append(password) or False)
    admit(WITH_USERS, Credentials("nobody", "a"), Credentials("robot", "b"))
    assert asked == ["a", "b"]


def test_without_users_anybody_is_the_default_user() -> None:
    nobody = [Credentials(), Credentials("default"), Credentials("")]
    assert admit(ServerConfig(), *nobody) == ["default"] * 3
    somebody = [Credentials("ann", ""), Credentials("default", "x"), token("x")]
    assert admit(ServerConfig(), *somebody) == ["AUTHENTICATION_FAILED"] * 3


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("headers", "query", "expected"),
    [
        ({}, {}, Credentials()),
        ({"authorization": basic("ann:a:b")}, {}, Credentials("ann", "a:b")),
        ({"authorization": basic("ann:")}, {}, Credentials("ann", "")),
        ({"authorization": "bearer abc"}, {}, token("abc")),
        ({"x-clickhouse-user": "ann", "x-clickhouse-key": "x"}, {}, Credentials("ann", "x")),
        ({"x-clickhouse-key": "x"}, {}, Credentials("default", "x")),
        ({}, {"user": "ann", "password": "x"}, Credentials("ann", "x")),
        ({}, {"user": "ann"}, Credentials("ann", "")),
    ],
)
def test_where_credentials_stand(headers: dict[str, str], query: dict[str, str], expected: Credentials) -> None:
    assert credentials_of(headers, query) == expected


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"authorization": "Basic !!!"}, {}),
        ({"authorization": basic("no colon")}, {}),
        ({"authorization": "Digest x"}, {}),
        ({"authorization": "Bearer "}, {}),
        ({"authorization": basic("a:b"), "x-clickhouse-user": "c"}, {}),
        ({"authorization": basic("a:b")}, {"user": "c"}),
        ({"x-clickhouse-user": "a"}, {"password": "b"}),
    ],
)
def test_unclear_credentials_are_refused(headers: dict[str, str], query: dict[str, str]) -> None:
    with pytest.raises(RefusedError) as caught:
        credentials_of(headers, query)
    assert caught.value.status == 403
