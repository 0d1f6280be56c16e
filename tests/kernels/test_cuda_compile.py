"""Every CUDA kernel compiles to PTX and through ptxas, without a driver; registers and spills are bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPY_KERNELS = {"pieces.measure", "pieces.write", "render.count", "render.describe"}
PLAIN = {"registers": 64, "stack": 0, "spills": 0}
"""With more registers, an SM of sm_80 or sm_90 (65,536 of them) holds fewer than 32 warps."""

MACHINE = {"registers": 168, "stack": 512, "spills": 0}
"""Of the template VM's kernels, the most: their large functions are called, with a frame each."""


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["8.0", "9.0"])
def test_every_kernel_compiles(capability: str) -> None:
    if find_spec("numba_cuda") is None:
        if os.environ.get("FORGE_REQUIRE_CUDA_COMPILE") == "1":
            pytest.fail("numba-cuda is missing: pip install 'forge-gpu[cuda-compile]'")
        pytest.skip("the extra cuda-compile is not installed")
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    command = [sys.executable, "-m", "tests.kernels.cuda_compile", capability]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    result = [json.loads(line) for line in done.stdout.splitlines()]
    for kernel in result:
        print(kernel)
    names = {kernel["kernel"] for kernel in result}
    assert names >= COPY_KERNELS and ("vm.run" in names) == (capability == "9.0")
    for kernel in result:
        assert "error" not in kernel and kernel["kept"], kernel
        most = MACHINE if kernel["kernel"].startswith("vm.") else PLAIN
        assert all(kernel[name] <= bound for name, bound in most.items()), kernel
        assert kernel["wide_shared_atomics"] == 0, "an addition of 64 bits in shared memory is a loop of CAS"
