"""The names of roles in data, and the four that templates know."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from ruamel.yaml import YAML

from forge_gpu.errors import ConfigError

ROLES = ("system", "user", "assistant", "tool")
FUNCTION_CALL = "function_call"


@cache
def _aliases() -> dict[str, str]:
    text = (files("forge_gpu.templates") / "roles.yaml").read_text(encoding="utf-8")
    listed = YAML(typ="safe", pure=True).load(text)
    return {alias: role for role, aliases in listed.items() for alias in aliases}


def role_aliases(configured: Mapping[str, str]) -> dict[str, str]:
    """Every known name -> one of ROLES or FUNCTION_CALL; those of the mapping win over the usual ones."""
    for name, role in configured.items():
        if role not in (*ROLES, FUNCTION_CALL):
            raise ConfigError(
                f"data.mapping.roles: {name!r} is mapped to {role!r}; use one of {', '.join(ROLES)}"
            )
    return {**_aliases(), **configured}
