"""JSON that is neither a record a line nor an array of them: read where it has one meaning, else refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from forge_gpu.errors import InputError
from forge_gpu.io.formats import detect
from forge_gpu.planner.sample import sample
from tests.io.io_support import opened, put, rows_of

RECORDS = [{"q": f'what is {i}?\n"ok" é', "a": f"it is {i} {{}} ]"} for i in range(5)]


def spelled(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, indent=indent, ensure_ascii=False).encode()


LINES = b"".join(spelled(record) + b"\n" for record in RECORDS)
COLUMNS = {key: [record[key] for record in RECORDS] for key in RECORDS[0]}
NUMBERED = {key: {str(i): value for i, value in enumerate(values)} for key, values in COLUMNS.items()}
BY_ID = {f"x{i}": record for i, record in enumerate(RECORDS)}
SPLIT = {"columns": list(COLUMNS), "index": [0], "data": [list(record.values()) for record in RECORDS]}

ARRANGED = {
    "columns": spelled(COLUMNS),
    "columns over lines": spelled(COLUMNS, 1),
    "columns by row": spelled(NUMBERED),
    "names beside rows": spelled(SPLIT),
    "by id": spelled(BY_ID),
    "by id over lines": spelled(BY_ID, 2),
    "under a usual key": spelled({"version": "1", "data": RECORDS}),
    "under any key over lines": spelled({"version": "1", "stuff": RECORDS, "count": 5}, 2),
    "deeper": spelled({"result": {"rows": RECORDS, "count": 5}}),
    "pandas table": spelled({"schema": {"fields": [{"name": "q"}]}, "data": RECORDS}),
    "nothing between": b"".join(map(spelled, RECORDS)),
    "some lines hold two": spelled(RECORDS[0]) + b"\n" + b" ".join(map(spelled, RECORDS[1:3])) + b"\n"
    + b"\n".join(map(spelled, RECORDS[3:])),
    "commas between": b", ".join(map(spelled, RECORDS)),
    "each over lines": b"\n".join(spelled(record, 2) for record in RECORDS),
    "carriage returns": LINES.replace(b"\n", b"\r"),
    "a mark before it": b"\xef\xbb\xbf" + spelled({"data": RECORDS}),
}  # fmt: skip


def without_id(rows: list[Any]) -> list[Any]:
    return [{key: value for key, value in row.items() if key != "id"} for row in rows]


@pytest.mark.parametrize("name", ARRANGED)
def test_read_as_the_records_that_it_holds(tmp_path: Path, name: str) -> None:
    for number, data in enumerate(
        (ARRANGED[name], gzip.compress(ARRANGED[name]), ARRANGED[name].decode().encode("utf-16"))
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        file = put(folder, "f.json", data)
        assert without_id(rows_of(opened(file, folder, memory=0))) == RECORDS
        assert without_id(sample(file).records) == RECORDS


def test_the_key_of_a_record_is_its_id_unless_it_has_one(tmp_path: Path) -> None:
    data = spelled({"a": {"q": 1, "a": 2}, "b": {"q": 3, "a": 4, "id": 9}})
    rows = rows_of(opened(put(tmp_path, "f.json", data), tmp_path))
    assert rows == [{"id": "a", "q": 1, "a": 2}, {"q": 3, "a": 4, "id": 9}]


def test_what_begins_beyond_the_first_look(tmp_path: Path) -> None:
    columns = {"question": [f"q{i} " * 50 for i in range(9000)], "answer": [str(i) for i in range(9000)]}
    file = put(tmp_path, "f.json", spelled(columns))
    rows = rows_of(opened(file, tmp_path))
    assert rows == [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    assert sample(file).records == rows[:200]


@pytest.mark.parametrize("record", [
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
    {"conversations": [{"from": "human", "value": "x"}], "tools": [{"name": "f"}]},
    {"question": "q", "answers": {"text": ["a", "b"], "answer_start": [1, 2]}},
    {"instruction": "i", "instances": [{"input": "", "output": "x"}]},
    {"prompt": {"role": "user", "content": "x"}, "completion": {"role": "assistant", "content": "y"}},
    {"conversation": [{"input": "x", "output": "y"}, {"input": "x", "output": "y"}]},
    {"translation": {"en": "a", "de": "b"}},
    {"q": "x", "choices": ["a", "b"], "labels": [0, 1]},
])  # fmt: skip
def test_a_record_alone_is_a_record(tmp_path: Path, record: Any) -> None:
    many = spelled(record) + b"\n" + spelled(record | {"pad": "x" * 2**21}) + b"\n"
    long_first = spelled(record | {"pad": "x" * 2**21}) + b"\n" + spelled(record) + b"\n"
    for data in (spelled(record), many, long_first):
        assert detect(put(tmp_path, "f.json", data)).layout is None


def test_a_broken_record_takes_no_other_with_it(tmp_path: Path) -> None:
    text = b'{"q": 1}{"q": 2}\n{"q": "x\n{"q": 3} {"q": 4}\nwords\n{"q": 5}'
    source = opened(put(tmp_path, "f.json", text), tmp_path)
    chunks = [chunk for part in source.ranges for chunk in source.read(part, 2**20)]
    lines = [line for chunk in chunks for line in chunk.data.tobytes().split(b"\n") if line]  # type: ignore[union-attr]
    good = [json.loads(line)["q"] for line in lines if line.endswith(b"}") and line.count(b"{") == 1]
    assert good == [1, 2, 3, 4, 5] and len(lines) == 7


def test_a_long_first_line_does_not_hide_the_rest(tmp_path: Path) -> None:
    for long, readable in ((2**21, 6), (65 * 2**20, 5)):
        data = spelled({"q": "x" * long, "a": "y"}) + b"\n" + LINES
        for packed in (data, gzip.compress(data, 1)):
            result = sample(put(tmp_path, "f.jsonl", packed))
            assert (len(result.records), result.unreadable) == (readable, 6 - readable)


@pytest.mark.parametrize(("data", "line"), [
    (spelled({"train": RECORDS, "test": RECORDS}, 1), r"under 'train', 'test'.*jq -c '\.train\[\]'"),
    (spelled({"q": ["x"] * 9000, "a": ["y" * 90] * 8999}) + b" " * 2**20, "has 8999 values, and another"),
    (spelled({"data": RECORDS * 9000})[:-10], "not closed"),
    (b"\0" * 3000, "zero bytes alone"),
])  # fmt: skip
def test_refused_with_the_cause(tmp_path: Path, data: bytes, line: str) -> None:
    with pytest.raises(InputError, match=line):
        rows_of(opened(put(tmp_path, "f.json", data), tmp_path))


def test_what_comes_before_a_cut_is_had_for_the_asking(tmp_path: Path) -> None:
    data = spelled({"data": RECORDS * 9000})
    source = opened(put(tmp_path, "f.json", data[:-10]), tmp_path, on_corrupt="keep_prefix", memory=2**24)
    assert len(rows_of(source)) == 5 * 9000 - 1 and len(source.losses) == 1
