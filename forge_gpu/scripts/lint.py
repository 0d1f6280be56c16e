"""Says early and readably what is wrong with a transform script. The wall is not this: it is the sandbox."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from forge_gpu.sandbox.contract import Script

Fault = tuple[int, str]
"""A line of the script, from 1, and what is wrong there."""

FUNCTIONS = {"transform": "the row", "transform_batch": "the batch"}
"""What a script may define, and what that takes."""
AT_TOP = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.ClassDef)


def lint(text: str) -> list[Fault]:
    """The faults of a script, by line."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        message = getattr(fault, "msg", None) or str(fault) or "nested too deeply"
        return [(getattr(fault, "lineno", None) or 1, f"is no Python: {message}")]
    faults = [*_shape(tree)]
    modules = Script("transform.py", text).loaded.modules
    for node in ast.walk(tree):
        faults += [(getattr(node, "lineno", 1), message) for message in _of_node(node, modules)]
    return sorted(set(faults))


@cache
def _rules() -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load((files("forge_gpu.scripts") / "lint.yaml").read_text())


def _shape(tree: ast.Module) -> Iterator[Fault]:
    for place, node in enumerate(tree.body):
        is_docstring = place == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if not is_docstring and not isinstance(node, AT_TOP):
            yield node.lineno, "at the top level stand imports, constants, functions and classes alone"
    made = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in FUNCTIONS]
    names = [node.name for node in made]
    if not names or len(set(names)) < len(names):
        yield 1, "there must be one `def transform(row)`, or `def transform_batch(batch)`, or one of each"
    for node in made:
        given = node.args
        if len(given.posonlyargs + given.args) != 1 or given.vararg or given.kwarg or given.kwonlyargs:
            yield node.lineno, f"{node.name} takes one argument: {FUNCTIONS[node.name]}"


def _of_node(node: ast.AST, modules: Sequence[str]) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            for alias in names:
                yield from _of_import(alias.name, modules)
        case ast.ImportFrom(module=module, level=level):
            yield from (
                _of_import(module or "", modules) if not level else ["there is no package to import from"]
            )
        case ast.Attribute(value=ast.Name(id=owner), attr=name) if [owner, name] in _rules()["clocks"]:
            yield f"{owner}.{name}: a result must depend on the row alone"
        case ast.Attribute(attr=name) if name.startswith("_"):
            yield f"reads .{name}: names that begin with an underscore are not for scripts"
        case ast.Name(id=name) if name in _rules()["names"] or name.startswith("__"):
            yield f"uses {name}, which a transform does not need"
        case ast.AsyncFunctionDef() | ast.Await():
            yield "a transform cannot await anything"
        case ast.Global(names=names) | ast.Nonlocal(names=names):
            yield f"changes {', '.join(names)}: a result must depend on the row alone"


def _of_import(module: str, allowed: Sequence[str]) -> Iterator[str]:
    if module != "__future__" and module not in allowed:
        yield f"imports {module or 'nothing'}; there are: {', '.join(allowed)}"
