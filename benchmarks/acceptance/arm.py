"""Whether Forge on ARM (AArch64 with NEON) does what it does here: kernels and whole jobs, by emulation.

    python -m benchmarks.acceptance.arm [FOLDER]    # build/arm without one; after `forge warm`

FOLDER takes all that is fetched, and nothing is installed elsewhere: QEMU, Debian's Python and binutils for
arm64, and wheels for aarch64 of what Forge needs, in the versions of this environment. The library of kernels
is compiled here for ARM, as for a wheel. With it, in the emulated Python: the kernels' tests beside plain
Python, and jobs whose files must have the bytes that this machine writes, with neither numba nor LLVM there.
Prints a Markdown table of vector instructions in the kernels. An emulation says nothing about speed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.acceptance.same_bytes import ROOT, TEMPLATE, VARIANTS, Checkout, compare
from forge_gpu.kernels.ahead import LIBRARY, SHIPPED, TABLE
from forge_gpu.kernels.cache import sources
from tests.templates.agent_shapes import SHAPES, rows_of
from tools import ship_kernels

MACHINE, DEBIANS, LEVEL = "aarch64", "arm64", "armv8-a"
PROGRAMS = ("apt-get", "dpkg", "dpkg-deb")
EXTRAS = ("", "tokens")
TEST_TOOLS = ("pytest", "hypothesis", "xxhash")
AGENTS = ROOT / "benchmarks" / "templates" / "qwen25.jinja"
TOKENS = (f"tokens.tokenizer={ROOT / 'examples' / 'tokenizer.json'}",)
JOBS = VARIANTS | {"tokens": (*TOKENS, "output.form=tokens")}
JOBS["packs"] = (*JOBS["tokens"], "output.packing=bfd", "output.pack_length=256")

TESTS = ("-m", "not (slow or gpu or sim or dask or docker)", "-k", "not checked and not apart")
OF_MAKING = ("ahead", "cache", "extensions")
"""Tests of how kernels are made. They need numba, which is taken away there, as do those in checked mode."""


def fetch(folder: Path, architecture: str, packages: Iterable[str]) -> Path:
    """Debian's packages and all that they need, unpacked below a folder. Apt's own lists stay as they are."""
    unpacked, state = folder / architecture, folder / f"apt-{architecture}"
    if unpacked.exists():
        return unpacked
    for part in ("lists/partial", "archives/partial"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "APT::Architecture": architecture,
        "APT::Architectures": architecture,
        "APT::Install-Recommends": "false",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::Cache": state,
    }
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    subprocess.run([*apt, "update"], check=True)
    subprocess.run([*apt, "--yes", "--download-only", "install", *packages], check=True, stdout=sys.stderr)
    with TemporaryDirectory(dir=folder) as name:
        partial = Path(name, "partial")
        for package in (state / "archives").glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, partial], check=True)
        partial.rename(unpacked)
    return unpacked


class Emulated:
    """An ARM machine in a folder."""

    def __init__(self, folder: Path) -> None:
        own = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
        self._qemu = fetch(folder, own.stdout.strip(), ["qemu-user-static"])
        self._root = fetch(folder, DEBIANS, ["python3", "binutils", "libstdc++6"])
        programs = folder / "programs"
        programs.mkdir(exist_ok=True)
        [python] = self._root.glob("usr/bin/python3.[0-9]*[0-9]")
        self.minor = python.name.removeprefix("python")
        self.programs = programs
        self.python = str(self._program("python", python))
        for name in ("ld", "objdump"):
            self._program(
                f"{MACHINE}-linux-gnu-{name}", self._root / "usr/bin" / f"{MACHINE}-linux-gnu-{name}"
            )
        self.packages = self._wheels(folder / "packages")
        # Processes that start others start the program, not what QEMU runs of it.
        (self.packages / "sitecustomize.py").write_text(f"import sys\n\nsys.executable = {self.python!r}\n")

    def _program(self, name: str, path: Path) -> Path:
        made = self.programs / name
        made.write_text(
            f'#!/bin/sh\nexec "{self._qemu}/usr/bin/qemu-{MACHINE}-static" -L "{self._root}" "{path}" "$@"\n'
        )
        made.chmod(0o755)
        return made

    def _wheels(self, folder: Path) -> Path:
        wanted, noted = sorted(needed()), folder / "wanted.txt"
        if noted.exists() and noted.read_text().split() == wanted:
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        kinds = [f"--platform=manylinux_2_{glibc}_{MACHINE}" for glibc in (17, 28)]
        kinds += [f"--platform=manylinux2014_{MACHINE}", "--platform=any", "--only-binary=:all:"]
        kinds += [f"--abi={abi}" for abi in (f"cp{self.minor.replace('.', '')}", "abi3", "none")]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        subprocess.run(
            [*pip, "--target", folder, f"--python-version={self.minor}", *kinds, *wanted], check=True
        )
        for compiler in ("numba", "llvmlite"):
            shutil.rmtree(folder / compiler)  # its metadata stays: what a kernel's cache is named by
        noted.write_text("\n".join(wanted))
        return folder

    def variables(self, tree: Path) -> dict[str, str]:
        """The environment of its Python for a tree of the project."""
        caches = self.programs.with_name("caches")
        return {"PYTHONPATH": f"{tree}:{self.packages}", "FORGE_CACHE_DIR": str(caches)}


def needed() -> set[str]:
    """What Forge needs to run, with the versions that are installed here, as pip takes it."""
    found: set[tuple[str, str]] = set()
    waiting = {("forge-gpu", extra) for extra in EXTRAS} | {(name, "") for name in TEST_TOOLS}
    while waiting - found:
        name, extra = (waiting - found).pop()
        found.add((name, extra))
        for needs in map(Requirement, requires(name) or ()):
            if needs.marker is None or needs.marker.evaluate({"extra": extra}):
                waiting |= {(canonicalize_name(needs.name), each) for each in (*needs.extras, "")}
    return {f"{name}=={version(name)}" for name, _ in found if name != "forge-gpu"}


def put_together(arm: Emulated, folder: Path) -> Path:
    """The project as a wheel for ARM has it, with the library of kernels and the tests beside it."""
    made = folder / "ahead" / LEVEL
    if not (made / TABLE).exists() or json.loads((made / TABLE).read_bytes())["sources"] != sources():
        os.environ["PATH"] += f":{arm.programs}"
        if ship_kernels.main([MACHINE], made.parent):
            raise SystemExit(2)
    tree = folder / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in ("forge_gpu", "tests", "benchmarks", "examples"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", SHIPPED))
    shutil.copy(ROOT / "pyproject.toml", tree)
    shutil.copytree(made, tree / "forge_gpu/kernels" / SHIPPED / LEVEL)
    return tree


def kernels_are_right(arm: Emulated, tree: Path) -> bool:
    """The tests of the kernels beside plain Python."""
    files = sorted(
        path for path in tree.glob("tests/kernels/test_kernels_*.py") if path.stem[13:] not in OF_MAKING
    )
    words = ["-m", "pytest", "-p", "no:cacheprovider", *TESTS, *map(str, files)]
    return not subprocess.run([arm.python, *words], cwd=tree, env=os.environ | arm.variables(tree)).returncode


def jobs_are_the_same(arm: Emulated, tree: Path, folder: Path) -> bool:
    """Plans that are made here, prepared here and there."""
    agents = folder / "agents.jsonl"
    rows = [row for shape in SHAPES for row in rows_of(shape, 3, 7)]
    agents.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
    cases = [(ROOT / "examples" / f"{name}.jsonl", TEMPLATE, JOBS) for name in ("chat", "support")]
    cases.append((agents, AGENTS, {name: JOBS[name] for name in ("plain", "messages", "tokens")}))
    here, there = Checkout(ROOT), Checkout(tree, arm.python, **arm.variables(tree))
    counts: Counter[str] = Counter()
    try:
        for path, template, jobs in cases:
            for name, settings in jobs.items():
                with TemporaryDirectory(dir=folder) as case:
                    outcome, faults, _ = compare(here, there, path, settings, Path(case), template)
                    ledgers = {file.read_bytes() for file in Path(case).glob("*/ledger.parquet")}
                    if len(ledgers) > 1:
                        faults = [*faults, "ledger.parquet: other bytes"]
                        outcome = "other"
                counts[outcome.partition(":")[0]] += 1
                print(f"{path.name}, {name}: {outcome}", *faults, sep="\n    ", flush=True)
    finally:
        here.close()
        there.close()
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    return counts["same"] > 0 and not counts["other"]


@dataclass
class Vectors:
    """Of the functions of one file of kernels: instructions, those of vectors, and innermost loops."""

    all: int = 0
    vectors: int = 0
    loops: int = 0
    vector_loops: int = 0

    def add(self, code: list[tuple[int, str]]) -> None:
        """code: the instructions of a function, by their addresses."""
        is_vector = {
            at: re.search(r"\bv\d+\.\d+[bhsd]\b|\bq\d+\b", spelled) is not None for at, spelled in code
        }
        self.all += len(code)
        self.vectors += sum(is_vector.values())
        jumps = [
            (int(found[1], 16), at)
            for at, spelled in code
            if (found := re.match(r"(?:b|b\.\w+|cbn?z|tbn?z)\s.*?\b([0-9a-f]+) <", spelled))
        ]
        loops = {(to, at) for to, at in jumps if code[0][0] <= to <= at}
        for first, last in loops:
            if not any(first <= to and at <= last and (to, at) != (first, last) for to, at in loops):
                self.loops += 1
                self.vector_loops += any(first <= at <= last and is_vector[at] for at, _ in code)


def vectors(arm: Emulated, tree: Path) -> dict[str, Vectors]:
    """By the file of kernels."""
    library = tree / "forge_gpu/kernels" / SHIPPED / LEVEL / LIBRARY
    told = subprocess.run(
        [str(arm.programs / f"{MACHINE}-linux-gnu-objdump"), "-d", "--no-show-raw-insn", str(library)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found: dict[str, Vectors] = defaultdict(Vectors)
    for function in told.split("\n\n"):
        head, _, body = function.strip().partition("\n")
        named = re.search(r"kernels3cpu(\d+)(\w+)|<forge_(\w+)>:", head)
        if named is not None:
            file = (
                named[2][: int(named[1])]
                if named[1]
                else next(name for name in files() if named[3].startswith(name))
            )
            code = [line.strip().partition(":\t") for line in body.splitlines() if ":\t" in line]
            found[file].add([(int(at, 16), spelled.replace("\t", " ")) for at, _, spelled in code])
    return found


def files() -> list[str]:
    """Those of kernels, so that a longer name comes before its beginning."""
    return sorted((path.stem for path in (ROOT / "forge_gpu/kernels/cpu").glob("*.py")), reverse=True)


def main(folder: Path) -> int:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        print(f"{', '.join(missing)} is missing: run it on Debian, as in its image python:3.11-bookworm")
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    arm = Emulated(folder.absolute())
    tree = put_together(arm, folder.absolute())
    right = kernels_are_right(arm, tree)
    same = jobs_are_the_same(arm, tree, folder.absolute())
    print(
        "\n| kernels | instructions | with vectors | innermost loops | with vectors |\n|---|---|---|---|---|"
    )
    for name, of in sorted(vectors(arm, tree).items()):
        print(f"| {name} | {of.all:,} | {of.vectors:,} | {of.loops} | {of.vector_loops} |")
    return 0 if right and same else 1


if __name__ == "__main__":
    sys.exit(main(Path(*sys.argv[1:] or [f"{ROOT}/build/arm"])))
