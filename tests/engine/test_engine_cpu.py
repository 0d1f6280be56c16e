"""The CPU engine's own: texts that are kept while others are rendered."""

from __future__ import annotations

import numpy as np

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.kernels.layout import AS_TEXT, PLAIN, Spans, Text
from forge_gpu.templates.program import Slot, pack

TABLE = pack([(Slot("v"),)])


def render(engine: CpuEngine, value: bytes) -> Text:
    column = Spans(
        np.frombuffer(value, np.uint8),
        np.zeros(1, np.int64),
        np.array([len(value)]),
        np.array([PLAIN], np.uint8),
    )
    return engine.render(TABLE, np.zeros(1, np.int32), [column], np.zeros(1, np.int64), AS_TEXT)


def test_kept_texts_stay_until_they_are_let_go() -> None:
    engine = CpuEngine()
    for _ in range(2):
        retained = []
        for letter in b"abcd":
            retained.append(engine.keep(render(engine, bytes([letter]) * 1000)))
            render(engine, b"?" * 5000)
        assert [text.row(0) for text in retained] == [bytes([letter]) * 1000 for letter in b"abcd"]
        held = engine.memory()
        engine.release_result()
    assert engine.memory() == held


def test_what_is_not_kept_makes_way() -> None:
    engine = CpuEngine()
    first = render(engine, b"a" * 1000)
    render(engine, b"b" * 1000)
    assert first.row(0) == b"b" * 1000
