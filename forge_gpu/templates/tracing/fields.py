"""From one trace to the fields that a job writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.jinja_rows import NO_COMPLETION
from forge_gpu.templates.tracing.columns import Needs
from forge_gpu.templates.tracing.expressions import Expression, Leaf, Mark, Text, weight
from forge_gpu.templates.tracing.placeholders import TextPlaceholder
from forge_gpu.templates.tracing.trace import (
    Fallback,
    Outcome,
    Questions,
    Raised,
    Rendering,
    Tracer,
    stand_ins,
)

FEW_TIMES = 64
"""How often a program may write each text of its row; what writes them more often has no program."""


@dataclass(eq=False, slots=True)
class Compiled:
    """The parts of each field, in the order of the fields asked for; no marks are left in them.

    rows: how many rows took it so far. programs: where the renderer put its programs; needs: what
    they read, known with them. is_unmarked: whether they were to say what is trained, and cannot.
    """

    fields: tuple[tuple[Expression, ...], ...]
    rows: int = 0
    programs: list[int] = field(default_factory=list)
    needs: Needs | None = None
    is_unmarked: bool = False


@dataclass(eq=False, slots=True)
class Refusal:
    """The template refuses the rows of this path."""

    message: Expression
    rows: int = 0


Result = Compiled | Refusal | Fallback


def trace_fields(
    tracer: Tracer,
    conversation: Conversation,
    questions: Questions,
    split: bool,
) -> Result:
    """Trace the conversation: one field, its text; or, to `split`, prompt and completion (see split_turn)."""
    leaves = 0

    def stand_in(leaf: Leaf) -> TextPlaceholder:
        nonlocal leaves
        leaves += 1
        return TextPlaceholder(leaf, questions)

    messages = stand_ins(conversation.messages, stand_in)
    shaped = Conversation(messages, conversation.tools)
    if split and messages[-1].get("role") != "assistant":
        return Refusal(Text(NO_COMPLETION))
    whole = tracer.run(tracer.template.variables(shaped), questions)
    if not isinstance(whole, Rendering):
        return _result(whole)
    if sum(map(weight, whole.parts)) > FEW_TIMES * (leaves + 1):
        return Fallback("a text many times as long as its row")
    if not split:
        return Compiled((without_marks(whole.parts),))
    opens = [number for number, part in enumerate(whole.parts) if part == Mark(True)]
    if opens:
        before, after = whole.parts[: opens[-1]], whole.parts[opens[-1] :]
        return Compiled((without_marks(before), without_marks(after)))
    asked: dict[str, Any] = {"add_generation_prompt": True}
    shaped = Conversation(messages[:-1], conversation.tools)
    prompt = tracer.run(tracer.template.variables(shaped, **asked), questions)
    if not isinstance(prompt, Rendering):
        return _result(prompt)
    rest = after_prefix(whole.parts, prompt.parts)
    if rest is None:
        return Fallback("the template writes the prompt otherwise once it is answered")
    return Compiled((prompt.parts, rest))


def _result(outcome: Outcome) -> Result:
    return Refusal(outcome.message) if isinstance(outcome, Raised) else _fallback(outcome)


def _fallback(outcome: Outcome) -> Fallback:
    assert isinstance(outcome, Fallback)
    return outcome


def without_marks(parts: tuple[Expression, ...]) -> tuple[Expression, ...]:
    return tuple(part for part in parts if not isinstance(part, Mark))


def after_prefix(
    parts: tuple[Expression, ...], prefix: tuple[Expression, ...]
) -> tuple[Expression, ...] | None:
    """What follows `prefix` in `parts`; None where they begin otherwise."""
    for number, (part, expected) in enumerate(zip(parts, prefix, strict=False)):
        if part == expected:
            continue
        last = number == len(prefix) - 1
        if (
            last
            and isinstance(part, Text)
            and isinstance(expected, Text)
            and part.text.startswith(expected.text)
        ):
            return (Text(part.text[len(expected.text) :]), *parts[number + 1 :])
        return None
    return parts[len(prefix) :] if len(prefix) <= len(parts) else None
