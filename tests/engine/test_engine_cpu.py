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


def test_a_text_of_its_own_stays_whatever_comes_after() -> None:
    engine = CpuEngine()
    long, short = engine.own(render(engine, b"a" * 200_000)), engine.own(render(engine, b"s" * 10))
    render(engine, b"?" * 250_000)
    engine.release_result()
    assert long.row(0) == b"a" * 200_000 and short.row(0) == b"s" * 10
    assert len(short.data) < 1000, "a small text does not hold a large buffer"


def test_a_text_that_fills_its_buffer_takes_it_along() -> None:
    engine = CpuEngine()
    render(engine, b"a" * 200_000)
    text = render(engine, b"b" * 200_000)
    assert np.shares_memory(engine.own(text).data, text.data)
    assert not np.shares_memory(render(engine, b"c" * 200_000).data, text.data)
