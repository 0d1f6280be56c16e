"""No assertion of the tests is true whatever happens."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TRUE = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.GeneratorExp, ast.Lambda, ast.JoinedStr, ast.Constant)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp)


def always_true(test: ast.expr) -> bool:
    """Whether a test, or a part of one, is a display, a generator, or a comprehension without a condition."""
    if isinstance(test, ast.BoolOp):
        return any(map(always_true, test.values))
    if isinstance(test, COMPREHENSIONS):
        return not any(loop.ifs for loop in test.generators)
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq | ast.Is):
        return ast.dump(test.left) == ast.dump(test.comparators[0])
    return isinstance(test, TRUE)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("(a == b, 'they differ')", True),
        ("[x == y for x in z]", True),
        ("c and (x == y for x in z)", True),
        ("f(x) == f(x)", True),
        ("[x for x in z if x]", False),
        ("all(x == y for x in z)", False),
        ("f(x) == f(y)", False),
    ],
)
def test_what_is_always_true(written: str, expected: bool) -> None:
    assert always_true(ast.parse(written, mode="eval").body) is expected


def test_every_assertion_can_fail() -> None:
    faults = [
        f"{path.relative_to(TESTS)}:{node.lineno}: {ast.unparse(node.test)[:80]}"
        for path in sorted(TESTS.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert) and always_true(node.test)
    ]
    assert faults == []
