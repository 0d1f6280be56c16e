"""The added tokens of a tokenizer, as the kernels that look for them read them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forge_gpu.kernels.layout import I32, I64, U8
from forge_gpu.plain import frozen

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

# What is said of the ids of a piece of text.
WRONG_BYTES = 1  # they spell other bytes
WRONG_SIZE = 2  # they spell another number of bytes
CONTROL = 4  # one of them is a token that text alone may not become
PREFIXED = 8  # they spell a blank before it, which it has not
EMPTY = 16  # one of them spells no byte

SIZE_BITS = 32
"""In `Spelling.entries`: of a word's size; behind them stand its flags."""

PLAIN = -1
"""The id of a piece that is no token yet, but text to encode."""

WORD_BITS = 0x110000 // 8


@frozen
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


@frozen
class Runs:
    """Ranges of bytes of n rows. offsets: int64[n + 1]; row i has start[k], stop[k], k from offsets[i] on."""

    offsets: I64
    start: I64
    stop: I64


@frozen
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


@frozen
class EncodedPieces:
    """The ids of the m pieces that are text. ids: uint32[t]; piece i has those from begin[i] to end[i] - 1:
    int64[m]. amiss: uint8[m], of the flags above. given: int64[m], -1 where the ids spell the piece; else
    where its tokens stand in `first` and `last`, which say their bytes: int64[g]."""

    ids: npt.NDArray[np.uint32]
    begin: I64
    end: I64
    amiss: U8
    given: I64
    first: I64
    last: I64


@frozen
class Spelling:
    """What ids spell. data: the bytes of all; of id i from offsets[i] on: int64[ids + 1]. entries:
    uint64[ids, 2], what is asked of each id in one place: its first eight bytes, with zeros behind a shorter
    one; its size, and above SIZE_BITS those of CONTROL, where text may not become it, and EMPTY that hold."""

    data: U8
    offsets: I64
    entries: npt.NDArray[np.uint64]


def spelling(data: U8, offsets: I64, guarded: npt.NDArray[np.bool_]) -> Spelling:
    """guarded: bool[ids], whether text may not become that id."""
    sizes = np.diff(offsets)
    entries = np.zeros((len(sizes), 2), np.uint64)
    first = entries.view(np.uint8).reshape(len(sizes), 16)
    for k in range(8):
        longer = sizes > k
        first[longer, k] = data[offsets[:-1][longer] + k]
    flags = guarded * CONTROL | (sizes == 0) * EMPTY
    entries[:, 1] = sizes | flags << SIZE_BITS
    return Spelling(data, offsets, entries)


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
