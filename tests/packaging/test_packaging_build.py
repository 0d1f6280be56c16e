"""The sdist and the wheels, of the sdist and of a zip of the repository, are whole and run on their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "forge_gpu")
BUILD = """
import os, sys
from setuptools import build_meta
print(getattr(build_meta, "build_" + sys.argv[1])(sys.argv[2]))
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Built:
    """python: of an environment that has nothing but pip and setuptools."""

    python: Path
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Built:
    folder = tmp_path_factory.mktemp("packages")
    source = folder / "source"
    source.mkdir()
    for name in SOURCES:
        copy(ROOT / name, source / name)
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *required], folder)
    sdist = build(python, "sdist", source, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return Built(python, sdist, build(python, "wheel", unpacked, folder))


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def build(python: Path, kind: str, source: Path, folder: Path) -> Path:
    name = run([python, "-c", BUILD, kind, folder], source).splitlines()[-1]
    return folder / name


def run(command: list, folder: Path) -> str:
    left_out = ("FORGE_CONFIG__", "PYTHON")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of_the_package() -> set[str]:
    """Every file of forge_gpu that belongs into a package, by its name in a wheel."""
    retained = {".py", ".toml", ".yaml", ".typed"}
    result = {path.relative_to(ROOT) for path in (ROOT / "forge_gpu").rglob("*") if path.suffix in retained}
    result.add(Path("forge_gpu/py.typed"))
    return {path.as_posix() for path in result if "__pycache__" not in path.parts}


def test_the_wheel_holds_every_file(built):
    with zipfile.ZipFile(built.wheel) as archive:
        names = set(archive.namelist())
    assert files_of_the_package() - names == set()
    strangers = {name for name in names if not name.startswith(("forge_gpu/", "forge_gpu-"))}
    assert strangers == set()
    for name in ("forge_gpu/kernels/layout.py", "forge_gpu/templates/builtin.toml", "forge_gpu/py.typed"):
        assert name in names


def test_the_sdist_holds_every_file(built):
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert files_of_the_package() - names == set()
    assert {"pyproject.toml", "README.md"} <= names


@pytest.fixture(scope="module")
def zip_wheel(built, tmp_path_factory) -> Path:
    """A wheel made from the commit as a code host offers it: a zip, unpacked where links are text files."""
    if not (ROOT / ".git").exists():
        pytest.skip("a zip of the repository needs a checkout of it, with .git")
    if shutil.which("git") is None:
        pytest.fail("a zip of the repository needs git: install it")
    folder = tmp_path_factory.mktemp("zip")
    git = ["git", "-c", f"safe.directory={ROOT}"]
    run([*git, "archive", "--format=zip", f"--output={folder / 'forge.zip'}", "HEAD"], ROOT)
    with zipfile.ZipFile(folder / "forge.zip") as archive:
        archive.extractall(folder / "unpacked")  # a link becomes a file that holds its target
    assert (folder / "unpacked" / "kernels").read_text() == "forge_gpu/kernels"
    return build(built.python, "wheel", folder / "unpacked", folder)


def test_the_wheel_starts_on_its_own(built, tmp_path):
    forge = installed(built.python, built.wheel, tmp_path)
    assert "Commands:" in run([forge, "--help"], tmp_path)


def test_the_wheel_of_a_zip_holds_the_same_files(built, zip_wheel):
    held = []
    for wheel in (built.wheel, zip_wheel):
        with zipfile.ZipFile(wheel) as archive:
            held.append({name for name in archive.namelist() if name.startswith("forge_gpu/")})
    assert held[0] == held[1]


def installed(python: Path, wheel: Path, folder: Path) -> Path:
    """The command of a wheel that is now installed, in place of another. Its dependencies are those installed
    here, found behind the environment's own packages."""
    import numpy

    install = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--force-reinstall"]
    run([python, "-m", "pip", *install, wheel], folder)
    library = run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], folder)
    Path(library.strip(), "borrowed.pth").write_text(f"{Path(numpy.__file__).parents[1]}\n")
    where = run([python, "-c", "import forge_gpu; print(forge_gpu.__file__)"], folder)
    assert Path(where.strip()).is_relative_to(library.strip())
    return python.with_name("forge")
