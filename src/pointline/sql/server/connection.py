"""HTTP connections with a patience of their own: a request's head must arrive within a time, also the second one of a connection."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pointline.sql.server.app import ABORT

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which by itself waits for ever for the rest of a request's head.

    It also tells the application how to drop the connection when a client does not read its answer.
    """

    header_s: float = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self.app: Any = _with_abort(self.app, self._abort)
        self._impatience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def handle_events(self) -> None:
        """Answers what has arrived, and waits where a head has begun and is not complete."""
        super().handle_events()
        incomplete = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not incomplete:
            self._stop_waiting()
        elif self._impatience is None:
            self._wait()

    def on_response_complete(self) -> None:
        """Ends a connection whose request was answered before all of it had arrived, instead of waiting for the rest."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the waiting with the connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._impatience = self.loop.call_later(self.header_s, self._abort)

    def _stop_waiting(self) -> None:
        if self._impatience is not None:
            self._impatience.cancel()
            self._impatience = None

    def _abort(self) -> None:
        self.transport.abort()


def _with_abort(app: ASGI3Application, abort: Any) -> Any:  # noqa: ANN401 - an application and a function
    return partial(_call, app, abort)


async def _call(app: ASGI3Application, abort: Any, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:  # noqa: ANN401
    known: Any = {**scope, ABORT: abort}
    await app(known, receive, send)


def patient(header_s: float) -> type[PatientProtocol]:
    """The protocol with that patience."""
    return type("PatientProtocol", (PatientProtocol,), {"header_s": header_s})
