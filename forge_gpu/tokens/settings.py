"""What is done with texts that spell added tokens."""

from __future__ import annotations

from typing import Literal

from forge_gpu.kernels.token_layout import (
    GUARDED,
    LSTRIP,
    NORMALIZED,
    RSTRIP,
    SINGLE_WORD,
    AddedTokens,
    added_tokens,
)
from forge_gpu.plain import frozen
from forge_gpu.tokens.definition import AddedToken, Definition
from forge_gpu.tokens.differing import word_points

Treatment = Literal["keep", "plain", "reject"]


@frozen
class Guard:
    """control: what is done where a row's contents spell a special token; markup: another added token; keep:
    it is that token. allow: tokens that contents may write."""

    control: Treatment = "plain"
    markup: Treatment = "keep"
    allow: tuple[str, ...] = ()

    def of(self, token: AddedToken) -> Treatment:
        if token.content in self.allow:
            return "keep"
        return self.control if token.special else self.markup


def layout_of(definition: Definition, guard: Guard) -> AddedTokens:
    """The added tokens of a tokenizer for the kernels."""
    tokens = definition.added
    flags = [
        GUARDED * (guard.of(token) != "keep")
        | LSTRIP * token.lstrip
        | RSTRIP * token.rstrip
        | SINGLE_WORD * token.single_word
        | NORMALIZED * (token.normalized and not definition.normalizes_added)
        for token in tokens
    ]
    contents, ids = [token.content.encode() for token in tokens], [token.id for token in tokens]
    return added_tokens(contents, ids, flags, word_points())
