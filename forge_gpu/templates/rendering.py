"""One chat template in one environment, over plain values: what both processes do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property, lru_cache
from types import CodeType
from typing import Any, TypeVar

import jinja2

from forge_gpu.errors import TemplateError
from forge_gpu.plain import frozen
from forge_gpu.templates.bounds import BoundedEnvironment, Bounds
from forge_gpu.templates.functions import OPTIONS, install, to_json
from forge_gpu.templates.small import Beyond, SmallEnvironment
from forge_gpu.templates.turns.rounds import TurnMarks
from forge_gpu.templates.turns.written import Written

CharacterSpan = tuple[int, int]
Variables = Mapping[str, Any]
T = TypeVar("T")


class Refused(Exception):
    """The template refuses a conversation: its own message, or the fault that rendering ended with."""


class Rendering:
    """kind: the environment that gives texts; turns: the one that says whose turn a text is, too. One thread
    at a time. All methods raise Refused for these values, TemplateError where a bound is met."""

    def __init__(
        self,
        source: str,
        date: str | None,
        bounds: Bounds,
        kind: type[BoundedEnvironment],
        turns: type[TurnMarks],
    ) -> None:
        self.source, self.date, self.bounds = source, date, bounds
        self._turns_kind = turns
        self.environment: BoundedEnvironment = self._environment(kind)
        self.template = compile_template(self.environment, source)

    def _environment(self, kind: type[Any]) -> Any:
        environment = kind(self.bounds, **OPTIONS)
        if not isinstance(environment, SmallEnvironment):
            environment.filters["tojson"] = to_json
        install(environment.globals, self.date)
        return environment

    @cached_property
    def _turns(self) -> tuple[Any, jinja2.Template]:
        environment = self._environment(self._turns_kind)
        return environment, compile_template(environment, self.source)

    def render(self, variables: Variables) -> str:
        return self._guarded(self.environment, variables, lambda: self.template.render(variables))

    def render_spans(self, variables: Variables) -> tuple[str, list[CharacterSpan]]:
        """The text, and the character spans of its `{% generation %}` blocks."""
        pieces: list[str] = []
        spans: list[CharacterSpan] = []

        def hook(text: str) -> str:
            start = sum(map(len, pieces))
            spans.append((start, start + len(text)))
            return text

        def generate() -> str:
            for piece in self.template.generate(variables):
                pieces.append(piece)
            return self.environment.concat(pieces)

        self.environment.generation_hook = hook
        try:
            return self._guarded(self.environment, variables, generate), spans
        finally:
            self.environment.generation_hook = None

    def written(self, variables: Variables) -> Written:
        """The text, and for which of `messages`, each an object of its own, each stretch was written."""
        environment, template = self._turns

        def action() -> Written:
            return environment.written(variables["messages"], lambda: template.generate(variables))  # type: ignore[no-any-return]

        return self._guarded(environment, variables, action)

    def _guarded(self, environment: Any, variables: Variables, action: Callable[[], T]) -> T:
        try:
            environment.begin(variables.values())
            return action()
        except (TemplateError, Beyond):
            raise
        except jinja2.exceptions.SecurityError as error:
            raise Refused(f"the chat template does something that is not allowed: {error}") from None
        except jinja2.TemplateError as error:
            raise Refused(error.message or type(error).__name__) from None
        except MemoryError:
            raise environment.out_of_memory() from None
        except Exception as error:  # a template is a program: any fault of it refuses the row
            raise Refused(f"{type(error).__name__}: {error}") from None


@frozen
class _Alike:
    """An environment, equal to all that make the same code of a source."""

    kind: type
    bounds: Bounds
    environment: BoundedEnvironment = field(compare=False)


@lru_cache(maxsize=64)
def _code(alike: _Alike, source: str) -> CodeType:
    return alike.environment.compile(source)


def compile_template(environment: BoundedEnvironment, source: str) -> jinja2.Template:
    """The compiled template; TemplateError with the line where the source is not valid. Jinja compiles a
    source once for all environments that are alike: it takes as long as some hundred rows."""
    try:
        code = _code(_Alike(type(environment), environment.bounds, environment), source)
        return jinja2.Template.from_code(environment, code, environment.make_globals(None))
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"the chat template, line {error.lineno}: {error.message}") from None
    except (RecursionError, MemoryError, SyntaxError, jinja2.TemplateError) as error:
        raise TemplateError(f"the chat template does not compile: {type(error).__name__}: {error}") from None
