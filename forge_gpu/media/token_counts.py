"""How many tokens the media of a row become, by the rules of a model's processor: see tokens.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML

from forge_gpu.config.schema import ModelConfig
from forge_gpu.errors import ConfigError
from forge_gpu.media.looker import Seen
from forge_gpu.media.token_rules import RULES
from forge_gpu.plain import frozen

KINDS = ("images", "audios")


@cache
def _table() -> Mapping[str, Any]:
    text = (files("forge_gpu.media") / "tokens.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = YAML(typ="safe", pure=True).load(text)
    return loaded


def families() -> Mapping[str, Any]:
    """By name, what tokens.yaml says of them."""
    found: Mapping[str, Any] = _table()["families"]
    return found


def family_of(kind_of_model: str | None, name: str) -> str | None:
    """The family of a model. kind_of_model: the `model_type` of its config.json."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    by_type = (family for family, said in families().items() if kind_of_model in said["types"])
    by_name = [
        (len(each), family) for family, said in families().items() for each in said["names"] if each in plain
    ]
    return next(by_type, None) or max(by_name, default=(0, None))[1]


def settings_in(family: str, said: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What a model's own files set of what the rules of its family take, where it differs. said: the objects
    of preprocessor_config.json and the like, the first that sets a thing first."""
    usual = {name: value for kind in KINDS for name, value in families()[family].get(kind, {}).items()}
    places = _table()["places"]
    objects = list(said)
    result: dict[str, Any] = {}
    for name in usual:
        values = (_at(each, place) for place in places.get(name, [name]) for each in objects)
        value = next((value for value in values if _is_setting(value)), None)
        if value is not None and name not in ("rule", "around") and value != usual[name]:
            result[name] = value
    return result


def _at(value: Any, place: str) -> Any:
    for key in place.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _is_setting(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(each, list) and len(each) == 2 and all(map(_is_setting, each)) for each in value
        )
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**31


@frozen
class TokenCounter:
    """The rules of a family. rules: kind -> the rule, what it takes, and the tokens around."""

    rules: Mapping[str, tuple[str, Mapping[str, Any], int]]

    @classmethod
    def of(cls, model: ModelConfig) -> TokenCounter | None:
        """None where a plan names no family. Raises ConfigError."""
        if model.media_tokens is None:
            return None
        said = families().get(model.media_tokens)
        if said is None:
            raise ConfigError(
                f"model.media_tokens {model.media_tokens}: no such family; one of {', '.join(families())}"
            )
        own = dict(model.media_settings)
        rules: dict[str, tuple[str, Mapping[str, Any], int]] = {}
        for kind in KINDS:
            if kind in said:
                usual = dict(said[kind])
                rule, around = usual.pop("rule"), usual.pop("around", 0)
                rules[kind] = rule, {name: own.get(name, value) for name, value in usual.items()}, around
        _require_known(model.media_tokens, own, {name for _, taken, _ in rules.values() for name in taken})
        return cls(rules)

    def count(self, seen: Seen) -> int:
        """The tokens that take the place of a medium; 0 of what is not there, or not counted."""
        if not seen.is_here or seen.kind not in self.rules:
            return 0
        rule, taken, around = self.rules[seen.kind]
        size = (seen.height, seen.width) if seen.kind == "images" else (seen.seconds,)
        return RULES[rule](*size, **taken) + around if all(size) else 0

    def beside(self, seen: Seen) -> int:
        """Those that the text does not have: of its own, a medium has one that stands for it."""
        return max(self.count(seen) - 1, 0)


def _require_known(family: str, own: Mapping[str, Any], taken: set[str]) -> None:
    for name, value in own.items():
        if name not in taken:
            raise ConfigError(
                f"model.media_settings.{name}: the rules of {family} take {', '.join(sorted(taken))}"
            )
        if not _is_setting(value):
            raise ConfigError(f"model.media_settings.{name}: {json.dumps(value)} is not a number above 0")
