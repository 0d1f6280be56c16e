"""Files put into rows on their way to the sink of a format, a few MiB at a time."""

from __future__ import annotations

import numpy as np

from forge_gpu.io.sinks.base import Positions, Sink, Written
from forge_gpu.kernels.layout import Text
from forge_gpu.media.placed import Embedded

PIECE = 8 * 2**20
"""Bytes of lines that are given on at once; a longer line goes alone."""


class EmbeddingSink:
    """Gives lines with the files that they name to the sink of a format; see `base.Sink`."""

    def __init__(self, sink: Sink, embedded: Embedded) -> None:
        self._sink, self._embedded = sink, embedded

    def append(self, lines: Text) -> None:
        held: list[bytes] = []
        size = 0
        for row in range(len(lines)):
            held.append(self._embedded.filled(bytes(lines.row(row))))
            size += len(held[-1])
            if size >= PIECE:
                self._give(held)
                held, size = [], 0
        if held:
            self._give(held)

    def begin_sync(self) -> None:
        self._sink.begin_sync()

    def sync(self) -> Positions:
        return self._sink.sync()

    def finish(self) -> list[Written]:
        return self._sink.finish()

    def close(self) -> None:
        self._sink.close()

    def _give(self, lines: list[bytes]) -> None:
        offsets = np.zeros(len(lines) + 1, np.int64)
        np.cumsum([len(line) for line in lines], out=offsets[1:])
        self._sink.append(Text(np.frombuffer(b"".join(lines), np.uint8), offsets))
