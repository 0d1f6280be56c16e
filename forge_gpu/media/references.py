"""What a record refers to: found in its values, in order, and put anew in its place.

Conventions: paths and URLs as texts; `{"bytes", "path"}` of `datasets`; parts of OpenAI (`image_url`,
`input_audio`), of chat templates and Qwen (`{"type": "image", "image": ...}`, `{"image": ...}`), of Anthropic
(`source`), of LLaMA-Factory (`{"type": "image_url", "value": ...}`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from forge_gpu.media.marks import INNER, kinds
from forge_gpu.plain import frozen
from forge_gpu.records.values import ABSENT, json_text, spelled_json

CONTENTS = ("bytes", "base64", "data")
"""Keys whose value is a file's content, in base64."""
NAMES = ("path", "url", "image", "audio", "video", "file", "file_name")
"""Keys whose value is a path or a URL."""
FILES = "files"
"""The kind of what may be any of them."""


@frozen
class Reference:
    """kind: a key of data.media, or FILES. text: a path, a URL or a data URL; where is_content, base64 alone,
    and `name` what the file is called, if it is."""

    kind: str
    text: str
    is_content: bool = False
    name: str = ""


Visit = Callable[[Reference], str | None]
"""Is given each reference; a path or a URL that is to take its place, or None."""


def in_column(kind: str, value: Any, visit: Visit) -> Any:
    """The value of a column that holds media: one, or a list of them, which may be JSON in a text."""
    if value is ABSENT or not value:
        return value
    if isinstance(value, str):
        held = json_text(value)
        if isinstance(held, str):
            made = visit(Reference(kind, value))
            return value if made is None else made
        made_of_it = in_column(kind, held, visit)
        return value if made_of_it is held else spelled_json(made_of_it).decode()
    if isinstance(value, list):
        return _same_or(value, [in_column(kind, each, visit) for each in value])
    return _of_object(kind, value, visit, whole=True) if isinstance(value, dict) else value


def in_messages(value: Any, visit: Visit) -> Any:
    """Messages, a message or a content: with parts that bring their own media."""
    if isinstance(value, str):
        held = json_text(value)
        if isinstance(held, str):
            return value
        made = in_messages(held, visit)
        return value if made is held else spelled_json(made).decode()
    if isinstance(value, list):
        return _same_or(value, [in_messages(each, visit) for each in value])
    if not isinstance(value, dict):
        return value
    kind = _kind_of(value)
    if kind is not None:
        return _of_part(kind, value, visit)
    made_of = {
        key: in_messages(value[key], visit) for key in INNER if isinstance(value.get(key), list | dict)
    }
    changed = {key: each for key, each in made_of.items() if each is not value[key]}
    return {**value, **changed} if changed else value


def _kind_of(part: dict[str, Any]) -> str | None:
    """The kind of a part that brings its own medium; None of all else."""
    named = part.get("type")
    if isinstance(named, str):
        return _kinds_of_parts().get(named)
    if named is None and not ({"role", "from"} & part.keys()):
        return next((_kinds_of_parts()[key] for key in part if key in _kinds_of_parts()), None)
    return None


@cache
def _kinds_of_parts() -> dict[str, str]:
    """Type of a part -> its kind."""
    return {part: kind for kind, marks in kinds().items() for part in marks.parts}


def _of_part(kind: str, part: dict[str, Any], visit: Visit) -> Any:
    for key in kinds()[kind].sources:
        value = part.get(key)
        if not value or key == "file_id":
            continue
        if key in CONTENTS and isinstance(value, str):
            return _of_object(kind, part, visit, whole=False)
        made = _source(kind, value, visit)
        return part if made is value else {**part, key: made}
    return part


def _source(kind: str, value: Any, visit: Visit) -> Any:
    if isinstance(value, dict):
        return _of_object(kind, value, visit, whole=False)
    return in_column(kind, value, visit) if isinstance(value, str | list) else value


def _of_object(kind: str, value: dict[str, Any], visit: Visit, *, whole: bool) -> Any:
    """whole: a path takes the place of the object, as `datasets` reads either; else that of its key."""
    for key in CONTENTS:
        content = value.get(key)
        if content and isinstance(content, str):
            name = value.get("path") or value.get("name") or ""
            made = visit(Reference(kind, content, not content.startswith("data:"), str(name)))
            if made is None:
                return value
            return made if whole else {**{k: v for k, v in value.items() if k != key}, "path": made}
    for key in NAMES:
        named = value.get(key)
        if named and isinstance(named, str):
            made = visit(Reference(kind, named))
            if made is None:
                return value
            return made if whole and value.keys() <= {"bytes", "path"} else {**value, key: made}
    return value


def _same_or(value: list[Any], made: list[Any]) -> list[Any]:
    return value if all(one is other for one, other in zip(value, made, strict=True)) else made
