"""Which image a job runs in: by the GPU architecture, as `forge:sm_90`, or `forge:cpu`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict

from forge_gpu.hardware.gpus import GPU, GPUs
from forge_gpu.hardware.stack import REQUIREMENTS, read_stack
from forge_gpu.plain import frozen

REPOSITORY = "forge"
CPU = "cpu"
VARIANT_LABEL = "forge.variant"
"""Which of the images of Forge an image is: cpu, cu12 or cu13."""
MAKERS_LABEL = "forge.makers"
"""A digest of the sources and the libraries that make bytes in an image."""
LEVELS_LABEL = "forge.levels"
"""The processor levels whose kernels an image holds, with commas."""


class Variant(BaseModel):
    """One image of Forge: how it is built, and which architectures it serves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    arguments: dict[str, str] = {}
    architectures: list[str]

    @property
    def tags(self) -> list[str]:
        return [get_container_for_arch(arch) for arch in self.architectures]


@cache
def variants() -> dict[str, Variant]:
    """cpu, cu12, cu13 -> what `images.yaml` says of it."""
    from ruamel.yaml import YAML

    text = resources.files("forge_gpu.container").joinpath("images.yaml").read_text("utf-8")
    table: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return {name: Variant.model_validate(values) for name, values in table.items()}


@frozen
class Choice:
    """An image for a machine. variant: which one it must be. gpus: those that it can use."""

    image: str
    variant: str
    gpus: Sequence[GPU] = field(default=())


def get_container_for_arch(arch: str | None) -> str:
    """The image of an architecture as `arch_of` names it; None is a machine without a usable GPU."""
    return f"{REPOSITORY}:{arch or CPU}"


def arch_of(capability: tuple[int, int] | str | None) -> str | None:
    """A compute capability, (9, 0) or "9.0", as compilers name it: sm_90."""
    if capability is None:
        return None
    major, minor = capability.split(".") if isinstance(capability, str) else capability
    return f"sm_{major}{minor}"


def image_for(gpus: Sequence[GPU], driver: str | None) -> Choice:
    """The image for these GPUs under this driver: that of the newest architecture among those that the newest
    CUDA which the driver runs serves; without one, the CPU's."""
    variant = read_stack(GPUs(tuple(gpus), driver=driver)).extra
    if variant is None:
        return Choice(get_container_for_arch(None), CPU)
    least = REQUIREMENTS[variant][1]
    usable = [gpu for gpu in gpus if gpu.compute_capability is not None and gpu.compute_capability >= least]
    newest = max((gpu.compute_capability for gpu in usable if gpu.compute_capability), default=None)
    if newest is None:
        return Choice(get_container_for_arch(None), CPU)
    return Choice(get_container_for_arch(arch_of(newest)), variant, usable)
