"""What Python knows of code points, as the template VM's kernels read it: one buffer of bytes.

A bit for each code point, the highest of a byte first: str.isprintable. Then, for each code point below
TWO_BYTES (those that UTF-8 spells in two bytes), uint16 its lower and uint16 its upper case; 0 where it is no
such code point alone, or depends on what stands around. Then a bit for each below LAST_CASED: has it no other
case? What is above stays unknown.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from forge_gpu.kernels.layout import U8

CODE_POINTS, TWO_BYTES, LAST_CASED = 0x110000, 0x800, 0x20000
CASES = CODE_POINTS // 8  # where they begin in the buffer
CASELESS = CASES + 4 * TWO_BYTES
FINAL_SIGMA = "Σ"  # in lower case another letter at the end of a word


def other_case(character: str, upper: bool) -> str | None:
    """A character that is not ASCII in lower or upper case; None where the tables do not know it."""
    code, changed = ord(character), character.upper() if upper else character.lower()
    if code >= TWO_BYTES:
        same = character.lower() == character.upper() == character.title() == character
        return character if code < LAST_CASED and same else None
    is_simple = len(changed) == 1 and 0x80 <= ord(changed) < TWO_BYTES
    is_sure = changed == character.title() if upper else character != FINAL_SIGMA
    return changed if is_simple and is_sure else None


@cache
def tables() -> U8:
    """They do not change."""
    printable = np.fromiter((chr(code).isprintable() for code in range(CODE_POINTS)), np.bool_, CODE_POINTS)
    pairs = np.zeros((TWO_BYTES, 2), "<u2")
    for code in range(0x80, TWO_BYTES):
        pairs[code] = [ord(other_case(chr(code), upper) or "\0") for upper in (False, True)]
    known = (code >= TWO_BYTES and other_case(chr(code), False) is not None for code in range(LAST_CASED))
    caseless = np.fromiter(known, np.bool_, LAST_CASED)
    return np.concatenate([np.packbits(printable), pairs.view(np.uint8).ravel(), np.packbits(caseless)])
