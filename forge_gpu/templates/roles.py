"""The names of roles in data, and the four that templates know."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files

from ruamel.yaml import YAML

from forge_gpu.config.schema import ModelConfig
from forge_gpu.errors import ConfigError

ROLES = ("system", "user", "assistant", "tool")
FUNCTION_CALL = "function_call"


@cache
def _aliases() -> dict[str, str]:
    text = (files("forge_gpu.templates") / "roles.yaml").read_text(encoding="utf-8")
    listed = YAML(typ="safe", pure=True).load(text)
    return {alias: role for role, aliases in listed.items() for alias in aliases}


def role_aliases(configured: Mapping[str, str]) -> dict[str, str]:
    """Every known name of `from` -> a role; those of the mapping win over the usual ones.

    A role is one of ROLES or FUNCTION_CALL, or a name that the mapping gives to itself: it is passed on.
    """
    for name, role in configured.items():
        if role not in (*ROLES, FUNCTION_CALL, name):
            raise ConfigError(
                f"data.mapping.roles: {name!r} is mapped to {role!r}; use one of {', '.join(ROLES)}"
            )
    return {**_aliases(), **configured}


DEVELOPER = "developer"
_COMPARED = r"""role['"]?\]?\s*(?:==|!=|not in|in)\s*(\[[^\]]*\]|\([^)]*\)|'[^']*'|"[^"]*")"""
_QUOTED = r"""['"]([^'"]+)['"]"""


def own_roles(model: ModelConfig) -> frozenset[str]:
    """The names that a chat template compares roles with: they mean something to it, and are passed on."""
    if model.template_kind != "jinja":
        return frozenset()
    return _own_roles(model.chat_template or "")


@cache
def _own_roles(source: str) -> frozenset[str]:
    return frozenset(
        name for compared in re.findall(_COMPARED, source) for name in re.findall(_QUOTED, compared)
    )


def role_names(configured: Mapping[str, str], own: Collection[str]) -> dict[str, str]:
    """Every known name of `role` -> a role. own: names that the template knows itself."""
    passed = {name: name for name in (*ROLES, DEVELOPER)}
    usual = {name: role for name, role in _aliases().items() if name not in passed}
    return {**passed, **usual, **{name: name for name in sorted(own)}, **configured}
