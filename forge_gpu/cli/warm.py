"""`forge warm`: compile the kernels into their cache, so that no later run has to."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer


def warm(
    levels: Annotated[
        bool,
        typer.Option(
            "--levels",
            help="For each level of processors that this one has, into a folder of its own: for images.",
        ),
    ] = False,
) -> None:
    """Compile all CPU kernels into the cache: a minute or two, once for every version and processor."""
    began = time.monotonic()
    if levels:
        from forge_gpu.container.levels import caches, warm_levels

        folder = caches()
        made = warm_levels(folder)
        done = f"kernels of {', '.join(made) or 'no level'} are compiled in {folder}"
    else:
        from forge_gpu.job.warm import compile_all
        from forge_gpu.kernels.cache import cache_folder

        done = f"{compile_all(_show)} kernels are compiled in {cache_folder()}"
    print(f"{done} ({time.monotonic() - began:.1f} s)")


def _show(number: int, count: int) -> None:
    """Progress, beside the result: the first job compiles the most."""
    print(f"compiling kernels: {number} of {count}", file=sys.stderr, flush=True)
