"""Character spans of what the assistant wrote, as JSON: [[start, end], ...] into the text."""

from __future__ import annotations

import json
from collections.abc import Sequence

from forge_gpu.templates.conversations import Conversation
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.probes import end_of_turn, has_generation_tags, turn_opening
from forge_gpu.templates.tracing.compiler import texts_of
from forge_gpu.templates.tracing.expressions import Lookup, evaluate
from forge_gpu.templates.tracing.fields import Compiled, Turn, trace_fields
from forge_gpu.templates.tracing.trace import Questions, Tracer

UNKNOWN = b"null"


class SpanFinder:
    """Spans of single rows, for those that have no program. Same spans as a program would give."""

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self.tagged = has_generation_tags(template)
        self.turn = Turn(turn_opening(template), end_of_turn(template) or ())
        self._tracer = Tracer(template)

    def find(self, conversation: Conversation) -> bytes:
        """From a trace of this row alone; where it cannot be traced, from generation tags; else null."""
        lookup = texts_of(conversation)
        result = trace_fields(self._tracer, conversation, Questions(lookup), False, self.turn)
        if isinstance(result, Compiled):
            return spans_of(result, lookup)
        return json.dumps(self.template.render_spans(conversation)[1]).encode() if self.tagged else UNKNOWN


def spans_of(result: Compiled, lookup: Lookup) -> bytes:
    """The spans of a row, from its program and its texts."""
    ends = [0]
    for part in result.fields[0]:
        ends.append(ends[-1] + len(evaluate(part, lookup)))
    return as_json(result, ends)


def as_json(result: Compiled, ends: Sequence[int]) -> bytes:
    """ends: how many characters the text has before each part, and in all."""
    return json.dumps([[ends[first], ends[last]] for first, last in result.assistant]).encode()
