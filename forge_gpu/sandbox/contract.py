"""What a transform may rely on, and what its results depend on."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from forge_gpu.errors import ConfigError
from forge_gpu.plain import frozen

MAX_SCRIPT = 2**20
"""Bytes of a script."""


@cache
def contract() -> Mapping[str, Any]:
    """version, modules, companions, batches: see contract.yaml."""
    from ruamel.yaml import YAML

    read: Mapping[str, Any] = YAML(typ="safe").load(
        (files("forge_gpu.sandbox") / "contract.yaml").read_text()
    )
    return read


@cache
def _folders() -> dict[str, str]:
    result = {}
    for name in contract()["batches"]["packages"]:
        spec = find_spec(name)
        assert spec is not None and spec.origin is not None  # Forge itself needs them
        result[name] = str(Path(spec.origin).parents[1])
    return result


@frozen
class Loaded:
    """What a worker loads before its code. packages: besides the standard library, each with the folder that
    it lies in. modules: what the code may import. companions: what those load later. batches: whether the
    code may have `transform_batch`."""

    packages: dict[str, str]
    modules: list[str]
    companions: list[str]
    batches: bool


@frozen
class Script:
    """A transform script: where it was read from, and its text."""

    path: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def packages(self) -> dict[str, str]:
        """What is loaded besides the standard library, each with the folder that it lies in: for a script
        that has `transform_batch`."""
        return _folders() if "transform_batch" in self.text else {}

    @property
    def loaded(self) -> Loaded:
        packages = self.packages
        names = {name: list(contract()[name]) for name in ("modules", "companions")}
        for name in names if packages else ():
            names[name] += contract()["batches"][name]
        return Loaded(packages, names["modules"], names["companions"], bool(packages))

    @property
    def key(self) -> str:
        """A digest of all that the results depend on beside the rows."""
        packages = [f"{name} {version(name)}" for name in self.packages]
        parts = (self.sha256, contract()["version"], sys.version_info[:2], *packages)
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def read_script(path: Path) -> Script:
    """Raises ConfigError where it cannot be read, is not a text, or is too long."""
    try:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; a transform is a Python file with `def transform(row)`")
        with open(path, "rb") as file:
            content = file.read(MAX_SCRIPT + 1)
        text = content.decode()
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror or fault}") from fault
    except UnicodeDecodeError as fault:
        raise ConfigError(
            f"{path}: is not UTF-8 text (byte {fault.start}); a transform is a Python file"
        ) from fault
    if len(content) > MAX_SCRIPT:
        raise ConfigError(f"{path}: longer than {MAX_SCRIPT:,} bytes; a transform is one short Python file")
    return Script(str(path), text)
