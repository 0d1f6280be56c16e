"""The machine in lines for people."""

from __future__ import annotations

from forge_gpu.hardware.gpus import GPU
from forge_gpu.hardware.probe import Hardware
from forge_gpu.hardware.stack import REQUIREMENTS, Stack

GIB = 2**30


def brief(line: str) -> str:
    """A line without why there is no GPU, which `forge doctor` tells."""
    return line.partition("no GPU: ")[0] + "no GPU" if "no GPU: " in line else line


def describe(hardware: Hardware) -> list[str]:
    """One line for each thing that was found, and one for each that could not be."""
    lines = [_gpu(gpu) for gpu in hardware.gpus.devices]
    if hardware.gpus.driver:
        cuda = hardware.gpus.cuda
        lines.append(f"driver {hardware.gpus.driver}" + (f", CUDA up to {cuda[0]}.{cuda[1]}" if cuda else ""))
    if hardware.cores:
        cores = hardware.cores
        quota = f", quota {cores.quota:g}" if cores.quota is not None else ""
        lines.append(f"CPU: {cores.allowed} of {cores.installed} cores{quota}")
    if hardware.memory:
        memory = hardware.memory
        limit = " (limit of the control group)" if memory.limit else ""
        lines.append(f"memory: {memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB available{limit}")
    if hardware.disk:
        lines.append(f"disk: {hardware.disk.free / GIB:.1f} GiB free at {hardware.disk.folder}")
    return lines + list(hardware.notes)


def _gpu(gpu: GPU) -> str:
    capability = "unknown" if gpu.compute_capability is None else ".".join(map(str, gpu.compute_capability))
    others = f", {gpu.used_by_others / GIB:.1f} GiB held by other processes" if gpu.used_by_others else ""
    return (
        f"GPU {gpu.index}{' (MIG)' if gpu.is_mig else ''}: {gpu.name}, "
        f"{gpu.architecture or 'unknown architecture'}, compute capability {capability}, "
        f"{gpu.vram_free / GIB:.1f} of {gpu.vram_total / GIB:.1f} GiB free{others}"
    )


def describe_stack(stack: Stack, start_fault: str | None) -> list[str]:
    """What the GPU path has and lacks. start_fault: what `start_stack` said, None if all started."""
    result = [f"{library} {version}" for library, version in stack.versions.items() if version]
    lines = [f"installed: {', '.join(result)}"] if result else []
    if stack.absent:
        lines.append(f"not installed: {', '.join(stack.absent)}")
    if stack.reason:
        lines.append(f"the GPU path cannot be used: {stack.reason}")
        for extra, (driver, capability) in REQUIREMENTS.items() if stack.missing else ():
            needed = f"driver {driver} and compute capability {'.'.join(map(str, capability))}"
            lines.append(f"  from {needed} on it needs: pip install 'forge-gpu[{extra}]'")
    elif stack.missing:
        lines.append(f"install it with: {stack.install_command}")
    elif start_fault:
        lines += [start_fault, f"install it anew with: {stack.install_command} --force-reinstall"]
    else:
        lines.append("the GPU libraries start")
    if stack.absent and not stack.missing and stack.install_command:
        lines.append(f"{', '.join(stack.absent)} is for --workers on GPUs alone: {stack.install_command}")
    return lines
