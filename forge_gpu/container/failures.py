"""What the end of a container means, where the job in it said nothing of its own."""

from __future__ import annotations

import signal

from forge_gpu.container.attached import Ending
from forge_gpu.container.engines import last_line
from forge_gpu.errors import ContainerError, ForgeError, Interrupted
from forge_gpu.io.disk import size_text

ENGINE_CODES = (125, 126, 127)
"""The command line's own: the engine failed, the program cannot be run, there is none."""
KILLED = 128 + signal.SIGKILL


def is_out_of_memory(ending: Ending) -> bool:
    """The kernel may kill something else in a container for memory, and the job ends well."""
    return ending.last is None and ending.state is not None and ending.state.oom and _code(ending) == KILLED


def is_lost(ending: Ending) -> bool:
    """Whether the engine went away while the job ran, which may go on without it."""
    if ending.last is not None or not ending.said_hello:
        return False
    if ending.state is None:
        return ending.code != KILLED
    return ending.state.is_running or ending.code == ENGINE_CODES[0]


def out_of_memory(stage: str, limit: int) -> ContainerError:
    return ContainerError(
        f"the container was out of memory in stage {stage} at its limit of {size_text(limit)}; give it more "
        "with --set container.memory=BYTES, or the job less with --set preprocessing.memory.budget=BYTES, "
        "and run the same command again to go on",
        KILLED,
    )


def failure(ending: Ending, image: str) -> ForgeError:
    """The error of a container that ended without a word: neither lost nor out of memory."""
    code = _code(ending)
    if not ending.said_hello and (code in ENGINE_CODES or ending.code in ENGINE_CODES):
        return ContainerError(f"the image {image} does not start: {last_line(ending.errors)}")
    if code == KILLED:
        return ContainerError("the container was killed; run the same command again to go on", KILLED)
    if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
        return Interrupted(code - 128)
    last = last_line(ending.errors)
    return ContainerError(f"the container ended with {code} and without a result; it said last: {last}", 70)


def _code(ending: Ending) -> int:
    """The exit code of what ran in the container, or of the command line where that is all there is."""
    return ending.code if ending.state is None or ending.state.is_running else ending.state.exit_code
