"""What a `tokenizer.json` says: its added tokens, how bytes stand for ids, and the same without added tokens.

Nothing here runs a tokenizer. Source of the format: `tokenizers` 0.23.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.errors import InputError
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.tokens.spelling import spelled

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
    of the file that it is from. digest: SHA-256 of the JSON as it was given. unknown: the id of texts that
    the model does not know. spelling: the bytes of all ids, and int64[ids + 1], where each begins; an id
    without bytes that are known has none."""

    text: bytes
    outline: Mapping[str, Any]
    path: Path
    digest: str
    unknown: int | None
    added: tuple[AddedToken, ...]
    spelling: tuple[U8, I64]

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
        digest = hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()
        added = _added(document, path)
        spelling = _spelling(document, added, path)
        unknown, compact = _unknown(model), orjson.dumps(document)
        for large in ("vocab", "merges"):
            model.pop(large, None)
        return cls(compact, document, path, digest, unknown, added, spelling)

    @property
    def kind(self) -> str:
        """BPE, Unigram, WordPiece or WordLevel."""
        return str(self.outline["model"].get("type") or "BPE")

    def parts(self, *names: str) -> list[dict[str, Any]]:
        """What stands under `normalizer`, `pre_tokenizer`, `decoder`; what is inside sequences too."""
        return _parts(self.outline, *names)

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


def _added(document: Mapping[str, Any], path: Path) -> tuple[AddedToken, ...]:
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
            for entry in document.get("added_tokens") or ()
            if entry["content"]
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        raise InputError(f"{path}: added_tokens are not as a tokenizer.json has them") from None


def _parts(document: Mapping[str, Any], *names: str) -> list[dict[str, Any]]:
    return [part for name in names for part in _walk(document.get(name))]


def _spelling(document: Mapping[str, Any], added: Sequence[AddedToken], path: Path) -> tuple[U8, I64]:
    is_bytes = any(part.get("type") == "ByteLevel" for part in _parts(document, "pre_tokenizer", "decoder"))
    contents, model = {token.id: token.content for token in added}, document["model"]
    try:
        return spelled(model["vocab"], contents, is_bytes, bool(model.get("byte_fallback")))
    except (TypeError, ValueError, AttributeError, OverflowError, IndexError, KeyError):
        raise InputError(f"{path}: the vocabulary is not as a tokenizer.json has it") from None


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
