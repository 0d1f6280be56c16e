"""Whether a template fits the sampled data: told at plan time, not after a night."""

from __future__ import annotations

from collections import Counter
from typing import Any

from forge_gpu.errors import TemplateError
from forge_gpu.planner.talks import Talks
from forge_gpu.templates.environment import ChatTemplate, Refused


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


def fit_jinja(model: dict[str, Any], talks: Talks) -> list[str]:
    """Render the sample. Raises TemplateError where the template is not valid, or refuses all of it."""
    template = ChatTemplate(
        model["chat_template"],
        model.get("special_tokens", {}),
        model.get("template_kwargs", {}),
        model.get("date"),
    )
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
