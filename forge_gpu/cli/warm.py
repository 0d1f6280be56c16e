"""`forge warm`: compile the kernels into their cache, so that no later run has to."""

from __future__ import annotations

import time


def warm() -> None:
    """Compile all CPU kernels into the cache (some seconds, once for every version and processor)."""
    from forge_gpu.job.warm import compile_all
    from forge_gpu.kernels.compiled import cache_folder

    began = time.monotonic()
    count = compile_all()
    print(f"{count} kernels are compiled in {cache_folder()} ({time.monotonic() - began:.1f} s)")
