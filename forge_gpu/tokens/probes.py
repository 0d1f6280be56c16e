"""Tokenizers and texts that show whether two libraries agree."""

from __future__ import annotations

import random
from typing import Any

from forge_gpu.tokens.spelling import letters_of_bytes

_CASED = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]")
_TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SLASH = _TAIL.replace(r"[\r\n]*", r"[\r\n/]*")
_ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PATTERNS: dict[str, str | None] = {
    "gpt2": None,
    "llama3": _ENDING + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + _TAIL,
    "o200k": "|".join(
        [
            rf"[^\r\n\p{{L}}\p{{N}}]?{_CASED[0]}*{_CASED[1]}+{_ENDING}?",
            rf"[^\r\n\p{{L}}\p{{N}}]?{_CASED[0]}+{_CASED[1]}*{_ENDING}?",
            r"\p{N}{1,3}" + _SLASH,
        ]
    ),
}
"""Pre-tokenizers that models have; None is GPT-2's own."""


def probe(name: str) -> dict[str, Any]:
    """A tokenizer whose ids show where its pre-tokenizer cuts: a token for each byte, and for the bytes on
    both sides of a place where a cut may be."""
    letters = letters_of_bytes()
    ends = [letters[byte] for byte in range(0x80, 0xC0)]
    begins = [letters[byte] for byte in range(0xC2, 0xF5)]
    blank, newline = letters[0x20], letters[0x0A]
    sides = [
        *((end, right) for end in ends for right in (letters[0xEF], "1", "a", newline)),
        *((left, begin) for begin in begins for left in ("a", "A", blank)),
    ]
    words = [*letters.values(), *(left + right for left, right in sides)]
    pattern = PATTERNS[name]
    levels: dict[str, Any] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": pattern is None,
    }
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": levels
        if pattern is None
        else {"type": "Sequence", "pretokenizers": [split, levels]},
        "post_processor": None,
        "decoder": levels,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {word: number for number, word in enumerate(words)},
            "merges": [f"{left} {right}" for left, right in sides],
        },
    }


_TEXT = (
    "the Of and to I'LL don't we're it's 'S 'tis naïve café Straße ﬁne "
    "你好， 可以。 東京 こんにちは 안녕 Привет "
    "مرحبا नमस्ते שלום Ελλάδα ไทย 123 4567 3.14 0x1F 1,000 ½ ² Ⅷ ① "
    "def f(x): return {'a': [1, 2]} <b> </b> "
    "http://a.b/c?d=e __init__ CamelCase snake_case 🙂 👩‍👩‍👧 e\u0301 A\u030a \u212b "
    "\u00a0 \u2028 \u3000 \u200d "
    "!!! ... -- == != >= // /* */ ### ``` \\n \\ \" ' ' ▁ ▁▁ <0x0A>"
)
_BETWEEN = ("", " ", " ", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", " \n ", "\u001c")


def canary_texts(count: int = 400) -> list[str]:
    """Texts of many kinds, the same each time."""
    chance = random.Random(0)
    texts = ["", " ", "\n", "a", " a", "  a", "a ", "a  ", "\n\na"]
    while len(texts) < count:
        words = chance.choices(_TEXT.split(" "), k=chance.randint(1, 24))
        texts.append("".join(word + chance.choice(_BETWEEN) for word in words))
    return texts
