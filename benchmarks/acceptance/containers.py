"""Whether the images are built without a network, and jobs in them write the bytes of the host.

Needs a Docker engine (`docker/with-engine.sh`), pip and debootstrap (Debian, as root). The base is a Debian
of its own, with its Python; wheels are fetched first, and each build takes them from wheels/ by `--offline`.
The GPU image is built with the packages that need no device: `cuda-compile` instead of RAPIDS.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import typer

from forge_gpu.container.makers import LIBRARIES, makers
from forge_gpu.job.output.result import PAGE

ROOT = Path(__file__).parents[2]
BASE = "forge-acceptance:base"
CHECKOUT = "checkout"
SUITE, PYTHON = "bookworm", "3.11"
IMAGES = {"cpu": "s3", "cu13": "s3,cuda-compile"}
"""Variant -> the extras that it is built with."""
JOBS = {
    "support.jsonl": ["--template", "chatml"],
    "chat.jsonl": ["--set", "output.form=messages"],
}


@contextmanager
def timed(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)


def run(*words: str | Path, folder: Path = ROOT, sources: Path = ROOT) -> str:
    """sources: of the Forge that is imported: that of the images, which is committed."""
    environment = os.environ | {"PYTHONPATH": str(sources)}
    done = subprocess.run([*map(str, words)], cwd=folder, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{words[0]} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def forge(*words: str | Path, folder: Path, work: Path) -> str:
    program = [sys.executable, "-P", "-c", "from forge_gpu.cli.app import main; main()"]
    return run(*program, *words, folder=folder, sources=work / CHECKOUT)


def make_base(work: Path) -> None:
    """Import a small Debian with Python as the base of the images."""
    if shutil.which("debootstrap") is None:
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "debootstrap")
    tree = work / "debian"
    run("debootstrap", "--variant=minbase", "--include=python3,python3-venv", SUITE, tree)
    archive = work / "debian.tar"
    run("tar", "-C", tree, "-cf", archive, ".")
    run("docker", "import", archive, BASE)
    shutil.rmtree(tree)


def make_checkout(work: Path) -> Path:
    """The sources as they are committed, with all wheels that the builds need."""
    checkout = work / CHECKOUT
    checkout.mkdir()
    run("git", "archive", "--output", work / "sources.tar", "HEAD")
    run("tar", "-C", checkout, "-xf", work / "sources.tar")
    extras = ",".join(sorted({extra for names in IMAGES.values() for extra in names.split(",")}))
    download: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--dest",
        checkout / "wheels",
    ]
    run(*download, "--only-binary=:all:", "--python-version", PYTHON, "setuptools>=77", "pip", "wheel")
    pins = [f"{name}=={makers()[name]}" for name in LIBRARIES]
    run(*download, f"{checkout}[{extras}]", *pins)
    return checkout


def same(host: Path, inside: Path) -> bool:
    """Whether two output folders hold the same files, but for what tells of the run: a section of the
    manifest, and the report."""
    files = {path.name for path in host.iterdir() if path.is_file()}
    names = sorted(files - {"manifest.json", PAGE})
    if filecmp.cmpfiles(host, inside, names, shallow=False)[0] != names:
        return False
    manifests = [orjson.loads((folder / "manifest.json").read_bytes()) for folder in (host, inside)]
    for manifest in manifests:
        del manifest["run"]
    return bool(manifests[0] == manifests[1])


def try_jobs(image: str, work: Path) -> bool:
    """Run each job on the host and in the image; whether all bytes are the same."""
    good = True
    for name, words in JOBS.items():
        folder = work / image.replace(":", "-") / name
        shutil.copytree(ROOT / "examples", folder / "examples")
        forge("plan", "acceptance", "--data", f"examples/{name}", *words, folder=folder, work=work)
        forge("prepare", "--quiet", "--output", "host", folder=folder, work=work)
        began = time.monotonic()
        forge("prepare", "--quiet", "--output", "inside", "--container", image, folder=folder, work=work)
        seconds = time.monotonic() - began
        equal = same(folder / "host", folder / "inside")
        reported = "same bytes" if equal else "OTHER BYTES"
        of_job = orjson.loads((folder / "inside" / "manifest.json").read_bytes())["run"]["seconds"]
        print(f"{image}, {name}: {reported}, {seconds:.1f} s of which the job {of_job:.1f}", flush=True)
        good &= equal
    return good


def main() -> None:
    """Build the images offline and run jobs in them; exit 1 for any difference."""
    with TemporaryDirectory(prefix="forge-containers-", dir=os.environ.get("TMPDIR")) as name:
        work = Path(name)
        with timed("base"):
            make_base(work)
        with timed("wheels"):
            checkout = make_checkout(work)
        good = True
        for variant, extras in IMAGES.items():
            with timed(f"forge image build {variant} --offline"):
                words: list[str | Path] = [
                    "--offline",
                    "--checkout",
                    checkout,
                    "--base",
                    BASE,
                    "--extras",
                    extras,
                ]
                print(forge("image", "build", variant, *words, folder=work, work=work), end="")
            good &= try_jobs(f"forge:{variant}", work)
        print(forge("image", "show", folder=work, work=work), end="")
    raise typer.Exit(0 if good else 1)


if __name__ == "__main__":
    typer.run(main)
