"""`forge transform check`: the lint, the trial, and what is shown of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forge_gpu.cli.transform import app
from forge_gpu.errors import InputError, NoPlanError
from forge_gpu.sandbox.contract import Script
from forge_gpu.scripts.lint import lint
from forge_gpu.scripts.trial import try_script

GOOD = '''"""Greetings go."""
import re

HELLO = re.compile(r"^hello,? ", re.I)


def transform(row):
    if row["n"] == 3:
        return None
    if row["n"] == 4:
        raise ValueError("four")
    if row["n"] == 5:
        return [row, row]
    return {**row, "text": HELLO.sub("", row["text"])}
'''
FAULTS = {
    "import os\ndef transform(row): return row": [(1, "imports os; there are:")],
    "from os import path\ndef transform(row): return row": [(1, "imports os; there are:")],
    "from . import x\ndef transform(row): return row": [(1, "there is no package")],
    "print(1)\ndef transform(row): return row": [(1, "at the top level stand")],
    "for n in ():\n    pass\ndef transform(row): return row": [(1, "at the top level stand")],
    "x = 1": [(1, "there must be one `def transform(row)`")],
    "def transform(row, more): return row": [(1, "transform takes one argument")],
    "def transform(*row): return row": [(1, "transform takes one argument")],
    "def transform(row):\n    return eval('row')": [(2, "uses eval")],
    "def transform(row):\n    return row.__class__": [(2, "reads .__class__")],
    "import re\ndef transform(row):\n    return re.enum._sys": [(3, "reads ._sys")],
    "from datetime import datetime\ndef transform(row):\n    return {'n': str(datetime.now())}": [
        (3, "datetime.now: a result must depend on the row alone")
    ],
    "N = 0\ndef transform(row):\n    global N\n    return row": [(3, "changes N")],
    "def transform(row:": [(1, "is no Python")],
    "async def transform(row): return row": [
        (1, "a transform cannot await"),
        (1, "at the top"),
        (1, "there must be"),
    ],
}


@pytest.mark.parametrize("text", FAULTS)
def test_each_fault_is_told_with_its_line(text: str) -> None:
    faults = lint(text)
    assert [line for line, _ in faults] == [line for line, _ in FAULTS[text]]
    for (_, reported), (_, expected) in zip(faults, FAULTS[text], strict=True):
        assert reported.startswith(expected)


def test_a_good_script_has_no_faults() -> None:
    assert lint(GOOD) == []
    assert lint("(" * 5000) != [] and lint("x = '\0'") != []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("SEEN = []\ndef transform(row):\n    SEEN.append(1)\n    return {'n': len(SEEN)}", "another order"),
        (
            "def transform(row):\n    raise ValueError('never')",
            "every row is rejected, the first with: never",
        ),
        ("def transform(row):\n    while True: pass", "no answer within 1 s"),
        ("X = 1 / 0\ndef transform(row): return row", "ZeroDivisionError: division by zero (line 1"),
    ],
)
def test_a_trial_finds_what_a_lint_cannot(text: str, fault: str) -> None:
    from forge_gpu.sandbox.sandbox import Bounds

    trial = try_script(Script("s.py", text), [{"n": n} for n in range(3)], Bounds(seconds=1.0))
    assert len(trial.faults) == 1 and fault in trial.faults[0]


TESTED = """def transform(row):
    if row["n"] == 1:
        raise ValueError("no  one")
    return None if row["n"] == 2 else [row, row] if row["n"] == 3 else {"n": row["n"] + 1.5}

TESTS = [
    ({"n": 0}, {"n": 1.5}),
    ({"n": 1}, ValueError("no one")),
    ({"n": 1}, ValueError),
    ({"n": 2}, None),
    ({"n": 2}, []),
    [{"n": 3}, [{"n": 3}, {"n": 3}]],
]
"""


@pytest.mark.parametrize(
    ("test", "fault"),
    [
        ('({"n": 0}, {"n": 1.5})', None),
        ('({"n": 0}, {"n": 1})', 's.py: its test in line 7 fails: it makes [{"n":1.5}]'),
        ('({"n": 0}, None)', 's.py: its test in line 7 fails: it makes [{"n":1.5}]'),
        ('({"n": 0}, ValueError)', 's.py: its test in line 7 fails: it makes [{"n":1.5}]'),
        ('({"n": 1}, ValueError("other"))', "s.py: its test in line 7 fails: it makes no one"),
        ('({"n": 1}, {"n": 1})', "s.py: its test in line 7 fails: it makes no one"),
        ('({"n": len("x")}, None)', "s.py:7: TESTS: a test is a pair of constants"),
        ('({"n": 1},)', "s.py:7: TESTS: a test is a pair of constants"),
        ("(3, None)", "s.py:7: TESTS: a test is a pair of constants"),
        ('({"n": {1}}, None)', "s.py:7: TESTS: a test is a pair of constants"),
        ('({"n": 1}, KeyError("x"))', "s.py:7: TESTS: a test is a pair of constants"),
    ],
)
def test_the_tests_of_a_script_are_run(test: str, fault: str | None) -> None:
    text = TESTED.replace('({"n": 0}, {"n": 1.5})', test)
    trial = try_script(Script("s.py", text), [{"n": n} for n in range(4, 7)])
    if fault is None:
        assert trial.faults == []
    else:
        assert len(trial.faults) == 1 and trial.faults[0].startswith(fault) and trial.public == trial.faults


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rows = [{"n": n, "text": f"Hello, row {n}" if n % 2 else "as it is"} for n in range(10)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "transform.py").write_text(GOOD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_check_shows_rows_before_and_after(folder: Path) -> None:
    result = CliRunner().invoke(app, ["check", "transform.py", "rows.jsonl"], catch_exceptions=False)
    assert result.exit_code == 0
    for line in (
        "10 rows became 9",
        "as it was: 4",
        "changed: 3",
        'before  {"text":"Hello, row 1"}',
        'after   {"text":"row 1"}',
        "reason  four",
        "became nothing",
    ):
        assert line in result.output, line


def test_check_takes_the_rows_of_the_plan(folder: Path) -> None:
    (folder / "forge.yaml").write_text('{"version": 1, "data": {"inputs": ["rows.jsonl"]}}')
    result = CliRunner().invoke(app, ["check", "transform.py", "--rows", "3"], catch_exceptions=False)
    assert result.exit_code == 0 and "3 rows became 3" in result.output


def test_check_ends_with_2_where_the_script_has_faults(folder: Path) -> None:
    (folder / "bad.py").write_text("import os\ndef transform(row): return row\n")
    result = CliRunner().invoke(app, ["check", "bad.py", "rows.jsonl"], catch_exceptions=False)
    assert result.exit_code == 2 and "bad.py:1: imports os" in result.output
    with pytest.raises(NoPlanError):
        CliRunner().invoke(app, ["check", "transform.py"], catch_exceptions=False)
    (folder / "none.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no rows to try"):
        CliRunner().invoke(app, ["check", "transform.py", "none.jsonl"], catch_exceptions=False)
