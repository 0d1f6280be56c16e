"""The tests that a transform script holds: `TESTS = [(row, expected), ...]`, read as constants and never run
outside the sandbox."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import orjson

from forge_gpu.plain import frozen
from forge_gpu.scripts.lint import Fault

NAME = "TESTS"
MOST = 100


@frozen
class OwnTest:
    """expected: what the script makes of the row: rows, none where it is dropped; None where it is rejected.
    reason: the text that a rejection has, None for any."""

    line: int
    row: dict[str, Any]
    expected: list[dict[str, Any]] | None
    reason: str | None = None

    def fault(self, made: list[dict[str, Any]] | str) -> bool:
        """Whether something else became of the row."""
        if isinstance(made, str):
            return self.expected is not None or self.reason not in (None, made)
        return made != self.expected


def own_tests(text: str) -> tuple[list[OwnTest], list[Fault]]:
    """The tests of a script that is Python, and what is wrong with their form."""
    tests: list[OwnTest] = []
    faults: list[Fault] = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and any(_is_named(target) for target in node.targets):
            if not isinstance(node.value, ast.List | ast.Tuple) or len(node.value.elts) > MOST:
                faults.append((node.lineno, f"{NAME} is a list of at most {MOST} pairs (row, expected)"))
                continue
            for pair in node.value.elts:
                try:
                    tests.append(_test(pair))
                except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                    faults.append((pair.lineno, f"{NAME}: {FORM}"))
    return tests, faults


FORM = (
    "a test is a pair of constants: a row, and what the script returns for it, or ValueError('its text') for "
    "one that it rejects"
)


def _is_named(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == NAME


def _test(pair: ast.expr) -> OwnTest:
    if not isinstance(pair, ast.Tuple | ast.List) or len(pair.elts) != 2:
        raise ValueError
    row = ast.literal_eval(pair.elts[0])
    if not isinstance(row, dict):
        raise ValueError
    orjson.dumps(row)
    match pair.elts[1]:
        case ast.Name(id="ValueError"):
            return OwnTest(pair.lineno, row, None)
        case ast.Call(func=ast.Name(id="ValueError"), args=arguments, keywords=[]) if len(arguments) < 2:
            texts = [" ".join(str(ast.literal_eval(each)).split()) for each in arguments]
            return OwnTest(pair.lineno, row, None, texts[0] if texts else None)
    return OwnTest(pair.lineno, row, _rows(ast.literal_eval(pair.elts[1])))


def _rows(expected: Any) -> list[dict[str, Any]]:
    rows: Sequence[Any] = [] if expected is None else [expected] if isinstance(expected, dict) else expected
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError
    read: list[dict[str, Any]] = orjson.loads(orjson.dumps(rows))
    return read
