"""Each promise of docs/guarantees.md names tests that hold it, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMISES = [line for line in (ROOT / "docs/guarantees.md").read_text().splitlines() if line.startswith("| ")][
    1:
]


def has_tests(path: Path) -> bool:
    """Whether a file of tests defines one, in a class or not."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return any(isinstance(node, ast.FunctionDef) and node.name.startswith("test_") for node in nodes)


def test_each_promise_is_held_by_tests_that_are_there() -> None:
    assert len(PROMISES) > 12
    for line in PROMISES:
        promise, held_by = (cell.strip() for cell in line.strip("|").split("|"))
        tests = re.findall(r"`([^`]+)`", held_by)
        assert promise and tests, line
        for test in tests:
            assert has_tests(ROOT / test), f"{promise}: {test} has no test"
            assert Path(test).name.startswith("test_"), test
