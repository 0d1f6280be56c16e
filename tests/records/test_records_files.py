"""Files as people have them, from plan to output: nothing is lost without a word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import forge_gpu


def spelled(number: int) -> bytes:
    return json.dumps({"instruction": f"Name of river {number}?", "output": f"River {number}"}).encode()


LINES = [spelled(number) for number in range(6)]
FILES = {
    "marks in the middle": b"\xef\xbb\xbf" + b"\n\xef\xbb\xbf".join(LINES),
    "zeros at the end": b"\n".join(LINES) + b"\n" + b"\0" * 70000,
    "a hole": b"\n".join(LINES[:3]) + b"\n" + b"\0" * 4096 + b"\n".join(LINES[3:]),
    "zeros after an array": b"[" + b",".join(LINES) + b",]" + b"\0" * 100,
    "marks and zeros": b"\0\xef\xbb\xbf\0" + b"\n".join(LINES) + b"\0",
}


def made(folder: Path, name: str, data: bytes) -> tuple[Any, dict[str, int], set[str]]:
    (folder / name).write_bytes(data)
    plan = forge_gpu.plan(data=folder / name, template="chatml")
    result = forge_gpu.prepare(plan.config, output=folder / "out")
    texts = [line for path in (folder / "out").glob("*.jsonl") for line in path.read_text().splitlines()]
    rivers = {line.split("river ")[1].split("?")[0] for line in texts if "river " in line}
    return plan, dict(result.counts), rivers


@pytest.mark.parametrize("name", FILES)
def test_marks_and_zeros_around_records_mean_nothing(tmp_path: Path, name: str) -> None:
    plan, counts, rivers = made(tmp_path, "f.json", FILES[name])
    assert counts["rejected"] == 0 and sum(counts.values()) == 6
    assert rivers == {str(number) for number in range(6)}
    assert any("zero bytes" in note for note in plan.notes) == (b"\0" in FILES[name])


def test_a_hole_in_a_record_is_a_rejected_row(tmp_path: Path) -> None:
    torn = LINES[0][:20] + b"\0" * 64 + LINES[1][30:]
    _, counts, rivers = made(tmp_path, "f.jsonl", b"\n".join([torn, *LINES[2:]]))
    assert counts["rejected"] == 1 and rivers >= {"2", "3", "4", "5"}


def test_plan_says_where_the_records_of_a_file_are(tmp_path: Path) -> None:
    plan, counts, _ = made(tmp_path, "f.json", b'{"version": 1, "data": [' + b",".join(LINES) + b"]}")
    assert any("records are the list under 'data'" in note for note in plan.notes)
    assert sum(counts.values()) == 6
