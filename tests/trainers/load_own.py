"""Reads the train split of a prepared folder with a trainer's own loader, and prints what it gave as JSON:
ids, and where the loader says it, which of them are trained, a flag for each.

python load_own.py NAME FOLDER TOKENIZER TEMPLATE

It runs in the environment that `benchmarks.acceptance.own_loaders` makes for the trainer.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec
from itertools import islice
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

Line = tuple[list[int], list[bool] | None]
IMAGES = [f"torchvision{name}" for name in ("", ".datasets", ".transforms", ".transforms.functional")]
LENGTH = 32
"""Tokens of a sample, where a loader cuts the ids of all lines."""


def megatron(folder: Path, *_: str) -> Iterator[Line]:
    from megatron.core.datasets.indexed_dataset import IndexedDataset

    for ids in IndexedDataset(str(folder / "train"), mmap=True):
        yield ids.tolist(), None


def nanogpt(folder: Path, *_: str) -> Iterator[Line]:
    """All lines as one, but for what fills no sample."""
    from nemo_automodel.components.datasets.llm.nanogpt_dataset import NanogptDataset, load_bin_shard

    path = folder / "train.bin"
    samples = len(load_bin_shard(path)) // (LENGTH + 1)
    taken = list(islice(NanogptDataset(str(path), LENGTH), samples))
    flat = [number for sample in taken for number in (*sample["input_ids"], sample["labels"][-1])]
    assert all(sample["labels"][:-1] == sample["input_ids"][1:] for sample in taken)
    yield flat, None


def olmo(folder: Path, *_: str) -> Iterator[Line]:
    """All lines as one, but for what fills no sample."""
    _without("cached_path", "cached_path.schemes")  # for URLs
    import numpy as np
    from olmo_core.data import NumpyFSLDataset

    dataset = NumpyFSLDataset(
        str(folder / "train.token_ids.npy"), sequence_length=LENGTH, pad_token_id=0, eos_token_id=1,
        vocab_size=2**20, dtype=np.uint32, label_mask_paths=[str(folder / "train.labels_mask.npy")],
    )  # fmt: skip
    dataset.prepare()
    items = [dataset[number] for number in range(len(dataset))]
    yield (
        [number for item in items for number in item["input_ids"].tolist()],
        [on for item in items for on in item["label_mask"].tolist()],
    )


def mds(folder: Path, *_: str) -> Iterator[Line]:
    _without(*IMAGES)
    from streaming import StreamingDataset

    yield from _labelled(StreamingDataset(local=str(folder / "train"), batch_size=1, shuffle=False))


def litdata(folder: Path, *_: str) -> Iterator[Line]:
    from litdata import StreamingDataset

    yield from _labelled(StreamingDataset(str(folder / "train"), shuffle=False))


def together(folder: Path, *_: str) -> Iterator[Line]:
    """Its check before an upload; then the rows as `datasets` reads them."""
    from datasets import load_dataset
    from together.lib.utils.files import check_file

    report = check_file(folder / "train.parquet")
    assert report["is_check_passed"], report
    files = str(folder / "train.parquet")
    yield from _labelled(
        load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "cache"))
    )


def openrlhf(folder: Path, tokenizer: str, template: str) -> Iterator[Line]:
    from datasets import load_dataset
    from openrlhf.datasets.sft_dataset import SFTDataset

    rows = load_dataset(
        "json", data_files=str(folder / "train.jsonl"), split="train", cache_dir=str(folder / "cache")
    )
    data = SimpleNamespace(input_key="messages", output_key=None, apply_chat_template=True)
    dataset = SFTDataset(
        rows, _tokenizer(tokenizer, template), 4096, SimpleNamespace(args=SimpleNamespace(data=data)),
        num_processors=1, multiturn=True,
    )  # fmt: skip
    for number in range(len(dataset)):
        ids, _, mask = dataset[number]
        # A mask stands where a token is predicted, one before it.
        yield ids[0].tolist(), [False, *mask[0].bool().tolist()[:-1]]


def _labelled(rows: Iterable[Any]) -> Iterator[Line]:
    for row in rows:
        yield list(map(int, row["input_ids"])), [int(label) != -100 for label in row["labels"]]


class _Empty(type):
    """A class whose attributes are empty tuples."""

    def __getattr__(cls, name: str) -> tuple[()]:
        if name.startswith("_"):
            raise AttributeError(name)
        return ()


def _without(*names: str) -> None:
    """Let packages that no file of tokens needs be imported where they are not there: each name in them is a
    class without anything."""
    for name in names:
        made = ModuleType(name)
        made.__spec__ = ModuleSpec(name, None, is_package=True)
        made.__path__, made.__file__ = [], __file__
        made.__dict__["__getattr__"] = lambda attribute: _Empty(attribute, (), {})
        sys.modules.setdefault(name, made)


def _tokenizer(file: str, template: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    special = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    return PreTrainedTokenizerFast(tokenizer_file=file, chat_template=Path(template).read_text(), **special)


LOADERS: dict[str, Callable[..., Iterator[Line]]] = {
    load.__name__: load for load in (megatron, nanogpt, olmo, mds, litdata, together, openrlhf)
}


if __name__ == "__main__":
    name, folder, tokenizer, template = sys.argv[1:]
    print(json.dumps(list(LOADERS[name](Path(folder), tokenizer, template))))
