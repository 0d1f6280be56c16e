"""Work that does not fit is halved, an engine that fails is replaced: the results are the CPU engine's."""

from __future__ import annotations

import random

import numpy as np
import pytest

from forge_gpu.dedup.near import NearDuplicates
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.engine.halving import halves, joined_texts, out_of_memory
from forge_gpu.engine.resilient import Health, ResilientEngine
from forge_gpu.kernels.layout import ABSENT, AS_JSON, AS_TEXT, CLEAN, ESCAPED, PLAIN, Spans, Text
from forge_gpu.templates.program import Literal, RawSlot, Slot, pack
from tests.engine.faulty_engines import Allocator, FaultyEngine
from tests.kernels.adversarial import edge_text
from tests.kernels.test_kernels_token_rows import flat, marked_row

VALUES = [b"a" * 40, b"", b"\\n\\u0041" * 3, b"c" * 200, b"d", b"e" * 39, b"f" * 40 + b"\xff"]
KINDS = [CLEAN, ABSENT, ESCAPED, PLAIN, CLEAN, CLEAN, PLAIN]


def column() -> Spans:
    length = np.array([len(value) for value in VALUES])
    start = np.cumsum(length) - length
    return Spans(np.frombuffer(b"".join(VALUES), np.uint8), start, length, np.array(KINDS, np.uint8))


def rows_of(text: Text) -> list[bytes]:
    return [text.row(i) for i in range(len(text))]


def engine(allocator: Allocator) -> tuple[ResilientEngine, Health]:
    health = Health()
    return ResilientEngine(FaultyEngine(allocator), CpuEngine(), health), health


def everything(engine: object) -> list[object]:
    """The results of every method that makes or reads texts."""
    assert isinstance(engine, CpuEngine | ResilientEngine)
    texts = column()
    table = pack([(Literal(b"<"), Slot("v"), RawSlot("v")), (Slot("m", 1),)], ["m"])
    first = np.arange(0, 2 * len(VALUES) + 1, 2)
    messages = Spans(texts.data, np.tile(texts.start, 2), np.tile(texts.length, 2), np.tile(texts.kind, 2))
    program = np.array([0, 1, 0, -1, 1, 0, 1], np.int32)
    columns = [{"v": texts, "m": messages}[name] for name in table.columns]
    result: list[object] = []
    for encoding in (AS_TEXT, AS_JSON):
        result.append(
            rows_of(engine.render(table, program, columns, np.array([0, 1, 3, 4, 6]), encoding, first))
        )
    result.append(engine.valid_utf8(texts).tolist())
    decoded = engine.text(texts)
    hashes = engine.hash128(decoded)
    result += [hashes.tolist(), engine.hash64(decoded, 7).tolist()]
    result.append(engine.band_hashes(decoded, NearDuplicates().signing).tolist())
    live = np.array([1, 1, 0, 1, 1, 1, 0], np.uint8)
    result.append(engine.first_occurrence(np.concatenate([hashes, hashes]), np.tile(live, 2)).tolist())
    result += [[field.tolist() for field in engine.judge(texts, 0.6)], rows_of(decoded)]
    return [*result, flat(engine.unmark(edge_text([marked_row(random.Random(row)) for row in range(9)])))]


@pytest.mark.parametrize("limit", [10_000, 100, 41, 40, 1])
def test_what_does_not_fit_is_halved_down_to_a_row(limit: int) -> None:
    made, health = engine(Allocator(limit))
    assert everything(made) == everything(CpuEngine())
    assert (health.halvings > 0) is (limit < 10_000)
    assert (health.rows_on_cpu > 0) is (limit < 200)  # the longest value alone has 200 bytes
    assert health.failure is None and made.name == "gpu"


@pytest.mark.parametrize("calls", range(9))
def test_an_engine_that_dies_at_any_call_is_replaced(calls: int) -> None:
    made, health = engine(Allocator(calls=calls))
    reported: list[str] = []
    health.on_fell_back = reported.append
    assert everything(made) == everything(CpuEngine())
    assert health.failure == "DeviceLost: CUDA_ERROR_LAUNCH_FAILED: unspecified launch failure"
    assert reported == [health.failure]
    assert made.name == "cpu"


def test_a_text_is_made_again_where_its_bytes_are_lost_with_the_device() -> None:
    allocator = Allocator()
    made, health = engine(allocator)
    text = made.text(column())
    allocator.calls = 0
    assert rows_of(text) == rows_of(CpuEngine().text(column()))
    assert health.failure is not None


@pytest.mark.parametrize(
    "allocator", [Allocator(), Allocator(41), Allocator(1), Allocator(calls=0), Allocator(calls=1)]
)
def test_a_text_of_its_own_stays_whichever_engine_made_it(allocator: Allocator) -> None:
    made, _ = engine(allocator)
    table, program, rows = pack([(Slot("v"),)]), np.zeros(len(VALUES), np.int32), np.arange(len(VALUES))
    text = made.own(made.render(table, program, [column()], rows, AS_TEXT))
    assert type(text) is Text
    for _ in range(2):
        _ = made.render(table, program, [column()], rows[::-1].copy(), AS_TEXT).data
    assert rows_of(text) == rows_of(CpuEngine().render(table, program, [column()], rows, AS_TEXT))


def test_an_engine_of_another_thread_is_given_up_too() -> None:
    health = Health()
    dead = ResilientEngine(FaultyEngine(Allocator(calls=0)), CpuEngine(), health)
    sound_allocator = Allocator()
    sound = ResilientEngine(FaultyEngine(sound_allocator), CpuEngine(), health)
    dead.text(column())
    sound.text(column())
    assert sound_allocator.granted == 0


def test_faults_of_the_data_are_no_faults_of_the_engine() -> None:
    made, health = engine(Allocator())
    with pytest.raises(ValueError):
        made.hash64(made.text(column()), -1)
    assert health.failure is None


def test_halvings_are_told_with_their_rows() -> None:
    made, health = engine(Allocator(limit=200))
    reported: list[int] = []
    health.on_halved = reported.append
    made.text(column())
    assert reported[0] == len(VALUES) and health.halvings == len(reported)
    assert health.rows_on_cpu == 0


@pytest.mark.parametrize("count", [2, 3, 7])
def test_halves_are_all_rows(count: int) -> None:
    first, second = halves(count)
    assert [*range(count)[first], *range(count)[second]] == list(range(count))


def test_joining_slices_of_texts() -> None:
    data = np.frombuffer(b"??abcdef", np.uint8)
    part = Text(data, np.array([2, 4, 5]))
    assert rows_of(joined_texts([part, Text(data, np.array([5, 8]))])) == [b"ab", b"c", b"def"]


def test_errors_that_mean_memory() -> None:
    assert out_of_memory(MemoryError())
    assert out_of_memory(RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"))
    assert out_of_memory(RuntimeError("std::bad_alloc: out_of_memory: CUDA error"))
    assert not out_of_memory(RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS"))
