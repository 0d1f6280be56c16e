"""A plan that was made without data, once there is some: plan's own look at it fills in what hangs on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from forge_gpu.config import keys
from forge_gpu.config.layers import Layer, Loaded
from forge_gpu.config.schema import Config
from forge_gpu.config.write import save
from forge_gpu.planner.plan import Plan, make_plan

TOLD = ("data.mapping", "output", "preprocessing.split", "model.chat_template", "model.template_kind")
"""The keys, or sections, of which a line is told where the look at the data sets them."""


def complete(loaded: Loaded, data: Sequence[str], folder: Path) -> Plan:
    """The plan for this data; what it says already stays. folder: where the plan is. Raises ForgeError."""
    values = loaded.config.model_dump(exclude_defaults=True)
    if data:
        values.get("data", {}).pop("inputs", None)
    where = {path: loaded.where.get(path, "the plan") for path in _paths(values, ())}
    return make_plan(
        loaded.config.goal, data=data, folder=folder, settled=Layer(values, where), environ={}, overrides=()
    )


def changes(before: Config, plan: Plan) -> Iterator[str]:
    """A line for each key of TOLD that has another value now."""
    for path in keys.known():
        key = ".".join(path)
        if keys.is_section(keys.known()[path]) or not key.startswith(TOLD):
            continue
        old, new = _value(before, path), _value(plan.config, path)
        if old != new and key in plan.reasons:
            yield f"{key}: {new} ({plan.reasons[key]})"


def without_inputs(plan: Plan, why: str) -> Plan:
    """The plan for data that has no path to be read from again."""
    data = plan.config.data.model_copy(update={"inputs": []})
    config = plan.config.model_copy(update={"data": data})
    return replace(plan, config=config, reasons={**plan.reasons, "data.inputs": why})


def write(path: Path, plan: Plan, is_new: bool) -> str:
    """Write a completed plan, with a backup unless the file is new; the line that says so."""
    try:
        backup = save(path, plan.config, plan.reasons)
    except OSError as error:
        return f"{path}: completed for the data, but not rewritten: {error.strerror}"
    if is_new and backup is not None:
        backup.unlink()
        return f"{path}: completed for the data"
    return f"{path}: completed for the data; the plan as it was is {backup}"


def _paths(values: dict[str, Any], before: keys.Path) -> Iterator[keys.Path]:
    for name, value in values.items():
        path = (*before, name)
        if isinstance(value, dict) and keys.is_section(keys.known().get(path)):
            yield from _paths(value, path)
        else:
            yield path


def _value(config: Config, path: keys.Path) -> Any:
    value: Any = config
    for name in path:
        value = getattr(value, name, None)
    return value
