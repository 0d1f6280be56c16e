"""From a configuration to the renderer that it asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forge_gpu.config.schema import Config, Mapping
from forge_gpu.errors import ConfigError, TemplateError
from forge_gpu.templates import format_string
from forge_gpu.templates.builtin import builtin
from forge_gpu.templates.conversations import FlatShape, ListShape, Shape
from forge_gpu.templates.fields import (
    ColumnsRenderer,
    append,
    message_list,
    query_parts,
    split_at,
    substitute,
)
from forge_gpu.templates.message_fields import MessagesRenderer
from forge_gpu.templates.preference import PairShape
from forge_gpu.templates.program import Program, Slot
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.roles import role_aliases
from forge_gpu.templates.single_turn import SingleTurnRenderer
from forge_gpu.templates.source import SourceRenderer

if TYPE_CHECKING:
    from forge_gpu.templates.environment import ChatTemplate


def make_renderer(config: Config) -> Renderer:
    """The renderer of `model.template_kind`, `data.mapping` and `output.form`.

    Raises ConfigError where mapping and form do not go together, TemplateError where the template is not
    valid or does not fit the form.
    """
    mapping, form = config.data.mapping, config.output.form
    _check_mapping(mapping)
    if form == "source":
        return _source(mapping)
    if (form == "preference") != (mapping.shape == "preference"):
        raise ConfigError(
            f"output.form {form!r} does not fit data.mapping.shape {mapping.shape!r}: "
            "preference data is written in the form preference or source, and nothing else is"
        )
    if form == "messages":
        return _messages(mapping)
    if mapping.shape == "text":
        return _text(config)
    if config.model.template_kind == "format":
        return _format(config)
    if config.model.template_kind == "jinja":
        return _jinja(config)
    return _one_turn(config)


def _check_mapping(mapping: Mapping) -> None:
    needed = {
        "flat": ("query", "response"),
        "conversation": ("messages",),
        "preference": ("chosen", "rejected"),
        "text": ("text",),
        "columns": (),
    }[mapping.shape]
    lacking = [key for key in needed if getattr(mapping, key) is None]
    if lacking:
        keys = " and ".join(f"data.mapping.{key}" for key in lacking)
        raise ConfigError(f"{keys} must name a column of the data for the shape {mapping.shape!r}")


def _source(mapping: Mapping) -> Renderer:
    """The form `source` renders nothing; the contents are for checks and dedup."""
    if mapping.shape in ("conversation", "preference"):
        return SourceRenderer(_shapes(mapping))
    contents = _plain_contents(mapping)
    needed = tuple(column for role, column in contents.items() if role in ("query", "response", "text"))
    return ColumnsRenderer({}, needed, tuple(contents.values()), contents=contents)


def _text(config: Config) -> Renderer:
    model, column = config.model, config.data.mapping.text or ""
    if config.output.form != "text":
        raise ConfigError(
            f"records with nothing but a text cannot be written in the form {config.output.form!r}; "
            "set output.form to text or source"
        )
    if model.template_kind in ("builtin", "jinja"):
        raise TemplateError(
            "records with nothing but a text have no turns for a chat template; "
            "set model.template_kind to none, or write a format string"
        )
    if model.template_kind == "format":
        return _format(config)
    program: Program = (Slot(column),)
    return ColumnsRenderer({"text": _with_eos(config, program, None)}, (column,), contents={"text": column})


def _format(config: Config) -> Renderer:
    program = format_string.parse(config.model.chat_template or "")
    columns = format_string.columns_of(program)
    if not columns:
        raise TemplateError("the format string names no column: every row would be the same text")
    mapping = config.data.mapping
    contents = {role: name for role, name in _plain_contents(mapping).items() if name in columns}
    if not contents:
        contents = dict(zip(("query", "response"), (columns[0], columns[-1]), strict=True))
    program = _with_eos(config, program, None)
    if config.output.form == "text":
        return ColumnsRenderer({"text": program}, columns, contents=contents)
    if mapping.response not in columns:
        raise TemplateError(
            f"output.form {config.output.form!r} needs the response's column in the format string; "
            f"data.mapping.response is {mapping.response!r}, the string has {', '.join(columns)}"
        )
    if config.output.form == "preference":
        raise TemplateError("a format string cannot write preference pairs; use a chat template")
    prompt, completion = split_at(program, mapping.response)
    return ColumnsRenderer({"prompt": prompt, "completion": completion}, columns, contents=contents)


def _one_turn(config: Config) -> Renderer:
    """A built-in, or no template: query and response as they are."""
    mapping, form = config.data.mapping, config.output.form
    program: Program
    if config.model.template_kind == "builtin":
        chosen = builtin(config.model.chat_template or "")
        name = f"the built-in {chosen.name}"
        program = _with_eos(config, format_string.parse(chosen.template), chosen.eos)
    elif form == "text":
        raise TemplateError(
            "output.form text needs a template: set model.chat_template and model.template_kind"
        )
    else:
        name = "no template"
        program = _with_eos(config, (Slot("query"), Slot("response")), None)
    prompt, completion = split_at(program, "response")
    if form == "preference":
        sides = {side: substitute(completion, {"response": (Slot(side),)}) for side in ("chosen", "rejected")}
        templates = {"prompt": prompt, **sides}
        return SingleTurnRenderer(_shapes(mapping), ("chosen", "rejected"), name, templates)
    templates = {"text": program} if form == "text" else {"prompt": prompt, "completion": completion}
    if mapping.shape == "conversation":
        return SingleTurnRenderer(_shapes(mapping), ("response",), name, templates)
    if mapping.shape != "flat":
        raise ConfigError(f"{name} needs data.mapping.shape flat or conversation, not {mapping.shape}")
    return _flat(mapping, templates, name)


def _flat(mapping: Mapping, templates: dict[str, Program], name: str) -> ColumnsRenderer:
    query, response = mapping.query or "", mapping.response or ""
    contents = {"query": query_parts(query, mapping.input), "response": (Slot(response),)}
    why = f"a system message, for which {name} has no place; use the model's own template"
    return ColumnsRenderer(
        {field: substitute(program, contents) for field, program in templates.items()},
        needed=(query, response),
        optional=() if mapping.input is None else (mapping.input,),
        refused={} if mapping.system is None else {mapping.system: why},
        contents=_plain_contents(mapping),
    )


def _messages(mapping: Mapping) -> Renderer:
    if mapping.shape == "conversation":
        return MessagesRenderer(_list_shape(mapping))
    if mapping.shape != "flat":
        raise ConfigError(
            f"output.form messages needs data.mapping.shape flat or conversation, not {mapping.shape}"
        )
    query, response = mapping.query or "", mapping.response or ""
    messages = [("user", query_parts(query, mapping.input)), ("assistant", (Slot(response),))]
    optional = tuple(name for name in (mapping.input, mapping.system) if name is not None)
    return ColumnsRenderer(
        {"messages": message_list(messages, mapping.system)},
        needed=(query, response),
        optional=optional,
        contents=_plain_contents(mapping),
        json_fields=frozenset(("messages",)),
    )


def _jinja(config: Config) -> Renderer:
    from forge_gpu.templates.jinja_renderer import JinjaRenderer  # most plans can do without Jinja

    if config.model.append_eos:
        raise TemplateError(
            "model.append_eos: a model's own template writes what ends a text; set it to false"
        )
    if config.output.spans and config.output.form != "text":
        raise ConfigError("output.spans are spans of the text: they need output.form text")
    fields = {
        "text": ("text", "spans") if config.output.spans else ("text",),
        "prompt_completion": ("prompt", "completion"),
        "preference": ("prompt", "chosen", "rejected"),
    }[config.output.form]
    return JinjaRenderer(chat_template(config), _shapes(config.data.mapping), fields, config.model.compile)


def chat_template(config: Config) -> ChatTemplate:
    """The model's own template. Raises TemplateError where it is not valid."""
    from forge_gpu.templates.environment import ChatTemplate

    model = config.model
    return ChatTemplate(model.chat_template or "", model.special_tokens, model.template_kwargs, model.date)


def _shapes(mapping: Mapping) -> tuple[Shape, ...]:
    """The conversation of a record, or the two sides of a pair."""
    if mapping.shape == "conversation":
        return (_list_shape(mapping),)
    if mapping.shape == "preference":
        shared = mapping.model_dump(include={"query", "input", "messages", "system", "tools"})
        aliases = role_aliases(mapping.roles)
        sides = (mapping.chosen or "", mapping.rejected or "")
        return tuple(PairShape(side, aliases, mapping.roles, **shared) for side in sides)
    if mapping.shape == "flat":
        return (FlatShape(mapping.query or "", mapping.response, mapping.input, mapping.system),)
    raise ConfigError(
        f"a chat template needs data.mapping.shape flat, conversation or preference, not {mapping.shape}"
    )


def _list_shape(mapping: Mapping) -> ListShape:
    aliases = role_aliases(mapping.roles)
    return ListShape(mapping.messages or "", aliases, mapping.roles, mapping.system, mapping.tools)


def _plain_contents(mapping: Mapping) -> dict[str, str]:
    """Role -> column, for records whose texts stand in columns of their own."""
    named = ("text",) if mapping.shape == "text" else ("query", "input", "system", "response")
    found = {role: getattr(mapping, role) for role in named}
    return {role: column for role, column in found.items() if column is not None}


def _with_eos(config: Config, program: Program, usual: str | None) -> Program:
    """The program with the end-of-sequence token after it, where `model.append_eos` asks for it."""
    if not config.model.append_eos:
        return program
    eos = config.model.special_tokens.get("eos_token", usual)
    if eos is None:
        raise TemplateError("model.append_eos needs model.special_tokens.eos_token")
    return append(program, eos)
