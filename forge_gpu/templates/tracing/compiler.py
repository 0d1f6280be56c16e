"""The programs of one chat template, found as the data asks for them.

Rows of one shape share a tree of paths (see tree.py). A path that no row took yet is traced with the first
row that does. Where few rows share a path, tracing gains nothing: it has a budget, a share of the rows
seen, and rows beyond it are rendered one by one. Bytes are the same either way.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator

import numpy as np

from forge_gpu.kernels.layout import I64
from forge_gpu.templates.conversations import Conversation, Conversations
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.grouping import group_by_roles
from forge_gpu.templates.tracing.columns import TextColumns
from forge_gpu.templates.tracing.expressions import Leaf, Lookup
from forge_gpu.templates.tracing.fields import Result, Turn, trace_fields
from forge_gpu.templates.tracing.trace import Fallback, Questions, Tracer, stand_ins
from forge_gpu.templates.tracing.tree import Node, Tree
from forge_gpu.templates.values import ABSENT

FREE_TRACES = 64
ROWS_A_TRACE = 64
"""A trace costs about as much as five rows of Jinja: one for each 64 rows adds less than a tenth."""
MAX_TRACES = 4096
ROWS_BEFORE_TRACE = 2
"""Rows of a shape that are rendered one by one before it is traced: most shapes of agents come once."""

TOO_RARE = Fallback("few rows have this shape: a program of its own would gain nothing")


class Compiler:
    """Finds what a template makes of each row. split: prompt and completion, not one text.
    turn: given where the spans of what the assistant wrote are asked for."""

    def __init__(self, template: ChatTemplate, split: bool, turn: Turn | None = None) -> None:
        self.tracer = Tracer(template)
        self.split = split
        self.turn = turn
        self.trees: dict[Hashable, Tree] = {}
        self.rows = 0
        self.traces = 0

    def plain(self, talks: Conversations, columns: TextColumns) -> Iterator[tuple[I64, Result]]:
        """What becomes of the plain rows of a chunk: rows and where they went."""
        groups, shapes = group_by_roles(talks, talks.plain & (talks.reason == 0))
        self.rows += int((groups >= 0).sum())
        order = np.argsort(groups, kind="stable")
        bounds = np.searchsorted(groups[order], np.arange(len(shapes) + 1))
        members = [order[bounds[group] : bounds[group + 1]] for group in range(len(shapes))]
        for group in sorted(range(len(shapes)), key=lambda group: -len(members[group])):
            tree = self.trees.setdefault(shapes[group], Tree())
            yield from self._descend(tree, members[group], talks, columns)

    def _descend(
        self, tree: Tree, rows: I64, talks: Conversations, columns: TextColumns
    ) -> Iterator[tuple[I64, Result]]:
        todo: list[tuple[Node | None, int, I64]] = [(None, 0, rows)]  # below which node, on which side
        while todo:
            above, side, rows = todo.pop()
            node = tree.root if above is None else above.children[side]
            if node is None:
                if not self._worth(tree, len(rows)):
                    yield rows, TOO_RARE
                    continue
                row = int(rows[0])
                self._trace(tree, talks.read(row), columns.lookup(row))
                node = tree.root if above is None else above.children[side]
            if not isinstance(node, Node):
                assert node is not None, "the row that was traced took another path"
                yield rows, node
                continue
            answers = columns.test(node.predicate, rows)
            for answer in (1, 0):
                chosen = rows[answers == bool(answer)]
                if len(chosen):
                    todo.append((node, answer, chosen))

    def other(self, talk: Conversation) -> tuple[Result, Lookup]:
        """What becomes of a row that is not plain, and its texts."""
        self.rows += 1
        tree = self.trees.setdefault(_shape_of(talk), Tree())
        lookup = texts_of(talk)
        found = tree.find(lookup)
        if found is None:
            found = self._trace(tree, talk, lookup) if self._worth(tree, 1) else TOO_RARE
        return found, lookup

    def _worth(self, tree: Tree, rows: int) -> bool:
        """May a new path of the shape be traced?"""
        tree.waiting += rows
        budget = min(FREE_TRACES + self.rows // ROWS_A_TRACE, MAX_TRACES)
        return tree.waiting > ROWS_BEFORE_TRACE and self.traces < budget

    def _trace(self, tree: Tree, talk: Conversation, lookup: Lookup) -> Result:
        self.traces += 1
        questions = Questions(lookup)
        result = trace_fields(self.tracer, talk, questions, self.split, self.turn)
        tree.graft(questions.answers.items(), result)
        return result


def texts_of(talk: Conversation) -> Lookup:
    """The texts of a row, by their paths."""

    def lookup(leaf: Leaf) -> str:
        value: object = talk.messages
        for step in leaf.path:
            value = value[step]  # type: ignore[index]
        return str(value)

    return lookup


def _shape_of(talk: Conversation) -> str:
    """Everything of a row but its texts; the only texts in it are roles, types and what tools say."""
    shaped = stand_ins(talk.messages, lambda leaf: "")
    tools = "" if talk.tools is ABSENT else json.dumps(talk.tools)
    return f"{json.dumps(shaped)}\n{tools}"
