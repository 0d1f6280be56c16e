"""The built-in templates, read from builtin.yaml."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ruamel.yaml import YAML

from forge_gpu.errors import TemplateError


@dataclass(frozen=True, slots=True)
class Builtin:
    """A format string over {query} and {response}, and the end-of-sequence token of its family."""

    name: str
    template: str
    eos: str


@cache
def builtins() -> dict[str, Builtin]:
    """All built-ins by name."""
    text = (files("forge_gpu.templates") / "builtin.yaml").read_text(encoding="utf-8")
    return {name: Builtin(name, **entry) for name, entry in YAML(typ="safe", pure=True).load(text).items()}


def builtin(name: str) -> Builtin:
    """The built-in of that name; TemplateError names the nearest one where there is none."""
    known = builtins()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(known)}"
    raise TemplateError(f"no built-in template is named {name!r}: {hint}")
