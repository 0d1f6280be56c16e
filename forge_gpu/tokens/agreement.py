"""Whether gigatoken encodes for a tokenizer as the library `tokenizers` does: asked once, and noted."""

from __future__ import annotations

from functools import partial

import numpy as np

from forge_gpu.errors import ForgeError
from forge_gpu.kernels.cpu.token_rows import holds_any
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.tokens import cache
from forge_gpu.tokens.definition import Definition
from forge_gpu.tokens.differing import differing_points
from forge_gpu.tokens.encoders import INSTALL, Encoder, Gigatoken, HuggingFace, joined, versions
from forge_gpu.tokens.probes import canary_texts


def why_not_gigatoken(definition: Definition) -> str | None:
    """Why texts are encoded by `tokenizers`; None where gigatoken makes the same ids of the probes.

    Raises ForgeError where `tokenizers` is not there, or does not take the tokenizer.
    """
    installed = versions()
    if not installed["tokenizers"]:
        raise ForgeError(f"tokens need the library tokenizers; install it: {INSTALL}")
    if not installed["gigatoken"]:
        return "gigatoken is not installed"
    if definition.normalizes_added:
        return "its normalizer changes where added tokens stand"
    question = ["agreement", definition.digest, *(f"{name} {version}" for name, version in installed.items())]
    answer = cache.known(question)
    if not isinstance(answer, str):
        answer = _ask(definition) or ""
        cache.note(question, answer)
    return answer or None


def _ask(definition: Definition) -> str | None:
    texts = [text.encode() for text in canary_texts()]
    stops = np.cumsum([len(text) for text in texts])
    starts = np.concatenate(([0], stops[:-1]))
    data = np.frombuffer(b"".join(texts), np.uint8)
    points = differing_points()
    for first in (True, False) if definition.begins_otherwise else (True,):
        document = definition.plain(first)
        try:
            fast: Encoder = Gigatoken(partial(definition.plain, first))
        except ValueError as why:
            return f"gigatoken does not take it: {str(why)[:100]}"
        difference = first_difference(fast, true_encoder(document, definition), data, starts, stops, points)
        if difference is not None:
            return f"gigatoken encodes {difference[:60]!r} otherwise"
    return None


def true_encoder(document: bytes, definition: Definition) -> HuggingFace:
    """Raises ForgeError."""
    try:
        return HuggingFace(document)
    except ValueError as why:
        raise ForgeError(f"{definition.path}: the library tokenizers does not take it: {why}") from None


def first_difference(
    fast: Encoder, true: HuggingFace, data: U8, starts: I64, stops: I64, points: U8
) -> str | None:
    """The first text that two encoders make other ids of, but for those with some code points."""
    skipped = holds_any(data, starts, stops, points)
    texts = [data[start:stop].tobytes().decode() for start, stop in zip(starts, stops, strict=True)]
    ids, offsets = fast.encode(data, starts, stops)
    expected, bounds = joined(true.ids(texts))
    for k, text in enumerate(texts):
        mine, other = ids[offsets[k] : offsets[k + 1]], expected[bounds[k] : bounds[k + 1]]
        if not skipped[k] and not np.array_equal(mine, other):
            return text
    return None
