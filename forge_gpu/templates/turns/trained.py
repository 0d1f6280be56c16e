"""Whose text is trained: by its role, and by what a message says itself."""

from __future__ import annotations

from forge_gpu.templates.records import Message


def is_trained(message: Message, roles: frozenset[str]) -> bool:
    """Is a message's text trained? Its role says so, unless its own `weight`, `train` or `loss` is 0 or
    false."""
    return message.get("role") in roles and all(
        message.get(key, True) not in (0, False) for key in ("weight", "train", "loss")
    )
