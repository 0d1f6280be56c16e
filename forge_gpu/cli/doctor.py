"""`forge doctor`."""

from __future__ import annotations


def doctor() -> None:
    """Show what this machine has, what the GPU path lacks, and what is optional."""
    from forge_gpu.cli.sections import show
    from forge_gpu.hardware.describe import describe, describe_stack
    from forge_gpu.hardware.probe import probe
    from forge_gpu.hardware.stack import read_stack, start_stack
    from forge_gpu.report.optional import optional_lines
    from forge_gpu.sandbox.layers import describe as describe_layers
    from forge_gpu.sandbox.layers import read_layers

    hardware = probe()
    stack = read_stack(hardware.gpus)
    fault = start_stack() if hardware.gpus.devices and not stack.missing else None
    show(
        [
            ("Hardware", describe(hardware)),
            ("GPU path", describe_stack(stack, fault)),
            ("Sandbox of transforms", describe_layers(read_layers())),
            ("Optional", optional_lines()),
        ]
    )
