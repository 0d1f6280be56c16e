"""Forge, step by step, on its CPU engine, as a program that uses the library would call it.

Inputs of a step that are not its work (parsed columns, rendered texts) are made ready beforehand, as they
are for every peer.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import forge_gpu
from benchmarks.work import (
    BANDS,
    COLUMNS,
    END,
    MIDDLE,
    PERMUTATIONS,
    ROWS,
    SEED,
    SHINGLE,
    SPECIAL_TOKENS,
    THRESHOLD,
    USER,
    VALIDATION,
    facts,
    output_paths,
    table_facts,
)
from forge_gpu.config.load import load
from forge_gpu.config.schema import Config, DataConfig, Mapping, ModelConfig
from forge_gpu.dedup.exact import duplicates
from forge_gpu.dedup.lsh import Bands
from forge_gpu.dedup.near import NearDuplicates, find_clusters
from forge_gpu.dedup.shingling import Shingling
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.fates import Fate
from forge_gpu.kernels.layout import (
    AS_JSON,
    AS_TEXT,
    BODIES,
    I64,
    PLAIN,
    U8,
    Messages,
    ProgramTable,
    Records,
    Spans,
    Text,
)
from forge_gpu.library import prepare
from forge_gpu.split.exact import assign
from forge_gpu.split.fractions import Splits
from forge_gpu.templates.choose import make_renderer
from forge_gpu.templates.program import Literal, LiteralIfText, Program, Slot, pack

VERSIONS = {"forge": forge_gpu.__version__}
CHUNK = 2 << 20
CHAT_CHUNK = 8 << 20  # bytes of conversations at once; a job, that is to stay small, takes half as many
MAX_ROW = 64 << 20
BUDGET = 1 << 30

CHATML: Program = (
    Literal(USER.encode()),
    Slot("instruction"),
    LiteralIfText(b"\n", "input"),
    Slot("input"),
    Literal(MIDDLE.encode()),
    Slot("output"),
    Literal(END.encode()),
)
CONTENT: Program = (*CHATML[1:4], Literal(b"\n"), Slot("output"))
LINE: Program = (
    Literal(b'{"text":"'),
    Slot("text"),
    Literal(b'","category":"'),
    Slot("category"),
    Literal(b'"}\n'),
)


def read_jsonl(input: str) -> Callable[[], Any]:
    """Scan, then each column to Arrow, chunk by chunk; by a fresh engine, which gives its buffers away."""
    engine = CpuEngine()

    def work() -> Callable[[], Any]:
        batches = []
        for data in _chunks(input):
            records = engine.scan(data, "lines", COLUMNS, MAX_ROW)
            arrays = [_arrow(CpuEngine().text(records.columns[name])) for name in COLUMNS]
            batches.append(pa.RecordBatch.from_arrays(arrays, names=list(COLUMNS)))
        table = pa.Table.from_batches(batches)
        return lambda: table_facts(table[name].to_pylist() for name in COLUMNS)

    return work


def render_flat(input: str) -> Callable[[], Any]:
    engine, columns = CpuEngine(), _plain_columns(input)
    table = pack([CHATML])

    def work() -> Callable[[], Any]:
        texts = _render(engine, table, columns, AS_TEXT)
        return lambda: facts(texts.row(i) for i in range(len(texts)))

    return work


def write_jsonl(input: str, folder: str) -> Callable[[], Any]:
    engine, columns = CpuEngine(), _texts_and_categories(input)
    table = pack([LINE])
    train, _ = output_paths(folder)
    rows_at_once = 4_096

    def work() -> None:
        n = len(columns["text"])
        with open(train, "wb", buffering=0) as file:
            for start in range(0, n, rows_at_once):
                rows = np.arange(start, min(start + rows_at_once, n))
                lines = _render(engine, table, columns, AS_JSON, rows)
                file.write(lines.data[: lines.offsets[-1]].data)

    return work


def exact_dedup(input: str) -> Callable[[], Any]:
    engine = CpuEngine()
    texts = _render(CpuEngine(), pack([CHATML]), _plain_columns(input), AS_TEXT)
    live = np.ones(len(texts), bool)

    def work() -> Callable[[], Any]:
        first = duplicates(engine.hash128(texts), live, BUDGET)
        return lambda: facts(texts.row(i) for i in np.flatnonzero(first < 0).tolist())

    return work


def split(input: str) -> Callable[[], Any]:
    """From the categories' texts; the key that orders rows is there, from the search for duplicates."""
    engine, columns = CpuEngine(), _plain_columns(input)
    keys = engine.hash128(_text(columns["output"])).copy()
    categories = _text(columns["category"])
    live = np.ones(len(keys), bool)

    def work() -> Callable[[], Any]:
        stratum = engine.hash64(categories, SEED)
        fates = assign(stratum, keys, live, Splits(1 - VALIDATION, VALIDATION), SEED, BUDGET)
        return lambda: Counter(
            categories.row(i).decode() for i in np.flatnonzero(fates == Fate.VALIDATION).tolist()
        )

    return work


def near_dedup(input: str) -> Callable[[], Any]:
    """With the exact comparison of candidates, which peers leave out."""
    columns = {"text": _spans(_render(CpuEngine(), pack([CONTENT]), _plain_columns(input), AS_TEXT))}
    texts, engine, table = _text(columns["text"]), CpuEngine(), pack([(Slot("text"),)])
    shingling = Shingling(size=SHINGLE, case=False, white_space=False)
    settings = NearDuplicates(THRESHOLD, PERMUTATIONS, SEED, shingling, Bands(BANDS, ROWS))
    live, sizes, program = np.ones(len(texts), bool), np.diff(texts.offsets), np.zeros(len(texts), np.int32)

    def read_rows(rows: I64) -> Text:
        return engine.render(table, program, [columns["text"]], rows, AS_TEXT)

    def work() -> Callable[[], Any]:
        hashes = np.ascontiguousarray(settings.band_hashes(texts).T)
        clusters = find_clusters(settings, lambda band: [hashes[band]], live, sizes, read_rows, BUDGET)
        label = clusters.label
        return lambda: np.flatnonzero(label != np.arange(len(label))).tolist()

    return work


class Parsed(CpuEngine):
    """An engine of one chunk that reads its messages once and decodes them, as a peer holds parsed ones."""

    def __init__(self) -> None:
        super().__init__()
        self._held: Messages | None = None

    def messages(self, column: Spans, roles: Sequence[str], role_key: str, content_key: str) -> Messages:
        if self._held is None:
            result = super().messages(column, roles, role_key, content_key)
            texts = _spans(CpuEngine().text(result.content))
            content = Spans(texts.data, texts.start, texts.length, _decoded(result.content.kind))
            self._held = replace(result, content=content)
        return self._held


def render_chat(input: str, template: str) -> Callable[[], Any]:
    """From messages that were read before: choose each row's program, then run it."""
    return _told(chat_texts(input, template, Parsed))


def chat_from_json(input: str, template: str) -> Callable[[], Any]:
    """The same from the lines' bytes."""
    return _told(chat_texts(input, template, CpuEngine))


def _told(texts: Callable[[], list[Text]]) -> Callable[[], Any]:
    """The work of making texts, whose facts are found when the clock has stopped."""

    def work() -> Callable[[], Any]:
        held = texts()
        return lambda: facts_of(held)

    return work


def facts_of(texts: list[Text]) -> dict[str, int]:
    return facts(text.row(i) for text in texts for i in range(len(text)))


def chat_texts(input: str, template: str, make_engine: type[CpuEngine]) -> Callable[[], list[Text]]:
    """Texts chunk by chunk; an engine a chunk, so that every chunk's texts stay where they were rendered."""
    source, mapping = Path(template).read_text(), Mapping(shape="conversation", messages="messages")
    model = ModelConfig(chat_template=source, template_kind="jinja", special_tokens=SPECIAL_TOKENS)
    renderer = make_renderer(Config(data=DataConfig(mapping=mapping), model=model))
    held = np.fromfile(input, np.uint8)
    chunks = [(held[a:b], make_engine()) for a, b in pairwise(_cuts(held))]
    parsed = make_engine is Parsed
    records = [engine.scan(data, "lines", renderer.columns, MAX_ROW) for data, engine in chunks]

    def work() -> list[Text]:
        texts, table = [], pack(())
        for number, (data, engine) in enumerate(chunks):
            scanned = records[number] if parsed else engine.scan(data, "lines", renderer.columns, MAX_ROW)
            bound = renderer.bind(scanned, engine)
            if len(table) != len(bound.programs):  # they only ever grow
                table = pack(bound.programs, bound.message_columns)
            columns, rows = [bound.columns[name] for name in table.columns], np.arange(len(scanned))
            texts.append(engine.render(table, bound.program["text"], columns, rows, AS_TEXT, bound.first))
        return texts

    return work


def whole_job(input: str, folder: str, plan: str = "bare") -> Callable[[], Any]:
    """`prepare`, as a program calls it, by one of benchmarks/plans, read before: a peer's is its code."""
    return _job(load(Path(__file__).parent / "plans" / f"{plan}.yaml").config, input, folder)


def whole_job_to_parquet(input: str, folder: str) -> Callable[[], Any]:
    """The same, to two files of Parquet."""
    config = load(Path(__file__).parent / "plans" / "bare.yaml").config
    output = config.output.model_copy(update={"format": "parquet"})
    return _job(config.model_copy(update={"output": output}), input, folder)


def _job(config: Config, input: str, folder: str) -> Callable[[], Any]:
    threads = len(os.sched_getaffinity(0))

    def work() -> Callable[[], Any]:
        result = prepare(config, data=[input], output=folder, threads=threads, fresh=True)
        stages = result.manifest["run"]["stages"]
        return lambda: {"stages": {name: stage["seconds"] for name, stage in stages.items()}}

    return work


def _decoded(kind: U8) -> U8:
    """The kinds of values once they are decoded."""
    return np.where(np.isin(kind, BODIES), PLAIN, kind).astype(np.uint8)


def _cuts(data: U8) -> list[int]:
    """Where chunks of about CHAT_CHUNK bytes begin, and the end: each after a newline."""
    cuts = [0]
    while cuts[-1] < len(data):
        end = min(cuts[-1] + CHAT_CHUNK, len(data))
        while end < len(data) and data[end - 1] != ord("\n"):
            end += 1
        cuts.append(end)
    return cuts


def _chunks(input: str) -> Iterator[U8]:
    """Whole lines of the file, about CHUNK bytes at a time, in one buffer."""
    buffer = bytearray(CHUNK)
    file = os.open(input, os.O_RDONLY)
    at, size = 0, os.fstat(file).st_size
    while at < size:
        got = os.preadv(file, [buffer], at)
        end = got if at + got == size else buffer.rfind(b"\n", 0, got) + 1
        if end == 0:  # a line longer than the buffer
            buffer = bytearray(2 * len(buffer))
            continue
        yield np.frombuffer(buffer, np.uint8, end)
        at += end
    os.close(file)


def _scan(input: str, keys: Sequence[str] = COLUMNS) -> Records:
    return CpuEngine().scan(np.fromfile(input, np.uint8), "lines", keys, MAX_ROW)


def _plain_columns(input: str) -> dict[str, Spans]:
    """Every column as decoded text."""
    return {name: _spans(CpuEngine().text(column)) for name, column in _scan(input).columns.items()}


def _texts_and_categories(input: str) -> dict[str, Spans]:
    columns = _plain_columns(input)
    texts = _render(CpuEngine(), pack([CHATML]), columns, AS_TEXT)
    return {"text": _spans(texts), "category": columns["category"]}


def _render(
    engine: CpuEngine,
    table: ProgramTable,
    columns: dict[str, Spans],
    encoding: int,
    rows: np.ndarray[Any, np.dtype[np.int64]] | None = None,
) -> Text:
    n = len(columns["category"])
    program = np.zeros(n, np.int32)
    required = np.arange(n) if rows is None else rows
    return engine.render(table, program, [columns[name] for name in table.columns], required, encoding)


def _spans(text: Text) -> Spans:
    start = text.offsets[:-1].copy()
    return Spans(text.data, start, np.diff(text.offsets), np.full(len(start), PLAIN, np.uint8))


def _text(column: Spans) -> Text:
    """A column of `_spans` as it was."""
    ends = column.start[-1:] + column.length[-1:]
    return Text(column.data, np.concatenate([column.start, ends]))


def _arrow(text: Text) -> pa.LargeStringArray:
    buffers = [pa.py_buffer(text.offsets), pa.py_buffer(text.data)]
    return pa.LargeStringArray.from_buffers(len(text), *buffers)
