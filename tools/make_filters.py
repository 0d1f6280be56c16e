"""Makes forge_gpu/sandbox/filters/<architecture>.json from closed.yaml: `python -m tools.make_filters`.

libseccomp knows the numbers of every architecture and writes the program; nothing of it is needed where a
filter is used. A filter's file holds the numbers that it allows beside the program, for those who read it.
"""

from __future__ import annotations

import errno
import json
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyseccomp
from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[1] / "forge_gpu" / "sandbox" / "filters"
INSTRUCTION = struct.Struct("=HBBI")
"""struct sock_filter: code, where to jump if true, if false, the operand."""


def make(architecture: str, closed: dict[str, Any]) -> dict[str, Any]:
    """The filter of an architecture, as its file holds it."""
    arch = getattr(pyseccomp.Arch, architecture.upper())
    native = pyseccomp.system_arch()
    program = pyseccomp.SyscallFilter(defaction=pyseccomp.ERRNO(errno.EPERM))
    program.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.KILL_PROCESS)
    if arch != native:
        program.add_arch(arch)
        program.remove_arch(native)
    numbers = {name: pyseccomp.resolve_syscall(arch, name) for name in closed["allowed"]}
    allowed = {name: number for name, number in numbers.items() if number >= 0}  # others it does not have
    for name in allowed:
        program.add_rule(pyseccomp.ALLOW, name)
    restricted = []
    for rule in closed["restricted"]:
        for value in rule["values"]:
            argument = pyseccomp.Arg(rule["argument"], pyseccomp.EQ, value)
            program.add_rule(pyseccomp.ALLOW, rule["call"], argument)
        restricted.append({**rule, "number": pyseccomp.resolve_syscall(arch, rule["call"])})
    return {
        **closed["architectures"][architecture],
        "allowed": allowed,
        "restricted": restricted,
        "program": _exported(program),
    }


def _exported(program: Any) -> list[tuple[int, ...]]:
    with tempfile.TemporaryFile() as file:
        program.export_bpf(file)
        file.seek(0)
        return list(INSTRUCTION.iter_unpack(file.read()))


def text_of(made: dict[str, Any]) -> str:
    """A filter's file: one instruction a line, so that a change of it can be read."""
    lines = json.dumps({**made, "program": []}, indent=1).removesuffix("[]\n}")
    return lines + "[\n" + ",\n".join(f"  {json.dumps(step)}" for step in made["program"]) + "\n ]\n}\n"


def main() -> int:
    closed = YAML(typ="safe").load(FOLDER / "closed.yaml")
    for architecture in closed["architectures"]:
        made = make(architecture, closed)
        (FOLDER / f"{architecture}.json").write_text(text_of(made))
        print(f"{architecture}: {len(made['allowed'])} calls, {len(made['program'])} instructions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
