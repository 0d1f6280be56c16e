"""Readers of trainers' files, written from the formats: what a trainer predicts at each token of each line.

A reader gives lines as (ids, targets, lengths): targets[i] is the id that is predicted after token i, -100
where nothing is; lengths are of the rows in the line, where the format tells them.
"""

from __future__ import annotations

import csv
import gzip
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from datasets import load_dataset, load_from_disk

Line = tuple[list[int], list[int], list[int] | None]


def targets_of(ids: list[int], trained: list[bool], lengths: list[int]) -> list[int]:
    """trained: of each token itself. The last token of a row predicts nothing."""
    targets, begin = [], 0
    for length in lengths:
        own, mask = ids[begin : begin + length], trained[begin : begin + length]
        targets += [token if is_on else -100 for token, is_on in zip(own[1:], mask[1:], strict=True)]
        targets += [-100] * bool(length)
        begin += length
    return targets


def _rows(stem: Path) -> list[dict[str, Any]]:
    files = str(stem.with_suffix(".parquet"))
    return list(
        load_dataset("parquet", data_files=files, split="train", cache_dir=str(stem.parent / "cache"))
    )


def skyrl(stem: Path) -> Iterator[Line]:
    for row in _rows(stem):
        assert row.keys() == {"input_ids", "loss_mask"}
        ids = row["input_ids"]
        yield ids, targets_of(ids, [bool(on) for on in row["loss_mask"]], [len(ids)]), None


def together(stem: Path) -> Iterator[Line]:
    for row in _rows(stem):
        ids = row["input_ids"]
        assert row["attention_mask"] == [1] * len(ids)
        yield ids, targets_of(ids, [label != -100 for label in row["labels"]], [len(ids)]), None


def megatron_bridge(stem: Path) -> Iterator[Line]:
    for row in _rows(stem):
        ids, starts = row["input_ids"], row["seq_start_id"]
        following = [*ids[1:], -1]
        targets = [token if on else -100 for token, on in zip(following, row["loss_mask"], strict=True)]
        yield ids, targets, np.diff([*starts, len(ids)]).tolist()


def automodel(stem: Path) -> Iterator[Line]:
    for row in _rows(stem):
        assert row["seq_lens"] == row["seq_lens_padded"]
        assert row["position_ids"] == [place for length in row["seq_lens"] for place in range(length)]
        yield row["input_ids"], row["labels"], row["seq_lens"]


def nanogpt(stem: Path) -> Iterator[Line]:
    data = stem.with_suffix(".bin").read_bytes()
    magic, version, count, width = struct.unpack_from("<4i", data)
    assert (magic, version, width) == (278895051, 1, 4) and len(data) == 1024 + 4 * count
    ids = np.frombuffer(data, np.uint32, count, 1024)
    begins = np.fromfile(stem.with_suffix(".bos.idx"), np.int32)
    for row in np.split(ids, begins[1:]):
        own = row.tolist()
        yield own, targets_of(own, [True] * len(own), [len(own)]), None


def olmo(stem: Path) -> Iterator[Line]:
    ids = np.fromfile(f"{stem}.token_ids.npy", np.uint32)
    mask = np.fromfile(f"{stem}.labels_mask.npy", np.bool_)
    assert len(mask) == len(ids)
    with gzip.open(f"{stem}.token_ids.csv.gz", "rt") as file:
        for begin, end in csv.reader(file):
            own = ids[int(begin) : int(end)].tolist()
            yield own, targets_of(own, mask[int(begin) : int(end)].tolist(), [len(own)]), None


def _saved(stem: Path) -> list[dict[str, Any]]:
    return list(load_from_disk(str(stem)))


def swift(stem: Path) -> Iterator[Line]:
    for row in _saved(stem):
        ids = row["input_ids"]
        assert row["lengths"] == [len(ids)]
        yield ids, targets_of(ids, [label != -100 for label in row["labels"]], row["lengths"]), None


def llamafactory(stem: Path) -> Iterator[Line]:
    for row in _saved(stem):
        ids = row["input_ids"]
        assert row["attention_mask"] == [1] * len(ids)
        assert [row[name] for name in ("images", "videos", "audios")] == [None] * 3
        yield ids, targets_of(ids, [label != -100 for label in row["labels"]], [len(ids)]), None


READERS: dict[str, Callable[[Path], Iterator[Line]]] = {
    "automodel": automodel,
    "llamafactory": llamafactory,
    "megatron_bridge": megatron_bridge,
    "nanogpt": nanogpt,
    "olmo": olmo,
    "skyrl": skyrl,
    "swift": swift,
    "together": together,
}
