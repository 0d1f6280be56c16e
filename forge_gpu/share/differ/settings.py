"""What two manifests say otherwise: settings, template, version, inputs, columns, tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from forge_gpu.io.secrets import public_within
from forge_gpu.share.prepared import Prepared

Difference = dict[str, Any]
"""key, and the values that A and B have for it; null where one has none."""


def settings_of(prepared: Prepared) -> dict[str, Any]:
    """Dotted keys and values: all that the output depends on, but the inputs."""
    manifest = prepared.manifest
    return {
        "forge": manifest.get("forge"),
        **dict(_flat(public_within(manifest["config"]), "")),
        "template.sha256": manifest["template"].get("sha256"),
    }


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[Difference]:
    """In the order of A's keys, those that B alone has at the end."""
    return [
        {"key": key, "a": a.get(key), "b": b.get(key)}
        for key in {**a, **b}
        if a.get(key) != b.get(key) or (key in a) != (key in b)
    ]


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def same_inputs(a: Prepared, b: Prepared) -> dict[str, str]:
    """The input of B that stands for one of A: of the same path, or else the only one of its name on each
    side, since folders move."""
    of_a, of_b = ([entry["path"] for entry in of.manifest["inputs"]] for of in (a, b))
    names = {path: path for path in of_a if path in set(of_b)}
    rest_a, rest_b = ([p for p in of if p not in names] for of in (of_a, of_b))
    times_a, times_b = (Counter(PurePosixPath(path).name for path in rest) for rest in (rest_a, rest_b))
    by_name = {PurePosixPath(path).name: path for path in rest_b}
    for path in rest_a:
        name = PurePosixPath(path).name
        if times_a[name] == times_b[name] == 1:
            names[path] = by_name[name]
    return names


def input_differences(a: Prepared, b: Prepared, names: dict[str, str]) -> list[Difference]:
    """Inputs of one alone, and those with other rows, bytes or content."""
    of_b = {entry["path"]: entry for entry in b.manifest["inputs"]}
    result: list[Difference] = []
    for entry in a.manifest["inputs"]:
        other = of_b.pop(names.get(entry["path"], ""), None)
        shown = {"a": _input(entry), "b": None if other is None else _input(other)}
        if shown["a"] != shown["b"]:
            result.append({"key": public_within(entry["path"]), **shown})
    result += [{"key": public_within(path), "a": None, "b": _input(of)} for path, of in of_b.items()]
    return result


def _input(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry.get(key) for key in ("rows", "bytes", "format", "split")}


def tokens_of(prepared: Prepared) -> dict[str, Any]:
    """Sums of tokens, in all and by split; {} where the output has none."""
    tokens = prepared.manifest.get("tokens")
    if not isinstance(tokens, dict):
        return {}
    return {key: of for key, of in _flat(tokens, "") if isinstance(of, int) and ".sources." not in key}
