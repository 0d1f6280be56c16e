"""From what a caller names, a template and a mapping, to the configuration that a renderer is made of."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from forge_gpu.config import schema
from forge_gpu.config.layers import Layer, build
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError, InputError, TemplateError
from forge_gpu.frames.rendering import Recipe
from forge_gpu.frames.sampling import Sample
from forge_gpu.planner.columns import columns_of
from forge_gpu.planner.conversations import read_conversations
from forge_gpu.planner.mapping import Picked, pick
from forge_gpu.planner.model import decide, read_template
from forge_gpu.templates.builtin import builtins
from forge_gpu.templates.shapes import SHAPES, shape_named_by
from forge_gpu.templates.validate import validate_renderer

GivenMapping = Mapping[str, Any] | schema.Mapping | None
Values = dict[str, Any]
Made = TypeVar("Made")

RETAINED = 64
"""Answers that are retained for the next call."""


class Output(NamedTuple):
    """What is made of rows: one of the forms of `output.form`, and whether with `output.spans`."""

    form: str = "text"
    spans: bool = False


class Recipes:
    """What renders, for what callers name: found once, and retained from call to call, by all threads.

    A recipe's key is its template (its text, or the state of its file or folder), the mapping, the date, and
    the columns that it was found to fit: a file that changes, and a new day, make a new one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._answers: OrderedDict[Hashable, Any] = OrderedDict()

    def of_texts(
        self,
        template: str | Path | Config,
        mapping: GivenMapping,
        append_eos: bool,
        output: Output,
        columns: Sequence[str],
        sample: Sample,
    ) -> Recipe:
        """What renders the texts of a frame with rows.

        output: of the section of a plan. sample: some of the rows. Raises TemplateError, ConfigError,
        InputError.
        """
        if isinstance(template, Config):
            if mapping is not None or append_eos:
                raise ConfigError("a Config has a mapping and append_eos of its own: set them there")
            key: tuple[Any, ...] = ("plan", template.model_dump_json(), output, *columns)
            return self._answer(key, lambda: _recipe(key, _with_output(template, output), columns))
        name = str(template)
        state = (name, date.today(), *_state(name))
        is_folder = len(state) > 2 and state[2] is None
        model = None if is_folder else self._answer(("named", *state), lambda: _named(name))
        if mapping is None and model is not None and model["template_kind"] == "format":
            chosen = {"shape": "columns"}  # the string itself names them
        else:
            chosen = self._mapping(mapping, columns, sample)
        tools = is_folder and _with_tools(chosen, sample)
        key = ("texts", *state, repr(chosen), append_eos, tools, output, *columns)

        def recipe() -> Recipe:
            section = {**(model or _of_folder(name, tools)), "append_eos": append_eos}
            values = {"data": {"mapping": chosen}, "model": section, "output": output._asdict()}
            config = build([Layer(values)]).config
            return _recipe(key, config, columns)

        return self._answer(key, recipe)

    def of_fields(self, mapping: GivenMapping, columns: Sequence[str], sample: Sample) -> Recipe:
        """What finds the texts of each role in a frame with rows."""
        chosen = self._mapping(mapping, columns, sample)
        values = {"data": {"mapping": chosen}, "output": {"form": "source"}}
        key = ("fields", repr(chosen), *columns)
        return self._answer(key, lambda: _recipe(key, build([Layer(values)]).config, columns))

    def _mapping(self, mapping: GivenMapping, columns: Sequence[str], sample: Sample) -> Values:
        """The keys of data.mapping: those that are given and no others, or those that plan would pick."""
        if isinstance(mapping, schema.Mapping):
            return mapping.model_dump()
        if mapping is not None:
            shape = shape_named_by(mapping)
            return {"shape": "columns" if shape is None else shape.name, **mapping}
        kinds = sample.kinds()
        if kinds is None:
            return _picked(sample.records())
        return self._answer(("mapping", kinds, *columns), lambda: _picked(sample.records()))

    def _answer(self, key: Hashable, find: Callable[[], Made]) -> Made:
        answer: Made
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                answer = self._answers[key]
                return answer
        answer = find()
        with self._lock:
            self._answers[key] = answer
            if len(self._answers) > RETAINED:
                self._answers.popitem(last=False)
        return answer


def _recipe(key: Hashable, config: Config, columns: Sequence[str]) -> Recipe:
    return Recipe(key, config, validate_renderer(config, columns))


def _with_output(config: Config, output: Output) -> Config:
    values = config.model_dump()
    values["output"] |= {**output._asdict(), "columns": []}
    return build([Layer(values)]).config


def check_settings(settings: Mapping[str, Any]) -> schema.Checks:
    """Settings of the quality checks. Raises ConfigError with the nearest known one."""
    loaded = build([Layer({"preprocessing": {"quality_checks": dict(settings)}})])
    return loaded.config.preprocessing.quality_checks


def near_settings(settings: Mapping[str, Any]) -> schema.Near:
    """Settings of near-duplicates. Raises ConfigError with the nearest known one."""
    loaded = build([Layer({"preprocessing": {"dedup": {"near": dict(settings)}}})])
    near = loaded.config.preprocessing.dedup.near
    assert near is not None
    return near


def _picked(records: list[dict[str, Any]]) -> Values:
    texts: dict[str, list[str]] = {}
    for record in records[:8]:
        for name, value in record.items():
            if isinstance(value, str):
                texts.setdefault(name, []).append(value)
    try:
        return pick(columns_of(records), {}, texts).values
    except InputError as fault:
        raise InputError(f"{fault}; here, pass mapping={{'query': COLUMN, 'response': COLUMN}}") from None


def _state(template: str) -> tuple[Any, ...]:
    """What tells whether the file or folder that a template names has changed: for a folder None and its
    entries, for a file its own, and nothing for what is not a path."""
    if template in builtins() or any(character in template for character in "\n\0") or len(template) > 4096:
        return ()
    path = os.path.expanduser(template)
    try:
        state = os.stat(path)
        if "{" not in template and os.path.isdir(path):
            with os.scandir(path) as entries:
                return (None, *sorted((entry.name, *_entry(entry.stat())) for entry in entries))
    except OSError:
        return ()
    return _entry(state)


def _entry(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_ino, state.st_size, state.st_mtime_ns


def _with_tools(mapping: Values, sample: Sample) -> bool:
    """Whether records have tools: some models have a template of their own for these."""
    if not mapping.get("tools"):
        return False
    shape = SHAPES.get(str(mapping["shape"]))
    if shape is None or not shape.has_turns:
        return False
    return read_conversations(sample.records(), Picked(mapping, {})).with_tools > 0


def _of_folder(folder: str, tools: bool) -> Values:
    """The section `model` for a folder's own template."""
    path = str(Path(folder).expanduser())
    decision = decide(None, path, None, None, tools=tools, own=True, needed=True)
    if decision.values.get("template_is_approximate"):
        raise TemplateError(
            f"{path} has no chat template; a built-in that comes near is "
            f"{decision.values['chat_template']!r}: name it, or a file"
        )
    return decision.values


def _named(template: str) -> Values:
    """The section `model` for a built-in, a format string, or a chat template in a file or spelled out."""
    read = read_template(template)
    values = {"chat_template": read.text, "template_kind": read.kind}
    if read.kind == "jinja" and "strftime_now" in read.text:
        values["date"] = date.today().isoformat()
    return values
