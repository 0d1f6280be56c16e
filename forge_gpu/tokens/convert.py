"""Tokenizers in other files than tokenizer.json, made one by the converters of the library transformers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from forge_gpu.errors import ForgeError, InputError
from forge_gpu.tokens.encoders import INSTALL

SENTENCE_PIECE = {"sentencepiece": "sentencepiece", "google.protobuf": "protobuf"}
TIKTOKEN = {"tiktoken": "tiktoken"}
"""What a converter imports, with the package that it is in."""


def convert(path: Path) -> str:
    """The JSON of a tokenizer in another file. Raises InputError where it cannot be read, ForgeError where
    a library that does it is missing."""
    try:
        needed = {"transformers": "transformers", **_needed(path)}
        missing = [package for module, package in needed.items() if not _is_there(module)]
        if missing:
            command = f"{INSTALL} {' '.join(missing)}"
            raise ForgeError(f"{path} needs {' and '.join(missing)}: {command}, or give a tokenizer.json")
        made: str = CONVERTERS[path.name](path).to_str()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except ForgeError:
        raise
    except Exception as fault:  # whatever a converter raises of a file that is not as it should be
        said = str(fault).strip().partition("\n")[0]
        raise InputError(f"{path} is no tokenizer that can be read: {said}") from None
    return made


def _needed(path: Path) -> Mapping[str, str]:
    """Of what is named tokenizer.model, some files are SentencePiece's, and some tiktoken's."""
    if path.name == "tekken.json":
        return {}
    with path.open("rb") as file:
        return TIKTOKEN if _is_ranks(file.read(512)) else SENTENCE_PIECE


def _is_ranks(begin: bytes) -> bool:
    """Whether a file begins as tiktoken's do: with lines of a word in base64, and its rank."""
    word, _, rank = begin.partition(b"\n")[0].strip().partition(b" ")
    return rank.isdigit() and word.rstrip(b"=").replace(b"+", b"").replace(b"/", b"").isalnum()


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package that it would be in is not there
        return False


def _of_folder(path: Path) -> Any:
    """As the folder's tokenizer_config.json says: its class, and the added tokens. Code in it is not run."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(path.parent, trust_remote_code=False).backend_tokenizer


def _tekken(path: Path) -> Any:
    from transformers.integrations.mistral.tokenizer import MistralConverter

    return MistralConverter(str(path)).converted()


CONVERTERS: Mapping[str, Callable[[Path], Any]] = {
    "tokenizer.model": _of_folder,
    "tekken.json": _tekken,
    "tiktoken.model": _of_folder,
}
"""By the name of the file."""
