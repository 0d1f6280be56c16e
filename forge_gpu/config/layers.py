"""Values of several origins, merged into one config and checked against the schema: the last layer wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any

from pydantic import ValidationError

from forge_gpu.config import keys
from forge_gpu.config.correct import SPLITS, balance_splits, correct
from forge_gpu.config.explain import explain, line
from forge_gpu.config.rules import Rule, broken
from forge_gpu.config.schema import Config, PreprocessingConfig
from forge_gpu.errors import ConfigError
from forge_gpu.io.faults import without_secrets
from forge_gpu.plain import frozen, mutable
from forge_gpu.templates.named import spell_out


@mutable
class Layer:
    """Values of one origin, nested as in the file. where: key path -> what names the origin in a message."""

    values: dict[str, Any] = field(default_factory=dict)
    where: dict[keys.Path, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


@frozen
class Loaded:
    """warnings: one line each. where: the origin of every key that is not a default."""

    config: Config
    warnings: tuple[str, ...]
    where: dict[keys.Path, str]
    migrated_from: int | None = None


def build(layers: Sequence[Layer]) -> Loaded:
    """One config of all layers, the last winning. Raises ConfigError with one line for every fault."""
    warnings: list[str] = []
    values: dict[str, Any] = {}
    where: dict[keys.Path, str] = {}
    named: set[str] = set()
    faults: list[str] = []
    for layer in layers:

        def warn(path: keys.Path, what: str, origins: dict[keys.Path, str] = layer.where) -> None:
            warnings.append(line(path, what, origins))

        own = _copied(layer.values)
        correct(own, warn)
        _name_templates(own, values, faults)
        _merge(values, own)
        where.update(layer.where)
        given = own.get("preprocessing")
        named = {name for name in SPLITS if isinstance(given, dict) and name in given} or named
    preprocessing = values.get("preprocessing")
    if isinstance(preprocessing, dict):
        defaults = {name: PreprocessingConfig.model_fields[name].default for name in SPLITS}
        balance_splits(preprocessing, named, defaults, lambda p, what: warnings.append(line(p, what, where)))
    faults += [fault for layer in layers for fault in layer.faults]
    config, invalid = _validated(values, where)
    faults += invalid
    if faults:
        raise ConfigError(without_secrets("\n".join(faults)))  # names of keys may hold a URL
    return Loaded(config, tuple(map(without_secrets, warnings)), where)


def _name_templates(own: dict[str, Any], before: dict[str, Any], faults: list[str]) -> None:
    """Spell out the template that a layer names: one of its own, or of a layer before it."""
    earlier = before.get("templates")
    merged = {"templates": earlier, **own} if isinstance(earlier, dict) and "templates" not in own else own
    try:
        spell_out(merged)
    except ConfigError as fault:
        faults.append(str(fault))


def _validated(values: dict[str, Any], where: dict[keys.Path, str]) -> tuple[Config, list[str]]:
    """The config, and a line for every fault; where there are some, the config of the values without them."""
    faults: dict[keys.Path, list[str]] = {}
    try:
        config = Config.model_validate(values, strict=True)
    except ValidationError as error:
        faults = explain(error, values, where)
        sound = _copied(values)
        for path in faults:
            _remove(sound, path)
        config = Config.model_validate(sound, strict=True)
    lines = [line for messages in faults.values() for line in messages]
    return config, lines + [_rule_line(rule, fault, where) for rule, fault in broken(config, faults)]


def _rule_line(rule: Rule, fault: str, where: dict[keys.Path, str]) -> str:
    origin = next((where[path] for path in rule.paths if path in where), None)
    return f"{f'{origin}: ' if origin else ''}{rule.name}: {fault}"


def _remove(values: dict[str, Any], path: keys.Path) -> None:
    for name in path[:-1]:
        values = values.get(name, {})
    values.pop(path[-1], None)


def _merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(name), dict):
            _merge(into[name], value)
        else:
            into[name] = _copied(value)


def _copied(value: Any) -> Any:
    return {name: _copied(inner) for name, inner in value.items()} if isinstance(value, dict) else value
