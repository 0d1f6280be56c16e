"""The text of forge.yaml as values with the line that each key stands on. Hostile files end in one line."""

from __future__ import annotations

from dataclasses import field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from forge_gpu.config import keys
from forge_gpu.errors import ConfigError
from forge_gpu.plain import mutable

MOST_NODES = 100_000
MOST_DEPTH = 50
PLAIN_WORDS = {  # for the commonest faults
    "determine a constructor": "this tag has no meaning in a plan; leave it out",
    "'\\t'": "a tab stands where a value begins; indent with blanks",
    "<document start>": "something goes on after the mapping has ended",
    "<block end>": "a line is not indented as those around it",
    "mapping values are not allowed": "a second ':' stands in one line; put the value in quotes",
}
PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "timestamp")}


@mutable
class Parsed:
    """values: plain dicts, lists and scalars. lines: key path -> line, from 1. faults: one line each."""

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def parse(text: str, name: str) -> Parsed:
    """Read YAML. `name` is the file's, for messages. Raises ConfigError where it is no YAML mapping."""
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: this is not YAML: {_plain(error.problem or error.context)}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: this is not YAML: {' '.join(str(error).split())}") from None
    parsed = Parsed()
    if root is None:
        return parsed
    if not isinstance(root, MappingNode):
        raise ConfigError(f"{name}:{root.start_mark.line + 1}: a plan is a mapping of keys to values")
    parsed.values = _Reader(yaml, name, parsed).mapping(root, (), 0)
    return parsed


def _plain(problem: object) -> str:
    """What YAML's reader says, in plain words where it is one of the commonest faults."""
    message = " ".join(str(problem).split())
    return next((ours for theirs, ours in PLAIN_WORDS.items() if theirs in message), message)


def parse_value(text: str, path: keys.Path) -> Any:
    """The value of one key, from the environment or `--set`.

    A text is taken as it stands, a list may be written `a,b`, all else is YAML; nothing at all is null, or
    an empty text where null cannot stand.
    Text that is no YAML comes back as it is, to be refused by the schema.
    """
    annotation = keys.known().get(path)
    if text in ("", "null") and keys.accepts(annotation, type(None)):
        return None
    if keys.accepts(annotation, str) and keys.accepts(annotation, list) and text.startswith("["):
        listed = _yaml(text, path)
        return listed if isinstance(listed, list) else text
    if keys.accepts(annotation, str) or (annotation is None and keys.is_text(path)):
        return text
    if text == "":
        return None
    opens = "[{" if keys.accepts(annotation, dict) else "["
    if keys.accepts(annotation, list) and text not in keys.words(annotation) and text[0] not in opens:
        parts = [part.strip() for part in text.split(",")]
        return parts if keys.is_text(path) else [_yaml(part, path) for part in parts]
    return _yaml(text, path)


def _yaml(text: str, path: keys.Path) -> Any:
    """A text as YAML, or as it is where it is none."""
    yaml = YAML(typ="safe", pure=True)
    try:
        node = yaml.compose(text)
    except (YAMLError, ValueError, RecursionError):
        return text
    parsed = Parsed()
    try:
        value = None if node is None else _Reader(yaml, "", parsed).value(node, path, 0)
    except ConfigError:  # too large, or nested too deep
        return text
    return text if parsed.faults else value


class _Reader:
    def __init__(self, yaml: YAML, name: str, parsed: Parsed) -> None:
        self.yaml, self.name, self.parsed, self.nodes = yaml, name, parsed, 0

    def mapping(self, node: MappingNode, path: tuple[str, ...], depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, ScalarNode) else None
            if key is None:
                self.parsed.faults.append(f"{self.name}:{line}: a key must be a plain name")
                continue
            here = (*path, key)
            if key in values:
                first = self.parsed.lines[here]
                self.parsed.faults.append(
                    f"{self.name}:{line}: {'.'.join(here)}: given twice, first in line {first}"
                )
                continue
            self.parsed.lines[here] = line
            values[key] = self.value(value_node, here, depth + 1)
        return values

    def value(self, node: Node, path: tuple[str, ...], depth: int) -> Any:
        self.nodes += 1
        if self.nodes > MOST_NODES or depth > MOST_DEPTH:
            raise ConfigError(
                f"{self.name}:{node.start_mark.line + 1}: too large or nested too deep for a plan"
            )
        if isinstance(node, MappingNode):
            return self.mapping(node, path, depth)
        if isinstance(node, SequenceNode):
            return [self.value(item, path, depth + 1) for item in node.value]
        if keys.is_text(path) and node.tag in PLAIN_TAGS:
            return node.value
        try:
            return self.yaml.constructor.construct_object(node)
        except (YAMLError, ValueError, ArithmeticError) as error:
            message = _plain(getattr(error, "problem", None) or error)
            self.parsed.faults.append(f"{self.name}:{node.start_mark.line + 1}: {'.'.join(path)}: {message}")
            return None
