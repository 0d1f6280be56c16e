"""A real Docker engine in which this checkout runs: its own environment, mounted read-only into an image that
has nothing but empty folders."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from forge_gpu.kernels.cache import cache_folder

IMAGE = os.environ.get("FORGE_TEST_IMAGE", "forge-test:host")
CHECKOUT = Path(__file__).parents[2]
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/libx32")


@dataclass(frozen=True)
class RealEngine:
    """path: of a folder whose `docker` adds this machine's system and environment to every container."""

    path: Path
    docker: str

    def call(self, *arguments: str) -> str:
        return subprocess.run(
            [self.docker, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()


def open_real(folder: Path, docker: str | None = None, cache_rights: str = "") -> RealEngine | None:
    """The engine, if one answers and has the image that `docker/with-engine.sh` makes. docker: its program,
    if it is not the one on PATH. cache_rights: a further field of the mount of this user's kernels."""
    docker = docker or shutil.which("docker")
    if docker is None or subprocess.run([docker, "image", "inspect", IMAGE], capture_output=True).returncode:
        return None
    shown = [Path(name) for name in SYSTEM if os.path.isdir(name) and not os.path.islink(name)]
    shown += [place for place in _environment() if not any(place.is_relative_to(other) for other in shown)]
    words = [f"--mount=type=bind,source={place},target={place},readonly" for place in shown]
    cache = cache_folder().parents[1]
    words += [
        f"--mount=type=bind,source={cache},target={cache}{cache_rights}",
        f"--env=FORGE_CACHE_DIR={cache}",
    ]
    words += [f"--env=PATH={Path(sys.executable).parent}:/usr/bin:/bin"]
    program = folder / "docker"
    program.write_text(
        '#!/bin/bash\ncommand=$1; shift\n[ "$command" != create ] || set -- '
        + " ".join(f"'{word}'" for word in words)
        + f' "$@"\nexec {docker} "$command" "$@"\n'
    )
    program.chmod(0o755)
    return RealEngine(folder, docker)


def _environment() -> list[Path]:
    """Where this interpreter, its packages and the checkout lie."""
    places = dict.fromkeys(
        Path(name) for name in (sys.base_prefix, sys.prefix, os.path.realpath(sys.base_prefix), CHECKOUT)
    )
    return [
        place
        for place in places
        if not any(place != other and place.is_relative_to(other) for other in places)
    ]
