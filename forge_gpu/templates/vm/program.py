"""A chat template to a program of the machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.idtracking import Symbols
from jinja2.parser import Parser

from forge_gpu.kernels.vm_layout import Op, Variable, VmProgram
from forge_gpu.plain import frozen
from forge_gpu.templates.vm.code import UNDEFINED_VALUE, Code, Unsupported
from forge_gpu.templates.vm.compiler import Compiler, Tables
from forge_gpu.templates.vm.conditions import CONDITIONS
from forge_gpu.templates.vm.expressions import ITERABLES, VALUES
from forge_gpu.templates.vm.frames import Frame, enter
from forge_gpu.templates.vm.macros import compile_bodies
from forge_gpu.templates.vm.output import WRITERS
from forge_gpu.templates.vm.statements import STATEMENTS

VARIABLES = ("messages", "tools")
"""What a row gives a template."""


class Marks(Enum):
    """Whether a template has generation tags, and whether the machine's marks are where their texts are."""

    NONE = 0
    EXACT = 1
    INEXACT = 2


@frozen
class CompiledTemplate:
    """program: for the machine, its variables in the order of VARIABLES. fails: instruction -> why rows that
    reach it are Jinja's, with the template's line. marks: what its generation tags are good for."""

    program: VmProgram
    fails: Mapping[int, str]
    marks: Marks
    code: Code

    def why(self, place: int) -> str:
        """Why the instruction that ended a row did so."""
        if place in self.fails:
            return self.fails[place]
        if not 0 <= place < len(self.code.instructions):
            return "messages, tools or numbers of another form"
        instruction = self.code.instructions[place]
        return f"{instruction.op.name.lower()} of other values, line {instruction.line}"


def compile_program(
    environment: jinja2.Environment,
    source: str,
    fixed: Mapping[str, Any],
    renamed: Mapping[str, str],
    strftime: Callable[[str], str],
    messages: Variable = Variable.MESSAGES,
    turns: bool = False,
) -> CompiledTemplate:
    """The program of a template. fixed: variables that are the same for all rows. renamed: roles that the
    user renames. messages: PROMPT for a program of the prompt alone. turns: mark whose turn is written.
    Raises Unsupported where it has no code at all."""
    tree = Parser(environment, source).parse()  # not the environment's own, which adds bounds
    if any(tree.find_all((nodes.Block, nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport))):
        raise Unsupported("a template of several templates")
    code = Code()
    variables = {name: code.new_slot() for name in VARIABLES}
    frame = Frame(Symbols())
    frame.symbols.analyze_node(tree)
    tables = Tables(STATEMENTS, VALUES, CONDITIONS, WRITERS, ITERABLES)
    functions = frozenset(environment.globals)
    compiler = Compiler(tree, tables, variables, fixed, functions, strftime, code, frame)
    compiler.mark_turns = turns
    enter(frame, code, compiler.resolve)
    compiler.statements(tree.body)
    code.emit(Op.END)
    compile_bodies(compiler)
    defaults = {name: code.constant(fixed.get(name, UNDEFINED_VALUE)) for name in VARIABLES}
    kinds = {"messages": messages, "tools": Variable.TOOLS}
    cells = tuple((kinds[name], variables[name], defaults[name]) for name in VARIABLES)
    fails = {
        number: f"{item.why}, line {item.line}"
        for number, item in enumerate(code.instructions)
        if item.op == Op.FAIL
    }
    marked = any(item.op == Op.MARK for item in code.instructions)
    marks = Marks.INEXACT if compiler.inexact_marks else Marks.EXACT if marked else Marks.NONE
    return CompiledTemplate(code.finish(cells, dict(renamed)), fails, marks, code)
