"""Locks of the dev extra: one a Python minor, with the hashes of the wheels that Linux takes, and no others.

    python -m tools.locks EXTRA[,EXTRA…] MINOR…

`uv` resolves each minor for each kind of machine and says which of a package's files fit there. A lock has
the hashes of these files: of its wheels, or of its source where it has no wheel. What only one kind of
machine needs, or in another version, has a marker.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MACHINES = ("x86_64", "aarch64")
LINUX = "manylinux_2_28"
"""The oldest C library that locked wheels run on."""
Pinned = dict[tuple[str, str], dict[str, set[str]]]
"""By name and version, the kinds of machines that take it, and the hashes of what each takes."""


def resolved(extras: Iterable[str], minor: str, machine: str) -> dict[str, Any]:
    """What uv pins for a Python minor on a kind of machine, in the form of pylock.toml."""
    command = [
        str(Path(sys.executable).with_name("uv")),
        "pip",
        "compile",
        "pyproject.toml",
        "--quiet",
        "--upgrade",
    ]
    command += [word for extra in extras for word in ("--extra", extra)]
    command += ["--python-version", minor, "--python-platform", f"{machine}-{LINUX}"]
    command += ["--generate-hashes", "--no-header", "--no-emit-index-url", "--format", "pylock.toml"]
    return tomllib.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def merged(by_machine: dict[str, dict[str, Any]]) -> Pinned:
    """What machines of all kinds pin. Raises ValueError for a package that has neither wheel nor source."""
    pinned: Pinned = {}
    for machine, lock in by_machine.items():
        for package in lock["packages"]:
            files = package.get("wheels") or [
                package[kind] for kind in ("sdist", "archive") if kind in package
            ]
            if not files:
                raise ValueError(f"{package['name']} {package['version']} has no file with a hash")
            hashes = pinned.setdefault((package["name"], package["version"]), {})
            hashes[machine] = {file["hashes"]["sha256"] for file in files}
    return pinned


def lines(pinned: Pinned) -> Iterable[str]:
    """Requirements for pip, in the order of their names."""
    for (name, version), by_machine in sorted(pinned.items()):
        everywhere = len(by_machine) == len(MACHINES)
        marker = "" if everywhere else f' ; platform_machine == "{next(iter(by_machine))}"'
        hashes = sorted(set().union(*by_machine.values()))
        yield " \\\n".join(
            (f"{name}=={version}{marker}", *(f"    --hash=sha256:{digest}" for digest in hashes))
        )


def main(extras: str, *minors: str) -> int:
    for minor in minors:
        by_machine = {machine: resolved(extras.split(","), minor, machine) for machine in MACHINES}
        text = "\n".join(lines(merged(by_machine))) + "\n"
        Path("locks", f"dev-{minor}.txt").write_text(text)
        print(f"locks/dev-{minor}.txt: {text.count('==')} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
