"""What `tokenizer.apply_chat_template` puts into a template's environment: functions, a filter and a tag."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.utils import Namespace

from forge_gpu.errors import TemplateError


class GenerationTag(Extension):
    """`{% generation %}` ... `{% endgeneration %}`: marks what the assistant wrote."""

    tags = {"generation"}  # noqa: RUF012 (jinja's own spelling)

    def parse(self, parser: Parser) -> nodes.CallBlock:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_generated")
        return nodes.CallBlock(call, [], [], body, lineno=line)

    def _generated(self, caller: Callable[[], str]) -> str:
        hook = self.environment.generation_hook if hasattr(self.environment, "generation_hook") else None
        text = caller()
        return hook(text) if hook else text


OPTIONS: dict[str, Any] = {
    "trim_blocks": True,
    "lstrip_blocks": True,
    "extensions": [GenerationTag, loopcontrols],
}
"""Those of every environment that templates are read in."""


def raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


class PlainDict:
    """`dict` for templates: it can be called, and has none of the type's own attributes."""

    def __call__(self, *args: Any, **items: Any) -> dict[Any, Any]:
        return dict(*args, **items)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class PlainNamespace(Namespace):
    """`namespace` for templates, without names that start with an underscore."""

    def __init__(*args: Any, **items: Any) -> None:
        self, *values = args
        given = dict(*values, **items)
        for name in given:
            _check_name(name)
        Namespace.__init__(self, given)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a namespace with an attribute {name!r}")


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def strftime_of(date: str | None) -> Callable[[str], str]:
    """`strftime_now` for a fixed date, YYYY-MM-DD, at midnight; without a date a template that asks fails."""
    if date is None:

        def undated(form: str) -> str:
            raise TemplateError("the chat template writes the date, but model.date is not set")

        return undated
    try:
        return datetime.datetime.fromisoformat(date).strftime
    except ValueError:
        raise TemplateError(f"model.date is {date!r}, which is not a date; write YYYY-MM-DD") from None


def install(globals_: dict[str, Any], date: str | None) -> None:
    """Put the functions among an environment's globals."""
    globals_ |= {
        "raise_exception": raise_exception,
        "strftime_now": strftime_of(date),
        "dict": PlainDict(),
        "namespace": PlainNamespace,
    }
