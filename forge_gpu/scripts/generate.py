"""A plan as one Python file: on the library, or without it for the plans that `plain` can express."""

from __future__ import annotations

import pprint
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from forge_gpu._version import __version__
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


def _beyond_plain(config: Config) -> Iterator[str]:
    """The keys of a plan that the plain script does not know."""
    data, model, rows, output = config.data, config.model, config.preprocessing, config.output
    checks = rows.quality_checks.model_dump()
    lines = {
        "data.mapping.shape": data.mapping.shape != "flat",
        "data.mapping.system": data.mapping.system is not None,
        "data.mapping.label": data.mapping.label is not None,
        "data.encoding": data.encoding != "utf-8",
        "data.on_corrupt": data.on_corrupt != "stop",
        "data.weights": data.weights is not None,
        "data.caps": data.caps is not None,
        "data.against": bool(data.against),
        "data.transform": data.transform.script is not None,
        "data.linked": data.linked.parent is not None,
        "data.convert": data.convert.by is not None,
        "data.media": data.media.are_there,
        "output.bos": output.bos != "keep",
        "output.eos": output.eos != "keep",
        "output.spans": output.spans,
        "model.template_kind": model.template_kind != "builtin",
        "preprocessing.dedup.near": rows.dedup.near is not None,
        "preprocessing.dedup.key": rows.dedup.key != "rendered",
        "preprocessing.split.mode": rows.split.mode != "exact",
        "preprocessing.split.stratify": rows.split.stratify is not None,
        "preprocessing.split.group": rows.split.group is not None,
        "output.form": output.form != "text",
        "output.format": output.format != "jsonl",
        "output.order": output.order != "input",
        "output.columns": bool(output.columns),
        "output.rows_per_shard": output.rows_per_shard is not None,
    }
    yield from (key for key, is_beyond in lines.items() if is_beyond)
    for check, action in checks.items():
        if action == "reject" and check != "empty" and not check.startswith("media"):  # none are there
            yield f"preprocessing.quality_checks.{check}"


def _differing(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The values that are others than the defaults, sections as deep as they go."""
    made = {}
    for key, value in values.items():
        default = defaults.get(key)
        if isinstance(value, dict) and isinstance(default, dict) and default:
            value = _differing(value, default)
            if value:
                made[key] = value
        elif value != default:
            made[key] = value
    return made
