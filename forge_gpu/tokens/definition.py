"""What a `tokenizer.json` says: its added tokens, how bytes stand for ids, and the same without added tokens.

Nothing here runs a tokenizer. Source of the format: `tokenizers` 0.23.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu.errors import InputError
from forge_gpu.kernels.layout import I64, U8

REPLACEMENT = "▁"
"""What stands for a blank in the vocabularies of SentencePiece."""
SET_ASIDE = "\ufdd0{}"
"""Takes the place of an added token in a vocabulary: a text that no valid text holds."""


@dataclass(frozen=True, slots=True)
class AddedToken:
    content: str
    id: int
    special: bool
    lstrip: bool
    rstrip: bool
    single_word: bool
    normalized: bool


@dataclass(frozen=True)
class Definition:
    """One tokenizer. text: its JSON, of which the whole is read again where it is asked for: as objects a
    large vocabulary takes five times the room. outline: it without the words and merges of its model. path:
    of the file that it is from. digest: SHA-256 of the JSON. unknown: the id of texts that the model does not
    know."""

    text: bytes
    outline: Mapping[str, Any]
    path: Path
    digest: str
    unknown: int | None

    @classmethod
    def of(cls, text: str | bytes, path: Path) -> Definition:
        """Raises InputError for what is no tokenizer."""
        try:
            document = orjson.loads(text)
        except ValueError as error:
            raise InputError(f"{path} is not JSON: {error}") from None
        model = document.get("model") if isinstance(document, dict) else None
        if not isinstance(model, dict) or "vocab" not in model:
            raise InputError(f"{path} is no tokenizer: it has no model with a vocabulary")
        data = text.encode() if isinstance(text, str) else text
        unknown = _unknown(model)
        for large in ("vocab", "merges"):
            model.pop(large, None)
        made = cls(data, document, path, hashlib.sha256(data).hexdigest(), unknown)
        made.added  # noqa: B018 (it is read now, so that its faults are those of the file)
        return made

    @cached_property
    def added(self) -> tuple[AddedToken, ...]:
        try:
            return tuple(
                AddedToken(
                    str(entry["content"]),
                    int(entry["id"]),
                    special=bool(entry.get("special")),
                    lstrip=bool(entry.get("lstrip")),
                    rstrip=bool(entry.get("rstrip")),
                    single_word=bool(entry.get("single_word")),
                    normalized=bool(entry.get("normalized")),
                )
                for entry in self.outline.get("added_tokens") or ()
                if entry["content"]
            )
        except (TypeError, KeyError, ValueError, AttributeError):
            raise InputError(f"{self.path}: added_tokens are not as a tokenizer.json has them") from None

    @property
    def kind(self) -> str:
        """BPE, Unigram, WordPiece or WordLevel."""
        return str(self.outline["model"].get("type") or "BPE")

    def parts(self, *names: str) -> list[dict[str, Any]]:
        """What stands under `normalizer`, `pre_tokenizer`, `decoder`; what is inside sequences too."""
        return [part for name in names for part in _walk(self.outline.get(name))]

    @property
    def normalizes_added(self) -> bool:
        """Whether some added tokens are looked for in what a normalizer makes of a text: where such a token
        stands can then not be told from the text itself."""
        return self.outline.get("normalizer") is not None and any(token.normalized for token in self.added)

    @property
    def begins_otherwise(self) -> bool:
        """Whether only the first piece of a row gets a blank before it."""
        return any(
            part.get("type") == "Metaspace" and part.get("prepend_scheme") == "first"
            for part in self.parts("pre_tokenizer")
        )

    @property
    def has_prefix(self) -> bool:
        """Whether a blank may come before a piece."""
        return any(
            (part.get("type") == "Metaspace" and part.get("prepend_scheme", "always") != "never")
            or part.get("type") == "Prepend"
            or (part.get("type") == "ByteLevel" and part.get("add_prefix_space"))
            for part in self.parts("normalizer", "pre_tokenizer")
        )

    def plain(self, first: bool) -> bytes:
        """The JSON of the tokenizer of texts alone: without added tokens, and what is put around a row.

        first: for pieces that a row begins with, or all where it makes no difference.
        """
        special = {token.content for token in self.added if token.special}
        document = orjson.loads(self.text)
        if not first:
            for part in _walk(document.get("pre_tokenizer")):
                if part.get("type") == "Metaspace" and part.get("prepend_scheme") == "first":
                    part["prepend_scheme"] = "never"
        document |= {"added_tokens": [], "model": _without(document["model"], self.kind, special)}
        return orjson.dumps(document | dict.fromkeys(("post_processor", "truncation", "padding")))

    @cached_property
    def spelling(self) -> tuple[U8, I64]:
        """(the bytes of all ids, int64[ids + 1] where each begins). An id without bytes that are known has
        none: what is made of it has the wrong size."""
        words = self._words()
        size = max(words, default=-1) + 1
        offsets = np.zeros(size + 1, np.int64)
        for number, word in words.items():
            offsets[number + 1] = len(word)
        np.cumsum(offsets, out=offsets)
        return np.frombuffer(b"".join(words.get(k, b"") for k in range(size)), np.uint8), offsets

    def _words(self) -> dict[int, bytes]:
        vocabulary = orjson.loads(self.text)["model"]["vocab"]
        named = (
            vocabulary.items()
            if isinstance(vocabulary, dict)
            else ((entry[0], number) for number, entry in enumerate(vocabulary))
        )
        is_bytes = any(part.get("type") == "ByteLevel" for part in self.parts("pre_tokenizer", "decoder"))
        falls_back = bool(self.outline["model"].get("byte_fallback"))
        try:
            words = {
                int(number): _byte_level(word) if is_bytes else _sentence_piece(word, falls_back)
                for word, number in named
            }
        except (TypeError, ValueError):
            raise InputError(f"{self.path}: the vocabulary is not as a tokenizer.json has it") from None
        return words | {token.id: token.content.encode() for token in self.added}


def _unknown(model: Mapping[str, Any]) -> int | None:
    vocabulary, number = model["vocab"], model.get("unk_id")
    if isinstance(vocabulary, dict):
        number = vocabulary.get(model.get("unk_token"))
    return number if isinstance(number, int) else None


def _walk(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, dict):
        yield part
        for name in ("normalizers", "pretokenizers", "decoders"):
            for inner in part.get(name) or ():
                yield from _walk(inner)


def _without(model: Mapping[str, Any], kind: str, special: set[str]) -> Mapping[str, Any]:
    """A model whose texts do not become special tokens; ids stay as they are. Of a BPE, those that merges
    make are words of the text as well."""
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):
        entries = [
            [SET_ASIDE.format(number), *entry[1:]]
            if entry[0] in special and number != model.get("unk_id")
            else entry
            for number, entry in enumerate(vocabulary)
        ]
        return {**model, "vocab": entries}
    words = (special & vocabulary.keys()) - {model.get("unk_token")}
    if words and kind == "BPE":
        pairs = model.get("merges") or ()
        words -= {"".join(pair.split(" ", 1) if isinstance(pair, str) else pair) for pair in pairs}
    if not words:
        return model
    others = {word: number for word, number in vocabulary.items() if word not in words}
    set_aside = {SET_ASIDE.format(vocabulary[word]): vocabulary[word] for word in sorted(words)}
    return {**model, "vocab": others | set_aside}


def _byte_level(word: str) -> bytes:
    table = _bytes_of_letters()
    return bytes(table[letter] for letter in word) if all(letter in table for letter in word) else b""


@cache
def letters_of_bytes() -> dict[int, str]:
    """GPT-2's letter for each byte."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}


@cache
def _bytes_of_letters() -> dict[str, int]:
    return {letter: byte for byte, letter in letters_of_bytes().items()}


def _sentence_piece(word: str, falls_back: bool) -> bytes:
    if falls_back and len(word) == 6 and word.startswith("<0x") and word.endswith(">"):
        return bytes([int(word[3:5], 16)])
    return word.replace(REPLACEMENT, " ").encode(errors="replace")
