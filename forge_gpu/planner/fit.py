"""Whether a template fits the sampled data: told at plan time, not after a night."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jinja2.meta import find_undeclared_variables

from forge_gpu.errors import TemplateError
from forge_gpu.planner.conversations import SampledConversations
from forge_gpu.templates.environment import ChatTemplate, Refused
from forge_gpu.templates.probes import Probes


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


def fit_jinja(template: ChatTemplate, sampled: SampledConversations, **variables: object) -> list[str]:
    """Render the sample. variables: as of `ChatTemplate`. Raises TemplateError where all of it is refused."""
    refusals: Counter[str] = Counter()
    for conversation in sampled.every:
        try:
            template.render(conversation, **variables)
        except Refused as refused:
            refusals[str(refused)] += 1
    if not refusals:
        return []
    commonest, _ = refusals.most_common(1)[0]
    count = refusals.total()
    refusal = f"the chat template refuses {count} of {len(sampled)} conversations looked at: {commonest}"
    if count == len(sampled):
        raise TemplateError(
            f"{refusal}; use another template (--template) or write messages (--set output.form=messages)"
        )
    return [f"{refusal}; such rows will be rejected"]


def lost(probes: Probes, sampled: SampledConversations) -> list[str]:
    """What the sampled conversations hold and the template does not write: a line each."""
    amiss = {
        "drops the system message": (probes.system == "dropped", sampled.with_system),
        "takes no tools": (probes.takes_tools is False, sampled.with_tools),
        "drops the thinking of earlier turns": (probes.drops_earlier_thinking, sampled.with_earlier_thinking),
    }
    lines = [
        f"the chat template {what}: {count} of {len(sampled)} conversations looked at have such, "
        "and lose it in silence"
        for what, (is_so, count) in amiss.items()
        if is_so and count
    ]
    if probes.drops_earlier_thinking and sampled.with_earlier_thinking:
        lines.append(
            "with --set output.turns=each every turn is a row of its own, rendered as at inference, and its "
            "thinking is trained"
        )
    if probes.end_of_turn == ():
        lines.append(
            "the chat template writes no end of turn after the assistant: nothing in the text teaches the "
            "model to stop"
        )
    return lines
