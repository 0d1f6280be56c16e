"""A plan as one Python file: on the library, or without it for the plans that `plain` can express."""

from __future__ import annotations

import pprint
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from forge_gpu._version import __version__
from forge_gpu.config import keys
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.formats import detect
from forge_gpu.io.inputs import resolve
from forge_gpu.templates.builtin import builtins

BEGIN, END = "# plan: begin\n", "# plan: end\n"


class ModelAwareScriptGenerator:
    """plain: a script that needs the standard library and xxhash alone. base: where relative inputs start."""

    def __init__(self, base: Path, plain: bool = False) -> None:
        self._base, self._plain = base, plain

    def generate_script(self, metadata: Config, analysis: Sequence[str]) -> str:
        """metadata: the plan. analysis: lines about its data, for the head of the script.

        Raises ConfigError where a plain script cannot express the plan: each such key by name.
        """
        name = "plain.py" if self._plain else "with_library.py"
        text = (files("forge_gpu.scripts") / name).read_text()
        plan = self._plain_plan(metadata) if self._plain else self._whole_plan(metadata)
        begin, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        spelled = pprint.pformat(plan, width=100, sort_dicts=False)
        text = f"{text[:begin]}PLAN: dict[str, Any] = {spelled}\n{text[end:]}"
        text = text.replace(BEGIN, "").replace(END, "")
        return text.replace("HEADLINE", _headline(metadata, analysis), 1)

    def _whole_plan(self, config: Config) -> dict[str, Any]:
        """The settings that are others than the defaults, and always those of memory and chunks."""
        chosen = _differing(config.model_dump(mode="json"), Config().model_dump(mode="json"))
        chosen.pop("hardware", None)
        chosen["data"]["inputs"] = self._inputs(config)
        section = chosen.setdefault("preprocessing", {})
        section["chunk_size"] = config.preprocessing.chunk_size
        section["memory"] = config.preprocessing.memory.model_dump(mode="json")
        return chosen

    def _plain_plan(self, config: Config) -> dict[str, Any]:
        beyond = [*_beyond_plain(config), *self._unreadable(config)]
        if beyond:
            raise ConfigError(
                f"a plain script cannot express {', '.join(beyond)}; without --plain any plan has a script"
            )
        mapping, model, rows = config.data.mapping, config.model, config.preprocessing
        eos = ""
        if model.append_eos:
            eos = model.special_tokens.get("eos_token") or builtins()[model.chat_template or "chatml"].eos
        return {
            "inputs": self._inputs(config),
            "query": mapping.query,
            "input": mapping.input,
            "response": mapping.response,
            "template": builtins()[model.chat_template or "chatml"].template,
            "eos": eos,
            "reject_empty": rows.quality_checks.empty == "reject",
            "drop_duplicates": rows.dedup.exact,
            "validation": str(rows.validation_split),
            "test": str(rows.test_split),
            "seed": rows.seed,
        }

    def _inputs(self, config: Config) -> list[str]:
        """By their whole names, so that the script runs from any folder."""
        return [file.url for file in resolve(config.data.inputs, self._base)]

    def _unreadable(self, config: Config) -> Iterator[str]:
        for file in resolve(config.data.inputs, self._base):
            result = detect(
                file, config.data.format, config.data.encoding, dialect=Dialect.of(config.data.dialect)
            )
            if result.kind not in ("jsonl", "empty") or result.compression or file.is_remote:
                yield f"data.inputs ({file.path} is not a plain file of JSON lines)"


def _headline(config: Config, analysis: Sequence[str]) -> str:
    goal = " ".join((config.goal or "Prepares data for fine-tuning").split())
    model = config.model.name or config.model.chat_template or "no model"
    lines = [f"{goal}: made by forge-gpu {__version__} for {model}.", *analysis]
    safe = ("".join(c if c.isprintable() else " " for c in line) for line in lines)
    return "\n".join(safe).replace("\\", "/").replace('"', "'")


EXPRESSED = (
    *("version", "data.format", "data.dialect", "data.mapping.query", "data.mapping.input"),
    *("data.mapping.response", "model", "preprocessing.train_split", "preprocessing.validation_split"),
    *(
        "preprocessing.test_split",
        "preprocessing.seed",
        "preprocessing.dedup.exact",
        "tokens",
        "output.verify",
    ),
)
"""Keys, and sections, that the plain script goes by, or that say nothing of a script for texts of a built-in
template from lines of JSON."""


def _beyond_plain(config: Config) -> Iterator[str]:
    """The keys of a plan that the plain script does not know."""
    if config.model.template_kind != "builtin":
        yield "model.template_kind"
    data, settings = config.data, keys.effective(config)
    # Of these the plan's digest knows the files instead.
    plain = Config().data
    for name in ("against", "splits"):
        if getattr(data, name) != getattr(plain, name):
            yield f"data.{name}"
    for path in _other_keys(settings, keys.effective(Config())):
        key = ".".join(path)
        if path[1:2] == ("quality_checks",):
            if _value(settings, path) == "reject" and path[2] != "empty" and not path[2].startswith("media"):
                yield key
        elif not any(f"{key}.".startswith(f"{known}.") for known in EXPRESSED):
            yield key


def _other_keys(
    values: dict[str, Any], defaults: dict[str, Any], path: keys.Path = ()
) -> Iterator[keys.Path]:
    """The keys whose values are others than the defaults, in sections as deep as they go."""
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict) and default:
            yield from _other_keys(value, default, (*path, key))
        elif value != default:
            yield (*path, key)


def _value(values: dict[str, Any], path: keys.Path) -> Any:
    result: Any = values
    for key in path:
        result = result[key]
    return result


def _differing(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values that are others than the defaults, nested as they are."""
    made: dict[str, Any] = {}
    for *sections, key in _other_keys(values, defaults):
        section = made
        for name in sections:
            section = section.setdefault(name, {})
        section[key] = _value(values, (*sections, key))
    return made
