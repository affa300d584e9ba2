"""An S3 server on this machine that counts its requests and can be told to fail."""

from __future__ import annotations

import io
import logging
import os
import socket
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

DEMO = "s3://desk/demo/lake"
"""Where the fixture `copied` puts the demo's lake."""

ENDPOINT = os.environ.get("POINTLINE_S3_ENDPOINT", "")
ACCESS_KEY = "AKIATESTSONLY"
SECRET_KEY = "never-to-be-shown"  # noqa: S105 - of a server in the tests


@dataclass
class Server:
    """A store that answers as S3 does.

    Attributes:
        url: its endpoint.
        requests: method and key of each request, in order.
        sent: bytes that it sent.
        fault: asked with method and key before each request: a status and an error code to answer with, ``"reset"`` to cut the
            connection, ``"late"`` to cut it after the request was carried out, or None.
        cut: asked with method, key and range before an answer is sent: the bytes of it after which the connection ends, or None.
        recorded: answers by request, of each that was given while `records` was set.
        replays: asked with the key, or the query of a listing: whether the answer that was recorded is given again.
        ignored: headers of conditions that the store does not know, as WSGI names them.
        takes_quotes: whether it knows an etag in quotes; else it does as Ceph's gateway does until version 16.
    """

    url: str = ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    sent: int = 0
    fault: Callable[[str, str], tuple[int, str] | str | None] | None = None
    cut: Callable[[str, str, str], int | None] | None = None
    records: bool = False
    recorded: dict[str, tuple[str, list[tuple[str, str]], list[bytes]]] = field(default_factory=dict)
    replays: Callable[[str], bool] | None = None
    ignored: frozenset[str] = frozenset()
    takes_quotes: bool = True
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def application(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """The server's application with this in front of it."""

        def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            method, key = environ["REQUEST_METHOD"], environ["PATH_INFO"].lstrip("/").partition("/")[2]
            with self._guard:
                self.requests.append((method, key or environ["QUERY_STRING"]))
                fault = self.fault(method, key) if self.fault is not None else None
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            for header in self.ignored:
                environ.pop(header, None)
            if not self.takes_quotes and not _without_quotes(environ):
                fault = (412, "PreconditionFailed")
            if fault == "reset":
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                return []
            if isinstance(fault, tuple):
                text = f"<?xml version='1.0'?><Error><Code>{fault[1]}</Code><Message>told to</Message></Error>".encode()
                start(f"{fault[0]} {fault[1]}", [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))])
                return [text]
            request = f"{method} {environ['REQUEST_URI']}"
            if self.replays is not None and request in self.recorded and self.replays(key or environ["QUERY_STRING"]):
                start(*self.recorded[request][:2])
                return self.recorded[request][2]
            content = self._asked(app, environ, start, request)
            if fault == "late":
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                return []
            most = self.cut(method, key, environ.get("HTTP_RANGE", "")) if self.cut is not None else None
            if most is not None:  # the length in the headers stays that of the whole
                content = [b"".join(content)[:most]]
            with self._guard:
                self.sent += sum(map(len, content))
            return content

        return answer

    def _asked(self, app: Callable[..., Iterable[bytes]], environ: dict[str, Any], start: Callable[..., Any], request: str) -> list[bytes]:
        told: list[Any] = []

        def starting(*given: Any) -> Any:  # noqa: ANN401 - as WSGI has it
            told[:] = given
            return start(*given)

        content = list(app(environ, starting))
        if self.records:
            self.recorded[request] = (told[0], list(told[1]), content)
        return content

    def counted(self) -> Counter[str]:
        """Requests by method since the last call of `forget`."""
        return Counter(method for method, _ in self.requests)

    def forget(self) -> None:
        """Starts to count anew, and fails no more."""
        self.requests.clear()
        self.sent = 0
        self.records, self.replays = False, None
        self.recorded.clear()
        self.fault, self.cut, self.ignored, self.takes_quotes = None, None, frozenset(), True


def _without_quotes(environ: dict[str, Any]) -> bool:
    """Makes a condition on a plain etag one that the store knows; whether the condition on an etag in quotes lets the request go on."""
    wanted = environ.get("HTTP_IF_MATCH", "")
    if wanted:
        environ["HTTP_IF_MATCH"] = f'"{wanted}"'
    elif environ.get("HTTP_IF_NONE_MATCH", "*") != "*":
        del environ["HTTP_IF_NONE_MATCH"]  # no etag has quotes, so the object is always another one
    return not wanted.startswith('"')


def _store() -> Callable[..., Iterable[bytes]]:
    """The store behind the server: moto, or the one at ``POINTLINE_S3_ENDPOINT``, whose keys are `ACCESS_KEY` and `SECRET_KEY`.

    That one must have an empty bucket ``desk``.
    """
    if ENDPOINT:
        return _forward
    moto = pytest.importorskip("moto.server", reason="the store of the tests is moto: pip install 'moto[s3]' flask flask-cors")
    made: Callable[..., Iterable[bytes]] = moto.DomainDispatcherApplication(moto.create_backend_app)
    return made


def _forward(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Asks the other store the same, with the name of this server as it was signed."""
    import http.client

    host, _, port = ENDPOINT.removeprefix("http://").strip("/").rpartition(":")
    headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
    body = environ["wsgi.input"].read()
    headers |= {"Content-Length": str(len(body))} | ({"Content-Type": environ["CONTENT_TYPE"]} if environ.get("CONTENT_TYPE") else {})
    connection = http.client.HTTPConnection(host, int(port))
    connection.request(environ["REQUEST_METHOD"], environ["REQUEST_URI"], body=body, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    kept = [pair for pair in answer.getheaders() if pair[0].lower() not in {"connection", "transfer-encoding", "keep-alive"}]
    start(f"{answer.status} {answer.reason}", kept)
    connection.close()
    return [content]


def serve() -> Iterator[Server]:
    """A running server with the bucket ``desk``."""
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = Server()
    running = make_server("127.0.0.1", 0, server.application(_store()), threaded=True)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{running.server_port}"
    if not ENDPOINT:
        make_bucket(server, "desk")
    yield server
    running.shutdown()
    thread.join()
    running.server_close()


def make_bucket(server: Server, name: str) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.rpartition(":")[2]))
    signed = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request"
    connection.request("PUT", f"/{name}", headers={"Authorization": signed, "Content-Length": "0"})
    assert connection.getresponse().status == 200
    connection.close()


def environment(server: Server, mirror: object) -> dict[str, str]:
    """What a process needs to reach the server."""
    return {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "POINTLINE_MIRROR": str(mirror),
    }


def enter(patch: pytest.MonkeyPatch, server: Server, mirror: object) -> None:
    """Sets the environment of this process, without what the user has."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_ALLOW_HTTP", "AWS_DEFAULT_REGION", "POINTLINE_LAKE"):
        patch.delenv(name, raising=False)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
    patch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    for name, value in environment(server, mirror).items():
        patch.setenv(name, value)
