"""The locks of the dev extra: one a Python minor, with hashes, without a word of where packages come from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SUPPORTED = SpecifierSet(PROJECT["requires-python"])
MINORS = [minor for minor in (f"3.{number}" for number in range(40)) if SUPPORTED.contains(minor)]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("minor", MINORS)
def test_each_minor_has_a_lock_of_what_the_dev_extra_asks_for(minor: str) -> None:
    lines = (ROOT / "locks" / f"dev-{minor}.txt").read_text().splitlines()
    assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?|[\w.-]+==\S+ \\", line) for line in lines)
    pinned = dict(line.removesuffix(" \\").split("==") for line in lines if not line.startswith(" "))
    versions = {plain(name): version for name, version in pinned.items()}
    assert len(versions) < sum(line.startswith("    --hash=") for line in lines)
    extras = PROJECT["optional-dependencies"]
    for text in (*PROJECT["dependencies"], *extras["dev"], *extras["dask"], *extras["cuda-compile"]):
        asked = Requirement(text)
        if asked.marker is None or asked.marker.evaluate({"python_version": minor}):
            assert asked.specifier.contains(versions[plain(asked.name)], prereleases=True), text
