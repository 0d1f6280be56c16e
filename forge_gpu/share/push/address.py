"""Where on the hub: `hf://datasets/org/name`, or a branch of it, `hf://datasets/org/name@branch`."""

from __future__ import annotations

import re

from forge_gpu.errors import ConfigError
from forge_gpu.io.secrets import public
from forge_gpu.plain import frozen

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_ADDRESS = re.compile(
    rf"hf://datasets/(?P<name>{_NAME}/{_NAME})(?:@(?P<branch>[A-Za-z0-9][\w./-]{{0,98}}))?/?"
)
MAIN = "main"


@frozen
class Address:
    """name: as `org/name`."""

    name: str
    branch: str = MAIN

    def __str__(self) -> str:
        return f"hf://datasets/{self.name}" + ("" if self.branch == MAIN else f"@{self.branch}")


def parse(address: str) -> Address:
    """Raises ConfigError for what is not a data set on the hub."""
    match = _ADDRESS.fullmatch(address)
    if match is None or ".." in address or "--" in match["name"]:
        raise ConfigError(
            f"{public(address)!r}: is not a data set on the hub; write hf://datasets/ORG/NAME, or "
            "hf://datasets/ORG/NAME@BRANCH for a branch other than main"
        )
    return Address(match["name"], match["branch"] or MAIN)
