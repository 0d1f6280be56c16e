"""Faults that pass: what is worth another try, and how long to wait before it."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from forge_gpu.job.events import Listener, Retried

ATTEMPTS = 5
FIRST_WAIT = 0.25
"""Seconds before the second try; doubled before each further one."""

# What a network file system says while its server is away, and a device under strain.
_PASSING = {
    errno.EIO,
    errno.EAGAIN,
    errno.EINTR,
    errno.ETIMEDOUT,
    errno.ESTALE,
    errno.EREMOTEIO,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
}

Item = TypeVar("Item")


def is_passing(error: BaseException) -> bool:
    """Whether an error, or one that caused it, is of a kind that may be gone at the next try."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionError | TimeoutError):
            return True
        if isinstance(cause, OSError) and cause.errno in _PASSING:
            return True
        cause = cause.__cause__
    return False


def retrying(
    make: Callable[[], Iterator[Item]],
    stage: str,
    what: str,
    listener: Listener,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Item]:
    """The items of an iterator that is made anew after a passing fault, and goes on where it broke off.

    `make` must give the same items each time. After ATTEMPTS tries in a row without a new item the error is
    raised. Each retry is an event.
    """
    given = failures = 0
    while True:
        try:
            for number, item in enumerate(make()):
                if number < given:
                    continue
                given, failures = number + 1, 0
                yield item
            return
        except Exception as error:
            failures += 1
            if failures >= ATTEMPTS or not is_passing(error):
                raise
            listener(Retried(stage, what, failures, str(error)))
            sleep(FIRST_WAIT * 2 ** (failures - 1))
