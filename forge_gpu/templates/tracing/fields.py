"""From one trace to the fields that a job writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.jinja_rows import NO_COMPLETION
from forge_gpu.templates.tracing.columns import Needs
from forge_gpu.templates.tracing.expressions import Expression, Mark, Text, leaves
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


@dataclass(eq=False, slots=True)
class Compiled:
    """The parts of each field, in the order of the fields asked for; no marks are left in them.

    assistant: for the text of the whole conversation, (first, last + 1) part of each `{% generation %}`
    block. rows: how many rows took it so far. programs: where the renderer put its programs; needs: what
    they read, known with them.
    """

    fields: tuple[tuple[Expression, ...], ...]
    assistant: tuple[tuple[int, int], ...] = ()
    rows: int = 0
    programs: list[int] = field(default_factory=list)
    needs: Needs | None = None


@dataclass(eq=False, slots=True)
class Refusal:
    """The template refuses the rows of this path."""

    message: Expression
    rows: int = 0


Result = Compiled | Refusal | Fallback


@dataclass(frozen=True, slots=True)
class Turn:
    """How a template frames what the assistant writes: the opening that add_generation_prompt gives, and
    the end-of-turn texts (see probes)."""

    opening: str
    ends: tuple[str, ...]


def trace_fields(
    tracer: Tracer,
    conversation: Conversation,
    questions: Questions,
    split: bool,
    turn: Turn | None = None,
) -> Result:
    """Trace the conversation: one field, its text; or, to `split`, prompt and completion (see split_turn).

    turn: find what the assistant wrote where the template does not mark it (see mark_by_origin).
    """
    messages = stand_ins(conversation.messages, lambda leaf: TextPlaceholder(leaf, questions))
    shaped = Conversation(messages, conversation.tools)
    if split and messages[-1].get("role") != "assistant":
        return Refusal(Text(NO_COMPLETION))
    whole = tracer.run(tracer.template.variables(shaped), questions)
    if not isinstance(whole, Rendering):
        return _result(whole)
    if not split:
        marked = whole.parts
        if turn is not None and Mark(True) not in marked:
            marked = mark_by_origin(marked, conversation, turn)
        parts, blocks = without_marks(marked)
        return Compiled((parts,), blocks)
    opens = [number for number, part in enumerate(whole.parts) if part == Mark(True)]
    if opens:
        before, after = whole.parts[: opens[-1]], whole.parts[opens[-1] :]
        return Compiled((without_marks(before)[0], without_marks(after)[0]))
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


def mark_by_origin(
    parts: tuple[Expression, ...], conversation: Conversation, turn: Turn
) -> tuple[Expression, ...]:
    """Mark what comes from each message of the assistant.

    That is from the first part made of its texts to the last, with what stands between them, what stands
    between the opening of the turn and the first, and the end-of-turn text after the last.
    """
    writers = [_writer(part, conversation) for part in parts]
    last = {writer: number for number, writer in enumerate(writers)}
    marked: list[Expression] = []
    open_for: int | None = None
    left = list(parts)
    for number, writer in enumerate(writers):
        if open_for is None and writer is not None:
            marked = _opened(marked, turn.opening)
            open_for = writer
        marked.append(left[number])
        if open_for is not None and last[open_for] == number:
            following = left[number + 1] if number + 1 < len(left) else None
            if isinstance(following, Text):
                end = max((end for end in turn.ends if following.text.startswith(end)), key=len, default="")
                marked.append(Text(end))
                left[number + 1] = Text(following.text[len(end) :])
            marked.append(Mark(False))
            open_for = None
    return tuple(part for part in marked if part != Text(""))


def _opened(marked: list[Expression], opening: str) -> list[Expression]:
    """The parts so far, the last one cut after the opening of the assistant's turn."""
    before = marked[-1] if marked else None
    if not opening or not isinstance(before, Text) or opening not in before.text:
        return [*marked, Mark(True)]
    cut = before.text.rindex(opening) + len(opening)
    return [*marked[:-1], Text(before.text[:cut]), Mark(True), Text(before.text[cut:])]


def _writer(part: Expression, conversation: Conversation) -> int | None:
    """The number of the assistant's message that all texts of a part come from."""
    origins = {leaf.path[0] for leaf in leaves(part)}
    origin = origins.pop() if len(origins) == 1 else None
    if isinstance(origin, int) and conversation.messages[origin].get("role") == "assistant":
        return origin
    return None


def without_marks(
    parts: tuple[Expression, ...],
) -> tuple[tuple[Expression, ...], tuple[tuple[int, int], ...]]:
    """The parts alone, and the (first, last + 1) part of each marked block."""
    kept: list[Expression] = []
    blocks, open_at = [], []
    for part in parts:
        if part == Mark(True):
            open_at.append(len(kept))
        elif part == Mark(False):
            if open_at:
                blocks.append((open_at.pop(), len(kept)))
        else:
            kept.append(part)
    return tuple(kept), tuple(sorted(blocks))


def after_prefix(
    parts: tuple[Expression, ...], prefix: tuple[Expression, ...]
) -> tuple[Expression, ...] | None:
    """What follows `prefix` in `parts`; None where they begin otherwise."""
    for number, (part, wanted) in enumerate(zip(parts, prefix, strict=False)):
        if part == wanted:
            continue
        last = number == len(prefix) - 1
        if last and isinstance(part, Text) and isinstance(wanted, Text) and part.text.startswith(wanted.text):
            return (Text(part.text[len(wanted.text) :]), *parts[number + 1 :])
        return None
    return parts[len(prefix) :] if len(prefix) <= len(parts) else None
