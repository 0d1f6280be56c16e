"""Old names that still work, and until when."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from forge_gpu.plain import frozen


@frozen
class Deprecation:
    """kind: name or module (of the library), command, or plan. rather: what takes its place. until: the
    version that no longer has it."""

    kind: str
    rather: str
    until: str


@cache
def deprecations() -> dict[str, Deprecation]:
    """All of them, by the old name."""
    from ruamel.yaml import YAML

    text = (files("forge_gpu") / "deprecations.yaml").read_text(encoding="utf-8")
    return {name: Deprecation(**about) for name, about in YAML(typ="safe", pure=True).load(text).items()}


def advice(name: str) -> str:
    """One line for who uses an old name."""
    about = deprecations()[name]
    return f"{name} is the old name of {about.rather}: it works until Forge {about.until}; use {about.rather}"
