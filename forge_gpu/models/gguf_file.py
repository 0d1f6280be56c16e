"""What a GGUF file says of its model, in its metadata: chat templates, special tokens, architecture, context.

The package `gguf` reads it (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). No weights are read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from forge_gpu.errors import InputError

MAGIC = b"GGUF"
TEMPLATE = "tokenizer.chat_template"
NAMES = "tokenizer.chat_templates"
TOKENS = "tokenizer.ggml.tokens"
SPECIAL = {"bos": "bos_token", "eos": "eos_token", "padding": "pad_token", "unknown": "unk_token"}
INSTALL = "pip install 'forge-gpu[gguf]'"


def is_gguf(path: Path) -> bool:
    """Whether a file is of that format, by its first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class GgufFile:
    """The metadata of a file. Raises InputError where it cannot be read, or the package is missing."""

    def __init__(self, path: Path) -> None:
        try:
            from gguf import GGUFReader
        except ImportError:
            raise InputError(f"{path}: GGUF files need the package gguf: {INSTALL}") from None
        self.path = path
        try:
            self._fields = GGUFReader(path).fields
        except Exception as error:  # what the package makes of a damaged file is of many kinds
            raise InputError(f"{path} is damaged, or no GGUF file: {type(error).__name__}: {error}") from None

    def templates(self) -> dict[str, str]:
        """The chat templates, by name."""
        names = self._value(NAMES, list) or []
        named = {"default": self._value(TEMPLATE, str)}
        named |= {str(name): self._value(f"{TEMPLATE}.{name}", str) for name in names}
        return {name: text for name, text in named.items() if text is not None}

    def special_tokens(self) -> dict[str, str]:
        """bos_token, eos_token ... -> text."""
        tokens = self._fields.get(TOKENS)
        result = {}
        for key, name in SPECIAL.items():
            number = self._value(f"tokenizer.ggml.{key}_token_id", int)
            if tokens is not None and number is not None and 0 <= number < len(tokens.data):
                result[name] = self._guarded(TOKENS, partial(tokens.contents, number))
        return result

    @property
    def name(self) -> str:
        return self._value("general.name", str) or self.path.stem

    @property
    def architecture(self) -> str | None:
        return self._value("general.architecture", str)  # type: ignore[no-any-return]

    @property
    def max_length(self) -> int | None:
        return self._value(f"{self.architecture}.context_length", int)  # type: ignore[no-any-return]

    def _value(self, key: str, kind: type) -> Any:
        """The value of a key; None where it is missing or of another kind."""
        field = self._fields.get(key)
        value = None if field is None else self._guarded(key, field.contents)
        return value if isinstance(value, kind) else None

    def _guarded(self, key: str, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (ValueError, IndexError) as error:
            raise InputError(f"{self.path}: {key} cannot be read: {error}") from None
