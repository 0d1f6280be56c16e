"""Faults that pass: what is worth another try, how long to wait before it, and how a fault is told."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from typing import TypeVar

ATTEMPTS = 7
FIRST_WAIT = 0.5
"""Seconds before the second try; doubled before each further one, so half a minute in all."""

OnRetry = Callable[[str, int, str], None]
"""Is told of every retry: what is tried again, how often it has failed, and the fault."""

Given = TypeVar("Given")

# What a network file system or an object store says while its server is away, and a device under strain.
_PASSING = {
    errno.EIO,
    errno.EAGAIN,
    errno.EBUSY,
    errno.EINTR,
    errno.ETIMEDOUT,
    errno.ESTALE,
    errno.EREMOTEIO,
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.ECONNREFUSED,
    errno.EPIPE,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
}

# The same in the words of the libraries below fsspec, which need not be installed.
_PASSING_CLASSES = {
    ("aiohttp", "ClientConnectionError"),
    ("aiohttp", "ClientPayloadError"),
    ("botocore", "HTTPClientError"),
    ("botocore", "ConnectionError"),
    ("botocore", "ResponseParserError"),
    ("requests", "ConnectionError"),
    ("requests", "Timeout"),
    ("urllib3", "ProtocolError"),
    ("urllib3", "TimeoutError"),
}

# Statuses of HTTP that say: later.
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}


def ignore_retry(what: str, attempt: int, fault: str) -> None:
    """Hears nothing."""


def is_passing(error: BaseException) -> bool:
    """Whether an error, or one that caused it, is of a kind that may be gone at the next try."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ConnectionError | TimeoutError) or status_of(cause) in _PASSING_STATUS:
            return True
        if isinstance(cause, OSError) and cause.errno in _PASSING:
            return True
        names = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(cause).__mro__}
        if names & _PASSING_CLASSES:
            return True
        cause = cause.__cause__
    return False


def status_of(error: BaseException) -> int | None:
    """The status of HTTP that an error of a client library carries; None if it carries none."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code", "code"):
            value = getattr(holder, name, None)
            if isinstance(value, int):
                return value
    return None


def pause(failures: int, sleep: Callable[[float], None] | None = None) -> None:
    """Wait after so many failures in a row."""
    (sleep or time.sleep)(FIRST_WAIT * 2 ** (failures - 1))


def persist(call: Callable[[], Given], what: str, on_retry: OnRetry = ignore_retry) -> Given:
    """What `call` gives, called again after a fault that passes; the last of ATTEMPTS faults is raised."""
    failures = 0
    while True:
        try:
            return call()
        except Exception as error:
            failures += 1
            if failures >= ATTEMPTS or not is_passing(error):
                raise
            on_retry(what, failures, first_line(error))
            pause(failures)


def first_line(error: BaseException) -> str:
    """An error as one line that may be shown; its kind where it says nothing."""
    return without_secrets(str(error)).strip().partition("\n")[0] or type(error).__name__


def without_secrets(text: str) -> str:
    """A text whose URLs have lost what is secret in them: the user's name and password, and the query
    (signatures)."""
    return _SECRETS.sub(r"\1\2", text)


_SECRETS = re.compile(r"(://)(?:[^\s/'\"@]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*)?")


def one_line(fault: Exception) -> str:
    """What a library says of a fault, for a message of ours."""
    return " ".join(str(fault).split())[:200]
