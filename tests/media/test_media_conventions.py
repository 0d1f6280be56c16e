"""Every convention of media in records: detected by plan, kept in its place, checked, copied."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.media.references import in_column, in_messages
from tests.media.files import VIDEO, image, put, sound

ROWS = 4
Record = dict[str, Any]


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def turns(*content: Any) -> list[Record]:
    asked = content[0] if len(content) == 1 else list(content)
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": "It is a river."}]


def text(number: int) -> Record:
    return {"type": "text", "text": f"What is {number}?"}


def said(number: int, mark: str = "<image>") -> list[Record]:
    return turns(f"{mark}What is {number}?")


def sharegpt(number: int) -> list[Record]:
    return [{"from": "human", "value": f"<image>\nWhat is {number}?"}, {"from": "gpt", "value": "A river."}]


def part(number: int, **kind: Any) -> Record:
    return {"messages": turns(kind, text(number))}


CONVENTIONS: dict[str, Callable[[int], Record]] = {
    "openai image_url, an object": lambda n: part(n, type="image_url", image_url={"url": f"i/{n}.png"}),
    "openai image_url, a text": lambda n: part(n, type="image_url", image_url=f"i/{n}.png"),
    "openai data URL": lambda n: part(
        n, type="image_url", image_url={"url": f"data:image/png;base64,{b64(image(n))}"}
    ),
    "openai input_audio": lambda n: part(
        n, type="input_audio", input_audio={"data": b64(sound(n)), "format": "wav"}
    ),
    "openai input_image": lambda n: part(n, type="input_image", image_url=f"i/{n}.png"),
    "chat template, image": lambda n: part(n, type="image", image=f"i/{n}.png"),
    "chat template, path": lambda n: part(n, type="image", path=f"i/{n}.png"),
    "chat template, url": lambda n: part(n, type="audio", url=f"s/{n}.wav"),
    "chat template, base64": lambda n: part(n, type="image", base64=b64(image(n))),
    "qwen, audio": lambda n: part(n, type="audio", audio=f"s/{n}.wav"),
    "qwen, audio_url": lambda n: part(n, type="audio", audio_url=f"s/{n}.wav"),
    "qwen, video": lambda n: part(n, type="video", video=f"v/{n}.mp4"),
    "anthropic": lambda n: part(
        n, type="image", source={"type": "base64", "media_type": "image/png", "data": b64(image(n))}
    ),
    "llama-factory v1": lambda n: {
        "messages": turns(
            {"type": "image_url", "value": f"i/{n}.png"}, {"type": "text", "value": f"Is it {n}?"}
        )
    },
    "llama-factory, images": lambda n: {"messages": said(n), "images": [f"i/{n}.png"]},
    "llama-factory, audios": lambda n: {"messages": said(n, "<audio>"), "audios": [f"s/{n}.wav"]},
    "llama-factory, videos": lambda n: {"messages": said(n, "<video>"), "videos": [f"v/{n}.mp4"]},
    "ms-swift, objects": lambda n: {"messages": said(n), "images": [{"path": f"i/{n}.png", "bytes": None}]},
    "ms-swift, base64": lambda n: {"messages": said(n), "images": [b64(image(n))]},
    "llava": lambda n: {"id": str(n), "image": f"i/{n}.png", "conversations": sharegpt(n)},
    "trl, a column": lambda n: {"messages": turns({"type": "image"}, text(n)), "images": [f"i/{n}.png"]},
    "questions of an image": lambda n: {
        "image": f"i/{n}.png",
        "question": f"What is {n}?",
        "answer": "River",
    },
    "file URL": lambda n: {"messages": said(n), "images": [f"file://HERE/i/{n}.png"]},
    "absolute path": lambda n: {"messages": said(n), "images": [f"HERE/i/{n}.png"]},
    "metadata, file_name": lambda n: {"file_name": f"i/{n}.png", "text": f"A picture of river {n}"},
    "metadata, image_file_name": lambda n: {
        "image_file_name": f"i/{n}.png",
        "text": f"A picture of river {n}",
    },
}
IN_PARQUET: dict[str, Callable[[int], Record]] = {
    "Image() of datasets": lambda n: {
        "messages": json.dumps(said(n)),
        "images": [{"bytes": image(n), "path": f"{n}.png"}],
    },
    "Image() of any name": lambda n: {
        "photo": {"bytes": image(n), "path": None},
        "question": f"What is {n}?",
        "answer": "A river",
    },
    "Audio() of datasets": lambda n: {
        "audio": {"bytes": sound(n), "path": None},
        "text": f"It says {n}, I think",
    },
}
EVERY = {**CONVENTIONS, **IN_PARQUET}


def kind_of(name: str) -> Callable[[int], bytes]:
    by_word = {
        "audio": sound,
        "Audio": sound,
        "chat template, url": sound,
        "video": lambda n: VIDEO + bytes([n]),
    }
    return next((made for word, made in by_word.items() if word in name), image)


def written(folder: Path, name: str) -> Path:
    """The convention as a file of data, beside the files that it refers to."""
    for number in range(ROWS):
        put(folder, f"i/{number}.png", image(number))
        put(folder, f"s/{number}.wav", sound(number))
        put(folder, f"v/{number}.mp4", VIDEO + bytes([number]))
    records = [EVERY[name](number) for number in range(ROWS)]
    if name in IN_PARQUET:
        pq.write_table(pa.Table.from_pylist(records), folder / "f.parquet")
        return folder / "f.parquet"
    lines = "".join(json.dumps(record) + "\n" for record in records)
    return put(folder, "metadata.jsonl", lines.replace("HERE", str(folder)).encode())


def references(record: Record) -> Iterator[str]:
    """The paths and contents that a written record has, wherever they stand."""
    found: list[Any] = []
    for key, value in record.items():
        if key in ("messages", "conversations"):
            in_messages(value, found.append)
        elif key not in ("text", "question", "answer", "id"):
            in_column("files", value, found.append)
    for reference in found:
        yield reference.text


@pytest.mark.parametrize("name", EVERY)
def test_a_convention_is_detected_checked_and_copied(tmp_path: Path, name: str) -> None:
    data = written(tmp_path / "data", name)
    plan = forge_gpu.plan(data=data, settings=["output.media=copy", "output.form=source"])
    assert plan.config.data.media.are_there and plan.config.preprocessing.dedup.media
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    assert result.counts["rejected"] == 0 and result.manifest["warned"].get("media_missing") is None
    assert result.manifest["media"]["files"] == ROWS
    lines = [json.loads(line) for path in (tmp_path / "out").glob("*.jsonl") for line in path.open()]
    copies = [path for line in lines for path in references(line)]
    digests = {hashlib.sha256((tmp_path / "out" / path).read_bytes()).hexdigest() for path in copies}
    assert digests == {hashlib.sha256(kind_of(name)(number)).hexdigest() for number in range(ROWS)}


WITH_TURNS = [name for name in CONVENTIONS if name.startswith(("openai", "chat", "qwen", "anthropic"))]


@pytest.mark.parametrize("name", WITH_TURNS)
def test_a_part_keeps_its_place_in_messages(tmp_path: Path, name: str) -> None:
    data = written(tmp_path / "data", name)
    plan = forge_gpu.plan(data=data, settings=["output.form=messages", "output.order=input"])
    forge_gpu.prepare(plan.config, output=tmp_path / "out")
    lines = [json.loads(line) for path in (tmp_path / "out").glob("*.jsonl") for line in path.open()]
    for line in lines:
        first, second = line["messages"][0]["content"]
        (found,) = references(line)
        assert "text" in second and "text" not in first
        is_path = len(found) < 100 and not found.startswith("data:")
        assert not is_path or (tmp_path / "out" / found).is_file()


def test_parts_without_a_type_are_found_by_their_key() -> None:
    found: list[Any] = []
    in_messages(turns({"image": "a.png"}, {"text": "Is it?"}, {"audio": "b.wav"}), found.append)
    assert [(each.kind, each.text) for each in found] == [("images", "a.png"), ("audios", "b.wav")]
