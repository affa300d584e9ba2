"""HTTP connections with time limits: the head of every request must arrive within a time.

Where there are too many connections, idle ones are closed first.
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


class ConnectionState(Enum):
    """State of a connection."""

    IDLE = auto()
    """No request, or one whose head is incomplete."""
    SENDING = auto()
    """The client sends its request; nothing runs for it yet."""
    UNREAD = auto()
    """The answer is complete and the client has not read all of it."""
    BUSY = auto()
    """The request is being answered."""


class TimedProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with a time limit for a request's head.

    It also gives the application a function that drops the connection, for clients that do not read their answer.
    """

    header_s: float = 10.0
    most: int = 256

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's
        super().__init__(*args, **kwargs)
        self.app: Any = _with_abort(self.app, self._abort)
        self._head_timer: asyncio.TimerHandle | None = None
        self.idle_since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timer of the first request. Where there are too many connections, one that answers no request is dropped.

        Where all answer requests, the new client gets status 503.
        """
        super().connection_made(transport)
        self._start_timer()
        if len(self.connections) > self.most and not self._drop_another():
            self.limit_concurrency = 0  # uvicorn answers its request with 503

    def _drop_another(self) -> bool:
        others = [one for one in self.connections if one is not self and isinstance(one, TimedProtocol)]
        held = Counter(_address(one) for one in others)
        for state in (ConnectionState.IDLE, ConnectionState.SENDING, ConnectionState.UNREAD):
            found = [one for one in others if one.state() is state]
            if found:
                # Of the address that has most connections; of those the one that has done nothing for longest.
                min(found, key=lambda one: (-held[_address(one)], one.idle_since)).drop()
                return True
        return False

    def state(self) -> ConnectionState:
        """The connection's state."""
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete:
            return ConnectionState.UNREAD if self.transport.get_write_buffer_size() else ConnectionState.IDLE
        return ConnectionState.SENDING if cycle.more_body and not cycle.response_started else ConnectionState.BUSY

    def timeout_keep_alive_handler(self) -> None:
        """Ends a connection that was idle for long, also one whose last answer was not read to its end."""
        if self.state() is ConnectionState.UNREAD:
            self._abort()
        else:
            super().timeout_keep_alive_handler()

    def drop(self) -> None:
        """Ends the connection; it does not count from now on."""
        self.connections.discard(self)
        self._abort()

    def handle_events(self) -> None:
        """Answers what has arrived, and starts the timer where a head is incomplete."""
        super().handle_events()
        incomplete = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not incomplete:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def on_response_complete(self) -> None:
        """Ends a connection whose request was answered before all of it had arrived, instead of waiting for the rest."""
        super().on_response_complete()
        self.idle_since = self.loop.time()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.header_s, self._abort)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _abort(self) -> None:
        self.transport.abort()


def _with_abort(app: ASGI3Application, abort: Any) -> Any:  # noqa: ANN401 - an application and a function
    return partial(_call, app, abort)


async def _call(app: ASGI3Application, abort: Any, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:  # noqa: ANN401
    known: Any = {**scope, ABORT: abort}
    await app(known, receive, send)


def _address(connection: TimedProtocol) -> str:
    return connection.client[0] if connection.client else ""


def timed_protocol(header_s: float, connections: int) -> type[TimedProtocol]:
    """The protocol with that time limit, for at most so many connections."""
    return type("TimedProtocol", (TimedProtocol,), {"header_s": header_s, "most": connections})
