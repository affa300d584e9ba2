"""HTTP connections with a patience of their own: a request's head must arrive within a time, also the second one of a connection.

When there are too many, those that do nothing are ended first.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from pointline.server.app import ABORT

if TYPE_CHECKING:
    import asyncio

    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope


class State(Enum):
    """What goes on on a connection."""

    IDLE = auto()
    """Nothing, or a request's head has not arrived in full."""
    SENDING = auto()
    """The client sends its request; nothing runs for it yet."""
    UNREAD = auto()
    """The answer is complete and the client has not read all of it."""
    BUSY = auto()
    """The request is being answered."""


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which by itself waits for ever for the rest of a request's head.

    It also tells the application how to drop the connection when a client does not read its answer.
    """

    header_s: float = 10.0
    most: int = 256

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self.app: Any = _with_abort(self.app, self._abort)
        self._impatience: asyncio.TimerHandle | None = None
        self.idle_since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the first request, in the place of an idle connection where there are too many.

        Where none is idle the client is told to come back, and a connection whose request is being answered stays.
        """
        super().connection_made(transport)
        self._wait()
        if len(self.connections) > self.most and not self._drop_another():
            self.limit_concurrency = 0  # uvicorn answers its request with 503

    def _drop_another(self) -> bool:
        others = [one for one in self.connections if one is not self and isinstance(one, PatientProtocol)]
        held = Counter(_address(one) for one in others)
        for state in (State.IDLE, State.SENDING, State.UNREAD):
            found = [one for one in others if one.state() is state]
            if found:
                # Of the address that has most connections; of those the one that has done nothing for longest.
                min(found, key=lambda one: (-held[_address(one)], one.idle_since)).drop()
                return True
        return False

    def state(self) -> State:
        """What goes on on this connection."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            return State.UNREAD if self.transport.get_write_buffer_size() else State.IDLE
        return State.SENDING if cycle.more_body and not cycle.response_started else State.BUSY

    def timeout_keep_alive_handler(self) -> None:
        """Ends a connection that was idle for long, also one whose last answer was never read to its end."""
        if self.state() is State.UNREAD:
            self._abort()
        else:
            super().timeout_keep_alive_handler()

    def drop(self) -> None:
        """Ends the connection, which is forgotten at once."""
        self.connections.discard(self)
        self._abort()

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
        self.idle_since = self.loop.time()
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


def _address(connection: PatientProtocol) -> str:
    return connection.client[0] if connection.client else ""


def patient(header_s: float, connections: int) -> type[PatientProtocol]:
    """The protocol with that patience, for so many connections at a time."""
    return type("PatientProtocol", (PatientProtocol,), {"header_s": header_s, "most": connections})
