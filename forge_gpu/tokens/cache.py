"""Small facts about tokenizers that take seconds to find: JSON files in the user's cache, one a question."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from forge_gpu.io.atomic import write_atomic
from forge_gpu.kernels.cache import cache_folder


def known(question: list[str]) -> Any:
    """The answer that was noted; None where there is none that can be read."""
    with suppress(OSError, ValueError):
        noted = orjson.loads(_path(question).read_bytes())
        if isinstance(noted, dict) and noted.get("question") == question:
            return noted.get("answer")
    return None


def note(question: list[str], answer: Any) -> None:
    """Note an answer; where the cache cannot be written, it is found again by the next job."""
    path = _path(question)
    with suppress(OSError):
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        write_atomic(path, orjson.dumps({"question": question, "answer": answer}))


def _path(question: list[str]) -> Path:
    name = hashlib.sha256(orjson.dumps(question)).hexdigest()[:32]
    return cache_folder().parent.parent / "tokens" / f"{name}.json"
