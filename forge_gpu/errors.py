"""The errors a user can meet: one line that says what, where and what to do, and an exit code."""

import signal
from typing import Any


class ForgeError(Exception):
    """A fault of input, configuration or environment. Shown as one line, without a traceback.

    `exit_code` is what the command line returns: 2 unless a subclass says otherwise. `public` is the message
    without `quoted`, the end of it that quotes a row: for what is kept or sent elsewhere, as events are.
    """

    exit_code = 2

    def __init__(self, message: str = "", quoted: str = "") -> None:
        super().__init__(message + quoted)
        self.public = message


class NoPlanError(ForgeError):
    """`forge prepare` was asked to run without a plan."""

    exit_code = 1


class ConfigError(ForgeError):
    """One or more faults in forge.yaml, the environment or `--set`; one line for each, all at once."""


class InputError(ForgeError):
    """An input file that is missing, unreadable, damaged or of a kind that Forge does not read."""


class TemplateError(ForgeError):
    """A chat template that cannot be used: syntax, an unknown column, a bound it ran into."""


class OutputError(ForgeError):
    """The output folder cannot be used: no space, no permission, locked by another run."""


class StrictError(ForgeError):
    """A row was rejected under `--strict`, or more rows than `max_rejected` were."""


class ValidationError(ForgeError):
    """What was written does not read back as it should: a fault of Forge or of the disk."""

    exit_code = 3


class NoTrainingRows(ForgeError):
    """The input had rows and the plan a share for train, and none is in it. All of the output is written:
    `result` is what `prepare` made."""

    exit_code = 4

    def __init__(self, message: str, result: Any = None) -> None:
        super().__init__(message)
        self.result = result


class ContainerError(ForgeError):
    """A container that cannot be started, or that ended without a result: 69 where the engine, the image or
    what they need is lacking or lost, 137 where the container was killed, 70 for what nobody foresaw."""

    def __init__(self, message: str, exit_code: int = 69) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Interrupted(ForgeError):
    """SIGINT or SIGTERM: a valid checkpoint was left. `signal_number` gives exit code 128 + n."""

    def __init__(self, signal_number: int) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(f"stopped by {name}; run the same command again to go on")
        self.exit_code = 128 + signal_number


def exit_code_of(error: BaseException) -> int:
    """What the command line returns for an error, foreseen or not."""
    match error:
        case ForgeError():
            return error.exit_code
        case KeyboardInterrupt():
            return 130
        case BrokenPipeError():
            return 141
        case OSError() if error.strerror:
            return 2
    return 70


def printable(text: str) -> str:
    """A line to show, without the control characters that a name in it may hold:
    a terminal would obey them."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
