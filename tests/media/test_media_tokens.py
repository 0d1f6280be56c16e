"""The tokens of images and sounds, as the processors of transformers count them, and lengths with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer

import forge_gpu
from forge_gpu.config.schema import ModelConfig
from forge_gpu.errors import ConfigError
from forge_gpu.job.output.result import LEDGER
from forge_gpu.media.looker import Seen
from forge_gpu.media.token_counts import TokenCounter, families, family_of, settings_in
from tests.media.files import image, put
from tests.tokens.made import document

TABLE = json.loads(Path(__file__).with_name("token_counts.json").read_text())
QWEN_VL = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if content['type'] == 'image' or 'image' in content or 'image_url' in content %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen2-VL's own, without its counting of images."""
WHOLE = ["preprocessing.train_split=1", "preprocessing.validation_split=0"]


def counted() -> Iterator[tuple[str, str]]:
    for family, said in families().items():
        yield from ((family, kind) for kind in ("images", "audios") if kind in said)


def seen_of(kind: str, size: list[Any]) -> Seen:
    if kind == "images":
        return Seen("ok", kind=kind, height=size[0], width=size[1])
    return Seen("ok", kind=kind, seconds=size[0])


@pytest.mark.parametrize(("family", "kind"), list(counted()))
def test_a_rule_counts_as_the_processor_does(family: str, kind: str) -> None:
    counter = TokenCounter.of(ModelConfig(media_tokens=family))
    assert counter is not None
    rows = TABLE["counts"][family][kind]
    assert len(rows) > 10
    assert [counter.count(seen_of(kind, row)) for row in rows] == [row[-1] for row in rows]


def test_a_family_is_known_by_its_type_or_name() -> None:
    assert family_of("qwen3_vl_moe", "anything") == "qwen3-vl"
    assert family_of(None, "Qwen/Qwen2.5-VL-7B-Instruct") == "qwen2.5-vl"
    assert family_of(None, "google/gemma-3n-E4B-it") == "gemma-3n"
    assert family_of("llama", "meta-llama/Llama-3.1-8B") is None


def test_settings_are_read_from_a_model_and_held_against_the_rules() -> None:
    own: list[dict[str, Any]] = [
        {"size": {"shortest_edge": 3136, "longest_edge": 501760}, "patch_size": 14},
        {"merge_size": True},
    ]
    assert settings_in("qwen2-vl", own) == {"max_pixels": 501760}
    counter = TokenCounter.of(ModelConfig(media_tokens="qwen2-vl", media_settings={"max_pixels": 501760}))
    assert counter is not None and 500 < counter.count(seen_of("images", [2000, 3000])) <= 640
    with pytest.raises(ConfigError, match=r"^model\.media_tokens qwen9: no such family; one of qwen2-vl, "):
        TokenCounter.of(ModelConfig(media_tokens="qwen9"))
    with pytest.raises(ConfigError, match=r"^model\.media_settings\.colour: the rules of llava take "):
        TokenCounter.of(ModelConfig(media_tokens="llava", media_settings={"colour": 3}))
    with pytest.raises(ConfigError, match=r"is not a number above 0$"):
        TokenCounter.of(ModelConfig(media_tokens="llava", media_settings={"patch_size": 0}))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("Qwen2-VL")
    (made / "tokenizer.json").write_text(document("qwen"))
    (made / "chat_template.jinja").write_text(QWEN_VL)
    (made / "config.json").write_text(json.dumps({"model_type": "qwen2_vl", "max_position_embeddings": 200}))
    size = {"shortest_edge": 3136, "longest_edge": 100352}
    (made / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    return made


SIZES = {"small.png": ((56, 56), 4), "wide.png": ((280, 56), 20), "large.png": ((3000, 2000), 117)}
"""Name -> (width, height), the tokens that it becomes with at most 100,352 pixels."""


def talk(*names: str) -> dict[str, Any]:
    asked = [*({"type": "image", "image": name} for name in names), {"type": "text", "text": "What is it?"}]
    answer = {"role": "assistant", "content": [{"type": "text", "text": f"{len(names)} images."}]}
    return {"messages": [{"role": "user", "content": asked}, answer]}


ROWS = [["small.png"], ["wide.png", "small.png"], ["large.png"], ["large.png", "large.png"], []]


def prepared(folder: Path, model: Path, *settings: str) -> Any:
    for name, (size, _) in SIZES.items():
        put(folder / "data", name, image(size=size))
    data = put(folder / "data", "f.jsonl", "".join(json.dumps(talk(*row)) + "\n" for row in ROWS).encode())
    plan = forge_gpu.plan(data=data, model=str(model), settings=[*WHOLE, *settings], force=True)
    return forge_gpu.prepare(plan.config, output=folder / "out")


def beside(row: list[str]) -> int:
    return sum(SIZES[name][1] - 1 for name in row)


def test_a_template_is_given_parts_and_writes_its_own_placeholders(tmp_path: Path, model: Path) -> None:
    result = prepared(tmp_path, model, "output.form=text")
    texts = [json.loads(line)["text"] for line in (tmp_path / "out" / "train.jsonl").open()]
    mark = "<|vision_start|><|image_pad|><|vision_end|>"
    assert texts == [
        f"<|im_start|>user\n{mark * len(row)}What is it?<|im_end|>\n"
        f"<|im_start|>assistant\n{len(row)} images.<|im_end|>\n"
        for row in ROWS
    ]
    ledger = pq.read_table(tmp_path / "out" / LEDGER)
    assert ledger["media_tokens"].to_pylist() == list(map(beside, ROWS))
    assert result.manifest["warned"]["too_long"] == 1


def test_tokens_are_those_of_the_text_and_lengths_have_those_of_images(tmp_path: Path, model: Path) -> None:
    settings = ["output.form=tokens", "output.for=['trl']", "preprocessing.quality_checks.too_long=reject"]
    prepared(tmp_path, model, *settings)
    library = Tokenizer.from_file(str(model / "tokenizer.json"))
    rows = [json.loads(line)["input_ids"] for line in (tmp_path / "out" / "train.jsonl").open()]
    texts = [library.decode(ids, skip_special_tokens=False) for ids in rows]
    assert [text.count("<|image_pad|>") for text in texts] == [1, 2, 1, 0]
    (rejected,) = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").open()]
    assert rejected["reason"] == "too_long"
    assert json.loads(rejected["source"]) == talk(*ROWS[3])


def test_a_pack_has_room_for_what_images_become(tmp_path: Path, model: Path) -> None:
    settings = ["output.form=tokens", "output.packing=bfd", "output.pack_length=200", "output.columns=[]"]
    prepared(tmp_path, model, *settings)
    ledger = pq.read_table(tmp_path / "out" / LEDGER, columns=["line", "tokens", "media_tokens"]).to_pylist()
    packs: dict[int, int] = {}
    for row in ledger:
        if row["line"] is not None:
            packs[row["line"]] = packs.get(row["line"], 0) + row["tokens"] + row["media_tokens"]
    assert sum(row["line"] is None for row in ledger) == 1  # with two large images it fits in none
    assert len(packs) == 2 and max(packs.values()) <= 200
