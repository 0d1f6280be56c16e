"""The shapes of records: the plan's sample and the job make the same conversations of the same records."""

from __future__ import annotations

import json
from typing import Any, get_args

import numpy as np
import pytest

from forge_gpu.config.schema import Mapping
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ConfigError
from forge_gpu.kernels.layout import PADDING
from forge_gpu.planner.conversations import SampledRecord, read_conversations
from forge_gpu.planner.mapping import Picked
from forge_gpu.templates.records import BadRecord
from forge_gpu.templates.shapes import SHAPES, shape_of

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "s"}
FLAT = {"shape": "flat", "query": "q", "input": "i", "response": "r", "system": "s"}
LIST = {"shape": "conversation", "messages": "m", "system": "s", "tools": "t"}
PAIR = {"shape": "preference", "chosen": "c", "rejected": "d"}
CASES: list[tuple[dict[str, str], list[dict[str, Any]]]] = [
    (
        FLAT,
        [
            {"q": "ça\n", "i": "x", "r": "a", "s": "be"},
            {"q": "q", "i": "", "r": 4},
            {"q": False, "i": None, "r": True, "s": ""},
        ],
    ),
    (
        LIST,
        [
            {"m": [USER, ANSWER]},
            {"m": [USER, ANSWER], "s": "be", "t": '[{"name": "f"}]'},
            {"m": json.dumps([USER]), "s": None, "t": []},
            {"m": [SYSTEM, USER], "s": "be"},
            {"m": [{"from": "alien", "value": "?"}]},
        ],
    ),
    (PAIR | {"query": "q", "input": "i"}, [{"q": "q", "i": "x", "c": "[{", "d": "b"}]),
    (PAIR | {"messages": "m"}, [{"m": [USER], "c": [ANSWER], "d": ANSWER}]),
    (PAIR, [{"c": [USER, ANSWER], "d": [USER, ANSWER]}, {"c": "an answer", "d": "alone"}]),
]


def outcome(read: Any, row: Any) -> object:
    try:
        return read(row)
    except BadRecord as bad:
        return bad.detail


@pytest.mark.parametrize(("keys", "records"), CASES)
def test_a_sample_and_a_chunk_make_the_same_conversations(
    keys: dict[str, str], records: list[dict[str, Any]]
) -> None:
    mapping = Mapping.model_validate(keys)
    lines = "".join(
        json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n" for record in records
    )
    data = np.frombuffer(lines.encode() + bytes(PADDING), np.uint8)[:-PADDING]
    for side in shape_of(mapping).sides(mapping):
        engine = CpuEngine()
        conversations = side.read(engine.scan(data, "lines", side.columns, 2**20), engine)
        for row, record in enumerate(records):
            assert outcome(conversations.read, row) == outcome(side.conversation, SampledRecord(record))


def test_a_pair_that_holds_its_prompt_is_one_turn() -> None:
    """The prompt stands in a column too: it is the same one, and is not counted twice."""
    record = {"q": "q", "c": [USER, ANSWER], "d": [USER, ANSWER]}
    sampled = read_conversations([record], Picked(PAIR | {"query": "q"}, {}))
    assert len(sampled) == 1 and sampled.several_turns == 0


def test_records_that_lack_a_needed_column_are_no_conversations() -> None:
    records: list[dict[str, Any]] = [{"q": None, "r": "a"}, {"r": "a"}, {"q": "q", "r": "a"}]
    sampled = read_conversations(records, Picked(FLAT, {}))
    assert len(sampled) == 1


def test_the_schema_names_the_shapes_that_are_registered() -> None:
    assert set(get_args(Mapping.model_fields["shape"].annotation)) == set(SHAPES)
    assert all(shape.name == name for name, shape in SHAPES.items())
    keys = set(Mapping.model_fields)
    assert all({*shape.needs, *shape.telling} <= keys for shape in SHAPES.values())


@pytest.mark.parametrize(
    ("shape", "keys"),
    [("flat", "data.mapping.query and data.mapping.response"), ("text", "data.mapping.text")],
)
def test_a_mapping_names_what_its_shape_needs(shape: str, keys: str) -> None:
    mapping = Mapping.model_validate({"shape": shape})
    with pytest.raises(ConfigError, match=f"^{keys} must name a column of the data for the shape {shape!r}$"):
        shape_of(mapping).require(mapping)
