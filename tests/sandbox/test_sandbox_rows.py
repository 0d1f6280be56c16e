"""What a transform gets, and what becomes of what it returns."""

from __future__ import annotations

import json

import pytest

from forge_gpu.sandbox.contract import Script, contract
from forge_gpu.sandbox.layers import SandboxError
from forge_gpu.sandbox.sandbox import Bounds, Sandbox
from forge_gpu.sandbox.transform import FRAME_ROWS, run, unlike
from tests.sandbox.boxes import layers, results, transformed

BY_ROW = """
import re

def transform(row):
    '''By the row's own word.'''
    word = row["do"]
    if word == "same":
        return row
    if word == "drop":
        return None
    if word == "none":
        return []
    if word == "two":
        return [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}]
    if word == "reject":
        raise ValueError("not wanted:\\n  two  lines")
    if word == "fault":
        return {"n": row["missing"]}
    if word == "number":
        return 3
    if word == "list":
        return [{"n": 1}, "two"]
    if word == "nan":
        return {"n": float("nan")}
    if word == "set":
        return {"n": {1}}
    if word == "surrogate":
        return {"n": "\\ud800"}
    if word == "circle":
        row["row"] = row
        return row
    if word == "deep":
        for _ in range(600):
            row = {"n": row}
        return row
    if word == "long":
        raise ValueError("x" * 500)
"""
EXPECTED = {
    "same": [{"do": "same", "text": "Grüße\n\u2028\U0001f600", "n": [1, 2.5, None, True]}],
    "drop": [],
    "none": [],
    "two": [{"n": 1, "text": "a"}, {"n": 2, "text": "b"}],
    "reject": "not wanted: two lines",
    "fault": "KeyError: 'missing' (line 18 of the script)",
    "number": "TypeError: transform returned an int; a dict, a list of dicts or None is asked for",
    "list": "TypeError: transform returned a list with a str in it; dicts are asked for",
    "nan": "Out of range float values are not JSON compliant",
    "set": "TypeError: Object of type set is not JSON serializable",
    "surrogate": "UnicodeEncodeError: 'utf-8' codec can't encode character",
    "circle": "Circular reference detected",
    "deep": "what it returned is refused: too_deep",
    "long": "x" * 200 + "…",
}


def test_a_row_becomes_what_the_script_makes_of_it() -> None:
    extra = {"text": "Grüße\n\u2028\U0001f600", "n": [1, 2.5, None, True]}
    rows = [{"do": word, **extra} for word in EXPECTED]
    for (word, expected), result in zip(EXPECTED.items(), transformed(BY_ROW, rows), strict=True):
        if isinstance(expected, str):
            assert isinstance(result, str) and result.startswith(expected), word
        else:
            assert result == expected


def test_rows_of_several_frames_keep_their_order_and_newlines_between_their_values() -> None:
    rows = [{"do": "same" if n % 3 else "drop", "n": n} for n in range(3 * FRAME_ROWS + 1)]
    made = transformed(BY_ROW, rows)
    assert made == [[row] if row["do"] == "same" else [] for row in rows]
    with Sandbox(Script("s", BY_ROW), layers=layers("filter")) as sandbox:
        spread = run(sandbox, [b'{\n "do":\r\n"same"}'])
    assert spread.lines == b'{"do":"same"}\n'
    assert results(spread) == [[{"do": "same"}]]


def test_no_rows_are_no_frames() -> None:
    with Sandbox(Script("s", BY_ROW), layers=layers("filter")) as sandbox:
        made = run(sandbox, [])
    assert (len(made.counts), made.lines, made.reasons) == (0, b"", ())


def test_every_promised_module_can_be_imported_and_used() -> None:
    imports = "\n".join(f"import {name}" for name in contract()["modules"])
    text = f"""{imports}
from dataclasses import dataclass
from datetime import datetime

@dataclass
class Turn:
    text: str

def transform(row):
    when = datetime.strptime("2024-05-06", "%Y-%m-%d").isoformat()
    name = unicodedata.name("é") + "\\N{{BULLET}}"
    bytes_ = "é".encode("cp1252") + "é".encode("utf-16") + "é".encode("shift_jis", "ignore")
    return {{"when": when, "name": name, "bytes": len(bytes_), "turn": Turn("x").text,
            "hash": hashlib.sha256(b"x").hexdigest()[:8], "html": html.escape("<")}}
"""
    ((row,),) = transformed(text, [{}])
    assert row["when"] == "2024-05-06T00:00:00" and row["bytes"] == 5 and row["turn"] == "x"


def test_the_order_of_a_set_is_the_same_in_every_process() -> None:
    text = "def transform(row):\n    return {'n': list({'a', 'b', 'c', 'd', 'e', row['n']})}\n"
    first, second = (transformed(text, [{"n": "f"}]) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("body", "row"),
    [
        ("return {'n': row['n'] * 2}", None),
        ("SEEN.append(1); return {'n': len(SEEN)}", 0),
        ("SEEN.append(row['n']); return {'n': SEEN[0]}", 0),
        ("return {'n': random.random()}", 0),
        ("if row['n'] == 2: raise ValueError(str(random.random()))\n    return row", 2),
    ],
)
def test_results_that_depend_on_more_than_the_row_are_noticed(body: str, row: int | None) -> None:
    script = Script("s", f"import random\nSEEN = []\ndef transform(row):\n    {body}\n")
    rows = [json.dumps({"n": n}).encode() for n in range(4)]
    with (
        Sandbox(script, layers=layers("filter")) as one,
        Sandbox(script, layers=layers("filter")) as other,
    ):
        assert unlike(one, other, rows) == row


def test_the_key_of_a_script_is_that_of_its_text() -> None:
    one, same, other = Script("a.py", "x"), Script("b.py", "x"), Script("a.py", "y")
    assert one.key == same.key != other.key


def test_an_answer_is_bounded_for_a_large_row() -> None:
    text = "def transform(row):\n    return {'n': row['n'] * 3}\n"
    row = {"n": "x" * 2**20}
    assert transformed(text, [row])[0][0]["n"] == "x" * 3 * 2**20
    with pytest.raises(SandboxError, match="at most 1,048,576 are taken for 1 rows"):
        transformed(text, [row], bounds=Bounds(answer=2**20))
