"""What a `tokenizer.json` says: its added tokens, how bytes stand for ids, and the same without added tokens.

Nothing here runs a tokenizer. Source of the format: `tokenizers` 0.23.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.errors import InputError
from forge_gpu.kernels.layout import I64, U8
from forge_gpu.plain import frozen
from forge_gpu.tokens.spelling import spelled
from forge_gpu.tokens.stored import StoredJson, renamed

SET_ASIDE = "\ufdd0{}"
"""Takes the place of an added token in a vocabulary: a text that no valid text holds."""


@frozen
class AddedToken:
    content: str
    id: int
    special: bool
    lstrip: bool
    rstrip: bool
    single_word: bool
    normalized: bool


@frozen
class Definition:
    """One tokenizer. stored: its JSON. path: of the file that it is from. digest: SHA-256 of the JSON as it
    was given. unknown: the id of texts that the model does not know. special_words: words of the model that
    texts may not become, with their ids. spelling: the bytes of all ids, and int64[ids + 1], where each
    begins; an id without bytes that are known has none."""

    stored: StoredJson
    path: Path
    digest: str
    unknown: int | None
    special_words: Mapping[str, int]
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
        spelling, unknown, words = _spelling(document, added, path), _unknown(model), _special(model, added)
        stored = StoredJson.of(document, ("vocab", "merges"))
        return cls(stored, path, digest, unknown, words, added, spelling)

    @property
    def text(self) -> bytes:
        """Its JSON."""
        return self.stored.text()

    @property
    def outline(self) -> Mapping[str, Any]:
        """Its JSON, without the words and merges of its model."""
        return self.stored.outline

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
        changes: dict[str, Any] = {"added_tokens": []} | dict.fromkeys(
            ("post_processor", "truncation", "padding")
        )
        if not first:
            splits = deepcopy(self.outline.get("pre_tokenizer"))
            for part in _walk(splits):
                if part.get("type") == "Metaspace" and part.get("prepend_scheme") == "first":
                    part["prepend_scheme"] = "never"
            changes["pre_tokenizer"] = splits
        return self.stored.text(changes, self._words_apart())

    def _words_apart(self) -> Mapping[str, bytes]:
        """The vocabulary with other texts in place of its special words; ids stay as they are."""
        words = {word: SET_ASIDE.format(number) for word, number in self.special_words.items()}
        return {"vocab": renamed(self.stored.part("vocab"), words)} if words else {}


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


def _special(model: Mapping[str, Any], added: Sequence[AddedToken]) -> dict[str, int]:
    """Words of a model that are special tokens as well, with their ids. Of a BPE, those that merges make are
    words of the text as well, and stay."""
    vocabulary, special = model["vocab"], {token.content for token in added if token.special}
    if isinstance(vocabulary, list):
        words = {str(entry[0]): number for number, entry in enumerate(vocabulary)}
        return {
            word: words[word] for word in sorted(special & words.keys()) if words[word] != model.get("unk_id")
        }
    names = (special & vocabulary.keys()) - {model.get("unk_token")}
    if names and str(model.get("type") or "BPE") == "BPE":
        pairs = model.get("merges") or ()
        names -= {"".join(pair.split(" ", 1) if isinstance(pair, str) else pair) for pair in pairs}
    return {word: vocabulary[word] for word in sorted(names)}
