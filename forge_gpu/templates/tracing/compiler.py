"""The programs of one chat template, found as the data asks for them.

Rows of one shape share a tree of paths (see tree.py). A path that no row took yet is traced with the first
row that does. Where few rows share a path, tracing gains nothing: it has a budget, a share of the rows
seen, and rows beyond it are rendered one by one. Bytes are the same either way.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator

import numpy as np

from forge_gpu.kernels.layout import I32, I64
from forge_gpu.plain import frozen
from forge_gpu.templates.conversations import Bools, Conversation, Conversations
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.grouping import group_by_roles
from forge_gpu.templates.tracing.columns import TextColumns
from forge_gpu.templates.tracing.expressions import Leaf, Lookup
from forge_gpu.templates.tracing.fields import Result, trace_fields
from forge_gpu.templates.tracing.trace import Fallback, Questions, Tracer, stand_ins
from forge_gpu.templates.tracing.tree import Node, Tree
from forge_gpu.templates.values import ABSENT, GOOD

MAX_TRACES = 4096
MAX_SHAPES = 1 << 16
"""Shapes of rows that are not plain that are counted; the rows of later ones are rendered one by one."""

FEW_GROUPS = 4
"""Up to so many a look for each is faster than a sort."""

TOO_RARE = Fallback("few rows have this shape: a program of its own would gain nothing")


@frozen
class Patience:
    """When a path is traced. A trace costs as much as some ten rows of Jinja.

    rows_before_trace: rows of the path that have come by then. rows_a_trace: rows in all for each trace.
    """

    rows_before_trace: int = 16
    rows_a_trace: int = 64


PATIENT = Patience()

EAGER = Patience(0, 0)
"""Trace whatever comes: to look at programs, and to test them."""


class Compiler:
    """Finds what a template makes of each row. split: prompt and completion, not one text."""

    def __init__(
        self,
        template: ChatTemplate,
        split: bool,
        patience: Patience = PATIENT,
    ) -> None:
        self.patience = patience
        self._seen: Counter[Hashable] = Counter()
        self.tracer = Tracer(template)
        self.split = split
        self.trees: dict[Hashable, Tree] = {}
        self.rows = 0
        self.traces = 0

    def plain(self, conversations: Conversations, columns: TextColumns) -> Iterator[tuple[I64, Result]]:
        """What becomes of the plain rows of a chunk: rows and where they went."""
        plain = (
            conversations.plain
            if conversations.parted is None
            else conversations.plain | conversations.parted
        )
        plain = plain & (conversations.reason == GOOD)
        if conversations.content_first is None or not conversations.content_first.any():
            yield from self._plain(plain, False, conversations, columns)
            return
        for content_first in (False, True):
            yield from self._plain(
                plain & (conversations.content_first == content_first), content_first, conversations, columns
            )

    def _plain(
        self, required: Bools, content_first: bool, conversations: Conversations, columns: TextColumns
    ) -> Iterator[tuple[I64, Result]]:
        """Those of them that spell their messages in the one or in the other order."""
        groups, shapes = group_by_roles(conversations, required)
        members = _members(groups, len(shapes))
        self.rows += sum(map(len, members))
        for group in sorted(range(len(shapes)), key=lambda group: -len(members[group])):
            tree = self.trees.setdefault((content_first, shapes[group]), Tree())
            yield from self._descend(tree, members[group], conversations, columns)

    def _descend(
        self, tree: Tree, rows: I64, conversations: Conversations, columns: TextColumns
    ) -> Iterator[tuple[I64, Result]]:
        todo: list[tuple[Node | None, int, I64]] = [(None, 0, rows)]  # below which node, on which side
        while todo:
            above, side, rows = todo.pop()
            node = tree.root if above is None else above.children[side]
            if node is None:
                waiting = tree.wait(above, side, len(rows))
                if not self._worth(waiting):
                    yield rows, TOO_RARE
                    continue
                row = int(rows[0])
                result = self._trace(tree, conversations.read(row), columns.lookup(row))
                node = tree.root if above is None else above.children[side]
                if node is None:  # it ran out of time before it came here
                    tree.put(above, side, result)
                    node = result
            if not isinstance(node, Node):
                yield rows, node
                continue
            answers = columns.test(node.predicate, rows)
            for answer in (1, 0):
                chosen = rows[answers == bool(answer)]
                if len(chosen):
                    todo.append((node, answer, chosen))

    def other(self, conversation: Conversation) -> tuple[Result, Lookup]:
        """What becomes of a row that is not plain, and its texts."""
        self.rows += 1
        lookup = texts_of(conversation)
        if not self._is_common(conversation):
            return TOO_RARE, lookup
        tree = self.trees.setdefault(_shape_of(conversation), Tree())
        result = tree.find(lookup)
        if result is None:
            worth = self._worth(tree.wait(None, 0, 1))
            result = self._trace(tree, conversation, lookup) if worth else TOO_RARE
        return result, lookup

    def _is_common(self, conversation: Conversation) -> bool:
        """Have rows with these roles and keys come before? A cheap look, before the shape is spelled out."""
        outline = tuple((message.get("role"), *message) for message in conversation.messages)
        try:
            if outline not in self._seen and len(self._seen) >= MAX_SHAPES:
                return False
            self._seen[outline] += 1
        except TypeError:  # a role that is not a text
            return False
        return self._seen[outline] > self.patience.rows_before_trace // 2

    def _worth(self, waiting: int) -> bool:
        """May a path be traced for which so many rows have come?"""
        if self.traces >= MAX_TRACES or self.traces * self.patience.rows_a_trace > self.rows:
            return False
        return waiting >= self.patience.rows_before_trace

    def _trace(self, tree: Tree, conversation: Conversation, lookup: Lookup) -> Result:
        self.traces += 1
        questions = Questions(lookup)
        result = trace_fields(self.tracer, conversation, questions, self.split)
        tree.graft(questions.answers.items(), result)
        return result


def _members(groups: I32, count: int) -> list[I64]:
    """The rows of each group, in their order."""
    if count <= FEW_GROUPS:
        return [np.flatnonzero(groups == group) for group in range(count)]
    order = np.argsort(groups, kind="stable")
    bounds = np.searchsorted(groups[order], np.arange(count + 1))
    return [order[bounds[group] : bounds[group + 1]] for group in range(count)]


def texts_of(conversation: Conversation) -> Lookup:
    """The texts of a row, by their paths."""

    def lookup(leaf: Leaf) -> str:
        value: object = conversation.messages
        for step in leaf.path:
            value = value[step]  # type: ignore[index]
        return str(value)

    return lookup


def _shape_of(conversation: Conversation) -> str:
    """Everything of a row but its texts; the only texts in it are roles, types and what tools say."""
    shaped = stand_ins(conversation.messages, lambda leaf: "")
    tools = "" if conversation.tools is ABSENT else json.dumps(conversation.tools)
    return f"{json.dumps(shaped)}\n{tools}"
