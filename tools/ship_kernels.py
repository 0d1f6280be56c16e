"""Make the libraries of kernels that a wheel for Linux on x86-64 carries, one for each level of processors.

    python -m tools.ship_kernels    # after `forge warm`

Each takes about as long as `forge warm`. They go into the package; the newest that a processor can run is
used where the user's cache has none of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from forge_gpu.container.levels import environment, flags_of_levels
from forge_gpu.kernels.ahead import SHIPPED, TABLE
from forge_gpu.kernels.cache import KERNELS
from forge_gpu.kernels.compiled import LIBRARY


def main() -> int:
    if LIBRARY is None:
        print("there is no library to take the calls from: run `forge warm` first", file=sys.stderr)
        return 2
    flags: list[str] = []
    for level, added in flags_of_levels().items():
        flags += added
        folder = KERNELS / SHIPPED / level
        with TemporaryDirectory() as caches:
            subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "forge_gpu.kernels.build",
                    folder,
                    LIBRARY.path.with_name(TABLE),
                    *flags,
                ],
                env=os.environ | environment(level, Path(caches)) | {"FORGE_KERNELS": "jit"},
                check=True,
            )
        print(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir())} bytes", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
