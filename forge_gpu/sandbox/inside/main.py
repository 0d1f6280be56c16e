"""Runs inside: loads what a script may import, closes the process in, loads the script, answers frames."""

from __future__ import annotations

import io
import json
import os
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from forge_gpu.sandbox.inside import walls
from forge_gpu.sandbox.inside.frames import DONE, FAULT, HEAD, ROWS, START, frame
from forge_gpu.sandbox.inside.rows import SCRIPT, Rows, reason_of


class Nowhere(io.TextIOBase):
    """What a script prints goes nowhere: a row's result may not depend on how much was printed before."""

    def write(self, text: str) -> int:
        return len(text)


class Closed:
    """The last finder of modules: says what may be imported, where the wall would only say "not found"."""

    def __init__(self, modules: list[str]) -> None:
        self._modules = ", ".join(modules)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        raise ModuleNotFoundError(
            f"no module {name!r} for a transform; there are: {self._modules}", name=name
        )


class Pipe:
    """Frames in, answers out, on descriptors of its own."""

    def __init__(self) -> None:
        self._frames = os.fdopen(os.dup(0), "rb", buffering=2**20)
        self._answers = os.fdopen(os.dup(1), "wb", buffering=2**20)
        os.dup2(2, 1)
        os.close(0)

    def read(self) -> tuple[int, int, int, bytes] | None:
        """Number, rows, word and body of the next frame; None where Forge has hung up."""
        head = self._frames.read(HEAD.size)
        if len(head) < HEAD.size:
            return None
        number, rows, word, size = HEAD.unpack(head)
        body = self._frames.read(size)
        return (number, rows, word, body) if len(body) == size else None

    def answer(self, number: int, rows: int, word: int, body: bytes) -> None:
        self._answers.write(frame(number, rows, word, body))
        self._answers.flush()


def main() -> None:
    pipe = Pipe()
    start = pipe.read()
    if start is None or start[2] != START:
        return
    given = json.loads(start[3])
    try:
        walls.limit(given["memory"], given["seconds"])
        for name in given["modules"] + given["companions"]:
            import_module(name)
        sys.stdin, sys.stdout, sys.stderr = io.StringIO(), Nowhere(), Nowhere()
        sys.argv, sys.path, sys.meta_path = [SCRIPT], [], [Closed(given["modules"])]
        walls.close(given["landlock"], given["filter"])
    except Exception as fault:
        pipe.answer(0, 0, FAULT, f"the sandbox cannot be closed: {reason_of(fault)}".encode())
        return
    pipe.answer(0, 0, DONE, b"")
    _serve(pipe, given["script"])


def _serve(pipe: Pipe, script: str) -> None:
    """Load the script, then answer frames. What it raises beyond its rows is told, and ends the process."""
    number = 1
    try:
        call = Rows(_transform_of(script))
        pipe.answer(1, 0, DONE, b"")
        while (given := pipe.read()) is not None:
            number, rows, word, body = given
            pipe.answer(number, rows, DONE, call(body) if word == ROWS else b"")
    except BaseException as fault:
        told = "it takes more memory than it may" if isinstance(fault, MemoryError) else reason_of(fault)
        pipe.answer(number, 0, FAULT, told.encode())
    finally:
        os._exit(0)


def _transform_of(script: str) -> Any:
    module = ModuleType("transform")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(script, SCRIPT, "exec", dont_inherit=True), vars(module))  # noqa: S102 (inside the walls)
    function = vars(module).get("transform")
    if not callable(function):
        raise ValueError("there is no `def transform(row)` in it")
    return function


if __name__ == "__main__":
    main()
