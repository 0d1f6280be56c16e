"""Each promise of docs/guarantees.md names tests that hold it, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMISES = [line for line in (ROOT / "docs/guarantees.md").read_text().splitlines() if line.startswith("| ")][
    1:
]


def defined_in(path: Path) -> set[str]:
    """The names of the tests that a file defines, in classes or not."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {
        node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_each_promise_is_held_by_tests_that_are_there() -> None:
    assert len(PROMISES) > 25
    for line in PROMISES:
        promise, held_by = (cell.strip() for cell in line.strip("|").split("|"))
        tests = re.findall(r"`([^`]+)`", held_by)
        assert promise and tests, line
        for test in tests:
            file, _, name = test.partition("::")
            assert name in defined_in(ROOT / file), f"{promise}: {test} is not there"
            assert Path(file).name.startswith("test_"), test
