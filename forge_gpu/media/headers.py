"""What the headers of files say, read by Pillow and soundfile in the sandbox's worker."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

from ruamel.yaml import YAML

from forge_gpu.errors import ConfigError
from forge_gpu.plain import frozen
from forge_gpu.sandbox.contract import Loaded, Script, contract
from forge_gpu.sandbox.layers import SandboxError
from forge_gpu.sandbox.sandbox import Bounds, Sandbox
from forge_gpu.sandbox.transform import run

INSTALL = "pip install 'forge-gpu[media]'"
IN_SANDBOX = "the reader of media"
BOUNDS = Bounds(seconds=20.0, memory=2**30)
"""Of one frame of headers, and of the worker."""


@frozen
class Header:
    """A file as the worker sees it: kind (images or audios), size in bytes, its first and its last ones."""

    kind: str
    size: int
    head: bytes
    tail: bytes

    def line(self) -> bytes:
        row = {"kind": self.kind, "size": self.size}
        pieces = {"head": b64encode(self.head).decode(), "tail": b64encode(self.tail).decode()}
        return json.dumps(row | pieces).encode()

    def is_whole(self) -> bool:
        return len(self.head) + len(self.tail) >= self.size


@cache
def _libraries() -> Mapping[str, Mapping[str, Any]]:
    text = (files("forge_gpu.media") / "libraries.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Mapping[str, Any]] = YAML(typ="safe", pure=True).load(text)
    return loaded


def require(kind: str) -> None:
    """Raise ConfigError where nothing is installed that reads headers of a kind."""
    if not _is_installed(kind):
        raise ConfigError(
            f"looking at {kind} needs {_libraries()[kind]['distribution']}: {INSTALL}; or leave files alone: "
            "--set preprocessing.quality_checks.media_files=off "
            "--set preprocessing.quality_checks.media_size=off"
        )


@cache
def _is_installed(kind: str) -> bool:
    return find_spec(_libraries()[kind]["modules"][0].partition(".")[0]) is not None


@cache
def versions() -> str:
    """Of the libraries that are there: what facts depend on."""
    names = [each["distribution"] for kind, each in _libraries().items() if _is_installed(kind)]
    return " ".join(f"{name} {metadata.version(name)}" for name in names)


def _code() -> str:
    return (files("forge_gpu.media") / "inside.py").read_text(encoding="utf-8")


class _Script(Script):
    """What runs inside: `inside.py`, with the libraries that are installed."""

    __slots__ = ()

    @property
    def loaded(self) -> Loaded:
        libraries = [library for kind, library in _libraries().items() if _is_installed(kind)]
        names = [name for library in libraries for name in library["packages"]]
        default = _folder_of(names[0], "")
        return Loaded(
            packages={name: _folder_of(name, default) for name in names},
            modules=[
                *contract()["modules"],
                *("io", "sys"),
                *(name for library in libraries for name in library["modules"]),
            ],
            companions=list(contract()["companions"]),
            batches=False,
        )


def _folder_of(name: str, default: str) -> str:
    """The folder that a module lies in."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return default
    return str(Path(spec.origin).parents[1 if spec.submodule_search_locations else 0])


class HeaderReader:
    """Threads share it; it has one worker. A context manager of its own: `close`."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sandbox: Sandbox | None = None

    def read(self, headers: Sequence[Header]) -> list[dict[str, Any] | str]:
        """Of each header what it says, or why it cannot be read. Raises ConfigError where a library is not
        installed, SandboxError where the worker cannot be started."""
        for kind in {header.kind for header in headers}:
            require(kind)
        with self._lock:
            return self._read([header.line() for header in headers])

    def close(self) -> None:
        with self._lock:
            self._end()

    def _read(self, lines: list[bytes]) -> list[dict[str, Any] | str]:
        """What ends the worker is found by halves."""
        if not lines:
            return []
        sandbox = self._started()
        try:
            made = run(sandbox, lines).each()
        except SandboxError as fault:
            self._sandbox = None  # it has ended
            if len(lines) == 1:
                return [str(fault).removeprefix(f"{IN_SANDBOX}: ")]
            half = len(lines) // 2
            return self._read(lines[:half]) + self._read(lines[half:])
        return [each if isinstance(each, str) else json.loads(each[0]) for each in made]

    def _started(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(_Script(IN_SANDBOX, _code()), BOUNDS).__enter__()
        return self._sandbox

    def _end(self) -> None:
        if self._sandbox is not None:
            sandbox, self._sandbox = self._sandbox, None
            sandbox.__exit__(None, None, None)
