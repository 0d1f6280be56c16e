"""How a container is made: what it may do, take and see is the least that a job needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import field
from typing import Literal

from forge_gpu.container.engines import ContainerEngine
from forge_gpu.container.kernels import VOLUME
from forge_gpu.container.mounts import Mount
from forge_gpu.hardware.gpus import GPU
from forge_gpu.hardware.host import read_cores, read_memory
from forge_gpu.plain import frozen

OWNER_LABEL = "forge.owner"
"""Who made a container: host, process and when that started, so that leftovers are known."""
MOST_PROCESSES = 4096
SCRATCH = "64m"
INSIDE = ("python3", "-P", "-m", "forge_gpu.report.inside")


@frozen
class Surroundings:
    """All of a container but its engine. variables: names of the environment that it gets as they are here.
    environment: values of its own. volume: of kernels, mounted at VOLUME."""

    image: str
    mounts: Sequence[Mount]
    memory: int  # bytes
    network: str = "none"
    gpus: Sequence[GPU] = ()
    variables: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    volume: str | None = None


def arguments(
    engine: ContainerEngine, made: Surroundings, name: str, owner: str, command: Sequence[str] = INSIDE
) -> list[str]:
    """What `create` is called with."""
    words = [
        *("--name", name, "--hostname", name, "--label", f"{OWNER_LABEL}={owner}"),
        *("--pull", "never", "--init", "--interactive"),
        *("--read-only", "--tmpfs", f"/tmp:rw,nosuid,nodev,noexec,size={SCRATCH},mode=1777"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--ipc", "private"),
        *("--network", made.network, "--log-driver", "none", "--pids-limit", str(MOST_PROCESSES)),
        *_identity(engine),
        *_limits(made),
        *_gpus(engine, made.gpus),
        *("--workdir", os.getcwd(), "--env", f"HOME={os.path.expanduser('~')}"),
    ]
    for variable in made.variables:
        words += ["--env", variable]  # its value stays in the environment
    for variable, value in made.environment.items():
        words += ["--env", f"{variable}={value}"]
    for mount in made.mounts:
        words += ["--mount", mount.argument()]
    if made.volume is not None:
        words += ["--mount", f"type=volume,source={made.volume},target={VOLUME}"]
    program, *rest = command
    return [*words, "--entrypoint", program, made.image, *rest]


def _identity(engine: ContainerEngine) -> list[str]:
    """The caller's: of an engine that runs as the caller, root inside is the caller outside."""
    if engine.is_rootless:
        return ["--user", "0:0"]
    groups = [
        word for group in os.getgroups() if group != os.getgid() for word in ("--group-add", str(group))
    ]
    return ["--user", f"{os.getuid()}:{os.getgid()}", *groups]


def _limits(made: Surroundings) -> list[str]:
    cores = read_cores()
    words = ["--cpus", str(cores.allowed)] if cores.allowed < cores.installed else []
    return [*words, "--memory", str(made.memory), "--memory-swap", str(made.memory)]


def memory_limit(setting: int | Literal["auto"]) -> int:
    """Bytes that a container may hold. What is more than there is, is none."""
    return read_memory().available if setting == "auto" else setting


def _gpus(engine: ContainerEngine, gpus: Sequence[GPU]) -> list[str]:
    if not gpus:
        return []
    if engine.name == "docker":
        return ["--gpus", '"device=' + ",".join(gpu.uuid for gpu in gpus) + '"']
    return [word for gpu in gpus for word in ("--device", f"nvidia.com/gpu={gpu.uuid}")]
