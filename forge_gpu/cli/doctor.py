"""`forge doctor`."""

from __future__ import annotations


def doctor() -> None:
    """Show what this machine has, what the GPU path lacks, and what is optional."""
    from forge_gpu.cli.sections import show
    from forge_gpu.report.doctor import sections

    show(sections())
