"""Building the images of Forge, and what is there of them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import forge_gpu
from forge_gpu._version import __version__
from forge_gpu.container.engines import ContainerEngine
from forge_gpu.container.images import (
    LEVELS_LABEL,
    MAKERS_LABEL,
    VARIANT_LABEL,
    get_container_for_arch,
    variants,
)
from forge_gpu.container.levels import levels
from forge_gpu.container.makers import FORGE, LIBRARIES, PYTHON, makers, sources_digest
from forge_gpu.errors import ContainerError, InputError

OFFLINE = "--no-index --find-links /src/wheels"
WHEELS = "wheels"


def build(
    engine: ContainerEngine,
    variant: str,
    checkout: Path | None = None,
    offline: bool = False,
    arguments: Mapping[str, str] | None = None,
) -> list[str]:
    """Build an image and give it its tags, which are returned: its own, and one for each architecture.

    checkout: the sources, if they are not those of this package. offline: packages come from wheels/ of the
    checkout, and nothing is fetched. arguments: of the Dockerfile, instead of those of `images.yaml`.
    The engine's output goes to standard error. Raises InputError, ContainerError.
    """
    described = variants()[variant]
    folder = checkout or Path(forge_gpu.__file__).parents[1]
    if not (folder / described.file).is_file():
        raise InputError(
            f"{folder}: is not a checkout of Forge, which is needed to build an image: "
            f"{described.file} is missing; name one with --checkout"
        )
    if offline and not any((folder / WHEELS).glob("*.whl")):
        raise InputError(
            f"{folder / WHEELS}: holds no wheels; fill it with: pip wheel --wheel-dir {WHEELS} ."
        )
    here = makers() | {FORGE: sources_digest(folder / "forge_gpu")}
    values = {
        "VERSION": __version__,
        "LEVELS": ",".join(levels()),
        "CONSTRAINTS": " ".join(f"{name}=={here[name]}" for name in LIBRARIES),
        "MAKERS": made_by(here),
    }
    values |= {name: value.format(python=here[PYTHON]) for name, value in described.arguments.items()}
    values |= {"PIP": OFFLINE, "LINKER": ""} if offline else {}
    values |= arguments or {}
    words = [word for name, value in values.items() for word in ("--build-arg", f"{name}={value}")]
    if offline:
        words += ["--network", "none"]
    tags = [get_container_for_arch(None if variant == "cpu" else variant), *described.tags]
    for tag in tags:
        words += ["--tag", tag]
    done = subprocess.run(
        engine.command("build", "--file", str(folder / described.file), *words, str(folder)),
        stdin=subprocess.DEVNULL,
        stdout=2,
    )
    if done.returncode:
        raise ContainerError(f"{engine.name} could not build {tags[0]}: see what it said above", 2)
    return tags


def made_by(named: Mapping[str, str]) -> str:
    """Sources and libraries as one label, which tells them from others."""
    chosen = [(name, named[name]) for name in (FORGE, *LIBRARIES)]
    return hashlib.sha256(repr(chosen).encode()).hexdigest()[:16]


def present(engine: ContainerEngine) -> Iterator[tuple[str, str]]:
    """(name, what it is) of each image of Forge; of one that is not there, how it is made."""
    for variant in variants():
        name = get_container_for_arch(None if variant == "cpu" else variant)
        image = engine.image(name)
        if image is None:
            yield name, f"is not there; build it with: forge image build {variant}"
            continue
        version = image.labels.get("org.opencontainers.image.version", "unknown")
        held = image.labels.get(LEVELS_LABEL) or "none but of the processor that built it"
        is_ours = version == __version__ and image.labels.get(MAKERS_LABEL) == made_by(makers())
        fits = "" if is_ours else f", and this is {__version__} of other sources or libraries: build it again"
        yield (
            name,
            f"{image.labels.get(VARIANT_LABEL)}, Forge {version}{fits}, kernels of {held}, {image.id}",
        )
