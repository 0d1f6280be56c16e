"""Makes the library of `ahead.py` for a processor that this machine does not have, or another kind of it.

Numba asks LLVM what its process runs on, keeps the answer from its first kernel on, and lowers and optimises
for it. So it is told before it is imported, in a process of its own, which cannot call what it compiles.

python -m forge_gpu.kernels.cross MACHINE FOLDER TABLE [FLAG ...]    # numba's variables name the processor
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import llvmlite.binding as llvm


def aim_at(machine: str) -> None:
    """Compile for a kind of machine with Linux, as platform.machine() says it there, such as aarch64.

    Raises RuntimeError where LLVM does not know it, or numba has looked already."""
    if machine == platform.machine():
        return
    if "numba" in sys.modules:
        raise RuntimeError("numba was imported before it was told what to compile for")
    triple = f"{machine}-unknown-linux-gnu"
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    llvm.Target.from_triple(triple)
    llvm.get_process_triple = lambda: triple


if __name__ == "__main__":
    machine, folder, like, *features = sys.argv[1:]
    aim_at(machine)
    from forge_gpu.kernels.build import build

    build(Path(folder), features, json.loads(Path(like).read_bytes())["kernels"], machine)
