"""The work that every contender does, said once. Standard library only: each environment imports it.

Flat rows become one text, the built-in chatml template:
query = instruction, and a newline and input where input is not empty;
text = USER + query + MIDDLE + output + END.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

USER = "<|im_start|>user\n"
MIDDLE = "<|im_end|>\n<|im_start|>assistant\n"
END = "<|im_end|>"
COLUMNS = ("instruction", "input", "output", "category")
VALIDATION = 0.1
SEED = 42
SPLITS = ("train", "validation")

SPECIAL_TOKENS = {"bos_token": "<|begin|>", "eos_token": "<|im_end|>"}

# Near-duplicates: the same parameters for whoever takes part.
THRESHOLD = 0.8
PERMUTATIONS = 128
BANDS, ROWS = 16, 8
SHINGLE = 5  # characters


def query(row: dict[str, Any]) -> str:
    return f"{row['instruction']}\n{row['input']}" if row["input"] else str(row["instruction"])


def render(row: dict[str, Any]) -> str:
    return f"{USER}{query(row)}{MIDDLE}{row['output']}{END}"


def content(row: dict[str, Any]) -> str:
    """What near-duplicates are judged on: what user and assistant said."""
    return f"{query(row)}\n{row['output']}"


def output_paths(folder: str) -> tuple[str, str]:
    """Where a whole job writes its training and its validation rows."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    return str(Path(folder, "train.jsonl")), str(Path(folder, "validation.jsonl"))


def digest(texts: Iterable[str | bytes]) -> int:
    """A fingerprint of a bag of texts, whatever their order: the sum of their hashes, modulo 2^64."""
    total = 0
    for text in texts:
        content = text.encode() if isinstance(text, str) else text
        total += int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
    return total % 2**64


def facts(texts: Iterable[str | bytes]) -> dict[str, int]:
    """What a check compares: how many texts, and their fingerprint."""
    held = list(texts)
    return {"rows": len(held), "digest": digest(held)}


def table_facts(columns: Iterable[Iterable[str]]) -> dict[str, int]:
    """Facts of a table of texts, given column by column in the order of COLUMNS."""
    return facts("\0".join(row) for row in zip(*columns, strict=True))


def split_facts(train: Any, validation: Any) -> tuple[int, dict[str, int]]:
    """What two frames that were one are compared by: rows of the second, and facts of both, train first."""
    return len(validation), table_facts(chain(train[name], validation[name]) for name in COLUMNS)
