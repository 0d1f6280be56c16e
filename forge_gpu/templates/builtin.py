"""The built-in templates, read from builtin.toml."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from forge_gpu.errors import TemplateError
from forge_gpu.plain import frozen

if TYPE_CHECKING:
    from forge_gpu.templates.environment import ChatTemplate


@frozen
class Builtin:
    """template: one turn, a format string over {query} and {response}. eos: the end-of-sequence token of its
    family. chat: the file of a Jinja template that writes any conversation, given these variables."""

    name: str
    template: str
    eos: str
    chat: str
    variables: dict[str, object] = field(default_factory=dict)

    def chat_template(self, ending: str = "", **variables: object) -> ChatTemplate:
        """What renders conversations. ending: what goes after each text, for append_eos. variables: as of
        `ChatTemplate`."""
        from forge_gpu.templates.environment import ChatTemplate

        source = (files("forge_gpu.templates") / self.chat).read_text(encoding="utf-8").removesuffix("\n")
        return ChatTemplate(source + "{{ ending }}", {}, {**self.variables, "ending": ending, **variables})


@cache
def builtins() -> dict[str, Builtin]:
    """All built-ins by name."""
    text = (files("forge_gpu.templates") / "builtin.toml").read_text(encoding="utf-8")
    return {name: Builtin(name, **entry) for name, entry in tomllib.loads(text).items()}


def builtin(name: str, others: Sequence[str] = ()) -> Builtin:
    """The built-in of that name; TemplateError names the nearest one, or the nearest of the others that have
    names, where there is none."""
    if name in builtins():
        return builtins()[name]
    known = [*builtins(), *others]
    near = difflib.get_close_matches(name.lower(), known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"they are {', '.join(known)}"
    what = "template" if others else "built-in template"
    raise TemplateError(f"no {what} is named {name!r}: {hint}")
