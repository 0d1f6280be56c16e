"""The engine and the image for a job, by its plan and this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from forge_gpu.config.schema import Config
from forge_gpu.container.engines import ContainerEngine, Image
from forge_gpu.container.images import CPU, VARIANT_LABEL, Choice, get_container_for_arch, image_for
from forge_gpu.errors import ContainerError
from forge_gpu.hardware.gpus import GPU, read_gpus
from forge_gpu.hardware.stack import REQUIREMENTS
from forge_gpu.plain import frozen


@frozen
class Found:
    """An image that is on this machine. gpus: those that the container gets."""

    name: str
    image: Image
    gpus: Sequence[GPU] = ()


def machine_choice() -> Choice:
    """The image for this machine."""
    gpus = read_gpus()
    return image_for(gpus.devices, gpus.driver)


def choices_for(config: Config) -> list[Choice]:
    """The images that a plan may run in on this machine, the best first."""
    asked, engine = config.container.use, config.preprocessing.engine
    best = image_for((), None) if engine == "cpu" else machine_choice()
    if asked != "auto":
        return [replace(best, image=asked)]
    if best.variant == CPU or engine == "gpu":
        return [best]
    return [best, Choice(get_container_for_arch(None), CPU)]


def find(engine: ContainerEngine, choice: Choice) -> Found:
    """The image of a choice. Raises ContainerError where it is not here, is another than its name says, or
    where the engine gives no GPUs."""
    image = engine.image(choice.image)
    if image is None:
        raise ContainerError(
            f"{engine.name} has no image {choice.image}; build it with: forge image build {choice.variant}"
        )
    variant = image.labels.get(VARIANT_LABEL, CPU)
    if variant not in REQUIREMENTS or not choice.gpus:
        return Found(choice.image, image)
    if REQUIREMENTS[variant] > REQUIREMENTS[choice.variant]:
        raise ContainerError(
            f"the image {choice.image} is of {variant}, and this machine's driver runs {choice.variant} at "
            f"most; build it with: forge image build {choice.variant}"
        )
    if not engine.gives_gpus:
        raise ContainerError(
            f"{engine.name} gives containers no GPU: neither NVIDIA's container toolkit nor a CDI "
            "description is there; install nvidia-container-toolkit and run: nvidia-ctk cdi generate"
        )
    return Found(choice.image, image, choice.gpus)
