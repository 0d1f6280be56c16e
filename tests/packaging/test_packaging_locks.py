"""The locks of the dev extra: one a Python minor, with the hashes of the wheels that Linux takes, without a
word of where packages come from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from tools.locks import lines, merged

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
SUPPORTED = SpecifierSet(PROJECT["requires-python"])
MINORS = [minor for minor in (f"3.{number}" for number in range(40)) if SUPPORTED.contains(minor)]
HASH = r"    --hash=sha256:[0-9a-f]{64}( \\)?"
PINNED = r'([\w.-]+)==([^\s;]+)(?: ; platform_machine == "\w+")? \\'


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("minor", MINORS)
def test_each_minor_has_a_lock_of_what_the_dev_extra_asks_for(minor: str) -> None:
    lock = (ROOT / "locks" / f"dev-{minor}.txt").read_text().splitlines()
    pins = [re.fullmatch(PINNED, line) for line in lock if not re.fullmatch(HASH, line)]
    pinned = {pin[1]: pin[2] for pin in pins if pin}
    assert len(pinned) == len(pins), "a line is neither a pin nor a hash"
    versions = {plain(name): version for name, version in pinned.items()}
    assert len(versions) < len(lock) - len(pins), "both kinds of machines have their wheels"
    extras = PROJECT["optional-dependencies"]
    for text in (*PROJECT["dependencies"], *extras["dev"], *extras["dask"], *extras["cuda-compile"]):
        asked = Requirement(text)
        if asked.marker is None or asked.marker.evaluate({"python_version": minor}):
            assert asked.specifier.contains(versions[plain(asked.name)], prereleases=True), text


def files(kind: str, *digests: str) -> dict[str, Any]:
    made = [{"hashes": {"sha256": digest * 64}} for digest in digests]
    return {"wheels": made} if kind == "wheels" else {kind: made[0]}


def test_a_lock_has_the_wheels_of_both_kinds_of_machines_and_sources_where_there_is_no_wheel() -> None:
    """A package that only one takes, or in another version, has a marker."""
    both = {"name": "both", "version": "1"}
    here: list[dict[str, Any]] = [both | files("wheels", "b", "a") | files("sdist", "d")]
    there: list[dict[str, Any]] = [both | files("wheels", "c") | files("sdist", "d")]
    here.append({"name": "made", "version": "2"} | files("sdist", "e"))
    there.append({"name": "made", "version": "3"} | files("sdist", "f"))
    pinned = merged({"x86_64": {"packages": here}, "aarch64": {"packages": there}})
    assert [re.sub(r"(\w)\1{63}", r"\1", line) for line in lines(pinned)] == [
        "both==1 \\\n    --hash=sha256:a \\\n    --hash=sha256:b \\\n    --hash=sha256:c",
        'made==2 ; platform_machine == "x86_64" \\\n    --hash=sha256:e',
        'made==3 ; platform_machine == "aarch64" \\\n    --hash=sha256:f',
    ]
    with pytest.raises(ValueError, match="made 2 has no file with a hash"):
        merged({"x86_64": {"packages": [{"name": "made", "version": "2"}]}})
