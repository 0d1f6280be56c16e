"""Levels of processors, so that an image can hold the kernels of processors that it was not built on.

Kernels are compiled for a level where numba is told so before it is imported, by its own variables; the cache
of each level is a folder of that name.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path

from forge_gpu.errors import ForgeError

_NAMES_OF_LLVM = {"armv8-a": "generic"}
"""Of the levels that LLVM calls otherwise."""


@cache
def flags_of_levels() -> dict[str, dict[str, list[str]]]:
    """By the kind of machine, as platform.machine() says it: the flags of /proc/cpuinfo that each level adds
    to the one before, lowest level first."""
    from ruamel.yaml import YAML

    text = resources.files("forge_gpu.container").joinpath("levels.yaml").read_text("utf-8")
    table: dict[str, dict[str, list[str]]] = YAML(typ="safe", pure=True).load(text)
    return table


def levels(root: Path = Path("/")) -> list[str]:
    """The levels that this machine's processor has, lowest first; none where its kind has no levels."""
    try:
        lines = (root / "proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    told = (line.partition(":")[2].split() for line in lines if line.startswith(("flags", "Features")))
    flags = set(next(told, ()))
    result = []
    for level, needed in flags_of_levels().get(platform.machine(), {}).items():
        if not flags.issuperset(needed):
            break
        result.append(level)
    return result


def best_level(held: Sequence[str], root: Path = Path("/")) -> str | None:
    """The highest level of this machine's processor among those that an image holds."""
    return next((level for level in reversed(levels(root)) if level in held), None)


def environment(level: str, caches: Path) -> dict[str, str]:
    """The variables that make a process compile for a level, and keep what it compiled below `caches`."""
    return {
        "NUMBA_CPU_NAME": _NAMES_OF_LLVM.get(level, level),
        "NUMBA_CPU_FEATURES": "",  # those of the level
        "FORGE_CACHE_DIR": str(caches / level),
    }


def caches() -> Path:
    """Where this process keeps kernels, whatever they are compiled for."""
    from forge_gpu.kernels.cache import cache_folder

    return cache_folder().parents[1]


def warm_levels(caches: Path) -> list[str]:
    """Compile all kernels for each level of this processor, below `caches`. Raises ForgeError."""
    made = levels()
    for level in made:
        done = subprocess.run(
            [sys.executable, "-c", "from forge_gpu.job.warm import compile_all; compile_all()"],
            env=os.environ | environment(level, caches),
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ForgeError(f"the kernels of {level} cannot be compiled: {done.stderr.strip()}")
    return made
