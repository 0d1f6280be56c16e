"""`transform_batch`: what becomes of rows, that a row decides it alone, and answers that are no batches."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.kernels.scratch import Scratch
from forge_gpu.sandbox.batches import batches_of, lines_of
from forge_gpu.sandbox.contract import Script
from forge_gpu.sandbox.inside.columns import SIZE, encode, normal
from forge_gpu.sandbox.layers import SandboxError
from forge_gpu.sandbox.sandbox import Bounds, Sandbox
from forge_gpu.sandbox.transform import run, unlike
from forge_gpu.scripts.trial import try_script
from tests.sandbox.attacks import Outside, attacks
from tests.sandbox.boxes import WALLS, layers, results, transformed
from tests.sandbox.test_sandbox_walls import HOSTILE, outside  # noqa: F401 (a fixture)

HEAD = "import pyarrow as pa\nimport pyarrow.compute as pc\n"
SAME = HEAD + "def transform_batch(batch):\n    return batch\n"
BY_WORD = (
    HEAD
    + '''
def transform_batch(batch):
    """By the word of each row."""
    word = batch["do"]
    batch = batch.filter(pc.invert(pc.is_in(word, pa.array(["drop"]))))
    if pc.any(pc.equal(batch["do"], "fault")).as_py():
        return batch.select(["missing"])
    if pc.any(pc.equal(batch["do"], "refuse")).as_py():
        raise ValueError("not  wanted")
    if pc.all(pc.equal(batch["do"], "none")).as_py() and len(batch):
        return None
    if pc.any(pc.equal(batch["do"], "none")).as_py():
        raise ValueError("some are none")
    if pc.all(pc.equal(batch["do"], "table")).as_py() and len(batch):
        return pa.Table.from_batches([batch])
    alone = pa.array(["table", "nan", "many", "twins", "date"])
    if pc.any(pc.is_in(batch["do"], alone)).as_py() and len(batch) > 1:
        raise ValueError("not by the batch")
    if len(batch) == 1:
        one = batch["do"][0].as_py()
        if one == "nan":
            return pa.RecordBatch.from_pylist([{"n": float("inf")}])
        if one == "many":
            return pa.RecordBatch.from_pylist([{"part": 1, "l": [{"x": 1}]}, {"part": 2, "l": []}])
        if one == "twins":
            return pa.RecordBatch.from_arrays([batch["do"], batch["do"]], ["a", "a"])
        if one == "date":
            return pa.RecordBatch.from_arrays([pa.array([b"x"])], ["a"])
    reasons = pc.if_else(pc.equal(batch["do"], "reject"), "it says so", None)
    return batch.append_column("_reject", reasons)
'''
)
EXPECTED: dict[str, Any] = {
    "same": [{"do": "same"}],
    "drop": [],
    "reject": "it says so",
    "refuse": "not wanted",
    "none": [],
    "fault": "KeyError:",
    "table": "TypeError: transform_batch returned a Table; a pyarrow.RecordBatch or None is asked for",
    "nan": "Out of range float values are not JSON compliant",
    "many": [{"part": 1, "l": [{"x": 1}]}, {"part": 2, "l": []}],
    "twins": "transform_batch returned two columns of one name",
    "date": "TypeError: Object of type bytes is not JSON serializable",
}


def check(made: Sequence[Any], words: Sequence[str]) -> None:
    for word, result in zip(words, made, strict=True):
        expected = EXPECTED[word]
        if isinstance(expected, str):
            assert isinstance(result, str) and result.startswith(expected), (word, result)
        else:
            assert result == expected, word


def test_a_batch_becomes_what_the_script_makes_of_it() -> None:
    words = [*EXPECTED, "same", "drop", "same"]
    check(transformed(BY_WORD, [{"do": word} for word in words]), words)
    only = ["same", "drop", "reject", "same", "reject"]  # nothing is given again
    check(transformed(BY_WORD, [{"do": word} for word in only]), only)


@pytest.mark.parametrize("wall", WALLS)
def test_behind_every_wall(wall: str) -> None:
    upper = 'def transform_batch(batch):\n    i = batch.schema.get_field_index("t")\n'
    upper += '    return batch.set_column(i, "t", pc.utf8_upper(batch["t"]))\n'
    assert transformed(HEAD + upper, [{"t": "großer", "n": 1}], wall) == [[{"t": "GROẞER", "n": 1}]]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
MOST = 2**28
KEYS = st.sampled_from(["a", "b", "", 'q"', "é", "_"])
ROWS = st.lists(st.dictionaries(KEYS, VALUES, max_size=4), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def same() -> Any:
    with Sandbox(Script("s.py", SAME), layers=layers("filter")) as sandbox:
        yield sandbox


@settings(max_examples=60, deadline=None)
@given(ROWS, st.booleans(), st.sampled_from([1, 3, 100]))
def test_rows_of_any_kind_come_back_as_they_were(
    same: Sandbox, rows: list[Any], is_compact: bool, size: int
) -> None:
    separators = (",", ":") if is_compact else None
    lines = [json.dumps(row, separators=separators, ensure_ascii=size == 3).encode() for row in rows]
    made = results(run(same, lines, batch_rows=size))
    expected = [[row] if row else made[place] for place, row in enumerate(rows)]
    assert made == expected
    for place, row in enumerate(rows):
        assert row or made[place] == "transform_batch returned rows without columns"


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"b":2,"a":3}',
        b'{ "a" : 1 , "b":[1, 2] }',
        b'{"b":1,"a":1}',
        b'{"a":1,"":1}',
        b'{"":1,"a":1}',
        b'{"\\u0061":1}',
        b'{"a":-0}',
        b'{"a":1E2}',
        b'{"a":1.0}',
        b'{"a":9223372036854775807}',
        b'{"a":9223372036854775808}',
        b'{"a":null,"b":null}',
        b'{"a": null, "b": null}',
        b'{"a":\n1}',
    ],
)
def test_a_row_spelled_otherwise_than_those_beside_it_is_itself(same: Sandbox, line: bytes) -> None:
    usual = b'{"a":1}'
    made = run(same, [usual, line, usual])
    assert results(made) == [[{"a": 1}], [json.loads(line)], [{"a": 1}]]


def test_a_type_does_not_depend_on_the_rows_beside() -> None:
    text = HEAD + "def transform_batch(batch):\n    names = [n for n in batch.schema.names if n != '_row']\n"
    text += "    t = ' '.join(str(batch.schema.field(n).type) for n in names)\n"
    text += (
        "    return pa.RecordBatch.from_arrays([batch['_row'], pa.array([t] * len(batch))], ['_row', 't'])\n"
    )
    rows: list[Any] = [{"a": 1}, {"a": "x"}, {"a": None}, {"a": 1.5}, {"a": True}, {"a": [1]}, {"a": 10**19}]
    kinds = ["int64", "string", "string", "double", "bool", "extension<arrow.json>", "extension<arrow.json>"]
    assert transformed(text, rows) == [[{"t": kind}] for kind in kinds]


def test_results_that_depend_on_the_batch_are_noticed() -> None:
    text = HEAD + "def transform_batch(batch):\n"
    text += "    shares = pc.subtract(batch['n'], pc.mean(batch['n']))\n"
    text += "    return pa.RecordBatch.from_arrays([batch['_row'], shares], ['_row', 'n'])\n"
    script = Script("s.py", text)
    rows = [json.dumps({"n": n * n}).encode() for n in range(20)]
    with (
        Sandbox(script, layers=layers("filter")) as one,
        Sandbox(script, layers=layers("filter"), by_row=True) as other,
    ):
        assert unlike(one, other, rows) == 0


def test_two_functions_of_a_script_must_agree() -> None:
    both = (
        HEAD
        + "def transform_batch(batch):\n    return batch\ndef transform(row):\n    return {**row, 'n': 7}\n"
    )
    trial = try_script(Script("s.py", both), [{"n": 7}, {"n": 8}])
    assert (
        len(trial.faults) == 1
        and "row 2 becomes something else by transform_batch than by" in trial.faults[0]
    )
    good = try_script(Script("s.py", both.replace("'n': 7", "'n': row['n']")), [{"n": 7}, {"n": 8.5e300}])
    assert good.faults == []


def test_a_column_of_forges_own_ends_the_run_in_one_line() -> None:
    with pytest.raises(SandboxError, match="a row has a column _row or _reject"):
        transformed(SAME, [{"_row": 1}])


def test_a_script_that_only_names_the_function_is_one_of_rows() -> None:
    assert transformed("def transform(row):\n    'No transform_batch.'\n    return row\n", [{"n": 1}]) == [
        [{"n": 1}]
    ]


def test_a_script_of_rows_cannot_import_arrow() -> None:
    with pytest.raises(SandboxError, match="no module 'pyarrow' for a transform"):
        transformed("import pyarrow\ndef transform(row):\n    return row\n", [{"n": 1}])


def test_a_key_depends_on_arrow_for_batches_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    by_batch, by_row = Script("s", SAME), Script("s", "def transform(row): return row")
    before = by_batch.key, by_row.key
    monkeypatch.setattr("forge_gpu.sandbox.contract.version", lambda name: "another")
    assert by_batch.key != before[0] and by_row.key == before[1]


LIES = {  # what a worker's answer to two rows says instead
    "short": "SIZE.pack(999)",
    "head": "SIZE.pack(4) + b'nope'",
    "kind": 'piece({"rows": 2, "columns": [["a", "list", 0, 16]]}, bytes(16))',
    "rows": 'piece({"rows": 2**31, "columns": [["a", "int", 0, 16]]}, bytes(16))',
    "less": 'piece({"rows": -1, "columns": [["a", "int", 0, 16]]}, bytes(16))',
    "no rows": 'piece({"rows": 2, "columns": []}, b"")',
    "twins": 'piece({"rows": 2, "columns": [["a", "int", 0, 16]] * 2}, bytes(32))',
    "offsets": 'text("text", 0, 99, 3, b"abc")',
    "backwards": 'text("text", 0, 3, -1, b"abc")',
    "no utf-8": 'text("text", 0, 1, 2, b"\\xff\\xfe")',
    "nan": 'piece({"rows": 2, "columns": [["a", "float", 0, 16]]}, struct.pack("<2d", 1.0, float("nan")))',
    "more": 'piece({"rows": 2, "columns": [["a", "int", 0, 16]]}, bytes(17))',
    "bits": 'piece({"rows": 2, "columns": [["a", "int", 2, 16]]}, bytes(18))',
    "other count": 'piece({"rows": 3, "columns": [["a", "int", 0, 24]]}, bytes(24))',
    "json": 'text("json", 0, 3, 6, b"1}\\n{\\"a")',
    "sizes": 'piece({"rows": 2, "columns": [["a", "int", 0, "16"]]}, bytes(16))',
    "names": 'piece({"rows": 2, "columns": [[["a"], "int", 0, 16], [None, "int", 0, 16]]}, bytes(32))',
    "nothing": 'piece([], b"")',
    "deep": 'SIZE.pack(200_004) + SIZE.pack(200_000) + b"[" * 200_000',
    "many bits": 'piece({"rows": 2**30, "columns": [["a", "bool", 0, 2**27]]}, bytes(2**27))',
    "long names": 'piece({"rows": 2**20, "columns": [["a" * 2**20, "bool", 0, 2**17]]}, bytes(2**17))',
    "surrogate": 'piece({"rows": 2, "columns": [["\\ud800", "int", 0, 16]]}, bytes(16))',
    "keys": 'piece({"rows": 2, "columns": {"abc": 1}}, bytes(16))',
}
FORGER = """
import json, os, struct
SIZE = struct.Struct("<I")
def piece(head, buffers):
    head = json.dumps(head).encode()
    body = SIZE.pack(len(head)) + head + buffers
    return SIZE.pack(len(body)) + body
def text(kind, *values):
    *offsets, data = values
    head = {"rows": 2, "columns": [["a", kind, 0, 12, len(data)]]}
    return piece(head, struct.pack("<3i", *offsets) + data)
def transform_batch(batch):
    made = LIE
    body = struct.pack("<2i", 1, 1) + SIZE.pack(len(made)) + made + b"[]"
    for pipe in range(3, 16):
        try:
            os.write(pipe, struct.pack("<IIII", 2, 2, 10, len(body)) + body)
            break
        except OSError:
            pass
    os._exit(0)
"""


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_is_no_batch_ends_the_run_or_rejects_the_rows(lie: str) -> None:
    script = Script("s.py", FORGER.replace("LIE", LIES[lie]))
    box = Sandbox(script, Bounds(5.0), layers("filter"))
    try:
        with box:
            made = results(run(box, [b'{"n":1}', b'{"n":2}']))
    except SandboxError as fault:
        assert "s.py: " in str(fault) and "\n" not in str(fault)
    else:
        assert lie in ("json", "names")
        assert all(isinstance(each, str) for each in made) or lie == "names"


def test_bytes_that_are_no_batch_are_told_or_harmless() -> None:
    """An answer with any of its bytes changed is refused, or is another batch."""
    table = pa.RecordBatch.from_pydict(
        {"t": ["a", None, "ü" * 9], "n": [1, 2, None], "f": [1.5, None, 2.0], "b": [True, None, False]}
    ).append_column("j", pa.array([[{"x": 1}], None, [{"x": 2}]]))
    body = encode(normal(table))
    whole = SIZE.pack(len(body)) + body
    assert [json.loads(line) for line in lines_of(memoryview(whole), MOST, Scratch()).splitlines()] == [
        {name: value for name, value in row.items()} for row in table.to_pylist()
    ]
    chance = random.Random(5)
    refused = 0
    for _ in range(3000):
        changed = bytearray(whole)
        for _ in range(chance.choice([1, 1, 2, 8])):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        if chance.random() < 0.2:
            del changed[chance.randrange(len(changed)) :]
        try:
            lines_of(memoryview(bytes(changed)), MOST, Scratch())
        except (ValueError, TypeError, LookupError, RecursionError, struct.error):
            refused += 1
    assert refused > 1000


def test_a_batch_is_made_of_rows_alone() -> None:
    lines = b'{"a":1,"b":"x"}\n{"a":2,"b":null}\n{"b":"y","a":3}\n{"a":"z","b":"x"}'
    given = sorted((each.places.tolist(), each.batch.schema.names) for each in batches_of(lines, Scratch()))
    assert given == [([0, 1], ["a", "b", "_row"]), ([2], ["b", "a", "_row"]), ([3], ["a", "b", "_row"])]


ARROW_READERS = ("file", "map", "stream")
NUMPY_READERS = ("numpy", "numpy_map", "numpy_text")


def arrow_attacks(outside: Outside) -> dict[str, dict[str, Any]]:  # noqa: F811
    made: dict[str, dict[str, Any]] = {}
    for path in (str(outside.secret), "/etc/passwd", "/proc/self/environ", "/proc/1/environ"):
        for reader in ARROW_READERS:
            made[f"arrow {reader} {path}"] = {"attack": f"read_by_arrow_{reader}", "path": path}
        for reader in NUMPY_READERS:
            made[f"{reader} {path}"] = {"attack": f"read_by_{reader}", "path": path}
        for loader in ("load_arrow_files", "load_arrow_tables"):
            made[f"{loader} {path}"] = {"attack": loader, "path": path}
    for path in (str(outside.secret), str(outside.folder / "new"), "/dev/shm/forge-attack"):
        for writer in ("arrow_file", "arrow_map", "numpy", "numpy_save"):
            made[f"write {writer} {path}"] = {"attack": f"write_by_{writer}", "path": path}
    made["native"] = {"attack": "load_native", "path": "libcrypt.so.1"}
    made["shared"] = {"attack": "share_memory"}
    return made


def hostile_text() -> str:
    text = HOSTILE.replace("def transform(", "def by_row(")
    return text + Path(__file__).with_name("hostile_batches.py").read_text()


@pytest.mark.parametrize("wall", WALLS)
def test_no_attack_gets_anything_with_arrow_either(wall: str, outside: Outside) -> None:  # noqa: F811
    given = attacks(outside) | arrow_attacks(outside)
    # Those that fill the memory leave none to Arrow.
    given = {name: row for name, row in given.items() if not name.startswith("memory")}
    made = dict(zip(given, transformed(hostile_text(), [*given.values()], wall, Bounds(60.0)), strict=True))
    assert len(made) > 250
    assert {name: result for name, result in made.items() if not isinstance(result, str)} == {}


@pytest.mark.parametrize("wall", WALLS)
def test_threads_of_arrow_do_not_start(wall: str) -> None:
    """What becomes of that is Arrow's to say: a row that is rejected, or a process that ends."""
    try:
        [made] = transformed(hostile_text(), [{"attack": "threads_of_arrow"}], wall)
    except SandboxError as fault:
        assert "\n" not in str(fault)
    else:
        assert isinstance(made, str)


@pytest.mark.parametrize("size", [2**34, 2**40])
@pytest.mark.parametrize("by", ["arrow", "numpy"])
def test_memory_is_bounded_for_arrow_too(by: str, size: int) -> None:
    with pytest.raises(SandboxError, match="it takes more memory than it may"):
        transformed(hostile_text(), [{"attack": f"allocate_by_{by}", "size": size}])
