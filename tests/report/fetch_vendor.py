"""Fetches the JavaScript that the pages carry from npm, and writes it with its lock: `python -m
tests.report.fetch_vendor`. To move to another version, change PACKAGES."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from forge_gpu.report import page

PACKAGES = {
    "d3-path": "3.1.1",
    "d3-array": "3.2.5",
    "d3-color": "3.1.1",
    "d3-interpolate": "3.0.2",
    "d3-format": "3.1.3",
    "d3-time": "3.1.1",
    "d3-time-format": "4.1.1",
    "d3-scale": "4.0.3",
    "d3-scale-chromatic": "3.1.1",
    "d3-selection": "3.0.1",
    "d3-axis": "3.0.1",
    "d3-shape": "3.2.1",
    "d3-geo": "3.1.2",
    "d3-hierarchy": "3.1.3",
    "d3-random": "3.0.2",
    "d3-delaunay": "6.0.6",
    "d3-contour": "4.0.3",
    "d3-sankey": "0.12.3",
    "@observablehq/plot": "0.6.17",
}
"""In the order in which a page loads them. They are the parts of d3 that Plot takes: the whole of d3 has one
that makes code of texts (d3-dsv), which the page's policy forbids."""


def main() -> None:
    entries, licences = [], []
    for name, version in PACKAGES.items():
        with TemporaryDirectory() as folder:
            [made] = json.loads(
                subprocess.run(
                    ["npm", "pack", "--json", f"{name}@{version}"],
                    cwd=folder,
                    check=True,
                    capture_output=True,
                ).stdout
            )
            with tarfile.open(Path(folder) / made["filename"]) as packed:
                member = "plot.umd.min.js" if name == "@observablehq/plot" else f"{name}.min.js"
                script = packed.extractfile(f"package/dist/{member}").read()  # type: ignore[union-attr]
                licence = packed.extractfile("package/LICENSE").read()  # type: ignore[union-attr]
        (page.VENDOR / member).write_bytes(script)
        entries.append(
            {
                "package": name,
                "version": version,
                "integrity": made["integrity"],
                "file": member,
                "sha256": hashlib.sha256(script).hexdigest(),
            }
        )
        licences.append(f"{name} {version}\n\n{licence.decode().strip()}\n")
    (page.VENDOR / "lock.json").write_text(json.dumps(entries, indent=1) + "\n")
    (page.VENDOR / "LICENSES.txt").write_text(f"\n{'-' * 72}\n\n".join(licences))


if __name__ == "__main__":
    main()
