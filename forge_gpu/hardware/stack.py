"""Whether the GPU libraries are installed and start. None of them is ever imported in this process.

Importing is no probe: all of them import on a machine without a GPU. What counts is an allocation, made in
a process of its own, so that a broken stack takes nothing down with it.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata

from forge_gpu._version import __version__
from forge_gpu.hardware.gpus import GPUs
from forge_gpu.hardware.rates import read_rates, with_entry, write_rates
from forge_gpu.plain import frozen

LIBRARIES = {  # a library -> the distributions that provide it
    "cudf": ("cudf-cu12", "cudf-cu13", "cudf"),
    "cupy": ("cupy-cuda12x", "cupy-cuda13x", "cupy"),
    "numba-cuda": ("numba-cuda",),
    "rmm": ("rmm-cu12", "rmm-cu13", "rmm"),
    "dask-cuda": ("dask-cuda",),
}
OF_WORKERS = {"dask-cuda"}
"""What only jobs with workers on GPUs need: they say so themselves."""
REQUIREMENTS = {  # an extra -> least driver branch, least compute capability; cudf 26.10
    "cu13": (580, (7, 5)),
    "cu12": (535, (7, 0)),
}
PROBE = "forge_gpu.engine.gpu.probe"
"""The module that uses each library; it is only ever run, in a process of its own."""


@frozen
class Stack:
    """versions: library -> version, None where not installed. extra: what to install; None: nothing fits."""

    versions: dict[str, str | None]
    extra: str | None
    reason: str | None  # why no extra fits

    @property
    def missing(self) -> list[str]:
        """The libraries without which no engine runs on a GPU."""
        return [name for name in self.absent if name not in OF_WORKERS]

    @property
    def absent(self) -> list[str]:
        """All libraries of the GPU path that are not installed."""
        return [library for library, version in self.versions.items() if version is None]

    @property
    def install_command(self) -> str | None:
        return f"pip install 'forge-gpu[{self.extra}]'" if self.extra else None


def installed(version: Callable[[str], str] = metadata.version) -> dict[str, str | None]:
    """The version of each library, from the installed packages' own records."""
    result: dict[str, str | None] = {}
    for library, distributions in LIBRARIES.items():
        result[library] = None
        for distribution in distributions:
            try:
                result[library] = version(distribution)
                break
            except metadata.PackageNotFoundError:
                continue
    return result


def read_stack(gpus: GPUs, version: Callable[[str], str] = metadata.version) -> Stack:
    """What is installed, and which extra this machine's driver and GPUs can run."""
    extra, reason = _extra_for(gpus)
    return Stack(installed(version), extra, reason)


def _extra_for(gpus: GPUs) -> tuple[str | None, str | None]:
    if not gpus.devices:
        return None, "no GPU that can be used was found"
    capabilities = [gpu.compute_capability for gpu in gpus.devices if gpu.compute_capability]
    best = max(capabilities, default=None)
    branch = _branch(gpus.driver)
    for extra, (driver, capability) in REQUIREMENTS.items():
        if (branch is None or branch >= driver) and (best is None or best >= capability):
            return extra, None
    driver, capability = REQUIREMENTS["cu12"]
    return None, (
        f"driver {gpus.driver} and compute capability {best and '.'.join(map(str, best))} are below what is "
        f"needed: driver {driver} and {'.'.join(map(str, capability))}"
    )


def _branch(driver: str | None) -> int | None:
    head = (driver or "").split(".")[0]
    return int(head) if head.isdecimal() else None


def start_stack(code: str | None = None, timeout: float = 120.0) -> str | None:
    """Use the GPU with each library, in a new process. None when all is well, else one line.

    code: Python to run instead of the probe.
    """
    what = ["-m", PROBE] if code is None else ["-c", code]
    try:
        done = subprocess.run(
            [sys.executable, *what], capture_output=True, text=True, errors="replace", timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return f"the GPU libraries did not start within {timeout:g} s"
    except OSError as error:
        return f"a process to try the GPU libraries could not be started ({error})"
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"the GPU libraries end the process with signal {-done.returncode}"
    lines = done.stderr.strip().splitlines()
    return f"the GPU libraries do not start: {lines[-1] if lines else f'exit code {done.returncode}'}"


def start_stack_once(gpus: GPUs, stack: Stack, start: Callable[[], str | None] = start_stack) -> str | None:
    """As `start_stack`, which takes some ten seconds, and is not asked again after it was well: with the same
    driver, GPUs of the same kinds, and versions. What is not well is asked again each time."""
    key = _start_key(gpus, stack)
    if key in read_rates().starts:
        return None
    fault = start()
    rates = read_rates()  # a run beside this one may have written
    if fault is None:
        write_rates(rates.model_copy(update={"starts": with_entry(rates.starts, key, time.time())}))
    return fault


def forget_starts() -> None:
    """The next one is to try the libraries again: they have failed here."""
    rates = read_rates()
    if rates.starts:
        write_rates(rates.model_copy(update={"starts": {}}))


def _start_key(gpus: GPUs, stack: Stack) -> str:
    kinds = sorted({(gpu.name, gpu.compute_capability, gpu.is_mig) for gpu in gpus.devices}, key=repr)
    parts = (gpus.driver, kinds, sorted(stack.versions.items()), __version__, sys.version, sys.prefix)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
