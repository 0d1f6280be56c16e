"""A prepared folder that was damaged, or that someone made up: each command says so in one line."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.audit.folder import verify_folder
from forge_gpu.derive.mix import mix
from forge_gpu.derive.repack import repack
from forge_gpu.errors import InputError
from tests.loading.made import tokens

HOSTILE_NAMES = [
    "../victim", "../out/train.jsonl", "/etc/passwd", "./train.jsonl", "sub/../train.jsonl", "..", "", "~/x",
    "train.jsonl\0", "train.jsonl\n", "train\x1b[31m.jsonl", "..\\train.jsonl", "%2e%2e/train.jsonl",
    "file:///etc/passwd", "@train.jsonl", ".forge/train.jsonl", "train-00000-of-00001.jsonl/..",
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tokens(tmp_path_factory.mktemp("sound"), 40)


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "out"))


def read(folder: Path) -> None:
    forge_gpu.open(folder).reader("train")


def put(document: Any, path: tuple[str | int, ...], value: Any) -> None:
    for key in path[:-1]:
        document = document[key]
    document[path[-1]] = value


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("outputs", 0), {"split": "train", "rows": 1}),
        *((("outputs", 0, "file"), name) for name in HOSTILE_NAMES),
        (("outputs", 0, "file"), None),
        (("outputs", 0, "sha256"), 7),
        (("outputs",), None),
        (("inputs", 0), 1e308),
        (("inputs", 0, "rows"), 2**63),
        (("rows",), []),
        (("counts", "train"), -1),
        (("rejected",), []),
        (("tokens", "tokenizer_sha256"), None),
        (("tokens", "splits", "train"), {}),
        (("columns", "input_ids"), "pickle"),
        (("config", "output"), 0),
    ],
)
@pytest.mark.parametrize("look", [verify_folder, forge_gpu.open])
def test_a_manifest_that_nobody_prepared(
    look: Callable[[Path], object], path: tuple[str | int, ...], value: Any, folder: Path
) -> None:
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    put(manifest, path, value)
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest))
    with pytest.raises(InputError, match=r"manifest.json: [^\n]+$"):
        look(folder)


@pytest.mark.parametrize("look", [verify_folder, forge_gpu.open])
@pytest.mark.parametrize("what", ["a file", "a folder"])
def test_a_shard_that_is_a_link_out_of_the_folder_is_not_followed(
    look: Callable[[Path], Any], what: str, folder: Path, tmp_path: Path
) -> None:
    path, outside = folder / "train.jsonl", tmp_path / "victim.jsonl"
    if what == "a file":
        path.rename(outside)
    else:
        outside.mkdir()
        path.unlink()
    path.symlink_to(outside)
    try:
        result = look(folder)
    except InputError as fault:
        assert "train.jsonl" in str(fault) and "\n" not in str(fault)
    else:
        assert not result.is_valid


def test_a_changed_token_is_not_trained_on(folder: Path, tmp_path: Path) -> None:
    """The size of the file stays, and each line is still one of tokens."""
    path = folder / "train.jsonl"
    data = path.read_bytes()
    at = data.index(b"[") + 1
    path.write_bytes(data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :])
    assert not verify_folder(folder).is_valid
    for look in (read, lambda folder: repack(folder, tmp_path / "packs", length=300)):
        with pytest.raises(InputError, match=r"train.jsonl: was changed since it was prepared"):
            look(folder)


@pytest.mark.parametrize("column", ["tokens", "row", "line"])
def test_a_damaged_page_of_the_ledger_is_noticed(column: str, folder: Path, tmp_path: Path) -> None:
    """In a column that verify derives nothing from as well."""
    path = folder / "ledger.parquet"
    group = pq.read_metadata(path).row_group(0)
    places = [group.column(number) for number in range(group.num_columns)]
    (place,) = [place for place in places if place.path_in_schema == column]
    begin = place.dictionary_page_offset or place.data_page_offset
    data = bytearray(path.read_bytes())
    data[begin + place.total_compressed_size - 1] ^= 1
    path.write_bytes(data)
    (check,) = [check for check in verify_folder(folder).checks if check.name == "ledger.parquet"]
    assert not check.is_sound and "\n" not in check.detail
    with pytest.raises(InputError, match=r"ledger.parquet: cannot be read: [^\n]+$"):
        repack(folder, tmp_path / "packs", length=300)


@pytest.mark.parametrize("name", ["train.jsonl", "ledger.parquet", "manifest.json"])
def test_a_file_that_is_cut_is_refused_by_name(name: str, folder: Path, sound: Path, tmp_path: Path) -> None:
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[: len(data) // 2])
    commands: list[Callable[[], object]] = [
        lambda: repack(folder, tmp_path / "packs", length=300),
        lambda: mix([sound, folder], tmp_path / "mixed"),
    ]
    for command in commands:
        with pytest.raises(InputError, match=rf"{name}: [^\n]+$"):
            command()
