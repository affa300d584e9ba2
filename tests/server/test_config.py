"""The configuration file: what it can say, and that what it cannot say is refused with its place."""

from __future__ import annotations

import traceback
from dataclasses import fields
from pathlib import Path

import pytest

from pointline.errors import ConfigError
from pointline.server.command import configured
from pointline.server.config import LimitsTable, ServerConfig, ServerTable, read_config
from pointline.server.hashes import hash_password, hash_token, new_token
from pointline.sql.guard.limits import QueryLimits

HASHED = 'password = "scrypt:16384:8:1:AAAAAAAAAAAAAAAAAAAAAA==:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="'


def read(folder: Path, text: str, mode: int = 0o600) -> ServerConfig:
    path = folder / "serve.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return read_config(path)


def test_a_whole_file(tmp_path: Path) -> None:
    token = hash_token("abc")
    found = read(
        tmp_path,
        f"""
        [server]
        host = "10.0.0.5"
        port = 9000
        workers = 3
        wait_s = 2
        allowed_hosts = ["quotes.example"]
        audit_log = "log/audit.jsonl"

        [limits]
        time_s = 5
        rows_read = 1000

        [users.ann]
        {HASHED}
        limits = {{ time_s = 60.5, queries = 1 }}

        [users.robot]
        tokens = ["{token}"]
        """,
    ).checked()
    assert (found.host, found.port, found.workers, found.wait_s, found.allowed_hosts) == ("10.0.0.5", 9000, 3, 2.0, ("quotes.example",))
    assert found.audit_log == tmp_path / "log/audit.jsonl"
    assert found.limits == QueryLimits(time_s=5.0, rows_read=1000)
    assert found.users["ann"].limits == QueryLimits(time_s=60.5, rows_read=1000, queries=1)
    assert found.users["robot"].limits == found.limits
    assert found.users["robot"].tokens == (token,)


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "serve.toml"
    path.write_text("[server]\nport = 1\nworkers = 5\n", encoding="utf-8")
    found = configured(path, host=None, port=0, workers=None)
    assert (found.host, found.port, found.workers) == ("127.0.0.1", 0, 5)
    assert configured(None, host=None, port=None, workers=None) == ServerConfig()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nprot = 1", "prot"),
        ("[sever]\nport = 1", "sever"),
        ("[server]\nport = '1'", "port"),
        ("[server]\nport = true", "port"),
        ("[server]\nworkers = 2.5", "workers"),
        ("[server]\nwait_s = 0", "wait_s"),
        ("[server]\nlimits = 1", "limits"),
        ("server = 1", "server"),
        ("[limits]\ntime_s = -1", "time_s"),
        ("[limits]\nrows = 1", "rows"),
        ("[users.ann]\npassword = 'secret'", "hash"),
        ("[users.ann]\ntokens = ['secret']", "hash"),
        ("[users.ann]\n", "password or a token"),
        (f"[users.ann]\n{HASHED}\nadmin = true", "admin"),
        ("[users]\nann = 1", "ann"),
        ("port = ", "serve.toml"),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert told in str(caught.value)
    assert "serve.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "where", "value", "expected", "hint"),
    [
        ("[limits]\ntime = 1", "[limits]", "time", "time_s", "time_s"),
        ("[users.ann]\nlimits = { time_s = 'x' }", "[users.ann], limits, time_s", "x", "a number above zero", None),
        ("[server]\nallowed_hosts = ['a', 1]", "[server], allowed_hosts, 1", 1, "text", None),
        ("[server]\nwait_s = inf", "[server], wait_s", float("inf"), "a number above zero", None),
        ("[server]\nworkers = 65", "[server], workers", 65, "at most 64", None),
        ("[users.ann]\npassword = 7", "[users.ann], password", None, None, "--hash-password"),
        ("users = 1", "[users]", 1, "a table", None),
    ],
)
def test_an_error_names_key_value_and_what_was_expected(
    tmp_path: Path, text: str, where: str, value: object, expected: str | None, hint: str | None
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    error = caught.value
    assert (error.where, error.value) == (f"{tmp_path / 'serve.toml'}, {where}", value)
    assert (expected or "") in (error.expected or "")
    assert (hint or "") in (error.hint or "")


def test_the_tables_have_the_names_of_what_they_set() -> None:
    assert set(LimitsTable.model_fields) == {limit.name for limit in fields(QueryLimits)}
    assert set(ServerConfig.model_fields) == {*ServerTable.model_fields, "limits", "users"}


def test_a_secret_is_never_printed(tmp_path: Path) -> None:
    secret, _ = new_token()
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"[users.ann]\npassword = '{secret}'")
    assert secret not in "".join(traceback.format_exception(caught.value))


def test_a_file_with_hashes_must_not_be_open_to_all(tmp_path: Path) -> None:
    assert read(tmp_path, f"[users.ann]\n{HASHED}", mode=0o640).users
    with pytest.raises(ConfigError, match="open to everybody"):
        read(tmp_path, f"[users.ann]\n{HASHED}", mode=0o644)
    assert read(tmp_path, "[server]\nport = 1", mode=0o644).port == 1


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "nothing.toml")


@pytest.mark.parametrize("host", ["0.0.0.0", "10.1.2.3", "::", "quotes.example"])  # noqa: S104 -- what must be refused
def test_beyond_this_machine_only_with_users(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="needs users"):
        ServerConfig(host=host).checked()
    users = read(tmp_path, f"[users.ann]\npassword = '{hash_password('x')}'").users
    assert ServerConfig(host=host, users=users).checked()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_none(host: str) -> None:
    assert ServerConfig(host=host).checked().is_loopback


@pytest.mark.parametrize("given", [{"port": 65_536}, {"workers": 0}, {"workers": 65}, {"connections": 1}, {"max_query_kb": 0}])
def test_numbers_have_a_range(given: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="range"):
        ServerConfig().changed(**given)


def test_trusted_proxies_are_addresses_and_networks(tmp_path: Path) -> None:
    assert read(tmp_path, "[server]\ntrusted_proxies = ['127.0.0.1', '10.0.0.0/8', '::1']").trusted_proxies[1] == "10.0.0.0/8"
    for wrong in ("proxy.example", "10.0.0.1/8", ""):
        with pytest.raises(ConfigError, match="trusted proxy"):
            read(tmp_path, f"[server]\ntrusted_proxies = ['{wrong}']")


def test_tls_needs_both_files() -> None:
    with pytest.raises(ConfigError, match="TLS"):
        ServerConfig(tls_key=Path("key.pem")).checked()
