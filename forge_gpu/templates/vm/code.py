"""The code of a template while it is made: constants, cells, instructions, labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import numpy as np

from forge_gpu.kernels.vm_layout import (
    BIGINT,
    BOOL,
    DICT,
    FIXED_NAMES,
    FLOAT,
    FUNCTION,
    INT,
    LIST,
    MACRO,
    NONE,
    TEXT,
    TUPLE,
    TYPE_BITS,
    UNDEFINED,
    Op,
    Variable,
    VmProgram,
)
from forge_gpu.plain import frozen, mutable

LONGEST_LITERAL = 1 << 20  # bytes of one text
MOST_INSTRUCTIONS = 1 << 16


class Unsupported(Exception):
    """The machine has no code for something: rows that reach it are Jinja's."""


@frozen
class Constant:
    number: int


@frozen
class Slot:
    """A cell that code writes."""

    number: int


class Label:
    """A place in the code, known once `Code.here` is called."""

    def __init__(self) -> None:
        self.place = -1


class Named:
    """A value that is no Python value of a template's: its spelling is its meaning."""

    def __init__(self, name: str) -> None:
        self.name = name


UNDEFINED_VALUE, NOT_GIVEN, A_FUNCTION = Named("undefined"), Named("not given"), Named("function")


@frozen
class MacroValue:
    number: int


Cell = Constant | Slot
Operand = Cell | Label | int | Callable[[], "Cell | int"]
"""A function is asked when the code is finished."""


@mutable
class Instruction:
    op: Op
    operands: list[Operand]
    line: int
    why: str = ""  # of FAIL


@mutable
class Code:
    """Instructions, and the cells that they name: constants first, then the row's variables and others."""

    instructions: list[Instruction] = field(default_factory=list)
    line: int = 0
    slots: int = 0

    def __post_init__(self) -> None:
        self._literals = bytearray()
        self._texts: dict[str, tuple[int, int]] = {}
        self._cells: list[tuple[int | Constant, int]] = []
        self._constants: dict[tuple[str, str], Constant] = {}
        self._values: dict[Constant, str] = {}
        self._target = -1  # a label stands here: what comes is not joined to what was before
        self._cells += [self._text_cell(name) for name in FIXED_NAMES]

    def new_slots(self, count: int) -> Slot:
        """The first of consecutive cells."""
        self.slots += count
        return Slot(self.slots - count)

    def new_slot(self) -> Slot:
        return self.new_slots(1)

    def emit(self, op: Op, *operands: Operand, why: str = "") -> None:
        if len(self.instructions) >= MOST_INSTRUCTIONS:
            raise Unsupported("a template of so much code")
        self.instructions.append(Instruction(op, [*operands, *[0] * (4 - len(operands))], self.line, why))

    def fail(self, why: str) -> None:
        self.emit(Op.FAIL, why=why)

    def jump(self, target: Label) -> None:
        self.emit(Op.JUMP, 0, 0, 0, target)

    def here(self, label: Label) -> None:
        label.place = self._target = len(self.instructions)

    def write_literal(self, text: str) -> None:
        """Write a text that the template has; it is joined to the one before it."""
        if not text:
            return
        last = self.instructions[-1] if self.instructions else None
        if last and last.op == Op.WRITE and last.operands[0] in self._values and not self._at_label():
            before = self._values[last.operands[0]]
            if len(before) + len(text) < LONGEST_LITERAL:
                last.operands[0] = self.constant(before + text)
                return
        self.emit(Op.WRITE, self.constant(text))

    def _at_label(self) -> bool:
        return self._target == len(self.instructions)

    def cut(self, length: int) -> None:
        """Take back the instructions from number `length` on: no label outside them lies in them."""
        del self.instructions[length:]
        self._target = length

    # constants

    def constant(self, value: Any) -> Constant:
        """The cell of a value that does not change. Raises Unsupported."""
        key = (type(value).__name__, value.name if isinstance(value, Named) else repr(value))
        if key not in self._constants:
            self._constants[key] = constant = self._append(self._cell_of(value))
            if type(value) is str:
                self._values[constant] = value
        return self._constants[key]

    def text_of(self, cell: Cell) -> str | None:
        """The text that a constant is, None for other cells."""
        return self._values.get(cell) if isinstance(cell, Constant) else None

    def _append(self, cell: tuple[int | Constant, int]) -> Constant:
        self._cells.append(cell)
        return Constant(len(self._cells) - 1)

    def _text_cell(self, text: str, kind: int = TEXT) -> tuple[int, int]:
        if text not in self._texts:
            try:
                body = json.dumps(text, ensure_ascii=False)[1:-1].encode()
            except UnicodeEncodeError:
                raise Unsupported("a text with half a surrogate pair") from None
            self._texts[text] = (len(self._literals), len(body))
            self._literals += body
        start, length = self._texts[text]
        return start, length << TYPE_BITS | kind

    def _cell_of(self, value: Any) -> tuple[int | Constant, int]:
        if value is UNDEFINED_VALUE or value is NOT_GIVEN:
            return int(value is NOT_GIVEN), UNDEFINED
        if value is A_FUNCTION:
            return 0, FUNCTION
        if isinstance(value, MacroValue):
            return value.number, MACRO
        if value is None:
            return 0, NONE
        if type(value) is bool:
            return int(value), BOOL
        if type(value) is int:
            if abs(value) < 10**18:
                return value, INT
            return self._text_cell(str(value), BIGINT) if abs(value) < 10**4000 else self._no_constant(value)
        if type(value) is float and value - value == 0:
            return self._text_cell(repr(value), FLOAT)
        if type(value) is str:
            return self._text_cell(value)
        if type(value) in (list, tuple):
            members = [self._cell_of(member) for member in value]
            return self._children(members), len(members) << TYPE_BITS | (
                LIST if type(value) is list else TUPLE
            )
        if type(value) is dict and all(type(name) is str for name in value):
            members = [self._cell_of(member) for pair in value.items() for member in pair]
            return self._children(members), len(value) << TYPE_BITS | DICT
        return self._no_constant(value)

    def _children(self, members: Sequence[tuple[int | Constant, int]]) -> Constant:
        first = Constant(len(self._cells))
        self._cells += members
        return first

    def _no_constant(self, value: Any) -> tuple[int, int]:
        raise Unsupported(f"a constant of type {type(value).__name__}")

    # the finished program

    def finish(
        self, variables: tuple[tuple[Variable, Slot, Constant], ...], renamed: dict[str, str]
    ) -> VmProgram:
        pairs = [self._text_cell(text) for pair in renamed.items() for text in pair]
        first = self._children(pairs).number if pairs else 0
        base = len(self._cells)

        def place(operand: Operand) -> int:
            if isinstance(operand, Slot):
                return base + operand.number
            if isinstance(operand, Constant):
                return operand.number
            if isinstance(operand, Label):
                return operand.place
            return place(operand()) if callable(operand) else operand

        code = [[int(item.op), *map(place, item.operands)] for item in self.instructions]
        constants = [(place(a), word) for a, word in self._cells]
        return VmProgram(
            code=np.array(code, np.int32).ravel(),
            constants=np.array(constants, np.int64).ravel(),
            literals=bytes(self._literals),
            cells=base + self.slots,
            variables=tuple((what, place(slot), place(default)) for what, slot, default in variables),
            renamed=(first, len(renamed)),
        )
