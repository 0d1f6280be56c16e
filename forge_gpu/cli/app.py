"""`forge`: finds the command, imports only it, and turns errors into one line and an exit code."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, TextIO, cast

import typer

from forge_gpu.cli import usage
from forge_gpu.errors import ForgeError, exit_code_of, printable

COMMANDS = {  # name -> its help; forge_gpu.cli.<name> holds a function of that name, or a Typer `app`
    "plan": "Look at machine, data and goal, and write forge.yaml.",
    "prepare": "Run the plan.",
    "check": "Look at all of the data and say what is amiss.",
    "verify": "Derive every count and hash of a prepared folder anew.",
    "script": "Write the plan as one Python file that makes the same bytes.",
    "report": "Make the page that shows what became of the data.",
    "history": "List the runs on this machine.",
    "template": "Show and try chat templates.",
    "image": "Build and show the images that jobs run in.",
    "transform": "Check other people's Python over rows, in a sandbox.",
    "warm": "Compile all kernels and keep them for later runs.",
    "doctor": "Show what this machine has, and what the GPU path lacks.",
}


class Commands(usage.Group):
    """Commands that are imported when they are used: help needs only the table above."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in COMMANDS if find_spec(f"forge_gpu.cli.{name}") is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"forge_gpu.cli.{cmd_name}")
        group = getattr(module, "app", None)
        if group is None:
            group = typer.Typer(rich_markup_mode=None, add_completion=False)
            group.command()(getattr(module, cmd_name))
        command = typer.main.get_command(group)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from forge_gpu._version import __version__

        typer.echo(f"forge-gpu {__version__}")
        raise typer.Exit


@app.callback()
def forge(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Prepare data for fine-tuning language models, at the speed of the hardware."""


def main() -> None:
    """Entry point. --debug may stand anywhere before a `--`."""
    # Arrow's own pools keep what they once took; a run's memory is to be what it needs.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    _open_streams()
    arguments = sys.argv[1:]
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    debug = "--debug" in options
    rest = [argument for argument in options if argument != "--debug"] + arguments[len(options) :]
    sys.exit(_run(rest, debug))


def _open_streams() -> None:
    """A stream that whoever started us has closed takes what is written, and drops it; what is told on
    standard error is dropped where that is full: it must not change what becomes of the job."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (as long as the process lives)
    sys.stderr = cast(TextIO, _Forgiving(sys.stderr))


class _Forgiving:
    """A stream whose faults are nobody's."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _run(arguments: list[str], debug: bool) -> int:
    try:
        code = app(arguments, prog_name="forge", standalone_mode=False)
    except ForgeError as error:
        if debug:
            raise
        _say(error)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read the output has gone
        sys.stderr.close()
        return 141
    except Exception as error:
        if usage.is_usage(error):
            return _explain_usage(error, arguments)
        if debug:
            raise
        return _explain_fault(error)
    if code == 130:
        print("stopped", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _explain_fault(error: Exception) -> int:
    """What no command foresaw: of a file, it says which one; all else is a fault of ours."""
    if isinstance(error, OSError) and error.strerror:
        _say(f"{error.filename or 'standard output, or a file that --debug tells'}: {error.strerror}")
    else:
        told = " ".join(f"{type(error).__name__}: {error}".split())
        _say(f"a fault of Forge: {told}; run again with --debug and report what it shows")
    return exit_code_of(error)


def _say(told: object) -> None:
    """An error, without the control characters that a name in it may hold, which a terminal would obey."""
    lines = str(told).split("\n")
    print("error: " + "\n".join(map(printable, lines)), file=sys.stderr)


def _explain_usage(error: Any, arguments: list[str]) -> int:
    if not arguments or type(error).__name__ == "NoArgsIsHelpError":
        error.show()
    else:
        program = f"forge {arguments[0]}" if arguments[0] in COMMANDS else "forge"
        _say(usage.told(error, program))
    return int(error.exit_code)
