"""Whose text is trained: by its role, and by what a message says itself."""

from __future__ import annotations

from collections.abc import Sequence

from forge_gpu.records.refused import BadRecord
from forge_gpu.templates.records import Message

WEIGHTS = ("weight", "train", "loss")
"""What a message may say itself: 0 or false, that it is read alone."""


def is_trained(message: Message, roles: frozenset[str]) -> bool:
    """Is a message's text trained? Its role says so, unless its own `weight`, `train` or `loss` is 0 or
    false."""
    return message.get("role") in roles and all(message.get(key, True) not in (0, False) for key in WEIGHTS)


def weight_fault(messages: Sequence[Message], roles: frozenset[str]) -> BadRecord | None:
    """Why a conversation cannot be trained as its messages say: one is to count for more, or less, than
    another. None where it can."""
    for number, message in enumerate(messages, 1):
        for key in WEIGHTS if message.get("role") in roles else ():
            value = message.get(key)
            if isinstance(value, int | float) and value not in (0, 1):
                return BadRecord(
                    f"message {number} has {key} {value}: a token is trained or it is not; write 0 or 1"
                )
    return None
