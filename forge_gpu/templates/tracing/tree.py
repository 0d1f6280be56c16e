"""The paths of a template over rows of one shape, as a tree that grows with the data.

An inner node asks a predicate; a leaf is what the template makes of the rows that come there. A place that
no row came to yet is empty: the first row that does is traced, and its path is grafted on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from forge_gpu.templates.tracing.expressions import Lookup, Predicate, holds
from forge_gpu.templates.tracing.fields import Result


@dataclass(eq=False, slots=True)
class Node:
    """children: where rows go that answer no, and yes. waiting: rows that came to an empty place."""

    predicate: Predicate
    children: list[Node | Result | None] = field(default_factory=lambda: [None, None])
    waiting: list[int] = field(default_factory=lambda: [0, 0])


@dataclass(eq=False, slots=True)
class Tree:
    root: Node | Result | None = None
    waiting: int = 0

    def wait(self, above: Node | None, side: int, rows: int) -> int:
        """Rows came to an empty place, below a node or at the root; how many so far."""
        if above is None:
            self.waiting += rows
            return self.waiting
        above.waiting[side] += rows
        return above.waiting[side]

    def find(self, lookup: Lookup) -> Result | None:
        """Where one row goes; None where no row went yet."""
        node = self.root
        while isinstance(node, Node):
            node = node.children[holds(node.predicate, lookup)]
        return node

    def graft(self, path: Iterable[tuple[Predicate, bool]], result: Result) -> None:
        """Add the path that one traced row took. Where other rows went further than it, because it ran out of
        time, nothing is added."""
        holder: list[Node | Result | None] = [self.root]
        place, at = holder, 0
        for predicate, answer in path:
            node = place[at]
            if node is None:
                node = place[at] = Node(predicate)
            assert isinstance(node, Node) and node.predicate == predicate, "a template asked in another order"
            place, at = node.children, int(answer)
        if not isinstance(place[at], Node):
            place[at] = result
        self.root = holder[0]

    def put(self, above: Node | None, side: int, result: Result) -> None:
        """Say what becomes of the rows that come to an empty place."""
        if above is None:
            self.root = result
        else:
            above.children[side] = result
