"""Make the libraries of kernels that a wheel for Linux carries, one for each level of processors.

    python -m tools.ship_kernels [MACHINE ...]    # after `forge warm`; x86_64 and aarch64 without any

Each takes about as long as `forge warm`; those for other machines than this one need a linker for them, such
as Debian's binutils-aarch64-linux-gnu. They go into the package; the newest that a processor can run is used
where the user's cache has none of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from forge_gpu.container.levels import environment, flags_of_levels
from forge_gpu.kernels.ahead import SHIPPED, TABLE
from forge_gpu.kernels.cache import KERNELS
from forge_gpu.kernels.compiled import LIBRARY


def main(machines: Sequence[str] = (), shipped: Path = KERNELS / SHIPPED) -> int:
    """Make those of some machines, or of all, below a folder."""
    if LIBRARY is None:
        print("there is no library to take the calls from: run `forge warm` first", file=sys.stderr)
        return 2
    for machine in machines or flags_of_levels():
        flags: list[str] = []
        for level, added in flags_of_levels()[machine].items():
            flags += added
            folder = shipped / level
            arguments = machine, str(folder), str(LIBRARY.path.with_name(TABLE)), *flags
            with TemporaryDirectory() as caches:
                subprocess.run(
                    [sys.executable, "-m", "forge_gpu.kernels.cross", *arguments],
                    env=os.environ | environment(level, Path(caches)) | {"FORGE_KERNELS": "jit"},
                    check=True,
                )
            print(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir())} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
