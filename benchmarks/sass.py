"""Machine code of the CUDA kernels without a GPU: `python -m benchmarks.sass [capability]`.

Prints a table of loops: their instructions, loads and stores by width, and how many bytes a second an H200
could issue, beside its copy bandwidth. Where issuing is slower than copying, it bounds the kernel; otherwise
memory does. Needs `pip install 'forge-gpu[cuda-compile]' nvidia-cuda-nvdisasm`, and runs in a minute.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.kernels.cuda_compile import assembled, compiled, tool_path

COPY = 4.3e12
"""Bytes read and written a second by a copy on an H200, as measured on one."""
ISSUED = 132 * 4 * 1.98e9
"""Instructions of warps that its 132 SMs of four schedulers issue a second, at 1,980 MHz."""
LANES = 32
WIDTHS = {"U8": 1, "S8": 1, "U16": 2, "64": 8, "128": 16}


@dataclass(frozen=True)
class Loop:
    """A loop of a kernel: the names of its instructions, with their modifiers, and those of loops inside."""

    names: tuple[str, ...]

    def count(self, name: str) -> int:
        return sum(made.split(".")[0] == name for made in self.names)

    def bytes(self, name: str) -> int:
        """Bytes that a lane's instructions of this name move in one pass."""
        return sum(_width(made) for made in self.names if made.split(".")[0] == name)

    def widths(self, name: str) -> str:
        found = Counter(8 * _width(made) for made in self.names if made.split(".")[0] == name)
        return ", ".join(f"{count} × {bits}" for bits, count in sorted(found.items())) or "–"


def _width(instruction: str) -> int:
    return next((WIDTHS[part] for part in instruction.split(".") if part in WIDTHS), 4)


@dataclass(frozen=True)
class Work:
    """What a kernel's busiest loop does. by: the instruction by whose bytes that loop is known. moved: bytes
    read and written that a lane's pass is for."""

    what: str
    by: str
    moved: Callable[[Loop], float]


WORKS = {
    "pieces.write": Work("copy", "STG", lambda loop: 2 * loop.bytes("STG")),
    # Two pairs of words, to put two together, and a key, for each eight bytes.
    "hashing.long": Work("XXH3, rows above 240 bytes", "LDG", lambda loop: loop.bytes("LDG") / 5),
    # The hash of a shingle, which is a character; a warp has four permutations of a lane's multiplier.
    "minhash.signatures_of_units": Work(
        "MinHash, 128 permutations", "LDS", lambda loop: loop.bytes("LDS") / 4 * 4 / 128
    ),
}


def loops(sass: str) -> Iterator[Loop]:
    """The loops of a kernel, out of what nvdisasm prints: from a label to a branch back to it."""
    names: list[str] = []
    labels: dict[str, int] = {}
    ends: dict[int, int] = {}
    for line in sass.splitlines():
        if label := re.match(r"(\.L_x_\d+):", line):
            labels[label[1]] = len(names)
        elif made := re.match(r"\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+ )?\s*([A-Z][A-Z0-9_.]*)(.*)", line):
            target = re.search(r"`\((\.L_x_\d+)\)", made[2])
            if made[1] == "BRA" and target and labels.get(target[1], len(names)) < len(names):
                ends[labels[target[1]]] = len(names)
            names.append(made[1])
    for first, last in sorted(ends.items()):
        yield Loop(tuple(names[first : last + 1]))


def busiest(every: Iterable[Loop], name: str) -> Loop:
    """The one that moves most by instructions of this name, for one instruction of all."""
    return max(every, key=lambda loop: loop.bytes(name) / len(loop.names))


def disassembled(ptx: str, capability: tuple[int, int]) -> str:
    tool = tool_path("nvdisasm")
    if tool is None:
        raise SystemExit("nvdisasm was not found: pip install nvidia-cuda-nvdisasm")
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "kernel.cubin"
        assembled(ptx, capability, binary)
        return subprocess.run([tool, "-c", binary], capture_output=True, text=True, check=True).stdout


def main(capability: tuple[int, int]) -> None:
    print("| kernel | loop | instructions | loads (bits) | stores | GB/s issued | share of a copy |")
    print("|---|---|---:|---|---|---:|---:|")
    for name, number, ptx in compiled(capability):
        if number or name not in WORKS:
            continue
        work = WORKS[name]
        loop = busiest(loops(disassembled(ptx, capability)), work.by)
        issued = ISSUED * LANES * work.moved(loop) / len(loop.names)
        loads = loop.widths("LDG") if loop.count("LDG") else f"{loop.widths('LDS')} shared"
        print(
            f"| `{name}` | {work.what} | {len(loop.names)} | {loads} | {loop.widths('STG')} | "
            f"{issued / 1e9:,.0f} | {min(issued / COPY, 1):.1%} |"
        )


if __name__ == "__main__":
    major, minor = (sys.argv[1] if len(sys.argv) > 1 else "9.0").split(".")
    main((int(major), int(minor)))
