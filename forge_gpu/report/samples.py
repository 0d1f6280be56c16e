"""Rows as the model sees them: control tokens set off, and what is trained told from what is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import orjson

from forge_gpu.config.schema import Config
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ForgeError
from forge_gpu.io.chunks import JsonChunk
from forge_gpu.job.events.events import Event
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.kernels.layout import PADDING
from forge_gpu.report.shown import Segment
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.rendered import writes_turns
from forge_gpu.templates.shapes import shape_of

TRAINED, CONTROL, HEADING = 1, 2, 4
"""Flags of a segment. HEADING: a name of a part, which is no text of the row."""

CONTROL_TOKENS = (
    r"<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|"
    r"\[/?(?:INST|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\]|</?(?:think|tool_call|tool_response)>"
)
"""What the templates that people use take for tokens, beside those that the plan names."""


def segments_of(config: Config, sources: Sequence[bytes]) -> list[list[Segment] | None]:
    """The segments of each row; None where a row does not render by this plan. sources: JSON objects."""
    if not sources:
        return []
    plan = _with_mask(config)
    try:
        return list(_rendered(plan, sources))
    except ForgeError:  # as a format string without the answer's column, which has no mask
        try:
            return list(_rendered(config.model_copy(update={"output": _output(config)}), sources))
        except ForgeError:
            return [None] * len(sources)


def _output(config: Config, **changes: object) -> object:
    return config.output.model_copy(update={"columns": [], "spans": False, **changes})


def _with_mask(config: Config) -> Config:
    """The plan changed so that its fields tell what is trained; not a byte of the text differs."""
    shape = shape_of(config.data.mapping)
    if shape.is_pair or not form_of(config).is_rendered or shape.only_text or shape.name == "columns":
        changes: dict[str, object] = {}
    elif writes_turns(config):
        changes = {"form": "text", "spans": True}
    else:
        changes = {"form": "prompt_completion"}
    model = config.model.model_copy(update={"compile": False})
    return config.model_copy(update={"output": _output(config, **changes), "model": model})


def _rendered(config: Config, sources: Sequence[bytes]) -> Iterator[list[Segment] | None]:
    joined = b",\n".join(sources)
    data = np.zeros(len(joined) + PADDING, np.uint8)
    data[: len(joined)] = np.frombuffer(joined, np.uint8)
    workspace = Workspace(config, CpuEngine, _ignore)
    rows = workspace.reader.read(JsonChunk(data[: len(joined)], "array", 0), judge=False)
    if len(rows) != len(sources):
        yield from [None] * len(sources)
        return
    good = np.flatnonzero(rows.reason == 0)
    names = [field.name for field in form_of(config).rendered(config)]
    tokens = _tokens(config)
    if form_of(config).is_record:
        whole = [source.decode("utf-8", "replace") for source in sources]
        yield from ([(text, 0)] for text in whole)
        return
    texts = {}
    for name in names:
        text = workspace.field(rows, name, good)
        texts[name] = [text.row(place).decode("utf-8", "replace") for place in range(len(good))]
    place_of = {int(row): place for place, row in enumerate(good)}
    for row in range(len(rows)):
        place = place_of.get(row)
        values = None if place is None else {name: of[place] for name, of in texts.items()}
        yield None if values is None else list(_segments(values, tokens))


def _segments(fields: dict[str, str], tokens: re.Pattern[str]) -> Iterator[Segment]:
    if "text" in fields:
        spans = orjson.loads(fields.get("spans") or "null")
        yield from _masked(fields["text"], spans, tokens)
    elif "completion" in fields:
        yield from _cut(fields["prompt"], 0, tokens)
        yield from _cut(fields["completion"], TRAINED, tokens)
    elif "messages" in fields:
        for message in orjson.loads(fields["messages"]):
            role = str(message.get("role"))
            content = message.get("content")
            yield role, HEADING
            text = content if isinstance(content, str) else orjson.dumps(message).decode()
            yield text, TRAINED if role == "assistant" else 0
    else:
        for name, text in fields.items():
            yield name, HEADING
            yield from _cut(text, TRAINED if name in ("chosen", "rejected") else 0, tokens)


def _masked(text: str, spans: list[list[int]] | None, tokens: re.Pattern[str]) -> Iterator[Segment]:
    """A text whose spans, in characters, are trained."""
    at = 0
    for begin, end in spans or ():
        yield from _cut(text[at:begin], 0, tokens)
        yield from _cut(text[begin:end], TRAINED, tokens)
        at = end
    yield from _cut(text[at:], 0, tokens)


def _cut(text: str, flags: int, tokens: re.Pattern[str]) -> Iterator[Segment]:
    at = 0
    for match in tokens.finditer(text):
        if match.start() > at:
            yield text[at : match.start()], flags
        yield match[0], flags | CONTROL
        at = match.end()
    if at < len(text):
        yield text[at:], flags


def _tokens(config: Config) -> re.Pattern[str]:
    named = sorted(filter(None, config.model.special_tokens.values()), key=len, reverse=True)
    return re.compile("|".join([*map(re.escape, named), CONTROL_TOKENS]))


def _ignore(event: Event) -> None:
    """Nobody listens to what a report renders."""
