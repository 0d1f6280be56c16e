"""What a container sees: what the plan names, under its own name, and nothing that is not the job's."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_gpu.config.schema import Config
from forge_gpu.container.mounts import MOST, Mount, mounts_of
from forge_gpu.errors import InputError
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec

LINE = '{"a": 1}\n'


def spec_of(base: Path, *inputs: str, output: str = "out") -> JobSpec:
    (base / output).mkdir(exist_ok=True, parents=True)
    return JobSpec(Config.model_validate({"data": {"inputs": list(inputs)}}), base, base / output)


def shown(base: Path, *inputs: str, output: str = "out") -> dict[str, str]:
    """Target -> source of the inputs' mounts, both below `base`."""
    spec = spec_of(base, *inputs, output=output)
    mounts = mounts_of(spec, JobFiles(spec))
    assert [mount.target for mount in mounts if mount.writable] == [base / output]
    return {
        str(mount.target.relative_to(base)): str(mount.source.relative_to(base))
        for mount in mounts
        if not mount.writable
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("raw/a.jsonl", "raw/b.jsonl", "raw/deep/c.jsonl", "raw/.hidden", "store/x", "other.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(LINE)
    return tmp_path


def test_files_folders_and_globs(data):
    assert shown(data, "raw") == {"raw": "raw"}
    assert shown(data, "other.jsonl", "raw") == {"other.jsonl": "other.jsonl", "raw": "raw"}
    assert shown(data, "raw/[ab].jsonl") == {name: name for name in ("raw/a.jsonl", "raw/b.jsonl")}
    (data / "list.txt").write_text("raw/deep/c.jsonl\nother.jsonl\n")
    listed = ("list.txt", "raw/deep/c.jsonl", "other.jsonl")
    assert shown(data, "@list.txt") == {name: name for name in listed}


def test_a_link_is_followed_once_and_what_is_behind_it_is_there(data):
    (data / "link.jsonl").symlink_to("store/x")
    assert shown(data, "link.jsonl") == {"link.jsonl": "store/x"}
    (data / "raw" / "blob.jsonl").symlink_to(data / "store" / "x")
    assert shown(data, "raw") == {"raw": "raw", "store/x": "store/x"}


def test_an_output_within_an_input_is_the_only_place_to_write(data):
    spec = spec_of(data, "raw", output="raw/out")
    assert [(str(m.target.relative_to(data)), m.writable) for m in mounts_of(spec, JobFiles(spec))] == [
        ("raw", False),
        ("raw/out", True),
    ]


@pytest.mark.parametrize("path", ["/etc/hostname", "/proc/version", "/usr/bin/env"])
def test_nothing_of_the_system_is_mounted(tmp_path, path):
    spec = spec_of(tmp_path, path)
    with pytest.raises(InputError, match=f"^{path}: lies in /"):
        mounts_of(spec, JobFiles(spec))


def test_a_link_to_the_system_is_no_way_around(tmp_path):
    (tmp_path / "rows.jsonl").symlink_to("/etc/hostname")
    spec = spec_of(tmp_path, "rows.jsonl")
    with pytest.raises(InputError, match="lies in /etc"):
        mounts_of(spec, JobFiles(spec))


def test_home_and_what_is_above_it_are_not_mounted(data, monkeypatch):
    monkeypatch.setenv("HOME", str(data / "raw" / "deep"))
    for path in ("raw/deep", "raw"):
        spec = spec_of(data, path)
        with pytest.raises(InputError, match="is or holds your home folder"):
            mounts_of(spec, JobFiles(spec))
    assert shown(data, "raw/deep/c.jsonl") == {"raw/deep/c.jsonl": "raw/deep/c.jsonl"}


def test_the_engines_socket_is_not_mounted(data, monkeypatch):
    (data / "run").mkdir()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{data}/run/docker.sock")
    spec = spec_of(data, "raw", output="run")
    with pytest.raises(InputError, match="holds the container engine's socket"):
        mounts_of(spec, JobFiles(spec))


def test_what_is_no_file_is_refused(data):
    os.mkfifo(data / "pipe.jsonl")
    spec = spec_of(data, "pipe.jsonl")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        mounts_of(spec, JobFiles(spec))


def test_a_name_that_is_no_utf8_is_refused(data):
    name = os.fsdecode(b"\xff.jsonl")
    (data / name).write_text(LINE)
    spec = spec_of(data, name)
    with pytest.raises(InputError, match="not UTF-8"):
        mounts_of(spec, JobFiles(spec))


def test_too_many_files_are_refused_with_what_to_do(tmp_path):
    for number in range(MOST):
        (tmp_path / f"{number}.jsonl").write_text(LINE)
    spec = spec_of(tmp_path, "*.jsonl")
    with pytest.raises(InputError, match="name the folder that holds them"):
        mounts_of(spec, JobFiles(spec))


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


@given(names, st.booleans())
def test_no_name_ends_a_field_of_a_mount(name, writable):
    place = Path("/data") / name.replace("/", "_")
    line = Mount(place, place, writable).argument()
    [fields] = csv.reader([line], strict=True) if "\n" not in line and "\r" not in line else [[]]
    expected = ["type=bind", f"source={place}", f"target={place}", *([] if writable else ["readonly"])]
    assert fields == expected or not fields


def test_a_tokenizer_is_mounted_with_what_its_links_lead_to(tmp_path):
    (tmp_path / "rows.jsonl").write_text(LINE)
    for name in ("blobs", "model", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "blobs" / "1").write_text("{}")
    (tmp_path / "model" / "tokenizer.json").symlink_to(tmp_path / "blobs" / "1")
    values = {"data": {"inputs": ["rows.jsonl"]}, "tokens": {"tokenizer": str(tmp_path / "model")}}
    spec = JobSpec(Config.model_validate(values), tmp_path, tmp_path / "out")
    targets = {mount.target for mount in mounts_of(spec, JobFiles(spec)) if not mount.writable}
    assert targets == {tmp_path / "rows.jsonl", tmp_path / "model", tmp_path / "blobs" / "1"}


def test_the_script_of_a_transform_is_mounted(tmp_path):
    (tmp_path / "rows.jsonl").write_text(LINE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "transform.py").write_text("def transform(row): return row\n")
    data = {"inputs": ["rows.jsonl"], "transform": {"script": "mine/transform.py"}}
    (tmp_path / "out").mkdir()
    spec = JobSpec(Config.model_validate({"data": data}), tmp_path, tmp_path / "out")
    mounts = mounts_of(spec, JobFiles(spec))
    assert Mount(tmp_path / "mine" / "transform.py", tmp_path / "mine" / "transform.py") in mounts
