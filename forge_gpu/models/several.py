"""A model with several chat templates: the one that a row takes, as `apply_chat_template` chooses it.

Rows with tools take the template named `tool_use`, all others the one named `default`. Both become one
template that asks the row: then a plan holds one text, and whoever renders chooses alike.
"""

from __future__ import annotations

from collections.abc import Mapping

DEFAULT, TOOL_USE = "default", "tool_use"
NO_DEFAULT = "{{ raise_exception('the model has a chat template for tools alone, and no default') }}"


def template_of(templates: Mapping[str, str], tools: bool) -> str | None:
    """The text for data with tools or without; None where none is for such data: another is taken by its
    name alone."""
    if not tools or TOOL_USE not in templates:
        return templates.get(DEFAULT)
    default, with_tools = _inner(templates.get(DEFAULT, NO_DEFAULT)), _inner(templates[TOOL_USE])
    return f"{{% if tools is none %}}\n{default}{{%+ else %}}\n{with_tools}{{%+ endif %}}"


def _inner(text: str) -> str:
    """A template's text within another. Jinja takes one newline from the end of a template; the one before
    the text goes with the tag, and lets it begin a line."""
    for end in ("\r\n", "\n", "\r"):
        if text.endswith(end):
            return text.removesuffix(end)
    return text
