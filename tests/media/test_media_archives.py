"""Tar archives whose files of one key are a record, as webdataset writes them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import forge_gpu
from forge_gpu.errors import InputError
from forge_gpu.io.samples import write_lines
from forge_gpu.io.tar import MOST_NAME, TarFault, members
from tests.media.files import image, put, sound

WHOLE = ["preprocessing.train_split=1", "preprocessing.validation_split=0"]
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def archive(files: Iterable[tuple[str, bytes]], format: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=format) as tar:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made.getvalue()


def odd(**about: Any) -> bytes:
    """An archive of one member of another kind."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        member = tarfile.TarInfo("a.jpg")
        for name, value in about.items():
            setattr(member, name, value)
        tar.addfile(member)
    return made.getvalue()


def blocks(content: bytes, size: int = 1000) -> Iterable[bytes]:
    return iter([content[at : at + size] for at in range(0, len(content), size)])


def lines(content: bytes, limit: int = 2**20) -> list[dict[str, Any]]:
    made: list[bytes] = []
    write_lines(iter(blocks(content)), limit, made.append)
    return [json.loads(line) for line in b"".join(made).splitlines()]


@pytest.mark.parametrize("format", FORMATS)
def test_files_of_a_key_are_a_record(format: int) -> None:
    long = "x" * 60 + "/" + "y" * 80
    files = [
        ("a/1.jpg", b"picture"),
        ("a/1.txt", "näive".encode()),
        ("a/1.cls", b"7\n"),
        ("a/1.json", b'{"caption":\n "a cat",\n "n": [1]}'),
        ("README", b"no part of one"),
        ("a/.hidden", b"nor this"),
        (f"{long}.seg.png", bytes(2000)),
        ("b/1.json", b"[1]"),
        ("a/1.json", b"{broken"),
    ]
    first, second, third, fourth = lines(archive(files, format))
    assert first == {
        "__key__": "a/1",
        "jpg": {"path": "1.jpg", "bytes": "cGljdHVyZQ=="},
        "txt": "näive",
        "cls": 7,
        "caption": "a cat",
        "n": [1],
    }
    assert second["__key__"] == long and len(second["seg.png"]["bytes"]) == 2668
    assert third == {"__key__": "b/1", "json": [1]} and fourth == {"__key__": "a/1", "json": "{broken"}


def test_several_archives_may_stand_behind_each_other() -> None:
    content = archive([("a.txt", b"1")]) + archive([("b.txt", b"2")])
    assert [each["txt"] for each in lines(content)] == ["1", "2"]


def test_an_object_with_a_name_of_a_file_stays_whole() -> None:
    (made,) = lines(archive([("a.json", b'{"jpg": "x"}'), ("a.jpg", b"1")]))
    assert made == {"__key__": "a", "jpg": {"path": "a.jpg", "bytes": "MQ=="}, "json": {"jpg": "x"}}


def test_of_a_long_record_nothing_is_held() -> None:
    size = 64 * 2**20
    head = archive([("a.jpg", b"1"), ("b.txt", b"")])[:512]
    large = tarfile.TarInfo("a.jpg")
    large.size = size
    content = [large.tobuf(tarfile.USTAR_FORMAT), *([bytes(2**20)] * 64), head.replace(b"a.jpg", b"b.jpg")]
    longest = written = 0

    def take(piece: bytes) -> None:
        nonlocal longest, written
        longest, written = max(longest, len(piece)), written + len(piece)

    with pytest.raises(TarFault, match="a header does not have its sum"):
        write_lines(iter(content), 2**20, take)
    assert written > size * 4 // 3 and longest < 2 * 2**20


HOSTILE = {
    "link": (odd(type=tarfile.SYMTYPE, linkname="/etc/passwd"), "holds a link: 'a.jpg'"),
    "hard link": (odd(type=tarfile.LNKTYPE, linkname="b.jpg"), "holds a link: 'a.jpg'"),
    "device": (odd(type=tarfile.CHRTYPE), "holds a device: 'a.jpg'"),
    "pipe": (odd(type=tarfile.FIFOTYPE), "holds a pipe: 'a.jpg'"),
    "long name": (archive([("n" * 5000 + ".txt", b"1")], tarfile.GNU_FORMAT), "has a name of 5,"),
    "long pax name": (archive([("n" * 5000 + ".txt", b"1")]), "has a name of 5,004 bytes"),
    "endless pax": (archive([("é" * 40000 + ".txt", b"1")]), "has a pax header of 80,"),
    "cut": (archive([("a.txt", b"12345")])[:515], "the archive is cut short"),
    "cut header": (archive([("a.txt", b"")])[:300], "the archive is cut short"),
    "twice": (archive([("a.txt", b"1"), ("a.txt", b"2")]), "has 'txt' twice for 'a'"),
    "sum": (archive([("a.txt", b"1")]).replace(b"a.txt", b"b.txt", 1), "a header does not have its sum"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_hostile_is_refused(name: str) -> None:
    content, what = HOSTILE[name]
    with pytest.raises(TarFault) as caught:
        lines(content)
    assert what in caught.value.what


@pytest.mark.parametrize("at", [0, 3, 100, 124, 130, 148, 156, 257, 345, 512, 516])
def test_a_changed_byte_is_a_fault_or_another_text(at: int) -> None:
    content = archive([("a.txt", b"1"), ("b" * MOST_NAME, b"2")])
    for value in (0, 48, 128, 255):
        damaged = content[:at] + bytes([value]) + content[at + 1 :]
        try:
            assert len([member.name for member in members(iter(blocks(damaged)))]) <= 2
        except TarFault as fault:
            assert fault.what


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_shard_is_prepared(tmp_path: Path, suffix: str) -> None:
    files = [
        each
        for number in range(3)
        for each in (
            (f"s/{number}.png", image(number)),
            (f"s/{number}.wav", sound(number)),
            (
                f"s/{number}.json",
                json.dumps({"query": f"What {number}?", "response": f"It {number}."}).encode(),
            ),
        )
    ]
    content = archive([*files, ("s/9.png", b""), ("s/9.json", b'{"query": "A?", "response": "None."}')])
    put(tmp_path / "data", f"shard-000{suffix}", gzip.compress(content) if suffix.endswith("gz") else content)
    plan = forge_gpu.plan(data=tmp_path / "data", settings=[*WHOLE, "output.media=copy"], force=True)
    assert plan.config.data.media.beside == {"png": "images", "wav": "audios"}
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    assert result.counts["train"] == 4
    rows = [json.loads(line) for line in (tmp_path / "out" / "train.jsonl").open()]
    assert [(tmp_path / "out" / row["png"]).read_bytes() for row in rows[:3]] == list(map(image, range(3)))
    assert [(tmp_path / "out" / row["wav"]).read_bytes() for row in rows[:3]] == list(map(sound, range(3)))


def test_a_text_that_is_no_utf8_costs_its_record(tmp_path: Path) -> None:
    files = [("1.txt", b'gr\xfc\xdfe "\\\n'), ("1.jpg", image()), ("2.txt", b"good"), ("2.jpg", image())]
    (tmp_path / "shard.tar").write_bytes(archive(files))
    plan = forge_gpu.plan(data=tmp_path / "shard.tar", settings=[*WHOLE, "data.mapping.text=txt"], force=True)
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out")
    assert (result.counts["train"], result.counts["rejected"]) == (1, 1)
    assert '"reason":"invalid_utf8"' in (tmp_path / "out" / "rejected.jsonl").read_text().replace(": ", ":")


def test_a_hostile_shard_is_one_line(tmp_path: Path) -> None:
    put(tmp_path, "a.tar", HOSTILE["link"][0])
    with pytest.raises(InputError, match=r"a\.tar: holds a link: 'a\.jpg', at byte 0; Forge reads archives"):
        forge_gpu.plan(data=tmp_path / "a.tar", force=True)
