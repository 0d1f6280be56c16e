"""What this machine has and lacks, in titled sections of lines: what `forge doctor` shows."""

from __future__ import annotations

from forge_gpu.hardware.describe import describe, describe_stack
from forge_gpu.hardware.probe import probe
from forge_gpu.hardware.stack import read_stack, start_stack
from forge_gpu.report.optional import optional_lines
from forge_gpu.sandbox.layers import describe as describe_layers
from forge_gpu.sandbox.layers import read_layers


def sections() -> list[tuple[str, list[str]]]:
    """Hardware, the GPU path, what a sandbox can close here, and what is optional."""
    hardware = probe()
    stack = read_stack(hardware.gpus)
    fault = start_stack() if hardware.gpus.devices and not stack.missing else None
    return [
        ("Hardware", list(describe(hardware))),
        ("GPU path", list(describe_stack(stack, fault))),
        ("Sandbox of transforms", list(describe_layers(read_layers()))),
        ("Optional", optional_lines()),
    ]
