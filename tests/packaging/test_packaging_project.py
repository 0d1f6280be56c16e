"""What a host of repositories takes from the project: workflows, forms; and the changelog."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from forge_gpu._version import __version__

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
FILES = [*sorted(GITHUB.rglob("*.yml")), ROOT / ".pre-commit-config.yaml"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_is_yaml(path: Path) -> None:
    assert isinstance(YAML(typ="safe", pure=True).load(path.read_text()), dict)


def test_the_workflow_runs_what_ci_runs() -> None:
    workflow = YAML(typ="safe", pure=True).load((GITHUB / "workflows" / "ci.yml").read_text())
    assert {"run": ".ci/run"} in workflow["jobs"]["test"]["steps"]


def test_the_release_finds_the_version() -> None:
    text = (GITHUB / "workflows" / "release.yml").read_text()
    (command,) = re.findall(r"\$\((sed .*)\)\"", text)
    found = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == __version__ + "\n"


def test_the_changelog_has_the_version() -> None:
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
