"""Where the arrays of a decision lie: on the host, or on an engine's device.

A decision is array code over those functions of numpy that cupy has with the same meaning. What differs, and
the way there and back, is here. So one code decides everywhere, and it decides by integers and stable orders
alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from forge_gpu.kernels.layout import I64, U64

Result = TypeVar("Result")


class Arrays(Protocol):
    """xp: numpy, or cupy. at_once: rows of a block, where what is made of them is soon forgotten."""

    @property
    def xp(self) -> Any: ...

    @property
    def at_once(self) -> int: ...

    def there(self, array: Any) -> Any:
        """An array of the host where decisions are made."""

    def here(self, array: Any) -> Any:
        """An array of there on the host."""

    def ascending(self, keys: Any) -> Any:
        """The order of keys, there; equal ones stay as they are: int64[n]."""

    def ascending_by(self, first: Any, second: Any) -> Any:
        """The order by (first, second), there; equal ones stay as they are. first: int64[n] from 0 on;
        second: uint64[n]."""

    def room(self, budget_bytes: int) -> int:
        """What a decision may take of both, if the host lets it have so much."""


class Decide(Protocol):
    """Lets a decision be made where there is room for it. `work` gets the arrays, and gives what lies on the
    host; it may be called again. rows: that it is about."""

    def __call__(self, work: Callable[[Arrays], Result], rows: int) -> Result: ...


class HostArrays:
    """See Arrays."""

    xp = np
    at_once = 1 << 15
    """Which stay in the processor's cache."""

    def there(self, array: Any) -> Any:
        return np.asarray(array)

    def here(self, array: Any) -> Any:
        return array

    def ascending(self, keys: U64) -> I64:
        order = _order_of_different(keys)
        return np.argsort(keys, kind="stable") if order is None else order

    def ascending_by(self, first: I64, second: U64) -> I64:
        # One sort by both, of as many bits of the second as fit beside the first.
        bits = int(first.max(initial=0)).bit_length()
        both = second
        if bits:
            both = first.astype(np.uint64) << np.uint64(64 - bits) | second >> np.uint64(bits)
        order = _order_of_different(both)
        return np.lexsort((second, first)) if order is None else order

    def room(self, budget_bytes: int) -> int:
        return budget_bytes


HOST = HostArrays()


def on_host(work: Callable[[Arrays], Result], rows: int) -> Result:
    """See Decide."""
    return work(HOST)


def _order_of_different(keys: U64) -> I64 | None:
    """The order of keys; None where two are equal. numpy's unstable sort is five times as fast as its stable
    one, and of hashes hardly ever are two equal."""
    order = np.argsort(keys)
    ordered = keys[order]
    return None if (ordered[1:] == ordered[:-1]).any() else order
