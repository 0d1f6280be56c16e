"""Statements that write a text which depends on `tools` alone: it is written once for all rows that have the
same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import nodes

from forge_gpu.kernels.vm_layout import Op
from forge_gpu.templates.vm.code import Label
from forge_gpu.templates.vm.compiler import Compiler

TOOLS = "tools"
MOST = 32  # statements of a template
HARMLESS = frozenset({"loop", "raise_exception", "namespace", "strftime_now", "range"})


def kept(handler: Callable[[Compiler, Any], None]) -> Callable[[Compiler, Any], None]:
    """The handler of a statement, with code around it that keeps its text where that depends on tools
    alone."""

    def statement(c: Compiler, node: nodes.Stmt) -> None:
        if c.statements_kept == MOST or c.open_statement or not depends_on_tools(c, node):
            handler(c, node)
            return
        end, number = Label(), c.statements_kept
        c.code.emit(Op.MEMO, number, 0, 0, end)
        c.open_statement = True
        try:
            handler(c, node)
        finally:
            c.open_statement = False
        c.statements_kept += 1
        c.code.emit(Op.MEMO_END, number)
        c.code.here(end)

    return statement


def depends_on_tools(c: Compiler, node: nodes.Node) -> bool:
    """Does a statement read `tools`, nothing else that rows have or code changes, and only write?"""
    if c.frame.parent is not None or TOOLS not in c.variables or TOOLS in c.frame.symbols.stores:
        return False
    if isinstance(node, nodes.Output) and not any(node.find_all((nodes.Call, nodes.Filter))):
        return False
    reads: set[str] = set()
    left: list[nodes.Node] = [node]
    seen: set[str] = set()
    while left:
        part = left.pop()
        if any(part.find_all((nodes.CallBlock, nodes.AssignBlock))):
            return False
        bound = {name.name for name in part.find_all(nodes.Name) if name.ctx in ("store", "param")}
        if bound & (c.frame.symbols.stores | set(c.variables)):
            return False
        if any(reference.name not in bound for reference in part.find_all(nodes.NSRef)):
            return False
        for name in part.find_all(nodes.Name):
            if name.ctx != "load" or name.name in bound or name.name in HARMLESS:
                continue
            if name.name in c.macro_nodes:
                if len(c.macro_nodes[name.name]) > 1:
                    return False
                if name.name not in seen:
                    seen.add(name.name)
                    left += c.macro_nodes[name.name]
            else:
                reads.add(name.name)
    stored = c.frame.symbols.stores
    return TOOLS in reads and all(
        name == TOOLS or (name not in c.variables and name not in stored) for name in reads
    )
