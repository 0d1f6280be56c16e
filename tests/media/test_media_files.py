"""Files that rows refer to: what is refused, what becomes of the others, and what a stop or a change does."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

import forge_gpu
from forge_gpu.container.mounts import mounts_of
from forge_gpu.errors import ConfigError, OutputError
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.media import headers
from forge_gpu.media.headers import Header, HeaderReader
from forge_gpu.media.looker import EDGE, Looker, Seen
from forge_gpu.media.record import spliced
from forge_gpu.media.references import Reference
from forge_gpu.media.sources import Bytes, File, Url, source_of
from tests.media.files import BAD, image, put, sound

ALL = ["preprocessing.train_split=1", "preprocessing.validation_split=0"]


def record(*names: str) -> dict[str, Any]:
    asked = {"role": "user", "content": "<image>" * len(names) + "What is it?"}
    return {"images": list(names), "messages": [asked, {"role": "assistant", "content": "A river."}]}


def data_of(folder: Path, names: list[str]) -> Path:
    lines = "".join(json.dumps(record(name)) + "\n" for name in names).encode()
    path = folder / "f.jsonl"
    return path if path.exists() and path.read_bytes() == lines else put(folder, path.name, lines)


def prepared(folder: Path, names: list[str], *settings: str, out: str = "out") -> Any:
    data = data_of(folder / "data", names)
    plan = forge_gpu.plan(data=data, settings=[*ALL, *settings], force=True)
    return forge_gpu.prepare(plan.config, output=folder / out)


def images_of(output: Path) -> list[str]:
    return [name for line in (output / "train.jsonl").open() for name in json.loads(line)["images"]]


def test_what_is_malformed_is_a_rejected_row(tmp_path: Path) -> None:
    for name, (content, _) in BAD.items():
        put(tmp_path / "data", name, content)
    put(tmp_path / "data", "good.png", image())
    put(tmp_path, "secret.png", image(7))
    (tmp_path / "data" / "link.png").symlink_to(tmp_path / "secret.png")
    outside = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "/etc/passwd"]
    result = prepared(tmp_path, ["good.png", *BAD, "none.png", *outside])
    lines = [json.loads(line) for line in (tmp_path / "out" / "rejected.jsonl").open()]
    reasons = {json.loads(line["source"])["images"][0]: line["reason"] for line in lines}
    assert result.counts["train"] == 1
    assert reasons == {
        **{name: reason for name, (_, reason) in BAD.items()},
        "none.png": "media_missing",
        **dict.fromkeys(outside, "media_outside"),
    }
    assert all(line["detail"].startswith("medium 1: ") for line in lines)


def test_a_check_can_warn_or_be_off(tmp_path: Path) -> None:
    put(tmp_path / "data", "good.png", image())
    put(tmp_path / "data", "thin.png", image(size=(2, 900)))
    put(tmp_path / "data", "bad.png", BAD["cut.png"][0])
    names = ["good.png", "thin.png", "bad.png", "none.png"]
    key = "preprocessing.quality_checks"
    warned = prepared(tmp_path, names, f"{key}.media_missing=warn", f"{key}.media_files=warn").manifest
    assert not warned["rejected"]
    assert warned["warned"] == {"media_missing": 1, "media_unreadable": 1, "media_size": 1}
    off = prepared(
        tmp_path, names, *(f"{key}.{each}=off" for each in ("media_missing", "media_files", "media_size"))
    )
    assert not off.manifest["rejected"] and not off.manifest["warned"]


@pytest.mark.parametrize("media", ["keep", "link", "copy", "embed"])
def test_each_way_leads_to_the_same_bytes(tmp_path: Path, media: str) -> None:
    wanted = {}
    for number in range(5):
        wanted[hashlib.sha256(image(number)).hexdigest()] = image(number)
        put(tmp_path / "data", f"deep/{number}.png", image(number))
    prepared(tmp_path, [f"deep/{number}.png" for number in range(5)], f"output.media={media}", out="a/out")
    output = tmp_path / "a/out"
    for name in images_of(output):
        content = (
            base64.b64decode(name.partition(",")[2]) if media == "embed" else (output / name).read_bytes()
        )
        assert wanted.pop(hashlib.sha256(content).hexdigest()) == content
    assert not wanted
    files = [path for path in (output / "media").glob("*/*")] if (output / "media").exists() else []
    assert {path.is_symlink() for path in files} == {"link": {True}, "copy": {False}}.get(media, set())


def test_equal_media_are_copied_once_and_make_equal_rows(tmp_path: Path) -> None:
    for name in ("one.png", "same.png", "other.png"):
        put(tmp_path / "data", name, image(name == "other.png"))
    result = prepared(tmp_path, ["one.png", "same.png", "other.png"], "output.media=copy")
    assert result.counts["duplicate"] == 1 and result.manifest["media"]["files"] == 2


def test_files_are_not_put_or_removed_through_a_link(tmp_path: Path) -> None:
    content = image()
    put(tmp_path / "data", "a.png", content)
    digest = hashlib.sha256(content).hexdigest()
    stale = tmp_path / "elsewhere" / "ab" / ("ab" + digest[2:])
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/media").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"media: is a link"):
        prepared(tmp_path, ["a.png"], "output.media=copy")
    (tmp_path / "out/media").unlink()
    assert prepared(tmp_path, ["a.png"], "output.media=copy").counts["train"] == 1  # it goes on
    (tmp_path / "out/media").rename(tmp_path / "own")
    (tmp_path / "out/media").symlink_to(tmp_path / "elsewhere")
    assert prepared(tmp_path, ["a.png"]).counts["train"] == 1
    assert [path.read_bytes() for path in (tmp_path / "elsewhere").glob("??/*")] == [b"precious"]


def test_a_url_is_never_fetched(tmp_path: Path) -> None:
    put(tmp_path / "data", "good.png", image())
    names = ["good.png", "https://example.invalid/a.png"]
    assert prepared(tmp_path, names).counts["train"] == 2
    result = prepared(tmp_path, names, "output.media=copy", out="copied")
    assert result.manifest["rejected"] == {"media_url": 1}


def test_a_file_that_changes_starts_the_job_anew(tmp_path: Path) -> None:
    put(tmp_path / "data", "a.png", image(1))
    first = prepared(tmp_path, ["a.png", "b.png"], "output.media=copy")
    assert first.manifest["rejected"] == {"media_missing": 1}
    assert prepared(tmp_path, ["a.png", "b.png"], "output.media=copy").was_finished
    put(tmp_path / "data", "b.png", image(2))
    put(tmp_path / "data", "a.png", image(3))
    result = prepared(tmp_path, ["a.png", "b.png"], "output.media=copy")
    held = sorted(
        hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest()
        for name in images_of(tmp_path / "out")
    )
    assert held == sorted(hashlib.sha256(image(number)).hexdigest() for number in (2, 3))
    assert not result.was_finished and result.manifest["media"]["files"] == 2  # the copy of before is gone
    assert prepared(tmp_path, ["a.png", "b.png"], "output.media=copy").was_finished


@pytest.mark.parametrize("media", ["link", "copy"])
def test_files_beside_an_output_at_a_url_are_refused(tmp_path: Path, media: str) -> None:
    put(tmp_path / "data", "a.png", image())
    with pytest.raises(OutputError, match="not uploaded: set embed or keep"):
        data = data_of(tmp_path / "data", ["a.png"])
        plan = forge_gpu.plan(data=data, settings=[*ALL, f"output.media={media}"])
        forge_gpu.prepare(plan.config, output="memory://bucket/out", staging=tmp_path / "staging")


def test_a_container_sees_the_folders_of_media(tmp_path: Path) -> None:
    put(tmp_path / "more", "b.png", image())
    put(tmp_path / "data", "a.png", image())
    data = data_of(tmp_path / "data", ["a.png"])
    plan = forge_gpu.plan(data=data, settings=["data.media.folders=['more']"])
    (tmp_path / "out").mkdir()
    spec = JobSpec(plan.config, tmp_path, tmp_path / "out")
    targets = {mount.target for mount in mounts_of(spec, JobFiles(spec, lambda *told: None))}
    assert {tmp_path / "data", tmp_path / "more"} <= targets


def test_a_folder_of_the_plan_is_looked_in(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "a.png", image())
    result = prepared(tmp_path, ["a.png"], f"data.media.folders=['{tmp_path / 'elsewhere'}']")
    assert result.counts["train"] == 1
    (name,) = images_of(tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == image()


def test_a_worker_that_dies_costs_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    deadly = headers._code().replace("def sound(file", "def _sound(file")
    deadly += "\ndef sound(file):\n    import os\n    os._exit(3)\n"
    monkeypatch.setattr(headers, "_code", lambda: deadly)
    reader = HeaderReader()
    whole = [Header("images", len(image()), image(), b"")] * 3
    answers = reader.read([*whole, Header("audios", 4, b"RIFF", b""), *whole])
    reader.close()
    assert [isinstance(answer, str) for answer in answers] == [False] * 3 + [True] + [False] * 3


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_the_length_of_a_sound_is_told_by_its_edges(tmp_path: Path, form: str) -> None:
    content = sound(form=form, seconds=20)
    looker = Looker(digests=False, aside=None)
    (seen,) = looker.look([Bytes(content)])
    looker.close()
    assert seen.seconds == pytest.approx(20, abs=0.1) and seen.kind == "audios"
    assert form != "WAV" or len(content) > 2 * EDGE


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "AVIF"])
def test_the_size_of_an_image_is_told_by_its_header(form: str) -> None:
    looker = Looker(digests=True, aside=None)
    (seen,) = looker.look([Bytes(image(form=form))])
    looker.close()
    assert (seen.width, seen.height) == (32, 24) and seen.sha256 == hashlib.sha256(
        image(form=form)
    ).hexdigest()


def test_a_library_that_lacks_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_is_installed", lambda kind: False)
    with pytest.raises(ConfigError, match=r"pip install 'forge-gpu\[media\]'"):
        HeaderReader().read([Header("images", 1, b"x", b"")])


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://a/b.png", Url()),
        ("s3://a/b.png", Url()),
        ("data:text/plain,a%20b", Bytes(b"a b")),
        ("data:image/png;base64,!!", Bytes(None)),
        ("../x.png", File(None)),
        ("/etc/passwd", File(None)),
        ("file:///etc/passwd", File(None)),
        ("a\0b", File(None)),
        ("x/." * 2500, File(None)),
    ],
)
def test_what_a_reference_leads_to(tmp_path: Path, text: str, source: Any) -> None:
    assert source_of(Reference("images", text), [str(tmp_path)]) == source


def test_a_record_stays_as_it_is_spelled_around_what_is_new() -> None:
    spelled = b'{"n": 12345678901234567890123, "images":["a"],  "x": {"images": "b", "y": 1.50}}'
    made = spliced(spelled, {"images": ["c"], "x.images": "d"})
    assert made.startswith(b'{"n": 12345678901234567890123, "images":["c"],  "x": ')
    assert json.loads(made)["x"] == {"images": "d", "y": 1.5}


def test_seen_knows_whether_a_file_is_as_it_was(tmp_path: Path) -> None:
    path = put(tmp_path, "a", b"1")
    found = path.stat()
    assert Seen("ok", str(path), 1, found.st_mtime_ns).is_as_it_was()
    assert not Seen("ok", str(path), 2, found.st_mtime_ns).is_as_it_was()
    assert Seen("missing", str(tmp_path / "b")).is_as_it_was()
    assert not Seen("missing", str(path)).is_as_it_was()
