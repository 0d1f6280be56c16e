"""Two small kernels: one that a test warms, and one that it does not."""

from __future__ import annotations

from typing import Any

from forge_gpu.kernels.compiled import kernel


@kernel
def warmed(count: Any) -> Any:
    return count + 1


@kernel
def cold(count: Any) -> Any:
    return count + 2


def hits() -> str:
    """What both give, and how often the cache had them."""
    results = warmed(1), cold(1)
    return f"{results} {[sum(each.stats.cache_hits.values()) for each in (warmed, cold)]}"
