"""Marks in texts, parts of messages, media in columns: how many there are of each, from plan to output."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.media.marks import held_in, kinds
from tests.media.files import image

PNG = {"bytes": b"\x89PNG", "path": None}
MARKED = [{"from": "human", "value": "<image>\nWhat river is it?"}, {"from": "gpt", "value": "The Rhine"}]
TWO = json.dumps([{"from": "human", "value": "<image><image>Which?"}, {"from": "gpt", "value": "Both"}])
PARTS: list[dict[str, Any]] = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What river is it?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "The Rhine"}]},
]


@pytest.mark.parametrize(
    ("kind", "value", "number"),
    [
        ("images", "<image> and <image>", 2),
        ("images", MARKED, 1),
        ("images", PARTS, 1),
        ("videos", PARTS, 0),
        ("images", [{"role": "user", "content": [{"type": "image", "image": "a.png"}]}], 0),
        ("images", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}], 0),
        ("audios", [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "x"}}]}], 0),
        (
            "audios",
            [{"role": "user", "content": [{"type": "audio"}, {"type": "text", "text": "<audio>"}]}],
            2,
        ),
        ("images", [{"role": "user", "content": None}], 0),
    ],
)
def test_marks_and_parts_without_a_source_name_a_medium(kind: str, value: Any, number: int) -> None:
    assert kinds()[kind].named_in(value) == number


@pytest.mark.parametrize(
    ("value", "number"),
    [("a.png", 1), (["a.png", "b.png"], 2), ('["a.png", "b.png"]', 2), (None, 0), ("", 0), ([], 0), (PNG, 1)],
)
def test_a_column_holds_one_medium_or_a_list(value: Any, number: int) -> None:
    assert held_in(value) == number


def rows(right: dict[str, Any], wrong: dict[str, Any]) -> list[dict[str, Any]]:
    return [*({**right, "id": number} for number in range(6)), {**wrong, "id": 9}]


def put(folder: Path, records: list[dict[str, Any]], kind: str) -> Path:
    path = folder / f"f.{kind}"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "llava": ({"image": "a.png", "conversations": MARKED}, {"image": None, "conversations": MARKED}),
    "ms-swift": (
        {"images": ["a.png"], "messages": [{"role": "user", "content": "<image>Which?"}, PARTS[1]]},
        {"images": ["a.png", "b.png"], "messages": [{"role": "user", "content": "<image>Which?"}, PARTS[1]]},
    ),
    "parts": ({"images": ["a.png"], "messages": PARTS}, {"images": [], "messages": PARTS}),
    "flat": (
        {"audios": ["a.wav"], "instruction": "<audio>What is said?", "output": "A word"},
        {"audios": ["a.wav"], "instruction": "What is said?", "output": "A word"},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_row_with_another_number_of_media_is_rejected(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, rows(*CASES[name]), "jsonl")
    plan = forge_gpu.plan(data=path, settings=["output.columns=id", "preprocessing.dedup.exact=false"])
    kind, column = next((k, c) for k, c in plan.config.data.media.model_dump().items() if c is not None)
    assert column in CASES[name][0] and kind.startswith(column.rstrip("s"))
    assert plan.trial is not None and "media_marks" in str(plan.trial.line)
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    assert result.manifest["rejected"] == {"media_marks": 1}


def test_media_in_parquet_count_as_in_json(tmp_path: Path) -> None:
    right = {"images": [{"bytes": None, "path": "a.png"}], "messages": json.dumps(MARKED)}
    path = put(tmp_path, rows(right, {**right, "images": []}), "parquet")
    plan = forge_gpu.plan(data=path)
    assert plan.config.data.media.images == "images" and "1 of 7" in str(plan.trial and plan.trial.line)


def test_the_bytes_of_a_file_are_base64_in_json(tmp_path: Path) -> None:
    files = [image(number) for number in range(6)]
    records = [
        {"images": [{"bytes": file, "path": "a.png"}, {"bytes": None, "path": "b.png"}], "messages": TWO}
        for file in files
    ]
    plan = forge_gpu.plan(
        data=put(tmp_path, records, "parquet"), settings=["preprocessing.dedup.exact=false"]
    )
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    assert result.counts["rejected"] == 0 and plan.config.data.media.images == "images"
    lines = [line for path in (tmp_path / "out").glob("*.jsonl") for line in path.read_text().splitlines()]
    images = [json.loads(line)["images"] for line in lines]
    assert sorted(base64.b64decode(first["bytes"]) for first, _ in images) == sorted(files)
    assert all(second == {"path": "b.png"} or second["bytes"] is None for _, second in images)


def test_media_that_no_text_names_are_not_counted(tmp_path: Path) -> None:
    records = [{"image": f"{n}.png", "question": f"What is {n}?", "answer": f"River {n}"} for n in range(5)]
    plan = forge_gpu.plan(data=put(tmp_path, records, "jsonl"))
    assert plan.config.data.media.images is None and plan.config.output.columns == ["image"]
