"""Whether the GPU is to do the work, and why or why not."""

from __future__ import annotations

from importlib.util import find_spec

from forge_gpu.errors import ForgeError
from forge_gpu.hardware.describe import brief
from forge_gpu.hardware.probe import Hardware
from forge_gpu.hardware.rates import NEVER, read_rates, worth_gpu
from forge_gpu.hardware.stack import Stack


def decide_engine(engine: str, hardware: Hardware, stack: Stack, size: int | None) -> tuple[bool, str]:
    """(use the GPU, why). engine: auto, cpu or gpu. size: bytes of input, None where not known.

    Raises ForgeError where the GPU was asked for and cannot be used.
    """
    if engine == "cpu":
        return False, "the CPU, as asked for"
    obstacle = _obstacle(hardware, stack)
    if engine == "gpu":
        if obstacle:
            raise ForgeError(f"--engine gpu: {obstacle}; 'forge doctor' says what is missing")
        return True, "the GPU, as asked for"
    if obstacle:
        return False, f"the CPU: {obstacle}"
    rates = read_rates()
    worth = worth_gpu(rates, hardware.cores.allowed if hardware.cores else 1)
    if size is not None and size < worth:
        much = f"{size / 2**20:.0f} MiB of input is less than a GPU is worth starting for"
        return False, f"the CPU: {much} ({_how_much(worth, 'gpu' in rates.engines)})"
    gpu = hardware.best_gpu
    return True, f"the GPU: {gpu.name if gpu else ''} can be used and its libraries are installed"


def _how_much(worth: int, has_run: bool) -> str:
    """has_run: whether a run here has used the GPU."""
    if worth >= NEVER:
        return "runs here were no faster on it"
    return f"{worth / 2**30:.1f} GiB, {'as runs here tell' if has_run else 'by what a GPU could save'}"


def _obstacle(hardware: Hardware, stack: Stack) -> str | None:
    if hardware.best_gpu is None:
        return brief(next((note for note in hardware.gpus.notes if "GPU" in note), "no GPU was found"))
    if stack.reason:
        return stack.reason
    if stack.missing:
        return f"{', '.join(stack.missing)} not installed; {stack.install_command}"
    if find_spec("forge_gpu.engine.gpu") is None:
        return "this version of Forge has no GPU engine"
    return None
