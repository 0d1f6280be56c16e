"""From paths to files: everything the user can write, and one clear line where it gives nothing."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest

from forge_gpu.errors import ForgeError, InputError
from forge_gpu.io import inputs
from forge_gpu.io.inputs import resolve


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in (
        "b.jsonl", "a.csv.gz", "deep/er/c.parquet", "deep/d.json", "README.md", "deep/dataset_info.json",
        ".hidden.jsonl", ".git/x.json", "model.safetensors",
        "old/manifest.json", "old/ledger.parquet", "old/train.jsonl",
    ):  # fmt: skip
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"name": "{name}"}}\n')
    return tmp_path


def names(result: list[inputs.InputFile]) -> list[str]:
    return [file.path for file in result]


def test_a_folder_is_searched_through(data: Path) -> None:
    skipped: dict[str, str] = {}
    result = resolve(["data"], data, skipped.__setitem__)
    assert names(result) == ["data/a.csv.gz", "data/b.jsonl", "data/deep/d.json", "data/deep/er/c.parquet"]
    assert all(Path(file.url).is_absolute() and file.size for file in result)
    assert skipped == {
        "data/README.md": "no data file by its name; name it on its own to read it",
        "data/model.safetensors": "no data file by its name; name it on its own to read it",
        "data/.hidden.jsonl": "hidden",
        "data/deep/dataset_info.json": "describes a data set, a model or a package",
        "data/old": "an output folder of Forge",
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["data/b.jsonl", "data/a.csv.gz"], ["data/b.jsonl", "data/a.csv.gz"]),
        (["data/*.jsonl"], ["data/b.jsonl"]),
        (["data/**/*.json"], ["data/deep/d.json", "data/deep/dataset_info.json", "data/old/manifest.json"]),
        (["data/*"], ["data/a.csv.gz", "data/b.jsonl"]),
        (["data/[ab].*"], ["data/a.csv.gz", "data/b.jsonl"]),
        (["data/README.md"], ["data/README.md"]),
    ],
)
def test_files_and_globs(data: Path, given: list[str], expected: list[str]) -> None:
    assert names(resolve(given, data)) == expected


def test_a_file_whose_name_looks_like_a_glob(data: Path) -> None:
    (data / "x[1].jsonl").write_text("{}")
    assert names(resolve(["x[1].jsonl"], data)) == ["x[1].jsonl"]


def test_a_list_of_paths(data: Path) -> None:
    (data / "data" / "list.txt").write_text("b.jsonl\n\n  deep/*.json \r\n", "utf-8")
    assert names(resolve(["@data/list.txt"], data)) == ["b.jsonl", "deep/d.json", "deep/dataset_info.json"]
    (data / "bad.txt").write_text("@data/list.txt")
    with pytest.raises(InputError, match="names another list"):
        resolve(["@bad.txt"], data)
    (data / "bad.txt").write_text("\n")
    with pytest.raises(InputError, match="names no file"):
        resolve(["@bad.txt"], data)
    with pytest.raises(InputError, match="no such file"):
        resolve(["@gone.txt"], data)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ([], "no input"),
        ([""], "is not a path"),
        (["data/c.jsonl"], r"data/c\.jsonl: there is no such file or folder; did you mean 'b\.jsonl'\?"),
        (["nowhere/c.jsonl"], "nor is there a folder"),
        (["data/*.arrow"], "no file matches"),
        (["data/old"], "holds no data file"),
        (["data/b.jsonl", "data/../data/b.jsonl"], "is given twice, by 'data/b.jsonl' and by"),
        (["data", "data/*.jsonl"], "given twice"),
        (["-", "-"], "given twice"),
    ],
)
def test_what_gives_nothing(data: Path, given: list[str], line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    if given == ["data/old"]:
        for path in (data / "data" / "old").iterdir():
            path.rename(path.with_suffix(".txt"))
    with pytest.raises(InputError, match=line) as fault:
        resolve(given, data)
    assert "\n" not in str(fault.value)


def test_a_link_to_the_same_file_is_a_file_given_twice(data: Path) -> None:
    (data / "data" / "link.jsonl").symlink_to(data / "data" / "b.jsonl")
    with pytest.raises(InputError, match="given twice"):
        resolve(["data"], data)


WITHOUT_RIGHTS = """
import os, sys
from forge_gpu.errors import InputError
from forge_gpu.io.inputs import resolve
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    resolve([sys.argv[1]])
except InputError as fault:
    print(fault)
"""


@pytest.mark.parametrize("what", ["file", "folder"])
def test_no_permission(tmp_path: Path, what: str) -> None:
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            try:
                folder.chmod(0o755)
            except OSError:
                pytest.skip("the temporary folder cannot be opened to another user")
    path = tmp_path / "locked"
    if what == "file":
        path.write_text("{}")
    else:
        path.mkdir()
    path.chmod(0)
    done = subprocess.run([sys.executable, "-c", WITHOUT_RIGHTS, str(path)], capture_output=True, text=True)
    path.chmod(0o755)
    assert f"{path}: no permission" in done.stdout, done.stderr


def test_fingerprints_notice_changes(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"

    def fingerprint(content: bytes, time: int = 10**9) -> str:
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        return resolve([str(path)])[0].fingerprint

    big = b"a" * 200_000
    seen = [
        fingerprint(big), fingerprint(big[:-1]), fingerprint(b"b" + big[1:]), fingerprint(big[:-1] + b"b"),
        fingerprint(big, 2 * 10**9), fingerprint(b""), fingerprint(b"x"),
    ]  # fmt: skip
    assert len(set(seen)) == len(seen) and fingerprint(big) == seen[0]


def test_remote(monkeypatch: pytest.MonkeyPatch) -> None:
    system = fsspec.filesystem("memory")
    for name in ("b.jsonl", "a.json", "notes.md"):
        system.pipe(f"/set/{name}", name.encode())
    skipped: dict[str, str] = {}
    assert names(resolve(["memory://set"], None, skipped.__setitem__)) == [
        "memory://set/a.json",
        "memory://set/b.jsonl",
    ] or names(resolve(["memory://set"])) == ["memory:///set/a.json", "memory:///set/b.jsonl"]
    assert len(skipped) == 1
    assert len(resolve(["memory://set/*.json*"])) == 2
    first = resolve(["memory://set/b.jsonl"])[0].fingerprint
    system.pipe("/set/b.jsonl", b"longer than it was")
    assert resolve(["memory://set/b.jsonl"])[0].fingerprint != first
    with pytest.raises(InputError, match="no such file"):
        resolve(["memory://set/gone.jsonl"])
    with pytest.raises(InputError, match="no data file is there"):
        resolve(["memory://set/*.csv"])
    with pytest.raises(InputError, match="given twice"):
        resolve(["memory://set/b.jsonl"] * 2)
    system.rm("/set", recursive=True)


def test_a_missing_backend_says_what_to_install() -> None:
    for url, package in (("gs://bucket/f.jsonl", "gcsfs"), ("https://host.invalid/f.jsonl", "aiohttp")):
        if importlib.util.find_spec(package) is None:
            with pytest.raises(ForgeError, match=rf"pip install {package}$") as fault:
                resolve([url])
            assert sys.executable in str(fault.value)
    with pytest.raises(InputError, match="klingon"):
        resolve(["klingon://bucket/f.jsonl"])


def test_secrets_of_a_url_are_not_shown() -> None:
    from forge_gpu.io.urls import shown

    assert shown("https://me:pass@host/f.jsonl?signature=abc#x") == "https://host/f.jsonl"
    assert shown("s3://bucket/f.jsonl") == "s3://bucket/f.jsonl"


def test_file_urls_and_home(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(data))
    assert len(resolve([f"file://{data}/data/b.jsonl"])) == 1
    assert resolve(["~/data/*.jsonl"])[0].url == str(data / "data" / "b.jsonl")
