"""Each kernel against the device's own copy bandwidth, on rows of 1 kB.

A kernel's bandwidth counts the bytes that it has to read and to write, as its docstring does, over the
device's own time by CUDA's events; what a call takes with the host's part stands beside it. The goal of a row
is what the kernel is held to; without one its figure is only shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson

from benchmarks.gpu_day.places import Stopwatch, kernel_device, kernel_seconds, seconds
from benchmarks.gpu_day.row import Row, held
from forge_gpu.kernels.layout import AS_JSON, AS_TEXT, CLEAN, ESCAPED, JSON, PLAIN, Spans, Text
from forge_gpu.kernels.reference.minhash import multipliers
from forge_gpu.kernels.reference.shingles import CHARACTERS, fold_table
from forge_gpu.kernels.vm_layout import VmProgram
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.functions import strftime_of
from forge_gpu.templates.program import Literal, Slot, pack
from forge_gpu.templates.vm.program import compile_program

ROW = 1024
CODE = (
    "{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}{% endif %}"
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{% for call in message.tool_calls or [] %}{{ call.function.arguments | tojson }}{% endfor %}{% endfor %}"
)
GOALS = {"render, copied": 0.5, "gather": 0.5, "XXH3-128": 0.6}


def rows(dry: bool) -> Iterator[Row]:
    device = Stopwatch(kernel_device(dry), dry)
    count = 6 if dry else 400_000
    length = 100 if dry else ROW
    copy = copy_bandwidth(device, 2**12 if dry else 2**30, dry)
    if not dry:
        yield Row("kernels", "copy bandwidth of the device", f"{copy / 1e9:.1f} GB/s, read + written")
    for name, work, moved in _works(device, count, length):
        kernels, whole = kernel_seconds(work, device, dry)
        if dry:
            yield Row("kernels", name, f"ran: {', '.join(kernels)}")
            continue
        took = sum(kernels.values())
        share = moved / took / copy
        goal = GOALS.get(name)
        required = f", goal {goal:.0%}" if goal else ""
        parts = ", ".join(f"{kernel} {1e3 * part:.2f}" for kernel, part in kernels.items())
        speed = f"{moved / took / 1e9:.1f} GB/s, {share:.0%} of copy{required}"
        figure = f"{speed}; ms: {parts}; {1e3 * whole:.1f} with the host"
        yield Row("kernels", name, figure, held(goal is None or share >= goal))


def touch(dry: bool) -> Iterator[Row]:
    """Every kernel once, over a little data in buffers of their own: for memcheck."""
    device = kernel_device(dry, apart=True)
    calls = 0
    for _, work, _ in _works(device, 6 if dry else 300, 100 if dry else 700):
        work()
        calls += 1
    yield Row("memcheck", "kernels", f"{calls} calls ran")


def copy_bandwidth(device: Any, size: int, dry: bool) -> float:
    """Bytes read and written a second by the device's own copy."""
    source, target = device.xp.zeros(size, np.uint8), device.xp.zeros(size, np.uint8)

    def copy() -> None:
        target[:] = source

    return 2 * size / seconds(copy, dry)


def _works(device: Any, count: int, length: int) -> Iterator[tuple[str, Callable[[], object], int]]:
    """(name, what to time, bytes that it moves)."""
    from forge_gpu.kernels.cuda import (
        dedup,
        hashing,
        messages,
        minhash,
        render,
        scan,
        sets,
        statistics,
        union,
        utf8,
        vm_rows,
    )

    data = _sentences(count * length)
    resident = device.upload(data)
    start = np.arange(count, dtype=np.int64) * length
    lengths = np.full(count, length, np.int64)
    total = count * length

    def spans(kind: int) -> Spans:
        return Spans(device.upload(_padded(device, resident)), start, lengths, np.full(count, kind, np.uint8))

    clean, plain, escaped = spans(CLEAN), spans(PLAIN), spans(ESCAPED)
    table = pack([(Literal(b'{"text":"'), Slot("v"), Literal(b'"}\n'))])
    program, order = np.zeros(count, np.int32), np.arange(count)
    written = total + count * 12

    def rendered(column: Spans, encoding: int, which: Any = order) -> Callable[[], object]:
        return lambda: render.render(table, program, [column], which, encoding, None, device)

    shuffled = np.random.default_rng(1).permutation(count)
    yield "render, copied", rendered(clean, AS_TEXT), total + written
    yield "gather", rendered(clean, AS_TEXT, shuffled), total + written
    yield "render, escaped", rendered(plain, AS_JSON), total + written
    yield "render, unescaped", rendered(escaped, AS_TEXT), total + written
    text = Text(clean.data, np.append(start, total))
    yield "XXH3-128", lambda: hashing.xxh3_128(text, device), total + 24 * count
    yield "XXH3-64", lambda: hashing.xxh3_64(text, 7, device), total + 16 * count
    yield "UTF-8", lambda: utf8.valid_utf8(clean, device), total + 25 * count
    yield "statistics", lambda: statistics.text_statistics(text, device, False), total + 57 * count
    yield "statistics, repetition", lambda: statistics.text_statistics(text, device), 2 * total
    hashes = hashing.xxh3_128(text, device)
    live = device.xp.ones(count, np.uint8)
    yield "dedup table", lambda: dedup.first_occurrence(hashes, live, device), 56 * count
    few = Text(text.data, text.offsets[: max(count // 8, 1) + 1])
    arguments = (
        few.data,
        few.offsets,
        CHARACTERS,
        5,
        fold_table(True, True, False),
        multipliers(128, 1),
        16,
        8,
    )
    moved = int(few.offsets[-1])
    yield "minhash, 128 permutations", lambda: minhash.band_hashes(*arguments, device), moved
    shingling = CHARACTERS, 5, fold_table(True, True, False)
    neighbours = np.stack((np.arange(1, len(few)), np.arange(len(few) - 1)), axis=1)
    of_sets = 36 * moved + 32 * length * len(neighbours)
    shared = sets.shared_shingles
    yield "shared shingles", lambda: shared([few], neighbours, *shingling, device), of_sets
    chain = np.stack((np.arange(1, count), np.arange(count - 1)), axis=1)
    state = np.arange(count), np.full(count, -1), np.zeros(count)
    alike = np.ones(count - 1)
    yield "clusters", lambda: union.united(*state, chain, alike, device), (48 + 344) * count
    line = orjson.dumps({"text": _sentences(length).tobytes().decode()}) + b"\n"
    lines = _padded(device, device.upload(np.frombuffer(line * count, np.uint8)))[: len(line) * count]
    of_lines = 2 * len(lines) + len(lines) // 4 + 68 * count
    turn = {"role": "user", "content": _sentences(length).tobytes().decode()}
    item = orjson.dumps([turn, {**turn, "role": "assistant"}])
    each = len(item)
    lists = Spans(
        _padded(device, device.upload(np.frombuffer(item * count, np.uint8))),
        np.arange(count, dtype=np.int64) * each,
        np.full(count, each, np.int64),
        np.full(count, JSON, np.uint8),
    )
    asked = ("user", "assistant"), "role", "content"
    of_lists = (2 * each + 106) * count
    yield "message lists", lambda: messages.scan_messages(lists, *asked, device), of_lists
    yield "scan of JSON lines", lambda: scan.scan_lines(lines, ("text",), 2**40, device), of_lines
    code, given = _code(device, count, length)
    of_code = 4 * sum(int(column.length.sum()) for column in given)
    yield "template with code", lambda: vm_rows.run_rows(code, given, order, device, 2**22 * length), of_code


def _code(device: Any, count: int, length: int) -> tuple[VmProgram, list[Spans]]:
    """A template that is code, and its columns: a call of a tool in about `length` bytes, the same tools."""
    template = ChatTemplate(CODE, {}, {})
    date = strftime_of(template.date)
    compiled = compile_program(template.environment, CODE, template.fixed, {}, date)
    call = {"type": "function", "function": {"name": "find", "arguments": {"words": ["a", 1, None]}}}
    words = _sentences(length // 2).tobytes().decode()
    messages = [
        {"role": "user", "content": words},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": words},
    ]
    columns = []
    for value in (messages, [{"type": "function", "function": {"name": "find", "parameters": {}}}]):
        text = orjson.dumps(value)
        data = _padded(device, device.upload(np.frombuffer(text * count, np.uint8)))
        sizes = np.full(count, len(text), np.int64)
        columns.append(Spans(data, np.cumsum(sizes) - sizes, sizes, np.full(count, JSON, np.uint8)))
    return compiled.program, columns


def _padded(device: Any, data: Any) -> Any:
    """A copy in a buffer that kernels may read behind."""
    buffer = device.bytes(len(data))
    buffer[: len(data)] = data
    return buffer


def _sentences(size: int) -> Any:
    """Text with a quote or a newline every hundred bytes or so."""
    sentence = (
        b'The quick brown fox said "hello" to the lazy dog, who did not care for it.\\n Then it slept, '
    )
    return np.frombuffer((sentence * (size // len(sentence) + 1))[:size], np.uint8)
