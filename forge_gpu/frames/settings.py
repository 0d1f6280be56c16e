"""From what a caller names, a template and a mapping, to the configuration that a renderer is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from forge_gpu.config import schema
from forge_gpu.config.layers import Layer, build
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError, InputError, TemplateError
from forge_gpu.planner.columns import columns_of
from forge_gpu.planner.conversations import read_conversations
from forge_gpu.planner.mapping import Picked, pick
from forge_gpu.planner.model import decide, read_template
from forge_gpu.templates.builtin import builtins
from forge_gpu.templates.shapes import SHAPES, shape_named_by
from forge_gpu.templates.validate import validate_renderer

GivenMapping = Mapping[str, Any] | schema.Mapping | None
Sample = Callable[[], list[dict[str, Any]]]
Values = dict[str, Any]


def render_config(
    template: str | Path | Config,
    mapping: GivenMapping,
    append_eos: bool,
    columns: Sequence[str],
    sample: Sample,
) -> Config:
    """What renders the texts of a frame with rows.

    sample: some of its rows. Raises TemplateError, ConfigError, InputError.
    """
    if isinstance(template, Config):
        if mapping is not None or append_eos:
            raise ConfigError("a Config has a mapping and append_eos of its own: set them there")
        output = template.output.model_copy(update={"form": "text", "spans": False})
        config = template.model_copy(update={"output": output})
    else:
        folder = _folder(template)
        model = None if folder else _named(str(template))
        is_format = model is not None and model["template_kind"] == "format"
        names_columns = mapping is None and is_format
        chosen = {"shape": "columns"} if names_columns else mapping_values(mapping, sample)
        model = model or _of_folder(str(folder), chosen, sample)
        model["append_eos"] = append_eos
        config = build([Layer({"data": {"mapping": chosen}, "model": model})]).config
    validate_renderer(config, columns)
    return config


def check_config(mapping: GivenMapping, columns: Sequence[str], sample: Sample) -> Config:
    """What finds the texts of each role in a frame with rows."""
    chosen = mapping_values(mapping, sample)
    config = build([Layer({"data": {"mapping": chosen}, "output": {"form": "source"}})]).config
    validate_renderer(config, columns)
    return config


def check_settings(settings: Mapping[str, Any]) -> schema.Checks:
    """Settings of the quality checks. Raises ConfigError with the nearest known one."""
    loaded = build([Layer({"preprocessing": {"quality_checks": dict(settings)}})])
    return loaded.config.preprocessing.quality_checks


def mapping_values(mapping: GivenMapping, sample: Sample) -> Values:
    """The keys of data.mapping: those that are given and no others, or those that plan would pick."""
    if isinstance(mapping, schema.Mapping):
        return mapping.model_dump()
    if mapping is not None:
        shape = shape_named_by(mapping)
        return {"shape": "columns" if shape is None else shape.name, **mapping}
    return _picked(sample())


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


def _folder(template: str | Path) -> Path | None:
    """The model's folder that a template is read from, where it names one."""
    name = str(template)
    if name in builtins() or any(character in name for character in "{\n\0") or len(name) > 4096:
        return None
    path = Path(name).expanduser()
    return path if path.is_dir() else None


def _of_folder(folder: str, mapping: Values, sample: Sample) -> Values:
    """The section `model` for a folder's own template."""
    shape = SHAPES.get(str(mapping["shape"]))
    has_turns = shape is not None and shape.has_turns
    with_tools = has_turns and read_conversations(sample(), Picked(mapping, {})).with_tools > 0
    decision = decide(None, folder, None, None, tools=with_tools, own=True, needed=True)
    if decision.values.get("template_is_approximate"):
        raise TemplateError(
            f"{folder} has no chat template; a built-in that comes near is "
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
