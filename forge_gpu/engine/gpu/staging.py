"""Pinned memory on the way to a device: the host goes on while the device still reads what it was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from forge_gpu.kernels.layout import U8
from forge_gpu.plain import mutable

SLOTS = 2
SLOT_BYTES = 4 * 2**20


class Copies(Protocol):
    """The stream that copies go on, in order."""

    def start(self, source: U8, target: int) -> None:
        """Begin to copy pinned bytes to an address of the device; they must stay as they are till then."""

    def mark(self) -> Any:
        """A mark behind all that was started."""

    def wait(self, mark: Any) -> None:
        """Return when all before the mark is done."""


@mutable
class _Slot:
    memory: U8
    used: int = 0
    mark: Any = None


class Staging:
    """Uploads by way of a few slots of pinned memory, one filled after the other.

    What is in a slot is on its way from when it is filled; the slot is written again only behind the mark
    that was set when it was full. So `upload` may return before the device has the bytes: what is put on the
    same stream later finds them there, and the caller may change its own at once.
    """

    def __init__(self, slots: Sequence[U8], copies: Copies) -> None:
        self._slots = [_Slot(memory) for memory in slots]
        self._copies = copies
        self._at = 0

    def upload(self, data: U8, target: int) -> None:
        """Copy uint8[n] of the host to n bytes at an address of the device."""
        done = 0
        while done < len(data):
            slot = self._with_room()
            size = min(len(slot.memory) - slot.used, len(data) - done)
            staged = slot.memory[slot.used : slot.used + size]
            staged[:] = data[done : done + size]
            self._copies.start(staged, target + done)
            slot.used += size
            done += size

    def _with_room(self) -> _Slot:
        slot = self._slots[self._at]
        if slot.used < len(slot.memory):
            return slot
        slot.mark = self._copies.mark()
        self._at = (self._at + 1) % len(self._slots)
        following = self._slots[self._at]
        if following.mark is not None:
            self._copies.wait(following.mark)
            following.mark = None
        following.used = 0
        return following
