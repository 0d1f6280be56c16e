"""Templates by name: the built-ins, those of a plan's section `templates`, and files in the user's folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from forge_gpu.errors import ConfigError
from forge_gpu.templates.builtin import builtins

JINJA_SUFFIXES = (".jinja", ".jinja2", ".j2")
SUFFIXES = (*JINJA_SUFFIXES, ".txt")


def kind_of(text: str) -> str:
    """What a template is, by its text: jinja where it has statements, else a format string."""
    return "jinja" if "{%" in text or "{#" in text else "format"


def user_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where a user keeps templates for all plans: NAME.jinja, or NAME.txt for a format string."""
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return Path(home) / "forge-gpu" / "templates"


def user_templates(environ: Mapping[str, str] = os.environ) -> dict[str, Path]:
    """The user's own, by name. A file that has a built-in's name is not one of them."""
    try:
        files = sorted(path for path in user_folder(environ).iterdir() if path.suffix in SUFFIXES)
    except OSError:
        return {}
    return {path.stem: path for path in files if path.stem not in builtins()}


def spell_out(values: dict[str, Any]) -> None:
    """In the values of a plan, in place: `model.chat_template` with a name of `templates` becomes that text,
    and a template without a `template_kind` gets the one that it is by its name or its text.

    Raises ConfigError where `templates` has a built-in's name.
    """
    registered = values.get("templates")
    taken = next((name for name in registered if name in builtins()), None) if _is_map(registered) else None
    if taken is not None:
        raise ConfigError(f"templates.{taken}: is a built-in's name; give yours another one")
    model = values.get("model")
    text = model.get("chat_template") if _is_map(model) else None
    if not _is_map(model) or not isinstance(text, str):
        return
    if text in builtins():
        model.setdefault("template_kind", "builtin")
    elif _is_map(registered) and isinstance(registered.get(text), str):
        model["chat_template"] = registered[text]
        model["template_kind"] = kind_of(registered[text])
        model.setdefault("template_source", f"templates.{text} of the plan")
    elif "{" in text:
        model.setdefault("template_kind", kind_of(text))


def _is_map(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)
