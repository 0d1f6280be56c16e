"""The pages of docs/reference name the whole public surface, and every part of it says what it is.

Sources are parsed, not imported: a class that needs PyTorch is looked at without it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module

import pytest

import forge_gpu
from tests.docs.docs_pages import ROOT

REFERENCE = ROOT / "docs/reference"
DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)
Definition = ast.ClassDef | ast.FunctionDef
SURFACE = [name for page in sorted(REFERENCE.glob("*.md")) for name in DIRECTIVE.findall(page.read_text())]


def source_of(module: str) -> ast.Module | None:
    path = ROOT / module.replace(".", "/")
    file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return ast.parse(file.read_text()) if file.exists() else None


def definitions(nodes: list[ast.stmt]) -> dict[str, Definition]:
    return {node.name: node for node in nodes if isinstance(node, Definition) and node.name[0] != "_"}


def public(dotted: str) -> Iterator[tuple[str, Definition]]:
    """The definitions that a directive publishes: one, or those of a module, also where it passes them on."""
    module = source_of(dotted)
    if module is None:
        home, _, name = dotted.rpartition(".")
        found = source_of(home)
        assert found is not None, f"{dotted}: there is no module {home}"
        yield dotted, definitions(found.body)[name]
        return
    names = getattr(import_module(dotted), "__all__", None)
    if names is None:
        yield from ((f"{dotted}.{name}", node) for name, node in definitions(module.body).items())
        return
    for name in names:
        home = getattr(getattr(import_module(dotted), name), "__module__", "")
        if home.startswith("forge_gpu"):
            passed_on = source_of(home)
            assert passed_on is not None
            yield f"{dotted}.{name}", definitions(passed_on.body)[name]


def undocumented(name: str, node: Definition) -> list[str]:
    """What has no docstring: it, and its public methods. An overload is said by what it overloads."""
    inner = definitions(node.body) if isinstance(node, ast.ClassDef) else {}
    return [
        part for part, one in ((name, node), *((f"{name}.{n}", m) for n, m in inner.items()))
        if not ast.get_docstring(one)
    ]  # fmt: skip


@pytest.mark.parametrize("dotted", SURFACE)
def test_what_is_public_says_what_it_is(dotted: str) -> None:
    assert [name for found in public(dotted) for name in undocumented(*found)] == []


def test_every_public_name_has_its_place_in_the_reference() -> None:
    there = {name for dotted in SURFACE for name, _ in public(dotted)}
    homes = {f"{forge_gpu._HOMES[name]}.{name}" for name in forge_gpu.__all__ if name != "__version__"}
    assert homes <= there


def test_every_parameter_of_a_public_function_is_said() -> None:
    """A name that says it all needs no sentence, but it must stand in the docstring, or in the one that its
    docstring refers to."""
    silent = []
    for name in forge_gpu.__all__:
        home = forge_gpu._HOMES.get(name)
        if home is None or not isinstance(
            node := dict(public(f"{home}.{name}"))[f"{home}.{name}"], ast.FunctionDef
        ):
            continue
        text = ast.get_docstring(node) or ""
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        silent += [f"{name}({one.arg})" for one in arguments if not re.search(rf"\b{one.arg}\b", text)]
    assert silent == []


def test_a_definition_without_a_docstring_would_be_noticed() -> None:
    node = ast.parse('class A:\n    """It."""\n    def b(self): pass\n    def _c(self): pass').body[0]
    assert isinstance(node, ast.ClassDef)
    assert undocumented("A", node) == ["A.b"]


def test_pages_of_the_reference_are_listed() -> None:
    index = (REFERENCE / "index.md").read_text()
    assert [
        page.name
        for page in REFERENCE.glob("*.md")
        if page.name != "index.md" and f"]({page.name})" not in index
    ] == []
