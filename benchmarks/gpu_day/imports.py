"""Whether all is there that a day on a GPU imports: `python -m benchmarks.gpu_day.imports [--dry]`.

Says in one line what is missing, before a minute is spent. Imports nothing of Forge, which needs some of it.
"""

from __future__ import annotations

import importlib
import os
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = {"nvidia-ml-py": "pynvml"}
"""Of distributions whose module has another name."""
ON_A_GPU = ("cupy", "rmm", "cudf", "numba.cuda")
TESTS = ("pytest", "hypothesis", "xxhash")
PINS = "benchmarks/gpu_day/requirements.txt"


def required(dry: bool) -> Iterator[str]:
    """The modules of the base dependencies, of the tests, and of the GPU."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"]:
        name = requirement.split(">")[0].split("=")[0].strip()
        yield MODULES.get(name, name.replace("-", "_"))
    yield from TESTS
    if not dry:
        yield from ON_A_GPU


def missing(modules: Iterable[str]) -> list[str]:
    """Those that cannot be imported, by the name of what is missing in them."""
    result: list[str] = []
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as fault:
            result.append(fault.name or module)
    return list(dict.fromkeys(result))


def nvvm() -> str | None:
    """Where numba finds the compiler of its kernels; None where it does not."""
    home = os.environ.get("CUDA_HOME")
    in_toolkit = sorted(Path(home).glob("nvvm/lib64/libnvvm.so*")) if home else []
    if in_toolkit:
        return str(in_toolkit[0])
    try:
        pathfinder = importlib.import_module("cuda.pathfinder")
        return str(pathfinder.load_nvidia_dynamic_lib("nvvm").abs_path)
    except Exception:  # the library has errors of its own
        return None


def main(dry: bool) -> int:
    absent = missing(required(dry))
    if absent:
        print(f"missing: {', '.join(absent)}; put them into the folder of PYTHONPATH ({PINS} has versions)")
        return 1
    place = nvvm()
    if place is None and not dry:
        print("libnvvm was not found: set CUDA_HOME to a CUDA toolkit, or put nvidia-nvvm into PYTHONPATH")
        return 1
    print(f"imports: all there; libnvvm: {place or 'not found, nor needed in a dry run'}")
    return 0


if __name__ == "__main__":
    sys.exit(main("--dry" in sys.argv[1:]))
