"""Whether a template fits the sampled data: told at plan time, not after a night."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jinja2.meta import find_undeclared_variables

from forge_gpu.errors import TemplateError
from forge_gpu.planner.talks import Talks
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.probes import Probes


def fit_builtin(name: str, talks: Talks) -> list[str]:
    """Notes on conversations that a template of one turn refuses. Raises TemplateError where most are."""
    refused = {
        "have several turns": talks.several_turns,
        "have a system message": talks.with_system,
        "use tools": talks.with_tools,
    }
    notes = [
        f"{count} of {len(talks)} conversations looked at {what}" for what, count in refused.items() if count
    ]
    if not notes:
        return []
    told = f"the template {name!r} has one turn of a user and an assistant: " + ", ".join(notes)
    if max(refused.values()) * 2 > len(talks):
        raise TemplateError(
            f"{told}; take the model's own template with --model DIR, or write messages with "
            "--set output.form=messages"
        )
    return [f"{told}; these will be rejected"]


def chat_template(model: dict[str, Any]) -> ChatTemplate:
    """The Jinja template of a section `model`. Raises TemplateError where it is not valid."""
    return ChatTemplate(
        model["chat_template"],
        model.get("special_tokens", {}),
        model.get("template_kwargs", {}),
        model.get("date"),
    )


def variables_of(source: str) -> list[str]:
    """The variables that a Jinja template reads and does not set, by name; none where it is not valid."""
    try:
        parsed = ChatTemplate(source, {}, {}, None).environment.parse(source)
    except TemplateError:
        return []
    return sorted(find_undeclared_variables(parsed))


def fit_jinja(template: ChatTemplate, talks: Talks) -> list[str]:
    """Render the sample. Raises TemplateError where the template refuses all of it."""
    refusals: Counter[str] = Counter()
    for talk in talks.talks:
        try:
            template.render(talk)
        except Refused as refused:
            refusals[str(refused)] += 1
    if not refusals:
        return []
    commonest, _ = refusals.most_common(1)[0]
    count = refusals.total()
    told = f"the chat template refuses {count} of {len(talks)} conversations looked at: {commonest}"
    if count == len(talks):
        raise TemplateError(
            f"{told}; use another template (--template) or write messages (--set output.form=messages)"
        )
    return [f"{told}; such rows will be rejected"]


def lost(probes: Probes, talks: Talks) -> list[str]:
    """What the sampled conversations hold and the template does not write: a line each."""
    amiss = {
        "drops the system message": (probes.system == "dropped", talks.with_system),
        "takes no tools": (probes.takes_tools is False, talks.with_tools),
        "drops the thinking of earlier turns": (probes.drops_earlier_thinking, talks.with_earlier_thinking),
    }
    lines = [
        f"the chat template {what}: {count} of {len(talks)} conversations looked at have such, "
        "and lose it in silence"
        for what, (is_so, count) in amiss.items()
        if is_so and count
    ]
    if probes.end_of_turn == ():
        lines.append(
            "the chat template writes no end of turn after the assistant: nothing in the text teaches the "
            "model to stop"
        )
    return lines
