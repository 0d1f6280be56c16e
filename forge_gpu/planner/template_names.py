"""What `forge template list`, `show NAME` and `detect` print: templates by name, without a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from forge_gpu.planner.model import Decision, Template, decide, read_template
from forge_gpu.planner.template_sections import Section
from forge_gpu.templates.builtin import builtins
from forge_gpu.templates.named import user_folder, user_templates
from forge_gpu.templates.probe_lines import probe_lines
from forge_gpu.templates.probes import probe, today, with_date

WIDEST = 100


def is_named(name: str, registered: Mapping[str, str]) -> bool:
    """Whether a template has this name."""
    return name in builtins() or name in registered or name in user_templates()


def about_names(registered: Mapping[str, str]) -> Iterator[Section]:
    """Every template that has a name. registered: the section `templates` of a plan."""
    yield "Built-ins", [_short(name, chosen.template) for name, chosen in builtins().items()]
    if registered:
        yield "Of the plan", [_short(name, text) for name, text in registered.items()]
    own = user_templates()
    lines = [f"{name}: {path}" for name, path in own.items()]
    yield "Your own", lines or [f"none; NAME.jinja, or NAME.txt for a format string, in {user_folder()}"]


def _short(name: str, text: str) -> str:
    shown = text.encode("unicode_escape").decode()
    return f"{name}: {shown if len(shown) <= WIDEST else shown[: WIDEST - 3] + '...'}"


def about_name(name: str, registered: Mapping[str, str]) -> Iterator[Section]:
    """One template: its kind, where it is from, what it does, its text. Raises TemplateError."""
    template = read_template(name, registered)
    yield "Template", [f"name: {name}", f"kind: {template.kind}", f"source: {template.source}"]
    if template.kind == "builtin":
        chosen = builtins()[name]
        yield "What it does", probe_lines(probe(chosen.chat_template()))
        yield "One turn", chosen.template.split("\n")
        yield "Any conversation", chosen.chat_template().source.split("\n")
    else:
        if template.kind == "jinja":
            yield "What it does", _probed(template)
        yield "Text", template.text.split("\n")


def _probed(template: Template) -> list[str]:
    from forge_gpu.templates.environment import ChatTemplate

    chat = ChatTemplate(template.text, template.special_tokens, {}, None)
    return probe_lines(probe(with_date(chat, today())))


def about_model(model: str) -> Iterator[Section]:
    """The template that a plan for this model would take. Raises TemplateError, InputError."""
    decision = detect(model)
    values = decision.values
    kind = values["template_kind"]
    shown = values["chat_template"] if kind == "builtin" else values["template_source"]
    lines = [f"model: {values.get('name', model)}", f"template: {shown}", f"kind: {kind}"]
    lines.append(f"why: {decision.reasons['chat_template']}")
    yield "Template", lines
    if decision.notes:
        yield "Notes", decision.notes


def detect(model: str) -> Decision:
    """The model's own template where its folder is at hand, else the built-in that comes near."""
    return decide(None, model, None, None, tools=False, own=True, needed=True)
