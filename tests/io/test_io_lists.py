"""Lists of inputs, which come with data: they name what lies in their folder, and nothing secret is told."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest

from forge_gpu.errors import InputError
from forge_gpu.io.inputs import resolve
from forge_gpu.job.events.events import Event
from tests.job import jobs

SECRET = "hunter2"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data, its list to be written, and beside it what a list is not to reach."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("data/a.jsonl", "data/deep/b.jsonl", "outside/c.jsonl", "data-of-others/d.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('{"q": "hello", "a": "there"}\n')
    return tmp_path / "data"


def listed(folder: Path, *names: str) -> list[str]:
    (folder / "list.txt").write_text("\n".join(names), newline="")
    return [file.url for file in resolve(["@data/list.txt"], folder.parent)]


@pytest.mark.parametrize(
    "name",
    ["a.jsonl", "./a.jsonl", "deep/../a.jsonl", "../data/a.jsonl", "{}/a.jsonl", "file://{}/a.jsonl",
     "~/data/a.jsonl"],
)  # fmt: skip
def test_a_list_names_what_lies_in_its_folder_however_it_is_spelled(name: str, folder: Path) -> None:
    (url,) = listed(folder, name.format(folder))
    assert Path(url).resolve() == folder / "a.jsonl"


@pytest.mark.parametrize(
    "name",
    [
        "../outside/c.jsonl", "..", "../*/c.jsonl", "../outs*", "deep/../../outside/c.jsonl",
        "**/../../outside/*", "../data-of-others/d.jsonl",
        "{}/outside/c.jsonl", "/etc/passwd", "/", "//etc/passwd",
        "~/outside/c.jsonl",
        "file://{}/outside/c.jsonl", "file:///etc/passwd", "file://../outside/c.jsonl", "../nowhere.jsonl",
    ],
)  # fmt: skip
def test_a_name_that_leads_out_of_the_folder_of_its_list_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(InputError, match=r"@data/list.txt: .* leads out of the folder of the list") as fault:
        listed(folder, "a.jsonl", name.format(folder.parent))
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize(
    ("link", "to", "name"),
    [
        ("link.jsonl", "outside/c.jsonl", "link.jsonl"),
        ("link.jsonl", "outside/c.jsonl", "*.jsonl"),
        ("link", "outside", "link"),
        ("link", "outside", "link/c.jsonl"),
        ("link", "outside", "link/*"),
        ("deep/link", "outside", "**/c.jsonl"),
        ("link", "outside/deeper", "link/../c.jsonl"),
    ],
)
def test_a_link_that_leads_out_is_not_followed(link: str, to: str, name: str, folder: Path) -> None:
    (folder.parent / "outside" / "deeper").mkdir()
    (folder / link).symlink_to(folder.parent / to)
    with pytest.raises(InputError, match=r"leads out of the folder of the list|no such file|no file matches"):
        listed(folder, name)


def test_a_folder_that_is_a_link_itself_is_no_way_out(folder: Path) -> None:
    (folder.parent / "latest").symlink_to(folder)
    (folder / "list.txt").write_text("a.jsonl")
    assert len(resolve(["@latest/list.txt"], folder.parent)) == 1


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("@list.txt", "names another list, '@list.txt'; a list holds"),
        ("-", "names standard input; a list holds"),
        ("a\0.jsonl", "is no path"),
        ("file://", "is no path"),
        ("..\\outside\\c.jsonl", "no such file"),
        ("%2e%2e/outside/c.jsonl", "no such file"),
        ("..%2foutside%2fc.jsonl", "no such file"),
        ("local:///etc/passwd", "no such file"),
        ("simplecache::/etc/passwd", "no such file"),
        ("simplecache::file:///etc/passwd", "no such file"),
        ("a.jsonl\x1b[2J", "no file matches|no such file"),
        ("a.jsonl\x0cdeep/b.jsonl", "no such file"),
        (
            f"@https://me:{SECRET}@host/list.txt?signature={SECRET}",
            "names another list, '@https://host/list.txt'",
        ),
        (f"memory://me:{SECRET}@box/*.csv?signature={SECRET}", "memory://box/"),
        (f"klingon://me:{SECRET}@box/a.jsonl", "klingon://box/a.jsonl: Protocol not known"),
    ],
)
def test_other_names_are_taken_as_they_are_written(name: str, line: str, folder: Path) -> None:
    with pytest.raises(InputError, match=line) as fault:
        listed(folder, name)
    assert SECRET not in str(fault.value)


def test_a_list_at_a_url_is_refused_without_its_secret(folder: Path) -> None:
    with pytest.raises(
        InputError, match=r"^@https://host/list.txt: a list is a file of this machine"
    ) as fault:
        resolve([f"@https://me:{SECRET}@host/list.txt?signature={SECRET}"], folder)
    assert SECRET not in str(fault.value)


def test_what_is_secret_in_a_list_is_told_nowhere(folder: Path, tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    url = f"memory://listed/rows.jsonl?signature={SECRET}"
    store.pipe(store._strip_protocol(url), (folder / "a.jsonl").read_bytes())
    (folder / "list.txt").write_text(url)
    data = {"inputs": [f"@{folder}/list.txt"], "mapping": {"shape": "flat", "query": "q", "response": "a"}}
    events: list[Event] = []
    jobs.run(jobs.plan(data=data), tmp_path / "out", listener=events.append)
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["inputs"][0]["path"] == "memory:///listed/rows.jsonl"

    with pytest.raises(InputError, match=r"given twice, by 'memory://listed/rows.jsonl' and by") as fault:
        resolve([url, f"@{folder}/list.txt"])
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert SECRET not in repr(events) + str(fault.value)
    assert not any(SECRET.encode() in text for text in written)
    store.rm("/listed", recursive=True)
