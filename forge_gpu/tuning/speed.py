"""Threads and the size of chunks, by seconds: runs of a part, the slower half of which goes each time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import product
from typing import Any

from forge_gpu.foretell.sample import Run
from forge_gpu.hardware.host import read_cores
from forge_gpu.io.disk import size_text
from forge_gpu.plain import mutable
from forge_gpu.tuning.look import Look
from forge_gpu.tuning.trade import Candidate, Trade, Wishes

THREADS, CHUNK = "preprocessing.memory.threads", "preprocessing.chunk_size"
FIRST = 2**20
"""Bytes of the first round."""
GROWTH = 4
TIMES = 2
"""That each is run in a round; the faster one counts."""
CHUNKS = (4, 16)
"""Parts of a chunk as it is that are tried as chunks."""
WORTH = 0.05
"""Of the seconds: what is to be saved for a plan to change."""
MIB = 2**20


@mutable
class _Try:
    threads: int | str
    chunk: int | str
    seconds: float = 0.0

    @property
    def settings(self) -> dict[str, Any]:
        return {THREADS: self.threads, CHUNK: self.chunk}


def speed(look: Look, wishes: Wishes) -> Trade | str:
    """The fastest of the settings that no byte of the output depends on."""
    if look.total < FIRST:
        return f"{size_text(look.total)} of input: they are done before a setting can tell"
    ends = time.monotonic() + wishes.seconds
    size = FIRST
    warm = _run(look, None, size)  # what starts once counts for none
    tries = _tries(look, warm)
    left: Sequence[_Try] = tries
    while True:
        began = time.monotonic()
        for each in left:
            each.seconds = math.inf
        for _, each in product(range(TIMES), left):  # interleaved: what disturbs one disturbs the next too
            run = _run(look, each, size)
            each.seconds = min(each.seconds, run.working / max(run.pieces.bytes / MIB, 1e-9))
        spent = time.monotonic() - began
        left = sorted(left, key=lambda each: each.seconds)[: max(2, -(-len(left) // 2))]
        size *= GROWTH
        if size > look.total or time.monotonic() + GROWTH * spent / 2 > ends:
            break
    best, now = left[0], tries[0]
    stays = best.seconds >= (1 - WORTH) * now.seconds
    chosen = tries.index(now if stays else best)
    why = (
        f"no other is faster by more than {WORTH:.0%}"
        if stays
        else f"{1 - best.seconds / now.seconds:.0%} faster than the plan as it is"
    )
    candidates = [Candidate(each.settings, {"seconds_a_mib": each.seconds}) for each in tries]
    return Trade("speed", {"seconds_a_mib": "least"}, candidates, chosen, why, by_seconds=True)


def _tries(look: Look, run: Run) -> list[_Try]:
    """The plan as it is, first, and others."""
    preprocessing = look.config.preprocessing
    now = _Try(preprocessing.memory.threads, preprocessing.chunk_size)
    cores = read_cores()
    most = cores.allowed if cores else 1
    threads = dict.fromkeys([now.threads, *(2**n for n in range(most.bit_length())), most])
    row_bytes = run.pieces.bytes / max(run.manifest["rows"], 1)
    chunk_bytes = look.sampler({}).budget.chunk_bytes
    rows = [max(64, int(chunk_bytes / divisor / row_bytes)) for divisor in CHUNKS]
    chunks = dict.fromkeys([now.chunk, *rows])
    others = [_Try(each, chunk) for each in threads for chunk in chunks]
    return [now, *(each for each in others if each.settings != now.settings)]


def _run(look: Look, each: _Try | None, size: int) -> Run:
    changes: dict[str, dict[str, Any]] = {"output": {"report": False}}
    if each is not None:
        memory = look.config.preprocessing.memory.model_copy(update={"threads": each.threads})
        changes["preprocessing"] = {"memory": memory, "chunk_size": each.chunk}
    return look.sampler(changes)(size)
