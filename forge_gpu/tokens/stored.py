"""The JSON of a tokenizer, kept small: its vocabulary and merges stay bytes, compressed, and are never parsed
again. As objects they take five times their room, and leave holes in memory when they go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from forge_gpu.plain import frozen

CODEC = "zstd"
_MARK = "\ufdd0{}\ufdd0"
"""Takes the place of a large part in the outline: a text that nothing else in it is."""


@frozen
class StoredJson:
    """outline: the document, with marks in place of the large parts of its model. large: of each of these the
    size and the compressed bytes of its JSON, in the order of the document."""

    outline: Mapping[str, Any]
    large: Mapping[str, tuple[int, bytes]]

    @classmethod
    def of(cls, document: dict[str, Any], names: tuple[str, ...]) -> StoredJson:
        """Takes the large parts, by their names, out of the model of a document."""
        import pyarrow as pa

        model, large = document["model"], {}
        for name in [*model]:
            if name in names:
                part = orjson.dumps(model[name])
                model[name] = _MARK.format(name)
                large[name] = len(part), pa.compress(part, CODEC, asbytes=True)
        return cls(document, large)

    def part(self, name: str) -> bytes:
        """The JSON of a large part."""
        import pyarrow as pa

        size, packed = self.large[name]
        part: bytes = pa.decompress(packed, size, CODEC, asbytes=True)
        return part

    def text(self, changes: Mapping[str, Any] = {}, parts: Mapping[str, bytes] = {}) -> bytes:
        """The JSON of the whole. changes: other values of the outline. parts: other large parts."""
        left, made = orjson.dumps({**self.outline, **changes}), []
        for name in self.large:
            before, left = left.split(_entry(name), 1)
            made += [before, _key(name), parts.get(name) or self.part(name)]
        return b"".join([*made, left])


def _key(name: str) -> bytes:
    return orjson.dumps(name) + b":"


def _entry(name: str) -> bytes:
    return _key(name) + orjson.dumps(_MARK.format(name))


def renamed(part: bytes, names: Mapping[str, str]) -> bytes:
    """The JSON of words, as the keys of an object or the first of each of a list of lists, with some of them
    replaced by others."""
    for name, other in names.items():
        old, new = orjson.dumps(name), orjson.dumps(other)
        for before, behind in ((b"[", b","), (b"{", b":"), (b",", b":")):
            part = part.replace(before + old + behind, before + new + behind)
    return part
