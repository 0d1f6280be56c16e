"""The process in which chat templates are rendered that may take long or much.

It reads requests from its standard input and writes answers to its standard output: a length of eight bytes,
then JSON. It ends with its input. Its memory and its processor time are the system's to bound; its parent
ends it when an answer is late.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from forge_gpu.errors import ForgeError
from forge_gpu.templates.bounds import BoundedEnvironment, Bounds
from forge_gpu.templates.rendering import Refused, Rendering
from forge_gpu.templates.turns.rounds import TurnMarks

HEAD = 8
READY = "ready"
"""What it says first."""

SPARE_SECONDS = 5
"""Seconds of processor time beyond the bound, after which the system ends a process that nobody ends."""


def pack(value: Any) -> bytes:
    """A message: lone surrogates stay what they are."""
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return len(body).to_bytes(HEAD, "big") + body


def unpack(body: bytes) -> Any:
    return json.loads(body.decode("utf-8", "surrogatepass"))


def main() -> None:
    """Serve until the input ends."""
    incoming, outgoing = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what anything prints is no answer
    templates: dict[int, Rendering] = {}
    outgoing.write(pack(READY))
    outgoing.flush()
    while head := incoming.read(HEAD):
        request = unpack(incoming.read(int.from_bytes(head, "big")))
        outgoing.write(_answer(templates, request))
        outgoing.flush()


def _answer(templates: dict[int, Rendering], request: dict[str, Any]) -> bytes:
    bounds = Bounds(**request["bounds"])
    _limit(bounds)
    try:
        return pack(_result(templates, bounds, request))
    except Refused as refused:
        return pack({"refused": str(refused)})
    except ForgeError as fault:
        return pack({"fault": str(fault)})
    except MemoryError:
        return pack({"memory": True})


def _result(templates: dict[int, Rendering], bounds: Bounds, request: dict[str, Any]) -> Any:
    number = request["template"]
    if number not in templates:
        source, date = request["source"], request["date"]
        templates[number] = Rendering(source, date, bounds, BoundedEnvironment, TurnMarks)
    template, variables = templates[number], request["variables"]
    match request["action"]:
        case "render":
            return template.render(variables)
        case "spans":
            return template.render_spans(variables)
        case "written":
            written = template.written(variables)
            return written.text, written.turns
    return None


def _limit(bounds: Bounds) -> None:
    """Bound the address space, and the processor time of what comes next, where the system can."""
    try:
        import resource
    except ImportError:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + bounds.seconds) + SPARE_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (bounds.memory + _own_space(), resource.RLIM_INFINITY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


_first: list[int] = []


def _own_space() -> int:
    """Bytes of address space that the process had before its first request."""
    if not _first:
        with open("/proc/self/statm") as file:
            _first.append(int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE"))
    return _first[0]


if __name__ == "__main__":
    main()
