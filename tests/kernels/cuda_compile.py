"""Compiles every CUDA kernel to PTX and through ptxas, without a driver, and prints one line of JSON for
each.

Run as a process of its own for each compute capability: `python -m tests.kernels.cuda_compile 9.0`. Needs
numba-cuda, NVVM and ptxas (the extra `cuda-compile`).
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numba import cuda, types
from numba.cuda import dispatcher

from forge_gpu.kernels.cache import cache_folder
from forge_gpu.kernels.cuda import device

MODULES = (
    "pieces", "render", "hashing", "dedup", "statistics", "shingles", "minhash", "utf8", "scan", "messages",
    "sets", "union", "vm", "token_marks",
)  # fmt: skip
U8, I32, U32, I64, U64 = (
    kind[::1] for kind in (types.uint8, types.int32, types.uint32, types.int64, types.uint64)
)
TABLE, HASHES, BITS = types.int64[:, ::1], types.uint64[:, ::1], types.uint32[:, ::1]
i64, u64 = types.int64, types.uint64
PROGRAM = (TABLE, I64, TABLE, I64, I64, U8, I32, I64, I64, i64)

SIGNATURES: dict[str, list[tuple[Any, ...]]] = {
    "pieces.measure": [(U8, U64, I64, I64)],
    "pieces.write": [(U8, U64, I64, I64, U8, U64)],
    "render.count": [(*PROGRAM, I64, I64)],
    "render.describe": [(U8, i64, I64, *PROGRAM, I64, I64, I64)],
    "hashing.short64": [(U8, U64, i64, I64, U64, u64, HASHES)],
    "hashing.short128": [(U8, U64, i64, I64, U64, HASHES)],
    "hashing.long": [(U64, i64, I64, U64, U64, HASHES)],
    "dedup.insert": [(HASHES, U8, I64, u64, I64)],
    "dedup.lookup": [(I64, I64)],
    "statistics.count": [(U8, i64, I64, I32, U8, TABLE)],
    "statistics.blank": [(U8, i64, I64, U8)],
    "statistics.repeated_windows": [(U64, i64, I64, TABLE)],
    "shingles.units": [(U8, i64, I64, i64, U32, units, I64) for units in (U32, U64)],
    "minhash.signatures_of_units": [(units, I64, I64, i64, i64, U64, U32, BITS) for units in (U32, U64)],
    "minhash.bands_of_signatures": [(BITS, i64, U64, HASHES)],
    "sets.fill": [(units, I64, I64, i64, i64, U64, I64, U64, I64) for units in (U32, U64)],
    "sets.meet": [(U64, I64, TABLE, I64)],
    "union.unite": [(I64, TABLE)],
    "union.flatten": [(I64,)],
    "union.raise_nearest": [(TABLE, I64, I64)],
    "union.name_nearest": [(TABLE, I64, I64, I64)],
    "scan.count_lines": [(U64, i64, i64, I64)],
    "scan.place_lines": [(U64, i64, i64, I64, I64)],
    "scan.walk": [(U8, U64, i64, I64, U8, I64, i64, TABLE, TABLE, types.uint8[:, ::1])],
    "messages.walk": [(U8, U64, i64, I64, I64, U8, U8, I64, U8, I64, i64, I64, U8, U8, U8, I64, I64, U8)],
    "vm.sign": [(U8, I64, I64, I64, U8, I64, TABLE)],
    "vm.run": [
        (
            U8,
            I64,
            I32,
            I64,
            I64,
            I64,
            U8,
            I64,
            I64,
            I64,
            i64,
            types.boolean,
            U8,
            i64,
            I64,
            I64,
            U8,
            I64,
            I64,
            U8,
        )
    ],
    "utf8.find_faults": [(U8, U64, i64, I64, I64, U8)],
    "token_marks.count_marks": [(U64, i64, i64, I64)],
    "token_marks.place_marks": [(U64, i64, i64, I64, I64)],
    "token_marks.find_ranges": [(U8, i64, I64, I64, I64, types.boolean, I64, I64, I64, I64, I64, I64, U8)],
}


ONLY = {"vm.run": (9, 0)}
"""Kernels that are compiled for one capability: this one takes NVVM most of a minute."""


def tool_path(name: str) -> str | None:
    """A tool of the nvidia packages, or of the PATH."""
    for folder in sys.path:
        for result in Path(folder).glob(f"nvidia/**/bin/{name}") if folder else ():
            return str(result)
    return shutil.which(name)


class StandIn:
    """What numba asks for the capability when a kernel calls a device function: here is no device."""

    def __init__(self, capability: tuple[int, int]) -> None:
        self.compute_capability = capability


def compiled(capability: tuple[int, int]) -> Iterator[tuple[str, int, str]]:
    """(kernel, which of its signatures, PTX) of all kernels."""
    dispatcher.get_current_device = lambda: StandIn(capability)
    for module in MODULES:
        importlib.import_module(f"forge_gpu.kernels.cuda.{module}")
    missing = set(device.KERNELS) ^ set(SIGNATURES)
    if missing:
        raise SystemExit(f"kernels and signatures differ: {sorted(missing)}")
    for name, signatures in SIGNATURES.items():
        if ONLY.get(name, capability) != capability:
            continue
        for number, signature in enumerate(signatures):
            ptx, _ = cuda.compile_ptx(device.KERNELS[name], types.void(*signature), cc=capability)
            yield name, number, ptx


def compile_all(capability: tuple[int, int]) -> None:
    for name, number, ptx in compiled(capability):
        result = {"kernel": name, "types": number, "capability": capability, "kept": _is_kept(name)}
        print(json.dumps(result | _judged(ptx, capability, device.REGISTERS.get(name))), flush=True)


def _is_kept(name: str) -> bool:
    """Whether what a kernel is compiled to stays on disk, in the folder keyed by all kernels' sources."""
    module, kernel = name.split(".")
    dispatcher = getattr(importlib.import_module(f"forge_gpu.kernels.cuda.{module}"), kernel)
    return Path(dispatcher._cache.cache_path).is_relative_to(cache_folder())


def assembled(
    ptx: str, capability: tuple[int, int], target: Path, registers: int | None = None
) -> subprocess.CompletedProcess[str]:
    """What ptxas says of a kernel; its machine code is in `target`. registers: at most so many, None: any."""
    ptxas = tool_path("ptxas")
    if ptxas is None:
        raise SystemExit("ptxas was not found: pip install 'forge-gpu[cuda-compile]'")
    architecture = f"sm_{capability[0]}{capability[1]}"
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as source:
        source.write(ptx)
        source.flush()
        bound = [] if registers is None else [f"-maxrregcount={registers}"]
        command = [ptxas, "-v", *bound, f"-arch={architecture}", source.name, "-o", str(target)]
        return subprocess.run(command, capture_output=True, text=True)


def _judged(ptx: str, capability: tuple[int, int], registers: int | None) -> dict[str, object]:
    done = assembled(ptx, capability, Path(os.devnull), registers)
    if done.returncode:
        return {"error": done.stderr.strip()}
    report = done.stderr
    stack, stores, loads = (
        max(map(int, result), default=0)
        for result in zip(
            *re.findall(
                r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", report
            ),
            strict=True,
        )
    )
    used = max(int(count) for count in re.findall(r"Used (\d+) registers", report))
    return {
        "registers": used,
        "stack": stack,
        "spills": stores + loads,
        "local": ptx.count(".local"),
        "wide_shared_atomics": len(re.findall(r"atom\.shared\.add\.[us]64", ptx)),
    }


if __name__ == "__main__":
    major, minor = sys.argv[1].split(".")
    compile_all((int(major), int(minor)))
