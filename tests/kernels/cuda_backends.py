"""The kernels of each engine behind one face, so that one test body runs on all of them.

cpu: `kernels/cpu`. sim: `kernels/cuda` in numba's simulator, where NUMBA_ENABLE_CUDASIM=1 is set. gpu:
`kernels/cuda` on a GPU, where there is one; with FORGE_REQUIRE_GPU=1 its absence is a failure.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest

from forge_gpu.kernels.layout import Text
from forge_gpu.kernels.scratch import Scratch

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
BACKENDS = [
    "cpu",
    pytest.param("sim", marks=pytest.mark.sim),
    pytest.param("gpu", marks=pytest.mark.gpu),
]
CPU_NAMES = {"render.decode": "jsontext.decode"}
OWN_MEMORY = {"dedup.first_occurrence", "minhash.signatures", "minhash.band_hashes", "utf8.valid_utf8"}
"""CPU kernels that take no scratch."""


class Kernels:
    """Calls `subject.function` of an engine with host arrays; what comes back is on the host."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._device: Any = open_device(name)

    def __call__(self, kernel: str, *arguments: Any) -> Any:
        if self._device is None:
            subject, function = CPU_NAMES.get(kernel, kernel).split(".")
            module = importlib.import_module(f"forge_gpu.kernels.cpu.{subject}")
            last = [] if kernel in OWN_MEMORY else [Scratch()]
            return getattr(module, function)(*arguments, *last)
        subject, function = kernel.split(".")
        module = importlib.import_module(f"forge_gpu.kernels.cuda.{subject}")
        return self._host(getattr(module, function)(*arguments, self._device))

    def statistics(self, text: Text, repetition: bool) -> Any:
        if self._device is None:
            pytest.skip("the CPU's kernel gives no counts; test_kernels_statistics has it")
        module = importlib.import_module("forge_gpu.kernels.cuda.statistics")
        return self._host(module.text_statistics(text, self._device, repetition))

    def _host(self, result: Any) -> Any:
        if isinstance(result, Text):
            return Text(self._device.download(result.data), self._device.download(result.offsets))
        if isinstance(result, tuple):
            return type(result)(*map(self._host, result))
        return self._device.download(result)


def open_device(name: str) -> Any:
    """The device of a backend, None for the CPU's; skips or fails the test where it cannot be had."""
    if name == "sim":
        if not SIMULATED:
            pytest.skip("runs in a process of its own, with NUMBA_ENABLE_CUDASIM=1")
        from tests.kernels.simulated_device import SimulatedDevice

        return SimulatedDevice()
    if name == "gpu":
        why = _no_gpu()
        if why is not None:
            if os.environ.get("FORGE_REQUIRE_GPU") == "1":
                pytest.fail(f"FORGE_REQUIRE_GPU=1, but {why}")
            pytest.skip(why)
        return entered_gpu()
    return None


@cache
def _no_gpu() -> str | None:
    """Why there is no GPU to test on; None where there is one."""
    if SIMULATED:
        return "the simulator is on"
    from forge_gpu.engine.choose import engine_factory

    result = engine_factory("auto")
    return None if result.name == "gpu" else result.reason


def entered_gpu() -> Any:
    """The first GPU, entered, with cupy's own pool."""
    import cupy

    from forge_gpu.engine.gpu.device import CupyDevice

    return CupyDevice(0, cupy.get_default_memory_pool().malloc).__enter__()


def equal(result: Any, expected: Any) -> bool:
    """Whether two arrays, or tuples of arrays, are the same."""
    if isinstance(expected, tuple):
        return all(map(equal, result, expected))
    return bool(np.array_equal(result, expected))


def run_simulated(test_file: str) -> None:
    """Run the simulator's tests of a file, in a process that has it; all of them, skipping none."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-o", "addopts="]
    command += ["-k", "sim and not simulator", test_file]
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    last = done.stdout.splitlines()[-1]
    assert " passed" in last and " skipped" not in last, last
