"""Where the added tokens of a tokenizer stand in texts, and what stands between them.

Source: `tokenizers` 0.23, `added_vocabulary.rs`: tokens are found from left to right, of several that begin
at a place the longest; those that are looked for in normalised text come after the others, in what is left.
"""

from __future__ import annotations

import numpy as np

from forge_gpu.kernels.layout import U8, Text
from forge_gpu.kernels.token_layout import (
    GUARDED,
    LSTRIP,
    NORMALIZED,
    PLAIN,
    RSTRIP,
    SINGLE_WORD,
    AddedTokens,
    Pieces,
    Runs,
)

WHITE_SPACE = frozenset(
    (
        *range(0x9, 0xE),
        0x20,
        0x85,
        0xA0,
        0x1680,
        *range(0x2000, 0x200B),
        0x2028,
        0x2029,
        0x202F,
        0x205F,
        0x3000,
    )
)
"""Unicode's White_Space, as `\\s` of Rust has it."""

Piece = tuple[int, int, int, int, int, bool]
"""start, stop, id, own start, own stop, guarded."""


def cut(texts: Text, runs: Runs, tokens: AddedTokens) -> Pieces:
    """Cut texts of UTF-8 at added tokens. runs: of each row, the ranges that literals of the template wrote,
    in order and apart.

    Where every guarded token lies within a run, all tokens are cut as the library does. Else guarded ones
    count within runs only, and the others in what is left.
    """
    pieces: list[Piece] = []
    offsets, guarded = [0], []
    for row in range(len(texts)):
        begin, end = int(texts.offsets[row]), int(texts.offsets[row + 1])
        own = range(runs.offsets[row], runs.offsets[row + 1])
        inside = [(int(runs.start[k]), int(runs.stop[k])) for k in own]
        made, forged = _cut_row(texts.data, begin, end, inside, tokens)
        pieces += made
        offsets.append(len(pieces))
        guarded.append(forged)
    start, stop, identity, own_start, own_stop = (
        np.array([piece[k] for piece in pieces], np.int64) for k in range(5)
    )
    return Pieces(
        np.array(offsets, np.int64), start, stop, identity, own_start, own_stop, np.array(guarded, np.int64)
    )


def _cut_row(
    data: U8, begin: int, end: int, inside: list[tuple[int, int]], tokens: AddedTokens
) -> tuple[list[Piece], int]:
    whole: list[Piece] = [(begin, end, PLAIN, begin, end, False)] if end > begin else []
    joint = _refine(data, whole, None, tokens, NORMALIZED, 0)
    joint = _refine(data, joint, None, tokens, NORMALIZED, NORMALIZED)
    forged = sum(
        piece[5] and not any(low <= piece[3] and piece[4] <= high for low, high in inside) for piece in joint
    )
    if not forged:
        return joint, 0
    both = GUARDED | NORMALIZED
    for value, within in ((GUARDED, inside), (both, inside), (0, None), (NORMALIZED, None)):
        whole = _refine(data, whole, within, tokens, both, value)
    return whole, forged


def _refine(
    data: U8,
    pieces: list[Piece],
    within: list[tuple[int, int]] | None,
    tokens: AddedTokens,
    mask: int,
    value: int,
) -> list[Piece]:
    """Cut what is text at the tokens whose flags, masked, are `value`; `within` some ranges only."""
    refined: list[Piece] = []
    for piece in pieces:
        begin, end = piece[:2]
        if piece[2] != PLAIN:
            refined.append(piece)
            continue
        done = begin
        ranges = [(begin, end)] if within is None else within
        for low, high in ranges:
            at = max(low, begin)
            limit = min(high, end)
            while at < limit:
                number, stop = _match(data, at, limit, tokens, mask, value)
                if number < 0:
                    at += 1
                    continue
                flags = tokens.flags[number]
                if flags & SINGLE_WORD and _beside_word(data, at, stop, begin, end, tokens):
                    at = stop
                    continue
                first, last = at, stop
                while flags & LSTRIP and first > begin and _space_before(data, first, begin):
                    first -= _space_before(data, first, begin)
                first = max(first, done) if flags & LSTRIP else first
                while flags & RSTRIP and last < end and _space_at(data, last, end):
                    last += _space_at(data, last, end)
                if done < first:
                    refined.append((done, first, PLAIN, done, first, False))
                refined.append((first, last, int(tokens.id[number]), at, stop, bool(flags & GUARDED)))
                done, at = last, stop
        if done < end:
            refined.append((done, end, PLAIN, done, end, False))
    return refined


def _match(data: U8, at: int, limit: int, tokens: AddedTokens, mask: int, value: int) -> tuple[int, int]:
    """The longest token that begins here, and where it ends."""
    node, result, stop = 0, -1, at
    while at < limit:
        node = int(tokens.next[node, data[at]])
        if node == 0:
            break
        at += 1
        number = int(tokens.token[node])
        if number >= 0 and tokens.flags[number] & mask == value:
            result, stop = number, at
    return result, stop


def _beside_word(data: U8, at: int, stop: int, begin: int, end: int, tokens: AddedTokens) -> bool:
    before = data[begin:at].tobytes().decode()[-1:]
    behind = data[stop:end].tobytes().decode()[:1]
    return any(tokens.word[ord(each) >> 3] >> (ord(each) & 7) & 1 for each in before + behind)


def _space_before(data: U8, at: int, begin: int) -> int:
    """The bytes of the white space before a place; 0 where there is none."""
    character = data[begin:at].tobytes().decode()[-1:]
    return len(character.encode()) if character and ord(character) in WHITE_SPACE else 0


def _space_at(data: U8, at: int, end: int) -> int:
    character = data[at:end].tobytes().decode(errors="ignore")[:1]
    return len(character.encode()) if character and ord(character) in WHITE_SPACE else 0
