"""Compiled kernels for a job in a container: those that its image holds for a processor like this, or else a
volume that runs fill and later ones use."""

from __future__ import annotations

import os
from pathlib import Path

from forge_gpu.container.engines import ContainerEngine, Image, last_line
from forge_gpu.container.images import LEVELS_LABEL
from forge_gpu.container.levels import best_level, environment
from forge_gpu.errors import ContainerError

CACHES = Path("/var/cache/forge")
"""Where an image has its kernels, a folder for each level."""
VOLUME = Path("/var/cache/forge-volume")
"""Where the volume is mounted."""
GIVE = "import os, sys; os.chown(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))"


def level_of(image: Image) -> str | None:
    """The best processor level that this machine has and the image has kernels for."""
    return best_level(image.labels.get(LEVELS_LABEL, "").split(","))


def variables(level: str | None, volume: str | None) -> dict[str, str]:
    """The environment in which a job finds its kernels."""
    if level is not None:
        return environment(level, CACHES)
    return {} if volume is None else {"FORGE_CACHE_DIR": str(VOLUME)}


def volume_of(engine: ContainerEngine, choice: str, image: str) -> str | None:
    """The name of the volume, made for the caller where there is none; None where the plan wants none.

    Raises ContainerError.
    """
    if choice == "off":
        return None
    name = f"forge-kernels-{os.getuid()}" if choice == "auto" else choice
    if engine.call("volume", "inspect", name).returncode:
        _require(engine, "volume", "create", name)
        if not engine.is_rootless and os.getuid() != 0:
            _give(engine, name, image)
    return name


def _give(engine: ContainerEngine, name: str, image: str) -> None:
    """Make the volume the caller's, who alone may write there."""
    _require(
        engine,
        *("run", "--rm", "--pull", "never", "--network", "none", "--read-only", "--user", "0:0"),
        *("--cap-drop", "ALL", "--cap-add", "CHOWN", "--security-opt", "no-new-privileges"),
        *("--mount", f"type=volume,source={name},target={VOLUME}", "--entrypoint", "python3", image),
        *("-c", GIVE, str(VOLUME), str(os.getuid()), str(os.getgid())),
    )


def _require(engine: ContainerEngine, *arguments: str) -> None:
    done = engine.call(*arguments)
    if done.returncode:
        raise ContainerError(f"the volume for kernels cannot be made: {last_line(done.stderr)}")
