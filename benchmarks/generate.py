"""Seeded instruction data of any size, in bounded memory, with the truth about its duplicates.

Words come from small made-up vocabularies (one a script) by Zipf's law, lengths are log-normal, and
texts hold what real ones hold: quotes, backslashes, newlines, tabs, accents, CJK, Cyrillic, emoji, and
now and then a line spelled with \\u escapes. Rows are made in blocks, each with a generator of its own,
so a shorter file is the beginning of a longer one of the same seed, and memory does not grow.

Beside FILE stands FILE.truth, one TRUTH record a row: what the row is a copy of, and how much of its
answer was changed.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

Shape = Literal["flat", "chat", "tools"]
Record = dict[str, Any]

TRUTH = np.dtype([("source", np.int64), ("kind", np.uint8), ("edited", np.float32)])
"""source: row it was copied from, -1 for an original. edited: share of the answer's words replaced."""
ORIGINAL, EXACT, NEAR = 0, 1, 2

BLOCK = 2_000  # rows made at a time
REMEMBERED = 4_096  # originals that a later row may copy
EDIT_RATES = (0.01, 0.02, 0.05, 0.10, 0.15)
ESCAPED_SHARE = 0.03  # lines spelled with \u escapes, as json.dumps does by default

VOCABULARY = 20_000
ZIPF_EXPONENT, ZIPF_SHIFT = 1.05, 2.7  # Zipf's law as Mandelbrot mended it
DRAWS = 1 << 20  # a draw picks one of so many slots, shared out among the words

CJK = "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后"

SCRIPTS = (
    # share of the texts, vowels and consonants (they alternate), letters a word, separators
    (
        0.80,
        "aeiou",
        "bcdfghlmnprstvwy",
        (2, 8),
        (" ", ", ", ". ", ".\n", '" ', ' "', ": ", "\n- ", "\t", " \\"),
    ),
    (
        *(0.09, "aeiouäöüéèêáíóñ", "bcdfglmnprstvzçß", (2, 10)),
        (" ", ", ", ". ", ".\n", "» ", " «", ": ", "\n* ", " – ", " 🙂 "),
    ),
    (0.06, CJK, CJK, (1, 3), ("", "，", "。", "。\n", "」", "「", "：", "\n", "、", "！")),
    (
        *(0.05, "аеиоуыя", "бвгдзклмнпрстхчш", (2, 10)),
        (" ", ", ", ". ", ".\n", "» ", " «", ": ", "\n— ", " — ", " 🚀 "),
    ),
)
SEPARATOR_SHARES = (0.80, 0.07, 0.07, 0.02, 0.01, 0.01, 0.005, 0.005, 0.005, 0.005)

CATEGORIES = (
    "open_qa", "brainstorming", "classification", "summarisation", "closed_qa", "rewriting",
    "extraction", "creative_writing", "translation", "coding", "mathematics", "role_play", "safety",
)  # fmt: skip
TOOLS = (
    ("get_order", ("order_id",)),
    ("search_flights", ("origin", "destination", "date")),
    ("update_address", ("user_id", "street", "city")),
    ("calculate", ("expression",)),
    ("send_mail", ("to", "subject", "body")),
)


def write(
    path: Path, shape: Shape, rows: int, seed: int = 7, exact: float = 0.05, near: float = 0.03
) -> None:
    """Write `rows` records to `path` and their truth beside it; both appear whole or not at all.

    exact, near: shares of rows that copy one of the last REMEMBERED originals, wholly or with some of the
    answer's words replaced (EDIT_RATES in turn by chance).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part, truth_part = (
        path.with_name(path.name + ".part"),
        truth_path(path).with_name(path.name + ".truth.part"),
    )
    with open(part, "wb") as lines, open(truth_part, "wb") as truth:
        for block, facts in _blocks(shape, rows, seed, exact, near):
            lines.write(block)
            facts.tofile(truth)
    os.replace(truth_part, truth_path(path))
    os.replace(part, path)


def truth_path(path: Path) -> Path:
    return path.with_name(path.name + ".truth")


def _blocks(
    shape: Shape, rows: int, seed: int, exact: float, near: float
) -> Iterator[tuple[bytes, npt.NDArray[np.void]]]:
    make: Callable[[np.random.Generator, int], list[Record]] = {
        "flat": _flat,
        "chat": _chat,
        "tools": _tools,
    }[shape]
    originals: deque[tuple[int, Record]] = deque(maxlen=REMEMBERED)
    for number, start in enumerate(range(0, rows, BLOCK)):
        rng = np.random.default_rng([seed, number])
        kinds = rng.choice(3, BLOCK, p=[1 - exact - near, exact, near])
        records = iter(make(rng, BLOCK))
        spelled = rng.random(BLOCK) < ESCAPED_SHARE
        count = min(BLOCK, rows - start)
        facts = np.zeros(count, TRUTH)
        lines: list[bytes] = []
        for i in range(count):
            kind = kinds[i] if originals else ORIGINAL
            record, facts[i] = next(records), (-1, ORIGINAL, 0)
            if kind == ORIGINAL:
                originals.append((start + i, record))
            else:
                source, record = originals[rng.integers(len(originals))]
                rate = 0.0 if kind == EXACT else EDIT_RATES[rng.integers(len(EDIT_RATES))]
                record, edited = (record, 0.0) if kind == EXACT else _edit(rng, record, rate)
                facts[i] = (source, kind, edited)
            lines.append(json.dumps(record).encode() if spelled[i] else orjson.dumps(record))
        yield b"\n".join(lines) + b"\n", facts


def _flat(rng: np.random.Generator, rows: int) -> list[Record]:
    scripts = _scripts(rng, rows)
    instructions = _texts(rng, _lengths(rng, rows, 12, 0.5), scripts)
    has_input = rng.random(rows) < 0.4
    inputs = _texts(rng, _lengths(rng, rows, 25, 0.8) * has_input, scripts)
    outputs = _texts(rng, _lengths(rng, rows, 66, 0.85), scripts)
    categories = _categories(rng, rows)
    return [
        {"instruction": instruction, "input": context, "output": output, "category": category}
        for instruction, context, output, category in zip(
            instructions, inputs, outputs, categories, strict=True
        )
    ]


def _chat(rng: np.random.Generator, rows: int) -> list[Record]:
    """Three turns of user and assistant, a system message before half of them."""
    scripts = np.repeat(_scripts(rng, rows), 7)
    medians = np.tile(np.array([14, 10, 45, 10, 45, 10, 45]), rows)
    texts = _texts(rng, _lengths(rng, rows * 7, medians, 0.7), scripts)
    has_system = rng.random(rows) < 0.5
    categories = _categories(rng, rows)
    records = []
    for r in range(rows):
        contents = texts[7 * r : 7 * r + 7]
        messages = [{"role": "system", "content": contents[0]}] if has_system[r] else []
        for turn in range(3):
            messages.append({"role": "user", "content": contents[1 + 2 * turn]})
            messages.append({"role": "assistant", "content": contents[2 + 2 * turn]})
        records.append({"messages": messages, "category": categories[r]})
    return records


def _tools(rng: np.random.Generator, rows: int) -> list[Record]:
    """Trajectories of an agent in OpenAI's tool format, 1 to 8 calls each."""
    calls = np.minimum(rng.geometric(0.35, rows), 8)
    texts = iter(_texts(rng, _lengths(rng, int(2 * rows + calls.sum()), 15, 0.6), None))
    words = iter(_texts(rng, np.ones(int(calls.sum()) * 3, np.int64), None))
    chosen = iter(rng.integers(len(TOOLS), size=int(calls.sum())))
    categories = _categories(rng, rows)
    listed = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"Tool {name}",
                "parameters": {"type": "object", "properties": {key: {"type": "string"} for key in keys}},
            },
        }
        for name, keys in TOOLS
    ]
    records = []
    for r in range(rows):
        messages: list[Record] = [{"role": "user", "content": next(texts)}]
        for number in range(calls[r]):
            name, keys = TOOLS[next(chosen)]
            arguments = orjson.dumps({key: next(words) for key in keys}).decode()
            call = {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": next(texts)})
        messages.append({"role": "assistant", "content": next(texts)})
        records.append({"messages": messages, "tools": listed, "category": categories[r]})
    return records


def _edit(rng: np.random.Generator, record: Record, rate: float) -> tuple[Record, float]:
    """The record with `rate` of the words of its longest text replaced, and the share that truly was."""
    edited = json.loads(json.dumps(record))
    holder, key = (edited, "output") if "output" in edited else (edited["messages"][-1], "content")
    words = holder[key].split(" ")
    count = max(1, round(rate * len(words)))
    for at in rng.choice(len(words), min(count, len(words)), replace=False):
        words[at] = _words()[int(rng.integers(VOCABULARY))]
    holder[key] = " ".join(words)
    return edited, min(count, len(words)) / len(words)


def _scripts(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    return rng.choice(len(SCRIPTS), count, p=[script[0] for script in SCRIPTS]).astype(np.int64)


def _categories(rng: np.random.Generator, count: int) -> list[str]:
    weight = 1 / np.arange(1, len(CATEGORIES) + 1) ** 1.5
    return [CATEGORIES[i] for i in rng.choice(len(CATEGORIES), count, p=weight / weight.sum())]


def _lengths(
    rng: np.random.Generator, count: int, median: float | npt.NDArray[np.int64], sigma: float
) -> npt.NDArray[np.int64]:
    """Words a text: log-normal, 1 to 4000."""
    words = np.exp(rng.normal(0, sigma, count)) * np.asarray(median, np.float64)
    return words.clip(1, 4_000).astype(np.int64)


def _texts(
    rng: np.random.Generator, lengths: npt.NDArray[np.int64], scripts: npt.NDArray[np.int64] | None
) -> list[str]:
    """One text for each length, in words; length 0 is the empty text. scripts: all Latin if None."""
    total = int(lengths.sum())
    script = np.zeros(total, np.int64) if scripts is None else np.repeat(scripts, lengths)
    pieces = np.empty(2 * total, object)
    pieces[0::2] = _words()[_slots()[rng.integers(DRAWS, size=total)] + script * VOCABULARY]
    separator = rng.choice(len(SEPARATOR_SHARES), total, p=SEPARATOR_SHARES)
    pieces[1::2] = _separators()[script * len(SEPARATOR_SHARES) + separator]
    end = 2 * np.cumsum(lengths)
    pieces[end[lengths > 0] - 1] = "."
    spelled: list[str] = pieces.tolist()
    return [
        "".join(spelled[stop - 2 * count : stop])
        for stop, count in zip(end.tolist(), lengths.tolist(), strict=True)
    ]


@cache
def _slots() -> npt.NDArray[np.int64]:
    """Rank of the word for each of DRAWS equal chances."""
    weight = 1 / (np.arange(1, VOCABULARY + 1) + ZIPF_SHIFT) ** ZIPF_EXPONENT
    bounds = np.cumsum(weight) / weight.sum() * DRAWS
    return np.minimum(np.searchsorted(bounds, np.arange(DRAWS), side="right"), VOCABULARY - 1)


@cache
def _separators() -> npt.NDArray[np.object_]:
    return np.array([separator for script in SCRIPTS for separator in script[4]], object)


@cache
def _words() -> npt.NDArray[np.object_]:
    """The words of all scripts, VOCABULARY of each, frequent ones shorter as in real languages."""
    rng = np.random.default_rng(1)
    words = []
    for _, vowels, consonants, (shortest, longest), _ in SCRIPTS:
        growth = np.log1p(np.arange(VOCABULARY)) / np.log(VOCABULARY)
        lengths = np.round(shortest + (longest - shortest) * growth + rng.normal(0, 1, VOCABULARY))
        for length in np.clip(lengths, shortest, longest).astype(int):
            alphabets = [vowels if at % 2 else consonants for at in range(length)]
            words.append("".join(alphabet[rng.integers(len(alphabet))] for alphabet in alphabets))
    return np.array(words, object)
