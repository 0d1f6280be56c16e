"""Where the elements of a JSON array end, without judging what is in them.

The one rule, for cutting a stream and for finding the next element after a broken one: a backslash
takes away the meaning of the next byte; a quote toggles "in a string"; outside strings either opening
bracket is one deeper and either closing one is one less deep.
"""

from __future__ import annotations

from forge_gpu.kernels.layout import CUT, ENDED, I64, MORE, U8


def walk_array(data: U8, begin: int, want: int, state: I64) -> int:
    """Walk the bytes [begin, len(data)) of a top-level JSON array and find where it can be cut.

    data: uint8[size], a block of the stream. state: int64[4] = (depth, in_string, after_backslash,
    outcome), all zero at the start of the stream and else as the last call left it. outcome says what
    the returned index is:
    MORE: len(data); the block ended first. Call again with the next block from its first byte.
    CUT: the index after the first comma between elements whose own index is >= want. Walking on from
    there, with this state, is allowed.
    ENDED: the index of the closing bracket of the array; depth is 0. What follows is not looked at.
    """
    text = data.tobytes()
    depth, in_string, after_backslash = (int(part) for part in state[:3])
    outcome, at = MORE, len(text)
    for i in range(begin, len(text)):
        c = text[i : i + 1]
        if after_backslash:
            after_backslash = 0
        elif c == b"\\":
            after_backslash = 1
        elif c == b'"':
            in_string = 1 - in_string
        elif in_string:
            continue
        elif c in (b"{", b"["):
            depth += 1
        elif c in (b"}", b"]"):
            depth -= 1
            if depth <= 0:
                depth, outcome, at = 0, ENDED, i
                break
        elif c == b"," and depth == 1 and i >= want:
            outcome, at = CUT, i + 1
            break
    state[:4] = depth, in_string, after_backslash, outcome
    return at
