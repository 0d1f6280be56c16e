"""The models that Forge knows, and which of them, or of their families, a name means."""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib import resources
from typing import Any

from ruamel.yaml import YAML

from forge_gpu.errors import TemplateError
from forge_gpu.plain import frozen


@frozen
class Model:
    """One entry. parameters: in billions. context: tokens. template: a built-in's name, or None."""

    name: str
    family: str
    parameters: float
    layers: int
    hidden: int
    vocabulary: int
    context: int
    licence: str
    architecture: str
    template: str | None
    special_tokens: dict[str, str]
    uses: tuple[str, ...]


@frozen
class Family:
    """template: the built-in that comes near, or None. names: words of a model's name, in lower case."""

    name: str
    template: str | None
    names: tuple[str, ...]


@frozen
class Match:
    """What a name means. model is None where only the family is known. exact: the name is the entry's own."""

    model: Model | None
    family: Family
    exact: bool
    reason: str


@cache
def table() -> dict[str, Any]:
    """The registry file as it stands."""
    text = resources.files("forge_gpu.models").joinpath("registry.yaml").read_text("utf-8")
    loaded: dict[str, Any] = YAML(typ="safe", pure=True).load(text)
    return loaded


@cache
def models() -> tuple[Model, ...]:
    tokens = table()["tokens"]
    return tuple(
        Model(special_tokens=dict(tokens[entry["tokens"]]), uses=tuple(entry["uses"]), **_facts(entry))
        for entry in table()["models"]
    )


def _facts(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("tokens", "uses")}


@cache
def families() -> dict[str, Family]:
    return {
        name: Family(name, about["template"], tuple(about["names"]))
        for name, about in table()["families"].items()
    }


def find(name: str) -> Match | None:
    """What `name` means: an entry (by its full or short name, or a near spelling), a family, or None.

    Raises TemplateError where the name fits several families whose templates differ.
    """
    for model in models():
        if name.lower() in (model.name.lower(), _short(model.name)):
            return Match(model, families()[model.family], True, f"{model.name} is in the registry")
    family = _family_of(name)
    near = difflib.get_close_matches(_short(name), [_short(model.name) for model in models()], 1, 0.92)
    if near:
        model = next(model for model in models() if _short(model.name) == near[0])
        if family is None or family.name == model.family:
            return Match(model, families()[model.family], False, f"{name!r} is taken for {model.name}")
    if family is None:
        return None
    return Match(None, family, False, f"{name!r} is taken for a model of the {family.name} family")


def _family_of(name: str) -> Family | None:
    """The family with the longest words in the name; letters and digits are words of their own."""
    words = _words(name.rsplit("/", 1)[-1])
    result = [
        (len(_words(alias)), len(alias), family)
        for family in families().values()
        for alias in family.names
        if _contains(words, _words(alias))
    ]
    if result:
        return max(result, key=lambda match: match[:2])[2]
    for word, candidates in table()["ambiguous"].items():
        if word in words:
            raise TemplateError(
                f"{name!r} could be any of {', '.join(candidates)}, whose chat templates differ; "
                "give the model's folder (--model DIR), its full name, or --template NAME or FILE"
            )
    return None


def _words(name: str) -> list[str]:
    """Runs of letters, and numbers with their points: "Llama-2-7b" is llama, 2, 7, b."""
    return re.findall(r"[a-z]+|\d+(?:\.\d+)*", name.lower())


def _contains(words: list[str], alias: list[str]) -> bool:
    return any(
        all(_fits(word, pattern) for word, pattern in zip(words[start:], alias, strict=False))
        for start in range(len(words) - len(alias) + 1)
    )


def _fits(word: str, pattern: str) -> bool:
    """Whether a word of the name is the wanted one: version 3 is also any 3.x."""
    return word == pattern or (pattern.isdecimal() and word.startswith(pattern + "."))


def _short(name: str) -> str:
    return name.rsplit("/", 1)[-1].lower()
