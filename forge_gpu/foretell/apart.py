"""A look in a process of its own, where this one has compiled kernels: what the compiler holds of memory, and
took of time, no later run does.

The process is given a job as JSON and says what it has seen as JSON: `python -m forge_gpu.foretell.apart`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from forge_gpu.errors import ForgeError
from forge_gpu.foretell.pieces import Pieces
from forge_gpu.foretell.sample import Run, Sampled, sample
from forge_gpu.hardware.budget import Budget
from forge_gpu.job.state.files import JobFiles
from forge_gpu.job.state.spec import JobSpec

TRIES = 3
"""A look that compiled was cut short, so that the next may compile what it did not come to."""


def has_compiled() -> bool:
    """Whether kernels were compiled since this process began, and are kept for the next."""
    from forge_gpu.kernels.cache import cache_folder

    folder = cache_folder()
    if folder.parent == Path(tempfile.gettempdir()):
        return False  # no other process will have them
    began = psutil.Process().create_time()
    return any(path.stat().st_mtime > began for path in folder.rglob("*.nbi"))


def sample_apart(spec: JobSpec, seconds: float, most: int | None) -> Sampled | None:
    """As `sample`, by another process; None where that cannot say it."""
    asked = json.dumps({"spec": spec.to_dict(), "seconds": seconds, "most": most})
    sampled = None
    for _ in range(TRIES):
        try:
            ended = subprocess.run(
                [sys.executable, "-m", "forge_gpu.foretell.apart"],
                input=asked,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=True,
            )
            told = json.loads(ended.stdout)
            sampled = _sampled(told["sampled"])
        except (OSError, subprocess.CalledProcessError, ValueError):
            break
        if not told["compiled"]:
            break
    return sampled


def _sampled(values: dict[str, Any]) -> Sampled:
    runs = {name: _run(values[name]) for name in ("first", "small", "large")}
    lists = {name: tuple(values[name]) for name in ("ranges", "vram", "notes")}
    return Sampled(**values | runs | lists | {"budget": Budget(**values["budget"])})


def _run(values: dict[str, Any]) -> Run:
    pieces = values.pop("pieces")
    return Run(Pieces(**pieces | {"heads": tuple(pieces["heads"])}), **values)


def _values(sampled: Sampled) -> dict[str, Any]:
    runs = {name: _values_of_run(getattr(sampled, name)) for name in ("first", "small", "large")}
    others = {name: value for name, value in vars(sampled).items() if name not in runs}
    return others | runs | {"budget": asdict(sampled.budget)}


def _values_of_run(run: Run) -> dict[str, Any]:
    return vars(run) | {"pieces": vars(run.pieces) | {"files": []}}  # they are gone by now


def main() -> int:
    asked = json.load(sys.stdin)
    try:
        spec = JobSpec.from_json(json.dumps(asked["spec"]))
        made = sample(spec, JobFiles(spec), asked["seconds"], asked["most"])
    except ForgeError:
        return 1
    json.dump({"sampled": _values(made), "compiled": has_compiled()}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
