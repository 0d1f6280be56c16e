"""A walk through JSON text of any size: its values as the bytes that spell them, held one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import orjson

from forge_gpu.errors import InputError
from forge_gpu.io.stores import ByteStore
from forge_gpu.kernels.layout import ENDED, I64

BLOCK = 2**20
NEVER = 2**62
"""Where the walk of a container is to be cut."""
_NOT_BLANK = re.compile(rb"[^ \t\r\n\0]")
_QUOTE = re.compile(rb'\\.|"', re.DOTALL)
_AFTER_SCALAR = re.compile(rb"[\s,:\]}\[{\"]")


class JsonFault(Exception):
    """What is wrong, and the byte at which it is. is_end: whether the text ended too soon."""

    def __init__(self, what: str, offset: int, is_end: bool = False) -> None:
        super().__init__(what)
        self.what, self.offset, self.is_end = what, offset, is_end

    def of(self, path: str) -> InputError:
        """What a user is told, where nothing of the file is to be kept."""
        keep = ", or keep what comes before with data.on_corrupt: keep_prefix" if self.is_end else ""
        return InputError(f"{path}: {self.what} (byte {self.offset} of the JSON); mend the file{keep}")


class Cursor:
    """Where one is in a text: before a value, a key or a sign, with what was read from there on."""

    def __init__(self, store: ByteStore, offset: int = 0) -> None:
        self._store = store
        self._data = b""  # what was read and is held: from self._held on it is needed
        self._at = self._held = 0
        self._read = offset

    @property
    def offset(self) -> int:
        """Of the next byte, in the text."""
        return self._read - len(self._data) + self._at

    def peek(self) -> bytes:
        """The next byte that is not blank, which it goes to; nothing at the end."""
        while True:
            match = _NOT_BLANK.search(self._data, self._at)
            if match is not None:
                self._at = self._held = match.start()
                return match.group()
            self._at = self._held = len(self._data)
            if not self._more():
                return b""

    def after(self) -> bytes:
        """The byte after the next one that is not blank."""
        self.peek()
        while True:
            match = _NOT_BLANK.search(self._data, self._at + 1)
            if match is not None or not self._more():
                return b"" if match is None else match.group()

    def take(self, sign: bytes) -> None:
        """Go past a sign that has to be next."""
        if self.peek() != sign:
            raise self._fault(f"{sign.decode()} is missing")
        self._at += 1

    def value(self) -> bytes:
        """Go past a value, and give its bytes."""
        self._pass(holds=True)
        return self._data[self._held : self._at]

    def skip(self) -> None:
        """Go past a value of any size."""
        self._pass(holds=False)

    def key(self) -> bytes:
        """Go past a key and its colon, and give the key as it is spelled."""
        if self.peek() != b'"':
            raise self._fault("a key is missing")
        key = self.value()
        self.take(b":")
        return key

    def elements(self) -> Iterator[None]:
        """Before each element of a list; who asks goes past it."""
        yield from self._entries(b"[", b"]")

    def members(self) -> Iterator[bytes]:
        """The key of each member of an object, as it is spelled; who asks goes past its value."""
        for _ in self._entries(b"{", b"}"):
            yield self.key()

    def _entries(self, opening: bytes, closing: bytes) -> Iterator[None]:
        self.take(opening)
        while (sign := self.peek()) != closing:
            if sign == b",":  # one comma too many means nothing
                self._at += 1
                continue
            if not sign:
                raise self._fault("it is not closed")
            yield
        self._at += 1

    def _pass(self, holds: bool) -> None:
        first = self.peek()
        if not first or first in b",:]}":
            raise self._fault("a value is missing")
        if first in b"[{":
            self._pass_container(holds)
        elif first == b'"':
            self._pass_string()
        else:
            self._pass_scalar()

    def _pass_container(self, holds: bool) -> None:
        from forge_gpu.kernels.cpu.structure import walk_array

        state: I64 = np.zeros(4, np.int64)
        while True:
            end = walk_array(np.frombuffer(self._data, np.uint8), self._at, NEVER, state)
            if state[3] == ENDED:
                self._at = end + 1
                return
            self._at = len(self._data)
            if not holds:
                self._held = self._at
            if not self._more():
                raise self._fault("it is not closed")

    def _pass_string(self) -> None:
        self._at += 1
        while True:
            for match in _QUOTE.finditer(self._data, self._at):
                self._at = match.end()
                if match.group() == b'"':
                    return
            self._at = max(self._at, len(self._data) - self._data.endswith(b"\\"))
            if not self._more():
                raise self._fault("it ends in a string")

    def _pass_scalar(self) -> None:
        while (match := _AFTER_SCALAR.search(self._data, self._at)) is None:
            self._at = len(self._data)
            if not self._more():
                return
        self._at = match.start()

    def _more(self) -> bool:
        """Read on; what is no longer needed goes."""
        held = len(self._data) - self._held
        size = min(max(BLOCK, held), self._store.size - self._read)
        if size <= 0:
            return False
        block = bytearray(size)
        self._store.read_into(memoryview(block), self._read)
        self._read += size
        self._data = self._data[self._held :] + block
        self._at, self._held = self._at - self._held, 0
        return True

    def _fault(self, what: str) -> JsonFault:
        return JsonFault(what, self.offset, self._read >= self._store.size and self._at >= len(self._data))


def text_of(key: bytes) -> str:
    """What a spelled key says."""
    return str(orjson.loads(key))


def is_json(text: bytes) -> bool:
    """Whether a text is one value of JSON, whole and sound."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True
