"""pyproject.toml, the conda environments and the images name the same packages, versions and extras."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

import forge_gpu

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
DOCKERFILES = sorted((ROOT / "docker").glob("Dockerfile.*"))
CONDA_ONLY = {"pip", "cuda-version"}
CONDA = {"13": "conda-env.yml", "12": "conda-env-cu12.yml"}
"""By the version of CUDA."""


def parsed(requirement: str) -> tuple[str, frozenset[str]]:
    """Name and version bounds; `=26.10.*` of conda is `==26.10.*` of pip."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+)(\[[a-z0-9,]+\])?(.*)", requirement)
    assert match, requirement
    bounds = {re.sub(r"^=(?!=)", "==", bound) for bound in match[3].split(",") if bound}
    return match[1], frozenset(bounds)


def conda(cuda: str) -> tuple[dict[str, frozenset[str]], list[str]]:
    listed = YAML(typ="safe", pure=True).load((ROOT / CONDA[cuda]).read_text())["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    return dict(parsed(entry) for entry in listed if isinstance(entry, str)), pip


@pytest.mark.parametrize("cuda", CONDA)
def test_conda_has_the_base_dependencies_and_the_extra_of_its_cuda(cuda):
    result, _ = conda(cuda)
    required = dict(map(parsed, PROJECT["dependencies"]))
    for requirement in PROJECT["optional-dependencies"][f"cu{cuda}"]:
        name, bounds = parsed(requirement)
        required[name.removesuffix(f"-cu{cuda}").removesuffix(f"-cuda{cuda}x")] = bounds
    required["python"] = parsed("python" + PROJECT["requires-python"])[1]
    assert {name: bounds for name, bounds in result.items() if name not in CONDA_ONLY} == required
    assert result["cuda-version"] == {f"=={cuda}.*"}


@pytest.mark.parametrize("cuda", CONDA)
def test_conda_installs_this_version(cuda):
    assert conda(cuda)[1] == [f"{PROJECT['name']}=={forge_gpu.__version__}"]
    assert PROJECT["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "forge_gpu._version.__version__"}


def test_the_two_gpu_extras_differ_in_the_cuda_version_alone():
    extras = PROJECT["optional-dependencies"]
    twelve = {
        requirement.replace("cu12", "cu13").replace("cuda12x", "cuda13x") for requirement in extras["cu12"]
    }
    assert twelve == set(extras["cu13"])


def test_doctor_and_plan_know_the_extras():
    from forge_gpu.hardware.stack import REQUIREMENTS

    assert set(REQUIREMENTS) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_is_built_from_what_is_there(path):
    text = path.read_text()
    allowed = (ROOT / ".dockerignore").read_text().split()
    assert re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE) == ["."]
    sources = {line.removeprefix("!") for line in allowed if line.startswith("!")}
    assert {"pyproject.toml", "README.md", "forge_gpu"} < sources
    extras = {extra for names in re.findall(r"EXTRAS=([a-z0-9,]+)", text) for extra in names.split(",")}
    assert extras and extras <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_runs_forge_without_rights_and_with_its_kernels(path):
    text = path.read_text()
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    instructions = [line for line in lines if re.match(r"[A-Z]+ ", line)]
    last = instructions[max(i for i, line in enumerate(instructions) if line.startswith("FROM ")) :]
    assert [line for line in last if line.startswith("USER ")] == ["USER 1000:1000"]
    assert last[-1] == 'ENTRYPOINT ["forge"]'
    commands = re.sub(r"\\\n", " ", text).splitlines()
    warm = commands.index(next(line for line in commands if "forge warm" in line))
    user = commands.index("USER 1000:1000")
    assert warm < user, "kernels are root's: what a run may not write, every user may load"
    assert "forge warm --levels && chmod -R a+rX /var/cache/forge" in commands[warm]
    copied = "COPY --from=build /var/cache/forge /var/cache/forge"
    built_apart = len([line for line in instructions if line.startswith("FROM ")]) > 1
    assert (copied in last) is built_apart


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_has_a_linker_while_its_kernels_are_made_and_not_after(path):
    """So that they are one library. The lines run here, with programs that only say what they were told."""
    text = path.read_text()
    assert "ARG LINKER=binutils\n" in text
    commands = [line for line in re.sub(r"\\\n", " ", text).splitlines() if line.startswith("RUN ")]
    made = next(i for i, line in enumerate(commands) if "forge warm" in line)
    links = [
        line.removeprefix("RUN ") for line in commands[: made + 1] if "LINKER" in line or "forge warm" in line
    ]
    installs = ["apt-get update", "apt-get install -y --no-install-recommends binutils"]
    removes = [] if "AS build" in text else ["apt-get purge -y --auto-remove binutils"]
    assert run_apart(links, "binutils", {"apt-get"}) == [*installs, *WARM, *removes]
    for linker, there in (("", {"apt-get"}), ("binutils", {"ld", "apt-get"}), ("binutils", set())):
        assert run_apart(links, linker, there) == WARM


WARM = ["forge warm", "forge warm --levels"]


def run_apart(commands: list[str], linker: str, there: set[str]) -> list[str]:
    """What the programs of some lines of a Dockerfile were called with, in order. there: those that are."""
    said = "".join(f"{name}() {{ echo {name} $@ >&3; }}\n" for name in ("apt-get", "forge"))
    quiet = "chmod() { :; }\nrm() { :; }\n" + f'command() {{ [[ " {" ".join(there)} " == *" $2 "* ]]; }}\n'
    lines = "\n".join(f"( {line} ) || exit 1" for line in commands)
    done = subprocess.run(
        ["bash", "-c", f"exec 3>&1 >/dev/null\n{said}{quiet}{lines}"],
        env={"PATH": os.environ["PATH"], "LINKER": linker},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_both_images_are_there():
    assert [path.name for path in DOCKERFILES] == ["Dockerfile.cpu", "Dockerfile.rapids"]
