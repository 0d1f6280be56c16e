"""The keys that the schema knows, as dotted paths, and the nearest one to a key that it does not know."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from forge_gpu.config.schema import Config, WithoutEffect

Path = tuple[str, ...]


@cache
def known() -> dict[Path, Any]:
    """Every key of the schema with its annotation; sections are keys too."""
    return dict(_walk(Config, ()))


def _walk(section: type[BaseModel], path: Path) -> Iterator[tuple[Path, Any]]:
    for name, field in section.model_fields.items():
        bounds = tuple(item for item in field.metadata if not isinstance(item, WithoutEffect))
        yield (*path, name), Annotated[(field.annotation, *bounds)] if bounds else field.annotation
        inner = section_of(field.annotation)
        if inner is not None:
            yield from _walk(inner, (*path, name))


@cache
def without_effect() -> frozenset[Path]:
    """The keys that no byte of the output depends on, those of whole sections among them."""
    return frozenset(_without_effect(Config, (), False))


def _without_effect(section: type[BaseModel], path: Path, whole: bool) -> Iterator[Path]:
    for name, field in section.model_fields.items():
        declared = whole or any(isinstance(item, WithoutEffect) for item in field.metadata)
        if declared:
            yield (*path, name)
        inner = section_of(field.annotation)
        if inner is not None:
            yield from _without_effect(inner, (*path, name), declared)


def effective(config: Config) -> dict[str, Any]:
    """The settings that the output depends on, nested as in the file, as JSON has them."""
    settings = config.model_dump(mode="json")
    for path in without_effect():
        section: Any = settings
        for name in path[:-1]:
            section = section.get(name) or {}
        section.pop(path[-1], None)
    return settings


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation is, or that may stand there (`Near | None`)."""
    result = [choice for choice in _choices(annotation) if isinstance(choice, type)]
    return next((choice for choice in result if issubclass(choice, BaseModel)), None)


def is_section(annotation: Any) -> bool:
    return section_of(annotation) is not None


def is_optional(annotation: Any) -> bool:
    """Whether null can stand there: of a section, that it is switched off."""
    return accepts(annotation, type(None))


@cache
def _choices(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, or the annotation itself; bounds of `Annotated` are left away."""
    if get_origin(annotation) is Annotated:
        return _choices(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(choice for member in get_args(annotation) for choice in _choices(member))
    return (annotation,)


def accepts(annotation: Any, kind: type) -> bool:
    """Whether a value of exactly this kind can stand there: `kind` is a plain type such as bool or list."""
    return any(choice is kind or get_origin(choice) is kind for choice in _choices(annotation))


def words(annotation: Any) -> set[str]:
    """The fixed words that can stand there, as `auto`."""
    fixed = [choice for choice in _choices(annotation) if get_origin(choice) is Literal]
    return {word for choice in fixed for word in get_args(choice) if isinstance(word, str)}


def is_text(path: Path) -> bool:
    """Whether the key holds text, or a list or mapping of texts: 007 and no stay as they are spelled."""
    annotation = known().get(path) or known().get(path[:-1])
    if is_section(annotation):
        return False
    return any(choice in (str, list[str], dict[str, str]) for choice in _choices(annotation))


def is_free(path: Path) -> bool:
    """Whether the key holds a mapping whose keys are the user's own, as `model.special_tokens`."""
    annotation = known().get(path)
    return annotation is not None and not is_section(annotation) and accepts(annotation, dict)


def schema_path(names: Sequence[str]) -> Path | None:
    """The schema's path for the names of a dotted key, whatever their case; None if there is none.

    What follows a key with free names is one name, dots and case kept.
    """
    path: Path = ()
    for position, name in enumerate(names):
        if is_free(path):
            return (*path, ".".join(names[position:]))
        path = (*path, name.lower())
        if path not in known():
            return None
    return path


def inside(path: Sequence[str]) -> list[str]:
    """Names of the keys in a section; for a path that is none, in the section that it starts with."""
    names = [known_path[-1] for known_path in known() if known_path[:-1] == tuple(path)]
    return names or inside(path[:-1])


def nearest(path: Sequence[str]) -> str | None:
    """The known key that an unknown one likely means: a sibling, or the same or a near name elsewhere."""
    parent, name = tuple(path[:-1]), path[-1].lower()
    is_section_known = not parent or parent in known()
    sibling = difflib.get_close_matches(name, inside(parent), 1, 0.75) if is_section_known else []
    if sibling:
        return ".".join((*parent, sibling[0]))
    by_name = {p[-1]: ".".join(p) for p in reversed(known())}  # of namesakes the first
    if name in by_name:
        return by_name[name]
    whole = [] if is_section_known else difflib.get_close_matches(".".join(path).lower(), by_name.values(), 1)
    near = difflib.get_close_matches(name, by_name, 1, 0.8)
    return whole[0] if whole else by_name[near[0]] if near else None
