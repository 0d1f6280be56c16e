"""The libraries' objects for one tokenizer: they take a second to load, so that they are used again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from threading import Lock

from forge_gpu.tokens.agreement import true_encoder
from forge_gpu.tokens.definition import Definition
from forge_gpu.tokens.encoders import Encoder, Gigatoken, HuggingFace


class Loaded:
    """Belongs to a process. What `tokenizers` has loaded is shared by threads; of gigatoken, which keeps what
    it has encoded, each thread borrows an object for itself."""

    def __init__(self, definition: Definition) -> None:
        self._definition, self._lock = definition, Lock()
        self._idle: dict[bool, list[Encoder]] = {True: [], False: []}
        self._true: dict[bool, HuggingFace] = {}

    @contextmanager
    def gigatoken(self, first: bool) -> Iterator[Encoder]:
        """first: see `Definition.plain`."""
        with self._lock:
            idle = self._idle[first]
            encoder = idle.pop() if idle else Gigatoken(partial(self._definition.plain, first))
        yield encoder  # one that has failed is not lent again
        idle.append(encoder)

    def library(self, first: bool) -> HuggingFace:
        with self._lock:
            if first not in self._true:
                self._true[first] = true_encoder(self._definition.plain(first), self._definition)
            return self._true[first]

    def whole(self) -> HuggingFace:
        """Of whole texts, as the library runs it."""
        with self._lock:
            return self._whole

    @cached_property
    def _whole(self) -> HuggingFace:
        return true_encoder(self._definition.text, self._definition)
