"""transformers: apply_chat_template, row by row, with a tokenizer that has no model behind it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from benchmarks.work import SPECIAL_TOKENS, facts

VERSIONS = {"transformers": transformers.__version__}


def render_chat(input: str, template: str) -> Callable[[], Any]:
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>")),
        chat_template=Path(template).read_text(),
        **SPECIAL_TOKENS,
    )
    with open(input) as lines:
        conversations = [json.loads(line)["messages"] for line in lines]

    def work() -> Callable[[], Any]:
        texts = [tokenizer.apply_chat_template(messages, tokenize=False) for messages in conversations]
        return lambda: facts(texts)

    return work
