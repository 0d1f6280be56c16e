"""`forge doctor` lists what is optional, and the command that adds it."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

from forge_gpu.report.optional import EXTRAS, optional_lines

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
OTHERS = {"dev", "cuda-compile", "cu12", "cu13"}


def test_every_extra_is_listed_with_a_distribution_of_its_own():
    extras = PROJECT["optional-dependencies"]
    assert set(EXTRAS) == set(extras) - OTHERS
    for extra, (distribution, _) in EXTRAS.items():
        assert any(requirement.startswith(distribution) for requirement in extras[extra])


def test_what_lacks_has_its_command(monkeypatch):
    def version(name):
        if name == "s3fs":
            raise metadata.PackageNotFoundError(name)
        return "1.2"

    monkeypatch.setattr(metadata, "version", version)
    lines = optional_lines()
    assert "s3: not installed; pip install 'forge-gpu[s3]' (inputs and outputs at s3://)" in lines
    assert "metrics: prometheus-client 1.2 (prepare --metrics)" in lines
