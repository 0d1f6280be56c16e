"""The oracle of chat templates: a real tokenizer, whose public `apply_chat_template` is called as its users
call it."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

REQUIRED = "FORGE_REQUIRE_TRANSFORMERS"


def transformers() -> Any:
    """The library; without it the tests are skipped, or fail where REQUIRED is set."""
    try:
        import transformers
    except ImportError:
        if os.environ.get(REQUIRED):
            pytest.fail(f"{REQUIRED} is set, and transformers is not installed", pytrace=False)
        pytest.skip("transformers is not installed", allow_module_level=True)
    return transformers


def tokenizer_of(source: str | dict[str, str], tokens: dict[str, str]) -> Any:
    """A tokenizer of bytes with a chat template, or several, and special tokens."""
    library = transformers()
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: number for number, character in enumerate(alphabet)}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = library.PreTrainedTokenizerFast(tokenizer_object=inner, **tokens)
    tokenizer.chat_template = source
    return tokenizer


@contextmanager
def on(date: str) -> Iterator[None]:
    """What templates see as the date."""
    from transformers.utils import chat_template_utils as library

    class Day(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Day:
            return cls.fromisoformat(date)

    before, library.datetime = library.datetime, Day
    try:
        yield
    finally:
        library.datetime = before


def applied(tokenizer: Any, row: dict[str, Any], **options: Any) -> str | Exception:
    """The text of a row, or the error that it is refused with."""
    try:
        text: str = tokenizer.apply_chat_template(
            row["messages"], tools=row.get("tools"), tokenize=False, **options
        )
    except Exception as error:
        return error
    return text
