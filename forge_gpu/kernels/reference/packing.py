"""Rows into packs of a bounded length, best fit decreasing, as TRL's `_pack_bfd` does it over one table."""

from __future__ import annotations

from collections import defaultdict, deque

import numpy as np
import numpy.typing as npt

U32 = npt.NDArray[np.uint32]


def best_fit(lengths: U32, most: int) -> tuple[U32, U32]:
    """(uint32[n, 2], the pack of each row and its place there; uint32[p], how many rows each pack has).

    lengths: uint32[n], in tokens, none above `most`. Rows are taken from the longest to the shortest, those
    of a length in their order. Each goes to the pack with the least room that it fits in: of several the one
    that has had this room the longest; to a new one where it fits in none. A pack that is full, and an empty
    one, is in no list.
    """
    places = np.zeros((len(lengths), 2), np.uint32)
    rows: list[int] = []
    packs_of: defaultdict[int, deque[int]] = defaultdict(deque)
    for row in np.argsort(-lengths.astype(np.int64), kind="stable").tolist():
        length = int(lengths[row])
        room = min((room for room, packs in packs_of.items() if packs and room >= length), default=most)
        if room < most:
            chosen = packs_of[room].popleft()
        else:
            chosen = len(rows)
            rows.append(0)
        places[row] = chosen, rows[chosen]
        rows[chosen] += 1
        if 0 < room - length < most:
            packs_of[room - length].append(chosen)
    return places, np.array(rows, np.uint32)
