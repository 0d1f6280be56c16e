"""Rows as the model sees them: control tokens set off, and what is trained told from what is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import orjson

from forge_gpu.config.schema import Config
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.io.chunks import JsonChunk
from forge_gpu.job.events.events import Event
from forge_gpu.job.rows.rows import RowReader
from forge_gpu.job.rows.workspace import Workspace
from forge_gpu.kernels.layout import PADDING
from forge_gpu.report.shown import Segment
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.rendered import writes_turns
from forge_gpu.templates.shapes import shape_of

if TYPE_CHECKING:
    from forge_gpu.job.rows.shown_tokens import ShownRow, ShownToken

TRAINED, CONTROL, HEADING = 1, 2, 4
"""Flags of a segment. HEADING: a name of a part, which is not a text of the row."""

CONTROL_TOKENS = (
    r"<\|[^|<>\n]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|</?s>|<(?:bos|eos|pad|unk)>|<(?:start|end)_of_turn>|"
    r"\[/?(?:INST|TOOL_CALLS|TOOL_RESULTS|AVAILABLE_TOOLS|SYSTEM_PROMPT)\]|</?(?:think|tool_call|tool_response)>"
)
"""What the templates that people use take for tokens, beside those that the plan names."""


def segments_of(config: Config, sources: Sequence[bytes]) -> list[list[Segment] | None]:
    """The segments of each row; None where a row does not render by this plan. sources: JSON objects."""
    if not sources:
        return []
    for made in (_encoded, _with_mask, _without_mask):
        with suppress(ForgeError):  # as of a format string without the answer's column, which has no mask
            return list(made(config, sources))
    return [None] * len(sources)


def _output(config: Config, **changes: object) -> object:
    return config.output.model_copy(update={"columns": [], "spans": False, **changes})


def _encoded(config: Config, sources: Sequence[bytes]) -> Iterator[list[Segment] | None]:
    """The tokens of rows, as they are written. Raises ConfigError where the plan makes none."""
    if not form_of(config).is_encoded:
        raise ConfigError("the plan makes no tokens")
    from forge_gpu.job.rows.shown_tokens import TokenView

    config = config.model_copy(update={"model": config.model.model_copy(update={"compile": False})})
    engine = CpuEngine()
    reader = RowReader(config, engine)
    view = TokenView(config, reader, engine)
    rows = reader.read(_chunk(sources), judge=False)
    if len(rows) != len(sources):
        raise ConfigError("the plan makes several rows of one")
    for row in range(len(rows)):
        yield None if rows.reason[row] else list(_of_tokens(view.row(rows, row)))


def _of_tokens(row: ShownRow) -> Iterator[Segment]:
    if row.cut_tokens:
        messages = f" with {row.cut_messages:,} messages" if row.cut_messages else ""
        yield f"{row.cut_tokens:,} tokens were cut off{messages}", HEADING
    most = row.most or max(len(row.tokens), 1)
    for begin in range(0, len(row.tokens), most):
        if begin:
            yield f"piece {begin // most + 1}", HEADING
        for flags, tokens in groupby(row.tokens[begin : begin + most], _flags):
            yield b"".join(token.bytes for token in tokens).decode(errors="replace"), flags


def _flags(token: ShownToken) -> int:
    return TRAINED * token.is_trained | CONTROL * token.is_added


def _with_mask(config: Config, sources: Sequence[bytes]) -> Iterator[list[Segment] | None]:
    """By the plan changed so that its fields tell what is trained; not a byte of the text differs."""
    shape = shape_of(config.data.mapping)
    if shape.is_pair or not form_of(config).is_rendered or shape.only_text or shape.name == "columns":
        changes: dict[str, object] = {}
    elif writes_turns(config):
        changes = {"form": "text", "spans": True}
    else:
        changes = {"form": "prompt_completion"}
    model = config.model.model_copy(update={"compile": False})
    return _rendered(
        config.model_copy(update={"output": _output(config, **changes), "model": model}), sources
    )


def _without_mask(config: Config, sources: Sequence[bytes]) -> Iterator[list[Segment] | None]:
    return _rendered(config.model_copy(update={"output": _output(config)}), sources)


def _chunk(sources: Sequence[bytes]) -> JsonChunk:
    """The rows as one chunk of a JSON array."""
    joined = b",\n".join(sources)
    data = np.zeros(len(joined) + PADDING, np.uint8)
    data[: len(joined)] = np.frombuffer(joined, np.uint8)
    return JsonChunk(data[: len(joined)], "array", 0)


def _rendered(config: Config, sources: Sequence[bytes]) -> Iterator[list[Segment] | None]:
    workspace = Workspace(config, CpuEngine, _ignore)
    rows = workspace.reader.read(_chunk(sources), judge=False)
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
