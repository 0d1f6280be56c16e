"""What the README shows, typed by one who has only cloned the repository, in a container with nothing else.

The container sees the clone, this machine's system and, in place of a network, a folder of wheels. So it has
Python, but no package beyond the standard library, and no compiled kernel.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.container.real import CHECKOUT, IMAGE, SYSTEM, RealEngine
from tests.docs import docs_pages
from tests.docs.test_docs_commands import pattern, sessions

pytestmark = [pytest.mark.docker, pytest.mark.slow]

CLONE, WHEELS = Path("/clone"), Path("/wheels")
NEXT = "--- what the next command prints ---"
ENVIRONMENT = {
    "PATH": f"{Path(sys.base_prefix) / 'bin'}:/usr/bin:/bin",
    "HOME": "/tmp",
    "PIP_NO_INDEX": "1",
    "PIP_FIND_LINKS": WHEELS,
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}


def test_the_commands_of_the_readme_in_a_bare_container(real_engine: RealEngine, tmp_path: Path) -> None:
    blocks = docs_pages.blocks(CHECKOUT / "README.md")
    install = next(block for block in blocks if "pip install ." in block.text)
    (shown,) = [block for block in blocks if block.language == "console"]
    commands = sessions(shown)
    typed = "\n".join([install.text, *(f"echo '{NEXT}'\n{command}" for command, _ in commands)])

    printed = run_in_container(real_engine, typed, clone_in(tmp_path), wheels_in(tmp_path))

    _, *parts = printed.split(f"{NEXT}\n")
    assert len(parts) == len(commands), printed
    for (command, expected), part in zip(commands, parts, strict=True):
        assert re.fullmatch(pattern(expected), part), f"{command}\n{part}"


def clone_in(folder: Path) -> Path:
    clone = folder / "clone"
    subprocess.run(
        ["git", "-c", f"safe.directory={CHECKOUT}/.git", "clone", "--quiet", CHECKOUT, clone], check=True
    )
    return clone


def wheels_in(folder: Path) -> Path:
    """All that `pip install .` asks for, to build the package and to run it."""
    wheels = folder / "wheels"
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    download: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--only-binary=:all:",
        "--dest",
        wheels,
    ]
    subprocess.run([*download, *wanted], check=True)
    return wheels


def run_in_container(engine: RealEngine, typed: str, clone: Path, wheels: Path) -> str:
    """What a shell prints that stops at the first command that fails."""
    system = [name for name in SYSTEM if os.path.isdir(name) and not os.path.islink(name)]
    mounts = [f"type=bind,source={name},target={name},readonly" for name in system]
    mounts += [
        f"type=bind,source={wheels},target={WHEELS},readonly",
        f"type=bind,source={clone},target={CLONE}",
    ]
    words = [f"--mount={mount}" for mount in mounts]
    words += [f"--env={name}={value}" for name, value in ENVIRONMENT.items()]
    words += ["--rm", "--network=none", "--tmpfs=/tmp:exec", f"--workdir={CLONE}"]
    done = subprocess.run(
        [engine.docker, "run", *words, IMAGE, "bash", "-e", "-o", "pipefail", "-c", typed],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
