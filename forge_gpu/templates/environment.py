"""Chat templates as the model's tokenizer renders them: one conversation at a time, with real Jinja.

The environment has what `tokenizer.apply_chat_template` gives a template: sandbox, trim_blocks and
lstrip_blocks, loop controls, `tojson` without ASCII escapes, `raise_exception`, `strftime_now`,
`{% generation %}`, and as variables messages, tools, documents, add_generation_prompt, the special tokens
and whatever the user adds. The date is an input, so that the same plan gives the same bytes tomorrow.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import CodeType
from typing import Any, TypeVar

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.utils import Namespace

from forge_gpu.config.schema import ModelConfig
from forge_gpu.errors import TemplateError
from forge_gpu.templates.bounds import BoundedEnvironment, Bounds
from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.final_message import NoFinalMessage, as_given, cut_at_tag, tagged
from forge_gpu.templates.turns.rounds import TurnEnvironment
from forge_gpu.templates.turns.written import Written
from forge_gpu.templates.values import ABSENT

CharacterSpan = tuple[int, int]
T = TypeVar("T")
Environment = TypeVar("Environment", bound=BoundedEnvironment)


class Refused(Exception):
    """The template refuses a conversation: its own message, or the fault that rendering ended with."""


class GenerationTag(Extension):
    """`{% generation %}` ... `{% endgeneration %}`: marks what the assistant wrote."""

    tags = {"generation"}  # noqa: RUF012 (jinja's own spelling)

    def parse(self, parser: Parser) -> nodes.CallBlock:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_generated")
        return nodes.CallBlock(call, [], [], body, lineno=line)

    def _generated(self, caller: Callable[[], str]) -> str:
        hook = getattr(self.environment, "generation_hook", None)
        text = caller()
        return hook(text) if hook else text


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
        raise TemplateError(f"model.date is {date!r}, which is no date; write YYYY-MM-DD") from None


class ChatTemplate:
    """A model's Jinja template with its special tokens and variables. One thread at a time.

    variables: extra ones of the template; `add_generation_prompt`, `continue_final_message`, `tools` and
    `documents` among them mean what they mean to apply_chat_template. Raises TemplateError where the source
    is no valid template.
    """

    def __init__(
        self,
        source: str,
        special_tokens: Mapping[str, str],
        variables: Mapping[str, object],
        date: str | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self.source = source
        self.date = date
        self.bounds = bounds or Bounds()
        going_on = variables.get("continue_final_message", False)
        self.final_field = going_on if isinstance(going_on, str) else "content" if going_on else None
        self.fixed: dict[str, object] = {
            "tools": None,
            "documents": None,
            "add_generation_prompt": False,
            **special_tokens,
            **{name: value for name, value in variables.items() if name != "continue_final_message"},
        }
        if self.final_field is not None and self.fixed["add_generation_prompt"]:
            raise TemplateError("add_generation_prompt and continue_final_message exclude each other")
        self.environment = self._environment(BoundedEnvironment)
        self.template = compile_template(self.environment, source)

    def _environment(self, kind: type[Environment]) -> Environment:
        options = {"trim_blocks": True, "lstrip_blocks": True, "extensions": [GenerationTag, loopcontrols]}
        environment = kind(self.bounds, **options)
        environment.filters["tojson"] = to_json
        environment.globals["raise_exception"] = raise_exception
        environment.globals["strftime_now"] = strftime_of(self.date)
        environment.globals |= {"dict": PlainDict(), "namespace": PlainNamespace}
        return environment

    @cached_property
    def _turns(self) -> tuple[TurnEnvironment, jinja2.Template]:
        environment = self._environment(TurnEnvironment)
        return environment, compile_template(environment, self.source)

    def variables(self, conversation: Conversation, **changed: object) -> dict[str, object]:
        """What the template sees for a conversation."""
        own = {} if conversation.tools is ABSENT else {"tools": conversation.tools}
        return {**self.fixed, **own, **changed, "messages": as_given(conversation.messages)}

    def render(self, conversation: Conversation, **changed: object) -> str:
        """The text of a conversation. Raises Refused for this one, TemplateError where a bound is met."""
        variables = self.variables(conversation, **changed)
        if self.final_field is None:
            return self._guarded(lambda: self.template.render(variables))
        try:
            variables["messages"], final = tagged(as_given(conversation.messages), self.final_field)
            return cut_at_tag(self._guarded(lambda: self.template.render(variables)), final)
        except NoFinalMessage as error:
            raise Refused(str(error)) from None

    def render_spans(self, conversation: Conversation) -> tuple[str, list[CharacterSpan]]:
        """The text, and the character spans of its `{% generation %}` blocks."""
        pieces: list[str] = []
        spans: list[CharacterSpan] = []

        def hook(text: str) -> str:
            start = sum(map(len, pieces))
            spans.append((start, start + len(text)))
            return text

        def generate() -> str:
            for piece in self.template.generate(self.variables(conversation)):
                pieces.append(piece)
            return "".join(pieces)

        self.environment.generation_hook = hook  # type: ignore[attr-defined]
        try:
            return self._guarded(generate), spans
        finally:
            self.environment.generation_hook = None  # type: ignore[attr-defined]

    def written(self, conversation: Conversation, **changed: object) -> Written:
        """The text of a conversation, and for which message each stretch of it was written. Raises as
        `render`."""
        environment, template = self._turns
        environment.start()
        messages = [dict(message) for message in as_given(conversation.messages)]  # each an object of its own
        variables = self.variables(conversation, **changed) | {"messages": messages}
        return self._guarded(lambda: environment.written(messages, lambda: template.generate(variables)))

    def _guarded(self, action: Callable[[], T]) -> T:
        self.environment.start()
        try:
            return action()
        except TemplateError:
            raise
        except jinja2.exceptions.SecurityError as error:
            raise Refused(f"the chat template does what no template may: {error}") from None
        except jinja2.TemplateError as error:
            raise Refused(error.message or type(error).__name__) from None
        except MemoryError:
            raise TemplateError("the chat template ran out of memory on one row") from None
        except Exception as error:  # a template is a program: any fault of it refuses the row
            raise Refused(f"{type(error).__name__}: {error}") from None


@dataclass(frozen=True, slots=True)
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


def chat_template(model: ModelConfig) -> ChatTemplate:
    """The model's own template. Raises TemplateError where it is not valid."""
    return ChatTemplate(model.chat_template or "", model.special_tokens, model.template_kwargs, model.date)
