"""Tokenizers in other files than tokenizer.json, made one by the converters of the library transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from forge_gpu.errors import ForgeError, InputError
from forge_gpu.tokens.encoders import INSTALL


def convert(path: Path) -> str:
    """The JSON of a tokenizer in another file. Raises InputError where it cannot be read, ForgeError where
    the library that does it is missing."""
    try:
        made: str = CONVERTERS[path.name](path).to_str()
    except ImportError as missing:
        raise ForgeError(
            f"{path} needs the library {missing.name}: {INSTALL} transformers {missing.name}, or give a "
            "tokenizer.json"
        ) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except Exception as fault:  # whatever a converter raises of a file that is not as it should be
        raise InputError(f"{path} is no tokenizer that can be read: {fault}") from None
    return made


def _sentence_piece(path: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path.parent, trust_remote_code=False).backend_tokenizer


def _tekken(path: Path) -> Any:
    from transformers.convert_slow_tokenizer import MistralConverter

    about = json.loads(path.read_text(encoding="utf-8"))
    config = about["config"]
    size = config["default_vocab_size"] - config["default_num_special_tokens"]
    special = [each["token_str"] for each in about.get("special_tokens") or ()]
    converter = MistralConverter(
        vocab=about["vocab"][:size], pattern=config["pattern"], additional_special_tokens=special
    )
    return converter.converted()


def _tiktoken(path: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path.parent, trust_remote_code=False).backend_tokenizer


CONVERTERS: Mapping[str, Callable[[Path], Any]] = {
    "tokenizer.model": _sentence_piece,
    "tekken.json": _tekken,
    "tiktoken.model": _tiktoken,
}
"""By the name of the file."""
