"""What the forms of rendered texts have in common: one template, cut into fields at the answers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from forge_gpu.config.schema import Config, Mapping
from forge_gpu.errors import ConfigError, TemplateError
from forge_gpu.templates import format_string
from forge_gpu.templates.builtin import builtin
from forge_gpu.templates.fields import ColumnsRenderer, append, query_parts, substitute
from forge_gpu.templates.forms.base import Form
from forge_gpu.templates.program import Program, Slot
from forge_gpu.templates.renderer import Renderer
from forge_gpu.templates.roles import own_roles
from forge_gpu.templates.shapes import shape_of
from forge_gpu.templates.single_turn import SingleTurnRenderer

if TYPE_CHECKING:
    from forge_gpu.templates.conversations import Shape
    from forge_gpu.templates.environment import ChatTemplate


class RenderedForm(Form):
    """is_cut: its fields are cut out of what the template writes, so it can do without one."""

    is_rendered = True
    is_cut: ClassVar[bool] = True

    @abstractmethod
    def cut(self, program: Program, response: str) -> dict[str, Program]:
        """The program of each field, from that of the whole text. response: the column of the answer."""

    def renderer(self, config: Config) -> Renderer:
        if shape_of(config.data.mapping).only_text:
            return self._of_text(config)
        if config.model.template_kind == "format":
            return self._of_format(config)
        if config.model.template_kind == "jinja":
            return self._of_jinja(config)
        if writes_turns(config):
            return self._of_builtin(config)
        return self._of_one_turn(config)

    def _of_text(self, config: Config) -> Renderer:
        model, column = config.model, config.data.mapping.text or ""
        if model.template_kind in ("builtin", "jinja"):
            raise TemplateError(
                "records with nothing but a text have no turns for a chat template; "
                "set model.template_kind to none, or write a format string"
            )
        if model.template_kind == "format":
            return self._of_format(config)
        program = _with_eos(config, (Slot(column),), None)
        return ColumnsRenderer(
            self.cut(program, column), (column,), contents={"text": column}, texts=(column,)
        )

    def _of_format(self, config: Config) -> Renderer:
        program = format_string.parse(config.model.chat_template or "")
        columns = format_string.columns_of(program)
        if not columns:
            raise TemplateError("the format string names no column: every row would be the same text")
        mapping, shape = config.data.mapping, shape_of(config.data.mapping)
        contents = {role: name for role, name in shape.contents(mapping).items() if name in columns}
        if not contents:
            contents = dict(zip(("query", "response"), (columns[0], columns[-1]), strict=True))
        if self.is_cut and mapping.response not in columns:
            raise TemplateError(
                f"output.form {self.name!r} needs the response's column in the format string; "
                f"data.mapping.response is {mapping.response!r}, the string has {', '.join(columns)}"
            )
        if shape.is_pair:
            raise TemplateError("a format string cannot write preference pairs; use a chat template")
        templates = self.cut(_with_eos(config, program, None), mapping.response or "")
        return ColumnsRenderer(templates, columns, contents=contents)

    def _of_one_turn(self, config: Config) -> Renderer:
        """A built-in, or no template: query and response as they are."""
        mapping, shape = config.data.mapping, shape_of(config.data.mapping)
        program: Program
        if config.model.template_kind == "builtin":
            chosen = builtin(config.model.chat_template or "")
            name = f"the built-in {chosen.name}"
            program = _with_eos(config, format_string.parse(chosen.template), chosen.eos)
        elif not self.is_cut:
            raise TemplateError(
                f"output.form {self.name} needs a template: set model.chat_template and model.template_kind"
            )
        else:
            name = "no template"
            program = _with_eos(config, (Slot("query"), Slot("response")), None)
        templates = self.cut(program, "response")
        if not shape.has_turns:
            raise ConfigError(f"{name} needs data.mapping.shape flat or conversation, not {shape.name}")
        if shape.in_columns:
            return _flat(mapping, shape.contents(mapping), templates, name)
        return SingleTurnRenderer(
            shape.sides(mapping, own_roles(config.model)), shape.answers, name, templates
        )

    def _of_builtin(self, config: Config) -> Renderer:
        """A built-in over conversations: several turns, a system message, pairs."""
        chosen, mapping = builtin(config.model.chat_template or ""), config.data.mapping
        ending = _eos(config, chosen.eos) if config.model.append_eos else ""
        return self._of_turns(config, chosen.chat_template(ending), shape_of(mapping).sides(mapping))

    def _of_jinja(self, config: Config) -> Renderer:
        from forge_gpu.templates.environment import chat_template  # most plans can do without Jinja

        if config.model.append_eos:
            raise TemplateError(
                "model.append_eos: a model's own template writes what ends a text; set it to false"
            )
        sides = shape_of(config.data.mapping).sides(config.data.mapping, own_roles(config.model))
        return self._of_turns(config, chat_template(config.model), sides)

    def _of_turns(self, config: Config, template: ChatTemplate, sides: tuple[Shape, ...]) -> Renderer:
        from forge_gpu.templates.jinja_renderer import JinjaRenderer

        return JinjaRenderer(
            template,
            sides,
            tuple(field.name for field in self.rendered(config)),
            config.model.compile,
            roles=frozenset(config.output.trained_roles),
            only_last=config.output.turns == "each",
            rejects_unknown=config.output.unknown_spans == "reject",
            marks_spans=self.is_encoded,
        )


def _flat(
    mapping: Mapping, texts: dict[str, str], templates: dict[str, Program], name: str
) -> ColumnsRenderer:
    query, response = mapping.query or "", mapping.response or ""
    contents = {"query": query_parts(query, mapping.input), "response": (Slot(response),)}
    why = f"a system message, for which {name} has no place; use the model's own template"
    return ColumnsRenderer(
        {field: substitute(program, contents) for field, program in templates.items()},
        needed=(query, response),
        optional=() if mapping.input is None else (mapping.input,),
        refused={} if mapping.system is None else {mapping.system: why},
        contents=texts,
        texts=tuple(texts.values()),
    )


def _with_eos(config: Config, program: Program, usual: str | None) -> Program:
    """The program with the end-of-sequence token after it, where `model.append_eos` asks for it."""
    if not config.model.append_eos:
        return program
    return append(program, _eos(config, usual))


def _eos(config: Config, usual: str | None) -> str:
    eos = config.model.special_tokens.get("eos_token", usual)
    if eos is None:
        raise TemplateError("model.append_eos needs model.special_tokens.eos_token")
    return eos


def writes_turns(config: Config) -> bool:
    """Whether a chat template in Jinja writes the text: the model's own, or a built-in over records that may
    hold more than one question and its answer."""
    if config.model.template_kind != "builtin":
        return config.model.template_kind == "jinja"
    mapping, shape = config.data.mapping, shape_of(config.data.mapping)
    return shape.has_turns and (not shape.in_columns or mapping.system is not None)
