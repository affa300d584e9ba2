"""Files of a lake in a bucket for the statements of a server: fetched in its main process, because workers reach no network.

A statement names what it reads, never a path. Each has a thread of its own, which fetches the files and holds them until the statement has
ended, so no statement waits for another's files, and the event loop for none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from pointline.errors import ConfigError, DamageError, PointlineError
from pointline.lake.threads import UnwantedError
from pointline.server.worker import MISSING
from pointline.sql.guard.codes import RefusedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractContextManager

    from pointline.server.worker import WorkerSetup
    from pointline.sql.guard.reads import Read

_log = logging.getLogger("pointline.serve")

_ASK_AGAIN = "what was fetched is kept, so ask again, or for less: say exchange, market and a time"


class Fetches:
    """The fetches of one server.

    Args:
        hold: fetches the files that a worker's statement reads and holds them, as `pointline.server.catalogues.Catalogues.held`.
        most_late: threads that may still wait for the store though their statements have ended. While there are so many, nothing is
            fetched, and only statements whose files are here go on.
    """

    def __init__(
        self, hold: Callable[[WorkerSetup, Sequence[Read], threading.Event], AbstractContextManager[None]], most_late: int
    ) -> None:
        self._hold = hold
        self._most_late = most_late
        self._fetching: set[threading.Event] = set()  # of each fetch, what is set when nobody wants it any more
        self._guard = threading.Lock()

    @contextlib.asynccontextmanager
    async def held(self, setup: WorkerSetup, reads: Sequence[Read], time_s: float) -> AsyncIterator[None]:
        """Fetches the files that a statement reads, and holds them within the context.

        Args:
            setup: of the statement's worker.
            reads: what it reads.
            time_s: what the fetch may take.

        Raises:
            RefusedError: it took longer, the files are more than the mirror may hold, or the bucket does not answer.
        """
        unwanted, ended = threading.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        with self._guard:
            if sum(other.is_set() for other in self._fetching) >= self._most_late:
                unwanted.set()
            else:
                self._fetching.add(unwanted)

        def work() -> None:
            error: BaseException | None = None
            try:
                with self._hold(setup, reads, unwanted):
                    self._end(unwanted)
                    _tell(loop, ready, None)
                    ended.wait()
            except BaseException as raised:  # noqa: BLE001 - raised again where the statement waits
                error = raised
            self._end(unwanted)
            _tell(loop, ready, error)

        threading.Thread(target=work, daemon=True).start()
        try:
            await _waited(ready, time_s)
            yield
        finally:
            unwanted.set()
            ended.set()

    def _end(self, unwanted: threading.Event) -> None:
        with self._guard:
            self._fetching.discard(unwanted)


async def _waited(ready: asyncio.Future[None], time_s: float) -> None:
    try:
        async with asyncio.timeout(time_s):
            await ready
    except TimeoutError:
        said = f"the query took longer than {time_s:g} s and was stopped while its files came from the bucket: {_ASK_AGAIN}"
        raise RefusedError("TIMEOUT_EXCEEDED", said) from None
    except DamageError as error:
        _log.warning("a statement was refused: %s", error)
        raise RefusedError("FILE_DOESNT_EXIST", MISSING) from None
    except ConfigError as error:
        if error.where != "POINTLINE_MIRROR_BYTES":
            raise _unreadable(error) from None
        said = f"the files that the query reads need {error.expected}, and the server keeps {error.value} (POINTLINE_MIRROR_BYTES)"
        raise RefusedError("TOO_MANY_ROWS_OR_BYTES", f"{said}: say exchange, market and a time") from None
    except (PointlineError, OSError, UnwantedError) as error:
        raise _unreadable(error) from None


def _unreadable(error: Exception) -> RefusedError:
    """The refusal of a statement whose files cannot be had; what is wrong is for whoever runs the server."""
    _log.warning("a statement was refused, the bucket cannot be read: %s", error)
    return RefusedError("S3_ERROR", "the bucket of the lake cannot be read at the moment: try again")


def _tell(loop: asyncio.AbstractEventLoop, ready: asyncio.Future[None], error: BaseException | None) -> None:
    """Ends the waiting for `ready` from another thread; nothing where nobody waits any more."""

    def settle() -> None:
        if ready.done():
            return
        if error is None:
            ready.set_result(None)
        else:
            ready.set_exception(error)

    with contextlib.suppress(RuntimeError):  # the loop has ended with the server
        loop.call_soon_threadsafe(settle)
