"""The same work on many things at once, in threads that whoever waits for them can give up."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Item = TypeVar("Item")
Found = TypeVar("Found")

THREADS = 16


class UnwantedError(Exception):
    """The one who asked for the work does not want it any more."""


def check_wanted(stop: threading.Event | None) -> None:
    """Ends work that is not wanted any more.

    Raises:
        UnwantedError: `stop` is set.
    """
    if stop is not None and stop.is_set():
        raise UnwantedError


def in_threads(work: Callable[[Item], Found], items: Iterable[Item], stop: threading.Event | None = None) -> list[Found]:
    """What the work gives for each item, in order. After the first error no further item is begun, and those that were begun are ended.

    The threads do not keep the process alive, unlike those of an executor: one may wait minutes for a store that does not answer.

    Args:
        work: on one item.
        items: one for each call.
        stop: set by whoever does not want the rest.

    Raises:
        UnwantedError: `stop` was set before the last item was begun.

    Examples:
        >>> in_threads(str.upper, ["trades", "funding"])
        ['TRADES', 'FUNDING']
    """
    wanted = list(items)
    found: dict[int, Found] = {}
    errors: list[BaseException] = []
    numbers = iter(range(len(wanted)))
    guard = threading.Lock()

    def run() -> None:
        while not errors:
            with guard:
                number = next(numbers, None)
            if number is None:
                return
            try:
                check_wanted(stop)
                found[number] = work(wanted[number])
            except BaseException as error:  # noqa: BLE001 - raised again where the caller waits
                errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(THREADS, len(wanted)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return [found[number] for number in range(len(wanted))]
