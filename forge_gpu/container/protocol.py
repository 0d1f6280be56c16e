"""What goes between a job in a container and whoever started it.

In: the job as one line of JSON; what follows is the job's standard input. Out, a line of JSON each: first
`{"hello": …}`, then the events as `--events -` writes them, last `{"result": …}` or `{"error": …}`.
"""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any

import orjson
from pydantic import TypeAdapter

from forge_gpu import errors
from forge_gpu._version import __version__
from forge_gpu.config.schema import Config
from forge_gpu.container.makers import FORGE, differing, makers
from forge_gpu.errors import ContainerError, ForgeError, Interrupted, exit_code_of
from forge_gpu.job.events.encode import Entry, from_line
from forge_gpu.plain import frozen

PROTOCOL = 1


@frozen
class Hello:
    """The first line, before the job is sent. makers: see `makers.makers`."""

    protocol: int
    version: str  # of Forge
    makers: dict[str, str] = field(default_factory=dict)

    def require_ours(self, image: str, config: Config) -> None:
        """Raise ContainerError where the image holds another Forge than this one, or a library that may make
        other bytes of this plan."""
        if (self.protocol, self.version) != (PROTOCOL, __version__):
            raise ContainerError(
                f"the image {image} holds Forge {self.version}, and this is {__version__}; build it again "
                "with: forge image build"
            )
        others = [
            name if name == FORGE else f"{name} ({self.makers.get(name, 'none')}, here {here})"
            for name in differing(self.makers, config)
            for here in [makers()[name]]
        ]
        if others:
            raise ContainerError(
                f"the image {image} would not give the bytes of this machine: it differs in "
                f"{', '.join(others)}; build it again with: forge image build"
            )


@frozen
class Finished:
    """The last line of a job that is done. manifest: the whole of manifest.json."""

    manifest: dict[str, Any]
    was_finished: bool


@frozen
class Failed:
    """The last line of a job that ended with an error. kind: the name of its class."""

    kind: str
    message: str  # of a fault of Forge's own, its kind and words
    quoted: str  # the end of the message, where it quotes a row
    exit_code: int

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        if isinstance(error, ForgeError):
            quoted = str(error)[len(error.public) :]
            return cls(type(error).__name__, error.public, quoted, error.exit_code)
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return cls(type(error).__name__, message, "", exit_code_of(error))

    def error(self) -> ForgeError:
        """The error as it was raised inside, of the same class and with the same exit code."""
        kind = getattr(errors, self.kind, None)
        if kind is Interrupted:
            return Interrupted(self.exit_code - 128)
        if isinstance(kind, type) and issubclass(kind, ForgeError) and kind is not ContainerError:
            return kind(self.message, self.quoted)
        if self.exit_code == 70:
            return ContainerError(f"a fault of Forge in the container: {self.message}", 70)
        return ContainerError(self.message, self.exit_code)


Message = Hello | Entry | Finished | Failed
_CONTROL: dict[str, type[Hello] | type[Finished] | type[Failed]] = {
    "hello": Hello,
    "result": Finished,
    "error": Failed,
}


def to_line(message: Hello | Finished | Failed) -> bytes:
    """One whole line of a message that is no event."""
    key = next(key for key, kind in _CONTROL.items() if isinstance(message, kind))
    return orjson.dumps({key: _sendable(asdict(message))}) + b"\n"


def read_line(line: bytes) -> Message | None:
    """The message of a line; None for an event that this version does not know. Raises ValueError where it is
    none."""
    record = orjson.loads(line)
    if isinstance(record, dict) and len(record) == 1:
        key, values = next(iter(record.items()))
        if key in _CONTROL and isinstance(values, dict):
            message: Message = TypeAdapter(_CONTROL[key]).validate_python(values)
            return message
    return from_line(line)


def _sendable(value: Any) -> Any:
    """A value without lone surrogates, which a path that is not UTF-8 has and JSON cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_sendable(key): _sendable(of) for key, of in value.items()}
    return [_sendable(item) for item in value] if isinstance(value, list) else value
