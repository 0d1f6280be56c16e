"""One run of a template with stand-ins for the texts of a row.

Concolic: each question that a branch asks is answered by the real row, and remembered. What comes out is
right for every row of the same shape that answers the same questions in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from itertools import count
from typing import Any

import jinja2

from forge_gpu.errors import TemplateError
from forge_gpu.plain import frozen, mutable
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.rendering import compile_template
from forge_gpu.templates.small import Beyond
from forge_gpu.templates.tracing.environment import TracingEnvironment
from forge_gpu.templates.tracing.expressions import (
    Expression,
    Leaf,
    Lookup,
    Predicate,
    Text,
    evaluate,
    holds,
    parts_of,
)
from forge_gpu.templates.tracing.placeholders import Placeholder, TextPlaceholder, Untraceable, expression_of

CONCRETE_KEYS = frozenset(("role", "type"))
"""Keys whose texts templates branch on: they belong to a row's shape, not to its texts."""


@frozen
class Rendering:
    """The template's text as expressions, with the marks of generation tags among them."""

    parts: tuple[Expression, ...]


@frozen
class Raised:
    """The template refuses the row with this message."""

    message: Expression


@frozen
class Fallback:
    """Rows of this path are rendered one by one; `why` is for the user."""

    why: str


Outcome = Rendering | Raised | Fallback


@mutable
class Questions:
    """Answers a trace's questions for one row, and keeps them in order."""

    lookup: Lookup
    answers: dict[Predicate, bool] = field(default_factory=dict)

    def ask(self, predicate: Predicate) -> bool:
        if predicate not in self.answers:
            self.answers[predicate] = holds(predicate, self.lookup)
        return self.answers[predicate]


class Tracer:
    """A chat template made ready for tracing. One thread at a time. Raises what ChatTemplate raises."""

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self.environment = TracingEnvironment(template.here.bounds, template.date)
        self.traced = compile_template(self.environment, template.source)
        self.runs = 0

    def run(self, variables: Mapping[str, Any], questions: Questions) -> Outcome:
        """Render once. variables: those of the template, texts of the row replaced by stand-ins for
        `questions`."""
        self.runs += 1
        self.environment.trace = questions
        try:
            self.environment.begin(variables.values())
            text = self.traced.render(variables)
        except Untraceable as error:
            return Fallback(str(error))
        except Beyond:
            return Fallback("more than is traced, or what may take long")
        except TemplateError:
            raise
        except jinja2.exceptions.SecurityError:
            return Fallback("something that no template may do")
        except jinja2.TemplateError as error:
            return _raised(error)
        except Exception as error:  # what real rendering makes of it is for real rendering to say
            return Fallback(f"{type(error).__name__} while rendering")
        parts = parts_of(expression_of(text))
        if any(isinstance(part, Text) and _half_pair(part.text) for part in parts):
            return Fallback("a text with half a surrogate pair")
        return Rendering(parts)


def _half_pair(text: str) -> bool:
    """Is there a character that no UTF-8 has?"""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _raised(error: jinja2.TemplateError) -> Outcome:
    message = error.args[0] if error.args else None
    if isinstance(message, TextPlaceholder):
        return Raised(message._expression)
    if isinstance(message, Placeholder) or not isinstance(message, str | None):
        return Fallback("a refusal with a structure for a message")
    return Raised(Text(message or type(error).__name__))


def stand_ins(value: Any, make: Callable[[Leaf], Any]) -> Any:
    """A copy of a row's messages with a stand-in for each text that is not a role or a type."""
    numbers = count()

    def copy(value: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(value, str):
            return make(Leaf(path, next(numbers)))
        if isinstance(value, dict):
            return {
                key: item if key in CONCRETE_KEYS and isinstance(item, str) else copy(item, (*path, key))
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [copy(item, (*path, number)) for number, item in enumerate(value)]
        return value

    return copy(value, ())


def message_of(outcome: Raised, lookup: Lookup) -> str:
    """The refusal's text for a row."""
    return evaluate(outcome.message, lookup)
