"""From what a caller names, a template and a mapping, to the configuration that a renderer is made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any

from forge_gpu.config import schema
from forge_gpu.config.load import Layer, build
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError, InputError, TemplateError
from forge_gpu.frames.rendering import Recipe
from forge_gpu.frames.workers import RETAINED
from forge_gpu.planner.columns import columns_of
from forge_gpu.planner.mapping import SHAPE_OF_KEY, Picked, pick
from forge_gpu.planner.model import decide, read_template
from forge_gpu.planner.talks import read_talks
from forge_gpu.templates.builtin import builtins
from forge_gpu.templates.validate import validate_renderer

GivenMapping = Mapping[str, Any] | schema.Mapping | None
Sample = Callable[[], list[dict[str, Any]]]
Values = dict[str, Any]


class Recipes:
    """From what callers name to what renders, retained from call to call, by all threads.

    A recipe's key is the text of its template with the mapping, variables, tokens and date that it goes with,
    and the columns it was found to fit. So a file that changes, and a new day, make a new one.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._by_key: OrderedDict[Hashable, Recipe] = OrderedDict()

    def of_texts(
        self,
        template: str | Path | Config,
        mapping: GivenMapping,
        append_eos: bool,
        columns: Sequence[str],
        sample: Sample,
    ) -> Recipe:
        """What renders the texts of a frame with rows.

        sample: some of its rows. Raises TemplateError, ConfigError, InputError.
        """
        if isinstance(template, Config):
            if mapping is not None or append_eos:
                raise ConfigError("a Config has a mapping and append_eos of its own: set them there")
            key = template.model_dump_json()
            return self._recipe((key, tuple(columns)), columns, lambda: _as_text(template))
        model, chosen = _chosen(template, mapping, sample)
        model["append_eos"] = append_eos
        values = {"data": {"mapping": chosen}, "model": model}
        return self._recipe((repr(values), tuple(columns)), columns, lambda: build([Layer(values)]).config)

    def of_fields(self, mapping: GivenMapping, columns: Sequence[str], sample: Sample) -> Recipe:
        """What finds the texts of each role in a frame with rows."""
        values = {"data": {"mapping": mapping_values(mapping, sample)}, "output": {"form": "source"}}
        return self._recipe((repr(values), tuple(columns)), columns, lambda: build([Layer(values)]).config)

    def _recipe(self, key: Hashable, columns: Sequence[str], make: Callable[[], Config]) -> Recipe:
        with self._lock:
            recipe = self._by_key.get(key)
            if recipe is not None:
                self._by_key.move_to_end(key)
                return recipe
        config = make()
        recipe = Recipe(key, config, validate_renderer(config, columns))
        with self._lock:
            self._by_key[key] = recipe
            if len(self._by_key) > RETAINED:
                self._by_key.popitem(last=False)
        return recipe


def _as_text(config: Config) -> Config:
    output = config.output.model_copy(update={"form": "text", "spans": False})
    return config.model_copy(update={"output": output})


def _chosen(template: str | Path, mapping: GivenMapping, sample: Sample) -> tuple[Values, Values]:
    """The section `model` and the keys of data.mapping."""
    folder = _folder(template)
    if folder is not None:
        chosen = mapping_values(mapping, sample)
        return _of_folder(str(folder), chosen, sample), chosen
    model = _named(str(template))
    if mapping is None and model["template_kind"] == "format":
        return model, {"shape": "columns"}  # the string itself names them
    return model, mapping_values(mapping, sample)


def check_settings(settings: Mapping[str, Any]) -> schema.Checks:
    """Settings of the quality checks. Raises ConfigError with the nearest known one."""
    loaded = build([Layer({"preprocessing": {"quality_checks": dict(settings)}})])
    return loaded.config.preprocessing.quality_checks


def mapping_values(mapping: GivenMapping, sample: Sample) -> Values:
    """The keys of data.mapping: those that are given and no others, or those that plan would pick."""
    if isinstance(mapping, schema.Mapping):
        return mapping.model_dump()
    if mapping is not None:
        shape = next((shape for key, shape in SHAPE_OF_KEY.items() if mapping.get(key)), "columns")
        return {"shape": shape, **mapping}
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
    talks = None
    if mapping["shape"] in ("flat", "conversation", "preference"):
        talks = read_talks(sample(), Picked(mapping, {}))
    with_tools = talks is not None and talks.with_tools > 0
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
