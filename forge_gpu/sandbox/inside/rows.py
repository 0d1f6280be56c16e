"""Calls a transform for rows that are JSON lines, and spells what it returns."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from forge_gpu.sandbox.inside.frames import REJECTED, answer_body

MAX_REASON = 200
"""Characters of the reason of a rejected row."""

SCRIPT = "transform.py"
"""What the script is called in messages."""


class Rows:
    """The function of a script over frames of rows."""

    def __init__(self, function: Callable[[dict[str, Any]], Any]) -> None:
        self._function = function
        self._read = json.loads
        self._spell = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode

    def __call__(self, body: bytes) -> bytes:
        """The body of an answer. Raises MemoryError, and what is no Exception: these end the process."""
        counts: list[int] = []
        lines: list[bytes] = []
        reasons: list[str] = []
        for line in body.decode().split("\n"):
            try:
                made = self._made(line)
            except MemoryError:
                raise
            except Exception as fault:
                counts.append(REJECTED)
                reasons.append(reason_of(fault))
            else:
                counts.append(len(made))
                lines += made
        return answer_body(counts, b"\n".join(lines), reasons)

    def _made(self, line: str) -> list[bytes]:
        result = self._function(self._read(line))
        if result is None:
            return []
        if isinstance(result, dict):
            return [self._spell(result).encode()]
        if not isinstance(result, list):
            raise TypeError(
                f"transform returned {kind_of(result)}; a dict, a list of dicts or None is asked for"
            )
        for row in result:
            if not isinstance(row, dict):
                raise TypeError(f"transform returned a list with {kind_of(row)} in it; dicts are asked for")
        return [self._spell(row).encode() for row in result]


def reason_of(fault: BaseException) -> str:
    """One line: the text of a ValueError of the script, else the kind of the fault, and where it arose."""
    try:
        text = " ".join(str(fault).encode("utf-8", "replace").decode().split())
    except Exception:
        text = "an error whose text cannot be made"
    if type(fault) is not ValueError or not text:
        text = f"{type(fault).__name__}: {text}".removesuffix(": ") + _place(fault)
    return text if len(text) <= MAX_REASON else text[:MAX_REASON] + "…"


def _place(fault: BaseException) -> str:
    """The last line of the script that the fault passed, if any."""
    line, step = None, fault.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename == SCRIPT:
            line = step.tb_lineno
        step = step.tb_next
    if line is None and isinstance(fault, SyntaxError):
        line = fault.lineno
    return "" if line is None else f" (line {line} of the script)"


def kind_of(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"
