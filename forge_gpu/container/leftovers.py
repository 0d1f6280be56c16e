"""Containers that a dead run has left. Each says by a label who made it."""

from __future__ import annotations

import socket

import psutil

from forge_gpu.container.engines import ContainerEngine
from forge_gpu.container.rights import OWNER_LABEL


def owner(process: int | None = None) -> str:
    """Host, process and when it started: this process's, if none is named."""
    of = psutil.Process(process)
    return f"{socket.gethostname()}/{of.pid}/{of.create_time():.2f}"


def remove_leftovers(engine: ContainerEngine) -> int:
    """Kill and remove the containers whose owner was a process of this machine and is dead; how many. What
    they were doing is in their checkpoints."""
    removed = 0
    for container, of in engine.labelled(OWNER_LABEL).items():
        if _is_dead(of):
            engine.remove(container)
            removed += 1
    return removed


def _is_dead(of: str) -> bool:
    host, _, rest = of.partition("/")
    process = rest.partition("/")[0]
    if host != socket.gethostname() or not process.isdecimal():
        return False
    try:
        return owner(int(process)) != of
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
