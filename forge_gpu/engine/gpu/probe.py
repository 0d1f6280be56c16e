"""Starts the GPU libraries and uses each: `python -m forge_gpu.engine.gpu.probe`, in a process of its own.

Importing is no probe: all of them import on a machine without a GPU. A broken stack may end this process; its
last line of stderr, or its signal, is what there is to say. Prints one line of JSON when all is well.
"""

from __future__ import annotations

import json
from typing import Any


def probe() -> dict[str, Any]:
    """Allocate with rmm, add with cupy, read strings with cudf, run one of Forge's own kernels.

    Returns the versions of the CUDA driver and runtime, and the device's name, capability and memory in
    bytes. Raises whatever the libraries raise, and RuntimeError where a result is wrong.
    """
    import cudf
    import cupy
    import numpy as np
    import rmm
    from numba import cuda

    from forge_gpu.engine.gpu.device import CupyDevice
    from forge_gpu.kernels.cuda.hashing import xxh3_128
    from forge_gpu.kernels.reference.hashing import hash128
    from forge_gpu.kernels.reference.jsontext import text_of

    rmm.DeviceBuffer(size=1 << 20)
    _expect("cupy", int(cupy.arange(4, dtype="int64").sum()), 6)
    _expect("cudf", int(cudf.Series(["a", "b"]).str.len().sum()), 2)
    _expect("numba-cuda", bool(cuda.is_available()), True)
    rows = [b"", b"forge", bytes(range(256)) * 2]
    device = CupyDevice(0, cupy.get_default_memory_pool().malloc)
    with device:
        hashes = device.download(xxh3_128(text_of(rows), device))
    _expect("a kernel", hashes.tolist(), [list(map(int, hash128(row))) for row in rows])
    runtime = cupy.cuda.runtime
    free, total = runtime.memGetInfo()
    properties = runtime.getDeviceProperties(0)
    return {
        "driver": runtime.driverGetVersion(),
        "runtime": runtime.runtimeGetVersion(),
        "name": properties["name"].decode(),
        "capability": [properties["major"], properties["minor"]],
        "free": int(free),
        "total": int(total),
        "numpy": np.__version__,
    }


def _expect(library: str, result: object, expected: object) -> None:
    if result != expected:
        raise RuntimeError(f"{library} gives {result!r} instead of {expected!r}")


if __name__ == "__main__":
    print(json.dumps(probe()))
