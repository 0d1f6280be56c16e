"""A config as the text of forge.yaml, with a comment above every value that says why it is so.

What is written reads back as the very same config: each text is parsed again before it is used, and if
an unusual string did not survive the pretty form, everything is quoted instead.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from forge_gpu.config import keys
from forge_gpu.config.layers import Layer, build
from forge_gpu.config.parse import parse
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError
from forge_gpu.io.atomic import written_beside

WIDTH = 100
INDENT = 2
HEADER = (
    "A plan of Forge: 'forge prepare' runs it. Change what you like; the comments say why each value is so."
)


def dumps(config: Config, reasons: Mapping[str, str] | None = None) -> str:
    """The file's text. reasons: dotted key -> why; other keys get a line that says what they mean."""
    for pretty in (True, False):
        text = _dump(config, reasons or {}, pretty)
        if pretty and not _reads_back(text, config):
            continue
        return text
    raise AssertionError("unreachable")


def save(path: Path, config: Config, reasons: Mapping[str, str], backup_suffix: str = ".bak") -> Path | None:
    """Write the file beside its name and rename it; a different file that was there is kept as a backup.

    Returns the backup's path, or None. Raises OSError.
    """
    return replace_kept(path, dumps(config, reasons), backup_suffix)


def replace_kept(path: Path, text: str, backup_suffix: str = ".bak") -> Path | None:
    """As `save`, of a text."""
    data = text.encode("utf-8")
    backup = None
    if path.exists():
        if path.read_bytes() == data:
            return None
        backup = _free_name(path, backup_suffix)
        _replace(backup, path.read_bytes())
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, data)
    return backup


def _free_name(path: Path, suffix: str) -> Path:
    number, name = 1, path.with_name(path.name + suffix)
    while name.exists():
        number += 1
        name = path.with_name(f"{path.name}{suffix}{number}")
    return name


def _replace(path: Path, data: bytes) -> None:
    with written_beside(path) as beside:
        beside.write_bytes(data)


@cache
def _meanings() -> dict[str, str]:
    text = resources.files("forge_gpu.config").joinpath("meanings.yaml").read_text("utf-8")
    table: dict[str, str] = YAML(typ="safe", pure=True).load(text)
    return table


def _dump(config: Config, reasons: Mapping[str, str], pretty: bool) -> str:
    tree = _section(config.model_dump(), Config().model_dump(), (), reasons, pretty)
    tree.yaml_set_start_comment(HEADER)
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 2**20  # never fold a string
    yaml.allow_unicode = True
    stream = io.StringIO()
    yaml.dump(tree, stream)
    return stream.getvalue()


def _section(
    values: Mapping[str, Any],
    defaults: Mapping[str, Any],
    path: keys.Path,
    reasons: Mapping[str, str],
    pretty: bool,
) -> CommentedMap:
    """A section; keys that are empty by default, and still are, are left away."""
    section = CommentedMap()
    for name, value in values.items():
        here = (*path, name)
        key = ".".join(here)
        inner = keys.section_of(keys.known()[here])
        if inner is not None and value is not None:
            usual = defaults[name] or inner().model_dump()
            section[name] = _section(value, usual, here, reasons, pretty)
            continue
        if value == defaults[name] and value in (None, [], {}) and key not in reasons:
            continue
        section[name] = _value(value, pretty)
        comment = reasons.get(key) or _meanings().get(key)
        if comment:
            indent = INDENT * len(path)
            section.yaml_set_comment_before_after_key(
                name, before=_wrapped(comment, len(path)), indent=indent
            )
    return section


def comment_lines(comment: str, depth: int) -> list[str]:
    """A comment as it stands above a key of a section so deep, without its indent."""
    return [f"# {line}" for line in _wrapped(comment, depth).splitlines()]


def _wrapped(comment: str, depth: int) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in comment).split())
    return "\n".join(textwrap.wrap(words, WIDTH - INDENT * depth - 2))


def _value(value: Any, pretty: bool) -> Any:
    if isinstance(value, str):
        return _text(value, pretty)
    if isinstance(value, Mapping):
        return CommentedMap(
            (_text(str(name), pretty), _value(inner, pretty)) for name, inner in value.items()
        )
    if isinstance(value, list):
        return [_value(inner, pretty) for inner in value]
    return value


def _text(text: str, pretty: bool) -> Any:
    """A text in the form that is best to read: a block for several lines, else plain or quoted."""
    if not pretty or not all(c.isprintable() or c == "\n" for c in text):
        return DoubleQuotedScalarString(text)
    if "\n" not in text:
        return text
    if text[0] in " \n" or text.endswith("\n\n"):
        return DoubleQuotedScalarString(text)
    return LiteralScalarString(text)


def _reads_back(text: str, config: Config) -> bool:
    try:
        parsed = parse(text, "")
        return not parsed.faults and build([Layer(parsed.values)]).config == config
    except (ConfigError, YAMLError):
        return False
