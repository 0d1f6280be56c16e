"""The added tokens of a tokenizer, as the kernels that look for them read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I32, I64, U8

# Flags of an added token.
GUARDED = 1  # counts only where a literal of the template wrote it
LSTRIP = 2  # takes the white space before it
RSTRIP = 4  # takes the white space behind it
SINGLE_WORD = 8  # counts only where no letter or digit stands beside it
NORMALIZED = 16  # looked for in what the others leave

# Marks in a rendered text: bytes that no UTF-8 text holds.
RUN = 0xFF  # literals of the template begin
RUN_END = 0xFE
UNKNOWN = 0xFD  # what follows in this row may be the template's or the row's
TRAINED = 0xFC  # what is trained begins
TRAINED_END = 0xFB

PLAIN = -1
"""The id of a piece that is no token yet, but text to encode."""

WORD_BITS = 0x110000 // 8


@dataclass(frozen=True, slots=True)
class AddedTokens:
    """t added tokens, as a trie over their UTF-8 bytes.

    next: int32[nodes, 256], the node behind a byte, 0 where there is none; 0 is the root. token:
    int32[nodes], the token that ends there, or -1. begins: uint8[256], whether one begins so. id: int64[t].
    flags: uint8[t], of the flags above. word: uint8[WORD_BITS], a bit for each code point of words.
    """

    next: I32
    token: I32
    begins: U8
    id: I64
    flags: U8
    word: U8


@dataclass(frozen=True, slots=True)
class Runs:
    """Ranges of bytes of n rows. offsets: int64[n + 1]; row i has start[k], stop[k], k from offsets[i] on."""

    offsets: I64
    start: I64
    stop: I64


@dataclass(frozen=True, slots=True)
class Pieces:
    """Texts cut at added tokens: m pieces of n rows, without gaps but for the ranges of no byte.

    offsets: int64[n + 1]. start, stop: int64[m], bytes, with the white space that a token takes. id:
    int64[m], PLAIN for text. own_start, own_stop: int64[m], the token's text alone. guarded: int64[n], how
    often a row's contents, alone or with a literal, spell a guarded token.
    """

    offsets: I64
    start: I64
    stop: I64
    id: I64
    own_start: I64
    own_stop: I64
    guarded: I64

    def __len__(self) -> int:
        return len(self.id)


def added_tokens(
    contents: list[bytes], ids: list[int], flags: list[int], word: npt.NDArray[np.uint8]
) -> AddedTokens:
    """The trie of some tokens."""
    children: list[dict[int, int]] = [{}]
    ends: list[int] = [-1]
    for number, content in enumerate(contents):
        node = 0
        for byte in content:
            if byte not in children[node]:
                children[node][byte] = len(children)
                children.append({})
                ends.append(-1)
            node = children[node][byte]
        if content:
            ends[node] = number
    following = np.zeros((len(children), 256), np.int32)
    for node, table in enumerate(children):
        for byte, child in table.items():
            following[node, byte] = child
    begins = (following[0] != 0).astype(np.uint8)
    return AddedTokens(
        following, np.array(ends, np.int32), begins, np.array(ids, np.int64), np.array(flags, np.uint8), word
    )
