"""Data sets of a hub as inputs, read from a hub on this machine."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forge_gpu
from forge_gpu.errors import ForgeError, InputError
from tests.support.hub import Hub, failing, hub_of_this_process

pytest.importorskip("huggingface_hub")
ROWS = [{"instruction": f"Name of river {i}?", "output": f"River {i}"} for i in range(60)]
LINES = b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)


def parquet(rows: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


def rivers(folder: Path) -> set[str]:
    lines = [line for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    return {line.split("river ")[1].split("?")[0] for line in lines}


def _without_the_package(url: str) -> None:
    raise ImportError(url)


@pytest.fixture(name="hub")
def _hub(tmp_path: Path):
    with hub_of_this_process(tmp_path / "home") as hub:
        yield hub


def test_a_data_set_is_read_with_its_splits(tmp_path: Path, hub: Hub) -> None:
    files = {
        "README.md": b"# rivers\n",
        "data/train-00000-of-00001.parquet": parquet(ROWS[:50]),
        "data/test-00000-of-00001.parquet": parquet(ROWS[50:]),
    }
    address = hub.add("org/rivers", files)
    plan = forge_gpu.plan(data=address, template="chatml")
    assert plan.config.data.splits.test == [f"{address}/data/test-00000-of-00001.parquet"]
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    assert result.counts["test"] == 10 and result.counts["train"] + result.counts["validation"] == 50
    assert rivers(tmp_path / "out") == {str(i) for i in range(60)}


@pytest.mark.parametrize("tail", ["", "/train.jsonl", "/**/*.jsonl", "@main", "@main/train.jsonl"])
def test_a_file_a_glob_a_revision(tmp_path: Path, hub: Hub, tail: str) -> None:
    address = hub.add("org/rivers", {"train.jsonl": LINES}) + tail
    config = forge_gpu.plan(data=address, template="chatml").config
    hub.before = failing(503, 2, "resolve")
    forge_gpu.prepare(config, output=tmp_path / "out")
    assert rivers(tmp_path / "out") == {str(i) for i in range(60)}


def test_a_new_commit_is_noticed(tmp_path: Path, hub: Hub) -> None:
    address = hub.add("org/rivers", {"train.jsonl": LINES})
    config = forge_gpu.plan(data=address, template="chatml").config
    forge_gpu.prepare(config, output=tmp_path / "out")
    assert not forge_gpu.prepare(config, output=tmp_path / "out").counts["rejected"]
    hub.add("org/rivers", {"train.jsonl": LINES.replace(b"river 7?", b"river X?")})
    forge_gpu.prepare(config, output=tmp_path / "out")
    assert "X" in rivers(tmp_path / "out")


def test_what_is_not_there_or_not_for_all(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/rivers", {"train.jsonl": LINES})
    for address in ("hf://datasets/org/none", "hf://org/rivers", "hf://datasets/org/rivers/x.jsonl"):
        with pytest.raises(InputError, match=r"hf://datasets/OWNER/NAME.*hf auth login"):
            forge_gpu.plan(data=address, template="chatml")
    monkeypatch.setattr("fsspec.core.url_to_fs", _without_the_package)
    with pytest.raises(ForgeError, match=r"pip install 'forge-gpu\[hub\]'"):
        forge_gpu.plan(data="hf://datasets/org/rivers", template="chatml")
