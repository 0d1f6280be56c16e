"""Rows of the same shape: the same sequence of roles."""

from __future__ import annotations

from forge_gpu.kernels.layout import I32
from forge_gpu.templates.conversations import Bools, Conversations


def group_by_roles(conversations: Conversations, required: Bools) -> tuple[I32, list[tuple[str, ...]]]:
    """(group of each row, roles of each group); rows not wanted are in group -1."""
    from forge_gpu.kernels.cpu.grouping import group_rows

    groups, examples = group_rows(conversations.first, conversations.role, required.view("uint8"))
    first, role, names = conversations.first, conversations.role, conversations.names
    return groups, [
        tuple(names[code] for code in role[first[row] : first[row + 1]].tolist()) for row in examples.tolist()
    ]
