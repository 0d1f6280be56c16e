"""Runs inside: loads what a script may import, closes the process in, loads the script, answers frames."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from forge_gpu.sandbox.inside import walls
from forge_gpu.sandbox.inside.frames import BATCH, BY_BATCH, BY_ROW, DONE, FAULT, HEAD, ROWS, START, frame
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


class Packages:
    """Finds packages, each in the folder that is named for it, and nothing else there."""

    def __init__(self, folders: dict[str, str]) -> None:
        self._folders = folders

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        folder = self._folders.get(name)
        return None if folder is None else PathFinder.find_spec(name, [folder])


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
        if given["packages"]:
            os.environ.update(given["environment"])
            sys.meta_path.append(Packages(given["packages"]))
        for name in given["modules"] + given["companions"]:
            import_module(name)
        for name in given["environment"]:
            os.environ.pop(name, None)
        by_batch = import_module("forge_gpu.sandbox.inside.batches").Batches if given["batches"] else None
        sys.stdin, sys.stdout, sys.stderr = io.StringIO(), Nowhere(), Nowhere()
        sys.argv, sys.path, sys.meta_path = [SCRIPT], [], [Closed(given["modules"])]
        walls.close(given["landlock"], given["filter"])
    except Exception as fault:
        pipe.answer(0, 0, FAULT, f"the sandbox cannot be closed: {reason_of(fault)}".encode())
        return
    pipe.answer(0, 0, DONE, b"")
    _serve(pipe, given["script"], by_batch, given["by_row"])


def _serve(pipe: Pipe, script: str, by_batch: Any, prefers_rows: bool) -> None:
    """Load the script, then answer frames. What it raises beyond its rows is told, and ends the process."""
    number = 1
    try:
        takes, call = _calls(script, by_batch, prefers_rows)
        pipe.answer(1, 0, DONE, takes)
        while (given := pipe.read()) is not None:
            number, rows, word, body = given
            pipe.answer(number, rows, DONE, call(body) if word in (ROWS, BATCH) else b"")
    except BaseException as fault:
        message = "it takes more memory than it may" if isinstance(fault, MemoryError) else reason_of(fault)
        pipe.answer(number, 0, FAULT, message.encode())
    finally:
        os._exit(0)


def _calls(script: str, by_batch: Any, prefers_rows: bool) -> tuple[bytes, Callable[[bytes], bytes]]:
    """What the script takes, and what calls it with that."""
    module = ModuleType("transform")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(script, SCRIPT, "exec", dont_inherit=True), vars(module))  # noqa: S102 (inside the walls)
    by_row, batch = (vars(module).get(name) for name in ("transform", "transform_batch"))
    if by_batch is not None and callable(batch) and not (prefers_rows and callable(by_row)):
        return BY_BATCH, by_batch(batch)
    if not callable(by_row):
        raise ValueError("there is no `def transform(row)` in it")
    return BY_ROW, Rows(by_row)


if __name__ == "__main__":
    main()
