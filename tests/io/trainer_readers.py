"""Readers of trainers' files, written from the formats: what a trainer predicts at each token of each line.

A reader gives lines as (ids, targets, lengths): targets[i] is the id that is predicted after token i, -100
where nothing is; lengths are of the rows in the line, where the format tells them.
"""

from __future__ import annotations

import csv
import gzip
import json
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
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


def _framed(path: Path, head: bytes) -> Iterator[list[bytes]]:
    """The columns of each item of a shard, as bytes; head: what stands before the items."""
    data = path.read_bytes()
    (count,) = struct.unpack_from("<I", data)
    at = struct.unpack_from(f"<{count + 1}I", data, 4)
    assert data[4 * (count + 2) : at[0]] == head and at[-1] == len(data)
    for begin, end in pairwise(at):
        item = data[begin:end]
        sizes = struct.unpack_from("<3I", item)
        bounds = [12, *(12 + sum(sizes[: n + 1]) for n in range(3))]
        assert bounds[-1] == len(item)
        yield [item[a:b] for a, b in pairwise(bounds)]


def _mds_array(column: bytes) -> list[int]:
    axes, width = column[0] >> 2, 1 << (column[0] & 3)
    assert axes == 1
    count = int.from_bytes(column[1 : 1 + width], "little")
    numbers = np.frombuffer(column[1 + width :], np.int32)
    assert len(numbers) == count
    return numbers.tolist()


def mds(stem: Path) -> Iterator[Line]:
    index = json.loads((stem / "index.json").read_text())
    assert index["version"] == 2
    for shard in index["shards"]:
        assert shard["column_names"] == ["input_ids", "labels", "seq_lengths"]
        assert shard["column_encodings"] == ["ndarray:int32"] * 3 and shard["column_sizes"] == [None] * 3
        path = stem / shard["raw_data"]["basename"]
        assert path.stat().st_size == shard["raw_data"]["bytes"]
        told = {key: shard[key] for key in shard if key not in ("raw_data", "zip_data", "samples")}
        items = list(_framed(path, json.dumps(told, sort_keys=True, separators=(",", ":")).encode()))
        assert len(items) == shard["samples"]
        for item in items:
            ids, labels, lengths = map(_mds_array, item)
            yield ids, targets_of(ids, [label != -100 for label in labels], lengths), lengths


def litdata(stem: Path) -> Iterator[Line]:
    index = json.loads((stem / "index.json").read_text())
    config = index["config"]
    assert config["item_loader"] == "PyTreeLoader" and config["data_format"] == ["no_header_numpy:2"] * 3
    protocol, tree = json.loads(config["data_spec"])
    assert (protocol, tree["type"]) == (1, "builtins.dict")
    assert json.loads(tree["context"]) == ["input_ids", "labels", "seq_lengths"]
    for chunk in index["chunks"]:
        path = stem / chunk["filename"]
        items = list(_framed(path, b""))
        assert (len(items), path.stat().st_size) == (chunk["chunk_size"], chunk["chunk_bytes"])
        for item in items:
            ids, labels, lengths = (np.frombuffer(column, np.int32).tolist() for column in item)
            yield ids, targets_of(ids, [label != -100 for label in labels], lengths), lengths


READERS: dict[str, Callable[[Path], Iterator[Line]]] = {
    "automodel": automodel,
    "litdata": litdata,
    "llamafactory": llamafactory,
    "mds": mds,
    "megatron_bridge": megatron_bridge,
    "nanogpt": nanogpt,
    "olmo": olmo,
    "skyrl": skyrl,
    "swift": swift,
    "together": together,
}
